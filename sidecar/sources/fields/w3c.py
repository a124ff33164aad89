"""Logs that say in a line `#Fields:` what stands in the lines below it: the W3C's extended format, of IIS and CloudFront.

Law: the last such line counts. Lines that begin with # are about the log, and no requests.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from sidecar import core
from sidecar.sources.fields import variables

# What a line is told that is no request and no mistake either: field and reason.
ABOUT_THE_LOG = ("line", "it is about the log, no request")
_FIELDS = b"#Fields:"
_QUOTED = re.compile(rb'"(?:[^"]|"")*"(?=[ \t\r]|\Z)|[^ \t\r]+')
# Where several fields say the same, the last of them in the line counts.
_NAMES = {
    "c-ip": "remote_addr", "cs-method": "request_method", "cs-uri-stem": "uri", "cs-uri-query": "args", "cs-uri": "request_uri",
    "cs(user-agent)": "http_user_agent", "cs(referer)": "http_referer", "cs-version": "server_protocol",
    "cs-protocol-version": "server_protocol", "cs-host": "http_host", "cs(host)": "http_host", "x-host-header": "http_host",
    "cs-protocol": "scheme", "sc-status": "status", "sc-bytes": "bytes_sent", "sc-content-len": "body_bytes_sent",
    "sc-content-type": "sent_http_content_type", "date": "date", "time": "time",
}  # fmt: skip
# What stands in the lines of a log whose first line is missing.
IIS = """date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status
 sc-substatus sc-win32-status time-taken"""
CLOUDFRONT = """date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent)
 cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for
 ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port
 time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start sc-range-end"""


class Reader:
    """Reads the lines of one log, from its beginning on."""

    def __init__(self, default: str, between: bytes) -> None:
        """`default`: the fields until a line says which; `between`: what stands between them."""
        self._default, self._between = default, between
        self._fields, self._told = _names(default.split()), False
        # CloudFront encodes as URLs do; IIS writes + for a blank, which only agents have.
        self._decode = of_cloudfront if between == b"\t" else blanks_for_plus
        self._encoded = ("http_user_agent", "http_referer", "sent_http_content_type")[: 3 if between == b"\t" else 1]

    def opened(self) -> Reader:
        """Another reader, at the beginning of a log."""
        return Reader(self._default, self._between)

    def skip(self, block: bytes) -> None:
        """Takes note of a block that somebody else reads."""
        at = block.rfind(b"\n" + _FIELDS) + 1 or (0 if block.startswith(_FIELDS) else -1)
        if at >= 0:
            self._take(block[at:].partition(b"\n")[0])

    def _take(self, line: bytes) -> None:
        self._fields, self._told = _names(line[len(_FIELDS) :].decode("utf-8", "replace").split()), True

    def load(self, line: bytes, request: core.Request) -> None:
        """Reads a line into a request; core.LineError with field and reason if it cannot."""
        if len(line) > core.MAX_LINE:
            raise core.LineError("line", f"longer than {core.MAX_LINE} bytes")
        if line.startswith(b"#"):
            if line.startswith(_FIELDS):
                self._take(line)
            raise core.LineError(*ABOUT_THE_LOG)
        values = line.split(self._between)
        if (
            len(values) != len(self._fields) and b'"' in line and self._between == b" "
        ):  # Tomcat's, say: blanks in quotes
            values = [_unquoted(value) for value in _QUOTED.findall(line)]
        if len(values) != len(self._fields):
            raise core.LineError("line", f"{len(values)} fields, and the log's line #Fields names {len(self._fields)}")
        said = {name: value for name, value in zip(self._fields, values, strict=True) if name}
        for name in self._encoded:
            if name in said:
                said[name] = self._decode(said[name])
        if not self._told and variables.address(said["remote_addr"]) is None:
            raise core.LineError("ip", "no address, and no line #Fields says that it stands elsewhere")
        if "date" not in said:
            said.pop("time", None)  # which day it was nobody says
        if said.get("status") == b"0":
            del said["status"]
        variables.load(said, request)


def _names(fields: Sequence[str]) -> tuple[str, ...]:
    return tuple(_NAMES.get(field.lower(), "") for field in fields)


def _unquoted(value: bytes) -> bytes:
    quoted = len(value) > 1 and value[:1] == value[-1:] == b'"'
    return value[1:-1].replace(b'""', b'"') if quoted else value


def of_cloudfront(value: bytes) -> bytes:
    """CloudFront encoded blanks twice for years: a name without one, but with what stands for it."""
    once = unquote_to_bytes(value)
    return unquote_to_bytes(once) if b"%20" in once and b" " not in once else once


def blanks_for_plus(value: bytes) -> bytes:
    """A plus before an address is the program's own: (+https://crawler.example/)."""
    return value.replace(b"+", b" ").replace(b"( http", b"(+http").replace(b"  http", b" +http")
