"""places.py - a site as sessions find it: its pages, their parts, where links lead, how it answers (sites.tsv).

Law: a site is drawn before anybody visits it, and answers alike whoever asks. Some sites keep the parts of their pages on another
host, some set no cookie, some have pages without an ending: none of this may tell a person from a program.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from training.corpus import agents, site, texts
from training.corpus.site import Want
from training.corpus.tables import draw

# A year's browsers fit the time of its visits: agents.py goes on to the end of the last year.
FIRST_YEAR, LAST_YEAR = 2016, 2027
YEAR = 31_556_952  # seconds, on average
TYPES = {
    "style": "text/css", "script": "application/javascript", "module": "application/javascript", "font": "font/woff2",
    "media": "video/mp4", "audio": "audio/mpeg", "favicon": "image/x-icon", "manifest": "application/manifest+json",
    "fetch": "application/json", "send": "application/json", "events": "text/event-stream",
}  # fmt: skip
IMAGES = {"png": "image/png", "gif": "image/gif", "svg": "image/svg+xml", "webp": "image/webp", "avif": "image/avif"}
SIZES = {"page": 9000, "style": 14_000, "script": 40_000, "module": 30_000, "image": 32_000, "font": 24_000, "favicon": 1400,
         "media": 900_000, "fetch": 900, "send": 200, "manifest": 500}  # fmt: skip


class Part(NamedTuple):
    """Something that a page shows. `behind`: the style sheet that names it, if one does; `late`: below the fold."""

    kind: str
    path: str
    size: int
    behind: str | None = None
    late: bool = False


@dataclass(frozen=True)
class Page:
    """One page; `links` are places of other pages."""

    path: str
    size: int
    parts: tuple[Part, ...]
    calls: tuple[Part, ...]
    links: tuple[int, ...]


class Answer(NamedTuple):
    """What becomes of a request: status, bytes of the body, content type (empty for none)."""

    status: int
    size: int
    type: str


@dataclass
class Place:
    """A site and its habits."""

    kind: str
    host: str
    scheme: str
    newer: bool  # speaks HTTP/2
    year: int
    start: float  # when its log begins, in seconds since 1970 UTC
    days: float
    language: str
    stay: float  # seconds on a page, the median over people
    members: float  # share of people who log in
    sets: bool  # a cookie with the first page
    elsewhere: bool  # parts come from another host
    fresh: float  # share of parts that may be used again without asking
    errors: float  # share of requests that fail, for anybody
    pages: list[Page] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    icon: str = "/favicon.ico"
    login: str = "/login"
    comment: str = "/comment"
    search: str = "/search?q="
    feed: str = "/feed/"
    api: str = "/api/state"

    def popular(self, rng: random.Random) -> int:
        """The place of a page where visits begin: a few have the most."""
        return rng.choices(range(len(self.pages)), cum_weights=self.shares)[0]

    def answer(self, want: Want, size: int, rng: random.Random) -> Answer:
        """The answer to a request for what is there, of `size` bytes."""
        ending = want.path.partition("?")[0].rpartition(".")[2]
        kind = TYPES.get(want.kind) or (IMAGES.get(ending, "image/jpeg") if want.kind == "image" else "text/html")
        chance = rng.random()
        if chance < self.errors:
            return Answer(rng.choice([404, 404, 500, 503]), texts.between(150, 3000, rng), "text/html")
        if want.again:
            return Answer(304, 0, "")
        if want.kind == "post":
            return Answer(rng.choice([302, 303, 200]), texts.between(1, 9000, rng), "text/html")
        if want.kind in ("media", "audio"):
            return Answer(206, texts.between(2, size, rng), kind)
        if want.kind in ("beacon", "ping", "counter"):
            return Answer(204, 0, "")
        return Answer(200, size, kind)

    def missing(self, rng: random.Random) -> Answer:
        """The answer to a request for what is not there."""
        return Answer(rng.choice([404, 404, 404, 403, 301]), texts.between(150, 3000, rng), "text/html")


def _size(kind: str, rng: random.Random) -> int:
    return max(40, round(rng.lognormvariate(0, 1.0) * SIZES[kind]))


def _parts(
    kinds: list[str], weights: list[float], count: int, rng: random.Random, behind: str | None = None
) -> list[Part]:
    drawn = rng.choices(kinds, weights, k=count)
    return [
        Part(kind, site.path(kind, rng).partition("?")[0], _size(kind, rng), behind if kind == "font" else None)
        for kind in drawn
    ]


def place(rng: random.Random, start: float) -> Place:
    """A site whose log begins at `start`."""
    name, *bounds, stay, members = draw("sessions/sites.tsv", rng)
    least, most = map(int, bounds[::2]), map(int, bounds[1::2])
    pages, shared, own, calls = (rng.randint(a, b) for a, b in zip(least, most, strict=True))
    scheme = "https" if rng.random() < 0.88 else "http"
    here = Place(
        kind=name,
        host=rng.choice(["", "www.", "www."]) + site.name(rng),
        scheme=scheme,
        newer=scheme == "https" and rng.random() < 0.8,
        year=min(max(1970 + int(start / YEAR), FIRST_YEAR), agents.LAST_YEAR),
        start=start,
        days=rng.choice([0.5, 1.0, 1.0, 2.0, 4.0]),
        language=agents.draw_language(rng),
        stay=float(stay) * rng.lognormvariate(0, 0.3),
        members=float(members),
        sets=rng.random() < 0.7,
        elsewhere=rng.random() < 0.2,
        fresh=rng.choice([0.0, 0.7, 0.95, 1.0, 1.0, 1.0]),
        errors=rng.choice([0.0, 0.003, 0.01, 0.05]),
    )
    extension = rng.choice(site.EXTENSIONS)
    style = Part("style", site.path("style", rng).partition("?")[0], _size("style", rng))
    common = [style, *_parts(["style", "script", "module", "image", "font"], [2, 5, 1, 3, 2], shared, rng, style.path)]
    for number in range(pages):
        path = "/" if not number else _path(extension, rng)
        few = max(0, round(own * rng.lognormvariate(0, 0.5)))
        mine = [part._replace(late=rng.random() < 0.5) for part in _parts(["image", "media"], [40, 1], few, rng)]
        called = [
            Part(
                rng.choice(["fetch", "fetch", "fetch", "send", "beacon"]), site.path("fetch", rng), _size("fetch", rng)
            )
            for _ in range(calls)
        ]
        near = [min(pages - 1, max(0, number + round(rng.gauss(0, 12)))) for _ in range(rng.randint(3, 14))]
        links = [0, *rng.sample(range(min(pages, 12)), min(pages, 6)), *near, *rng.sample(range(pages), min(pages, 3))]
        here.pages.append(
            Page(path, _size("page", rng), () if here.elsewhere else (*common, *mine), tuple(called), tuple(links))
        )
    here.shares = list(accumulate((0.15 if not number else 1 / (number + 3)) for number in range(pages)))
    if rng.random() < 0.6:  # as most sites have it
        here.login, here.comment, here.search = "/wp-login.php", "/wp-comments-post.php", "/?s="
        here.api = "/wp-admin/admin-ajax.php"
    return here


def _path(extension: str, rng: random.Random) -> str:
    chance = rng.random()
    if chance < 0.08:  # an article by its number
        return f"/{rng.choice(texts.WORDS)}.php?id={rng.randint(1, 9999)}"
    folders = [rng.choice(texts.WORDS) for _ in range(rng.choice([0, 1, 1, 2]))]
    if chance < 0.25:
        folders += [str(rng.randint(2008, 2026)), f"{rng.randint(1, 12):02}"]
    return "/" + "/".join([*folders, site.slug(rng)]) + extension
