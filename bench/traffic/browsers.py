"""A person's hands on a real browser in a window: Chromium by its DevTools protocol, Firefox by WebDriver BiDi.

Law: the browser is started as a person's is, with a profile of its own that it keeps, and nothing is set that changes what it sends.
Links are clicked with the mouse where they are on the screen, words are typed as keys, addresses as in the bar. A page is done when
it is loaded and asked for nothing more in the last third of a second.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import aiohttp

AUTHORITY = os.environ.get("TRAFFIC_CA", "")  # the recorder's; without it, sites without TLS only
QUIET = "document.readyState+performance.getEntriesByType('resource').length+location.href"
# The middle of the first element that is meant, after the page has been scrolled to it; null where there is none.
WHERE = """(()=>{{const found=Array.from(document.querySelectorAll({selector})).filter(e=>e.getClientRects().length);
const e=found[{number}%(found.length||1)];if(!e)return null;e.scrollIntoView({{block:'center'}});const r=e.getClientRects()[0];
return JSON.stringify([Math.round(r.x+Math.min(r.width,60)/2),Math.round(r.y+Math.min(r.height,20)/2)])}})()"""


# Of somebody who lets no site keep cookies, and tells none where he comes from: in Chromium's settings, and in Firefox's.
NOTHING_TOLD = {"profile": {"default_content_setting_values": {"cookies": 2}}, "enable_referrers": False}
NOTHING_TOLD_EITHER = """user_pref("network.cookie.cookieBehavior", 2);
user_pref("network.http.sendRefererHeader", 0);
"""


class Browser(Protocol):
    """What a person can do. Pages are by number, in the order in which they were opened.

    `private` keeps nothing and tells nothing; `alone` finds each name on this machine. `program` is another build than the one installed,
    and what it is told first.
    """

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def type_address(self, url: str) -> None: ...
    async def script(self, text: str) -> Any: ...
    async def press(self, x: int, y: int, button: int) -> None: ...
    async def type_text(self, text: str) -> None: ...
    async def enter(self) -> None: ...
    async def back(self) -> None: ...
    async def turn_to(self, page: int) -> None: ...


class Wire:
    """A websocket on which commands have numbers and get answers; events are let be."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http, self.numbers = http, itertools.count(1)
        self.socket: Any = None

    async def open(self, url: str) -> None:
        self.socket = await self.http.ws_connect(url, max_msg_size=0)

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            said = await self.socket.receive_json(timeout=30)
            if said.get("id") == number:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']} {said.get('message', '')}")
                result: dict[str, Any] = said["result"]
                return result

    async def close(self) -> None:
        if self.socket is not None:
            await self.socket.close()


class Chromium:
    """`key`: the digest of a certificate's key that is trusted, in base64."""

    def __init__(
        self,
        home: Path,
        languages: str,
        *,
        private: bool,
        alone: bool = False,
        program: Sequence[str] = ("chromium",),
        key: str = "",
    ) -> None:
        self.profile, self.languages, self.private = home / "chromium", languages, private
        self.program = [*program]
        self.flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        if alone:
            self.flags.append("--host-resolver-rules=MAP * 127.0.0.1")
        if key:
            self.flags.append(f"--ignore-certificate-errors-spki-list={key}")
        self.pages: list[str] = []

    async def start(self) -> None:
        trust = Path(os.environ["HOME"], ".pki", "nssdb")
        if AUTHORITY and not trust.exists():
            trust.mkdir(parents=True)
            _trust(trust, AUTHORITY)
        self.http = aiohttp.ClientSession()
        (self.profile / "Default").mkdir(parents=True, exist_ok=True)
        if self.private:
            (self.profile / "Default" / "Preferences").write_text(json.dumps(NOTHING_TOLD))
        self.base = f"http://127.0.0.1:{await self._run()}"
        self.pages, self.wire = [], Wire(self.http)
        for _ in range(100):
            with suppress(aiohttp.ClientError, OSError):
                await self._find()
            if self.pages:
                break
            await asyncio.sleep(0.1)
        await self.turn_to(0)

    async def _run(self) -> int:
        """Starts the program; the port of its DevTools."""
        flags = (
            f"--user-data-dir={self.profile} --accept-lang={self.languages} --remote-debugging-port=0 --remote-allow-origins=*"
            " --no-first-run --window-size=1280,900"
        )
        command = [*self.program, *([] if "DISPLAY" in os.environ else ["--headless=new"]), *self.flags, *flags.split()]
        told = self.profile / "DevToolsActivePort"
        told.unlink(missing_ok=True)
        self.process = subprocess.Popen([*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            await asyncio.sleep(0.1)
            if told.exists() and (port := told.read_text().split("\n")[0]):
                return int(port)
        raise RuntimeError(f"{self.program[0]} does not start")

    async def _find(self) -> None:
        async with self.http.get(self.base + "/json/list") as answer:
            now = [
                page["webSocketDebuggerUrl"] for page in await answer.json(content_type=None) if page["type"] == "page"
            ]
        self.pages = [page for page in self.pages if page in now]
        self.pages += [page for page in reversed(now) if page not in self.pages]

    async def stop(self) -> None:
        await _closed(self, "Browser.close")

    async def type_address(self, url: str) -> None:
        await self.wire.ask("Page.navigate", url=url, transitionType="typed")

    async def script(self, text: str) -> Any:
        said = await self.wire.ask(
            "Runtime.evaluate", expression=text, awaitPromise=True, returnByValue=True, userGesture=True
        )
        return said["result"].get("value")

    async def press(self, x: int, y: int, button: int) -> None:
        name = ("left", "middle")[button]
        await self.wire.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            await self.wire.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=name, clickCount=1)

    async def type_text(self, text: str) -> None:
        for letter in text:
            await self.wire.ask("Input.dispatchKeyEvent", type="keyDown", text=letter, key=letter)
            await self.wire.ask("Input.dispatchKeyEvent", type="keyUp", key=letter)

    async def enter(self) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.wire.ask("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r" if kind == "keyDown" else "",
                                windowsVirtualKeyCode=13)  # fmt: skip

    async def back(self) -> None:
        past = await self.wire.ask("Page.getNavigationHistory")
        at = past["currentIndex"]
        if at > 0:
            await self.wire.ask("Page.navigateToHistoryEntry", entryId=past["entries"][at - 1]["id"])

    async def turn_to(self, page: int) -> None:
        await self._find()
        await self.wire.close()
        await self.wire.open(self.pages[page % len(self.pages)])
        await self.wire.ask("Page.bringToFront")


SETTINGS = """user_pref("remote.prefs.recommended", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("browser.startup.page", 0);
user_pref("intl.accept_languages", "{languages}");
"""


class Firefox:
    """`authority`: a file with whom it trusts."""

    def __init__(
        self,
        home: Path,
        languages: str,
        *,
        private: bool,
        alone: bool = False,
        program: Sequence[str] = ("firefox-esr",),
        authority: str | None = None,
    ) -> None:
        self.profile, self.languages, self.private, self.alone = home / "firefox", languages, private, alone
        self.program, self.authority = [*program], AUTHORITY if authority is None else authority

    async def start(self) -> None:
        if not self.profile.exists():
            self.profile.mkdir()
            if self.authority:
                _trust(self.profile, self.authority)
            (self.profile / "user.js").write_text(
                SETTINGS.format(languages=self.languages.replace(",", ", "))
                + (NOTHING_TOLD_EITHER if self.private else "")
                + ('user_pref("network.dns.native-is-localhost", true);\n' if self.alone else "")
            )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            *self.program,
            *([] if "DISPLAY" in os.environ else ["--headless"]),
            "--profile",
            str(self.profile),
            "--no-remote",
            "--remote-debugging-port",
            str(port),
            "about:blank",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.http = aiohttp.ClientSession()
        self.wire = Wire(self.http)
        for _ in range(400):
            await asyncio.sleep(0.1)
            with suppress(aiohttp.ClientError, OSError):
                await self.wire.open(f"ws://127.0.0.1:{port}/session")
                break
        await self.wire.ask("session.new", capabilities={})
        await self.turn_to(0)

    async def stop(self) -> None:
        await _closed(self, "browser.close")

    async def type_address(self, url: str) -> None:
        await self.wire.ask("browsingContext.navigate", context=self.page, url=url, wait="none")

    async def script(self, text: str) -> Any:
        said = await self.wire.ask(
            "script.evaluate", expression=text, awaitPromise=True, target={"context": self.page}, userActivation=True
        )
        return said.get("result", {}).get("value")

    async def press(self, x: int, y: int, button: int) -> None:
        moves = [
            {"type": "pointerMove", "x": x, "y": y},
            {"type": "pointerDown", "button": button},
            {"type": "pointerUp", "button": button},
        ]
        await self.wire.ask(
            "input.performActions", context=self.page, actions=[{"type": "pointer", "id": "mouse", "actions": moves}]
        )

    async def _keys(self, keys: str) -> None:
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        await self.wire.ask(
            "input.performActions", context=self.page, actions=[{"type": "key", "id": "keys", "actions": strokes}]
        )

    async def type_text(self, text: str) -> None:
        await self._keys(text)

    async def enter(self) -> None:
        await self._keys("\ue007")

    async def back(self) -> None:
        with suppress(RuntimeError):
            await self.wire.ask("browsingContext.traverseHistory", context=self.page, delta=-1)

    async def turn_to(self, page: int) -> None:
        pages = (await self.wire.ask("browsingContext.getTree", maxDepth=0))["contexts"]
        self.page = pages[page % len(pages)]["context"]
        with suppress(RuntimeError):  # Firefox 115 knows no such command
            await self.wire.ask("browsingContext.activate", context=self.page)


async def _closed(browser: Chromium | Firefox, word: str) -> None:
    """Ends it by its own word, or after ten seconds."""
    with suppress(Exception):
        await browser.wire.ask(word)
    await browser.wire.close()
    await browser.http.close()
    with suppress(subprocess.TimeoutExpired):
        await asyncio.to_thread(browser.process.wait, 10)
    browser.process.kill()


def _trust(place: Path, authority: str) -> None:
    """Makes an authority one that the browser knows: what comes by a certificate that is not trusted is not cached."""
    if not shutil.which("certutil"):
        raise SystemExit("certutil is not installed: apt-get install libnss3-tools")
    for words in (["-N", "--empty-password"], ["-A", "-n", "authority", "-t", "C,,", "-i", authority]):
        subprocess.run(["certutil", "-d", f"sql:{place}", *words], check=True, capture_output=True)


async def settled(browser: Browser) -> None:
    """Waits until the page is done, at most ten seconds."""
    last, same = None, 0
    for _ in range(100):
        await asyncio.sleep(0.1)
        now = None
        with suppress(RuntimeError):  # between two pages
            now = await browser.script(QUIET)
        same = same + 1 if now == last and now and str(now).startswith("complete") else 0
        if same >= 3:
            return
        last = now


async def click(browser: Browser, selector: str, number: int = 0, button: int = 0) -> bool:
    """Clicks the element, by number among those that are shown; whether there was one."""
    found = await browser.script(WHERE.format(selector=json.dumps(selector), number=number))
    if not found:
        return False
    await asyncio.sleep(0.1)
    x, y = json.loads(found)
    await browser.press(x, y, button)
    return True


BROWSERS = {"chromium": Chromium, "firefox": Firefox}
