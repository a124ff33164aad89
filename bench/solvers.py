"""The ways to fit the linear SVM, by C: time, nearness to the minimum, and what they find on clients held out.

    .venv/bin/python bench/solvers.py [--lines 20000] [--C 0.01 --C 0.1 --C 1]

Law: one log (bench/logs.py), one split, one matrix; only the solver differs. The minimum is the lowest that any reaches,
one with all the time it wants among them. `xbot train` takes the dual up to fit.DUAL (training/fit.py), and L-BFGS-B
for bounded evidence (training/bounded.py). Its bias is free, and under bounds its minimum is another and higher one.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import click
import logs
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from training import dataset, fit
from training.bounded import BoundedSVC
from training.corpus import generate
from training.labels import read_labels

WAYS: dict[str, Any] = {
    "primal, all the time it wants": LinearSVC(dual=False, tol=1e-7, max_iter=100_000),
    "primal, tol 1e-3": LinearSVC(dual=False, tol=1e-3),
    "dual, tol 0.1": LinearSVC(dual=True, tol=0.1, random_state=0),
    "dual, tol 0.01": LinearSVC(dual=True, tol=0.01, random_state=0),
    "L-BFGS-B without bounds": BoundedSVC(most_against=float("inf")),
    "L-BFGS-B, no weight below 0": BoundedSVC(),
}


def read(lines: int) -> dataset.Dataset:
    """The log of bench/logs.py as rows, addresses left out as `xbot train` leaves them out."""
    with tempfile.TemporaryDirectory(prefix="xbot-solvers-") as name:
        log, labels = Path(name) / "access.log", Path(name) / "labels.tsv"
        logs.write(log, labels, lines, logs.pages(list(generate(1, min(lines, 20_000)))))
        how = dataset.How("combined", 15, without=dataset.masked_names(["ip"]), jobs=1)
        return dataset.read([str(log)], how, labels=read_labels(labels))


def judge(data: dataset.Dataset, C: float) -> list[list[str]]:
    """A row for each way: fitted on four folds, judged on the fifth."""
    settings = fit.Settings(C=C)
    fold, _ = fit.folds_of(data, settings)
    rest, held_out = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
    y, weight = data.y[rest], fit.row_weights(data.y[rest], data.client[rest])
    columns = fit.make_machine(settings)[:-1]
    X, unseen = columns.fit_transform(data.X[rest], y), columns.transform(data.X[held_out])
    found = []
    for name, way in WAYS.items():
        machine = way.set_params(C=C)
        started = time.monotonic()
        machine.fit(X, y, sample_weight=weight)
        took = time.monotonic() - started
        loss = np.maximum(0, 1 - np.where(y == 1, 1.0, -1.0) * machine.decision_function(X))
        norm = machine.coef_[0] @ machine.coef_[0] + machine.intercept_[0] ** 2
        margins = machine.decision_function(unseen)
        held = data.y[held_out]
        figures = fit.figures(margins, held, fit.choose_threshold(margins, held, settings.max_fpr))
        found.append((name, took, 0.5 * norm + C * float(weight @ loss**2), machine.n_iter_, figures))
    least = min(objective for _, _, objective, _, _ in found)
    return [
        [f"{C:g}", name, f"{took:.2f}", f"{rounds}", f"{100 * (objective / least - 1):.3f}%", f"{f.roc_auc:.4f}", f"{f.recall:.4f}"]
        for name, took, objective, rounds, f in found
    ]  # fmt: skip


@click.command(help=__doc__)
@click.option("--lines", default=20_000, show_default=True, help="Lines of the log.")
@click.option("--C", "sizes", type=float, multiple=True, default=(0.01, 0.1, 1.0), show_default=True)
def main(lines: int, sizes: tuple[float, ...]) -> None:
    table = Table("C", "solver", "seconds", "rounds", "above the minimum", "ROC AUC", "recall at 0.1%")
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter(
            "ignore"
        )  # a column that is absent everywhere; a solver that stops early shows in its rounds
        data = read(lines)
        for C in sizes:
            for row in judge(data, C):
                table.add_row(*row)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
