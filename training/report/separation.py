"""separation.py - each feature by itself: how far it tells the classes apart, and what the model makes of it.

Law: looks at the matrix as it was read; the model's part is its weights. A feature that a row cannot tell is left out
of that feature's figures, and its share is said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from sklearn.metrics import roc_auc_score

from sidecar import core
from training.dataset import Dataset
from training.report.subject import Subject

MOST_ROWS = 100_000  # looked at; beyond that a sample tells as much


@dataclass(frozen=True)
class Feature:
    """A dense feature by itself. `auc`: the chance that it is higher in a bot than in a human, ties counted half; 0.5
    tells nothing. `present`: the share of rows that can tell it. `bots`, `humans`: its values, for drawing."""

    name: str
    group: str
    doc: str
    auc: float
    present: float
    mean_bots: float
    mean_humans: float
    bots: np.ndarray
    humans: np.ndarray

    @property
    def apart(self) -> float:
        """How far from telling nothing, 0 to 0.5."""
        return abs(self.auc - 0.5)


@dataclass(frozen=True)
class Word:
    """A hashed word: the share of bots and of humans that have it."""

    name: str
    bots: float
    humans: float


def sample_rows(rows: int, most: int, seed: int) -> np.ndarray:
    """All rows, or `most` of them chosen evenly, in order."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def features(data: Dataset, seed: int = 0) -> tuple[list[Feature], list[str]]:
    """(the dense features that differ between rows, the best separated first; the names of the others)."""
    rows = sample_rows(len(data.y), MOST_ROWS, seed)
    bot = data.y[rows] == 1
    dense = data.X[rows][:, : len(core.FEATURES)].toarray()
    found, same = [], []
    for column, row in enumerate(core.FEATURES):
        values = dense[:, column]
        told = ~np.isnan(values)
        bots, humans = values[told & bot], values[told & ~bot]
        if not len(bots) or not len(humans) or values[told].min() == values[told].max():
            same.append(row.name)
            continue
        found.append(
            Feature(
                name=row.name,
                group=row.group,
                doc=row.doc,
                auc=float(roc_auc_score(bot[told], values[told])),
                present=float(told.mean()),
                mean_bots=float(bots.mean(dtype=np.float64)),
                mean_humans=float(humans.mean(dtype=np.float64)),
                bots=bots,
                humans=humans,
            )
        )
    return sorted(found, key=lambda feature: (-feature.apart, feature.name)), same


def word_shares(data: Dataset, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The share of bots and of humans that have each bucket; 0 where there are none among the rows looked at."""
    rows = sample_rows(len(data.y), MOST_ROWS, seed)
    buckets, y = data.X[rows][:, len(core.FEATURES) :], data.y[rows]
    bots, humans = (np.asarray(buckets[y == label].sum(axis=0)).ravel() for label in (1, 0))
    return bots / max(1, (y == 1).sum()), humans / max(1, (y == 0).sum())


def separating_buckets(bots: np.ndarray, humans: np.ndarray, most: int) -> list[int]:
    """The buckets whose shares differ the most."""
    order = np.argsort(-np.abs(bots - humans), kind="stable")[:most]
    return [int(bucket) for bucket in order if bots[bucket] != humans[bucket]]


@dataclass(frozen=True)
class Weight:
    """A weight of the model. `effect`: the standard deviation of what it adds to the margins of these rows, with the
    sign of the weight: how much it moves verdicts here, whatever the feature's unit."""

    name: str
    doc: str
    weight: float
    effect: float


def strongest(subject: Subject, most: int) -> list[Weight]:
    """The weights that move these rows' margins the most."""
    model, data, dense = subject.model, subject.data, len(core.FEATURES)
    weight, scale = np.array(model.weight), np.array(model.scale)
    rows = sample_rows(len(data.y), MOST_ROWS, subject.settings.seed)
    X: scipy.sparse.csr_matrix = data.X[rows]
    # What is absent adds nothing, as a value at the mean.
    values = np.clip(X[:, :dense].toarray().astype(np.float64), model.lower, model.upper)
    mean = np.array(model.mean)
    spread = np.where(np.isnan(values), 0.0, (values - mean) / scale).std(axis=0)
    share = np.asarray(X[:, dense:].sum(axis=0)).ravel() / len(rows)
    effect = weight * np.concatenate([spread, np.sqrt(share * (1 - share))])
    names = model.provenance.get("words", {})
    found = []
    for i in np.argsort(-np.abs(effect), kind="stable")[:most]:
        if not effect[i]:
            break
        if i < dense:
            name, doc = core.FEATURES[i].name, core.FEATURES[i].doc
        else:
            name = names.get(str(i - dense), f"bucket {i - dense}")
            doc = next((family.doc for family in core.FAMILIES if name.startswith(f"{family.name}=")), "a hashed word")
        found.append(Weight(name, doc, float(weight[i]), float(effect[i])))
    return found
