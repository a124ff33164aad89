"""The tables of tests/data: one case a line, columns by tabs, `#` comments. Bytes are written with \\r \\n \\t \\\\ \\xHH.

Law: read by the Python tests, the C tests (tests/c/support/harness.h) and the fuzzers (tests/fuzz/run.py) alike.
"""

from __future__ import annotations

import json
import re
from typing import Any

from places import DATA

_ESCAPE = re.compile(rb"\\(r|n|t|\\|x[0-9a-fA-F]{2})")
_PLAIN = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}


def unescape(cell: str) -> bytes:
    """The bytes that a cell stands for."""
    return _ESCAPE.sub(lambda m: _PLAIN.get(m[1]) or bytes([int(m[1][1:], 16)]), cell.encode())


def rows(name: str, columns: int) -> list[list[str]]:
    """All rows of a table; each has this many columns."""
    text = (DATA / name).read_text("utf-8")
    found = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    assert all(len(row) == columns for row in found), [row for row in found if len(row) != columns]
    return found


def heads() -> list[dict[str, Any]]:
    """tests/data/heads.tsv."""
    return [
        {
            "name": name,
            "outcome": outcome,
            "keep": connection == "keep",
            "n_headers": int(n),
            "malformed": int(m),
            "head": unescape(head),
        }
        for name, outcome, connection, n, m, head in rows("heads.tsv", 6)
    ]


def lines() -> list[dict[str, Any]]:
    """tests/data/lines.tsv."""
    return [
        {"name": name, "format": log_format, "field": field, "why": why, "line": unescape(line)}
        for name, log_format, field, why, line in rows("lines.tsv", 5)
    ]


def spellings() -> list[tuple[str, str]]:
    """tests/data/spellings.tsv: (target, policy)."""
    return [(target, policy) for target, policy in rows("spellings.tsv", 2)]


def connections() -> list[str]:
    """tests/data/connections.tsv: values of Connection."""
    return [value for (value,) in rows("connections.tsv", 1)]


def control_headers() -> list[str]:
    """tests/data/control_headers.tsv: names."""
    return [name for (name,) in rows("control_headers.tsv", 1)]


def crowds() -> list[dict[str, Any]]:
    """tests/data/crowds.tsv."""
    return [
        {
            "name": name,
            "target": target,
            "before": [junk.format(i) for i in range(int(n))] if place == "before" else [],
            "behind": [junk.format(i) for i in range(int(n))] if place == "behind" else [],
            "reason": reason,
        }
        for name, target, n, junk, place, reason in rows("crowds.tsv", 6)
    ]


def differences() -> list[dict[str, Any]]:
    """tests/data/differences.tsv; `word` is an expression on text, `head` one on bytes."""
    return [
        {"kind": kind, "oracle": oracle, "how": how, "word": word, "head": head.encode(), "example": unescape(example)}
        for kind, oracle, how, word, head, example, _ in rows("differences.tsv", 7)
    ]


def questions() -> list[dict[str, Any]]:
    """tests/data/questions.tsv."""
    return [
        {"name": name, "dialect": dialect, "wanted": json.loads(wanted), "head": unescape(head)}
        for name, dialect, wanted, head in rows("questions.tsv", 4)
    ]


def padding() -> list[dict[str, Any]]:
    """tests/data/padding.tsv."""
    return [
        {
            "name": name,
            "prefix": prefix,
            "before": int(before),
            "after": int(after),
            "use": use,
            "kind": kind,
            "outcome": outcome,
        }
        for name, prefix, before, after, use, kind, outcome in rows("padding.tsv", 7)
    ]
