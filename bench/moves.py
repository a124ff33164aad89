"""A request as it is sent, and each way to make another of it.

Law: what a way does, it does to any request, and knows nothing of people, of models or of who tries it (bench/changes.py). What the
site needs to answer what was asked stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sidecar import core

# nginx answers 414 or 400 beyond its `large_client_header_buffers 4 8k`.
LINE, HEAD = 8190, 4 * 8192
MOST_HEADERS = 256

# Not an attacker's to choose: without them, or with others, the site answers nothing, or something else.
FIXED = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect", b"te"})

Headers = tuple[tuple[bytes, bytes], ...]


class Sent(NamedTuple):
    """A request as it is sent. What is None is not known."""

    method: bytes
    uri: bytes
    protocol: bytes
    scheme: bytes | None
    host: bytes | None
    headers: Headers
    tls: core.Tls | None = None

    @property
    def size(self) -> int:
        """About how many bytes the head takes."""
        return len(self.method) + len(self.uri) + sum(len(name) + len(value) + 4 for name, value in self.headers)


def sent(record: dict[str, Any]) -> Sent:
    """A record of the format `jsonl`, headers in order, as a request."""

    def raw(text: str) -> bytes:
        return text.encode("utf-8", "surrogateescape")

    headers = tuple((raw(name), raw(value)) for name, value in record["headers"])
    own = next((value for name, value in headers if name.lower() == b"host"), None)
    host = raw(record["host"]) if record.get("host") else own
    scheme = raw(record["scheme"]) if record.get("scheme") else None
    said = record.get("tls")
    tls = core.Tls(*(raw(said[name]) if said.get(name) else None for name in core.Tls._fields)) if said else None
    return Sent(raw(record["method"]), raw(record["uri"]), raw(record["protocol"]), scheme, host, headers, tls)


Apply = Callable[[Sent], Sent]


def accepted(request: Sent) -> bool:
    """Whether nginx takes the head, by its limits."""
    if len(request.uri) > LINE - 20 or len(request.headers) > MOST_HEADERS + 64:
        return False
    return request.size < HEAD and all(len(name) + len(value) + 4 <= LINE for name, value in request.headers)


def spelled(request: Sent, headers: Headers) -> Headers:
    """The same headers; over HTTP/2 and HTTP/3 their names are in lower case."""
    if request.protocol.startswith(b"HTTP/1"):
        return headers
    return tuple((name.lower(), value) for name, value in headers)


def value_of(request: Sent, name: bytes) -> bytes:
    """The first header of this name; empty where there is none."""
    return next((value for found, value in request.headers if found.lower() == name), b"")


def with_header(name: bytes, value: bytes, first: bool = False) -> Apply:
    """Replaces the first header of this name, or adds it as the last (the first)."""
    lower = name.lower()

    def apply(request: Sent) -> Sent:
        headers = request.headers
        for i, (found, _) in enumerate(headers):
            if found.lower() == lower:
                return request._replace(headers=(*headers[:i], (found, value), *headers[i + 1 :]))
        return with_junk(((name, value),), first)(request)

    return apply


def without(name: bytes) -> Apply:
    def apply(request: Sent) -> Sent:
        left = tuple(pair for pair in request.headers if pair[0].lower() != name)
        return request if len(left) == len(request.headers) else request._replace(headers=left)

    return apply


def reordered(place: Callable[[bytes], Any]) -> Apply:
    """Sorts by `place` of the name in lower case; equal ones keep their order."""
    return lambda request: request._replace(headers=tuple(sorted(request.headers, key=lambda p: place(p[0].lower()))))


def renamed(case: Callable[[bytes], bytes]) -> Apply:
    def apply(request: Sent) -> Sent:
        headers = tuple((case(name), value) for name, value in request.headers)
        return request._replace(headers=spelled(request, headers))

    return apply


def asked_by(method: bytes) -> Apply:
    return lambda request: request._replace(method=method)


def as_whole_url(request: Sent) -> Sent:
    return request._replace(uri=(request.scheme or b"http") + b"://" + (request.host or b"localhost") + request.uri)


def dressed(headers: Headers) -> Apply:
    """All headers are these, but for those that are fixed."""
    own = tuple(pair for pair in headers if pair[0].lower() not in FIXED)

    def apply(request: Sent) -> Sent:
        kept = tuple(pair for pair in request.headers if pair[0].lower() in FIXED)
        return request._replace(headers=kept + spelled(request, own))

    return apply


def both(one: Apply, other: Apply) -> Apply:
    return lambda request: other(one(request))


def where(name: bytes, apply: Apply) -> Apply:
    """Only where this header is there: more of it, and not one more."""
    return lambda request: apply(request) if value_of(request, name) else request


def with_agent(change: Callable[[bytes], bytes]) -> Apply:
    return lambda request: with_header(b"User-Agent", change(value_of(request, b"user-agent")))(request)


def agent_and(tail: bytes) -> Apply:
    """More behind the agent, where there is one: else it would be another agent."""
    return lambda request: (
        with_agent(lambda agent: agent + tail)(request) if value_of(request, b"user-agent") else request
    )


def with_query(text: bytes) -> Apply:
    return lambda request: request._replace(uri=request.uri + (b"&" if b"?" in request.uri else b"?") + text)


def with_path(change: Callable[[bytes], bytes]) -> Apply:
    """Changes the path where the target has one."""

    def apply(request: Sent) -> Sent:
        path, mark, query = request.uri.partition(b"?")
        return request._replace(uri=change(path) + mark + query) if path.startswith(b"/") else request

    return apply


def path_between(head: bytes, tail: bytes) -> Apply:
    """Something before the path, something behind it."""
    return with_path(lambda path: head + path + tail)


def with_referrer(tail: bytes, host: bytes | None = None) -> Apply:
    """A referrer of the site itself, or of another host."""
    return lambda request: with_header(
        b"Referer", (request.scheme or b"http") + b"://" + (host or request.host or b"localhost") + tail
    )(request)


def with_junk(headers: Headers, first: bool = False) -> Apply:
    """More headers behind (before) all others."""

    def apply(request: Sent) -> Sent:
        more = spelled(request, headers)
        return request._replace(headers=more + request.headers if first else request.headers + more)

    return apply
