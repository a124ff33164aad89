"""What a model refuses of traffic that it was not made from, beside two lists of words.

    XBOT_DATA=DIR .venv/bin/python bench/quality.py [--model MODEL] [--json] [--markdown FILE]

Sets (docs/default-model.md says where they come from): labelled user agents, header sets of browsers, requests of plain
clients, requests that reached a honeypot, two access logs with weak labels. A share is of requests; where a set says how
common an agent is, of that. Whatever a set does not hold is absent, as for any log.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import crawleruseragents
from rich.console import Console
from rich.table import Table

from sidecar import core, model, reading

ROOT = Path(__file__).resolve().parent.parent
WORDS = re.compile(r"bot|crawl|spider|slurp|curl|wget|python|java|perl|go-http|http", re.I)
_CRAWLERS = re.compile("|".join(entry["pattern"] for entry in crawleruseragents.CRAWLER_USER_AGENTS_DATA))
_listed: dict[str, tuple[bool, bool]] = {}


def lists_say(agent: str) -> tuple[bool, bool]:
    """(crawler-user-agents calls it a bot, the regular expression does). An empty agent is a bot to neither."""
    if agent not in _listed:
        _listed[agent] = (bool(_CRAWLERS.search(agent)), bool(WORDS.search(agent)))
    return _listed[agent]


@dataclass
class Tally:
    """What was called a bot, in weight of requests, by the model and by the two lists."""

    total: float = 0.0
    model: float = 0.0
    crawlers: float = 0.0
    words: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: core.Verdict, agent: str, weight: float = 1.0) -> None:
        listed = lists_say(agent)
        self.total += weight
        self.model += weight * verdict.bot
        self.crawlers += weight * listed[0]
        self.words += weight * listed[1]
        if verdict.bot:
            self.reasons[verdict.reason] += 1


Row = tuple[str, str, core.Verdict, str, float]  # group, wanted, verdict, agent, weight
Judge = Callable[[core.Request], core.Verdict]


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def _record(request: core.Request, **record: Any) -> None:
    reading.load_record(json.dumps(record).encode(), request)


def user_agents(data: Path, request: core.Request, judge: Judge) -> Iterator[Row]:
    """An agent alone: all else is absent."""
    with gzip.open(data / "user_agents" / "user_agents.tsv.gz", "rt", errors="replace") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["label"] == "unknown":
                continue
            request.load_record([(b"User-Agent", row["user_agent"].encode())], False)
            weight = float(row["weight"] or 0)
            name = f"agents: {row['label']}, {'curated' if row['quality'] == 'A' else 'crowd list'}"
            wanted = "human" if row["label"] in ("human", "app") else "bot"
            verdict = judge(_agent_only(request, row["user_agent"]))
            yield name, wanted, verdict, row["user_agent"], 1.0
            if row["label"] == "human" and weight > 0:
                yield "agents: human, by share of traffic", "human", verdict, row["user_agent"], weight


def _agent_only(request: core.Request, agent: str) -> core.Request:
    """A combined line of which only the agent tells anything: a page asked for by hand."""
    escaped = "".join(c if 31 < ord(c) < 127 and c not in '"\\' else "".join(f"\\x{b:02x}" for b in c.encode()) for c in agent)
    request.load_line("combined", f'192.0.2.1 - - [01/Jan/2024:00:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "{escaped}"'.encode())
    return request


def browsers(data: Path, request: core.Request, judge: Judge) -> Iterator[Row]:
    """Header sets of browsers, over https as they were taken, and without a word on the scheme."""
    with gzip.open(data / "headers" / "browsers.jsonl.gz", "rt") as file:
        for line in file:
            row = json.loads(line)
            agent = dict((name.lower(), value) for name, value in row["headers"]).get("user-agent", "")
            for name, scheme in (("headers: browsers", None), ("headers: browsers, https", "https")):
                _record(request, headers=row["headers"], uri="/", method="GET", protocol=f"HTTP/{row['http']}", scheme=scheme)
                yield name, "human", judge(request), agent, 1.0


def automation(data: Path, request: core.Request, judge: Judge) -> Iterator[Row]:
    """Plain clients of the usual languages, as they came over a socket."""
    for line in (data / "headers" / "automation_clients.jsonl").read_text().splitlines():
        row = json.loads(line)
        agent = dict((name.lower(), value) for name, value in row["headers"]).get("user-agent", "")
        _record(request, headers=row["headers"], uri=row["path"], method=row["method"], protocol=row["proto"], scheme="http")
        yield "headers: plain clients", "bot", judge(request), agent, 1.0


def honeypot(data: Path, request: core.Request, judge: Judge) -> Iterator[Row]:
    """Requests to a bare address that no page names."""
    with gzip.open(data / "honeypot" / "requests.jsonl.gz", "rt") as file:
        for line in file:
            row = json.loads(line)
            agent = dict((name.lower(), value) for name, value in row["headers"]).get("user-agent", "")
            uri = row["path"] + ("?" + row["query"] if row["query"] else "")
            _record(request, headers=row["headers"], uri=uri, method=row["method"], ip=row["ip"], protocol="HTTP/1.1", scheme="http")
            yield f"honeypot: agent is {row['ua_kind']}", "bot", judge(request), agent, 1.0


def logs(data: Path, request: core.Request, judge: Judge) -> Iterator[Row]:
    """Access logs with weak labels, by reason."""
    for name, labels in (("semicomplete_apache_10k", "semicomplete"), ("almhuette_10k", "almhuette")):
        reasons = [line.split("\t") for line in (data / "logs" / f"{labels}.weak_labels.tsv").read_text().splitlines()[1:]]
        lines = (data / "logs" / f"{name}.log").read_bytes().split(b"\n")
        for number, label, reason in reasons:
            if label not in ("bot", "human"):
                continue
            request.load_line("combined", lines[int(number) - 1])
            agent = _text(request.fields["agent"])
            yield f"log {labels}: {reason}", label, judge(request), "" if agent == "-" else agent, 1.0


SETS = (user_agents, browsers, automation, honeypot, logs)


@click.command()
@click.option("--model", "path", type=click.Path(path_type=Path), default=ROOT / "sidecar" / "default.xbot", show_default=True)
@click.option("--json", "as_json", is_flag=True)
@click.option("--reasons", is_flag=True, help="Also the commonest reasons of a refusal.")
def main(path: Path, as_json: bool, reasons: bool) -> None:
    """Judge every set and print what was called a bot."""
    data, loaded, request = Path(os.environ["XBOT_DATA"]), model.load(path), core.Request()
    tallies: dict[tuple[str, str], Tally] = {}
    for read in SETS:
        for group, wanted, verdict, agent, weight in read(data, request, loaded.judge):
            tallies.setdefault((group, wanted), Tally()).add(verdict, agent, weight)
    if as_json:
        rows = [{"set": g, "wanted": w, "rows": t.total, "model": t.model / t.total, "crawler-user-agents": t.crawlers / t.total, "words": t.words / t.total} for (g, w), t in tallies.items()]
        json.dump(rows, sys.stdout, indent=1)
        return
    table = Table("set", "is", "requests", "this model", "crawler-user-agents", "words")
    for (group, wanted), t in sorted(tallies.items(), key=lambda item: (item[0][1], item[0][0])):
        table.add_row(group, wanted, f"{t.total:.0f}", *(f"{100 * part / t.total:.2f}%" for part in (t.model, t.crawlers, t.words)))
        if reasons:
            table.add_row("", "", "", " ".join(f"{n}×{r}" for r, n in t.reasons.most_common(4)), "", "")
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
