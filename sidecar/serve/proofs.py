"""What proves crawlers, got by processes of their own: the networks and keys that are published, fetched once a day, and the names that
addresses have in the DNS, looked up while the configuration wants it.

Law: a list changes the policies alone: the configuration and the model are not read again, and whatever fails, what is served
stays. Answers of the DNS lie in memory that workers read; this module only keeps the process that writes them.
"""

from __future__ import annotations

import asyncio
import datetime
import json
from typing import Any, Protocol

from sidecar.board.proofs import Shared
from sidecar.board.served import Served
from sidecar.config import config, options
from sidecar.serve import spawn
from sidecar.serve.duties import in_time, reason
from sidecar.verify import catalogue, signatures

_LOOK_SECONDS = 60.0  # how often it is seen whether a list is a day old
_REFRESH_SECONDS = 3600.0  # from one try to fetch to the next
_FETCH_SECONDS = 180.0  # for all lists together, then the process is killed
_WATCH_SECONDS = 1.0  # how often it is seen whether names are to be looked up otherwise
_AGAIN_SECONDS = 10.0  # from the end of the process that does so to the next


class Serving(Protocol):
    """The master, as far as it matters here; `changing` is held while what is served changes."""

    served: Served
    lookups: Shared
    changing: asyncio.Lock
    log: Any

    async def adopt(self, served: Served) -> None:
        """Serve this from now on; whatever is raised, the old goes on."""


async def refresh(master: Serving) -> None:
    """Have the published lists fetched, for ever, when one of them is a day old."""
    while True:
        due = (_due(master), _due_keys(master)) if master.served.material.ranges is not None else ({}, {})
        if any(due):
            await _refresh(master, *due)
        await asyncio.sleep(_REFRESH_SECONDS if any(due) else _LOOK_SECONDS)


def _due(master: Serving) -> dict[str, str]:
    """The lists that have not been had today, with their addresses."""
    today, dates = datetime.datetime.now(datetime.timezone.utc).date(), master.served.range_dates()
    return {name: address for name, address in master.served.publishers.items() if dates.get(name) != today}


def _due_keys(master: Serving) -> dict[str, str]:
    """Likewise, the keys of signatures."""
    today, material = datetime.datetime.now(datetime.timezone.utc).date(), master.served.material
    if material.ranges is None:
        return {}
    kept = {name: signatures.kept(material.ranges, name) for name in material.directories()}
    return {
        name: address
        for name, address in material.directories().items()
        if (found := kept[name]) is None or found[0] != today or found[1].get("address") != address
    }


async def _refresh(master: Serving, due: dict[str, str], keys: dict[str, str]) -> None:
    order = {"directory": str(master.served.material.ranges), "publishers": due, "directories": keys}
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


async def look_up(master: Serving) -> None:
    """Have names looked up, for ever, as the configuration says by now."""
    while True:
        wanted, seconds = master.served.dns, _WATCH_SECONDS
        if wanted.look_up:
            try:
                async with spawn.looking_up(_order(wanted), master.lookups.fd) as process:
                    while process.returncode is None and master.served.dns == wanted:
                        await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=_WATCH_SECONDS)
                    died = process.returncode
                if died is not None:
                    master.log.warning("lookups stopped", how=spawn.how_it_ended(died), next_try_seconds=_AGAIN_SECONDS)
                    seconds = _AGAIN_SECONDS
            except OSError as error:
                master.log.warning("lookups not started", reason=str(error), next_try_seconds=_AGAIN_SECONDS)
                seconds = _AGAIN_SECONDS
        await asyncio.sleep(seconds)


def _order(wanted: options.Dns) -> bytes:
    """What the process is told: a line (verify/lookups.py). Domains go by their number in what is served."""
    servers = [config.resolver(each) for each in wanted.servers]
    told = {"servers": servers, "per_second": wanted.per_second, "timeout": wanted.timeout}
    return json.dumps({**told, "domains": catalogue.domains()}).encode() + b"\n"
