"""Signed requests: the vectors that Cloudflare publishes for Web Bot Auth, with the key of RFC 9421 (B.1.4), and those who sign
falsely, too late, twice, or for another site.

Law: what is signed here is signed by `cryptography`, from a base that is written out by hand.
"""

from __future__ import annotations

import base64
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from signing import AGENT, CREATED, KEYID, PUBLIC, SECRET, VECTORS

from sidecar.board.proofs import Nonces
from sidecar.core import Signed
from sidecar.verify import signatures
from sidecar.verify.signatures import Key, Verifier


def verifier(now: float, *, hosts: tuple[str, ...] = ("example.com",), per_second: int = 1000) -> Verifier:
    return Verifier({KEYID: Key(PUBLIC, 7, AGENT)}, hosts, Nonces(), per_second, clock=lambda: now)


def asked(
    signature: bytes | None, said: str, agent: bytes | None, host: str = "example.com", uri: str = "/p?q=1"
) -> Signed:
    return Signed(b"GET", b"https", host.encode(), uri.encode(), signature, said.encode(), agent)


def signed(
    lines: list[str],
    covered: str,
    agent: str | None = f'"{AGENT}"',
    host: str = "example.com",
    key: bytes = SECRET,
    **params: object,
) -> Signed:
    """Signed by hand: `lines` are those of the base, but the last."""
    every = {"created": CREATED, "expires": CREATED + 60, "keyid": KEYID, "tag": "web-bot-auth", **params}
    shown = "".join(f";{k}={v}" if isinstance(v, int) else f';{k}="{v}"' for k, v in every.items() if v is not None)
    base = "\n".join([*lines, f'"@signature-params": {covered}{shown}'])
    value = base64.b64encode(Ed25519PrivateKey.from_private_bytes(key).sign(base.encode())).decode()
    return asked(f"sig1=:{value}:".encode(), f"sig1={covered}{shown}", agent.encode() if agent else None, host)


AUTHORITY = '"@authority": example.com'
AGENT_LINE = f'"signature-agent": "{AGENT}"'
BOTH = [AUTHORITY, AGENT_LINE], '("@authority" "signature-agent")'


def test_the_thumbprint_is_that_of_the_published_key() -> None:
    assert signatures.thumbprint(PUBLIC) == KEYID


@pytest.mark.parametrize("vector", VECTORS)
def test_published_vectors(vector) -> None:
    check = verifier(CREATED + 10)
    assert check(asked(*vector)) == ("proven", 7)
    assert check(asked(*vector)) == ("unproven", 7)  # its nonce was used
    assert verifier(CREATED + 10)(asked(*vector, host="other.example")) == ("unproven", 7)  # not of this site
    assert verifier(CREATED + 10, hosts=("other.example",))(asked(*vector, host="other.example")) == ("disproved", 7)
    assert verifier(CREATED + signatures.WINDOW + 100)(asked(*vector)) == ("unproven", 7)
    assert verifier(CREATED - 100)(asked(*vector)) == ("unproven", 7)
    broken = vector[0][:12] + (b"A" if vector[0][12:13] != b"A" else b"B") + vector[0][13:]
    assert verifier(CREATED + 10)(asked(broken, *vector[1:])) == ("disproved", 7)


def test_the_older_form_and_all_that_agents_cover() -> None:
    """A bare string, and what ChatGPT's agent signs."""
    now = CREATED + 1
    assert verifier(now)(signed(*BOTH)) == ("proven", 7)
    lines = [AUTHORITY, '"@method": GET', '"@path": /p', AGENT_LINE]
    assert verifier(now)(signed(lines, '("@authority" "@method" "@path" "signature-agent")')) == ("proven", 7)
    lines = [
        AUTHORITY,
        '"@query": ?q=1',
        '"@scheme": https',
        '"@request-target": /p?q=1',
        '"@target-uri": https://example.com/p?q=1',
    ]
    covered = '("@authority" "@query" "@scheme" "@request-target" "@target-uri" "signature-agent")'
    assert verifier(now)(signed([*lines, AGENT_LINE], covered)) == ("proven", 7)


def test_the_port_is_a_part_of_the_name() -> None:
    lines = ['"@authority": example.com:8443', AGENT_LINE]
    for told in ("example.com", "example.com:8443"):
        request = signed(lines, BOTH[1], host=told)
        assert verifier(CREATED, hosts=("example.com:8443",))(request) == ("proven", 7)
    assert verifier(CREATED, hosts=("example.com",))(signed(lines, BOTH[1])) == ("disproved", 7)


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"key": b"\x01" * 32}, "disproved"),
        ({"expires": CREATED - 1}, "unproven"),
        ({"expires": None}, "unproven"),
        ({"created": None}, "unproven"),
        ({"created": CREATED + 300, "expires": CREATED + 400}, "unproven"),
        ({"alg": "hmac-sha256"}, "unproven"),
        ({"tag": "other"}, "none"),
        ({"tag": None}, "none"),
        ({"keyid": "x" * 43}, "none"),
        ({"keyid": None}, "none"),
        ({"agent": '"https://other.test"'}, "unproven"),
        ({"agent": None}, "unproven"),
        ({"host": "attacker.example"}, "unproven"),
    ],
)
def test_what_is_not_as_it_should_be(change, answer) -> None:
    assert verifier(CREATED + 70 if "expires" in change else CREATED)(signed(*BOTH, **change))[0] == answer


@pytest.mark.parametrize(
    ("lines", "covered", "answer"),
    [
        ([AGENT_LINE], '("signature-agent")', "unproven"),  # for every site
        ([AUTHORITY], '("@authority")', "unproven"),  # the agent's name is not covered
        ([AUTHORITY, '"x-other": 1', AGENT_LINE], '("@authority" "x-other" "signature-agent")', "unproven"),
        ([AUTHORITY, AUTHORITY, AGENT_LINE], '("@authority" "@authority" "signature-agent")', "none"),
        ([AUTHORITY, AGENT_LINE], '("@authority";req "signature-agent")', "unproven"),
    ],
)
def test_what_is_covered(lines, covered, answer) -> None:
    assert verifier(CREATED)(signed(lines, covered))[0] == answer


@pytest.mark.parametrize(
    "said", ["", "=", "sig1", 'sig1=("@authority"', "sig1=:AAAA:", "\xff", "(" * 4000, "sig1=?1", "a=1," * 900]
)
@pytest.mark.parametrize(
    "signature", [b"", b"sig1=:AAAA:", b"sig1=1", b"sig1=(1 2)", b"\xff\xfe", b"sig1=:" + b"A" * 4000 + b":"]
)
def test_garbage_is_no_signature(said, signature) -> None:
    assert verifier(CREATED)(asked(signature, "x", b'"a"')._replace(signature_input=said.encode("latin-1"))) == (
        "none",
        0,
    )
    good = VECTORS[0][1]
    assert verifier(CREATED)(asked(signature, good, said.encode("latin-1")))[0] != "proven"


def test_no_more_are_checked_in_a_second_than_said() -> None:
    request = signed(*BOTH)
    check = verifier(CREATED, per_second=20)
    while time.monotonic() % 1 > 0.3:
        time.sleep(0.01)
    assert [check(request)[0] for _ in range(30)].count("proven") == 20


def test_nonces_end_and_are_shared() -> None:
    one = Nonces()
    other = Nonces(one.fd)
    assert one.is_new(b"a", 100, 50)
    assert not other.is_new(b"a", 100, 60)
    assert other.is_new(b"b", 100, 60)
    assert other.is_new(b"a", 200, 102)
    assert not one.is_new(b"a", 200, 102)


def test_keys_of_a_directory() -> None:
    x = base64.urlsafe_b64encode(PUBLIC).decode().rstrip("=")
    good = f'{{"keys": [{{"kty": "RSA"}}, 1, {{"kty": "OKP", "crv": "Ed25519", "x": "{x}", "kid": "other"}}]}}'
    found = signatures.keys_of(good.encode(), 3, f"{AGENT}/.well-known/http-message-signatures-directory")
    assert found == {KEYID: Key(PUBLIC, 3, AGENT)}
    for bad in (b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": []}', good.replace(x, "AAAA").encode(), b"[" * 10000):
        with pytest.raises((ValueError, RecursionError)):
            signatures.keys_of(bad, 3, AGENT)
