"""The bounds of each feature: beyond what training saw, a value counts as the nearest that it saw; and its scale.

Law: steps of the pipeline, so that scikit-learn's margin and that of csrc/model/scorer.c stay one. An absent value (NaN) stays
absent, and has no part in the bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import StandardScaler

from training.start import Start


class Bounds(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Clips each column to the least and the largest value that `fit` saw; 0 and 0 where it saw none. Works in place. `start`: a
    model whose own bounds the columns keep that weigh something in it."""

    def __init__(self, *, start: Start | None = None) -> None:
        self.start = start

    def fit(self, X: np.ndarray, y: Any = None) -> Bounds:  # noqa: ARG002 -- scikit-learn gives it
        """Sets lower_ and upper_, one each for a column."""
        self.lower_ = np.fmin.reduce(X, axis=0)
        self.upper_ = np.fmax.reduce(X, axis=0)
        never = np.isnan(self.lower_)
        self.lower_[never] = self.upper_[never] = 0.0
        if self.start is not None:
            fixed = self.start.fixed
            self.lower_[fixed], self.upper_[fixed] = self.start.arrays.lower[fixed], self.start.arrays.upper[fixed]
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """X itself, clipped."""
        clipped: np.ndarray = np.clip(X, self.lower_, self.upper_, out=X)
        return clipped


class Scale(StandardScaler):  # type: ignore[misc]
    """StandardScaler, which leaves 0 where it is in the columns that are fitted `last`: there what is absent and what is 0 add
    the same, nothing. A handshake that contradicts nothing then judges as none does. `start`: as of Bounds."""

    def __init__(
        self,
        *,
        copy: bool = True,
        with_mean: bool = True,
        with_std: bool = True,
        last: Sequence[int] = (),
        start: Start | None = None,
    ) -> None:
        super().__init__(copy=copy, with_mean=with_mean, with_std=with_std)
        self.last = last
        self.start = start

    def fit(self, X: np.ndarray, y: Any = None, sample_weight: Any = None) -> Scale:
        """As StandardScaler."""
        super().fit(X, y, sample_weight)
        middle = self.mean_[list(self.last)]
        self.mean_[list(self.last)] = np.where(np.isnan(middle), middle, 0.0)
        if self.start is not None:
            fixed = self.start.fixed
            self.mean_[fixed], self.scale_[fixed] = self.start.arrays.mean[fixed], self.start.arrays.scale[fixed]
        return self
