"""A worker's place among the counters: a slot that no other process counts in.

Law: the kernel says who has a slot, by a lock that ends with its process; nobody waits for one.
"""

from __future__ import annotations

import fcntl
import mmap

from sidecar import core


def claim(fd: int) -> memoryview:
    """A slot that no process counts in, writable, STATS_SIZE bytes; memory of our own if all are taken.

    `fd` must stay open, and no other descriptor of the file may be opened: the lock on the slot goes with the first that is closed.
    """
    shared = mmap.mmap(fd, 0)
    for slot in range(1, core.counters_slots(shared)):
        at = core.COUNTERS_HEADER + slot * core.COUNTERS_SLOT
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, core.COUNTERS_SLOT, at)
        except (BlockingIOError, PermissionError):
            continue
        return memoryview(shared)[at:][: core.STATS_SIZE]
    return memoryview(bytearray(core.STATS_SIZE))
