"""robots.py - visits by programs: declared crawlers, tools, headless browsers, and bots in a browser's clothes.

Law: a bot differs from a person in what it does, never in what it happened to be recorded with. One that claims to be
a browser takes its agent from where people's agents come from (people.py), and its headers from the tool it is made
with. Bots that send exactly what a browser sends are left out: one request cannot tell them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from training.corpus import agents, people, published, site
from training.corpus.browsers import Browser, Habits, accept, headers, hints, languages, parse
from training.corpus.heads import Pairs, fill
from training.corpus.site import Visit, Want
from training.corpus.tables import Blanks, draw

Send = Callable[[Want], Pairs]  # the headers of a program for one request
ACCEPTS = ["text/html", "*/*", "text/html,*/*", "application/json, text/plain, */*", "text/html,application/xhtml+xml"]
ENCODINGS = ["gzip, deflate", "gzip, deflate, br", "gzip", "identity", "gzip,deflate", "*"]
LANGUAGES = ["en-US,en;q=0.9", "en-US,en;q=0.5", "en", "en-US"]
MORE = {
    "Upgrade-Insecure-Requests": "1",
    "Cache-Control": "max-age=0",
    "Pragma": "no-cache",
    "Connection": "close",
    "DNT": "1",
    "X-Requested-With": "XMLHttpRequest",
}
PHANTOM = "Accept|User-Agent|Connection: Keep-Alive|Accept-Encoding: gzip, deflate|Accept-Language: en-US,*|Host"


def requests(visit: Visit, wants: list[Want], rng: random.Random) -> Iterator[tuple[Want, Pairs]]:
    """The requests of one visit by a program, with their headers."""
    kind = rng.choices([declared, tool, disguised, nameless, headless, odd], [28, 22, 33, 6, 8, 3])[0]
    chance = rng.random()
    if kind is declared and chance < 0.25:
        wants = [
            replace(wants[0], kind="page", path=rng.choice(["/robots.txt", "/robots.txt", "/sitemap.xml"])),
            *wants[1:],
        ]
    elif kind not in (declared, headless) and chance < 0.3:
        wants = [_probe(want, rng) for want in wants]
    elif chance < 0.33:
        wants = [replace(wants[0], kind="page", path="/robots.txt"), *wants[1:]]
    send = kind(visit, rng)
    for want in wants:
        asked = replace(want, asked="HEAD") if want.method == "GET" and rng.random() < 0.04 else want
        yield asked, send(asked)


def _probe(want: Want, rng: random.Random) -> Want:
    """What a scanner asks for instead."""
    method, target = draw("probes.tsv", rng)
    return replace(want, kind="page", path=target, page=None, again=False, asked=method)


def _blanks(visit: Visit, rng: random.Random) -> Blanks:
    def make(key: str) -> str:
        if key == "name":
            stem = "".join(draw("robots.tsv", rng, "stem")[0] for _ in range(rng.randint(1, 2)))
            return rng.choice([stem, stem.lower()]) + draw("robots.tsv", rng, "work")[0]
        if key == "browser":
            return people.agent(visit, rng)[0]
        if key == "chrome":
            return agents.chrome_version(agents.major("chrome", max(visit.year, 2017), rng), rng)
        if key in ("driver", "system"):
            return draw("robots.tsv", rng, key)[0].format_map(blanks)
        return {
            "a": str(rng.randint(0, 9)),
            "b": str(rng.randint(10, 48)),
            "c": str(rng.randint(100, 400)),
            "hex": f"{rng.getrandbits(64):x}",
            "host": site.name(rng),
            "word": rng.choice(site.WORDS),
        }[key]

    blanks = Blanks(make)
    return blanks


def _named(group: str, visit: Visit, rng: random.Random) -> str:
    return draw("robots.tsv", rng, group)[0].format_map(_blanks(visit, rng))


def _tool(rng: random.Random) -> tuple[str, str, str]:
    """How own headers join, an agent (blanks open), and the header set of a tool."""
    how, names, head_set = draw("tools.tsv", rng)
    return how, rng.choice(names.split("|")), head_set


def join(how: str, own: Mapping[str, str], usual: Pairs) -> Pairs:
    """The headers of a tool that was given headers of its own.

    `end`: they replace the usual ones in their place, the others follow. `first`: they come before the usual ones
    (behind Host, if that leads). `sorted`: Host, User-Agent, then all by name, the tool's own Accept-Encoding last.
    """
    given = {name.lower(): value for name, value in own.items()}
    known = {name.lower() for name, _ in usual}
    if how == "end":
        replaced = [(name, given.get(name.lower(), value)) for name, value in usual]
        return replaced + [(name, value) for name, value in own.items() if name.lower() not in known]
    rest = [(name, value) for name, value in usual if name.lower() not in given]
    if how == "first":
        lead = rest[:1] if rest and rest[0][0] == "Host" else []
        return lead + list(own.items()) + rest[len(lead) :]
    titled = {"DNT" if name == "DNT" else name.title(): value for name, value in own.items()}
    every = dict(rest) | titled
    last = [(name, every.pop(name)) for name, _ in rest if name == "Accept-Encoding"]
    return [(name, every.pop(name)) for name in ("Host", "User-Agent") if name in every] + sorted(every.items()) + last


def declared(visit: Visit, rng: random.Random) -> Send:
    """A crawler, monitor or scanner that says so; its headers are its own, a tool's or a driven browser's."""
    name = rng.choice(published.crawler_agents()) if rng.random() < 0.7 else _named("crawler", visit, rng)
    chance = rng.random()
    if chance < 0.2:
        return _driven(parse(name), visit, rng, languages_too=rng.random() < 0.4)
    how, _, head_set = ("end", "", *draw("crawlers.tsv", rng)) if chance < 0.65 else _tool(rng)
    return _sending(how, head_set, {"User-Agent": name}, visit, rng)


def tool(visit: Visit, rng: random.Random) -> Send:
    """A tool or a library under its own name, at times with a browser's Accept."""
    how, name, head_set = _tool(rng)
    own = {}
    if rng.random() < 0.12:
        browser = parse(people.agent(visit, rng)[0])
        own = {"Accept": accept(browser, "page"), "Accept-Language": languages(browser, visit.language)}
    return _sending(how, head_set, own, visit, rng, name.format_map(_blanks(visit, rng)) or None)


def nameless(visit: Visit, rng: random.Random) -> Send:
    """A tool without an agent, with an empty one, or with a dash."""
    how, _, head_set = _tool(rng)
    return _sending(how, head_set, {}, visit, rng, rng.choices([None, "", "-"], [60, 30, 10])[0])


def odd(visit: Visit, rng: random.Random) -> Send:
    """A tool with an agent that no program has: cut short, quoted, invented, an attack."""
    how, _, head_set = _tool(rng)
    return _sending(how, head_set, {"User-Agent": _named("odd", visit, rng)}, visit, rng)


def disguised(visit: Visit, rng: random.Random) -> Send:
    """A tool that claims to be a browser and copies more or less of what one sends; what it forgets shows."""
    name = people.app_agent(visit, rng) if rng.random() < people.APPS else people.agent(visit, rng)[0]
    browser, other = parse(name), parse(people.agent(visit, rng)[0])
    how, _, head_set = _tool(rng)
    level = rng.choices(["agent", "accept", "language", "more", "copied", "mixed"], [28, 18, 20, 14, 12, 8])[0]
    own = {"User-Agent": name}
    if level in ("copied", "mixed"):  # all headers of a page, of this browser or of another one
        copied = headers(other if level == "mixed" else browser, Habits(), visit, Want("page", "/"), rng)
        # Some get lost, and what the tool sends itself it sends in its own place.
        kept = [pair for pair in copied if pair[0] not in ("Host", "Connection", "User-Agent") and rng.random() > 0.12]
        return _sending("sorted" if how == "sorted" else "end", head_set, own | dict(kept), visit, rng)
    if level != "agent":
        own["Accept"] = rng.choice([accept(browser, "page"), accept(other, "page"), rng.choice(ACCEPTS)])
    if level in ("language", "more"):
        own["Accept-Language"] = rng.choice([*LANGUAGES, languages(browser, visit.language)])
        if rng.random() < 0.6:
            own["Accept-Encoding"] = rng.choice(ENCODINGS)
    if level == "more":
        own |= {key: value for key, value in MORE.items() if rng.random() < 0.35}
    shuffled = list(own.items())
    rng.shuffle(shuffled)
    return _sending(how, head_set, dict(shuffled), visit, rng)


def headless(visit: Visit, rng: random.Random) -> Send:
    """A browser without a screen: by its agent, or by its client hints behind a usual browser's agent."""
    name = _named("headless", visit, rng)
    if "PhantomJS" in name:
        return _sending("end", PHANTOM, {"Accept": accept(parse(name), "page")}, visit, rng, name)
    brand = "HeadlessChrome" if "HeadlessChrome" in name else None
    if brand and visit.trusted and rng.random() < 0.35:
        name = name.replace("Headless", "")
    browser = parse(name)
    recorded = hints(browser, rng, brand) if browser.has("hints") else {}
    return _driven(browser, visit, rng, languages_too=rng.random() < 0.45, recorded=recorded)


def _driven(
    browser: Browser,
    visit: Visit,
    rng: random.Random,
    *,
    languages_too: bool,
    recorded: Mapping[str, str] | None = None,
) -> Send:
    """What a real browser sends that a program drives."""
    habits = Habits(recorded=recorded or {})

    def send(want: Want) -> Pairs:
        pairs = headers(browser, habits, visit, want, rng, visit.origin + want.page if want.page else "")
        return [pair for pair in pairs if languages_too or pair[0] != "Accept-Language"]

    return send


def _sending(
    how: str, head_set: str, own: Mapping[str, str], visit: Visit, rng: random.Random, agent: str | None = None
) -> Send:
    """What a tool sends that was given the headers `own`; `agent` is the tool's own."""
    values = {"Host": visit.host} | ({} if agent is None else {"User-Agent": agent})
    source = rng.choices(["none", "own", "forged", "spam"], [80, 11, 6, 3])[0]
    cookie = f"sid={rng.getrandbits(64):x}" if rng.random() < 0.08 else ""
    dated = rng.random() < 0.08

    def send(want: Want) -> Pairs:
        added = {}
        if source == "own":
            added["Referer"] = visit.origin + (want.page or "/")
        elif source == "forged":
            added["Referer"] = rng.choice(["https://www.google.com/", people.outside(visit, rng)])
        elif source == "spam":
            added["Referer"] = draw("robots.tsv", rng, "spam")[0]
        if cookie and want.page:
            added["Cookie"] = cookie
        if want.method == "POST":
            added["Content-Type"] = rng.choice(["application/x-www-form-urlencoded", "application/json"])
            added["Content-Length"] = str(rng.randint(2, 900))
        if dated and want.again:
            added["If-Modified-Since"] = f"Tue, {rng.randint(10, 28)} Jan 20{rng.randint(10, 26)} 01:02:03 GMT"
        return join(how, {**own, **added}, fill(head_set, values | dict(own)))

    return send
