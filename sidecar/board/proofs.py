"""What the proofs of crawlers need in memory that processes share: what the DNS said of addresses (csrc/board/lookups.h), and the
nonces of signatures that were accepted, as none is accepted twice.

Law: tables of a fixed size without a lock, which are the master's for as long as he lives; whoever dies leaves them as good as
they were, and blocks nobody. Only nonces of signatures that proved a crawler come here, so nobody else can fill their table; of
the eight places that one may take, the one that ends first is replaced. Two workers that meet one nonce within the same
microsecond may both take it for new.
"""

from __future__ import annotations

import hashlib
import mmap
import os

from sidecar.board import memory
from sidecar.core import LOOKUPS_SECRET, LOOKUPS_SIZE, Lookups

_SETS, _WAYS = 8192, 8
_SECRET = 16  # bytes
_SIZE = _SECRET + _SETS * _WAYS * 16  # each has a hash, and when it ends


class Shared:
    """An empty table. `fd` is handed to the other processes, which map it by `map_lookups`; `table` is the master's view."""

    def __init__(self) -> None:
        self.fd = memory.writable("xbot-lookups", os.urandom(LOOKUPS_SECRET), LOOKUPS_SIZE)
        self.table = map_lookups(self.fd)


def map_lookups(fd: int) -> Lookups:
    """The table behind `fd`."""
    return Lookups(mmap.mmap(fd, LOOKUPS_SIZE))


class Nonces:
    """The table behind `fd`; a new one without it."""

    def __init__(self, fd: int | None = None) -> None:
        self.fd = memory.writable("xbot-nonces", os.urandom(_SECRET), _SIZE) if fd is None else fd
        self._words = memoryview(mmap.mmap(self.fd, _SIZE)).cast("Q")
        self._secret = self._words[:2].tobytes()

    def is_new(self, nonce: bytes, until: float, now: float) -> bool:
        """Whether it was not used; from now on it is, until then. Times are seconds of one clock."""
        digest = hashlib.blake2b(nonce, key=self._secret, digest_size=16).digest()
        mark = int.from_bytes(digest[:8], "little") or 1
        first = 2 + int.from_bytes(digest[8:], "little") % _SETS * _WAYS * 2
        ends = [self._words[first + 2 * i + 1] for i in range(_WAYS)]
        for i in range(_WAYS):
            if self._words[first + 2 * i] == mark and ends[i] >= now:
                return False
        place = first + 2 * ends.index(min(ends))
        self._words[place], self._words[place + 1] = mark, int(until) + 1
        return True
