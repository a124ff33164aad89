"""The table of proxies and cases: real proxies with the files of deploy/, a real sidecar behind them, a site after them.

A proxy runs for as many cases as there are; a `Tap` between it and the sidecar keeps its questions, and leads it to
sidecars that observe or enforce.
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
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tables
from nginx_harness import EchoSite, Load, Nginx, Reply
from proxy_harness import KINDS, Kind, Tap, running
from sidecar_harness import BROWSER, CURL, Sidecar, wait_until

from sidecar import core

ID = re.compile(r"[0-9a-z]{12}")
SCORE = re.compile(r"[01]\.\d{4}")
CURL_BINARY = shutil.which("curl")

# What one visitor did before is no matter here: each request is judged alone.
ALONE = '[clients]\nsize = "0"\n'
POLICIES = """
[policies.login]
paths = ["/login"]

[policies.networks]
paths = ["/networks/"]
deny = ["loopback"]

[policies.paths]
paths = ["/paths/"]
deny = ["inside"]

[policies.agents]
paths = ["/agents/"]
deny = ["tools"]

[lists.loopback]
networks = ["127.0.0.0/8"]

[lists.inside]
paths = ["/paths/in"]

[lists.tools]
agents = ["curl"]
"""


class Setup:
    """One proxy, and what stands around it."""

    def __init__(self, kind: Kind, proxy: Nginx, tap: Tap, site: EchoSite, sidecars: dict[str, Sidecar]) -> None:
        self.kind, self.proxy, self.tap, self.site, self.sidecars = kind, proxy, tap, site, sidecars

    def mode(self, mode: str) -> None:
        """From the next question on the sidecar is in this mode."""
        self.tap.target = self.sidecars[mode].address

    def request(self) -> core.Request:
        """The visitor's request, as the sidecar takes it from the last question."""
        request = core.Request()
        request.load_head(self.tap.questions[-1], self.kind.dialect)
        return request

    def answer(self, name: str) -> str | None:
        """What the sidecar's last answer says in this header. (nginx's files do not tell the site everything.)"""
        told = dict(line.split(": ", 1) for line in self.tap.answers[-1].decode().split("\r\n") if ": " in line)
        return told.get(name)

    def wait_for_answers(self) -> None:
        """Until a sidecar that was away is asked again. Caddy lets it rest for a second."""

        def answered() -> bool:
            reply = self.proxy.ask("/", BROWSER)
            return reply.status == 200 and reply.seen("X-Bot") == ["human"]

        wait_until(answered, "an answer")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test with nginx, whose files most people have; with the others those of SHORT, and all by `make test-servers`."""
    short = metafunc.function.__name__ in SHORT
    kinds = [kind if short or kind == "nginx" else pytest.param(kind, marks=pytest.mark.servers) for kind in KINDS]
    metafunc.parametrize("setup", kinds, indirect=True, scope="module")


@pytest.fixture(scope="module")
def setup(
    request: pytest.FixtureRequest, model_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Setup]:
    kind = KINDS[request.param]
    if kind.binary() is None:
        pytest.skip(f"{kind.name}: {kind.missing}")
    with contextlib.ExitStack() as stack:
        place = tmp_path_factory.mktemp(kind.name)
        (place / "xbot.toml").write_text(ALONE + POLICIES)
        options = ("--config", place / "xbot.toml", "--dialect", kind.dialect)
        sidecars = {
            mode: stack.enter_context(Sidecar(model_path, *options, "--mode", mode, workers=1))
            for mode in ("observe", "enforce")
        }
        site = stack.enter_context(EchoSite())
        tap = stack.enter_context(Tap(place / "xbot.sock", sidecars["observe"].address))
        yield Setup(kind, stack.enter_context(running(kind, tap.address, site)), tap, site, sidecars)


SHORT = ("test_allow", "test_refuse", "test_the_question_holds_the_visitors_request", "test_away")


@pytest.fixture(autouse=True)
def _observing(setup: Setup) -> None:
    setup.mode("observe")
    setup.tap.questions.clear()
    setup.tap.answers.clear()
    setup.site.requests.clear()


def assert_verdict(reply: Reply, verdict: str) -> None:
    """The site got this verdict, with a score and a reason, and no other word on it."""
    assert reply.status == 200, (reply.status, reply.body)
    told(reply.site["headers"], verdict)


def told(headers: list[list[str]], verdict: str) -> None:
    ours = sorted(
        (name.lower(), value) for name, value in headers if re.match(r"x[^a-z0-9]bot([^a-z0-9]|$)", name, re.IGNORECASE)
    )
    words = dict(ours)
    assert len(words) == len(ours), ours
    assert words.pop("x-bot") == verdict
    words.pop("x-bot-policy", None)
    if verdict != "unknown":
        assert SCORE.fullmatch(words.pop("x-bot-score"))
        assert words.pop("x-bot-reason")
        assert ID.fullmatch(words.pop("x-bot-id"))
    assert words == {}


# ---- verdicts


@pytest.mark.parametrize("mode", ["observe", "enforce"])
def test_allow(setup: Setup, mode: str) -> None:
    setup.mode(mode)
    assert_verdict(setup.proxy.ask("/", BROWSER), "human")
    assert_verdict(setup.proxy.ask("/login", BROWSER), "human")


def test_observe_refuses_nobody(setup: Setup) -> None:
    for target in ("/", "/login/x?y"):
        reply = setup.proxy.ask(target, CURL)
        assert_verdict(reply, "bot")
        assert reply.site["target"] == target


def test_refuse(setup: Setup) -> None:
    """Before the site is asked; and the visitor is not told what gave him away."""
    setup.mode("enforce")
    for method, body in (("GET", b""), ("POST", b"x" * 1000), ("HEAD", b"")):
        reply = setup.proxy.ask("/", CURL, method, body)
        assert reply.status == 403
        assert not [name for name in reply.headers if name.lower().startswith("x-bot")]
    assert setup.site.requests == []


# RFC 9110, 5.6.2: what a header's name may have beside letters and digits.
MARKS = "!#$%&'*+-.^_`|~"
ALIASES = [
    separators[0].join(("X", "Bot")) + "".join(separators[1:]) + part
    for part in ("", "Score", "Reason", "Policy", "Id", "Agent", "Purpose")
    for separators in itertools.product(MARKS, repeat=2 if part else 1)
]


def test_spoofed_and_aliased_headers(setup: Setup) -> None:
    """Many sites read X_Bot and X.Bot as X-Bot, and some every mark as another."""
    random.Random(5).shuffle(names := list(ALIASES))
    for start, spelling in zip(range(0, len(names), 80), itertools.cycle((str, str.lower, str.upper)), strict=False):
        headers = {spelling(name): f"forged {name}" for name in names[start : start + 80]}
        agent = CURL if start % 160 else BROWSER
        own = {"X-Own": "kept", "XBot": "kept"}
        reply = setup.proxy.ask("/", {**agent, **headers, **own})
        assert_verdict(reply, "bot" if agent is CURL else "human")
        assert [value for _, value in reply.site["headers"] if value.startswith("forged")] == []
        assert reply.seen("X-Own") == reply.seen("XBot") == ["kept"]


def test_a_visitor_cannot_take_a_header_away(setup: Setup) -> None:
    """A proxy deletes what Connection names: neither what it tells the site, nor what it tells the sidecar."""
    for value in tables.connections():
        handshake = {"Upgrade": "websocket"} if "upgrade" in value.lower() else {}
        for connections in ([("Connection", value)], [("Connection", part) for part in value.split(", ")]):
            reply = setup.proxy.ask("/login/x", [*CURL.items(), *connections, *handshake.items()], "POST", b"x")
            if reply.status in (400, 403, 426) and not setup.site.requests:  # refused by the proxy itself
                assert setup.kind.name == "envoy", value
                continue
            assert_verdict(reply, "bot")
            named = ",".join(v for name, v in reply.site["headers"] if name.lower() == "connection")
            assert "bot" not in named.lower(), value
            fields = setup.request().fields
            assert (fields["ip"], fields["method"], fields["uri"]) == (b"127.0.0.1", b"POST", b"/login/x"), value
            assert setup.answer("X-Bot-Policy") == "login"
            setup.site.requests.clear()


def test_http2(setup: Setup) -> None:
    if CURL_BINARY is None or b"HTTP2" not in subprocess.run([CURL_BINARY, "-V"], capture_output=True).stdout:
        pytest.skip("no curl that speaks HTTP/2")
    aliases = random.Random(6).sample(ALIASES, 60)
    forged = [word for name in aliases for word in ("-H", f"{name}: forged")]
    with contextlib.ExitStack() as stack:
        proxy = setup.proxy
        if setup.kind.command is None:  # on a port without encryption nginx speaks the one or the other
            proxy = stack.enter_context(running(setup.kind, setup.tap.address, setup.site, listen_options="http2"))
        own = ["-H", "Zeta: 1", "-H", "Alpha: 2", "-d", "x=1"]
        command = [CURL_BINARY, "-sS", "--http2-prior-knowledge", *own, *forged, f"{proxy.url}/a?b"]
        site = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)
    told(site["headers"], "bot")
    assert (site["method"], site["target"], site["body"]) == ("POST", "/a?b", 3)
    assert "forged" not in {value for _, value in site["headers"]}
    request = setup.request()
    assert request.fields["protocol"] in ((b"HTTP/2", b"HTTP/2.0") if setup.kind.protocol else (None,))
    order = [name.lower() for name, _ in request.headers if name.lower() in (b"accept", b"zeta", b"alpha")]
    assert (order == [b"accept", b"zeta", b"alpha"]) == setup.kind.ordered


# ---- the question


def control_headers() -> list[str]:
    """Those by which any proxy says what the visitor asked for: nothing that a visitor should be believed."""
    rows = (Path(core.__file__).parents[2] / "csrc" / "request" / "headers.def").read_text()
    names = re.findall(r'^XB_HEADER\(\w+, "(x-[\w-]+)", PROXY\)', rows, re.MULTILINE)
    assert {"x-real-ip", "x-original-order", "x-forwarded-for"} <= set(names)
    return sorted({*names, *tables.control_headers()})


VISITOR = [
    ("Zeta", "1"), ("User-Agent", "a"), ("sec-ch-ua", "b"), ("Accept", "c"), ("Alpha", "2"), ("Cookie", "d=e"),
    ("Accept-Language", "f"), ("X-Strange", "g"), ("Referer", "http://h/"),
]  # fmt: skip


def assert_question(setup: Setup, method: str, target: str, host: bytes) -> None:
    request = setup.request()
    fields = request.fields
    assert fields["ip"] == b"127.0.0.1"
    assert (fields["method"], fields["uri"]) == (method.encode(), target.encode())
    assert (fields["scheme"], fields["host"]) == (b"http", host)
    assert fields["protocol"] == (b"HTTP/1.1" if setup.kind.protocol else None)
    assert fields["agent"] == b"a"
    assert fields["referrer"] == b"http://h/"


def test_the_question_holds_the_visitors_request(setup: Setup) -> None:
    """And a visitor who says the same things otherwise is not believed, whatever the dialect."""
    forged = [(name, "forged") for name in control_headers()]
    forged += [("x-envoy-external-address", "6.6.6.6"), ("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=6.6.6.6")]
    for before, after in (([], []), (forged, []), ([], forged)):
        for method, target in (("GET", "/a/b%20c?d=%2Fe&policy=forged"), ("DELETE", "/login/?policy=forged")):
            setup.proxy.ask(target, [("Host", "site.example:81"), *before, *VISITOR, *after], method)
            # Its files say the host without its port.
            host = b"site.example" if setup.kind.name == "nginx" else b"site.example:81"
            assert_question(setup, method, target, host)
            assert b"forged" not in {*setup.request().fields.values()}
            if setup.kind.strips:
                lines = setup.tap.questions[-1].decode().lower().split("\r\n")[1:]
                ours = re.compile(r"x-(real-ip|original-\w+|tls-\w+|connection|bot-policy): (forged|6\.6\.6\.6)$")
                assert [line for line in lines if ours.match(line)] == []


def test_behind_another_proxy(setup: Setup) -> None:
    """One that is trusted has written the last address, or the visitor's; what stands before it anybody may have."""
    real_ip = "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; real_ip_recursive on;"
    more = {"http": real_ip} if setup.kind.command is None else {}
    for chain, address in (("6.6.6.6, 203.0.113.9", b"203.0.113.9"), ("2001:db8::9", b"2001:db8::9")):
        setup.proxy.ask("/", {**CURL, "X-Forwarded-For": chain})
        assert setup.request().fields["ip"] == b"127.0.0.1"
        with running(setup.kind, setup.tap.address, setup.site, setup.kind.behind, **more) as proxy:
            assert_verdict(proxy.ask("/", {**CURL, "X-Forwarded-For": chain}), "bot")
        assert setup.request().fields["ip"] == address


ORDERED = 1 << 6  # XB_HAS_ORDER of csrc


def test_what_the_question_says_of_the_headers(setup: Setup) -> None:
    """Where the order is kept, no header of the proxy's own counts; where it is not, no feature may look at it."""
    shuffled = random.Random(7).sample(VISITOR, len(VISITOR))
    for headers in (VISITOR, shuffled, [("Accept", "*/*")], [*VISITOR, ("X-Twice", "1"), ("X-Twice", "2")]):
        reply = setup.proxy.ask("/", headers, "POST", b"x")
        assert reply.status == 200
        request = setup.request()
        dense, tokens = request.features(core.MAX_K)
        row = dict(zip((row.name for row in core.FEATURES), dense, strict=True))
        names = [name.lower() for name, _ in headers]
        counted = {text for _, family, text in tokens if family == "hdr_name"}
        pairs = {text for _, family, text in tokens if family == "hdr_order"}
        if setup.kind.ordered:
            assert request.present & ORDERED == ORDERED
            assert row["hdr_count"] == len(headers)
            assert counted == set(names)
            assert pairs == {f"{one}>{other}" for one, other in itertools.pairwise(["_", *names])}  # "_": the first one
        else:
            assert row["hdr_count"] != row["hdr_count"]
            assert counted == {*names} - {"zeta", "alpha", "x-strange", "x-twice"}
            assert pairs == set()
        assert (row["hdr_accept_encoding"], row["hdr_cookie"]) == (0.0, float("cookie" in names))
        assert row["ua_empty"] == float("user-agent" not in names)


def test_a_visitor_cannot_choose_the_policy(setup: Setup) -> None:
    forged = {"X-Bot-Policy": "login", "x-bot-policy": "login", "X_Bot_Policy": "login", "X.Bot.Policy": "login"}
    for target in ("/", "/?policy=login", "/?a=b&policy=login", "/?/login"):
        for headers in (CURL, {**CURL, **forged}):
            setup.proxy.ask(target, headers)
            assert setup.request().fields["policy"] is None, target
            assert setup.answer("X-Bot-Policy") == "default", target


def test_a_policy_by_name(setup: Setup) -> None:
    """As the comments of the files have it. (nginx's is in tests/nginx/test_nginx_policies.py.)"""
    if setup.kind.named:
        with running(setup.kind, setup.tap.address, setup.site, setup.kind.named) as proxy:
            for target in ("/", "/?policy=default", "/paths/"):
                assert_verdict(proxy.ask(target, {**CURL, "Host": "site.example", "X-Bot-Policy": "default"}), "bot")
                assert setup.answer("X-Bot-Policy") == "login"


def test_no_spelling_leaves_its_policy(setup: Setup) -> None:
    """And the site gets the very target that was sent: %2F means something to GitLab and npm."""
    for target, policy in tables.spellings():
        host = {"Host": "other.example"} if target.startswith("http:") else {}
        reply = setup.proxy.ask(target, {**BROWSER, **host})
        assert reply.status == 200, target
        assert setup.answer("X-Bot-Policy") == policy, target
        # A server may be asked for an absolute target; a proxy may then ask for the part behind the host.
        assert reply.site["target"] in (target, re.sub(r"^http://[^/]*", "", target))


def test_nothing_hides_in_a_crowd(setup: Setup) -> None:
    """Whatever a visitor sends beside, the lists see who asks and for what."""
    with running(setup.kind, setup.tap.address, setup.site, setup.kind.crowded) as proxy:
        for row in tables.crowds():
            visitor = [
                *((name, "x") for name in row["before"]),
                *CURL.items(),
                *((name, "x") for name in row["behind"]),
            ]
            assert_verdict(proxy.ask(row["target"], visitor), "bot")
            assert setup.answer("X-Bot-Reason") == row["reason"], row["name"]
    if setup.kind.crowded:
        setup.tap.questions.clear()
        assert setup.proxy.ask("/", {f"A-{i}": "x" for i in range(200)}).status in (400, 431)
        assert setup.tap.questions == []


# ---- a sidecar that is away


def assert_let_by(setup: Setup, method: str, body: bytes = b"") -> None:
    """Nobody answered: the visitor is let by, not as what he says himself; or, where a proxy cannot do that, gets 500."""
    forged = {"X-Bot": "human", "X-Bot-Score": "0.0000", "X-Bot-Reason": "none", "X-Bot-Policy": "forged"}
    reply = setup.proxy.ask("/", {**CURL, **forged}, method, body)
    if not setup.kind.fail_open:
        assert reply.status == 500
        return
    assert_verdict(reply, "unknown")
    assert reply.site["body"] == len(body)
    assert "forged" not in {value for _, value in reply.site["headers"]}


def test_away(setup: Setup) -> None:
    setup.mode("enforce")
    setup.tap.close()
    try:
        for method, body in (("GET", b""), ("POST", b"x" * 100_000), ("OPTIONS", b"")):
            assert_let_by(setup, method, body)
    finally:
        setup.tap.open()
    setup.wait_for_answers()
    assert setup.proxy.ask("/", CURL).status == 403


def test_fail_closed(setup: Setup) -> None:
    """Nobody is let by, where the file says how. nginx's gates are in tests/nginx/test_nginx.py."""
    if setup.kind.command is None:
        return
    nowhere = f"{setup.tap.address}.none"
    with running(setup.kind, nowhere, setup.site, setup.kind.closed) as proxy:
        assert proxy.ask("/", BROWSER).status == (502 if setup.kind.name == "caddy" else 503)
    with running(setup.kind, nowhere, setup.site) as proxy:
        assert_verdict(proxy.ask("/", BROWSER), "unknown")
    with running(setup.kind, setup.tap.address, setup.site, setup.kind.closed) as proxy:
        assert_verdict(proxy.ask("/", BROWSER), "human")


def test_slow(setup: Setup) -> None:
    """A worker that is stopped. A visitor waits a moment: no proxy here has a time-out of less than 20 seconds by itself
    but Envoy, and Caddy has none."""
    (worker,) = setup.sidecars["observe"].workers
    os.kill(worker, signal.SIGSTOP)
    try:
        assert_let_by(setup, "GET")
        assert_let_by(setup, "POST", b"x" * 100_000)
    finally:
        os.kill(worker, signal.SIGCONT)
    setup.wait_for_answers()


def test_restarted(setup: Setup) -> None:
    """A new sidecar on the same socket: a connection that the old one left behind costs no visitor his verdict."""
    setup.mode("enforce")
    for _ in range(3):
        assert_verdict(setup.proxy.ask("/", BROWSER), "human")
        setup.tap.close()
        setup.tap.open()
        assert setup.proxy.ask("/", CURL, "POST", b"x").status == 403


# ---- requests of every kind


def test_bodies(setup: Setup) -> None:
    for size in (1, 100_000, 1_000_000):
        reply = setup.proxy.ask("/form", {**BROWSER, "Origin": "http://a"}, "POST", b"x" * size)
        assert_verdict(reply, "human")
        assert reply.site["body"] == size
    head = (
        b"POST /form HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (b"x" * 70_000, b"yz")) + b"0\r\n\r\n"
    reply = setup.proxy.send(head + chunked)
    assert_verdict(reply, "bot")
    assert reply.site["body"] == 70_002


def test_methods(setup: Setup) -> None:
    for method in ("HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND"):
        reply = setup.proxy.ask("/", {**BROWSER, "Origin": "http://a"}, method)
        assert reply.status == 200
        assert setup.request().fields["method"] == method.encode()
        if method == "HEAD":
            assert reply.body == b""
        else:
            assert reply.site["method"] == method
        told(setup.site.requests[-1]["headers"], "human")


def test_an_upgrade(setup: Setup) -> None:
    """A WebSocket's first request is asked about as any other, and answered so, though some ask to change the protocol."""
    changes = [
        ("use_remote_address: true", "use_remote_address: true\n          upgrade_configs: [{upgrade_type: websocket}]")
    ]
    handshake = {
        **BROWSER,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    with running(setup.kind, setup.tap.address, setup.site, changes if setup.kind.name == "envoy" else ()) as proxy:
        for connection in ("keep-alive, Upgrade", "upgrade", "Upgrade"):  # Firefox's, programs', the others'
            proxy.ask("/socket", {**handshake, "Connection": connection})
    came = setup.site.requests[-1]["headers"]
    told(came, "human")
    if setup.kind.command is not None:  # nginx's files leave that to the location
        ways = {name.lower(): value.lower() for name, value in came if name.lower() in ("connection", "upgrade")}
        assert ways == {"connection": "upgrade", "upgrade": "websocket"}
    assert b"sec-websocket-key" in {name.lower() for name, _ in setup.request().headers}


def test_large_heads(setup: Setup) -> None:
    """32 kB of headers. Caddy and HAProxy refuse so many themselves, unless told otherwise: nobody is asked then."""
    visitor = [*CURL.items(), *((f"X-Large-{i}", "x" * 8000) for i in range(4))]
    if setup.kind.larger:
        reply = setup.proxy.ask("/", visitor)
        assert reply.status in (200, 400, 431)
        assert len(setup.tap.questions) == len(setup.site.requests) == (reply.status == 200)
    with running(setup.kind, setup.tap.address, setup.site, setup.kind.larger) as proxy:
        reply = proxy.ask("/", visitor)
    assert_verdict(reply, "bot")
    assert sum(len(value) for name, value in reply.site["headers"] if name.lower().startswith("x-large")) == 32_000


def test_odd_bytes(setup: Setup) -> None:
    """Bytes that a proxy hands on must not let a visitor choose `unknown`: it refuses them, or there is a verdict."""
    by = 0
    for byte in (*range(0x01, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0x100)):
        reply = setup.proxy.ask("/", {"User-Agent": f"a{chr(byte)}b", "Referer": chr(byte), "X-Other": chr(byte) * 3})
        if reply.status != 400:
            assert_verdict(reply, reply.seen("X-Bot")[0])
            assert reply.seen("X-Bot") != ["unknown"], hex(byte)
            by += 1
    assert by >= 128


TARGETS = (
    "/?", "/?a=b&a=b&&=", "/%01%ff", "/?q=%%%", "/?q=%zz", "/?<script>\"'`{}|^\\", "/?\xff\x80\xfe", "/\xc3\xa9",
    "//a//../b", "/a;b=c?d;e", "/?" + "a" * 7000, "/?%09%0a%00", "http://other.example/absolute?x=1",
)  # fmt: skip


def test_odd_targets(setup: Setup) -> None:
    by = 0
    for target in TARGETS:
        reply = setup.proxy.ask(target, BROWSER)
        if reply.status == 200:
            assert_verdict(reply, reply.seen("X-Bot")[0])
            assert reply.seen("X-Bot") != ["unknown"], target
            by += 1
        else:
            assert reply.status in (400, 404), target
    assert by >= len(TARGETS) - 5


def test_many_at_once(setup: Setup) -> None:
    setup.mode("enforce")
    with Load(setup.proxy, BROWSER, visitors=8) as load:
        wait_until(lambda: load.total > 300, "replies")
    assert load.failures == []
    assert set(load.outcomes) == {(200, "human")}


def test_connections_to_the_sidecar(setup: Setup) -> None:
    setup.proxy.ask("/", BROWSER)
    before = setup.tap.connections
    for i in range(10):
        setup.proxy.ask("/", BROWSER, "POST", b"x" * i)
    assert setup.tap.connections - before == (0 if setup.kind.keeps_connections else 10)
