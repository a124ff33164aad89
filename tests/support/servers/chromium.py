"""A headless Chromium, driven by its DevTools protocol: a page as people see it, and what its console says.

Law: it reaches nothing but the loopback, and ends with the block.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_SECONDS = 30.0


class Tab:
    """One page. `console` is what was said there, errors of its security policy too; `asked` are the addresses that it fetched."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.console: list[str] = []
        self.asked: list[str] = []
        self._loaded = asyncio.Event()
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            elif said["method"] == "Runtime.consoleAPICalled":
                self.console.append(json.dumps(said["params"]["args"]))
            elif said["method"] == "Runtime.exceptionThrown":
                self.console.append(json.dumps(said["params"]["exceptionDetails"]))
            elif said["method"] == "Log.entryAdded":
                self.console.append(said["params"]["entry"]["text"])
            elif said["method"] == "Network.requestWillBeSent":
                self.asked.append(said["params"]["request"]["url"])
            elif said["method"] == "Page.domContentEventFired":
                self._loaded.set()
            elif said["method"] == "Page.javascriptDialogOpening":
                self.console.append(f"dialog: {said['params']['message']}")

    async def call(self, method: str, **params: Any) -> Any:
        """A command of the protocol, and its result."""
        self._number += 1
        future = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        said = await asyncio.wait_for(future, _SECONDS)
        assert "error" not in said, (method, said)
        return said["result"]

    async def open(self, url: str) -> None:
        for domain in ("Runtime", "Log", "Network", "Page"):
            await self.call(f"{domain}.enable")
        self._loaded.clear()
        await self.call("Page.navigate", url=url)
        await asyncio.wait_for(self._loaded.wait(), _SECONDS)

    async def size(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Of the window, and what its user likes."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression on the page, awaited."""
        said = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    async def until(self, expression: str) -> Any:
        """The first true value of an expression."""
        end = time.monotonic() + _SECONDS
        while not (value := await self.evaluate(expression)):
            assert time.monotonic() < end, f"waited in vain for {expression}: {self.console}"
            await asyncio.sleep(0.05)
        return value

    async def picture(self, *, whole: bool = True) -> bytes:
        """A PNG of what is seen, or of the whole page."""
        said = await self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(said["data"])


@contextlib.asynccontextmanager
async def tab() -> AsyncIterator[Tab]:
    """A page in a browser of its own, with nothing in it."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(prefix="xbot-chromium-", ignore_cleanup_errors=True) as profile:
        command = [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-port=0", "about:blank",
        ]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            async with aiohttp.ClientSession() as session:
                port = await _port(Path(profile) / "DevToolsActivePort")
                async with session.get(f"http://127.0.0.1:{port}/json") as reply:
                    found = next(each for each in await reply.json() if each["type"] == "page")
                async with session.ws_connect(found["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    yield Tab(socket)
        finally:
            process.terminate()
            process.wait(_SECONDS)


async def _port(file: Path) -> int:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError, IndexError, ValueError):
            return int(file.read_text().splitlines()[0])
        await asyncio.sleep(0.05)
    raise AssertionError("Chromium does not listen")
