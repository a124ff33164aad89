"""kinds.py - the kinds of requests that the life of a page is made of (kinds.tsv).

Law: a kind says what is asked for and why; how a browser writes that down is browsers.py's.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate

from training.corpus.tables import rows


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table. `priority` by engine family: chromium, gecko, webkit; `-` for none."""

    name: str
    mode: str
    destination: str
    priority: dict[str, str]
    accept: str  # the kind whose Accept it has
    query: str  # the group of its query
    methods: list[str]
    method_weights: list[float]

    @property
    def navigates(self) -> bool:
        """Whether a document is opened with it."""
        return self.mode == "navigate"

    def method(self, rng: random.Random) -> str:
        """The method of one request."""
        return rng.choices(self.methods, self.method_weights)[0]


def _kind(row: list[str]) -> Kind:
    name, _, methods, mode, destination, chromium, gecko, webkit, accept, query = row
    weighed = [part.split(" ") for part in methods.split("|")]
    priority = {"chromium": chromium, "gecko": gecko, "webkit": webkit, "gtk": "-"}
    names, weights = [method for method, _ in weighed], [float(weight) for _, weight in weighed]
    return Kind(name, mode, destination, priority, accept, query, names, weights)


KINDS = {row[0]: _kind(row) for row in rows("kinds.tsv")}
_NAMES = list(KINDS)
_SHARES = list(accumulate(float(row[1]) for row in rows("kinds.tsv")))


def draw_kind(rng: random.Random) -> str:
    """The name of a kind, by its share of the requests."""
    return rng.choices(_NAMES, cum_weights=_SHARES)[0]
