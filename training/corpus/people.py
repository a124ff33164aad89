"""people.py - visits by people: their browsers, their habits, where they come from.

Law: everything here is something a browser does in somebody's hands, the rare included: old telephones, text
browsers, privacy settings, proxies that take headers away; also what runs on a person's own device and fetches for
them while they look or listen: applications (CFNetwork, Dalvik), a browser's helpers for icons and films, a mail
program that shows pictures. Programs that work by themselves (feed readers, git, clients of an API with a token, link
previews) are left out: each site decides on these.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from training.corpus import agents, published, site
from training.corpus.browsers import Browser, Habits, headers, parse
from training.corpus.heads import Pairs
from training.corpus.site import Visit, Want
from training.corpus.tables import draw

PUBLISHED_SINCE = 2023  # the year of the oldest browsers in the published lists
PLAIN = {"HTTP/1.0": 0.5, "HTTP/1.1": 0.05}  # share of text browsers and simple telephones
APPS = 0.03  # share of visits by an application of the person's, or by a browser's helper, under its own name
NAVIGATIONS = ("page", "post", "download")
COOKIES = ["_ga", "PHPSESSID", "sid", "lang", "csrftoken", "cookieconsent", "wp-settings-time-1", "session", "theme"]


def agent(visit: Visit, rng: random.Random) -> tuple[str, dict[str, str]]:
    """A graphical browser's agent that can speak the visit's protocol, and header values recorded with it, if any.

    Bots that claim to be a browser take theirs from here as well: an agent alone tells nothing.
    """
    chance = rng.random() if visit.year >= PUBLISHED_SINCE else 1.0
    if chance < 0.45:
        recorded = published.recorded_headers(rng)
        return recorded.pop("User-Agent"), recorded
    if chance < 0.75:
        return published.shared_agent(rng), {}
    while True:
        drawn = agents.draw_agent(visit.year, rng, visit.language)
        if visit.protocol < "HTTP/2" or parse(drawn).has("h2"):
            return drawn, {}


def requests(visit: Visit, wants: list[Want], rng: random.Random) -> Iterator[tuple[Want, Pairs]]:
    """The requests of one visit by a person, with their headers."""
    name, recorded = agent(visit, rng)
    if rng.random() < PLAIN.get(visit.protocol, 0):
        name, recorded = agents.draw_agent(visit.year, rng, visit.language, "plain"), {}
    elif rng.random() < APPS and (visit.protocol < "HTTP/2" or visit.year >= 2016):
        name, recorded = app_agent(visit, rng), {}
    browser = parse(name)
    habits = Habits(
        dnt=rng.random() < 0.06,
        gpc=rng.random() < 0.05,
        hints=rng.random() > 0.03,
        cookies=rng.random() > 0.1,
        saves_data=rng.random() < 0.05,
        thin=rng.random() < 0.07,
        encodings=rng.random() > 0.004,
        recorded=recorded,
    )
    known = rng.random() < 0.5  # has been here before
    cookie = "; ".join(f"{key}={rng.getrandbits(64):x}" for key in rng.sample(COOKIES, rng.randint(1, 4)))
    for want in wants:
        asked = _possible(browser, want)
        source = referrer(visit, asked, rng)
        yield asked, headers(browser, habits, visit, asked, rng, source, cookie if known or want.page else "")


def app_agent(visit: Visit, rng: random.Random) -> str:
    """An application's agent; those that fetch with Apple's library can speak any protocol."""
    while True:
        name = agents.draw_agent(visit.year, rng, visit.language, "app")
        if visit.protocol < "HTTP/2" or "Darwin/" in name or "AppleCoreMedia" in name:
            return name


def _possible(browser: Browser, want: Want) -> Want:
    """What a browser that cannot do what `want` says does at this path: it opens it as a page."""
    shows_text = browser.engine == "plain" and want.kind not in NAVIGATIONS
    too_old = want.kind in ("prefetch", "worker") and not browser.has("worker")
    return replace(want, kind="page", again=False) if shows_text or too_old else want


def referrer(visit: Visit, want: Want, rng: random.Random) -> str:
    """Where a person's request comes from: nowhere (typed), another site, or a page of this one."""
    chance, opens = rng.random(), want.kind in NAVIGATIONS
    if want.page is None and opens:
        return "" if chance < 0.5 else outside(visit, rng) if chance < 0.9 else visit.origin + "/"
    # Browsers long asked for a site's icon by themselves, and did not say from which page.
    if chance < (0.05 if want.kind != "favicon" else 0.8 if visit.year < 2019 else 0.3):
        return ""
    if chance < (0.12 if opens else 0.06):  # a second search; a picture that another site shows
        return outside(visit, rng)
    return visit.origin + (want.page or rng.choice(["/", "/", f"/{site.slug(rng)}"]))


def outside(visit: Visit, rng: random.Random) -> str:
    """The address of a page elsewhere that links here: a search, a social network, another site."""
    group = rng.choices(["search", "social", "other"], [55, 20, 25])[0]
    return draw("referrers.tsv", rng, group, visit.year)[0].format(
        host=visit.host,
        land=rng.choice(["com", "com", "de", "co.uk", "fr"]),
        number=f"{rng.getrandbits(64):x}",
        question="+".join(rng.sample(site.WORDS, rng.randint(1, 4))),
        site=site.name(rng),
        slug=site.slug(rng),
        word=rng.choice(site.WORDS),
    )
