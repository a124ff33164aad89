"""The control socket, as the master serves it: a Unix socket of its own group, one request a connection.

Law: whoever may open the socket may stop refusals, or begin them; so it is never on TCP, never of the proxy's group, and each
change is logged with the process and the user who asked, as the kernel says. No client costs more than a task, LONGEST bytes
and a few seconds; past MOST_CLIENTS the one that has been there longest is let go. What was begun for it goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import sidecar
from sidecar.board.board import Board
from sidecar.board.served import Served
from sidecar.errors import XbotError
from sidecar.live.feed import Feed
from sidecar.live.status import effective
from sidecar.steer import words

MOST_CLIENTS = 16
_SECONDS = 5.0  # for the request to come, and for the reply to be taken
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Processes(Protocol):
    """The workers."""

    @property
    def count(self) -> int: ...
    @property
    def up(self) -> int: ...


class Threshold(Protocol):
    """The threshold that moves."""

    def status(self, served: Served) -> Mapping[str, Any]:
        """What is to be said of it."""


class Signals(Protocol):
    """What tells that the gate may be wrong (observe/alarms.py)."""

    def ran(self, right: int, wrong: Sequence[str]) -> None:
        """Canaries were sent."""

    def told(self) -> dict[str, Any]:
        """Alarms that hold, clients in doubt, the last canaries."""


class Machines(Protocol):
    """What is shared with other machines."""

    state: dict[str, Any]


class Steered(Protocol):
    """The master, as far as it matters here."""

    @property
    def board(self) -> Board: ...
    @property
    def served(self) -> Served: ...
    @property
    def site(self) -> Threshold: ...
    @property
    def sharing(self) -> Machines | None: ...
    @property
    def workers(self) -> Processes: ...
    @property
    def unreachable(self) -> Mapping[str, str]: ...
    @property
    def feed(self) -> Feed: ...
    @property
    def alarms(self) -> Signals: ...

    log: Any

    async def reload(self) -> str | None:
        """Read all again; why that was refused, or None."""


class Peer(NamedTuple):
    """Who asks, as the kernel says."""

    pid: int
    uid: int


class Control:
    """Answers on the listening socket `sock`, which stays open when this is closed."""

    def __init__(self, sock: socket.socket, master: Steered) -> None:
        self._sock = sock
        self._master = master
        self._clients: list[asyncio.Task[None]] = []  # in the order in which they came
        self._begun: set[asyncio.Future[Any]] = set()  # what outlives a client
        self._started = time.monotonic()
        self._server: asyncio.AbstractServer | None = None

    async def open(self) -> None:
        """Accept from now on."""
        # From Python 3.13 a server removes the socket's file at its end; it is the master's.
        start: Any = asyncio.start_unix_server
        keep = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        self._server = await start(self._met, sock=self._sock.dup(), limit=words.LONGEST, **keep)

    def move(self, sock: socket.socket) -> None:
        """Accept on another socket from now on; who is being answered is answered."""
        self.close()
        self._sock = sock
        task = asyncio.ensure_future(self.open())
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)

    def close(self) -> None:
        """Accept no more; who is being answered is answered."""
        if self._server is not None:
            self._server.close()

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients = [each for each in self._clients if not each.done()]
        if task := asyncio.current_task():
            self._clients.append(task)
        while len(self._clients) > MOST_CLIENTS:
            self._clients.pop(0).cancel()
        # A client that goes away in the middle, or takes too long, is no error of ours.
        with contextlib.suppress(OSError, asyncio.TimeoutError, asyncio.CancelledError):
            writer.write(words.encode(await self._reply(reader, _peer(writer))))
            await asyncio.wait_for(writer.drain(), _SECONDS)
        writer.close()

    async def _reply(self, reader: asyncio.StreamReader, peer: Peer) -> dict[str, Any]:
        try:
            line = await asyncio.wait_for(reader.readline(), _SECONDS)
        except ValueError:
            return {"ok": False, "error": f"longer than {words.LONGEST} bytes"}
        try:
            match words.decode(line):
                case words.Mode() as said:
                    self._turn(said, peer)
                case words.Allow() as said:
                    self._let_by(said, peer)
                case words.Reload():
                    await self._reload(peer)
                case words.Canaries() as said:
                    self._master.alarms.ran(said.right, said.wrong)
                case words.Watch():
                    return {"ok": True, **self._status(), "live": self._master.feed.snapshot()}
                case words.Tail() as said:
                    return {"ok": True, **self._master.feed.since(said.after)}
        except XbotError as error:
            return {"ok": False, "error": str(error)}
        return {"ok": True, **self._status()}

    def _turn(self, said: words.Mode, peer: Peer) -> None:
        if said.policy is not None and said.policy not in self._master.served.modes:
            raise XbotError(f"no policy {said.policy!r}; there are {', '.join(self._master.served.modes)}")
        with _room():
            self._master.board.wheel.turn(said.policy, said.mode, said.seconds)
        what = {"mode": said.mode, "policy": said.policy or "*", "seconds": said.seconds}
        self._master.log.warning("mode by hand", **what, **peer._asdict())
        self._keep()

    def _let_by(self, said: words.Allow, peer: Peer) -> None:
        address, bits = words.network(said.address)
        with _room():
            self._master.board.wheel.let_by(address, bits, said.seconds)
        what = {"address": words.shown(address, bits), "seconds": said.seconds}
        self._master.log.warning("allowed by hand", **what, **peer._asdict())
        self._keep()

    def _keep(self) -> None:
        """For the next sidecar. Where that fails, what was said holds all the same, in this one."""
        try:
            self._master.board.keep_wheel()
        except XbotError as error:
            self._master.log.error("not kept", reason=str(error))

    async def _reload(self, peer: Peer) -> None:
        self._master.log.info("reload by hand", **peer._asdict())
        task = asyncio.ensure_future(self._master.reload())
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        if why := await asyncio.shield(task):
            raise XbotError(f"reload refused: {why}")

    def _status(self) -> dict[str, Any]:
        master = self._master
        overrides, addresses = master.board.wheel.said()
        return {
            "version": sidecar.__version__,
            "pid": os.getpid(),
            "seconds": round(time.monotonic() - self._started, 1),
            "workers": master.workers.count,
            "workers_up": master.workers.up,
            "model": {**master.served.labels(), "refused": master.served.refused},
            "store": master.sharing.state if master.sharing else None,
            "site": dict(master.site.status(master.served)),
            "policies": effective(master.served.modes, overrides),
            "allowed": [
                {"address": words.shown(each.address, each.bits), "seconds": each.seconds} for each in addresses
            ],
            "unreachable": dict(master.unreachable),
            **master.alarms.told(),
        }


@contextlib.contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise XbotError(str(error)) from None


def _peer(writer: asyncio.StreamWriter) -> Peer:
    data = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(data)
    return Peer(pid, uid)
