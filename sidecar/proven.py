"""The threshold of a site, by what its proven visitors get.

Law: labels have no say here. Who is proven, csrc/features/behaviour.c says: a client that brought a cookie back, came from a page of
this site, loaded parts and contradicted nothing. A program that drives a browser can have all of that, so no network and no look may
be more than a share of the proof, nor of those for whose sake the threshold rises; and it moves only within bounds that the model
holds (`Room`). Training and the sidecar find it by this module.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from sidecar import core

LEAST_CLIENTS = 50  # proven clients, by weight, below which nothing is said
# The most that one network, and one look, may be of all proven clients; and of those that the threshold spares.
NETWORK_SHARE, SHAPE_SHARE = 0.02, 0.25
NETWORK_SPARED, SHAPE_SPARED = 0.1, 0.5
ROUNDS = 50


class Proven(NamedTuple):
    """Proven clients: how many, how much they weigh, and the threshold that refuses as many of them as may be, as a margin; NaN
    where they are too few."""

    clients: int
    weight: float
    threshold: float


class Room(NamedTuple):
    """Between which scores a model lets its threshold be moved; `own` is where it stands in the file. A score is
    1 / (1 + exp(a * margin + b))."""

    own: float
    lowest: float
    highest: float
    a: float
    b: float

    @classmethod
    def of(cls, model: core.Model) -> Room:
        """That of a model. One whose provenance gives none, or none that is sound, cannot be moved."""
        own, header = model.threshold, model.header
        lowest = highest = own
        try:
            said = model.provenance["threshold"]
            bounds = float(said["lowest"]), float(said["highest"])
            if 0.0 <= bounds[0] <= own <= bounds[1] <= 1.0:
                lowest, highest = bounds
        except (ValueError, TypeError, KeyError, RecursionError):
            pass
        return cls(own, lowest, highest, header["a"], header["b"])

    def hold(self, found: Proven) -> float | None:
        """The score that proven clients want, within the bounds; None where they are too few to say."""
        if math.isnan(found.threshold):
            return None
        power = self.a * found.threshold + self.b
        score = 0.0 if power > 700.0 else 1.0 / (1.0 + math.exp(power))
        return min(max(score, self.lowest), self.highest)


def weights(groups: Sequence[tuple[int, int]]) -> list[float]:
    """How much each client counts, 1 at most, by the keys of its network and look: so that the clients of one network have at most
    NETWORK_SHARE of all the weight, those of one look SHAPE_SHARE; a single client always counts."""
    weight = [1.0] * len(groups)
    columns = [
        (*_numbered([group[at] for group in groups]), most / (1.0 - most))
        for at, most in enumerate((NETWORK_SHARE, SHAPE_SHARE))
    ]
    for _ in range(ROUNDS):
        before = sum(weight)
        for places, count, most in columns:
            held, total = [0.0] * count, sum(weight)
            for place, each in zip(places, weight, strict=True):
                held[place] += each
            # What the others have decides: a share of all that grows with the group itself would be no bound.
            factor = [min(1.0, max(1.0, most * (total - each)) / max(each, 1e-300)) for each in held]
            weight = [each * factor[place] for place, each in zip(places, weight, strict=True)]
        if sum(weight) > before * (1.0 - 1e-6):
            break
    return weight


def _numbered(keys: Sequence[int]) -> tuple[list[int], int]:
    """Keys as numbers from 0 on, and how many there are."""
    numbers: dict[int, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys], len(numbers)


def wanted(clients: Sequence[tuple[float, int, int]], most: float, least: float = LEAST_CLIENTS) -> Proven:
    """The lowest margin at which at most `most` of the proven clients are refused: of each its highest margin, and the keys of its
    network and look. NaN where they weigh less than `least`."""
    groups = [(network, look) for _, network, look in clients]
    weight = weights(groups)
    total = math.fsum(weight)
    if total < least:
        return Proven(len(groups), total, math.nan)
    return Proven(len(groups), total, _cut([margin for margin, _, _ in clients], weight, groups, most * total))


def _cut(highest: list[float], weight: list[float], groups: list[tuple[int, int]], budget: float) -> float:
    """The lowest threshold at or above which clients weigh no more than `budget`, those of one group a share of it at most."""
    order = sorted(range(len(highest)), key=lambda one: -highest[one])
    held: defaultdict[tuple[str, int], float] = defaultdict(float)
    spent, cut = 0.0, math.nextafter(highest[order[0]], math.inf)
    for at, one in enumerate(order):
        room = weight[one]
        for name, key, share in zip(("network", "shape"), groups[one], (NETWORK_SPARED, SHAPE_SPARED), strict=True):
            room = min(room, max(1.0, share * budget) - held[name, key])
        for name, key in zip(("network", "shape"), groups[one], strict=True):
            held[name, key] += room
        spent += room
        if spent > budget + 1e-9:
            return cut
        below = highest[order[at + 1]] if at + 1 < len(order) else -math.inf
        if below < highest[one]:  # clients with equal margins are refused together, or not at all
            cut = (
                highest[one] if math.isinf(below) else max((highest[one] + below) / 2, math.nextafter(below, math.inf))
            )
    return cut
