"""tables.py - the tables beside this file: tab-separated columns, # starts a comment line.

Law: what the corpus knows of clients stands in tables; the modules draw from them and fill their blanks: those of a text (Blanks),
and those of a header set (fill), which says which headers a client sends and in which order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

Pairs = list[tuple[str, str]]
NONE: Mapping[str, Pairs] = {}


@cache
def rows(table: str) -> list[list[str]]:
    """The rows of a table, as columns."""
    text = (Path(__file__).parent / table).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]


@cache
def _column(table: str, group: str | None, year: int | None) -> tuple[list[list[str]], list[float]]:
    found, weights = [], []
    for row in rows(table):
        named = row if group is None else row[1:] if row[0] == group else None
        if named and year is not None:  # first year, last year
            named = named[2:] if int(named[0]) <= year <= int(named[1]) else None
        if named:
            weights.append(float(named[0]))
            found.append(named[1:])
    return found, weights


def draw(table: str, rng: random.Random, group: str | None = None, year: int | None = None) -> list[str]:
    """The columns behind the weight of a row drawn by its weight.

    `group`: one of those with this first column. `year`: one of those current in that year, by the next two columns.
    """
    found, weights = _column(table, group, year)
    return rng.choices(found, weights)[0]


class Blanks(dict[str, str]):
    """Values for the blanks of a template, made by `make` when first asked for: a text agrees with itself."""

    def __init__(self, make: Callable[[str], str], **known: str) -> None:
        super().__init__(known)
        self.make = make

    def __missing__(self, key: str) -> str:
        self[key] = self.make(key)
        return self[key]


@cache
def head(name: str) -> str:
    """The header set called `name` in heads.tsv."""
    return next(head_set for key, head_set in rows("heads.tsv") if key == name)


@cache
def _parts(head_set: str) -> list[tuple[str, str | None]]:
    split = (part.partition(": ") for part in head_set.split("|"))
    return [(name, usual or None) for name, _, usual in split]


def fill(head_set: str, values: Mapping[str, str], own: Mapping[str, Pairs] = NONE) -> Pairs:
    """The headers of `head_set` in order: a value of `values` before the set's own; none without either.

    `own`: headers to put where the set has these marks (@1, @2).
    """
    out = []
    for name, usual in _parts(head_set):
        if name in own:
            out += own[name]
            continue
        value = values.get(name, usual)
        if value is not None and not name.startswith("@"):
            out.append((name, value))
    return out
