"""Dialects: from a proxy's question to the visitor's request, and what no visitor can say in it.

tests/proxies/test_proxies.py asks the real proxies. Of those that cannot be had, what they send stands in tests/data/questions.tsv,
and their files are read here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
import tables
import yaml
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT
from proxy_harness import DEPLOY, ingresses
from sidecar_harness import BROWSER, CURL, Sidecar, ask

from sidecar import core

QUESTIONS = tables.questions()
ASKED = ("ip", "method", "uri", "protocol", "scheme", "host", "policy")
ORDER = 1 << 6  # XB_HAS_ORDER of csrc/request/request.h
OURS = ["X-Bot", "X-Bot-Score", "X-Bot-Reason", "X-Bot-Policy", "X-Bot-Agent", "X-Bot-Purpose", "X-Bot-Id"]
TLS = [f"X-TLS-{name}" for name in ("Protocol", "Ciphers", "Curves", "ALPN", "Reused", "Sigalgs")]


def asked(request: core.Request) -> dict[str, bytes | None]:
    return {name: request.fields[name] for name in ASKED}


@pytest.mark.parametrize("row", QUESTIONS, ids=lambda row: row["name"])
def test_a_question(row) -> None:
    request, wanted = core.Request(), row["wanted"]
    request.load_head(row["head"], row["dialect"])
    assert asked(request) == {name: wanted[name].encode() if name in wanted else None for name in ASKED}
    assert (request.present & ORDER == ORDER) == wanted["ordered"]
    assert bool(request.present & core.GROUPS["ip"])
    dense, _ = request.features(core.MIN_K)
    count = dict(zip((row.name for row in core.FEATURES), dense, strict=True))["hdr_count"]
    assert count == wanted["counted"] if wanted["ordered"] else count != count


def test_each_dialect_has_a_question() -> None:
    assert {row["dialect"] for row in QUESTIONS} == set(core.DIALECTS)


# ---- what no visitor can say

# Under these names a proxy sends its own word, or nothing. All else may be the visitor's.
OWN = {
    "nginx": {"x-real-ip", "x-original-uri", "x-original-method", "x-original-protocol", "x-original-scheme",
              "x-original-host", "x-bot-policy"},
    "ingress-nginx": {"x-real-ip", "x-original-url", "x-original-method"},
    "forward-auth": {"x-forwarded-for", "x-forwarded-method", "x-forwarded-uri", "x-forwarded-proto", "x-forwarded-host"},
    "ext-authz": {"host", "x-real-ip", "x-original-protocol", "x-original-order", "x-forwarded-proto", "x-bot-policy"},
    "haproxy": set(),  # ours come first
    "challenge": set(),
}  # fmt: skip
_ANY = sorted(set().union(*OWN.values()) | {"x-original-order", "forwarded", "x-envoy-external-address", "x-other"})
_forged = st.lists(
    st.tuples(st.sampled_from(_ANY), st.sampled_from(["forged", "6.6.6.6", "/?policy=forged", ""])), max_size=8
)
_whole = [row for row in QUESTIONS if row["wanted"]["ordered"] or row["dialect"] in ("forward-auth", "challenge")]


@given(st.sampled_from(_whole), _forged, st.randoms())
def test_what_a_visitor_sends_besides_changes_nothing(row, forged, rng) -> None:
    request, other = core.Request(), core.Request()
    request.load_head(row["head"], row["dialect"])
    lines = row["head"].split(b"\r\n")
    first = len(lines) - 2 if row["dialect"] == "haproxy" else 1
    for name, value in forged:
        if name not in OWN[row["dialect"]]:
            lines.insert(rng.randint(first, len(lines) - 2), f"{name}: {value}".encode())
    other.load_head(b"\r\n".join(lines), row["dialect"])
    assert asked(other) == asked(request)


# ---- against other people's parsers

_text = st.text("abcABC019-._~%?&=:@!$'()*+,;/ \"<>\\^`{|}é", max_size=20)


@given(
    scheme=st.sampled_from(["http", "https"]),
    host=st.text("abc.-:[]019_", max_size=12),
    rest=_text.map(lambda text: "/" + text.replace(" ", "")),
)
def test_ingress_nginx_takes_a_url_apart_as_urllib_does(scheme: str, host: str, rest: str) -> None:
    url = f"{scheme}://{host}{rest}"
    request = core.Request()
    request.load_head(f"GET / HTTP/1.1\r\nX-Original-URL: {url}\r\n\r\n".encode(), "ingress-nginx")
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that hold no address: urllib minds, a header does not
        return
    fields = request.fields
    assert (fields["scheme"], fields["host"]) == (parts.scheme.encode(), parts.netloc.encode())
    assert fields["uri"] == url.removeprefix(f"{parts.scheme}://{parts.netloc}").encode()


@given(st.lists(st.tuples(st.sampled_from(["a", "police", "xpolicy"]), _text), max_size=5), st.integers(0, 5))
def test_the_policy_is_a_parameter_of_the_target(pairs: list[tuple[str, str]], place: int) -> None:
    for dialect in ("ingress-nginx", "forward-auth", "haproxy"):
        for policy in (None, "login-2_x"):
            named = [*pairs[:place], *([("policy", policy)] if policy else []), *pairs[place:]]
            request = core.Request()
            request.load_head(f"GET /auth?{urlencode(named)} HTTP/1.1\r\n\r\n".encode(), dialect)
            assert request.fields["policy"] == (policy.encode() if policy else None)


@given(
    st.lists(st.lists(st.text("0123456789abcdef.: \t", max_size=12), min_size=1, max_size=4), min_size=1, max_size=3)
)
def test_the_address_is_the_last_one(chains: list[list[str]]) -> None:
    lines = "".join(f"X-Forwarded-For: {','.join(chain)}\r\nX-Other: 6.6.6.6\r\n" for chain in chains)
    request = core.Request()
    request.load_head(f"GET / HTTP/1.1\r\n{lines}\r\n".encode(), "forward-auth")
    assert request.fields["ip"] == chains[-1][-1].strip(" \t").encode()


# ---- a sidecar that is asked as those ask that cannot be had


def as_traefik(policy: str, headers: dict[str, str]) -> bytes:
    """Go's names and order; what the visitor did not send of them, Go's client sends by itself."""
    own = {
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Host": "site.example",
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Uri": "/",
    }
    sent = {"Accept-Encoding": "gzip"} | {name.title(): value for name, value in headers.items()} | own
    sent.pop("Host", None)
    lines = [f"{name}: {value}" for name, value in sorted(sent.items())]
    return "\r\n".join([f"GET /?policy={policy} HTTP/1.1", "Host: 127.0.0.1:9401", *lines, "", ""]).encode()


@pytest.mark.skip(reason="no package holds Traefik: the three tests below stand for it")
def test_traefik() -> None: ...


def test_traefiks_questions(model_path: Path) -> None:
    with Sidecar(
        model_path, "--dialect", "forward-auth", "--mode", "enforce", listen=["127.0.0.1:0"], workers=1
    ) as sidecar:
        for headers, status, verdict in ((BROWSER, 200, "human"), (CURL, 403, "bot")):
            reply = ask(sidecar.address, as_traefik("default", headers))
            assert (reply.status, reply["X-Bot"]) == (status, verdict)


def traefik() -> dict[str, dict]:
    return yaml.safe_load((DEPLOY / "traefik" / "xbot.yml").read_text())["http"]


def aliases() -> Iterator[str]:
    """The names that a site may take for one of ours, and that forwardAuth does not delete itself."""
    for name in OURS:
        words = name.split("-")
        for separators in itertools.product("-_.", repeat=len(words) - 1):
            alias = "".join(itertools.chain(*itertools.zip_longest(words, separators, fillvalue="")))
            if alias not in OURS:
                yield alias


def test_traefiks_file() -> None:
    http = traefik()
    clean = http["middlewares"]["xbot-clean"]["headers"]
    assert clean["customRequestHeaders"] == dict.fromkeys([*aliases(), *TLS, "X-Connection"], "")
    assert clean["customResponseHeaders"] == dict.fromkeys(OURS, "")
    for router in http["routers"].values():
        assert router["service"] in http["services"]
        cleaning, asking = router["middlewares"]
        forward = http["middlewares"][asking]["forwardAuth"]
        assert cleaning == "xbot-clean"
        assert set(forward) == {"address", "authResponseHeaders"}  # trustForwardHeader would believe visitors
        assert forward["authResponseHeaders"] == OURS
        target = urlsplit(forward["address"])
        request = core.Request()
        request.load_head(f"GET {target.path}?{target.query} HTTP/1.1\r\n\r\n".encode(), "forward-auth")
        assert (request.fields["policy"], asking) == (None, "xbot")
    (provider,) = yaml.safe_load((DEPLOY / "traefik" / "traefik.yml").read_text())["providers"].values()
    assert Path(provider["filename"]).name == "xbot.yml"


def test_the_ingresses() -> None:
    """What ingress-nginx makes of them is in tests/proxies/test_proxies.py."""
    for ingress in ingresses():
        assert (ingress["apiVersion"], ingress["kind"]) == ("networking.k8s.io/v1", "Ingress")
        notes = ingress["metadata"]["annotations"]
        assert notes["nginx.ingress.kubernetes.io/auth-response-headers"].split(",") == OURS
        assert len(notes) == 2


# ---- documents


def test_each_dialect_is_told_of() -> None:
    page = (ROOT / "docs" / "proxies.md").read_text()
    assert [dialect for dialect in core.DIALECTS if f"`{dialect}`" not in page] == []
