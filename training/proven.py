"""proven.py - the threshold of a site, by what its proven people get.

Law: labels have no say here. Who is proven, csrc/features/behaviour.c says: a client that brought a cookie back, came from a page of
this site, loaded parts and contradicted nothing. A program that drives a browser can have all of that, so no network and no look may
be more than a share of the proof, nor of those for whose sake the threshold rises; and it moves only within bounds.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from training.dataset import Dataset

LEAST_CLIENTS = 50  # proven clients, by weight, below which nothing is said
# The most that one network, and one look, may be of all proven clients; and of those that the threshold spares.
NETWORK_SHARE, SHAPE_SHARE = 0.02, 0.25
NETWORK_SPARED, SHAPE_SPARED = 0.1, 0.5
ROUNDS = 50
VISITOR, FALSE = 1, 2  # of core.Matrix.proof


class Proven(NamedTuple):
    """Proven clients: how many, how much they weigh, and the threshold that refuses as many of them as may be, as a margin; NaN
    where they are too few."""

    clients: int
    weight: float
    threshold: float


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


def weights(network: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """How much each client counts, 1 at most: so that the clients of one network have at most NETWORK_SHARE of all the weight,
    those of one look SHAPE_SHARE; a single client always counts."""
    weight = np.ones(len(network))
    for _ in range(ROUNDS):
        before = weight.sum()
        for group, most in ((network, NETWORK_SHARE), (shape, SHAPE_SHARE)):
            _, place = np.unique(group, return_inverse=True)
            held = np.bincount(place, weights=weight)
            # What the others have decides: a share of all that grows with the group itself would be no bound.
            allowed = np.maximum(1.0, most / (1.0 - most) * (weight.sum() - held))
            weight *= np.minimum(1.0, allowed / np.maximum(held, 1e-300))[place]
        if weight.sum() > before * (1.0 - 1e-6):
            break
    return weight


def threshold(
    margins: np.ndarray, client: np.ndarray, network: np.ndarray, shape: np.ndarray, proven: np.ndarray, most: float
) -> Proven:
    """The lowest margin at which at most `most` of the proven clients have a request at or above it.

    One element a request: its margin; the keys of its client, network and look (uint64, 0: unknown); whether its client is proven
    with it. All requests of a client that is proven at any time count.
    """
    known = np.unique(client[proven & (client != 0)])
    rows = np.flatnonzero(np.isin(client, known))
    keys, first, place = np.unique(client[rows], return_index=True, return_inverse=True)
    weight = weights(network[rows][first], shape[rows][first])
    total = float(weight.sum())
    if total < LEAST_CLIENTS:
        return Proven(len(keys), total, float("nan"))
    highest = np.full(len(keys), -np.inf)
    np.maximum.at(highest, place, margins[rows])
    groups = list(zip(network[rows][first].tolist(), shape[rows][first].tolist(), strict=True))
    return Proven(len(keys), total, _cut(highest, weight, groups, most * total))


def _cut(highest: np.ndarray, weight: np.ndarray, groups: list[tuple[int, int]], budget: float) -> float:
    """The lowest threshold at or above which clients weigh no more than `budget`, those of one group a share of it at most."""
    order = np.argsort(-highest, kind="stable")
    held: defaultdict[tuple[str, int], float] = defaultdict(float)
    spent, cut = 0.0, float(np.nextafter(highest[order[0]], np.inf))
    for at, one in enumerate(order.tolist()):
        room = weight[one]
        for name, key, share in zip(("network", "shape"), groups[one], (NETWORK_SPARED, SHAPE_SPARED), strict=True):
            room = min(room, max(1.0, share * budget) - held[name, key])
        for name, key in zip(("network", "shape"), groups[one], strict=True):
            held[name, key] += room
        spent += room
        if spent > budget + 1e-9:
            return cut
        below = highest[order[at + 1]] if at + 1 < len(order) else -np.inf
        if below < highest[one]:  # clients with equal margins are refused together, or not at all
            cut = (
                float(highest[one])
                if np.isinf(below)
                else float(max((highest[one] + below) / 2, np.nextafter(below, np.inf)))
            )
    return cut
