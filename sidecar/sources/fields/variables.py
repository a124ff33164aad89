"""What the fields of a line are called, and what they say of a request.

Law: the names are those of nginx's variables. Whoever wrote a line, its fields come here under these names, as bytes, with
nothing escaped any more; what is empty or a lone dash is not there, but for the agent and the referrer, which then are empty.

Five names are our own, for what no variable of nginx's holds: `client` (an address with its port), `forwarded` (a list of
addresses), `request_url` (a request line with a whole URL in it), `url` (a target or a whole URL) and `date` (the day, where
`time` holds the hour alone).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from sidecar import core


def raw(text: str) -> bytes:
    """The bytes that a text of JSON stands for: those that are no UTF-8 as they came, half a pair of UTF-16 as it is."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


# The group of core.GROUPS that a field speaks of.
GROUP_OF = {
    **dict.fromkeys(("remote_addr", "client", "forwarded", "http_x_forwarded_for"), "ip"),
    "http_user_agent": "ua",
    "http_referer": "referrer",
    **dict.fromkeys(("request", "request_url", "request_uri", "uri", "document_uri", "url"), "url"),
}
_TIMES = ("msec", "time_iso8601", "time_local", "time")
_SIZES = ("body_bytes_sent", "bytes_sent")
NAMES = frozenset(
    (
        *GROUP_OF,
        *_TIMES,
        *_SIZES,
        "date",
        "request_method",
        "args",
        "query_string",
        "server_protocol",
        "scheme",
        "http_host",
        "host",
        "server_name",
        "status",
        "statuses",
        "sent_http_content_type",
    )
)

# Fields that are not nginx's. `client`: an address with its port; `forwarded`: of a list the last address counts; `request_url`: a request
# with a whole URL; `url`: a target, maybe with scheme and host; `statuses`: those of other servers, and last the one that was sent.
OWN = frozenset(("client", "forwarded", "request_url", "url", "statuses"))


def is_known(name: str) -> bool:
    """Does a field of this name say something of a request?"""
    return name in NAMES


def groups(names: Iterable[str]) -> frozenset[str]:
    """The groups of core.GROUPS that a line with these fields can hold; that of the client, who is known by address and time."""
    there = set(names)
    held = {GROUP_OF[name] for name in there if name in GROUP_OF}
    return frozenset(held | ({"client"} if "ip" in held and there & set(_TIMES) else set()))


def load(said: Mapping[str, bytes], request: core.Request) -> None:
    """Makes a request of a line's fields; core.LineError with the field and the reason if they cannot be one."""
    get = said.get
    scheme, host = _there(get("scheme")), _there(get("http_host")) or _there(get("host")) or _there(get("server_name"))
    method, uri, protocol = _request_line(get("request"))
    if (address := get("url")) is not None:
        of_scheme, of_host, uri = _url(address)
        scheme, host, uri = scheme or of_scheme, host or of_host, _with_query(uri, said)
    if uri is not None and protocol is not None and protocol[5:6] in (b"2", b"3") and b"://" in uri:
        # No visitor sends it so: HTTP/2 has scheme and host apart, and HAProxy writes them together.
        of_scheme, of_host, uri = _url(uri)
        scheme, host = scheme or of_scheme, host or of_host
    if (whole := get("request_url")) is not None:
        method, url, protocol = _request_line(whole)
        scheme, host, uri = _url(url)
    if (version := _there(get("server_protocol"))) is not None:
        if version.lower() in (b"http", b"https"):
            scheme = scheme or version.lower()
        else:
            protocol = _protocol(version)
    request.load_record(
        None,
        False,
        agent=get("http_user_agent"),
        referrer=get("http_referer"),
        ip=_address_of(said),
        method=_there(get("request_method")) or method,
        uri=_target(said) or uri,
        protocol=protocol,
        scheme=scheme,
        host=host,
        status=_status(get("status", get("statuses", b"").rpartition(b" ")[2])),
        time_ms=_time_of(said),
        size=_size_of(said),
        content_type=_there(get("sent_http_content_type")),
    )


def _there(value: bytes | None) -> bytes | None:
    return None if value in (b"", b"-") else value


def _request_line(line: bytes | None) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Method, target and protocol; nothing of what is no request (TLS on a plain port, a lone dash)."""
    if line is None:
        return None, None, None
    method, _, rest = line.partition(b" ")
    if not method or method == b"-" or not rest:
        return None, None, None
    target, _, protocol = rest.rpartition(b" ")
    if target and protocol[:5].upper() == b"HTTP/":
        return method, target, protocol
    return method, rest, None  # HTTP/0.9


_URL = re.compile(rb"([a-z][a-z0-9+.-]*)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_DEFAULT_PORT = {b"http": b":80", b"https": b":443", b"ws": b":80", b"wss": b":443"}


def _url(url: bytes | None) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Scheme, host and target of a whole URL."""
    found = _URL.fullmatch(url) if url else None
    if found is None:
        return None, None, _there(url)
    scheme, host, target = found[1].lower(), found[2], found[3]
    host = host.removesuffix(_DEFAULT_PORT.get(scheme, b":"))
    return {b"ws": b"http", b"wss": b"https"}.get(scheme, scheme), host, target or b"/"


def _target(said: Mapping[str, bytes]) -> bytes | None:
    whole = _there(said.get("request_uri"))
    if whole is not None:
        return whole
    return _with_query(_there(said.get("uri")) or _there(said.get("document_uri")), said)


def _with_query(path: bytes | None, said: Mapping[str, bytes]) -> bytes | None:
    """A target with the query that stands in a field of its own."""
    query = _there(said.get("args")) or _there(said.get("query_string"))
    if path is None or query is None or b"?" in path:
        return path
    return path + b"?" + query.removeprefix(b"?")


_VERSION = re.compile(rb"h?(\d)(?:\.(\d))?(?:\.0)*", re.IGNORECASE)


def _protocol(version: bytes) -> bytes:
    """The protocol as requests say it, of 1.1, h2, 2.0.0.0."""
    found = _VERSION.fullmatch(version)
    return version if found is None else b"HTTP/%s.%s" % (found[1], found[2] or b"0")


def _address_of(said: Mapping[str, bytes]) -> bytes | None:
    """The visitor's address; None where the field holds none. Of a list the last, which the nearest proxy wrote. core.LineError where other
    words stand before one: without its address the line would be another visitor's."""
    found = said.get("remote_addr", said.get("client"))
    if found is None:
        forwarded = said.get("forwarded", said.get("http_x_forwarded_for"))
        return None if forwarded is None else address(forwarded.rpartition(b",")[2].strip())
    before, _, last = found.rpartition(b" ")
    if "remote_addr" not in said and b":" in last:
        last = last.rpartition(b":")[0].strip(b"[]")
    if before and ("remote_addr" not in said or (not before.endswith(b",") and address(last))):
        raise core.LineError("ip", "other words stand before it")
    return None if before else address(last)


def address(value: bytes) -> bytes | None:
    """The value if it is an address. A host's name, `unix:`, a list, a port, a zone or hidden octets make it none, and it is
    nobody's if it is 0.0.0.0 or ::, which loggers write where they hide whose it is."""
    return value if any(core.parse_address(value) or b"") else None


def _status(value: bytes | None) -> int:
    """-1 for none: where nothing was answered, nginx writes 000, HAProxy -1."""
    value = _there(value)
    if value is None or value == b"-1":
        return -1
    if not value.isdigit() or len(value) > 3:
        raise core.LineError("status", "expected three digits")
    return int(value) or -1


def _size_of(said: Mapping[str, bytes]) -> int:
    """Bytes of the reply; -1 for none, and for what is no number (HAProxy may write +123). A dash is Apache's 0."""
    values = [said[name] for name in _SIZES if name in said]
    number = next((value for value in values if value.isdigit() and len(value) < 16), None)
    return int(number) if number is not None else 0 if values and values[0] == b"-" else -1


# ---- times ----

_MONTHS = {
    name: number
    for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)
}  # fmt: skip
_HOUR = rb"(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?"
_ZONE = rb" ?(Z|UTC|GMT|[+-]\d\d:?\d\d)?"
# A user's name may stand before the time, and hold what looks like one: the last counts.
_CLF = re.compile(rb"(\d?\d[/ -][A-Za-z]{3}[/ -]\d{4})[: ]" + _HOUR + _ZONE + rb"\]?\Z")
_ISO = re.compile(rb"(\d{4}[-/]\d\d[-/]\d\d)[T :]" + _HOUR + _ZONE + rb"\Z")
_ASCTIME = re.compile(rb"[A-Z][a-z]{2} ([A-Z][a-z]{2}) {1,2}(\d?\d) (\S+) (\d{4})\]?\Z")  # of C, and of Apache's errors
_KIBANA = re.compile(rb"([A-Z][a-z]{2}) (\d?\d), (\d{4}) @ (\S+)\Z")


def _time_of(said: Mapping[str, bytes]) -> int:
    """Milliseconds since 1970 UTC, -1 for none."""
    name = next((name for name in _TIMES if name in said), None)
    if name is None:
        return -1
    value = _there(said[name])
    if value is not None and name == "time" and "date" in said:
        value = said["date"] + b"T" + value
    try:
        return -1 if value is None else milliseconds(value)
    except core.LineError as error:
        raise core.LineError(name, error.args[1]) from None


def milliseconds(text: bytes) -> int:
    """A time as programs write it, in milliseconds since 1970 UTC: a number of seconds, milli-, micro- or nanoseconds, the time of
    the common log format, of C's asctime, or that of ISO 8601; without a zone it is UTC. core.LineError for another."""
    if parts := _ASCTIME.search(text):
        text = b"%b/%b/%b:%b" % (parts[2], parts[1], parts[4], parts[3])
    elif parts := _KIBANA.search(text):
        text = b"%b/%b/%b:%b" % (parts[2], parts[1], parts[3], parts[4])
    found = _CLF.search(text) or _ISO.search(text)
    try:
        if found is None:
            return of_number(float(text))
        day, hour, minute, second, fraction, zone = found.groups()
        moment = _day(day) + int(hour) * 3600 + int(minute) * 60 + int(second) - _offset(zone)
        if 0 <= moment <= core.MAX_TIME:
            return moment * 1000 + int((fraction or b"0").ljust(3, b"0")[:3])
    except (ValueError, KeyError):
        pass
    raise core.LineError("time", "neither a number of seconds nor a time as logs write it")


def of_number(number: float) -> int:
    """Milliseconds since 1970 UTC from a number of seconds, milli-, micro- or nanoseconds: years beyond 9999 tell. ValueError
    for no time."""
    for _ in range(3):
        if number > core.MAX_TIME:
            number /= 1000
    if not 0 <= number <= core.MAX_TIME:
        raise ValueError
    return to_milliseconds(number)


def to_milliseconds(seconds: float) -> int:
    """Whole milliseconds: 1773299700.123 is a little less as a double, and still 123 of them."""
    return int(seconds * 1000 + 0.001)


@lru_cache(maxsize=1024)
def _day(text: bytes) -> int:
    if not text[:3].isdigit():
        number, month, year = re.split(rb"[/ -]", text)
        day = datetime.date(int(year), _MONTHS[month.title()], int(number))
    else:
        day = datetime.date(int(text[:4]), int(text[5:7]), int(text[8:]))
    return (day - datetime.date(1970, 1, 1)).days * 86_400


def _offset(zone: bytes | None) -> int:
    if zone is None or zone in (b"Z", b"UTC", b"GMT"):
        return 0
    return (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60) * (-1 if zone[:1] == b"-" else 1)
