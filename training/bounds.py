"""The bounds of each feature: beyond what training saw, a value counts as the nearest that it saw.

Law: a step of the pipeline, so that scikit-learn's margin and that of csrc/model/scorer.c stay one. An absent value (NaN) stays
absent, and has no part in the bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin


class Bounds(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Clips each column to the least and the largest value that `fit` saw; 0 and 0 where it saw none. Works in place."""

    def fit(self, X: np.ndarray, y: Any = None) -> Bounds:  # noqa: ARG002 -- scikit-learn gives it
        """Sets lower_ and upper_, one each for a column."""
        self.lower_ = np.fmin.reduce(X, axis=0)
        self.upper_ = np.fmax.reduce(X, axis=0)
        never = np.isnan(self.lower_)
        self.lower_[never] = self.upper_[never] = 0.0
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """X itself, clipped."""
        clipped: np.ndarray = np.clip(X, self.lower_, self.upper_, out=X)
        return clipped
