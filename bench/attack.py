"""An attacker with the model in hand: one change, every pair, a third by beam, on requests that the model catches.

Law: the search knows a model by its margins alone, and a change by what it makes of a request. "For all" is the same change
on every request; "for each" the best for each request by itself. A head that nginx does not take is not let by.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from changes import Change
from moves import Sent, accepted

from sidecar import core
from sidecar.proven import Room

BEAM = 24  # pairs that a third change is tried on, for all; for each, a sixth of it
ALL = "all"  # the group of all groups

Array = np.ndarray[Any, np.dtype[np.float64]]
Found = tuple[str, Sent]  # group and request
Steps = tuple[Change, ...]
Tried = list[tuple[Steps, Array]]  # changes, and the margins of all requests after them


class Judge:
    """Margins of requests by one model; at `cut` and above, a request is called a bot. `highest`: how far a site's visitors, or who passes
    for them, can move that."""

    def __init__(self, judging: core.Model) -> None:
        self.model, self.request = judging, core.Request()
        room = Room.of(judging)
        self.cut, self.highest = (
            (math.log(1 / min(score, 1 - 1e-15) - 1) - room.b) / room.a for score in (room.own, room.highest)
        )

    def load(self, one: Sent) -> core.Request:
        about = {name: value for name, value in one._asdict().items() if name != "headers"}
        self.request.load_record(list(one.headers), True, **about)
        return self.request

    def margin(self, one: Sent) -> float:
        """Infinite where nginx takes no such head."""
        return self.model.judge(self.load(one)).margin if accepted(one) else math.inf

    def features(self, one: Sent) -> tuple[Any, ...]:
        """All that the model can see of a request."""
        dense, words = self.load(one).features(self.model.k)
        return (*map(repr, dense), *(bucket for bucket, *_ in words))


@dataclass
class Attacked:
    """Different requests, and how often each comes: weights[group][i] times requests[i]. `base`: margins as they came."""

    requests: list[Sent]
    weights: dict[str, Array]
    base: Array

    def shares(self, freed: Any) -> dict[str, float]:
        """The share of each group's requests that are freed."""
        return {group: float(np.asarray(freed) @ weight / weight.sum()) for group, weight in self.weights.items()}


def attacked(found: Iterable[Found], judge: Judge, totals: Mapping[str, int] | None = None) -> Attacked:
    """Those that the model cannot tell apart are one. `totals`: how many a group stands for, where it is a sample."""
    times: dict[tuple[Any, ...], Counter[str]] = {}
    first: dict[tuple[Any, ...], Sent] = {}
    for group, one in found:
        seen = judge.features(one)
        first.setdefault(seen, one)
        times.setdefault(seen, Counter())[group] += 1
    weights: dict[str, Array] = {}
    for group in sorted({group for counts in times.values() for group in counts}):
        weights[group] = np.array([float(counts[group]) for counts in times.values()])
        if totals:
            weights[group] *= totals[group] / weights[group].sum()
    weights[ALL] = np.sum(list(weights.values()), axis=0)
    requests = list(first.values())
    return Attacked(requests, weights, np.array([judge.margin(one) for one in requests]))


@dataclass
class Row:
    """What one kind of attack frees, by group: one change for all and which, and the best for each request."""

    attack: str
    for_all: dict[str, tuple[float, Steps]]
    for_each: dict[str, float]


@dataclass(frozen=True)
class Attack:
    """A search for what frees requests from a model."""

    judge: Judge
    on: Attacked

    def margins(self, requests: Sequence[Sent], changes: Sequence[Change]) -> Array:
        """A row for each change, a column for each request."""
        found = [[self.judge.margin(change.apply(one)) for one in requests] for change in changes]
        return np.array(found).reshape(len(changes), len(requests))

    def way(self, margins: Array) -> Array:
        """How much of the way to being let by each request has gone, 0 to 1."""
        gone: Array = (self.on.base - margins) / np.maximum(self.on.base - self.judge.cut, 1e-9)
        return gone.clip(0.0, 1.0)

    def gone(self, margins: Array) -> float:
        """The same of all requests together."""
        return float(self.way(margins) @ self.on.weights[ALL])

    def unchanged(self) -> Tried:
        return [((), self.on.base)]

    def one(self, changes: Sequence[Change]) -> Tried:
        """Each change alone."""
        return [
            ((change,), found) for change, found in zip(changes, self.margins(self.on.requests, changes), strict=True)
        ]

    def best_of_families(self, tried: Tried, most: int) -> list[Change]:
        """The change of each family that goes farthest; of the families, those that go farthest."""
        best: dict[str, tuple[float, Change]] = {}
        for (change,), found in tried:
            gone = self.gone(found)
            if gone > best.get(change.family, (0.0, change))[0]:
                best[change.family] = (gone, change)
        return [change for _, change in sorted(best.values(), key=lambda pair: -pair[0])[:most]]

    def after(self, firsts: Sequence[Change], changes: Sequence[Change]) -> Tried:
        """Each of `firsts`, and behind it each of `changes`."""
        pairs: Tried = []
        for first in firsts:
            once = [first.apply(one) for one in self.on.requests]
            pairs += [
                ((first, second), found) for second, found in zip(changes, self.margins(once, changes), strict=True)
            ]
        return pairs

    def two(self, changes: Sequence[Change]) -> Tried:
        """Every pair of these changes."""
        pairs: Tried = []
        for i, first in enumerate(changes):
            once = [first.apply(one) for one in self.on.requests]
            rest = changes[i + 1 :]
            pairs += [((first, second), found) for second, found in zip(rest, self.margins(once, rest), strict=True)]
        return pairs

    def three(self, changes: Sequence[Change], pairs: Tried) -> tuple[Tried, Array]:
        """A third change behind the pairs that go farthest; and the lowest margin of each request by any of these, the
        pairs, and a third change behind its own best pairs."""
        triples: Tried = []
        for steps, _ in sorted(pairs, key=lambda pair: -self.gone(pair[1]))[:BEAM]:
            twice = [applied(steps, one) for one in self.on.requests]
            rest = without(changes, steps)
            triples += [((*steps, third), found) for third, found in zip(rest, self.margins(twice, rest), strict=True)]
        lowest = np.min([found for _, found in pairs + triples], axis=0)
        ranks = np.argsort(np.array([found for _, found in pairs]), axis=0)[: BEAM // 6]
        for i in np.flatnonzero(lowest >= self.judge.cut):
            for steps in (pairs[j][0] for j in ranks[:, i]):
                changed = applied(steps, self.on.requests[i])
                thirds = self.margins([changed], without(changes, steps))
                lowest[i] = min(lowest[i], thirds.min(initial=math.inf))
        return triples, lowest

    def row(self, attack: str, tried: Tried, lowest: Array | None = None, cut: float | None = None) -> Row:
        """What was tried, as a row of the table. `lowest`: the lowest margin of each request, where more was tried; `cut`: where the
        threshold stands, if not where the model has it."""
        cut = self.judge.cut if cut is None else cut
        freed = np.array([found for _, found in tried]) < cut
        for_all = {}
        for group, weight in self.on.weights.items():
            shares = freed @ weight / weight.sum()
            best = int(np.argmax(shares))
            for_all[group] = (float(shares[best]), tried[best][0])
        each = freed.any(axis=0) if lowest is None else lowest < cut
        return Row(attack, for_all, self.on.shares(each))


def without(changes: Sequence[Change], used: Collection[Change]) -> list[Change]:
    return [change for change in changes if change not in used]


def applied(steps: Steps, one: Sent) -> Sent:
    for change in steps:
        one = change.apply(one)
    return one
