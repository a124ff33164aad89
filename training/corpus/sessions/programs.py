"""programs.py - sessions of programs: those that say so, those in a browser's clothes, and browsers that a program drives.

Law: a loop decides each step. Which one is drawn for each program: how long it waits, in which order it goes through the site, what
it loads, what it keeps, behind how many addresses. Heads are a browser's, without a fault: those with one are robots.py's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from training.corpus import robots, site, texts
from training.corpus.browsers import Habits
from training.corpus.sessions.clients import Ask, Browsing, Client, Crowd, Loads, Look, browser, frame
from training.corpus.sessions.people import moment, stay
from training.corpus.sessions.places import Place
from training.corpus.site import Want
from training.corpus.stacks import LIBRARY, OWN
from training.corpus.tables import Pairs, draw

Sessions = Iterator[tuple[Look, list[Ask]]]
Kind = Callable[[Place, Crowd, random.Random], Sessions]
Pace = Callable[[], float]
MOST = 160  # requests of a client that the log holds: what comes after says nothing new


def pace(place: Place, rng: random.Random) -> Pace:
    """The time from one page to the next: as fast as it goes, by the clock, by chance in several ways, as people would."""
    step = rng.choice([0.3, 1.0, 2.0, 5.0, 10.0, 30.0]) * rng.lognormvariate(0, 0.3)
    ways: list[Pace] = [
        lambda: rng.uniform(0.02, 0.4),
        lambda: step + rng.uniform(0, 0.05),
        lambda: step + rng.uniform(0, 0.5),
        lambda: rng.uniform(0.5, 1.5) * step,
        lambda: rng.uniform(1, 5),
        lambda: rng.expovariate(1 / step),
        lambda: stay(place, rng),
    ]
    return rng.choices(ways, [15, 20, 15, 18, 14, 8, 10])[0]


def route(place: Place, rng: random.Random) -> Iterator[int]:
    """The order of the pages: by breadth from the front, by depth, one after another, by chance, a short list for ever."""
    way = rng.choice(["breadth", "breadth", "depth", "list", "list", "chance", "few"])
    size = len(place.pages)
    if way == "list":
        yield from range(rng.randrange(size), size)
        yield from range(size)
    elif way == "chance":
        while True:
            yield rng.randrange(size)
    elif way == "few":
        own = rng.sample(range(size), min(size, rng.randint(1, 12)))
        while True:
            yield from own
    seen, queue = {0}, [0]
    while queue:
        at = queue.pop(0 if way == "breadth" else -1)
        yield at
        for link in place.pages[at].links:
            if link not in seen:
                seen.add(link)
                queue.append(link)


@dataclass(frozen=True)
class Manner:
    """How a program says where it comes from: nothing, always a search, the page before, the front page."""

    said: str
    search: str

    def source(self, browsing: Browsing, before: int | None) -> str:
        """The referrer of a page."""
        if self.said == "search":
            return self.search
        if self.said == "front":
            return browsing.origin + "/"
        return browsing.address(before) if self.said == "before" and before is not None else ""


def _manner(look: Look, rng: random.Random) -> Manner:
    return Manner(rng.choices(["none", "search", "before", "front"], [42, 16, 34, 8])[0], site.outside(look.visit, rng))


def crawl(
    place: Place, look: Look, browsing: Browsing, rng: random.Random, pages: int, *,
    now: float | None = None, manner: Manner | None = None, rest: bool = True,
) -> list[Ask]:  # fmt: skip
    """Pages by a route at a pace, at times with rests of minutes or hours; at most MOST requests."""
    now = moment(place, rng) if now is None else now
    wait, manner = pace(place, rng), manner or _manner(look, rng)
    rests = rest and rng.random() < 0.25
    asks: list[Ask] = []
    before: int | None = None
    for number, at in zip(range(pages), route(place, rng)):  # noqa: B905  the route may be shorter, or endless
        asks += browsing.open(at, now, manner.source(browsing, before))
        before, now = at, now + wait()
        if rests and number % 7 == 6:
            now += rng.uniform(60, 7200)
        if len(asks) >= MOST:
            break
    return asks[:MOST]


def many(rng: random.Random) -> int:
    """Pages of a crawl: a few to hundreds."""
    return texts.between(2, 150, rng)


def _claim(place: Place, crowd: Crowd, rng: random.Random, ip: str | None = None, *, right: float = 0.75) -> Look:
    """A browser's head, exact; its handshake too, mostly: with another one the request itself shows it. The version is this week's,
    or that which a library learned to copy years ago."""
    fashion = crowd.older(rng) if rng.random() < 0.5 else crowd.fashion(rng, shared=0.6)
    language = place.language if rng.random() < 0.4 else "en-US"
    stack = OWN if rng.random() < right else LIBRARY
    return browser(place, rng, fashion.agent, Habits(recorded=fashion.recorded), language=language, ip=ip, stack=stack)


def _document(look: Look, rng: random.Random) -> Look:
    """The same head for whatever is asked for, as a set that is given once: a page that was typed."""
    once = Want("page", "/")
    chosen = look.send(once, "", "")
    fixed = rng.random() < 0.6

    def send(want: Want, referrer: str, cookie: str) -> Pairs:
        if not fixed:
            return look.send(want, referrer, cookie)
        more = [(name, value) for name, value in (("Referer", referrer), ("Cookie", cookie)) if value]
        return [*chosen, *more]

    return replace(look, send=send)


def _tool(place: Place, rng: random.Random, make: Callable[[site.Visit, random.Random], robots.Program]) -> Look:
    """A program under its own name, or in clothes that do not fit."""
    visit = frame(place, rng, "en-US", newer=rng.random() < 0.3)
    stack, ask = make(visit, rng)
    agent = next((value for name, value in ask(Want("page", "/")) if name.lower() == "user-agent"), "")

    def send(want: Want, referrer: str, cookie: str) -> Pairs:
        more = {name: value for name, value in (("Referer", referrer), ("Cookie", cookie)) if value}
        return robots.join("end", more, ask(want)) if more else ask(want)

    return Look(visit, agent, stack, send)


# ---- kinds: each gives one client or several


def declared(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """A crawler that says so: robots.txt first, pages only, politely or not."""
    del crowd
    look = _tool(place, rng, robots.declared if rng.random() < 0.6 else robots.tool)
    browsing = Browsing(
        place, rng, loads=() if rng.random() < 0.8 else ("image",), keeps=False, cookies=False, icon=False, calls=False
    )
    now = moment(place, rng)
    first = [browsing.ask(now, Want("page", "/robots.txt"), "")] if rng.random() < 0.7 else []
    yield look, first + crawl(place, look, browsing, rng, many(rng), now=now + 1, manner=Manner("none", ""))


def disguised(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """A library with some of a browser's headers."""
    del crowd
    look = _tool(place, rng, robots.disguised)
    browsing = Browsing(place, rng, loads=(), keeps=False, cookies=rng.random() < 0.4, icon=False, calls=False)
    yield look, crawl(place, look, browsing, rng, many(rng))


def impersonator(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Exact heads, pages alone; with cookies or without."""
    look = _document(_claim(place, crowd, rng), rng)
    browsing = Browsing(place, rng, loads=(), keeps=False, cookies=rng.random() < 0.55, icon=False, calls=False)
    robots_txt = rng.random() < 0.1
    asks = crawl(place, look, browsing, rng, many(rng))
    if robots_txt:
        asks.insert(0, browsing.ask(asks[0].time - 1, Want("page", "/robots.txt"), ""))
    yield look, asks


def thorough(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Exact heads, and what the page names as well: in its order, one after another, each time again."""
    look = _claim(place, crowd, rng)
    some: list[Loads] = [("style", "script", "image"), ("image",), ("style", "script"), 1.0]
    browsing = Browsing(
        place, rng, loads=rng.choice(some), keeps=rng.random() < 0.25, cookies=rng.random() < 0.7, icon=rng.random() < 0.2, calls=False,
        orderly=rng.random() < 0.7,
    )  # fmt: skip
    yield look, crawl(place, look, browsing, rng, many(rng))


def driven(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """A real browser that a program drives through the site: parts and scripts run, addresses are typed or links clicked; without a
    screen it asks for no icon; it may start afresh for each page."""
    fashion = crowd.fashion(rng, shared=0.5) if rng.random() < 0.7 else crowd.older(rng)
    habits = Habits(recorded=fashion.recorded)
    look = browser(place, rng, fashion.agent, habits, language=place.language if rng.random() < 0.4 else "en-US")
    some: list[Loads] = [1.0, ("style", "script", "module", "font"), ("script", "module")]
    loads = rng.choices(some, [65, 25, 10])[0]
    keeps = rng.random() < 0.6
    browsing = Browsing(
        place, rng, loads=loads, keeps=keeps, cookies=rng.random() < (0.9 if keeps else 0.4), icon=rng.random() < 0.3
    )
    said = rng.choices(["none", "before", "search"], [55, 38, 7])[0]
    yield look, crawl(place, look, browsing, rng, many(rng), manner=Manner(said, site.outside(look.visit, rng)))


def clicking(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """A driven browser that clicks through what it sees, waits as long as it was told, and never comes to an end."""
    fashion = crowd.fashion(rng, shared=0.7)
    look = browser(place, rng, fashion.agent, Habits(recorded=fashion.recorded), language=crowd.language(rng))
    browsing, now, at = Browsing(place, rng, icon=rng.random() < 0.5), moment(place, rng), 0
    asks: list[Ask] = []
    wait, source = pace(place, rng), ""
    while len(asks) < MOST:
        asks += browsing.open(at, now, source)
        source, at, now = browsing.address(at), rng.choice(place.pages[at].links), now + wait()
    yield look, asks[:MOST]


def watching(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Prices: the same few pages every few minutes or hours, for days."""
    driving = rng.random() < 0.3
    look = _claim(place, crowd, rng) if driving else _document(_claim(place, crowd, rng), rng)
    browsing = Browsing(
        place, rng, loads=1.0 if driving else (), keeps=False, cookies=driving, icon=False, calls=driving
    )
    own = rng.sample(range(len(place.pages)), min(len(place.pages), rng.randint(1, 9)))
    every, now = rng.choice([60.0, 300.0, 900.0, 3600.0]), moment(place, rng)
    asks: list[Ask] = []
    while len(asks) < MOST and now < place.start + place.days * 86_400:
        for at in own:
            asks += browsing.open(at, now, "")
            now += rng.uniform(0.2, 3)
        now += every * rng.uniform(0.95, 1.05)
    yield look, asks[:MOST]


def scanner(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Asks for what it hopes is there, in a browser's head or a tool's."""
    look = _document(_claim(place, crowd, rng), rng) if rng.random() < 0.6 else _tool(place, rng, robots.disguised)
    now, wait, asks = moment(place, rng), pace(place, rng), []
    for _ in range(rng.randint(2, 60)):
        method, target = draw("probes.tsv", rng)
        found = place.missing(rng)
        asks.append(Ask(now, Want("page", target, method=method), "", False, found))
        now += wait()
    yield look, asks


def spammer(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Comments: opens a page, or does not, and posts at once; from one address or from several."""
    look = _claim(place, crowd, rng)
    opens, asks, now = rng.random() < 0.6, [], moment(place, rng)
    browsing = Browsing(place, rng, loads=(), keeps=False, cookies=rng.random() < 0.5, icon=False, calls=False)
    ips = [site.address(rng) for _ in range(rng.choice([1, 1, 5, 20]))]
    for _ in range(rng.randint(1, 30)):
        at, ip = place.popular(rng), rng.choice(ips)
        first = browsing.open(at, now, browsing.origin + "/" if rng.random() < 0.5 else "") if opens else []
        want = Want("post", place.comment, place.pages[at].path, method="POST")
        posted = browsing.ask(now + rng.uniform(0.3, 6), want, browsing.address(at))
        asks += [ask._replace(ip=ip) for ask in [*first, posted]]
        now += rng.choice([3.0, 30.0, 600.0]) * rng.uniform(0.5, 1.5)
    yield look, asks


def stuffer(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Passwords: POSTs to the login, from one address or one try each from many."""
    look = _claim(place, crowd, rng)
    browsing = Browsing(place, rng, loads=(), keeps=False, cookies=rng.random() < 0.6, icon=False, calls=False)
    ips = [site.address(rng) for _ in range(rng.choice([1, 1, 10, 80]))]
    now, wait, first = moment(place, rng), pace(place, rng), rng.random() < 0.5
    asks: list[Ask] = []
    for _ in range(rng.randint(10, 120)):
        ip = rng.choice(ips)
        if first:
            asks.append(browsing.ask(now, Want("page", place.login), "", 3000)._replace(ip=ip))
        want = Want("post", place.login, place.login, method="POST")
        asks.append(browsing.ask(now + rng.uniform(0.1, 1), want, browsing.origin + place.login)._replace(ip=ip))
        now += wait()
    yield look, asks


def caller(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Asks for what a page's scripts ask for, without the page: lists, states, one number after another."""
    look = _claim(place, crowd, rng)
    browsing = Browsing(place, rng, loads=(), keeps=False, cookies=rng.random() < 0.4, icon=False, calls=False)
    stem, now, wait, asks = site.path("fetch", rng).partition("?")[0], moment(place, rng), pace(place, rng), []
    page = place.pages[place.popular(rng)].path
    for number in range(texts.between(4, 140, rng)):
        asks.append(browsing.ask(now, Want("fetch", f"{stem}?page={number}", page), browsing.origin + page, 4000))
        now += wait()
    yield look, asks


def fleet(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """One program behind hundreds of homes' addresses: one look, one request or a few from each, and no parts."""
    look = _document(_claim(place, crowd, rng, right=0.9), rng)
    yield (
        look,
        _spread(place, look, rng, Browsing(place, rng, loads=(), keeps=False, cookies=False, icon=False, calls=False)),
    )


def herd(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """The same with driven browsers: each address opens a page with its parts, in a fresh browser."""
    fashion = crowd.older(rng) if rng.random() < 0.5 else crowd.fashion(rng, shared=0.5)
    look = browser(place, rng, fashion.agent, Habits(recorded=fashion.recorded), language="en-US")
    yield look, _spread(place, look, rng, Browsing(place, rng, keeps=False, cookies=False, icon=False), most=90)


def _spread(place: Place, look: Look, rng: random.Random, browsing: Browsing, most: int = 700) -> list[Ask]:
    """One crawl, of which each address makes one page or a few."""
    each, now = rng.choice([1, 1, 1, 2, 3]), moment(place, rng)
    manner, step = _manner(look, rng), rng.choice([0.5, 3.0, 20.0, 120.0])
    asks: list[Ask] = []
    ip = look.visit.ip
    for turn, at in zip(range(texts.between(most // 4, most, rng) * each), route(place, rng)):  # noqa: B905
        ip = ip if turn % each else site.address(rng)
        asks += [ask._replace(ip=ip) for ask in browsing.open(at, now, manner.source(browsing, None))]
        now += rng.expovariate(1 / step)
    return asks


def tired(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """A crawl that changes its agent, and mostly its address, with each page or every few."""
    now, wait = moment(place, rng), pace(place, rng)
    each, same = rng.choice([1, 3, 10]), site.address(rng) if rng.random() < 0.4 else None
    way = route(place, rng)
    for _ in range(rng.randint(5, 40)):
        look = _document(_claim(place, crowd, rng, ip=same), rng)
        browsing = Browsing(place, rng, loads=(), keeps=False, cookies=rng.random() < 0.3, icon=False, calls=False)
        asks: list[Ask] = []
        for at in [number for number, _ in zip(way, range(each))]:  # noqa: B905
            asks += browsing.open(at, now, "")
            now += wait()
        yield look, asks


# Share of the programs (a fleet counts as one).
KINDS: dict[Kind, float] = {
    declared: 9, disguised: 7, impersonator: 24, thorough: 10, driven: 17, clicking: 6, watching: 6, scanner: 5, spammer: 4,
    stuffer: 3, caller: 3, fleet: 2.5, herd: 1.5, tired: 2,
}  # fmt: skip


def clients(place: Place, crowd: Crowd, rng: random.Random) -> Iterator[Client]:
    """The sessions of one kind, drawn by its share."""
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    for look, asks in kind(place, crowd, rng):
        yield Client(kind.__name__, "bot", look, asks)
