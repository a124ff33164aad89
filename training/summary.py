"""The summary that `xbot train` prints at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from sidecar import core
from sidecar.sources import progress
from training.dataset import Dataset
from training.fit import FOLDS, Behaviour, Fitted
from training.linear import linear_of


def show(data: Dataset, fitted: Fitted, words: dict[int, str], out: Path, *, wide: bool, most: int = 15) -> None:
    """Prints rows, classes, figures on rows held out, the confusion matrix and the strongest features."""
    console = Console(width=120 if wide else None, markup=False, emoji=False, highlight=False)
    bots, humans = int((data.y == 1).sum()), int((data.y == 0).sum())
    left_out = f"; {data.unlabelled} without a label" * bool(data.unlabelled)
    left_out += f"; {data.unreadable} unreadable" * bool(data.unreadable)
    console.print(f"{len(data.y)} rows: {bots} bots, {humans} humans{left_out}")
    if not fitted.converged:
        console.print("The solver stopped before it converged: the figures are valid, but try a smaller -C.")
    console.print(_figures(fitted))
    console.print(_confusion(fitted))
    if fitted.behaviour is not None:
        console.print(_behaviour(fitted.behaviour))
    console.print(_strongest(fitted, words, most))
    console.print(f"wrote {out}")


def warn(cautions: Sequence[str]) -> None:
    """Says, on standard error, what to know before trusting the figures."""
    for caution in cautions:
        progress.say(f"xbot: beware: {caution}")


def _figures(fitted: Fitted) -> Table:
    figures = fitted.figures
    table = Table(
        title=f"on held-out rows ({FOLDS} folds, split by {fitted.split})",
        title_justify="left",
        show_header=False,
        show_edge=False,
        pad_edge=False,
    )
    table.add_row("precision", f"{figures.precision:.4f}", "share of real bots among those called bots")
    table.add_row("recall", f"{figures.recall:.4f}", "share of the bots that were called bots")
    if fitted.free is not None:
        cost = f"with --evidence free: the bounds cost {100 * (fitted.free.recall - figures.recall):.1f} points"
        table.add_row("recall, free", f"{fitted.free.recall:.4f}", cost)
    table.add_row(
        "false-positive rate",
        f"{figures.false_positive_rate:.4f}",
        "share of the humans that were called bots",
    )
    table.add_row("accuracy", f"{figures.accuracy:.4f}", "")
    table.add_row("ROC AUC", f"{figures.roc_auc:.4f}", "")
    table.add_row("threshold", f"{fitted.threshold:.4f}", _threshold(fitted))
    return table


def _threshold(fitted: Fitted) -> str:
    said = "a score at or above it means bot"
    if fitted.proven is None or fitted.bounds is None or np.isnan(fitted.proven.threshold):
        return said
    at = {fitted.bounds[0]: "no need to move it", fitted.bounds[1]: "at its bound"}.get(fitted.threshold, "moved")
    return f"{said}; {at} for {fitted.proven.clients} proven clients"


def _behaviour(found: Behaviour) -> Table:
    table = Table(title="sessions, by held-out client", title_justify="left", show_edge=False, pad_edge=False)
    for name in ("", "clients", "called bot without behaviour", "with it"):
        table.add_column(name, justify="left" if not name else "right")
    table.add_row("people", str(found.people), str(found.people_refused_bare), str(found.people_refused))
    table.add_row("programs", str(found.programs), str(found.programs_caught_bare), str(found.programs_caught))
    table.caption = f"{found.share:.0%} of the weights of behaviour is left"
    return table


def _confusion(fitted: Fitted) -> Table:
    figures = fitted.figures
    table = Table(title="confusion matrix", title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("")
    table.add_column("called bot", justify="right")
    table.add_column("called human", justify="right")
    table.add_row("is a bot", str(figures.true_bots), str(figures.missed_bots))
    table.add_row("is human", str(figures.false_bots), str(figures.true_humans))
    return table


def _strongest(fitted: Fitted, words: dict[int, str], most: int) -> Table:
    table = Table(
        title="strongest features (a weight above 0 counts towards bot)",
        title_justify="left",
        show_edge=False,
        pad_edge=False,
    )
    table.add_column("weight", justify="right")
    table.add_column("feature")
    table.add_column("what it is", overflow="fold")
    weights, dense = linear_of(fitted.pipeline.named_steps["machine"])[1], len(core.FEATURES)
    for i in np.argsort(-np.abs(weights), kind="stable")[:most]:
        if i < dense:
            name, doc = core.FEATURES[i].name, core.FEATURES[i].doc
        else:
            name, doc = words.get(int(i) - dense, f"bucket {int(i) - dense}"), "a hashed word"
        table.add_row(f"{weights[i]:+.4f}", name, doc)
    return table
