"""The lines of logs: the one loop that reads them, and the count of those that cannot be read.

Law: every command and training come to the lines of a log through here, whatever its format. Only where a whole block
is judged or featurized at once by csrc does no line come to Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from sidecar import core
from sidecar.errors import XbotError
from sidecar.sources import choosing, merging, progress, reading
from sidecar.sources.fields.w3c import ABOUT_THE_LOG
from sidecar.sources.formats import Format
from sidecar.sources.merging import Line
from sidecar.sources.shown import text


class Unreadable:
    """Counts the lines of a log that cannot be read and tells of the first, on standard error."""

    def __init__(self, source: str) -> None:
        self.source, self.count, self.first, self._about = source, 0, "", 0

    def add(self, line: int, field: str, why: str, count: int = 1) -> None:
        """Counts `count` lines of which this is the first; lines about the log do not count."""
        if (field, why) == ABOUT_THE_LOG:
            self._about += count
            return
        if not self.count:
            self.first = f"{reading.name_of(self.source)}:{line}: {text(field)}: {text(why)}"
        self.count += count

    def said(self, lines: int) -> str:
        """What was left out, as one line; empty for nothing. A log without a readable line is an XbotError: nothing
        was done."""
        requests = lines - self._about
        if not requests:
            raise XbotError(f"{reading.name_of(self.source)}: empty, no line to read")
        if self.count == requests:
            of_them = "" if requests == 1 else f" of {requests}"
            raise XbotError(f"{self.first}; no line{of_them} could be read{choosing.hint(self.source)}")
        if 2 * self.count > requests:
            hint = choosing.hint(self.source)
            return f"{self.first}; warning: more than half, {self.count} of {requests} lines, could not be read{hint}"
        return self.first + (f"; {self.count} of {requests} lines could not be read" if self.count > 1 else "")

    def tell(self, lines: int) -> None:
        """Says it on standard error."""
        if said := self.said(lines):
            progress.say(f"xbot: {said}")


_NO_FAULT = ("", "")


def of_block(
    block: bytes, form: Format, request: core.Request, before: int = 0, handshakes: core.Handshakes | None = None
) -> Iterator[Line]:
    """Yields the lines of a block, each read into `request`; `before` lines stand before it in the log, and `handshakes` are what
    they said of their connections."""
    load = form.load
    for number, line in enumerate(block.removesuffix(b"\n").split(b"\n"), before + 1):
        try:
            load(line, request)
        except core.LineError as error:
            yield number, line, None, error.args
            continue
        if handshakes is not None:
            handshakes.recall(request)
        yield number, line, request, _NO_FAULT


def of_log(
    log: str,
    form: Format,
    unreadable: Unreadable | None = None,
    advance: Callable[[int], None] = lambda _: None,
    blocks: Iterable[bytes] | None = None,
) -> Iterator[Line]:
    """Yields the lines of a log, of `blocks` where a part of it has been read before. With `unreadable`, those that cannot
    be read are counted and told, and a log without a line is an XbotError."""
    request, number, form = core.Request(), 0, form.opened()
    handshakes = form.handshakes()
    for block in reading.blocks(log) if blocks is None else blocks:
        for line in of_block(block, form, request, number, handshakes):
            number = line[0]
            if line[2] is None and unreadable is not None:
                unreadable.add(number, *line[3])
            yield line
        advance(len(block))
    if unreadable is not None:
        unreadable.tell(number)


def of_logs(
    logs: Sequence[str],
    form: Format,
    clients: core.Clients | None,
    unreadable: Sequence[Unreadable] | None = None,
    advance: Callable[[int], None] = lambda _: None,
    blocks: Callable[[str], Iterable[bytes]] = reading.blocks,
    *,
    quiet: bool = False,
) -> Iterator[tuple[int, Line]]:
    """Yields (which log, line) for the lines of logs, `unreadable` as of_log has it, one for each log.

    With `clients` the lines come by time. A request has with it what was known of its client before it; it is counted, with what
    became of it, when the next line is asked for; lines out of order are told, unless `quiet`. Without, one log comes after the other,
    and no request knows of another."""

    def of_one(i: int) -> Iterator[Line]:
        return of_log(logs[i], form, None if unreadable is None else unreadable[i], advance, blocks(logs[i]))

    if clients is None:
        for i in range(len(logs)):
            yield from ((i, line) for line in of_one(i))
        return
    order = merging.Order()
    for i, line in merging.by_time(logs, lambda log: _first_time(log, form), of_one):
        request = line[2]
        if request is None:
            yield i, line
            continue
        order.add(logs[i], line[0], late=not clients.read(request))
        yield i, line
        clients.count(request)
    if not quiet:
        order.tell()


def _first_time(log: str, form: Format) -> int:
    """Of the first line in a log's first block that has a time, in milliseconds; -1 for none."""
    lines = of_block(reading.head(log), form.opened(), core.Request()) if reading.head(log) else ()
    times = (request.time_ms for _, _, request, _ in lines if request is not None)
    return next((time for time in times if time is not None), -1)
