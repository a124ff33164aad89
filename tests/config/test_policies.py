"""Policies and lists: what an owner decided beside the model.

Law: the oracles are other people's: ipaddress for networks, re for words of an agent, the real nginx for paths.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import string
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nginx_harness import nginx_binary, running_nginx
from places import DATA
from plans import opened
from sidecar_harness import BROWSER, CURL, Sidecar, ask, head

from sidecar import core
from sidecar.config import config, lists, options, policies
from sidecar.config.plan import Plan
from sidecar.errors import XbotError

POLICIES = DATA / "policies.toml"

addresses = st.one_of(
    st.integers(0xC6336400, 0xC63364FF).map(ipaddress.IPv4Address),  # a small range, so that networks are hit
    st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address),
    st.integers(0, 0xFFFF).map(lambda n: ipaddress.IPv6Address((0x20010DB8 << 96) + (n << 64) + n)),
    st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address),
)


@st.composite
def networks(draw: st.DrawFn) -> str:
    address = draw(addresses)
    bits = draw(st.integers(0, address.max_prefixlen))
    return str(ipaddress.ip_network((address, bits), strict=False))


def plan_of(place: Path, text: str) -> Plan:
    place.write_text(text)
    return config.load(place)


def denied(served: core.Policies, model: core.Model, **record: bytes) -> bool:
    request = core.Request()
    request.load_record(None, False, **{"agent": b"", **record})
    decision = served.decide(model, request, "default")
    assert (decision.list == "it") == (decision.reason == "deny=it")
    assert not decision.list or (decision.outcome, decision.refuse) == ("bot", True)
    return decision.list is not None


@settings(max_examples=200, deadline=None)
@given(listed=st.lists(networks(), max_size=12), visitors=st.lists(addresses, min_size=1, max_size=20))
def test_networks_are_those_of_ipaddress(made_model, listed, visitors) -> None:
    served = opened(networks=listed)
    parsed = [ipaddress.ip_network(each) for each in listed]
    edges = [edge for each in parsed for edge in (each.network_address, each.broadcast_address)]
    near = [edge + step for edge in edges for step in (-1, 0, 1) if 0 <= int(edge) + step < 2**edge.max_prefixlen]
    for visitor in [*visitors, *near]:
        if visitor.version == 6 and visitor.ipv4_mapped:
            visitor = visitor.ipv4_mapped  # a visitor over IPv4, whatever the socket
        inside = any(visitor in each for each in parsed if each.version == visitor.version)
        mapped = visitor.version == 4 and any(
            ipaddress.IPv6Address(f"::ffff:{visitor}") in each
            for each in parsed
            if each.version == 6 and each.prefixlen >= 96
        )
        wanted = (inside or mapped) and not visitor.is_unspecified  # 0.0.0.0 and :: are nobody's
        assert denied(served, made_model, ip=str(visitor).encode()) == wanted, visitor


def test_an_address_of_an_ipv6_socket_is_its_ipv4_self(made_model) -> None:
    for listed in ("192.0.2.0/24", "::ffff:192.0.2.0/120"):
        served = opened(networks=[listed])
        assert denied(served, made_model, ip=b"192.0.2.9")
        assert denied(served, made_model, ip=b"::ffff:192.0.2.9")
        assert not denied(served, made_model, ip=b"192.0.3.9")


def test_every_host_tells_that_the_challenge_refuses(made_model) -> None:
    """Who asks by the challenge's dialect looks at the status alone, so a bot is refused there by a policy that only observes.
    This was once decided in the reply: `explain` and the debugging log said otherwise than the wire."""
    plan = config.load(None)
    denying = options.Policy(mode="observe", deny=("it",))
    observing = Plan(None, plan.fixed, plan.model, (), {"default": denying}, {"it": options.Entries(agents=("curl",))})
    served = core.Policies(policies.image(observing))
    request = core.Request()
    for dialect, text, refuse in (
        ("challenge", b"GET /?ip=192.0.2.1&user_agent=curl/8&referer= HTTP/1.1\r\n\r\n", True),
        (
            "nginx",
            b"GET / HTTP/1.1\r\nX-Real-IP: 192.0.2.1\r\nX-Original-URI: /\r\nX-Original-Method: GET\r\nUser-Agent: curl/8\r\n\r\n",
            False,
        ),
    ):
        request.load_head(text, dialect)
        decided = served.decide(made_model, request, "default")
        assert (decided.outcome, decided.refuse) == ("bot", refuse)


def test_no_address_is_in_no_network(made_model) -> None:
    served = opened(networks=["0.0.0.0/0", "::/0"])
    assert denied(served, made_model, ip=b"::1")
    assert not denied(served, made_model, ip=b"unix:")
    assert not denied(served, made_model)


WORD = b"[0-9A-Za-z\x80-\xff]"
words = st.text(st.sampled_from("abC1é"), min_size=1, max_size=3).filter(lambda text: not text.isdigit())
phrases = st.lists(words, min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from(["-", " ", "/", "; "]).map(lambda between: between.join(parts))
)


@settings(max_examples=300, deadline=None)
@given(
    listed=st.lists(phrases, max_size=6),
    agent=st.lists(st.one_of(words, st.sampled_from(["-", "/", " ", "12", ";"])), max_size=90),
)
@example(["b"], ["a", " "] * 80 + ["b"])
@example(["12c"], ["12c"])
@example(["a b"], ["a", "-", "b"])
def test_agents_are_whole_words(made_model, listed, agent) -> None:
    text = "".join(agent).encode()
    found = any(
        re.search(b"(?<!%b)%b(?!%b)" % (WORD, re.escape(each.encode()), WORD), text, re.IGNORECASE) for each in listed
    )
    assert denied(opened(agents=listed), made_model, agent=text) == found


def test_disco_is_not_discourse(made_model) -> None:
    """A list of bad agents with the word Disco once locked out every forum that runs on Discourse."""
    served = opened(agents=["Disco"])
    assert denied(served, made_model, agent=b"Disco Pump 3.1")
    assert denied(served, made_model, agent=b"Mozilla/5.0 (DISCO)")
    assert not denied(served, made_model, agent=b"Discourse Forum Onebox v3.2")
    assert not denied(served, made_model, agent=b"eDisco")


paths = st.lists(
    st.sampled_from(["/", "/", "a", "b", ".", "..", "%2e", "%2F", "%61", "//", "/./", "/../", ".env", "%", "%zz", "~"]),
    max_size=9,
).map(lambda parts: "/" + "".join(parts))


def test_paths_are_resolved_as_nginx_resolves_them() -> None:
    """Else a path could be in one place for the allow list and in another for nginx."""
    if nginx_binary() is None:
        pytest.skip("nginx is not installed")
    tried = 0
    with running_nginx("location / { return 200 $uri; }", socket="/nowhere.sock") as nginx:
        connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=20)

        @settings(max_examples=400, deadline=None)
        @given(paths)
        @example("/public/..%2flogin")
        @example("/public/%2e%2e/login")
        @example("/login#/../public/x")
        @example("/public/.")
        @example("/a/..")
        @example("/a..")
        def compare(path: str) -> None:
            nonlocal tried
            connection.request("GET", path)
            reply = connection.getresponse()
            text = reply.read()
            if reply.status == 200:  # nginx refuses a bad escape, and what leads above the root
                tried += 1
                assert core.resolve_path(path.encode()) == text

        compare()
    assert tried > 100


def is_utf_8(path: bytes) -> bool:
    """Others cannot be written into a configuration."""
    return path.decode("utf-8", "ignore").encode() == path


@settings(max_examples=300, deadline=None)
@given(
    listed=st.lists(st.tuples(paths, st.booleans()), max_size=8),
    path=paths,
    end=st.sampled_from(["", "", "%00", "%00/a", "$"]),
)
@example(listed=[("/a", True), ("/a/", False), ("/", True)], path="/a", end="")
@example(listed=[("/a", True)], path="/a", end="%00")
@example(listed=[("/%aa", False)], path="/%aa", end="")
def test_paths_are_prefixes_or_whole(made_model, listed, path, end) -> None:
    """An entry that ends with `$` names that path alone; a zero byte in a request does not stand for its end."""
    every = [(core.resolve_path(each.encode()), alone) for each, alone in listed]
    every = [(each, alone) for each, alone in every if core.resolve_path(each) == each and is_utf_8(each)]
    resolved = core.resolve_path((path + end).encode())
    expected = any(resolved == each if alone else resolved.startswith(each) for each, alone in every)
    written = [each.decode() + "$" * alone for each, alone in every]
    assert denied(opened(paths=written), made_model, uri=(path + end).encode() + b"?q=/never") == expected


PREFIXES = ("/a", "/a/b", "/a/b/", "/b", "/b/a/.env", "/.env", "/~", "/%")


def test_the_policy_of_a_path_is_that_of_nginx_s_location(made_model: core.Model, tmp_path: Path) -> None:
    """The longest prefix, whatever the spelling. Any other choice would be a way out of a policy."""
    if nginx_binary() is None:
        pytest.skip("nginx is not installed")
    rows = [f'[policies.p{i}]\nmode = "enforce"\npaths = ["{prefix}"]\n' for i, prefix in enumerate(PREFIXES)]
    served = core.Policies(policies.image(plan_of(tmp_path / "xbot.toml", "".join(rows))))
    locations = "".join(f'location "{prefix}" {{ return 200 p{i}; }}' for i, prefix in enumerate(PREFIXES))
    found = Counter[str]()
    with running_nginx(f"location / {{ return 200 default; }} {locations}", socket="/nowhere.sock") as nginx:
        connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=20)

        @settings(max_examples=400, deadline=None)
        @given(paths)
        @example("/%61//./b/../b/?x")
        @example("/b/../a%2fb")
        def compare(path: str) -> None:
            connection.request("GET", path)
            reply = connection.getresponse()
            text = reply.read().decode()
            if reply.status == 200:
                request = core.Request()
                request.load_record(None, False, uri=path.encode(), agent=b"")
                assert served.decide(made_model, request, "default").policy == text, path
                found[text] += 1

        compare()
    assert len(found) >= 6


def test_nothing_is_above_the_root() -> None:
    for path in (b"/../etc", b"/..", b"/a/../../etc", b"/%2e%2e/%2e%2e/etc"):
        assert core.resolve_path(path) in (b"/etc", b"/")


# ---- the order ----


@pytest.fixture(scope="module")
def served() -> core.Policies:
    return core.Policies(policies.image(config.load(POLICIES)))


@pytest.mark.parametrize(
    ("visitor", "outcome", "reason"),
    [
        ({"ip": b"192.0.2.7", "uri": b"/.env", "agent": b"zgrab"}, "human", "allow=office"),
        ({"ip": b"198.51.100.200", "uri": b"/open/x"}, "human", "allow=office"),
        ({"ip": b"198.51.100.200"}, "bot", "deny=abuse"),  # denied and verified: denied
        ({"ip": b"66.249.66.1", "agent": b"zgrab"}, "bot", "deny=tools"),
        ({"ip": b"66.249.66.1"}, "verified", "verified=crawlers"),
        ({"ip": b"2001:4860:4801::5"}, "verified", "verified=crawlers"),
    ],
)
def test_allow_then_deny_then_verified(served, made_model, visitor, outcome, reason) -> None:
    request = core.Request()
    request.load_record(None, False, **{"agent": b"x", **visitor})
    decision = served.decide(made_model, request, "login")
    assert (decision.outcome, decision.reason, decision.policy) == (outcome, reason, "login")
    assert decision.refuse == (outcome == "bot")
    observed = served.decide(made_model, request, "default")
    assert observed.list is None
    assert not observed.refuse


def test_the_score_decides_what_no_list_names(made_model, tmp_path) -> None:
    """Over the scores of every head of tests/data: below suspect_above human, from the threshold on bot, between suspect."""
    import tables

    for low, high in ((0.2, 0.6), (0.4, 0.8)):
        text = f'[policies.default]\nmode = "enforce"\nthreshold = {high}\nsuspect_above = {low}\n'
        text += '[policies.plain]\nmode = "enforce"\n'
        served = core.Policies(policies.image(plan_of(tmp_path / "xbot.toml", text)))
        seen = set()
        for row in tables.heads():
            if row["outcome"] == "partial":
                continue
            request = core.Request()
            try:
                request.load_head(row["head"])
            except core.LineError:
                continue
            score = made_model.judge(request).score
            decision = served.decide(made_model, request, "default")
            seen.add(decision.outcome)
            assert decision.outcome == ("bot" if score >= high else "suspect" if score >= low else "human")
            assert decision.refuse == (decision.outcome == "bot")
            # What accuses most is said of whom this policy accuses, and of nobody else.
            accused = made_model.judge(request, low)
            assert decision.reason == accused.reason
            assert accused.reason == "none" or decision.outcome != "human"
            plain = served.decide(made_model, request, "plain")
            assert plain.outcome == ("bot" if score >= made_model.threshold else "human")
        assert len(seen) >= 2


def test_a_denied_visitor_is_a_suspect_where_the_policy_says_so(made_model, tmp_path) -> None:
    """Never refused, and with the list for its reason; who is on no list is judged as before."""
    text = '[policies.default]\nmode = "enforce"\nthreshold = 0.0\ndeny = ["clouds"]\ndeny_as = "{}"\n'
    text += '[lists.clouds]\nnetworks = ["192.0.2.0/24"]\n'
    for called, refuse in (("bot", True), ("suspect", False)):
        served = core.Policies(policies.image(plan_of(tmp_path / "xbot.toml", text.format(called))))
        request = core.Request()
        request.load_record(None, False, agent=b"x", ip=b"192.0.2.1")
        decision = served.decide(made_model, request, "default")
        assert (decision.outcome, decision.refuse, decision.reason) == (called, refuse, "deny=clouds")
        request.load_record(None, False, agent=b"x", ip=b"198.51.100.1")
        assert served.decide(made_model, request, "default").outcome == "bot"


# ---- as the proxy meets it ----

CONFIG = """
{policies}
[[listen]]
address = "unix:{place}/strict.sock"
policy = "login"
[[listen]]
address = "unix:{place}/plain.sock"
"""


def asked(policy: str, **visitor: Any) -> bytes:
    return head(**visitor).replace(b"\r\n\r\n", b"\r\nX-Bot-Policy: %b\r\n\r\n" % policy.encode())


def test_a_location_chooses_its_policy_and_a_listener_has_one(model_path, tmp_path) -> None:
    path = tmp_path / "xbot.toml"
    path.write_text(CONFIG.format(policies=POLICIES.read_text(), place=tmp_path))
    with Sidecar(model_path, "--config", path, "--admin", "127.0.0.1:0", listen=()) as sidecar:
        strict, plain = f"unix:{tmp_path}/strict.sock", f"unix:{tmp_path}/plain.sock"
        for place, request, status, outcome, policy in (
            (plain, head(CURL), 200, "bot", "default"),
            (plain, asked("login", headers=CURL), 403, "bot", "login"),
            (strict, head(CURL), 403, "bot", "login"),
            (strict, asked("default", headers=CURL), 200, "bot", "default"),
            (plain, head(CURL, uri="/login"), 403, "bot", "login"),
            (plain, head(CURL, uri="/x/..%2faccount/?y"), 403, "bot", "login"),
            (plain, head(CURL, uri="/account"), 200, "bot", "default"),
            (plain, asked("default", headers=CURL, uri="/login"), 200, "bot", "default"),
            (plain, asked("none-such", headers=CURL, uri="/login"), 403, "bot", "login"),
            (plain, asked("none-such", headers=CURL), 200, "bot", "default"),
            (strict, head(CURL, ip="192.0.2.2"), 200, "human", "login"),
            (strict, head(BROWSER, ip="66.249.66.1"), 200, "verified", "login"),
        ):
            reply = ask(place, request)
            assert (reply.status, reply["X-Bot"], reply["X-Bot-Policy"]) == (status, outcome, policy), request
        metrics = sidecar.metrics()
        assert metrics['xbot_unknown_policy_total{host="worker"}'] == 2
        assert sidecar.counted("xbot_requests_total", rule="allow") == 1
        assert sidecar.counted("xbot_requests_total", verdict="verified") == 1
        # A reload takes new lists, and a broken one changes nothing.
        text = path.read_text()
        path.write_text(text.replace('"192.0.2.0/25", ', ""))
        sidecar.reload()
        assert ask(strict, head(CURL, ip="192.0.2.1")).status == 403
        path.write_text(text.replace('"192.0.2.0/25"', '"192.0.2.0/33"'))
        sidecar.reload()
        assert "192.0.2.0/33" in sidecar.events("reload refused")[0]["reason"]
        assert ask(strict, head(CURL, ip="192.0.2.1")).status == 403


# ---- lists from files ----


def listed(tmp_path: Path, text: str, kind: str = "network") -> lists.Contents:
    (tmp_path / "it.txt").write_text(text)
    plan = plan_of(
        tmp_path / "xbot.toml", f'[lists.it]\n{kind}_files = ["it.txt"]\n[policies.default]\ndeny = ["it"]\n'
    )
    return lists.contents(plan, "it")


def test_a_file_has_one_entry_a_line(tmp_path) -> None:
    found = listed(tmp_path, "# ours\n192.0.2.0/25\n\n192.0.2.128/25   # the other half\n2001:db8::/32\r\n")
    assert found.v4 == [(0xC0000200, 0xC00002FF)]
    assert len(found.v6) == 1


def test_published_networks_are_read_as_they_are(tmp_path) -> None:
    text = '{"creationTime": "x", "prefixes": [{"ipv6Prefix": "2001:4860:4801:10::/64"}, {"ipv4Prefix": "66.249.64.0/27"}]}'
    found = listed(tmp_path, text)
    assert (len(found.v4), len(found.v6)) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        ("network", "192.0.2.0/24\nlocalhost\n", "it.txt:2: network: 'localhost' is no IPv4 or IPv6 network"),
        (
            "network",
            "192.0.2.1/24",
            "it.txt:1: network: '192.0.2.1/24' has bits behind its prefix; is 192.0.2.0/24 meant?",
        ),
        (
            "network",
            '{"prefixes": [\n{"ipv4Prefix": "1.2.3"}]}',
            "it.txt:2: network: '1.2.3' is no IPv4 or IPv6 network",
        ),
        (
            "network",
            '{"networks": []}',
            "xbot.toml:2: lists.it.network_files[0]: {place}/it.txt: not JSON with prefixes, ",
        ),
        ("agent", "curl\n(x)\n", "it.txt:2: agent: '(x)' does not begin with a letter or a digit"),
        ("agent", "007", "it.txt:1: agent: '007' begins with a bare number"),
        ("path", "/a\nb\n", "it.txt:2: path: 'b' does not begin with a slash"),
        ("path", "/a\0b", "it.txt:1: path: '/a\\x00b' has a zero byte"),
        ("path", "/a/..$", "it.txt:1: path: paths are compared decoded and resolved; write '/' for '/a/..'"),
        ("path", "$", "it.txt:1: path: '' does not begin with a slash"),
        ("path", "/a/../b", "it.txt:1: path: paths are compared decoded and resolved; write '/b' for '/a/../b'"),
    ],
)
def test_a_bad_entry_is_named_by_file_and_line(tmp_path, kind, text, why) -> None:
    with pytest.raises(XbotError) as caught:
        listed(tmp_path, text, kind)
    assert str(caught.value).startswith(f"{tmp_path}/{why}".replace("{place}", str(tmp_path)))


def test_an_image_that_was_damaged_is_refused_or_safe(served, made_model) -> None:
    """Every byte changed in turn: the fuzzer does this at length."""
    good = bytearray(served.data)
    request = core.Request()
    request.load_record(None, False, agent=b"go-http-client/2.0 zgrab", ip=b"192.0.2.7", uri=b"/.env")
    for place in range(len(good)):
        for value in (0, 0x7F, 0xFF):
            damaged = bytearray(good)
            damaged[place] = value
            with contextlib.suppress(core.PoliciesError, KeyError):
                core.Policies(bytes(damaged)).decide(made_model, request, "login")


def test_paths_are_so_many(tmp_path) -> None:
    for count in (256, 257):
        paths = [f"/{i}" for i in range(count)]
        text = f"[policies.a]\npaths = {paths[:200]}\n[policies.b]\npaths = {paths[200:]}\n"
        if count == 256:
            assert len(lists.routes(plan_of(tmp_path / "xbot.toml", text))) == 256
        else:
            with pytest.raises(XbotError, match=r"policies: 257 paths, at most 256"):
                plan_of(tmp_path / "xbot.toml", text)


def test_names_are_short_and_plain(tmp_path) -> None:
    assert options.NAME.fullmatch("a" * core.MAX_NAME)
    for name in ("a" * (core.MAX_NAME + 1), "-a", "A", "a b", "", "ä"):
        assert not options.NAME.fullmatch(name)
    assert {c for c in map(chr, range(128)) if options.NAME.fullmatch(c)} == set(string.ascii_lowercase + string.digits)
