"""summary.py - what the rules covered and where they contradict each other: for people on standard error, and as JSON.

The JSON is what Coverage says; shares are of the lines that could be read.
"""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from training.label.engine import Labeller, bits_in, rule_reads
from training.label.rules import RuleBook

MOST_PAIRS = 10  # shown; the JSON has them all
_WHOLE = 86  # characters that the table of rules takes with all its columns


class RuleCoverage(msgspec.Struct):
    """What one rule did.

    `lines`, `clients`: for which it fired; `alone`: lines for which no other rule fired; `decided`: lines that got its
    verdict; `idle`: why it could not fire in this log, empty if it could.
    """

    name: str
    verdict: str
    strength: int
    kind: str
    reads: list[str]
    doc: str
    on: bool
    idle: str = ""
    lines: int = 0
    clients: int = 0
    alone: int = 0
    decided: int = 0


class Pair(msgspec.Struct):
    """Two rules, and the lines for which both fired."""

    rules: tuple[str, str]
    lines: int


class Coverage(msgspec.Struct):
    """What labelling did to a log. `labels` counts lines by bot, human and unknown; `conflicts` are lines of `unknown`
    where the strongest rules disagree, by pairs in `conflict_pairs` (a rule for bots first)."""

    lines: int
    unreadable: int
    clients: int
    labels: dict[str, int]
    conflicts: int
    own_hosts: list[str]
    own_hosts_known: str
    rules: list[RuleCoverage]
    conflict_pairs: list[Pair]
    overlap_pairs: list[Pair]


def listing(book: RuleBook) -> list[RuleCoverage]:
    """The rules as they stand, before any log."""
    return [
        RuleCoverage(name, r.verdict, r.strength, r.kind, rule_reads(book, r), r.doc, not r.off)
        for name, r in book.rules.items()
    ]


def coverage(book: RuleBook, labeller: Labeller, own_hosts: list[str], known: str) -> Coverage:
    """What `labeller` did; its labels must have been drawn."""
    rules = {rule.name: rule for rule in listing(book)}
    labels = {"bot": 0, "human": 0, "unknown": labeller.unreadable}
    conflicts = 0
    for fired, lines in labeller.lines_by_fired.items():
        label, words = labeller.decide(fired)
        labels[label] += lines
        conflicts += lines * words.startswith("conflict,")
        names = [labeller.rules[i][0] for i in bits_in(fired)]
        for name in names:
            rules[name].lines += lines
            rules[name].alone += lines * (len(names) == 1)
            rules[name].decided += lines * (label == rules[name].verdict and label != "unknown")
    for name, clients in labeller.clients_by_rule.items():
        rules[name].clients = clients
    for name, why in labeller.idle.items():
        rules[name].idle = why
    return Coverage(
        lines=sum(labels.values()),
        unreadable=labeller.unreadable,
        clients=labeller.clients,
        labels=labels,
        conflicts=conflicts,
        own_hosts=own_hosts,
        own_hosts_known=known,
        rules=list(rules.values()),
        conflict_pairs=[Pair(pair, lines) for pair, lines in labeller.conflicts().most_common()],
        overlap_pairs=[Pair(pair, lines) for pair, lines in labeller.overlaps().most_common()],
    )


def show(done: Coverage, console: Console) -> None:
    """Prints the labels, each rule's coverage, and the conflicts."""
    host = ", ".join(done.own_hosts)
    console.print(f"own host: {host} ({done.own_hosts_known})" if host else f"own host: {done.own_hosts_known}")
    console.print(_labels(done))
    console.print(_rules(done, console.width))
    idle = [rule for rule in done.rules if rule.on and rule.idle]
    if idle:
        console.print(
            _table("rules that could not fire here", [(rule.name, rule.idle) for rule in idle], "rule", "why")
        )
    off = [rule.name for rule in done.rules if not rule.on]
    if off:
        console.print(f"switched off: {', '.join(off)}")
    for title, pairs in (
        ("rules that contradict each other, by lines: they stay unlabelled", done.conflict_pairs),
        ("rules that fire together, by lines", done.overlap_pairs),
    ):
        if pairs:
            rows = [(*pair.rules, f"{pair.lines}") for pair in pairs[:MOST_PAIRS]]
            console.print(_table(title, rows, "rule", "rule", ">lines"))


def show_list(rules: list[RuleCoverage], console: Console) -> None:
    """Prints the rules as they stand."""
    rows = [
        (r.name if r.on else f"{r.name} (off)", r.verdict, f"{r.strength}", r.kind, " ".join(r.reads) or "-", r.doc)
        for r in rules
    ]
    console.print(_table("", rows, "rule", "verdict", ">strength", "kind", "reads", "fires when"))


def _labels(done: Coverage) -> Table:
    rows = [(label, f"{lines}", _share(lines, done.lines)) for label, lines in done.labels.items()]
    rows.append(("  of them in conflict", f"{done.conflicts}", _share(done.conflicts, done.lines)))
    if done.unreadable:
        rows.append(("  of them unreadable", f"{done.unreadable}", _share(done.unreadable, done.lines)))
    return _table(f"labels: {done.lines} lines, {done.clients} clients", rows, "label", ">lines", ">share")


def _rules(done: Coverage, width: int) -> Table:
    rows = [
        (
            r.name,
            r.verdict,
            f"{r.strength}",
            f"{r.lines}",
            _share(r.lines, done.lines),
            f"{r.clients}",
            f"{r.alone}",
            f"{r.decided}",
        )
        for r in sorted(done.rules, key=lambda r: -r.lines)
        if r.on and not r.idle
    ]
    heads = ("rule", "verdict", ">strength", ">lines", ">share", ">clients", ">alone", ">decided")
    kept = [i for i, head in enumerate(heads) if head != ">share" or width >= _WHOLE]  # names are not broken for it
    return _table("what each rule covers", [[row[i] for i in kept] for row in rows], *(heads[i] for i in kept))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def _table(title: str, rows: list[Any], *heads: str) -> Table:
    """A plain table; a head that starts with `>` has numbers under it."""
    table = Table(title=title or None, title_justify="left", show_edge=False, pad_edge=False)
    for head in heads:
        table.add_column(head.lstrip(">"), justify="right" if head.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
