"""additions.py - what a bot adds to its requests because people's requests have it, or for reasons of its own.

Law: an addition is a value as a browser sends it, and any bot may make any of them: so none buys innocence. Which ones
a bot makes does not depend on how it asks otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from training.corpus import texts
from training.corpus.browsers import Browser, accept, encodings, languages
from training.corpus.hints import hints
from training.corpus.site import KINDS, Visit, Want
from training.corpus.tables import Pairs


@dataclass(frozen=True, slots=True)
class Scene:
    """What an addition is made from: the browser that the bot claims, or could claim."""

    browser: Browser
    visit: Visit
    want: Want
    rng: random.Random

    def tag(self) -> str:
        """An entity tag."""
        return f'"{self.rng.getrandbits(48):x}"'


Make = Callable[[Scene], Pairs]
TYPES = [
    "application/x-www-form-urlencoded",
    "application/json",
    "text/plain;charset=UTF-8",
    "text/xml",
    "multipart/form-data; boundary=x",
]
DATE = "Tue, 14 Jan 2025 01:02:03 GMT"


def _fetch(s: Scene) -> Pairs:
    kind = KINDS[s.rng.choice(["page", s.want.kind])]
    site = s.rng.choice(["none", "same-origin", "cross-site"])
    pairs = [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", kind.mode), ("Sec-Fetch-Dest", kind.destination)]
    return [*pairs, ("Sec-Fetch-User", "?1")] if s.rng.random() < 0.4 else pairs


def _socket(s: Scene) -> Pairs:
    key = texts.token("b64", 22, s.rng) + "=="
    return [
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", key),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
    ]


# Weight and maker of each addition.
MAKERS: list[tuple[float, Make]] = [
    (5, lambda s: [("Range", s.rng.choice(["bytes=0-", "bytes=0-1", "bytes=0-1023", "bytes=100-"]))]),
    (11, lambda s: [("Cookie", s.visit.cookies)]),
    (8, lambda s: [("Accept-Language", languages(s.browser, s.visit.language))]),
    (6, lambda s: [("Referer", s.visit.origin + (s.want.page or "/"))]),
    (5, lambda s: [("Referer", s.want.outside)]),
    (4, lambda s: [(s.rng.choice(["DNT", "Sec-GPC"]), "1")]),
    (4, lambda s: [("Cache-Control", s.rng.choice(["no-cache", "max-age=0"]))]),
    (2, lambda _: [("Cache-Control", "no-cache"), ("Pragma", "no-cache")]),
    (4, lambda s: [("Origin", s.visit.origin)]),
    (1, lambda s: [("Origin", "/".join(s.want.outside.split("/")[:3]))]),
    (4, lambda s: [("X-Requested-With", s.rng.choice(["XMLHttpRequest", "com.android.browser"]))]),
    (3, lambda s: [("If-None-Match", s.tag())]),
    (2, lambda _: [("If-Modified-Since", DATE)]),
    (2, lambda s: [("If-None-Match", s.tag()), ("If-Modified-Since", DATE)]),
    (
        4,
        lambda s: [
            (
                "Authorization",
                s.rng.choice(["Basic ", "Bearer "]) + texts.token("b64", texts.between(8, 600, s.rng), s.rng),
            )
        ],
    ),
    (4, lambda s: [("Priority", s.rng.choice(["u=0, i", "u=1, i", "u=4", "i"]))]),
    (2, lambda s: [(s.rng.choice(["Sec-Purpose", "Purpose"]), "prefetch")]),
    (5, lambda _: [("Upgrade-Insecure-Requests", "1")]),
    (6, lambda s: [("Accept", accept(s.browser, s.rng.choice(["page", s.want.kind])))]),
    (5, lambda s: [("Accept-Encoding", encodings(s.browser, trusted=True))]),
    (4, _fetch),
    (3, lambda s: list(hints(s.browser.agent, s.browser.version or 140, s.rng).items())),
    (2, lambda s: [("Content-Type", s.rng.choice(TYPES))]),
    (2, _socket),
    (2, lambda s: [("Access-Control-Request-Method", "GET"), ("Origin", "/".join(s.want.outside.split("/")[:3]))]),
    (1, lambda _: [("Service-Worker", "script")]),
    (1, lambda _: [("Save-Data", "on")]),
    (2, lambda _: [("Accept-Charset", "utf-8, iso-8859-1;q=0.5")]),
    (2, lambda s: [("X-CSRF-Token", texts.token("hex", 32, s.rng))]),
    (2, lambda s: [("X-Forwarded-For", s.visit.ip)]),
    (1, lambda _: [("TE", "trailers")]),
    (1, lambda _: [("From", "info@example.com")]),
]
_WEIGHTS = [weight for weight, _ in MAKERS]


def draw_makers(rng: random.Random) -> list[Make]:
    """What one bot adds: often nothing, at times several things."""
    count = rng.choices(range(6), [50, 20, 13, 9, 5, 3])[0]
    return [make for _, make in rng.choices(MAKERS, _WEIGHTS, k=count)]


def added(makers: list[Make], browser: Browser, visit: Visit, want: Want, rng: random.Random) -> dict[str, str]:
    """The headers that `makers` add to one request."""
    scene = Scene(browser, visit, want, rng)
    return dict(pair for make in makers for pair in make(scene))
