"""Reading logs: every way in which a line, a record or a file can be broken, told by name; good lines beside it are kept.

Law: what cannot be read says which file, line and field, on one line; there is never a traceback (conftest.run_xbot sees
to that), and what is readable gets the verdict it would get alone.
"""

from __future__ import annotations

import gzip
import itertools
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
import tables
from hypothesis import assume, given
from hypothesis import strategies as st

from sidecar import core
from sidecar.errors import XbotError
from sidecar.sources import reading, records, unpacking

LINES = tables.lines()
GOOD = {
    "challenge": b"192.0.2.1\tMozilla%2F5.0+%28X11%29\thttp%3A%2F%2Fexample.com%2F\ttrue",
    "combined": b'192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "Mozilla/5.0 (X11)"',
    "jsonl": b'{"ip": "192.0.2.1", "headers": [["User-Agent", "Mozilla/5.0 (X11)"]]}',
}
Score = Callable[..., tuple[list[dict[str, Any]], str]]


@pytest.fixture
def score(xbot, made_model_path, tmp_path) -> Score:
    """Scores these bytes as a file, each line by itself; returns the objects and what was said on standard error."""

    def run(log_format: str, data: bytes, *, code: int = 0, name: str = "site.log") -> tuple[list[dict[str, Any]], str]:
        log = tmp_path / name
        log.write_bytes(data)
        done = xbot(
            "score", "--stateless", "--model", made_model_path, "--format", log_format, "--json", log, code=code
        )
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()

    return run


# ---- lines ----


@pytest.mark.parametrize("row", LINES, ids=lambda row: f"{row['format']}: {row['name']}")
def test_line(row: dict[str, Any]) -> None:
    request = core.Request()
    if row["field"] == "ok":
        request.load_line(row["format"], row["line"])
        return
    with pytest.raises(core.LineError) as caught:
        request.load_line(row["format"], row["line"])
    assert caught.value.args[0] == row["field"]
    assert row["why"] in caught.value.args[1]


@pytest.mark.parametrize("log_format", ["challenge", "combined"])
def test_every_broken_line_between_good_ones(score: Score, log_format: str) -> None:
    """All cases in one file: each is reported in its place, good lines get the verdict that they get alone."""
    rows = [row for row in LINES if row["format"] == log_format and b"\n" not in row["line"]]
    lines = list(itertools.chain.from_iterable((row["line"], GOOD[log_format]) for row in rows))
    said, errors = score(log_format, b"\n".join(lines) + b"\n")
    assert [one["line"] for one in said] == list(range(1, len(lines) + 1))
    (alone,), _ = score(log_format, GOOD[log_format])
    for row, one, good in zip(rows, said[::2], said[1::2], strict=True):
        assert ("error" in one) == (row["field"] != "ok"), row["name"]
        if "error" in one:
            assert one["error"].startswith(f"{row['field']}: ")
            assert row["why"] in one["error"]
        assert {**good, "line": 1} == alone
    broken = [number for number, one in enumerate(said, 1) if "error" in one]
    assert errors.count("\n") == 1
    assert f"site.log:{broken[0]}: " in errors
    assert f"{len(broken)} of {len(lines)} lines could not be read" in errors


def test_text_output_reports_a_broken_line_in_its_place(xbot, made_model_path) -> None:
    data = b"\n".join([GOOD["challenge"], b"192.0.2.999\ta\tb", GOOD["challenge"]])
    done = xbot("score", "--model", made_model_path, "--format", "challenge", "-", stdin=data)
    rows = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert rows[1][1:3] == ["error", "-"]
    assert rows[1][3].startswith("ip: bad octet")
    assert rows[0][1:] == rows[2][1:]
    assert done.stderr.startswith(b"xbot: standard input:2: ip: bad octet")


_ENCODED = st.lists(
    st.sampled_from("abz019 -._~/").map(lambda c: c.replace(" ", "+"))
    | st.characters(min_codepoint=1, max_codepoint=0xFFFF, exclude_categories=["Cs"]).map(
        lambda c: "".join(f"%{b:02x}" for b in c.encode())
    )
    | st.characters(min_codepoint=0x80, max_codepoint=0x10FFFF, exclude_categories=["Cs"]),
    max_size=30,
).map("".join)


@given(_ENCODED, _ENCODED, st.sampled_from([b"true", b"false", b"True", b"FALSE", None]))
def test_challenge_fields_are_what_urllib_decodes(agent: str, referrer: str, label: bytes | None) -> None:
    fields = [b"192.0.2.1", agent.encode(), referrer.encode()]
    request = core.Request()
    request.load_line("challenge", b"\t".join(fields if label is None else [*fields, label]))
    assert request.fields["agent"] == unquote_to_bytes(fields[1].replace(b"+", b" "))
    assert request.fields["referrer"] == unquote_to_bytes(fields[2].replace(b"+", b" "))
    assert request.label is (None if label is None else label.lower() == b"false")


@given(st.binary(max_size=80))
def test_only_utf8_without_nul_is_text(raw: bytes) -> None:
    """Encoded or raw, a field is read exactly when Python takes it for UTF-8, and it has no NUL."""
    encoded = b"".join(b"%%%02X" % byte for byte in raw)
    try:
        good = "\0" not in raw.decode("utf-8")
    except UnicodeDecodeError:
        good = False
    request = core.Request()
    if good:
        request.load_line("challenge", b"::1\t" + encoded + b"\t")
        assert request.fields["agent"] == raw
    else:
        with pytest.raises(core.LineError, match="user_agent"):
            request.load_line("challenge", b"::1\t" + encoded + b"\t")


@given(st.sampled_from(["challenge", "combined"]), st.binary(max_size=200))
def test_noise_is_a_line_error_or_a_request(log_format: str, noise: bytes) -> None:
    request = core.Request()
    try:
        request.load_line(log_format, noise)
    except core.LineError as error:
        assert len(error.args) == 2
        assert all(error.args)
    else:
        assert core.parse_address(request.fields["ip"]) is not None
        request.features(core.MIN_K)


# ---- records ----

_DEEP = b'{"headers": [], "x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"
BROKEN_RECORDS = {
    "empty": (b"", "line", "not JSON"),
    "cut": (b'{"headers": [["a", "b"]', "line", "not JSON"),
    "text behind": (b'{"headers": []} x', "line", "not JSON"),
    "an array": (b"[]", "line", "expected `object`"),
    "no headers": (b'{"ip": "192.0.2.1"}', "headers", "missing"),
    "headers of numbers": (b'{"headers": {"a": 1}}', "headers", "expected `str`"),
    "headers of threes": (b'{"headers": [["a", "b", "c"]]}', "headers[0]", "length 2"),
    "address a number": (b'{"headers": [], "ip": 17}', "ip", "expected `str"),
    "label": (b'{"headers": [], "label": "robot"}', "label", "invalid enum value"),
    "status a word": (b'{"headers": [], "status": "200"}', "status", "expected `int"),
    "status too large": (b'{"headers": [], "status": 100000000000000000000}', "status", "<= 999"),
    "status negative": (b'{"headers": [], "status": -1}', "status", ">= 0"),
    "time a word": (b'{"headers": [], "time": "yesterday"}', "time", "RFC3339"),
    "time too large": (b'{"headers": [], "time": 1e300}', "time", "expected `float` <"),
    "time infinite": (b'{"headers": [], "time": 1e999}', "time", "out of range"),
    "time negative": (b'{"headers": [], "time": -5}', "time", ">= 0"),
    "time without zone": (b'{"headers": [], "time": "0001-01-01T00:00:00"}', "time", "timezone"),
    "nested": (_DEEP, "line", "not JSON"),
    "nested, and no UTF-8": (_DEEP.replace(b'"x"', b'"\xff"'), "line", "not JSON"),
    "half a character": (b'{"headers": [["a", "\\ud800"]]}', "line", "not JSON"),
    "half a character, and no UTF-8": (b'{"headers": [["a", "\\ud800\xff"]]}', "line", ""),
    "no number": (b'{"headers": [], "time": NaN}', "line", "not JSON"),
    "no number, and no UTF-8": (b'{"headers": [], "time": Infinity, "x": "\xff"}', "", ""),
    "challenge": (GOOD["challenge"], "line", ""),
    "too long": (b'{"headers": [["a", "' + b"x" * 4 * core.MAX_LINE + b'"]]}', "line", "longer than"),
}


@pytest.mark.parametrize("name", BROKEN_RECORDS)
def test_broken_record(name: str) -> None:
    line, field, why = BROKEN_RECORDS[name]
    with pytest.raises(core.LineError) as caught:
        records.load_record(line, core.Request())
    assert caught.value.args[0].startswith(field)
    assert why in caught.value.args[1]


def test_every_broken_record_between_good_ones(score: Score) -> None:
    lines = list(itertools.chain.from_iterable((line, GOOD["jsonl"]) for line, _, _ in BROKEN_RECORDS.values()))
    said, errors = score("jsonl", b"\n".join(lines) + b"\n")
    assert [one["line"] for one in said] == list(range(1, len(lines) + 1))
    assert all("error" in one for one in said[::2])
    (alone,), _ = score("jsonl", GOOD["jsonl"])
    assert all({**good, "line": 1} == alone for good in said[1::2])
    assert f"{len(BROKEN_RECORDS)} of {len(lines)} lines could not be read" in errors
    assert errors.count("\n") == 1


def test_a_record_keeps_bytes_that_are_no_utf8() -> None:
    """nginx logs a header's bytes as they came."""
    request = core.Request()
    records.load_record(b'{"headers": {"User-Agent": "a\xffb\xc3\xa9", "Referer": ""}, "uri": "/\xfe"}', request)
    assert request.fields["agent"] == b"a\xffb\xc3\xa9"
    assert request.fields["uri"] == b"/\xfe"
    assert request.headers == [(b"User-Agent", b"a\xffb\xc3\xa9")]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
_FIELDS = [
    "headers",
    "ip",
    "time",
    "method",
    "uri",
    "protocol",
    "scheme",
    "host",
    "status",
    "label",
    "agent",
    "referrer",
]


@given(st.dictionaries(st.sampled_from(_FIELDS), _json | st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)))))
def test_any_object_is_read_or_a_line_error(record: dict[str, Any]) -> None:
    request = core.Request()
    try:
        records.load_record(json.dumps(record).encode(), request)
    except core.LineError as error:
        assert error.args[0].partition("[")[0] in (*_FIELDS, "line")
    else:
        request.features(core.MIN_K)


# ---- files ----


def test_a_last_line_without_its_end(score: Score) -> None:
    for log_format, line in GOOD.items():
        assert score(log_format, line + b"\n" + line) == score(log_format, line + b"\n" + line + b"\n")


def test_carriage_returns(score: Score) -> None:
    for log_format, line in GOOD.items():
        assert score(log_format, line + b"\r\n" + line + b"\r\n") == score(log_format, line + b"\n" + line + b"\n")


def test_gzip_is_read_as_it_is(score: Score) -> None:
    """By its bytes, not its name; several members too."""
    for log_format, line in GOOD.items():
        plain = score(log_format, (line + b"\n") * 5)
        zipped = gzip.compress((line + b"\n") * 2) + gzip.compress((line + b"\n") * 3)
        assert score(log_format, zipped) == plain
        assert score(log_format, zipped, name="site.log.gz") == plain


def test_standard_input(xbot, made_model_path, tmp_path) -> None:
    for log_format, line in GOOD.items():
        data = (line + b"\n") * 3
        log = tmp_path / "log"
        log.write_bytes(data)
        command = ["score", "--model", made_model_path, "--format", log_format, "--json"]
        want = xbot(*command, log).stdout
        assert xbot(*command, "-", stdin=data).stdout == want
        assert xbot(*command, stdin=gzip.compress(data)).stdout == want


@pytest.mark.parametrize(
    ("command", "log_format"),
    [
        ("score", "challenge"),
        ("score", "jsonl"),
        ("score --json", "combined"),
        ("explain", "jsonl"),
        ("explain --json", "combined"),
    ],
)
def test_files_that_are_none(xbot, made_model_path, tmp_path, command: str, log_format: str) -> None:
    """Missing, a directory, empty, empty gzip: one line with the file's name, and status 2."""
    (tmp_path / "empty").touch()
    (tmp_path / "empty.gz").write_bytes(gzip.compress(b""))
    for name, why in (("missing", "No such file"), (".", "directory"), ("empty", "empty"), ("empty.gz", "empty")):
        done = xbot(*command.split(), "--model", made_model_path, "--format", log_format, tmp_path / name, code=2)
        assert done.stdout == b""
        assert done.stderr.startswith(f"xbot: {tmp_path / name}: ".encode())
        assert why.encode() in done.stderr
        assert done.stderr.count(b"\n") == 1
    done = xbot(*command.split(), "--model", made_model_path, "--format", log_format, "-", stdin=b"", code=2)
    assert b"standard input: empty" in done.stderr


@pytest.mark.parametrize("damage", ["cut", "bytes", "behind"])
def test_broken_gzip(score: Score, damage: str) -> None:
    """Named, status 2; the lines before the damage have their verdicts."""
    lines = b"".join(b"192.0.2.%d\tagent+%d\t\n" % (n % 256, n) for n in range(20_000))
    zipped = gzip.compress(lines)
    broken = {
        "cut": zipped[: len(zipped) // 2],
        "bytes": zipped[: len(zipped) // 2] + b"\0" * 100 + zipped[len(zipped) // 2 + 100 :],
        "behind": zipped + b"what is this",
    }[damage]
    said, errors = score("challenge", broken, code=2)
    assert "site.log: broken gzip data: " in errors
    assert errors.count("\n") == 1
    assert len(said) > 5_000
    assert [one["line"] for one in said] == list(range(1, len(said) + 1))
    assert not any("error" in one for one in said[:5_000])  # deflate notices damage a little late


def test_nul_bytes_and_long_lines_in_a_file(score: Score) -> None:
    """A line of a megabyte is one broken line; NULs are bytes as any."""
    for log_format, line in GOOD.items():
        long = line.replace(b"Mozilla", b"Mozilla" * (1 << 17))
        assert len(long) > 900_000
        data = b"\n".join([line, long, line, b"\0" * 1000, line, b"y" * 3_000_000, line])
        said, errors = score(log_format, data)
        assert [one["line"] for one in said if "error" not in one] == [1, 3, 5, 7]
        assert [one["line"] for one in said if "longer than" in one.get("error", "")] == [2, 6]
        assert "3 of 7 lines could not be read" in errors


@given(
    st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=30),
    st.booleans(),
    st.integers(1, 20),
    st.booleans(),
)
def test_blocks_are_the_file_in_whole_lines(tmp_path_factory, lines, ended, block, zipped) -> None:
    # What is read otherwise has tests of its own (test_any_log.py).
    data = (b"\n".join(lines) + b"\n" * ended).replace(b"\r", b"").replace(b"\0", b"")
    assume(not data.startswith((*unpacking._PACKED, *unpacking._NO_LOGS, b"\xff\xfe", b"\xfe\xff")))
    assume(b"\xef\xbb\xbf" not in data)
    path = tmp_path_factory.mktemp("blocks") / "log"
    path.write_bytes(gzip.compress(data) if zipped else data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK", block)
        found = list(reading.blocks(str(path)))
    assert b"".join(found) == data
    assert all(one.endswith(b"\n") for one in found[:-1])


@pytest.mark.parametrize("block", [1 << 14, 1 << 18, 1 << 20])
@pytest.mark.parametrize("length", [100, 4 * core.MAX_LINE - 1, 4 * core.MAX_LINE, 4 * core.MAX_LINE + 1, 3 << 20])
def test_long_lines_keep_their_number(tmp_path: Path, monkeypatch, block: int, length: int) -> None:
    """However long a line is, the lines behind it are themselves, and memory is bounded."""
    path = tmp_path / "log"
    path.write_bytes(b"one\n" + b"x" * length + b"\nthree\n" + b"y" * length)
    monkeypatch.setattr(reading, "BLOCK", block)
    lines, largest = b"", 0
    for one in reading.blocks(str(path)):
        lines += one
        largest = max(largest, len(one))
    first, second, third, fourth = lines.split(b"\n")
    assert (first, third) == (b"one", b"three")
    for cut, letter in ((second, b"x"), (fourth, b"y")):
        assert set(cut) == set(letter)
        assert len(cut) == length or 4 * core.MAX_LINE < len(cut) <= length
    assert largest <= block + 4 * core.MAX_LINE + 64


def test_errors_of_reading_are_errors_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(XbotError, match="no-such-file: No such file"):
        list(reading.blocks(str(tmp_path / "no-such-file")))
    deflated = tmp_path / "deflated"
    deflated.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\0" + zlib.compress(b"x"))
    with pytest.raises(XbotError, match="deflated: broken gzip data"):
        list(reading.blocks(str(deflated)))
