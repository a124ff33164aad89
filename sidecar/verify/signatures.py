"""Requests that are signed: HTTP message signatures (RFC 9421) with Ed25519, as Web Bot Auth uses them
(draft-ietf-webbotauth-httpsig-protocol-00, and draft-meunier-web-bot-auth-architecture before it).

Law: a signature proves a crawler if its key is in the directory of that crawler's owner, it covers the site's own name, it is in
its time, and its nonce is new. The site's names come from the configuration and never from the request: else whoever was visited
by an agent could show its signature to others. Nothing is fetched here; a check is bounded in bytes, keys and times a second,
and takes less than a millisecond. Whatever cannot be tried is unproven; a signature that is false disproves.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime
import hashlib
import importlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from sidecar.errors import XbotError
from sidecar.inputs import read_text
from sidecar.verify import catalogue

if TYPE_CHECKING:
    from http_sfv.item import InnerList

    from sidecar.core import Signed

TAG = "web-bot-auth"
WINDOW = 86400  # seconds after `created` in which a signature counts, whatever it says of its end
_SKEW = 60  # seconds by which clocks may differ
_LONGEST = 4096  # bytes of a header
_MOST_SIGNATURES, _MOST_COMPONENTS = 4, 16
Answer = tuple[str, int]  # of core.PROOFS, and the crawler by its number
_NONE: Answer = "none", 0


class Nonces(Protocol):
    """Those that were used (board/proofs.py)."""

    def is_new(self, nonce: bytes, until: float, now: float) -> bool:
        """Whether it was not used yet; from now on it is."""


@dataclass(frozen=True)
class Key:
    """A public key of 32 bytes, whose thumbprint (RFC 7638, RFC 8037) names it, and the crawler that signs with it, by number.
    `origin` is what its Signature-Agent says."""

    x: bytes
    crawler: int
    origin: str


def thumbprint(x: bytes) -> str:
    """What `keyid` says of an Ed25519 key."""
    jwk = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(x)}
    return _base64url(hashlib.sha256(json.dumps(jwk, separators=(",", ":")).encode()).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Verifier:
    """Checks what core.Policies calls it with. `keys`: thumbprint -> key; `hosts`: HOST or HOST:PORT of the site, lower case."""

    keys: Mapping[str, Key]
    hosts: Sequence[str]
    nonces: Nonces
    per_second: int
    clock: Callable[[], float] = time.time
    _second: int = 0
    _checked: int = 0
    _verifiers: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The libraries are loaded now: the first request that is signed must not wait for them."""
        for name in ("http_sfv.dictionary", "http_sfv.item", "cryptography.hazmat.primitives.asymmetric.ed25519"):
            importlib.import_module(name)

    def __call__(self, request: Signed) -> Answer:
        """Who signed it."""
        said = (request.signature, request.signature_input, request.signature_agent)
        if any(each is not None and len(each) > _LONGEST for each in said) or not self._has_time():
            return _NONE
        try:
            return max((self._one(request, *each) for each in self._signatures(request)), key=_strength, default=_NONE)
        except (ValueError, KeyError, TypeError, AttributeError):  # no structured fields, or none as they should be
            return _NONE

    def _has_time(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._checked = second, 0
        self._checked += 1
        return self._checked <= self.per_second

    def _signatures(self, request: Signed) -> Iterator[tuple[bytes, InnerList]]:
        """(signature, what it covers) of each that is meant for this."""
        from http_sfv.dictionary import Dictionary
        from http_sfv.item import InnerList

        inputs, signatures = Dictionary(), Dictionary()
        inputs.parse(request.signature_input or b"")
        signatures.parse(request.signature or b"")
        for label, covered in list(inputs.items())[:_MOST_SIGNATURES]:
            if isinstance(covered, InnerList) and covered.params.get("tag") == TAG and label in signatures:
                yield signatures[label].value, covered

    def _one(self, request: Signed, signature: bytes, covered: InnerList) -> Answer:
        params = covered.params
        key = self.keys.get(params["keyid"])
        if key is None:
            return _NONE
        now, created, expires = self.clock(), params.get("created"), params.get("expires")
        if not isinstance(created, int) or not isinstance(expires, int):
            return "unproven", key.crawler
        until = min(expires, created + WINDOW)
        names = [each.value for each in covered]
        if params.get("alg", "ed25519") != "ed25519" or len(names) > _MOST_COMPONENTS or "@authority" not in names:
            return "unproven", key.crawler
        if not created - _SKEW <= now <= until + _SKEW:
            return "unproven", key.crawler
        agent = self._agent(request, covered)
        if agent != key.origin and not (agent is None and request.signature_agent is None):
            return "unproven", key.crawler  # another's name, or one that is not signed
        bases = [base for host in self._names_of(request) if (base := _base(request, host, covered)) is not None]
        if not bases:
            return "unproven", key.crawler
        if not any(self._fits(key, signature, base) for base in bases):
            return "disproved", key.crawler
        nonce = params.get("nonce")
        if nonce is not None and not self.nonces.is_new(f"{params['keyid']} {nonce}".encode(), until + _SKEW, now):
            return "unproven", key.crawler
        return "proven", key.crawler

    def _agent(self, request: Signed, covered: InnerList) -> str | None:
        """What the signature says of its agent: the origin, if it is covered."""
        from http_sfv.dictionary import Dictionary

        for each in covered:
            if each.value == "signature-agent" and request.signature_agent is not None:
                said = _item(request.signature_agent)
                if "key" in each.params:
                    members = Dictionary()
                    members.parse(request.signature_agent)
                    said = members[each.params["key"]].value
                return origin(str(said))
        return None

    def _names_of(self, request: Signed) -> list[str]:
        """The site's names that this request may mean: the proxy tells the host, perhaps without its port."""
        told = (request.host or b"").decode("latin-1").lower()
        return [name for name in self.hosts if told in (name, name.rpartition(":")[0] or name)]

    def _fits(self, key: Key, signature: bytes, base: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        public = self._verifiers.setdefault(_base64url(key.x), Ed25519PublicKey.from_public_bytes(key.x))
        try:
            public.verify(signature, base)
        except (InvalidSignature, TypeError):
            return False
        return True


def _strength(answer: Answer) -> int:
    return ("none", "unproven", "disproved", "proven").index(answer[0])


def _item(text: bytes) -> Any:
    """The value of a bare string; None where it is a dictionary."""
    from http_sfv.item import Item

    item = Item()
    try:
        item.parse(text)
    except ValueError:
        return None
    return item.value


def origin(address: str) -> str | None:
    """`https://HOST[:PORT]` of an address; None if it is another scheme's."""
    parts = urlsplit(address if "//" in address else f"https://{address}")
    return f"https://{parts.netloc.lower()}" if parts.scheme == "https" and parts.hostname else None


def _base(request: Signed, host: str, covered: InnerList) -> bytes | None:
    """What is signed (RFC 9421, 2.5); None if it covers what is not known here."""
    lines, seen = [], set()
    for each in covered:
        name = str(each)
        if name in seen:
            raise ValueError(f"{name} twice")
        seen.add(name)
        value = _component(request, host, each.value, dict(each.params))
        if value is None:
            return None
        lines.append(f"{name}: {value}")
    return "\n".join([*lines, f'"@signature-params": {covered}']).encode("latin-1")


def _component(request: Signed, host: str, name: str, params: Mapping[str, Any]) -> str | None:
    """The value of a component (RFC 9421, 2.1 and 2.2), or None."""
    method, scheme, uri = ((each or b"").decode("latin-1") for each in (request.method, request.scheme, request.uri))
    path, mark, query = uri.partition("?")
    agent = (request.signature_agent or b"").decode("latin-1")
    if name == "signature-agent" and request.signature_agent is not None:
        if not params:
            return agent
        return _member(request.signature_agent, params["key"]) if [*params] == ["key"] else None
    values = {
        "@authority": host,
        "@method": method,
        "@scheme": scheme.lower(),
        "@path": path or "/",
        "@query": mark + query if mark else "?",
        "@request-target": uri,
        "@target-uri": f"{scheme.lower()}://{host}{uri}",
    }
    return None if params else values.get(name)


def _member(text: bytes, key: str) -> str:
    """A member of a dictionary, serialised (RFC 9421, 2.1.2)."""
    from http_sfv.dictionary import Dictionary

    members = Dictionary()
    members.parse(text)
    return str(members[key])


OLD = 30  # days: keys that were not fetched for so long prove nobody, as they may have been given up
MOST_BYTES = 65536  # of a directory


def file_of(directory: Path, name: str) -> Path:
    """Where the keys of a crawler are kept: the directory that was fetched, with its date."""
    return directory / f"{name}.keys.json"


def text_of(data: bytes, address: str, date: datetime.date) -> str:
    """What is kept of a directory; ValueError if it is none."""
    keys_of(data, 0, address)
    return json.dumps({"date": date.isoformat(), "address": address, "keys": json.loads(data)["keys"]})


def kept(directory: Path, name: str) -> tuple[datetime.date, dict[str, Any]] | None:
    """(date, what is kept) of a crawler's keys; None if there are none that can be used."""
    try:
        found = json.loads(read_text(file_of(directory, name)))
        return datetime.date.fromisoformat(found["date"]), found
    except (XbotError, ValueError, KeyError, TypeError, RecursionError):
        return None


def stored(directory: Path, directories: Mapping[str, str]) -> dict[str, Key]:
    """The keys of these crawlers, by thumbprint, as far as they are there and not old. A copy of another address is none."""
    out: dict[str, Key] = {}
    today = datetime.datetime.now(datetime.timezone.utc).date()
    for number, name in enumerate(catalogue.load().crawlers):
        found = kept(directory, name) if name in directories else None
        if found is None or found[1].get("address") != directories[name] or (today - found[0]).days > OLD:
            continue
        with contextlib.suppress(ValueError):
            out.update(keys_of(json.dumps(found[1]).encode(), number, directories[name]))
    return out


def told(keys: Mapping[str, Key]) -> dict[str, list[Any]]:
    """Keys as a message between processes has them."""
    return {name: [_base64url(key.x), key.crawler, key.origin] for name, key in keys.items()}


def heard(message: Mapping[str, list[Any]]) -> dict[str, Key]:
    """The keys of such a message."""
    return {n: Key(base64.urlsafe_b64decode(x + "="), crawler, where) for n, (x, crawler, where) in message.items()}


def keys_of(data: bytes, crawler: int, where: str) -> dict[str, Key]:
    """The Ed25519 keys of a directory (a JWK set), by thumbprint; ValueError if it is none."""
    found = {}
    parsed: Any = json.loads(data)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("keys"), list):
        raise ValueError("not a JWK set")
    home = origin(where)
    for each in parsed["keys"][:32]:
        if home and isinstance(each, dict) and each.get("kty") == "OKP" and each.get("crv") == "Ed25519":
            x = str(each.get("x"))
            try:
                raw = base64.urlsafe_b64decode(x + "=" * (-len(x) % 4))
            except (binascii.Error, ValueError):
                continue
            if len(raw) == 32:
                found[thumbprint(raw)] = Key(raw, crawler, home)
    if not found:
        raise ValueError("no Ed25519 key")
    return found
