"""`xbot bench`: it asks what it is told to, as often as it says, nobody else, and a delay that is there shows."""

from __future__ import annotations

import contextlib
import json
import shutil
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nginx_harness import EchoSite, nginx_binary, running_nginx
from sidecar_harness import Sidecar

QUICK = ("--json", "--rate", 100, "--seconds", 0.4, "--rounds", 2, "--connections", 4)
ASKED = 40  # rate times seconds


class Asked(socketserver.ThreadingTCPServer):
    """Answers 204 after `delay` seconds, and counts."""

    daemon_threads = True
    delay = 0.0
    asked = 0
    status = b"204 No Content"


class _Answer(socketserver.StreamRequestHandler):
    server: Asked

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                self.server.asked += 1
                time.sleep(self.server.delay)
                self.wfile.write(b"HTTP/1.1 %s\r\nX-Bot: human\r\nContent-Length: 0\r\n\r\n" % self.server.status)


@contextlib.contextmanager
def answering(delay: float = 0.0) -> Iterator[tuple[Asked, str]]:
    with Asked(("127.0.0.1", 0), _Answer) as server:
        server.delay = delay
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server, f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_delay_that_the_question_adds_shows(xbot: Any) -> None:
    with answering() as (plain, fast), answering(0.05) as (asked, slow):
        said = json.loads(
            xbot("bench", *QUICK, "--no-most", "--guarded", f"http://{slow}/", "--unguarded", f"http://{fast}/").stdout
        )
    assert said["guarded"]["ms"]["p50"] >= 50
    assert said["added_ms"]["p50"] == said["guarded"]["ms"]["p50"] - said["unguarded"]["ms"]["p50"] > 25
    assert plain.asked == asked.asked == ASKED + 1  # one to see whether anybody is there
    for name in ("guarded", "unguarded"):
        assert (said[name]["answered"], said[name]["failed"]) == (ASKED, {})
        assert said[name]["statuses"] == {"204": ASKED}


def test_who_waits_for_an_earlier_answer_is_counted(xbot: Any) -> None:
    """One connection, 20 ms an answer, 100 requests a second: the queue grows, and the last waited for all before it."""
    with answering(0.02) as (_, address):
        arguments = ("--json", "--rate", 100, "--seconds", 0.5, "--rounds", 1, "--connections", 1, "--no-most")
        said = json.loads(xbot("bench", *arguments, "--guarded", f"http://{address}/").stdout)
    assert said["guarded"]["answered"] == 50
    assert said["guarded"]["ms"]["p99"] >= 450
    assert said["guarded"]["ms"]["p50"] >= 200


@pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")
def test_a_real_nginx_and_its_sidecar(xbot: Any, made_model_path: Path) -> None:
    with EchoSite() as site, Sidecar(made_model_path, "--admin", "127.0.0.1:0", workers=1) as sidecar:
        socket = sidecar.directory / "xbot.sock"
        server = f"""include xbot/observe.conf;
            location / {{ include xbot/pass.conf; proxy_pass http://{site.address}; }}
            location /plain/ {{ auth_request off; proxy_pass http://{site.address}; }}"""
        with running_nginx(server, socket=socket) as nginx:
            urls = ("--guarded", f"{nginx.url}/", "--unguarded", f"{nginx.url}/plain/")
            done = xbot("bench", *QUICK[1:], *urls, "--socket", f"unix:{socket}", "-H", "user-agent: curl/8.5.0")
        agents = [value for told in site.requests for name, value in told["headers"] if name.lower() == "user-agent"]
        judged = sum("X-Bot" in dict(told["headers"]) for told in site.requests)
    printed = done.stdout.decode()
    assert "the question adds" in printed
    assert f"{ASKED} × 200" in printed
    assert set(agents) == {"curl/8.5.0"}
    assert judged >= ASKED + 1
    assert len(site.requests) - judged >= ASKED + 1
    if shutil.which("h2load") is None:
        assert b"apt-get install nghttp2-client" in done.stderr


@pytest.mark.parametrize(
    ("name", "status", "refused"),
    [
        ("unguarded", b"404 Not Found", True),
        ("unguarded", b"403 Forbidden", True),
        ("guarded", b"404 Not Found", True),
        ("guarded", b"500 Internal Server Error", True),
        ("guarded", b"403 Forbidden", False),
        ("unguarded", b"301 Moved Permanently", False),
    ],
)
def test_errors_are_no_pages(xbot: Any, name: str, status: bytes, refused: bool) -> None:
    """A 404 costs a site less than a page does. 403 is what the question may come to."""
    with answering() as (server, address):
        server.status = status
        command = ("bench", *QUICK, "--no-most", f"--{name}", f"http://{address}/page")
        done = xbot(*command, code=2 if refused else 0)
        assert server.asked == (1 if refused else ASKED + 1)
    if refused:
        said = f"xbot: bench: --{name} http://{address}/page: {status.decode()}: name a page that is there\n"
        assert done.stderr.decode() == said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give --guarded URL, --unguarded URL or --socket ADDRESS"),
        (("--guarded", "ftp://127.0.0.1/"), "--guarded 'ftp://127.0.0.1/': not http://HOST[:PORT]/PATH"),
        (("--guarded", "http://127.0.0.1:99999/"), "Port out of range"),
        (("--guarded", "http://192.0.2.1/"), "http://192.0.2.1/: not an address of this machine; add --remote if"),
        (("--guarded", "http://127.0.0.1:1/"), "http://127.0.0.1:1/: Connection refused"),
        (("--socket", "unix:/nowhere/xbot.sock"), "unix:/nowhere/xbot.sock: No such file or directory"),
        (("--socket", "nowhere"), "'nowhere'"),
        (("--guarded", "http://127.0.0.1/", "-H", "nothing"), "--header 'nothing': not NAME:VALUE"),
        (("--guarded", "http://127.0.0.1/", "--rate", "1000000"), "--rate"),
    ],
)
def test_what_cannot_be_measured_is_said(xbot: Any, arguments: tuple[str, ...], said: str) -> None:
    done = xbot("bench", *arguments, code=2)
    assert said in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == b""
