"""Reading logs: files, gzip or standard input, in blocks of whole lines, in memory that does not grow with the log.

Law: nothing of a log is lost or repeated; a line that is too long is handed on cut, so that its reader can name it.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from sidecar import core
from sidecar.errors import XbotError

BLOCK = 1 << 20  # bytes; enough to make the cost of a block vanish, small beside a worker's memory


def blocks(source: str) -> Iterator[bytes]:
    """Yields a log's bytes in blocks of whole lines. `-` is standard input; gzip is read as it is."""
    try:
        with open(sys.stdin.fileno(), "rb", closefd=False) if source == "-" else Path(source).open("rb") as file:
            zipped = file.peek(2)[:2] == b"\x1f\x8b"
            plain = gzip.GzipFile(fileobj=file) if zipped else file
            # read1: what has come is handed on, when more is slow to come, and when more turns out to be broken.
            yield from _whole_lines(iter(lambda: plain.read1(BLOCK), b""))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise XbotError(f"{source}: broken gzip data: {error}") from None
    except OSError as error:
        raise XbotError(f"{source}: {error.strerror or error}") from None


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
            yield rest + chunk[:end]
            rest = chunk[end:]
        else:
            rest += chunk
        if len(rest) > core.MAX_LINE * 4:
            rest, cut = rest[: core.MAX_LINE * 4 + 1], True
    if rest:
        yield rest
