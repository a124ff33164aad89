"""The counters of all workers: slots in a file of the board, or in memory that a new master gets from the old one.

Law: csrc/board/counters.h states the layout and who writes what. A worker takes a slot that no process has, whoever started
that process, and counts on in it: so the sums outlive workers, masters and, in a file, the sidecar. They are read by read,
not by a mapping, and what is read is checked: whatever becomes of the file, the master goes on.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from sidecar import core
from sidecar.board import memory
from sidecar.board.directory import Directory, times
from sidecar.errors import XbotError

NAME, OF_HOSTS = "counters", "hosts"
_LEAST_SLOTS = 64
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
        with contextlib.suppress(core.BoardError):
            self._last = _checked(self.fd)
        return core.sum_counters(self._last)


class OfHosts:
    """What hosts of other users have counted: memory that they get over a socket, and add to (csrc/board/share.h). It goes from master
    to master, and with a directory it outlives a sidecar that ends in order. Whatever they write, it is numbers."""

    def __init__(self, directory: Directory | None = None, handed: int | None = None) -> None:
        """That of the master that we take over from, or what the directory kept, or zeros."""
        if handed is not None:
            with contextlib.suppress(core.BoardError):
                self.fd, self._last = handed, _checked(handed)
                return
        self._last = core.counters_image(2, *times(), self._kept(directory))
        self.fd = memory.writable("xbot-hosts", self._last)

    @staticmethod
    def _kept(directory: Directory | None) -> bytes:
        fd = None
        with contextlib.suppress(XbotError, core.BoardError):
            if directory is not None and (fd := directory.find(OF_HOSTS)) is not None:
                return _checked(fd)
        if fd is not None:
            os.close(fd)
        return b""

    def total(self) -> dict[str, Any]:
        """Their sums, in the form of sidecar.core.read_stats; those known last where the memory was damaged."""
        with contextlib.suppress(core.BoardError):
            self._last = _checked(self.fd)
        return core.sum_counters(self._last)

    def keep(self, directory: Directory) -> None:
        """Write the sums into the directory, for the next start. XbotError if that cannot be."""
        self.total()
        os.close(directory.create(OF_HOSTS, core.counters_image(2, *times(), self._last)))
        directory.put(OF_HOSTS)


def _checked(fd: int) -> bytes:
    data = _read(fd)
    core.counters_slots(data)
    return data


def _read(fd: int) -> bytes:
    """The whole file, or so much of it that it is seen to be too long."""
    most = core.COUNTERS_HEADER + core.COUNTERS_SLOT * core.COUNTERS_MOST
    return os.pread(fd, min(os.fstat(fd).st_size, most + 1), 0)
