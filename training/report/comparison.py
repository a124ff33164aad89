"""comparison.py - is it the machine, the way of holding out, or a part of the request? Each is changed by itself.

Law: the only place of the report that fits. Same rows, same folds, same weights of rows; figures out of fold.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from sidecar import core
from training import fit
from training.dataset import featurize, masked_names
from training.linear import margins_of
from training.report.separation import sample_rows
from training.report.subject import PARTS, Subject

MOST_ROWS = 5_000  # an RBF machine's time grows with the square of its rows


@dataclass(frozen=True)
class Outcome:
    """How a machine did out of fold: ROC AUC, and the share of bots caught at the settings' max_fpr."""

    name: str
    doc: str
    roc_auc: float
    recall: float


@contextmanager
def quietly() -> Iterator[None]:
    """One thread of linear algebra, as the fit itself; a column that is absent everywhere is no news."""
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        yield


def splits(subject: Subject) -> list[fit.Split]:
    """The same machine, held out in other ways."""
    if subject.fitted is None:
        return []
    with quietly():
        return fit.compare_splits(subject.data, subject.fitted, subject.settings)


@dataclass(frozen=True)
class Sample:
    """Rows to compare machines on, in order, and the fold of each."""

    rows: np.ndarray
    fold: np.ndarray


def sample(subject: Subject) -> Sample | None:
    """At most MOST_ROWS rows of a subject that was fitted; None where the rest of a fold would lack a class."""
    if subject.fitted is None:
        return None
    rows = sample_rows(len(subject.data.y), MOST_ROWS, subject.settings.seed)
    fold = fit.folds_of(subject.data, subject.settings)[0][rows]
    y = subject.data.y[rows]
    enough = len(np.unique(y)) == 2 and all(len(np.unique(y[fold != number])) == 2 for number in np.unique(fold))
    return Sample(rows, fold) if enough else None


def machines(subject: Subject, chosen: Sample) -> list[Outcome]:
    """Linear SVM, logistic regression, naive Bayes, and an SVM with a radial kernel on the same columns."""
    makers: list[tuple[str, str, Callable[[], Pipeline]]] = [
        ("linear SVM", "--model svm", lambda: _linear(subject, "svm")),
        ("logistic regression", "--model logistic", lambda: _linear(subject, "logistic")),
        ("naive Bayes", "--model nb", lambda: _linear(subject, "nb")),
        ("SVM, RBF kernel", "not linear: no flat array, so xbot cannot serve it", lambda: _radial(subject)),
    ]
    with quietly():
        return [_judge(subject, name, doc, subject.data.X[chosen.rows], chosen, make) for name, doc, make in makers]


def groups(subject: Subject, chosen: Sample, lines: list[bytes]) -> list[Outcome]:
    """The machine of the settings without each part of the request, and with each part alone. `lines`: the rows' lines
    in the log."""
    held = [name for name in core.GROUPS if _held(subject, name)]
    if len(held) < 2:
        return []
    block = b"\n".join(lines) + b"\n"
    masks = [("everything", "", frozenset[str]())]
    masks += [(f"without {name}", f"all but {PARTS[name]}: --without {name}", masked_names([name])) for name in held]
    masks += [
        (f"only {name}", f"{PARTS[name]} alone", masked_names([other for other in held if other != name]))
        for name in held
    ]
    found = []
    with quietly():
        for name, doc, mask in masks:
            chunk = featurize(block, replace(subject.how, without=subject.how.without | mask, stateless=True))
            indptr = np.concatenate([[0], np.cumsum(chunk.counts)])
            shape = (len(chunk.counts), subject.data.X.shape[1])
            X = scipy.sparse.csr_matrix((chunk.data, chunk.columns, indptr), shape=shape) + _past(subject, chosen, mask)
            found.append(_judge(subject, name, doc, X, chosen, lambda: fit.make_machine(subject.settings)))
    return found


def _past(subject: Subject, chosen: Sample, mask: frozenset[str]) -> scipy.sparse.csr_matrix:
    """The columns of what clients did before, which the rows' lines alone do not tell; the others are empty."""
    X = subject.data.X[chosen.rows].tocoo()
    wanted = [i for i, row in enumerate(core.FEATURES) if row.group == "client" and row.name not in mask]
    kept = np.isin(X.col, wanted)
    return scipy.sparse.csr_matrix((X.data[kept], (X.row[kept], X.col[kept])), shape=X.shape)


def _held(subject: Subject, group: str) -> bool:
    mine = {row.name for row in (*core.FEATURES, *core.FAMILIES) if row.group == group}
    return bool(subject.data.present & core.GROUPS[group]) and bool(mine - subject.how.without)


def _linear(subject: Subject, kind: fit.Kind) -> Pipeline:
    return fit.make_machine(replace(subject.settings, kind=kind))


def _radial(subject: Subject) -> Pipeline:
    columns = fit.make_machine(replace(subject.settings, kind="svm")).named_steps["columns"]
    return Pipeline([("columns", columns), ("machine", SVC(gamma="scale", cache_size=500))])


def _judge(
    subject: Subject, name: str, doc: str, X: scipy.sparse.csr_matrix, chosen: Sample, make: Callable[[], Pipeline]
) -> Outcome:
    y, client, fold = subject.data.y[chosen.rows], subject.data.client[chosen.rows], chosen.fold
    margins = np.empty(len(y))
    for number in np.unique(fold):
        rest, held_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        weight = fit.row_weights(y[rest], client[rest])
        machine = make().fit(X[rest], y[rest], machine__sample_weight=weight)
        if isinstance(machine[-1], SVC):  # it has no flat array
            margins[held_out] = machine.decision_function(X[held_out])
        else:
            margins[held_out] = margins_of(machine, X, held_out)
    figures = fit.figures(margins, y, fit.choose_threshold(margins, y, subject.settings.max_fpr))
    return Outcome(name, doc, figures.roc_auc, figures.recall)
