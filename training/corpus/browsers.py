"""browsers.py - the headers a browser sends, by its engine and version, for each kind of request.

Law: headers follow from the agent, whatever source it came from. So no source of agents can be told by its headers.
Facts: the Fetch, Fetch Metadata and Client Hints specifications, and what browsers are seen to send.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache

from training.corpus.heads import Pairs, fill, head
from training.corpus.site import Visit, Want
from training.corpus.tables import rows

# fmt: off
# The first pattern that is found names the engine; its group, if any, is the version.
ENGINES = [
    ("plain", r"Lynx|w3m|ELinks|^Links|Dillo|NetSurf|URL/Emacs|Opera Mini|^BlackBerry|DoCoMo|^SAMSUNG-|^SonyEricsson"
              r"|^LG-|^Nokia|Series40|^UCWEB|UP\.Browser|^(?!Mozilla).*(?:MIDP|Obigo|Browser/AppleWebKit)"
              r"|Darwin/|^(?:.*\s)?Dalvik/|AppleCoreMedia|stagefright|ExoPlayer|watchOS|[Oo]ffice|^VLC|^Roku"),
    ("trident", r"MSIE (\d+)|Trident/.*rv:(\d+)"),
    ("edgehtml", r"Edge/(\d+)"),
    ("presto", r"^Opera/"),
    ("webkit", r"(?:iPhone|CPU|iPad; CPU) OS (\d+)_"),
    ("chromium", r"Chrom(?:e|ium)/(\d+)"),
    ("gecko", r"(?:Firefox|Goanna|Thunderbird)/(\d+)|rv:1\."),
    ("android", r"Android (\d+)|Kindle|Tizen"),
    ("webkit", r"Version/(\d+)|KHTML|AppleWebKit"),
]
PLAIN_HEADS = ["Lynx", "w3m", "ELinks", "Links", "Dillo", "NetSurf", "Emacs", "Opera Mini", "BlackBerry", "DoCoMo",
               "Darwin/2", "Darwin", "AppleCoreMedia", "Dalvik", "stagefright", "ExoPlayer", "watchOS", "ffice", "VLC",
               "Roku"]
# The first version of each engine that has a thing.
SINCE: dict[str, dict[str, int]] = {
    "h2": {"chromium": 41, "gecko": 36, "webkit": 9, "edgehtml": 12},
    "upgrade": {"chromium": 44, "gecko": 46, "webkit": 10, "edgehtml": 14},
    "br": {"chromium": 50, "gecko": 44, "webkit": 11, "edgehtml": 15},
    "zstd": {"chromium": 123, "gecko": 126, "webkit": 26},
    "fetch": {"chromium": 80, "gecko": 90, "webkit": 16},
    "hints": {"chromium": 89},
    "webview hints": {"chromium": 110},
    "priority": {"chromium": 124, "gecko": 128, "webkit": 17},
    "gpc": {"chromium": 86, "gecko": 95},
    "worker": {"chromium": 45, "gecko": 44, "webkit": 11},
    "origin only": {"chromium": 85, "gecko": 87, "webkit": 14},  # of another site's referrer
}
# Kind: Sec-Fetch-Mode, Sec-Fetch-Dest, Priority in Chromium, Priority in Gecko and WebKit.
FETCH = {
    "page": ("navigate", "document", "u=0, i", "u=0, i"),
    "post": ("navigate", "document", "u=0, i", "u=0, i"),
    "download": ("navigate", "document", "u=0, i", "u=0, i"),
    "prefetch": ("no-cors", "empty", "u=4, i", "u=6"),
    "style": ("no-cors", "style", "u=0", "u=2"),
    "script": ("no-cors", "script", "u=1", "u=2"),
    "image": ("no-cors", "image", "u=2, i", "u=5, i"),
    "favicon": ("no-cors", "image", "u=1, i", "u=6"),
    "font": ("cors", "font", "u=0", "u=2"),
    "media": ("no-cors", "video", "i", "u=4"),
    "xhr": ("cors", "empty", "u=1, i", "u=4"),
    "worker": ("same-origin", "serviceworker", "u=4, i", "u=4"),
}
# Header sets of an engine (heads.tsv) by the version from which on it sends them so.
ORDERS = {
    "webkit": [(0, "webkit-0"), (8, "webkit-8"), (10, "webkit-10"), (14, "webkit-14"), (17, "webkit-17")],
    "trident": [(0, "trident-0"), (8, "trident-8")],
}
# What a kind's Accept is like where the table has no row of its own.
LIKE = {"favicon": "image", "post": "page", "download": "page", "prefetch": "page"}
BRANDS = [
    (r"Edg[A/]", "Microsoft Edge"), (r"OPR/", "Opera"), (r"SamsungBrowser", "Samsung Internet"),
    (r"YaBrowser", "Yandex"), (r"; wv\)", "Android WebView"), (r"Whale/", "Whale"),
    (r"HuaweiBrowser", "HuaweiBrowser"), (r"Ubuntu Chromium|Qt", "Chromium"),
]
GREASE = [
    '"Not.A/Brand";v="8"', '"Not A;Brand";v="99"', '" Not A;Brand";v="99"', '"Not_A Brand";v="24"',
    '"Not/A)Brand";v="99"', '"Not)A;Brand";v="24"', '"Not:A-Brand";v="99"', '";Not A Brand";v="99"',
    '"Not?A_Brand";v="24"', '"Not(A:Brand";v="8"',
]
PLATFORMS = [
    ("Android", "Android"), ("Windows", "Windows"), ("Mac OS X", "macOS"), ("CrOS", "Chrome OS"), ("", "Linux"),
]
PACKAGES = [
    ("FB4A", "com.facebook.katana"), ("MESSENGER", "com.facebook.orca"), ("Instagram", "com.instagram.android"),
    ("Line/", "jp.naver.line.android"), ("GSA/", "com.google.android.googlequicksearchbox"),
    ("MicroMessenger", "com.tencent.mm"), ("Pinterest", "com.pinterest"), ("Snapchat", "com.snapchat.android"),
    ("Bytedance", "com.zhiliaoapp.musically"), ("", "com.example.reader"),
]
# fmt: on


@dataclass(frozen=True, slots=True)
class Browser:
    """What an agent tells about its engine. `version` is 0 where it tells none."""

    agent: str
    engine: str
    version: int

    def has(self, thing: str) -> bool:
        """Whether this version of the engine has `thing`, a row of SINCE."""
        return self.version >= SINCE[thing].get(self.engine, 1000)

    @property
    def webview(self) -> bool:
        """A browser inside an Android program."""
        return "; wv)" in self.agent


@dataclass(frozen=True, slots=True)
class Habits:
    """How one person's browser is set up. `recorded`: header values seen of a real browser with this agent."""

    dnt: bool = False
    gpc: bool = False
    hints: bool = True
    cookies: bool = True
    saves_data: bool = False
    thin: bool = False  # something on the way lets only the headers through that every page needs
    encodings: bool = True  # a proxy that inspects pages takes Accept-Encoding away
    recorded: Mapping[str, str] = field(default_factory=dict)


@lru_cache(4096)
def parse(agent: str) -> Browser:
    """The engine that `agent` claims to be."""
    for engine, pattern in ENGINES:
        if found := re.search(pattern, agent):
            return Browser(agent, engine, int(next((group for group in found.groups() if group), 0)))
    return Browser(agent, "webkit", 0)


@cache
def _accepts(engine: str, kind: str) -> tuple[list[int], list[str]]:
    found = [(int(since), value) for name, what, since, value in rows("accept.tsv") if (name, what) == (engine, kind)]
    return [since for since, _ in found], [value for _, value in found]


def accept(browser: Browser, kind: str) -> str:
    """The Accept header for a request of `kind`."""
    since, values = _accepts(browser.engine, LIKE.get(kind, kind))
    return values[bisect_right(since, browser.version) - 1] if values else "*/*"


def encodings(browser: Browser, *, trusted: bool) -> str:
    """The Accept-Encoding header for a page; br and zstd over trusted connections only."""
    engine, version = browser.engine, browser.version
    br = ", br" if trusted and browser.has("br") else ""
    if (engine == "chromium" and version < 43) or (engine == "gecko" and version < 4) or engine == "android":
        return "gzip,deflate,sdch" if engine == "chromium" else "gzip" if version < 3 else "gzip,deflate"
    if engine == "chromium" and version < 59:
        return f"gzip, deflate, sdch{br}"
    if engine == "webkit" and version in (11, 12) and trusted:
        return "br, gzip, deflate"
    return f"gzip, deflate{br}" + (", zstd" if trusted and browser.has("zstd") else "")


def languages(browser: Browser, language: str) -> str:
    """The Accept-Language header of somebody who reads `language` (like de-DE)."""
    short, engine, version = language[:2], browser.engine, browser.version
    english = short == "en"
    if engine == "gecko":
        if english or version <= 40:
            written = language.lower() if version < 4 else language
            return f"{written},en;q=0.5" if english else f"{language.lower()},{short};q=0.8,en-us;q=0.5,en;q=0.3"
        return f"{short},en-US;q=0.8,en;q=0.5" if version < 50 else f"{short},en-US;q=0.7,en;q=0.3"
    if engine == "chromium":
        own, next_, last = (8, 6, 4) if version < 62 else (9, 8, 7)
        also = "" if english or browser.webview else f",en-US;q=0.{next_},en;q=0.{last}"
        return f"{language},{short};q=0.{own}{also}"
    if engine == "presto" or (engine == "webkit" and version >= 13):
        return f"{language},{short};q=0.9" + (",en;q=0.8" if engine == "presto" and not english else "")
    if engine == "edgehtml" and not english:
        return f"{language},{short};q=0.8,en-US;q=0.5,en;q=0.3"
    if engine == "plain":
        return f"{language},{short};q=0.9" if re.search("Darwin/2|CoreMedia", browser.agent) else short
    return language.lower() if engine == "webkit" or (engine == "trident" and version < 9) else language


def hints(browser: Browser, rng: random.Random, brand: str | None = None) -> dict[str, str]:
    """The client hints of a Chromium; most brands can be seen in the agent."""
    usual = rng.choices(["Google Chrome", "Chromium", "Brave", "Vivaldi"], [92, 3, 4, 1])[0]
    named = brand or next((name for pattern, name in BRANDS if re.search(pattern, browser.agent)), usual)
    listed = [rng.choice(GREASE), *(f'"{name}";v="{browser.version}"' for name in dict.fromkeys(("Chromium", named)))]
    rng.shuffle(listed)
    return {
        "sec-ch-ua": ", ".join(listed),
        "sec-ch-ua-mobile": "?1" if "Mobile" in browser.agent else "?0",
        "sec-ch-ua-platform": f'"{_named(PLATFORMS, browser.agent)}"',
    }


def _named(table: list[tuple[str, str]], agent: str) -> str:
    return next(name for word, name in table if word in agent)


def order(browser: Browser, kind: str) -> str:
    """The name of the header set (heads.tsv) that this browser sends for `kind`."""
    engine, version = browser.engine, browser.version
    if engine == "plain":
        return next((word.lower() for word in PLAIN_HEADS if word in browser.agent), "phone")
    if engine in ORDERS:
        steps = ORDERS[engine]
        return steps[bisect_right([since for since, _ in steps], version) - 1][1]
    if engine != "chromium":
        return engine
    if version < 57 or FETCH[kind][0] == "navigate" or kind == "prefetch":
        return "chromium-0" if version < 57 else "chromium-page"
    if version < 127:
        return "chromium-xhr-57" if kind in ("xhr", "worker", "script") else "chromium-part-57"
    return "chromium-xhr" if kind == "xhr" else "chromium-part"


def headers(
    browser: Browser, habits: Habits, visit: Visit, want: Want, rng: random.Random, referrer: str = "", cookie: str = ""
) -> Pairs:
    """The headers of one request of a browser, in its order. `referrer` and `cookie` are empty for none."""
    values = {"Host": visit.host, "User-Agent": browser.agent, "Accept-Language": languages(browser, visit.language)}
    if browser.engine != "plain":
        values["Accept"] = accept(browser, want.kind)
        values["Accept-Encoding"] = encodings(browser, trusted=visit.trusted)
    elif re.search("Darwin/2|watchOS", browser.agent):
        values["Accept-Encoding"] = "gzip, deflate, br" if visit.trusted else "gzip, deflate"
    if referrer:
        cut = browser.has("origin only") and not referrer.startswith(visit.origin)
        values["Referer"] = "/".join(referrer.split("/")[:3]) + "/" if cut else referrer
    if cookie and habits.cookies:
        values["Cookie"] = cookie
    _by_engine(values, browser, visit, want)
    _by_kind(values, browser, visit, want, rng)
    if visit.trusted:
        _where_trusted(values, browser, habits, visit, want, rng)
    if habits.dnt and browser.engine != "plain":
        values["DNT"] = "1"
    if habits.gpc and browser.has("gpc"):
        values["Sec-GPC"] = "1"
    if habits.saves_data and browser.engine == "chromium" and "Android" in browser.agent:
        values["Save-Data"] = "on"
    _as_recorded(values, habits.recorded, visit, want)
    if not habits.encodings:
        values.pop("Accept-Encoding", None)
    if habits.thin:
        personal = ("Accept-Language", "Referer", "Cookie", "Priority", "Sec-Fetch")
        values = {name: value for name, value in values.items() if not name.startswith(personal)}
    return fill(head(order(browser, want.kind)), values)


def _by_engine(values: dict[str, str], browser: Browser, visit: Visit, want: Want) -> None:
    """What an engine sends with every request, or with every page."""
    engine, version = browser.engine, browser.version
    # WebKit stopped to say over https that it would like https.
    satisfied = engine == "webkit" and version >= 17 and visit.scheme == "https"
    if FETCH[want.kind][0] == "navigate" and browser.has("upgrade") and not satisfied:
        values["Upgrade-Insecure-Requests"] = "1"
    if engine == "chromium" and version < 20:
        values["Accept-Charset"] = "ISO-8859-1,utf-8;q=0.7,*;q=0.3"
    if engine == "gecko" and version < 8:
        values["Accept-Charset"] = "ISO-8859-1,utf-8;q=0.7,*;q=0.7"
    if engine == "gecko" and version < 4:
        values["Keep-Alive"] = "300" if version < 3 else "115"
    if engine == "android":
        values["Accept-Charset"] = "utf-8, iso-8859-1, utf-16, *;q=0.7"
    if browser.has("priority") and (visit.protocol >= "HTTP/2" or engine == "gecko"):
        values["Priority"] = FETCH[want.kind][2 if engine == "chromium" else 3]
    if engine == "gecko" and visit.protocol >= "HTTP/2":
        values["TE"] = "trailers"
    if browser.webview:
        values["X-Requested-With"] = _named(PACKAGES, browser.agent)


def _by_kind(values: dict[str, str], browser: Browser, visit: Visit, want: Want, rng: random.Random) -> None:
    """What a request for something else than a page has beside, or instead."""
    kind, engine = want.kind, browser.engine
    if kind == "xhr":
        style = rng.choices(["fetch", "jquery", "axios"], [50, 30, 20])[0]
        if style == "jquery":
            values["Accept"] = "application/json, text/javascript, */*; q=0.01"
            values["X-Requested-With"] = "XMLHttpRequest"
        elif style == "axios":
            values["Accept"] = "application/json, text/plain, */*"
        if rng.random() < 0.06:
            values["Authorization"] = f"Bearer {rng.getrandbits(160):040x}"
        if rng.random() < 0.08:
            values["X-CSRF-Token"] = f"{rng.getrandbits(128):032x}"
    if want.method == "POST":
        values["Content-Type"] = "application/json" if kind == "xhr" else "application/x-www-form-urlencoded"
        values["Content-Length"] = str(rng.randint(8, 900))
        if engine in ("chromium", "webkit", "gecko", "android"):
            values["Origin"] = visit.origin
        if kind == "post":
            values["Cache-Control"] = "max-age=0"
    elif want.again and kind not in ("favicon", "media"):
        _conditional(values, browser, want, rng)
    elif kind == "page" and rng.random() < 0.03:
        values |= {"Cache-Control": "no-cache", "Pragma": "no-cache"}
    if kind == "media":
        values["Range"] = "bytes=0-1" if engine == "webkit" else "bytes=0-"
        values["Accept-Encoding"] = "identity;q=1, *;q=0" if engine == "chromium" else "identity"
    if kind == "font":
        values["Origin"] = visit.origin
        if engine == "gecko":
            values["Accept-Encoding"] = "identity"
    if kind == "prefetch":
        values["X-Moz" if engine == "gecko" else "Purpose"] = "prefetch"
        if browser.has("fetch"):
            values["Sec-Purpose"] = "prefetch"
    if kind == "worker":
        values |= {"Service-Worker": "script", "Cache-Control": "max-age=0"}


def _conditional(values: dict[str, str], browser: Browser, want: Want, rng: random.Random) -> None:
    if rng.random() < 0.7:
        values["If-None-Match"] = f'{rng.choice(["", "W/"])}"{rng.getrandbits(48):x}"'
    if rng.random() < 0.7:
        day = f"{rng.choice(['Mon', 'Tue', 'Sat'])}, {rng.randint(1, 28):02} Mar 20{rng.randint(10, 26)}"
        values["If-Modified-Since"] = f"{day} 10:20:30 GMT"
    if want.kind == "page" and browser.engine in ("chromium", "webkit"):
        values["Cache-Control"] = "max-age=0"


def _where_trusted(
    values: dict[str, str], browser: Browser, habits: Habits, visit: Visit, want: Want, rng: random.Random
) -> None:
    """Sec-* headers: over https, and to this machine."""
    mode, destination, *_ = FETCH[want.kind]
    if browser.has("fetch"):
        source = values.get("Referer", "" if mode == "navigate" else visit.origin)
        values["Sec-Fetch-Site"] = (
            "none" if not source else "same-origin" if source.startswith(visit.origin) else "cross-site"
        )
        values["Sec-Fetch-Mode"], values["Sec-Fetch-Dest"] = mode, destination
        if mode == "navigate" and browser.engine != "webkit":
            values["Sec-Fetch-User"] = "?1"
    if habits.hints and browser.has("webview hints" if browser.webview else "hints"):
        values |= hints(browser, rng)
        if "Brave" in values["sec-ch-ua"]:  # which takes no signed exchanges
            values["Accept"] = values["Accept"].split(",application/signed-exchange")[0]


def _as_recorded(values: dict[str, str], recorded: Mapping[str, str], visit: Visit, want: Want) -> None:
    """Puts the recorded values in, of a page over https: for any other request, what does not depend on that."""
    page = FETCH[want.kind][0] == "navigate"
    for name, value in recorded.items():
        if name in ("Accept", "Upgrade-Insecure-Requests") and not page:
            continue
        if (name.startswith("sec-ch") or name == "Accept-Encoding") and (not visit.trusted or "Range" in values):
            continue
        values[name] = value
