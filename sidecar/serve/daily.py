"""The networks of crawlers that are published: fetched once a day, by a process of its own.

Law: a list changes the policies alone: the configuration and the model are not read again, and whatever fails, what is served
stays.
"""

from __future__ import annotations

import asyncio
import datetime
import json
from typing import Any, Protocol

from sidecar.board.served import Served
from sidecar.serve import spawn
from sidecar.serve.threads import in_time, reason

_LOOK_SECONDS = 60.0  # how often it is seen whether a list is a day old
_REFRESH_SECONDS = 3600.0  # from one try to fetch to the next
_FETCH_SECONDS = 180.0  # for all lists together, then the process is killed


class Serving(Protocol):
    """The master, as far as it matters here; `changing` is held while what is served changes."""

    served: Served
    changing: asyncio.Lock
    log: Any

    async def adopt(self, served: Served) -> None:
        """Serve this from now on; whatever is raised, the old goes on."""


async def refresh(master: Serving) -> None:
    """Have the published lists fetched, for ever, when one of them is a day old."""
    while True:
        due = _due(master) if master.served.material.ranges is not None else {}
        if due:
            await _refresh(master, due)
        await asyncio.sleep(_REFRESH_SECONDS if due else _LOOK_SECONDS)


def _due(master: Serving) -> dict[str, str]:
    """The lists that have not been had today, with their addresses."""
    today, dates = datetime.datetime.now(datetime.timezone.utc).date(), master.served.range_dates()
    return {name: address for name, address in master.served.publishers.items() if dates.get(name) != today}


async def _refresh(master: Serving, due: dict[str, str]) -> None:
    order = {"directory": str(master.served.material.ranges), "publishers": due}
    try:
        said = await spawn.fetched(json.dumps(order).encode(), _FETCH_SECONDS)
        results = [json.loads(line) for line in said.splitlines()]
    except (OSError, ValueError) as error:
        master.log.warning("ranges not fetched", reason=f"{type(error).__name__}: {error}"[:200])
        return
    for each in results:
        if each["what"] == "failed":
            master.log.warning("range kept", list=each["list"], reason=each["why"])
    async with master.changing:
        old = master.served
        try:
            await master.adopt(await in_time(lambda: old.with_newest_ranges(old.generation + 1)))
        except Exception as error:  # whatever it is, the old goes on
            master.log.error("ranges refused", reason=reason(error))
            return
    master.log.info("ranges fetched", new=[each["list"] for each in results if each["what"] == "new"])
