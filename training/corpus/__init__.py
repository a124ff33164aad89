"""training.corpus - requests of bots and of people, made from packages that install by name (extra `corpus`).

It is what `make demo` trains on: on a machine without logs, real clients get sensible verdicts. The model must learn the
class and not the source, so a visit's frame (site.py) is drawn before its class, every agent goes the same way to its
headers (browsers.py), and tests hold that no single trait of the sources separates the classes.

    agents.py, agents.tsv    what people's browsers called themselves, 2007 to today
    published.py             the packages: crawlers' agents, people's agents, header sets of real browsers
    browsers.py, heads.tsv   the headers of a browser, in order, by engine and version
    people.py                visits by people
    robots.py, tools.tsv, crawlers.tsv, probes.tsv    visits by programs
    site.py                  what is asked for, when, from where: the same for both
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from training.corpus import people, published, robots, site
from training.corpus.heads import Pairs, spoken

ROWS = 20_000


def generate(seed: int, rows: int = ROWS) -> Iterator[dict[str, Any]]:
    """Yields `rows` requests in the format `jsonl`, half of them by bots; the same ones for the same seed and packages.

    Raises XbotError if a package of the extra `corpus` is missing.
    """
    published.check()
    rng = random.Random(seed)
    written = {"bot": 0, "human": 0}
    while (done := sum(written.values())) < rows:
        visit, wants = site.visit(rng), site.wants(rng)
        label = min(written, key=lambda name: (written[name], rng.random()))
        asked = robots.requests(visit, wants, rng) if label == "bot" else people.requests(visit, wants, rng)
        for want, pairs in list(asked)[: rows - done]:
            method, path = robots.method_and_path(want, rng) if label == "bot" else (want.method, want.path)
            written[label] += 1
            yield _record(label, visit, want, method, path, pairs)


def _record(label: str, visit: site.Visit, want: site.Want, method: str, path: str, pairs: Pairs) -> dict[str, Any]:
    return {"ip": visit.ip, "time": want.time, "method": method, "uri": path, "protocol": visit.protocol, "scheme": visit.scheme,
            "host": visit.host, "label": label, "headers": spoken(pairs, visit.protocol)}
