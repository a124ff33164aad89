"""The HTTP server of the admin listener: h11 says what the bytes mean, and this module what a client may cost.

Law: no client costs more than a socket, MOST_HEAD and MOST_BODY bytes and ten seconds, and however many there are, the next one is
answered: past MOST_CLIENTS the one that has been there longest is closed. One request a connection. Who is sent a stream stands
apart from these: there are at most MOST_STREAMS, the next one is refused, and a reader that takes no bytes for ten seconds is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import h11
import structlog

MOST_CLIENTS = 64
MOST_STREAMS = 16
MOST_HEAD = 8192  # bytes
MOST_BODY = 1 << 16
_AT_ONCE = 8192  # bytes that are read at a time
_SECONDS = 10.0  # from the first byte that could be read to the last that was taken; in a stream, for each piece
_RETRY_SECONDS = 0.1  # after a failed accept, such as for want of descriptors
_MOST_PROBLEM = 2000  # letters of an error in the log

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Asked:
    """A request. `path` has no query; names of `headers` are in small letters; `local`: it came from this machine."""

    method: bytes
    path: bytes
    query: bytes
    headers: Headers
    body: bytes
    local: bool

    def header(self, name: bytes) -> bytes | None:
        """The value of the first header with this name, in small letters."""
        return next((value for each, value in self.headers if each == name), None)


@dataclass(frozen=True)
class Answer:
    """A reply; `body` is all of it, or a stream that is sent piece by piece. To HEAD none of it is sent."""

    status: HTTPStatus
    body: bytes | AsyncIterator[bytes]
    headers: Headers = ((b"Content-Type", b"text/plain; charset=utf-8"),)


def line(status: HTTPStatus, text: str | None = None, headers: Headers = ()) -> Answer:
    """A reply of one line of text; without one, what the status is called."""
    plain = (b"Content-Type", b"text/plain; charset=utf-8")
    return Answer(status, f"{text or status.phrase}\n".encode(), [plain, *headers])


class Server:
    """Answers by `answer` on the listening socket `sock`, which must not block. `answer` gets requests of any method."""

    def __init__(self, sock: socket.socket, answer: Callable[[Asked], Awaitable[Answer]]) -> None:
        self._sock = sock
        self._answer = answer
        self.loop = asyncio.new_event_loop()
        self._clients: list[asyncio.Task[None]] = []  # in the order in which they came
        self._streams: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Answer from a new daemon thread, which ends with the process."""
        accepting = self.loop.create_task(self._accept())
        try:
            threading.Thread(target=self.loop.run_forever, name="admin", daemon=True).start()
        except RuntimeError:  # the system gives none
            accepting.cancel()
            raise
        self._accepting = accepting

    def close(self) -> None:
        """Accept no more, and end the streams. Blocks for a moment. The socket stays open, and who is being answered is answered."""
        if self._accepting is None:  # never opened
            return
        accepting = self._accepting

        async def stop() -> None:
            ending = {accepting, *self._streams}
            for task in ending:
                task.cancel()
            await asyncio.wait(ending)

        asyncio.run_coroutine_threadsafe(stop(), self.loop).result()

    def finish(self, seconds: float) -> None:
        """Wait until who is being answered is answered, but no longer than this."""
        if not self.loop.is_running():  # never opened
            return

        async def wait() -> None:
            if left := [task for task in self._clients if not task.done() and task not in self._streams]:
                await asyncio.wait(left, timeout=seconds)

        asyncio.run_coroutine_threadsafe(wait(), self.loop).result()

    def move(self, sock: socket.socket) -> None:
        """Accept on another socket from now on. Blocks for a moment."""

        if self._accepting is None:
            self._sock = sock
            return
        accepting = self._accepting

        async def move() -> None:
            accepting.cancel()
            await asyncio.wait({accepting})
            self._sock = sock
            self._accepting = self.loop.create_task(self._accept())

        asyncio.run_coroutine_threadsafe(move(), self.loop).result()

    async def _accept(self) -> None:
        while True:
            try:
                client, _ = await self.loop.sock_accept(self._sock)
            except OSError:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            self._clients.append(self.loop.create_task(self._serve(client)))
            del client
            self._clients = [task for task in self._clients if not task.done() and task not in self._streams]
            while len(self._clients) > MOST_CLIENTS:
                self._clients.pop(0).cancel()
            # A queue that is full is taken client by client: each has its turn before it is closed.
            await asyncio.sleep(0)

    async def _serve(self, sock: socket.socket) -> None:
        """One request, and the end."""
        client = _Client(sock, self.loop)
        # A client that goes away in the middle, or takes too long, is no error of ours.
        with sock, contextlib.suppress(OSError, asyncio.TimeoutError):
            pieces = await asyncio.wait_for(self._converse(client), _SECONDS)
            if pieces is not None:
                await self._stream(client, pieces)
            await asyncio.wait_for(client.end(), _SECONDS)

    async def _converse(self, client: _Client) -> AsyncIterator[bytes] | None:
        """The request and its reply; if that is a stream, its pieces, which are still to be sent."""
        try:
            asked = await client.ask()
            if asked is None:
                return None
            answer = await self._answer(asked)
        except h11.RemoteProtocolError as error:
            answer = line(HTTPStatus(error.error_status_hint))
        except (OSError, asyncio.TimeoutError):
            raise
        except Exception as error:  # whatever it is, the next one is answered
            structlog.get_logger().error("admin error", problem=repr(error)[:_MOST_PROBLEM])
            answer = line(HTTPStatus.INTERNAL_SERVER_ERROR)
        if not isinstance(answer.body, bytes) and len(self._streams) >= MOST_STREAMS:
            answer = line(HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_STREAMS} clients watch already")
        await client.tell(answer)
        return None if isinstance(answer.body, bytes) or client.method == b"HEAD" else answer.body

    async def _stream(self, client: _Client, pieces: AsyncIterator[bytes]) -> None:
        if (task := asyncio.current_task()) is None:
            return
        self._streams.add(task)
        try:
            async for piece in pieces:
                await asyncio.wait_for(client.send(h11.Data(piece)), _SECONDS)
        finally:
            self._streams.discard(task)


class _Client:
    """One of them, with what it has asked so far."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._sock, self._loop = sock, loop
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)
        self.method = b""

    async def ask(self) -> Asked | None:
        """Its request; None where it went away. h11.RemoteProtocolError, with the status that says so, if it is none."""
        head: h11.Request | None = None
        body = b""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    await self.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
                self._http.receive_data(await self._loop.sock_recv(self._sock, _AT_ONCE))
            elif isinstance(event, h11.Request):
                head, self.method = event, event.method
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MOST_BODY:
                    raise h11.RemoteProtocolError("too long", error_status_hint=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                path, _, query = head.target.partition(b"?")
                return Asked(head.method, path, query, list(head.headers), body, is_local(self._sock))
            else:
                return None

    async def tell(self, answer: Answer) -> None:
        """Send the head of a reply, and its body if that is no stream."""
        body = answer.body if isinstance(answer.body, bytes) else None
        unchanged = answer.status == HTTPStatus.NOT_MODIFIED  # which has no body, and says no length of one
        length = [] if body is None or unchanged else [(b"Content-Length", b"%d" % len(body))]
        headers = [*answer.headers, *length, (b"Connection", b"close")]
        head = h11.Response(status_code=answer.status, headers=headers, reason=answer.status.phrase.encode())
        await self.send(head, *([] if body is None or unchanged or self.method == b"HEAD" else [h11.Data(body)]))

    async def send(self, *events: h11.Event) -> None:
        """Send what h11 makes of these."""
        await self._loop.sock_sendall(self._sock, b"".join(self._http.send(event) or b"" for event in events))

    async def end(self) -> None:
        """Wait until it has closed: a reset must not overtake the reply."""
        self._sock.shutdown(socket.SHUT_WR)
        while await self._loop.sock_recv(self._sock, _AT_ONCE):
            pass


def is_local(sock: socket.socket) -> bool:
    """Did this connection come from this machine: over a Unix socket, or from an address of its own?"""
    if sock.family == socket.AF_UNIX:
        return True
    try:
        peer, own = (
            ipaddress.ip_address(name[0].partition("%")[0]) for name in (sock.getpeername(), sock.getsockname())
        )
    except OSError:  # it is gone
        return False
    plain = (peer.ipv4_mapped or peer) if isinstance(peer, ipaddress.IPv6Address) else peer
    return plain.is_loopback or peer == own
