"""The table of what clients did before, and that of proven visitors, in memory that all workers share (csrc/clients/clients.h).

Law: the master makes it, and hands it to each worker and to a new master by its descriptor; its size is sealed, and whoever dies
leaves it as good as it was. With a directory it outlives a restart: it is written there when the sidecar ends, copied and checked
at the next start, and removed. Nobody maps that file.
"""

from __future__ import annotations

import asyncio
import hmac
import mmap
import os
import time
from typing import Any

from sidecar import core
from sidecar.board import memory
from sidecar.board.directory import Directory
from sidecar.config.options import Clients as Wanted
from sidecar.errors import XbotError

NAME = "clients"
CLOCK = "XBOT_CLOCK"  # in the environment: a file of 8 bytes, the table's time in milliseconds, for tests and replays
_CLOCK_SIZE = 8
_LOOK_SECONDS = 60.0  # how often it is looked whether a new key is due
_CHUNK = 1 << 24  # bytes that are copied at a time


class Clients:
    """`fd` is handed to the workers; `view` is the table, writable. `said`: why one that was there could not be used, or None.
    `small`: the large pages that were wanted could not be had."""

    fd: int
    view: memoryview

    def __init__(
        self,
        wanted: Wanted,
        directory: Directory | None = None,
        handed: int | None = None,
        shared: bytes | None = None,
    ) -> None:
        """`handed`, that of the master that we take over from, if it is as wanted; else what the directory kept; else an empty one.
        `shared`: what several machines have in common that share; its secret is made of that. OSError if there is no memory for it."""
        self._size = core.clients_size(wanted.mebibytes)
        self._by_network = wanted.privacy == "network"
        self._key_ms = wanted.key_hours and 3_600_000 * wanted.key_hours
        self._shared = shared
        self.said: str | None = None
        if handed is not None and self._use(handed):
            self.small = wanted.large_pages and not memory.gather(self.fd)
            self._agree(system_ms())
            return
        kept = self._kept(directory) if directory else None
        if kept is not None and not self._use(kept):
            os.close(kept)
            kept = None
        if kept is None:
            self.fd = memory.writable("xbot-clients", b"", self._size)
            self.view = memory.mapped(self.fd)
            core.make_clients(self.view, os.urandom(core.CLIENTS_SECRET), by_network=self._by_network)
            self._rekey(system_ms())
        self.small = wanted.large_pages and not memory.gather(self.fd)
        self._agree(system_ms())

    def _use(self, fd: int) -> bool:
        """Take this memory, if it holds a table as we want it."""
        if os.fstat(fd).st_size != self._size:
            self.said = "it has another size"
            return False
        view = memory.mapped(fd)
        try:
            by_network = core.read_clients(view)["by_network"]
        except core.BoardError as error:
            self.said = str(error)
            return False
        if by_network != self._by_network:
            self.said = "it tells clients apart in another way"
            return False
        self.fd, self.view = fd, view
        return True

    def _kept(self, directory: Directory) -> int | None:
        """A copy, in memory of our own, of the file that the directory kept, whatever is in it."""
        try:
            file = directory.find(NAME)
        except XbotError as error:
            self.said = str(error)
            return None
        if file is None:
            return None
        try:
            if os.fstat(file).st_size != self._size:
                self.said = "it has another size"
                return None
            copy = memory.writable("xbot-clients", b"", self._size)
            while os.sendfile(copy, file, None, _CHUNK):  # from where the file is, to where the copy is
                pass
            return copy
        finally:
            os.close(file)

    def renew(self, now_ms: int) -> bool:
        """Give the table a new key if the one that it has is old enough; whether it was."""
        keyed = core.read_clients(self.view)["keyed_ms"]
        if self._key_ms is None:
            return False
        # Machines that share get theirs at the same time.
        old = now_ms - keyed >= self._key_ms if self._shared is None else self._period(now_ms) != self._period(keyed)
        if old:
            self._rekey(now_ms)
        return old

    async def stay_young(self, log: Any) -> None:
        """Look for ever whether a new key is due. Its age goes on over upgrades and restarts."""
        while self._key_ms is not None:
            if self.renew(system_ms()):
                log.info("clients rekeyed")
            await asyncio.sleep(_LOOK_SECONDS)

    def _period(self, now_ms: int) -> int:
        return now_ms // self._key_ms if self._key_ms else 0

    def _secret(self, now_ms: int) -> bytes:
        if self._shared is None:
            return os.urandom(core.CLIENTS_SECRET)
        return hmac.digest(self._shared, b"clients %d" % self._period(now_ms), "sha256")[: core.CLIENTS_SECRET]

    def _agree(self, now_ms: int) -> None:
        """A table that had another secret than that of the machines that share gets it."""
        if self._shared is not None and not core.clients_have(self.view, self._secret(now_ms)):
            self._rekey(now_ms)

    def _rekey(self, now_ms: int) -> None:
        core.rekey_clients(self.view, self._secret(now_ms), now_ms)

    def keep(self, directory: Directory) -> None:
        """Write the table into the directory, for the next start. XbotError if that cannot be."""
        os.close(directory.create(NAME, self.view))
        directory.put(NAME)

    def counts(self) -> dict[str, int]:
        """What the table says of itself (core.read_clients), and its `bytes`. Nothing if it is damaged."""
        try:
            return {**core.read_clients(self.view), "bytes": self._size}
        except core.BoardError:
            return {}


class Visitors:
    """The proven visitors, and what they got (csrc/clients/visitors.h): memory as that of the clients. A copy of it lies in the directory
    from the first time on that they moved the threshold, so that a sidecar that is killed does not begin anew."""

    NAME = "visitors"

    def __init__(self, directory: Directory | None = None, handed: int | None = None) -> None:
        """`handed`, that of the master that we take over from, or what the directory kept, or an empty one."""
        if handed is None or not self._use(handed):
            self.fd = memory.writable("xbot-visitors", self._kept(directory), core.VISITORS_SIZE)
            self.view = memoryview(mmap.mmap(self.fd, core.VISITORS_SIZE))
            try:
                core.read_visitors(self.view, 0, 0)
            except core.BoardError:
                self.view[:] = bytes(core.VISITORS_SIZE)
                core.make_visitors(self.view)

    def read(self, mark: int, since_ms: int) -> list[core.Visitor]:
        """core.read_visitors; none where the table is damaged."""
        try:
            return core.read_visitors(self.view, mark, since_ms)
        except core.BoardError:
            return []

    def keep(self, directory: Directory) -> None:
        """Write it into the directory, for the next start. XbotError if that cannot be."""
        os.close(directory.create(self.NAME, self.view))
        directory.put(self.NAME)

    def _use(self, fd: int) -> bool:
        if os.fstat(fd).st_size != core.VISITORS_SIZE:
            return False
        self.fd, self.view = fd, memoryview(mmap.mmap(fd, core.VISITORS_SIZE))
        return True

    def _kept(self, directory: Directory | None) -> bytes:
        """What the directory kept, whatever is in it; nothing where it may not be used."""
        try:
            file = directory.find(self.NAME) if directory else None
        except XbotError:
            return b""
        if file is None:
            return b""
        try:
            data = os.pread(file, core.VISITORS_SIZE + 1, 0)
            return data if len(data) == core.VISITORS_SIZE else b""
        finally:
            os.close(file)


def system_ms() -> int:
    """The system's time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def clock() -> int | None:
    """A descriptor of the file that tells the table's time, if the environment names one. XbotError if it cannot be used."""
    path = os.environ.get(CLOCK)
    if not path:
        return None
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise XbotError(f"{CLOCK}: {path}: {error.strerror}") from None
    if os.fstat(fd).st_size < _CLOCK_SIZE:
        os.close(fd)
        raise XbotError(f"{CLOCK}: {path}: no file of {_CLOCK_SIZE} bytes")
    return fd
