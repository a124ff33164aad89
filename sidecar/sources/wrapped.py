"""Lines of a log that came through something which put its own words before them: a container's runtime, syslog, a journal.

Law: the first line says what carried the log, of a table the first two; in what blocks they come does not matter. Of each line that has
the same before it, what the program itself wrote is left; every other line stays as it is. A line that the runtime wrote in pieces is one
again, and stands where its last piece stood; no other line is lost or added.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import msgspec

_DAY = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)"
_PRECISE = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,9}(?:Z|[+-]\d\d:\d\d) "
_SECONDS = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d "  # aws logs tail --format short
_DATE = rb"[A-Z][a-z][a-z] [ \d]\d (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d{1,6})?"
_JOURNAL = rb"[A-Z][a-z][a-z] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})? [A-Z]{3,5}|\d{10}\.\d{6}"
_TAG = rb"(?:\S{1,255} )?[\w./-]{1,48}(?:\[\d+\])?: "
_OCTETS = rb"(?:\d{1,5} )?"  # how many there are (RFC 6587), where syslog came over TCP
_LINE = rb"(?=\{\"|[^\"\n]{1,200} \[\d\d/[A-Z][a-z][a-z]/)"  # of JSON, or of an access log: its time
# What stands before a line, and whose it is. The first line decides, so none may begin as a line of an access log does.
_BEFORE = {
    "Heroku": _OCTETS + rb"(?:<\d{1,3}>1 )?(?P<time>" + _DAY + rb") (?:\S+ )?heroku(?:\[router\]: | router - )",
    "Kubernetes": _DAY + rb" (?:stdout|stderr) [FP](?::[^ \n]*)? ",
    "syslog": _OCTETS + rb"(?:<\d{1,3}>)?(?:" + _DATE + rb"|" + _DAY + rb"|" + _JOURNAL + rb") " + _TAG,
    "syslog (RFC 5424)": _OCTETS
    + rb"<\d{1,3}>1 (?:-|"
    + _DAY
    + rb') \S+ \S+ \S+ \S+ (?:-|(?:\[(?:[^\]"\n]|"(?:[^"\\\n]|\\.)*")*\])+) (?:\xef\xbb\xbf)?',
    "Python's logging": rb"[A-Z]{4,8}:(?:[\w.]+:| +)(?=[\da-fA-F.:]+ )",
    "Docker Compose, Swarm, pm2": rb"(?:\d{1,4}\|)?[A-Za-z][\w.@-]*(?:[-_]\d+ +| {2,})\| (?:" + _PRECISE + rb")?",
    "Fly.io": _DAY + rb" [\w-]+\[[0-9a-f]+\] [a-z]{3} \[[a-z]+\] {0,3}",
    # aws logs tail: the stream's name behind the time; logcli: labels.
    "CloudWatch, Loki": rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)? "
    rb"(?:[^\s\"{]+/[^\s\"{]+ |\{\w[^\n]{0,1000}?\"\} )" + _LINE,
    # kubectl logs --prefix, --timestamps; docker logs --timestamps. A pattern of one's own may begin with a time, but
    # not with such a fraction.
    "kubectl": rb"\[pod/[^\]\n]{1,200}\] (?:" + _PRECISE + rb")?|(?:" + _PRECISE + rb"|" + _SECONDS + rb")" + _LINE,
    # OpenLiteSpeed, where all hosts share a log.
    "OpenLiteSpeed": rb"\[\"(?P<host>[\w.-]+)\"\] ",
    "Caddy's console": rb"(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d+)\t[A-Z]+\thttp\.log\.access[^\t\n]*\thandled request\t\{",
}
# What takes its place, where it holds what the line does not.
_INSTEAD = {
    "Caddy's console": rb'{"ts": "\g<time>", ',
    "Heroku": rb"time=\g<time> ",
    "OpenLiteSpeed": rb"\g<host> ",
}
_COLOURS = re.compile(rb"\x1b\[[\d;]*m")
# Of OpenLiteSpeed's line in quotes the first, and the last where there is one: behind an agent's, or behind the number of bytes.
_IN_QUOTES = re.compile(
    rb'^"(?=[^"\n]{1,300} \[\d\d/)|(?<=[^ \n]")"(?=\r?$)|(" \d{3} (?:\d+|-))"(?=\r?$)', re.MULTILINE
)
_DOCKER = re.compile(rb'\{ ?"log": ?"')
_SHIPPED = re.compile(
    rb'\{.{0,4000}?"(?:MESSAGE|message|(?:full|short)_message|log|line|textPayload|_raw|Log(?:Entry|Message))" ?: ?["\[]',
    re.DOTALL,
)
# In a member such as `message` may be words about a request whose fields stand beside it; or a line of an access log, with a time
# and a request.
_ACCESS = re.compile(rb'[ \t]*(?:\{"|[^"]{0,300}\[[^\]"]{10,40}\] "|[^"]{0,200}[0-9a-fA-F.:]+:\d+ \[)')
# What journalctl says of its journal, before the lines; empty ones.
_ABOUT = re.compile(rb"\A(?:[^\S\n]*(?:-- [^\n]*)?\n)*(?:[^\S\n]*(?:-- [^\n]*)?\Z)?")
_DOCKER_PIECE = 16 << 10  # bytes that Docker takes of a line at once; all but the last piece are that long
_PIECE = re.compile(b"^" + _DAY + rb" (stdout|stderr) ([FP])(?::[^ \n]*)? ", re.MULTILINE)
_HAS_PIECE = re.compile(rb" (?:stdout|stderr) P[: ]")


class _Line(msgspec.Struct):
    log: str
    stream: str = "stdout"


class _Shipped(msgspec.Struct):
    """An object of systemd's journal (-o json; bytes that are no UTF-8 make it a list), Filebeat, Vector, Fluent Bit, Elasticsearch,
    Google, Loki, Splunk, Datadog, Graylog, Azure."""

    journal: str | list[int] | None = msgspec.field(name="MESSAGE", default=None)
    log: Any = None  # an object, of Filebeat's
    message: Any = None
    line: Any = None
    text_payload: Any = msgspec.field(name="textPayload", default=None)
    raw: Any = msgspec.field(name="_raw", default=None)
    source: Any = msgspec.field(name="_source", default=None)
    payload: Any = msgspec.field(name="jsonPayload", default=None)
    result: Any = None
    attributes: Any = None
    content: Any = None
    full: Any = msgspec.field(name="full_message", default=None)
    short: Any = msgspec.field(name="short_message", default=None)
    entry: Any = msgspec.field(name="LogEntry", default=None)
    entry_v2: Any = msgspec.field(name="LogMessage", default=None)

    def text(self) -> bytes | None:
        """What the program wrote, where a member holds nothing else; or what looks as if it had."""
        if isinstance(self.journal, list):
            return bytes(byte & 0xFF for byte in self.journal)
        if (sure := next((text for text in (self.journal, self.log) if isinstance(text, str)), None)) is not None:
            return _bytes(sure)
        inner = (
            each
            for each in (self.source, self.payload, self.result, self.attributes, self.content)
            if isinstance(each, dict)
        )
        for text in (
            *(self.message, self.line, self.text_payload, self.raw, self.full, self.short, self.entry, self.entry_v2),
            *(each.get(name) for each in inner for name in ("message", "_raw", "log")),
        ):
            if isinstance(text, str) and _ACCESS.match(found := _bytes(text)):
                return found
        return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# What exports of CloudWatch, Datadog, Kibana and Splunk call the column that holds the line.
_COLUMN = frozenset(("@message", "message", "content", "log", "line", "_raw"))


def _named(line: bytes) -> int:
    """Which of the columns that this line names holds the lines of a log; -1 for none."""
    columns = _row(line)
    place = next((i for i, name in enumerate(columns) if name.strip("\ufeff").lower() in _COLUMN), -1)
    return place if len(columns) > 1 else -1


def _column(names: bytes, first: bytes) -> int:
    """In which column of a table with this line of names, and this one behind it, the lines of a log stand; -1 for none."""
    place, columns, row = _named(names), _row(names), _row(first)
    return place if 0 <= place < len(row) == len(columns) and _ACCESS.match(_bytes(row[place])) else -1


def _row(line: bytes) -> list[str]:
    try:
        return next(csv.reader([line.decode("utf-8", "surrogateescape").removesuffix("\r")], strict=True), [])
    except csv.Error:
        return []


def _of_table(line: bytes, place: int) -> bytes:
    """What stands in this column; the line itself where there is none."""
    row = _row(line)
    return row[place].encode("utf-8", "surrogateescape") if place < len(row) > 1 else line


_decoder = msgspec.json.Decoder(_Line)
_shipped = msgspec.json.Decoder(_Shipped)


def carrier(first: bytes, second: bytes = b"") -> str:
    """What carried a log that begins with these two lines; "" for nothing."""
    if _DOCKER.match(first):
        return "Docker"
    if _SHIPPED.match(first):
        return "" if _of_shipper(first) is None else "shipper"
    if _column(first, second) >= 0:
        return "table"
    if _IN_QUOTES.match(first):
        return "quotes"
    return next((name for name, before in _BEFORE.items() if re.match(before, first)), "")


def unwrapped(blocks: Iterable[bytes], longest: int) -> Iterator[bytes]:
    """The same blocks of whole lines without what a carrier put before them. Of a line in pieces, `longest` bytes and one more are kept."""
    rest, about = iter(blocks), b""
    for block in rest:
        begin = _ABOUT.sub(b"", block, count=1)
        about += block[: len(block) - len(begin)]
        if begin:
            carried = iter(_carried(begin, rest, longest))
            yield about + next(carried, b"")
            yield from carried
            return
        if len(about) > longest:
            yield about
            about = b""
    if about:
        yield about


def _carried(begin: bytes, rest: Iterator[bytes], longest: int) -> Iterable[bytes]:
    """The blocks from the first line on that is a line of the log."""
    first, _, behind = begin.partition(b"\n")
    # Where the first line may be a table's names, the line behind it decides.
    if not behind and _named(_COLOURS.sub(b"", first)) >= 0:
        behind = next(rest, b"")
        begin += behind
    whole: Iterable[bytes] = chain((begin,), rest)
    second = behind.partition(b"\n")[0]
    if _COLOURS.search(first):
        first, second = _COLOURS.sub(b"", first), _COLOURS.sub(b"", second)
        whole = (_COLOURS.sub(b"", each) for each in whole)
    first = first.lstrip()
    name = carrier(first, second)
    return _in_column(_column(first, second), whole) if name == "table" else _without(name, whole, longest)


def _without(name: str, blocks: Iterable[bytes], longest: int) -> Iterable[bytes]:
    """What this carrier put before the lines is taken off."""
    if name == "Docker":
        return _Pieces(_of_docker, longest).joined(blocks)
    if name == "Kubernetes":
        return _Pieces(_of_kubernetes, longest, _HAS_PIECE, _before(name)).joined(blocks)
    if name == "quotes":
        return (_IN_QUOTES.sub(rb"\1", block) for block in blocks)
    if name == "shipper":
        return (b"\n".join(map(_plain, block.split(b"\n"))) for block in blocks)
    if name:
        before, instead = _before(name), _INSTEAD.get(name, b"")
        return (before.sub(instead, block) for block in blocks)
    return blocks


def _in_column(place: int, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The line of names stays: it is a line that nobody can read."""
    return (b"\n".join(_of_table(line, place) if line else line for line in block.split(b"\n")) for block in blocks)


def _before(name: str) -> re.Pattern[bytes]:
    return re.compile(b"^(?:" + _BEFORE[name] + b")", re.MULTILINE)


class _Pieces:
    """Puts lines together that came in pieces, in each stream by itself: others come between them.

    What a visitor sends decides where a long line is cut, and so how its next piece begins: by itself it could be a line of its own."""

    def __init__(
        self,
        parts: Callable[[bytes], tuple[bytes, str, bool]],
        longest: int,
        has_piece: re.Pattern[bytes] | None = None,
        before: re.Pattern[bytes] | None = None,
    ) -> None:
        """`parts` gives of a line what the program wrote, its stream and whether it goes on; the stream "" is a line that came another
        way. In a block without `has_piece` there is no piece, and `before` is what is taken off."""
        self._parts, self._longest, self._has_piece, self._before = parts, longest, has_piece, before
        self._open: dict[str, bytes] = {}

    def joined(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            if self._before and self._has_piece and not self._open and not self._has_piece.search(block):
                yield self._before.sub(b"", block)
                continue
            whole = block.endswith(b"\n")
            lines = [line for each in block.removesuffix(b"\n").split(b"\n") if (line := self._add(each)) is not None]
            if lines:
                yield b"\n".join(lines) + (b"\n" if whole else b"")
        if self._open:  # the log ends in the middle of a line
            yield b"\n".join(self._open.values())

    def _add(self, line: bytes) -> bytes | None:
        """The line that ends here; None where it goes on."""
        text, stream, more = self._parts(line)
        if not stream:
            return text
        text = (self._open.pop(stream, b"") + text)[: self._longest + 1]
        if not more:
            return text
        self._open[stream] = text
        return None


def _of_docker(line: bytes) -> tuple[bytes, str, bool]:
    """Of an object such as `{"log":"...\\n","stream":"stdout","time":"..."}`."""
    try:
        found = _decoder.decode(line)
        text = found.log.encode("utf-8", "surrogatepass")
    except (ValueError, msgspec.DecodeError):  # what is no such object
        return line, "", False
    if found.stream not in ("stdout", "stderr"):
        return text.rstrip(b"\r\n").replace(b"\n", b" "), "", False
    # A piece has no end; nor have the lines of programs that copied the log, so its length decides, too.
    more = len(text) >= _DOCKER_PIECE and not text.endswith(b"\n")
    return text.rstrip(b"\r\n").replace(b"\n", b" "), found.stream, more


def _of_kubernetes(line: bytes) -> tuple[bytes, str, bool]:
    """Of a line such as `2026-03-12T07:15:00.1Z stdout P ...`: P for a part, F for a full line or the last part."""
    if found := _PIECE.match(line):
        return line[found.end() :], found[1].decode(), found[2] == b"P"
    return line, "", False


def _of_shipper(line: bytes) -> bytes | None:
    """What the program wrote; None for what is no object that holds it."""
    try:
        text = _shipped.decode(line).text()
    except (ValueError, msgspec.DecodeError):
        return None
    return None if text is None else text.rstrip(b"\r\n").replace(b"\n", b" ")


def _plain(line: bytes) -> bytes:
    text = _of_shipper(line) if line[:1] == b"{" else None
    return line if text is None else text
