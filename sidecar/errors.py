"""The errors that a user sees: what was given or done is wrong, said in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


class XbotError(Exception):
    """The command prints `xbot: MESSAGE` and exits with 2. The message names file, line and field, if any."""


class RefusedModelError(XbotError):
    """A model file can be read, but this xbot cannot use it: it is damaged, of another version, or no model at all."""


class MistakesError(XbotError):
    """Every mistake in a file: one line each in `lines`, at least one. The message is the first line and how many more there are."""

    def __init__(self, lines: Sequence[str]) -> None:
        more = f" (the first of {len(lines)} mistakes; `xbot check` lists them)" if len(lines) > 1 else ""
        super().__init__(lines[0] + more)
        self.lines = tuple(lines)


def lines_of(error: XbotError) -> Sequence[str]:
    """All that an error says, a line for each mistake."""
    return error.lines if isinstance(error, MistakesError) else (str(error),)


def at(path: Path, line: int | None) -> str:
    """How a place in a file is written."""
    return f"{path}:{line}" if line else str(path)


def some(names: Iterable[str]) -> str:
    """A list for a sentence."""
    return ", ".join(sorted(names)) or "none"
