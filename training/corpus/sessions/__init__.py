"""training.corpus.sessions - what people and programs do at a site over days, for the group `client`.

The requests of the corpus itself are single ones: they teach what a head gives away. Here whole visits are made, in order of time
and with their answers, so that the client table can count them.

    places.py (sites.tsv)   the sites: pages, parts, links, answers
    clients.py              a look at an address, a browser's cache and cookies: what an opened page asks for
    people.py               sessions of people
    programs.py             sessions of programs

Law: what a program could do as well as a person is drawn for both, and what is rare among people is there. One site's log follows
the other's, months apart: what the table knew of one has faded when the next begins.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from training.corpus import agents, published, views
from training.corpus.sessions import people, programs
from training.corpus.sessions.clients import Crowd
from training.corpus.sessions.places import FIRST_YEAR, LAST_YEAR, YEAR, Place, place

ROWS = 120_000
PER_SITE = 12_000  # rows of a site's log, about
BOTS = 0.45  # share of the rows that programs make, about
TOLD = 0.5  # share of sites whose log holds handshakes
# How a site's log holds its requests, and how often.
KEPT: dict[Callable[[views.Record], views.Record], float] = {views.capture: 6, views.decision_log: 2, views.combined: 3}


@dataclass(frozen=True)
class Log:
    """One site's log, in order of time."""

    place: Place
    records: list[dict[str, Any]]


def generate(seed: int, rows: int = ROWS) -> Iterator[dict[str, Any]]:
    """Yields about `rows` requests in the format `jsonl`, in order of time; the same for the same seed and packages.

    Beside the format's members each has `kind`, the name of a function of people.py or programs.py. Raises XbotError if a package
    of the extra `corpus` is missing.
    """
    for log in logs(seed, rows):
        yield from log.records


def logs(seed: int, rows: int = ROWS) -> Iterator[Log]:
    """The logs of the sites, one after the other."""
    published.check()
    count = max(1, round(rows / PER_SITE))
    years = min(LAST_YEAR, agents.LAST_YEAR) + 1 - FIRST_YEAR
    for number in range(count):
        rng = random.Random(f"sessions {seed} {number}")
        start = (FIRST_YEAR - 1970 + years * (number + 0.5 * rng.random()) / count) * YEAR
        yield _log(place(rng, start), rng, rows // count)


def _log(here: Place, rng: random.Random, rows: int) -> Log:
    crowd, told = Crowd(here, rng), rng.random() < TOLD
    keep = rng.choices(list(KEPT), list(KEPT.values()))[0]
    sources = {"bot": (programs.clients, BOTS * rows), "human": (people.clients, (1 - BOTS) * rows)}
    records: list[dict[str, Any]] = []
    for clients, share in sources.values():
        made: list[dict[str, Any]] = []
        while len(made) < share:
            for client in clients(here, crowd, rng):
                made += client.records(rng, told=told)
        records += made
    records.sort(key=lambda record: record["time"])
    return Log(here, [keep(record) for record in records])
