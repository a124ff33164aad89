"""A file of lines as other programs leave it: compressed, in another encoding, with stray bytes.

Law: by its first bytes, never by its name. What is not read is named in one line, with what to do.
"""

from __future__ import annotations

import codecs
import gzip
import importlib
import io
import itertools
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from sidecar import extras
from sidecar.errors import XbotError

_TAR_BLOCK = 512  # bytes: the first member's header
_READ = 1 << 16  # compressed bytes at once
_LAYERS = 3  # a compressed file that was compressed again


class _Members(io.RawIOBase):
    """The bytes of compressed members that follow each other, as logs that were put together do; NULs between and behind them are padding.

    Python's own readers end without a word at the first that they do not know, and so lose the rest of the log."""

    def __init__(self, file: Any, begin: Callable[[], Any]) -> None:
        """`begin` makes a decompressor of bz2, lzma or zstd, for one member."""
        self._file, self._begin, self._member = file, begin, begin()
        self._rest = b""  # of what was read, for the next member

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        while True:
            member = self._member
            if member.eof:
                self._rest = (self._rest or member.unused_data).lstrip(b"\0")
                if not self._rest and not (more := self._file.read1(_READ)):
                    return 0
                self._rest = (self._rest or more).lstrip(b"\0")
                if not self._rest:
                    continue
                member = self._member = self._begin()
            data, self._rest = self._rest, b""
            if member.needs_input and not data and not (data := self._file.read1(_READ)):
                raise EOFError("Compressed file ended before the end-of-stream marker was reached")
            if out := member.decompress(data, len(into)):
                into[: len(out)] = out
                return len(out)


def _opener(*modules: str, begins: str, needs: Callable[[], str]) -> Callable[[IO[bytes]], Any]:
    """Opens a stream by the first of these modules that is there."""

    def opened(file: IO[bytes]) -> Any:
        for name in modules:
            try:
                module = importlib.import_module(name)
            except ModuleNotFoundError:
                continue
            return io.BufferedReader(_Members(file, getattr(module, begins)), _READ)
        raise XbotError(needs())

    return opened


def _built_without(what: str, command: str) -> Callable[[], str]:
    return lambda: f"{what}, and this Python was built without it: {command} it first"


_XZ = _opener("lzma", begins="LZMADecompressor", needs=_built_without("xz", "unxz"))
_ZSTD = _opener(
    "compression.zstd",
    "backports.zstd",
    begins="ZstdDecompressor",
    needs=lambda: f"zstd needs: {extras.command('zstd')}",
)

# How each begins -> what it is called, and who reads it.
_PACKED: dict[bytes, tuple[str, Callable[[IO[bytes]], Any]]] = {
    b"\x1f\x8b": ("gzip", lambda file: gzip.GzipFile(fileobj=file, mode="rb")),
    b"BZh": ("bzip2", _opener("bz2", begins="BZ2Decompressor", needs=_built_without("bzip2", "bunzip2"))),
    b"\xfd7zXZ\0": ("xz", _XZ),
    b"\x5d\0\0": ("lzma", _XZ),  # of xz before it had a container of its own
    b"\x28\xb5\x2f\xfd": ("zstd", _ZSTD),
    b"\x50\x2a\x4d\x18": ("zstd", _ZSTD),  # a frame to skip; pzstd writes one first
}
_ZLIB = "zlib's compressed data: decompress it first (pigz -dz)"
_NO_LOGS = {
    b"PK\x03\x04": "a zip archive: unzip it first",
    b"PK\x05\x06": "an empty zip archive",
    b"PK\x07\x08": "a zip archive in parts: put it together and unzip it first",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: extract it first",
    b"Rar!\x1a\x07": "a rar archive: extract it first",
    b"\x04\x22\x4d\x18": "lz4: decompress it first (lz4 -d)",
    b"LZIP\x01": "lzip: decompress it first (lzip -d)",
    b"\x89LZO": "lzop: decompress it first (lzop -d)",
    b"\x78\x01": _ZLIB,
    b"\x78\x9c": _ZLIB,
    b"\x78\xda": _ZLIB,
    b"\x1f\x9d": "compressed by compress: decompress it first (uncompress)",
    b"LPKSHHRH": "a journal of systemd: journalctl -o cat --file FILE prints its lines",
    b"__CURSOR=": "a journal of systemd, exported: journalctl -o cat prints its lines",
    b"PAR1\x15": "a Parquet file: print its rows as JSON first, an object on each line",
    b"\xd4\xc3\xb2\xa1": "a capture of packets, not a log",
    b"\n\r\r\n": "a capture of packets, not a log",
    b"ElfFile\0": "Windows' event log: IIS writes what visitors asked for into u_ex*.log",
    b"%PDF-": "a PDF file",
    b"\x89PNG": "a picture",
    b"\x7fELF": "a program",
    b"SQLite format 3\0": "a database of SQLite",
    b"\x89XBOT": "a model file, not a log",
}
_MAGIC = max(map(len, _NO_LOGS))  # bytes


def is_packed(start: bytes) -> bool:
    """Is a file with these first bytes compressed, so that its size is not that of its lines?"""
    return start.startswith(tuple(_PACKED))


def chunks(file: Any, size: int) -> Iterator[bytes]:
    """Yields the bytes of a buffered stream as they come, `size` at most, unpacked, as UTF-8. XbotError, without the file's name, for what
    is no text, and for what is damaged."""
    what, stream = "", file
    try:
        for _ in range(_LAYERS):
            start = stream.peek(8)[:8]
            found = next((packed for magic, packed in _PACKED.items() if start.startswith(magic)), None)
            if found is None:
                break
            what, opened = found
            stream = opened(stream)
        else:
            if is_packed(stream.peek(8)[:8]):
                raise XbotError(f"compressed more than {_LAYERS} times: decompress it first")
        yield from _text(_first_whole(iter(lambda: stream.read1(size), b"")))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise XbotError(f"broken {what} data: {error}") from None
    except OSError as error:
        if what and error.errno is None:  # bz2 has no error of its own
            raise XbotError(f"broken {what} data: {error}") from None
        raise
    except Exception as error:
        if type(error).__name__ in ("LZMAError", "ZstdError"):
            raise XbotError(f"broken {what} data: {error}") from None
        raise


def _first_whole(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes; the first piece is large enough to tell what it is."""
    first = b""
    for piece in pieces:
        first += piece
        if len(first) >= _TAR_BLOCK or (len(first) >= _MAGIC and b"\0" not in first and first[:1] < b"\x80"):
            break
    yield first
    yield from pieces


def _text(pieces: Iterator[bytes]) -> Iterator[bytes]:
    first = next(pieces)
    for magic, why in _NO_LOGS.items():
        if first.startswith(magic):
            raise XbotError(why)
    if _is_tar(first):
        raise XbotError("a tar archive: extract it first (tar -xf), or pipe it: tar -xOf FILE | xbot ... -")
    encoding = _encoding(first)
    if encoding is None:
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from pieces
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for piece in itertools.chain((first,), pieces):
        yield decoder.decode(piece).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _is_tar(first: bytes) -> bool:
    if b"\0" not in first[:_TAR_BLOCK] or len(first) < _TAR_BLOCK:
        return False
    import tarfile  # seldom needed, and slow to import

    try:
        tarfile.TarInfo.frombuf(first[:_TAR_BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _encoding(first: bytes) -> str | None:
    """UTF-16 or UTF-32, by the byte order mark or by the NULs of the first characters."""
    if first.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    head = first[:64]
    if len(head) >= 8 and not any(head[1::4] + head[2::4] + head[3::4]) and head[:1] != b"\0":
        return "utf-32-le"
    if len(head) >= 8 and not any(head[::4] + head[1::4] + head[2::4]) and head[3:4] != b"\0":
        return "utf-32-be"
    if len(head) >= 4 and head[1::2].count(0) == len(head) // 2 and 0 not in head[::2]:
        return "utf-16-le"
    if len(head) >= 4 and head[::2].count(0) == (len(head) + 1) // 2 and 0 not in head[1::2]:
        return "utf-16-be"
    return None
