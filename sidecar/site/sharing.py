"""The process that shares what clients did with other machines (exchange.py), kept running by the master.

Law: the master tells it what to do on its standard input, so no secret is in a list of processes, and hears how it goes. Nothing of the
store's address is logged but what the store's errors say of host and port.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

Start = Callable[[bytes, int], AbstractAsyncContextManager[asyncio.subprocess.Process]]

_AGAIN_SECONDS = 5.0  # from the end of the process to the next
_LONGEST = 4096


class Sharing:
    """With the store at `url`, by the secret `key`, of the table behind the descriptor `table`. `state`: what was heard last
    (exchange.Exchange.state)."""

    def __init__(self, url: str, key: bytes, table: int) -> None:
        self._order = json.dumps({"url": url, "key": key.hex()}).encode() + b"\n"
        self._table = table
        self._away: str | None = ""  # what was said last; "" is nothing yet
        self.state: dict[str, Any] = {"away": "not begun", "machines": 0, "told": 0, "taken": 0, "refused": 0}

    async def watch(self, start: Start, how: Callable[[int], str], log: Any) -> None:
        """Share for ever. `start` makes the process of an order and a table, `how` says how one ended."""
        while True:
            try:
                async with start(self._order, self._table) as process:
                    await self._listen(process, log)
                    ended = how(await process.wait())
            except OSError as error:
                ended = str(error)
            self._say(f"the process that shares has ended: {ended}", log)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _listen(self, process: asyncio.subprocess.Process, log: Any) -> None:
        while process.stdout is not None and (line := await process.stdout.readline()):
            try:
                self.state = {**self.state, **json.loads(line[:_LONGEST])}
            except ValueError:
                return
            self._say(self.state["away"], log)

    def _say(self, away: str | None, log: Any) -> None:
        """Once for each change."""
        self.state["away"] = away
        if away == self._away:
            return
        self._away = away
        if away is None:
            log.info("store reached")
        else:
            log.warning("store away", reason=away)
