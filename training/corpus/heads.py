"""heads.py - header sets (heads.tsv, tools.tsv, crawlers.tsv): from names and values to headers in order.

Law: a set says which headers a client sends and in which order, the caller knows the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from training.corpus.tables import rows

Pairs = list[tuple[str, str]]
HOP = {"connection", "keep-alive", "upgrade", "http2-settings", "proxy-connection", "transfer-encoding"}


@cache
def head(name: str) -> str:
    """The header set called `name` in heads.tsv."""
    return next(head_set for key, head_set in rows("heads.tsv") if key == name)


def fill(head_set: str, values: Mapping[str, str]) -> Pairs:
    """The headers of `head_set` in order: a value of `values` before the set's own; none without either."""
    out = []
    for part in head_set.split("|"):
        name, _, usual = part.partition(": ")
        value = values.get(name, usual or None)
        if value is not None:
            out.append((name, value))
    return out


def spoken(pairs: Pairs, protocol: str) -> Pairs:
    """`pairs` as they arrive over `protocol`: from HTTP/2 on in lower case, and none is about the connection."""
    if protocol < "HTTP/2":
        return pairs
    return [(name.lower(), value) for name, value in pairs if name.lower() not in HOP]
