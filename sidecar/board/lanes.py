"""The lanes by which workers say what they decided: one for each worker, in memory of a sealed size (csrc/board/lane.h).

Law: the kernel says whose a lane is, by a lock that ends with its process; nobody waits for one. A worker that finds none free
records nothing. A host of another user gets a lane that is lent to it alone (share/lender.py). The master alone reads; what a
writer that died has written is read all the same.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from typing import NamedTuple

from sidecar import core
from sidecar.board import memory

_SPARE = 2  # lanes of workers that drain while others serve already


class Recording(NamedTuple):
    """What the writer of a lane records, as core.Answerer takes it: for the log, if `sample` is not None, and for who watches."""

    sample: float | None
    watched: tuple[int, int]
    per_second: int

    def shared_by(self, writers: int) -> Recording:
        """What each of so many records, so that all together keep `per_second`: one record each, at least."""
        return self._replace(per_second=-(-self.per_second // max(writers, 1)))


class Lanes:
    """Empty ones for so many workers. `fd` is handed to them, and each claims one."""

    def __init__(self, workers: int) -> None:
        self.count = 2 * workers + _SPARE
        self.fd = memory.writable("xbot-lanes", b"", self.count * core.LANE_SIZE)
        self._views = [memoryview(mmap.mmap(self.fd, core.LANE_SIZE, offset=at)) for at in self._places()]
        self._lent: dict[int, memoryview] = {}  # by id: those of hosts of other users
        self._ended: set[int] = set()  # of these, those whose writer is gone
        self._lock = threading.Lock()  # of both: lanes are lent by one thread, and read by another
        self._dropped = self._capped = 0  # by those that are gone

    def _places(self) -> range:
        return range(0, self.count * core.LANE_SIZE, core.LANE_SIZE)

    def lend(self) -> tuple[int, memoryview]:
        """A lane in memory of its own, for a host of another user: its descriptor, which the caller closes, and what `end` wants."""
        fd = memory.writable("xbot-lane", b"", core.LANE_SIZE)
        try:
            view = memoryview(mmap.mmap(fd, core.LANE_SIZE))
        except BaseException:
            os.close(fd)
            raise
        with self._lock:
            self._lent[id(view)] = view
        return fd, view

    def end(self, view: memoryview) -> None:
        """Nobody writes it any more; what was written is read all the same."""
        with self._lock:
            self._ended.add(id(view))

    def read(self, most: int) -> list[core.Recorded]:
        """At most so many records of each lane, the oldest first; what is no record is left out."""
        found = [one for view in self._views for one in core.read_lane(view, most)[0]]
        with self._lock:
            lent, ended = [*self._lent.items()], set(self._ended)
        for number, view in lent:
            records, bad = core.read_lane(view, most)
            found += records
            if number in ended and not records and not bad:
                with self._lock:
                    dropped, capped = core.lane_dropped(view)
                    self._dropped += dropped
                    self._capped += capped
                    del self._lent[number]
                    self._ended.discard(number)
        return sorted(found, key=lambda one: one.time)

    @property
    def dropped(self) -> int:
        """Records that found no room."""
        with self._lock:
            return self._dropped + self._sum(0)

    @property
    def capped(self) -> int:
        """Records for the log that were too many in their second."""
        with self._lock:
            return self._capped + self._sum(1)

    def _sum(self, which: int) -> int:
        return sum(core.lane_dropped(view)[which] for view in (*self._views, *self._lent.values()))


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
