"""sets.py - the named sets that rules refer to: agents of known programs, networks.

Law: what a package or a file says is read here and nowhere else; a missing package is named with the command that
installs it and with the switch that does without. Sources: crawler-user-agents and pymispwarninglists on PyPI.
"""

from __future__ import annotations

import bisect
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from pathlib import Path
from typing import Any

import msgspec

from sidecar import inputs
from sidecar.errors import XbotError
from sidecar.verify import ranges
from training.label.rules import Agents, Networks

_GRAM = 3  # letters; shorter words of a package are left to the regular expression


class Patterns:
    """Tells whether one of some regular expressions is found in a text, letters without regard to case.

    One in lower case is looked for in the text in lower case, and each by itself: four times as fast, measured, as one
    expression of all that ignores case.
    """

    def __init__(self, words: Iterable[str]) -> None:
        words = list(words)
        self._lower = [re.compile(word).search for word in words if word == word.lower()]
        self._any = [re.compile(word, re.IGNORECASE).search for word in words if word != word.lower()]

    def __call__(self, text: str) -> bool:
        lower = text.lower()
        return any(search(lower) for search in self._lower) or any(search(text) for search in self._any)


class AgentSet:
    """Tells whether a user agent is one of a set; `where` is the file that names the set, for messages.

    A package has 1,500 patterns, nearly all of them plain words. One regular expression of them all takes a millisecond
    an agent; so the plain words lie under their first letters, and only the rest are regular expressions.
    """

    def __init__(self, table: Agents, name: str, where: Path | None) -> None:
        patterns = list(_package_patterns(table, name, where)) if table.package else []
        self._words: defaultdict[str, list[str]] = defaultdict(list)
        self._rest = []
        for pattern in patterns:
            word = _plain(pattern)
            if word is not None and len(word) >= _GRAM:
                self._words[word[:_GRAM]].append(word)
            else:
                self._rest.append(re.compile(pattern).search)  # the package minds the case
        self._grams = frozenset(self._words)
        self._own, self._except = Patterns(table.patterns), Patterns(table.except_patterns)

    def __call__(self, agent: str) -> bool:
        grams = self._grams.intersection([agent[i : i + _GRAM] for i in range(len(agent) - _GRAM + 1)])
        found = (
            any(word in agent for gram in grams for word in self._words[gram])
            or any(search(agent) for search in self._rest)
            or self._own(agent)
        )
        return found and not self._except(agent)


def _plain(pattern: str) -> str | None:
    r"""The word that a pattern like `Foo\/1\.0` stands for; None if it is more than a word."""
    word = re.sub(r"\\([^A-Za-z0-9])", r"\1", pattern)
    bare = re.sub(r"\\[^A-Za-z0-9]", "", pattern)
    return None if re.search(r"[\\^$.|?*+()\[\]{}]", bare) else word


def _package_patterns(table: Agents, name: str, where: Path | None) -> Iterator[str]:
    entries = _json(
        "crawleruseragents", "crawler-user-agents.json", "crawler-user-agents", f"{where}: agents.{name}", name
    )
    for entry in entries:
        tags = set(entry.get("tags", ()))
        if (not table.tags or tags & set(table.tags)) and not tags & set(table.without_tags):
            yield entry["pattern"]


class NetworkSet:
    """Tells whether an address, as its 4 or 16 bytes, is in one of a set of networks: a bisection of ranges."""

    def __init__(self, table: Networks, name: str, where: Path | None) -> None:
        networks: list[IPv4Network | IPv6Network] = [ip_network(word) for word in table.ip]
        if table.published:
            networks += [each for copy in ranges.newest(None)[0].values() for each in copy.networks]
        for listed in table.lists:
            networks += _package_networks(listed, name, where)
        for file in table.files:
            networks += _file_networks(Path(file))
        self._first: dict[int, list[int]] = {}
        self._last: dict[int, list[int]] = {}
        for version, size in ((4, 4), (6, 16)):
            merged = list(collapse_addresses(n for n in networks if n.version == version))  # type: ignore[type-var]
            self._first[size] = [int(n.network_address) for n in merged]
            self._last[size] = [int(n.broadcast_address) for n in merged]

    def __call__(self, packed: bytes) -> bool:
        value, first = int.from_bytes(packed, "big"), self._first[len(packed)]
        at = bisect.bisect_right(first, value) - 1
        return at >= 0 and value <= self._last[len(packed)][at]


def _package_networks(listed: str, name: str, where: Path | None) -> Iterator[IPv4Network | IPv6Network]:
    at = f"{where}: networks.{name}"
    data = f"data/misp-warninglists/lists/{listed}/list.json"
    content = _json("pymispwarninglists", data, "pymispwarninglists", at, name)
    if content["type"] != "cidr":
        raise XbotError(f"{at}.lists: {listed!r} is no list of networks")
    for word in content["list"]:
        yield ip_network(word, strict=False)


def _json(module: str, data: str, package: str, at: str, name: str) -> Any:
    """A JSON file of an installed package."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise XbotError(f"{at}: needs {package}, which is not installed: pip install {package} (or: --off {name})")
    try:
        return msgspec.json.decode((Path(spec.origin).parent / data).read_bytes())
    except OSError:
        raise XbotError(f"{at}: {package} has no {data}") from None


def _file_networks(path: Path) -> Iterator[IPv4Network | IPv6Network]:
    """Networks of a file: one a line, `#` starts a comment; or JSON with `ipv4Prefix` and `ipv6Prefix`, as search
    engines publish theirs. XbotError names file and line."""
    text = inputs.read_bytes(path, pipe=True).decode("utf-8", "backslashreplace")
    if text.lstrip().startswith("{"):
        words = [(0, word) for word in re.findall(r'"ipv[46]Prefix"\s*:\s*"([^"]*)"', text)]
        if not words:
            raise XbotError(f"{path}: JSON without ipv4Prefix or ipv6Prefix")
    else:
        words = [(number, line.partition("#")[0].strip()) for number, line in enumerate(text.splitlines(), 1)]
    for number, word in words:
        if not word:
            continue
        try:
            yield ip_network(word, strict=False)
        except ValueError as error:
            raise XbotError(f"{path}:{number or ''}{': ' if number else ' '}{error}") from None
