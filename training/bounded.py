"""A linear SVM whose weights have bounds: what a column may take from a margin, and what it may add.

Law: the problem of scikit-learn's LinearSVC with a box around the weights, solved by L-BFGS-B. Only the bias is another: it
is free, and not kept small. Where no column may speak for a human, all the innocence that everyone starts with is in it.
Columns that are fitted last get their weights when the others have theirs, a set of them after the other: of rows without them
nothing changes.
tests/training/test_bounded.py holds that this is LinearSVC where there are no bounds, and the conditions of a minimum where there are.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning

from sidecar import core
from training.start import Start

# Rows of which one of a kind always holds: which system, browser and device an agent names, where a visitor comes from, whether
# a cookie came back. To take another is free, so under bounded evidence none of them may weigh anything. The same of what a
# handshake says of a library.
_UNDESCRIBED = ("ua_os_unknown", "ua_browser_unknown", "ua_category_unknown", "ua_category_tool", "ua_category_crawler")
# Of a handshake: what no person's program is known to have. The other marks are of libraries that people's small browsers share
# with programs (Links and curl stand on OpenSSL, Lynx and wget on GnuTLS), or of a browser's age; what contradicts an agent is a
# row odd_tls_... of its own.
_NOBODYS = ("tls_grease_behind", "tls_go", "tls_java", "tls_rustls")
DESCRIPTIONS = (
    *(
        row.name
        for row in core.FEATURES
        if row.name.startswith(("ua_os_", "ua_browser_", "ua_vendor_", "ua_category_")) and row.name not in _UNDESCRIBED
    ),
    *("ua_mozilla", "ua_webkit", "ua_gecko", "ua_webview", "ua_version_known", "hdr_cookie"),
    *(row.name for row in core.FEATURES if row.name.startswith("tls_") and row.name not in _NOBODYS),
    *("ref_empty", "ref_own", "ref_external", "ref_scheme_http", "ref_scheme_https"),
)
FULL = 0.3  # a column with more values than this share of the rows is quicker as an array
CORRECTIONS = 20  # steps that L-BFGS-B looks back on


class BoundedSVC(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Minimises |w|² / 2 + C Σ sᵢ max(0, 1 - yᵢ (w·xᵢ + b))² with y = ±1, s the rows' weights, such that for each column j
    with range rⱼ:  -most_against ≤ wⱼ rⱼ ≤ most_for.

    The range is from the least to the greatest value in the rows that are fitted, and 0 is in it. So no row can have its
    margin lowered by more than `most_against` by moving one column up through its range, nor raised by more than `most_for`.
    Infinity is no bound; `most_for` is one for all columns, or one each.
    A column with a value in fewer than `least_rows` rows gets no weight: of a word that was seen a few times
    only chance could say anything. `last`: sets of columns. For each in turn the problem is solved again, the weights so far and b
    given; before that they are 0. `start`: weights and a bias (training.start), in the scale of X: what is fitted is what is added to
    them, with |w - w₀|² in the place of |w|², and the same box around w. tol: how near a minimum it stops, about the square root
    of the relative excess.

    After `fit`: coef_ (1, columns), intercept_ (1,), classes_, n_iter_, as LinearSVC has them.
    """

    def __init__(
        self,
        C: float = 1.0,
        most_against: float = 0.0,
        most_for: float | np.ndarray = np.inf,
        tol: float = 1e-4,
        max_iter: int = 1000,
        least_rows: int = 1,
        last: Sequence[Sequence[int]] = (),
        start: Start | None = None,
    ) -> None:
        self.C = C
        self.most_against = most_against
        self.most_for = most_for
        self.tol = tol
        self.max_iter = max_iter
        self.least_rows = least_rows
        self.last = last
        self.start = start

    def fit(
        self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None = None, given: np.ndarray | None = None
    ) -> BoundedSVC:
        """X: rows x columns, sparse or not; y: two classes, of which the greater is that with margins above 0. `given`: each
        row's margin by what was fitted before, to which these columns add; there is no bias then.
        ValueError for another number of classes. ConvergenceWarning if it stops before it is near."""
        self.classes_, label = np.unique(y, return_inverse=True)
        if len(self.classes_) != 2:
            raise ValueError(f"needs two classes, not {len(self.classes_)}")
        columns = scipy.sparse.csc_matrix(X, dtype=np.float64)
        sign = np.where(label == 1, 1.0, -1.0)
        cost = self.C * (np.ones(len(sign)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64))
        filled = np.diff(columns.indptr) >= max(1, self.least_rows)
        late = [np.zeros(len(filled), dtype=bool) for _ in self.last]
        for mask, chosen in zip(late, self.last, strict=True):
            mask[list(chosen)] = True
        some = np.logical_or.reduce([np.zeros(len(filled), dtype=bool), *late])
        begun = np.zeros(len(filled)) if self.start is None else self.start.arrays.weight
        bias = 0.0 if self.start is None else self.start.arrays.bias
        before = np.zeros(len(sign)) if given is None else given
        weights = np.where(some, 0.0, begun)
        so_far = columns @ weights + bias + before
        more, added, self.n_iter_ = self._solve(
            columns, np.flatnonzero(filled & ~some), sign, cost, so_far, weights, biased=given is None
        )
        weights, bias = weights + more, bias + added
        for mask in late:
            weights = np.where(mask, begun, weights)
            if not (filled & mask).any():
                continue
            so_far = columns @ weights + bias + before
            more, _, steps = self._solve(
                columns, np.flatnonzero(filled & mask), sign, cost, so_far, weights, biased=False
            )
            weights, self.n_iter_ = weights + more, self.n_iter_ + steps
        self.coef_, self.intercept_ = weights[np.newaxis], np.array([bias])
        return self

    def _solve(
        self,
        columns: scipy.sparse.csc_matrix,
        chosen: np.ndarray,
        sign: np.ndarray,
        cost: np.ndarray,
        given: np.ndarray,
        before: np.ndarray,
        *,
        biased: bool = True,
    ) -> tuple[np.ndarray, float, int]:
        """(what is added to the weights of all columns, 0 but of the chosen; to the bias; steps). `given`: each row's margin by the
        weights `before`, and the bias so far; without `biased` nothing is added to it."""
        # Columns are divided by the root of their curvature at w = 0, the bias too: rare words and common ones then move
        # alike, and a fifth of the steps are enough.
        full = chosen[np.diff(columns.indptr)[chosen] > FULL * columns.shape[0]]
        some = np.setdiff1d(chosen, full, assume_unique=True)
        order = np.concatenate([full, some])
        unit = np.sqrt(1.0 + 2.0 * (columns.multiply(columns).T @ cost)[order])
        bias_unit = np.sqrt(2.0 * cost.sum())
        split = len(full)
        left = np.asfortranarray(columns[:, full].toarray() / unit[:split])
        right = scipy.sparse.csr_matrix(columns[:, some] @ scipy.sparse.diags_array(1.0 / unit[split:]))
        turned = scipy.sparse.csr_matrix(right.T)

        def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
            """Value and gradient at the divided weights u[:-1] and the divided bias u[-1]."""
            margin = left @ u[:split] + right @ u[split:-1] + (u[-1] / bias_unit if biased else 0.0) + given
            short = np.maximum(0.0, 1.0 - sign * margin)
            pull = -2.0 * cost * sign * short
            w = u[:-1] / unit
            gradient = np.concatenate([left.T @ pull, turned @ pull, [pull.sum() / bias_unit if biased else 0.0]])
            gradient[:-1] += w / unit
            return 0.5 * float(w @ w) + float(cost @ short**2), gradient

        lowest, highest = (part.toarray().ravel()[order] for part in (columns.min(axis=0), columns.max(axis=0)))
        per_range = unit / (np.maximum(highest, 0.0) - np.minimum(lowest, 0.0))
        had = before[order] * unit  # what is in the box is the whole weight
        lower = np.append(np.minimum(-self.most_against * per_range - had, 0.0), -np.inf)
        most_for = np.broadcast_to(self.most_for, columns.shape[1])[order]
        upper = np.append(np.maximum(most_for * per_range - had, 0.0), np.inf)
        near, at, least, steps = self.tol * np.sqrt(cost.sum()), np.zeros(len(order) + 1), np.inf, 0
        while True:
            found = minimize(
                objective,
                at,
                jac=True,
                method="L-BFGS-B",
                bounds=np.column_stack([lower, upper]),
                options={
                    "maxcor": CORRECTIONS,
                    "maxiter": self.max_iter - steps,
                    "maxfun": 2 * self.max_iter,
                    "gtol": near,
                    "ftol": 0.0,
                },
            )
            at, steps = found.x, steps + int(found.nit)
            # A step along what it looks back on may change nothing before the minimum is near: without it there may be one that does.
            left_over = at - np.clip(at - found.jac, lower, upper)
            if np.abs(left_over).max() <= near or found.fun >= least or steps >= self.max_iter:
                break
            least = found.fun
        if found.status == 1:
            warnings.warn("L-BFGS-B stopped before it converged", ConvergenceWarning, stacklevel=3)
        weights = np.zeros(columns.shape[1])
        weights[order] = at[:-1] / unit
        return weights, float(at[-1] / bias_unit), steps

    def decision_function(self, X: Any) -> np.ndarray:
        """The margin of each row."""
        margins: np.ndarray = X @ self.coef_[0] + self.intercept_[0]
        return margins

    def predict(self, X: Any) -> np.ndarray:
        """The class of each row: the greater where its margin is above 0."""
        classes: np.ndarray = self.classes_[(self.decision_function(X) > 0).astype(int)]
        return classes
