"""How many of the bots that a model catches pass after one change, two or three, where the attacker has the model in hand.

    XBOT_DATA=DIR .venv/bin/python bench/evasion.py [--model MODEL] [--baseline MODEL] [--markdown docs/default-model.md]
    .venv/bin/python bench/evasion.py --short       one change; people and bots of our own corpus, no data needed

Law: the attacked are requests that the baseline catches: a honeypot's, and those of plain clients, libraries and tools. What
may be changed stands in bench/changes.py and does not depend on the model; bench/attack.py searches. One change is tried on
all requests, two and three on a sample that is weighed up to all: every pair of the best changes of those families that go
farthest, and a third by beam. Padding has rows of its own, and is not among the changes of the others but where it is said.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import captures
import click
import numpy as np
import quality
from attack import ALL, Attack, Found, Judge, Row, Steps, Tried, attacked
from changes import APART, KINDS, PADDING, Change, alphabet
from moves import Sent, sent
from rich.console import Console
from rich.table import Table

from sidecar import core, model
from sidecar.errors import XbotError
from training.corpus import generate

SEED = 9
SAMPLE = 400  # requests of each group for two and three changes
FAMILIES = 64  # whose best change is tried in pairs
SHORT_ROWS = 600  # requests of the corpus
TOP = 15
ATTACKED = frozenset({"library", "crawler, scanner or tool"})  # kinds of captured clients
MOVED = "no change; driven browsers have moved the site's threshold as far as it goes"
PAGE = "evasion"  # the mark of the tables in the document
PLAIN = frozenset(KINDS) - APART - PADDING  # kinds of a change that is counted, and is no padding


def of_kinds(tried: Tried, kinds: frozenset[str]) -> Tried:
    """Those of single changes."""
    return [(steps, found) for steps, found in tried if steps[0].kind in kinds]


def of_kind(changes: Sequence[Change], kind: str) -> list[Change]:
    return [change for change in changes if change.kind == kind]


def one_change(attack: Attack, changes: Sequence[Change]) -> tuple[list[Row], Tried]:
    """The rows of one change, and what was tried."""
    tried = attack.one(changes)
    rows = [attack.row("no change", attack.unchanged()), attack.row("one change", of_kinds(tried, PLAIN))]
    rows.append(attack.row(MOVED, attack.unchanged(), cut=attack.judge.highest))
    for kind in KINDS:
        name = kind if kind in PADDING else f"apart: {kind}" if kind in APART else f"one change: {kind}"
        rows.append(attack.row(name, of_kinds(tried, frozenset({kind}))))
    return rows, tried


def more_changes(attack: Attack, changes: Sequence[Change]) -> list[Row]:
    """The rows of two and three."""
    tried, rows = attack.one(changes), []
    for name, kinds in (
        ("two paddings", frozenset({"padding"})),
        ("two changes, padding among them", PLAIN | PADDING),
        ("two changes", PLAIN),
    ):
        best = attack.best_of_families(of_kinds(tried, kinds), FAMILIES)
        pairs = of_kinds(tried, kinds) + attack.two(best)
        rows.append(attack.row(name, pairs))
    others = of_kind(changes, "handshake")
    for name, kinds in (
        ("another handshake and one change", PLAIN),
        ("another handshake and a copy", frozenset({"copy"})),
    ):
        behind = (
            attack.best_of_families(of_kinds(tried, kinds), FAMILIES) if kinds is PLAIN else of_kind(changes, "copy")
        )
        rows.append(attack.row(name, of_kinds(tried, frozenset({"handshake"}) | kinds) + attack.after(others, behind)))
    plain = of_kind(changes, "plain agent")
    pairs_of_plain = of_kinds(tried, frozenset({"plain agent"})) + attack.after(plain, best)
    rows.append(attack.row("a plain agent and one change", pairs_of_plain))
    triples, lowest = attack.three(best, pairs)
    rows.append(attack.row("three changes, by beam", pairs + triples, lowest))
    return rows


def evade(
    judge: Judge, people: Sequence[Sent], bots: Sequence[Found], sample: int | None = None
) -> tuple[list[Row], dict[str, Any]]:
    """The table's rows; and about them: how many were caught and tried, and the changes that free most. Two and three
    changes are tried on at most `sample` requests of each group, or not at all. XbotError where no bot was caught."""
    if not bots:
        raise XbotError("nothing to attack: the model catches none of these bots")
    attack, changes = Attack(judge, attacked(bots, judge)), alphabet(people)
    rows, tried = one_change(attack, changes)
    caught = Counter(group for group, _ in bots)
    about = {
        "caught": dict(caught),
        "different": len(attack.on.requests),
        "changes": len(changes),
        "top": top(attack, of_kinds(tried, PLAIN | PADDING)),
    }
    if sample is not None:
        some = list(sampled(bots, sample))
        rows += more_changes(Attack(judge, attacked(some, judge, caught)), changes)
        about["sampled"] = len(some)
    return rows, about


def sampled(bots: Sequence[Found], most: int) -> Iterator[Found]:
    """At most so many of each group, whatever the other groups are."""
    for group in sorted({group for group, _ in bots}):
        of_group = [found for found in bots if found[0] == group]
        yield from of_group if len(of_group) <= most else random.Random(f"{SEED} {group}").sample(of_group, most)


def top(attack: Attack, tried: Tried) -> list[dict[str, Any]]:
    """The changes that free most, with what they cost; of a family its best."""
    best: dict[str, tuple[float, Change, dict[str, float]]] = {}
    for (change,), found in tried:
        shares = attack.on.shares(found < attack.judge.cut)
        if shares[ALL] > best.get(change.family, (0.0,))[0]:
            best[change.family] = (shares[ALL], change, shares)
    return [
        {"change": change.name, "public": change.public, "kind": change.kind, "bytes": cost_of(attack, change),
         "cost": change.cost, **shares}
        for _, change, shares in sorted(best.values(), key=lambda one: -one[0])[:TOP]
    ]  # fmt: skip


def cost_of(attack: Attack, change: Change) -> int:
    """Bytes that it adds to a request, in the mean."""
    more = np.array([change.apply(one).size - one.size for one in attack.on.requests])
    return round(float(more @ attack.on.weights[ALL] / attack.on.weights[ALL].sum()))


def of_data(data: Path) -> tuple[list[Sent], list[Found]]:
    """People's requests, and bots': a honeypot's, and those of clients and tools."""
    captured = list(captures.captures(data))
    people = [sent(one.record) for one in captured if one.label == "human"]
    bots = [("honeypot", sent(record)) for _, record in quality.honeypot_records(data)]
    clients = [*quality.plain_records(data), *(one.record for one in captured if one.kind in ATTACKED)]
    return people, bots + [("clients", sent(record)) for record in clients]


def of_corpus() -> tuple[list[Sent], list[Found]]:
    """The same of our own corpus: the alphabet and the bots of a run without data."""
    records = list(generate(SEED, SHORT_ROWS))
    people, bots = ([sent(one) for one in records if one["label"] == label] for label in ("human", "bot"))
    return people, [("corpus", one) for one in bots]


def short(tested: core.Model) -> tuple[list[Row], dict[str, Any]]:
    """One change, by our own corpus."""
    people, bots = of_corpus()
    judge = Judge(tested)
    caught = [found for found in bots if judge.margin(found[1]) >= judge.cut]
    return evade(judge, people, caught)


def short_text(text: str) -> str:
    """For a table's cell."""
    return text if len(text) <= 80 else f"{text[:38]}...{text[-38:]}"


def named(steps: Steps, public: bool = False) -> str:
    """The names of the changes; `public`: without values of people's."""
    return " + ".join(change.public if public else change.name for change in steps) or "-"


def objects(one: Row) -> dict[str, Any]:
    """A row for JSON."""
    for_all = {group: {"share": share, "change": named(steps)} for group, (share, steps) in one.for_all.items()}
    return {"attack": one.attack, "for all": for_all, "for each": one.for_each}


def cells(rows: Sequence[Row], public: bool) -> Cells:
    """Columns and cells of the table."""
    groups = list(rows[0].for_each)
    columns = ("attack", *(f"{group}: {how}" for group in groups for how in ("for all", "for each")), "best for all")
    body = []
    for one in rows:
        shares = [share for group in groups for share in (one.for_all[group][0], one.for_each[group])]
        body.append(
            [
                one.attack,
                *(f"{100 * share:.1f}%" for share in shares),
                short_text(named(one.for_all[groups[-1]][1], public)),
            ]
        )
    return columns, body


def top_cells(found: Sequence[dict[str, Any]], public: bool) -> Cells:
    groups = [name for name in (found[0] if found else {}) if name not in ("change", "public", "kind", "bytes", "cost")]
    body = [
        [
            short_text(one["public" if public else "change"]),
            *(f"{100 * one[group]:.1f}%" for group in groups),
            f"{one['bytes']:+d}",
            one["cost"],
        ]
        for one in found
    ]
    return ("one change for all", *groups, "bytes", "costs"), body


def said(about: dict[str, Any]) -> str:
    """What was attacked, in a sentence."""
    caught = ", ".join(f"{n} of {group}" for group, n in about["caught"].items())
    text = f"Caught: {caught}; {about['different']} of them differ to the model. {about['changes']} changes."
    if "sampled" in about:
        text += f" Two and three: {about['sampled']} requests drawn by seed {SEED}, the best changes of {FAMILIES} families."
    return text


Cells = tuple[tuple[str, ...], list[list[str]]]  # columns and body


def tables_of(rows: Sequence[Row], about: dict[str, Any], public: bool) -> tuple[Cells, Cells]:
    return cells(rows, public), top_cells(about["top"], public)


def page(tables: Sequence[Cells], text: str) -> str:
    """The tables in Markdown; a name may hold what means something there."""
    parts = [text]
    for columns, body in tables:
        escaped = [[cell.replace("|", "\\|").replace("*", "\\*") for cell in cells] for cells in body]
        parts.append(quality.markdown(columns, escaped))
    return "\n\n".join(parts)


@click.command(help=__doc__)
@click.option(
    "--model", "path", type=click.Path(path_type=Path), default=quality.DEFAULT, help="[default: the one shipped]"
)
@click.option("--baseline", type=click.Path(path_type=Path), help="Attack what this one catches. [default: the model]")
@click.option(
    "--sample",
    type=click.IntRange(10),
    default=SAMPLE,
    show_default=True,
    help="Requests of a group for two and three changes.",
)
@click.option("--short", "is_short", is_flag=True, help="One change, and our own corpus instead of data.")
@click.option("--json", "as_json", is_flag=True, help="Objects instead of tables.")
@click.option(
    "--markdown", "document", type=click.Path(path_type=Path, exists=True), help="Put the tables in here, too."
)
def main(path: Path, baseline: Path | None, sample: int, is_short: bool, as_json: bool, document: Path | None) -> None:
    tested = model.load(path)
    if is_short:
        rows, about = short(tested)
    else:
        people, bots = of_data(quality.data_place())
        catching = Judge(model.load(baseline) if baseline else tested)
        caught = [found for found in bots if catching.margin(found[1]) >= catching.cut]
        rows, about = evade(Judge(tested), people, caught, sample)
    if as_json:
        json.dump({**about, "rows": [objects(one) for one in rows]}, sys.stdout, indent=1)
        return
    console = Console(width=180)
    console.print(said(about))
    for columns, body in tables_of(rows, about, public=False):
        table = Table(*columns)
        for one in body:
            table.add_row(*one)
        console.print(table)
    if document:
        quality.put(document, PAGE, page(tables_of(rows, about, public=True), said(about)))


if __name__ == "__main__":
    quality.run(main)
