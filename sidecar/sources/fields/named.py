"""Lines of JSON whose owner chose the fields: an object of nginx's variables, or of names that other programs give them.

Law: a member that says nothing of a request is let be; one that does says it as nginx's variable of that meaning does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from sidecar import core
from sidecar.sources.fields import variables
from sidecar.sources.fields.variables import raw

_ALIASES = {
    "remote_addr": "ip client_ip clientip remote_ip remote_address remote_host client_address client src_ip",
    "client": "client_addr remote",
    "forwarded": "http_x_forwarded_for x_forwarded_for xff",
    "time": "timestamp @timestamp ts datetime date_time request_time_local",
    "request_method": "method verb http_method",
    "request_uri": "path url original_path",
    "request": "request_line",
    "server_protocol": "protocol proto http_version",
    "scheme": "x_forwarded_proto",
    "http_host": "authority domain vhost host_header",
    "http_user_agent": "user_agent useragent agent ua",
    "http_referer": "referer referrer http_referrer",
    "status": "status_code response_code response http_status",
    "body_bytes_sent": "bytes size response_size",
    "sent_http_content_type": "response_content_type",
    "args": "query",
}
# Elastic's Common Schema, nested or with dots in the names.
_SCHEMA = {
    "remote_addr": "client.ip source.ip client.address source.address",
    "request_method": "http.request.method",
    "request_uri": "url.original",
    "uri": "url.path",
    "args": "url.query",
    "scheme": "url.scheme",
    "http_host": "url.domain",
    "http_user_agent": "user_agent.original",
    "http_referer": "http.request.referrer",
    "status": "http.response.status_code",
    "body_bytes_sent": "http.response.body.bytes http.response.bytes",
    "sent_http_content_type": "http.response.mime_type",
}
_DEEPEST = 4  # names in a name of the schema
_NAMES = {alias: name for table in (_ALIASES, _SCHEMA) for name, aliases in table.items() for alias in aliases.split()}
_decoder = msgspec.json.Decoder(dict[str, Any])


def load_named(line: bytes, request: core.Request) -> None:
    """Reads a line into a request; core.LineError with field and reason if it cannot."""
    if len(line) > core.MAX_LINE * 4:
        raise core.LineError("line", f"longer than {core.MAX_LINE * 4} bytes")
    found = _decoded(line)
    if isinstance(found.get("headers"), (dict, list)):
        raise core.LineError("headers", "a member of the format jsonl: use --format jsonl")
    said: dict[str, bytes] = {}
    for member, value in _members(found):
        name = member.lower().replace("-", "_").lstrip("$")
        name = _NAMES.get(name, name)
        if variables.is_known(name) and (text := _text(value)) is not None:
            said[name] = text
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


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError as error:
        raise core.LineError("line", str(error)[:1].lower() + str(error)[1:]) from None
    except (ValueError, RecursionError):
        pass
    try:  # nginx logs bytes above 0x7f of a header as they came
        found = json.loads(line.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise core.LineError("line", f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise core.LineError("line", "expected `object`")
    return found


def _text(value: object) -> bytes | None:
    """The value as nginx would have written it; None for what is no text and no number."""
    if isinstance(value, str):
        return raw(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value).encode()
    return None
