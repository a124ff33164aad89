"""Lines of a log that came through something which put its own words before them: a container's runtime, syslog, a journal.

Law: the first line says what carried the log. Of each line that has the same before it, what the program itself wrote is left; every
other line stays as it is, and no line is lost or added.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

import msgspec

_DAY = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)"
_TAG = rb"\S{1,255} [\w./-]{1,48}(?:\[\d+\])?: "
# What stands before a line, and whose it is. The first line decides, so none may begin as a line of an access log does.
_BEFORE = {
    "Kubernetes": _DAY + rb" (?:stdout|stderr) [FP] ",
    "syslog": rb"(?:<\d{1,3}>)?(?:[A-Z][a-z][a-z] [ \d]\d \d\d:\d\d:\d\d|" + _DAY + rb") " + _TAG,
    "syslog (RFC 5424)": rb"<\d{1,3}>1 " + _DAY + rb" \S+ \S+ \S+ \S+ (?:-|(?:\[[^\]\n]*\])+) (?:\xef\xbb\xbf)?",
    "Docker Compose": rb"[\w.-]+[-_]\d+ +\| ",
}
_DOCKER = re.compile(rb'\{ ?"log": ?"')


class _Line(msgspec.Struct):
    log: str


_decoder = msgspec.json.Decoder(_Line)


def carrier(line: bytes) -> str:
    """What carried a log that begins with this line; "" for nothing."""
    if _DOCKER.match(line):
        return "Docker"
    return next((name for name, before in _BEFORE.items() if re.match(before, line)), "")


def unwrapped(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same blocks of whole lines, without what a carrier put before them."""
    rest = iter(blocks)
    first = next(rest, b"")
    name, rest = carrier(first.lstrip(b"\n")), chain((first,) if first else (), rest)
    if name == "Docker":
        return (b"\n".join(map(_of_docker, block.split(b"\n"))) for block in rest)
    if name:
        before = re.compile(b"^(?:" + _BEFORE[name] + b")", re.MULTILINE)
        return (before.sub(b"", block) for block in rest)
    return rest


def _of_docker(line: bytes) -> bytes:
    """What the program wrote, of an object such as `{"log":"...\\n","stream":"stdout","time":"..."}`."""
    try:
        text = _decoder.decode(line).log.encode("utf-8", "surrogatepass")
    except (ValueError, msgspec.DecodeError):  # what is no such object
        return line
    return text.rstrip(b"\r\n").replace(b"\n", b" ")
