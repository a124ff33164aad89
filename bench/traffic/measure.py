"""What a model says of clients, not of requests: recall by kind beside the people that are refused.

    .venv/bin/python bench/traffic/measure.py [--recordings DIR] [--model MODEL] [--without NAME] [--table MEBIBYTES]
        [--compare] [--markdown docs/traffic.md] [--json]
    XBOT_DATA=DIR .venv/bin/python bench/traffic/measure.py --logs        (the two logs of real sites, by client)

Law: a log is judged once, in its order; each request sees only what came before it. A client counts as refused by its n-th request
if any of its first n was. Two thresholds are shown: the model's own, and the one by which 0.5% of the clients of people are refused
that are looked at; the held-out side gets the same ones. `--without` takes a group away (tls: the handshake; client: the table of
clients; or the beginning of a row's name, for what it adds), `--compare` each in turn, so that what it is worth can be seen.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import quality  # noqa: E402  # bench/ is a folder of scripts

from sidecar import core, model  # noqa: E402
from sidecar.errors import XbotError  # noqa: E402
from sidecar.sources import records  # noqa: E402

STEPS = (1, 3, 10, 30)
SHARE = 0.005  # of people's clients
LOGS = ("looked", "held", "fleets", "crowd")
VARIANTS = {"with all": (), "without handshake": ("tls",), "without client": ("client",), "without shape": ("fleet_",)}
CLIENT_COLUMNS = ("who", "side", "clients", *(f"by request {step}" for step in STEPS), "in the end")
FLEET_COLUMNS = ("fleet", "side", "addresses", "refused after its first 200 requests")
FLEET_STARTS = 200  # requests of a fleet that may come before it is known


@dataclass
class Client:
    """One client: who it is, and the margin of each of its requests."""

    who: str  # "people" or the kind of program
    side: str
    family: str
    fleet: str = ""
    margins: list[float] = field(default_factory=list)

    def worst(self, count: int | None) -> float:
        """The highest margin of its first `count` requests."""
        return max(self.margins[:count])


Log = tuple[dict[str, Client], list[tuple[str, float]]]  # clients by name; fleet and margin of each request, in order


class Judge:
    """A model with or without some of what it looks at."""

    def __init__(self, loaded: core.Model, without: tuple[str, ...], mebibytes: int) -> None:
        self.model, self.request = loaded, core.Request()
        self.tls = "tls" not in without
        self.rows = tuple(name for name in without if name not in ("tls", "client"))
        self.mebibytes = 0 if "client" in without else mebibytes
        self.forget()

    def forget(self) -> None:
        """Starts anew, with an empty table."""
        makes = getattr(core, "Clients", None)  # where this build has it
        self.clients = makes(self.mebibytes) if makes and self.mebibytes else None

    def margin(self, line: bytes) -> float:
        """Of a line of jsonl, and counts it."""
        if not self.tls:
            said = json.loads(line)
            line = json.dumps(
                {key: said[key] for key in said if key not in ("tls", "connection", "connection_requests")}
            ).encode()
        records.load_record(line, self.request)
        return self.seen()

    def seen(self) -> float:
        """Of the request that was read: what came before it counts, then it is counted itself."""
        if self.clients is not None:
            self.clients.read(self.request)
        found = self.model.judge(self.request).margin
        if self.rows:
            _, _, parts = self.model.explain(self.request)
            found -= sum(part.contribution for part in parts if part.name.startswith(self.rows))
        if self.clients is not None:
            self.clients.count(self.request)
        return found


class Said(msgspec.Struct):
    """What the evaluation reads of a line."""

    label: str
    client: str
    kind: str
    side: str
    family: str
    fleet: str = ""


def judged(path: Path, judge: Judge) -> Log:
    """The clients of a log of mix.py."""
    clients: dict[str, Client] = {}
    requests = []
    decoder = msgspec.json.Decoder(Said)
    for line in raw_lines(path):
        said = decoder.decode(line)
        margin = judge.margin(line)
        who = "people" if said.label == "human" else said.kind
        clients.setdefault(said.client, Client(who, said.side, said.family, said.fleet)).margins.append(margin)
        requests.append((said.fleet, margin))
    return clients, requests


def raw_lines(path: Path) -> Iterator[bytes]:
    import gzip

    with gzip.open(path) as file:
        yield from file


def threshold_of(clients: list[Client], share: float) -> float:
    """The least threshold by which at most this share is ever refused. A margin above it is refused."""
    worst = np.sort([client.worst(None) for client in clients])[::-1]
    return float(worst[int(share * len(worst))])


def shares(clients: list[Client], threshold: float) -> list[str]:
    """How many there are, and which share is refused by its 1st, 3rd, ... request and in the end."""
    if not clients:
        return ["0", *("-" for _ in (*STEPS, None))]
    refused = [sum(client.worst(count) > threshold for client in clients) / len(clients) for count in (*STEPS, None)]
    return [str(len(clients)), *(f"{100 * share:.1f}%" for share in refused)]


def by_kind(clients: dict[str, Client], threshold: float, *, families: bool) -> list[list[str]]:
    """A row for people and for each kind, on each side."""
    found: dict[tuple[str, str], list[Client]] = {}
    for client in clients.values():
        found.setdefault((client.side, f"{client.who}: {client.family}" if families else client.who), []).append(client)
    return [
        [who, side, *shares(ones, threshold)]
        for (side, who), ones in sorted(found.items(), key=lambda item: (item[0][0] == "held", item[0][1]))
    ]


def fleet_rows(log: Log, threshold: float) -> list[list[str]]:
    """Of each fleet the share of its requests that are refused after its first ones; of people that of clients."""
    clients, requests = log
    rows = []
    for name in ("", *dict.fromkeys(fleet for fleet, _ in requests if fleet)):
        ones = [client for client in clients.values() if client.fleet == name]
        if ones[0].who == "people":
            shared = sum(client.worst(None) > threshold for client in ones) / len(ones)
            rows.append([f"{name or 'people beside them'}, by client", "-", str(len(ones)), f"{100 * shared:.1f}%"])
        else:
            margins = [margin for fleet, margin in requests if fleet == name][FLEET_STARTS:]
            shared = sum(margin > threshold for margin in margins) / len(margins)
            rows.append(
                [name, "/".join(sorted({client.side for client in ones})), str(len(ones)), f"{100 * shared:.1f}%"]
            )
    return rows


def thresholds(logs: dict[str, Log], loaded: core.Model) -> dict[str, float]:
    """Both, by what they are called."""
    people = [
        client
        for clients, _ in logs.values()
        for client in clients.values()
        if (client.who, client.side, client.fleet) == ("people", "looked", "")
    ]
    return {"the model's threshold": loaded.threshold, f"{SHARE:.1%} of people's clients": threshold_of(people, SHARE)}


def tables(logs: dict[str, Log], threshold: float, *, families: bool = False) -> dict[str, list[list[str]]]:
    """The rows of each log."""
    return {
        name: by_kind(log[0], threshold, families=families)
        if name in ("looked", "held")
        else fleet_rows(log, threshold)
        for name, log in logs.items()
    }


def compared(recordings: Path, loaded: core.Model, mebibytes: int) -> list[tuple[tuple[str, ...], list[list[str]]]]:
    """Two tables, of clients and of fleets, by the threshold that refuses as many people in each variant: with all, and what
    becomes of it without a group. Columns and rows of each."""
    found = {}
    for name, without in VARIANTS.items():
        logs = read_logs(recordings, Judge(loaded, without, mebibytes), LOGS)
        found[name] = tables(logs, list(thresholds(logs, loaded).values())[1])
    rest = [name for name in VARIANTS if name != "with all"]
    clients = [
        [*row, *(found[name][log][number][3 + STEPS.index(30)] for name in rest)]
        for log in ("looked", "held")
        for number, row in enumerate(found["with all"][log])
        if log == "looked" or row[1] == "held"
    ]
    fleets = [
        [*row, *(found[name][log][number][3] for name in rest)]
        for log in ("fleets", "crowd")
        for number, row in enumerate(found["with all"][log])
    ]
    return [
        ((*CLIENT_COLUMNS, *(f"by 30, {name}" for name in rest)), clients),
        ((*FLEET_COLUMNS, *(f"refused {name}" for name in rest)), fleets),
    ]


def read_logs(recordings: Path, judge: Judge, names: Sequence[str]) -> dict[str, Log]:
    """Each log by itself: what one taught is not known in the next."""
    found = {}
    for name in names:
        path = recordings / f"{name}.jsonl.gz"
        if not path.exists():
            raise XbotError(f"{path}: not there; record.py and mix.py make it")
        judge.forget()
        found[name] = judged(path, judge)
    return found


def real_logs(data: Path, loaded: core.Model, without: tuple[str, ...], mebibytes: int) -> list[list[str]]:
    """The logs of two sites by client, that is, address and agent. A client is what its weak labels say with one voice."""
    rows = []
    for site, name in quality.LOGS.items():
        judge = Judge(loaded, without, mebibytes)
        with (data / "logs" / f"{name.removesuffix('_10k').removesuffix('_apache')}.weak_labels.tsv").open() as file:
            labels = [row["label"] for row in csv.DictReader(file, delimiter="\t")]
        clients: dict[tuple[str, str], tuple[set[str], list[float]]] = {}
        with (data / "logs" / f"{name}.log").open("rb") as lines:
            for line, label in zip(lines, labels, strict=False):
                try:
                    judge.request.load_line("combined", line.rstrip(b"\n"))
                except core.LineError:
                    continue
                margin = judge.seen()
                agent = line.rsplit(b'"', 2)[-2].decode("latin-1")
                said, margins = clients.setdefault((line.split(b" ", 1)[0].decode(), agent), (set(), []))
                said.add(label)
                margins.append(margin)
        for label in ("human", "bot", "unknown"):
            ones = [
                Client(label, "-", site, margins=margins)
                for said, margins in clients.values()
                if said - {"unknown"} == {label} - {"unknown"}
            ]
            rows.append([f"{site}: {label}", "weak labels", *shares(ones, loaded.threshold)])
    return rows


@click.command(help=__doc__)
@click.option(
    "--recordings",
    type=click.Path(path_type=Path),
    default=HERE.parent.parent / "build" / "traffic",
    help="[default: build/traffic]",
)
@click.option(
    "--model", "path", type=click.Path(path_type=Path), default=quality.DEFAULT, help="[default: the one shipped]"
)
@click.option(
    "--without", multiple=True, metavar="NAME", help="tls, client, or the beginning of rows' names; may be repeated."
)
@click.option("--table", "mebibytes", default=64, show_default=True, help="Size of the table of clients; 0: none.")
@click.option("--families", is_flag=True, help="A row for each family.")
@click.option("--log", "only", multiple=True, type=click.Choice(LOGS), help="These alone; may be repeated.")
@click.option("--logs", "real", is_flag=True, help="The two real logs below XBOT_DATA instead.")
@click.option("--compare", is_flag=True, help="With all, and without handshake, client and shape: one table.")
@click.option(
    "--markdown", "document", type=click.Path(path_type=Path, exists=True), help="Put that table in here, too."
)
@click.option("--json", "as_json", is_flag=True, help="Rows as JSON.")
def main(
    recordings: Path,
    path: Path,
    without: tuple[str, ...],
    mebibytes: int,
    families: bool,
    only: tuple[str, ...],
    real: bool,
    compare: bool,
    document: Path | None,
    as_json: bool,
) -> None:
    loaded = model.load(path)
    said = f"without {', '.join(without)}" if without else "with all"
    shown: list[tuple[str, tuple[str, ...], list[list[str]]]] = []
    if real:
        rows = real_logs(quality.data_place(), loaded, without, mebibytes)
        shown.append((f"real logs, {said}", CLIENT_COLUMNS, rows))
    elif compare or document:
        made = compared(recordings, loaded, mebibytes)
        shown += [("", columns, rows) for columns, rows in made]
        if document:
            quality.put(document, "traffic", "\n\n".join(quality.markdown(columns, rows) for columns, rows in made))
    else:
        logs = read_logs(recordings, Judge(loaded, without, mebibytes), only or LOGS)
        for name, threshold in thresholds(logs, loaded).items():
            for log, rows in tables(logs, threshold, families=families).items():
                columns = CLIENT_COLUMNS if log in ("looked", "held") else FLEET_COLUMNS
                shown.append((f"{log}, {said}, {name} ({threshold:.3f})", columns, rows))
    if as_json:
        json.dump(
            [{"title": title, "columns": columns, "rows": rows} for title, columns, rows in shown], sys.stdout, indent=1
        )
        return
    console = Console(width=int(os.environ.get("COLUMNS", "150")))
    for title, columns, rows in shown:
        out = Table(*columns, title=title or None, title_justify="left")
        for row in rows:
            out.add_row(*row)
        console.print(out)


if __name__ == "__main__":
    quality.run(main)
