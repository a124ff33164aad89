"""clients.py - who asks: an address, a look (headers and handshake), and what is kept from one request to the next.

Law: one code makes the requests of a browser, in whoever's hands it is: a program that drives one, or copies one, sends what a
person's sends. What differs is asked for, when, and what is kept; people.py and programs.py say that.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from training.corpus import agents, people, site, spoken, stacks
from training.corpus.browsers import Browser, Habits, headers, parse, possible
from training.corpus.hints import hints
from training.corpus.sessions.places import Answer, Page, Part, Place
from training.corpus.site import Visit, Want
from training.corpus.stacks import OWN
from training.corpus.tables import Pairs

Loads = float | Collection[str]  # a share of the parts, or the kinds of them
Send = Callable[[Want, str, str], Pairs]  # the headers of a request, with this referrer and cookie (empty for none)
LAGS = {0: 72, 1: 11, 2: 6, 3: 5, 5: 4, 8: 2}  # years that somebody's browser is behind, and how often


class Ask(NamedTuple):
    """One request: when, for what, from which page (a whole address), whether the cookie goes with it, and the answer.
    `ip`: where it comes from, if not from the client's own address."""

    time: float
    want: Want
    referrer: str
    cookie: bool
    answer: Answer
    ip: str | None = None


@dataclass(frozen=True)
class Look:
    """What requests look like: the frame, whose handshake, which headers."""

    visit: Visit
    agent: str
    stack: str
    send: Send


@dataclass(frozen=True)
class Client:
    """A look at an address, and what it asks for. `kind` names it in figures; it is not learned from."""

    kind: str
    label: str
    look: Look
    asks: list[Ask]

    def records(self, rng: random.Random, *, told: bool) -> Iterable[dict[str, Any]]:
        """Its requests in the format `jsonl`, in order of time; `told`: with handshakes."""
        visit = self.look.visit
        connections = stacks.Connections(visit, self.look.stack, self.look.agent, rng, told=told)
        for ask in sorted(self.asks, key=lambda ask: ask.time):
            over = site.protocol(visit, ask.want)
            pairs = self.look.send(ask.want, ask.referrer, visit.cookies if ask.cookie else "")
            yield {
                "ip": ask.ip or visit.ip,
                "time": round(ask.time, 3),
                "method": ask.want.method,
                "uri": ask.want.path,
                "protocol": over,
                "scheme": visit.scheme,
                "host": visit.host,
                "status": ask.answer.status,
                "bytes": ask.answer.size,
                "type": ask.answer.type,
                "label": self.label,
                "kind": self.kind,
                "headers": spoken(pairs, over),
            } | connections.fields(over)


def frame(place: Place, rng: random.Random, language: str, *, newer: bool, ip: str | None = None) -> Visit:
    """The frame of a client's requests; `newer`: it speaks HTTP/2, if the site does."""
    protocol = "HTTP/1.1"
    if place.newer and newer:
        protocol = "HTTP/3.0" if place.year >= site.SPOKEN_SINCE["HTTP/3.0"] and rng.random() < 0.1 else "HTTP/2.0"
    cookies = site.visit(rng).cookies
    return Visit(ip or site.address(rng), place.host, place.scheme, protocol, language, place.year, cookies=cookies)


def browser(
    place: Place,
    rng: random.Random,
    agent: str,
    habits: Habits,
    *,
    language: str = "",
    ip: str | None = None,
    stack: str = OWN,
) -> Look:
    """The look of a browser with this agent; its hints are one text through all of its requests."""
    parsed = parse(agent)
    if parsed.hinting and not habits.recorded.get("sec-ch-ua"):
        own = hints(agent, parsed.version, rng)
        habits = replace(habits, recorded={**habits.recorded, **own})
    visit = frame(place, rng, language or place.language, newer=parsed.has("h2"), ip=ip)
    draws = random.Random(rng.getrandbits(64))

    def send(want: Want, referrer: str, cookie: str) -> Pairs:
        asked = _asked(parsed, want)
        pairs = headers(parsed, replace(habits, referrers=True), visit, asked, draws, referrer, cookie)
        held = (
            "" if habits.referrers else "Referer"
        )  # the browser itself knows where it comes from, and says so in Sec-Fetch-Site
        return [pair for pair in pairs if pair[0] != held]

    return Look(visit, agent, stack, send)


def _asked(parsed: Browser, want: Want) -> Want:
    return replace(possible(parsed, want), method=want.method) if parsed.engine != "plain" else want


@dataclass(frozen=True)
class Fashion:
    """A browser that many use: its agent, and what was recorded with it."""

    agent: str
    recorded: dict[str, str]


class Crowd:
    """What this site's people use: a few looks that many share, and a long tail of others."""

    SHARED = 0.72

    def __init__(self, place: Place, rng: random.Random) -> None:
        self.place = place
        self.fashions = [self._drawn(rng) for _ in range(36)]
        self.shares = [1 / (rank + 1) for rank in range(len(self.fashions))]

    def _drawn(self, rng: random.Random, year: int | None = None) -> Fashion:
        """A browser of a year; the newest version for most."""
        lag = rng.choices(list(LAGS), list(LAGS.values()))[0]
        when = max(agents.FIRST_YEAR, self.place.year - lag) if year is None else year
        protocol = "HTTP/2.0" if self.place.newer and when >= site.SPOKEN_SINCE["HTTP/2.0"] else "HTTP/1.1"
        agent, recorded = people.agent(replace(site.visit(rng), year=when, protocol=protocol), rng)
        return Fashion(agent, recorded)

    def fashion(self, rng: random.Random, *, shared: float = SHARED) -> Fashion:
        """A browser of one of the crowd."""
        if rng.random() < shared:
            return rng.choices(self.fashions, self.shares)[0]
        return self._drawn(rng)

    def older(self, rng: random.Random) -> Fashion:
        """A browser whose version is one to four years behind: the last that somebody copied."""
        return self._drawn(rng, max(agents.FIRST_YEAR, self.place.year - rng.randint(1, 4)))

    def language(self, rng: random.Random) -> str:
        """What one of the crowd reads: mostly the site's language."""
        return self.place.language if rng.random() < 0.75 else agents.draw_language(rng)


class Browsing:
    """One browser at one site: what it keeps, and what it asks for when a page is opened.

    `loads`: share of a page's parts that it loads, or the kinds that it does; `keeps`: whether it has a cache; `cookies`: whether it
    brings them back; `icon`: asks for it by itself; `hurry`: how long parts take, 1 for a browser of today; `known`: was here before.
    """

    def __init__(
        self,
        place: Place,
        rng: random.Random,
        *,
        loads: Loads = 1.0,
        keeps: bool = True,
        cookies: bool = True,
        icon: bool = True,
        calls: bool = True,
        hurry: float = 1.0,
        known: bool = False,
        orderly: bool = False,
    ) -> None:
        self.place, self.rng = place, rng
        self.loads, self.keeps, self.cookies, self.icon, self.calls, self.hurry = (
            loads,
            keeps,
            cookies,
            icon,
            calls,
            hurry,
        )
        self.orderly = orderly  # asks for one part after another, as a loop does
        self.kept: set[str] = set()
        self.cookie = cookies and known and place.sets
        if known and keeps:
            self.kept |= {part.path for part in place.pages[0].parts if rng.random() < 0.8} | {place.icon}

    def address(self, number: int) -> str:
        """The whole address of a page: what its parts and the next page have as their referrer."""
        return self.origin + self.place.pages[number].path

    @property
    def origin(self) -> str:
        return f"{self.place.scheme}://{self.place.host}"

    def ask(self, time: float, want: Want, referrer: str, size: int = 500) -> Ask:
        """One request as it is now; a cookie that the answer sets is brought back from the next on."""
        done = Ask(time, want, referrer, self.cookie, self.place.answer(want, size, self.rng))
        self.cookie = self.cookie or (self.cookies and self.place.sets)
        return done

    def open(
        self, number: int, now: float, referrer: str, *, kind: str = "page", again: bool = False, stays: float = 0.0
    ) -> list[Ask]:
        """A page and its parts. `again`: a reload; `stays`: seconds, in which the parts below the fold are asked for."""
        rng, page = self.rng, self.place.pages[number]
        seen = self.keeps and page.path in self.kept and rng.random() < 0.3
        asks = [self.ask(now, Want(kind, page.path, None, again or seen), referrer, page.size)]
        if self.keeps:
            self.kept.add(page.path)
        if asks[0].answer.status >= 400 or kind in ("prefetch", "prerender"):
            return asks
        there = now + self.hurry * min(rng.lognormvariate(-1.6, 0.7), 8.0)
        at = there
        for part in page.parts:
            if not self._loads(part) or (part.late and stays and rng.random() < 0.4):
                continue
            again_ = part.path in self.kept
            if again_ and zlib.crc32(part.path.encode()) % 100 < 100 * self.place.fresh:
                continue
            at = self._when(part, there, at, stays)
            behind = self.origin + part.behind if part.behind else self.address(number)
            want = Want(part.kind, part.path, page.path, again_)
            asks.append(self.ask(at, want, behind, part.size))
            if self.keeps:
                self.kept.add(part.path)
        if self.icon and self.place.icon not in self.kept:
            self.kept.add(self.place.icon)
            asks.append(
                self.ask(
                    there + rng.uniform(0.1, 2), Want("favicon", self.place.icon, page.path), self.address(number), 1400
                )
            )
        if self.calls:
            asks += self._calls(page, number, there)
        return asks

    def _loads(self, part: Part) -> bool:
        return part.kind in self.loads if isinstance(self.loads, Collection) else self.rng.random() < self.loads

    def _when(self, part: Part, there: float, before: float, stays: float) -> float:
        rng = self.rng
        if self.orderly:
            return before + self.hurry * rng.uniform(0.02, 0.3)
        if part.late and stays:
            return there + rng.uniform(0.3, max(0.4, stays))
        first = {"style": 0.02, "script": 0.04, "module": 0.05, "image": 0.1, "font": 0.25}.get(part.kind, 0.3)
        return there + self.hurry * (first + rng.expovariate(6))

    def _calls(self, page: Page, number: int, there: float) -> list[Ask]:
        return [
            self.ask(
                there + self.hurry * self.rng.uniform(0.3, 2.5),
                Want(part.kind, part.path, page.path, method=site.KINDS[part.kind].method(self.rng)),
                self.address(number),
                part.size,
            )
            for part in page.calls
        ]
