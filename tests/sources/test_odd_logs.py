"""Logs as they are found: through other programs, with other clocks, cut, mixed, and with what visitors write into them.

Law: tests/data/odd_logs.tsv says what a reader makes of each line. A line is read so, or not at all: never another address or agent.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import tables
from places import DATA, XBOT

from sidecar import core
from sidecar.sources import choosing, lines, reading
from sidecar.sources.fields.w3c import ABOUT_THE_LOG

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"
ROWS = tables.rows("odd_logs.tsv", 4)
LOGS = DATA / "logs"


def read(request: core.Request) -> dict[str, object]:
    """What a line says, as texts; of headers those that other formats have as fields."""
    fields: dict[str, object] = {**request.fields, "status": request.status}
    headers = dict(request.headers)
    fields["agent"] = headers.get(b"User-Agent", fields["agent"])
    said = {
        name: value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
        for name, value in fields.items()
    }
    return {**said, "time": None if request.time_ms is None else request.time_ms / 1000}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_an_odd_log_is_read_as_a_reader_would(row: list[str], tmp_path: Path) -> None:
    _, name, fields, data = row
    log = tmp_path / "log"
    log.write_bytes(tables.unescape(data))
    form = choosing.guess(choosing._lines(reading.head(str(log))))
    assert (form.name if form else "none") == name
    if form is None:
        return
    got = [
        None if request is None else read(request)
        for _, _, request, fault in lines.of_log(str(log), form)
        if fault != ABOUT_THE_LOG
    ]
    wanted = json.loads(fields)
    assert len(got) == len(wanted)
    for found, want in zip(got, wanted, strict=True):
        if want is None or found is None:
            assert found is want
            continue
        # A lone dash and an empty field are the same to csrc.
        same = {"agent": AGENT if want.get("agent") == "*" else want.get("agent")}
        for field, value in {**want, **same}.items():
            if field in want:
                assert found[field] in (("-", "") if value in ("-", "") else (value,)), field


def test_a_line_that_lost_its_address_is_told_why(xbot, tmp_path: Path) -> None:
    log = tmp_path / "log"
    line = f'192.0.2.1 - - [12/Mar/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 5 "-" "{AGENT}"\n'
    for before, why in (("access.log:", "use grep -h"), ("pod-1 nginx ", "other words stand before it")):
        log.write_text(before + line)
        said = xbot("score", log, code=2).stderr.decode()
        assert "line 1: it looks like combined, but ip: " in said
        assert why in said


@pytest.mark.parametrize(
    "words",
    [
        "label --rules PIPE LOG",
        "train --labels PIPE --out /dev/null/x LOG",
        "report --labels PIPE --out /dev/null/x LOG",
        "explain --format head PIPE",
    ],
)
def test_a_pipe_into_which_nobody_writes_makes_nobody_wait(xbot, tmp_path: Path, words: str) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    log = tmp_path / "log"
    log.write_text(f'192.0.2.1 - - [12/Mar/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 5 "-" "{AGENT}"\n')
    given = {"PIPE": pipe, "LOG": log, "/dev/null/x": tmp_path / "x"}
    said = xbot(*(given.get(word, word) for word in words.split()), code=2).stderr.decode()
    assert f"{pipe}: " in said


def test_a_pipe_into_which_a_command_writes_is_read(xbot, tmp_path: Path) -> None:
    """As a shell's <(command) gives one."""
    log = tmp_path / "log"
    log.write_text(f'192.0.2.1 - - [12/Mar/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 5 "-" "{AGENT}"\n')
    command = f"{XBOT} label --rules <(sleep 0.2; echo '[no-such-table]') {log}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, ": no-such-table: no such table" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("mebibytes", [40, 64])
@pytest.mark.parametrize("command", ["score", "train --out x"])
def test_too_little_memory_is_one_line(tmp_path: Path, mebibytes: int, command: str) -> None:
    """numpy's own words about it were half a page, behind a traceback."""
    (tmp_path / "log").write_text(
        f'192.0.2.1 - - [12/Mar/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 5 "-" "{AGENT}"\n' * 9
    )
    limited = f"ulimit -v {mebibytes << 10}; exec {XBOT} {command} log"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "xbot: there is not enough memory for this"
    assert len(done.stderr.splitlines()) < 3


@pytest.mark.parametrize("command", ["label", "replay"])
def test_logs_of_two_formats_are_told_before_any_is_read(xbot, tmp_path: Path, command: str) -> None:
    """As a site's logs are behind a change of their format. Each half alone is read."""
    old, new = LOGS / "combined.log", LOGS / "caddy.log"
    said = xbot(command, old, old, new, code=2).stderr.decode()
    assert said.endswith(
        f"{new}: it looks like caddy, but {old} like combined: logs of two formats need two commands\n"
    )
    xbot(command, old, old)
    xbot(command, new)
    empty = tmp_path / "empty.log"
    empty.write_bytes(b"")
    assert b"looks like" not in xbot(command, old, empty, code=2).stderr
