"""Is a person refused in an ordinary moment? Real browsers do what pages and people do; a model judges each request.

    .venv/bin/python bench/moments.py [--browser chromium|firefox] [--model MODEL] [--plain] [--keep FILE] [--all]

Law: what is judged came from a browser that is installed here, as it sent it; only the site's own name is put in, and https, which a
browser trusts as it trusts this machine. Each request is judged alone. The status is 1 if one is called a bot.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import quality
from pages.site import Site
from rich.console import Console
from rich.table import Table
from traffic import browsers

from sidecar import core, model
from sidecar.sources import records

NAME = "www.example.org"
RESUME = """(() => { for (const item of document.querySelector('downloads-manager').shadowRoot.querySelectorAll('downloads-item'))
  [...item.shadowRoot.querySelectorAll('cr-button')].find(each => /Resume/.test(each.textContent))?.click() })()"""


async def through(site: Site, browser: browsers.Browser) -> None:
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
    if isinstance(browser, browsers.Chromium):
        await browser.type_address("chrome://downloads/")
        await asyncio.sleep(1)
        await browser.script(RESUME)
        await asyncio.sleep(1)


async def watched(name: str, *, plain: bool) -> list[dict[str, Any]]:
    """The requests of one browser in all moments."""
    site = Site(plain=plain)
    await site.start()
    with tempfile.TemporaryDirectory(prefix="xbot-moments-", ignore_cleanup_errors=True) as home:
        browser = browsers.BROWSERS[name](Path(home), "en-US,en", private=False, alone=plain)
        await browser.start()
        try:
            await through(site, browser)
        finally:
            await browser.stop()
            await site.stop()
    return site.requests(NAME)


@click.command(help=__doc__)
@click.option(
    "--browser",
    "names",
    type=click.Choice(list(browsers.BROWSERS)),
    multiple=True,
    help="[default: all that are installed]",
)
@click.option(
    "--model", "path", type=click.Path(path_type=Path), default=quality.DEFAULT, help="[default: the one shipped]"
)
@click.option("--keep", type=click.Path(path_type=Path), help="Write the requests into this file, as jsonl.")
@click.option("--plain", is_flag=True, help="A site without https.")
@click.option("--all", "everything", is_flag=True, help="Show all moments, not only those that are refused.")
def main(names: tuple[str, ...], path: Path, keep: Path | None, plain: bool, everything: bool) -> None:
    loaded, console = model.load(path), Console(width=110)
    table = Table("browser", "request", "called", "score", "reason")
    kept, refused, request = [], 0, core.Request()
    for name in names or [each for each in browsers.BROWSERS if shutil.which(browsers.PROGRAMS[each])]:
        asked = asyncio.run(watched(name, plain=plain))
        kept += asked
        bots = 0
        for record in asked:
            records.load_record(json.dumps(record).encode(), request)
            verdict = loaded.judge(request)
            bots += verdict.bot
            if verdict.bot or everything:
                called = "bot" if verdict.bot else "human"
                table.add_row(
                    name, f"{record['method']} {record['uri']}", called, f"{verdict.score:.4f}", verdict.reason
                )
        console.print(f"{name}: {len(asked)} requests, {bots} called bots")
        refused += bots
    if table.rows:
        console.print(table)
    if keep:
        keep.write_text("".join(json.dumps(record) + "\n" for record in kept))
    sys.exit(1 if refused else 0)


if __name__ == "__main__":
    quality.run(main)
