"""The master: owns the listening sockets, the workers and what they serve, and serves no request itself.

Whatever happens to a worker, the sockets stay open here, so that a connection waits in the kernel's queue for
the next worker instead of failing. Configuration, lists and model are loaded and checked here, all or nothing; the
workers only take bytes that passed. The master reads their counters (stats.py) and says what happens (logs.py). One
that takes over from another (upgrade.py) speaks for the service, and is told of signals, from then on only.
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
from typing import TYPE_CHECKING, Any

import structlog

import sidecar
from sidecar import config, control, listeners, spawn, systemd, upgrade
from sidecar.config import Fixed, Overrides, Plan
from sidecar.errors import XbotError
from sidecar.listeners import Bound
from sidecar.served import Served
from sidecar.stats import Stats
from sidecar.worker import IGNORED_SIGNALS

if TYPE_CHECKING:
    from sidecar.admin import Endpoint

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
    predecessor: upgrade.Predecessor | None = None  # until we have taken over from it
    log: Any = field(default_factory=structlog.get_logger)
    restarts: int = 0
    reloads_ok: int = 0
    reloads_failed: int = 0
    draining: bool = False

    def __post_init__(self) -> None:
        self.stats = Stats(self.fixed.workers)
        self.notifier = systemd.Notifier()
        self.admin: Endpoint | None = None
        self._slots = [Slot(index) for index in range(self.fixed.workers)]
        self._serving = False  # all workers have been up once
        self._told_to_stop = False
        self._successor: upgrade.Successor | None = None  # until it has taken over, or has ended

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
        self._upgrade_wanted = asyncio.Event()
        self._changing = asyncio.Lock()  # a reload and an upgrade wait for each other
        self._stop_wanted = asyncio.Event()
        self._stop_at_once = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._report)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)
        loop.add_signal_handler(signal.SIGUSR2, self._want_upgrade)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)  # an old master blocked them over the exec
        for slot in self._slots:
            self._spawn(slot)
        duties = asyncio.create_task(self._duties())
        await self._stop_wanted.wait()
        duties.cancel()
        await asyncio.wait([duties])
        await self._drain()

    async def _duties(self) -> None:
        if self.predecessor is not None:
            await self._take_over(self.predecessor)
        elif self.admin is not None:
            self.admin.open()
        await asyncio.gather(
            self._reload_on_demand(), self._upgrade_on_demand(), self._watch_workers(), self._stay_alive()
        )

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
                    if self.predecessor is None:
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
        self._changed.set()  # it may have been a new master

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
            if self.predecessor is not None:
                self._give_up(f"worker {slot.index} cannot start: {how}")
                return
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
            async with self._changing:
                self._reload_wanted.clear()
                self.notifier.reloading()
                try:
                    await self._reload()
                except Exception as error:  # whatever it is, the old goes on
                    self.reloads_failed += 1
                    self.log.error("reload refused", reason=_reason(error), kept_sha256=self.served.sha256)
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

    # Who is the master

    def _want_upgrade(self) -> None:
        if self._stop_wanted.is_set():
            why = "this master is draining"
        elif self.predecessor is not None:
            why = "this master has not taken over yet"
        elif self._upgrade_wanted.is_set():
            why = "one is under way"
        elif os.getpid() == 1:
            why = "the end of process 1 would be the container's: replace the container instead"
        else:
            self._upgrade_wanted.set()
            return
        self.log.error("upgrade refused", reason=why)

    async def _upgrade_on_demand(self) -> None:
        while True:
            await self._upgrade_wanted.wait()
            async with self._changing:
                self.notifier.reloading()
                try:
                    await self._upgrade()
                except Exception as error:  # whatever it is, we go on
                    self.log.error("upgrade refused", reason=_reason(error))
                    self._announce()
                self._upgrade_wanted.clear()

    async def _upgrade(self) -> None:
        """Start a new master, and drain once it is ready; XbotError if it is not, and has ended."""
        sockets = [bound for bound, _ in self.bound] + ([self.admin.bound] if self.admin else [])
        self._successor = successor = upgrade.Successor.start(sockets, self.notifier.environment())
        pid = successor.process.pid
        self.log.info("upgrading", successor=pid)
        try:
            kept = await successor.ready()
        except Exception:
            successor.process.terminate()
            await successor.ended(self.fixed.drain_timeout + 1)
            self._successor = None
            successor.close()
            raise
        for place in kept:
            sockets[place].owned = False
        self._successor = None
        self.notifier.hand_over(pid)
        if self.admin is not None:
            asyncio.get_running_loop().run_in_executor(None, self.admin.close)
        successor.yours()
        self.log.info("upgraded", successor=pid)
        if self._reload_wanted.is_set():  # it came too late for us
            successor.process.send_signal(signal.SIGHUP)
        successor.close()
        self._stop_wanted.set()

    async def _take_over(self, predecessor: upgrade.Predecessor) -> None:
        """Wait for all workers, and become the master."""
        while not self._serving:
            await self._until(lambda: self._serving, upgrade.SECONDS)
        try:
            for bound in predecessor.sockets:
                listeners.regroup(bound, self.fixed.socket_group)
        except XbotError as error:
            self._give_up(str(error))
            return
        await predecessor.resign()
        self.predecessor = None
        self.log = self.log.unbind("successor")
        self.log.info("took over", pid=os.getpid())
        if self.admin is not None:
            self.admin.open()
        self._announce()

    def _give_up(self, reason: str) -> None:
        if self.predecessor is not None:
            self.predecessor.failed(reason)
        self._stop_wanted.set()

    # The end

    def _stop(self) -> None:
        # A new master is told by the old one too, who sees to it that it ends.
        if self._told_to_stop and self.predecessor is None:
            self._stop_at_once.set()
        self._told_to_stop = True
        self._stop_wanted.set()
        self._changed.set()

    async def _drain(self) -> None:
        """Make the address unreachable, let the workers answer what has come, then end what is left."""
        self.draining = True
        self.log.info("draining", timeout_seconds=self.fixed.drain_timeout)
        if self.predecessor is None:
            self.notifier.stopping()
        # First the address goes, so that no connection comes to a queue that nobody empties. Then our hold on the
        # queue, so that it ends with the last worker that has emptied it, and not with us.
        for bound, _ in self.bound:
            bound.close()
        for slot in self._slots:
            if slot.control is not None:
                control.send(slot.control, {"op": "drain"})
        if self._successor is not None:
            self._successor.process.terminate()
        await self._until(lambda: self._alone or self._stop_at_once.is_set(), self.fixed.drain_timeout)
        left = [slot for slot in self._slots if slot.process is not None]
        for slot in left:
            self._end_worker(slot, "it still had connections")
        await self._until(lambda: self._alone, self.fixed.drain_timeout + 1)
        if self._successor is not None:
            await self._successor.ended(0)
        self.log.info("stopped", drained=not left)

    @property
    def _alone(self) -> bool:
        """Whether all processes that we started have ended, but for a new master that has taken over."""
        return not self.worker_pids and (self._successor is None or self._successor.process.poll() is not None)

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


def run(
    source: Source, plan: Plan, inherited: Sequence[Bound] = (), predecessor: upgrade.Predecessor | None = None
) -> None:
    """Serve as planned until told to stop; `inherited` are sockets that somebody else opened, or the `predecessor`, from
    which we take over. XbotError when the model, a list or an address cannot be used."""
    log = structlog.get_logger()
    fixed = plan.fixed
    served = Served.load(plan, 1)
    for number in (signal.SIGUSR1, signal.SIGUSR2):  # SIGUSR2 until there is a loop to hear it
        signal.signal(number, signal.SIG_IGN)
    _raise_open_files()
    pool = list(inherited)
    with contextlib.ExitStack() as stack:

        def listening(address: listeners.Address) -> Bound:
            one = listeners.take(pool, address) or listeners.bind(address, fixed.socket_group)
            stack.callback(one.close)
            return one

        bound = [(listening(address), dialect) for address, dialect in fixed.listen]
        endpoint = listening(fixed.admin) if fixed.admin is not None else None
        for one in pool:
            if one.activated:
                bound.append((one, plan.dialect))
            else:
                one.close()  # the configuration no longer lists it
        if predecessor is not None:
            predecessor.take_up_the_log()
            log = log.bind(successor=os.getpid())
        master = Master(source, fixed, served, bound, predecessor, log)
        started = {"version": sidecar.__version__, "pid": os.getpid(), "workers": fixed.workers}
        started["policies"] = served.modes
        started["listeners"] = [f"{one.address} ({dialect})" for one, dialect in bound]
        if endpoint is not None:
            from sidecar import admin  # here: an HTTP server and a metrics library, only where wanted

            master.admin = admin.Endpoint(endpoint, master)
            started["admin"] = str(endpoint.address)
        log.info("started", **started, **served.labels())
        asyncio.run(master.run())


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, XbotError) else repr(error)


def _raise_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, _OPEN_FILES) if hard != resource.RLIM_INFINITY else _OPEN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
