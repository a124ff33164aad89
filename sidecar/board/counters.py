"""The counters of all workers: slots in a file of the board, or in memory that a new master gets from the old one.

Law: csrc/board/counters.h states the layout and who writes what. A worker takes a slot that no process has, whoever started
that process, and counts on in it: so the sums outlive workers, masters and, in a file, the sidecar. They are read by read,
not by a mapping, and what is read is checked: whatever becomes of the file, the master goes on.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from typing import Any

from sidecar import core
from sidecar.board import memory
from sidecar.board.directory import Directory, times
from sidecar.errors import XbotError

NAME, OF_HOSTS = "counters", "hosts"
_LEAST_SLOTS = 64
_SLOTS_OF_A_HOST = 2
_LEAST_ROOM, _SLOTS_A_WORKER = 2, 4  # slots a worker: one counts while another drains after an upgrade in place


class Counters:
    """`fd` is handed to the workers, which claim a slot (slots.py). `said`: why what was there could not be used, or None."""

    def __init__(self, workers: int, directory: Directory | None = None, handed: int | None = None) -> None:
        """The directory's counters, or else `handed`, those of the master that we take over from; new ones where they do not fit.

        In a directory new ones wait for `put`. XbotError if they cannot be written.
        """
        self._directory = directory
        self._slots = max(_LEAST_SLOTS, _SLOTS_A_WORKER * workers) + 1
        self._new = False
        self.said: str | None = None
        carried = b""
        try:
            there = directory.find(NAME) if directory else None
            fd = handed if there is None else there
            if fd is not None:
                carried = _checked(fd)
                room = core.counters_slots(carried) - 1
                if room < _LEAST_ROOM * workers:
                    self.said = f"it has room for {room} workers only; its sums are kept"
                elif there is not None or directory is None:
                    self.fd, self._last = fd, carried
                    return
        except (XbotError, core.BoardError) as error:
            self.said = str(error)
        self._make(carried)

    def _make(self, carried: bytes) -> None:
        """New counters, which begin with the sums of others, checked, or at 0."""
        self._last = core.counters_image(self._slots, *times(), carried)
        if self._directory:
            self.fd = self._directory.create(NAME, self._last)
        else:
            self.fd = memory.writable("xbot-counters", self._last)
        self._new = self._directory is not None

    def put(self) -> None:
        """From now on they are the directory's. XbotError if that cannot be."""
        if self._directory and self._new:
            if self.said is not None:
                self._directory.set_aside(NAME)
            self._directory.put(NAME)
            self._new = False

    def mend(self) -> str | None:
        """Put new counters, with the sums known last, in the place of a file that was damaged while it was in use: for
        workers that start from now on. What was wrong with it; None if it is sound. XbotError if they cannot be written."""
        try:
            self._last = _checked(self.fd)
        except core.BoardError as error:
            os.close(self.fd)
            self._make(self._last)
            self.put()
            return str(error)
        return None

    def total(self) -> dict[str, Any]:
        """The sums over all slots, in the form of sidecar.core.read_stats; those known last while the file is damaged."""
        return core.sum_counters(self.image())

    def image(self) -> bytes:
        """All slots, checked."""
        with contextlib.suppress(core.BoardError):
            self._last = _checked(self.fd)
        return self._last


class OfHosts:
    """What hosts of other users have counted (csrc/board/share.h): in memory that is lent to each of them alone, and the sums of those
    that are gone. The sums go from master to master, and with a directory they outlive a sidecar that ends in order. Whatever a host
    writes, it is its own numbers. Lent by one thread, read by another."""

    def __init__(self, directory: Directory | None = None, handed: int | None = None) -> None:
        """With the sums of the master that we take over from, or those that the directory kept, or zeros."""
        self._lent: dict[int, bytes] = {}  # by descriptor: what was there last
        self._lock = threading.Lock()
        if handed is not None:
            with contextlib.suppress(core.BoardError):
                _checked(handed)
                self.fd = handed
                return
        self.fd = memory.writable("xbot-gone", core.counters_image(2, *times(), self._kept(directory)))

    @staticmethod
    def _kept(directory: Directory | None) -> bytes:
        fd = None
        with contextlib.suppress(XbotError, core.BoardError):
            if directory is not None and (fd := directory.find(OF_HOSTS)) is not None:
                return _checked(fd)
        if fd is not None:
            os.close(fd)
        return b""

    def lend(self) -> int:
        """Counters for one host; a descriptor that stays ours, for `end`."""
        image = core.counters_image(2, *times())
        fd = memory.writable("xbot-hosts", image)
        with self._lock:
            self._lent[fd] = image
        return fd

    def end(self, fd: int) -> None:
        """The host is gone; what it counted stays."""
        with self._lock:
            last = self._read(fd)
            os.pwrite(self.fd, core.counters_image(2, *times(), _joined([_checked(self.fd), last])), 0)
            del self._lent[fd]
        os.close(fd)

    def _read(self, fd: int) -> bytes:
        with contextlib.suppress(core.BoardError):
            if core.counters_slots(found := _read(fd)) == _SLOTS_OF_A_HOST:
                self._lent[fd] = found
        return self._lent[fd]

    def total(self) -> dict[str, Any]:
        """Their sums, in the form of sidecar.core.read_stats; of a host that has damaged its memory, those known last."""
        return core.sum_counters(self.image())

    def image(self) -> bytes:
        """All slots of all, checked."""
        with self._lock:
            return _joined([_checked(self.fd), *map(self._read, [*self._lent])])

    def keep(self, directory: Directory) -> None:
        """Write the sums into the directory, for the next start. XbotError if that cannot be."""
        os.close(directory.create(OF_HOSTS, _checked(self.fd)))
        directory.put(OF_HOSTS)


def total(ours: Counters, others: OfHosts) -> dict[str, Any]:
    """The sums of all hosts, in the form of sidecar.core.read_stats."""
    return core.sum_counters(_joined([ours.image(), others.image()]))


def _joined(files: Sequence[bytes]) -> bytes:
    """One file with the slots of all."""
    slots = b"".join(each[core.COUNTERS_HEADER :] for each in files)
    return core.counters_image(len(slots) // core.COUNTERS_SLOT, *times())[: core.COUNTERS_HEADER] + slots


def _checked(fd: int) -> bytes:
    data = _read(fd)
    core.counters_slots(data)
    return data


def _read(fd: int) -> bytes:
    """The whole file, or so much of it that it is seen to be too long."""
    most = core.COUNTERS_HEADER + core.COUNTERS_SLOT * core.COUNTERS_MOST
    return os.pread(fd, min(os.fstat(fd).st_size, most + 1), 0)
