"""published.py - the packages that the corpus is made from: agents of bots and people, header sets of browsers.

Law: what a package says is read here and nowhere else, as plain values. They install with the extra `corpus`.
Sources: crawler-user-agents, fake-useragent and apify_fingerprint_datapoints on PyPI.
"""

from __future__ import annotations

import random
import re
import zipfile
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from sidecar.errors import XbotError

PACKAGES = {
    "apify_fingerprint_datapoints": "apify_fingerprint_datapoints",
    "crawleruseragents": "crawler-user-agents",
    "fake_useragent": "fake-useragent",
}
MISSING = "*MISSING_VALUE*"
# Read by people, or by a program at a person's order: each site decides on these, the corpus does not.
UNDECIDED = {"feed-reader", "social-preview"}
# Listed as bots, but these are people in an application's own browser.
NOT_BOTS = re.compile(r"Instagram|MetaIAB|Fluid|Electron|Mobile/\w+ \[FB")
# In the network, but these are no people.
NOT_PEOPLE = re.compile(r"Headless|bot|LarkUrl|pageburst", re.IGNORECASE)
# The networks name headers as HTTP/2 writes them; HTTP/1.1 has capitals, but for client hints.
HEADERS = ["User-Agent", "Accept", "Accept-Encoding", "DNT", "Upgrade-Insecure-Requests"]
HINTS = ["sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform"]


def check() -> dict[str, str]:
    """The versions of the packages. Raises XbotError, naming the command, if one is missing."""
    missing = [name for module, name in PACKAGES.items() if not find_spec(module)]
    if missing:
        raise XbotError(f"the corpus needs packages that are not installed: pip install {' '.join(missing)}")
    return {name: version(name) for name in PACKAGES.values()}


@cache
def crawler_agents() -> tuple[str, ...]:
    """Agents of declared crawlers, monitors, scanners and tools."""
    entries = msgspec.json.decode(_data("crawleruseragents", "crawler-user-agents.json").read_bytes())
    return tuple(
        agent
        for entry in entries
        if not UNDECIDED & set(entry.get("tags", []))
        for agent in entry["instances"]
        if agent.strip() and agent.isprintable() and not NOT_BOTS.search(agent)
    )


@cache
def _shares() -> tuple[list[str], list[float]]:
    shares: dict[str, float] = {}
    for line in _data("fake_useragent", "data/browsers.jsonl").read_bytes().splitlines():
        row = msgspec.json.decode(line)
        shares[row["useragent"]] = shares.get(row["useragent"], 0.0) + row["percent"]
    return list(shares), list(accumulate(share**0.5 for share in shares.values()))


def shared_agent(rng: random.Random) -> str:
    """An agent of a person of these years, by the root of its share, so that rare browsers count."""
    agents, weights = _shares()
    return rng.choices(agents, cum_weights=weights)[0].strip()


class Network:
    """A Bayesian network over the values of headers: a list of nodes, each after its parents."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            self.nodes = msgspec.json.decode(archive.read(archive.namelist()[0]))["nodes"]

    def sample(self, rng: random.Random, known: Mapping[str, str]) -> dict[str, str]:
        """A value for every node, given those in `known`."""
        values = dict(known)
        for node in self.nodes:
            if node["name"] not in values:
                chances = self._chances(node, values)
                drawn = rng.choices(list(chances), list(chances.values())) if chances else [MISSING]
                values[node["name"]] = drawn[0]
        return values

    @staticmethod
    def _chances(node: dict[str, Any], values: Mapping[str, str]) -> dict[str, float]:
        table = node["conditionalProbabilities"]
        for parent in node["parentNames"]:
            # A value that the network never saw with the ones before it: what it knows without it.
            table = table.get("deeper", {}).get(values[parent], table.get("skip", {}))
        return table if isinstance(table, dict) and not {"deeper", "skip"} & table.keys() else {}


@cache
def _networks() -> tuple[Network, Network]:
    folder = _data("apify_fingerprint_datapoints", "data")
    return Network(folder / "input-network-definition.zip"), Network(folder / "header-network-definition.zip")


def recorded_headers(rng: random.Random) -> dict[str, str]:
    """Header values of a real browser of these years: agent, client hints, Accept, Accept-Encoding, DNT.

    The networks hold no Accept-Language, Sec-Fetch-*, Referer or Cookie: browsers.py adds what a browser sends, and
    puts all in a browser's order.
    """
    settings, network = _networks()
    while True:
        sampled = network.sample(rng, settings.sample(rng, {}))
        found = {name: sampled.get(name, MISSING) for name in HEADERS + HINTS}
        found |= {name: sampled[name.lower()] for name in HEADERS if found[name] == MISSING}
        headers = {name: value for name, value in found.items() if value != MISSING}
        who = headers.get("User-Agent", "Headless") + headers.get("sec-ch-ua", "")
        if not NOT_PEOPLE.search(who):
            return headers


def _data(module: str, name: str) -> Path:
    check()
    spec = find_spec(module)
    return Path((spec and spec.origin) or "").parent / name
