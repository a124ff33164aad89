"""inputs.py - the files that a user names to be read whole: a model, a configuration, a list, labels, rules.

Law: opening one blocks nobody and starts nothing, whatever lies in its place: it is read only if it is a regular file, or, where the
user gives it to a command that ends, a pipe into which somebody writes. Logs are not read here (sources/reading.py).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from sidecar.errors import XbotError

# Bytes. No model, list or configuration has as many, and one with a hole may say that it has any number.
MOST = 512 << 20


def read_bytes(path: Path, *, pipe: bool = False) -> bytes:
    """All that is in a file, or with `pipe` in a pipe (`<(command)` of a shell); XbotError if it cannot be read, is nothing of the
    kind, a pipe into which nobody writes, or larger than MOST."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)  # a pipe makes nobody wait
        with os.fdopen(fd, "rb") as file:
            mode = os.fstat(fd).st_mode
            if pipe and stat.S_ISFIFO(mode):
                os.set_blocking(fd, True)
                if not (data := file.read(MOST + 1)):  # also where nobody has it open to write
                    raise XbotError(f"{path}: a pipe into which nobody writes")
                if len(data) > MOST:
                    raise XbotError(f"{path}: larger than {MOST >> 20} MiB")
                return data
            if not stat.S_ISREG(mode):
                raise XbotError(f"{path}: no regular file")
            if os.fstat(fd).st_size > MOST:
                raise XbotError(f"{path}: larger than {MOST >> 20} MiB")
            return file.read()
    except (OSError, ValueError) as error:  # the last: no path can be so
        raise XbotError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def read_text(path: Path, *, pipe: bool = False) -> str:
    """A text file that a user wrote, with or without a byte order mark; XbotError if it cannot be read, as read_bytes has it."""
    data = read_bytes(path, pipe=pipe)
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise XbotError(f"{path}:{data.count(10, 0, error.start) + 1}: not UTF-8") from None


def open_to_others(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """(path, what is wrong) of each of these files and directories, and of the directories that hold them, where every user of
    the machine may write: whoever may do that decides what is served. In a sticky directory nobody takes another's file away."""
    seen = set()
    for path in paths:
        for place in (path, path.parent):
            try:
                place = place.resolve()
                mode = place.stat().st_mode
            except OSError:
                continue
            open_ = mode & stat.S_IWOTH and not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX)
            if open_ and not stat.S_ISSOCK(mode) and place not in seen:
                seen.add(place)
                yield place, f"everybody may write there (mode {stat.S_IMODE(mode):04o})"
