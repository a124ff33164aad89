"""robots.py - visits by programs: declared crawlers, tools, headless browsers, and bots in a browser's clothes.

Law: a bot differs from a person in what it does, never in what it happened to be recorded with. One that claims to be
a browser takes its agent from where people's agents come from (people.py), and its headers from the tool it is made
with, and so its handshake. Bots that send exactly what a browser sends are left out: one request cannot tell them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from training.corpus import additions, agents, people, published, site, texts
from training.corpus.browsers import Browser, Habits, accept, headers, languages, parse, possible
from training.corpus.hints import hints
from training.corpus.site import Visit, Want
from training.corpus.stacks import COPIERS, LIBRARY, OWN
from training.corpus.tables import Blanks, Pairs, draw, fill

Send = Callable[[Want], Pairs]  # the headers of a program for one request
Program = tuple[str, Send]  # whose handshake it has (stacks.py), and what it sends
ACCEPTS = ["text/html", "*/*", "text/html,*/*", "application/json, text/plain, */*", "text/html,application/xhtml+xml"]
ENCODINGS = ["gzip, deflate", "gzip, deflate, br", "gzip", "identity", "gzip,deflate", "*"]
LANGUAGES = ["en-US,en;q=0.9", "en-US,en;q=0.5", "en", "en", "en-US"]
# How much of a browser's headers a disguised tool copies, and how often: the agent alone, one header and two, a handful,
# a whole set put into a library, that of another browser, a whole set with faults, a whole set for whatever it asks.
GRADES = {"agent": 18, "accept": 10, "language": 19, "more": 10, "dict": 15, "mixed": 7, "stale": 18, "document": 10}
MORE = {
    "Upgrade-Insecure-Requests": "1",
    "Cache-Control": "max-age=0",
    "Pragma": "no-cache",
    "Connection": "close",
    "DNT": "1",
    "X-Requested-With": "XMLHttpRequest",
}
PHANTOM = "Accept|User-Agent|Connection: Keep-Alive|Accept-Encoding: gzip, deflate|Accept-Language: en-US,*|Host"


def requests(visit: Visit, wants: list[Want], rng: random.Random) -> Iterator[tuple[Want, Pairs, str]]:
    """The requests of one visit by a program, with their headers and whose handshake it has."""
    kind = rng.choices([declared, tool, disguised, nameless, headless, odd], [26, 20, 38, 5, 7, 4])[0]
    chance = rng.random()
    if kind is declared and chance < 0.25:
        wants = [
            replace(
                wants[0], kind="page", method="GET", path=rng.choice(["/robots.txt", "/robots.txt", "/sitemap.xml"])
            ),
            *wants[1:],
        ]
    elif kind not in (declared, headless) and chance < 0.3:
        wants = [_probe(want, rng) for want in wants]
    elif chance < 0.33:
        wants = [replace(wants[0], kind="page", method="GET", path="/robots.txt"), *wants[1:]]
    stack, send = kind(visit, rng)
    for want in wants:
        yield want, send(want), stack


def _probe(want: Want, rng: random.Random) -> Want:
    """What a scanner asks for instead."""
    method, target = draw("probes.tsv", rng)
    _, mark, query = want.path.partition("?")  # as long as anybody's
    padded = target if "?" in target else target + mark + query
    return replace(want, kind="page", path=padded, page=None, again=False, method=method)


def _blanks(visit: Visit, rng: random.Random) -> Blanks:
    def make(key: str) -> str:
        if key == "name":
            stem = "".join(draw("robots.tsv", rng, "stem")[0] for _ in range(rng.randint(1, 2)))
            return rng.choice([stem, stem.lower()]) + draw("robots.tsv", rng, "work")[0]
        if key == "browser":
            return people.agent(visit, rng)[0]
        if key == "chrome":
            return agents.chrome_version(agents.major("chrome", max(visit.year, 2017), rng), rng)
        if key == "major":
            return f"{agents.major('chrome', max(visit.year, 2017), rng)}.0.0.0"
        if key in ("stem", "stem2"):
            return draw("robots.tsv", rng, "stem")[0]
        if key in ("driver", "system", "tailname"):
            return draw("robots.tsv", rng, key)[0].format_map(blanks)
        return {
            "a": str(rng.randint(0, 9)),
            "b": str(rng.randint(10, 48)),
            "c": str(rng.randint(100, 400)),
            "hex": f"{rng.getrandbits(64):x}",
            "host": site.name(rng),
            "word": rng.choice(texts.WORDS),
        }[key]

    blanks = Blanks(make)
    return blanks


def _named(group: str, visit: Visit, rng: random.Random) -> str:
    return draw("robots.tsv", rng, group)[0].format_map(_blanks(visit, rng))


def _tool(rng: random.Random) -> tuple[str, str, str, str]:
    """How own headers join, an agent (blanks open), the header set of a tool, and its stacks."""
    how, names, head_set, stacks = draw("tools.tsv", rng)
    return how, rng.choice(names.split("|")), head_set, stacks


def join(how: str, own: Mapping[str, str], usual: Pairs) -> Pairs:
    """The headers of a tool that was given headers of its own.

    `end`: they replace the usual ones in their place, the others follow. `first`: they come before the usual ones
    (behind Host, if that leads). `sorted`: Host, User-Agent, then all by name, the tool's own Accept-Encoding last.
    """
    if any(name == "user-agent" for name, _ in usual):  # it writes all names small
        own = {name.lower(): value for name, value in own.items()}
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


def declared(visit: Visit, rng: random.Random) -> Program:
    """A crawler, monitor or scanner that says so; its headers are its own, a tool's or a driven browser's."""
    chance = rng.random()
    if chance < 0.34:  # behind, or within, a browser's own agent, whose headers it has as well
        return OWN, _driven(parse(_named("tail", visit, rng)), visit, rng, languages_too=rng.random() < 0.8)
    name = rng.choice(published.crawler_agents()) if rng.random() < 0.7 else _named("crawler", visit, rng)
    if chance < 0.45:
        return OWN, _driven(parse(name), visit, rng, languages_too=rng.random() < 0.5)
    how, _, head_set, stacks = ("end", "", *draw("crawlers.tsv", rng), LIBRARY) if chance < 0.78 else _tool(rng)
    return stacks, _sending(how, head_set, {"User-Agent": name}, visit, rng)


def tool(visit: Visit, rng: random.Random) -> Program:
    """A tool or a library under its own name, at times with a browser's Accept."""
    how, name, head_set, stacks = _tool(rng)
    own = {}
    if rng.random() < 0.12:
        browser = parse(people.agent(visit, rng)[0])
        own = {"Accept": accept(browser, "page"), "Accept-Language": languages(browser, visit.language)}
    return stacks, _sending(how, head_set, own, visit, rng, name.format_map(_blanks(visit, rng)) or None)


def nameless(visit: Visit, rng: random.Random) -> Program:
    """A tool without an agent, with an empty one, or with a dash."""
    how, _, head_set, stacks = _tool(rng)
    return stacks, _sending(how, head_set, {}, visit, rng, rng.choices([None, "", "-"], [60, 30, 10])[0])


def odd(visit: Visit, rng: random.Random) -> Program:
    """A tool with an agent that no program has: cut short, quoted, invented, an attack."""
    how, _, head_set, stacks = _tool(rng)
    return stacks, _sending(how, head_set, {"User-Agent": _named("odd", visit, rng)}, visit, rng)


def disguised(visit: Visit, rng: random.Random) -> Program:
    """A tool that claims to be a browser and copies more or less of what one sends; what it forgets shows."""
    chance = rng.random()
    if chance < 3 * people.APPS:
        name = people.app_agent(visit, rng)
    elif chance < 3 * people.APPS + 0.08:  # a text browser looks easy to play
        name = agents.draw_agent(visit.year, rng, visit.language, "plain")
    else:
        name = people.agent(visit, rng)[0]
    if rng.random() < 0.12:
        name = _mangled(name, people.agent(visit, rng)[0], rng)
    browser, other = parse(name), parse(people.agent(visit, rng)[0])
    level = rng.choices(list(GRADES), list(GRADES.values()))[0]
    if level in ("document", "stale"):
        return COPIERS, _copied(browser, other, visit, rng, everywhere=level == "document")
    how, _, head_set, stacks = _tool(rng)
    own = {"User-Agent": name}
    if level in ("dict", "mixed"):  # all headers of a page, of this browser or of another one
        copied = headers(
            other if level == "mixed" else browser, Habits(), replace(visit, ended=True), Want("page", "/"), rng
        )
        # Some get lost, and what the tool sends itself it sends in its own place.
        kept = [pair for pair in copied if pair[0] not in ("Host", "Connection", "User-Agent") and rng.random() > 0.12]
        if rng.random() < 0.5:  # in the order in which a person thinks of them
            rng.shuffle(kept)
        return stacks, _sending("sorted" if how == "sorted" else "end", head_set, own | dict(kept), visit, rng)
    if level != "agent":
        own["Accept"] = rng.choice([accept(browser, "page"), accept(other, "page"), "*/*", "*/*", rng.choice(ACCEPTS)])
    if level in ("language", "more"):
        own["Accept-Language"] = rng.choice([*LANGUAGES, languages(browser, visit.language)])
        if rng.random() < 0.6:
            own["Accept-Encoding"] = rng.choice(ENCODINGS)
    if level == "more":
        own |= {key: value for key, value in MORE.items() if rng.random() < 0.35}
    shuffled = list(own.items())
    rng.shuffle(shuffled)
    return stacks, _sending(how, head_set, dict(shuffled), visit, rng)


def _mangled(name: str, other: str, rng: random.Random) -> str:
    """A browser's agent that somebody wrote from memory, cut, or mixed with another one."""
    words, others = name.split(), other.split()
    some = " ".join(rng.sample(others, min(len(others), rng.randint(1, 4))))
    return rng.choice(
        [
            words[0],
            f"{words[0]} {some}",
            f"{name} {some}",
            " ".join(words[: rng.randint(1, len(words))]),
            re.sub(r"\([^()]*\)\s*", "", name),
            f"{name} {rng.choice(['Chrome', 'iPhone', 'Firefox/120.0', 'Mobile', 'Android', 'libwww', 'Safari', 'Edg/120.0.0.0'])}",
        ]
    )


def _copied(browser: Browser, other: Browser, visit: Visit, rng: random.Random, *, everywhere: bool) -> Send:
    """The headers of a browser's page, copied whole and in order.

    `everywhere`: they are sent for whatever is asked for; a page, which would be right, gets a fault as without it.
    Faults: an agent that is not the hints' one, headers that are missing, names in another case, another order.
    """
    seen = replace(visit, ended=True) if rng.random() < 0.5 else visit
    copied = headers(browser, Habits(), seen, Want("page", "/"), rng, rng.choice(["", "", site.outside(visit, rng)]))
    fault = _fault(browser, other, rng)
    faulty = fault(copied)
    if faulty == copied:
        faulty = _losing(copied, rng)
    makers = additions.draw_makers(rng)

    def send(want: Want) -> Pairs:
        right = want.kind in ("page", "download") and want.method == "GET"
        pairs = copied if everywhere and not right else faulty
        more = additions.added(makers, browser, visit, want, rng) if makers else {}
        if want.sends:
            more |= _data(want, rng)
        return join("end", more, [(name, visit.host if name == "Host" else value) for name, value in pairs])

    return send


def _losing(pairs: Pairs, rng: random.Random) -> Pairs:
    """Without what tools seldom know of."""
    hinted = [pair for pair in pairs if not pair[0].lower().startswith("sec-")]
    bare = [pair for pair in pairs if pair[0].lower() not in ("accept-language", "accept-encoding", "accept")]
    return hinted if len(hinted) < len(pairs) and rng.random() < 0.7 else bare


def _fault(browser: Browser, other: Browser, rng: random.Random) -> Callable[[Pairs], Pairs]:
    """One way in which copied headers are wrong."""

    def swapped(pairs: Pairs) -> Pairs:  # the agent is taken from a list, the rest is not
        return [(name, other.agent if name == "User-Agent" else value) for name, value in pairs]

    def aged(pairs: Pairs) -> Pairs:  # hints of another version
        number = browser.version + rng.choice([-20, -11, -6, -3, -1, 1, 2, 5])
        return [
            (name, hints(browser.agent, number, rng)["sec-ch-ua"] if name == "sec-ch-ua" else value)
            for name, value in pairs
        ]

    def elsewhere(pairs: Pairs) -> Pairs:  # hints of another platform
        named = rng.choice(['"Windows"', '"macOS"', '"Linux"', '"Android"'])
        return [(name, named if name == "sec-ch-ua-platform" else value) for name, value in pairs]

    def losing(pairs: Pairs) -> Pairs:
        return _losing(pairs, rng)

    def cased(pairs: Pairs) -> Pairs:  # written by a library for HTTP/2, or by one that titles all names
        small = rng.random() < 0.6
        return [(name.lower() if small else name.title(), value) for name, value in pairs]

    def shuffled(pairs: Pairs) -> Pairs:
        way = rng.choice(["sorted", "shuffled", "agent first", "agent last"])
        if way == "sorted":
            return sorted(pairs)
        if way == "shuffled":
            return rng.sample(pairs, len(pairs))
        return sorted(pairs, key=lambda pair: (pair[0] == "User-Agent") == (way == "agent last"))

    def unpacked(pairs: Pairs) -> Pairs:  # what the library can decompress
        can = rng.choice(["gzip, deflate", "gzip, deflate, br", "gzip", "identity"])
        return [(name, can if name == "Accept-Encoding" else value) for name, value in pairs]

    def hinted(pairs: Pairs) -> Pairs:  # hints that no such browser sends
        mine = hints(other.agent, rng.randint(100, 168), rng)
        return [*pairs[:2], *mine.items(), *(pair for pair in pairs[2:] if pair[0] not in mine)]

    ways = [swapped, aged, elsewhere, losing, cased, shuffled, unpacked, hinted]
    chosen = rng.choices(ways, [5, 5, 6, 5, 4, 5, 3, 2], k=rng.choices([1, 2], [3, 2])[0])

    def all_of(pairs: Pairs) -> Pairs:
        for way in chosen:
            pairs = way(pairs)
        return pairs

    return all_of


def headless(visit: Visit, rng: random.Random) -> Program:
    """A browser without a screen: by its agent, or by its client hints behind a usual browser's agent."""
    name = _named("headless", visit, rng)
    if "PhantomJS" in name:
        return "openssl-quiet", _sending("end", PHANTOM, {"Accept": accept(parse(name), "page")}, visit, rng, name)
    brand = "HeadlessChrome" if "HeadlessChrome" in name else None
    if brand and visit.trusted and rng.random() < 0.35:
        name = name.replace("Headless", "")
    browser = parse(name)
    recorded = hints(browser.agent, browser.version, rng, brand) if browser.has("hints") else {}
    return OWN, _driven(browser, visit, rng, languages_too=rng.random() < 0.45, recorded=recorded)


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
    cookie = visit.cookies if rng.random() < 0.5 else ""

    def send(want: Want) -> Pairs:
        asked = replace(possible(browser, want), method=want.method)
        source = visit.origin + want.page if want.page else ""
        pairs = headers(browser, habits, visit, asked, rng, source, cookie if want.page else "")
        return [pair for pair in pairs if languages_too or pair[0] != "Accept-Language"]

    return send


def _sending(
    how: str, head_set: str, own: Mapping[str, str], visit: Visit, rng: random.Random, agent: str | None = None
) -> Send:
    """What a tool sends that was given the headers `own`; `agent` is the tool's own."""
    values = {"Host": visit.host} | ({} if agent is None else {"User-Agent": agent})
    claimed = parse(own.get("User-Agent") or agent or "")
    makers = additions.draw_makers(rng)
    spam = draw("robots.tsv", rng, "spam")[0] if rng.random() < 0.02 else ""
    upgrading = visit.scheme == "http" and rng.random() < 0.03

    def send(want: Want) -> Pairs:
        more = additions.added(makers, claimed, visit, want, rng) if makers else {}
        if want.sends:
            more |= _data(want, rng)
        if spam:
            more["Referer"] = spam
        if want.kind == "socket" and rng.random() < 0.6:
            key = texts.token("b64", 22, rng) + "=="
            more |= {
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": key,
                "Connection": "Upgrade",
                "Upgrade": "websocket",
            }
        if want.method == "OPTIONS" and rng.random() < 0.4:
            more |= {"Origin": "/".join(want.outside.split("/")[:3]), "Access-Control-Request-Method": "GET"}
        if upgrading:
            more |= {
                "Connection": "Upgrade, HTTP2-Settings",
                "Upgrade": "h2c",
                "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA",
            }
        return join(how, {**own, **more}, fill(head_set, values | dict(own)))

    return send


def _data(want: Want, rng: random.Random) -> dict[str, str]:
    """The headers of what a program sends."""
    sent = {"Content-Length": str(texts.between(2, 9000, rng))}
    if want.method != "DELETE" or rng.random() < 0.3:
        sent["Content-Type"] = rng.choice(
            ["application/x-www-form-urlencoded", "application/json", "text/xml", "multipart/form-data; boundary=b"]
        )
    return sent
