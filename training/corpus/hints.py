"""hints.py - the client hints of a Chromium: brands, versions, platform.

Law: hints follow from the agent. The engine's version is the agent's, the platform is the agent's system, and the
brand that means nothing (GREASE) has the name, the version and the place that Chromium computes from its version.
Facts: the User-Agent Client Hints specification and Chromium's own sources.
"""

from __future__ import annotations

import random
import re
from itertools import permutations

# fmt: off
# Pattern in the agent, brand, and the product whose version it has in the agent (none: the engine's).
BRANDS = [
    (r"Edg[A/]", "Microsoft Edge", None), (r"OPR/", "Opera", r"OPR/(\d+)"),
    (r"SamsungBrowser", "Samsung Internet", r"SamsungBrowser/([\d.]+)"), (r"YaBrowser", "YaBrowser", r"YaBrowser/(\d+\.\d+)"),
    (r"; wv\)", "Android WebView", None), (r"Whale/", "Whale", r"Whale/(\d+)"),
    (r"HuaweiBrowser", "HuaweiBrowser", r"HuaweiBrowser/(\d+)"), (r"Ecosia", "Ecosia", None),
    (r"UCBrowser|MiuiBrowser|QQBrowser|HeyTap|Version/4\.0|Silk/", "Android WebView", None),
    (r"DuckDuckGo|Ddg/", "DuckDuckGo", None), (r"Ubuntu Chromium|Qt|Falkon|Chromium/", "Chromium", None),
]
# Brands that do not show in the agent, and how often.
UNSEEN = {"Google Chrome": 91, "Chromium": 3, "Brave": 4, "Vivaldi": 1, "DuckDuckGo": 0.5}
# GREASE before version 105, and what it is made of since.
OLD_GREASE = ['" Not A;Brand";v="99"', '" Not;A Brand";v="99"', '";Not A Brand";v="99"', '"(Not(A:Brand";v="99"',
              '".Not/A)Brand";v="99"']
LETTERS = " (:-./);=?_"
VERSIONS = ("8", "99", "24")
PLATFORMS = [
    ("Android", "Android"), ("Windows", "Windows"), ("Mac OS X", "macOS"), ("CrOS", "Chrome OS"), ("Tizen", "Tizen"),
    ("", "Linux"),
]
# fmt: on
ORDERS = list(permutations(range(3)))  # in the order of Chromium's own table


def platform(agent: str) -> str:
    """The platform that hints name for this agent."""
    return next(name for word, name in PLATFORMS if word in agent)


def grease(version: int, rng: random.Random) -> str:
    """The brand that means nothing, of this version of Chromium."""
    if version < 105:
        return rng.choice(OLD_GREASE)
    first, second = LETTERS[version % 11], LETTERS[(version + 1) % 11]
    return f'"Not{first}A{second}Brand";v="{VERSIONS[version % 3]}"'


def _brand(agent: str, version: int, rng: random.Random) -> str | None:
    for pattern, name, product in BRANDS:
        if re.search(pattern, agent):
            own = product and re.search(product, agent)
            return f'"{name}";v="{own[1] if own else version}"' if name != "Chromium" else None
    name = rng.choices(list(UNSEEN), list(UNSEEN.values()))[0]
    return f'"{name}";v="{version}"' if name != "Chromium" else None


def brands(agent: str, version: int, rng: random.Random, brand: str | None = None) -> str:
    """The value of sec-ch-ua. `brand` replaces the one that follows from the agent."""
    named = f'"{brand}";v="{version}"' if brand else _brand(agent, version, rng)
    listed = [grease(version, rng), f'"Chromium";v="{version}"', *([named] if named else [])]
    if len(listed) == 2:
        return ", ".join(listed[:: -1 if version % 2 else 1])
    placed = [""] * 3
    for text, place in zip(listed, ORDERS[version % 6], strict=True):
        placed[place] = text
    return ", ".join(placed)


def hints(agent: str, version: int, rng: random.Random, brand: str | None = None) -> dict[str, str]:
    """The three hints that every request carries."""
    return {
        "sec-ch-ua": brands(agent, version, rng, brand),
        "sec-ch-ua-mobile": "?1" if "Mobile" in agent else "?0",
        "sec-ch-ua-platform": f'"{platform(agent)}"',
    }


def fit(agent: str, version: int, given: dict[str, str]) -> bool:
    """Whether recorded hints are those of this agent."""
    named = re.search(r'"Chromium";v="(\d+)', given.get("sec-ch-ua", ""))
    mobile = "?1" if "Mobile" in agent else "?0"
    return (
        named is not None
        and int(named[1]) == version
        and given.get("sec-ch-ua-platform") == f'"{platform(agent)}"'
        and given.get("sec-ch-ua-mobile") == mobile
    )
