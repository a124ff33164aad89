"""The handshakes that workers remember, in memory that all of them share (csrc/board/handshakes.h).

It is the master's for as long as he lives; a worker that dies leaves it as good as it was. A new master has new memory: nginx is
then asked again for what is not known.
"""

from __future__ import annotations

import mmap
import os

from sidecar.board import memory
from sidecar.core import HANDSHAKES_SECRET, HANDSHAKES_SIZE


class Handshakes:
    """An empty table. `fd` is handed to the workers, which map it by `map_handshakes`."""

    def __init__(self) -> None:
        self.fd = memory.writable("xbot-handshakes", os.urandom(HANDSHAKES_SECRET), HANDSHAKES_SIZE)


def map_handshakes(fd: int) -> memoryview:
    """The table behind `fd`, writable."""
    return memoryview(mmap.mmap(fd, HANDSHAKES_SIZE))
