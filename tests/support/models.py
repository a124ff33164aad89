"""Model files made here, not fitted: another weight for each feature and bucket, so that no difference hides behind a zero."""

from __future__ import annotations

import array
import functools
import math
import random
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import tables

from sidecar import core, model

ALL_GROUPS = sum(core.GROUPS.values())
HEADS = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nX-Real-IP: 192.0.2.7\r\nX-Original-URI: /a?b\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
)


def _requests() -> Iterator[core.Request]:
    """The good heads, the good lines and the agents of tests/data; the same object each time."""
    request = core.Request()
    for row in tables.heads():
        if row["outcome"] == "ok":
            request.load_head(row["head"])
            yield request
    for row in tables.lines():
        if row["field"] == "ok":
            request.load_line(row["format"], row["line"])
            yield request
    for *_, agent in tables.rows("agents.tsv", 5):
        request.load_record([(b"User-Agent", agent.encode())], True)
        yield request


@functools.cache
def _largest() -> list[float]:
    """Of each feature, so that none outweighs the others; 1 where it was always absent or 0."""
    columns = zip(*(request.features(core.MIN_K)[0] for request in _requests()), strict=True)
    return [max((abs(x) for x in column if not math.isnan(x)), default=0.0) or 1.0 for column in columns]


def doubles(values: Iterable[float]) -> memoryview:
    """A buffer of doubles, as model.Parts takes it."""
    return memoryview(array.array("d", values))


def parts(seed: int = 1, k: int = core.MIN_K, **changes: Any) -> model.Parts:
    """A model's parts, drawn at random, each feature's by its name; `changes` replaces some of them."""
    draws = [random.Random(f"{seed} {row.name}") for row in core.FEATURES]
    words, rows = random.Random(seed), list(zip(draws, _largest(), strict=True))
    made = model.Parts(
        bias=-0.25,
        threshold=0.5,
        a=-0.25,
        b=0.125,
        k=k,
        groups=ALL_GROUPS,
        families=(1 << len(core.FAMILIES)) - 1,
        mean=doubles(largest * draw.uniform(0.0, 0.3) for draw, largest in rows),
        scale=doubles(largest * draw.choice([0.5, 1.0]) for draw, largest in rows),
        lower=doubles(0.0 for _ in rows),
        upper=doubles(largest * draw.choice([0.75, 1.0, 2.0]) for draw, largest in rows),
        weight=doubles([draw.uniform(-2, 2) for draw in draws] + [words.uniform(-2, 2) for _ in range(2**k)]),
        hosts=sorted({core.host_hash(b"example.com"), core.host_hash(b"known.example")}),
        provenance={"made": "for a test"},
    )
    return replace(made, **changes)


def image(seed: int = 1, heads: Sequence[bytes] = HEADS, **changes: Any) -> bytes:
    """The bytes of such a model's file."""
    return model.pack(parts(seed, **changes), heads)


def balanced_image(seed: int = 1) -> bytes:
    """The same, with the threshold amid the scores of what tests/data holds: half of it are bots."""
    made = core.Model(image(seed))
    return image(seed, threshold=statistics.median(made.judge(request).score for request in _requests()))
