"""hand.py - somebody at a browser: what he asks for, second by second, and what the site answers.

Law: the requests are made by the code that makes those of the corpus (training/corpus), with the heads, caches and handshakes of real
browsers; what people do with them is written in open_page.py, page_by_page.py and many.py, and nowhere else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from training.corpus import agents, site
from training.corpus.browsers import Habits, parse
from training.corpus.sessions.clients import Ask, Browsing, Crowd, Fashion, browser
from training.corpus.sessions.places import Answer, Place
from training.corpus.site import Want

YEAR = 2026
HOUR, DAY = 3600.0, 86_400.0
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/26.4 Mobile/15E148 Safari/604.1"
)
INSTAGRAM = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
    " Instagram 410.1.0.29.70 (iPhone17,1; iOS 18_7; en_US; en; scale=3.00; 1206x2622; IABMV/1; 849447118)"
)
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/152.0.0.0 Safari/537.36"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/152.0.0.0 Mobile Safari/537.36"
)
CHROMEBOOK = (
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/152.0.0.0 Safari/537.36"
)
TV = "Mozilla/5.0 (SMART-TV; LINUX; Tizen 8.0) AppleWebKit/537.36 (KHTML, like Gecko) 108.0.5359.1/8.0 TV Safari/537.36"

BROKEN = Answer(502, 157, "text/html")
LOST = Answer(404, 900, "text/html")
JSON = Answer(200, 800, "application/json")
DONE = Answer(204, 0, "")
NEW: dict[str, object] = {}  # how somebody lives who has not been here
KNOWN = {"known": True}


@dataclass
class Scene:
    """Where a life is lived: a site, what its people use, chance, and when it begins."""

    place: Place
    crowd: Crowd
    rng: random.Random
    start: float

    def fashion(self) -> Fashion:
        """A browser of the last two years that has a window: what most of any site's people use."""
        while True:
            found = self.crowd.fashion(self.rng)
            parsed = parse(found.agent)
            if (
                parsed.has("h2")
                and parsed.engine in ("chromium", "gecko", "webkit")
                and (agents.year_of(found.agent) or 0) >= YEAR - 1
            ):
                return found


class Hand:
    """One browser. `now` is its clock; `asks` what it has asked for. `keeps`, `cookies`, `loads`, `known`: see Browsing."""

    def __init__(
        self, scene: Scene, *, agent: str | None = None, ip: str | None = None, referrers: bool = True, cookies: bool = True,
        at: float | None = None, language: str = "", **browsing: Any,
    ) -> None:  # fmt: skip
        self.scene, self.rng, self.place = scene, scene.rng, scene.place
        fashion = Fashion(agent, {}) if agent else scene.fashion()
        habits = Habits(cookies=cookies, referrers=referrers, recorded=fashion.recorded)
        self.look = browser(
            self.place, self.rng, fashion.agent, habits, ip=ip, language=language or scene.crowd.language(self.rng)
        )
        self.browsing = Browsing(self.place, self.rng, cookies=cookies, **browsing)
        self.now = scene.start if at is None else at
        self.asks: list[Ask] = []
        self.at = 0

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def open(self, number: int | None = None, source: str | None = None, **more: Any) -> int:
        """A page and its parts. `source`: its referrer; by default the page that is open."""
        number = self.place.popular(self.rng) if number is None else number
        came = self.browsing.address(self.at) if source is None else source
        self.asks += self.browsing.open(number, self.now, came, **more)
        self.at = number
        return number

    def typed(self, number: int | None = None, **more: Any) -> int:
        """From the bar, a bookmark, another program."""
        return self.open(number, "", **more)

    def found(self, number: int | None = None, **more: Any) -> int:
        """By another site's link."""
        return self.open(number, site.outside(self.look.visit, self.rng), **more)

    def link(self) -> int:
        """Clicks a link of the open page."""
        return self.open(self.rng.choice(self.place.pages[self.at].links))

    def ask(
        self, kind: str, path: str, *, method: str | None = None, again: bool = False, answer: Answer | None = None,
        referrer: str | None = None, size: int = 500, page: bool = True,
    ) -> Ask:  # fmt: skip
        """One request of the open page, or of `referrer`'s."""
        how = method or site.KINDS[kind].methods[0]
        own = self.place.pages[self.at].path if page else None
        want = Want(kind, path, own, again, method=how)
        done = self.browsing.ask(self.now, want, self.browsing.address(self.at) if referrer is None else referrer, size)
        self.asks.append(done if answer is None else done._replace(answer=answer))
        return done

    def each(self, seconds: float, count: int, do: Callable[[int], Any], spread: float = 0.01) -> None:
        """Does it so many times, one each so many seconds."""
        for number in range(count):
            do(number)
            self.now += seconds * (1 + self.rng.uniform(-spread, spread))

    def series(self, kind: str, path: str, count: int, seconds: float, spread: float = 0.01, **more: Any) -> None:
        """So many requests, one each so many seconds; `{}` in the path is the number of each."""
        self.each(seconds, count, lambda number: self.ask(kind, path.format(number), **more), spread)

    def polls(self, kind: str, path: str, seconds: float, hours: float, **more: Any) -> None:
        """The same again and again, for so many hours."""
        self.series(kind, path, int(hours * HOUR / seconds), seconds, **more)

    def answered(self, answer: Answer, since: int = 0) -> None:
        """What was asked since then got this answer."""
        self.asks[since:] = [ask._replace(answer=answer) for ask in self.asks[since:]]

    def reading(self, pages: int, pace: float = 1.0) -> None:
        """Follows links, and reads."""
        for _ in range(pages):
            self.link()
            self.now += max(1.5, pace * self.place.stay * self.rng.lognormvariate(0, 0.9))


Lived = Iterator[Hand]
Life = Callable[[Scene], Lived]


def alone(live: Callable[[Hand], None], **how: Any) -> Life:
    """The life of one browser."""

    def lived(scene: Scene) -> Lived:
        hand = Hand(scene, **how)
        live(hand)
        yield hand

    lived.__doc__ = live.__doc__
    return lived
