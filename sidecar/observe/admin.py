"""The operator's endpoint: /metrics for Prometheus, /healthz for a supervisor.

It runs in a thread of the master, on a loop of its own, and shares nothing with the workers but the memory of their counters.

Law: no client costs more than a socket, 8 KiB and ten seconds, and however many there are, the next one is answered: past the bound
the one that has been there longest is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, make_asgi_app

from sidecar.core import LineError, Request
from sidecar.observe.metrics import SidecarCollector
from sidecar.observe.watched import Watched

_MOST_CLIENTS = 64
_MOST_BYTES = 8192  # of a request
_SECONDS = 10.0  # from the first byte that could be read to the last that was taken
_RETRY_SECONDS = 0.1  # after a failed accept, such as for want of descriptors
_END = re.compile(rb"\n\r?\n")

Headers = Sequence[tuple[bytes, bytes]]


class Endpoint:
    """The endpoint of `master` on the listening socket `sock`, which must not block."""

    def __init__(self, sock: socket.socket, master: Watched) -> None:
        registry = CollectorRegistry()
        registry.register(SidecarCollector(master))
        ProcessCollector(registry=registry)  # process_*, of the master: it answers here
        self._metrics: Any = make_asgi_app(registry)
        self._master = master
        self._sock = sock
        self._loop = asyncio.new_event_loop()
        self._clients: list[asyncio.Task[None]] = []  # in the order in which they came

    def open(self) -> None:
        """Answer from a new daemon thread, which ends with the process."""
        self._accepting = self._loop.create_task(self._accept())
        threading.Thread(target=self._loop.run_forever, name="admin", daemon=True).start()

    def close(self) -> None:
        """Accept no more. Blocks for a moment. The socket stays open, and who is being answered is answered."""

        async def stop() -> None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result()

    async def _accept(self) -> None:
        while True:
            try:
                client, _ = await self._loop.sock_accept(self._sock)
            except OSError:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            self._clients.append(self._loop.create_task(self._serve(client)))
            del client
            self._clients = [task for task in self._clients if not task.done()]
            while len(self._clients) > _MOST_CLIENTS:
                self._clients.pop(0).cancel()
            await asyncio.sleep(
                0
            )  # a queue that is full is taken client by client: each has its turn before it is closed

    async def _serve(self, client: socket.socket) -> None:
        """One request, and the end."""
        # A client that goes away in the middle, or takes too long, is no error of ours.
        with client, contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(self._converse(client), _SECONDS)

    async def _converse(self, client: socket.socket) -> None:
        head = b""
        while not _END.search(head) and len(head) < _MOST_BYTES:
            more = await self._loop.sock_recv(client, _MOST_BYTES)
            if not more:
                return
            head += more
        await self._loop.sock_sendall(client, await self._reply(head))
        client.shutdown(socket.SHUT_WR)
        while await self._loop.sock_recv(client, _MOST_BYTES):  # a reset must not overtake the reply
            pass

    async def _reply(self, head: bytes) -> bytes:
        request = Request()
        try:
            request.load_head(head, None)
        except LineError:
            whole = _END.search(head)
            return _text(HTTPStatus.BAD_REQUEST if whole else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        method, uri = request.fields["method"], request.fields["uri"] or b""
        path, _, query = uri.partition(b"?")
        body = method == b"GET"
        if method not in (b"GET", b"HEAD"):
            return _text(HTTPStatus.METHOD_NOT_ALLOWED, "there are GET and HEAD", [(b"Allow", b"GET, HEAD")])
        if path == b"/metrics":
            return await self._metrics_text(query, request.headers, body)
        if path == b"/healthz":
            return _text(*self._health(), body=body)
        return _text(HTTPStatus.NOT_FOUND, "there are /metrics and /healthz", body=body)

    def _health(self) -> tuple[HTTPStatus, str]:
        up, wanted = self._master.workers.up, self._master.workers.count
        state = "draining" if self._master.draining else f"{up} of {wanted} workers are up"
        state += "".join(f"; {address} is unreachable: {why}" for address, why in self._master.unreachable.items())
        served = self._master.served
        if served.refused:
            state += f"; model refused, served is {served.instead}: {served.refused}"
        return HTTPStatus.OK if self._master.healthy else HTTPStatus.SERVICE_UNAVAILABLE, state

    async def _metrics_text(self, query: bytes, headers: Headers, body: bool) -> bytes:
        """What the metrics library says to this client, in the format and the encoding that it asks for."""
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        try:
            await self._metrics({"type": "http", "query_string": query, "headers": headers}, receive, send)
        except UnicodeError:
            return _text(HTTPStatus.BAD_REQUEST)
        start, content = said
        return _message(HTTPStatus(start["status"]), start["headers"], content["body"], body)


def _text(status: HTTPStatus, line: str | None = None, headers: Headers = (), body: bool = True) -> bytes:
    kind = (b"Content-Type", b"text/plain; charset=utf-8")
    return _message(status, [kind, *headers], f"{line or status.phrase}\n".encode(), body)


def _message(status: HTTPStatus, headers: Headers, content: bytes, body: bool) -> bytes:
    """The bytes of a reply; without its body it is the reply to HEAD."""
    lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
    lines += [name + b": " + value for name, value in headers]
    lines += [b"Content-Length: %d" % len(content), b"Connection: close", b"", b""]
    return b"\r\n".join(lines) + (content if body else b"")
