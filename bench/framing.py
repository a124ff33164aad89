"""What it costs somebody to have another visitor refused: how many requests, and from where, until a first-time visitor or a known one is.

    .venv/bin/python bench/framing.py [--model MODEL] [--markdown docs/security.md]

Law: each attack is made on a table of clients of its own, at a site whose people load parts and bring cookies; who would be refused is
refused, also the attacker. All send the very head of one browser, so only what was done before decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import quality
from attack import Judge
from rich.console import Console
from rich.table import Table

from sidecar import core, model
from sidecar.sources.records import load_record

START = 1_795_737_600.0
VISITORS = 150  # people of the site
STEPS = (0, 1, 2, 3, 5, 8, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 300, 500, 1000)
VICTIM = "10.200.1.7"
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
OWN, COOKIE = "https://example.org/", "s=1"
COLUMNS = ("who is refused", "what somebody does", "from", "requests")


def head(version: int, *, page: bool = True, known: bool = False) -> list[tuple[str, str]]:
    """All headers of a Chrome that opens a page, or loads a picture of one. `known`: it comes from the site, and brings its cookie."""
    agent = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
    brands = ("sec-ch-ua", f'"Chromium";v="{version}", "Google Chrome";v="{version}", "Not_A Brand";v="99"')
    mobile, system = ("sec-ch-ua-mobile", "?0"), ("sec-ch-ua-platform", '"Windows"')
    site = ("Sec-Fetch-Site", "same-origin" if known else "none")
    opens = [brands, mobile, system, ("Upgrade-Insecure-Requests", "1"), ("User-Agent", agent), ("Accept", HTML), site]
    opens += [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-User", "?1"), ("Sec-Fetch-Dest", "document")]
    loads = [system, ("User-Agent", agent), brands, mobile, ("Accept", "image/avif,image/webp,*/*;q=0.8")]
    loads += [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")]
    pairs = [("Host", "example.org"), *(opens if page else loads)]
    pairs += [("Referer", OWN)] if known or not page else []
    pairs += [("Accept-Encoding", "gzip, deflate, br, zstd"), ("Accept-Language", "en-US,en;q=0.9")]
    return [*pairs, ("Cookie", COOKIE)] if known else pairs


class Site:
    """A site that refuses, and remembers."""

    def __init__(self, judge: Judge, alike: int) -> None:
        """`alike`: how many of its people have the victim's very look."""
        self.judge, self.clients, self.now = judge, core.Clients(8), START
        for n in range(VISITORS):
            self.person(f"10.1.{n}.7", 142 if n < alike else 139 + n % 3)

    def ask(
        self, ip: str, uri: str, headers: list[tuple[str, str]], status: int = 200, kind: str = "text/html"
    ) -> bool:
        """Whether it is refused."""
        about = {"ip": ip, "time": round(self.now, 3), "method": "GET", "uri": uri, "protocol": "HTTP/1.1"}
        about |= {"scheme": "https", "host": "example.org", "headers": headers, "type": kind}
        request, refused = self.judge.request, False
        for said in (status, 403):
            load_record(json.dumps({**about, "status": said}).encode(), request)
            self.clients.read(request)
            refused = refused or self.judge.model.judge(request).margin >= self.judge.cut
            if not refused:
                break
        self.clients.count(request)
        self.now += 0.05
        return refused

    def person(self, ip: str, version: int = 142) -> bool:
        """Reads two pages with their parts. Whether the first is refused."""
        refused = self.ask(ip, "/articles/0", head(version))
        for page in range(2):
            known = page > 0
            if known:
                self.ask(ip, f"/articles/{page}", head(version, known=True))
            self.now += 1
            for n in range(3):
                self.ask(ip, f"/static/{n}.png", head(version, page=False), kind="image/png")
            self.now += 9 + 31 * (page * 5 % 7)
        return refused


Attack = Callable[[Site, int], None]


def pages(*, ip: Callable[[int], str], known: bool = False, status: int = 200) -> Attack:
    """Opens a page n times, each another one."""

    def attack(site: Site, n: int) -> None:
        for i in range(n):
            site.ask(ip(i), f"/articles/{i}", head(142, known=known), status)
        site.now += 120  # the latest clients tell nothing of others (docs/behaviour.md): who attacks waits for that

    return attack


def here(_: int) -> str:
    return VICTIM


def networks(i: int) -> str:
    return f"172.{16 + i // 256}.{i % 256}.9"


ATTACKS: list[tuple[str, int, str, str, Attack]] = [
    # who; how many of the site's people look like the victim; what; from; the attack
    ("who has not been here", 0, "a page each, in exactly the victim's look", "a /24 each", pages(ip=networks)),
    ("the same, whose look 50 of its 150 people have", 50, "the same", "a /24 each", pages(ip=networks)),
    ("who has not been here", 0, "the same", "one /24", pages(ip=lambda i: f"172.16.1.{i % 250}")),
    ("who has not been here", 0, "the same", "an IPv6 /48", pages(ip=lambda i: f"2001:db8:1:{i:x}::1")),
    ("who has not been here", 0, "pages", "the victim's /24", pages(ip=lambda i: f"10.200.1.{10 + i % 200}")),
    ("who has not been here", 0, "pages, with the victim's agent", "the victim's address", pages(ip=here)),
    ("who loaded parts and has a cookie", 0, "the same", "the victim's address", pages(ip=here)),
    ("who loaded parts and has a cookie", 0, "pages with referrer and cookie", "the victim's address", pages(ip=here, known=True)),
    ("who loaded parts and has a cookie", 0, "pages that are not there", "the victim's address", pages(ip=here, status=404)),
]  # fmt: skip


def least(judge: Judge, alike: int, known: bool, attack: Attack, most: int = STEPS[-1]) -> int | None:
    """The least number of requests after which the victim's next page is refused; None if `most` are not enough."""
    for n in (step for step in STEPS if step <= most):
        site = Site(judge, alike)
        if known:
            site.person(VICTIM)
        attack(site, n)
        if site.ask(VICTIM, "/articles/99", head(142, known=known)):
            return n
    return None


def rows(judge: Judge) -> Iterator[list[str]]:
    """The table's cells."""
    for who, alike, what, whence, attack in ATTACKS:
        found = least(judge, alike, who.startswith("who loaded"), attack)
        yield [who, what, whence, f"{found}" if found is not None else f"more than {STEPS[-1]}"]


@click.command(help=__doc__)
@click.option(
    "--model", "path", type=click.Path(path_type=Path), default=quality.DEFAULT, help="[default: the one shipped]"
)
@click.option(
    "--markdown", "document", type=click.Path(path_type=Path, exists=True), help="Put the table in here, too."
)
def main(path: Path, document: Path | None) -> None:
    cells = list(rows(Judge(model.load(path))))
    table = Table(*COLUMNS)
    for row in cells:
        table.add_row(*row)
    Console(width=160).print(table)
    if document:
        quality.put(document, "framing", quality.markdown(COLUMNS, cells))


if __name__ == "__main__":
    quality.run(main)
