"""A log as a file of any bytes, and a line of it in each format that Python reads. The first byte says which.

A file is read the same in whatever pieces it comes, or refused by a message with its name; a line is a request that can be judged, or a
field and a reason are named.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

try:
    import atheris
except ImportError:
    atheris = None

sys.path[:0] = [str(Path(__file__).parents[2] / "support"), str(Path(__file__).parents[3])]

with atheris.instrument_imports(["sidecar.sources"]) if atheris else contextlib.nullcontext():
    from carriers import CARRIERS, in_a_table, in_quotes
    from places import DATA

    from sidecar import core
    from sidecar.errors import XbotError
    from sidecar.sources import choosing, formats, lines, reading, unpacking

KEPT = tempfile.TemporaryDirectory(prefix="xbot-fuzz-")
LOG = Path(KEPT.name) / "log"
# Bytes of a block, at least: a longer text comes in larger ones, MOST_PIECES of them, or one input would take seconds.
SIZES = (3, 61)
MOST_PIECES = 500
MOST_TEXT = 3 * core.MAX_LINE * 4  # bytes: more than a line may have. A few bytes of bzip2 are many millions of a log
PATTERN = '$remote_addr [$time_local] "$request" $status "$http_user_agent" $msec'
FORMS = [*formats.FORMATS.values(), formats.find(PATTERN)]
request = core.Request()


class Text:
    """What is unpacked of the log, up to a little more than MOST_TEXT; how much it was."""

    def __init__(self) -> None:
        self.bytes = 0
        self.chunks = unpacking.chunks

    def __call__(self, file: Any, size: int) -> Iterator[bytes]:
        for chunk in self.chunks(file, size):
            self.bytes += len(chunk)
            yield chunk
            if self.bytes > MOST_TEXT:
                return


text = Text()


def check_file(data: bytes) -> None:
    LOG.write_bytes(data)
    read = _read(1 << 20)
    if (long := text.bytes) > MOST_TEXT:
        return
    for size in SIZES:
        again = _read(max(size, long // MOST_PIECES))
        if text.bytes > MOST_TEXT:  # of a file that breaks off, the whole came to nothing, and its pieces are too many
            return
        assert again == read
    if read is None:
        return
    choosing.hint(str(LOG))
    form = choosing.guess(choosing._lines(read))
    if form is not None:
        found = list(lines.of_block(read, form.opened(), request))
        assert [each[0] for each in found] == list(range(1, len(found) + 1))
        assert any(each[2] is not None for each in found)


def _read(size: int) -> bytes | None:
    """All blocks; None where the file is refused, or breaks off."""
    text.bytes = 0
    try:
        with mock.patch.object(reading, "BLOCK", size), mock.patch.object(unpacking, "chunks", text):
            whole = b"".join(reading.blocks(str(LOG)))
    except XbotError as error:
        assert str(error).startswith(f"{LOG}: ")
        return None
    # A line that is too long is cut where its tail has not come yet.
    return b"\n".join(line[: 4 * core.MAX_LINE + 1] for line in whole.split(b"\n"))


def check_line(data: bytes) -> None:
    """Several lines, so that those that depend on others do."""
    if not data:
        return
    form = FORMS[data[0] % len(FORMS)].opened()
    for line in data[1:].split(b"\n"):
        try:
            form.load(line, request)
        except core.LineError as error:
            field, why = error.args
            assert field
            assert why
            assert core.report_error(1, field, why, True).count(b"\n") == 1
            continue
        ip = request.fields["ip"]
        assert ip is None or core.parse_address(ip) is not None
        assert request.time_ms is None or 0 <= request.time_ms <= 1000 * core.MAX_TIME + 999
        request.features(core.MIN_K)


KINDS: tuple[Callable[[bytes], None], ...] = (check_file, check_line)


def seeds() -> list[bytes]:
    """The golden logs, a few lines of each: bare, packed, in another encoding, and as containers and syslog carry them."""
    found = []
    for path in sorted((DATA / "logs").glob("*.log")):
        start = b"".join(path.read_bytes().splitlines(keepends=True)[:4])
        number = next(i for i, form in enumerate(FORMS) if form.name == path.stem)
        found += [b"\0" + start, bytes([1, number]) + start]
    combined = b"".join((DATA / "logs/combined.log").read_bytes().splitlines(keepends=True)[:4])
    plain = combined.decode()
    packed = [gzip.compress(combined), bz2.compress(combined), lzma.compress(combined), gzip.compress(combined) * 2]
    coded = [plain.encode("utf-16"), plain.encode("utf-16-be"), plain.encode("utf-32-le"), b"\xef\xbb\xbf" + combined]
    ended = [
        combined.replace(b"\n", b"\r"),
        combined.replace(b"\n", b"\r\r\n"),
        bytes(9) + combined + bytes(9) + combined,
    ]
    pieces = (
        f"2026-03-12T07:15:00.1Z stdout {tag} {part}\n" for part, tag in zip(plain.splitlines(), "PFPP", strict=True)
    )
    carried = [
        *(b"".join(carry(line) + b"\n" for line in combined.splitlines()) for carry in CARRIERS.values()),
        in_a_table(combined.splitlines()),
        b"\n".join(map(in_quotes, combined.splitlines())),
        "".join(pieces).encode(),
        b"-- Boot 1 --\n\x1b[1m" + combined.replace(b"\n", b"\n\x1b[0m"),
    ]
    found += [b"\0" + each for each in (*packed, *coded, *ended, *carried)]
    return [*found, bytes([1, len(FORMS) - 1]) + b'192.0.2.1 [-] "GET / HTTP/1.1" 200 "curl" 1773299700.5']


def check(data: bytes) -> None:
    if data:
        KINDS[data[0] % len(KINDS)](data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
