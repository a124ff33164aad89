"""From the catalogue of crawlers and the newest lists of networks to what the image of policies holds of them.

Law: which crawler an address belongs to when several lists hold it, and what a policy does with each crawler, is worked out
here; csrc/policy/crawlers.h says what it means.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sidecar.verify import catalogue, ranges, robots
from sidecar.verify.ranges import Network

ACTIONS = ("score", "allow", "deny")
Held = tuple[
    int, int, int, int
]  # first and last address, bits of the lists that hold them, whose they are without a word


@dataclass(frozen=True)
class Crawlers:
    """`rows`: name, purpose, bits of its lists, bits of those that are recent, bits of its domains in the DNS, whether it is a
    search engine's. `words`: (lower case, crawler by number)."""

    rows: tuple[tuple[str, str, int, int, int, bool], ...]
    v4: tuple[Held, ...]
    v6: tuple[Held, ...]
    words: tuple[tuple[bytes, int], ...]


LISTED = 1 << 63  # the bit of networks that are in a list of the configuration, and in no owner's


def load(directory: Path | None, look_up: bool = False, listed: tuple[Network, ...] = ()) -> Crawlers:
    """Of the newest copies; `directory` holds those that were fetched. `look_up`: the DNS proves, too. `listed`: networks of a list,
    which lie among these and prove nobody."""
    copies, _ = ranges.newest(directory)
    lists = tuple((each.name, each.networks, each.age() < ranges.OLD) for each in copies.values())
    return _made(lists, look_up, listed)


@functools.lru_cache(maxsize=2)
def _made(
    lists: tuple[tuple[str, tuple[Network, ...], bool], ...], look_up: bool, listed: tuple[Network, ...]
) -> Crawlers:
    known = catalogue.load()
    domain = {name: 1 << i if look_up else 0 for i, name in enumerate(catalogue.domains())}
    bit = {name: 1 << i for i, name in enumerate(known.ranges)}
    recent = sum(bit[name] for name, _, new in lists if new)
    rows, words = [], []
    for number, (name, each) in enumerate(known.crawlers.items()):
        bits = sum(bit[source] for source in each.ranges)
        rows.append(
            (name, each.purpose, bits, bits & recent, sum(domain[d] for d in each.dns), each.purpose == "search")
        )
        words += [(agent.encode(), number) for agent in each.agents if each.sent]
    holds = [(network, bit[name]) for name, networks, _ in lists for network in networks]
    holds += [(network, LISTED) for network in listed]
    silent = [(number, row[2]) for number, row in enumerate(rows) if row[5] and row[2]]
    v4, v6 = (_segments(((n, b) for n, b in holds if n.version == version), silent, len(rows)) for version in (4, 6))
    return Crawlers(tuple(rows), v4, v6, tuple(words))


def _segments(held: Iterable[tuple[Network, int]], silent: list[tuple[int, int]], nobody: int) -> tuple[Held, ...]:
    """The networks cut where any begins or ends, each piece with all the lists that hold it. Networks of one list do not overlap."""
    edges: dict[int, int] = {}
    for network, bit in held:
        edges[int(network[0])] = edges.get(int(network[0]), 0) + bit
        edges[int(network[-1]) + 1] = edges.get(int(network[-1]) + 1, 0) - bit
    out, bits, begin = list[Held](), 0, 0
    for place in sorted(edges):
        if bits:
            whose = next((number for number, lists in silent if lists & bits), nobody)
            out.append((begin, place - 1, bits, whose))
        bits, begin = bits + edges[place], place
    return tuple(out)


def actions(said: Mapping[str, str]) -> bytes:
    """What a policy does with each crawler, by number: names stand above purposes."""
    return bytes(ACTIONS.index(robots.word_of(said, name)) for name in catalogue.load().crawlers)
