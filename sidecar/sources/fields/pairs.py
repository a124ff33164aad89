"""Lines of pairs, whose owner chose the names: name=value (logfmt), or name:value with tabs between (LTSV).

Law: what a pair means is named.py's to say. A name that comes twice makes a line unreadable: who wrote the second one nobody knows.
"""

from __future__ import annotations

import re

from sidecar import core
from sidecar.sources.fields import named
from sidecar.sources.fields.patterns import STYLES

_NAME = re.compile(rb"(?<!\S)([A-Za-z_@][\w.@-]*)=")
_VALUE = re.compile(rb'[^\s"]*')
_IN_QUOTES = re.compile(rb'"((?:[^"\\]|\\.)*)"(?!\S)')  # it may hold what looks like a pair
_LABEL = re.compile(rb"[\w.@-]+")
_ESCAPE = re.compile(rb'\\(["\\])')


def load_logfmt(line: bytes, request: core.Request) -> None:
    """Reads a line into a request; core.LineError with field and reason if it cannot. What stands between pairs says nothing."""
    _check(line)
    at, pairs = 0, []
    while found := _NAME.search(line, at):
        quoted = line[found.end() : found.end() + 1] == b'"'
        value = (_IN_QUOTES if quoted else _VALUE).match(line, found.end())
        if value is None:
            raise core.LineError(found[1].decode(), "a quote in it is not escaped, or none closes it")
        pairs.append((found[1], _ESCAPE.sub(rb"\1", value[1]) if quoted else value[0]))
        at = value.end()
    _load(pairs, request)


def load_ltsv(line: bytes, request: core.Request) -> None:
    """Reads a line into a request; core.LineError with field and reason if it cannot."""
    _check(line)
    if b"\t" not in line:
        raise core.LineError("line", "expected name:value, with tabs between")
    pairs = []
    for field in line.split(b"\t"):
        label, colon, value = field.partition(b":")
        if not colon or not _LABEL.fullmatch(label):
            raise core.LineError("line", "expected name:value, with tabs between")
        if label == b"host":  # by LTSV's own list of names the visitor's; others mean the site's
            label = b"remote_host" if core.parse_address(value) is not None else b"vhost"
        pairs.append((label, STYLES["default"](value)))
    _load(pairs, request)


def _check(line: bytes) -> None:
    if len(line) > core.MAX_LINE:
        raise core.LineError("line", f"longer than {core.MAX_LINE} bytes")
    if line.startswith((b"{", b"[{")):
        raise core.LineError("line", "JSON")


def _load(pairs: list[tuple[bytes, bytes]], request: core.Request) -> None:
    names = [name.decode() for name, _ in pairs]
    for i, name in enumerate(names):
        if named.means(name) and name in names[:i]:
            raise core.LineError(name, "it comes twice")
    if "fwd" in names and not {"remote_addr", "client"}.isdisjoint(map(named.means, names)):
        raise core.LineError("fwd", "another address stands beside it")  # Heroku escapes no quote in a path
    named.load(zip(names, (value.decode("utf-8", "surrogateescape") for _, value in pairs), strict=True), request)
