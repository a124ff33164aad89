"""What the DNS said of addresses, in memory that workers and one process that looks up share (csrc/board/lookups.h).

It is the master's for as long as he lives; whoever dies leaves it as good as it was.
"""

from __future__ import annotations

import mmap
import os

from sidecar.board import memory
from sidecar.core import LOOKUPS_SECRET, LOOKUPS_SIZE, Lookups


class Shared:
    """An empty table. `fd` is handed to the other processes, which map it by `map_lookups`; `table` is the master's view."""

    def __init__(self) -> None:
        self.fd = memory.writable("xbot-lookups", os.urandom(LOOKUPS_SECRET), LOOKUPS_SIZE)
        self.table = map_lookups(self.fd)


def map_lookups(fd: int) -> Lookups:
    """The table behind `fd`."""
    return Lookups(mmap.mmap(fd, LOOKUPS_SIZE))
