"""Visits to a site, one request after another: people, and programs of every kind that a row of the group `client` speaks of.

Law: the same requests each time, whatever a build makes of them: rows are recorded by them (row_versions.py). They are left alone,
as tests/data/fixed_requests.tsv is; what is new goes behind the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36"
)
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
START = 1_795_737_600
OWN, COOKIE = {"Referer": "https://example.org/"}, {"Cookie": "s=1"}
TYPED, ELSEWHERE = {"Sec-Fetch-Site": "none"}, {"Referer": "https://search.example/"}


class Visits:
    """Makes the lines, in the format `jsonl`, with a clock that only goes on."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.now = float(START)
        self.connections = 0

    def ask(
        self, ip: str, uri: str, *more: dict[str, str], version: int = 142, accept: str = HTML, **about: Any
    ) -> None:
        """One request of a Chrome of this version."""
        headers = {"Host": "example.org", "User-Agent": CHROME.format(version), "Accept": accept}
        for each in more:
            headers.update(each)
        headers.update({"Accept-Encoding": "gzip, deflate, br, zstd", "Accept-Language": "de"})
        known = {"ip": ip, "time": round(self.now, 3), "method": "GET", "uri": uri, "protocol": "HTTP/1.1"}
        known |= {"scheme": "https", "host": "example.org", "status": 200, **about}
        self.lines.append(json.dumps({**known, "headers": list(headers.items())}).encode())

    def part(self, ip: str, *more: dict[str, str], **about: Any) -> None:
        """A picture of a page."""
        self.ask(ip, "/static/1.png", OWN, *more, accept="image/avif,*/*;q=0.8", type="image/png", **about)

    def person(self, ip: str, pages: int = 4) -> None:
        """Reads, with a browser that keeps its connection."""
        self.connections += 1
        for page in range(pages):
            kept = {"connection": self.connections, "type": "text/html"}
            came = (ELSEWHERE,) if page == 0 else (OWN, COOKIE)
            self.ask(ip, f"/articles/{page * 7 % 5}", *came, connection_requests=3 * page + 1, **kept)
            for n in range(2):
                self.part(
                    ip,
                    *([COOKIE] if page else []),
                    connection=self.connections,
                    connection_requests=3 * page + 2 + n,
                )
            self.now += 9 + 31 * (page * 5 % 7)

    def crawl(
        self, ip: str, pages: int, *more: dict[str, str], seconds: float = 1.0, same: int = 0, **about: Any
    ) -> None:
        """Pages and nothing else: all different, or `same` of them in turn."""
        for page in range(pages):
            self.ask(ip, f"/articles/{page % same if same else page}", *more, **about)
            self.now += seconds


def lines() -> Iterator[bytes]:
    """All of them."""
    v = Visits()
    for n in range(60):
        v.person(f"10.1.{n}.7")
    v.crawl("10.2.0.1", 30, TYPED)
    v.crawl("10.2.1.1", 8, ELSEWHERE, seconds=40)
    v.crawl("10.2.2.1", 12, {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"}, accept="*/*")
    v.part("10.2.3.1")
    v.crawl("10.2.3.1", 140, OWN, COOKIE, seconds=0.2)
    v.crawl("10.2.4.1", 1, OWN)
    for _ in range(8):  # never anything from a cache, and no cookie
        v.crawl("10.2.5.1", 1, OWN, seconds=20, same=1)
        for _ in range(40):
            v.part("10.2.5.1")
    for page in range(30):
        v.ask("10.2.6.1", f"/search?q={page}", OWN, COOKIE)
        v.now += 3 + page % 7 * 9
    v.ask("10.2.7.1", "/robots.txt")
    v.crawl("10.2.7.1", 3)
    v.crawl("10.2.8.1", 45, status=404)
    for _ in range(6):
        v.ask("10.2.9.1", "/comment", OWN, method="POST")
        v.ask("10.2.10.1", "/articles/1", method="HEAD")
    for n in range(12):
        v.ask("10.2.11.1", "/articles/1", OWN, COOKIE, connection=90_000 + n, connection_requests=1)
        v.now += 30
    for version in range(60, 120):  # agents at random, of one address
        v.ask("10.2.12.1", "/articles/1", version=version)
    for n in range(80):
        v.crawl(f"10.2.13.{n % 7}", 1)
    for n in range(150):  # a fleet that nobody else looks like, and people beside it
        v.ask(f"10.3.{n}.1", f"/articles/{n}", version=131)
        v.now += 0.5
    for n in range(60):
        v.person(f"10.4.{n}.7")
    for n in range(60):  # and one of an old version
        v.ask(f"10.5.{n}.1", "/articles/1", version=101)
        v.ask(f"10.5.{n}.1", "/articles/2", version=101)
        v.now += 0.5
    for version in range(60, 100):  # agents at random once more, slowly
        v.ask("10.2.14.1", "/articles/1", version=version)
        v.now += 5
    for n in range(130):  # and a fleet that comes slowly
        v.ask(f"10.6.{n}.1", f"/articles/{n}", version=102)
        v.now += 5
    yield from v.lines
