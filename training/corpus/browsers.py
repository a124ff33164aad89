"""browsers.py - the headers a browser sends, by its engine and version, for each kind of request.

Law: headers follow from the agent, from whatever source it came. So no source of agents can be told by its headers.
Facts: the Fetch, Fetch Metadata and Client Hints specifications; what browsers are seen to send.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from training.corpus.heads import Pairs, fill, head
from training.corpus.site import Visit, Want

# The first pattern that is found names the engine; its group, if any, is the version.
ENGINES = [
    ("plain", r"Lynx|w3m|ELinks|^Links|Dillo|NetSurf|URL/Emacs|Opera Mini|^BlackBerry|DoCoMo|^SAMSUNG-|^SonyEricsson|^LG-|^Nokia"
              r"|Series40|^UCWEB"),
    ("trident", r"MSIE (\d+)|Trident/.*rv:(\d+)"),
    ("edgehtml", r"Edge/(\d+)"),
    ("presto", r"^Opera/"),
    ("webkit", r"(?:iPhone|CPU|iPad; CPU) OS (\d+)_"),
    ("chromium", r"Chrom(?:e|ium)/(\d+)"),
    ("gecko", r"(?:Firefox|Goanna)/(\d+)"),
    ("android", r"Android (\d+)|Kindle|Tizen"),
    ("webkit", r"Version/(\d+)|KHTML|AppleWebKit"),
]
PLAIN_HEADS = [("Lynx", "lynx"), ("w3m", "w3m"), ("ELinks", "elinks"), ("Links", "links"), ("Dillo", "dillo"), ("NetSurf", "netsurf"),
               ("Emacs", "emacs"), ("Opera Mini", "opera mini"), ("BlackBerry", "blackberry"), ("DoCoMo", "docomo")]
# The first version of each engine that has a thing.
SINCE: dict[str, dict[str, int]] = {
    "upgrade": {"chromium": 44, "gecko": 46, "webkit": 10, "edgehtml": 14},
    "br": {"chromium": 50, "gecko": 44, "webkit": 11, "edgehtml": 15},
    "zstd": {"chromium": 123, "gecko": 126, "webkit": 26},
    "fetch": {"chromium": 80, "gecko": 90, "webkit": 16},
    "hints": {"chromium": 89},
    "priority": {"chromium": 124, "gecko": 128, "webkit": 17},
    "gpc": {"chromium": 86, "gecko": 95},
    "worker": {"chromium": 45, "gecko": 44, "webkit": 11},
    "fast": {"chromium": 41, "gecko": 36, "webkit": 9, "edgehtml": 12},  # HTTP/2
    "origin only": {"chromium": 85, "gecko": 87, "webkit": 14},  # of another site's referrer
}
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,"
# Accept by engine and kind: from which version on, value. A kind that is not there is */*.
ACCEPT: dict[str, dict[str, list[tuple[int, str]]]] = {
    "chromium": {
        "page": [(0, HTML + "*/*;q=0.8"), (32, HTML + "image/webp,*/*;q=0.8"), (59, HTML + "image/webp,image/apng,*/*;q=0.8"),
                 (73, HTML + "image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3"),
                 (79, HTML + "image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.9"),
                 (85, HTML + "image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.9"),
                 (110, HTML + "image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7")],
        "style": [(0, "text/css,*/*;q=0.1")],
        "image": [(0, "*/*"), (32, "image/webp,*/*;q=0.8"), (58, "image/webp,image/apng,image/*,*/*;q=0.8"),
                  (88, "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8")],
    },
    "gecko": {
        "page": [(0, HTML + "*/*;q=0.8"), (66, HTML + "image/webp,*/*;q=0.8"), (92, HTML + "image/avif,image/webp,*/*;q=0.8"),
                 (128, HTML + "image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.8"), (132, HTML + "*/*;q=0.8")],
        "style": [(0, "text/css,*/*;q=0.1")],
        "image": [(0, "image/png,image/*;q=0.8,*/*;q=0.5"), (66, "image/webp,*/*"), (92, "image/avif,image/webp,*/*"),
                  (128, "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5")],
        "font": [(0, "*/*"), (39, "application/font-woff2;q=1.0,application/font-woff;q=0.9,*/*;q=0.8")],
        "media": [(0, "video/webm,video/ogg,video/*;q=0.9,application/ogg;q=0.7,audio/*;q=0.6,*/*;q=0.5")],
    },
    "webkit": {
        "page": [(0, "application/xml,application/xhtml+xml,text/html;q=0.9,text/plain;q=0.8,image/png,*/*;q=0.5"),
                 (5, HTML + "*/*;q=0.8")],
        "style": [(0, "text/css,*/*;q=0.1")],
        "image": [(0, "*/*"), (10, "image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5"),
                  (14, "image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5"),
                  (16, "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,"
                       "image/*;q=0.8,*/*;q=0.5")],
    },
    "trident": {
        "page": [(0, "image/gif, image/x-xbitmap, image/jpeg, image/pjpeg, application/x-shockwave-flash, "
                     "application/vnd.ms-excel, application/msword, */*"),
                 (8, "image/gif, image/jpeg, image/pjpeg, application/x-ms-application, application/xaml+xml, "
                     "application/x-ms-xbap, */*"),
                 (9, "text/html, application/xhtml+xml, */*")],
        "style": [(0, "*/*"), (9, "text/css")],
        "script": [(0, "*/*"), (9, "application/javascript, */*;q=0.8")],
        "image": [(0, "*/*"), (9, "image/png, image/svg+xml, image/*;q=0.8, */*;q=0.5")],
    },
    "edgehtml": {
        "page": [(0, "text/html, application/xhtml+xml, image/jxr, */*"),
                 (17, "text/html, application/xhtml+xml, application/xml; q=0.9, */*; q=0.8")],
        "style": [(0, "text/css, */*"), (17, "text/css, */*; q=0.1")],
        "script": [(0, "application/javascript, */*; q=0.8")],
        "image": [(0, "image/png, image/svg+xml, image/jxr, image/*; q=0.8, */*; q=0.5")],
    },
    "presto": {
        "page": [(0, "text/html, application/xml;q=0.9, application/xhtml+xml, image/png, image/webp, image/jpeg, image/gif, "
                     "image/x-xbitmap, */*;q=0.1")],
    },
    "android": {
        "page": [(0, "application/xml,application/xhtml+xml,text/html;q=0.9,text/plain;q=0.8,image/png,*/*;q=0.5"),
                 (4, HTML + "*/*;q=0.8")],
        "style": [(0, "text/css,*/*;q=0.1")],
    },
}
ACCEPT["presto"] |= {kind: ACCEPT["presto"]["page"] for kind in ("style", "script", "image", "font")}
# Kind: Sec-Fetch-Mode, Sec-Fetch-Dest, Priority in Chromium, in Gecko and WebKit.
FETCH = {
    "page": ("navigate", "document", "u=0, i", "u=0, i"), "post": ("navigate", "document", "u=0, i", "u=0, i"),
    "download": ("navigate", "document", "u=0, i", "u=0, i"), "prefetch": ("no-cors", "empty", "u=4, i", "u=6"),
    "style": ("no-cors", "style", "u=0", "u=2"), "script": ("no-cors", "script", "u=1", "u=2"),
    "image": ("no-cors", "image", "u=2, i", "u=5, i"), "favicon": ("no-cors", "image", "u=1, i", "u=6"),
    "font": ("cors", "font", "u=0", "u=2"), "media": ("no-cors", "video", "i", "u=4"), "xhr": ("cors", "empty", "u=1, i", "u=4"),
    "worker": ("same-origin", "serviceworker", "u=4, i", "u=4"),
}
BRANDS = [(r"Edg[A/]", "Microsoft Edge"), (r"OPR/", "Opera"), (r"SamsungBrowser", "Samsung Internet"), (r"YaBrowser", "Yandex"),
          (r"; wv\)", "Android WebView"), (r"Whale/", "Whale"), (r"HuaweiBrowser", "HuaweiBrowser"), (r"Ubuntu Chromium|Qt", "Chromium")]
GREASE = ['"Not.A/Brand";v="8"', '"Not A;Brand";v="99"', '" Not A;Brand";v="99"', '"Not_A Brand";v="24"', '"Not/A)Brand";v="99"',
          '"Not)A;Brand";v="24"', '"Not:A-Brand";v="99"', '";Not A Brand";v="99"', '"Not?A_Brand";v="24"', '"Not(A:Brand";v="8"']
PLATFORMS = [("Android", "Android"), ("Windows", "Windows"), ("Mac OS X", "macOS"), ("CrOS", "Chrome OS"), ("", "Linux")]
PACKAGES = [("FB4A", "com.facebook.katana"), ("MESSENGER", "com.facebook.orca"), ("Instagram", "com.instagram.android"),
            ("Line/", "jp.naver.line.android"), ("GSA/", "com.google.android.googlequicksearchbox"), ("Micro", "com.tencent.mm"),
            ("Pinterest", "com.pinterest"), ("Snapchat", "com.snapchat.android"), ("Bytedance", "com.zhiliaoapp.musically")]


@dataclass(frozen=True, slots=True)
class Browser:
    """What an agent tells about its engine. `version` is 0 where it tells none."""

    agent: str
    engine: str
    version: int

    def has(self, thing: str) -> bool:
        return self.version >= SINCE[thing].get(self.engine, 1000)

    @property
    def webview(self) -> bool:
        return "; wv)" in self.agent


@dataclass(frozen=True, slots=True)
class Habits:
    """How one person's browser is set up. `recorded` are header values seen of a real browser with this agent."""

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


def accept(browser: Browser, kind: str) -> str:
    """The Accept header for a request of `kind`."""
    if kind == "favicon":
        kind = "image"
    if kind in ("post", "download", "prefetch"):
        kind = "*" if kind == "prefetch" and browser.engine == "gecko" else "page"
    steps = ACCEPT.get(browser.engine, {}).get(kind, [(0, "*/*")])
    return steps[bisect_right([step[0] for step in steps], browser.version) - 1][1]


def encodings(browser: Browser, *, trusted: bool) -> str:
    """The Accept-Encoding header for a page."""
    if browser.engine == "presto":
        return "gzip, deflate"
    if browser.engine == "chromium" and browser.version < 59:
        return "gzip,deflate,sdch" if browser.version < 43 else "gzip, deflate, sdch" + ", br" * (trusted and browser.has("br"))
    if browser.engine == "android":
        return "gzip,deflate" if browser.version >= 4 else "gzip"
    if browser.engine == "gecko" and browser.version < 4:
        return "gzip,deflate"
    if browser.engine == "webkit" and browser.version in (11, 12) and trusted:
        return "br, gzip, deflate"
    return "gzip, deflate" + ", br" * (trusted and browser.has("br")) + ", zstd" * (trusted and browser.has("zstd"))


def languages(browser: Browser, language: str) -> str:
    """The Accept-Language header of somebody who reads `language` (like de-DE)."""
    short = language[:2]
    if browser.engine == "gecko":
        old = ("0.8,", "0.5,", "0.3") if browser.version < 50 else ("0.7,", "0.3", "")
        if language == "en-US":
            return "en-us,en;q=0.5" if browser.version < 4 else "en-US,en;q=0.5"
        return f"{short},en-US;q={old[0]}en;q={old[1]}".rstrip(",") if browser.version > 40 else f"{language.lower()},{short};q=0.8,en-us;q=0.5,en;q=0.3"
    if browser.engine == "chromium":
        step = (8, 6, 4) if browser.version < 62 else (9, 8, 7)
        own = f"{language},{short};q=0.{step[0]}"
        return own if short == "en" or browser.webview else f"{own},en-US;q=0.{step[1]},en;q=0.{step[2]}"
    if browser.engine == "webkit":
        return f"{language},{short};q=0.9" if browser.version >= 13 else language.lower()
    if browser.engine == "edgehtml":
        return language if short == "en" else f"{language},{short};q=0.8,en-US;q=0.5,en;q=0.3"
    if browser.engine == "presto":
        return f"{language},{short};q=0.9" + ",en;q=0.8" * (short != "en")
    if browser.engine == "trident":
        return language if browser.version >= 9 else language.lower()
    return language if browser.engine == "android" else short


def hints(browser: Browser, rng: random.Random, brand: str | None = None) -> dict[str, str]:
    """The client hints of a Chromium, each browser with its own brand."""
    name = brand or next((name for pattern, name in BRANDS if re.search(pattern, browser.agent)), None)
    name = name or rng.choices(["Google Chrome", "Chromium", "Brave", "Vivaldi"], [92, 3, 4, 1])[0]
    listed = [rng.choice(GREASE), f'"Chromium";v="{browser.version}"']
    if name != "Chromium":
        listed.append(f'"{name}";v="{browser.version}"')
    rng.shuffle(listed)
    platform = next(name for word, name in PLATFORMS if word in browser.agent)
    return {"sec-ch-ua": ", ".join(listed), "sec-ch-ua-mobile": "?1" if "Mobile" in browser.agent else "?0",
            "sec-ch-ua-platform": f'"{platform}"'}


def order(browser: Browser, kind: str) -> str:
    """The name of the header set (heads.tsv) that this browser sends for `kind`."""
    engine, version = browser.engine, browser.version
    if engine == "chromium":
        if version < 57:
            return "chromium-0"
        if kind in ("page", "post", "download", "prefetch"):
            return "chromium-page"
        if version < 127:
            return "chromium-part-89" if kind in ("xhr", "worker", "script") and version >= 89 else "chromium-image-89"
        return "chromium-xhr" if kind == "xhr" else "chromium-part"
    if engine == "webkit":
        return "webkit-26" if version >= 17 else "webkit-12" if version >= 14 else "webkit-12b" if version >= 10 else (
            "webkit-8" if version >= 8 else "webkit-0")
    if engine == "trident":
        return "trident" if version >= 8 else "trident-0"
    if engine == "plain":
        return next((name for word, name in PLAIN_HEADS if word in browser.agent), "phone")
    return {"gecko": "gecko-page"}.get(engine, engine)


def headers(browser: Browser, habits: Habits, visit: Visit, want: Want, referrer: str, cookie: str, rng: random.Random) -> Pairs:
    """The headers of one request of a browser, in its order. `referrer` and `cookie` are empty for none."""
    kind = want.kind
    mode, destination, *priorities = FETCH[kind]
    own = referrer.startswith(visit.origin)
    values = {"Host": visit.host, "User-Agent": browser.agent, "Accept": accept(browser, kind),
              "Accept-Encoding": encodings(browser, trusted=visit.trusted), "Accept-Language": languages(browser, visit.language)}
    if browser.engine == "plain":
        del values["Accept"], values["Accept-Encoding"]
    if referrer:
        values["Referer"] = referrer if own or not browser.has("origin only") else "/".join(referrer.split("/")[:3]) + "/"
    if cookie and habits.cookies:
        values["Cookie"] = cookie
    if mode == "navigate" and browser.has("upgrade"):
        values["Upgrade-Insecure-Requests"] = "1"
    if browser.engine == "chromium" and browser.version < 20 or browser.engine == "gecko" and browser.version < 8:
        values["Accept-Charset"] = "ISO-8859-1,utf-8;q=0.7,*;q=0.3" if browser.engine == "chromium" else "ISO-8859-1,utf-8;q=0.7,*;q=0.7"
    if browser.engine == "android":
        values["Accept-Charset"] = "utf-8, iso-8859-1, utf-16, *;q=0.7"
    if browser.engine == "gecko" and browser.version < 4:
        values["Keep-Alive"] = rng.choice(["115", "300"])
    _part(values, browser, want, visit, rng)
    if visit.trusted and browser.has("fetch"):
        values |= {"Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination,
                   "Sec-Fetch-Site": ("same-origin" if own else "cross-site") if referrer or mode != "navigate" and want.page else (
                       "none" if mode == "navigate" else "same-origin")}
        if mode == "navigate" and browser.engine != "webkit":
            values["Sec-Fetch-User"] = "?1"
    if visit.trusted and habits.hints and browser.version >= (110 if browser.webview else SINCE["hints"].get(browser.engine, 1000)):
        values |= hints(browser, rng)
        if "Brave" in values["sec-ch-ua"]:  # it takes no signed exchanges
            values["Accept"] = values["Accept"].split(",application/signed-exchange")[0]
    if browser.has("priority") and (visit.protocol >= "HTTP/2" or browser.engine == "gecko"):
        values["Priority"] = priorities[browser.engine != "chromium"]
    if browser.engine == "gecko" and browser.version > 50 and visit.protocol >= "HTTP/2":
        values["TE"] = "trailers"
    if habits.dnt and browser.engine != "plain":
        values["DNT"] = "1"
    if habits.gpc and browser.has("gpc"):
        values["Sec-GPC"] = "1"
    if habits.saves_data and browser.engine == "chromium" and "Android" in browser.agent:
        values["Save-Data"] = "on"
    if habits.recorded:
        _as_recorded(values, habits.recorded, mode == "navigate", visit.trusted)
    if not habits.encodings:
        values.pop("Accept-Encoding", None)
    if habits.thin:
        for name in [*values]:
            if name in ("Accept-Language", "Referer", "Cookie", "Priority") or name.startswith("Sec-Fetch"):
                del values[name]
    return fill(head(order(browser, kind)), values)


def _as_recorded(values: dict[str, str], recorded: Mapping[str, str], page: bool, trusted: bool) -> None:
    """Puts the recorded values in: all for a page over https; what does not depend on the page for the rest."""
    for name, value in recorded.items():
        if name.startswith("sec-ch") and not trusted or name in ("Accept", "Upgrade-Insecure-Requests") and not page:
            continue
        if name != "Accept-Encoding" or trusted and value.startswith("gzip, deflate") and "Range" not in values:
            values[name] = value


def _part(values: dict[str, str], browser: Browser, want: Want, visit: Visit, rng: random.Random) -> None:
    """What a request for something else than a page has beside, or instead."""
    kind = want.kind
    if browser.webview:
        values["X-Requested-With"] = next((name for word, name in PACKAGES if word in browser.agent), "com.example.reader")
    if kind in ("post", "xhr") and browser.engine != "plain":
        if kind == "xhr":
            style = rng.choices(["fetch", "jquery", "axios"], [50, 30, 20])[0]
            if style == "jquery":
                values |= {"Accept": "application/json, text/javascript, */*; q=0.01", "X-Requested-With": "XMLHttpRequest"}
            elif style == "axios":
                values["Accept"] = "application/json, text/plain, */*"
            if rng.random() < 0.06:
                values["Authorization"] = f"Bearer {rng.getrandbits(160):040x}"
            if rng.random() < 0.08:
                values["X-CSRF-Token"] = f"{rng.getrandbits(128):032x}"
        else:
            values["Cache-Control"] = "max-age=0"
        if want.method == "POST" and browser.engine in ("chromium", "webkit", "gecko", "android"):
            values["Origin"] = visit.origin
    if want.method == "POST":
        values["Content-Type"] = "application/json" if kind == "xhr" else "application/x-www-form-urlencoded"
        values["Content-Length"] = str(rng.randint(8, 900))
    elif want.again and kind not in ("favicon", "media"):
        if rng.random() < 0.7:
            values["If-None-Match"] = f'{rng.choice(["", "W/"])}"{rng.getrandbits(48):x}"'
        if rng.random() < 0.7:
            values["If-Modified-Since"] = f"{rng.choice(['Mon', 'Tue', 'Sat'])}, {rng.randint(1, 28):02} Mar 20{rng.randint(10, 26)} 10:20:30 GMT"
        if kind == "page" and browser.engine in ("chromium", "webkit"):
            values["Cache-Control"] = "max-age=0"
    elif kind == "page" and rng.random() < 0.03:
        values |= {"Cache-Control": "no-cache", "Pragma": "no-cache"}
    if kind == "media":
        values["Range"] = "bytes=0-" if browser.engine != "webkit" else "bytes=0-1"
        values["Accept-Encoding"] = "identity;q=1, *;q=0" if browser.engine == "chromium" else "identity"
    if kind == "font":
        values["Origin"] = visit.origin
        if browser.engine == "gecko":
            values["Accept-Encoding"] = "identity"
    if kind == "prefetch":
        values |= {"Purpose": "prefetch"} if browser.engine != "gecko" else {"X-Moz": "prefetch"}
        if browser.has("fetch"):
            values["Sec-Purpose"] = "prefetch"
    if kind == "worker":
        values |= {"Service-Worker": "script", "Cache-Control": "max-age=0"}
