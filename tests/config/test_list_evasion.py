"""Nobody passes a list by, nor gets himself onto one: not by the target, not by many headers, not by a proxy that says too
little. And what the proxy is told holds nothing but plain letters.

Law: a visitor's side is drawn at random or stands in tests/data/padding.tsv; where a path lies, the real nginx says.
"""

from __future__ import annotations

import http.client
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
import tables
from hypothesis import given, settings
from hypothesis import strategies as st
from nginx_harness import nginx_binary, running_nginx

from sidecar import core
from sidecar.config import config, options, policies
from sidecar.config.plan import Plan

ADDRESS, AGENT, TARGET = "192.0.2.7", "badbot/1.0", "/admin/x?y"
NAMED = {"networks": ("192.0.2.0/24",), "agents": ("badbot",), "paths": ("/admin",)}
USES = {"allow": "human", "deny": "bot", "verified": "verified"}
Pairs = list[tuple[str, str]]


def deciding(**lists: tuple[str, dict[str, tuple[str, ...]]]) -> core.Policies:
    """Policies that enforce; each has one list, both of this name: (its use, its entries by kind)."""
    plan = config.load(None)
    made = {name: options.Policy(mode="enforce", **{use: (name,)}) for name, (use, _) in lists.items()}
    entries = {name: options.Entries(**each) for name, (_, each) in lists.items()}
    made = {"default": options.Policy(), **made}
    return core.Policies(policies.image(Plan(None, plan.fixed, plan.model, (), made, entries)))


ONE_LIST = deciding(**{f"{use}-{kind}": (use, {kind: NAMED[kind]}) for use in USES for kind in NAMED})

# What each dialect's proxy says by itself: before the visitor's headers, or behind; or all sorted.
SAID: dict[str, tuple[str, Pairs]] = {
    "nginx": (
        "before",
        [("X-Real-IP", ADDRESS), ("X-Original-URI", TARGET), ("X-Original-Method", "GET")],
    ),
    "ingress-nginx": (
        "before",
        [("X-Original-URL", f"https://site.example{TARGET}"), ("X-Original-Method", "GET"), ("X-Real-IP", ADDRESS)],
    ),
    "forward-auth": (
        "sorted",
        [("X-Forwarded-For", ADDRESS), ("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", TARGET)],
    ),
    "ext-authz": ("behind", [("x-real-ip", ADDRESS)]),
    "haproxy": (
        "before",
        [("X-Real-IP", ADDRESS), ("X-Original-Method", "GET"), ("X-Original-URI", TARGET)],
    ),
}


def question(dialect: str, said: Pairs, visitor: Pairs) -> bytes:
    """A question of this dialect's proxy."""
    place, _ = SAID[dialect]
    headers = [*visitor, *said] if place == "behind" else [*said, *visitor]
    if place == "sorted":
        headers.sort(key=lambda pair: pair[0].title())
    target = TARGET if dialect == "ext-authz" else "/"
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def decided(model: core.Model, dialect: str, head: bytes, policy: str) -> core.Decision:
    request = core.Request()
    request.load_head(head, dialect)
    return ONE_LIST.decide(model, request, policy)


@pytest.mark.parametrize("dialect", SAID)
@pytest.mark.parametrize("row", tables.padding(), ids=lambda row: row["name"])
def test_many_headers_hide_nothing(made_model, row, dialect) -> None:
    """Behind Caddy, which sorts, 260 headers once pushed out X-Forwarded-For; behind nginx 249 a User-Agent."""
    junk = [(f"{row['prefix']}{i}", "x") for i in range(row["before"] + row["after"])]
    visitor = [*junk[: row["before"]], ("User-Agent", AGENT), *junk[row["before"] :]]
    head = question(dialect, SAID[dialect][1], visitor)
    decision = decided(made_model, dialect, head, f"{row['use']}-{row['kind']}")
    assert decision.outcome == row["outcome"]
    assert decision.reason == f"{row['use']}={row['use']}-{row['kind']}"


PART = {"networks": core.GROUPS["ip"], "paths": core.GROUPS["url"], "agents": core.GROUPS["ua"]}


def assert_nothing_is_let_by(model: core.Model, dialect: str, head: bytes, missing: set[str]) -> None:
    """No list lets by; those that need what is missing deny. The visitor is on none of them by another part."""
    for use in USES:
        for kind in NAMED:
            decision = decided(model, dialect, head, f"{use}-{kind}")
            assert (decision.list is not None) == (use == "deny" and kind in missing), (use, kind)


@pytest.mark.parametrize(
    ("dialect", "which", "how"),
    [
        (dialect, which, how)
        for dialect, (_, said) in SAID.items()
        for which, (name, _) in enumerate(said)
        for how in ("gone", "empty", "twice")
        if not (how == "twice" and (dialect == "haproxy" or name == "X-Forwarded-For"))
    ],
)
def test_a_proxy_that_says_too_little_lets_nobody_by(made_model, dialect, which, how) -> None:
    said = [
        (name, value.replace(ADDRESS, "203.0.113.9").replace("/admin", "/open")) for name, value in SAID[dialect][1]
    ]
    name, value = said[which]
    said[which : which + 1] = {"gone": [], "empty": [(name, "")], "twice": [(name, value), (name, value + "1")]}[how]
    head = question(dialect, said, [("User-Agent", "friend")]).replace(b"/admin", b"/open")
    request = core.Request()
    request.load_head(head, dialect)
    assert request.missing
    missing = {kind for kind, bit in PART.items() if request.missing & bit}
    lost = {
        "X-Real-Ip": {"networks"},
        "X-Forwarded-For": {"networks"},
        "X-Original-Method": set(),
        "X-Forwarded-Method": set(),
    }
    assert missing == lost.get(name.title(), {"paths"})
    assert_nothing_is_let_by(made_model, dialect, head, missing)


def test_an_address_that_cannot_be_read_is_missing_and_a_unix_socket_has_none(made_model) -> None:
    def asked(ip: str) -> bytes:
        said = [("X-Real-IP", ip), ("X-Original-URI", "/open"), ("X-Original-Method", "GET")]
        return question("nginx", said, [("User-Agent", "friend")])

    for ip in ("junk", "192.0.2.7:8080", "fe80::1%eth0", "192.0.2"):
        assert_nothing_is_let_by(made_model, "nginx", asked(ip), {"networks"})
    assert_nothing_is_let_by(made_model, "nginx", asked("unix:"), set())
    allowed = asked("unix:").replace(b"/open", b"/admin")
    assert decided(made_model, "nginx", allowed, "allow-paths").outcome == "human"


def test_what_a_log_does_not_hold_is_not_missing(made_model) -> None:
    request = core.Request()
    request.load_record(None, False, agent=b"friend")
    for use in USES:
        for kind in NAMED:
            assert ONE_LIST.decide(made_model, request, f"{use}-{kind}").list is None
    request.load_record(None, False, agent=AGENT.encode())
    assert ONE_LIST.decide(made_model, request, "allow-agents").outcome == "human"
    request.load_head(b"GET /admin HTTP/1.1\r\nUser-Agent: a\r\n\r\n", None)
    assert request.missing == 0


# ---- where a target lies

PLACES = ("/admin", "/health", "/login/", "/a/b")
BY_PLACE = deciding(**{f"p{i}": ("deny", {"paths": (place,)}) for i, place in enumerate(PLACES)})
PIECES = [
    *(
        "/",
        "/",
        "/",
        "//",
        "/./",
        "/../",
        ".",
        "..",
        "a",
        "b",
        "x",
        "admin",
        "health",
        "login",
        "/admin",
        "/health",
        "/login/",
        "/a/b",
    ),
    *(
        "%61",
        "%2f",
        "%2F",
        "%2e",
        "%2E%2e",
        "%23",
        "%3f",
        "%25",
        "%5c",
        "?",
        "#",
        "://",
        ":",
        "b://x",
        "http://",
        "&q=",
        ";",
    ),
    *("http://x/health", "+", "-", "@", "~", "a1+-.:", "\\"),
]
BEGINNINGS = [
    "/",
    "/",
    "/",
    "http://h",
    "http://h/",
    "HTTPS://h:80/",
    "a+b-c.1://h/",
    "averyveryverylongscheme://h/",
    "http://h?",
]


def target(draw: random.Random) -> str:
    begin = draw.choice([*BEGINNINGS, draw.choice(PIECES)])
    return begin + "".join(draw.choice(PIECES) for _ in range(draw.randrange(7)))


OTHERWISE = re.compile(rb"[;\\]|%(25|5c|3b|c0)", re.IGNORECASE)


def listed_places(model: core.Model, uri: bytes) -> list[str]:
    request = core.Request()
    head = b"GET / HTTP/1.1\r\nX-Real-IP: 192.0.2.1\r\nX-Original-Method: GET\r\nX-Original-URI: %b\r\n\r\n" % uri
    request.load_head(head, "nginx")
    named = [BY_PLACE.decide(model, request, f"p{i}").list is not None for i in range(len(PLACES))]
    return [place for place, hit in zip(PLACES, named, strict=True) if hit]


def test_a_target_lies_where_nginx_has_it(made_model) -> None:
    """/login?a=b://x/health was once /health for lists, and http://host/admin is /admin for nginx."""
    if nginx_binary() is None:
        pytest.skip("nginx is not installed")
    server = "".join(f"location {each} {{ return 200 '{each} $request_uri'; }}\n" for each in ("/", *PLACES))
    draw, found = random.Random(9), Counter[str]()
    fixed = [
        "/login/?a=b://x/health",
        "/go?to=https://x/admin",
        "http://h/admin",
        "http://h",
        "x.y+z-1://h/a/b",
        "/a://x/health",
    ]
    with running_nginx(server, socket="/nowhere.sock") as nginx:
        connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=20)
        for uri in [*fixed, *(target(draw) for _ in range(6000))]:
            connection.putrequest("GET", uri, skip_host=True)
            connection.putheader("Host", "site.example")
            connection.endheaders()
            reply = connection.getresponse()
            place, _, told = reply.read().partition(b" ")
            if reply.status != 200:  # nginx refuses what is no target, a bad escape, and what leads above the root
                found["refused"] += 1
                continue
            at = place.decode()
            found[at] += 1
            found["whole URL"] += uri[0] != "/"
            for heard in {told, uri.encode()}:  # nginx tells the sidecar of a whole URL what follows the host
                named = listed_places(made_model, heard)
                if OTHERWISE.search(heard):  # a list that denies holds for the other place, too
                    assert at in ("/", *named), (uri, heard)
                else:
                    assert named == [at] * (at != "/"), (uri, heard)
    assert min(found[each] for each in ("/", *PLACES, "whole URL")) > 30, found
    assert found.total() - found["refused"] > 2000, found


# ---- how else a site may read a target


def _resolved(path: bytes) -> bytes:
    """Without empty and dotted segments; one that leads above the root is refused by whoever reads so, and lies nowhere."""
    kept: list[bytes] = []
    for segment in path.split(b"/")[1:]:
        if segment == b"..":
            if not kept:
                return b""
            kept.pop()
        elif segment not in (b"", b"."):
            kept.append(segment)
    ends = path.endswith((b"/", b"/.", b"/.."))
    return b"/" + b"/".join(kept) + (b"/" if ends and kept else b"")


def _without_parameters(path: bytes) -> bytes:
    return b"/".join(segment.partition(b";")[0] for segment in path.split(b"/"))


READINGS: dict[str, Callable[[bytes], bytes]] = {  # of what stands before the query
    "nginx": lambda path: _resolved(unquote_to_bytes(path)),
    "Tomcat": lambda path: _resolved(unquote_to_bytes(_without_parameters(path))),
    "Tomcat, decoded first": lambda path: _resolved(_without_parameters(unquote_to_bytes(path))),
    "Windows": lambda path: _resolved(unquote_to_bytes(path).replace(b"\\", b"/")),
    "twice": lambda path: _resolved(unquote_to_bytes(unquote_to_bytes(path))),
}
LET_BY = deciding(**{use: (use, {"paths": ("/feed/", "/.well-known/x/", "/robots.txt$")}) for use in USES})
TRICKS = [
    *(
        "/feed",
        "/feed/",
        "/.well-known/x/",
        "/robots.txt",
        "/",
        "//",
        "/./",
        "/../",
        "..",
        ".",
        "a",
        "admin",
        "..;",
        "..;x=1",
        ".;",
    ),
    *("%2e", "%2f", "%5c", "\\", "%3b", ";", "%252e", "%252f", "%255c", "%00", "%c0%ae", "%c0%af", "...", "-", "x.y"),
]


def test_nobody_is_let_by_where_the_site_may_read_another_place(made_model) -> None:
    """/feed/..;/admin is below /feed/ for nginx, and /admin for Tomcat."""
    draw, request, found = random.Random(3), core.Request(), Counter[str]()
    fixed = [
        "/feed/..;/admin",
        "/feed/.;/../../admin",
        "/feed/..%5cadmin",
        "/feed/..\\admin",
        "/feed/..%252fadmin",
        "/feed/..%3b/admin",
    ]
    drawn = ["/feed/" + "".join(draw.choice(TRICKS) for _ in range(draw.randrange(6))) for _ in range(20_000)]
    for uri in [*fixed, *drawn]:
        request.load_record(None, False, agent=b"curl/8", ip=b"203.0.113.7", uri=uri.encode("latin-1"))
        named = {use: LET_BY.decide(made_model, request, use).list is not None for use in USES}
        assert named["allow"] == named["verified"] <= named["deny"], uri
        found[str(named["allow"])] += 1
        if named["allow"]:
            for reader, read in READINGS.items():
                place = read(uri.encode("latin-1"))
                assert not place or place == b"/robots.txt" or place.startswith((b"/feed/", b"/.well-known/x/")), (
                    uri,
                    reader,
                )
        else:
            found["not let by, and listed"] += named["deny"]
    assert not any(LET_BY.decide(made_model, _asking(request, uri), "allow").list for uri in fixed)
    for uri in (
        "/feed/",
        "/feed/a.b/c",
        "/feed/.hidden",
        "/feed/a..b/",
        "/feed/a%20b;x=1/c",
        "/feed/x/../y",
        "/robots.txt?a=..;/%25",
    ):
        assert LET_BY.decide(made_model, _asking(request, uri), "allow").list, uri
    assert min(found.values()) > 1000, found


def test_who_is_denied_a_path_is_denied_each_way_to_it(made_model) -> None:
    """/x/..;/admin/ is below /x/ for nginx, and /admin/ for Tomcat: no spelling leaves a list that denies."""
    draw, request, found = random.Random(4), core.Request(), Counter[str]()
    denying = deciding(deny=("deny", {"paths": ("/admin/", "/login$")}))
    parts = [*TRICKS, "/admin", "/admin/", "/login", "admin/", ";x=1", ";/", "/x/"]
    for _ in range(20_000):
        uri = "/" + "".join(draw.choice(parts) for _ in range(draw.randrange(1, 6)))
        denied = denying.decide(made_model, _asking(request, uri), "deny").list is not None
        for reader, read in READINGS.items():
            place = read(uri.partition("?")[0].encode("latin-1"))
            if place == b"/login" or place.startswith(b"/admin/"):
                found[reader] += 1
                assert denied, (uri, reader)
        found["not denied"] += not denied
    assert min(found.values()) > 1000, found
    for uri in ("/x;a=b/admin", "/100%25", "/x/..;y", "/adm%69n", "/a\\admin", "/?p=/admin/", "/feed/%c0%ae", "/%25"):
        assert denying.decide(made_model, _asking(request, uri), "deny").list is None, uri


@pytest.mark.parametrize(
    ("uri", "policy"),
    [
        ("/api/x", "api"),
        ("/api/..;/login", "default"),  # and no way out of a policy that refuses
        ("/api/..%5clogin", "default"),
        ("/api/%25", "default"),
        ("/api/v1/..;/login", "v1"),
        ("/api/v1/x", "v1"),
        ("/api/v1/open/x", "open"),
        ("/api/v1/open/..;/x", "v1"),  # the next that refuses
        ("/login/..;/x", "login"),
        ("/login/%25", "login"),
    ],
)
def test_such_a_target_is_in_no_policy_that_only_observes(made_model, tmp_path: Path, uri: str, policy: str) -> None:
    rows = {
        "default": ("enforce", ""),
        "api": ("observe", "/api/"),
        "v1": ("enforce", "/api/v1/"),
        "open": ("observe", "/api/v1/open/"),
    }
    rows["login"] = ("enforce", "/login/")
    text = "".join(
        f'[policies.{name}]\nmode = "{mode}"\n' + (f'paths = ["{path}"]\n' if path else "")
        for name, (mode, path) in rows.items()
    )
    (tmp_path / "xbot.toml").write_text(text)
    served = core.Policies(policies.image(config.load(tmp_path / "xbot.toml")))
    assert served.decide(made_model, _asking(core.Request(), uri), "default").policy == policy


def _asking(request: core.Request, uri: str) -> core.Request:
    request.load_record(None, False, agent=b"curl/8", ip=b"203.0.113.7", uri=uri.encode("latin-1"))
    return request


def test_only_a_whole_url_is_absolute() -> None:
    absolute = [row.name for row in core.FEATURES].index("url_absolute")

    def is_absolute(uri: bytes) -> bool:
        request = core.Request()
        request.load_record(None, False, uri=uri)
        return bool(request.features(core.MIN_K)[0][absolute])

    for uri in (b"http://h/", b"HTTP://h", b"a+b-c.1://h/"):
        assert is_absolute(uri)
    for uri in (
        b"/go?to=https://x",
        b"/a://b",
        b"1a://b",
        b"+a://b",
        b"://b",
        b"",
        b"*",
        b"a:/b",
        b"a?b://c",
        b"a_b://c",
    ):
        assert not is_absolute(uri)


def test_a_referrer_of_the_own_host_is_own_with_brackets_and_ports() -> None:
    """The site at [::1]:8080 was once another site than http://[::1]:8080/."""
    external = [row.name for row in core.FEATURES].index("ref_external")
    for host, referrer, other in (
        (b"[::1]:8080", b"http://[::1]:8080/", False),
        (b"[::1]", b"http://[::1]:80/a", False),
        (b"[::1]:8080", b"http://[::2]:8080/", True),
        (b"a.example:8080", b"http://u@a.example:8080/", False),
        (b"a.example", b"http://b.example/?@a.example/", True),
    ):
        request = core.Request()
        request.load_record([(b"Host", host), (b"Referer", referrer)], True)
        assert request.features(core.MIN_K)[0][external] == other, (host, referrer)


# ---- what the proxy is told

PLAIN = re.compile(r"[a-z0-9._:/*,;=+>-]+")
texts = st.one_of(
    st.binary(max_size=30), st.sampled_from([b"<svg/onload=alert(1)>", b"'\"`$(x)", b"\xc3\xa9t\xc3\xa9", b"A B\tC"])
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(texts, texts), max_size=6), texts, texts, texts, texts)
def test_a_reason_holds_plain_letters(made_model, others, agent, accept, referrer, uri) -> None:
    """X-Bot-Reason once could hold <svg/onload=...>, and sites show it in their pages."""
    request = core.Request()
    headers = [(b"User-Agent", agent), (b"Accept", accept), (b"Referer", b"http://" + referrer + b"/"), *others]
    request.load_record(headers, True, uri=uri, ip=b"2001:db8::1")
    verdict, _, parts = made_model.explain(request)
    for text in (verdict.reason, *(part.name for part in parts)):
        assert PLAIN.fullmatch(text), text
    for _, _, text in request.features(core.MIN_K)[1]:
        assert not text or PLAIN.fullmatch(text), text


def test_names_in_an_image_are_plain(made_model) -> None:
    """An image that names a list with anything else is refused, so no reason and no X-Bot-Policy can hold it."""
    good = bytes(ONE_LIST.data)
    place = good.index(b"allow-agents")
    for byte in range(256):
        damaged = good[:place] + bytes([byte]) + good[place + 1 :]
        if PLAIN.fullmatch(chr(byte)):
            core.Policies(damaged)
        else:
            with pytest.raises(core.PoliciesError):
                core.Policies(damaged)
