"""Model files made here, not fitted: another weight for each feature and bucket, so that no difference hides behind a zero."""

from __future__ import annotations

import array
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sidecar import core, model

ALL_GROUPS = sum(core.GROUPS.values())
HEADS = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nX-Real-IP: 192.0.2.7\r\nX-Original-URI: /a?b\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
)


def doubles(values: Iterable[float]) -> memoryview:
    """A buffer of doubles, as model.Parts takes it."""
    return memoryview(array.array("d", values))


def parts(seed: int = 1, k: int = core.MIN_K, **changes: Any) -> model.Parts:
    """A model's parts, drawn at random; `changes` replaces some of them."""
    draw, n = random.Random(seed), len(core.FEATURES)
    made = model.Parts(
        bias=-0.25,
        threshold=0.5,
        a=-1.5,
        b=0.125,
        k=k,
        groups=ALL_GROUPS,
        families=(1 << len(core.FAMILIES)) - 1,
        mean=doubles(draw.uniform(-2, 2) for _ in range(n)),
        scale=doubles(draw.choice([0.25, 1.0, 3.0, 100.0]) for _ in range(n)),
        weight=doubles(draw.uniform(-1, 1) for _ in range(n + 2**k)),
        hosts=sorted({core.host_hash(b"example.com"), core.host_hash(b"known.example")}),
        provenance={"made": "for a test"},
    )
    return replace(made, **changes)


def image(seed: int = 1, heads: Sequence[bytes] = HEADS, **changes: Any) -> bytes:
    """The bytes of such a model's file."""
    return model.pack(parts(seed, **changes), heads)
