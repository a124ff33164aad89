"""Whether nginx asks by files of another version than this one: it is said, once for each.

Law: what is known of it are two counters of requests (csrc/board/counters.h).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sidecar.board.counters import Counters
from sidecar.core import FILES

_SECONDS = 2.0  # from one look to the next


async def compare(counters: Callable[[], Counters], log: Any) -> None:
    """Look until both were said: by files of an older version, and of a newer one."""
    unsaid = {"older", "newer"}
    before = counters().total()  # counted before we started
    while unsaid:
        await asyncio.sleep(_SECONDS)
        total = counters().total()
        for age in sorted(age for age in unsaid if total[f"{age}_files"] > before[f"{age}_files"]):
            unsaid.discard(age)
            mend = "move the directory xbot away, then xbot nginx --write" if age == "older" else "a newer xbot"
            log.warning("files of nginx", version=age, expected=FILES, mend=mend)
