"""Several logs as one, by time; and whether a log is in the order of its times.

Law: one pass, and of each log that is open one block in memory. A log is opened when its first line is due: of logs that follow
each other, as rotated ones do, one is open at a time. No log is sorted: its lines come as they stand, and those that are
earlier than the line before them are counted, and the first is told.
"""

from __future__ import annotations

import heapq
import shlex
from collections.abc import Callable, Iterator, Sequence

import click

from sidecar import core
from sidecar.errors import XbotError
from sidecar.sources import progress, reading

stateless_option = click.option(
    "--stateless",
    is_flag=True,
    help="Take each line by itself, not by what its client did in the lines before it; several logs one after another.",
)
Fault = tuple[str, str]  # the field, and what is wrong with it
# Number from 1, the line without its break, the request (the same object for each line of a log) or None, and then why.
Line = tuple[int, bytes, core.Request | None, Fault]


def by_time(
    logs: Sequence[str], starts: Callable[[str], int], lines: Callable[[int], Iterator[Line]]
) -> Iterator[tuple[int, Line]]:
    """Yields (which log, line) for the lines of all logs. `starts`: the time of a log's first line; `lines`: those of the log
    that is the i-th. A line that has no time, or an earlier one than a line above it in its log, comes behind that line. Of
    lines of one time, those of the earlier log come first."""
    if len(logs) == 1:
        yield from ((0, line) for line in lines(0))
        return
    waiting = sorted(((starts(log), i) for i, log in enumerate(logs)), reverse=True)
    due: list[tuple[int, int, Line, Iterator[Line]]] = []

    def put(at: int, i: int, source: Iterator[Line], place: Callable[..., object]) -> bool:
        line = next(source, None)
        if line is None:
            return False
        request = line[2]
        time = None if request is None else request.time_ms
        place(due, (at if time is None else max(at, time), i, line, source))
        return True

    while waiting or due:
        while waiting and (not due or waiting[-1] <= due[0][:2]):
            at, i = waiting.pop()
            put(at, i, lines(i), heapq.heappush)
        if not due:
            continue
        at, i, line, source = due[0]
        yield i, line
        if not put(at, i, source, heapq.heapreplace):
            heapq.heappop(due)


def lines_before(logs: Sequence[str]) -> list[int]:
    """How many lines stand in the logs before each of them, to number the lines of all logs through. XbotError for what cannot
    be read twice."""
    before = [0]
    for log in logs[:-1]:
        if not reading.is_file(log):
            why = "its lines are numbered before they are read by time, so it must be a file (or --stateless)"
            raise XbotError(f"{reading.name_of(log)}: {why}")
        lines = 0
        for block in reading.blocks(log):
            lines += block.count(b"\n") + (not block.endswith(b"\n"))
        before.append(before[-1] + lines)
    return before


def line_options(logs: Sequence[str], log: str, line: int) -> str:
    """The words by which `xbot explain` finds a line of one of these logs, with the lines before it."""
    return shlex.join(["--line", str(line) if len(logs) == 1 else f"{log}:{line}", *logs])


class Order:
    """Counts lines, and those that are earlier than the line before them."""

    def __init__(self) -> None:
        self.lines = self.late = 0
        self.first = ""

    def add(self, source: str, line: int, lines: int = 1, late: int = 1) -> None:
        """Counts `lines`, of which so many are late; `line` is the first of these."""
        self.lines += lines
        if late and not self.late:
            self.first = f"{reading.name_of(source)}:{line}"
        self.late += late

    def tell(self) -> None:
        """Says it on standard error; nothing where all lines are in order."""
        if self.late:
            are, them = ("is", "it") if self.late == 1 else ("are", "them")
            said = f"{self.late} of {self.lines} lines {are} earlier than the line before {them}; first: {self.first}"
            progress.say(f"xbot: {said}")
