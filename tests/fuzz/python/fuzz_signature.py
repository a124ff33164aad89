"""Headers of a signed request (HTTP message signatures, structured fields), as anybody may send them: five texts with a zero byte
between, signature, its input, its agent, host, target.

Nothing is raised, and nobody is proven but by a signature that was made with the key: those of the seeds, for the site's own name.
"""

from __future__ import annotations

import base64
import contextlib
import sys
from pathlib import Path

try:
    import atheris
except ImportError:
    atheris = None

sys.path[:0] = [str(Path(__file__).parents[2] / "support"), str(Path(__file__).parents[3])]

with atheris.instrument_imports(["sidecar.verify", "http_sfv"]) if atheris else contextlib.nullcontext():
    import http_sfv  # noqa: F401 - or it would be loaded later, and not be watched
    import signing

    from sidecar.core import PROOFS, Signed
    from sidecar.verify.signatures import Key, Verifier

SITE = "example.com"


def _decoded(text: bytes) -> bytes:
    """Base64 as the reader of structured fields takes it: last bits that say nothing, and "=" where none belongs, are let be."""
    try:
        return base64.standard_b64decode(text)
    except ValueError:
        return b""


MADE = {_decoded(vector[0].split(b":")[1]) for vector in signing.VECTORS}


class Nonces:
    """All are new."""

    def is_new(self, nonce: bytes, until: float, now: float) -> bool:
        return True


VERIFIER = Verifier(
    {signing.KEYID: Key(signing.PUBLIC, 7, signing.AGENT)},
    (SITE,),
    Nonces(),
    1 << 60,
    clock=lambda: signing.CREATED + 10,
)


def seeds() -> list[bytes]:
    """What is right, with the name of the site and another's, and forms of structured fields."""
    out = []
    for signature, said, agent in signing.VECTORS:
        out += [
            b"\0".join([signature, said.encode(), agent or b"", host, b"/p?q=1"])
            for host in (b"example.com", b"a.example")
        ]
    fields = (
        b'sig1=("@authority" "@path";key="a");created=1;expires=2;keyid="%s";tag="web-bot-auth"'
        % signing.KEYID.encode()
    )
    for each in (
        b"sig1=:AAAA:",
        b"sig1=?1",
        b"sig1=1.5, sig2=(a b);c",
        b'sig1="\\"\\\\"',
        b"*a=*b;c=:QQ==:",
        b"sig1=@1659578233",
    ):
        out.append(b"\0".join([each, fields, b'"https://a.test"', b"example.com", b"/"]))
    return out


def check(data: bytes) -> None:
    texts = [*data.split(b"\0", 4), b"", b"", b"", b""][:5]
    signature, said, agent, host, target = texts
    request = Signed(b"GET", b"https", host, target, signature, said, agent or None)
    proof, crawler = VERIFIER(request)
    assert proof in PROOFS
    assert crawler == (0 if proof == "none" else 7)
    if proof == "proven":
        values = signature.split(b":")[1::2]
        assert any(_decoded(value) in MADE for value in values), values
        assert host.lower() == SITE.encode()


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
