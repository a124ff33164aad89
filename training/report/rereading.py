"""rereading.py - the labelled rows once more, in the order of the matrix, with all that the log says of them.

Law: a matrix holds numbers; texts stay in the log. Memory does not grow with the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sidecar import core
from sidecar.errors import XbotError
from sidecar.sources.lines import of_logs
from sidecar.sources.merging import lines_before
from training.dataset import Dataset, How
from training.labels import Labels


class Row(NamedTuple):
    """A labelled row: its place in the matrix, its line in its log and numbered through all logs (as labels are), its
    bytes, and the request (the same object each time)."""

    number: int
    log: str
    line: int
    through: int
    text: bytes
    request: core.Request


@dataclass
class Seen:
    """What all lines that could be read tell, labelled or not: how many, and from when to when (None: no times)."""

    lines: int = 0
    first: int | None = None
    last: int | None = None

    def add(self, time: int | None) -> None:
        """Counts a line."""
        self.lines += 1
        if time is not None:
            self.first = time if self.first is None else min(self.first, time)
            self.last = time if self.last is None else max(self.last, time)

    @property
    def days(self) -> float | None:
        """How long the log is, in days; None where it tells no two times."""
        if self.first is None or self.last is None or self.last <= self.first:
            return None
        return (self.last - self.first) / 86_400


def labelled_rows(
    data: Dataset,
    how: How,
    logs: tuple[str, ...],
    labels: Labels | None,
    advance: Callable[[int], None] = lambda _: None,
    seen: Seen | None = None,
) -> Iterator[Row]:
    """Yields the rows of `data` in their order. XbotError if the logs are no longer what they were."""
    number, clients = 0, core.Clients() if how.looks_back else None
    before = None if clients is None else lines_before(logs)
    found = of_logs(logs, how.form, clients, advance=advance, quiet=True)
    for read, (i, (line, text, request, _)) in enumerate(found, 1):
        through = read if before is None else before[i] + line
        if request is None:
            continue
        if seen is not None:
            seen.add(request.time)
        if (request.label is None) if labels is None else (labels[through] < 0):
            continue
        if number >= len(data.line) or data.line[number] != through:
            raise XbotError(f"{logs[i]}:{line}: the log changed while it was read")
        yield Row(number, logs[i], line, through, text, request)
        number += 1
    if number != len(data.line):
        raise XbotError(f"{logs[-1]}: the log changed while it was read")
