"""Reading logs: files or standard input, as they are packed, in blocks of whole lines, in memory that does not grow with the log.

Law: nothing of a log is lost or repeated; a line that is too long is handed on cut, so that its reader can name it. What
has come is handed on, when more is slow to come, and when more turns out to be broken.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from sidecar import core
from sidecar.errors import XbotError
from sidecar.sources import unpacking, wrapped

# Bytes: enough to make the cost of a block vanish, and so few that a processor's cache and the allocator keep them.
BLOCK = 1 << 18
_LONGEST = core.MAX_LINE * 4  # bytes of a line that are handed on, and one more
# What stands before a line where a log was emptied under a program that went on writing at its old place, and where files that begin
# with a byte order mark were put together.
_BEFORE = re.compile(rb"^(?:\0|\xef\xbb\xbf)+", re.MULTILINE)


def name_of(source: str) -> str:
    """What a log is called in messages."""
    return "standard input" if source == "-" else source


def blocks(source: str, *, waits: bool = True) -> Iterator[bytes]:
    """Yields a log's bytes in blocks of whole lines, each with its break, but maybe the last. `-` is standard input. Without `waits`
    a named pipe into which nobody writes is empty."""
    if not waits:
        yield from _blocks(source, waits=False)
        return
    if is_file(source):
        yield from _blocks(source)
        return
    if first := head(source):
        yield first
    yield from _begun[source][1]


def head(source: str) -> bytes:
    """The first block of a log; empty for an empty one. `blocks` still gives it, also of what cannot be read twice."""
    if is_file(source):
        return next(_blocks(source), b"")
    if source not in _begun:
        rest = _blocks(source)
        _begun[source] = next(rest, b""), rest
    return _begun[source][0]


# The first block of what cannot be read twice, standard input and pipes, and the blocks behind it.
_begun: dict[str, tuple[bytes, Iterator[bytes]]] = {}


def is_file(source: str) -> bool:
    """Can a log be read twice?"""
    return source != "-" and Path(source).is_file()


def take(source: str, line: int) -> str:
    """The command of a shell that prints one line of a file."""
    start = _start(source)
    reader = next((command for magic, command in _READERS.items() if start.startswith(magic)), None)
    if reader is None:
        return f"sed -n {line}p {shlex.quote(source)}"
    return f"{reader} {shlex.quote(source)} | sed -n {line}p"


_READERS = {
    b"\x1f\x8b": "zcat",
    b"BZh": "bzcat",
    b"\xfd7zXZ\0": "xzcat",
    b"\x5d\0\0": "xzcat",
    b"\x28\xb5\x2f\xfd": "zstdcat",
    b"\x50\x2a\x4d\x18": "zstdcat",
}


def is_packed(source: str) -> bool:
    """Is a file compressed? Then its size is not that of its lines."""
    return unpacking.is_packed(_start(source))


def _start(source: str) -> bytes:
    if not is_file(source):
        return b""
    with Path(source).open("rb") as file:
        return file.read(8)


def _now(path: str, flags: int) -> int:
    """Opens a pipe without waiting for somebody who writes into it."""
    fd = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(fd, True)
    return fd


def _blocks(source: str, *, waits: bool = True) -> Iterator[bytes]:
    try:
        with (
            open(sys.stdin.fileno(), "rb", closefd=False)
            if source == "-"
            else open(source, "rb", opener=None if waits else _now)
        ) as file:
            yield from wrapped.unwrapped(_whole_lines(_line_feeds(unpacking.chunks(file, BLOCK))), _LONGEST)
    except XbotError as error:
        raise XbotError(f"{name_of(source)}: {error}") from None
    except OSError as error:
        raise XbotError(f"{name_of(source)}: {error.strerror or error}") from None


def _line_feeds(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes; where there is no line feed as far as a line may go, each carriage return ends a line."""
    chunks, held = iter(chunks), b""
    for chunk in chunks:
        held += chunk
        if b"\n" in chunk or len(held) > _LONGEST:
            break
    if b"\n" in held[: _LONGEST + 1] or b"\r" not in held[: _LONGEST + 1]:
        yield held
        yield from chunks
    else:
        yield held.replace(b"\r", b"\n")
        yield from (chunk.replace(b"\r", b"\n") for chunk in chunks)


def _whole_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    cut = False  # the line that `rest` begins is too long; its tail is being dropped
    for chunk in chunks:
        if cut:
            newline = chunk.find(b"\n")
            if newline < 0:
                continue
            chunk, cut = chunk[newline:], False
        end = chunk.rfind(b"\n") + 1
        if end:
            yield _plain(rest + chunk[:end])
            rest = chunk[end:]
        else:
            rest += chunk
        if rest.startswith(b"\0"):
            rest = rest.lstrip(b"\0")
        if len(rest) > _LONGEST:
            rest, cut = rest[: _LONGEST + 1], True
    if rest := _plain(rest):
        yield rest


def _plain(block: bytes) -> bytes:
    """A block without what is no text of its lines."""
    if b"\r\r\n" in block:  # a file of Windows that was translated again
        block = block.replace(b"\r\r\n", b"\r\n")
    if b"\0" in block or b"\xef\xbb\xbf" in block:
        block = _BEFORE.sub(b"", block)
    return block
