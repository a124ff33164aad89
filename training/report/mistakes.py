"""mistakes.py - the rows that the model is most wrong about, with what spoke for and against.

Law: one row a client, the worst; otherwise one loud client would fill the page. Texts are the log's, printable and cut.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import numpy as np

from sidecar import core
from sidecar.sources import merging, reading
from sidecar.sources.shown import text
from training.report.rereading import Row
from training.report.subject import Subject

SHOWN = 15  # of each kind
PARTS = 4  # of a row's contributions
LONGEST = 200  # characters of what a visitor sent


@dataclass(frozen=True)
class Mistake:
    """A row. `wrong`: it is on the wrong side of the threshold; `same`: rows of its client that are, itself included.
    `parts`: what adds most to its margin in the model; `command` shows all of it."""

    log: str
    line: int
    agent: str
    method: str
    uri: str
    referrer: str
    score: float
    wrong: bool
    same: int
    reasons: tuple[str, ...]
    parts: list[tuple[str, float]]
    command: str


def worst(subject: Subject, bot: bool, most: int = SHOWN) -> np.ndarray:
    """The rows of a class with the worst margins, the worst first, one a client."""
    rows = np.flatnonzero(subject.bot == bot)
    order = rows[np.argsort(subject.margins[rows] * (1 if bot else -1), kind="stable")]
    client = subject.data.client[order]
    # Rows of unknown clients count as clients of their own.
    client = np.where(client == 0, np.arange(1, len(order) + 1, dtype=np.uint64), client)
    _, first = np.unique(client, return_index=True)
    return order[np.sort(first)[:most]]


def describe(subject: Subject, row: Row) -> Mistake:
    """What the page says of a row."""
    fields, number = row.request.fields, row.number
    bot = bool(subject.bot[number])
    wrong = subject.called != subject.bot
    client = subject.data.client
    same = (client == client[number]) & wrong & (subject.bot == bot) if client[number] else None
    _, _, parts = subject.model.explain(row.request)
    strongest = sorted(parts, key=lambda part: -abs(part.contribution))[:PARTS]
    return Mistake(
        log=row.log,
        line=row.line,
        agent=_cut(fields["agent"]),
        method=_cut(fields["method"]),
        uri=_cut(fields["uri"]),
        referrer=_cut(fields["referrer"]),
        score=float(subject.scores[number]),
        wrong=bool(wrong[number]),
        same=int(same.sum()) if same is not None else int(wrong[number]),
        reasons=subject.reasons(row.through),
        parts=[(_named(part), part.contribution) for part in strongest if part.contribution],
        command=explain_command(subject, row.log, row.line),
    )


def _cut(sent: bytes | None) -> str:
    shown = text(sent or b"")
    return shown if len(shown) <= LONGEST else shown[:LONGEST] + "…"


def _named(part: core.Contribution) -> str:
    # An address is no one else's business, and a page may be handed on.
    return "ip_net" if part.name.startswith("ip_net=") else part.name


def explain_command(subject: Subject, log: str, line: int) -> str:
    """The command that shows every contribution of one line."""
    explain = f"xbot explain --model {shlex.quote(subject.name)} {subject.how.form.option}"
    if subject.how.looks_back:
        return f"{explain} {merging.line_options(subject.logs, log, line)}"
    return f"{reading.take(log, line)} | {explain}"
