"""labels.py - labels of logs that hold none: `line TAB bot|human`, and perhaps why, in a third column.

Law: a byte for each line of the logs, four more where the reasons are wanted; the file is read once, in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sidecar.errors import XbotError
from sidecar.sources import reading

LAST_LINE = 1 << 30  # there is a place for each line up to the last, so a slip of the finger must not ask for terabytes
_NONE, _WORDS = 0, {b"human": 1, b"bot": 2}  # as they are kept: 0 costs no memory until it is written to


class Labels:
    """Labels by line; lines are counted from 1, through all logs. A label is 1 for a bot, 0 for a human, -1 for none.

    `reasons`: keep the third column, too.
    """

    def __init__(self, *, reasons: bool = False) -> None:
        self.last = 0  # line that is bot or human
        self._kept = np.zeros(1 << 16, dtype=np.uint8)
        self._why = np.zeros(1 << 16, dtype=np.uint32) if reasons else None
        self._reasons: list[tuple[str, ...]] = [()]
        self._place: dict[bytes, int] = {b"": 0, b"-": 0}

    def set(self, lines: np.ndarray, words: list[bytes], reasons: list[bytes]) -> None:
        """Takes in `words` on `lines`, 1 to LAST_LINE; of two on one line the later counts."""
        kept = np.array([_WORDS.get(word, _NONE) for word in words], dtype=np.uint8)
        self._grow(int(lines.max(initial=0)) + 1)
        self._kept[lines] = kept
        if self._why is not None:
            self._why[lines] = [self._place_of(reason) for reason in reasons]
        self.last = max(self.last, int(lines[kept != _NONE].max(initial=0)))

    def _grow(self, size: int) -> None:
        if size <= len(self._kept):
            return
        for name in ("_kept", "_why"):
            old = getattr(self, name)
            if old is not None:
                new = np.zeros(max(size, 2 * len(old)), dtype=old.dtype)
                new[: len(old)] = old
                setattr(self, name, new)

    def _place_of(self, reason: bytes) -> int:
        place = self._place.get(reason)
        if place is None:
            place = self._place[reason] = len(self._reasons)
            self._reasons.append(tuple(word for word in reason.decode("utf-8", "backslashreplace").split(",") if word))
        return place

    def of(self, lines: np.ndarray) -> np.ndarray:
        """The labels of these lines, int8."""
        within = lines < len(self._kept)
        kept: np.ndarray = np.where(within, self._kept[np.where(within, lines, 0)], _NONE).astype(np.int8) - 1
        return kept

    def __getitem__(self, line: int) -> int:
        return int(self._kept[line]) - 1 if line < len(self._kept) else -1

    def why(self, line: int) -> tuple[str, ...]:
        """The reasons of a line: none or one, or, with commas between, the rules that fired. `-` is none."""
        return self._reasons[self._why[line]] if self._why is not None and line < len(self._why) else ()


def read_labels(path: Path, *, reasons: bool = False) -> Labels:
    """Reads `line TAB label [TAB reasons]`, gzip too. Words other than bot and human leave a line without a label, and
    further columns are let be. XbotError names file, line and field, also where a pipe has no writer."""
    labels = Labels(reasons=reasons)
    for first, rows in _rows(path):
        lines = np.empty(len(rows), dtype=np.int64)
        words, whys = [], []
        for at, row in enumerate(rows):
            number, tab, said = row.partition(b"\t")
            line = int(number) if tab and number.isdigit() and len(number) < 20 else 0
            if not 0 < line <= LAST_LINE:
                raise XbotError(f"{path}:{first + at}: line: {_mistake(number, tab)}")
            lines[at] = line
            word, _, why = said.partition(b"\t")
            words.append(word)
            whys.append(why.partition(b"\t")[0])
        labels.set(lines, words, whys)
    if not labels.last:
        raise XbotError(f"{path}: no line says bot or human")
    return labels


def _rows(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """(number of the first, rows) of the file in blocks, without a heading."""
    first = 1
    for block in reading.blocks(str(path), waits=False):
        rows = block.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
        heading = first == 1 and rows[0].partition(b"\t")[0] == b"line"
        yield first + heading, rows[heading:]
        first += len(rows)


def _mistake(number: bytes, tab: bytes) -> str:
    if not tab or not number.isdigit():
        return "expected a line number, a tab and bot or human"
    return f"{number[:20].decode()}: lines are counted from 1" + (
        f" to {LAST_LINE} at most" if number.strip(b"0") else ""
    )
