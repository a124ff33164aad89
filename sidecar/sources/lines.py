"""The lines of logs: the one loop that reads them, and the count of those that cannot be read.

Law: every command and training come to the lines of a log through here, whatever its format. Only where a whole block
is judged or featurized at once by csrc does no line come to Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import click

from sidecar import core
from sidecar.errors import XbotError
from sidecar.sources import choosing, reading
from sidecar.sources.fields.w3c import ABOUT_THE_LOG
from sidecar.sources.formats import Format
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
            click.echo(f"xbot: {said}", err=True)


Fault = tuple[str, str]  # the field, and what is wrong with it
# Number from 1, the line without its break, the request (the same object each time) or None, and then why.
Line = tuple[int, bytes, core.Request | None, Fault]
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
