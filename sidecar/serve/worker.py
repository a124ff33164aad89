"""One worker: an event loop on the inherited listening sockets, and nothing that a request does not need.

The master starts it with the descriptor of its control socket; everything else comes as the first message
there. It ends when the master says so, or is gone: it stops accepting, answers what was accepted, and exits.
Signals are the master's business: a terminal or a service manager sends them to every process of the group,
and a worker that took them would stop accepting before the master has made the address unreachable.

Only the standard library, uvloop and the compiled core may be imported here (25 MiB of memory a worker).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import faulthandler
import functools
import mmap
import os
import signal
import socket
import time
from typing import Any

import uvloop

from sidecar.board import memory
from sidecar.board.handshakes import map_handshakes
from sidecar.board.lanes import claim_lane
from sidecar.board.proofs import map_lookups
from sidecar.board.slots import claim
from sidecar.board.wheel import map_wheel
from sidecar.core import Answerer, Model, Policies, served_parts
from sidecar.net.protocol import Server, no_capabilities, no_new_privileges
from sidecar.serve import control

IGNORED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_LATE_SECONDS = 1.0  # how much later than the master a worker ends itself
_POLL_SECONDS = 0.01  # only while draining
_SAY_AGAIN_SECONDS = 60.0


class Worker:
    """Serves until told to drain. `start` is the master's first message, with its descriptors."""

    def __init__(self, sock: socket.socket, start: control.Message, descriptors: control.Descriptors) -> None:
        self._control = sock
        self._backlog: int = start["backlog"]
        self._drain_timeout: float = start["drain_timeout"]
        self._draining = asyncio.Event()
        self._generation: int = start["generation"]
        log = _request_log(**start["log"]) if start["log"] else None
        self._counters = descriptors.pop("counters")  # stays open: see `claim`
        stats = claim(self._counters)
        handshakes = map_handshakes(descriptors.pop("handshakes"))
        self._lookups = map_lookups(descriptors["lookups"])
        os.close(descriptors.pop("lookups"))
        self._nonces = descriptors.pop("nonces")
        wheel = map_wheel(descriptors.pop("wheel"))
        self._lanes = descriptors.pop("lanes", None)  # likewise
        lane = claim_lane(self._lanes) if self._lanes is not None else None
        clients, visitors, clock = (_mapped(descriptors.pop(name, None)) for name in ("clients", "visitors", "clock"))
        model, policies = self._served(start, descriptors.pop("served"))
        listeners = start["listeners"]
        self._listening = [socket.socket(fileno=descriptors.pop(each["socket"])) for each in listeners]
        self._servers = [
            Server(
                Answerer(
                    model,
                    dialect=each["dialect"],
                    policies=policies,
                    policy=each["policy"],
                    stats=stats,
                    handshakes=handshakes,
                    clients=clients,
                    visitors=visitors,
                    clock=clock,
                    listener=number,
                    wheel=wheel,
                    lane=lane,
                    sample=start["sample"],
                    watched=tuple(start["watched"]),
                    per_second=start["per_second"],
                    **start["limits"],
                ),
                log=log,
                on_bound=functools.partial(self._at_bound, _address(sock)),
            )
            for number, (each, sock) in enumerate(zip(listeners, self._listening, strict=True))
        ]
        for server, each in zip(self._servers, listeners, strict=True):
            server.serve(model, policies, each["policy"], self._generation)
        self._accepting: list[tuple[asyncio.AbstractServer, socket.socket, Server]] = []
        self._moving = asyncio.Lock()  # of `_accepting`
        self._tasks: set[asyncio.Future[None]] = set()  # the loop itself holds none of them
        self._said: dict[tuple[str, ...], float] = {}  # what to the time of the last line about it

    async def run(self) -> None:
        """Serve, drain, return."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._report)
        self._control.setblocking(False)
        # The duplicate outlives the loop's server: see _stop_accepting.
        for sock, server in zip(self._listening, self._servers, strict=True):
            self._accepting.append((await self._listen(sock.dup(), server), sock, server))
        loop.add_reader(self._control, self._hear)
        control.send(self._control, {"op": "ready", "generation": self._generation})
        await self._draining.wait()
        # The master ends what takes longer; this is for when it is gone.
        loop.call_later(self._drain_timeout + _LATE_SECONDS, os._exit, 1)
        async with self._moving:
            accepting, self._accepting = self._accepting, []
        for listening, sock, server in accepting:
            await self._stop_accepting(listening, sock, server)
        for server in self._servers:
            server.drain()
        while any(server.connections for server in self._servers):
            await asyncio.sleep(_POLL_SECONDS)
        self._servers.clear()  # they hold memory, and us: without the circle it is let go of in its order

    async def _listen(self, sock: socket.socket, server: Server) -> asyncio.AbstractServer:
        loop = asyncio.get_running_loop()
        if sock.family == socket.AF_UNIX:
            # From Python 3.13 the loop would remove the socket's file at the end; it is the master's.
            make: Any = loop.create_unix_server  # the types know cleanup_socket only from Python 3.13
            made: asyncio.AbstractServer = await make(server, sock=sock, backlog=self._backlog, cleanup_socket=False)
            return made
        return await loop.create_server(server, sock=sock, backlog=self._backlog)

    async def _stop_accepting(self, listening: asyncio.AbstractServer, sock: socket.socket, server: Server) -> None:
        """Take what waits in the queue, then let go of it: a connection left there would be reset.

        Bounded, as on TCP new ones may come faster than they are taken.
        """
        loop = asyncio.get_running_loop()
        listening.close()
        await asyncio.sleep(0)  # the loop lets go of its copy of the socket
        sock.setblocking(False)
        for _ in range(self._backlog):
            try:
                connection, _ = sock.accept()
            except ConnectionAbortedError:
                continue
            except OSError:  # nobody waits any more, or no descriptor is left
                break
            await loop.connect_accepted_socket(server, connection)
        sock.close()

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                received = control.receive(self._control)
                if received is None:  # the master is gone
                    asyncio.get_running_loop().remove_reader(self._control)
                    self._draining.set()
                    return
                message, descriptors = received
                with descriptors:
                    if message["op"] == "serve":
                        self._swap(message, descriptors.pop("served"))
                    elif message["op"] == "ping":
                        self._look_for_descriptors()
                        control.send(self._control, {"op": "pong"})
                    elif message["op"] == "drain":
                        self._draining.set()
                    elif message["op"] == "listen":
                        sock = socket.socket(fileno=descriptors.pop("socket"))
                        task = asyncio.ensure_future(self._move(message["listener"], sock))
                        self._tasks.add(task)
                        task.add_done_callback(self._tasks.discard)

    async def _move(self, place: int, sock: socket.socket) -> None:
        """A listener gets another socket: that of before has lost its file. What waits in its queue is still taken."""
        async with self._moving:
            if self._draining.is_set() or place >= len(self._accepting):
                sock.close()
                return
            listening, old, server = self._accepting[place]
            self._accepting[place] = await self._listen(sock.dup(), server), sock, server
            await self._stop_accepting(listening, old, server)

    def _look_for_descriptors(self) -> None:
        """Where none is left the loop closes each new connection, and tells nobody."""
        try:
            os.close(os.dup(self._control.fileno()))
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE) and self._is_new("descriptors"):
                event = {"op": "log", "level": "error", "event": "out of descriptors"}
                control.send(self._control, {**event, "reason": f"new connections are closed: {error.strerror}"})

    def _served(self, message: control.Message, fd: int) -> tuple[Model, Policies]:
        """What is served by the sealed memory behind `fd`, which is closed: the very bytes that the master checked. Policies read
        what the DNS said, and have signatures checked as the message says."""
        try:
            image = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(fd)
        model, policies = served_parts(image, verified=True)
        return Model(model), Policies(policies, self._lookups, _signer(message["signing"], self._nonces))

    def _swap(self, message: control.Message, served: int) -> None:
        model, policies = self._served(message, served)
        self._generation = message["generation"]
        for server, policy in zip(self._servers, message["policies"], strict=True):
            server.serve(model, policies, policy, self._generation)
        control.send(self._control, {"op": "serve", "generation": self._generation})

    def _at_bound(self, listener: str, bound: str) -> None:
        """A listener is past a bound: a line a minute, however many connections it costs."""
        if self._is_new(listener, bound):
            event = {"op": "log", "level": "warning", "event": "limit reached"}
            control.send(self._control, {**event, "limit": bound, "listener": listener})

    def _is_new(self, *what: str) -> bool:
        """Whether nothing was said of this for a minute."""
        now = time.monotonic()
        new = now - self._said.get(what, -_SAY_AGAIN_SECONDS) >= _SAY_AGAIN_SECONDS
        if new:
            self._said[what] = now
        return new

    def _report(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error that nobody awaited: the master logs it, and this worker goes on."""
        control.send(self._control, _error(context.get("exception") or context["message"]))


def _address(sock: socket.socket) -> str:
    """Where it listens, as the log has it: unix:PATH, or HOST:PORT."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{os.fsdecode(name)}"
    return f"[{name[0]}]:{name[1]}" if sock.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"


def _error(problem: object) -> control.Message:
    return {"op": "log", "level": "error", "event": "worker error", "problem": repr(problem)[:2000]}


def _signer(signing: control.Message | None, nonces: int) -> Any:
    """Who checks signatures, if any are to be checked: only then its libraries are loaded."""
    if signing is None:
        return None
    from sidecar.board.proofs import Nonces
    from sidecar.verify import signatures

    keys = signatures.heard(signing["keys"])
    return signatures.Verifier(keys, signing["hosts"], Nonces(nonces), signing["per_second"])


def _mapped(fd: int | None) -> memoryview | None:
    """The memory behind `fd`, which is closed, writable; None where there is none."""
    if fd is None:
        return None
    try:
        return memory.mapped(fd)
    finally:
        os.close(fd)


def _request_log(level: str, form: str) -> Any:
    import structlog  # here: for debugging only, and not small

    from sidecar.observe import logs

    logs.configure(level, form)
    log = structlog.get_logger().bind(pid=os.getpid())
    return lambda request: log.debug("request", **request)


def name_process(name: bytes) -> None:
    """What ps and top show."""
    with contextlib.suppress(OSError):
        comm = os.open("/proc/self/comm", os.O_WRONLY)
        os.write(comm, name)
        os.close(comm)


def main(descriptor: int) -> None:
    """Run a worker on its control socket. Exits 0 after draining."""
    faulthandler.enable()
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)  # the master blocked them over the exec
    name_process(b"xbot-worker")
    no_new_privileges()
    sock = socket.socket(fileno=descriptor)
    received = control.receive(sock)
    if received is None:
        return
    try:
        with received[1]:
            worker = Worker(sock, *received)
        no_capabilities()  # all that it needs is open, and read
        uvloop.run(worker.run())
    except Exception as error:
        control.send(sock, _error(error))
        raise SystemExit(1) from None
