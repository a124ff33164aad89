"""page.py - everything about a subject, computed once each and put into one page.

Law: the page is one file that loads nothing: no network, no font, no script but its own, which its content security
policy names by its hash, so that a visitor's text could not run even if it were not escaped.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import sklearn
from markupsafe import Markup

import sidecar
from sidecar import core
from training import dataset, fit
from training.label.summary import Coverage
from training.report import comparison, measures, mistakes, plots, separation
from training.report.cautions import cautions, clients
from training.report.lists import ByReason, agent_lists
from training.report.measures import share_text
from training.report.plots import score_text
from training.report.rereading import Seen, labelled_rows
from training.report.subject import PARTS, Subject

_HERE = Path(__file__).parent
DRAWN = 12  # features
WORDS, WEIGHTS, PAIRS = 30, 40, 12
Advance = Callable[[int], None]


def render(
    subject: Subject,
    *,
    coverage: Coverage | None = None,
    default: fit.Figures | None = None,
    requests_per_day: float | None = None,
    advance: Advance = lambda _: None,
) -> str:
    """The page. `coverage`: what `xbot label --json` wrote; `default`: the
    default model's figures on the same rows; `advance` hears of the bytes of log that were read."""
    return _template().render(_contents(subject, coverage, default, requests_per_day, advance))


def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(_HERE)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "share": share_text,
        "score": score_text,
        "signed": lambda value: f"{value:+.3f}".replace("-", "−"),
        "count": lambda value: f"{value:,.0f}",
        "a_day": a_day_text,
        "short": lambda value: f"{value:.3g}",
        "time": lambda value: f"{datetime.datetime.fromtimestamp(value, datetime.timezone.utc):%d %b %Y %H:%M}",
    }
    return environment.get_template("page.html")


def a_day_text(value: float) -> str:
    """A number a day, with the digits that matter."""
    return "none" if value == 0 else f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _contents(
    subject: Subject,
    coverage: Coverage | None,
    default: fit.Figures | None,
    requests_per_day: float | None,
    advance: Advance,
) -> dict[str, Any]:
    style, script = ((_HERE / name).read_text() for name in ("page.css", "page.js"))
    figures, again = measures.figures(subject), _read_again(subject, advance)
    rate = _rate(subject, again.seen, requests_per_day)
    compared = _comparisons(subject, again)
    return {
        "style": Markup(style),  # noqa: S704  our own files
        "script": Markup(script),  # noqa: S704
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "subject": subject,
        "figures": figures,
        "most_false": measures.interval(figures.false_bots, figures.false_bots + figures.true_humans)[1],
        "by_client": {"bots": measures.refused_clients(subject, 1), "humans": measures.refused_clients(subject, 0)},
        "proven": measures.proven_clients(subject),
        "threshold": subject.model.threshold,
        "cautions": cautions(subject, figures, coverage, default, compared["groups"]),
        "rows": _rows(subject, again.seen),
        "rate": rate,
        **_curves(subject, figures, again.reasons, rate),
        **_choice(subject, figures, rate),
        "reasons": again.reasons,
        "coverage": _rules(coverage),
        "mistakes": [
            ("Humans that score highest", "These are refused first.", [again.mistakes[n] for n in again.worst[False]]),
            ("Bots that score lowest", "These get through.", [again.mistakes[n] for n in again.worst[True]]),
        ],
        "weights": separation.strongest(subject, WEIGHTS),
        **_separation(subject),
        **compared,
        "about": _about(subject),
    }


@dataclasses.dataclass
class _Again:
    """What a second look at the logs gave."""

    seen: Seen
    reasons: ByReason
    worst: dict[bool, np.ndarray]
    mistakes: dict[int, mistakes.Mistake]
    sample: comparison.Sample | None
    lines: list[bytes]


def _read_again(subject: Subject, advance: Advance) -> _Again:
    worst = {bot: mistakes.worst(subject, bot) for bot in (True, False)}
    sample = comparison.sample(subject)
    again = _Again(Seen(), ByReason(agent_lists()), worst, {}, sample, [])
    wanted = {int(number) for numbers in worst.values() for number in numbers}
    sampled = set(sample.rows.tolist()) if sample else set()
    bot, called = subject.bot.tolist(), subject.called.tolist()
    for row in labelled_rows(subject.data, subject.how, subject.logs, subject.labels, advance, again.seen):
        again.reasons.add(row, bot[row.number], called[row.number], subject.reasons(row.through))
        if row.number in sampled:
            again.lines.append(row.text)
        if row.number in wanted:
            again.mistakes[row.number] = mistakes.describe(subject, row)
    return again


def _rows(subject: Subject, seen: Seen) -> dict[str, Any]:
    data, both = subject.data, ((1, "bots"), (0, "humans"))
    return {
        "sources": [(log, source) for log, source in zip(subject.logs, data.sources, strict=True)],
        "seen": seen,
        "length": measures.length_text(seen.days * 86_400) if seen.days else "",
        "classes": [(name, int((data.y == label).sum()), clients(subject, label)) for label, name in both],
        "unlabelled": data.unlabelled,
        "unreadable": data.unreadable,
        "groups": [PARTS[name] for name, bits in core.GROUPS.items() if data.present & bits],
        "left_out": [PARTS.get(name, name) for name in _left_out(subject)],
        "timeline": plots.timeline(data.time, subject.bot),
    }


def _left_out(subject: Subject) -> list[str]:
    """What --without leaves out: groups by their name, where all of one is."""
    rows, without = (*core.FEATURES, *core.FAMILIES), subject.how.without
    whole = {row.group for row in rows} - {row.group for row in rows if row.name not in without}
    return [*sorted(whole), *sorted(row.name for row in rows if row.name in without and row.group not in whole)]


def _rate(subject: Subject, seen: Seen, given: float | None) -> measures.Rate | None:
    humans = float((subject.data.y == 0).mean())
    if given is not None:
        return measures.Rate(given, humans, "as given by --requests-per-day")
    if seen.days is None:
        return None
    length = measures.length_text(seen.days * 86_400)
    return measures.Rate(seen.lines / seen.days, humans, f"by the log’s times: {seen.lines:,} requests in {length}")


def _curves(subject: Subject, figures: fit.Figures, reasons: ByReason, rate: measures.Rate | None) -> dict[str, Any]:
    cuts = measures.cuts(subject.log_odds, subject.bot)
    mine = cuts.doing(figures.true_bots, figures.false_bots)
    thin = measures.thinned(cuts, (mine,))
    few = measures.Cuts(cuts.log_odds[thin], cuts.caught[thin], cuts.refused[thin], cuts.bots, cuts.humans)
    judges = reasons.judges("this model")
    measured = [judge for judge in judges if not judge.missing]
    roc, on_roc = plots.roc(few, measured, subject.settings.max_fpr)
    precision, on_precision = plots.precision_recall(few, measured)
    histogram, on_histogram, height = plots.histogram(
        subject.log_odds, subject.bot, measures.threshold_log_odds(subject), few
    )
    points = [
        [score_text(float(score)), int(caught), int(refused), *places]
        for score, caught, refused, *places in zip(
            few.score, few.caught, few.refused, on_roc, on_precision, on_histogram, strict=True
        )
    ]
    chooser = {
        "bots": cuts.bots,
        "humans": cuts.humans,
        "rate": rate.requests if rate else None,
        "height": height,
        "points": points,
        "at": int(np.searchsorted(thin, mine)),
    }
    bins, brier = measures.calibration(subject)
    return {
        "judges": judges,
        "roc": roc,
        "precision_recall": precision,
        "histogram": histogram,
        "bins": bins,
        "brier": brier,
        "brier_of_guess": float(subject.bot.mean() * (1 - subject.bot.mean())),
        "calibration": plots.calibration(bins),
        "chooser": json.dumps(chooser, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c"),
        "chooser_last": len(points) - 1,
        "chooser_at": chooser["at"],
    }


def _choice(subject: Subject, figures: fit.Figures, rate: measures.Rate | None) -> dict[str, Any]:
    cuts = measures.cuts(subject.log_odds, subject.bot)
    mine = cuts.doing(figures.true_bots, figures.false_bots)
    places = sorted({place for _, place in measures.choose(cuts)} | {mine})
    return {
        "choices": [
            {
                "score": float(cuts.score[i]) if i != mine else subject.model.threshold,
                "caught": int(cuts.caught[i]),
                "recall": float(cuts.recall[i]),
                "refused": int(cuts.refused[i]),
                "rate": float(cuts.false_positive_rate[i]),
                "most": measures.interval(int(cuts.refused[i]), cuts.humans)[1],
                "precision": float(cuts.precision[i]),
                "a_day": rate.a_day(float(cuts.false_positive_rate[i])) if rate else None,
                "mine": i == mine,
            }
            for i in places
        ]
    }


def _rules(coverage: Coverage | None) -> dict[str, Any] | None:
    if coverage is None:
        return None
    return {
        "whole": coverage,
        "rules": sorted((r for r in coverage.rules if r.on and not r.idle), key=lambda r: (-r.lines, r.name)),
        "idle": [r for r in coverage.rules if r.on and r.idle],
        "off": [r.name for r in coverage.rules if not r.on],
        "pairs": [
            ("Rules that contradict each other", coverage.conflict_pairs[:PAIRS]),
            ("Rules that fire together", coverage.overlap_pairs[:PAIRS]),
        ],
    }


def _separation(subject: Subject) -> dict[str, Any]:
    features, same = separation.features(subject.data, subject.settings.seed)
    bots, humans = separation.word_shares(subject.data, subject.settings.seed)
    buckets = separation.separating_buckets(bots, humans, WORDS)
    names = {int(n): text for n, text in subject.model.provenance.get("words", {}).items()}
    if buckets:
        found = dataset.words_of(subject.logs, subject.how, set(buckets) - set(names))
        names |= {n: "ip_net" if text.startswith("ip_net=") else text for n, text in found.items()}
    return {
        "features": features,
        "same": same,
        "drawings": [(found, plots.feature(found, i)) for i, found in enumerate(features[:DRAWN])],
        "words": [separation.Word(names.get(n, f"bucket {n}"), float(bots[n]), float(humans[n])) for n in buckets],
        "sampled": len(subject.data.y) > separation.MOST_ROWS and separation.MOST_ROWS,
    }


def _comparisons(subject: Subject, again: _Again) -> dict[str, Any]:
    chosen = again.sample
    return {
        "splits": comparison.splits(subject),
        "machines": comparison.machines(subject, chosen) if chosen else [],
        "groups": comparison.groups(subject, chosen, again.lines) if chosen else [],
        "sample": len(again.lines),
    }


def _about(subject: Subject) -> dict[str, str]:
    settings = subject.settings.as_dict() if subject.fitted is not None else {}
    machine = subject.model.provenance.get("machine", "")
    return {
        "xbot": sidecar.__version__,
        "model": f"{machine}, 2^{subject.model.k} buckets of words",
        **{name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in settings.items()},
        "format": subject.how.log_format,
        "left out": ", ".join(_left_out(subject)) or "nothing",
        "folds": str(fit.FOLDS) if subject.fitted is not None else "none: nothing was fitted",
        "versions": f"Python {platform.python_version()}, scikit-learn {sklearn.__version__}, numpy {np.__version__}",
    }
