"""plots.py - the drawings of the page, by matplotlib.

Law: draws what it is given; computes nothing that the page says. Bots are one colour and humans the other in every
drawing (orange and blue, told apart by all kinds of colour vision), and lines differ by more than colour.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from sidecar import core
from training.report.lists import Judge
from training.report.measures import Bin, Cuts, share_text
from training.report.separation import Feature
from training.report.svg import BOT, FOURTH, GRID, HUMAN, INK, MUTED, THIRD, inline, place

SIZE, SMALL = 11.0, 9.0  # px of text
# Scores that an axis of log-odds names.
_TICKS = (1e-12, 1e-9, 1e-6, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1 - 1e-6, 1 - 1e-9, 1 - 1e-12)
Point = tuple[float, float]
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")
    axes = figure.add_subplot()
    _plain(axes)
    return figure, axes


def _plain(axes: Axes) -> None:
    axes.tick_params(length=0, labelsize=SIZE, labelcolor=MUTED, pad=5)
    axes.xaxis.label.set(color=INK, size=SIZE)
    axes.yaxis.label.set(color=INK, size=SIZE)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set(color=MUTED, linewidth=0.8)


def _beside(axes: Axes, x: float, y: float, text: str, colour: str, right: bool) -> None:
    """A word beside an upright line at x: to its left where it stands on the right."""
    side, shift, upper = ("right", -6, y > 1) if right else ("left", 6, y > 1)
    axes.annotate(
        text, (x, y), xytext=(shift, -2 if upper else 2), textcoords="offset points", color=colour, size=SMALL, ha=side,
        va="top" if upper else "bottom",
    )  # fmt: skip


def _percent(axes: Axes, *names: str) -> None:
    for name in names:
        getattr(axes, f"{name}axis").set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))


def roc(cuts: Cuts, judges: Sequence[Judge], budget: float) -> tuple[Markup, list[Point]]:
    """(drawing, where each cut lies in it): bots caught over humans refused, on a logarithmic axis."""
    figure, axes = _figure(470, 330)
    floor = 0.4 / cuts.humans  # where "none" is drawn
    share = np.maximum(cuts.false_positive_rate, floor)
    axes.set_xscale("log")
    axes.set_xlim(floor / 1.15, 1.15)
    axes.set_ylim(-0.02, 1.04)
    if budget > 0:
        axes.axvline(max(budget, floor), color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        right = budget > 0.02
        _beside(axes, max(budget, floor), 0.0, f"--max-fpr {budget:g}", MUTED, right)
    axes.plot(*_corners(share, cuts.recall), color=INK, linewidth=2, drawstyle="steps-post")
    _mark_judges(axes, [(judge, max(judge.false_positive_rate, floor), judge.recall) for judge in judges])
    axes.xaxis.set_minor_locator(NullLocator())
    decades = [10.0**-n for n in range(8) if 10.0**-n > 2.5 * floor]
    axes.set_xticks([floor, *decades], ["none", *map(share_text, decades)])
    _percent(axes, "y")
    axes.set_xlabel("humans refused")
    axes.set_ylabel("bots caught")
    drawing = inline(figure, "roc", "ROC: share of bots caught over share of humans refused")
    return drawing, [place(figure, x, y) for x, y in zip(share, cuts.recall, strict=True)]


def precision_recall(cuts: Cuts, judges: Sequence[Judge]) -> tuple[Markup, list[Point]]:
    """(drawing, where each cut lies in it): precision over bots caught."""
    figure, axes = _figure(470, 330)
    precision, recall = cuts.precision, cuts.recall
    said = [judge for judge in judges if judge.precision is not None]
    lowest = min([float(precision[1:].min()), *(judge.precision or 0.0 for judge in said)])
    floor = max(0.0, math.floor(lowest * 20 - 0.5) / 20)
    axes.set_xlim(-0.02, 1.04)
    axes.set_ylim(floor, 1 + (1 - floor) * 0.04)
    axes.plot(recall[1:], precision[1:], color=INK, linewidth=2)
    _mark_judges(axes, [(judge, judge.recall, judge.precision or 0.0) for judge in said])
    _percent(axes, "x", "y")
    axes.set_xlabel("bots caught (recall)")
    axes.set_ylabel("bots among those called so (precision)")
    drawing = inline(figure, "pr", "precision over recall")
    return drawing, [place(figure, x, y) for x, y in zip(recall, precision, strict=True)]


def _corners(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve without the points that lie on a straight line between their neighbours."""
    flat = np.zeros(len(x), dtype=bool)
    flat[1:-1] = ((x[1:-1] == x[:-2]) & (x[1:-1] == x[2:])) | ((y[1:-1] == y[:-2]) & (y[1:-1] == y[2:]))
    return x[~flat], y[~flat]


def _mark_judges(axes: Axes, marks: Sequence[tuple[Judge, float, float]]) -> None:
    """A point each, named above the drawing; those that lie on one another differ in size and stay visible."""
    looks = [("D", THIRD, 11.0), ("s", FOURTH, 7.0)]
    for judge, x, y in marks:
        shape, colour, size = looks.pop(0) if judge.a_list and looks else ("o", INK, 7.0)
        hollow: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 2} if judge.a_list else {}
        axes.plot(
            [x], [y], marker=shape, color=colour, markersize=size, linestyle="none", clip_on=False, label=judge.name,
            **hollow,
        )  # fmt: skip
    axes.legend(
        frameon=False, fontsize=SIZE, labelcolor=INK, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3,
        handletextpad=0.4, columnspacing=1.4, borderaxespad=0.2,
    )  # fmt: skip


def histogram(log_odds: np.ndarray, bot: np.ndarray, threshold: float, cuts: Cuts) -> tuple[Markup, list[Point], float]:
    """(drawing, where each cut lies in it, its height): rows by score and class, counts as logarithms."""
    figure, axes = _figure(960, 300)
    log_odds, threshold = log_odds.clip(-40, 40), max(threshold, -40.0)
    low, high = min(log_odds.min(), threshold) - 0.2, max(log_odds.max(), threshold) + 0.2
    edges = np.linspace(low, high, 81)
    for rows, colour in ((~bot, HUMAN), (bot, BOT)):
        counts, _ = np.histogram(log_odds[rows], edges)
        axes.stairs(counts, edges, fill=True, color=colour, alpha=0.3, baseline=0.5)
        axes.stairs(counts, edges, color=colour, linewidth=1.6, baseline=0.5)
    axes.set_yscale("log")
    top = float(axes.get_ylim()[1])
    axes.set_ylim(0.5, top)
    axes.set_xlim(low, high)
    axes.axvline(threshold, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
    right = threshold > (low + high) / 2
    _beside(axes, threshold, top, "threshold", INK, right)
    axes.set_xticks(*_score_ticks(low, high))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("score (how surely a bot)")
    axes.set_ylabel("requests")
    drawing = inline(figure, "histogram", "how many requests have each score, by class")
    height = place(figure, low, 0.5)[1] - place(figure, low, top)[1]
    return drawing, [place(figure, x, 0.5) for x in np.clip(cuts.log_odds, low, high)], round(height, 1)


def _score_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    ticks: list[tuple[float, str]] = []
    for score in _TICKS:
        at = math.log(score / (1 - score))
        if low <= at <= high and (not ticks or at - ticks[-1][0] > (high - low) / 16):
            ticks.append((at, score_text(score)))
    return [at for at, _ in ticks], [said for _, said in ticks]


def score_text(score: float) -> str:
    """A score with the digits that tell it from 0 and from 1."""
    if score in (0, 1):
        return f"{score:.0f}"
    edge = min(score, 1 - score)
    if edge >= 1e-6:
        return f"{score:.{max(4, -math.floor(math.log10(edge)) + 1)}f}".rstrip("0")
    mantissa, _, exponent = f"{edge:.0e}".partition("e")
    power = f"{mantissa}×10{str(int(exponent)).translate(_RAISED)}"
    return power if score < 0.5 else f"1 − {power}"


def calibration(bins: Sequence[Bin]) -> Markup:
    """The share of bots among rows of about one score, over the score; lines show 95% confidence."""
    figure, axes = _figure(470, 330)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
    score, share = np.array([b.score for b in bins]), np.array([b.share for b in bins])
    axes.vlines(score, [b.low for b in bins], [b.high for b in bins], color=INK, linewidth=1.2, alpha=0.55)
    size = 18 + 22 * np.log10([b.rows for b in bins])
    axes.plot(score, share, color=INK, linewidth=1, alpha=0.4)
    axes.scatter(score, share, s=size, color=INK, zorder=3, clip_on=False, linewidth=0)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.04)
    axes.set_xlabel("score")
    axes.set_ylabel("share of bots")
    _percent(axes, "y")
    return inline(figure, "calibration", "calibration: share of bots over score")


# Lengths of time that people count in, in seconds, and what each is called.
_SPANS = {
    "second": (1, 2, 5, 10, 15, 30),
    "minute": (60, 120, 300, 600, 900, 1800),
    "hour": (3600, 7200, 10_800, 21_600, 43_200),
    "day": (86_400, 172_800, 604_800, 1_209_600, 2_592_000, 7_776_000, 31_536_000),
}
_BINS, _TICKS_OF_TIME = 120, 7  # at most, about


def span(length: float, most: int) -> tuple[int, str]:
    """(seconds, in words): the shortest span that people count in of which at most so many fill a length of time."""
    for unit, each in _SPANS.items():
        for seconds in each:
            if length <= seconds * most:
                number = seconds // each[0]
                return seconds, f"{number} {unit}s" if number > 1 else f"a {unit}" if unit != "hour" else "an hour"
    seconds = -(-int(length) // (most * 86_400)) * 86_400
    return seconds, f"{seconds // 86_400} days"


def timeline(time: np.ndarray, bot: np.ndarray) -> Markup | None:
    """Rows over time by class; None where times are not known for all or are all the same."""
    if (time < 0).any() or time.min() == time.max():
        return None
    figure, axes = _figure(960, 190)
    first, last = float(time.min()), float(time.max())
    width, said = span(last - first, _BINS)
    edges = np.arange(first // width * width, last + width, width)
    for rows, colour in ((bot, BOT), (~bot, HUMAN)):
        counts, _ = np.histogram(time[rows], edges)
        axes.stairs(counts, edges, fill=True, color=colour, alpha=0.25)
        axes.stairs(counts, edges, color=colour, linewidth=1.4)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, None)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    step, _ = span(last - first, _TICKS_OF_TIME)
    ticks = np.arange(-(-edges[0] // step) * step, edges[-1] + 1, step)
    ticks = ticks[ticks <= core.MAX_TIME]  # the axis ends behind the last request, and no date is later
    clock = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86_400 else "%d %b %Y"
    axes.set_xticks(ticks, _times(ticks, clock))
    day = datetime.datetime.fromtimestamp(first, datetime.timezone.utc)
    axes.set_xlabel("time, UTC" if step >= 86_400 else f"time, UTC, from {day:%d %b %Y} on")
    axes.set_ylabel(f"requests in {said}")
    return inline(figure, "timeline", f"requests over time, by class, UTC; each step is {said}")


def _times(ticks: np.ndarray, clock: str) -> list[str]:
    """How ticks are called: by the clock, and where a day begins by the day."""
    moments = [datetime.datetime.fromtimestamp(tick, datetime.timezone.utc) for tick in ticks]
    return [
        f"{at:%d %b}" if "%H" in clock and (at.hour, at.minute, at.second) == (0, 0, 0) else at.strftime(clock)
        for at in moments
    ]


def feature(found: Feature, number: int) -> Markup:
    """One feature's values by class: shares of each class, side by side."""
    figure, axes = _figure(300, 168)
    values = np.unique(np.concatenate([np.unique(found.bots), np.unique(found.humans)]))
    if len(values) <= 4:
        at = np.arange(len(values))
        for rows, colour, shift in ((found.bots, BOT, -0.2), (found.humans, HUMAN, 0.2)):
            axes.bar(at + shift, [(rows == value).mean() for value in values], 0.36, color=colour)
        yes_no = set(values) <= {0.0, 1.0}
        axes.set_xticks(at, [("yes" if v else "no") if yes_no else f"{v:g}" for v in values])
        axes.grid(visible=False, axis="x")
    else:
        low, high = np.quantile(np.concatenate([found.bots, found.humans]), [0.001, 0.999])
        whole = high - low < 40
        edges = np.arange(low - 0.5, high + 1.5) if whole else np.linspace(low, high, 31)
        for rows, colour in ((found.bots, BOT), (found.humans, HUMAN)):
            share = np.histogram(np.clip(rows, low, high), edges)[0] / len(rows)
            axes.stairs(share, edges, fill=True, color=colour, alpha=0.3)
            axes.stairs(share, edges, color=colour, linewidth=1.4)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_ylim(0, None)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    _percent(axes, "y")
    axes.tick_params(labelsize=SMALL + 1)
    axes.set_xlabel("value", size=SMALL + 1)
    axes.set_ylabel("share of its class", size=SMALL + 1)
    return inline(figure, f"feature-{number}", f"{found.name}: shares of bots and of humans by value")
