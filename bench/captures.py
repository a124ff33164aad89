"""What a model calls the requests of real clients: people's browsers, libraries, impersonators, driven browsers, tools.

    XBOT_DATA=DIR .venv/bin/python bench/captures.py [--model MODEL] [--mistakes] [--json] [--markdown docs/default-model.md]

Law: a client is wholly on one side: looked at while the model was tuned, or kept for reporting. The checksum of its name
says which, so that nobody chooses. "In clothes" is a program whose agent is a browser's. Each request is judged alone, as if it
were its client's first, and once more as if its handshake were not known.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import quality
from rich.console import Console
from rich.table import Table

from sidecar import core, model
from sidecar.sources import records

CONNECTION = frozenset({"tls", "connection", "connection_requests"})  # what a record says of it
LOOKED, KEPT = SIDES = ("looked at", "kept")
PARTS = "pages and their parts"
# Sec-Fetch-Dest of what a browser loads to show a page: the page, frames in it, and what they are made of.
DESTINATIONS = frozenset("document iframe frame embed object style script image font".split())
# The same where Sec-Fetch-Dest is not sent: by what is accepted, else by the end of the path.
PAGE_ACCEPT = re.compile(r"text/(html|css)|image/|application/font")
PART_PATH = re.compile(r"\.(html?|css|m?js|png|jpe?g|gif|svg|webp|avif|ico|ttf|otf|woff2?)$|/$")
BROWSER_AGENT = re.compile(r"Mozilla/5\.0 (?!.*Headless).*(Chrome/|Firefox/|Version/\S+ .*Safari/)")


def side(client: str) -> str:
    """Which side a client is on: "looked at" or "kept"."""
    return SIDES[zlib.crc32(client.encode()) % 2]


@dataclass(frozen=True)
class Capture:
    """One captured request: the record as records.load_record takes it, and what kind of client sent it."""

    record: dict[str, Any]
    kind: str

    @property
    def label(self) -> str:
        """bot or human."""
        return str(self.record["label"])

    @property
    def client(self) -> str:
        return str(self.record["client"])

    @property
    def scheme(self) -> str:
        return str(self.record["scheme"])

    @cached_property
    def headers(self) -> dict[str, str]:
        """By name in lower case; of headers sent twice the last."""
        return {name.lower(): value for name, value in self.record["headers"]}

    @property
    def claims_browser(self) -> bool:
        """Whether the agent is that of a browser, and has no word against it."""
        return bool(BROWSER_AGENT.match(self.headers.get("user-agent", "")))

    @property
    def part_of_page(self) -> bool:
        """Whether it opens a page, sends a form, or loads what a page is made of. Preflights, fetch, sockets, workers,
        media, downloads and what is fetched ahead do not."""
        if self.record["method"] not in ("GET", "POST") or "sec-purpose" in self.headers:
            return False
        if "sec-fetch-dest" in self.headers:
            return self.headers["sec-fetch-dest"] in DESTINATIONS
        accept = self.headers.get("accept", "")
        if PAGE_ACCEPT.match(accept):
            return True
        by_path = self.record["method"] == "GET" and accept == "*/*" and "origin" not in self.headers
        return by_path and bool(PART_PATH.search(urlsplit(self.record["uri"]).path))

    @property
    def group(self) -> str:
        """The row of the table."""
        if self.label == "human":
            return f"{self.kind}: {PARTS if self.part_of_page else 'everything else'}"
        return f"{self.kind}: {'in clothes' if self.claims_browser else 'by name'}"


def captures(data: Path) -> Iterator[Capture]:
    """All captured requests, in the order of the file."""
    place = data / "captures"
    with (place / "kinds.tsv").open() as file:
        kinds = {row["client"]: row["kind"] for row in csv.DictReader(file, delimiter="\t")}
    for record in quality.lines(place / "clients.jsonl.gz"):
        yield Capture(record, kinds[record["client"]])


@dataclass
class Tally:
    """Requests of one group over one scheme on one side, those called bots, and those called so without their handshake."""

    requests: int = 0
    bots: int = 0
    bare: int = 0
    mistakes: Counter[tuple[str, str]] = field(default_factory=Counter)  # people's: (client and request, reason)

    def add(self, capture: Capture, verdict: core.Verdict, bare: core.Verdict) -> None:
        self.requests += 1
        self.bots += verdict.bot
        self.bare += bare.bot
        if verdict.bot and capture.label == "human":
            target = urlsplit(capture.record["uri"]).path
            self.mistakes[f"{capture.client}: {capture.record['method']} {target}", verdict.reason] += 1

    def share(self, of: int) -> str:
        return f"{of} ({100 * of / self.requests:.1f}%)" if self.requests else "-"


Key = tuple[str, str, str, str]  # bot or human, group, scheme, side


def judge(data: Path, loaded: model.Model) -> dict[Key, Tally]:
    """A tally for each group, scheme and side, people last."""
    tallies: dict[Key, Tally] = {}
    request = core.Request()
    for capture in captures(data):
        key = (capture.label, capture.group, capture.scheme, side(capture.client))
        verdicts = []
        for record in (
            capture.record,
            {name: capture.record[name] for name in capture.record if name not in CONNECTION},
        ):
            records.load_record(json.dumps(record).encode(), request)
            verdicts.append(loaded.judge(request))
        tallies.setdefault(key, Tally()).add(capture, *verdicts)
    return dict(sorted(tallies.items()))


COLUMNS = (
    *("who", "is", "over", "requests looked at", "called bots", "without handshake"),
    *("requests kept", "called bots of these", "of these without handshake"),
)


def rows(tallies: dict[Key, Tally]) -> list[list[str]]:
    """The table's cells."""
    found = []
    for label, group, scheme in dict.fromkeys(key[:3] for key in tallies):
        pair = [tallies.get((label, group, scheme, name), Tally()) for name in SIDES]
        cells = [
            cell
            for t in pair
            for cell in (str(t.requests), t.share(t.bots), t.share(t.bare) if scheme == "https" else "-")
        ]
        found.append([group, label, scheme, *cells])
    return found


@click.command(help=__doc__)
@click.option(
    "--model", "path", type=click.Path(path_type=Path), default=quality.DEFAULT, help="[default: the one shipped]"
)
@click.option("--mistakes", is_flag=True, help="Also each kind of request by people that is refused, and why.")
@click.option("--json", "as_json", is_flag=True, help="Counts instead of a table.")
@click.option(
    "--markdown", "document", type=click.Path(path_type=Path, exists=True), help="Put the table in here, too."
)
def main(path: Path, mistakes: bool, as_json: bool, document: Path | None) -> None:
    tallies = judge(quality.data_place(), model.load(path))
    if as_json:
        counts = [
            {
                **dict(zip(("is", "who", "over", "side"), key, strict=True)),
                "requests": tally.requests,
                "bots": tally.bots,
                "bots without handshake": tally.bare,
                "mistakes": [{"request": r, "reason": why, "times": n} for (r, why), n in tally.mistakes.items()],
            }
            for key, tally in tallies.items()
        ]
        json.dump(counts, sys.stdout, indent=1)
        return
    console = Console(width=150)
    table = Table(*COLUMNS)
    for row in rows(tallies):
        table.add_row(*row)
    console.print(table)
    if mistakes:
        refused = Table("refused of people", "over", "side", "reason", "times")
        for (_, group, scheme, name), tally in tallies.items():
            for (request, reason), times in tally.mistakes.most_common():
                mark = " (!)" if group.endswith(PARTS) else ""
                refused.add_row(request + mark, scheme, name, reason, str(times))
        console.print(refused)
    if document:
        quality.put(document, "captures", quality.markdown(COLUMNS, rows(tallies)))


if __name__ == "__main__":
    quality.run(main)
