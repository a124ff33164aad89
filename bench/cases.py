"""Which of the reported cases a model gets right: one request or a few that others' detectors got wrong.

    XBOT_DATA=DIR .venv/bin/python bench/cases.py [--model MODEL] [--json]

Law: a case says itself what is expected (`expected.txt`); only those about verdicts are run. Ends with 1 if one fails.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import quality
from rich.console import Console
from rich.table import Table

from sidecar import core, model
from sidecar.errors import XbotError
from sidecar.sources import records

KINDS = frozenset("evasion long-query page-made-request sync-clients agent-word well-known".split())
ANSWERS = re.compile(r"(bot|human)(?: x(\d+))?(?:, |$)")
NAMED = re.compile(r'table "Who is refused that you may want".*: (.+)')
CARD = Path(__file__).resolve().parent.parent / "docs" / "default-model.md"
REFUSED = "refused"  # the mark of that table


@dataclass(frozen=True)
class Case:
    """A case: its kind, what is expected, and its requests in the format that the name of `log` ends in."""

    name: str
    kind: str
    expected: str
    log: Path

    @property
    def answers(self) -> list[str]:
        """bot or human for each request; empty where a rule of another kind is expected."""
        found = list(ANSWERS.finditer(self.expected))
        if "".join(m.group() for m in found) != self.expected:
            return []
        return [m[1] for m in found for _ in range(int(m[2] or 1))]

    @property
    def kinds_to_name(self) -> list[str]:
        """Kinds that may be refused if the card's table names them; else empty."""
        found = NAMED.search(self.expected)
        return re.split(r", | and ", found[1]) if found else []


def cases(data: Path) -> Iterator[Case]:
    """The cases about verdicts, by name."""
    for place in sorted((data / "cases").iterdir()):
        said = dict(line.split(": ", 1) for line in (place / "expected.txt").read_text().splitlines() if ": " in line)
        if said["kind"] in KINDS:
            (log,) = place.glob("input.*")
            yield Case(place.name, said["kind"], said["expected"], log)


def verdicts(case: Case, loaded: model.Model) -> list[core.Verdict]:
    """A verdict for each line of a case's log."""
    request, found = core.Request(), []
    for line in case.log.read_bytes().splitlines():
        if case.log.suffix == ".jsonl":
            records.load_record(line, request)
        else:
            request.load_line("combined", line)
        found.append(loaded.judge(request))
    return found


def on_card(card: str, kind: str) -> bool:
    """Whether the table of those who are refused has a row that names each word of a kind."""
    begin, end = quality.BEGIN.format(REFUSED), quality.END.format(REFUSED)
    rows = card.split(begin)[1].split(end)[0].lower().splitlines()[3:]
    return any(all(word.rstrip("s") in row for word in kind.replace(" and ", " ").split()) for row in rows)


def judge(case: Case, loaded: model.Model, card: str) -> tuple[bool, list[core.Verdict]]:
    """Whether a case holds, and its verdicts. XbotError where what is expected is not understood."""
    found = verdicts(case, loaded)
    said = ["bot" if verdict.bot else "human" for verdict in found]
    if case.answers:
        return said == case.answers, found
    if case.kinds_to_name:
        return "bot" not in said or all(on_card(card, kind) for kind in case.kinds_to_name), found
    raise XbotError(f"{case.log.parent}/expected.txt: expected: not understood: {case.expected}")


@click.command(help=__doc__)
@click.option(
    "--model", "path", type=click.Path(path_type=Path), default=quality.DEFAULT, help="[default: the one shipped]"
)
@click.option("--json", "as_json", is_flag=True, help="Objects instead of a table.")
def main(path: Path, as_json: bool) -> None:
    loaded, card, failed, objects = model.load(path), CARD.read_text(encoding="utf-8"), 0, []
    table = Table("case", "kind", "holds", "expected", "verdicts")
    for case in cases(quality.data_place()):
        holds, found = judge(case, loaded, card)
        failed += not holds
        said = [f"{'bot' if v.bot else 'human'} {v.score:.4f} {v.reason}" for v in found]
        objects.append({"case": case.name, "kind": case.kind, "holds": holds, "verdicts": said})
        table.add_row(case.name, case.kind, "yes" if holds else "[red]no", case.expected, "\n".join(said))
    if as_json:
        json.dump(objects, sys.stdout, indent=1)
    else:
        Console(width=160).print(table)
    sys.exit(failed > 0)


if __name__ == "__main__":
    quality.run(main)
