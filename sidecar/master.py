"""The master: owns the listening sockets, the workers and what they serve, and serves no request itself.

Whatever happens to a worker, the sockets stay open here, so that a connection waits in the kernel's queue for
the next worker instead of failing. Configuration, lists and model are loaded and checked here, all or nothing; the
workers only take bytes that passed. The master reads their counters (stats.py) and says what happens (logs.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

import sidecar
from sidecar import config, control, listeners, spawn, systemd
from sidecar.config import Fixed, Overrides, Plan
from sidecar.errors import XbotError
from sidecar.listeners import Bound
from sidecar.served import Served
from sidecar.stats import Stats

_EARLY_SECONDS = 1.0  # a worker that ends sooner than this has failed to start ...
_EARLY_DEATHS = 5  # ... and after so many in a row the next one waits,
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 10.0  # seconds, doubled from the first to the longest
_SWAP_SECONDS = 10.0  # a worker that has not taken a new model by then is replaced
_PING_SECONDS, _MOST_UNANSWERED = 5.0, 3  # a worker that leaves more pings unanswered is replaced
_OPEN_FILES = 65536  # a connection is a descriptor; more than this is never asked of the kernel


@dataclass(frozen=True)
class Source:
    """Where the configuration comes from, so that a reload can read it again."""

    path: Path | None
    overrides: Overrides

    def plan(self) -> Plan:
        """The configuration as it is now; XbotError if it is not sound."""
        return config.load(self.path, self.overrides)


@dataclass
class Slot:
    """One worker's place. The process in it changes; the counters with this index go on."""

    index: int
    process: subprocess.Popen[bytes] | None = None
    control: socket.socket | None = None
    started: float = 0.0  # time.monotonic()
    ready: bool = False
    generation: int = 0  # of what it serves
    unanswered: int = 0  # pings
    early_deaths: int = 0  # in a row


@dataclass
class Master:
    """Runs the sidecar from bound sockets to the end of the last worker."""

    source: Source
    fixed: Fixed
    served: Served
    bound: list[tuple[Bound, str]]  # with the dialect of each; first those of `fixed.listen`
    log: Any = field(default_factory=structlog.get_logger)
    restarts: int = 0
    reloads_ok: int = 0
    reloads_failed: int = 0
    draining: bool = False

    def __post_init__(self) -> None:
        self.stats = Stats(self.fixed.workers)
        self.notifier = systemd.Notifier()
        self._slots = [Slot(index) for index in range(self.fixed.workers)]
        self._serving = False  # all workers have been up once

    @property
    def workers_up(self) -> int:
        """How many workers accept connections."""
        return sum(slot.ready for slot in self._slots)

    @property
    def healthy(self) -> bool:
        """Whether all of them do."""
        return not self.draining and self.workers_up == self.fixed.workers

    @property
    def worker_pids(self) -> dict[int, int]:
        """Slot index to process id, of the workers there are."""
        return {slot.index: slot.process.pid for slot in self._slots if slot.process}

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain."""
        self._changed = asyncio.Event()
        self._reload_wanted = asyncio.Event()
        self._stop_wanted = asyncio.Event()
        self._stop_at_once = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._report)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        for slot in self._slots:
            self._spawn(slot)
        duties = (self._reload_on_demand(), self._watch_workers(), self._stay_alive())
        tasks = [asyncio.create_task(duty) for duty in duties]
        await self._stop_wanted.wait()
        for task in tasks:
            task.cancel()
        await self._drain()

    # Workers

    def _spawn(self, slot: Slot) -> None:
        if self.draining:
            return
        ours, theirs = control.pair()
        ours.setblocking(False)
        slot.started, slot.ready, slot.unanswered = time.monotonic(), False, 0
        try:
            with theirs:
                slot.process = spawn.worker(theirs)
        except OSError as error:
            ours.close()
            self._failed_early(slot, f"cannot start: {error}")
            return
        slot.control = ours
        log = {"level": self.fixed.log.level, "form": self.fixed.log.format}
        start = {
            "op": "start",
            "slot": slot.index,
            "dialects": [dialect for _, dialect in self.bound],
            "policies": self._listen_policies(),
            "backlog": listeners.BACKLOG,
            "generation": self.served.generation,
            "drain_timeout": self.fixed.drain_timeout,
            "log": log if self.fixed.log.level == "debug" else None,
        }
        sockets = [bound.sock.fileno() for bound, _ in self.bound]
        control.send(ours, start, [self.stats.fd, self.served.fd, self.served.policies_fd, *sockets])
        asyncio.get_running_loop().add_reader(ours, self._hear, slot)
        self.log.debug("worker started", worker=slot.index, pid=slot.process.pid)

    def _hear(self, slot: Slot) -> None:
        """Take in all that the worker has said."""
        with contextlib.suppress(BlockingIOError):
            while slot.control is not None:
                received = control.receive(slot.control)
                if received is None:  # its end is SIGCHLD's to tell
                    asyncio.get_running_loop().remove_reader(slot.control)
                    return
                self._take(slot, received[0])

    def _take(self, slot: Slot, message: control.Message) -> None:
        pid = slot.process.pid if slot.process else None
        match message.pop("op"):
            case "ready":
                slot.ready, slot.generation = True, message["generation"]
                self.log.info("worker ready", worker=slot.index, pid=pid)
                if not self._serving and self.workers_up == self.fixed.workers:
                    self._serving = True
                    self._announce()
            case "serve":
                slot.generation = message["generation"]
            case "pong":
                slot.unanswered = 0
            case "log":
                level = message.pop("level")
                getattr(self.log, level)(message.pop("event"), worker=slot.index, pid=pid, **message)
        self._changed.set()

    def _reap(self) -> None:
        for slot in self._slots:
            if slot.process is not None and slot.process.poll() is not None:
                self._bury(slot, slot.process)

    def _bury(self, slot: Slot, process: subprocess.Popen[bytes]) -> None:
        """Note the end of a worker, and start the next one in its slot."""
        self._hear(slot)  # its last words
        if slot.control is not None:
            asyncio.get_running_loop().remove_reader(slot.control)
            slot.control.close()
        was_ready, killed = slot.ready, process.returncode == -signal.SIGKILL
        lived = time.monotonic() - slot.started
        slot.process, slot.control, slot.ready = None, None, False
        self._changed.set()
        how = spawn.how_it_ended(process.returncode)
        if self.draining:
            self.log.debug("worker stopped", worker=slot.index, pid=process.pid, how=how)
            return
        self.log.warning("worker died", worker=slot.index, pid=process.pid, how=how, seconds=round(lived, 3))
        self.restarts += 1
        # kill -9 of a worker that served comes from outside: it says nothing about how the next will fare.
        if lived < _EARLY_SECONDS and not (was_ready and killed):
            self._failed_early(slot, how)
        else:
            slot.early_deaths = 0
            self._spawn(slot)

    def _failed_early(self, slot: Slot, how: str) -> None:
        """Try again: at once at first, then ever more slowly, and for ever."""
        slot.early_deaths += 1
        wait = 0.0
        if slot.early_deaths >= _EARLY_DEATHS:
            wait = min(_FIRST_WAIT * 2.0 ** (slot.early_deaths - _EARLY_DEATHS), _LONGEST_WAIT)
            tries = {"tries": slot.early_deaths, "next_try_seconds": wait}
            self.log.error("worker cannot start", worker=slot.index, how=how, **tries)
        asyncio.get_running_loop().call_later(wait, self._spawn, slot)

    def _end_worker(self, slot: Slot, why: str) -> None:
        if slot.process is not None:
            self.log.error("worker killed", worker=slot.index, pid=slot.process.pid, why=why)
            slot.process.kill()

    async def _watch_workers(self) -> None:
        """Ask each worker for a sign of life, and replace one that hangs."""
        while True:
            await asyncio.sleep(_PING_SECONDS)
            for slot in self._slots:
                if slot.ready and slot.control is not None:
                    if slot.unanswered >= _MOST_UNANSWERED:
                        self._end_worker(slot, "it hangs")
                    slot.unanswered += 1
                    control.send(slot.control, {"op": "ping"})

    # What is served

    def _listen_policies(self) -> list[str]:
        """The default policy of each socket, in the order of `bound`."""
        named = list(self.served.listen_policies)
        return named + [config.DEFAULT_POLICY] * (len(self.bound) - len(named))

    async def _reload_on_demand(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            self.notifier.reloading()
            try:
                await self._reload()
            except Exception as error:  # whatever it is, the old goes on
                self.reloads_failed += 1
                reason = str(error) if isinstance(error, XbotError) else repr(error)
                self.log.error("reload refused", reason=reason, kept_sha256=self.served.sha256)
            self._announce()

    async def _reload(self) -> None:
        old = self.served
        self.served = await asyncio.to_thread(self._load, old.generation + 1)
        old.close()
        generation = self.served.generation
        message = {"op": "serve", "generation": generation, "policies": self._listen_policies()}
        for slot in self._slots:
            if slot.control is not None:
                control.send(slot.control, message, [self.served.fd, self.served.policies_fd])

        def behind() -> list[Slot]:
            return [slot for slot in self._slots if slot.ready and slot.generation != generation]

        await self._until(lambda: not behind(), _SWAP_SECONDS)
        for slot in behind():
            self._end_worker(slot, "it does not take what is new")
        self.reloads_ok += 1
        same = old.sha256 == self.served.sha256
        self.log.info("reloaded", workers=self.workers_up, same_model=same, **self.served.labels())

    def _load(self, generation: int) -> Served:
        """Read everything again; XbotError if it is not sound, or asks for what a running sidecar cannot change."""
        plan = self.source.plan()
        changed = [name for name in Fixed._fields if getattr(plan.fixed, name) != getattr(self.fixed, name)]
        if changed:
            raise plan.wrong(
                changed[0], "changed: a reload cannot change that, an upgrade in place (SIGUSR2) or a restart can"
            )
        return Served.load(plan, generation)

    # The end

    def _stop(self) -> None:
        if self._stop_wanted.is_set():
            self._stop_at_once.set()
        self._stop_wanted.set()
        self._changed.set()

    async def _drain(self) -> None:
        """Make the address unreachable, let the workers answer what has come, then end what is left."""
        self.draining = True
        self.log.info("draining", timeout_seconds=self.fixed.drain_timeout)
        self.notifier.stopping()
        # First the address goes, so that no connection comes to a queue that nobody empties. Then our hold on the
        # queue, so that it ends with the last worker that has emptied it, and not with us.
        for bound, _ in self.bound:
            bound.close()
        for slot in self._slots:
            if slot.control is not None:
                control.send(slot.control, {"op": "drain"})
        await self._until(lambda: not self.worker_pids or self._stop_at_once.is_set(), self.fixed.drain_timeout)
        left = [slot for slot in self._slots if slot.process is not None]
        for slot in left:
            self._end_worker(slot, "it still had connections")
        await self._until(lambda: not self.worker_pids, self.fixed.drain_timeout + 1)
        self.log.info("stopped", drained=not left)

    # Waiting and telling

    async def _until(self, true: Callable[[], bool], seconds: float) -> bool:
        """Wait until `true()` or `seconds` are over; whether it is true."""

        async def wait() -> None:
            while not true():
                self._changed.clear()
                await self._changed.wait()

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(wait(), seconds)
        return true()

    async def _stay_alive(self) -> None:
        """Tell systemd's watchdog that the master's loop turns, at half its period."""
        if self.notifier.watchdog_seconds is not None:
            while True:
                self.notifier.alive()
                await asyncio.sleep(self.notifier.watchdog_seconds / 2)

    def _report(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.log.error("master error", problem=repr(context.get("exception") or context["message"]))

    def _announce(self) -> None:
        if self._serving:
            self.notifier.ready(f"{self.fixed.workers} workers, model {self.served.sha256[:12]}")


def run(source: Source, plan: Plan, inherited: Sequence[Bound] = ()) -> None:
    """Serve as planned until told to stop; `inherited` are sockets that somebody else opened. XbotError when the
    model, a list or an address cannot be used."""
    log = structlog.get_logger()
    fixed = plan.fixed
    served = Served.load(plan, 1)
    for number in (signal.SIGUSR1, signal.SIGUSR2):  # SIGUSR2 is kept for an upgrade in place
        signal.signal(number, signal.SIG_IGN)
    _raise_open_files()
    with contextlib.ExitStack() as stack:
        theirs = {one.address: one for one in inherited}
        bound: list[tuple[Bound, str]] = []
        for address, dialect in fixed.listen:
            one = theirs.pop(address, None)
            if one is None:
                one = listeners.bind(address, fixed.socket_group)
                stack.callback(one.close)
            bound.append((one, dialect))
        bound += [(one, plan.dialect) for one in theirs.values()]
        master = Master(source, fixed, served, bound, log)
        started = {"version": sidecar.__version__, "pid": os.getpid(), "workers": fixed.workers}
        started["policies"] = served.modes
        started["listeners"] = [f"{one.address} ({dialect})" for one, dialect in bound]
        if fixed.admin is not None:
            from sidecar import admin  # here: an HTTP server and a metrics library, only where wanted

            endpoint = listeners.bind(fixed.admin, fixed.socket_group)
            stack.callback(endpoint.close)
            admin.serve(endpoint, master)
            started["admin"] = str(endpoint.address)
        log.info("started", **started, **served.labels())
        asyncio.run(master.run())


def _raise_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, _OPEN_FILES) if hard != resource.RLIM_INFINITY else _OPEN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
