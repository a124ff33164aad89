"""What once went wrong, by the default model and the real command: one file an incident, in tests/data/incidents/.

A file `*.txt` tells its story in lines of `#`. The last two of them say where its requests come from (`# source:`) and what
they must be called (`# verdict: bot` or `human`). Each further line is a record of `jsonl`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from places import DATA, ROOT, run_xbot

INCIDENTS = DATA / "incidents"
MODEL = ROOT / "sidecar" / "default.xbot"
FILES = sorted(INCIDENTS.glob("*.txt"))


def read(path: Path) -> tuple[str, list[str]]:
    """Verdict and records of an incident. Asserts that the file has all its parts."""
    lines = path.read_text().splitlines()
    about = [line for line in lines if line.startswith("#")]
    records = lines[len(about) :]
    assert len(about) >= 3, "story, source, verdict"
    assert about[-2].startswith("# source: ")
    verdict = re.fullmatch(r"# verdict: (bot|human)", about[-1])
    assert verdict, about[-1]
    assert records
    return verdict[1], records


def test_there_are_incidents() -> None:
    assert len(FILES) > 15


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_incident_stays_mended(path: Path) -> None:
    verdict, records = read(path)
    done = run_xbot(
        "score", "--json", "--model", MODEL, "--format", "jsonl", "-", stdin="\n".join(records).encode() + b"\n"
    )
    scored = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["verdict"] for one in scored] == [verdict] * len(records), scored


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_names_and_addresses_are_invented(path: Path) -> None:
    for record in map(json.loads, read(path)[1]):
        assert re.fullmatch(r"(192\.0\.2|198\.51\.100)\.\d+", record["ip"])
        assert record["host"].endswith("example.org")
