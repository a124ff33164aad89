"""Requests of members with names: an object of JSON, pairs, columns below a line of names.

Law: a member that says nothing of a request is let be; one that does says it as nginx's variable of that meaning does. Capitals,
dashes, underscores and parentheses of a name tell nothing; of two members that say the same, the one that the table has first counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from sidecar import core
from sidecar.sources.fields import variables, w3c
from sidecar.sources.fields.variables import raw

# nginx's variable, and what others call it: many loggers; Elastic's Common Schema (with dots); Envoy and Istio; the load balancers and
# gateways of AWS, Azure, Google and Oracle; Akamai, Cloudflare, Fastly, Heroku, Netlify, Vercel; Datadog, OpenTelemetry.
_ALIASES = {
    "remote_addr": "client_ip ip remote_ip remote_address remote_host client_address client src_ip client.ip source.ip client.address "
    "source.address cli_ip source_ip c_ip network.client.ip http.client_ip network.peer.address net.sock.peer.addr",
    "client": "client_addr remote downstream_remote_address",
    "forwarded": "http_x_forwarded_for x_forwarded_for xff forwarded_for fwd",
    "time": "timestamp @timestamp ts datetime date_time request_time_local start_time edge_start_timestamp started_at time_start start "
    "event_timestamp request_time_epoch req_time_sec time_micros",
    "request_method": "method verb http_method http.request.method client_request_method req_method request_verb cs_method http.method "
    "client_request_http_method_name",
    "request_uri": "original_request_uri_with_args x_envoy_origin_path x_envoy_original_path url.original client_request_uri http.target",
    "url": "request_url url.full properties.request_uri cs_uri http.url",
    "uri": "proxy.path path original_path url.path req_path resource_path cs_uri_stem client_request_path http.url_details.path",
    "args": "query url.query request_query query_str req_query cs_uri_query client_request_query",
    "request": "request_line requested_url req",
    "server_protocol": "protocol proto http_version client_request_protocol request_protocol proto_ver",
    "scheme": "x_forwarded_proto url.scheme client_request_scheme cs_protocol",
    "http_host": "proxy.host x_host_header original_host authority :authority domain vhost host_header url.domain client_request_host "
    "req_host request_host "
    "properties.host_name domain_name cs_host http.url_details.host server.address net.host.name",
    "http_user_agent": "user_agent agent ua user_agent.original client_request_user_agent request_user_agent cs_user_agent "
    "http.user_agent",
    "http_referer": "referer referrer http_referrer http.request.referrer client_request_referer request_referer cs_referer "
    "http.referer",
    "status": "status_code response_code response http_status http.response.status_code edge_response_status http_status_code "
    "response_status response_code_sent lb_status_code elb_status_code sc_status http.status_code",
    "body_bytes_sent": "bytes size response_size http.response.body.bytes http.response.bytes edge_response_bytes response_bytes "
    "response_body_size resp_body_size response_length sent_bytes bytes_out rsp_content_len sc_bytes network.bytes_written",
    "sent_http_content_type": "response_content_type http.response.mime_type edge_response_content_type rsp_content_type",
    # nginx's is how long it took; API Gateway's, which has slashes, is when.
    "request_time": "",
}
_OF_HEADERS = {"user-agent": "http_user_agent", "referer": "http_referer", "host": "http_host"}
# Objects whose members are called as those of the line itself.
_REQUESTS, _REPLIES = ("request", "req", "http_request"), ("response", "res")
_OF_REPLIES = ("status", "body_bytes_sent", "sent_http_content_type")
# Objects around all of it: of Elasticsearch, Google, Azure, Oracle, Akamai, Vercel, Cloudflare's workers, loggers of Ruby, Node, Fluentd,
# Datadog, OpenTelemetry, API Gateway.
_ENVELOPES = frozenset(
    "_source attributes content data event identity jsonPayload log message meta payload properties proxy".lower().split()
)
_DEEPEST = 5  # names in a name


class _Writer(NamedTuple):
    """A program known by a member that no other has. `names`: members that mean something else there, or nothing of a request;
    `decode`: of agent and referrer."""

    names: dict[str, str]
    decode: Callable[[bytes], bytes] = bytes


def _in_quotes(value: bytes) -> bytes:
    return value[1:-1] if len(value) > 1 and value[:1] == value[-1:] == b'"' else value


_WRITERS = {
    "logicalusername": _Writer({"host": "remote_addr"}),  # Tomcat's valve for JSON: %h
    "cliip": _Writer({}, unquote_to_bytes),  # Akamai
    "verb": _Writer({}, _in_quotes),  # Logstash's grok
    "xhostheader": _Writer({}, w3c.of_cloudfront),
    "scwin32status": _Writer({}, w3c.blanks_for_plus),  # IIS, by Azure
    "network.client.ip": _Writer({"host": ""}),  # Datadog: the machine's
    "shortmessage": _Writer({"host": ""}),  # Graylog's GELF: the same
}


_SIGNS = str.maketrans("", "", "-_()")  # parentheses are CloudFront's: cs(User-Agent)


def _plain(name: str) -> str:
    return name.lower().translate(_SIGNS).lstrip("$")


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
    for each in ("", *(f"{_plain(name)}." for name in _REQUESTS), "request"):
        for header, name in _OF_HEADERS.items():
            table.setdefault(f"{each}headers.{_plain(header)}", (name, 2 * _LATER))
    for each in map(_plain, _REPLIES):
        table.setdefault(f"{each}.headers.contenttype", ("sent_http_content_type", 2 * _LATER))
    return table


_LATER = 100  # what stands in an object counts less
_NAMES = _table()
_decoder = msgspec.json.Decoder(dict[str, Any])


@lru_cache(maxsize=1024)
def _meaning(member: str) -> tuple[str, int] | None:
    """What a member is, by its whole name or by what is left of it without the objects around all of it."""
    if found := _NAMES.get(_plain(member)):
        return found
    if (inner := _inside(member)) and (found := _meaning(inner)):
        return found[0], found[1] + _LATER
    return None


def _inside(member: str) -> str:
    """The name without the first of the objects around all of it; empty where none is."""
    outer, _, inner = member.partition(".")
    return inner if outer.lower() in _ENVELOPES else ""


@lru_cache(maxsize=1024)
def _writer(member: str) -> _Writer | None:
    """Who writes such a member, in the line itself or in an object around all of it: names of headers are a visitor's."""
    return _WRITERS.get(_plain(_innermost(member)))


def _innermost(member: str) -> str:
    """The name without any of the objects around all of it."""
    while inner := _inside(member):
        member = inner
    return member


def means(member: str) -> str:
    """The variable of nginx's that a member of this name says; empty for none."""
    found = _meaning(member)
    return found[0] if found else ""


def load_named(line: bytes, request: core.Request) -> None:
    """Reads a line of JSON into a request; core.LineError with field and reason if it cannot."""
    if len(line) > core.MAX_LINE * 4:
        raise core.LineError("line", f"longer than {core.MAX_LINE * 4} bytes")
    found = _decoded(line)
    if isinstance(found.get("headers"), (dict, list)):
        raise core.LineError("headers", "a member of the format jsonl: use --format jsonl")
    load(_members(found), request)


def load(members: Iterable[tuple[str, object]], request: core.Request) -> None:
    """Makes a request of members, names and values; core.LineError with field and reason if they cannot be one."""
    members = list(members)
    writer = next((found for member, _ in members if (found := _writer(member))), None)
    said: dict[str, bytes] = {}
    ranks: dict[str, int] = {}
    for member, value in members:
        meaning = _meaning(member)
        if writer is not None and (other := writer.names.get(_plain(_innermost(member)))) is not None:
            meaning = (other, 0) if other else None
        if meaning is None or (text := _text(value)) is None:
            continue
        name, rank = meaning
        if (name == "time" and _is_duration(text)) or (name == "status" and text.isalpha()):  # of a log, its level
            continue
        if rank <= ranks.get(name, rank):
            said[name], ranks[name] = text, rank
    day = said.get("date", b"")
    if "time" not in said and (b":" in day or day.replace(b".", b"").isdigit()) and not _is_duration(day):
        said["time"] = said.pop("date")  # of Datadog and Fluent Bit, the hour too
    moment = said.pop("request_time", b"")
    if b"/" in moment:
        said.setdefault("time", moment)
    if (line := said.get("request")) and b" " not in line:
        if "request_method" in said and line.startswith(b"/"):  # of Logstash, the target
            said.setdefault("url", said.pop("request"))
        elif "url" in said and line.isalpha():  # of Fastly, the method
            said.setdefault("request_method", said.pop("request"))
    if not variables.groups(said):
        raise core.LineError("line", "no member about the visitor, such as remote_addr, request or http_user_agent")
    if writer is not None:
        said.update((name, writer.decode(said[name])) for name in ("http_user_agent", "http_referer") if name in said)
    variables.load(said, request)


def _members(found: dict[str, Any], outer: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    """Name and value of each member; of one in an object, with the names of those around it and dots between."""
    for member, value in found.items():
        if isinstance(value, dict) and depth < _DEEPEST:
            yield from _members(value, f"{outer}{member}.", depth + 1)
        elif member == "headers" and isinstance(value, list):  # of AWS's WAF
            pairs = [each for each in value if isinstance(each, dict)]
            yield from ((f"{outer}headers.{each.get('name')}", each.get("value")) for each in pairs)
        elif isinstance(value, str) and value[:1] == "{" and depth < _DEEPEST and member.lower() in _ENVELOPES:
            yield from _members(_object(value), f"{outer}{member}.", depth + 1)  # of Azure
        else:
            yield outer + member, value


def _object(text: str) -> dict[str, Any]:
    """The object of JSON that a text is; an empty one for any other text."""
    try:
        return _decoder.decode(text)
    except (ValueError, RecursionError, msgspec.DecodeError):
        return {}


_FIRST_LOG = 100_000_000  # seconds after 1970: no log of requests is older


def _is_duration(text: bytes) -> bool:
    """Is it a number too small for a time? Many call so how long a request took."""
    try:
        return float(text) < _FIRST_LOG
    except ValueError:
        return False


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
    if isinstance(value, float) and value.is_integer():  # of a table with gaps: 200.0
        value = int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value).encode()
    return None
