"""Programs that crawl the recorded site, by libraries of Python: plain ones, and those that send what a browser sends.

    python crawl.py TOOL[:VARIANT] WAY SEED      (TRAFFIC_URL, TRAFFIC_RESTS: see record.py)

Law: what is sent is what the library sends of itself; a way says only which addresses are asked for, in which order, with which
rests, and whether cookies and referrers are kept. Ways are what scrapers are paid for: pages in bulk, prices that are watched,
search results, an API, passwords that are tried; the last ways try to pass as somebody who reads.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from rests import about, rest

BASE = os.environ["TRAFFIC_URL"]
LINK = re.compile(r'<a[^>]* href="([^"#]+)"')
PART = re.compile(r'<(?:img|script|link)[^>]* (?:src|href)="([^"#]+)"')
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/155.0.0.0 Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
COPIED = {  # as people copy a browser's head into a script
    "User-Agent": CHROME,
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.9",
    "Upgrade-Insecure-Requests": "1",
}
AGENTS: dict[str, dict[str, str]] = {
    "plain": {},
    "chrome": {"User-Agent": CHROME},
    "firefox": {"User-Agent": FIREFOX},
    "copied": COPIED,
}


class Answer(NamedTuple):
    status: int
    text: str


class Fetcher:
    """A client of one library. `variant`: the agent of a plain one, the browser that an impersonator plays."""

    def __init__(self, tool: str, variant: str, *, cookies: bool) -> None:
        self.tool, self.variant, self.cookies = tool, variant, cookies
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.session = self._new()

    def _new(self) -> Any:
        tool, variant = self.tool, self.variant
        if tool == "requests":
            import requests

            session = requests.Session()
            session.verify = False
            session.headers.update(AGENTS[variant])
            return session
        if tool in ("httpx", "httpx2"):
            import httpx

            return httpx.Client(verify=False, http2=tool == "httpx2", headers=AGENTS[variant], follow_redirects=True)
        if tool == "aiohttp":
            import aiohttp

            async def made() -> Any:
                return aiohttp.ClientSession(headers=AGENTS[variant], connector=aiohttp.TCPConnector(ssl=False))

            return self.loop.run_until_complete(made())
        if tool == "curl_cffi":
            from curl_cffi import requests as curl_requests

            return curl_requests.Session(impersonate=variant, verify=False)
        if tool == "primp":
            import primp

            return primp.Client(impersonate=variant, verify=False, cookie_store=self.cookies)
        if tool == "impit":
            import http.cookiejar

            import impit

            jar = http.cookiejar.CookieJar() if self.cookies else None
            return impit.Client(browser=variant, verify=False, cookie_jar=jar)
        if tool == "wreq":
            from wreq import Emulation, blocking, redirect

            return blocking.Client(
                emulation=getattr(Emulation, variant),
                tls_verify=False,
                cookie_store=self.cookies,
                redirect=redirect.Policy.limited(5),
            )
        raise SystemExit(f"no such tool: {tool}")

    def get(self, url: str, headers: dict[str, str] | None = None) -> Answer:
        """A page or a part. `headers`: beside what the library sends."""
        return self._send("get", url, headers, None)

    def post(self, url: str, data: dict[str, str], headers: dict[str, str] | None = None) -> Answer:
        return self._send("post", url, headers, data)

    def _send(self, method: str, url: str, headers: dict[str, str] | None, data: dict[str, str] | None) -> Answer:
        if not self.cookies and hasattr(self.session, "cookies") and self.tool != "primp":
            self.session.cookies.clear()
        said: dict[str, Any] = {"headers": headers} if headers else {}
        if data is not None:
            said["form" if self.tool == "wreq" else "data"] = list(data.items()) if self.tool == "wreq" else data
        if self.tool == "aiohttp":

            async def ask() -> Answer:
                async with self.session.request(method, url, **said) as answer:
                    return Answer(answer.status, (await answer.read()).decode("utf-8", "replace"))

            return self.loop.run_until_complete(ask())
        answer = getattr(self.session, method)(url, **said)
        if self.tool == "wreq":
            return Answer(answer.status.as_int(), bytes(answer.bytes()).decode("utf-8", "replace"))
        if self.tool == "primp":
            return Answer(answer.status_code, bytes(answer.content).decode("utf-8", "replace"))
        return Answer(answer.status_code, answer.content.decode("utf-8", "replace"))


def links(answer: Answer, at: str) -> list[str]:
    """The site's own pages that a page leads to."""
    found = [urljoin(at, link) for link in LINK.findall(answer.text)]
    return [link for link in dict.fromkeys(found) if urlsplit(link).netloc == urlsplit(BASE).netloc]


def walk(fetcher: Fetcher, rng: random.Random, pages: int, pause: Callable[[], float] | None, *, referrer: bool = False,
         parts: bool = False, shuffle: bool = True, skip: str = "members") -> None:  # fmt: skip
    """Pages one after the other, each once, by the links found."""
    todo, asked = [(BASE + "/", "")], {BASE + "/"}
    kept: set[str] = set()
    while todo and pages:
        url, came = todo.pop(0)
        answer = fetcher.get(url, {"Referer": came} if referrer and came else None)
        pages -= 1
        if parts:
            for part in dict.fromkeys(PART.findall(answer.text)):
                if part not in kept:
                    kept.add(part)
                    fetcher.get(urljoin(url, part), {"Referer": url} if referrer else None)
        new = [link for link in links(answer, url) if link not in asked and not (skip and skip in link)]
        asked.update(new)
        if shuffle:
            rng.shuffle(new)
        todo += [(link, url) for link in new]
        if pause:
            rest(pause())


NAVIGATES = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-User": "?1"}
LOADS = {
    ".css": ("style", "text/css,*/*;q=0.1"),
    ".js": ("script", "*/*"),
    "/img": ("image", "image/avif,image/webp,image/apng,image/*,*/*;q=0.8"),
}


def mimic(fetcher: Fetcher, rng: random.Random) -> None:
    """As a careful scraper does it: in at an article, parts with heads of their own, own referrers, time to read."""
    at, came, kept = BASE + "/blog", "", set()
    for number in range(18):
        site = "same-origin" if came else "none"
        answer = fetcher.get(at, {**NAVIGATES, "Sec-Fetch-Site": site, **({"Referer": came} if came else {})})
        for part in dict.fromkeys(PART.findall(answer.text)):
            kind = next((LOADS[end] for end in LOADS if end in part), None)
            if part not in kept and kind:
                kept.add(part)
                fetcher.get(urljoin(at, part), {"Accept": kind[1], "Sec-Fetch-Dest": kind[0], "Sec-Fetch-Mode": "no-cors",
                                                "Sec-Fetch-Site": "same-origin", "Referer": at})  # fmt: skip
        rest(about(rng, 25, 0.8))
        found = [
            link
            for link in links(answer, at)
            if "members" not in link and ("/p/" in link or "/blog/" in link or "/c/" in link)
        ]
        came, at = at, rng.choice(found) if found and number % 6 else BASE + "/blog"


def prices(fetcher: Fetcher, rng: random.Random) -> None:
    """A few products, looked at again each hour."""
    slugs = [link for link in links(fetcher.get(BASE + "/c/desk"), BASE) if "/p/" in link][:4]
    for _ in range(9):
        for slug in slugs:
            fetcher.get(slug)
            rest(about(rng, 3, 0.3))
        rest(about(rng, 3600, 0.05))


def search(fetcher: Fetcher, rng: random.Random) -> None:
    words = (
        "lamp chair table silk rope stone wax tray jar vase map cup tea wool linen desk clock honey iron oak".split()
    )
    for word in rng.sample(words, len(words)):
        fetcher.get(f"{BASE}/search?q={word}")
        rest(about(rng, 2))


def api(fetcher: Fetcher, rng: random.Random) -> None:
    """The prices that the pages' scripts ask for, straight."""
    slugs = [
        link.rsplit("/", 1)[1]
        for name in ("desk", "light", "travel", "garden")
        for link in links(fetcher.get(f"{BASE}/c/{name}"), BASE)
        if "/p/" in link
    ]
    for slug in rng.sample(slugs, len(slugs)):
        fetcher.get(f"{BASE}/api/price/{slug}")
        rest(about(rng, 0.4, 0.2))


def passwords(fetcher: Fetcher, rng: random.Random) -> None:
    fetcher.get(BASE + "/login")
    for number in range(25):
        fetcher.post(BASE + "/login", {"name": f"user{rng.randrange(50)}", "password": f"secret{number}"})
        rest(about(rng, 1.5))


def sitemap(fetcher: Fetcher, rng: random.Random) -> None:
    """As search engines do: robots.txt, the map, then its pages with rests."""
    fetcher.get(BASE + "/robots.txt")
    found = re.findall(r"<loc>([^<]+)</loc>", fetcher.get(BASE + "/sitemap.xml").text)
    for url in rng.sample(found, 30):
        fetcher.get(BASE + urlsplit(url).path)
        rest(about(rng, 8, 0.3))


def single(fetcher: Fetcher, rng: random.Random) -> None:
    """One address of a fleet: a product or two, and never again."""
    slugs = [f"{a}" for a in ("/c/desk", "/c/light", "/blog", "/", "/videos")]
    fetcher.get(BASE + rng.choice(slugs))
    if rng.random() < 0.4:
        rest(about(rng, 4))
        fetcher.get(BASE + rng.choice(slugs))


WAYS: dict[str, Callable[[Fetcher, random.Random], None]] = {
    "burst": lambda f, rng: walk(f, rng, 45, None),
    "all": lambda f, rng: walk(f, rng, 60, lambda: about(rng, 1, 0.3), shuffle=False, skip=""),
    "rests": lambda f, rng: walk(f, rng, 36, lambda: about(rng, 5)),
    "slow": lambda f, rng: walk(f, rng, 34, lambda: about(rng, 50, 0.9), referrer=True),
    "parts": lambda f, rng: walk(f, rng, 14, lambda: about(rng, 6), referrer=True, parts=True),
    "mimic": mimic,
    "prices": prices,
    "search": search,
    "api": api,
    "passwords": passwords,
    "sitemap": sitemap,
    "single": single,
}
FORGETS = {"burst", "rests", "api", "sitemap", "prices"}  # a new cookie jar for each request


def main() -> None:
    tool, _, variant = sys.argv[1].partition(":")
    way, seed = sys.argv[2], sys.argv[3]
    WAYS[way](Fetcher(tool, variant, cookies=way not in FORGETS), random.Random(f"{tool}{variant}{way}{seed}"))


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    main()
