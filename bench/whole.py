"""The whole path, by real browsers: nginx with the module, a sidecar, the table of clients, the default model, the mode enforce.

    make module && .venv/bin/python bench/whole.py [--browser chromium|firefox] [--life NAME] [--model MODEL] [--why]

Law: a browser in a window does what a person does (hours of it in seconds: the table's clock is skipped, life/pages.py), by an address of
its own, over https and HTTP/2, and what nginx logged is counted. Lives are those of bench/lives.py as a browser can live them, under
the same names (life/split.tsv). The status is 1 if one request of them is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support" / "servers"), str(ROOT / "tests" / "support")]

import lives  # noqa: E402
import moments  # noqa: E402
import nginx_harness  # noqa: E402
import quality  # noqa: E402
from life.pages import Clock, Site  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from sidecar_harness import Sidecar, wait_until  # noqa: E402
from traffic import browsers  # noqa: E402
from traffic.browsers import click as press  # noqa: E402
from traffic.browsers import settled  # noqa: E402

LOG = """log_format lives escape=json '{"ip":"$remote_addr","method":"$request_method","uri":"$request_uri","status":$status,'
    '"xbot":"$xbot_verdict","score":"$xbot_score","reason":"$xbot_reason","protocol":"$server_protocol"}';
"""
PEOPLE = """server { listen 127.0.0.1:%d; access_log off; include xbot/observe.conf;
  location / { include xbot/pass.conf; proxy_pass http://unix:{prefix}/site.sock; } }
"""
SERVER = """access_log {prefix}/lives.jsonl lives; keepalive_requests 100000; http2_max_concurrent_streams 256;
include xbot/enforce.conf;
location = /elsewhere { auth_request off; access_log off; default_type text/html;
  return 200 "<!doctype html><link rel=icon href=data:,><title>elsewhere</title>"; }
location / { include xbot/pass.conf; proxy_set_header Host $http_host; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection $http_connection; proxy_pass http://unix:{prefix}/site.sock; }
"""
TOML = '[clients]\nsize = "16MiB"\n[policies.default]\nmode = "enforce"\n'


class Gate:
    """A port behind which the visitors' own address is what we say. `move` takes another one, and ends its connections."""

    def __init__(self, to: int) -> None:
        self.to, self.address = to, "127.1.1.1"
        self.open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    def move(self, address: str) -> None:
        self.address = address
        for writer in self.open:
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.to, local_addr=(self.address, 0))
        self.open |= {writer, back}
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(_pipe(reader, back), _pipe(there, writer))
        self.open -= {writer, back}


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


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
        await person.each(
            0,
            100,
            f"await new Promise(done => {{ const p = new Image(); p.onload = p.onerror = done; p.src = '/tiles/{move}/' + i }})",
        )


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
        await person.script("setTimeout(() => location.reload())")
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
        await person.each(
            0,
            100,
            "await new Promise(done => { const p = new Image(); p.onload = p.onerror = done; p.src = '/gone/' + i + '.png' })",
        )


async def reload_storm(person: Person) -> None:
    await person.type("/")
    for _ in range(40):
        await person.script("setTimeout(() => location.reload())")
        await asyncio.sleep(0.4)


async def reload_of_errors(person: Person) -> None:
    person.site.broken = True
    await person.type("/")
    for _ in range(25):
        with suppress(RuntimeError):
            await person.script("setTimeout(() => location.reload())")
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
        await person.script("setTimeout(() => location.reload())")
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


def prime(port: int, clock: Clock) -> None:
    """The people of a site that is used: some hundreds of pages with their parts."""
    for number, record in enumerate(lives.around(0)[:1500]):
        lines = [f"{record['method']} {record['uri']} HTTP/1.1", f"Host: {record['host']}"]
        lines += [
            f"{name}: {value}"
            for name, value in record["headers"]
            if name.lower() not in ("host", "content-length", "connection", "upgrade", "transfer-encoding")
        ]
        with socket.create_connection(("127.0.0.1", port), source_address=(address_of(record["ip"]), 0)) as connection:
            connection.sendall("\r\n".join([*lines, "Connection: close", "Content-Length: 0", "", ""]).encode())
            while connection.recv(1 << 16):
                pass
        if number % 5 == 0:
            clock.rest(10)


def address_of(ip: str) -> str:
    """Of this machine, as near to it as others are."""
    numbers = random.Random(ip)
    return f"127.{numbers.randint(100, 250)}.{numbers.randint(0, 255)}.{numbers.randint(1, 254)}"


@contextlib.asynccontextmanager
async def running(model: Path, here: Path) -> AsyncIterator[tuple[nginx_harness.Nginx, Site]]:
    """nginx, sidecar and site, with people on it."""
    clock = Clock(here / "clock")
    os.environ["XBOT_CLOCK"] = str(clock.path)
    (here / "xbot.toml").write_text(TOML)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (
        Sidecar(model, "--config", here / "xbot.toml", board=True, workers=1) as sidecar,
        nginx_harness.running_nginx(
            SERVER,
            socket=sidecar.address,
            board=sidecar.board,
            http=LOG + PEOPLE % port,
            secure=True,
            listen_options="http2",
        ) as nginx,
    ):
        site = Site(clock)
        runner = await site.start(nginx.prefix / "site.sock")
        ticking = asyncio.create_task(clock.run())
        await asyncio.to_thread(wait_until, lambda: "xbot-hosts" in maps(nginx), "the table in nginx")
        await asyncio.to_thread(prime, port, clock)
        try:
            yield nginx, site
        finally:
            ticking.cancel()
            await runner.cleanup()


def maps(nginx: nginx_harness.Nginx) -> str:
    workers = Path(f"/proc/{nginx.process.pid}/task/{nginx.process.pid}/children").read_text().split()
    return "".join(Path(f"/proc/{worker}/maps").read_text() for worker in workers)


async def live(name: str, browser: str, gate: Gate, site: Site, home: Path) -> bool:
    """One life in a browser that is new; whether it came to its end."""
    home.mkdir()
    os.environ["HOME"] = str(home)
    hands = browsers.BROWSERS[browser](home, "en-US,en", private=False)
    await hands.start()
    try:
        await asyncio.wait_for(LIVES[name](Person(hands, site, gate, random.Random(name))), 120)
    except (RuntimeError, TimeoutError, asyncio.TimeoutError) as error:
        click.echo(f"{browser} {name}: {type(error).__name__} {error}", err=True)
        return False
    finally:
        site.step, site.broken = 0.0, False
        await hands.stop()
        shutil.rmtree(home, ignore_errors=True)
    return True


async def all_lives(names: list[str], used: list[str], model: Path) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """What nginx logged of each browser and life."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="xbot-whole-", ignore_cleanup_errors=True) as place:
        async with running(model, Path(place)) as (nginx, site):
            browsers.AUTHORITY = str(nginx.prefix / nginx_harness.CERTIFICATE)
            authority = (nginx.prefix / nginx_harness.CERTIFICATE).read_text().rpartition("-----BEGIN")[2]
            (Path(place) / "authority.pem").write_text("-----BEGIN" + authority)
            browsers.AUTHORITY = str(Path(place) / "authority.pem")
            read = 0
            for turn, (name, browser) in enumerate((name, browser) for browser in used for name in names):
                gate = Gate(nginx.port)
                await gate.start()
                gate.address = f"127.{turn // 200 + 2}.{turn % 200 + 1}.7"
                well = await live(name, browser, gate, site, Path(place) / f"home-{turn}")
                gate.server.close()
                await asyncio.sleep(0.2)
                lines = (nginx.prefix / "lives.jsonl").read_text().splitlines()
                found[name, browser] = [*map(json.loads, lines[read:])]
                read = len(lines)
                bots = [said for said in found[name, browser] if said["status"] == 403]
                why = Counter(said["reason"] for said in bots).most_common(2)
                click.echo(
                    f"{browser} {name}: {len(found[name, browser])} requests, {len(bots)} refused {why}{'' if well else ', ended badly'}",
                    err=True,
                )
    return found


@click.command(help=__doc__)
@click.option(
    "--browser",
    "used",
    type=click.Choice(list(browsers.BROWSERS)),
    multiple=True,
    help="[default: all that are installed]",
)
@click.option("--life", "names", multiple=True, type=click.Choice(list(LIVES)), help="These alone; may be repeated.")
@click.option("--model", type=click.Path(path_type=Path), default=quality.DEFAULT, help="[default: the one shipped]")
def main(used: tuple[str, ...], names: tuple[str, ...], model: Path) -> None:
    if "DISPLAY" not in os.environ:  # a browser without a window says so
        os.execvp("xvfb-run", ["xvfb-run", "-a", sys.executable, *sys.argv])
    if why := nginx_harness.without_module():
        raise SystemExit(why)
    installed = [each for each in browsers.BROWSERS if moments.INSTALLED[each]()]
    found = asyncio.run(all_lives(list(names or LIVES), list(used or installed), model))
    table, sides = (
        Table("browser", "life", "side", "requests", "by 1", "by 10", "by 100", "refused", "worst score"),
        lives.split(),
    )
    for (name, browser), said in found.items():
        bots = [each["status"] == 403 for each in said]
        by = [str(sum(bots[:step])) for step in lives.STEPS]
        worst = max((float(each["score"] or 0) for each in said), default=0.0)
        table.add_row(browser, name, sides[name], str(len(said)), *by, str(sum(bots)), f"{worst:.3f}")
    Console(width=130).print(table)
    sys.exit(1 if any(each["status"] == 403 for said in found.values() for each in said) else 0)


if __name__ == "__main__":
    quality.run(main)
