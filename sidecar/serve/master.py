"""The master: owns the listening sockets and what the workers (workers.py) serve, and serves no request itself.

Whatever happens to a worker, the sockets stay open here, so that a connection waits in the kernel's queue for
the next worker instead of failing. Configuration, lists and model are loaded and checked here, all or nothing; the
workers only take bytes that passed. The master reads their counters (counters.py) and says what happens (logs.py). Signals
are heard here; a master that takes over from another (upgrade.py) speaks for the service from then on only.
"""

from __future__ import annotations

import asyncio
import faulthandler
import math
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from sidecar.board.board import Board
from sidecar.board.clients import Clients
from sidecar.board.counters import Counters
from sidecar.board.handshakes import Handshakes
from sidecar.board.lanes import Recording
from sidecar.board.proofs import Nonces, Shared
from sidecar.board.served import Served
from sidecar.config import config, options
from sidecar.config.plan import Fixed, Overrides, Plan
from sidecar.decisions.log import DecisionLog
from sidecar.decisions.reader import WATCHED, Reader
from sidecar.errors import XbotError
from sidecar.live.feed import Feed
from sidecar.observe import files
from sidecar.observe.alarms import Alarms
from sidecar.serve import control, listeners, proofs, reach, spawn, systemd, upgrade
from sidecar.serve.duties import ended, hear, in_time, lasting, reason, wake_by_signals
from sidecar.serve.listeners import Bound
from sidecar.serve.worker import IGNORED_SIGNALS
from sidecar.serve.workers import Workers
from sidecar.share.lender import Lender
from sidecar.site.sharing import Sharing
from sidecar.site.threshold import SiteThreshold
from sidecar.steer.server import Control

if TYPE_CHECKING:
    from sidecar.observe.admin import Endpoint

_TURN_SECONDS = 1.0
_SAY_AGAIN_SECONDS = 60.0
END_SECONDS = 2.0  # a second SIGTERM ends this process by then, whatever holds it


@dataclass(frozen=True)
class Source:
    """Where the configuration comes from, so that a reload can read it again."""

    path: Path | None
    overrides: Overrides

    def plan(self) -> Plan:
        """The configuration as it is now; XbotError if it is not sound."""
        return config.load(self.path, self.overrides)


@dataclass
class Master:
    """Runs the sidecar from bound sockets to the end of the last worker."""

    source: Source
    fixed: Fixed
    served: Served
    bound: list[tuple[Bound, str]]  # with the dialect of each; first those of `fixed.listen`
    board: Board
    site: SiteThreshold
    predecessor: upgrade.Predecessor | None = None  # until we have taken over from it
    log: Any = field(default_factory=structlog.get_logger)
    reloads_ok: int = 0
    reloads_failed: int = 0
    draining: bool = False

    def __post_init__(self) -> None:
        self.most_connections = listeners.most_connections(len(self.bound))
        self.handshakes = Handshakes()
        self.lookups = Shared()
        self.nonces = Nonces()
        self.notifier = systemd.Notifier()
        self.admin: tuple[Bound, Endpoint] | None = None
        self.control: tuple[Bound, Control] | None = None
        self.outcomes: Bound | None = None
        self.lender: tuple[Bound, Lender] | None = None
        self.decisions: DecisionLog | None = None
        self.reader: Reader | None = None  # there is one where somebody can look at what it reads
        self.feed = Feed(self)
        self.alarms = Alarms(self, self.log)
        self.sharing: Sharing | None = None
        self.workers = Workers(self.fixed.workers, self._brief, self._give_up, self.log)
        self.reach = reach.Reach(self.bound, self.fixed.socket_group, self._renewed, self.log)
        self.turned = time.monotonic()  # when our loop last went round
        self._stops = 0
        self._nowhere = Path(os.devnull).open("w")  # noqa: SIM115 -- open as long as the process
        self._said: dict[str, float] = {}  # the last problem, to the time when it was said
        self._serving = False  # all workers have been up once
        self._told_to_stop = False
        self._successor: upgrade.Successor | None = None  # until it has taken over, or has ended
        self._heir: subprocess.Popen[bytes] | None = None  # the successor, once it has taken over

    @property
    def counters(self) -> Counters:
        """What the workers count."""
        return self.board.counters

    @property
    def clients(self) -> Clients | None:
        """What clients did before."""
        return self.board.clients

    @property
    def unreachable(self) -> dict[str, str]:
        """The address of each socket that nobody can reach, to why."""
        return self.reach.unreachable

    @property
    def ready(self) -> bool:
        """Whether all workers accept connections, and a proxy can make them."""
        return not self.draining and self.reach.asked and self._complete()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain."""
        self._reload_wanted = asyncio.Event()
        self._upgrade_wanted = asyncio.Event()
        self.changing = asyncio.Lock()  # a reload and an upgrade wait for each other
        self._stop_wanted = asyncio.Event()
        self._stop_at_once = asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(self._report)
        wake_by_signals()
        hear(signal.SIGCHLD, self.workers.reap)
        hear(signal.SIGHUP, self._want_reload)
        hear(signal.SIGUSR2, self._want_upgrade)
        hear(signal.SIGTERM, self._stop, self._count_stops)
        hear(signal.SIGINT, self._stop, self._count_stops)
        if self.decisions is not None:
            hear(signal.SIGUSR1, self.decisions.reopen)
        # Blocked by the command, by an old master, or by whoever started us: a service manager is no better than its own parent.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*IGNORED_SIGNALS, signal.SIGCHLD))
        if self.reader is not None:
            self.reader.serves(self.served)
            self.reader.start()
        self.workers.start()
        duties = asyncio.create_task(self._duties())
        await self._stop_wanted.wait()
        await ended(duties)
        await self._drain()

    async def _duties(self) -> None:
        if self.predecessor is not None and not await self._take_over(self.predecessor):
            return
        duties: dict[str, Callable[[], Awaitable[None]]] = {
            "announce": self._announce_first,
            "reload": self._reload_on_demand,
            "upgrade": self._upgrade_on_demand,
            "systemd": self.notifier.stay_alive,
            "files of nginx": lambda: files.compare(lambda: self.counters, self.log),
            "turn": self._turn,
            "alarms": self.alarms.watch,
            "lists": lambda: proofs.refresh(self),
            "lookups": lambda: proofs.look_up(self),
            "sockets": self.reach.watch,
            "threshold": lambda: self.site.watch(self),
            "workers": self.workers.watch,
        }
        if self.admin is not None:
            duties["admin"] = self._open_admin
        if self.control is not None:
            duties["control"] = self.control[1].open
        if self.lender is not None:
            self.lender[1].signs(self.served.signing is not None)
            self.lender[1].open()
            duties["module"] = self.lender[1].pass_on
        if (clients := self.clients) is not None:
            duties["clients"] = lambda: clients.stay_young(self.log)
        if (sharing := self.sharing) is not None:
            duties["store"] = lambda: sharing.watch(spawn.sharing, spawn.how_it_ended, self.log)
        await asyncio.gather(*(lasting(name, duty, lambda: self.log) for name, duty in duties.items()))

    async def _open_admin(self) -> None:
        if self.admin is not None:
            self.admin[1].open()

    # What is served

    def _complete(self) -> bool:
        return self.workers.up == self.workers.count

    def _brief(self) -> tuple[control.Message, dict[str, int]]:
        """What a new worker is told first."""
        try:
            if why := self.board.counters.mend():
                self.log.error("counters replaced", reason=why)
        except XbotError as error:
            self.log.error("counters lost", reason=str(error))
        log = {"level": self.fixed.log.level, "form": self.fixed.log.format}
        named = {f"listener {i}": bound.sock.fileno() for i, (bound, _) in enumerate(self.bound)}
        listeners_ = zip(named, self.bound, self._listen_policies(), strict=True)
        start = {
            "op": "start",
            "listeners": [{"socket": name, "dialect": each[1], "policy": policy} for name, each, policy in listeners_],
            "backlog": listeners.BACKLOG,
            "generation": self.served.generation,
            "drain_timeout": self.fixed.drain_timeout,
            "limits": self._limits(),
            "signing": self.served.signing,
            **self.recording.shared_by(self.fixed.workers)._asdict(),
            "log": log if self.fixed.log.level == "debug" else None,
        }
        return start, {
            **self.board.memory,
            "handshakes": self.handshakes.fd,
            "lookups": self.lookups.fd,
            "nonces": self.nonces.fd,
            "wheel": self.board.wheel.fd,
            **({"lanes": self.reader.lanes.fd} if self.reader else {}),
            "served": self.served.fd,
            **named,
        }

    @property
    def recording(self) -> Recording:
        """What our workers together leave in their lanes, and likewise those of a host."""
        wanted = self.fixed.decisions
        return Recording(wanted.sample if self.decisions else None, WATCHED, wanted.per_second)

    def _limits(self) -> dict[str, Any]:
        """Of each listener in each worker, as its connections take them."""
        limits = self.fixed.limits
        most = min(limits.connections, self.most_connections)
        return {"peer_seconds": limits.peer_timeout, "max_connections": most, "max_bytes": limits.bytes}

    def _listen_policies(self) -> list[str]:
        """The default policy of each socket, in the order of `bound`."""
        named = list(self.served.listen_policies)
        return named + [options.DEFAULT_POLICY] * (len(self.bound) - len(named))

    def _renewed(self, place: int, bound: Bound) -> None:
        self.workers.tell({"op": "listen", "listener": place}, {"socket": bound.sock.fileno()})

    def _want_reload(self) -> None:
        if self._heir is not None:  # whoever asks may not know yet that the master is another
            self._heir.send_signal(signal.SIGHUP)
        else:
            self._reload_wanted.set()

    async def _reload_on_demand(self) -> None:
        while True:
            await self._reload_wanted.wait()
            await self.reload()

    async def reload(self) -> str | None:
        """Read all again and serve it; why that was refused, and the old goes on, or None."""
        refused = None
        async with self.changing:
            self._reload_wanted.clear()  # also where nothing comes of it: who waits for it would go round for ever, and give way to nobody
            if self._stop_wanted.is_set():
                return "this master is draining"
            self.notifier.reloading()
            try:
                await self._reload()
            except Exception as error:  # whatever it is, the old goes on
                self.reloads_failed += 1
                refused = reason(error)
                self.log.error("reload refused", reason=refused, kept_sha256=self.served.sha256)
            self._announce()
        return refused

    async def _reload(self) -> None:
        old = self.served
        served = await in_time(lambda: self._load(old.generation + 1))
        await self.adopt(served, self.reach.mend)
        self.site.tell(self.log, old, self.served)
        self.reloads_ok += 1
        same = old.sha256 == self.served.sha256
        self.log.info("reloaded", workers=self.workers.up, same_model=same, **self.served.labels())

    async def adopt(self, served: Served, first: Callable[[], None] = lambda: None) -> None:
        """Serve `served` from now on, in all workers; if it cannot be published, or `first` fails, the old goes on."""
        try:
            first()
            self.board.publish(served)
        except BaseException:
            served.close()
            raise
        if self.reader is not None:
            self.reader.serves(served)
        old, self.served = self.served, served
        old.close()
        message = {"op": "serve", "generation": served.generation, "policies": self._listen_policies()}
        message["signing"] = served.signing
        if self.lender is not None:
            self.lender[1].signs(served.signing is not None)
        await self.workers.serve(message, {"served": served.fd})

    def _load(self, generation: int) -> Served:
        """Read everything again; XbotError if it is not sound, or asks for what a running sidecar cannot change."""
        plan = self.source.plan()
        changed = [name for name in Fixed._fields if getattr(plan.fixed, name) != getattr(self.fixed, name)]
        if changed:
            raise plan.wrong(
                changed[0], "changed: a reload cannot change that, an upgrade in place (SIGUSR2) or a restart can"
            )
        warn(plan, self.log)
        return self.site.fitted(Served.load(plan, generation))

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
            async with self.changing:
                self.notifier.reloading()
                try:
                    await self._upgrade()
                except Exception as error:  # whatever it is, we go on
                    self.log.error("upgrade refused", reason=reason(error))
                    self._announce()
                self._upgrade_wanted.clear()

    async def _upgrade(self) -> None:
        """Start a new master, and drain once it is ready; XbotError if it is not, and has ended."""
        sockets = self._sockets()
        self._successor = successor = upgrade.Successor.start(sockets, self.board.shared, self.notifier.environment())
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
        for name in kept:
            sockets[name].owned = False
        self._successor = None
        self.notifier.hand_over(pid)
        if self.admin is not None:
            asyncio.get_running_loop().run_in_executor(None, self.admin[1].close)
        if self.control is not None:
            self.control[1].close()
        if self.lender is not None:
            self.lender[1].close()
        self.board.give()
        successor.yours()
        self.log.info("upgraded", successor=pid)
        self._heir = successor.process
        if self._reload_wanted.is_set():  # it came too late for us
            self._want_reload()
        successor.close()
        self._stop_wanted.set()

    async def _take_over(self, predecessor: upgrade.Predecessor) -> bool:
        """Become the master, once all workers accept; False if that cannot be."""
        await self.workers.until(self._complete)
        try:
            for name, bound in self._sockets().items():
                listeners.mend(bound, reach.control_group(self.fixed) if name == "control" else self.fixed.socket_group)
        except XbotError as error:
            self._give_up(str(error))
            return False
        await predecessor.resign()
        self.predecessor = None
        try:
            self.board.take(self.served)
        except XbotError as error:
            self.log.error("not published", reason=str(error))
        self.log = self.workers.log = self.reach.log = self.alarms.log = self.log.unbind("successor")
        self.log.info("took over", pid=os.getpid())
        return True

    def _sockets(self) -> dict[str, Bound]:
        """All that listen, by the names that two masters have for them."""
        named = {f"listener {i}": bound for i, (bound, _) in enumerate(self.bound)}
        others = {
            "admin": self.admin and self.admin[0],
            "control": self.control and self.control[0],
            "outcomes": self.outcomes,
            "module": self.lender and self.lender[0],
        }
        return named | {name: one for name, one in others.items() if one is not None}

    def _give_up(self, reason: str) -> None:
        """Leave it to the old master, if there is one; without one we are the master, and go on."""
        if self.predecessor is not None:
            self.predecessor.failed(reason)
            self._stop_wanted.set()

    # The end

    def _count_stops(self) -> None:
        """SIGTERM or SIGINT, also where the loop stands still: the second one is heard by no more than the interpreter."""
        self._stops += 1
        if self._stops > 1 and self.predecessor is None:
            faulthandler.dump_traceback_later(END_SECONDS, exit=True, file=self._nowhere)

    def _stop(self) -> None:
        # A new master is told by the old one too, who sees to it that it ends.
        if self._told_to_stop and self.predecessor is None:
            self._stop_at_once.set()
        self._told_to_stop = True
        self._stop_wanted.set()
        self.workers.wake()

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
        if self.lender is not None and self.lender[0].owned:
            self.lender[0].unlink()
            self.lender[1].close()
        self.workers.drain()
        if self._successor is not None:
            self._successor.process.terminate()
        await self.workers.until(lambda: self._alone or self._stop_at_once.is_set(), self.fixed.drain_timeout)
        left = self.workers.kill("it still had connections")
        await self.workers.until(lambda: self._alone, self.fixed.drain_timeout + 1)
        if self.admin is not None:
            self.admin[1].finish(1.0)
        if self.reader is not None:
            self.reader.close(1.0)
        if self._successor is not None:
            await self._successor.ended(0)
        try:
            self.board.leave()
        except XbotError as error:
            self.log.warning("clients not kept", reason=str(error))
        self.log.info("stopped", drained=not left)

    @property
    def _alone(self) -> bool:
        """Whether all processes that we started have ended, but for a new master that has taken over."""
        return not self.workers.pids and (self._successor is None or self._successor.process.poll() is not None)

    # Telling

    async def _announce_first(self) -> None:
        await self.workers.until(self._complete)
        self._serving = True
        self._announce()

    async def _turn(self) -> None:
        """Say that our loop goes round, for whoever asks another thread of ours."""
        while True:
            self.turned = time.monotonic()
            await asyncio.sleep(_TURN_SECONDS)

    def _report(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error that nobody awaited, as of a listener without a descriptor: the same is said once a minute."""
        problem, now = repr(context.get("exception") or context["message"]), time.monotonic()
        if now - self._said.get(problem, -math.inf) >= _SAY_AGAIN_SECONDS:
            self._said = {problem: now}
            self.log.error("master error", problem=problem)

    def _announce(self) -> None:
        if self._serving:
            state = f"{self.fixed.workers} workers, model {self.served.sha256[:12]}"
            if self.served.refused:
                state += f"; {self.served.instead}: {self.served.refused}"
            self.notifier.ready(state)


def warn(plan: Plan, log: Any) -> None:
    """Say what is sound, and yet not as it should be."""
    for line in plan.outdated():
        log.warning("old name of an option", option=line)
    for place, why in plan.open_to_others():
        log.warning("open to others", path=str(place), problem=why, mend="chmod o-w")
