"""people.py - sessions of people: readers, and all who look like no reader.

Law: somebody decides each step. How long people stay has a heavy tail (log-normal, as Liu, White and Dumais found: "Understanding
web browsing behaviors through Weibull analysis of dwell time", 2010, and many logs show); most visits are one page long. What
their browser does for them (parts, caches, a restored session, a page that polls) is as quick and as even as a machine, and still theirs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from training.corpus import agents, people, site, texts
from training.corpus.browsers import Habits, parse
from training.corpus.sessions.clients import Ask, Browsing, Client, Crowd, Loads, Look, browser
from training.corpus.sessions.places import Answer, Place
from training.corpus.site import Want

DAY = 86_400.0
MOST = 300  # requests of a client that the log holds: what comes after says nothing new
Sessions = Iterator[tuple[Look, list[Ask]]]
Kind = Callable[[Place, Crowd, random.Random], Sessions]


def moment(place: Place, rng: random.Random) -> float:
    """When somebody comes: fewer at night."""
    day = rng.randrange(max(1, int(place.days)))
    hour = rng.triangular(0, 24, 17) if rng.random() < 0.85 else rng.uniform(0, 24)
    return place.start + min(1.0, place.days) * (day * DAY + hour * 3600.0) + rng.uniform(0, 60)


def stay(place: Place, rng: random.Random, spread: float = 1.15) -> float:
    """Seconds on a page."""
    return min(max(0.8, place.stay * rng.lognormvariate(0, spread)), 3 * 3600.0)


def depth(rng: random.Random) -> int:
    """Pages of a visit: one for most, at times very many."""
    return 1 if rng.random() < 0.5 else min(1 + int(rng.paretovariate(1.2)), 90)


def _look(place: Place, crowd: Crowd, rng: random.Random, *, saves_data: bool = False) -> Look:
    fashion = crowd.fashion(rng)
    own = people.draw_habits(parse(fashion.agent), fashion.recorded, rng)
    own = replace(own, cookies=True, referrers=True, saves_data=saves_data)
    return browser(place, rng, fashion.agent, own, language=crowd.language(rng))


def landing(place: Place, look: Look, rng: random.Random, *, known: bool = False) -> tuple[int, str]:
    """Where a visit begins, and from which page elsewhere (empty: typed, a bookmark, an application)."""
    if rng.random() < (0.7 if known else 0.25):
        return (0 if rng.random() < 0.6 else place.popular(rng)), ""
    return place.popular(rng), site.outside(look.visit, rng)


def walk(
    place: Place, look: Look, browsing: Browsing, rng: random.Random, now: float, pages: int, *,
    known: bool = False, pace: float = 1.0, least: float = 0.6,
) -> list[Ask]:  # fmt: skip
    """A visit: one page after another by links, back at times (which asks for nothing), some in a second tab, a search, a form."""
    at, source = landing(place, look, rng, known=known)
    trail = [at]
    asks: list[Ask] = []
    for step in range(pages):
        stays = max(least, pace * stay(place, rng))
        asks += browsing.open(at, now, source, again=step > 0 and rng.random() < 0.02, stays=stays)
        now += stays
        chance = rng.random()
        if chance < 0.06:
            asks.append(_search(place, browsing, rng, now, at))
            now += stay(place, rng) * 0.5
        elif chance < 0.09:
            asks += _form(place, browsing, rng, now, at)
            now += rng.uniform(1, 5)
        if len(trail) > 1 and rng.random() < 0.22:
            trail.pop()  # back, from the cache
            now += rng.uniform(0.5, 6)
        source, links = browsing.address(trail[-1]), place.pages[trail[-1]].links
        at = rng.choice(links)
        if rng.random() < 0.13:  # the next result of the search, an address that is typed, a bookmark
            at, source = landing(place, look, rng, known=known)
        trail.append(at)
        if rng.random() < 0.08:  # two at once
            asks += browsing.open(rng.choice(links), now + rng.uniform(0.2, 2.5), source)
    return asks


def _search(place: Place, browsing: Browsing, rng: random.Random, now: float, at: int) -> Ask:
    words = "+".join(rng.sample(texts.WORDS, rng.randint(1, 3)))
    return browsing.ask(now, Want("page", place.search + words), browsing.address(at), 7000)


def _form(place: Place, browsing: Browsing, rng: random.Random, now: float, at: int) -> list[Ask]:
    """A form that is sent, and the page that answers it."""
    to = place.login if rng.random() < place.members else place.comment
    posted = browsing.ask(now, Want("post", to, place.pages[at].path, method="POST"), browsing.address(at))
    return [posted, *browsing.open(at, now + rng.uniform(0.1, 0.6), browsing.address(at))]


# ---- kinds: each gives one client or several


def glance(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """One page, found by a search or a link."""
    look = _look(place, crowd, rng)
    browsing = Browsing(place, rng, hurry=rng.lognormvariate(0, 0.5))
    yield (
        look,
        browsing.open(place.popular(rng), moment(place, rng), site.outside(look.visit, rng), stays=stay(place, rng)),
    )


def reader(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """A visit as most are; at times another one on the same day or the next, with what the first left in the cache."""
    look = _look(place, crowd, rng)
    known = rng.random() < 0.3
    browsing = Browsing(place, rng, hurry=rng.lognormvariate(0, 0.6), known=known)
    now, asks = moment(place, rng), []
    for again in range(rng.choices([1, 2, 3, 6], [70, 18, 8, 4])[0]):
        asks += walk(place, look, browsing, rng, now, depth(rng), known=known or again > 0)
        now = asks[-1].time + (rng.uniform(0.7, 1.4) * DAY if rng.random() < 0.6 else rng.uniform(0.4, 8) * 3600)
    yield look, asks


def tabs(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Many pages in tabs of their own within seconds, read later; or a whole session restored at once."""
    look = _look(place, crowd, rng)
    browsing = Browsing(place, rng, known=rng.random() < 0.6)
    now, asks = moment(place, rng), []
    if rng.random() < 0.1:
        for _ in range(rng.randint(3, 14)):
            asks += browsing.open(place.popular(rng), now, "", again=rng.random() < 0.5)
            now += rng.expovariate(4)
    for _ in range(rng.randint(1, 5)):
        at = place.popular(rng)
        asks += browsing.open(at, now, "" if rng.random() < 0.5 else site.outside(look.visit, rng))
        now += stay(place, rng) * 0.4
        for link in rng.sample(place.pages[at].links, min(len(place.pages[at].links), rng.randint(2, 9))):
            asks += browsing.open(link, now, browsing.address(at))
            now += rng.uniform(0.3, 3)
        now += stay(place, rng) * 5
    yield look, asks


def quick(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Somebody who clicks on and on: pictures, lists of goods, pages of an archive."""
    look = _look(place, crowd, rng)
    browsing = Browsing(place, rng, known=rng.random() < 0.4)
    pace = rng.choice([0.05, 0.1, 0.2])
    yield look, walk(place, look, browsing, rng, moment(place, rng), rng.randint(8, 70), pace=pace, least=0.5)


def worker(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Somebody who works with the site for hours: forms, scripts that save by themselves, the same few pages again and again."""
    look = _look(place, crowd, rng)
    browsing = Browsing(place, rng, known=True)
    now, asks = moment(place, rng), []
    own = rng.sample(range(len(place.pages)), min(len(place.pages), 6))
    every = rng.choice([10.0, 15.0, 60.0])
    for _ in range(rng.randint(5, 30)):
        at = rng.choice(own)
        asks += browsing.open(at, now, browsing.address(rng.choice(own)))
        for beat in range(min(int(stay(place, rng) * 3 / every), 25)):
            want = Want("send" if rng.random() < 0.3 else "fetch", place.api, place.pages[at].path)
            asks.append(browsing.ask(now + beat * every, replace(want, method="POST"), browsing.address(at)))
        now += stay(place, rng) * 3
        if rng.random() < 0.4:
            asks += _form(place, browsing, rng, now, at)
    yield look, asks


def watcher(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """A page that asks by itself: a list that lives, a film in pieces; open for hours, nobody touches it."""
    look = _look(place, crowd, rng)
    browsing = Browsing(place, rng, known=rng.random() < 0.7)
    at, now = place.popular(rng), moment(place, rng)
    asks = browsing.open(at, now, "" if rng.random() < 0.5 else site.outside(look.visit, rng))
    kind, every = rng.choice([("fetch", 5.0), ("fetch", 20.0), ("fetch", 60.0), ("media", 3.0), ("media", 8.0)])
    path = site.path("media", rng).partition("?")[0] if kind == "media" else place.api
    for _ in range(rng.randint(10, 120)):
        now += every + rng.uniform(0, 0.2)
        asks.append(
            browsing.ask(
                now, Want(kind, path, place.pages[at].path), browsing.address(at), 200_000 if kind == "media" else 300
            )
        )
    yield look, asks


def office(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Several behind one address, some of them on computers that are all alike; a class that opens one page at once."""
    ip, same = site.address(rng), rng.random() < 0.6
    managed = crowd.fashion(rng)
    together, at = (moment(place, rng) if rng.random() < 0.4 else None), place.popular(rng)
    for _ in range(rng.randint(4, 22)):
        fashion = managed if same else crowd.fashion(rng)
        habits = Habits(recorded=fashion.recorded)
        look = browser(place, rng, fashion.agent, habits, ip=ip)
        browsing = Browsing(place, rng, known=rng.random() < 0.3)
        if together is None:
            yield look, walk(place, look, browsing, rng, moment(place, rng), depth(rng))
        else:
            now = together + rng.expovariate(1 / 25)
            asks = browsing.open(at, now, "", stays=stay(place, rng))
            yield look, asks + walk(place, look, browsing, rng, now + stay(place, rng), depth(rng), known=True)


def roaming(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """A telephone or a relay whose address changes while somebody reads: within a network, or anywhere."""
    look = _look(place, crowd, rng)
    browsing = Browsing(place, rng, known=rng.random() < 0.4, hurry=rng.uniform(1, 3))
    asks = walk(place, look, browsing, rng, moment(place, rng), depth(rng) + 1)
    near = look.visit.ip.rpartition("." if "." in look.visit.ip else ":")
    addresses = [
        site.address(rng) if rng.random() < 0.3 else f"{near[0]}{near[1]}{rng.randint(1, 250):d}"
        for _ in range(rng.randint(2, 5))
    ]
    kept, moved = rng.choice([0.0, 0.8, 0.97]), []
    ip = rng.choice(addresses)
    for ask in asks:
        ip = ip if rng.random() < kept else rng.choice(addresses)
        moved.append(ask._replace(ip=ip))
    yield look, moved


def private(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Somebody whose browser keeps nothing and says little: no cookies, no referrers, or neither, nothing cached."""
    fashion = crowd.fashion(rng, shared=0.5)
    habits = replace(
        people.draw_habits(parse(fashion.agent), fashion.recorded, rng),
        cookies=rng.random() < 0.3, referrers=rng.random() < 0.3, dnt=rng.random() < 0.3, gpc=rng.random() < 0.3,
    )  # fmt: skip
    look = browser(place, rng, fashion.agent, habits, language=crowd.language(rng))
    browsing = Browsing(place, rng, cookies=habits.cookies, keeps=rng.random() < 0.5)
    yield look, walk(place, look, browsing, rng, moment(place, rng), depth(rng) + rng.randint(0, 2))


def sparing(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Somebody who loads less: a blocker of scripts and counters, no pictures on a slow line, gone before the parts are there."""
    look = _look(place, crowd, rng, saves_data=rng.random() < 0.3)
    some: list[Loads] = [("style", "image"), ("style", "script", "module"), ("style",), 0.4, 0.15]
    browsing = Browsing(
        place, rng, loads=rng.choice(some), calls=rng.random() < 0.3, hurry=rng.uniform(1, 6), known=rng.random() < 0.3
    )
    yield look, walk(place, look, browsing, rng, moment(place, rng), depth(rng))


def plain(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """A text browser, an old telephone, a reader of the page aloud: pages alone, at times pictures."""
    del crowd
    agent = agents.draw_agent(place.year, rng, place.language, "plain")
    look = browser(place, rng, agent, Habits(cookies=rng.random() < 0.6))
    loads = () if rng.random() < 0.7 else ("image",)
    browsing = Browsing(place, rng, loads=loads, keeps=rng.random() < 0.5, icon=False, calls=False)
    yield look, walk(place, look, browsing, rng, moment(place, rng), depth(rng) + rng.randint(0, 3))


def within(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """A page in an application's own browser, opened from its list: one page, no cache, often back at the list and again."""
    del crowd
    agent = agents.draw_agent(place.year, rng, place.language)
    for _ in range(60):
        if "; wv)" in agent or "FBAN" in agent or "Instagram" in agent or "GSA/" in agent:
            break
        agent = agents.draw_agent(place.year, rng, place.language)
    look = browser(place, rng, agent, Habits())
    browsing = Browsing(place, rng, known=rng.random() < 0.2, hurry=rng.uniform(1, 3))
    now, asks = moment(place, rng), []
    for _ in range(rng.choices([1, 2, 4], [70, 20, 10])[0]):
        source = "" if rng.random() < 0.5 else site.outside(look.visit, rng)
        asks += browsing.open(place.popular(rng), now, source, stays=stay(place, rng))
        now += stay(place, rng) * 3
    yield look, asks


def feeds(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """An application of somebody's that looks for news by the clock, and opens an article now and then."""
    del crowd
    agent = agents.draw_agent(place.year, rng, place.language, "app")
    look = browser(place, rng, agent, Habits(cookies=False))
    browsing = Browsing(place, rng, loads=("image",), cookies=False, icon=False, calls=False)
    every, now, asks = rng.choice([900.0, 1800.0, 3600.0, 7200.0]), moment(place, rng), []
    for _ in range(rng.randint(2, 40)):
        asks.append(browsing.ask(now, Want("fetch", place.feed, None, again=rng.random() < 0.8), "", 20_000))
        if rng.random() < 0.05:
            asks += browsing.open(place.popular(rng), now + stay(place, rng), "")
        now += every + rng.uniform(0, 20)
    yield look, asks


def ahead(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """A browser that fetches pages before somebody opens them: links under the pointer, the first results of a search."""
    look = _look(place, crowd, rng)
    browsing = Browsing(place, rng, known=rng.random() < 0.3)
    asks = walk(place, look, browsing, rng, moment(place, rng), depth(rng))
    for ask in [ask for ask in asks if ask.want.kind == "page"]:
        for _ in range(rng.choice([0, 1, 1, 3])):
            number = rng.randrange(len(place.pages))
            asks += browsing.open(
                number, ask.time + rng.uniform(1, 20), browsing.origin + ask.want.path, kind="prefetch"
            )
    yield look, asks


def faulty(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Somebody at a site with something broken: pictures that are not there, an old address, a page that fails and is tried again."""
    look = _look(place, crowd, rng)
    browsing = Browsing(place, rng, known=rng.random() < 0.5)
    lost = Answer(404, texts.between(200, 4000, rng), "text/html")
    asks = [
        ask._replace(answer=lost) if ask.want.kind != "page" and rng.random() < 0.3 else ask
        for ask in walk(place, look, browsing, rng, moment(place, rng), depth(rng))
    ]
    asks[0] = asks[0]._replace(answer=lost)
    yield look, asks


def unseen(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """A page that was opened before anybody counted: on another network, or before the table was new. Its scripts go on asking."""
    look = _look(place, crowd, rng)
    cookies = rng.random() < 0.6
    browsing = Browsing(place, rng, known=cookies, cookies=cookies)
    at, now, asks = place.popular(rng), moment(place, rng), []
    kind, every = rng.choice(["fetch", "send", "send", "events", "media"]), rng.choice([2.0, 10.0, 60.0])
    method = site.KINDS[kind].methods[0]
    path = site.path(kind, rng).partition("?")[0] if kind == "media" else place.api
    for _ in range(rng.randint(5, 80)):
        want = Want(kind, path, place.pages[at].path, method=method)
        asks.append(browsing.ask(now, want, browsing.address(at)))
        now += every * rng.uniform(0.95, 1.05)
    if rng.random() < 0.5:
        asks += walk(place, look, browsing, rng, now, depth(rng), known=True)
    yield look, asks


def elsewhere(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Somebody at another site, which asks this one: its data, a frame, pictures. No page of ours is ever opened."""
    look = _look(place, crowd, rng)
    browsing = Browsing(place, rng, cookies=rng.random() < 0.2)
    kinds = rng.choice([("cors",), ("preflight", "cors"), ("frame", "fetch"), ("image",), ("cors", "image")])
    source, now, asks = f"https://{site.name(rng)}/", moment(place, rng), []
    paths = {kind: [site.path(kind, rng) for _ in range(rng.choice([1, 1, 5]))] for kind in kinds}
    method = site.KINDS["cors"].method(rng)
    for _ in range(rng.randint(3, 60)):
        for kind in kinds:
            how = method if kind == "cors" else site.KINDS[kind].methods[0]
            asks.append(
                browsing.ask(now, Want(kind, rng.choice(paths[kind]), None, method=how, outside=source), source)
            )
            now += rng.uniform(0.02, 0.3)
        now += rng.choice([0.3, 3.0, 20.0]) * rng.lognormvariate(0, 0.8)
    yield look, asks


def screen(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """A screen in a hall that shows a few pages in turn by the clock, or one again and again, for hours."""
    look = _look(place, crowd, rng)
    browsing = Browsing(place, rng, known=rng.random() < 0.8)
    own = rng.sample(range(len(place.pages)), min(len(place.pages), rng.choice([1, 3, 6, 12, 20])))
    every, now, source = rng.choice([10.0, 15.0, 30.0, 60.0, 300.0]), moment(place, rng), ""
    typed, asks = rng.random() < 0.4, []
    for turn in range(rng.randint(20, 200)):
        at = own[turn % len(own)]
        asks += browsing.open(at, now, source)
        source = "" if typed else browsing.address(at)
        now += every + rng.uniform(0, 0.1)
    yield look, asks


def searcher(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Somebody who asks a list in ever other words: pages with a query, whose parts are cached."""
    look = _look(place, crowd, rng)
    browsing = Browsing(place, rng, known=rng.random() < 0.7)
    at, now = 0, moment(place, rng)
    asks = browsing.open(at, now, "")
    for number in range(rng.randint(8, 90)):
        now += max(0.8, stay(place, rng) * 0.4)
        asks.append(_search(place, browsing, rng, now, at))
        if number % 5 == 4 and rng.random() < 0.5:
            at = rng.randrange(len(place.pages))
            asks += browsing.open(at, now + 2, browsing.origin + place.search)
    yield look, asks


def comer(place: Place, crowd: Crowd, rng: random.Random) -> Sessions:
    """Comes from other sites, or from a mail, again and again, and opens one page each time."""
    look = _look(place, crowd, rng)
    browsing = Browsing(place, rng, known=rng.random() < 0.4)
    typed, now, asks = rng.random() < 0.4, moment(place, rng), []
    gap = rng.choice([1.0, 6.0, 40.0, 3600.0])
    for _ in range(rng.randint(3, 18)):
        asks += browsing.open(place.popular(rng), now, "" if typed else site.outside(look.visit, rng))
        now += gap * rng.lognormvariate(0, 0.7)
    yield look, asks


# Share of the clients of people (an office counts as one).
KINDS: dict[Kind, float] = {
    glance: 36, reader: 30, tabs: 5, quick: 4, worker: 2.5, watcher: 2.5, office: 1, roaming: 3.5, private: 7, sparing: 5,
    plain: 1.5, within: 4, feeds: 1.5, ahead: 2.5, faulty: 3, unseen: 1.5, elsewhere: 1.5,
    screen: 0.3, searcher: 1.2, comer: 1,
}  # fmt: skip


def clients(place: Place, crowd: Crowd, rng: random.Random) -> Iterator[Client]:
    """The sessions of one kind, drawn by its share."""
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    for look, asks in kind(place, crowd, rng):
        yield Client(kind.__name__, "human", look, sorted(asks, key=lambda ask: ask.time)[:MOST])
