"""crawlers.toml: who sends a crawler, what for, which words it says, and how it proves that it is one.

Law: a file of the package, checked when it is read; whatever is wrong in it is a fault of this xbot (tests/verify holds it).
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Literal, get_args

import msgspec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).with_name("crawlers.toml")
Purpose = Literal[
    "search", "training", "ai-search", "assistant", "data", "preview", "archive", "seo", "ads", "feed", "monitor"
]
PURPOSES: tuple[str, ...] = get_args(Purpose)


class Crawler(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One crawler. `agents`: words of the User-Agent; not `sent`: a name for robots.txt alone. `ranges`: names of lists of
    networks. `dns`: domains of its addresses' names. `signs`: where the keys of its signatures are published."""

    owner: str
    purpose: Purpose
    agents: tuple[str, ...]
    sent: bool = True
    ranges: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    signs: str = ""


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`ranges`: name of a list -> the address where its owner publishes it."""

    crawlers: dict[str, Crawler]
    ranges: dict[str, str]


@functools.cache
def load() -> Catalogue:
    """The catalogue that comes with xbot."""
    return msgspec.convert(tomllib.loads(FILE.read_text("utf-8")), Catalogue)


def names(word: str) -> bool:
    """Is this a purpose or the name of a crawler?"""
    return word in PURPOSES or word in load().crawlers


def domains() -> tuple[str, ...]:
    """The domains that confirm the addresses of crawlers, in the order of their numbers."""
    return tuple(dict.fromkeys(name for each in load().crawlers.values() for name in each.dns))


def directories() -> dict[str, str]:
    """Crawler -> where the keys of its signatures are published."""
    return {name: each.signs for name, each in load().crawlers.items() if each.signs}


def search_lists() -> tuple[str, ...]:
    """The lists that prove a search engine's crawler."""
    found = (name for each in load().crawlers.values() if each.purpose == "search" for name in each.ranges)
    return tuple(dict.fromkeys(found))
