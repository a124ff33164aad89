"""The operator's endpoint: /metrics for Prometheus, /healthz and /readyz for a supervisor, and the live page (page.py) for people.

It runs in a thread of the master, on a loop of its own (server.py), and shares nothing with the workers but the memory of their
counters.

Law: it is read-only. What is about visitors is told to this machine alone, wherever the socket listens, and only to who asks by a name
that is surely ours: a page of somebody else's, open in the operator's browser, can have the name of its own site resolve to our address,
and would then read what we answer.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, make_asgi_app

from sidecar.observe.metrics import SidecarCollector
from sidecar.observe.page import Page
from sidecar.observe.server import Answer, Asked, Server, line
from sidecar.observe.watched import Watched

NUMBERS = (b"/metrics", b"/healthz", b"/readyz")  # which hold nothing of a visitor's: asked by any name
_STILL_SECONDS = 30.0  # a master whose loop has not turned for so long does not live


class Endpoint:
    """The endpoint of `master` on the listening socket `sock`, which must not block; `host` is the name that it was made for, if any."""

    def __init__(self, sock: socket.socket, master: Watched, host: str | None = None) -> None:
        registry = CollectorRegistry()
        registry.register(SidecarCollector(master))
        ProcessCollector(registry=registry)  # process_*, of the master: it answers here
        self._metrics: Any = make_asgi_app(registry)
        self._master = master
        self._names = {"localhost", socket.gethostname().lower(), *([host.lower()] if host else [])}
        self._page = Page(master)
        self._server = Server(sock, self._answer)

    def open(self) -> None:
        """Answer from a new daemon thread, which ends with the process."""
        self._server.open()

    def finish(self, seconds: float) -> None:
        """Wait until who is being answered is answered, but no longer than this."""
        self._server.finish(seconds)

    def close(self) -> None:
        """Accept no more. Blocks for a moment. The socket stays open, and who is being answered is answered."""
        self._server.close()

    def move(self, sock: socket.socket) -> None:
        """Answer on another socket from now on. Blocks for a moment."""
        self._server.move(sock)

    async def _answer(self, asked: Asked) -> Answer:
        if asked.path not in NUMBERS and not is_ours(asked.header(b"host"), self._names):
            return line(HTTPStatus.MISDIRECTED_REQUEST, "ask by an address, by localhost, or by this machine's name")
        if asked.path not in NUMBERS and not asked.local:
            return line(
                HTTPStatus.FORBIDDEN, "this is told to the machine itself alone: ssh -L, or a proxy with a password"
            )
        if (answer := await self._page.answer(asked)) is not None:
            return answer
        if asked.method not in (b"GET", b"HEAD"):
            return line(HTTPStatus.METHOD_NOT_ALLOWED, "there are GET and HEAD", [(b"Allow", b"GET, HEAD")])
        if asked.path == b"/metrics":
            return await self._metrics_text(asked)
        if asked.path == b"/healthz":
            return line(*health(self._master, time.monotonic()))
        if asked.path == b"/readyz":
            return line(*self._readiness())
        return line(HTTPStatus.NOT_FOUND, "there are /, /live.json, /metrics, /healthz and /readyz")

    def _readiness(self) -> tuple[HTTPStatus, str]:
        """Would a proxy that asks now get a verdict, by each of the sockets?"""
        up, wanted = self._master.workers.up, self._master.workers.count
        state = "draining" if self._master.draining else f"{up} of {wanted} workers are up"
        state += "".join(f"; {address} is unreachable: {why}" for address, why in self._master.unreachable.items())
        served = self._master.served
        if served.refused:
            state += f"; model refused, served is {served.instead}: {served.refused}"
        return HTTPStatus.OK if self._master.ready else HTTPStatus.SERVICE_UNAVAILABLE, state

    async def _metrics_text(self, asked: Asked) -> Answer:
        """What the metrics library says to this client, in the format and the encoding that it asks for."""
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        try:
            scope = {"type": "http", "query_string": asked.query, "headers": asked.headers}
            await self._metrics(scope, receive, send)
        except UnicodeError:
            return line(HTTPStatus.BAD_REQUEST)
        start, content = said
        return Answer(HTTPStatus(start["status"]), content["body"], start["headers"])


def health(master: Watched, now: float) -> tuple[HTTPStatus, str]:
    """Does the master live? It need not be ready: a new process would help neither against a worker that is being replaced, nor against a
    socket that is closed to the proxy."""
    still = now - master.turned
    if still < _STILL_SECONDS or master.draining:
        return HTTPStatus.OK, "alive"
    return HTTPStatus.SERVICE_UNAVAILABLE, f"the master has stood still for {still:.0f} s"


def is_ours(host: bytes | None, names: set[str]) -> bool:
    """Can nobody else have this Host header's name resolve to us? None is that of a client that is no browser."""
    if host is None:
        return True
    text = host.decode("latin-1").lower()
    found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(:[0-9]{1,5})?", text)
    if found is None:
        return False
    name = found[1].strip("[]")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in names
    return True
