"""The TLS handshake from a real nginx to the verdict: told once a connection, remembered by all workers, asked for again, logged.

The served model weighs nothing but the handshake, so that a verdict shows which one was known.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import models
import pytest
from nginx_harness import EchoSite, Nginx, Reply, at, guarded, nginx_binary, running_nginx, trusting
from sidecar_harness import BROWSER, CURL, Sidecar, ask, connect, head, read_reply, wait_until

from sidecar import core, model

pytestmark = pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed")
GATES = ("observe", "enforce", "enforce_fail_closed")
CURL_BINARY = shutil.which("curl")
UNASKED = "location /unasked { auth_request off; return 204; }"
Xbot = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def site() -> Iterator[EchoSite]:
    with EchoSite() as site:
        yield site


@pytest.fixture(scope="module")
def handshakes_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the group tls alone; who tells no handshake has the score of an absent one."""
    path = tmp_path_factory.mktemp("model") / "handshakes.xbot"
    made = models.parts()
    others = [row.name for row in core.FEATURES if row.group != "tls"]
    weight = [0.0 if row.name in others else made.weight[i] for i, row in enumerate(core.FEATURES)]
    families = sum(1 << i for i, row in enumerate(core.FAMILIES) if row.group == "tls")
    weights = models.doubles([*weight, *made.weight[len(core.FEATURES) :]])
    path.write_bytes(model.pack(models.parts(weight=weights, families=families, groups=core.GROUPS["tls"]), []))
    return path


def absent(path: Path) -> str:
    """The score of who tells nothing."""
    request = core.Request()
    request.load_record([(b"User-Agent", b"a")], True)
    return f"{model.load(path).judge(request).score:.4f}"


class Visitor:
    """One connection that stays open, over HTTP/1.1."""

    def __init__(self, nginx: Nginx, suites: str = "") -> None:
        context = trusting()
        if suites:
            context.set_ciphers(suites)
        self._connection = http.client.HTTPSConnection("127.0.0.1", nginx.port, context=context, timeout=30)

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, target: str = "/") -> Reply:
        self._connection.request("GET", target, headers=BROWSER)
        response = self._connection.getresponse()
        return Reply(response.status, response.headers, response.read())

    def score(self, target: str = "/") -> str:
        reply = self.ask(target)
        assert reply.status == 200, reply.body
        return reply.seen("X-Bot-Score")[0]


def test_all_requests_of_a_connection_have_its_handshake(host: str, site: EchoSite, handshakes_path: Path) -> None:
    with (
        Sidecar(handshakes_path, "--admin", "127.0.0.1:0", workers=2, board=host == "module") as sidecar,
        running_nginx(guarded(site), **at(sidecar), secure=True) as nginx,
        Visitor(nginx) as one,
        Visitor(nginx, "ECDHE-ECDSA-AES128-GCM-SHA256") as other,
    ):
        scores = [(one.score(), other.score()) for _ in range(5)]
        assert sidecar.metrics()["xbot_asked_again_total"] == 0
        with running_nginx(guarded(site), **at(sidecar)) as plain:
            unknown = plain.ask("/", BROWSER).seen("X-Bot-Score")[0]
    assert len(set(scores)) == 1
    assert len({*scores[0], unknown}) == 3
    assert unknown == absent(handshakes_path)


@pytest.mark.parametrize("gate", GATES)
def test_a_handshake_that_nobody_told_is_asked_for(site: EchoSite, handshakes_path: Path, gate: str) -> None:
    """Whoever asks first for what nobody is asked about loses nothing of it, nor do those who were there before the sidecar."""
    with contextlib.ExitStack() as stack:
        sidecar = stack.enter_context(Sidecar(handshakes_path, "--admin", "127.0.0.1:0", workers=1))
        server = UNASKED + guarded(site, gate)
        nginx = stack.enter_context(running_nginx(server, socket=sidecar.address, secure=True))
        one, late = stack.enter_context(Visitor(nginx)), stack.enter_context(Visitor(nginx))
        known = one.score()
        assert known != absent(handshakes_path)
        assert late.ask("/unasked").status == 204
        assert [late.score() for _ in range(3)] == [known] * 3
        assert sidecar.metrics()["xbot_asked_again_total"] == 1
        assert sidecar.upgrade()  # to a master with memory of its own
        assert [one.score() for _ in range(3)] == [late.score() for _ in range(3)] == [known] * 3
        sidecar.stop()
        reply = one.ask()
        if gate == "enforce_fail_closed":
            assert reply.status == 503
        else:
            assert reply.seen("X-Bot") == ["unknown"]


@pytest.mark.parametrize("gate", GATES)
def test_the_second_question_refuses_and_fails_as_the_first(site: EchoSite, tmp_path: Path, gate: str) -> None:
    """A bot whose handshake had to be asked for, in each of the gates; and a sidecar that asks for it and is gone."""
    path = tmp_path / "all-bots.xbot"
    path.write_bytes(models.image(bias=9.0, threshold=0.0))
    with Sidecar(path, "--mode", "enforce", workers=1) as sidecar:
        server = UNASKED + guarded(site, gate)
        with running_nginx(server, socket=sidecar.address, secure=True) as nginx, Visitor(nginx) as visitor:
            visitor.ask("/unasked")
            reply = visitor.ask()
            assert reply.status == (200 if gate == "observe" else 403)
            if gate == "observe":
                assert reply.seen("X-Bot") == ["bot"]
    with (
        asks_and_leaves(tmp_path / "gone.sock") as address,
        running_nginx(server, socket=address, secure=True) as nginx,
        Visitor(nginx) as visitor,
    ):
        reply = visitor.ask()
        assert reply.status == (503 if gate == "enforce_fail_closed" else 200)
        if reply.status == 200:
            assert reply.seen("X-Bot") == ["unknown"]


@contextlib.contextmanager
def asks_and_leaves(path: Path) -> Iterator[str]:
    """A sidecar on a socket that asks for the handshake, whatever it is told, and leaves each time."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(8)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client:
                        while b"\r\n\r\n" in client.recv(65536):
                            client.sendall(b"HTTP/1.1 428 Precondition Required\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield f"unix:{path}"


# ---- workers


def question(requests: int, tls: bool, serial: int = 7, ip: str = "203.0.113.7") -> bytes:
    """As nginx asks about a visitor's request on connection `serial`."""
    told = {"X-Connection": f"29-{serial}-{requests}", "X-Xbot-Files": str(core.FILES)}
    if tls:
        told |= {"X-TLS-Protocol": "TLSv1.3", "X-TLS-Ciphers": "0xdada:TLS_AES_128_GCM_SHA256:AES128-SHA"}
    return head({**told, **CURL}, ip=ip)


def test_every_worker_knows_what_one_was_told(handshakes_path: Path) -> None:
    """Also once that one was killed; and its successor knows it."""
    with Sidecar(handshakes_path, workers=2) as sidecar:
        one, other = sidecar.serving
        with contextlib.ExitStack() as stack:
            to: dict[int, object] = {}
            for pid, stopped in ((one, other), (other, one)):
                os.kill(stopped, signal.SIGSTOP)
                to[pid] = stack.enter_context(connect(sidecar.address))
                to[pid].sendall(question(1, True, serial=pid))
                assert read_reply(to[pid]).status == 200
                os.kill(stopped, signal.SIGCONT)
            for serial in (one, other):
                for pid in (one, other):
                    to[pid].sendall(question(2, False, serial=serial))
                    reply = read_reply(to[pid])
                    assert reply.status == 200
                    assert reply["X-Bot-Score"] != absent(handshakes_path)
            os.kill(one, signal.SIGKILL)
            wait_until(lambda: one not in sidecar.serving and len(sidecar.serving) == 2, "a successor")
            to[other].sendall(question(3, False, serial=one))
            assert read_reply(to[other]).status == 200
            os.kill(other, signal.SIGSTOP)
            assert ask(sidecar.address, question(3, False, serial=one)).status == 200  # the successor's answer
            assert ask(sidecar.address, question(3, False, serial=one, ip="203.0.113.8")).status == 200
            assert ask(sidecar.address, question(3, False, serial=99)).status == 428
            os.kill(other, signal.SIGCONT)


def test_workers_are_killed_while_they_write(handshakes_path: Path) -> None:
    """Whatever they leave, the answer is the right one, or they ask."""
    with Sidecar(handshakes_path, workers=2) as sidecar:
        right = ask(sidecar.address, question(1, True))["X-Bot-Score"]
        for _ in range(5):
            before = sidecar.serving
            with connect(sidecar.address) as sock:
                sock.sendall(b"".join(question(1, True, serial=n % 9) for n in range(400)))
                for pid in before:
                    os.kill(pid, signal.SIGKILL)
            wait_until(lambda before=before: len(set(sidecar.serving) - set(before)) == 2, "successors")
            for serial in range(9):
                reply = ask(sidecar.address, question(2, False, serial=serial))
                assert reply.status == 428 or reply["X-Bot-Score"] == right


def test_two_listeners_do_not_meet(handshakes_path: Path, tmp_path: Path) -> None:
    """Two nginx in two containers may have the same process ids and numbers."""
    with Sidecar(handshakes_path, listen=[f"unix:{tmp_path}/{name}" for name in "ab"], workers=2) as sidecar:
        first, second = sidecar.addresses
        assert ask(first, question(1, True)).status == 200
        assert ask(first, question(2, False)).status == 200
        assert ask(second, question(2, False)).status == 428


# ---- logs


def scored(xbot: Xbot, path: Path, log: Path) -> list[float]:
    lines = xbot("score", "--model", path, "--format", "jsonl", "--json", log).stdout.splitlines()
    return [json.loads(line)["score"] for line in lines]


def explained(xbot: Xbot, path: Path, log: Path) -> list[float]:
    said = xbot("explain", "--model", path, "--format", "jsonl", "--json", log).stdout.splitlines()
    return [json.loads(line)["score"] for line in said]


def logged(visitor: Visitor, nginx: Nginx, told: list[str]) -> None:
    """One more score in `told`, and in the log: two workers write after their replies, each in its own time."""
    told.append(visitor.score())
    nginx.log_lines("log", at_least=len(told))


def test_the_log_scores_as_the_visitors_did(
    host: str, site: EchoSite, handshakes_path: Path, xbot: Xbot, tmp_path: Path
) -> None:
    """Over HTTP/1.1 and HTTP/2, with connections kept and not, asked about from the first request on and later. A log that tells
    a handshake with a connection's first line alone says the same."""
    server = (
        "access_log {prefix}/log xbot_jsonl; " + UNASKED.replace("return", "access_log off; return") + guarded(site)
    )
    with contextlib.ExitStack() as stack:
        sidecar = stack.enter_context(Sidecar(handshakes_path, workers=2, board=host == "module"))
        for options in ("", "http2"):
            nginx = stack.enter_context(
                running_nginx(server, **at(sidecar), secure=True, listen_options=options, workers=2)
            )
            told: list[str] = []
            one, other = (
                stack.enter_context(Visitor(nginx)),
                stack.enter_context(Visitor(nginx, "ECDHE-ECDSA-CHACHA20-POLY1305")),
            )
            late = stack.enter_context(Visitor(nginx))
            late.ask("/unasked")
            for visitor in (one, other, other, late, one, late, other, one):
                logged(visitor, nginx, told)
            for _ in range(3):
                with Visitor(nginx) as once:
                    logged(once, nginx, told)
            if options and CURL_BINARY:
                done = subprocess.run(
                    [CURL_BINARY, "-sk", "--http2", *(f"{nginx.url}/{i}" for i in range(5))],
                    capture_output=True,
                    check=True,
                )
                told += re.findall(r'"X-Bot-Score", "([\d.]+)"', done.stdout.decode())
                assert len(told) == 16
            nginx.log_lines("log", at_least=len(told))
            log = nginx.prefix / "log"
            lines = [json.loads(line) for line in log.read_bytes().splitlines()]
            assert [f"{line['score']:.4f}" for line in lines] == told
            assert {line["protocol"] for line in lines} == (
                {"HTTP/1.1", "HTTP/2.0"} if options and CURL_BINARY else {"HTTP/1.1"}
            )
            assert [f"{score:.4f}" for score in scored(xbot, handshakes_path, log)] == told
            assert [f"{score:.4f}" for score in explained(xbot, handshakes_path, log)] == told
            seen: set[int] = set()
            for line in lines:
                if line["connection"] in seen:
                    del line["tls"]
                seen.add(line["connection"])
            sparse = tmp_path / f"sparse{options}.jsonl"
            sparse.write_text("".join(json.dumps(line) + "\n" for line in lines))
            assert sum("tls" in line for line in lines) < len(lines) - 4
            assert [f"{score:.4f}" for score in scored(xbot, handshakes_path, sparse)] == told
            assert len(set(told)) >= 2


def test_streams_side_by_side(host: str, site: EchoSite, handshakes_path: Path) -> None:
    """Over HTTP/2 the second request may be asked about before the first one's handshake has come."""
    if CURL_BINARY is None:
        pytest.skip("no curl")
    with (
        Sidecar(handshakes_path, workers=2, board=host == "module") as sidecar,
        running_nginx(guarded(site), **at(sidecar), secure=True, listen_options="http2") as nginx,
    ):
        for _ in range(5):
            command = [CURL_BINARY, "-skZ", "--http2", *(f"{nginx.url}/{i}" for i in range(30))]
            done = subprocess.run(command, capture_output=True, check=True, timeout=60)
            scores = re.findall(r'"X-Bot-Score", "([\d.]+)"', done.stdout.decode())
            assert len(scores) == 30
            assert len(set(scores)) == 1
            assert scores[0] != absent(handshakes_path)


def test_behind_a_cdn_the_log_says_so(host: str, site: EchoSite, handshakes_path: Path, xbot: Xbot) -> None:
    server = "access_log {prefix}/log xbot_jsonl; set $xbot_order lost; " + guarded(site)
    with (
        Sidecar(handshakes_path, workers=1, board=host == "module") as sidecar,
        running_nginx(server, **at(sidecar), secure=True) as nginx,
        Visitor(nginx) as visitor,
    ):
        told = [visitor.score() for _ in range(3)]
        nginx.log_lines("log", at_least=3)
        assert [f"{score:.4f}" for score in scored(xbot, handshakes_path, nginx.prefix / "log")] == told
    assert set(told) == {absent(handshakes_path)}


# ---- files of another version


@pytest.mark.parametrize(("version", "age"), [("1", "older"), ("99", "newer")])
def test_files_of_another_version_are_told_once(site: EchoSite, handshakes_path: Path, version: str, age: str) -> None:
    with (
        Sidecar(handshakes_path, "--admin", "127.0.0.1:0", workers=2) as sidecar,
        running_nginx(guarded(site), socket=sidecar.address, secure=True) as nginx,
    ):
        with Visitor(nginx) as visitor:
            before = visitor.score()
        question = nginx.prefix / "xbot" / "question.conf"
        text = question.read_text()
        changed = re.sub(rf"(X-Xbot-Files +){core.FILES};", rf"\g<1>{version};", text)
        assert changed != text
        question.write_text(changed)
        nginx.reload()
        name = f'xbot_other_files_total{{version="{age}"}}'

        def met() -> bool:
            with Visitor(nginx) as visitor:
                assert visitor.score() == before
            return sidecar.metrics()[name] >= 5

        wait_until(met, "questions by these files")
        event = sidecar.wait_for("files of nginx")
        assert (event["level"], event["version"], event["expected"]) == ("warning", age, core.FILES)
        count = itertools.count()
        wait_until(lambda: met() and next(count) > 30, "more of them")
        assert len(sidecar.events("files of nginx")) == 1
