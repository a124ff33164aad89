"""outputs.py - the files that commands write.

Law: nothing that a user has is lost by a slip of the finger. An output is never one of the inputs, nor takes the place of
a file of another kind; and a file is there whole or not at all. What is no file (a pipe, /dev/null, a terminal) is
written to as it is. A link of the user's own stands for what it names; one that somebody else put there leads nowhere.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from sidecar import core
from sidecar.errors import XbotError
from sidecar.inputs import real

_HEAD = 4096  # bytes of a file that tell its kind


class Kind(NamedTuple):
    """What a command writes: its name, and whether a file that begins with these bytes is one."""

    name: str
    begins: Callable[[bytes], bool]


MODEL = Kind("model file", lambda head: head.startswith(core.MODEL_MAGIC))
PIPELINE = Kind("pipeline of xbot train", lambda head: head[:1] == b"\x80" and b"sklearn.pipeline" in head[:64])
PAGE = Kind("report of xbot", lambda head: b'<meta name="generator" content="xbot ' in head)
LABELS = Kind("file of labels", lambda head: head.startswith(b"line\tlabel"))
CSV = Kind("CSV of xbot features", lambda head: head.startswith((b"line,label,time,", b"log,line,label,time,")))
COVERAGE = Kind("JSON of xbot label", lambda head: head.startswith(b'{\n "lines": '))
REPLAY = Kind("JSON of xbot replay", lambda head: head.startswith(b'{\n "model": '))
CORPUS = Kind("corpus", lambda head: head.startswith(b'{"ip":"'))


def check(outputs: Iterable[tuple[Path | None, Kind]], inputs: Iterable[Path | str | None] = ()) -> None:
    """XbotError for an output that is an input or another output (by whatever name, through links), that is there and of
    another kind (an empty file is of any), or that cannot be there. `-` is standard input; None is no file.

    To be called before anything else is done: hours of reading come before the first byte is written.
    """
    taken: dict[object, str] = {}
    for given in inputs:
        if given is not None and (place := _place(str(given))) is not None:
            taken[place] = "it is an input, " + ("on standard input" if str(given) == "-" else str(given))
    for out, kind in outputs:
        if out is None:
            continue
        _check_link(out)
        if not out.parent.is_dir():
            raise XbotError(f"{out}: no such directory: {out.parent}")
        place = _place(out)
        if place in taken:
            raise XbotError(f"{out}: not written: {taken[place]}")
        if place is not None:
            taken[place] = f"it is another output, {out}"
        _check_kind(out, kind)


def _place(path: Path | str) -> object:
    """What two names of one file share: device and inode; the resolved path where there is no file yet. None if it is
    not a file: the same pipe may be read and written. The text "-" is standard input."""
    try:
        found = os.fstat(sys.stdin.fileno()) if path == "-" else Path(path).stat()
    except FileNotFoundError:
        return real(Path(path))
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _check_link(out: Path) -> None:
    """XbotError for a symbolic link that is another user's, or that another user could change under our hands. Those of root
    count as our own: /dev/stdout is one."""
    try:
        link, directory = out.lstat(), out.parent.stat()
    except OSError:
        return
    if not stat.S_ISLNK(link.st_mode):
        return
    others = directory.st_mode & stat.S_IWOTH and not directory.st_mode & stat.S_ISVTX
    if others or link.st_uid not in (0, os.geteuid()):
        raise XbotError(f"{out}: not written: a symbolic link in the hands of others; name {out.readlink()} itself")


def _check_kind(out: Path, kind: Kind) -> None:
    try:
        if out.is_dir():
            raise XbotError(f"{out}: is a directory")
        if not out.is_file() or _is_standard_output(out):
            return
        with out.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise XbotError(f"{out}: {error.strerror or error}") from None
    if head and not kind.begins(head):
        raise XbotError(
            f"{out}: not written: it is there already, and is no {kind.name}; move it away, or name another"
        )


def _is_standard_output(path: Path) -> bool:
    """Whether a path is a name of this process's standard output, such as /dev/stdout."""
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def writing(out: Path | None) -> Iterator[BinaryIO]:
    """A file to write to; None is standard output. It is in its place when the block ends: written beside, synced,
    renamed. If anything fails before, what was there stays. A link stands for what it names. XbotError if the file cannot
    be written."""
    try:
        if out is None or _is_standard_output(out):
            sys.stdout.flush()
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif out.exists() and not out.is_file():
            with os.fdopen(os.open(out, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY), "wb") as file:
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it took the other's place just now
                    raise XbotError(f"{out}: not written: it is there already")
                yield file
        else:
            _check_link(out)
            with _beside(real(out) if out.is_symlink() else out) as file:
                yield file
    except BrokenPipeError:
        raise  # the reader has closed the pipe: no mistake
    except OSError as error:
        raise XbotError(f"{out or 'standard output'}: {error.strerror or error}") from None


@contextlib.contextmanager
def _beside(out: Path) -> Iterator[BinaryIO]:
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), _mode(out))
            os.fsync(file.fileno())
        temporary.replace(out)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(out.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _mode(out: Path) -> int:
    """That of the file whose place is taken; of a new one, what the user's umask leaves."""
    if out.exists():
        return stat.S_IMODE(out.stat().st_mode)
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def write(out: Path, data: bytes) -> None:
    """Puts these bytes in place, as `writing` does."""
    with writing(out) as file:
        file.write(data)
