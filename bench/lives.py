"""Who refuses a person over minutes, hours and days? Ordinary lives, judged from the first request to the last.

    .venv/bin/python bench/lives.py [--life NAME] [--side looked|kept] [--seeds N] [--model MODEL] [--cold] [--why]
        [--json] [--markdown docs/lives.md]

Law: a life is lived at an invented site among people who come and go (training/corpus/sessions); each request is judged with the
table of clients as a sidecar in the mode enforce has it, and a page that is refused is counted as one. A client counts as refused by its
n-th request if any of its first n was. `--cold`: with an empty table, as after a kill. Beside it stands who would be refused without the
table: heads that the model takes for a program's are not this command's subject. The status is 1 if the table has somebody refused.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import click
import quality
from life import many, open_page, page_by_page
from life.hand import Hand, Life, Scene
from rich.console import Console
from rich.table import Table

from sidecar import core, model
from sidecar.sources import records
from training.corpus.sessions import people
from training.corpus.sessions.clients import Client, Crowd
from training.corpus.sessions.places import Place, place

HERE = Path(__file__).resolve().parent
LIVES: dict[str, Life] = open_page.LIVES | page_by_page.LIVES | many.LIVES
START = 1_795_000_000.0
BEFORE, AROUND = 6 * 3600.0, 2500  # the crowd has been there for so long, and sends so many requests
STEPS = (1, 10, 100)
COLUMNS = (
    "life",
    "side",
    "clients",
    "requests",
    *(f"by {step}" for step in STEPS),
    "in the end",
    "requests refused",
    "without table",
)
Record = dict[str, Any]


def split() -> dict[str, str]:
    """The side of each life."""
    lines = (HERE / "life" / "split.tsv").read_text().splitlines()
    return dict(line.split("\t")[:2] for line in lines if line and not line.startswith("#"))


@dataclass
class Told:
    """What was said of one client: of each of its requests whether it was refused, and by the head alone."""

    refused: list[bool] = field(default_factory=list)
    alone: list[bool] = field(default_factory=list)
    why: Counter[str] = field(default_factory=Counter)


@cache
def site(seed: int) -> Place:
    """A site whose parts are its own, as tells most about who loads none; with a cookie or, each third, without."""
    rng = random.Random(f"site {seed}")
    while True:
        found = place(rng, START)
        if (
            not found.elsewhere
            and found.scheme == "https"
            and len(found.pages) >= 50
            and len(found.pages[0].parts) >= 4
        ):
            found.sets, found.days, found.errors = seed % 3 != 2, 0.5, 0.0
            return found


@cache
def around(seed: int) -> tuple[Record, ...]:
    """The people who are there anyway."""
    here, rng = site(seed), random.Random(f"around {seed}")
    crowd, made = Crowd(here, rng), list[Record]()
    while len(made) < AROUND:
        for client in people.clients(here, crowd, rng):
            made += client.records(rng, told=True)
    return tuple({**record, "client": ""} for record in made)


def lived(name: str, seed: int) -> Iterator[Record]:
    """A life's requests; `client` numbers its people."""
    rng = random.Random(f"{name} {seed}")
    scene = Scene(site(seed), Crowd(site(seed), rng), rng, START + BEFORE)
    for number, hand in enumerate(LIVES[name](scene)):
        yield from records_of(name, number, hand, rng)


def records_of(name: str, number: int, hand: Hand, rng: random.Random) -> Iterable[Record]:
    for record in Client(name, "human", hand.look, hand.asks).records(rng, told=True):
        yield {**record, "client": str(number)}


def judged(log: Iterable[Record], loaded: core.Model) -> dict[str, Told]:
    """The life's clients by number."""
    clients, request, bare, told = core.Clients(16), core.Request(), core.Request(), dict[str, Told]()
    for record in log:
        client = str(record.pop("client"))
        line = json.dumps(record).encode()
        records.load_record(line, request)
        clients.read(request)
        verdict = loaded.judge(request)
        if client:
            one_ = told.setdefault(client, Told())
            records.load_record(line, bare)
            one_.refused.append(verdict.bot)
            one_.alone.append(loaded.judge(bare).bot)
            if verdict.bot:
                _, _, parts = loaded.explain(request)
                rows = sorted((p for p in parts if p.contribution > 0.15), key=lambda p: -p.contribution)
                one_.why[", ".join(f"{p.name} {p.contribution:.2f}" for p in rows[:7])] += 1
        if verdict.bot:  # the gate answers, not the site
            records.load_record(
                json.dumps({**record, "status": 403, "bytes": 150, "type": "text/html"}).encode(), request
            )
            clients.read(request)
        clients.count(request)
    return told


def row(name: str, side: str, told: list[Told]) -> list[str]:
    def share(count: int | None) -> str:
        return f"{100 * sum(any(client.refused[:count]) for client in told) / len(told):.1f}%"

    asked, refused = sum(len(client.refused) for client in told), sum(sum(client.refused) for client in told)
    alone = sum(any(client.alone) for client in told) / len(told)
    return [
        name,
        side,
        str(len(told)),
        str(asked),
        *(share(step) for step in STEPS),
        share(None),
        f"{100 * refused / asked:.2f}%",
        f"{100 * alone:.1f}%",
    ]


def live(name: str, seed: int, loaded: core.Model, *, cold: bool) -> list[Told]:
    """One life at one site."""
    log = list(lived(name, seed))
    if not cold:
        log += [dict(record) for record in around(seed)]
    log.sort(key=lambda record: float(record["time"]))
    return list(judged(log, loaded).values())


@click.command(help=__doc__)
@click.option("--life", "names", multiple=True, type=click.Choice(list(LIVES)), help="These alone; may be repeated.")
@click.option("--side", type=click.Choice(["looked", "kept"]), help="Those of this side.")
@click.option("--seeds", default=3, show_default=True, help="Sites at which each life is lived.")
@click.option(
    "--model", "path", type=click.Path(path_type=Path), default=quality.DEFAULT, help="[default: the one shipped]"
)
@click.option("--cold", is_flag=True, help="Nobody was there before, and nobody else comes.")
@click.option("--why", is_flag=True, help="What made the verdicts.")
@click.option("--json", "as_json", is_flag=True, help="Rows as JSON.")
@click.option(
    "--markdown", "document", type=click.Path(path_type=Path, exists=True), help="Put the table in here, too."
)
def main(
    names: tuple[str, ...], side: str | None, seeds: int, path: Path, cold: bool, why: bool, as_json: bool, document: Path | None
) -> None:  # fmt: skip
    loaded, sides, rows, faults = model.load(path), split(), [], 0
    for name in names or LIVES:
        if side and sides[name] != side:
            continue
        began = time.monotonic()
        told = [each for seed in range(seeds) for each in live(name, seed, loaded, cold=cold)]
        rows.append(row(name, sides[name], told))
        faults += sum(any(each.refused) and not any(each.alone) for each in told)
        click.echo(f"{' '.join(rows[-1])} ({time.monotonic() - began:.1f} s)", err=True)
        if why:
            for text, count in sum((each.why for each in told), Counter()).most_common(5):
                click.echo(f"    {count} times {text}", err=True)
    if document:
        what = {name: " ".join((life_.__doc__ or "").split()) for name, life_ in LIVES.items()}
        told_of = [[each[0].replace("_", " "), what.get(each[0], ""), *each[1:]] for each in rows]
        quality.put(document, "lives", quality.markdown(("life", "what somebody does", *COLUMNS[1:]), told_of))
    if as_json:
        json.dump([dict(zip(COLUMNS, each, strict=True)) for each in rows], sys.stdout, indent=1)
    else:
        table = Table(*COLUMNS)
        for each in rows:
            table.add_row(*each)
        Console(width=150).print(table)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    quality.run(main)
