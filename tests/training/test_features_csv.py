"""`xbot features --csv`: what pandas reads from it is what the model reads from the log."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import XBOT

from sidecar import core

pytest.importorskip("sklearn", reason="xbot features needs: pip install 'xbot[train]'")
pd = pytest.importorskip("pandas", reason="reading the table needs pandas (dependency group test)")

NAMES = [row.name for row in core.FEATURES]
LINES = [
    b'192.0.2.1 - - [01/Mar/2024:10:00:00 +0000] "GET /a/b%20c?d=1 HTTP/1.1" 200 5 "https://x.example/" "Mozilla/5.0"',
    b'192.0.2.2 - - [01/Mar/2024:10:00:01 +0000] "GET / HTTP/1.0" 200 5 "-" "=cmd,\\x22|\'; curl/8 \xff\xfe"',
    b"not a line of a log",
    b'2001:db8::1 - - [01/Mar/2024:10:00:02 +0000] "POST /robots.txt HTTP/2.0" 404 5 "-" "-"',
]
JSONL = [
    {"ip": "192.0.2.3", "time": 1700000000, "uri": "/", "label": "human",
     "headers": [["Host", "x.example"], ["User-Agent", "Mozilla/5.0"], ["Accept-Encoding", "gzip, deflate"]]},
    {"uri": "/", "label": "bot", "headers": {"User-Agent": "curl/8.5.0"}},
]  # fmt: skip


def table(text: bytes) -> Any:
    return pd.read_csv(io.BytesIO(text), keep_default_na=True)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Four lines of a combined log; the third cannot be read."""
    path = tmp_path / "access.log"
    path.write_bytes(b"\n".join(LINES) + b"\n")
    return path


def test_the_values_are_those_that_the_model_reads(log: Path, made_model_path: Path, xbot: Callable[..., Any]):
    """Against `xbot explain`, which takes them from the request that it judges."""
    read = table(xbot("features", "--csv", "--addresses", "--format", "combined", log).stdout)
    assert list(read.columns) == ["line", "label", "time", *NAMES]
    explained = xbot("explain", "--json", "--model", made_model_path, "--format", "combined", log).stdout
    said = {row["line"]: row for row in map(json.loads, explained.splitlines()) if "contributions" in row}
    assert list(read.line) == list(said) == [1, 2, 4]
    known = {row.name for row in core.FEATURES} - {"ref_host_known"}  # the model has a set of hosts, this has none
    for _, row in read.iterrows():
        values = {part["name"]: part["value"] for part in said[row.line]["contributions"] if part["name"] in known}
        assert {name: None if pd.isna(row[name]) else row[name] for name in values} == values
        assert len(values) == len(known)


def test_what_is_not_there_is_empty(log: Path, xbot: Callable[..., Any]):
    done = xbot("features", "--csv", "--format", "combined", "--without", "ua_length", log)
    read = table(done.stdout)
    assert read.label.isna().all()
    assert read.ua_length.isna().all()  # left out
    assert read.ip_1.isna().all()  # addresses, which are not learnt by default
    assert read.hdr_cookie.isna().all()  # a combined log has no cookies
    assert read.url_depth.tolist() == [2, 1, 1]
    assert read.time.tolist() == [1709287200, 1709287201, 1709287202]
    assert done.stderr.decode().startswith(f"xbot: {log}:3: ")


def test_labels_times_and_words(tmp_path: Path, xbot: Callable[..., Any]):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in JSONL))
    read = table(xbot("features", "--csv", "--words", "--format", "jsonl", path).stdout)
    assert read.label.tolist() == ["human", "bot"]
    assert read.time.isna().tolist() == [False, True]
    words = read.words[0].split()
    assert {"ua_word=mozilla", "hdr_name=accept-encoding", "hdr_order=user-agent>accept-encoding"} <= set(words)
    assert all(word.split("=", 1)[0] in {family.name for family in core.FAMILIES} for word in words)
    assert "hdr_value=accept-encoding:gzip,_deflate" in words  # a space within a word does not end it
    assert not any(word.startswith("ip_net=") for word in words)
    (tmp_path / "labels.tsv").write_text("1\tbot\n2\tunknown\n")
    other = xbot("features", "--csv", "--format", "jsonl", "--labels", tmp_path / "labels.tsv", path)
    assert table(other.stdout).label.fillna("").tolist() == ["bot", ""]


def test_several_logs_gzip_and_standard_input(log: Path, tmp_path: Path, xbot: Callable[..., Any]):
    packed = tmp_path / "older.log.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    (tmp_path / "labels.tsv").write_text("1\tbot\n6\thuman\n")  # lines are numbered through
    out = tmp_path / "both.csv"
    options = ("--format", "combined", "--labels", tmp_path / "labels.tsv", "--out", out)
    assert xbot("features", "--csv", *options, log, packed).stdout == b""
    read = table(out.read_bytes())
    assert list(read.columns[:3]) == ["log", "line", "label"]
    assert read.log.tolist() == [str(log), str(packed)] * 3  # by time
    assert read.line.tolist() == [1, 1, 2, 2, 4, 4]
    assert read.label.fillna("").tolist() == ["bot", "", "", "human", "", ""]
    xbot("features", "--csv", "--stateless", *options, log, packed)
    read = table(out.read_bytes())
    assert read.log.tolist() == [str(log)] * 3 + [str(packed)] * 3
    assert read.line.tolist() == [1, 2, 4] * 2
    assert read.label.fillna("").tolist() == ["bot", "", "", "", "human", ""]
    one = xbot("features", "--csv", "--format", "combined", log).stdout
    assert xbot("features", "--csv", "--format", "combined", "-", stdin=log.read_bytes()).stdout == one


def test_nothing_that_a_visitor_sent_breaks_the_table(log: Path, xbot: Callable[..., Any]):
    text = xbot("features", "--csv", "--words", "--format", "combined", log).stdout
    read = table(text)
    assert len(read) == 3
    assert len(text.splitlines()) == 4
    # A cell never begins with what a spreadsheet takes for a formula: words begin with their family.
    assert all(not str(cell).startswith(("=", "+", "-", "@")) for row in read.itertuples() for cell in row)


@pytest.mark.long
def test_memory_does_not_grow_with_the_log(tmp_path: Path):
    def peak(lines: int) -> int:
        path = tmp_path / f"{lines}.log"
        path.write_bytes((LINES[0] + b"\n") * lines)
        command = [XBOT, "features", "--csv", "--format", "combined", "--out", str(tmp_path / "out.csv"), str(path)]
        child = subprocess.Popen(command)
        _, status, usage = os.wait4(child.pid, 0)
        assert status == 0
        return usage.ru_maxrss  # KiB

    small, large = peak(2_000), peak(80_000)
    assert (tmp_path / "out.csv").stat().st_size > 15_000_000
    assert large - small < 20 * 1024


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--format", "combined", "{log}"), "--csv"),
        (("--csv", "--format", "combined", "{log}.none"), "{log}.none: No such file or directory"),
        (
            ("--csv", "--format", "combined", "--out", "{log}.no/x.csv", "{log}"),
            "{log}.no/x.csv: no such directory: {log}.no",
        ),
        (
            ("--csv", "--format", "combined", "--without", "nose", "{log}"),
            "--without nose: no group, feature or family",
        ),
        (("--csv", "--format", "combined", "-", "{log}"), "standard input (-) cannot be one of several logs"),
    ],
)
def test_errors_are_one_line(log: Path, xbot: Callable[..., Any], options: tuple[str, ...], said: str):
    done = xbot("features", *(option.format(log=log) for option in options), code=2)
    assert said.format(log=log) in done.stderr.decode()
    assert done.stderr.decode().count("\n") == 1


def test_an_empty_log_is_an_error(tmp_path: Path, xbot: Callable[..., Any]):
    (tmp_path / "empty.log").write_bytes(b"")
    done = xbot("features", "--csv", "--format", "combined", tmp_path / "empty.log", code=2)
    assert done.stderr.decode() == f"xbot: {tmp_path}/empty.log: empty, no line to read\n"


def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path):
    path = tmp_path / "long.log"
    path.write_bytes((LINES[0] + b"\n") * 20_000)
    command = f"'{XBOT}' features --csv --format combined '{path}' | head -n 2"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, check=False)
    assert done.stdout.count(b"\n") == 2
    assert done.stderr == b""


def test_real_logs(data_dir: Path, xbot: Callable[..., Any]):
    logs = data_dir / "logs"
    options = ("--format", "combined", "--labels", logs / "semicomplete.weak_labels.tsv")
    read = table(xbot("features", "--csv", *options, logs / "semicomplete_apache_10k.log").stdout)
    assert len(read) == 9_999  # one line lacks its last quote
    assert read.label.value_counts().to_dict() == {"human": 5244, "bot": 3040}
    assert read.groupby("label").ua_bot_word.mean()["bot"] > 0.3 > read.groupby("label").ua_bot_word.mean()["human"]
