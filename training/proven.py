"""proven.py - a data set's proven clients, and the threshold that they want.

Law: what proven clients may decide is said by sidecar/proven.py; here rows become clients.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sidecar.proven import Proven, wanted
from training.dataset import Dataset

VISITOR, FALSE = 1, 2  # of core.Matrix.proof


class Bounds(NamedTuple):
    """Between which margins proven clients may move a threshold: up from where requests put it, as long as half of the bots that
    are caught there stay caught."""

    lowest: float
    highest: float

    def hold(self, found: Proven) -> float:
        """The threshold that proven clients want, within the bounds."""
        return self.lowest if np.isnan(found.threshold) else min(max(found.threshold, self.lowest), self.highest)


def bounds(margins: np.ndarray, y: np.ndarray, lowest: float) -> Bounds:
    """The bounds of a threshold that requests put at `lowest`, by the margins of all rows and their labels (1: a bot)."""
    caught = margins[(y == 1) & (margins >= lowest)]
    return Bounds(lowest, float(np.median(caught)) if len(caught) else lowest)


def of_rows(data: Dataset, margins: np.ndarray, most: float) -> Proven:
    """What a data set's proven clients say; of a data set that was read without the client table there are none."""
    if data.known is None:
        return Proven(0, 0.0, float("nan"))
    who, network, look, _ = data.known
    return threshold(margins, who, network, look, np.isin(who, clients_of(data)), most)


def clients_of(data: Dataset) -> np.ndarray:
    """The keys of a data set's proven clients: proven at some time, and never false."""
    if data.known is None:
        return np.empty(0, dtype=np.uint64)
    who, proof = data.known.who, data.known.proof
    return np.setdiff1d(who[proof == VISITOR], who[proof == FALSE])


def threshold(
    margins: np.ndarray, client: np.ndarray, network: np.ndarray, shape: np.ndarray, proven: np.ndarray, most: float
) -> Proven:
    """The lowest margin at which at most `most` of the proven clients have a request at or above it.

    One element a request: its margin; the keys of its client, network and look (uint64, 0: unknown); whether its client is proven
    with it. All requests of a client that is proven at any time count.
    """
    keys = np.unique(client[proven & (client != 0)])
    rows = np.flatnonzero(np.isin(client, keys))
    keys, first, place = np.unique(client[rows], return_index=True, return_inverse=True)
    highest = np.full(len(keys), -np.inf)
    np.maximum.at(highest, place, margins[rows])
    groups = network[rows][first].tolist(), shape[rows][first].tolist()
    return wanted(list(zip(highest.tolist(), *groups, strict=True)), most)
