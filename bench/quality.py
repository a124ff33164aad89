"""What a model refuses of traffic that it was not made from, beside two lists of agents.

    XBOT_DATA=DIR .venv/bin/python bench/quality.py [--model MODEL] [--json] [--markdown docs/default-model.md]

Law: whatever a set does not hold is absent, as in any log; a share is of requests, or, where a set says how common an
agent is, of that. docs/default-model.md says where the sets come from, and shows what this prints.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from sidecar import core, model
from sidecar.errors import XbotError
from sidecar.sources import records
from training.corpus import published
from training.report.lists import agent_lists

DEFAULT = Path(__file__).resolve().parent.parent / "sidecar" / "default.xbot"
BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"
LOGS = {"semicomplete.com": "semicomplete_apache_10k", "almhuette-raith.at": "almhuette_10k"}
COLUMNS = ("this model", "crawler-user-agents", "one line")

Row = tuple[str, str, core.Verdict, str, float]  # set, bot or human, verdict, agent, weight
Judge = Callable[[core.Request], core.Verdict]
Rows = Iterator[Row]
Read = Callable[[Path, core.Request, Judge], Rows]


LISTS = agent_lists()


@cache
def listed(agent: str) -> tuple[bool, ...]:
    """Whether each list calls an agent a bot. A missing agent is none to either."""
    return tuple(bool(agent and one.is_bot and one.is_bot(agent)) for one in LISTS)


@dataclass
class Tally:
    """Requests by weight: all, and those called bots by the model and by each list."""

    rows: int = 0
    total: float = 0.0
    called: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: core.Verdict, weight: float, lists: tuple[bool, ...]) -> None:
        self.rows += 1
        self.total += weight
        for i, bot in enumerate((verdict.bot, *lists)):
            self.called[i] += weight * bot
        if verdict.bot:
            self.reasons[verdict.reason] += 1

    @property
    def shares(self) -> list[float]:
        return [called / self.total for called in self.called]


def _record(request: core.Request, **record: Any) -> str:
    """Reads a capture; returns its agent."""
    records.load_record(json.dumps(record).encode(), request)
    return next((value for name, value in record["headers"] if name.lower() == "user-agent"), "")


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file, one a line."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        yield from map(json.loads, file)


def combined_line(agent: str, uri: str = "/", referrer: str = "-") -> bytes:
    """A line of an access log that tells nothing but these."""
    escaped = "".join(
        c if " " <= c <= "~" and c not in '"\\' else "".join(f"\\x{b:02x}" for b in c.encode()) for c in agent
    )
    return f'192.0.2.1 - - [01/Jan/2024:00:00:00 +0000] "GET {uri} HTTP/1.1" 200 1 "{referrer}" "{escaped}"'.encode()


def user_agents(data: Path, request: core.Request, judge: Judge) -> Iterator[Row]:
    """An agent and nothing else, as in a log: / is asked for by hand. Those that training saw are counted apart."""
    known = set(published.crawler_agents())
    with gzip.open(data / "user_agents" / "user_agents.tsv.gz", "rt", errors="replace") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            agent, label, weight = row["user_agent"], row["label"], float(row["weight"] or 0)
            if label == "unknown":
                continue
            request.load_line("combined", combined_line(agent))
            verdict = judge(request)
            seen = ", known to training" if agent in known else ""
            name = f"agents alone: {label}, {'curated' if row['quality'] == 'A' else 'crowd list'}{seen}"
            yield name, "human" if label in ("human", "app") else "bot", verdict, agent, 1.0
            if label == "human" and weight > 0:
                yield "agents alone: human, by share of traffic", "human", verdict, agent, weight


def browsers(data: Path, request: core.Request, judge: Judge) -> Iterator[Row]:
    """Header sets of browsers: over https, and without a word on the scheme."""
    for row in lines(data / "headers" / "browsers.jsonl.gz"):
        about = {"headers": row["headers"], "uri": "/", "method": "GET", "protocol": f"HTTP/{row['http']}"}
        yield "header sets: browsers", "human", judge(request), _record(request, **about), 1.0
        agent = _record(request, **about, scheme="https")
        yield "header sets: browsers, https", "human", judge(request), agent, 1.0


def plain_clients(data: Path, request: core.Request, judge: Judge) -> Iterator[Row]:
    """curl, wget and the clients of the usual languages, as they came over a socket."""
    for record in plain_records(data):
        agent = _record(request, **record)
        yield "header sets: plain clients", "bot", judge(request), agent, 1.0


def plain_records(data: Path) -> Iterator[dict[str, Any]]:
    """The same, in the format `jsonl`."""
    for row in lines(data / "headers" / "automation_clients.jsonl"):
        about = {"uri": row["path"], "method": row["method"], "protocol": row["proto"], "scheme": "http"}
        yield {"headers": row["headers"], **about}


def honeypot(data: Path, request: core.Request, judge: Judge) -> Iterator[Row]:
    """Requests to a bare address that no page names."""
    for kind, record in honeypot_records(data):
        agent = _record(request, **record)
        yield f"honeypot: agent is {kind}", "bot", judge(request), agent, 1.0


def honeypot_records(data: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same in the format `jsonl`, each with the kind of its agent: browser, tool or none."""
    for row in lines(data / "honeypot" / "requests.jsonl.gz"):
        uri = row["path"] + ("?" + row["query"] if row["query"] else "")
        about = {"uri": uri, "method": row["method"], "ip": row["ip"], "protocol": "HTTP/1.1", "scheme": "http"}
        yield row["ua_kind"], {"headers": row["headers"], **about}


def weak_labels(data: Path, site: str) -> list[tuple[int, str, str]]:
    """(line, bot or human, reason) of the labelled lines of a site's log."""
    path = data / "logs" / f"{LOGS[site].partition('_')[0]}.weak_labels.tsv"
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    return [(int(line), label, reason) for line, label, reason in rows if label in ("bot", "human")]


def one_log(data: Path, site: str, request: core.Request, judge: Judge) -> Iterator[Row]:
    """The labelled lines of a site's log."""
    lines = (data / "logs" / f"{LOGS[site]}.log").read_bytes().split(b"\n")
    for number, label, reason in weak_labels(data, site):
        request.load_line("combined", lines[number - 1])
        agent = (request.fields["agent"] or b"").decode("utf-8", "replace")
        yield f"{site}: {reason}", label, judge(request), "" if agent == "-" else agent, 1.0


def logs(data: Path, request: core.Request, judge: Judge) -> Iterator[Row]:
    """Access logs with weak labels, by reason."""
    for site in LOGS:
        yield from one_log(data, site, request, judge)


def challenge(data: Path, request: core.Request, judge: Judge) -> Iterator[Row]:
    """The hackathon's log. Most of its rules are words and addresses that nobody but its maker knows."""
    for line in (data / "challenge" / "train_data.tsv").read_bytes().splitlines():
        request.load_line("challenge", line)
        agent = (request.fields["agent"] or b"").decode("utf-8", "replace")
        yield "the hackathon's challenge", "bot" if request.label else "human", judge(request), agent, 1.0


SETS: tuple[Read, ...] = (user_agents, browsers, plain_clients, honeypot, logs, challenge)


def judge_sets(data: Path, loaded: model.Model, sets: tuple[Read, ...] = SETS, lists: bool = True) -> dict[Any, Tally]:
    """Tallies by (set, bot or human), bots first; `lists`: the lists' verdicts too, which take most of the time."""
    tallies: dict[tuple[str, str], Tally] = {}
    request = core.Request()
    for read in sets:
        for name, wanted, verdict, agent, weight in read(data, request, loaded.judge):
            tallies.setdefault((name, wanted), Tally()).add(verdict, weight, listed(agent) if lists else ())
    return dict(sorted(tallies.items(), key=lambda item: (item[0][1], item[0][0])))


def markdown(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    """A table whose figures stand to the right; the first column is a name."""
    figures = [bool(i and cell) and (cell[0].isdigit() or cell.endswith("%")) for i, cell in enumerate(rows[0])]
    aligned = ["---:" if figure else "---" for figure in figures]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (columns, aligned, *rows))


def put(document: Path, name: str, text: str) -> None:
    """Puts text between the two marks `name` of a document. XbotError where it has none."""
    page, begin, end = document.read_text(encoding="utf-8"), BEGIN.format(name), END.format(name)
    if begin not in page or end not in page:
        raise XbotError(f"{document}: no place for the table ({begin} and {end})")
    before, after = page.split(begin)[0], page.split(end)[1]
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def data_place() -> Path:
    """The directory of the sets."""
    if not os.environ.get("XBOT_DATA"):
        raise XbotError("XBOT_DATA is not set: it names the directory of the sets to judge")
    return Path(os.environ["XBOT_DATA"])


def run(command: Callable[[], None]) -> None:
    """Runs a command; what the user did or gave is wrong ends in one line."""
    try:
        command()
    except XbotError as error:
        click.echo(f"xbot: {error}", err=True)
        sys.exit(2)


@click.command(help=__doc__)
@click.option("--model", "path", type=click.Path(path_type=Path), default=DEFAULT, help="[default: the one shipped]")
@click.option("--json", "as_json", is_flag=True, help="Shares instead of a table.")
@click.option("--reasons", is_flag=True, help="Also the commonest reasons of a refusal.")
@click.option(
    "--markdown", "document", type=click.Path(path_type=Path, exists=True), help="Put the table in here, too."
)
def main(path: Path, as_json: bool, reasons: bool, document: Path | None) -> None:
    tallies = judge_sets(data_place(), model.load(path))
    if as_json:
        shares = [
            {"set": name, "is": wanted, "rows": tally.rows, **dict(zip(COLUMNS, tally.shares, strict=True))}
            for (name, wanted), tally in tallies.items()
        ]
        json.dump(shares, sys.stdout, indent=1)
        return
    columns = ("set", "is", "requests", *COLUMNS)
    rows = [
        [name, wanted, str(t.rows), *(f"{100 * s:.2f}%" for s in t.shares)] for (name, wanted), t in tallies.items()
    ]
    table = Table(*columns)
    for row, tally in zip(rows, tallies.values(), strict=True):
        table.add_row(*row)
        if reasons and tally.reasons:
            table.add_row("  " + " ".join(f"{n}×{reason}" for reason, n in tally.reasons.most_common(4)))
    Console(width=160).print(table)
    if document:
        put(document, "quality", markdown(columns, rows))


if __name__ == "__main__":
    run(main)
