"""The files of nginx/ in a real nginx, before a site, with a real sidecar behind them.

Each trap of docs/nginx.md has its mend here.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from nginx_harness import FILES, EchoSite, Load, Nginx, Reply, at, guarded, nginx_binary, running_nginx
from sidecar_harness import BROWSER, CURL, Sidecar

from sidecar import core

pytestmark = pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")

GATES = ("observe", "enforce", "enforce_fail_closed")
SCORE = re.compile(r"[01]\.\d{4}")
SCORED = ("line", "verdict", "score", "margin", "reason")  # what `xbot score --json` says of a line
Xbot = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def site() -> Iterator[EchoSite]:
    with EchoSite() as site:
        yield site


@pytest.fixture(scope="module")
def observing(host: str, model_path: Path) -> Iterator[Sidecar]:
    with Sidecar(model_path, "--admin", "127.0.0.1:0", workers=1, board=host == "module") as sidecar:
        yield sidecar


@pytest.fixture(scope="module")
def enforcing(host: str, model_path: Path) -> Iterator[Sidecar]:
    with Sidecar(
        model_path, "--mode", "enforce", "--admin", "127.0.0.1:0", workers=1, board=host == "module"
    ) as sidecar:
        yield sidecar


def passing(site: EchoSite) -> str:
    """The directives of a location that hands requests on to the site."""
    return f"include xbot/pass.conf; proxy_pass http://{site.address};"


def assert_verdict(reply: Reply, verdict: str) -> None:
    """The site got this verdict, with a score and a reason, and no other word on it."""
    assert reply.status == 200, reply.body
    assert reply.seen("X-Bot") == [verdict]
    if verdict == "unknown":
        assert reply.seen("X-Bot-Score") == reply.seen("X-Bot-Reason") == []
    else:
        (score,), (reason,) = reply.seen("X-Bot-Score"), reply.seen("X-Bot-Reason")
        assert SCORE.fullmatch(score)
        assert reason


# ---- verdicts and what becomes of them


@pytest.mark.parametrize("gate", GATES)
def test_the_verdict_reaches_the_site(site: EchoSite, observing: Sidecar, gate: str) -> None:
    with running_nginx(guarded(site, gate), **at(observing)) as nginx:
        assert_verdict(nginx.ask(headers=BROWSER), "human")
        assert_verdict(nginx.ask(headers=CURL), "bot")


@pytest.mark.parametrize("gate", GATES)
def test_enforce_refuses_bots_before_the_site(site: EchoSite, enforcing: Sidecar, gate: str) -> None:
    with running_nginx(guarded(site, gate), **at(enforcing)) as nginx:
        assert_verdict(nginx.ask(headers=BROWSER), "human")
        site.requests.clear()
        reply = nginx.ask("/bot", CURL)
        if gate == "observe":
            assert_verdict(reply, "bot")
        else:
            assert reply.status == 403
            assert site.requests == []


def test_each_location_may_ask_in_its_own_way(site: EchoSite, enforcing: Sidecar) -> None:
    server = f"""
        include xbot/observe.conf;
        location /login {{ auth_request /_xbot/enforce; {passing(site)} }}
        location /open {{ auth_request off; {passing(site)} }}
        location / {{ {passing(site)} }}
    """
    with running_nginx(server, **at(enforcing)) as nginx:
        assert_verdict(nginx.ask("/", CURL), "bot")
        assert nginx.ask("/login", CURL).status == 403
        assert_verdict(nginx.ask("/login", BROWSER), "human")
        assert_verdict(nginx.ask("/open", CURL), "unknown")


def test_the_question_cannot_be_asked_from_outside(site: EchoSite, observing: Sidecar) -> None:
    with running_nginx(guarded(site), **at(observing)) as nginx:
        for gate in GATES:
            assert nginx.ask(f"/_xbot/{gate}", BROWSER).status == 404


def test_the_question(site: EchoSite) -> None:
    """What the sidecar is told: the visitor's headers in their order, and what nginx alone may say of him."""
    own = "proxy_method PUT; proxy_set_header X-Own 1;"
    with EchoSite() as asked, running_nginx(f"{own} {guarded(site)}", socket=asked.address) as nginx:
        said = (
            "X-Real-IP",
            "X-Original-URI",
            "X-Original-Method",
            "X-Original-Protocol",
            "X-Original-Scheme",
            "X-Original-Host",
        )
        forged = [(name, "forged") for name in said]
        visitor = [("User-Agent", "a"), ("X-Strange", "b"), ("accept", "c"), ("Cookie", "d")]
        nginx.ask("/a?b=%20", [("Host", "Site.Example:80"), *forged, *visitor], "POST", b"x" * 100)
        (question,) = asked.requests
    assert (question["method"], question["target"], question["body"]) == ("GET", "/", 0)
    headers = [(name, value) for name, value in question["headers"] if name != "Host"]
    connection = headers.pop(len(said))
    assert connection[0] == "X-Connection"
    assert re.fullmatch(r"\d+-\d+-1", connection[1])
    assert headers.pop(len(said)) == ("X-Xbot-Files", str(core.FILES))
    told = ("127.0.0.1", "/a?b=%20", "POST", "HTTP/1.1", "http", "site.example")
    assert headers == [*zip(said, told, strict=True), *visitor]


@pytest.mark.parametrize("underscores", ["on", "off"])
@pytest.mark.parametrize("ignore_invalid", ["on", "off"])
def test_no_forged_header_reaches_the_site(
    site: EchoSite, observing: Sidecar, underscores: str, ignore_invalid: str
) -> None:
    """Many sites read X_Bot and X.Bot as X-Bot. With ignore_invalid_headers off nginx hashes a name without the letters
    that it deems invalid, and proxy_set_header would miss it: see pass.conf."""
    names = [
        separators[0].join(("X", "Bot")) + "".join(separators[1:]) + part
        for part in ("", "Score", "Reason", "Policy")
        for separators in itertools.product("-_.", repeat=2 if part else 1)
    ]
    server = f"underscores_in_headers {underscores}; ignore_invalid_headers {ignore_invalid}; {guarded(site)}"
    # As many header lines of the site's own as any site has: the names share one table.
    own = "".join(f"proxy_set_header X-Own-{i} {i};" for i in range(40))
    with running_nginx(server.replace("proxy_pass", f"{own} proxy_pass"), **at(observing)) as nginx:
        for name in names:
            for spelling in (name, name.lower(), name.upper()):
                reply = nginx.ask("/", {**CURL, spelling: "forged", "X-Own": "kept", "X~Own": "kept"})
                assert_verdict(reply, "bot")
                assert "forged" not in {value for _, value in reply.site["headers"]}, spelling
                assert reply.seen("X-Own") == ["kept"]
                assert reply.seen("X~Own") == (["kept"] if ignore_invalid == "off" else [])
        assert "[warn]" not in nginx.error_log()


# ---- a sidecar that is away


@pytest.mark.parametrize("gate", GATES)
def test_a_killed_sidecar(site: EchoSite, model_path: Path, gate: str) -> None:
    with (
        Sidecar(model_path, "--mode", "enforce", workers=1) as sidecar,
        running_nginx(guarded(site, gate), **at(sidecar)) as nginx,
    ):
        assert_verdict(nginx.ask(headers=BROWSER), "human")
        for pid in (sidecar.process.pid, *sidecar.workers):
            os.kill(pid, signal.SIGKILL)
        sidecar.process.wait()
        for _ in range(3):
            reply = nginx.ask(headers=BROWSER)
            if gate == "enforce_fail_closed":
                assert reply.status == 503
            else:
                assert_verdict(reply, "unknown")


@pytest.mark.parametrize("gate", GATES)
def test_a_sidecar_that_never_was(site: EchoSite, tmp_path: Path, gate: str) -> None:
    server = "access_log {prefix}/log xbot_jsonl; " + guarded(site, gate)
    status = 503 if gate == "enforce_fail_closed" else 200
    with running_nginx(server, socket=tmp_path / "none.sock") as nginx:
        for method, body in (("GET", b""), ("POST", b"x" * 100_000), ("HEAD", b"")):
            assert nginx.ask("/", CURL, method, body).status == status
        for line in map(json.loads, nginx.log_lines("log", at_least=3)):
            said = (line["status"], line["verdict"], line["score"], line["reason"])
            assert said == (status, "unknown", None, "")


def test_a_stopped_sidecar_costs_a_moment(site: EchoSite, model_path: Path) -> None:
    """nginx's own time-out of a minute is longer than the client here waits."""
    with (
        Sidecar(model_path, workers=1) as sidecar,
        running_nginx(guarded(site), **at(sidecar)) as nginx,
    ):
        assert_verdict(nginx.ask(headers=BROWSER), "human")
        for pid in sidecar.workers:
            os.kill(pid, signal.SIGSTOP)
        assert_verdict(nginx.ask(headers=BROWSER), "unknown")
        for pid in sidecar.workers:
            os.kill(pid, signal.SIGCONT)
        assert_verdict(nginx.ask(headers=BROWSER), "human")


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_nobody_accepts(site: EchoSite, tmp_path: Path, family: socket.AddressFamily) -> None:
    """A full queue: a Unix socket refuses at once, TCP is silent."""
    with socket.socket(family) as listener, contextlib.ExitStack() as waiting:
        listener.bind(str(tmp_path / "xbot.sock") if family == socket.AF_UNIX else ("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            client = waiting.enter_context(socket.socket(family))
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        at = listener.getsockname()
        with running_nginx(guarded(site), socket=at if family == socket.AF_UNIX else f"127.0.0.1:{at[1]}") as nginx:
            assert_verdict(nginx.ask(headers=BROWSER), "unknown")


def test_a_socket_that_nginx_may_not_open(site: EchoSite, tmp_path: Path) -> None:
    user = "nobody" if os.geteuid() == 0 else None  # root may open anything
    with socket.socket(socket.AF_UNIX) as listener:
        path = tmp_path / "xbot.sock"
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        with running_nginx(guarded(site), socket=path, user=user) as nginx:
            assert_verdict(nginx.ask(headers=BROWSER), "unknown")
            assert "Permission denied" in nginx.error_log()


class NotHttp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


@pytest.mark.parametrize(("gate", "status"), [("observe", 500), ("enforce", 500), ("enforce_fail_closed", 503)])
def test_something_else_on_the_socket(site: EchoSite, gate: str, status: int) -> None:
    """The one error that nginx cannot be told to let by: docs/nginx.md says what it looks like."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), NotHttp) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with running_nginx(guarded(site, gate), socket=f"127.0.0.1:{other.server_address[1]}") as nginx:
            assert nginx.ask(headers=BROWSER).status == status
            assert "auth request unexpected status" in nginx.error_log()
        other.shutdown()


# ---- requests of every kind


def test_methods_and_bodies(site: EchoSite, observing: Sidecar) -> None:
    server = f"""
        include xbot/observe.conf;
        location / {{ {passing(site)} client_max_body_size 8m; }}
    """
    with running_nginx(server, **at(observing)) as nginx:
        for size in (1, 1 << 20, 3 << 20):  # the last is more than nginx allows by default: see locations.conf
            reply = nginx.ask("/form", {**BROWSER, "Origin": "https://example.com"}, "POST", b"x" * size)
            assert_verdict(reply, "human")
            assert reply.site["body"] == size
        chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (b"x" * 70_000, b"yz")) + b"0\r\n\r\n"
        head = b"POST /form HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n"
        reply = nginx.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked)
        assert_verdict(reply, "bot")
        assert reply.site["body"] == 70_002
        for method in ("OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND"):
            reply = nginx.ask("/", {**BROWSER, "Origin": "https://example.com"}, method)
            assert_verdict(reply, "human")
            assert reply.site["method"] == method
        assert nginx.ask("/", BROWSER, "HEAD").status == 200
        missing = nginx.ask("/missing", BROWSER)
        assert missing.status == 404
        assert missing.seen("X-Bot") == ["human"]


TARGETS = (
    "/?", "/?a=b&a=b&&=", "/%01%ff", "/?q=%%%", "/?q=%zz", "/?<script>\"'`{}|^\\", "/?\xff\x80\xfe", "/\xc3\xa9",
    "//a//../b", "/a;b=c?d;e", "/?" + "a" * 7000, "/#frag", "/?%09%0a%00", "http://other.example/absolute?x=1",
)  # fmt: skip


def test_odd_targets(site: EchoSite, observing: Sidecar) -> None:
    server = "access_log {prefix}/log xbot_jsonl; " + guarded(site)
    with running_nginx(server, **at(observing)) as nginx:
        sent = []
        for target in TARGETS:
            reply = nginx.ask(target, BROWSER)
            if reply.status != 400:  # nginx's own refusal, which nobody is asked about
                assert reply.seen("X-Bot")[0] in ("human", "bot"), target
                sent.append(target)
        assert len(sent) >= len(TARGETS) - 1
        assert "unexpected" not in nginx.error_log()


def test_odd_header_values(site: EchoSite, observing: Sidecar) -> None:
    """Bytes that nginx hands on must not let a visitor choose `unknown`."""
    odd = [*range(0x01, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0x100)]
    with running_nginx(guarded(site), **at(observing)) as nginx:
        for byte in odd:
            reply = nginx.ask("/", {"User-Agent": f"a{chr(byte)}b", "Referer": chr(byte), "X-Other": chr(byte) * 3})
            assert reply.status == 200
            assert reply.seen("X-Bot")[0] in ("human", "bot"), hex(byte)
            assert reply.seen("User-Agent") == [f"a{chr(byte)}b"]


def test_large_heads(site: EchoSite, observing: Sidecar) -> None:
    with running_nginx(guarded(site), **at(observing)) as nginx:
        # Four buffers of 8 kB, all that nginx takes by default, and a first one of 1 kB.
        reply = nginx.ask("/", [*CURL.items(), *((f"X-Large-{i}", "x" * 8100) for i in range(4))])
        assert_verdict(reply, "bot")
        # More headers than the sidecar looks at: judged by what it does look at.
        reply = nginx.ask("/", [*CURL.items(), *((f"X-{i}", "x") for i in range(400))])
        assert len(reply.site["headers"]) > 400
        assert_verdict(reply, reply.seen("X-Bot")[0])
        assert reply.seen("X-Bot") != ["unknown"]
        # Beyond that it is nginx that refuses, and nobody is asked.
        assert nginx.ask("/", [*CURL.items(), *((f"X-Large-{i}", "x" * 8100) for i in range(5))]).status == 400


def test_old_protocols(site: EchoSite, observing: Sidecar) -> None:
    server = "access_log {prefix}/log xbot_jsonl; " + guarded(site)
    with running_nginx(server, **at(observing)) as nginx:
        assert_verdict(nginx.send(b"GET / HTTP/1.0\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"), "bot")
        with nginx.connect() as connection:
            connection.sendall(b"GET /\r\n")
            body = b"".join(iter(lambda: connection.recv(65536), b""))
        headers = dict(json.loads(body)["headers"])
        assert headers["X-Bot"] in ("human", "bot")
        logged = [json.loads(line) for line in nginx.log_lines("log", at_least=2)]
        assert [(line["protocol"], line["status"]) for line in logged] == [("HTTP/1.0", 200), ("", 200)]


def test_http2(site: EchoSite, observing: Sidecar) -> None:
    curl = shutil.which("curl")
    if curl is None or b"HTTP2" not in subprocess.run([curl, "-V"], capture_output=True, check=True).stdout:
        pytest.skip("no curl that speaks HTTP/2")
    server = "access_log {prefix}/log xbot_jsonl; ignore_invalid_headers off; " + guarded(site)
    with running_nginx(server, **at(observing), listen_options="http2") as nginx:
        forged = [word for name in ("x-bot", "x_bot", "x.bot") for word in ("-H", f"{name}: forged")]
        command = [curl, "-sS", "--http2-prior-knowledge", *forged, nginx.url]
        body = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
        assert b"forged" not in body
        assert dict(json.loads(body)["headers"])["X-Bot"] == "bot"
        (line,) = map(json.loads, nginx.log_lines("log", at_least=1))
        assert (line["protocol"], line["verdict"]) == ("HTTP/2.0", "bot")


# ---- the connection to the sidecar


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("gate", ["observe", "enforce"])
def test_one_connection_serves_all_questions(site: EchoSite, enforcing: Sidecar, gate: str) -> None:
    with running_nginx(guarded(site, gate), **at(enforcing)) as nginx:
        before = enforcing.metrics()["xbot_connections_total"]
        for i in range(45):  # older versions of nginx begin a new one after 100
            assert nginx.ask(headers=CURL, method="POST", body=b"x" * i).status == (403 if gate == "enforce" else 200)
            assert nginx.ask(headers=BROWSER).status == 200
        assert enforcing.metrics()["xbot_connections_total"] - before == 1


def test_killed_workers_lose_no_answer(site: EchoSite, model_path: Path) -> None:
    workers, kills = 2, 6
    server = f"proxy_next_upstream off; {guarded(site)}"  # the site's own: not for the question
    with (
        Sidecar(model_path, workers=workers) as sidecar,
        running_nginx(server, **at(sidecar), workers=2) as nginx,
        Load(nginx, headers=BROWSER) as load,
    ):
        for killed in range(kills):
            time.sleep(0.5)
            sidecar.wait_for("worker ready", workers + killed)  # on a busy machine the next one may take longer
            os.kill(random.choice(sidecar.workers), signal.SIGKILL)
        sidecar.wait_for("worker ready", workers + kills)
    assert load.failures == []
    assert set(load.outcomes) == {(200, "human")}
    assert load.total > 100


def test_model_swaps_lose_nothing(site: EchoSite, model_path: Path, other_model_path: Path, tmp_path: Path) -> None:
    served, fresh = tmp_path / "served.xbot", tmp_path / "fresh.xbot"
    shutil.copy(model_path, served)
    with (
        Sidecar(served, workers=2) as sidecar,
        running_nginx(guarded(site), **at(sidecar), workers=2) as nginx,
    ):
        first = nginx.ask(headers=BROWSER).seen("X-Bot-Score")
        with Load(nginx, headers=BROWSER) as load:
            for model in [other_model_path, model_path] * 49 + [model_path, other_model_path]:
                shutil.copy(model, fresh)
                fresh.replace(served)
                sidecar.reload()
        assert len(sidecar.events("reloaded")) == 100
        assert nginx.ask(headers=BROWSER).seen("X-Bot-Score") != first
    assert load.failures == []
    assert {status for status, _ in load.outcomes} == {200}
    assert (200, "unknown") not in load.outcomes
    assert load.total > 100


# ---- logs


def visitor_headers() -> set[str]:
    """The names that features look at: those with the role VISITOR in csrc/request/headers.def."""
    rows = (FILES.parent / "csrc" / "request" / "headers.def").read_text()
    return set(re.findall(r'^XB_HEADER\(\w+, "([\w-]+)", VISITOR\)', rows, re.MULTILINE))


def test_the_decision_log_holds_each_header_that_a_feature_reads(site: EchoSite, observing: Sidecar) -> None:
    names = visitor_headers() - {
        "signature",
        "signature-agent",
        "signature-input",
    }  # for proofs, which no log can repeat
    assert {"user-agent", "sec-ch-ua"} <= names
    server = "access_log {prefix}/log xbot_jsonl; " + guarded(site)
    with running_nginx(server, **at(observing)) as nginx:
        nginx.ask("/a?b", {"Host": "Site.Example:80", **{name: f"value of {name}" for name in names}})
        (line,) = map(json.loads, nginx.log_lines("log", at_least=1))
    logged = {name.lower(): value for name, value in line.pop("headers").items()}
    secret = dict.fromkeys(("cookie", "authorization"), "1")
    assert logged == {"host": "site.example"} | {name: f"value of {name}" for name in names} | secret
    assert line.pop("time") > 1_700_000_000
    assert SCORE.fullmatch(f"{line.pop('score'):.4f}")
    assert line.pop("reason")
    assert line.pop("verdict") in ("human", "bot")
    assert line.pop("policy") == "default"
    assert len(line.pop("id")) == 12
    assert line.pop("connection") > 0
    assert line.pop("connection_requests") == 1
    assert set(line.pop("tls").values()) == {""}
    assert line.pop("order") == ""
    said = {"method": "GET", "uri": "/a?b", "protocol": "HTTP/1.1", "scheme": "http"}
    assert line.pop("bytes") > 0
    assert line.pop("type") == "application/json"
    assert line == {"ip": "127.0.0.1", "status": 200, **said}


def test_the_combined_log_ends_with_the_verdict(
    site: EchoSite, enforcing: Sidecar, model_path: Path, xbot: Xbot
) -> None:
    server = "access_log {prefix}/log xbot; " + guarded(site, "enforce")
    with running_nginx(server, **at(enforcing)) as nginx:
        nginx.ask("/", BROWSER)
        nginx.ask("/", {**CURL, "Referer": 'a"b'})
        human, bot = nginx.log_lines("log", at_least=2)
        scored = xbot("score", "--model", model_path, "--format", "combined", "--json", nginx.prefix / "log").stdout
    assert re.search(
        rb'" 200 \d+ "-" "Mozilla/5\.0 [^"]*" "human" "0\.\d{4}" "[^" ]+" "default" \d+\.\d{3} "application/json"$',
        human,
    )
    assert re.search(
        rb'" 403 \d+ "a\\x22b" "curl/8\.5\.0" "bot" "[01]\.\d{4}" "[^" ]+" "default" \d+\.\d{3} "text/html"$', bot
    )
    assert [sorted(json.loads(line)) for line in scored.splitlines()] == [sorted(SCORED)] * 2


def some_visitors(count: int) -> Iterator[tuple[str, str, list[tuple[str, str]], bytes]]:
    """Method, target, headers and body of requests that differ in all that the decision log holds."""
    rng = random.Random(1)
    agents = [
        BROWSER["User-Agent"],
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "Mozilla/5.0 (compatible; Some\xe9Bot/1.0)",
        'a "quoted\\" agent\x01\x7f\xff',
        "curl/8.5.0",
        "python-requests/2.32",
        "",
    ]
    values = {
        "Accept": ["*/*", BROWSER["Accept"], "text/html"],
        "Accept-Encoding": ["gzip", "gzip, deflate", "identity", "gzip, deflate, br"],
        "Accept-Language": ["en", "de-DE,de;q=0.9"],
        "Referer": [
            "http://site.example/a",
            "https://www.google.com/",
            "nonsense \xc3\xa9",
            "http://site.example:80/?%22",
        ],
        "Cookie": ["session=1; theme=dark"],
        "Authorization": ["Basic dTpw"],
        "Sec-Fetch-Mode": ["navigate", "cors"],
        "Sec-CH-UA": [BROWSER["sec-ch-ua"]],
        "Upgrade-Insecure-Requests": ["1"],
        "X-Requested-With": ["XMLHttpRequest"],
        "Range": ["bytes=0-"],
        "If-None-Match": ['W/"abc"'],
    }
    targets = ("/", "/a/b.html?q=1&r=%20", "/wp-login.php", "/robots.txt", '/\xe9?"', "/.env", "/style.css")
    for i in range(count):
        agent = agents[i % len(agents)]
        headers = [("User-Agent", agent)] if agent else []
        names = rng.sample(sorted(values), rng.randrange(len(values)))
        headers += [(name, rng.choice(values[name])) for name in names]
        method, body = rng.choice([("GET", b""), ("GET", b""), ("HEAD", b""), ("POST", b"x=1")])
        yield method, rng.choice(targets), headers, body


def alone(tmp_path: Path) -> tuple[object, ...]:
    """Options by which each request is judged alone; with its past, test_nginx_parity.py compares."""
    toml = tmp_path / "alone.toml"
    toml.write_text('[clients]\nsize = "0"\n')
    return "--config", toml


def test_the_decision_log_scores_as_the_visitors_did(
    site: EchoSite, observing: Sidecar, tmp_path: Path, xbot: Xbot
) -> None:
    """Train on nginx's own log, serve that model, and score what nginx logs with it: the same, to the last digit.

    nginx cannot log the order of the headers, so such a model does not look at it.
    """
    server = "access_log {prefix}/log xbot_jsonl; " + guarded(site)
    with running_nginx(server, **at(observing)) as nginx:
        visitors = list(some_visitors(280))
        for method, target, headers, body in visitors:
            nginx.ask(target, headers, method, body)
        labelled = []
        for line, (_, _, headers, _) in zip(nginx.log_lines("log", at_least=280), visitors, strict=True):
            label = "human" if dict(headers).get("User-Agent", "").startswith("Mozilla/5.0 (") else "bot"
            labelled.append(b'{"label":"%s",' % label.encode() + line.removeprefix(b"{"))
    log, model = tmp_path / "train.jsonl", tmp_path / "own.xbot"
    log.write_bytes(b"\n".join(labelled) + b"\n")
    xbot("train", "--quiet", "--stateless", "--format", "jsonl", "--without", "ip", "--out", model, log)

    with (
        Sidecar(model, *alone(tmp_path), workers=1) as sidecar,
        running_nginx(server, **at(sidecar)) as nginx,
    ):
        replies = [(method, nginx.ask(target, headers, method, body)) for method, target, headers, body in visitors]
        lines = nginx.log_lines("log", at_least=len(visitors))
        scored = xbot(
            "score", "--stateless", "--model", model, "--format", "jsonl", "--json", nginx.prefix / "log"
        ).stdout
    verdicts = set()
    for line, offline, (method, reply) in zip(lines, scored.splitlines(), replies, strict=True):
        found = json.loads(offline)
        told = json.loads(line.decode("latin-1"))
        assert (told["verdict"], told["score"], told["reason"]) == (found["verdict"], found["score"], found["reason"])
        if method != "HEAD":
            assert reply.seen("X-Bot-Score") == [f"{found['score']:.4f}"]
            assert reply.seen("X-Bot") == [found["verdict"]]
        verdicts.add(found["verdict"])
    assert verdicts == {"human", "bot"}


def test_the_combined_log_scores_as_the_visitors_did(
    site: EchoSite, corpus_path: Path, tmp_path: Path, xbot: Xbot
) -> None:
    """A model of what a combined log holds: for every line, the very score that the visitor got.

    The log holds no header but two, neither scheme nor host: the model does without the features of those.
    """
    model = tmp_path / "combined.xbot"
    left_out = [f"--without={name}" for name in ("headers", "url_https", "ref_own", "ref_external")]
    xbot("train", "--quiet", "--stateless", "--format", "jsonl", "--addresses", *left_out, "--out", model, corpus_path)
    server = "access_log {prefix}/log xbot; " + guarded(site)
    with Sidecar(model, *alone(tmp_path), workers=1) as sidecar, running_nginx(server, **at(sidecar)) as nginx:
        for method, target, headers, body in some_visitors(280):
            nginx.ask(target, headers, method, body)
        lines = nginx.log_lines("log", at_least=280)
        scored = xbot(
            "score", "--stateless", "--model", model, "--format", "combined", "--json", nginx.prefix / "log"
        ).stdout
    verdicts = set()
    for line, offline in zip(lines, scored.splitlines(), strict=True):
        found = json.loads(offline)
        told = line.rsplit(b'"', 10)[1:7:2]
        wanted = (found["verdict"], f"{found['score']:.4f}", found["reason"])
        assert tuple(part.decode() for part in told) == wanted, line
        verdicts.add(found["verdict"])
    assert verdicts == {"human", "bot"}


def test_challenge_rows_through_nginx(
    site: EchoSite, challenge_path: Path, challenge_model_path: Path, xbot: Xbot
) -> None:
    """A request with a row's address, agent and referrer gets the very score that `xbot score` gives the row."""
    rows = [line.split(b"\t") for line in challenge_path.read_bytes().splitlines()]
    scores = xbot("score", "--model", challenge_model_path, "--format", "challenge", "--json", challenge_path).stdout
    offline = [json.loads(line) for line in scores.splitlines()]
    assert len(offline) == len(rows)
    labels = [row[3] for row in rows]
    chosen = [labels.index(b"false"), labels.index(b"true"), *random.Random(50).sample(range(len(rows)), 50)]
    server = f"set_real_ip_from 127.0.0.1; real_ip_header X-Test-IP; {guarded(site)}"
    with (
        Sidecar(challenge_model_path, workers=1) as sidecar,
        running_nginx(server, **at(sidecar)) as nginx,
    ):
        for i in chosen:
            fields = (unquote_to_bytes(field.replace(b"+", b" ")).decode("latin-1") for field in rows[i])
            ip, agent, referrer, _ = fields
            reply = nginx.ask("/", {"X-Test-IP": ip, "User-Agent": agent, "Referer": referrer})
            if reply.seen("X-Bot") != ["verified"]:  # some rows have an address that Google publishes for its crawlers
                assert reply.seen("X-Bot") == ["bot" if labels[i] == b"false" else "human"], rows[i]
                assert reply.seen("X-Bot-Reason") == [offline[i]["reason"]], rows[i]
            assert reply.seen("X-Bot-Score") == [f"{offline[i]['score']:.4f}"], rows[i]


# ---- the example, and the traps of docs/nginx.md


def test_the_example_site(site: EchoSite, enforcing: Sidecar) -> None:
    text = (FILES / "example_site.conf").read_text()
    example = text[text.index("server {") :].removeprefix("server {").rstrip().removesuffix("}")
    for old, new in (
        ("listen 80;", ""),
        ("127.0.0.1:8000", site.address),
        ("/var/log/nginx", "{prefix}"),
        ("/var/www/html", "{prefix}/www"),
    ):
        assert old in example
        example = example.replace(old, new)
    with running_nginx(example, **at(enforcing)) as nginx:
        for page in ("refused.html", "static/a.css", ".well-known/acme-challenge/token"):
            (nginx.prefix / "www" / page).parent.mkdir(parents=True, exist_ok=True)
            (nginx.prefix / "www" / page).write_text(page)
        assert_verdict(nginx.ask("/", CURL), "bot")
        assert_verdict(nginx.ask("/login", BROWSER), "human")
        for method in ("GET", "POST"):
            refused = nginx.ask("/login", CURL, method)
            assert (refused.status, refused.body) == (403, b"refused.html")
        assert nginx.ask("/refused.html", CURL).status == 404
        assert nginx.ask("/static/a.css", CURL).body == b"static/a.css"
        assert nginx.ask("/.well-known/acme-challenge/token", CURL).body == b".well-known/acme-challenge/token"
        assert len(nginx.log_lines("site.log", at_least=7)) == len(nginx.log_lines("site.jsonl", at_least=7)) == 7
        assert "[warn]" not in nginx.error_log() + (nginx.prefix / "stderr").read_text()


def test_http_conf_without_a_gate(site: EchoSite, tmp_path: Path) -> None:
    """The first edit alone changes nothing, and the names exist."""
    server = f"access_log {{prefix}}/log xbot; location / {{ {passing(site)} }}"
    with running_nginx(server, socket=tmp_path / "none.sock") as nginx:
        assert_verdict(nginx.ask(headers=CURL), "unknown")


def test_settings_of_the_site_stay_out_of_the_question(site: EchoSite, enforcing: Sidecar) -> None:
    """What a site sets for its own proxying would be inherited by the question, and be fatal: see locations.conf."""
    server = f"""
        {{variant}} proxy_bind 127.0.0.1; proxy_ignore_headers Cache-Control Expires;
        proxy_method POST; proxy_pass_request_headers off; proxy_set_header X-Own 1; proxy_next_upstream off;
        proxy_intercept_errors on; recursive_error_pages on; client_max_body_size 1k; log_subrequest on;
        error_page 403 404 500 502 503 504 =200 /own;
        location = /own {{ auth_request off; return 200 own; }}
        location ~ . {{ client_max_body_size 1m; {passing(site)} }}
    """
    cache = "proxy_cache_path {prefix}/cache keys_zone=site:1m;"
    variants = (
        "proxy_cache site; proxy_cache_valid any 1m; proxy_cache_methods GET HEAD POST;",
        "proxy_store {prefix}/kept$uri;",
        "proxy_buffering off;",
    )
    for gate, variant in itertools.product(("enforce", "enforce_fail_closed"), variants):
        text = f"include xbot/{gate}.conf; {server}".replace("{variant}", variant)
        with running_nginx(text, **at(enforcing), http=cache) as nginx:
            for _ in range(2):
                assert_verdict(nginx.ask("/", BROWSER, "POST", b"x" * 2000), "human")
                assert nginx.ask("/", CURL).body == b"own"
            assert not (nginx.prefix / "kept" / "_xbot").exists()


def test_fail_closed_stays_closed(site: EchoSite, tmp_path: Path) -> None:
    """Error pages of the site cannot turn "nobody answered" into a yes."""
    own = """error_page 500 502 503 504 =200 /own; recursive_error_pages on;
             location = /own { return 200 own; }"""
    for server in (
        f"include xbot/enforce_fail_closed.conf; {own} location / {{ {passing(site)} }}",
        f"{own} include xbot/enforce_fail_closed.conf; location / {{ {passing(site)} }}",
    ):
        with running_nginx(server, socket=tmp_path / "none.sock") as nginx:
            site.requests.clear()
            nginx.ask("/closed", BROWSER)
            assert site.requests == []


def test_fail_closed_in_one_location(site: EchoSite, tmp_path: Path) -> None:
    gate = f"auth_request /_xbot/enforce_fail_closed; {passing(site)}"
    server = f"""
        include xbot/observe.conf;
        location /trap {{ {gate} error_page 404 /nowhere; }}
        location /mend {{ {gate} error_page 404 /nowhere; error_page 500 = @xbot_away; }}
        location / {{ {passing(site)} }}
    """
    with running_nginx(server, socket=tmp_path / "none.sock") as nginx:
        assert nginx.ask("/trap", BROWSER).status == 500
        assert nginx.ask("/mend", BROWSER).status == 503
        assert_verdict(nginx.ask("/", BROWSER), "unknown")


def test_fail_closed_keeps_the_errors_of_nginx(site: EchoSite, observing: Sidecar) -> None:
    """Only a sidecar that is away is a 503; a 500 of nginx's own stays one."""
    server = f"""
        include xbot/enforce_fail_closed.conf;
        location /broken {{ set $nowhere ""; proxy_pass http://$nowhere; }}
        location / {{ {passing(site)} }}
    """
    with running_nginx(server, **at(observing)) as nginx:
        assert nginx.ask("/broken", BROWSER).status == 500
        assert_verdict(nginx.ask("/", BROWSER), "human")


@pytest.mark.usefixtures("asked")
def test_trap_rewrite_in_the_server(site: EchoSite, enforcing: Sidecar) -> None:
    trap = "rewrite ^/(.*)$ /index.php?q=$1 last;"
    mend = "rewrite ^/(?!_xbot/)(.*)$ /index.php?q=$1 last;"
    with running_nginx(f"{trap} {guarded(site, 'enforce')}", **at(enforcing)) as nginx:
        assert_verdict(nginx.ask("/a", CURL), "unknown")  # the site was asked, and its 200 was taken for a yes
    with running_nginx(f"{mend} {guarded(site, 'enforce')}", **at(enforcing)) as nginx:
        assert nginx.ask("/a", CURL).status == 403
        assert_verdict(nginx.ask("/a", BROWSER), "human")


@pytest.mark.usefixtures("asked")
def test_trap_satisfy_any(site: EchoSite, observing: Sidecar) -> None:
    closed = f"satisfy any; deny all; {passing(site)}"
    with running_nginx(
        f"include xbot/observe.conf; location /trap {{ {closed} }} location /mend {{ auth_request off; {closed} }}",
        **at(observing),
    ) as nginx:
        assert nginx.ask("/trap", BROWSER).status == 200
        assert nginx.ask("/mend", BROWSER).status == 403


@pytest.mark.usefixtures("asked")
def test_trap_one_line_drops_every_outer_one(site: EchoSite, observing: Sidecar) -> None:
    own = f"proxy_set_header X-Own 1; proxy_pass http://{site.address};"
    server = f"""
        include xbot/observe.conf; include xbot/pass.conf;
        location /inherits {{ proxy_pass http://{site.address}; }}
        location /trap {{ {own} }}
        location /mend {{ {own} include xbot/pass.conf; }}
    """
    with running_nginx(server, **at(observing)) as nginx:
        forged = {**CURL, "X-Bot": "human"}
        assert_verdict(nginx.ask("/inherits", forged), "bot")
        assert nginx.ask("/trap", forged).seen("X-Bot") == ["human"]
        assert_verdict(nginx.ask("/mend", forged), "bot")


@pytest.mark.usefixtures("asked")
def test_trap_asked_twice(site: EchoSite, enforcing: Sidecar) -> None:
    server = f"""
        include xbot/enforce.conf; root {{prefix}}/www;
        location /trap {{ try_files $uri @trap; }}
        location @trap {{ {passing(site)} }}
        location /mend {{ try_files $uri @mend; }}
        location @mend {{ auth_request off; {passing(site)} }}
    """

    def questions(nginx: Nginx, target: str) -> int:
        before = enforcing.counted("xbot_requests_total", verdict="human")
        assert_verdict(nginx.ask(target, BROWSER), "human")
        return int(enforcing.counted("xbot_requests_total", verdict="human") - before)

    with running_nginx(server, **at(enforcing)) as nginx:
        assert questions(nginx, "/trap") == 2
        assert questions(nginx, "/mend") == 1
        assert nginx.ask("/mend", CURL).status == 403


@pytest.mark.usefixtures("asked")
def test_trap_the_page_of_refusal(site: EchoSite, enforcing: Sidecar) -> None:
    page = "location = /refused.html {{ internal; {} root {{prefix}}; }}"
    for off, body in (("", b"<html>"), ("auth_request off;", b"own")):
        server = f"error_page 403 /refused.html; {page.format(off)} {guarded(site, 'enforce')}"
        with running_nginx(server, **at(enforcing)) as nginx:
            (nginx.prefix / "refused.html").write_text("own")
            reply = nginx.ask("/", CURL)
            assert reply.status == 403
            assert reply.body.startswith(body)


@pytest.mark.usefixtures("asked")
def test_trap_return_is_never_asked_about(enforcing: Sidecar) -> None:
    server = "include xbot/enforce.conf; location / { if ($xbot = bot) { return 418; } return 200 open; }"
    with running_nginx(server, **at(enforcing)) as nginx:
        assert nginx.ask("/", CURL).body == b"open"


@pytest.mark.usefixtures("asked")
def test_an_early_look_at_xbot_does_not_stick(site: EchoSite, observing: Sidecar) -> None:
    server = f"include xbot/observe.conf; location / {{ if ($xbot = bot) {{ return 418; }} {passing(site)} }}"
    with running_nginx(server, **at(observing)) as nginx:
        assert_verdict(nginx.ask("/", CURL), "bot")


class FastCgi(socketserver.StreamRequestHandler):
    """A FastCGI application that replies with its parameters, as JSON."""

    def handle(self) -> None:
        data = b""
        while True:
            _, kind, _, length, padding = struct.unpack("!BBHHBx", self.rfile.read(8))
            content = self.rfile.read(length + padding)[:length]
            if kind == 4:  # FCGI_PARAMS
                data += content
            elif kind == 5 and not length:  # the end of FCGI_STDIN
                break
        pairs = []
        while data:
            sizes = []
            for _ in "name", "value":
                long = data[0] >> 7
                sizes.append(struct.unpack("!I", data[:4])[0] & 0x7FFFFFFF if long else data[0])
                data = data[4 if long else 1 :]
            name, value = data[: sizes[0]].decode(), data[sizes[0] : sum(sizes)].decode()
            pairs.append([name, value])
            data = data[sum(sizes) :]
        body = b"Content-Type: application/json\r\n\r\n" + json.dumps({"headers": pairs}).encode()
        for kind, content in ((6, body), (6, b""), (3, bytes(8))):  # FCGI_STDOUT, FCGI_END_REQUEST
            self.wfile.write(struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content)


def test_fastcgi(observing: Sidecar) -> None:
    """The lines of docs/nginx.md."""
    documented = (FILES.parent / "docs" / "nginx.md").read_text()
    (line,) = re.findall(r"^    (fastcgi_param HTTP_X_BOT .*)$", documented, re.MULTILINE)
    (dotted,) = re.findall(r"`(fastcgi_param HTTP_X\.BOT .*?;)`", documented)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), FastCgi) as application:
        threading.Thread(target=application.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{application.server_address[1]}"
        for invalid in ("on", "off"):
            server = f"""
                underscores_in_headers on; ignore_invalid_headers {invalid}; include xbot/observe.conf;
                location / {{ {line} {dotted} fastcgi_pass {address}; }}
            """
            with running_nginx(server, **at(observing)) as nginx:
                forged = dict.fromkeys(("X-Bot", "X_Bot", "X.Bot", "X-Bot-Score", "X_Bot_Reason"), "forged")
                reply = nginx.ask("/", CURL | forged)
                assert reply.status == 200
                assert reply.seen("HTTP_X_BOT") == ["bot"]
                assert SCORE.fullmatch(reply.seen("HTTP_X_BOT_SCORE")[0])
                assert reply.seen("HTTP_X_BOT_REASON") != []
                assert "forged" not in {value for _, value in reply.site["headers"]}
        application.shutdown()
