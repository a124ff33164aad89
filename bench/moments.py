"""Is a person refused in an ordinary moment? Real browsers do what pages and people do; a model judges each request.

    .venv/bin/python bench/moments.py [--browser NAME] [--program WORDS] [--plain] [--http1] [--keep FILE] [--all]

Law: what is judged came from a browser that is installed here, as it sent it; only the site's own name is put in. The site speaks https,
through nginx. Each request is judged alone, by what nginx tells of its handshake and without it. The status is 1 if one is called a bot.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import click
import quality
from pages import qt, webkit
from pages.site import NAMES, Site
from rich.console import Console
from rich.table import Table
from traffic import browsers

from sidecar import core, model
from sidecar.errors import XbotError
from sidecar.sources import records

NAME, LANGUAGES = "www.example.org", "en-US,en"


def _found(program: str) -> list[str]:
    return [program] if shutil.which(program) else []


# By name: the words that start the browser, or none where it is not installed.
INSTALLED = {
    "chromium": lambda: _found("chromium"),
    "firefox": lambda: _found("firefox-esr"),
    "qtwebengine": qt.installed,
    "webkit": webkit.installed,
}
RESUME = """(() => { for (const item of document.querySelector('downloads-manager').shadowRoot.querySelectorAll('downloads-item'))
  [...item.shadowRoot.querySelectorAll('cr-button')].find(each => /Resume/.test(each.textContent))?.click() })()"""


class Driven(Protocol):
    """What a moment asks of a browser."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def type_address(self, url: str) -> None: ...
    async def script(self, text: str) -> Any: ...
    async def turn_to(self, page: int) -> None: ...


async def through(site: Site, browser: Driven) -> None:
    """All moments, one after another; those that end a page from a page of their own."""

    async def opened() -> None:
        await browser.type_address(site.origin + "/")
        for _ in range(100):
            await asyncio.sleep(0.05)
            if await browser.script("typeof moment === 'function' && document.readyState") == "complete":
                return
        raise RuntimeError("the page does not load")

    async def do(group: str, name: str) -> None:
        call = f"moment({group}, {json.dumps(name)}, {json.dumps(site.origin)}, {json.dumps(site.other)})"
        with suppress(RuntimeError, TimeoutError):  # the page went away
            await asyncio.wait_for(browser.script(call), 5)

    async def names(group: str) -> list[str]:
        found: list[str] = json.loads(await browser.script(f"JSON.stringify(Object.keys({group}))"))
        return found

    await opened()
    leaving = await names("leave")
    for name in await names("part"):
        await do("part", name)
    await asyncio.sleep(1)
    for name in leaving:
        await browser.turn_to(0)
        await opened()
        await do("leave", name)
        await asyncio.sleep(2 if name == "interrupted" else 0.4)
    if type(browser) is browsers.Chromium:
        await browser.type_address("chrome://downloads/")
        await asyncio.sleep(1)
        await browser.script(RESUME)
        await asyncio.sleep(1)


def browser_of(name: str, home: Path, site: Site, program: Sequence[str]) -> Driven:
    """The browser of this name, that trusts the site or finds its names."""
    if name == "webkit":
        return webkit.WebKit(home, LANGUAGES, program=program, names=NAMES if site.plain else ())
    if name == "firefox":
        return browsers.Firefox(home, LANGUAGES, private=False, alone=site.plain, program=program,
                                authority="" if site.plain else str(site.authority))  # fmt: skip
    kind = qt.QtWebEngine if name == "qtwebengine" else browsers.Chromium
    browser = kind(home, LANGUAGES, private=False, alone=site.plain, program=program, key=site.key)
    if isinstance(browser, qt.QtWebEngine) and site.plain:
        browser.names = NAMES
    return browser


async def watched(name: str, program: Sequence[str], *, plain: bool, http2: bool) -> list[dict[str, Any]]:
    """The requests of one browser in all moments."""
    with tempfile.TemporaryDirectory(prefix="xbot-moments-", ignore_cleanup_errors=True) as home:
        site = Site(Path(home), plain=plain, http2=http2)
        await site.start()
        browser = browser_of(name, Path(home), site, program)
        try:
            await browser.start()
            await through(site, browser)
        finally:
            await browser.stop()
            await site.stop()
    return site.requests(NAME)


@click.command(help=__doc__)
@click.option(
    "--browser", "names", type=click.Choice(list(INSTALLED)), multiple=True, help="[default: all that are installed]"
)
@click.option("--program", metavar="WORDS", default="", help="Another build of the browser; of webkit, its driver and what that drives; "
              "of qtwebengine, a Python with PyQt.")  # fmt: skip
@click.option(
    "--model", "path", type=click.Path(path_type=Path), default=quality.DEFAULT, help="[default: the one shipped]"
)
@click.option("--keep", type=click.Path(path_type=Path), help="Write the requests into this file, as jsonl.")
@click.option("--plain", is_flag=True, help="A site without https.")
@click.option("--http1", is_flag=True, help="https without HTTP/2.")
@click.option("--all", "everything", is_flag=True, help="Show all moments, not only those that are refused.")
def main(
    names: tuple[str, ...], program: str, path: Path, keep: Path | None, plain: bool, http1: bool, everything: bool
) -> None:
    loaded, console = model.load(path), Console(width=110)
    table = Table("browser", "request", "called", "score", "reason")
    kept, refused, request = [], 0, core.Request()
    for name in names or [each for each, installed in INSTALLED.items() if installed()]:
        words = shlex.split(program) or INSTALLED[name]()
        if not words:
            raise XbotError(f"{name} is not installed")
        asked = asyncio.run(watched(name, words, plain=plain, http2=not http1))
        kept += asked
        bots = 0
        for record in asked:
            verdicts = []
            for seen in (record, {word: value for word, value in record.items() if word != "tls"}):
                records.load_record(json.dumps(seen).encode(), request)
                verdicts.append(loaded.judge(request))
            worst = max(verdicts, key=lambda verdict: verdict.score)
            bots += worst.bot
            if worst.bot or everything:
                called = "bot" if worst.bot else "human"
                table.add_row(name, f"{record['method']} {record['uri']}", called, f"{worst.score:.4f}", worst.reason)
        console.print(f"{name}: {len(asked)} requests, {bots} called bots")
        refused += bots
    if table.rows:
        console.print(table)
    if keep:
        keep.write_text("".join(json.dumps(record) + "\n" for record in kept))
    sys.exit(1 if refused else 0)


if __name__ == "__main__":
    quality.run(main)
