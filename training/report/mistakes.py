"""mistakes.py - the rows that the model is most wrong about, with what spoke for and against.

Law: one row a client, the worst; otherwise one loud client would fill the page. Texts are the log's, printable and cut.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import numpy as np

from sidecar import core
from sidecar.sources import merging, reading, sentences
from sidecar.sources.shown import text
from training.report.rereading import Row
from training.report.subject import Subject

SHOWN = 15  # of each kind
LONGEST = 200  # characters of what a visitor sent
_OF_ADDRESS = {row.name for row in (*core.FEATURES, *core.FAMILIES) if row.group == "ip"}


@dataclass(frozen=True)
class Mistake:
    """A row. `wrong`: it is on the wrong side of the threshold; `same`: rows of its client that are, itself included.
    `parts`: what adds most to its margin in the model, and what takes most away; `command` shows all of it."""

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
        parts=[(_said(part), part.contribution) for part in sentences.strongest(parts)],
        command=explain_command(subject, row.log, row.line),
    )


def _cut(sent: bytes | None) -> str:
    shown = text(sent or b"")
    return shown if len(shown) <= LONGEST else shown[:LONGEST] + "…"


def _said(part: core.Contribution) -> str:
    name = sentences.name(part)
    # An address is no one else's business, and a page may be handed on.
    return name if name in _OF_ADDRESS else f"{sentences.sentence(part)} ({name})"


def explain_command(subject: Subject, log: str, line: int) -> str:
    """The command that shows every contribution of one line."""
    explain = f"xbot explain --all --model {shlex.quote(subject.name)} {subject.how.form.option}"
    if subject.how.looks_back:
        return f"{explain} {merging.line_options(subject.logs, log, line)}"
    return f"{reading.take(log, line)} | {explain}"
