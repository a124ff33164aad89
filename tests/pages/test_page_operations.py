"""docs/operations.md names all that a sidecar says and leaves, and nothing else: events of its log, files of its board, alarms.

Law: the code is read, or a sidecar is run, and the page's tables are compared with that.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from places import ROOT, run_xbot
from sidecar_harness import Sidecar, ask, head

from sidecar.observe import alarms

PAGE = (ROOT / "docs" / "operations.md").read_text()
LEVELS = ("debug", "info", "warning", "error")


def table(head: str) -> list[list[str]]:
    """The rows of the table that begins so."""
    text = PAGE.partition(f"\n{head}")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in text.splitlines()[2:]]
    assert rows, head
    return rows


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def said() -> Iterator[tuple[str, str]]:
    """(event, level) of each line of the log that the code can write."""
    for file in sorted((ROOT / "sidecar").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(attr=level, value=of), args=[ast.Constant(value=str(event)), *_]):
                    if level in LEVELS and re.search(r"log$|get_logger\(\)$", ast.unparse(of)):
                        yield event, level
                case ast.Dict(keys=keys, values=values):  # what a worker has the master say
                    fields = {
                        k.value: v.value
                        for k, v in zip(keys, values, strict=True)
                        if isinstance(k, ast.Constant) and isinstance(v, ast.Constant)
                    }
                    if fields.get("op") == "log":
                        yield str(fields["event"]), str(fields["level"])


def test_the_page_names_each_event_of_the_log() -> None:
    told: set[tuple[str, str]] = set()
    for row in table("| event | level | says |"):
        events, levels = quoted(row[0]), [level.strip() for level in row[1].split(",")]
        one_each = len(levels) == len(events)
        told |= (
            {*zip(events, levels, strict=True)}
            if one_each
            else {(event, level) for event in events for level in levels}
        )
    assert set(said()) == told


def test_the_page_names_each_alarm() -> None:
    assert {quoted(row[0])[0] for row in table("| alarm | holds while | what to do |")} == set(alarms.NAMES)


def test_the_page_names_each_file_of_the_board(model_path: Path, tmp_path: Path) -> None:
    """Those that are there while a sidecar runs, and those that it leaves."""
    board = tmp_path / "board"
    board.mkdir(mode=0o755)
    with Sidecar(model_path, "--board", board) as sidecar:
        ask(sidecar.address, head())
        run_xbot("mode", "observe", "--control", board / "control")
        there = {each.name for each in board.iterdir()}
        assert sidecar.stop() == 0
        there |= {each.name for each in board.iterdir()}
    told = {quoted(row[0])[0] for row in table("| file | mode | what it is")}
    assert there == told
