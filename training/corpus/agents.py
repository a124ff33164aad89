"""agents.py - what people's browsers call themselves, from 2007 to today (agents.tsv).

Law: a template belongs to the years in which people used it; to draw an agent, draw the year first. The
published lists hold the browsers of the last years only: a model fitted on them alone learns the age of an agent.
The templates are our own. Versions and dates are approximate, and nothing may depend on more than that.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Callable

from training.corpus.tables import Blanks, draw

FIRST_YEAR, LAST_YEAR = 2007, 2026
YEARS = range(FIRST_YEAR, LAST_YEAR + 1)
# Somewhat more people use a browser of the last five years; the rest is spread evenly.
YEAR_WEIGHTS = [3 if year > LAST_YEAR - 5 else 2 for year in YEARS]

# fmt: off
# The first year, and the major version that was current as that year and each later one began. The last year goes on
# into the next: what comes out then must be nothing new.
MAJORS: dict[str, tuple[int, list[int]]] = {
    "chrome": (2009, [1, 4, 9, 17, 24, 32, 40, 48, 56, 64, 72, 79, 88, 97, 109, 121, 132, 144, 169]),
    "firefox": (2007, [2, 3, 3, 3, 4, 9, 18, 27, 35, 44, 51, 58, 65, 72, 85, 96, 109, 122, 134, 147, 166]),
    "safari": (2007, [3, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 18, 26, 29]),
    "ios": (2007, [2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 18, 26, 29]),
    "android": (2009, [1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 19]),
    "opera": (2013, [15, 19, 27, 35, 43, 51, 58, 66, 74, 83, 95, 107, 117, 126, 153]),
    "samsung": (2015, [2, 4, 5, 7, 9, 11, 14, 17, 20, 24, 27, 29, 34]),
    "yandex": (2013, [13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 28]),
    "ucmobile": (2010, [7, 7, 8, 9, 9, 10, 10, 11, 12, 12, 13, 13, 13, 13, 15, 17, 18, 19]),
}
# The third number of a Chrome version, at every tenth major.
CHROME_BUILDS = [154, 648, 1132, 1599, 2214, 2661, 3112, 3538, 3987, 4430, 4896, 5481, 6099, 6723, 7339, 7790, 8300]
ANDROID_BUILDS = {
    1: "DRC83 ESD20", 2: "FRF91 GRI40 GINGERBREAD GRJ22", 3: "HMJ37 HTJ85B", 4: "IMM76D JRO03C JDQ39 KOT49H",
    5: "LRX21V LRX22C LMY47V", 6: "MMB29M MRA58K MOB30M", 7: "NRD90M N2G48C NMF26X", 8: "OPM1.171019.011 R16NW",
    9: "PPR1.180610.011 PKQ1.181203.001", 10: "QP1A.190711.020 QKQ1.200114.002", 11: "RP1A.200720.011",
    12: "SP1A.210812.016", 13: "TP1A.220624.014", 14: "UP1A.231005.007", 15: "AP3A.240617.008", 16: "BP2A.250605.031",
    17: "CP1A.260305.018", 18: "CP2A.260705.006",
}
# fmt: on


def draw_year(rng: random.Random) -> int:
    """The year whose browser a client uses."""
    return rng.choices(YEARS, YEAR_WEIGHTS)[0]


def draw_language(rng: random.Random) -> str:
    """What a client's owner reads, like `de-DE`."""
    return draw("agents.tsv", rng, "language", LAST_YEAR)[0]


def draw_agent(year: int, rng: random.Random, language: str = "en-US", group: str = "graphical") -> str:
    """An agent that people used in `year`; `group`: `graphical`, `plain` (text browsers, simple
    telephones), or `app` (what applications send by themselves)."""
    return draw("agents.tsv", rng, group, year)[0].format_map(_Blanks(year, rng, language)).strip()


def major(product: str, year: int, rng: random.Random) -> int:
    """A major version of `product` that was current in `year` (before its first year: its first)."""
    first, versions = MAJORS[product]
    at = min(max(year - first, 0), len(versions) - 2)
    number = rng.randint(versions[at], max(versions[at], versions[at + 1] - 1))
    return 18 if product in ("safari", "ios") and 18 < number < 26 else number  # Apple left out 19 to 25


def chrome_version(number: int, rng: random.Random) -> str:
    """All four parts of a Chrome version, with a build number near the true one."""
    ten = min(number // 10, len(CHROME_BUILDS) - 2)
    build = CHROME_BUILDS[ten] + (CHROME_BUILDS[ten + 1] - CHROME_BUILDS[ten]) * (number % 10) // 10
    return f"{number}.0.{build}.{rng.randint(10, 220)}"


class _Blanks(Blanks):
    """The blanks of one agent, of one year."""

    def __init__(self, year: int, rng: random.Random, language: str) -> None:
        self.year, self.rng = year, rng
        super().__init__(
            self._draw,
            lang=language,
            langlow=language.lower(),
            lang2=language[:2],
            locale=language.replace("-", "_"),
            khtml="(KHTML, like Gecko)",
            none="",
        )

    def _draw(self, key: str) -> str:
        if key in FILL:
            return FILL[key](self)
        if key in MAJORS:
            return str(major(key, self.year, self.rng))
        return draw("agents.tsv", self.rng, key, self.year)[0].format_map(self)


def _windows(b: _Blanks) -> str:
    bits = ["; Win64; x64"] if b.year >= 2020 else ["; Win64; x64", "; WOW64", "; WOW64", ""]
    return f"Windows NT {b['win']}{b.rng.choice(bits)}"


def _desktop(b: _Blanks) -> str:
    linux = ["X11; Linux x86_64", "X11; Linux x86_64", "X11; Linux i686", "X11; Fedora; Linux x86_64"]
    systems = [_windows(b), f"Macintosh; {b['mac']}", b.rng.choice(linux)]
    return b.rng.choices(systems, [70, 20, 10])[0]


def _gecko(b: _Blanks) -> str:
    linux = ["Linux x86_64", "Ubuntu; Linux x86_64", "Linux i686", "Fedora; Linux x86_64"]
    unix = b.rng.choice([*linux, "FreeBSD amd64", "OpenBSD amd64"])
    mac = f"Macintosh; Intel Mac OS X 10.{min(b.year - 2004, 15)}"
    return b.rng.choices([_windows(b), mac, f"X11; {unix}"], [65, 15, 20])[0]


def _old_gecko(b: _Blanks) -> str:
    return b.rng.choices(
        [f"Windows; U; Windows NT {b['win']}", "Macintosh; U; Intel Mac OS X 10.5", "X11; U; Linux i686"], [4, 1, 1]
    )[0]


def _mac(b: _Blanks) -> str:
    # The agent stopped telling newer systems apart.
    minor = b.rng.randint(1, 8) if b.year < 2020 else 7
    return f"{'U; ' * (b.year < 2010)}Intel Mac OS X 10_{min(b.year - 2004, 15)}_{minor}"


def _chrome(b: _Blanks) -> str:
    number = b["fullchrome"].split(".")[0]
    return f"{number}.0.0.0" if int(number) >= 107 else b["fullchrome"]  # since 2022 it tells the major version only


def _edge(b: _Blanks) -> str:
    number = b["chrome"].split(".")[0]
    return b["chrome"] if b.year >= 2023 else f"{number}.0.{b.rng.randint(500, 3500)}.{b.rng.randint(10, 99)}"


def _ios(b: _Blanks) -> str:
    number = major("ios", b.year, b.rng)
    if number >= 26:  # whose agent keeps saying 18
        return f"18_{b.rng.choice('67')}"
    return f"{number}_{b.rng.randint(0, 6)}" + b.rng.choice(["", "_1", "_2"])


def _applewebkit(b: _Blanks) -> str:
    number = int(b["safari"])
    return "605.1.15" if number >= 11 else f"{520 + 8 * number}.{b.rng.randint(1, 59)}.{b.rng.randint(1, 30)}"


def _android(b: _Blanks) -> str:
    number = major("android", b.year - b.rng.choice([0, 0, 1, 1, 2, 3]), b.rng)  # telephones are slow to update
    return f"{number}.{b.rng.randint(0, 4)}" if b.year < 2018 else str(number)


def _build(b: _Blanks) -> str:
    return f" Build/{b['buildid']}" if b.year < 2019 or b.rng.random() < 0.15 else ""


def _mobile(b: _Blanks) -> str:
    return "15E148" if b.year >= 2018 else f"{b.year - 2002}{b.rng.choice('ABCEFG')}{b.rng.randint(10, 400)}"


def _code(b: _Blanks) -> str:
    """The kind of name that makers give to a device, as in GT-I9300: nobody can list them all, so none may tell."""
    letters = "".join(b.rng.choices("ABCDEFGHIKLMNPRSTUVWXZ", k=b.rng.randint(1, 3)))
    digits = str(b.rng.randint(1, 10 ** b.rng.randint(1, 4)))
    return letters + b.rng.choice(["", "", "-", "_"]) + digits + b.rng.choice(["", "", "", "A", "B", "E", "L", "X"])


def _model(b: _Blanks) -> str:
    if b.rng.random() < 0.5:
        return draw("agents.tsv", b.rng, "model", b.year)[0].format_map(b)
    maker = b.rng.choice(["", "", f"{b['maker']} "])
    return maker + _code(b) + b.rng.choice(["", "", "", " Pro", " Plus", " Max", " 4G", " 5G", " Lite", "_EEA"])


def _app_name(b: _Blanks) -> str:
    """An invented application's: words that no list holds are no sign of a bot."""
    invented = "".join(b.rng.choice("bdfgklmnprstvz") + b.rng.choice("aeiou") for _ in range(b.rng.randint(2, 3)))
    word = draw("agents.tsv", b.rng, "appword", b.year)[0]
    name = b.rng.choice([invented.title(), invented.title() + word, word, invented])
    return b.rng.choice([name, name, name, f"{name}%20{word}", f"com.{invented}.{word.lower()}", f"{name}-App"])


def _app(b: _Blanks) -> str:
    """What an application adds to its browser's agent: its name and version, and perhaps a few words on itself."""
    rng = b.rng
    version = ".".join(str(rng.randint(0, 60)) for _ in range(rng.randint(1, 4)))
    words = [
        f"{_app_name(b)}/{version}",
        f"NetType/{rng.choice(['WIFI', '4G', '5G', 'LTE'])}",
        f"Language/{b['lang']}",
        f"({_code(b)}; {b['locale']}; build:{rng.randint(1, 99999)})",
        f"{_app_name(b)}/{rng.randint(1, 400)}",
        f"app_version/{version}",
        f"DeviceId/{rng.getrandbits(64):x}",
        "InApp",
    ]
    return " ".join([words[0], *rng.sample(words[1:], rng.choices(range(5), [8, 4, 3, 2, 1])[0])])


# Blanks that need more than a draw from agents.tsv. {n0} to {n3} are small numbers of one to three digits.
FILL: dict[str, Callable[[_Blanks], str]] = {
    "n0": lambda b: str(b.rng.randint(2, 8)),
    "n1": lambda b: str(b.rng.randint(10, 40)),
    "n2": lambda b: str(b.rng.randint(100, 980)),
    "n3": lambda b: str(b.rng.randint(1, 28)),
    "gdate": lambda b: f"{b.year}{b.rng.randint(1, 12):02}{b.rng.randint(1, 28):02}",
    "desktop": _desktop,
    "gecko": _gecko,
    "oldgecko": _old_gecko,
    "mac": _mac,
    "chrome": _chrome,
    "fullchrome": lambda b: chrome_version(major("chrome", b.year, b.rng), b.rng),
    "edge": _edge,
    "ios": _ios,
    "iosdot": lambda b: b["ios"].replace("_", "."),
    "applewebkit": _applewebkit,
    "android": _android,
    "build": _build,
    "buildid": lambda b: b.rng.choice(ANDROID_BUILDS[min(int(b["android"].split(".")[0]), 18)].split()),
    "mobile": _mobile,
    "webkit": lambda b: "537.36" if b.year >= 2013 else f"53{b.rng.randint(3, 7)}.{b.rng.randint(1, 19)}",
    "iossafari": lambda b: "604.1" if b.year >= 2017 else f"{b.rng.randint(531, 602)}.{b.rng.randint(1, 9)}",
    "ucpu": lambda b: "U; " if b.year <= 2011 else "",
    "code": _code,
    "model": _model,
    "app": _app,
    "appname": _app_name,
    "letter": lambda b: b.rng.choice("ABCDEGHKMNRST"),
    "darwin": lambda b: f"{min(max(b.year - 2000, 10), 25)}.{b.rng.randint(0, 6)}.0",
    "ulang": lambda b: f"; {b['langlow']}" if b.year <= 2011 else "",
}

_PRODUCTS = [
    ("chrome", r"Chrom(?:e|ium)/(\d+)|CriOS/(\d+)"),
    ("firefox", r"(?:Firefox|FxiOS)/(\d+)"),
    ("safari", r"Version/(\d+)[.\d]* (?:Mobile/\w+ )?Safari"),
    ("ios", r"OS (\d+)_\d"),
    ("android", r"Android (\d+)"),
]
_IE_YEARS = {6: 2007, 7: 2008, 8: 2010, 9: 2012, 10: 2013, 11: 2016}


def year_of(agent: str) -> int | None:
    """About the year of the browser that an agent claims to be; None if it names none that we know."""
    if found := re.search(r"MSIE (\d+)|Trident/.*rv:(\d+)", agent):
        return _IE_YEARS.get(int(found[1] or found[2]))
    for product, pattern in _PRODUCTS:
        if found := re.search(pattern, agent):
            first, versions = MAJORS[product]
            number = int(next(group for group in found.groups() if group))
            return min(first + max(bisect_right(versions, number) - 1, 0), LAST_YEAR)
    return None
