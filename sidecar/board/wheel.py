"""What an operator decides at once: a hand on the wheel, in memory that workers read for each request.

Law: csrc/board/wheel.h states the memory and who writes it: one master. It goes from master to master with an upgrade. What is
said is also kept as a file of the board, so that it outlives a sidecar that is killed and started again; a reboot ends it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from sidecar import core
from sidecar.board import memory

if TYPE_CHECKING:
    from sidecar.board.directory import Directory

NAME = "wheel"
_NANO = 1_000_000_000


class Override(NamedTuple):
    """The mode of a policy, or of all for None, and how many seconds are left of it; None: it has no end."""

    policy: str | None
    mode: str
    seconds: float | None


class LetBy(NamedTuple):
    """An address (4 or 16 bytes), how many of its bits count, and how many seconds are left."""

    address: bytes
    bits: int
    seconds: float | None


class Wheel:
    """`fd` is handed to the workers, which map it by `map_wheel`, and to the next master."""

    def __init__(self, booted: int, made: int, directory: Directory | None, handed: int | None = None) -> None:
        """The memory of the master that we take over from, or what the directory has, or an empty one. `booted` and `made` are
        those of a new file (directory.times)."""
        self._booted = booted
        data = self._sound(handed)
        if handed is not None and data:
            self.fd = handed
        else:
            self.fd = memory.writable("xbot-wheel", data or self._kept(directory) or core.wheel_image(made, booted))
        self._memory = mmap.mmap(self.fd, core.WHEEL_SIZE)
        self._wheel = core.Wheel(self._memory)

    def turn(self, policy: str | None, mode: str, seconds: float | None) -> None:
        """The mode of a policy, or of all for None, for so long, or until something else is said. ValueError if no place is left."""
        now = time.monotonic_ns()
        self._wheel.turn(policy, mode, now, _end(now, seconds))

    def let_by(self, address: bytes, bits: int, seconds: float) -> None:
        """Let by whoever shares so many bits with the address, for so long; 0: no longer. ValueError if no place is left."""
        now = time.monotonic_ns()
        self._wheel.let_by(address, bits, now, _end(now, seconds))

    def said(self) -> tuple[list[Override], list[LetBy]]:
        """What holds now."""
        now = time.monotonic_ns()
        modes, addresses = self._wheel.said(now)
        return (
            [Override(policy, mode, _left(now, end)) for policy, mode, end in modes],
            [LetBy(*_plain(address, bits), _left(now, end)) for address, bits, end in addresses],
        )

    def keep(self, directory: Directory, group: int | None) -> None:
        """Put a copy into the board, which `group` may read. XbotError if that cannot be."""
        os.close(directory.create(NAME, self._memory[:], 0o640, group))
        directory.put(NAME)

    def _sound(self, fd: int | None) -> bytes | None:
        """What is behind the descriptor, if it is a wheel of this boot and version."""
        if fd is not None:
            with contextlib.suppress(OSError, core.BoardError):
                data = os.pread(fd, core.WHEEL_SIZE + 1, 0)
                core.check_wheel(data, self._booted)
                return data
        return None

    def _kept(self, directory: Directory | None) -> bytes | None:
        """What the directory has; nothing where it may not be used: others could write it."""
        if directory is None or (fd := directory.find(NAME)) is None:
            return None
        try:
            return self._sound(fd)
        finally:
            os.close(fd)


def map_wheel(fd: int) -> memoryview:
    """The memory behind `fd`, to be read."""
    return memoryview(mmap.mmap(fd, core.WHEEL_SIZE, access=mmap.ACCESS_READ))


def _end(now: int, seconds: float | None) -> int:
    return core.WHEEL_EVER if seconds is None else now + int(seconds * _NANO)


def _left(now: int, end: int) -> float | None:
    return None if end == core.WHEEL_EVER else (end - now) / _NANO


def _plain(address: bytes, bits: int) -> tuple[bytes, int]:
    """An IPv4 address in its own four bytes."""
    if address[:12] == bytes(10) + b"\xff\xff" and bits >= 96:
        return address[12:], bits - 96
    return address, bits
