"""The admin endpoint, as clients meet it: what it answers to whom, and that no client keeps the next one waiting.

Law of the second half: however many clients stall, and wherever in their request, /healthz is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import signal
import socket
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import models
import pytest
from sidecar_harness import TIMEOUT, Sidecar, connect, get, wait_until

from sidecar.observe import admin, server
from sidecar.observe.admin import health

STALLED, MOST = 200, 64  # that is the bound


@pytest.fixture(scope="module", params=["tcp", "unix"])
def sidecar(
    request: pytest.FixtureRequest, model_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sidecar]:
    place = tmp_path_factory.mktemp("admin")
    with Sidecar(model_path, "--admin", "127.0.0.1:0" if request.param == "tcp" else f"unix:{place}/admin") as running:
        yield running


def said(sidecar: Sidecar, request: bytes) -> bytes:
    """All that comes back, up to the end."""
    with connect(sidecar.admin) as sock:
        sock.sendall(request)
        return b"".join(iter(lambda: sock.recv(65536), b""))


# ---- what it answers


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/healthz?x=y", "/elsewhere"])
def test_head_is_get_without_the_body(sidecar: Sidecar, path: str) -> None:
    whole = said(sidecar, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = said(sidecar, f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert whole.startswith(b"HTTP/1.1 404 " if path == "/elsewhere" else b"HTTP/1.1 200 OK\r\n")
    first, _, body = whole.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in first.split(b"\r\n")
    assert body
    assert head.endswith(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == first.split(b"\r\n")[0]
    if path != "/metrics":  # whose length moves
        assert head == first + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 405),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /healthz\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics?name[]=%ff\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 10_000, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000, 413),
        (b"HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n", 400),
        (b"GET /healthz HTTP/1.0\n\n", 200),
    ],
    ids=["method", "nonsense", "no protocol", "no host", "no text", "too long", "much", "no body", "bare line feeds"],
)
def test_other_requests_get_a_reply_of_one_line(sidecar: Sidecar, request_head: bytes, status: int) -> None:
    reply = said(sidecar, request_head)
    assert reply.startswith(b"HTTP/1.1 %d " % status)
    assert reply.partition(b"\r\n\r\n")[2].count(b"\n") == (not request_head.startswith(b"HEAD"))
    assert (b"\r\nAllow: GET, HEAD\r\n" in reply) == (status == 405)


def test_what_is_of_visitors_is_told_under_our_own_names_alone(sidecar: Sidecar) -> None:
    """Somebody's page may have his own name resolve to our address, and read what comes back. Numbers are asked by any name."""

    def status(path: str, host: str) -> int:
        return int(said(sidecar, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).split()[1])

    for ours in (
        "127.0.0.1",
        "127.0.0.1:80",
        "[::1]:9011",
        "10.1.2.3",
        "localhost",
        "LocalHost:1",
        socket.gethostname(),
    ):
        assert status("/elsewhere", ours) == 404, ours
    for other in (
        "evil.example",
        "evil.example:9011",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[evil]",
        "",
        "a@localhost",
    ):
        assert status("/elsewhere", other) in (400, 421), other
        assert other in ("", "a@localhost") or status("/healthz", other) == 200


class Connected:
    """A socket of which only the addresses matter."""

    family = socket.AF_INET6

    def __init__(self, peer: str, own: str) -> None:
        self.getpeername, self.getsockname = (lambda: (peer, 1)), (lambda: (own, 2))


@pytest.mark.parametrize(
    ("peer", "own", "local"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.8.9.1", "127.0.0.1", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("fe80::1%eth0", "fe80::1%eth0", True),
        ("10.1.2.4", "10.1.2.3", False),
        ("203.0.113.7", "10.1.2.3", False),
        ("::ffff:10.1.2.4", "::ffff:10.1.2.3", False),
        ("2001:db8::1", "2001:db8::2", False),
    ],
)
def test_this_machine_is_told_from_others(peer: str, own: str, local: bool) -> None:
    connected: Any = Connected(peer, own)
    assert server.is_local(connected) is local


@pytest.mark.parametrize(
    ("path", "status"),
    [
        *((path, 403) for path in (b"/", b"/page.js", b"/live", b"/live.json", b"/explain", b"/elsewhere")),
        (b"/healthz", 200),
    ],
)
def test_others_are_told_numbers_alone(path: bytes, status: int) -> None:
    """Wherever it listens, as in a pod."""
    master: Any = types.SimpleNamespace(turned=time.monotonic(), draining=False)
    endpoint = admin.Endpoint.__new__(admin.Endpoint)
    endpoint._names, endpoint._master = {"localhost"}, master
    endpoint._page = types.SimpleNamespace(answer=nothing)  # type: ignore[assignment]
    asked = server.Asked(b"GET", path, b"", [(b"host", b"localhost")], b"", local=False)
    assert asyncio.run(endpoint._answer(asked)).status == status


async def nothing(_: server.Asked) -> None:
    """There is nothing at this path."""


def test_metrics_are_what_the_client_asks_for(sidecar: Sidecar) -> None:
    """The format and the compression, as Prometheus' library has them."""
    reply = said(sidecar, b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
    assert b"xbot_workers 2.0" in gzip.decompress(reply.partition(b"\r\n\r\n")[2])
    accept = b"Accept: application/openmetrics-text; version=1.0.0\r\n"
    reply = said(sidecar, b"GET /metrics HTTP/1.1\r\nHost: a\r\n" + accept + b"\r\n")
    assert reply.endswith(b"# EOF\n")


@pytest.mark.parametrize("written", [1_700_000_000, 1.7e9, True, "x", [], -1, 1e300, None])
def test_the_date_of_the_model_is_what_its_file_says(tmp_path: Path, written: object) -> None:
    """Which anybody may have written."""
    path = tmp_path / "a.xbot"
    path.write_bytes(models.image(provenance={"created": written}))
    with Sidecar(path, "--admin", "127.0.0.1:0", workers=1) as running:
        found = running.metrics().get("xbot_model_trained_timestamp_seconds")
    assert found == (1_700_000_000 if written in (1_700_000_000, 1.7e9) and written is not True else None)


def test_a_request_in_pieces(sidecar: Sidecar) -> None:
    with connect(sidecar.admin) as sock:
        for byte in b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n":
            sock.sendall(bytes([byte]))
        assert sock.recv(12) == b"HTTP/1.1 200"


def test_a_master_that_stands_still_is_not_alive() -> None:
    def said(turned: float, draining: bool) -> int:
        master: Any = types.SimpleNamespace(turned=turned, draining=draining)
        return int(health(master, 100.0)[0])

    assert [said(99.0, False), said(71.0, False), said(69.0, False), said(69.0, True)] == [200, 200, 503, 200]


# ---- clients that stall


def count(sidecar: Sidecar, what: str) -> int:
    """Of the master: its `task` (threads) or `fd` (descriptors)."""
    return len(list(Path(f"/proc/{sidecar.process.pid}/{what}").iterdir()))


@pytest.mark.parametrize(
    "beginning",
    [b"", b"GET /healthz HTTP/1.1\r\nX", b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"],
    ids=["silent", "half", "unread"],
)
def test_stalled_clients_keep_nobody_waiting(sidecar: Sidecar, beginning: bytes) -> None:
    """Two hundred of them: each request of others is answered, no thread is made for any, and the first are closed."""
    before = count(sidecar, "task")
    with contextlib.ExitStack() as stack:
        stalled = []
        for _ in range(STALLED):
            sock = stack.enter_context(connect(sidecar.admin))
            sock.sendall(beginning)
            stalled.append(sock)
            assert get(sidecar.admin, "/healthz") == (200, "alive\n")
        assert count(sidecar, "task") == before
        for sock in stalled[: STALLED - MOST]:
            sock.settimeout(1.0)  # which is far below the deadline
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(65536):
                    pass


def test_a_silent_client_is_closed_by_its_deadline(sidecar: Sidecar) -> None:
    with connect(sidecar.admin) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\n")
        sock.settimeout(TIMEOUT)
        assert sock.recv(1) == b""


def test_clients_that_vanish_leave_nothing(sidecar: Sidecar) -> None:
    before = count(sidecar, "fd")
    for _ in range(50):
        for beginning in (b"", b"GET", b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"):
            with connect(sidecar.admin) as sock:
                sock.sendall(beginning)
    wait_until(lambda: count(sidecar, "fd") <= before, "descriptors")
    assert not sidecar.events("master error")


def test_it_goes_on_after_an_upgrade(model_path: Path) -> None:
    """The old master lets go of it while a client stalls, and the new one answers."""
    with Sidecar(model_path, "--admin", "127.0.0.1:0") as sidecar, connect(sidecar.admin) as stalled:
        stalled.sendall(b"GET")
        sidecar.signal(signal.SIGUSR2)
        sidecar.wait_for("took over")
        assert get(sidecar.admin, "/healthz")[0] == 200
        host, _, port = sidecar.admin.rpartition(":")
        client = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)
        client.request("HEAD", "/healthz")
        assert client.getresponse().status == 200
        client.close()
        assert sidecar.process.wait(TIMEOUT) == 0
