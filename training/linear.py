"""A fitted pipeline as flat arrays, which is what is exported of it; and the margins that they give.

Law: nothing is fitted here; scikit-learn's numbers are only put in another form. tests/training/test_train.py holds that the
margins are those of its `decision_function`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

CHUNK = 1 << 16  # rows whose margins are computed at a time


class Arrays(NamedTuple):
    """What a pipeline decides by: float64, little-endian. `weight` has the dense columns first, then the buckets; the others
    are of the dense columns."""

    bias: float
    mean: np.ndarray
    scale: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    weight: np.ndarray


def unfold(pipeline: Pipeline) -> Arrays:
    """The arrays of a fitted pipeline, as it was fitted.

    A column that no row held has no mean; it gets mean 0, scale 1, bounds 0 and weight 0. Naive Bayes is linear too: its margin
    is the difference of the classes' joint log-likelihoods.
    """
    _, bounds, scaler, _ = (step for _, step in pipeline.named_steps["columns"].named_transformers_["dense"].steps)
    if isinstance(scaler, MinMaxScaler):
        middle, width = scaler.data_min_, 1.0 / scaler.scale_
    else:
        middle, width = scaler.mean_, scaler.scale_
    empty = np.isnan(middle)
    mean, scale = np.where(empty, 0.0, middle).astype("<f8"), np.where(empty, 1.0, width).astype("<f8")
    bias, weight = linear_of(pipeline.named_steps["machine"])
    weight = weight.astype("<f8")
    weight[: len(mean)][empty] = 0.0
    return Arrays(bias, mean, scale, bounds.lower_.astype("<f8"), bounds.upper_.astype("<f8"), weight)


def linear_of(machine: Any) -> tuple[float, np.ndarray]:
    """(bias, weights) of any of scikit-learn's linear two-class machines."""
    if hasattr(machine, "feature_log_prob_"):
        prior = machine.class_log_prior_[1] - machine.class_log_prior_[0]
        return float(prior), machine.feature_log_prob_[1] - machine.feature_log_prob_[0]
    return float(machine.intercept_[0]), machine.coef_[0]


def margins_of(
    pipeline: Pipeline, X: scipy.sparse.csr_matrix, rows: np.ndarray, without: Sequence[int] = ()
) -> np.ndarray:
    """The margins of these rows of X (NaN where a value is absent), computed a chunk at a time; `without`: as if these columns
    were absent.

    By the arrays, as X is sparse and scaled columns are not: through the pipeline it takes twenty times as long.
    """
    arrays = unfold(pipeline)
    dense, columns = len(arrays.mean), len(arrays.weight)
    folded, middle = arrays.weight.copy(), np.zeros(columns)
    folded[list(without)] = 0.0
    folded[:dense] /= arrays.scale
    middle[:dense] = arrays.mean
    lower, upper = np.full(columns, -np.inf), np.full(columns, np.inf)
    lower[:dense], upper[:dense] = arrays.lower, arrays.upper
    nothing = np.clip(0.0, lower, upper)  # what X does not store
    offset = arrays.bias + float(folded @ (nothing - middle))
    out = np.empty(len(rows))
    for start in range(0, len(rows), CHUNK):
        part = X[rows[start : start + CHUNK]].astype(np.float64)
        at = part.indices
        absent = np.isnan(part.data)
        np.clip(part.data, lower[at], upper[at], out=part.data)
        part.data[absent] = middle[at[absent]]  # which adds nothing
        part.data -= nothing[at]
        out[start : start + CHUNK] = part @ folded + offset
    return out
