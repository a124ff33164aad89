"""Is a running sum of evidence worth it? Clients judged by their worst request, by Wald's test with two bounds, and by a sum that fades.

    .venv/bin/python bench/traffic/wald.py [--recordings DIR] [--model MODEL]

Law: what a margin is worth as evidence is taken from one half of the sessions of `looked`, every rule is tried on the other half and on
`held`, and each has the threshold that refuses 0.5% of the people among them. A session is in one half, with all that was made of it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from sidecar import model

sys.path.insert(0, str(Path(__file__).resolve().parent / "traffic"))

import measure

Array = np.ndarray[Any, np.dtype[np.float64]]
BINS = 40
MOST_EVIDENCE = 3.0  # of one request, as a log of odds
CLEARED = -8.0  # a client whose sum falls to this is one of people for good: odds of 3,000 to 1
KEPT = 0.9  # of a sum that fades, from one request to the next


class One(measure.Client):
    """A client, and the session that it was made of."""

    session: str = ""


def clients_of(path: Path, judge: measure.Judge) -> list[One]:
    found: dict[str, One] = {}
    judge.forget()
    for line in measure.raw_lines(path):
        said, margin = json.loads(line), judge.margin(line)
        who = "people" if said["label"] == "human" else said["kind"]
        one = found.setdefault(said["client"], One(who, said["side"], said["family"]))
        one.session = said["session"]
        one.margins.append(margin)
    return list(found.values())


def is_for_fitting(one: One) -> bool:
    return hashlib.sha256(one.session.encode()).digest()[0] % 2 == 0


def evidence(fit: list[One]) -> Callable[[One], Array]:
    """The log of the odds that each margin of a client gives, all clients weighing alike."""
    every = np.concatenate([one.margins for one in fit])
    edges = np.unique(np.quantile(every, np.linspace(0, 1, BINS + 1)[1:-1]))

    def density(ones: list[One]) -> Array:
        weights = np.concatenate([np.full(len(one.margins), 1 / len(one.margins)) for one in ones])
        places = np.searchsorted(edges, np.concatenate([one.margins for one in ones]))
        counts = np.bincount(places, weights=weights, minlength=len(edges) + 1) + 0.5
        return np.asarray(counts / counts.sum())

    people, others = ([one for one in fit if (one.who == "people") == human] for human in (True, False))
    odds = np.clip(np.log(density(others) / density(people)), -MOST_EVIDENCE, MOST_EVIDENCE)
    return lambda one: odds[np.searchsorted(edges, one.margins)]


def wald(steps: Array) -> Array:
    """The sum, until it is at the lower bound; then never anything again."""
    sums = np.cumsum(steps)
    cleared = np.maximum.accumulate(sums <= CLEARED)
    return np.where(cleared, -np.inf, sums)


def fading(steps: Array) -> Array:
    """The sum of which a part is forgotten with each request."""
    out, total = np.empty_like(steps), 0.0
    for i, step in enumerate(steps):
        out[i] = total = KEPT * total + step
    return out


@click.command()
@click.option("--recordings", type=click.Path(path_type=Path), default=Path("build/traffic"), show_default=True)
@click.option("--model", "path", type=click.Path(path_type=Path), default=model.DEFAULT)
def main(recordings: Path, path: Path) -> None:
    """Print the recall of each rule by the 1st, 3rd, 10th, 30th request and in the end."""
    judge = measure.Judge(model.load(path), (), 64)
    looked, held = (clients_of(recordings / f"{name}.jsonl.gz", judge) for name in ("looked", "held"))
    worth = evidence([one for one in looked if is_for_fitting(one)])
    tried = [one for one in looked if not is_for_fitting(one)]
    tried += [one for one in held if one.side == "held"]
    rules: dict[str, Callable[[One], Array]] = {
        "worst request": lambda one: np.asarray(one.margins),
        "two bounds": lambda one: wald(worth(one)),
        "fading sum": lambda one: fading(worth(one)),
    }
    table = Table(*("rule", "who", "side", "clients", *(f"by {n}" for n in measure.STEPS), "in the end"))
    for name, rule in rules.items():
        said = {id(one): rule(one) for one in tried}
        people = np.sort([said[id(one)].max() for one in tried if (one.who, one.side) == ("people", "looked")])[::-1]
        threshold = float(people[int(measure.SHARE * len(people))])
        for side, who in sorted({(one.side, one.who) for one in tried}, reverse=True):
            ones = [said[id(one)] for one in tried if (one.side, one.who) == (side, who)]
            shares = [np.mean([each[:n].max() > threshold for each in ones]) for n in (*measure.STEPS, None)]
            table.add_row(name, who, side, str(len(ones)), *(f"{100 * share:.1f}%" for share in shares))
    Console().print(table)


if __name__ == "__main__":
    main()
