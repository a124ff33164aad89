"""The lines of logs: what is in a block of them, how one is read, and which cannot be.

Law: every command and training come to the lines of a log through here.
"""

from __future__ import annotations

from collections.abc import Callable

import click

from sidecar import core, records
from sidecar.errors import XbotError


class Unreadable:
    """Counts the lines of a log that cannot be read and tells of the first, on standard error."""

    def __init__(self, source: str) -> None:
        self.source, self.count, self.first = "standard input" if source == "-" else source, 0, ""

    def add(self, line: int, field: str, why: str) -> None:
        if not self.count:
            self.first = f"{self.source}:{line}: {field}: {why}"
        self.count += 1

    def tell(self, lines: int) -> None:
        """Says what was left out. An empty log is an error: nothing was done."""
        if not lines:
            raise XbotError(f"{self.source}: empty, no line to read")
        if self.count:
            more = f"; {self.count} of {lines} lines could not be read" if self.count > 1 else ""
            click.echo(f"xbot: {self.first}{more}", err=True)


def lines_of(block: bytes) -> list[bytes]:
    """The lines of a block, without their ends."""
    return block.removesuffix(b"\n").split(b"\n")


def loader(log_format: str) -> Callable[[bytes, core.Request], None]:
    """A function that reads a line of this format into a request; core.LineError if it cannot."""
    if log_format == "jsonl":
        return records.load_record
    return lambda text, request: request.load_line(log_format, text.removesuffix(b"\r"))
