"""The lists of networks that owners of crawlers publish: which bytes are one, what may be in it, and the newest copy of each.

Law: whatever a list holds is what somebody else wrote. It is taken whole or not at all: one network that is private or too
wide, too many addresses, or half of what was there before gone, and the copy before stays. A copy tells its own date.

A publisher's list is JSON with `prefixes` (Google, Bing, draft-illyes-webbotauth-jafar-00) or plain text, a network a line. A
copy is plain text that begins with `# date: YYYY-MM-DD`: one of the package's (snapshot/), or a fetched one in a directory.
"""

from __future__ import annotations

import datetime
import functools
import ipaddress
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.errors import XbotError
from sidecar.inputs import MOST_OF_A_LIST, read_text
from sidecar.verify import catalogue

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SNAPSHOT = Path(__file__).with_name("snapshot")
OLD = 180  # days: from then on an absence disproves nobody
STALE = 3  # days: from then on a list that is fetched each day is told
MOST_BYTES = 4 << 20  # of a list as it is published
_SHOWN = 60  # letters of an entry in a message
_UNICAST = ipaddress.IPv6Network("2000::/3")  # RFC 4291
_EMBEDDING = (ipaddress.IPv6Network("2001::/32"), ipaddress.IPv6Network("2002::/16"))  # Teredo, 6to4


@dataclass(frozen=True)
class Bounds:
    """The widest network, by version, and how many IPv4 addresses a list may hold in all."""

    widest: dict[int, int]
    most: int


# Whoever is in a search engine's list is let in by default; wider networks are a cloud's, or a mistake.
SEARCH = Bounds({4: 20, 6: 48}, 1 << 14)
OTHERS = Bounds({4: 16, 6: 44}, 1 << 18)


@dataclass(frozen=True)
class Copy:
    """One list at one date; `place` is the file that it was read from."""

    name: str
    date: datetime.date
    networks: tuple[Network, ...]
    place: Path

    def age(self) -> int:
        """Days since its date; 0 if that is yet to come."""
        return max(0, (datetime.datetime.now(datetime.timezone.utc).date() - self.date).days)


def bounds(name: str) -> Bounds:
    """Those of the list of this name."""
    return SEARCH if name in catalogue.search_lists() else OTHERS


def checked(name: str, entries: Iterable[str], allowed: Bounds | None = None) -> tuple[Network, ...]:
    """A list's networks, ascending, none in another; XbotError if one is none, is not public or is too wide, if there are too
    many addresses in all, or none."""
    networks, allowed = list[Network](), allowed or bounds(name)
    for entry in entries:
        shown = entry if len(entry) <= _SHOWN else f"{entry[:_SHOWN]}..."  # publishers write what they like
        try:
            network = ipaddress.ip_network(entry)
        except ValueError as error:
            raise XbotError(f"{name}: {error if shown == entry else f'{shown!r} is no network'}") from None
        if network.prefixlen < allowed.widest[network.version]:
            raise XbotError(f"{name}: {shown}: wider than /{allowed.widest[network.version]}")
        if not _is_public(network):
            raise XbotError(f"{name}: {shown}: not of the public internet")
        networks.append(network)
    v4 = list(ipaddress.collapse_addresses(each for each in networks if each.version == 4))
    v6 = list(ipaddress.collapse_addresses(each for each in networks if each.version == 6))
    if not networks:
        raise XbotError(f"{name}: empty")
    if sum(each.num_addresses for each in v4) > allowed.most:
        raise XbotError(f"{name}: more than {allowed.most} IPv4 addresses")
    return (*v4, *v6)


def _is_public(network: Network) -> bool:
    """Of addresses that hosts have. Not where IPv4 is embedded in IPv6: one /96 of NAT64 is all of it."""
    if network.version == 6 and (
        not network.subnet_of(_UNICAST) or any(network.subnet_of(each) for each in _EMBEDDING)
    ):
        return False
    return network[0].is_global and network[-1].is_global


def published(name: str, data: bytes) -> tuple[Network, ...]:
    """What a publisher sent; XbotError as `checked`, and for bytes that are no list."""
    if len(data) > MOST_BYTES:
        raise XbotError(f"{name}: longer than {MOST_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise XbotError(f"{name}: not UTF-8") from None
    if not text.lstrip().startswith(("{", "[")):
        return checked(name, _entries(text))
    try:
        parsed: Any = json.loads(text)
        found = [each.get("ipv4Prefix") or each.get("ipv6Prefix") for each in parsed["prefixes"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise XbotError(f"{name}: not JSON with prefixes") from None
    if not all(isinstance(each, str) for each in found):
        raise XbotError(f"{name}: a prefix that is neither ipv4Prefix nor ipv6Prefix")
    return checked(name, found)


def not_shrunk(new: Iterable[Network], old: Copy) -> None:
    """XbotError if a new list holds less than half of the networks or addresses of the one before."""

    def size(networks: Iterable[Network]) -> tuple[int, int]:
        every = list(networks)
        return len(every), sum(each.num_addresses for each in every if each.version == 4)

    now, before = size(new), size(old.networks)
    if now[0] * 2 < before[0] or now[1] * 2 < before[1]:
        raise XbotError(f"{old.name}: it shrank from {before[0]} networks to {now[0]}: kept that of {old.date}")


def _entries(text: str) -> list[str]:
    return [entry for line in text.split("\n") if (entry := line.partition("#")[0].strip())]


def text_of(networks: Iterable[Network], date: datetime.date, source: str) -> str:
    """A copy as it lies in a file; `source` says where it comes from."""
    return f"# date: {date}\n# {source}\n" + "".join(f"{each}\n" for each in networks)


def read(place: Path) -> Copy:
    """A copy from its file, `NAME.txt`; XbotError as `checked`, and if it does not begin with its date."""
    try:
        seen = place.stat()
    except OSError as error:
        raise XbotError(f"{place}: {error.strerror}") from None
    return _read(place, seen.st_mtime_ns, seen.st_ino)


@functools.lru_cache(maxsize=64)
def _read(place: Path, _changed: int, _number: int) -> Copy:
    text = read_text(place, MOST_OF_A_LIST)
    found = re.match(r"# date: (\d{4}-\d\d-\d\d)\n", text)
    try:
        date = datetime.date.fromisoformat(found.group(1)) if found else None
    except ValueError:
        date = None
    if date is None:
        raise XbotError(f"{place}:1: it does not begin with its date")
    try:
        return Copy(place.stem, date, checked(place.stem, _entries(text)), place)
    except XbotError as error:
        raise XbotError(f"{place}: {error}") from None


def newest(directory: Path | None) -> tuple[dict[str, Copy], list[str]]:
    """(the newest copy of each list of the catalogue that there is one of, what was wrong with others)."""
    found, wrong = dict[str, Copy](), list[str]()
    for folder in (SNAPSHOT, *([directory] if directory else [])):
        for name in catalogue.load().ranges:
            place = folder / f"{name}.txt"
            if place.exists():
                try:
                    copy = read(place)
                except XbotError as error:
                    wrong.append(str(error))
                    continue
                if name not in found or copy.date >= found[name].date:
                    found[name] = copy
    return found, wrong
