"""Lines of JSON whose owner chose the fields: an object of nginx's variables, or of names that other programs give them.

Law: a member that says nothing of a request is let be; one that does says it as nginx's variable of that meaning does. Capitals,
dashes and underscores of a name tell nothing; of two members that say the same, the one that the table has first counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from sidecar import core
from sidecar.sources.fields import variables
from sidecar.sources.fields.variables import raw

# nginx's variable, and what others call it: many loggers; Elastic's Common Schema (with dots); Envoy and Istio, Google's load balancers,
# Cloudflare's Logpush.
_ALIASES = {
    "remote_addr": "client_ip ip remote_ip remote_address remote_host client_address client src_ip client.ip source.ip client.address "
    "source.address",
    "client": "client_addr remote downstream_remote_address",
    "forwarded": "http_x_forwarded_for x_forwarded_for xff",
    "time": "timestamp @timestamp ts datetime date_time request_time_local start_time edge_start_timestamp",
    "request_method": "method verb http_method http.request.method client_request_method",
    "request_uri": "path original_path url.original client_request_uri",
    "url": "request_url url.full",
    "uri": "url.path",
    "args": "query url.query",
    "request": "request_line",
    "server_protocol": "protocol proto http_version client_request_protocol",
    "scheme": "x_forwarded_proto url.scheme client_request_scheme",
    "http_host": "authority domain vhost host_header url.domain client_request_host",
    "http_user_agent": "user_agent agent ua user_agent.original client_request_user_agent",
    "http_referer": "referer referrer http_referrer http.request.referrer client_request_referer",
    "status": "status_code response_code response http_status http.response.status_code edge_response_status",
    "body_bytes_sent": "bytes size response_size http.response.body.bytes http.response.bytes edge_response_bytes",
    "sent_http_content_type": "response_content_type http.response.mime_type edge_response_content_type",
}
_OF_HEADERS = {"user-agent": "http_user_agent", "referer": "http_referer", "host": "http_host"}
# Objects whose members are called as those of the line itself.
_REQUESTS, _REPLIES = ("request", "req", "http_request"), ("response", "res")
_OF_REPLIES = ("status", "body_bytes_sent", "sent_http_content_type")
_DEEPEST = 4  # names in a name


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").lstrip("$")


def _table() -> dict[str, tuple[str, int]]:
    """A member's plain name -> what it is, and how many others count more."""
    table: dict[str, tuple[str, int]] = {}
    for name in variables.NAMES - variables.OWN:
        table[_plain(name)] = name, 0
    for name, aliases in _ALIASES.items():
        for i, alias in enumerate((name, *aliases.split())):
            table.setdefault(_plain(alias), (name, i))
    for objects, names in ((_REQUESTS, (*_ALIASES, "host")), (_REPLIES, _OF_REPLIES)):
        inner = [(alias, found) for alias, found in table.items() if "." not in alias and found[0] in names]
        for each in map(_plain, objects):
            for alias, (name, i) in inner:
                table.setdefault(f"{each}.{alias}", (name, i + _LATER))
    for each in map(_plain, _REQUESTS):
        for header, name in _OF_HEADERS.items():
            table.setdefault(f"{each}.headers.{_plain(header)}", (name, 2 * _LATER))
    for each in map(_plain, _REPLIES):
        table.setdefault(f"{each}.headers.contenttype", ("sent_http_content_type", 2 * _LATER))
    return table


_LATER = 100  # what stands in an object counts less
_NAMES = _table()
_decoder = msgspec.json.Decoder(dict[str, Any])


@lru_cache(maxsize=1024)
def _meaning(member: str) -> tuple[str, int] | None:
    return _NAMES.get(_plain(member))


def load_named(line: bytes, request: core.Request) -> None:
    """Reads a line into a request; core.LineError with field and reason if it cannot."""
    if len(line) > core.MAX_LINE * 4:
        raise core.LineError("line", f"longer than {core.MAX_LINE * 4} bytes")
    found = _decoded(line)
    if isinstance(found.get("headers"), (dict, list)):
        raise core.LineError("headers", "a member of the format jsonl: use --format jsonl")
    said: dict[str, bytes] = {}
    ranks: dict[str, int] = {}
    for member, value in _members(found):
        if (meaning := _meaning(member)) is None or (text := _text(value)) is None:
            continue
        name, rank = meaning
        if rank <= ranks.get(name, rank):
            said[name], ranks[name] = text, rank
    if not variables.groups(said):
        raise core.LineError("line", "no member about the visitor, such as remote_addr, request or http_user_agent")
    variables.load(said, request)


def _members(found: dict[str, Any], outer: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    """Name and value of each member; of one in an object, with the names of those around it and dots between."""
    for member, value in found.items():
        if isinstance(value, dict) and depth < _DEEPEST:
            yield from _members(value, f"{outer}{member}.", depth + 1)
        else:
            yield outer + member, value


# What nginx writes where a log_format of JSON has no escape=json: an even number of backslashes stands before it.
_HEX = re.compile(rb"((?<!\\)(?:\\\\)*)\\x([0-9A-Fa-f]{2})")


def _of_hex(found: re.Match[bytes]) -> bytes:
    """The same as JSON has it; a byte above 0x7f as the half of a pair that stands for it in Python."""
    byte = int(found[2], 16)
    return found[1] + b"\\u%04x" % (byte if byte < 0x80 else 0xDC00 + byte)


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError as error:
        raise core.LineError("line", str(error)[:1].lower() + str(error)[1:]) from None
    except (ValueError, RecursionError):
        pass
    try:  # nginx logs bytes above 0x7f of a header as they came, or as \xHH
        found = json.loads(_HEX.sub(_of_hex, line).decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise core.LineError("line", f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise core.LineError("line", "expected `object`")
    return found


def _text(value: object) -> bytes | None:
    """The value as nginx would have written it; None for what is no text and no number."""
    if isinstance(value, str):
        return raw(value)
    if isinstance(value, list) and len(value) == 1:  # a header, as Go and Java keep them
        return _text(value[0])
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value).encode()
    return None
