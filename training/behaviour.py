"""behaviour.py - weights of the group `client`, on top of a machine that has all others, from sessions alone.

Law: nothing else changes. The machine was fitted on requests that the client table did not see; these columns were absent there, and
where they are absent they add nothing. Sessions are requests as well, and some of their programs send exactly what people send: so
they may not teach the other columns anything.

How much the columns may weigh is decided by client: who sends a hundred requests is refused at the first that is too high. The
weights that the solver finds are taken whole, or less of them, as much as keeps the share of refused people within its bound.
And no count carries a verdict alone: nine of ten requests of people stay below the threshold with any one of these columns added.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.pipeline import Pipeline

from training.bounded import BoundedSVC
from training.bounds import Bounds, Scale
from training.dataset import Dataset
from training.linear import margins_of

STEPS = 40  # shares of the weights that are tried
# A request of a person counts as much as so many of a program: a threshold that few people reach is wanted, and no even split.
PEOPLE = 50.0
# How far from the threshold a margin has to be to cost nothing: half a unit. Who is far below it may show something of a program's.
NEAR = 0.5
ALONE = 0.9  # share of people's requests that no column alone brings to the threshold


def add(
    pipeline: Pipeline,
    data: Dataset,
    rows: np.ndarray,
    weight: np.ndarray,
    columns: Sequence[int],
    machine: BoundedSVC,
    threshold: float,
) -> None:
    """Gives `columns` of the pipeline, which had no weight so far, what `machine` finds on these rows of the sessions. `weight`: of
    each row; `threshold`: the margin from which on a request is called a bot's."""
    at = list(columns)
    given = (margins_of(pipeline, data.X, rows) - threshold) / NEAR
    machine.most_for = max(0.0, -float(np.quantile(given[data.y[rows] == 0], ALONE)))
    weight = np.where(data.y[rows] == 0, PEOPLE * weight, weight)
    weight *= len(weight) / weight.sum()
    values = data.X[rows][:, at].toarray().astype(np.float64)
    bounds = Bounds().fit(
        np.vstack([values, np.zeros(len(at))])
    )  # absent columns of other rows count as 0: that must stay 0
    scale = Scale(copy=False, last=range(len(at))).fit(bounds.transform(values))
    scaled = np.nan_to_num(scale.transform(values), copy=False, nan=0.0)
    machine.fit(scaled, data.y[rows], sample_weight=weight, given=given)
    _, own_bounds, own_scale, _ = (
        step for _, step in pipeline.named_steps["columns"].named_transformers_["dense"].steps
    )
    own_bounds.lower_[at], own_bounds.upper_[at] = bounds.lower_, bounds.upper_
    own_scale.mean_[at], own_scale.scale_[at], own_scale.var_[at] = scale.mean_, scale.scale_, scale.var_
    pipeline.named_steps["machine"].coef_[0, at] = NEAR * machine.coef_[0]


def shrink(pipeline: Pipeline, columns: Sequence[int], share: float) -> None:
    """Leaves `share` of the weights of these columns."""
    pipeline.named_steps["machine"].coef_[0, list(columns)] *= share


def largest_share(
    bare: np.ndarray, added: np.ndarray, client: np.ndarray, human: np.ndarray, threshold: float, most: float
) -> float:
    """The largest share of `added`, the margins that behaviour adds to `bare`, with which at most `most` of the people's clients
    have a request at or above `threshold` that was below without; 0 to 1, in steps."""
    rows = np.flatnonzero(human & (bare < threshold))
    everyone = len(np.unique(client[human]))
    for step in range(STEPS, 0, -1):
        over = rows[bare[rows] + added[rows] * step / STEPS >= threshold]
        if len(np.unique(client[over])) <= most * everyone:
            return step / STEPS
    return 0.0
