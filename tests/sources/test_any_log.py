"""Any log in: files as they come, formats that nobody named, patterns; and no bytes that end a command with a traceback.

Law: of each log, verdicts, errors and lines about the log are as many as its lines.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import json
import lzma
import resource
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from carriers import CARRIERS, in_a_table, in_quotes
from hypothesis import example, given
from hypothesis import strategies as st
from places import DATA, XBOT

from sidecar import core
from sidecar.errors import XbotError
from sidecar.sources import formats, reading, wrapped

LINE = b'192.0.2.1 - - [12/Mar/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 5 "-" "Mozilla/5.0 (X11)"'
LOG = (LINE + b"\n") * 20
LOGS = sorted((DATA / "logs").glob("*.log"))


def tar(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("access.log")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


# ---- files ----


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(LOG),
        bz2.compress(LOG),
        lzma.compress(LOG),
        gzip.compress(gzip.compress(LOG)),
        b"\xef\xbb\xbf" + LOG,
        ("\ufeff" + LOG.decode()).encode("utf-16-le"),
        ("\ufeff" + LOG.decode()).encode("utf-16-be"),
        LOG.decode().encode("utf-16-le"),
        LOG.decode().encode("utf-16-be"),
        LOG.replace(b"\n", b"\r"),
        LOG.replace(b"\n", b"\r\n"),
        LOG.replace(b"\n", b"\r\r\n"),
        b"\0" * 3_000_000 + LOG,
        (LINE + b"\n") * 7 + b"\0" * 5000 + (LINE + b"\n") * 13,
    ],
    ids="gzip bzip2 xz twice bom utf16le utf16be le be cr crlf crcrlf copytruncate middle".split(),
)
def test_a_file_is_read_as_it_is(xbot, tmp_path: Path, data: bytes) -> None:
    log = tmp_path / "log"
    log.write_bytes(data)
    done = xbot("score", log)
    assert b"read as combined" in done.stderr
    assert len(done.stdout.splitlines()) == 20
    assert b"error" not in done.stdout
    assert xbot("score", "-", stdin=data).stdout == done.stdout


@pytest.mark.parametrize(
    "data",
    [
        LOG.replace(b"\n", b"\r"),
        LOG.replace(b"\n", b"\r\r\n"),
        LINE + b"\n" + LINE + b"\r" + LINE + b"\n",
        b"\xef\xbb\xbf" + LOG + b"\0" * 9 + b"\xef\xbb\xbf" + LOG,
        b"\n\n" + b"".join(b"web-1  | " + line + b"\n" for line in LOG.splitlines()),
        LOG.decode().encode("utf-16"),
        gzip.compress(LOG)[:-3],
        b"PK\x07\x08" + LOG,
    ],
    ids="cr crcrlf mixed marks blank utf16 broken zip".split(),
)
def test_a_log_is_the_same_in_whatever_pieces_it_comes(monkeypatch, tmp_path: Path, data: bytes) -> None:
    log = tmp_path / "log"
    log.write_bytes(data)
    found = []
    for size in (1 << 20, 61, 3, 1):
        monkeypatch.setattr(reading, "BLOCK", size)
        try:
            found.append(b"".join(reading.blocks(str(log))))
        except XbotError as error:
            found.append(str(error).encode())
    assert len(set(found)) == 1


def test_zstd(tmp_path: Path) -> None:
    zstd = pytest.importorskip("backports.zstd")
    (tmp_path / "log").write_bytes(zstd.compress(LOG))
    assert b"".join(reading.blocks(str(tmp_path / "log"))) == LOG
    (tmp_path / "log").write_bytes(b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstd.compress(LOG))  # as pzstd begins
    assert b"".join(reading.blocks(str(tmp_path / "log"))) == LOG
    assert reading.take(str(tmp_path / "log"), 1).startswith("zstdcat")


@pytest.mark.parametrize(
    "data",
    [
        lzma.compress(LOG, format=lzma.FORMAT_ALONE),
        LOG.decode().encode("utf-32-le"),
        LOG.decode().encode("utf-32-be"),
        *(b"".join(b"\xef\xbb\xbf" + part for part in parts) for parts in ([LOG, LOG], LOG.splitlines(keepends=True))),
    ],
    ids="lzma utf32le utf32be boms lines".split(),
)
def test_what_is_rare_is_read_too(tmp_path: Path, data: bytes) -> None:
    """A byte order mark in front of a line took the address from it."""
    (tmp_path / "log").write_bytes(data)
    assert set(b"".join(reading.blocks(str(tmp_path / "log"))).splitlines()) == set(LOG.splitlines())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (tar(LOG), "a tar archive"),
        (gzip.compress(tar(LOG)), "a tar archive"),
        (gzip.compress(gzip.compress(gzip.compress(gzip.compress(LOG)))), "compressed more than 3 times"),
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
        (b"PK\x05\x06" + bytes(18), "an empty zip archive"),
        (zlib.compress(LOG), "zlib's compressed data: decompress it first"),
        (b"LZIP\x01" + bytes(60), "lzip: decompress it first"),
        (b"PAR1\x15\0" + bytes(60), "a Parquet file"),
        (bz2.compress(LOG)[:-9], "broken bzip2 data"),
        (lzma.compress(LOG)[:-9], "broken xz data"),
    ],
)
def test_what_is_no_log_is_named(xbot, tmp_path: Path, data: bytes, why: str) -> None:
    log = tmp_path / "log"
    log.write_bytes(data)
    for command in ("score", "replay", "label"):
        said = xbot(command, log, code=2).stderr.decode()
        assert f"{log}: {why}" in said
    assert "Traceback" not in said


# ---- what carried a log ----

NAMED = b'{"remote_addr": "192.0.2.1", "request": "GET / HTTP/1.1", "http_user_agent": "curl/8"}'


@pytest.mark.parametrize("carry", CARRIERS.values(), ids=CARRIERS.keys())
@pytest.mark.parametrize("line", [LINE, NAMED, b"shop.example:443 " + LINE], ids="combined json vhost".split())
def test_what_carried_a_log_is_taken_off(xbot, tmp_path: Path, carry: object, line: bytes) -> None:
    """The verdicts are those of the bare log; a line that came another way stays. `Mar` once was the site, and nobody had an address."""
    bare, log = tmp_path / "bare", tmp_path / "log"
    bare.write_bytes((line + b"\n") * 3 + b"what is this\n" + line)
    log.write_bytes(b"".join(carry(line) + b"\n" for _ in range(3)) + b"what is this\n" + carry(line))
    assert xbot("score", "--json", log).stdout == xbot("score", "--json", bare).stdout
    assert b"".join(reading.blocks(str(log))).splitlines() == bare.read_bytes().splitlines()


def test_a_column_of_a_table_holds_the_lines(xbot, tmp_path: Path) -> None:
    """What CloudWatch and Datadog export: the agent was read as empty, the referrer as the agent, and nobody had an address."""
    log, bare = tmp_path / "log", tmp_path / "bare"
    log.write_bytes(b"\xef\xbb\xbf" + in_a_table([LINE] * 3))
    bare.write_bytes(b"Date,Host,@message\n" + (LINE + b"\n") * 3)
    assert xbot("score", "--json", log).stdout == xbot("score", "--json", bare).stdout
    bare.write_bytes(in_a_table([LINE]).partition(b"\n")[2])  # without the line of names it is nobody's
    assert b"other words stand before it" in xbot("score", bare, code=2).stderr


@pytest.mark.parametrize(
    "line", [LINE, b"shop.example " + LINE, NAMED, *(path.read_bytes().splitlines()[0] for path in LOGS)]
)
def test_a_bare_line_was_carried_by_nothing(line: bytes) -> None:
    assert wrapped.carrier(line) in ("", "syslog")  # HAProxy's own log comes by syslog
    assert not wrapped.carrier(line) or b"haproxy" in line


@given(st.binary(max_size=300), st.sampled_from(sorted(CARRIERS)))
def test_no_line_is_lost_or_added(data: bytes, name: str) -> None:
    data = CARRIERS[name](LINE) + b"\n" + data
    assert b"".join(wrapped.unwrapped([data], 1 << 18)).count(b"\n") == data.count(b"\n")


# Lines that say what carried a log, and those that could be taken for them, by themselves or with the next.
LINES = st.sampled_from(
    [
        *(carry(LINE) for carry in CARRIERS.values()),
        *in_a_table([LINE]).splitlines(),
        *(
            LINE,
            in_quotes(LINE),
            b"",
            b" ",
            b'""',
            b"-- Boot 1 --",
            b"-- \x1b[0m",
            b"\x1b[1m" + CARRIERS["pm2"](LINE),
            b'{"a":1}',
        ),
    ]
)


@given(st.lists(LINES, max_size=8), st.integers(1, 8), st.booleans())
@example(
    [*in_a_table([LINE]).splitlines()], 1, True
)  # the names came first, and the lines were not taken out of their column
@example([in_quotes(LINE), b'""'], 1, True)  # the break before a quote was taken for a letter
@example([b"-- \x1b[0m", b"\x1b[1m" + LINE], 1, True)  # colours were taken off what stands before the lines
@example([b'{"a":1}', CARRIERS["graylog"](LINE)], 1, True)  # the line behind was asked, too
def test_blocks_do_not_matter(lines: list[bytes], size: int, ended: bool) -> None:
    ends = [line + b"\n" for line in lines]
    if ends and not ended:
        ends[-1] = lines[-1]
    blocks = [b"".join(ends[at : at + size]) for at in range(0, len(ends), size)]
    assert b"".join(wrapped.unwrapped(blocks, 1000)) == b"".join(wrapped.unwrapped([b"".join(ends)], 1000))


def test_what_stands_before_the_lines_comes_with_them(tmp_path: Path) -> None:
    """The first block says which format a log has, and journalctl's words say nothing of it."""
    (tmp_path / "log").write_bytes(b"-- Boot 1 --\n\n" + LOG)
    assert LINE in reading.head(str(tmp_path / "log"))
    assert next(wrapped.unwrapped([b"-- Boot 1 --\n", b"\n", LOG], 1000)) == b"-- Boot 1 --\n\n" + LOG
    assert (
        max(map(len, wrapped.unwrapped([b"\n" * 600] * 9, 1000))) == 1200
    )  # nothing to wait for is no reason to keep it all


def in_pieces_of_docker(line: bytes, stream: str = "stdout") -> list[bytes]:
    """As its json-file driver writes it: 16 KiB at a time, the last with the line's end."""
    pieces = [line[at : at + (16 << 10)] for at in range(0, len(line), 16 << 10)]
    pieces[-1] += b"\n"
    return [
        json.dumps({"log": piece.decode("utf-8", "replace"), "stream": stream, "time": "t"}).encode()
        for piece in pieces
    ]


def in_pieces_of_kubernetes(line: bytes, stream: str = "stdout") -> list[bytes]:
    day = b"2026-03-12T07:15:00.123456789Z " + stream.encode()
    pieces = [line[at : at + (16 << 10)] for at in range(0, len(line), 16 << 10)]
    return [*(day + b" P " + piece for piece in pieces[:-1]), day + b" F " + pieces[-1]]


# Cut where a second line would begin that nobody wrote: whoever sends such a request once forged one.
FORGED = LINE.replace(b"GET /", b"GET /" + bytes(b"x" * (16 << 10)))[: (16 << 10)] + LINE.replace(
    b"192.0.2.1", b"198.51.100.66"
)
LONG = LINE.replace(b"GET /", b"GET /" + b"y" * 40_000)


@pytest.mark.parametrize("cut", [in_pieces_of_docker, in_pieces_of_kubernetes])
@pytest.mark.parametrize("size", [1, 7_000, 1 << 20], ids="byte block whole".split())
def test_a_line_in_pieces_is_one_again(monkeypatch, tmp_path: Path, cut: Callable[..., list[bytes]], size: int) -> None:
    """Others stand between the pieces: what the program wrote to its other stream, and what came another way."""
    monkeypatch.setattr(reading, "BLOCK", size)
    long, error = cut(LONG), cut(b"[error] " + b"z" * 20_000, "stderr")
    assert (len(long), len(error)) == (3, 2)
    lines = [*cut(LINE), long[0], error[0], b"what is this", long[1], error[1], long[2], *cut(FORGED), *cut(LINE)]
    (tmp_path / "log").write_bytes(b"\n".join(lines) + b"\n")
    read = b"".join(reading.blocks(str(tmp_path / "log")))
    assert read == b"".join(
        line + b"\n" for line in (LINE, b"what is this", b"[error] " + b"z" * 20_000, LONG, FORGED, LINE)
    )


def test_a_piece_is_no_request(xbot, tmp_path: Path) -> None:
    """A tag with more to it, a log that ends within a line, and a line without an end that is no piece."""
    log = tmp_path / "log"
    log.write_bytes(
        b"\n".join([*in_pieces_of_docker(LINE), *in_pieces_of_docker(FORGED), *in_pieces_of_docker(LONG)[:2]])
    )
    said = [json.loads(line) for line in xbot("score", "--json", log).stdout.splitlines()]
    assert [one["line"] for one in said] == [1, 2, 3]
    assert "verdict" in said[0]
    day = b"2026-03-12T07:15:00.1Z stdout "
    blocks = wrapped.unwrapped([day + b"P:x a\n" + day + b"F:x b\n", day + b"P c\n", day + b"P d\n", day + b"P e"], 100)
    assert b"".join(blocks) == b"ab\ncde"
    assert b"".join(wrapped.unwrapped([b'{"log":"a"}\n{"log":"b"}\n'], 100)) == b"a\nb\n"


@pytest.mark.parametrize("cut", [in_pieces_of_docker, in_pieces_of_kubernetes])
def test_pieces_without_end_cost_no_memory(cut: Callable[..., list[bytes]]) -> None:
    piece = cut(b"x" * 40_000)[0] + b"\n"
    (out,) = wrapped.unwrapped((piece for _ in range(2000)), 50_000)
    assert out == b"x" * 50_001


@given(
    st.lists(
        st.tuples(st.sampled_from(["stdout", "stderr"]), st.sampled_from("PF"), st.text("ab ", max_size=4)), max_size=12
    ),
    st.integers(1, 60),
)
def test_pieces_by_the_book(parts: list[tuple[str, str, str]], size: int) -> None:
    """Against the plainest way to write it: each stream read by itself."""
    data = b"".join(f"2026-03-12T07:15:00Z {stream} {tag} {text}\n".encode() for stream, tag, text in parts)
    lines = data.splitlines(keepends=True)
    blocks = [b"".join(lines[at : at + size]) for at in range(0, len(lines), size)]
    wanted: dict[str, list[str]] = {"stdout": [""], "stderr": [""]}
    for stream, tag, text in parts:
        wanted[stream][-1] += text
        if tag == "F":
            wanted[stream].append("")
    read = b"".join(wrapped.unwrapped(blocks, 1000)).decode().split("\n")
    assert sorted(filter(None, read)) == sorted(line for of_one in wanted.values() for line in of_one if line)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{\n "ip": "192.0.2.1"\n}\n', "not an object of JSON on each line: jq -c ."),
        (b'{"ip": "192.0.2.1",\n"headers": {}}\n', "not an object of JSON on each line: jq -c ."),
        (b'[{"headers": {}},\n{"headers": {}}]\n', "an array of JSON, not an object on each line: jq -c '.[]'"),
        (
            b'{"headers": {}, "time": "2026-03-12 07:15:00"}\n',
            "line 1: it looks like jsonl, but time: expected `datetime` with",
        ),
        (b'{"headers": {}, "status": "200"}\n', "line 1: it looks like jsonl, but status: expected"),
        (
            b'{"request": "GET / HTTP/1.1", "status": "200", "msec": -1}\n',
            "line 1: it looks like nginx_json, but msec: ",
        ),
        (
            b'{"request": {}, "ts": NaN}\n',
            "not an object of JSON on each line: jq -c . makes such lines; line 1: NaN is no JSON",
        ),
        (
            json.dumps(
                {"streams": [{"stream": {"path": "/x"}, "values": [["1773299700250000000", LINE.decode()]]}]}
            ).encode(),
            "its requests stand in a list: jq -r '.streams[].values[][1]' makes lines of them",
        ),
        (
            json.dumps({"status": "success", "data": {"result": [{"values": [["1", LINE.decode()]]}]}}).encode(),
            "its requests stand in a list: jq -r '.data.result[].values[][1]'",
        ),
        (
            json.dumps(
                {"records": [{"category": "x", "properties": {"clientIp": "192.0.2.1", "requestUri": "/"}}]}
            ).encode(),
            "its requests stand in a list: jq -c '.records[]'",
        ),
        (
            b'{"a": [' + b"1," * 200_000 + b"1]}",
            "line 1: longer than 262144 bytes: no format has such lines; is it one list of JSON? jq -c",
        ),
        (b"__CURSOR=s=1\nMESSAGE=" + LINE + b"\n", "a journal of systemd, exported: journalctl -o cat"),
        (b'{"records": [{"properties": {}}]}\n', "its requests stand in a list: jq -c '.records[]'"),
        (b"[12/Mar/2026 07:15:00] GET /\n", "the format was not recognised"),
        (b'2026/03/12 07:15:00 [error] 12#12: *1 open() "/x" failed\n', "a server's log of errors"),
        (
            b"[Thu Mar 12 07:15:00.123456 2026] [core:error] [pid 1] [client 192.0.2.1:5] x\n",
            "a server's log of errors",
        ),
    ],
)
def test_json_that_is_not_read_is_told_why(xbot, tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "log").write_bytes(data)
    assert f"{tmp_path}/log: {why}" in xbot("score", tmp_path / "log", code=2).stderr.decode()


def test_agents_that_a_format_does_not_read_are_told(xbot, tmp_path: Path) -> None:
    """In a log whose fields stand in another order they were left out without a word."""
    (tmp_path / "log").write_bytes(LINE.replace(b' "-" "', b' "') + b"\n")
    told = b"its lines hold agents, but this format does not: give yours by --log-format"
    assert told in xbot("score", tmp_path / "log").stderr
    (tmp_path / "log").write_bytes(LINE.rpartition(b' "-"')[0] + b"\n")
    assert told not in xbot("score", tmp_path / "log").stderr


# ---- members that follow each other ----

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "zstd": importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd").compress,
}


@pytest.mark.parametrize("name", PACKERS)
def test_members_and_what_stands_between_them(tmp_path: Path, name: str) -> None:
    """Python's readers of bzip2 and xz ended without a word at NULs and at anything else: the rest of the log was lost."""
    packed, log = PACKERS[name], tmp_path / "log"
    first, second = packed(b"a\n" * 9), packed(b"b\n" * 9)
    for between, behind in ((0, 0), (4, 0), (0, 4), (4096, 70_000), (1, 3)):
        log.write_bytes(first + bytes(between) + packed(b"") + second + bytes(behind))
        assert b"".join(reading.blocks(str(log))) == b"a\n" * 9 + b"b\n" * 9
    for data in (first + b"what is this?" + second, first + second + b"what is this?", first + second[:-3]):
        log.write_bytes(data)
        with pytest.raises(XbotError, match=f"log: broken {name} data: "):
            list(reading.blocks(str(log)))


# ---- nothing readable, and little ----


@pytest.mark.parametrize("host", [b"", b"shop.example:443 "])
def test_a_stray_quote_does_not_take_the_agents_away(xbot, tmp_path: Path, host: bytes) -> None:
    """One such line among the first, and the log was read as the common format, which reads all lines, but no agent."""
    log = tmp_path / "log"
    log.write_bytes(host + LINE + b"\n" + host + LINE.removesuffix(b'"') + b'\\"\n')
    said = xbot("score", log).stderr.decode()
    assert f"read as {'vhost_' if host else ''}combined" in said
    assert "log:2: user_agent" in said


def test_a_line_that_no_format_has(xbot, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"headers": {"a": "' + b"b" * 1_000_000 + b'"}}\n' + LINE + b"\n")
    assert "log: line 1: longer than 262144 bytes" in xbot("score", tmp_path / "log", code=2).stderr.decode()


@pytest.mark.parametrize("command", ["score", "label", "replay", "features --csv"])
def test_nothing_readable_names_what_it_looks_like(xbot, tmp_path: Path, command: str) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"shop.example " + LINE + b"\n" + b"shop.example " + LINE + b"\n")
    said = xbot(*command.split(), "--format", "combined", log, code=2).stderr.decode()
    assert "no line of 2 could be read; it looks like vhost_combined" in said
    log.write_bytes(b"what is this\n" * 3)
    assert "the format was not recognised" in xbot(*command.split(), log, code=2).stderr.decode()


def test_more_than_half_is_a_warning(xbot, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(LINE + b"\nx\ny\n")
    said = xbot("score", "--format", "combined", log).stderr.decode()
    assert "log:2: line: no fields" in said
    assert "warning: more than half, 2 of 3 lines" in said


def test_a_time_in_milliseconds(xbot, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text('{"time": 1700000000123, "headers": {}}\n{"time": 1700000000.5, "headers": {}}\n')
    for words in ((), ("--format", "jsonl")):
        said = xbot("replay", *words, log).stderr.decode()
        assert "log:1: time: later than the year 9999; milliseconds?" in said


def test_halves_of_characters_end_no_run(xbot, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(
        b'{"headers": [["a", "\\ud800\xff"]], "label": "\\ud800"}\n{"headers": [["a\\ud800", "\\ud800\xff"]]}\n'
        b'{"ClientHost": "::1", "request_\\ud800\\n7\\tbot": 1, "x": "\xff"}\n'
        b'{"headers": {}, "ip": "\\udfff", "x": "\xff"}\n{"headers": {}}\n'
    )
    for name in ("jsonl", "traefik", "nginx_json", "caddy"):
        done = subprocess.run([XBOT, "score", "--format", name, str(log)], capture_output=True, check=False)
        assert b"Traceback" not in done.stderr
        assert len(done.stdout.splitlines()) == 5


# ---- patterns ----

MAIN = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
)


@pytest.mark.parametrize(
    "pattern",
    [
        MAIN,
        f"log_format main '{MAIN[:40]}'\n    '{MAIN[40:]}';",
        '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"',
        r'LogFormat "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\"" combined',
    ],
)
def test_a_pattern_reads_what_the_format_reads(xbot, pattern: str) -> None:
    log = DATA / "logs" / "combined.log"
    assert xbot("score", "--log-format", pattern, log).stdout == xbot("score", "--format", "combined", log).stdout


def test_a_visitor_does_not_move_the_fields() -> None:
    """A name of a user that looks like a time, and a forwarded list with blanks in it."""
    request = core.Request()
    formats.find(MAIN).load(LINE.replace(b"- - ", b"- a [01/Jan/1970:00:00:00 +0000 "), request)
    assert (request.fields["ip"], request.time) == (b"192.0.2.1", 1773299700)
    formats.find('$http_x_forwarded_for "$request"').load(b'192.0.2.1, 192.0.2.2 "GET /a HTTP/1.1"', request)
    assert (request.fields["ip"], request.fields["uri"]) == (b"192.0.2.2", b"/a")


@pytest.mark.parametrize("pattern", ["$remote_addr$request", "$status", "", "log_format a 'x"])
def test_a_pattern_that_cannot_be_read(pattern: str) -> None:
    with pytest.raises(XbotError, match="--log-format"):
        formats.find(pattern)


# ---- any bytes ----

_SEEDS = [line for log in LOGS for line in log.read_bytes().splitlines()]


@given(st.sampled_from([*formats.NAMES, MAIN, '{"a":"$remote_addr","b":"$request"}']), st.data())
def test_any_line_is_a_request_or_a_line_error(name: str, data: st.DataObject) -> None:
    """Noise, lines of other formats, lines that are cut, and lines with noise in them."""
    seed = data.draw(st.sampled_from(_SEEDS))
    start, size = data.draw(st.integers(0, len(seed))), data.draw(st.integers(0, 40))
    noise = data.draw(st.binary(max_size=60))
    line = data.draw(st.sampled_from([noise, seed, seed[:start], seed[:start] + noise + seed[start + size :]]))
    request = core.Request()
    try:
        formats.find(name).opened().load(line, request)
    except core.LineError as error:
        field, why = error.args
        assert field
        assert why
        assert core.report_error(1, field, why, True).count(b"\n") == 1
        assert core.report_error(1, field, why, False).count(b"\n") == 1
    else:
        ip = request.fields["ip"]
        assert ip is None or core.parse_address(ip) is not None
        request.features(core.MIN_K)


@given(
    st.lists(st.sampled_from(_SEEDS) | st.binary(max_size=30), min_size=1, max_size=12), st.sampled_from(formats.NAMES)
)
def test_as_many_verdicts_and_errors_as_lines(made_model, given_lines: list[bytes], name: str) -> None:
    from sidecar.sources.lines import of_block

    lines = [line.replace(b"\n", b"") for line in given_lines]
    form = formats.FORMATS[name].opened()
    found = list(of_block(b"\n".join(lines) + b"\n", form, core.Request()))
    assert [line[0] for line in found] == list(range(1, len(lines) + 1))
    if form.record is None:
        out: list[bytes] = []
        done = made_model.report_lines(core.Request(), name, b"\n".join(lines) + b"\n", 1, True, out.append)
        said = [json.loads(line) for line in b"".join(out).splitlines()]
        assert done.lines == len(said) == len(lines)
        assert done.bad == sum("error" in one for one in said) == sum(line[2] is None for line in found)


@pytest.mark.parametrize("command", ["score", "train"])
def test_empty_lines_cost_no_memory(tmp_path: Path, command: str) -> None:
    """4 MB of them once took 1.2 GB."""
    log, out = tmp_path / "log", tmp_path / "m.xbot"
    log.write_bytes(LINE + b"\n" * 4_000_000)
    words = ["--out", str(out)] if command == "train" else []
    code = f"""import resource, subprocess, sys
subprocess.run({[XBOT, command, "--format", "combined", *words, str(log)]!r}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"""
    done = subprocess.run([str(Path(XBOT).with_name("python")), "-c", code], capture_output=True, check=True)
    assert int(done.stdout) < 400 << 10
    assert resource.RUSAGE_CHILDREN


# ---- policies ----


def test_what_policies_would_have_done(xbot, tmp_path: Path) -> None:
    log, config, out = tmp_path / "log", tmp_path / "xbot.toml", tmp_path / "out.json"
    log.write_bytes(
        LINE + b"\n" + LINE.replace(b"Mozilla/5.0 (X11)", b"curl/8.5.0").replace(b"GET /", b"GET /login") + b"\n"
    )
    config.write_text(
        '[policies.default]\nallow = ["us"]\n[policies.login]\nmode = "enforce"\npaths = ["/login"]\ndeny = ["tools"]\n'
        '[lists.us]\nnetworks = ["192.0.2.0/24"]\n[lists.tools]\nagents = ["curl"]\n'
    )
    rows = [json.loads(line) for line in xbot("score", "--json", "--config", config, log).stdout.splitlines()]
    assert [(row["verdict"], row["policy"], row["list"], row["refuse"]) for row in rows] == [
        ("human", "default", "us", False), ("bot", "login", "tools", True),
    ]  # fmt: skip
    shown = xbot("replay", "--config", config, "--json", out, log).stdout.decode()
    told = {policy["policy"]: policy for policy in json.loads(out.read_bytes())["policies"]}
    assert told["login"]["refused_most"] == [
        {"ip": "192.0.2.1", "agent": "curl/8.5.0", "why": "deny=tools", "requests": 1}
    ]
    assert told["default"]["let_by_most"][0]["why"] == "allow=us"
    assert (told["default"]["refused"], told["login"]["refused"]) == (0, 1)
    assert "policy login: refused most" in shown
    assert b"let by" in xbot("score", "--config", config, "--mode", "observe", log).stdout.splitlines()[1]
    assert b"--threshold" in xbot("replay", "--config", config, "--threshold", "0.5", log, code=2).stderr


def test_the_default_model_needs_no_name(xbot) -> None:
    log = DATA / "logs" / "combined.log"
    for words in (("score",), ("explain", "--json")):
        assert xbot(*words, log).stdout == xbot(*words, "--model", "default", log).stdout
    assert xbot("inspect", "--json").stdout == xbot("inspect", "--json", "default").stdout
    assert "default, refuses from" in xbot("replay", "--against", "default", log).stdout.decode()
