"""heads.py - header sets (heads.tsv, tools.tsv, crawlers.tsv): from names and values to headers in order.

Law: a set says which headers a client sends and in which order, the caller knows the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from training.corpus.tables import rows

Pairs = list[tuple[str, str]]
NONE: Mapping[str, Pairs] = {}
HOP = {"connection", "keep-alive", "upgrade", "http2-settings", "proxy-connection", "transfer-encoding"}


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


def spoken(pairs: Pairs, protocol: str) -> Pairs:
    """`pairs` as nginx hands them on: from HTTP/2 on in lower case, none about the connection, the cookie last."""
    if protocol < "HTTP/2":
        return pairs
    small = [(name.lower(), value) for name, value in pairs if name.lower() not in HOP]
    return sorted(small, key=lambda pair: pair[0] == "cookie")  # stable: the others keep their order
