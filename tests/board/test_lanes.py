"""Records of decisions, read from a lane: what a host made up is none."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Sequence
from typing import Any

import pytest

from sidecar import core


def lane_with(
    margin: float = 1.0, score: float = 0.5, seconds: float = 0.0, past: Sequence[float] = (), doubt: int = 0
) -> bytearray:
    """A lane with one record (csrc/record.h), of this long ago."""
    head, room = b"GET / HTTP/1.1\r\n\r\n", 4096
    written = time.monotonic_ns() - int(seconds * 1e9)
    flags = 0, 0, 0, 0, 0, 1, len(past), 0, doubt
    plain = struct.pack("=IIQQQdd24x9B7x40x32s96x", 0, len(head), 4, 1, written, margin, score, *flags, b"default")
    record = plain + struct.pack(f"={len(past)}d", *past) + head
    lane = bytearray(core.LANE_SIZE)
    lane[room : room + len(record)] = struct.pack("=I", len(record)) + record[4:]
    lane[:8] = struct.pack("=Q", -(-len(record) // 8) * 8)
    return lane


PAST = sum(row.group == "client" for row in core.FEATURES)


def test_a_record_is_read() -> None:
    (one,), bad = core.read_lane(lane_with(past=[math.nan] * PAST, doubt=2), 9)
    assert (one.margin, one.policy, one.doubt, bad) == (1.0, "default", "regretted", 0)
    assert abs(one.time / 1e9 - time.time()) < 60


@pytest.mark.parametrize(
    "forged",
    [
        {"margin": math.nan},
        {"margin": math.inf},
        {"score": math.nan},
        {"score": 2.0},
        {"seconds": -3600.0},
        {"past": [math.inf] * PAST},
        {"doubt": 3},
    ],
    ids=str,
)
def test_a_record_that_a_host_made_up_is_none_where_it_cannot_be_shown(forged: dict[str, Any]) -> None:
    """Of such numbers no JSON can be made, and of such a time no date."""
    assert core.read_lane(lane_with(**forged), 9) == ([], 1)
