"""Browsers that a program drives over the recorded site.

    python driven.py TOOL headless|agent|headed WAY SEED      (see record.py)

Law: a way is written once, by what each tool can do: go to an address, click a link, read links, run a script. `agent`: headless
with the agent of one that is not; `headed`: in a window of a display that nobody sees.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from rests import about, rest

BASE = os.environ["TRAFFIC_URL"]
HOME = os.environ["HOME"]
CHROMIUM = shutil.which("chromium") or "chromium"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
ARGUMENTS = [
    "--no-sandbox",
    "--ignore-certificate-errors",
    "--disable-gpu",
    "--no-first-run",
    "--disable-dev-shm-usage",
]
HREFS = "Array.from(document.querySelectorAll('main a[href]'),a=>a.href)"


class Browser(Protocol):
    """What a tool can do."""

    def go(self, url: str) -> None: ...
    def run(self, script: str) -> Any: ...
    def click(self, href: str) -> None: ...
    def block(self) -> None: ...
    def close(self) -> None: ...


class Playwright:
    """And patchright, which has its interface."""

    def __init__(self, package: str, variant: str) -> None:
        module = __import__(f"{package}.sync_api", fromlist=["sync_playwright"])
        self.playwright = module.sync_playwright().start()
        self.browser = self.playwright.chromium.launch(
            executable_path=CHROMIUM, headless=variant != "headed", args=ARGUMENTS
        )
        more = {"user_agent": AGENT} if variant == "agent" else {}
        self.page = self.browser.new_context(ignore_https_errors=True, **more).new_page()
        self.page.set_default_timeout(20000)

    def go(self, url: str) -> None:
        self.page.goto(url)

    def run(self, script: str) -> Any:
        return self.page.evaluate(script)

    def click(self, href: str) -> None:
        self.page.click(f'main a[href$="{href}"]')
        self.page.wait_for_load_state()

    def block(self) -> None:
        self.page.route(re.compile(r"/img/|/static/fonts|\.css"), lambda route: route.abort())

    def close(self) -> None:
        self.browser.close()
        self.playwright.stop()


class Selenium:
    """And undetected-chromedriver, which is a driver of it."""

    def __init__(self, package: str, variant: str) -> None:
        if package == "undetected":
            import undetected_chromedriver as uc

            options: Any = uc.ChromeOptions()
        else:
            from selenium import webdriver

            options = webdriver.ChromeOptions()
        for argument in [
            *ARGUMENTS,
            *(["--headless=new"] if variant != "headed" else []),
            *([f"--user-agent={AGENT}"] if variant == "agent" else []),
        ]:
            options.add_argument(argument)
        options.binary_location = CHROMIUM
        found = shutil.which("chromedriver") or "chromedriver"
        if package == "undetected":
            copy = shutil.copy(found, HOME + "/chromedriver")  # it rewrites the file
            self.driver: Any = uc.Chrome(
                options=options, driver_executable_path=copy, browser_executable_path=CHROMIUM, version_main=156
            )
        else:
            self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(found))
        self.driver.set_page_load_timeout(20)

    def go(self, url: str) -> None:
        self.driver.get(url)

    def run(self, script: str) -> Any:
        return self.driver.execute_script("return " + script)

    def click(self, href: str) -> None:
        self.driver.find_element("css selector", f'main a[href$="{href}"]').click()

    def block(self) -> None:
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/img/*", "*/static/fonts/*", "*.css*"]})

    def close(self) -> None:
        self.driver.quit()


class NoDriver:
    def __init__(self, _: str, variant: str) -> None:
        import nodriver

        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.browser = self.loop.run_until_complete(
            nodriver.start(
                headless=variant != "headed", browser_executable_path=CHROMIUM, browser_args=ARGUMENTS, sandbox=False
            )
        )
        self.tab: Any = None

    def go(self, url: str) -> None:
        self.tab = self.loop.run_until_complete(self.browser.get(url))
        self.loop.run_until_complete(self.tab.sleep(0.8))

    def run(self, script: str) -> Any:
        return self.loop.run_until_complete(self.tab.evaluate(f"JSON.stringify({script})"))

    def click(self, href: str) -> None:
        async def clicked() -> None:
            link = await self.tab.select(f'main a[href$="{href}"]')
            await link.click()
            await self.tab.sleep(0.8)

        self.loop.run_until_complete(clicked())

    def block(self) -> None:
        raise SystemExit("nodriver blocks nothing")

    def close(self) -> None:
        self.browser.stop()


TOOLS: dict[str, Callable[[str, str], Browser]] = {
    "playwright": Playwright, "patchright": Playwright, "selenium": Selenium, "undetected": Selenium, "nodriver": NoDriver,
}  # fmt: skip


def hrefs(browser: Browser) -> list[str]:
    """The paths of the links in the page."""
    found = browser.run(HREFS)
    if isinstance(found, str):  # nodriver hands back JSON
        found = re.findall(r'"([^"]+)"', found)
    return [link.removeprefix(BASE) for link in dict.fromkeys(found) if link.startswith(BASE)]


def goto(browser: Browser, rng: random.Random) -> None:
    """All links of two lists, as addresses."""
    todo = []
    for path in ("/c/desk", "/blog"):
        browser.go(BASE + path)
        todo += hrefs(browser)
    for path in rng.sample(todo, min(14, len(todo))):
        browser.go(BASE + path)
        rest(about(rng, 2, 0.3))


def links(browser: Browser, rng: random.Random) -> None:
    """From link to link, by clicks, with rests."""
    browser.go(BASE + "/")
    for _ in range(14):
        found = [path for path in hrefs(browser) if re.match(r"/(p|blog|c|video)", path)]
        if not found:
            browser.go(BASE + "/blog")
            continue
        browser.click(rng.choice(found[:9]))
        rest(about(rng, 7))


def lean(browser: Browser, rng: random.Random) -> None:
    """Without pictures, fonts and styles, as it saves money."""
    browser.block()
    goto(browser, rng)


def prices(browser: Browser, rng: random.Random) -> None:
    browser.go(BASE + "/c/kitchen")
    chosen = [path for path in hrefs(browser) if path.startswith("/p/")][:3]
    for _ in range(5):
        for path in chosen:
            browser.go(BASE + path)
            rest(about(rng, 4, 0.3))
        rest(about(rng, 3600, 0.05))


def search(browser: Browser, rng: random.Random) -> None:
    words = "lamp chair table silk rope stone wax tray jar vase map cup tea wool".split()
    for word in rng.sample(words, len(words)):
        browser.go(f"{BASE}/search?q={word}")
        rest(about(rng, 3))


def scroll(browser: Browser, rng: random.Random) -> None:
    """Plays somebody who reads: scrolls in steps, clicks on."""
    browser.go(BASE + "/blog")
    for _ in range(10):
        for step in range(4):
            browser.run(f"window.scrollTo(0,{step}*500)")
            rest(about(rng, 4, 0.2))
        found = [path for path in hrefs(browser) if path.startswith("/blog/")]
        if found:
            browser.click(rng.choice(found))
        else:
            browser.go(BASE + "/blog")
        rest(about(rng, 8, 0.3))


WAYS: dict[str, Callable[[Browser, random.Random], None]] = {
    "goto": goto, "links": links, "lean": lean, "prices": prices, "search": search, "scroll": scroll,
}  # fmt: skip


def main() -> None:
    tool, variant, way, seed = sys.argv[1:]
    if variant == "headed" and "DISPLAY" not in os.environ:
        os.execvp("xvfb-run", ["xvfb-run", "-a", sys.executable, *sys.argv])
    browser = TOOLS[tool](tool, variant)
    try:
        WAYS[way](browser, random.Random(f"{tool}{variant}{way}{seed}"))
    finally:
        with suppress(Exception):
            browser.close()


if __name__ == "__main__":
    main()
