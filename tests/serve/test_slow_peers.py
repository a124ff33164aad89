"""Peers that are slow, or many, against a real sidecar: others are answered, memory stays flat, and no drain waits for them.

Law: a test opens hundreds or thousands of connections that do not go on, and asks meanwhile as a proxy does.
"""

from __future__ import annotations

import contextlib
import json
import re
import resource
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from nginx_harness import EchoSite, Load, guarded, nginx_binary, running_nginx
from sidecar_harness import BROWSER, TIMEOUT, XBOT, Sidecar, ask, connect, get, head, load, read_reply, wait_until

SLOW = 3000
BEGINNING = head()[:20]


@contextlib.contextmanager
def limited(model_path: Path, place: Path, limits: str, **how: object) -> Iterator[Sidecar]:
    """A sidecar with these lines in its [limits]."""
    config = place / "xbot.toml"
    config.write_text(f"[limits]\n{limits}\n")
    with Sidecar(model_path, "--config", config, "--admin", "127.0.0.1:0", **how) as sidecar:  # type: ignore[arg-type]
        yield sidecar


@contextlib.contextmanager
def peers(sidecar: Sidecar, count: int, beginning: bytes) -> Iterator[list[socket.socket]]:
    """Connections that have sent this and go on no more."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(count):
            sock = stack.enter_context(connect(sidecar.address))
            with contextlib.suppress(OSError):  # it may be closed already
                sock.sendall(beginning)
            made.append(sock)
        yield made


def clog(socks: list[socket.socket]) -> None:
    """Ask on each without reading, until nothing more is taken for a while."""
    request, last = head() * 100, time.monotonic()
    for sock in socks:
        sock.setblocking(False)
    while time.monotonic() - last < 0.3:
        for sock in socks:
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                sock.send(request)
                last = time.monotonic()


def closed(sock: socket.socket, seconds: float = TIMEOUT) -> bool:
    """Whether the other side ends the connection within this time, without a word."""
    sock.settimeout(seconds)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def memory(sidecar: Sidecar) -> int:
    """Of the workers, that nothing else shares: bytes."""
    total = 0
    for pid in sidecar.workers:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += sum(int(kilobytes) << 10 for kilobytes in re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE))
    return total


def closed_by(sidecar: Sidecar, cause: str) -> float:
    return sidecar.metrics()[f'xbot_connections_closed_total{{cause="{cause}"}}']


@pytest.fixture(autouse=True)
def descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < SLOW + 500:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, SLOW + 500), hard))


# ---- half a head


def test_thousands_of_half_heads(model_path: Path, tmp_path: Path) -> None:
    """They are closed by the deadline and cost little meanwhile; the next thousands cost no more; others are answered."""
    with limited(model_path, tmp_path, "peer_timeout = 4") as sidecar:
        ask(sidecar.address)
        before, most = memory(sidecar), []
        with (
            load(sidecar.address, keepalive=True, clients=2) as kept,
            load(sidecar.address, keepalive=False, clients=2) as new,
        ):
            for turn in (1, 2):
                with peers(sidecar, SLOW, BEGINNING) as slow:
                    most.append(memory(sidecar))
                    assert all(closed(sock) for sock in slow)
                wait_until(lambda count=turn * SLOW: closed_by(sidecar, "slow") == count, "the count")
        for outcome in (kept, new):
            assert not outcome.failures
            assert outcome.scores.total() > 500
        assert most[0] - before < SLOW * 8192  # 512 bytes each, and what a connection costs in uvloop and Python
        assert most[1] - most[0] < 2 << 20
        assert memory(sidecar) - before < SLOW * 8192
        assert not sidecar.events("limit reached")
        assert sidecar.stop() == 0


def test_a_byte_now_and_then_buys_no_time(model_path: Path, tmp_path: Path) -> None:
    with limited(model_path, tmp_path, "peer_timeout = 1", workers=1) as sidecar, connect(sidecar.address) as sock:
        started = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for byte in head(uri="/" + "x" * 1000):
                sock.sendall(bytes([byte]))
                time.sleep(0.05)
                assert time.monotonic() - started < TIMEOUT
        assert closed(sock)
        assert closed_by(sidecar, "slow") == 1


def test_idle_is_allowed(model_path: Path, tmp_path: Path) -> None:
    """Before the first request, and between two."""
    with limited(model_path, tmp_path, "peer_timeout = 0.2", workers=1) as sidecar, connect(sidecar.address) as sock:
        for _ in range(3):
            time.sleep(0.7)
            sock.sendall(head())
            assert read_reply(sock).status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2], ids=["drain", "upgrade"])
def test_a_drain_does_not_wait_for_half_a_head(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Nor for one who does not read; it ends by itself, long before its own time is over."""
    monkeypatch.setenv("XBOT_DRAIN_TIMEOUT", "3000")
    with limited(model_path, tmp_path, "peer_timeout = 3000", workers=1) as sidecar:
        old = sidecar.process
        with peers(sidecar, 20, b"G"), peers(sidecar, 5, BEGINNING), peers(sidecar, 5, b"") as deaf:
            clog(deaf)
            sidecar.signal(number)
            assert old.wait(TIMEOUT) == 0
        stopped = [event for event in sidecar.events("stopped") if event["drained"]]
        assert len(stopped) == 1
        assert not sidecar.events("worker killed")


# ---- replies that nobody reads


def test_unread_replies(model_path: Path, tmp_path: Path) -> None:
    """A peer that asks and does not read is closed by the deadline, and its replies are not kept."""
    with limited(model_path, tmp_path, "peer_timeout = 2", workers=1) as sidecar:
        before = memory(sidecar)
        with load(sidecar.address, keepalive=True, clients=2) as outcome, peers(sidecar, 50, b"") as deaf:
            clog(deaf)
            wait_until(lambda: closed_by(sidecar, "unread") == 50, "their end")
        assert not outcome.failures
        assert memory(sidecar) - before < 24 << 20


# ---- bounds


def test_too_many_connections(model_path: Path, tmp_path: Path) -> None:
    """Whoever has waited longest goes; the newest, and those in use, are answered. It is said once."""
    with limited(model_path, tmp_path, "connections = 50", workers=1) as sidecar:
        # One that rests may be closed, as by any server; proxies ask again.
        proxy = load(sidecar.address, keepalive=True, clients=2, retry=True)
        with proxy as outcome, peers(sidecar, 20, BEGINNING) as half:
            with peers(sidecar, 200, b"") as idle:
                assert all(closed(sock, 2) for sock in half)
                assert all(closed(sock, 2) for sock in idle[:100])
                assert sum(closed(sock, 0.01) for sock in idle[-40:]) == 0
                for _ in range(100):
                    assert ask(sidecar.address).status == 200
            wait_until(lambda: outcome.scores.total() > 100, "requests")
        assert not outcome.failures
        (said,) = sidecar.events("limit reached")
        assert (said["level"], said["limit"], said["listener"]) == ("warning", "connections", sidecar.address)
        assert closed_by(sidecar, "connections") >= 170


def test_each_listener_counts_for_itself(model_path: Path, tmp_path: Path) -> None:
    listen = [f"unix:{tmp_path}/one", "127.0.0.1:0"]
    with limited(model_path, tmp_path, "connections = 20", workers=1, listen=listen) as sidecar:
        with contextlib.ExitStack() as stack:
            kept = [stack.enter_context(connect(sidecar.addresses[0])) for _ in range(20)]
            for _ in range(100):
                stack.enter_context(connect(sidecar.addresses[1]))
            wait_until(lambda: closed_by(sidecar, "connections") == 80, "the others' end")
            for sock in kept:
                sock.sendall(head())
                assert read_reply(sock).status == 200
        (said,) = sidecar.events("limit reached")
        assert said["listener"] == sidecar.addresses[1]


def test_too_many_bytes(model_path: Path, tmp_path: Path) -> None:
    """Long beginnings of heads: their memory has a bound, and a head in pieces is still answered meanwhile."""
    with limited(model_path, tmp_path, "bytes = 1048576", workers=1) as sidecar:
        before = memory(sidecar)
        long = b"GET / HTTP/1.1\r\nX: " + b"x" * 60_000
        with load(sidecar.address, keepalive=True, clients=2) as outcome, peers(sidecar, 200, long) as slow:
            assert memory(sidecar) - before < 8 << 20  # they sent 12 MB
            assert all(closed(sock, 2) for sock in slow[:150])
            with connect(sidecar.address) as sock:
                for piece in (head()[:100], head()[100:150], head()[150:]):
                    sock.sendall(piece)
                    time.sleep(0.05)
                assert read_reply(sock).status == 200
        assert not outcome.failures
        (said,) = sidecar.events("limit reached")
        assert said["limit"] == "bytes"
        assert closed_by(sidecar, "bytes") >= 180


def test_fewer_descriptors_than_connections(model_path: Path, tmp_path: Path) -> None:
    """The bound follows what the system allows, and that is said; past it the sidecar still answers."""
    few = ["sh", "-c", 'ulimit -n 200 && exec "$0" "$@"', XBOT]
    with limited(model_path, tmp_path, "", workers=1, command=few) as sidecar:
        (said,) = sidecar.events("limit lowered")
        assert (said["wanted"], said["connections"]) == (4096, 134)
        with peers(sidecar, 400, b""):
            for _ in range(20):
                assert ask(sidecar.address).status == 200
        assert not sidecar.events("worker error")


# ---- behind nginx


def test_the_other_listeners(model_path: Path, tmp_path: Path) -> None:
    """Hundreds of peers at each that say half of something or nothing, and do not go: the next caller is answered, and nobody is
    waited for."""
    config = tmp_path / "xbot.toml"
    config.write_text(f'[clients]\noutcomes = "unix:{tmp_path}/outcomes"\n')
    options = ("--config", config, "--admin", f"unix:{tmp_path}/admin")
    with contextlib.ExitStack() as peers, Sidecar(model_path, *options, workers=1, board=True) as sidecar:
        assert sidecar.board
        places = {
            tmp_path / "admin": (socket.SOCK_STREAM, b"GET /metr"),
            sidecar.board / "control": (socket.SOCK_STREAM, b'{"op": "sta'),
            sidecar.board / "module": (socket.SOCK_SEQPACKET, b"?"),
        }
        for path, (kind, said) in places.items():
            for number in range(300):
                peer = peers.enter_context(socket.socket(socket.AF_UNIX, kind))
                peer.settimeout(5)
                with contextlib.suppress(BlockingIOError, TimeoutError, ConnectionError):
                    peer.connect(str(path))
                    if number % 2:
                        peer.send(said)
        noise = peers.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        noise.connect(str(tmp_path / "outcomes"))
        noise.setblocking(False)
        for size in (0, 1, 48, 4096, 60_000):
            for _ in range(100):
                with contextlib.suppress(BlockingIOError):
                    noise.send(b"\xff" * size)

        def heard() -> None:
            assert get(sidecar.admin, "/readyz")[0] == 200
            with connect(f"unix:{sidecar.board}/control") as sock:
                sock.sendall(b'{"op": "status"}\n')
                assert json.loads(sock.makefile().readline())["ok"]
            assert ask(sidecar.address).status == 200

        heard()
        assert len(list(Path(f"/proc/{sidecar.master}/fd").iterdir())) < 700
        sidecar.reload()
        assert len(sidecar.events("reloaded")) == 1
        assert sidecar.upgrade()
        heard()
        assert sidecar.stop() == 0
        assert sidecar.events("stopped")[-1]["drained"]


@pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")
@pytest.mark.parametrize("gate", ["observe", "enforce"])
def test_visitors_behind_nginx_during_a_flood(model_path: Path, tmp_path: Path, gate: str) -> None:
    """Somebody else on the socket opens far more than the bound: no visitor is refused or fails, and each gets a verdict."""
    with limited(model_path, tmp_path, "connections = 40", workers=1) as sidecar, EchoSite() as site:
        with running_nginx(guarded(site, gate), socket=sidecar.address) as nginx, Load(nginx, BROWSER) as visitors:
            for _ in range(5):
                with peers(sidecar, 300, BEGINNING), peers(sidecar, 300, b""):
                    already = visitors.total
                    wait_until(lambda already=already: visitors.total > already + 50, "visitors")
        assert not visitors.failures
        assert visitors.outcomes.keys() == {(200, "human")}
        assert closed_by(sidecar, "connections") > 2000
