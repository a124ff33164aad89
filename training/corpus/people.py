"""people.py - visits by people: their browsers, their habits, where they come from.

Law: everything here is something a browser does in somebody's hands, the rare included: old telephones, text browsers,
privacy settings, proxies that take headers away. Programs that people run without looking (feed readers, git,
clients of an API with a token, link previews) are left out: each site decides on these.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from training.corpus import agents, published
from training.corpus.browsers import Browser, Habits, headers, parse
from training.corpus.heads import Pairs
from training.corpus.site import WORDS, Visit, Want, slug

# The published lists hold browsers since this year.
PUBLISHED_SINCE = 2023
NAVIGATIONS = ("page", "post", "download")


def agent(visit: Visit, rng: random.Random) -> tuple[str, dict[str, str]]:
    """A graphical browser's agent that can speak the visit's protocol, and header values recorded with it, if any.

    Bots that claim to be a browser take theirs from here as well: an agent alone tells nothing.
    """
    if visit.year >= PUBLISHED_SINCE:
        chance = rng.random()
        if chance < 0.45:
            recorded = published.recorded_headers(rng)
            return recorded.pop("User-Agent"), recorded
        if chance < 0.75:
            return published.shared_agent(rng), {}
    while True:
        drawn = agents.draw_agent(visit.year, rng, visit.language)
        if visit.protocol < "HTTP/2" or parse(drawn).has("fast"):
            return drawn, {}


def requests(visit: Visit, wants: list[Want], rng: random.Random) -> Iterator[tuple[Want, Pairs]]:
    """The requests of one visit by a person, with their headers."""
    plain = {"HTTP/1.0": 0.5, "HTTP/1.1": 0.05}.get(visit.protocol, 0.0)
    if rng.random() < plain:
        name, recorded = agents.draw_agent(visit.year, rng, visit.language, "plain"), {}
    else:
        name, recorded = agent(visit, rng)
    browser = parse(name)
    habits = Habits(dnt=rng.random() < 0.06, gpc=rng.random() < 0.05, hints=rng.random() > 0.03, cookies=rng.random() > 0.1,
                    saves_data=rng.random() < 0.05, thin=rng.random() < 0.07, encodings=rng.random() > 0.004, recorded=recorded)
    known = rng.random() < 0.5  # has been here before
    cookie = _cookie(rng)
    for want in wants:
        asked = _possible(browser, want)
        source = referrer(browser, visit, asked, rng)
        yield asked, headers(browser, habits, visit, asked, source, cookie if known or want.page else "", rng)


def _possible(browser: Browser, want: Want) -> Want:
    """What a browser that cannot do what `want` says does at this path: it opens it as a page."""
    if browser.engine == "plain" and want.kind not in NAVIGATIONS or want.kind in ("prefetch", "worker") and not browser.has("worker"):
        return replace(want, kind="page", again=False)
    return want


def referrer(browser: Browser, visit: Visit, want: Want, rng: random.Random) -> str:
    """Where a person's request comes from: nowhere (typed), another site, or a page of this one."""
    chance = rng.random()
    if want.page is None and want.kind in NAVIGATIONS:
        return "" if chance < 0.5 else outside(visit, rng) if chance < 0.9 else visit.origin + "/"
    if chance < 0.05:
        return ""
    if want.kind in NAVIGATIONS and chance < 0.12 or chance < 0.06:  # a second search; a picture shown elsewhere
        return outside(visit, rng)
    return visit.origin + (want.page or rng.choice(["/", "/", f"/{slug(rng)}"]))


def outside(visit: Visit, rng: random.Random) -> str:
    """The address of a page elsewhere that links here: a search, a social network, another site."""
    question = "+".join(rng.sample(WORDS, rng.randint(1, 4)))
    scheme = "http" if visit.year < 2014 else "https"
    searches = [f"{scheme}://www.google.{rng.choice(['com', 'com', 'de', 'co.uk', 'fr'])}/"
                + (f"search?q={question}&ie=utf-8&oe=utf-8" if visit.year < 2013 else rng.choice(["", "", f"url?sa=t&rct=j&q=&url={visit.host}"])),
                f"{scheme}://www.bing.com/search?q={question}", "https://duckduckgo.com/", f"{scheme}://yandex.ru/clck/jsredir?from={question}",
                f"{scheme}://www.baidu.com/link?url={rng.getrandbits(64):x}", f"{scheme}://search.yahoo.com/search?p={question}"]
    social = ["https://t.co/" + slug(rng, 1), "https://www.facebook.com/", "http://m.facebook.com/", "https://l.instagram.com/",
              "https://www.reddit.com/", "https://news.ycombinator.com/", "https://www.youtube.com/", "https://www.linkedin.com/"]
    others = [f"{rng.choice(['http', 'https'])}://{'www.' * rng.randint(0, 1)}{''.join(rng.sample(WORDS, 2))}"
              f"{rng.choice(['.com', '.org', '.net', '.de', '.ru'])}/{slug(rng)}{rng.choice(['', '.html', '/'])}" for _ in range(2)]
    return rng.choices([rng.choices(searches, [60, 12, 10, 6, 6, 6])[0], rng.choice(social), rng.choice(others)], [55, 20, 25])[0]


def _cookie(rng: random.Random) -> str:
    jar = [f"_ga=GA1.2.{rng.getrandbits(30)}.{rng.getrandbits(30)}", f"PHPSESSID={rng.getrandbits(104):026x}", f"sid={rng.getrandbits(96):x}",
           f"lang={rng.choice(['en', 'de', 'fr'])}", f"csrftoken={rng.getrandbits(128):x}", "cookieconsent=1", f"wp-settings-time-1={rng.getrandbits(30)}"]
    return "; ".join(rng.sample(jar, rng.randint(1, 4)))
