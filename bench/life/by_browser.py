"""by_browser.py - lives as a real browser can live them, under the names of those of open_page.py and page_by_page.py.

Law: what a person does is done by the browser itself, or by a page's script in it; what he rests is skipped.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from life.gate import Gate
from life.pages import Site
from traffic import browsers
from traffic.browsers import click as press
from traffic.browsers import settled


@dataclass
class Person:
    """A browser, the site that it visits, and another site, which is none of ours."""

    browser: browsers.Browser
    site: Site
    gate: Gate
    rng: random.Random

    @property
    def origin(self) -> str:
        return f"https://localhost:{self.gate.port}"

    async def type(self, path: str) -> None:
        await self.browser.type_address(self.origin + path)
        await settled(self.browser)

    async def elsewhere(self) -> None:
        """A page of another site, which knows our address; it is not judged."""
        await self.browser.type_address(f"https://127.0.0.1:{self.gate.port}/elsewhere")
        await settled(self.browser)

    async def follow(self, selector: str = "a.page", *, number: int | None = None) -> None:
        await press(self.browser, selector, self.rng.randrange(30) if number is None else number)
        await settled(self.browser)

    def rest(self, seconds: float) -> None:
        self.site.clock.rest(seconds)

    async def script(self, text: str) -> Any:
        return await self.browser.script(f"(async () => {{ {text}; return 1 }})()")

    async def each(self, step: float, count: int, text: str) -> None:
        """Runs a script so many times (`i`), a hundred at a time; so many seconds pass with each request."""
        self.site.step = step
        for first in range(0, count, 100):
            await self.script(f"for (let i = {first}; i < {min(count, first + 100)}; i++) {{ {text} }}")
        self.site.step = 0.0

    async def reload(self) -> None:
        await self.script("setTimeout(() => location.reload())")

    async def pictures(self, path: str, count: int) -> None:
        """Shows so many, each when the one before is there or is not; `path` is a script's expression."""
        shown = f"const p = new Image(); p.onload = p.onerror = done; p.src = {path}"
        await self.each(0, count, f"await new Promise(done => {{ {shown} }})")


Live = Callable[[Person], Awaitable[None]]


async def dashboard(person: Person) -> None:
    await person.type("/")
    await person.each(8.0, 1200, "await fetch('/api/state')")


async def chat_storm(person: Person) -> None:
    await person.type("/")
    await person.each(
        2.0,
        8,  # browsers wait longer and longer themselves
        "await new Promise(done => new WebSocket(location.origin.replace('http', 'ws') + '/api/ws').onclose = done)",
    )


async def events_again(person: Person) -> None:
    await person.type("/")
    await person.each(
        3.0,
        300,
        "await new Promise(done => { const s = new EventSource('/api/events'); s.onmessage = s.onerror = () => { s.close(); done() } })",
    )


async def autosave(person: Person) -> None:
    await person.type("/articles/1")
    await person.each(
        2.0,
        300,
        "await fetch('/api/texts/7', { method: 'PUT', body: '{}', headers: { 'content-type': 'application/json' } })",
    )


async def map_of_pictures(person: Person) -> None:
    await person.type("/")
    for move in range(6):
        await person.pictures(f"'/tiles/{move}/' + i", 100)


async def gallery(person: Person) -> None:
    await person.type("/photos/1")
    for _ in range(70):
        await press(person.browser, "#next")
        await asyncio.sleep(0.2)


async def film_by_script(person: Person) -> None:
    await person.type("/articles/2")
    await person.each(
        2.0, 600, "await (await fetch('/films/seg-' + i + '.m4s', { headers: { Range: 'bytes=0-999' } })).blob()"
    )


async def many_modules(person: Person) -> None:
    await person.type("/")
    for _ in range(4):
        await person.script("await Promise.all([...Array(200).keys()].map(n => import('/src/part' + n + '.ts')))")
        await person.reload()
        await settled(person.browser)
        person.rest(60)


async def all_in_tabs(person: Person) -> None:
    await person.type("/")
    for number in range(12):
        await press(person.browser, "a.page", number, button=1)
    await asyncio.sleep(3)


async def broken_page(person: Person) -> None:
    for number in range(2):
        await person.type(f"/articles/{number}")
        await person.pictures("'/gone/' + i + '.png'", 100)


async def reload_storm(person: Person) -> None:
    await person.type("/")
    for _ in range(40):
        await person.reload()
        await asyncio.sleep(0.4)


async def reload_of_errors(person: Person) -> None:
    person.site.broken = True
    await person.type("/")
    for _ in range(25):
        with suppress(RuntimeError):
            await person.reload()
        await asyncio.sleep(0.2)
        person.rest(2)
    person.site.broken = False
    await person.type("/")
    for _ in range(4):
        await person.follow()
        person.rest(30)


async def login_mistyped(person: Person) -> None:
    await person.type("/login")
    for _ in range(10):
        await press(person.browser, "input[name=password]")
        await person.browser.type_text("wrong")
        await press(person.browser, "#enter")
        await settled(person.browser)
        person.rest(8)


async def suggestions(person: Person) -> None:
    await person.type("/")
    await person.each(0.15, 300, "await fetch('/api/suggest?q=' + i)")


async def panels(person: Person) -> None:
    await person.type("/")
    await person.each(0.4, 900, "await fetch('/api/query?panel=' + i % 12, { method: 'POST', body: '{}' })")


async def post_polls_unseen(person: Person) -> None:
    """The telephone moves to another network, or the table is gone: nothing is known of who asks."""
    await person.type("/")
    person.gate.move("127.77.1.9")
    await person.each(10.0, 60, "await fetch('/api/graphql', { method: 'POST', body: '{}' }).catch(() => 0)")


async def get_polls_unseen(person: Person) -> None:
    await person.type("/")
    await person.script("document.cookie.split(';').forEach(c => document.cookie = c + '=; max-age=0')")
    person.gate.move("127.78.1.9")
    await person.each(10.0, 60, "await fetch('/api/state', { credentials: 'omit' }).catch(() => 0)")


async def downloads_by_hand(person: Person) -> None:
    await person.type("/")
    for number in range(40):
        await person.script(
            f"const a = document.createElement('a'); a.href = '/papers/{number}.pdf'; document.body.append(a); a.click()"
        )
        await asyncio.sleep(0.1)
        person.rest(5)


async def drop_checker(person: Person) -> None:
    await person.type("/articles/3")
    for _ in range(40):
        await person.reload()
        await asyncio.sleep(0.3)
        person.rest(person.rng.uniform(1, 4))


async def kiosk(person: Person) -> None:
    await person.type("/")
    for _ in range(60):
        await person.script("setTimeout(() => location.assign('/'))")
        await asyncio.sleep(0.3)
        person.rest(29.7)


async def signage(person: Person) -> None:
    await person.type("/articles/0")
    for number in range(60):
        await person.script(f"setTimeout(() => location.assign('/articles/{number % 12}'))")
        await asyncio.sleep(0.3)
        person.rest(14.7)


async def manual(person: Person) -> None:
    await person.type("/")
    for number in range(60):
        await person.follow(number=number * 7 % 30)
        person.rest(person.rng.lognormvariate(3.3, 1))


async def first_links(person: Person) -> None:
    for number in range(8):
        await person.type(f"/articles/{number}")
        person.rest(person.rng.uniform(4, 20))


async def offline_application(person: Person) -> None:
    await person.type("/app/")
    await person.script(
        "await navigator.serviceWorker.register('/worker.js'); await navigator.serviceWorker.ready;"
        "await (await caches.open('p')).add('/app/')"
    )
    for number in range(4):
        person.rest(9 * 3600)
        person.gate.move(f"127.79.{number + 1}.9")  # another network each time
        await person.type("/app/")
        await person.script(
            "const w = await navigator.serviceWorker.ready;"
            "await new Promise(done => { navigator.serviceWorker.onmessage = done; w.active.postMessage(1) })"
        )


async def calls_from_elsewhere(person: Person) -> None:
    await person.elsewhere()
    await person.each(8.0, 40, f"await fetch('{person.origin}/api/items/' + i)")


async def posts_from_elsewhere(person: Person) -> None:
    await person.elsewhere()
    await person.each(
        8.0,
        40,
        f"await fetch('{person.origin}/api/query', {{ method: 'POST', body: '{{}}', headers: {{ 'content-type': 'application/json' }} }})",
    )


async def comparer(person: Person) -> None:
    for number in range(8):
        await person.elsewhere()
        await person.script(
            f"const a = document.createElement('a'); a.href = '{person.origin}/articles/{number}';"
            "document.body.append(a); setTimeout(() => a.click())"
        )
        await asyncio.sleep(0.2)
        await settled(person.browser)
        person.rest(20)


async def prefetched(person: Person) -> None:
    await person.type("/")
    await person.script(
        "for (let i = 0; i < 20; i++) { const l = document.createElement('link'); l.rel = 'prefetch';"
        "l.href = '/articles/' + i; document.head.append(l) }"
    )
    await asyncio.sleep(1)
    for number in range(5):
        await person.follow(number=number)
        person.rest(15)


LIVES: dict[str, Live] = {
    live.__name__: live
    for live in (
        first_links, post_polls_unseen, calls_from_elsewhere, posts_from_elsewhere, get_polls_unseen, comparer, signage,
        reload_of_errors, dashboard, chat_storm, events_again, autosave, map_of_pictures, gallery, film_by_script, many_modules,
        all_in_tabs, broken_page, reload_storm, login_mistyped, suggestions, panels, downloads_by_hand, drop_checker, kiosk,
        manual, offline_application, prefetched,
    )
}  # fmt: skip
