"""Fitting: scale, a linear support vector machine, calibration and threshold, all on rows that were not fitted.

Law: scikit-learn fits, nothing here re-implements it. Margins for calibration, threshold and figures are out of fold:
each row's comes from a machine that was fitted without it; the exported machine is fitted on all rows (scikit-learn
calls it `CalibratedClassifierCV(ensemble=False)`, which keeps the margins to itself, and the threshold needs them).
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from sidecar import core
from sidecar.errors import XbotError
from training.dataset import Dataset

FOLDS = 5
LEAST_ROWS = 10  # of each class: two in every fold


@dataclass(frozen=True)
class Figures:
    """How the machine did on rows that it was not fitted on, at the threshold."""

    true_bots: int  # bots called bots
    missed_bots: int
    true_humans: int
    false_bots: int  # humans called bots
    precision: float
    recall: float
    false_positive_rate: float
    accuracy: float
    roc_auc: float
    average_precision: float

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for provenance."""
        return asdict(self)


@dataclass(frozen=True)
class Fitted:
    """The pipeline, its calibration (score = 1 / (1 + exp(a * margin + b))), threshold (of the score) and figures."""

    pipeline: Pipeline
    a: float
    b: float
    threshold: float
    figures: Figures
    converged: bool


def _to_array(X: scipy.sparse.csr_matrix) -> np.ndarray:
    dense: np.ndarray = X.toarray()
    return dense


def make_machine(C: float, seed: int) -> Pipeline:
    """The pipeline over the columns of training.dataset: dense ones scaled, absent values at their mean; buckets as
    they are; a linear SVM solved in its primal: deterministic, and it copes with more columns than rows."""
    dense = len(core.FEATURES)
    scale = make_pipeline(
        FunctionTransformer(_to_array, accept_sparse=True),
        StandardScaler(),
        SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True),
    )
    columns = ColumnTransformer(
        [("dense", scale, slice(0, dense)), ("words", "passthrough", slice(dense, None))],
        sparse_threshold=1.0,
    )
    machine = LinearSVC(C=C, class_weight="balanced", dual=False, tol=1e-6, max_iter=5000, random_state=seed)
    return Pipeline([("columns", columns), ("machine", machine)])


def check_classes(y: np.ndarray) -> None:
    """XbotError unless both classes have rows enough to fit and to hold out."""
    bots, humans = int((y == 1).sum()), int((y == 0).sum())
    if not bots or not humans:
        missing = "no labelled rows" if not bots + humans else "no bots" if not bots else "only bots, no humans"
        raise XbotError(f"training needs both classes: {missing} in the log")
    if min(bots, humans) < LEAST_ROWS:
        raise XbotError(f"training needs at least {LEAST_ROWS} rows of each class: {bots} bots, {humans} humans")


def fit(data: Dataset, *, C: float = 1.0, max_fpr: float = 0.001, seed: int = 0) -> Fitted:
    """Fits, calibrates and chooses the threshold: the most bots caught with at most `max_fpr` of the humans refused, by
    out-of-fold margins. XbotError if a class is missing or the rows cannot be told apart at all."""
    check_classes(data.y)
    machine = make_machine(C, seed)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        margins = cross_val_predict(machine, data.X, data.y, cv=folds, method="decision_function")
        machine.fit(data.X, data.y)
    a, b = calibrate(margins, data.y)
    threshold = choose_threshold(margins, data.y, max_fpr)
    return Fitted(
        pipeline=machine,
        a=a,
        b=b,
        threshold=float(1.0 / (1.0 + np.exp(a * threshold + b))),
        figures=figures(margins, data.y, threshold),
        converged=not any(issubclass(w.category, ConvergenceWarning) for w in caught),
    )


def calibrate(margins: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Platt's a and b: probability of bot = 1 / (1 + exp(a * margin + b)).

    With Platt's smoothed targets ("Probabilistic Outputs for Support Vector Machines", 1999), so that classes that do
    not overlap give no infinite slope: each row is fitted as both outcomes, weighted by its target.
    """
    bots, humans = (y == 1).sum(), (y == 0).sum()
    target = np.where(y == 1, (bots + 1.0) / (bots + 2.0), 1.0 / (humans + 2.0))
    twice = np.concatenate([margins, margins])[:, None]
    outcome = np.concatenate([np.ones(len(y)), np.zeros(len(y))])
    weight = np.concatenate([target, 1.0 - target])
    sigmoid = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(twice, outcome, sample_weight=weight)
    slope, offset = float(sigmoid.coef_[0, 0]), float(sigmoid.intercept_[0])
    if slope <= 0:
        raise XbotError(
            "these fields do not tell the labels: on rows held out, bots do not score above humans"
        )
    return -slope, -offset


def choose_threshold(margins: np.ndarray, y: np.ndarray, max_fpr: float) -> float:
    """The margin from which on a row is called a bot.

    As many bots as can be caught while at most max_fpr of the humans are called bots; midway between the lowest bot
    that is caught and what lies next below it.
    """
    humans, bots = np.sort(margins[y == 0])[::-1], margins[y == 1]
    allowed = int(max_fpr * len(humans))
    ceiling = humans[allowed] if allowed < len(humans) else -np.inf
    caught = bots[bots > ceiling]
    if not len(caught):
        return float(np.nextafter(humans[0], np.inf))
    lowest = caught.min()
    below = margins[margins < lowest]
    return float((lowest + below.max()) / 2 if len(below) else lowest)


def figures(margins: np.ndarray, y: np.ndarray, threshold: float) -> Figures:
    """Counts and rates at a threshold of the margin."""
    called, bot = margins >= threshold, y == 1
    true_bots, false_bots = int((called & bot).sum()), int((called & ~bot).sum())
    missed, true_humans = int((~called & bot).sum()), int((~called & ~bot).sum())
    return Figures(
        true_bots=true_bots,
        missed_bots=missed,
        true_humans=true_humans,
        false_bots=false_bots,
        precision=true_bots / max(1, true_bots + false_bots),
        recall=true_bots / max(1, true_bots + missed),
        false_positive_rate=false_bots / max(1, false_bots + true_humans),
        accuracy=(true_bots + true_humans) / len(y),
        roc_auc=float(roc_auc_score(y, margins)),
        average_precision=float(average_precision_score(y, margins)),
    )
