"""WebKit in a window, by WebDriver: WebKitGTK's own small browser, the nearest thing to Safari that runs here.

Law: that of traffic/browsers.py. A window that no screen shows is on a screen of its own (Xvfb).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
from pages.around import Screen, named

# Debian's places of the browser that WebKit's driver drives, the newest first.
PLACES = ("webkitgtk-6.0", "webkit2gtk-4.1", "webkit2gtk-4.0")
AWAITED = (
    "const done = arguments[arguments.length - 1]; Promise.resolve(eval(arguments[0])).then(done, () => done(null))"
)


def installed() -> list[str]:
    """WebKit's driver and its browser, or nothing where one is not installed."""
    driver = shutil.which("WebKitWebDriver")
    found = [str(each) for place in PLACES for each in Path("/usr/lib").glob(f"*/{place}/MiniBrowser")]
    return [driver, found[0], "--automation"] if driver and found else []


class WebKit:
    """`program`: the driver, and what it drives. `names` are found on this machine."""

    def __init__(self, home: Path, languages: str, *, program: Sequence[str], names: Sequence[str] = ()) -> None:
        self.home, self.languages, self.program, self.names = home, languages, [*program], names

    async def start(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        places = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), str(self.home))
        environment = os.environ | places | {"LANG": self.languages.split(",")[0].replace("-", "_") + ".UTF-8"}
        environment |= named(self.home, self.names)
        self.screen = Screen()
        environment["DISPLAY"] = self.screen.display
        self.process = subprocess.Popen(
            [self.program[0], f"--port={port}"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.http = aiohttp.ClientSession()
        self.base = f"http://127.0.0.1:{port}/session"
        options = {"binary": self.program[1], "args": self.program[2:]}
        port_of = "wpe" if "WPE" in self.program[0] else "webkitgtk"
        wanted = {"acceptInsecureCerts": True, f"{port_of}:browserOptions": options}
        for _ in range(100):
            with suppress(aiohttp.ClientError):
                said = await self._ask("POST", "", capabilities={"alwaysMatch": wanted})
                break
            await asyncio.sleep(0.1)
        self.base += "/" + said["sessionId"]
        await self._ask("POST", "/timeouts", script=20_000, pageLoad=20_000)

    async def _ask(self, method: str, path: str, **parameters: Any) -> Any:
        data = parameters if method == "POST" else None
        async with self.http.request(method, self.base + path, json=data) as answer:
            said = (await answer.json(content_type=None))["value"]
        if isinstance(said, dict) and "error" in said:
            raise RuntimeError(f"{path}: {said['error']} {said.get('message', '')}")
        return said

    async def stop(self) -> None:
        with suppress(Exception):
            await self._ask("DELETE", "")
        await self.http.close()
        self.process.terminate()
        self.process.wait()
        self.screen.close()

    async def type_address(self, url: str) -> None:
        await self._ask("POST", "/url", url=url)

    async def script(self, text: str) -> Any:
        return await self._ask("POST", "/execute/async", script=AWAITED, args=[text])

    async def turn_to(self, page: int) -> None:
        pages = await self._ask("GET", "/window/handles")
        await self._ask("POST", "/window", handle=pages[page % len(pages)])
