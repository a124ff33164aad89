"""Logs that databases and consoles export: columns, with their names in the first line.

Law: what a column means is named.py's to say. A line that is the same as the first is another such line: exports are put together.
"""

from __future__ import annotations

import contextlib
import csv

from sidecar import core
from sidecar.sources.fields import named, variables
from sidecar.sources.fields.w3c import ABOUT_THE_LOG, Reader

_BETWEEN = ",\t;|"
_MOST = 1000  # columns
_FEWEST_KNOWN = 2  # of the columns, so that no line of another log is taken for names


class Columns(Reader):
    """Reads the lines of one log, from its beginning on."""

    def __init__(self) -> None:
        self._first, self._names, self._comma = b"", list[str](), ","

    def opened(self) -> Columns:
        """Another reader, at the beginning of a log."""
        return Columns()

    def skip(self, block: bytes) -> None:
        """Takes note of a block that somebody else reads."""
        if not self._names:
            with contextlib.suppress(core.LineError):
                self._take(block.partition(b"\n")[0].removesuffix(b"\r"))

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        comma = max(_BETWEEN, key=text.count)
        try:
            names = next(csv.reader([text], delimiter=comma), [])
        except csv.Error as error:
            raise core.LineError("line", str(error)) from None
        meant = [name for name in map(named.means, names) if name]
        if len(meant) < _FEWEST_KNOWN or not variables.groups(meant):
            raise core.LineError("line", "no names of columns about the visitor, such as client_ip and user_agent")
        self._first, self._names, self._comma = line, names[:_MOST], comma

    def load(self, line: bytes, request: core.Request) -> None:
        """Reads a line into a request; core.LineError with field and reason if it cannot."""
        if len(line) > core.MAX_LINE:
            raise core.LineError("line", f"longer than {core.MAX_LINE} bytes")
        if not self._names:
            self._take(line)
        if line == self._first:
            raise core.LineError(*ABOUT_THE_LOG)
        text = line.decode("utf-8", "surrogateescape")
        try:
            values = next(csv.reader([text], delimiter=self._comma, strict=True), [])
        except csv.Error as error:
            raise core.LineError("line", str(error)) from None
        if len(values) != len(self._names):
            raise core.LineError("line", f"{len(values)} columns, and the log's first line names {len(self._names)}")
        named.load(zip(self._names, values, strict=True), request)
