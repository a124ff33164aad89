"""inputs.py - the files that a user names to be read whole: a model, a configuration, a list, labels, rules.

Law: opening one blocks nobody and starts nothing, whatever lies in its place: it is read only if it is a regular file, or, where the
user gives it to a command that ends, a pipe into which somebody writes. Logs are not read here (sources/reading.py).
"""

from __future__ import annotations

import io
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from sidecar.errors import XbotError

# Bytes. No model or configuration has as many, and one with a hole may say that it has any number.
MOST = 512 << 20
MOST_OF_A_LIST = 32 << 20  # whose every line is read by itself: two million networks
_PIECE = 1 << 24
_TRIES, _PAUSE_SECONDS = 5, 0.1  # for a file that is being written just now


def read_bytes(path: Path, most: int = MOST, *, pipe: bool = False) -> bytes:
    """All that is in a file, or with `pipe` in a pipe (`<(command)` of a shell); XbotError if it cannot be read, is nothing of the
    kind, a pipe into which nobody writes, larger than `most`, or is written all the while."""
    try:
        for _ in range(_TRIES):
            if (data := _read(path, most, pipe=pipe)) is not None:
                return data
            time.sleep(_PAUSE_SECONDS)
    except (OSError, ValueError) as error:  # the last: no path can be so
        raise XbotError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    raise XbotError(f"{path}: changed while it was read")


def _read(path: Path, most: int, *, pipe: bool) -> bytes | None:
    """None where somebody wrote it meanwhile: the half of a configuration may be sound. One that another takes the place of is whole."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)  # a pipe makes nobody wait
    with os.fdopen(fd, "rb", buffering=0):
        before = os.fstat(fd)
        piped = pipe and stat.S_ISFIFO(before.st_mode)
        if not piped and not stat.S_ISREG(before.st_mode):
            raise XbotError(f"{path}: no regular file")
        if piped:
            os.set_blocking(fd, True)
        whole, more = io.BytesIO(), before.st_size <= most
        while more and (piece := os.read(fd, _PIECE)):  # files of the kernel do not say how large they are
            whole.write(piece)
            more = whole.tell() <= most
        if not more:
            raise XbotError(f"{path}: larger than {most >> 20} MiB")
        if piped:
            if not whole.tell():  # also where nobody has it open to write
                raise XbotError(f"{path}: a pipe into which nobody writes")
            return whole.getvalue()
        after = os.fstat(fd)
    return whole.getvalue() if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns) else None


def read_text(path: Path, most: int = MOST, *, pipe: bool = False) -> str:
    """A text file that a user wrote, with or without a byte order mark; XbotError if it cannot be read, as read_bytes has it."""
    data = read_bytes(path, most, pipe=pipe)
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise XbotError(f"{path}:{data.count(10, 0, error.start) + 1}: not UTF-8") from None


def real(path: Path) -> Path:
    """Where a path leads, through links; also where they lead in a circle, of which Path.resolve() makes a RuntimeError."""
    return Path(os.path.realpath(path))


def open_to_others(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """(path, what is wrong) of each of these files and directories, and of the directories that hold them, where every user of
    the machine may write: whoever may do that decides what is served. In a sticky directory nobody takes another's file away."""
    seen = set()
    for path in paths:
        for place in (path, path.parent):
            try:
                place = real(place)
                mode = place.stat().st_mode
            except OSError:
                continue
            open_ = mode & stat.S_IWOTH and not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX)
            if open_ and not stat.S_ISSOCK(mode) and place not in seen:
                seen.add(place)
                yield place, f"everybody may write there (mode {stat.S_IMODE(mode):04o})"
