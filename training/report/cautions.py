"""cautions.py - what a reader should know before trusting the figures, found in the rows.

Law: each caution is a fact about these rows with its number, and what to do about it. None is shown that does not hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sidecar import core
from training.fit import Figures
from training.label.summary import Coverage
from training.report.comparison import Outcome
from training.report.measures import interval, length_text, share_text
from training.report.subject import PARTS, Subject

LOUD = 0.3  # of a class's rows, by one client
FEW_CLIENTS = 30
FEW_BOTS = 30  # with a browser's agent: below that their recall is not known
LOW = 0.5  # of a recall
SHORT = 20 * 3600  # seconds: a log of less is of a part of the day
_DECLARED = (
    "ua_empty",
    "ua_bot_word",
    "ua_url",
    "ua_mail",
    "ua_headless",
    "ua_browser_unknown",
    "ua_category_tool",
    "ua_category_crawler",
)
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


def cautions(
    subject: Subject,
    figures: Figures,
    coverage: Coverage | None = None,
    default: Figures | None = None,
    groups: Sequence[Outcome] = (),
) -> list[Caution]:
    """All that hold. `default`: the figures of the default model on the same rows; `groups`: what is left without each part."""
    return [
        *_of_the_fit(subject),
        *(_of_the_default(subject, figures, default) if default is not None else ()),
        *_of_disguise(subject, figures),
        *_of_the_agent(groups),
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


def _of_the_default(subject: Subject, figures: Figures, default: Figures) -> Iterator[Caution]:
    if default.recall > figures.recall:
        most = share_text(subject.settings.max_fpr)
        start = subject.fitted is not None and subject.fitted.start is not None
        yield Caution(
            f"The default model is better on these rows: it catches {share_text(default.recall)} of the bots, this one "
            f"{share_text(figures.recall)}, each at its best threshold for at most {most} of the humans.",
            "Keep the default"
            + ("." if start else ", or start from it, so that what it knows is kept: --start default.")
            + " (Its rows were no part of its training; this model’s margins are of rows held out.)",
        )


def _of_disguise(subject: Subject, figures: Figures) -> Iterator[Caution]:
    """Bots that say what they are carry most figures; those in a browser's agent are what a model is for."""
    names = {row.name: i for i, row in enumerate(core.FEATURES)}
    columns = [names[name] for name in _DECLARED if name not in subject.how.without]
    if not subject.data.present & core.GROUPS["ua"] or len(columns) < len(_DECLARED):
        return
    declared = np.asarray((subject.data.X[:, columns] > 0).sum(axis=1)).ravel() > 0
    disguised = subject.bot & ~declared
    number = int(disguised.sum())
    if number < FEW_BOTS:
        yield Caution(
            f"{number:,} of the bots’ requests have a browser’s agent: how many of such bots are caught is not known.",
            "The figures are of bots that say what they are, and such bots are easy. Label some that do not, or judge "
            "the model by a log that holds them.",
        )
        return
    recall = float(subject.called[disguised].mean())
    if recall < LOW < figures.recall:
        rest = float(subject.called[subject.bot & declared].mean())
        yield Caution(
            f"Of the bots with a browser’s agent {share_text(recall)} are caught; of those that say what they are "
            f"{share_text(rest)}.",
            "The second kind carries the figures. Whoever takes a browser’s agent passes.",
        )


def _of_the_agent(groups: Sequence[Outcome]) -> Iterator[Caution]:
    recall = {outcome.name: outcome.recall for outcome in groups}
    whole, without = recall.get("everything", 0.0), recall.get("without ua")
    if without is not None and without < LOW * whole:
        yield Caution(
            f"Without the user agent {share_text(without)} of the bots are caught, with it {share_text(whole)}.",
            "Nearly all that the model knows is agents, and an agent costs nothing to change.",
        )


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
    addresses = np.unique(subject.data.client[subject.data.client != 0])
    if len(addresses) == 1 and len(subject.data.y) > FEW_CLIENTS:
        yield Caution(
            "All requests come from one address: that of a proxy?",
            "The log lacks the visitors’ addresses, so nothing is held out by client. Let nginx take them from the proxy "
            "(set_real_ip_from, real_ip_header: docs/behind-a-proxy.md), and train on a log written since.",
        )
    times = subject.data.time[subject.data.time >= 0]
    length = float(times.max() - times.min()) if len(times) else 0.0
    if 0 < length < SHORT:
        yield Caution(
            f"The log covers {length_text(length)}.",
            "Other hours and days bring other visitors, and what is said of a day is reckoned from this. Take a week.",
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
