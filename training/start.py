"""A model to start from: training then fits only what this site adds to it, so that a small site keeps what the model knows.

Law: the weights that are fitted are differences from the model's, and they are what is kept small (|w - w₀|² in the place of
|w|²). A column that the logs do not hold keeps the model's weight. Scale and bounds of a column stay the model's, for its
weight belongs to them; only a column that weighs nothing there takes those of the rows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sidecar import core
from sidecar.errors import XbotError
from training.dataset import How, never_held
from training.linear import Arrays


@dataclass(frozen=True)
class Start:
    """The arrays of a model, in the columns of training.dataset; which groups and families it knows; what it is called.
    `left_out`: dense columns that no row of the logs holds, or that are not wanted; `unwanted`: the latter of them."""

    model: Arrays
    k: int
    groups: int
    families: int
    name: str
    sha256: str
    left_out: frozenset[int] = frozenset()
    unwanted: frozenset[int] = frozenset()

    @classmethod
    def of(cls, model: core.Model, name: str, sha256: str) -> Start:
        """XbotError for a model whose words are not those that this program would make."""
        known = [family.name for family in core.FAMILIES]
        if list(model.rows)[-len(known) :] != known:
            raise XbotError(f"{name}: made by another version of xbot, which cuts other words: it cannot be a start")
        if model.header["n_hosts"]:
            raise XbotError(f"{name}: holds a set of known hosts: it cannot be a start")
        parts = (model.mean, model.scale, model.lower, model.upper, model.weight)
        arrays = Arrays(model.header["bias"], *(np.array(part) for part in parts))
        return cls(arrays, model.k, model.header["groups"], model.header["families"], name, sha256)

    def over(self, how: How) -> Start:
        """The start of a fit on rows that are made so."""
        unwanted = frozenset(i for i, row in enumerate(core.FEATURES) if row.name in how.without)
        return replace(self, left_out=frozenset(never_held(how)), unwanted=unwanted)

    @cached_property
    def arrays(self) -> Arrays:
        """What a fit starts from: the model, as if it knew nothing of the columns that are left out."""
        weight = self.model.weight.copy()
        weight[list(self.left_out)] = 0.0
        return self.model._replace(weight=weight)

    @cached_property
    def fixed(self) -> np.ndarray:
        """Which dense columns keep the model's scale and bounds: those that weigh something."""
        weighs: np.ndarray = self.arrays.weight[: len(self.model.mean)] != 0.0
        return weighs

    def restored(self, fitted: Arrays, learned: Collection[int] = ()) -> Arrays:
        """The fitted arrays, with the model's own numbers where the logs hold nothing; columns that were `learned` elsewhere stay."""
        at = list(self.left_out - self.unwanted - set(learned))
        mine = [part.copy() for part in fitted[1:]]
        for part, own in zip(mine, self.model[1:], strict=True):
            part[at] = own[at]
        mine[-1][list(self.unwanted)] = 0.0
        return Arrays(fitted.bias, *mine)
