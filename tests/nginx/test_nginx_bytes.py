"""What reaches the site with the gate and without it: the same, but for the headers of xbot.

Law: one nginx, two servers of it, that differ in the gate alone; the site writes down the very bytes that it gets.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import tables
from nginx_harness import Nginx, at, nginx_binary, running_nginx
from sidecar_harness import BROWSER, CURL, Sidecar

pytestmark = pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")

XBOT_LINE = re.compile(rb"^X-Bot(?:-Score|-Reason|-Id)?: [^\r\n]*\r\n", re.MULTILINE)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
# One request a connection; a body that does not come is not waited for long.
PATIENCE = "keepalive_timeout 0; client_body_timeout 1s; client_header_timeout 1s;"


class RawSite:
    """A site that keeps the bytes of each connection, and answers when a head has come and 20 ms brought no more."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.got: list[bytes] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                data = b""
                while b"\r\n\r\n" not in data:
                    more = connection.recv(1 << 17)
                    if not more:
                        break
                    data += more
                connection.settimeout(0.02)
                with contextlib.suppress(TimeoutError):
                    while more := connection.recv(1 << 17):
                        data += more
                self.got.append(data)
                connection.settimeout(5)
                connection.sendall(ANSWER)

    def close(self) -> None:
        self._listening.close()


@pytest.fixture(scope="module")
def nginxes(host: str, model_path: Path) -> Iterator[tuple[RawSite, Nginx, Nginx]]:
    """The site, and the nginx before it with the gate and without."""
    site = RawSite()
    plain = f"location / {{ proxy_pass http://{site.address}; }}"
    gate = f"include xbot/observe.conf; location / {{ include xbot/pass.conf; proxy_pass http://{site.address}; }}"
    with (
        Sidecar(model_path, workers=1, board=host == "module") as sidecar,
        running_nginx(gate, **at(sidecar), http=PATIENCE) as guarded,
        running_nginx(plain, **at(sidecar), http=PATIENCE) as unguarded,
    ):
        yield site, guarded, unguarded
    site.close()


def through(nginx: Nginx, site: RawSite, request: bytes) -> tuple[bytes, bytes]:
    """What the visitor gets, but for the date, and what the site got: nothing, where nginx refuses."""
    before = len(site.got)
    with nginx.connect() as connection:
        connection.sendall(request)
        with contextlib.suppress(ConnectionResetError):
            reply = b"".join(iter(lambda: connection.recv(65536), b""))
    return re.sub(rb"\r\nDate: [^\r]*", b"", reply), b"".join(site.got[before:])


def question(headers: dict[str, str], first: str = "GET /a/b?c=d HTTP/1.1", body: bytes = b"") -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers.items()), "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


REQUESTS = {
    "browser": question(BROWSER),
    "curl": question(CURL),
    "HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "HEAD": question(CURL, "HEAD /x HTTP/1.1"),
    "control bytes": question({**CURL, "X-A": "".join(map(chr, [*range(1, 9), 11, 12, *range(14, 32), 127]))}),
    "high bytes": question({**CURL, "X-A": "".join(map(chr, range(128, 256))), "User-Agent": "\xe4\xff"}),
    "target of high bytes": question(CURL, "GET /\xe4\xff%ff%01?\x80 HTTP/1.1"),
    "odd path": question(CURL, "GET //a/../b/./%2e%2e/c%2f HTTP/1.1"),
    "absolute target": question(CURL, "GET http://example.com/x HTTP/1.1"),
    "large head": question({**CURL, "Cookie": "c" * 7000, "X-A": "a" * 7000}),
    "many headers": question({**CURL, **{f"X-{i}": "v" for i in range(300)}}),
    "the same twice": b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nCookie: a=b\r\nCookie: c=d\r\nConnection: close\r\n\r\n",
    "body": question({**CURL, "Content-Length": "5"}, "POST /form HTTP/1.1", b"a=b&c"),
    "large body": question({**CURL, "Content-Length": "300000"}, "PUT /file HTTP/1.1", b"x" * 300_000),
    "chunks": question({**CURL, "Transfer-Encoding": "chunked"}, "POST / HTTP/1.1", b"3\r\nabc\r\n0\r\n\r\n"),
    "unknown method": question(CURL, "BREW / HTTP/1.1"),
    "bare line feeds": b"GET / HTTP/1.1\nHost: a\nUser-Agent: b\nConnection: close\n\n",
}
TABLE = [row for row in tables.heads() if row["outcome"] == "ok" and row["head"].strip()]


def assert_same(nginxes: tuple[RawSite, Nginx, Nginx], request: bytes) -> bytes:
    site, guarded, unguarded = nginxes
    said, got = through(guarded, site, request)
    plainly_said, plainly_got = through(unguarded, site, request)
    assert said == plainly_said
    assert XBOT_LINE.sub(b"", got) == plainly_got
    assert len(XBOT_LINE.findall(got)) in ((3, 4) if got else (0,))  # the sidecar gives an id, the module does not
    return got


@pytest.mark.parametrize("name", REQUESTS)
def test_the_gate_changes_nothing_else(nginxes: tuple[RawSite, Nginx, Nginx], name: str) -> None:
    assert assert_same(nginxes, REQUESTS[name])


def test_nor_for_any_head_of_the_table(nginxes: tuple[RawSite, Nginx, Nginx]) -> None:
    """Many of them nginx refuses itself, then with the gate as without."""
    assert sum(bool(assert_same(nginxes, row["head"])) for row in TABLE) >= 10
