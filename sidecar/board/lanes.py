"""The lanes by which workers say what they decided: one for each worker, in memory of a sealed size (csrc/board/lane.h).

Law: the kernel says whose a lane is, by a lock that ends with its process; nobody waits for one. A worker that finds none free
records nothing. The master alone reads; what a worker that died has written is read all the same.
"""

from __future__ import annotations

import fcntl
import mmap

from sidecar import core
from sidecar.board import memory

_SPARE = 2  # lanes of workers that drain while others serve already


class Lanes:
    """Empty ones for so many workers. `fd` is handed to them, and each claims one."""

    def __init__(self, workers: int) -> None:
        self.count = 2 * workers + _SPARE
        self.fd = memory.writable("xbot-lanes", b"", self.count * core.LANE_SIZE)
        self._views = [memoryview(mmap.mmap(self.fd, core.LANE_SIZE, offset=at)) for at in self._places()]

    def _places(self) -> range:
        return range(0, self.count * core.LANE_SIZE, core.LANE_SIZE)

    def read(self, most: int) -> list[core.Recorded]:
        """At most so many records of each lane, the oldest first; what is no record is left out."""
        found = [one for view in self._views for one in core.read_lane(view, most)[0]]
        return sorted(found, key=lambda one: one.time)

    @property
    def dropped(self) -> int:
        """Records that found no room."""
        return sum(core.lane_dropped(view)[0] for view in self._views)

    @property
    def capped(self) -> int:
        """Records for the log that were too many in their second."""
        return sum(core.lane_dropped(view)[1] for view in self._views)


def claim_lane(fd: int) -> memoryview | None:
    """A lane that no process writes; None if all are taken. `fd` must stay open: the lock goes with the first that is closed."""
    shared = mmap.mmap(fd, 0)
    for at in range(0, len(shared), core.LANE_SIZE):
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, core.LANE_SIZE, at)
        except (BlockingIOError, PermissionError):
            continue
        return memoryview(shared)[at:][: core.LANE_SIZE]
    return None
