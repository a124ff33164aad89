"""Reading logs: files or standard input, as they are packed, in blocks of whole lines, in memory that does not grow with the log.

Law: nothing of a log is lost or repeated; a line that is too long is handed on cut, so that its reader can name it. What
has come is handed on, when more is slow to come, and when more turns out to be broken.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from sidecar import core
from sidecar.errors import XbotError
from sidecar.sources import unpacking, wrapped

BLOCK = 1 << 18  # bytes; enough to make its cost vanish, few enough for caches and the allocator's reuse
_LONGEST = core.MAX_LINE * 4  # bytes of a line that are handed on, and one more
# What is left where a log was emptied under a program that went on writing at its old place.
_HOLES = re.compile(rb"(?<=\n)\0+")


def name_of(source: str) -> str:
    """What a log is called in messages."""
    return "standard input" if source == "-" else source


def blocks(source: str) -> Iterator[bytes]:
    """Yields a log's bytes in blocks of whole lines, each with its break, but maybe the last. `-` is standard input."""
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


_READERS = {b"\x1f\x8b": "zcat", b"BZh": "bzcat", b"\xfd7zXZ\0": "xzcat", b"\x28\xb5\x2f\xfd": "zstdcat"}


def is_packed(source: str) -> bool:
    """Is a file compressed? Then its size is not that of its lines."""
    return unpacking.is_packed(_start(source))


def _start(source: str) -> bytes:
    if not is_file(source):
        return b""
    with Path(source).open("rb") as file:
        return file.read(8)


def _blocks(source: str) -> Iterator[bytes]:
    try:
        with open(sys.stdin.fileno(), "rb", closefd=False) if source == "-" else Path(source).open("rb") as file:
            yield from wrapped.unwrapped(_whole_lines(_line_feeds(unpacking.chunks(file, BLOCK))))
    except XbotError as error:
        raise XbotError(f"{name_of(source)}: {error}") from None
    except OSError as error:
        raise XbotError(f"{name_of(source)}: {error.strerror or error}") from None


def _line_feeds(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes; where the first line ends in a carriage return alone, each carriage return ends a line."""
    chunks, held = iter(chunks), b""
    for chunk in chunks:
        held += chunk
        if b"\n" in held or len(held) > _LONGEST:
            break
        if b"\r" in held[:-1]:
            yield held.replace(b"\r", b"\n")
            yield from (chunk.replace(b"\r", b"\n") for chunk in chunks)
            return
    yield held
    yield from chunks


def _whole_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    cut = False  # the line that `rest` begins is too long; its tail is being dropped
    for chunk in chunks:
        if cut:
            newline = chunk.find(b"\n")
            if newline < 0:
                continue
            chunk, cut = chunk[newline:], False
        if b"\0" in chunk:
            chunk = _HOLES.sub(b"", chunk if rest else chunk.lstrip(b"\0"))
        end = chunk.rfind(b"\n") + 1
        if end:
            yield rest + chunk[:end]
            rest = chunk[end:]
        else:
            rest += chunk
        if len(rest) > _LONGEST:
            rest, cut = rest[: _LONGEST + 1], True
    if rest:
        yield rest
