"""Logs of a site made of recorded sessions: people and programs among each other, and fleets.

    .venv/bin/python bench/traffic/mix.py [--recordings DIR] [--people N] [--seed N]

Law: it is resampling, and says of how many really driven sessions (DIR/mixed.json). A client is one recorded session at another
time, from an address of its own, with its rests stretched or shortened, cut at a page where somebody leaves, and dressed: a browser
of another version or system sends the same head in other words (its agent, its hints), so these are changed and nothing else.
Nothing is made up that no client did. A session is on the side of its family (split.tsv), and so is each client made of it.

    looked.jsonl.gz   the families that are looked at: people and programs over three days
    held.jsonl.gz     the families that are held out, among people of the others (side "looked")
    fleets.jsonl.gz   fleets: 1,000 addresses of one program, one or two requests each, among people; 500 people with one browser,
                      who follow one link within two hours
    crowd.jsonl.gz    what a fleet of browsers leaves: 1,000 addresses, one page with all its parts each

Lines are in the order of time. Beside the members of our `jsonl` each has `client`, `session`, `family`, `kind`, `side`, `dress`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).resolve().parent
DEFAULT = HERE.parent.parent / "build" / "traffic"
START = 1_790_000_000.0  # of each log
DAYS = 3
CHROMIUM = re.compile(
    r"Mozilla/5\.0 \(X11; Linux x86_64\) AppleWebKit/537\.36 \(KHTML, like Gecko\) Chrome/156\.0\.0\.0 Safari/537\.36"
)
FIREFOX = re.compile(r"Mozilla/5\.0 \(X11; Linux x86_64; rv:153\.0\) Gecko/20100101 Firefox/153\.0")
Record = dict[str, Any]


@dataclass(frozen=True)
class Dress:
    """A browser as it names itself. `hints`: Sec-CH-UA, mobile and platform, or none for one that sends none."""

    share: int
    agent: str
    hints: tuple[str, str, str] | None = None


def _chrome(
    share: int,
    version: int,
    system: str,
    platform: str,
    brand: str = "Google Chrome",
    end: str = "",
    mobile: str = "?0",
) -> Dress:
    safari = "Mobile Safari" if mobile == "?1" else "Safari"
    words = f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 {safari}/537.36{end}"
    grease = {156: '"Not:A-Brand";v="8"', 155: '"Not;A=Brand";v="99"', 154: '"Not/A)Brand";v="24"'}[version]
    return Dress(
        share, words, (f'{grease}, "Chromium";v="{version}", "{brand}";v="{version}"', mobile, f'"{platform}"')
    )


WINDOWS, MAC, PHONE, LINUX = (
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "Linux; Android 10; K",
    "X11; Linux x86_64",
)
CHROMES = [
    _chrome(34, 156, WINDOWS, "Windows"), _chrome(7, 155, WINDOWS, "Windows"), _chrome(2, 154, WINDOWS, "Windows"),
    _chrome(12, 156, MAC, "macOS"), _chrome(3, 155, MAC, "macOS"), _chrome(18, 156, PHONE, "Android", mobile="?1"),
    _chrome(5, 155, PHONE, "Android", mobile="?1"), _chrome(3, 156, LINUX, "Linux"),
    _chrome(9, 156, WINDOWS, "Windows", "Microsoft Edge", " Edg/156.0.0.0"),
    _chrome(2, 155, WINDOWS, "Windows", "Microsoft Edge", " Edg/155.0.0.0"),
]  # fmt: skip
FIREFOXES = [
    Dress(55, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:153.0) Gecko/20100101 Firefox/153.0"),
    Dress(12, "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:153.0) Gecko/20100101 Firefox/153.0"),
    Dress(12, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:152.0) Gecko/20100101 Firefox/152.0"),
    Dress(14, "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"),
    Dress(7, "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"),
]
AS_IT_IS = Dress(1, "")


def dressed(headers: list[list[str]], dress: Dress) -> list[list[str]]:
    """The head in another browser's words."""
    out = []
    for name, value in headers:
        low = name.lower()
        if low == "user-agent":
            value = dress.agent
        elif dress.hints and low in ("sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform"):
            value = dress.hints[("sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform").index(low)]
        out.append([name, value])
    return out


def agent_of(records: list[Record]) -> str:
    return next((value for name, value in records[0]["headers"] if name.lower() == "user-agent"), "")


def wardrobe(records: list[Record]) -> list[Dress]:
    """What a session can be dressed in: that of the browsers that really ran here, or nothing."""
    if any(
        "HeadlessChrome" in value
        for record in records
        for name, value in record["headers"]
        if name.lower() == "sec-ch-ua"
    ):
        return []
    return (
        CHROMES if CHROMIUM.fullmatch(agent_of(records)) else FIREFOXES if FIREFOX.fullmatch(agent_of(records)) else []
    )


def is_page(record: Record) -> bool:
    return str(record["type"]).startswith("text/html")


class Mixer:
    """Makes clients of sessions. Addresses and numbers of connections are used once."""

    def __init__(self, sessions: list[list[Record]], seed: int) -> None:
        self.sessions, self.rng = sessions, random.Random(seed)
        self.made: Counter[str] = Counter()
        self.connections: dict[tuple[str, int], int] = {}
        self.addresses: set[str] = set()

    def address(self, network: str | None = None) -> str:
        """A free one; `network`: its first three numbers."""
        while True:
            rng = self.rng
            found = f"{network or f'127.{rng.randrange(1, 200)}.{rng.randrange(256)}'}.{rng.randrange(1, 255)}"
            if found not in self.addresses:
                self.addresses.add(found)
                return found

    def moment(self) -> float:
        """When somebody comes: by day rather than by night."""
        while True:
            hours = self.rng.uniform(0, 24 * DAYS)
            if self.rng.random() < (1.0 if 7 < hours % 24 < 23 else 0.2):
                return START + 3600 * hours

    def person(self, sessions: list[list[Record]], *, at: float | None = None, address: str | None = None, dress: Dress | None = None,
               leaves: bool = True) -> list[Record]:  # fmt: skip
        """One client of people."""
        records = self.rng.choice(sessions)
        pages = [i for i, record in enumerate(records) if is_page(record) and record["status"] == 200]
        if leaves and len(pages) > 1 and self.rng.random() < 0.45:  # a few pages, often one
            records = records[: pages[min(len(pages) - 1, int(1 + self.rng.expovariate(0.7)))]]
        if dress is None:
            choice = wardrobe(records)
            dress = self.rng.choices(choice, [one.share for one in choice])[0] if choice else AS_IT_IS
        return self.client(records, self.moment() if at is None else at, address or self.address(), dress, spread=0.4)

    def program(self, records: list[Record], *, at: float | None = None, address: str | None = None) -> list[Record]:
        """One client of a program. Driven browsers that hide that they are headless run on any system, as those of people."""
        choice = wardrobe(records) if self.rng.random() < 0.6 else []
        dress = self.rng.choices(choice, [one.share for one in choice])[0] if choice else AS_IT_IS
        hosting = f"127.{self.rng.randrange(200, 250)}.{self.rng.randrange(12)}" if self.rng.random() < 0.6 else None
        return self.client(
            records, self.moment() if at is None else at, address or self.address(hosting), dress, spread=0.1
        )

    def client(self, records: list[Record], start: float, address: str, dress: Dress, spread: float) -> list[Record]:
        family = records[0]["family"]
        self.made[family] += 1
        name = f"{family}-{self.made[family]}"
        visit = hashlib.sha256(name.encode()).hexdigest()[:32]
        at, last, out = start, 0.0, []
        for record in records:
            gap = record["time"] - last
            at, last = at + (gap * self.rng.lognormvariate(0, spread) if gap > 1 else gap), record["time"]
            key = (name, record["connection"])
            connection = self.connections.setdefault(key, len(self.connections) + 1)
            headers = [
                [k, re.sub(r"visit=\w+", f"visit={visit}", v) if k.lower() == "cookie" else v]
                for k, v in record["headers"]
            ]
            out.append({
                **record, "client": name, "ip": address, "time": round(at, 3), "connection": connection,
                "headers": dressed(headers, dress) if dress.agent else headers, "dress": bool(dress.agent),
            })  # fmt: skip
        return out


def recorded(place: Path) -> dict[str, list[list[Record]]]:
    """Sessions by family."""
    found: dict[str, list[list[Record]]] = defaultdict(list)
    for path in sorted((place / "sessions").glob("*.jsonl")):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        found[records[0]["family"]].append(records)
    if not found:
        raise click.ClickException(f"{place}: no sessions; record.py makes them")
    return found


def people_of(mixer: Mixer, sessions: list[list[Record]], count: int) -> Iterator[Record]:
    """So many clients; each twentieth draw is an office, ten behind one address."""
    while count > 0:
        if mixer.rng.random() < 0.02:
            address, day = mixer.address(), START + 86400 * mixer.rng.randrange(DAYS)
            for _ in range(min(10, count)):
                yield from mixer.person(sessions, address=address, at=day + 3600 * mixer.rng.uniform(8, 17))
            count -= 10
        else:
            yield from mixer.person(sessions)
            count -= 1


def fleet(
    mixer: Mixer, sessions: list[list[Record]], name: str, addresses: int = 1000, *, parts: bool = False
) -> Iterator[Record]:
    """One program from as many addresses, within six hours: a page or two each, or a page and its parts."""
    start = START + 86400 + 3600 * mixer.rng.uniform(8, 14)
    pages = [
        (records, i)
        for records in sessions
        for i, record in enumerate(records)
        if is_page(record) and record["method"] == "GET"
    ]
    pages = [(records, i) for records, i in pages if i == 0 or not parts]
    for _ in range(addresses):
        records, i = mixer.rng.choice(pages)
        if parts:
            later = [j for j in range(i + 1, len(records)) if is_page(records[j]) and records[j]["status"] == 200]
            taken = records[i : later[0] if later else None]
        else:
            taken = [{**records[i], "connection_requests": 1}]
            if mixer.rng.random() < 0.4:
                again, j = mixer.rng.choice(pages)
                taken.append(
                    {
                        **again[j],
                        "time": taken[0]["time"] + mixer.rng.uniform(2, 20),
                        "connection": taken[0]["connection"],
                        "connection_requests": 2,
                    }
                )
        base = taken[0]["time"]
        taken = [{**record, "time": record["time"] - base} for record in taken]
        # Cookies and referrers of the pages before belong to another address.
        taken = [
            {
                **record,
                "headers": [
                    pair for pair in record["headers"] if parts or pair[0].lower() not in ("cookie", "referer")
                ],
            }
            for record in taken
        ]
        for record in mixer.client(taken, start + mixer.rng.uniform(0, 6 * 3600), mixer.address(), AS_IT_IS, 0.0):
            yield {**record, "fleet": name}


def write(path: Path, records: list[Record]) -> dict[str, Any]:
    """The log in the order of time, and what it holds."""
    records.sort(key=lambda record: record["time"])
    with gzip.open(path, "wt", compresslevel=3) as file:
        for record in records:
            file.write(json.dumps(record, separators=(",", ":")) + "\n")
    clients = {record["client"]: record for record in records}
    held = Counter(f"{'people' if r['label'] == 'human' else r['kind']}, {r['side']}" for r in clients.values())
    return {"requests": len(records), "clients": dict(held)}


@click.command(help=__doc__)
@click.option(
    "--recordings", type=click.Path(path_type=Path, exists=True), default=DEFAULT, help="[default: build/traffic]"
)
@click.option(
    "--people", "count", default=2000, show_default=True, help="Clients of people in looked and held together."
)
@click.option("--copies", default=2, show_default=True, help="Clients of each recorded session of a program.")
@click.option("--seed", default=1, show_default=True)
def main(recordings: Path, count: int, copies: int, seed: int) -> None:
    sessions = recorded(recordings)
    rows = [line.split("\t") for line in (HERE / "split.tsv").read_text().splitlines() if not line.startswith("#")]

    def of(who: str, side: str, kind: str = "") -> list[list[Record]]:
        return [
            one
            for family, is_a, k, its in rows
            if (is_a, its) == (who, side) and kind in ("", k)
            for one in sessions.get(family, [])
        ]

    mixer = Mixer([], seed)
    summary: dict[str, Any] = {
        "sessions": {family: len(found) for family, found in sorted(sessions.items())},
        "logs": {},
    }

    def programs(side: str) -> Iterator[Record]:
        for records in of("program", side):
            if len(records) > 3:  # who asks for less does not crawl; fleets are made of that
                for _ in range(copies):
                    yield from mixer.program(records)

    def put(name: str, *parts: Iterator[Record]) -> None:
        summary["logs"][name] = write(recordings / f"{name}.jsonl.gz", [record for part in parts for record in part])
        click.echo(f"{name}: {summary['logs'][name]}", err=True)

    looked, held = of("person", "looked"), of("person", "held")
    put("looked", people_of(mixer, looked, count * 7 // 10), programs("looked"))
    put("held", people_of(mixer, looked, count * 3 // 20), people_of(mixer, held, count * 3 // 20), programs("held"))

    def one_link() -> Iterator[Record]:
        """500 people with the same browser who follow one link."""
        chrome = [records for records in looked + held if wardrobe(records) is CHROMES]
        for _ in range(500):
            for record in mixer.person(chrome, at=START + 86400 + 3600 * mixer.rng.uniform(9, 11), dress=CHROMES[0]):
                yield {**record, "fleet": "500 people"}

    fleets = []
    for family, variant in (
        ("curl_cffi", "chrome142"),
        ("primp", "chrome_152"),
        ("impit", "chrome151"),
        ("wreq", "Firefox151"),
    ):
        found = [
            one
            for one in sessions.get(family, [])
            if f" {variant} " in one[0]["session"] and "passwords" not in one[0]["session"]
        ]
        if found:
            fleets.append(fleet(mixer, found, f"{family} {variant}"))
    put("fleets", people_of(mixer, looked, count // 2), one_link(), *fleets)
    driven = [
        one
        for one in sessions.get("patchright", []) + sessions.get("selenium", [])
        if " headed " in one[0]["session"] and "lean" not in one[0]["session"]
    ]
    if driven:
        put("crowd", people_of(mixer, looked, count // 2), fleet(mixer, driven, "driven browsers", parts=True))
    (recordings / "mixed.json").write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
