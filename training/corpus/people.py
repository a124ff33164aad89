"""people.py - visits by people: their browsers, their habits, where they come from.

Law: everything here is something a browser does in somebody's hands, the rare included: old telephones, text
browsers, privacy settings, proxies that take headers away; also what runs on a person's own device and fetches for
them while they look or listen: applications (CFNetwork, Dalvik), a browser's helpers for icons and films, a mail
program that shows pictures. Programs that work by themselves (feed readers, git, clients of an API with a token, link
previews) are left out: each site decides on these.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from training.corpus import agents, published, site
from training.corpus.browsers import Browser, Habits, headers, parse, possible
from training.corpus.hints import fit
from training.corpus.site import KINDS, Visit, Want
from training.corpus.stacks import OWN
from training.corpus.tables import Pairs

PUBLISHED_SINCE = 2023  # the year of the oldest browsers in the published lists
PLAIN = {"HTTP/1.0": 0.5, "HTTP/1.1": 0.05}  # share of text browsers and simple telephones
APPS = 0.04  # share of visits by an application of the person's, or by a browser's helper, under its own name
# Accept-Language of people who changed a setting, or whose system says none, and how often.
LANGUAGES = {"C": 6, "*": 1, "en": 2, "en-us": 2, "de": 1, "en-US,en;q=0.9,de;q=0.8,fr;q=0.7,es;q=0.6": 2, "eo,en;q=0.8": 1,
             "zh-TW,zh;q=0.9,en-US;q=0.8,en;q=0.7": 2, "en-GB,en-US;q=0.9,en;q=0.8": 3, "gd,en;q=0.5": 1, "c": 1, "en-US,en;q=0.5": 2,
             "pt-BR,pt;q=0.8,en-US;q=0.5,en;q=0.3": 2, "sr-Latn-RS,sr;q=0.9,en;q=0.8": 1, "ru-RU,ru;q=0.9": 2, "en-US": 2}  # fmt: skip
# Players: they ask for films and music alone.
PLAYERS = re.compile(r"^VLC|libmpv|AppleCoreMedia|stagefright|ExoPlayer|^Roku")
TEXT = ("Lynx", "w3m", "ELinks", "Emacs")  # browsers that show no picture and no style


def agent(visit: Visit, rng: random.Random) -> tuple[str, dict[str, str]]:
    """A graphical browser's agent that can speak the visit's protocol, and header values recorded with it, if any.

    Bots that claim to be a browser take theirs from here as well: an agent alone tells nothing.
    """
    chance = rng.random() if visit.year >= PUBLISHED_SINCE else 1.0
    if chance < 0.45:
        recorded = published.recorded_headers(rng)
        name = recorded.pop("User-Agent")
        hinted = fit(name, parse(name).version, recorded)
        return name, {key: value for key, value in recorded.items() if hinted or not key.startswith("sec-ch")}
    if chance < 0.75:
        return published.shared_agent(rng), {}
    while True:
        drawn = agents.draw_agent(visit.year, rng, visit.language)
        if visit.protocol < "HTTP/2" or parse(drawn).has("h2"):
            return drawn, {}


def requests(visit: Visit, wants: list[Want], rng: random.Random) -> Iterator[tuple[Want, Pairs, str]]:
    """The requests of one visit by a person, with their headers and whose handshake it has: the browser's own."""
    name, recorded = agent(visit, rng)
    if rng.random() < PLAIN.get(visit.protocol, 0):
        name, recorded = agents.draw_agent(visit.year, rng, visit.language, "plain"), {}
    elif rng.random() < APPS and (visit.protocol < "HTTP/2" or visit.year >= 2016):
        name, recorded = app_agent(visit, rng), {}
    browser = parse(name)
    habits = draw_habits(browser, recorded, rng)
    if PLAYERS.search(name):
        wants = [replace(want, kind="media", method="GET", path=site.path("media", rng)) for want in wants]
    known = rng.random() < 0.5  # has been here before
    for want in wants:
        asked = _possible(browser, want)
        source = referrer(visit, asked, rng)
        yield (
            asked,
            headers(browser, habits, visit, asked, rng, source, visit.cookies if known or want.page else ""),
            OWN,
        )


def draw_habits(browser: Browser, recorded: Mapping[str, str], rng: random.Random) -> Habits:
    """How somebody's browser is set up."""
    return Habits(
        dnt=rng.random() < 0.06,
        gpc=rng.random() < 0.05,
        hints=rng.random() > 0.004,
        cookies=rng.random() > 0.1,
        referrers=rng.random() > 0.06,
        saves_data=rng.random() < 0.05,
        thin=browser.version >= 14 and browser.engine in ("chromium", "gecko", "webkit") and rng.random() < 0.03,
        encodings=rng.random() > 0.001,
        language=rng.choices(list(LANGUAGES), list(LANGUAGES.values()))[0] if rng.random() < 0.06 else None,
        jxl=browser.version >= 130 and rng.random() < (0.6 if browser.version >= 150 else 0.25),
        recorded=recorded,
    )


def app_agent(visit: Visit, rng: random.Random) -> str:
    """An application's agent; those that fetch with Apple's library can speak any protocol."""
    while True:
        name = agents.draw_agent(visit.year, rng, visit.language, "app")
        if visit.protocol < "HTTP/2" or "Darwin/" in name or "AppleCoreMedia" in name or "FBAN" in name:
            return name


def _possible(browser: Browser, want: Want) -> Want:
    """What a browser that cannot do what `want` says does at this path."""
    if browser.engine != "plain":
        return possible(browser, want)
    if want.method in ("GET", "HEAD") and (
        KINDS[want.kind].mode != "no-cors" or any(word in browser.agent for word in TEXT)
    ):
        return replace(want, kind="page", again=False)
    return want if want.method in ("GET", "HEAD") else replace(want, kind="post", method="POST", again=False)


def referrer(visit: Visit, want: Want, rng: random.Random) -> str:
    """Where a person's request comes from: nowhere (typed), another site, or a page of this one."""
    chance, opens = rng.random(), KINDS[want.kind].navigates
    if want.page is None and opens and want.kind not in ("frame", "object", "prerender"):
        return "" if chance < 0.5 else want.outside if chance < 0.9 else visit.origin + "/"
    # Browsers long asked for a site's icon by themselves, and did not say from which page.
    if want.kind != "saved" and chance < (0.05 if want.kind != "favicon" else 0.8 if visit.year < 2019 else 0.3):
        return ""
    if chance < (0.12 if opens else 0.06):  # a second search; a picture that another site shows
        return want.outside
    return visit.origin + (want.page or rng.choice(["/", "/", f"/{site.slug(rng)}"]))
