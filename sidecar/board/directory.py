"""The board's directory: who may have it, how its files come into being, and which of them are opened.

Law (csrc/board/file.h says why): only we may write in it, and one sidecar at a time does. Everything goes by one descriptor
of the directory, so that nobody can put another in its place; no symbolic link is followed; no lock is waited for. A file
is written beside its place and renamed; one that is there is opened only if nobody but us may write it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sidecar.board import memory
from sidecar.errors import XbotError

PRIVATE, GROUP_READS = 0o600, 0o640  # modes of files
_LOCK = "lock"
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # a fifo in the place of a file makes nobody wait


def times() -> tuple[int, int]:
    """For the header of a new file: now, and when the machine was booted, in nanoseconds since 1970 UTC."""
    now = time.time_ns()
    return now, now - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Directory:
    """The directory at `path`, ours as long as a process has `lock` open: a new master gets it from the old one."""

    path: Path
    fd: int
    lock: int

    @classmethod
    def open(cls, path: Path, handed: int | None = None) -> Directory:
        """Take the directory. `handed` is the lock of the master that we take over from, if it had a directory; it counts where
        it is this one. XbotError says why it cannot be used: not there, others may write in it, another sidecar has it."""
        if path.is_symlink():
            raise XbotError(f"{path}: a symbolic link; name the directory itself")
        with _said(path):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if why := _foreign(os.fstat(fd)):
                raise XbotError(f"{path}: {why}")
            lock = _lock(path, fd, handed)
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd, lock)

    def create(self, name: str, data: bytes | memoryview, mode: int = PRIVATE, group: int | None = None) -> int:
        """A file of these bytes that waits for `put` to get its name; a descriptor to read and write it. XbotError."""
        new = f"{name}.new"
        with _said(self.path / new):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new, dir_fd=self.fd)
            fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE, PRIVATE, dir_fd=self.fd)
            try:
                memory.write(fd, data)
                if group is not None:
                    os.fchown(fd, -1, group)
                os.fchmod(fd, mode)
            except BaseException:
                os.close(fd)
                os.unlink(new, dir_fd=self.fd)
                raise
        return fd

    def put(self, name: str) -> None:
        """The file that `create` made takes the name. Who has the old one open keeps it. XbotError."""
        with _said(self.path / name):
            os.rename(f"{name}.new", name, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def remove(self, name: str) -> None:
        """No file has the name any more. XbotError."""
        with _said(self.path / name), contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.fd)

    def set_aside(self, name: str) -> None:
        """What has the name gets another: it is of no use, and may be of interest. XbotError."""
        with _said(self.path / name), contextlib.suppress(FileNotFoundError):
            os.rename(name, f"{name}.refused", src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def find(self, name: str) -> int | None:
        """A descriptor to read and write the file of this name; None if there is none. XbotError if it may not be used."""
        try:
            return _opened(self.path / name, self.fd, os.O_RDWR)
        except FileNotFoundError:
            return None

    def close(self) -> None:
        """Let go of it, unless another process has the lock, too."""
        os.close(self.fd)
        os.close(self.lock)


def _lock(path: Path, directory: int, handed: int | None) -> int:
    """A descriptor with the lock on it: `handed` or a new one."""
    with _said(path):
        lock = _opened(path / _LOCK, directory, os.O_RDWR | os.O_CREAT)
    if handed is not None and os.path.sameopenfile(lock, handed):
        os.close(lock)
        return handed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise XbotError(f"{path}: another sidecar has it; one directory is for one sidecar") from None
    return lock


def _opened(path: Path, directory: int, how: int) -> int:
    """A file of the directory that is ours. FileNotFoundError, or XbotError."""
    try:
        fd = os.open(path.name, how | _FILE, PRIVATE, dir_fd=directory)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise XbotError(f"{path}: {error.strerror or error}") from None
    found = os.fstat(fd)
    why = _foreign(found)
    if not stat.S_ISREG(found.st_mode):
        why = "no regular file"
    elif found.st_nlink != 1:
        why = "it has a second name"
    if why:
        os.close(fd)
        raise XbotError(f"{path}: {why}")
    return fd


def _foreign(found: os.stat_result) -> str | None:
    """Who but us may write what was found."""
    if found.st_uid != os.geteuid():
        return f"belongs to {_user(found.st_uid)}, and this process is {_user(os.geteuid())}"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write there (mode {stat.S_IMODE(found.st_mode):04o}); chmod go-w"
    return None


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    """Errors of the system in the words of the command."""
    try:
        yield
    except OSError as error:
        raise XbotError(f"{path}: {error.strerror or error}") from error


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
