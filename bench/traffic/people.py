"""People on the recorded site: what somebody does who reads, looks for something, watches, buys, and comes back.

    python people.py SCRIPT chromium|firefox SEED      (see record.py)

Law: a script is what a person wants, with chance in how far, how long and by which way; the browser does all the rest. Ahead of the
first page there is often another site. Rests are log-normal, as reading is. Nobody asks for robots.txt, and nobody sees the trap.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from browsers import BROWSERS, Browser, click, settled
from rests import about, rest

BASE, ELSEWHERE = os.environ.get("TRAFFIC_URL", ""), os.environ.get("TRAFFIC_ELSEWHERE", "")
LANGUAGES = (
    "en-US,en",
    "en-US,en",
    "en-GB,en",
    "de-DE,de,en-US,en",
    "fr-FR,fr,en-US,en",
    "es-ES,es",
    "nl-NL,nl,en",
    "pl-PL,pl,en-US,en",
)
WORDS = (
    "lamp chair table silk rope stone wax tray jar vase map cup tea wool linen desk clock honey iron oak mirror".split()
)
DAY = 86400.0


class Person:
    """A browser, and chance."""

    def __init__(self, browser: Browser, rng: random.Random) -> None:
        self.browser, self.rng = browser, rng

    async def pause(self, median: float, spread: float = 0.8) -> None:
        await asyncio.to_thread(rest, about(self.rng, median, spread))

    async def arrive(self, path: str) -> None:
        """By the results of a search engine, or by the bar."""
        if self.rng.random() < 0.55:
            await self.browser.type_address(f"{ELSEWHERE}/elsewhere?to={BASE}&paths={path}")
            await settled(self.browser)
            await click(self.browser, ".result")
        else:
            await self.browser.type_address(BASE + path)
        await settled(self.browser)

    async def follow(self, selector: str) -> bool:
        """Clicks one of these links and waits for the page."""
        well = await click(self.browser, selector, self.rng.randrange(1000))
        await settled(self.browser)
        return well

    async def back(self) -> None:
        await self.browser.back()
        await settled(self.browser)

    async def read(self, median: float) -> None:
        """Scrolls down while reading: what is further down loads then."""
        for step in range(self.rng.randrange(1, 5)):
            await self.browser.script(f"scrollBy(0,{300 + 200 * step})")
            await self.pause(median / 3)
        await settled(self.browser)

    async def fill(self, selector: str, text: str) -> None:
        await click(self.browser, selector)
        await self.browser.type_text(text)

    async def look_for(self, word: str) -> None:
        await self.fill("input[name=q]", word)
        await self.pause(1.5, 0.4)
        await self.browser.enter()
        await settled(self.browser)

    async def log_in(self, password: str) -> None:
        await self.fill("input[name=name]", self.rng.choice(WORDS))
        await self.fill("input[name=password]", password)
        await self.pause(4, 0.5)
        await click(self.browser, "#enter")
        await settled(self.browser)

    async def come_back(self, seconds: float) -> None:
        """Closes the browser, and starts it again after a while with all that it kept."""
        await self.browser.stop()
        await asyncio.to_thread(rest, seconds)
        await self.browser.start()


async def reader(person: Person) -> None:
    await person.arrive(f"/blog/how-to-choose-a-{person.rng.choice(['amber', 'anchor', 'basket', 'birch', 'bottle'])}")
    for _ in range(person.rng.randrange(0, 7)):
        await person.read(45)
        if person.rng.random() < 0.3:
            await person.follow('nav a[href="/blog"]')
            await person.pause(6)
        if not await person.follow("main a.post"):
            break
        if person.rng.random() < 0.25:
            await person.pause(8)
            await person.back()
    await person.read(45)


async def searcher(person: Person) -> None:
    await person.arrive("/")
    for word in person.rng.sample(WORDS, person.rng.randrange(1, 5)):
        await person.pause(8)
        await person.look_for(word)
        await person.pause(7)
        for _ in range(person.rng.randrange(0, 3)):
            if not await person.follow("main a.card"):
                break
            await person.read(20)
            await person.back()


async def viewer(person: Person) -> None:
    await person.arrive(person.rng.choice(["/videos", "/"]))
    await person.pause(6)
    await person.follow('nav a[href="/videos"]')
    for _ in range(person.rng.randrange(1, 3)):
        await person.pause(5)
        await person.follow("main a.video")
        await click(person.browser, "#play")
        for _ in range(person.rng.choice([6, 20, 60])):  # pieces of ten seconds
            await asyncio.to_thread(rest, 10 + person.rng.uniform(-0.2, 0.2))
            await person.browser.script("nextPiece().then(()=>1)")
        await person.back()


async def tabs(person: Person) -> None:
    await person.arrive(f"/c/{person.rng.choice(['kitchen', 'garden', 'desk', 'light'])}")
    await person.pause(10)
    opened = person.rng.randrange(2, 7)
    for number in range(opened):
        await click(person.browser, "main a.card", number, button=1)
        await person.pause(2, 0.5)
    await asyncio.sleep(1)
    for page in range(opened, 0, -1):
        await person.browser.turn_to(page)
        await settled(person.browser)
        await person.read(25)
    await person.browser.turn_to(0)
    if person.rng.random() < 0.6 and await person.follow("main a.more"):
        await person.pause(12)
        await person.follow("main a.card")
        await person.read(25)


async def returner(person: Person) -> None:
    for visit in range(person.rng.randrange(2, 5)):
        if visit:
            await person.come_back(person.rng.choice([0.1, 0.4, 1, 1, 3]) * DAY * person.rng.uniform(0.9, 1.1))
        await person.arrive(person.rng.choice(["/", "/", "/blog", "/c/desk"]))
        for _ in range(person.rng.randrange(1, 4)):
            await person.pause(12)
            if not await person.follow(
                person.rng.choice(["main a.card", "main a[href^='/blog/']", "nav a[href^='/c/']"])
            ):
                await person.follow("header a[href='/']")
            await person.read(30)


async def member(person: Person) -> None:
    await person.arrive("/")
    await person.pause(5)
    await person.follow('nav a[href="/login"]')
    if person.rng.random() < 0.4:  # a slip
        await person.log_in("correct hrose")
        await person.pause(4)
    await person.log_in("correct horse")
    await person.pause(8)
    await person.follow('main a[href="/orders"]')
    await person.pause(10)
    for _ in range(person.rng.randrange(1, 5)):
        await person.follow("nav a[href^='/c/']")
        await person.read(12)
        await person.follow("main a.card")
        await person.read(20)
    if person.rng.random() < 0.5:
        await person.come_back(DAY * person.rng.uniform(0.3, 2))
        await person.arrive("/account")
        await person.pause(10)
        await person.follow("header a[href='/']")
        await person.pause(10)


async def shopper(person: Person) -> None:
    await person.arrive(f"/c/{person.rng.choice(['kitchen', 'garden', 'textile', 'travel'])}")
    for _ in range(person.rng.randrange(1, 5)):
        await person.read(15)
        if not await person.follow("main a.card"):
            break
        await person.read(25)
        if person.rng.random() < 0.6:
            await click(person.browser, "#add")
            await settled(person.browser)
            await person.pause(8)
        await person.follow("nav a[href^='/c/']")
    await person.follow('nav a[href="/cart"]')
    await person.pause(8)
    if person.rng.random() < 0.6 and await person.follow("#pay"):
        await person.fill("input[name=street]", "Long Road 7")
        await person.pause(12)
        await person.fill("input[name=town]", "Little Town")
        await person.pause(6)
        await click(person.browser, "#order")
        await settled(person.browser)
    await person.pause(6)


async def binger(person: Person) -> None:
    """Cannot stop: page after page, a few seconds each."""
    await person.arrive(person.rng.choice(["/", "/blog", "/c/desk"]))
    for _ in range(person.rng.randrange(25, 50)):
        wanted = person.rng.choice(["main a.card", "main a.card", "main a.post", "nav a[href^='/c/']", "main a.more"])
        if not await person.follow(wanted):
            await person.follow("nav a[href^='/c/']")
        await person.pause(3.5, 0.6)


async def private(person: Person) -> None:
    """Somebody whose browser keeps no cookie and tells no referrer; play() starts it so."""
    await person.rng.choice([reader, searcher, tabs])(person)


SCRIPTS: dict[str, Callable[[Person], Awaitable[None]]] = {
    script.__name__: script for script in (reader, searcher, viewer, tabs, returner, member, binger, shopper, private)
}


def cast(sessions: int) -> list[tuple[str, str, int]]:
    """Who plays in so many sessions: script, browser, and the how manieth of the script it is; three of five in Chromium."""
    scripts = list(SCRIPTS)
    turns = [(scripts[i % len(scripts)], i // len(scripts)) for i in range(sessions)]
    return [(script, "firefox" if turn % 5 in (1, 3) else "chromium", turn) for script, turn in turns]


async def play(script: str, browser: str, seed: str) -> None:
    rng = random.Random(f"{script}{browser}{seed}")
    hands = BROWSERS[browser](Path(os.environ["HOME"]), rng.choice(LANGUAGES), private=script == "private")
    await hands.start()
    try:
        await SCRIPTS[script](Person(hands, rng))
    finally:
        await hands.stop()


def main() -> None:
    if "DISPLAY" not in os.environ:
        os.execvp("xvfb-run", ["xvfb-run", "-a", sys.executable, *sys.argv])
    asyncio.run(play(*sys.argv[1:]))


if __name__ == "__main__":
    main()
