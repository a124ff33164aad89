"""The shapes of the corpus' sessions beside those of real logs: how many pages, how many parts, how long between.

    .venv/bin/python bench/shapes.py [--host NAME] [--seed N] [--rows N] LOG...

Law: figures only; nothing of a log goes into the corpus. In a log nobody knows who is a person: people are here, in logs and in
sessions alike, the clients that loaded a style or script and two more parts with a page of the site as referrer and do not call themselves
robots; programs are those that `xbot label` calls bots, and in sessions those that are. A visit ends with half an hour of silence.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from sidecar.errors import XbotError
from sidecar.sources.choosing import format_options
from sidecar.sources.traffic import ASSET, Traffic, host_of
from training.corpus.sessions import logs as sessions
from training.label import rules
from training.label.engine import Labeller

SILENCE = 1800.0
STYLE = re.compile(rb"\.(css|m?js)(\?|$)", re.IGNORECASE)
QUANTILES = (10, 50, 90)


class Hit(NamedTuple):
    """One request: whose, when, for what, from where, what became of it."""

    client: Any
    time: float
    uri: bytes
    own: bool  # a page of the site is the referrer
    status: int | None
    post: bool
    page: bool  # by its path; what scripts ask for is neither page nor part
    part: bool


Clients = dict[Any, list[Hit]]


def of_log(path: str, form: str, hosts: tuple[str, ...]) -> tuple[Clients, set[Any]]:
    """A log's clients, and those of them that rules call bots."""
    labeller = Labeller(rules.read(), (traffic := Traffic([path], form, hosts)).own)
    labeller.read(traffic)
    clients: Clients = defaultdict(list)
    bots: set[Any] = set()
    for (word, _), (_, _, request) in zip(labeller.labels(), Traffic([path], form, hosts), strict=True):
        if request is None:
            continue
        fields = request.fields
        who = (fields["ip"], fields["agent"])
        own, uri = traffic.own.own(fields["referrer"], fields["host"]), fields["uri"] or b""
        part = ASSET.search(uri) is not None
        clients[who].append(
            Hit(who, float(request.time or 0), uri, own, request.status, fields["method"] == b"POST", not part, part)
        )
        if word == "bot":
            bots.add(who)
    return clients, bots


def of_sessions(seed: int, rows: int) -> tuple[Clients, set[Any]]:
    """The clients of the corpus' sessions, and those that are programs."""
    clients: Clients = defaultdict(list)
    bots: set[Any] = set()
    for number, log in enumerate(sessions(seed, rows)):
        paths = {page.path for page in log.place.pages}
        for record in log.records:
            pairs = record.get("headers", {})
            found = {name.lower(): value for name, value in (pairs.items() if isinstance(pairs, dict) else pairs)}
            agent = record.get("agent") or found.get("user-agent")
            referrer = (record.get("referrer") or found.get("referer") or "").encode()
            who = (number, record["ip"], agent)
            own = host_of(referrer) == log.place.host.removeprefix("www.").encode()
            uri, post = record["uri"].encode(), record["method"] == "POST"
            part, page = ASSET.search(uri) is not None, record["uri"] in paths or record["label"] == "bot"
            # The logs to compare with hold whole seconds.
            hit = Hit(who, float(int(record["time"])), uri, own, record["status"], post, page and not part, part)
            clients[who].append(hit)
            if record["label"] == "bot":
                bots.add(who)
    return clients, bots


def visits(hits: list[Hit]) -> Iterator[list[Hit]]:
    """A client's requests, cut where it is silent."""
    held: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: hit.time):
        if held and hit.time - held[-1].time > SILENCE:
            yield held
            held = []
        held.append(hit)
    if held:
        yield held


def person(hits: list[Hit]) -> bool:
    """Whether a client loads parts as a browser does."""
    own = [hit.uri for hit in hits if hit.own and hit.part]
    return len(own) >= 3 and any(STYLE.search(uri) for uri in own)


def quantiles(values: Iterable[float]) -> str:
    """The tenth, the median and the ninetieth of a hundred."""
    found = list(values)
    return " ".join(f"{q:.3g}" for q in np.percentile(found, QUANTILES)) if found else "-"


def share(values: Iterable[bool]) -> str:
    found = list(values)
    return f"{100 * sum(found) / len(found):.0f}%" if found else "-"


def figures(chosen: list[list[Hit]]) -> dict[str, str]:
    """Name -> figure of these clients."""
    every = [visit for hits in chosen for visit in visits(hits)]
    pages = [[hit for hit in visit if hit.page] for visit in every]
    parts = [sum(hit.part for hit in visit) for visit in every]
    gaps = [b.time - a.time for visit in pages for a, b in pairwise(visit)]
    steps = [b.time - a.time for visit in every for a, b in pairwise(visit)]
    hits = [hit for visit in every for hit in visit]
    return {
        "clients": str(len(chosen)),
        "visits of one page": share(len(visit) == 1 for visit in pages if visit),
        "pages a visit": quantiles(len(visit) for visit in pages if visit),
        "most pages of a visit": str(max(map(len, pages), default=0)),
        "visits a client": quantiles(len(list(visits(hits))) for hits in chosen),
        "parts a visit": quantiles(parts),
        "parts to a page, of a visit": quantiles(n / len(p) for n, p in zip(parts, pages, strict=True) if p),
        "seconds between pages": quantiles(gaps),
        "log of them: spread": f"{np.std(np.log(np.maximum(gaps, 0.5))):.2f}" if gaps else "-",
        "seconds between requests": quantiles(steps),
        "within the same second": share(step < 1 for step in steps),
        "later pages from the site": share(hit.own for visit in pages for hit in visit[1:]),
        "unchanged (304)": share(hit.status == 304 for hit in hits),
        "errors (4xx)": share(400 <= (hit.status or 0) < 500 for hit in hits),
        "POST": share(hit.post for hit in hits),
    }


@click.command(help=__doc__)
@format_options()
@click.option("--host", "hosts", multiple=True, help="The logs' own hosts.  [default: guessed]")
@click.option("--seed", default=1, show_default=True)
@click.option("--rows", default=120_000, show_default=True, help="Of the sessions.")
@click.argument("logs", nargs=-1)
def main(log_format: str, hosts: tuple[str, ...], seed: int, rows: int, logs: tuple[str, ...]) -> None:
    try:
        sources = {"sessions": of_sessions(seed, rows)} | {
            path.rpartition("/")[2]: of_log(path, log_format, hosts) for path in logs
        }
    except XbotError as error:
        click.echo(f"xbot: {error}", err=True)
        sys.exit(2)
    for title in ("people", "programs"):
        columns = {}
        for name, (clients, bots) in sources.items():
            people = title == "people"
            chosen = [hits for who, hits in clients.items() if (who in bots) != people and (not people or person(hits))]
            columns[name] = figures(chosen)
        table = Table(title, *columns, title_justify="left")
        for row in next(iter(columns.values())):
            table.add_row(row, *(figure[row] for figure in columns.values()))
        Console(width=140).print(table)


if __name__ == "__main__":
    main()
