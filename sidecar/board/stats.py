"""The counters of all workers: one slot each in memory that the master owns and the workers write.

A slot outlives its worker: the next worker in the same place goes on counting into it, so the sums never go
back. One process writes a slot; the master only reads, without a lock, as each counter is one aligned word.
"""

from __future__ import annotations

import mmap
from typing import Any

from sidecar.board import memory
from sidecar.core import STATS_SIZE, read_stats

_PAGE = mmap.PAGESIZE
SLOT_SIZE = -(-STATS_SIZE // _PAGE) * _PAGE  # whole pages: each worker maps its own only


class Stats:
    """`slots` zeroed slots. `fd` is handed to the workers, which map theirs by `map_slot`."""

    def __init__(self, slots: int) -> None:
        self.fd = memory.writable("xbot-stats", slots * SLOT_SIZE)
        self._memory = memoryview(mmap.mmap(self.fd, slots * SLOT_SIZE))
        self._slots = [self._memory[i * SLOT_SIZE :][:STATS_SIZE] for i in range(slots)]

    def total(self) -> dict[str, Any]:
        """The sums over all slots, in the form of sidecar.core.read_stats."""
        total: dict[str, Any] = {}
        for slot in self._slots:
            for name, value in read_stats(slot).items():
                if isinstance(value, list):
                    sums = total.get(name, [0] * len(value))
                    total[name] = [a + b for a, b in zip(sums, value, strict=True)]
                else:
                    total[name] = total.get(name, 0) + value
        return total


def map_slot(fd: int, index: int) -> memoryview:
    """Slot `index` of the memory behind `fd`, writable, STATS_SIZE bytes."""
    return memoryview(mmap.mmap(fd, SLOT_SIZE, offset=index * SLOT_SIZE))[:STATS_SIZE]
