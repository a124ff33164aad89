"""heads.py - header sets (heads.tsv, tools.tsv): from names and values to the headers of one request, in order.

Law: the table says which headers a client sends and in which order, the caller knows the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

Pairs = list[tuple[str, str]]


@cache
def rows(table: str) -> list[list[str]]:
    """The rows of a table beside this file, as columns; lines that start with # are comments."""
    text = Path(__file__).with_name(table).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]


@cache
def head(name: str) -> str:
    """The header set called `name` in heads.tsv."""
    return dict(rows("heads.tsv"))[name]


def fill(head_set: str, values: Mapping[str, str]) -> Pairs:
    """The headers of `head_set` in order: a value of `values` before the set's own, and none without either."""
    out = []
    for part in head_set.split("|"):
        name, _, usual = part.partition(": ")
        value = values.get(name, usual or None)
        if value is not None:
            out.append((name, value))
    return out


def spoken(pairs: Pairs, protocol: str) -> Pairs:
    """`pairs` as they arrive over `protocol`: from HTTP/2 on names are in lower case and no header is about the connection."""
    if protocol < "HTTP/2":
        return pairs
    hop = ("connection", "keep-alive", "upgrade", "http2-settings", "proxy-connection", "transfer-encoding")
    return [(name.lower(), value) for name, value in pairs if name.lower() not in hop]
