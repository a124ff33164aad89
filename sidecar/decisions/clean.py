"""What may stand in the log of decisions: no cookie, no password, no token, and the address as its owner wants it.

Law: what is taken away is replaced by as many letters, so that lengths and counts stay as they were. It is found by its name
(`token=`, `code=`, ...), by the step before it (`/reset/...`), or by its look: letters and digits mixed, as no word is, or an address of
mail. What looks like a word is left.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from urllib.parse import unquote_to_bytes

# Headers of which only the presence is kept.
_SECRET_HEADERS = {b"cookie", b"authorization", b"proxy-authorization"}
_SECRET_NAME = re.compile(
    rb"token|code|key|sig|pass|pwd|secret|sess|sid\b|auth|otp|jwt|saml|ticket|nonce|state|magic|invite|reset|credential|"
    rb"assertion|mail|hash|csrf|xsrf|hmac|login_hint|bearer|verifier|refresh|\bpin\b|cvv|cvc|\bssn\b|iban|card|phone",
    re.IGNORECASE,
)
_RUN = re.compile(rb"[A-Za-z0-9]+")
_UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX = re.compile(rb"[0-9a-fA-F]{16,}")
_LONG_RUN, _LONG_PART = 16, 24
_USERINFO = re.compile(rb"^((?:[a-zA-Z][a-zA-Z0-9+.-]*:)?//)([^/?#@]*)@")
_MAIL = re.compile(rb"[^\s@]@[^\s@.]+\.[^\s@]")
# What follows one of these in a path is often the secret itself: "/reset/k3Jx".
_STEP = re.compile(
    rb"(?:reset|password|magic|magic-?link|invite|invitation|confirm|verify|activate|unsubscribe|optout|token|otp|share|signin|login)",
    re.IGNORECASE,
)
_NO_WORD = re.compile(rb"[0-9A-Z]|.{16}", re.DOTALL)
_DEEPEST = 3  # targets inside the query of targets


def filler(text: bytes) -> bytes:
    """As many letters."""
    return b"x" * len(text)


def looks_random(text: bytes) -> bool:
    """Is it none that a person would choose: a long mixture of letters and digits?"""
    if _UUID.search(text) or _HEX.search(text) or _MAIL.search(text):
        return True
    if (
        len(text) >= _LONG_PART
        and re.search(rb"[0-9]", text)
        and re.search(rb"[A-Z]", text)
        and re.search(rb"[a-z]", text)
    ):
        return True
    return any(
        len(run) >= _LONG_RUN and re.search(rb"[0-9]", run) and re.search(rb"[A-Za-z]", run)
        for run in _RUN.findall(text)
    )


def clean_target(text: bytes, depth: int = 0) -> bytes:
    """A target or a referrer without its secrets. `depth`: how many others it is in."""
    text = _USERINFO.sub(lambda found: found[1] + filler(found[2]) + b"@", text)
    path, mark, rest = re.match(rb"([^?#]*)([?#]?)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    scheme = re.match(rb"(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?//[^/]*", path)
    site = scheme[0] if scheme else b""
    before, parts = b"", list[bytes]()
    for part in path[len(site) :].split(b"/"):
        parts.append(_clean_part(part, before, depth))
        before = part
    pairs = re.split(rb"([&;?#])", rest)
    return site + b"/".join(parts) + mark + b"".join(_clean_pair(pair, depth) for pair in pairs)


def _clean_part(part: bytes, before: bytes, depth: int) -> bytes:
    """A segment of a path behind another, which may have parameters of its own (`;jsessionid=...`)."""
    first, *more = part.split(b";")
    plain = unquote_to_bytes(first)
    if looks_random(plain) or (_STEP.fullmatch(unquote_to_bytes(before)) and _NO_WORD.search(plain)):
        first = filler(first)
    return b";".join([first, *(_clean_pair(pair, depth) for pair in more)])


def _clean_pair(pair: bytes, depth: int) -> bytes:
    name, equals, value = pair.partition(b"=")
    if not equals:
        return filler(pair) if looks_random(unquote_to_bytes(pair)) else pair
    plain, more = value, unquote_to_bytes(value)
    for _ in range(_DEEPEST):
        plain, more = more, unquote_to_bytes(more)
    # A target that is a value: "?next=%2Fcb%3Ftoken%3D...". One that is deeper than that is not read, and taken away.
    inner = plain != more or (b"=" in plain and (depth == _DEEPEST or clean_target(plain, depth + 1) != plain))
    if _SECRET_NAME.search(unquote_to_bytes(name)) or looks_random(plain) or inner:
        value = filler(value)
    return (filler(name) if looks_random(unquote_to_bytes(name)) else name) + equals + value


def clean_header(name: bytes, value: bytes) -> bytes:
    """A header's value without its secrets."""
    lower = name.lower()
    if lower in _SECRET_HEADERS:
        return b"1" if value else b""
    if lower in (b"referer", b"origin"):
        return clean_target(value)
    if lower.startswith((b"x-", b"sec-websocket-key")) and (_SECRET_NAME.search(lower) or looks_random(value)):
        return filler(value)
    return filler(value) if _SECRET_NAME.search(lower) else value


def hidden_cookies(name: bytes, value: bytes) -> bytes:
    """A header's value where its owner wants secrets kept: cookies and passwords never are."""
    return clean_header(name, value) if name.lower() in _SECRET_HEADERS else value


def network(address: str) -> str | None:
    """The first address of its /24, or /48; None for what is none."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 48), strict=False).network_address)


def keyed(address: str, key: bytes) -> str:
    """The same for the same address and key: 16 hexadecimal digits of its HMAC with SHA-256."""
    return hmac.new(key, address.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:16]
