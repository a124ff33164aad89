"""cautions.py - what a reader should know before trusting the figures, found in the rows.

Law: each caution is a fact about these rows with its number, and what to do about it. None is shown that does not hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sidecar import core
from training.fit import Figures
from training.label.summary import Coverage
from training.report.measures import interval
from training.report.plots import share_text
from training.report.subject import PARTS, Subject

LOUD = 0.3  # of a class's rows, by one client
FEW_CLIENTS = 30
_CLASSES = ((1, "bots"), (0, "humans"))


class Caution(NamedTuple):
    """A short statement, and what follows."""

    what: str
    so: str


class Clients(NamedTuple):
    """The clients of a class: how many, and the share of the class's rows that the loudest has."""

    number: int
    loudest: float


def clients(subject: Subject, label: int) -> Clients:
    """Clients with a known address only; number 0 where there are none."""
    client = subject.data.client[subject.data.y == label]
    _, counts = np.unique(client[client != 0], return_counts=True)
    return Clients(len(counts), float(counts.max() / len(client)) if len(counts) else 0.0)


def cautions(subject: Subject, figures: Figures, coverage: Coverage | None) -> list[Caution]:
    """All that hold."""
    return [
        *_of_the_fit(subject),
        *_of_the_rows(subject, figures),
        *(_of_the_rules(subject, coverage) if coverage is not None else ()),
    ]


def _of_the_fit(subject: Subject) -> Iterator[Caution]:
    if subject.fitted is None:
        learnt = {source["sha256"] for source in subject.model.provenance.get("sources", ())}
        if learnt & {source.sha256 for source in subject.data.sources}:
            yield Caution(
                "The model was fitted on this very log.",
                "It has seen these rows with their labels, so all figures flatter it. Judge it by another log.",
            )
        return
    if subject.fitted.split != subject.settings.split:
        yield Caution(
            "Too few clients to hold out by client.",
            "Rows are held out one by one, so the same client is on both sides, and the figures are too good.",
        )
    if not subject.fitted.converged:
        yield Caution("The solver stopped before it converged.", "The figures are valid; try a smaller -C.")


def _of_the_rows(subject: Subject, figures: Figures) -> Iterator[Caution]:
    for label, name in _CLASSES:
        found = clients(subject, label)
        if found.loudest > LOUD:
            yield Caution(
                f"One client sent {share_text(found.loudest)} of the {name}’ requests.",
                "Figures by request are mostly about this client, because its requests resemble each other. "
                f"There are {found.number:,} clients among the {name}.",
            )
        elif 0 < found.number < FEW_CLIENTS:
            yield Caution(
                f"The {name}’ requests come from {found.number:,} clients.",
                "Requests of one client resemble each other: the figures rest on fewer cases than the counts suggest.",
            )
    humans = figures.true_humans + figures.false_bots
    most = interval(0, humans)[1]
    if subject.settings.max_fpr and most > subject.settings.max_fpr:
        yield Caution(
            f"{humans:,} human requests are too few to show a rate of {share_text(subject.settings.max_fpr)}.",
            f"Even if none of them is refused, the rate may be up to {share_text(most)} (95% confidence). "
            "Add a longer log, or more labels.",
        )
    if int((subject.scores == subject.model.threshold).sum()) > 1 and subject.model.threshold in (0.0, 1.0):
        yield Caution(
            f"The threshold is a score of {subject.model.threshold:.0f}, the end of the scale.",
            "Larger margins all become the same score. A smaller -C gives smaller margins.",
        )


def _of_the_rules(subject: Subject, coverage: Coverage) -> Iterator[Caution]:
    names = {row.group for row in (*core.FEATURES, *core.FAMILIES) if row.name not in subject.how.without}
    held = {name for name in names if subject.data.present & core.GROUPS[name]}
    for group in sorted(held):
        lines = max((rule.decided for rule in coverage.rules if rule.reads == [group]), default=0)
        if lines:
            share = share_text(min(1.0, lines / max(1, coverage.labels["bot"] + coverage.labels["human"])))
            yield Caution(
                f"At least {share} of the labels come from a rule that reads only {PARTS[group]}, as the model does, too.",
                "It may have learned the rule instead of the visitors. "
                + (
                    "“Parts of the request” shows the figures without it."
                    if subject.fitted is not None
                    else f"Train with --without {group}, too, and compare."
                ),
            )
