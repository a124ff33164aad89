"""browsers.py - the headers a browser sends, by its engine and version, for each kind of request.

Law: headers follow from the agent, whatever source it came from. So no source of agents can be told by its headers.
Facts: the Fetch, Fetch Metadata and Client Hints specifications, and what browsers are seen to send.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache

from training.corpus import texts
from training.corpus.hints import hints
from training.corpus.site import KINDS, Visit, Want, protocol
from training.corpus.tables import Pairs, fill, head, rows

# fmt: off
# The first pattern that is found names the engine; its group, if any, is the version.
ENGINES = [
    ("plain", r"Lynx|w3m|ELinks|^Links|Dillo|NetSurf|URL/Emacs|Opera Mini|^BlackBerry|DoCoMo|^SAMSUNG-|^SonyEricsson"
              r"|^LG-|^Nokia|Series40|^UCWEB|UP\.Browser|^(?!Mozilla).*(?:MIDP|Obigo|Browser/AppleWebKit)"
              r"|Darwin/|^(?:.*\s)?Dalvik/|AppleCoreMedia|stagefright|ExoPlayer|watchOS|[Oo]ffice|^VLC|^Roku|libmpv|^\[FBAN"),
    ("trident", r"MSIE (\d+)|Trident/.*rv:(\d+)"),
    ("edgehtml", r"Edge/(\d+)"),
    ("presto", r"^Opera/"),
    ("chromium", r"iPhone.*Chrome/(\d+)"),  # its developers' tools, playing a telephone
    ("webkit", r"(?:iPhone|CPU|iPad; CPU) OS (\d+)_"),
    ("chromium", r"Chrom(?:e|ium)/(\d+)|Tizen.*\) (?:Version/)?(\d+)[.\d]*/[.\d]+ TV"),
    ("gecko", r"(?:Firefox|Thunderbird)/(\d+)|rv:1\."),
    ("android", r"Android (\d+)|Kindle|Tizen"),
    ("gtk", r"(?:X11|Wayland).*Version/(\d+)"),
    ("webkit", r"Version/(\d+)"),
    ("webkit", r"KHTML|AppleWebKit"),
]
PLAIN_HEADS = ["Lynx", "w3m", "ELinks", "Links", "Dillo", "NetSurf", "Emacs", "Opera Mini", "BlackBerry", "DoCoMo",
               "Darwin/2", "Darwin", "AppleCoreMedia", "Dalvik", "stagefright", "ExoPlayer", "watchOS", "ffice", "VLC",
               "Roku", "mpv", "FBAN"]
# The first version of each engine that has a thing.
SINCE: dict[str, dict[str, int]] = {
    "h2": {"chromium": 41, "gecko": 36, "webkit": 9, "edgehtml": 12, "gtk": 11},
    "upgrade": {"chromium": 44, "gecko": 46, "webkit": 10, "edgehtml": 14, "gtk": 10},
    "br": {"chromium": 50, "gecko": 44, "webkit": 11, "edgehtml": 15, "gtk": 12},
    "zstd": {"chromium": 123, "gecko": 126, "webkit": 27},
    "fetch": {"chromium": 80, "gecko": 90, "webkit": 16, "gtk": 16},
    "hints": {"chromium": 89},
    "webview hints": {"chromium": 110},
    "priority": {"chromium": 124, "gecko": 128, "webkit": 17},
    "gpc": {"chromium": 86, "gecko": 95},
    "origin only": {"chromium": 85, "gecko": 87, "webkit": 14, "gtk": 14},  # of another site's referrer
    "storage": {"chromium": 133, "gecko": 145},  # Sec-Fetch-Storage-Access
    # kinds of requests
    "send": {"chromium": 1, "gecko": 3, "webkit": 4, "gtk": 8, "trident": 8, "edgehtml": 12, "android": 2, "presto": 0},
    "socket": {"chromium": 16, "gecko": 11, "webkit": 6, "gtk": 8},
    "preflight": {"chromium": 4, "gecko": 4, "webkit": 4, "gtk": 8, "edgehtml": 12},
    "events": {"chromium": 9, "gecko": 6, "webkit": 5, "gtk": 8},
    "worker": {"chromium": 45, "gecko": 44, "webkit": 11, "gtk": 12},
    "beacon": {"chromium": 39, "gecko": 31, "webkit": 11, "gtk": 12, "edgehtml": 14},
    "module": {"chromium": 61, "gecko": 60, "webkit": 11, "gtk": 12},
    "manifest": {"chromium": 39, "gecko": 80, "webkit": 15},
    "prerender": {"chromium": 108},
}
# What a kind of request needs of SINCE, and what an engine without it does at such a path instead.
NEEDS = {
    "send": ("send", "post"), "head": ("send", "page"), "cors": ("preflight", "fetch"), "preflight": ("preflight", "fetch"),
    "socket": ("socket", "fetch"), "events": ("events", "fetch"), "worker": ("worker", "script"),
    "inworker": ("worker", "fetch"), "service": ("worker", "script"), "beacon": ("beacon", "post"), "ping": ("beacon", "post"),
    "report": ("beacon", "post"), "module": ("module", "script"), "manifest": ("manifest", "fetch"),
    "prefetch": ("worker", "page"), "prerender": ("prerender", "page"), "track": ("events", "fetch"),
}
FAMILY = {"edgehtml": "webkit", "android": "webkit"}
# Header sets of an engine (heads.tsv) by the version from which on it sends them so.
ORDERS = {
    "webkit": [(0, "webkit-0"), (8, "webkit-8"), (10, "webkit-10"), (14, "webkit-14"), (17, "webkit-17")],
    "trident": [(0, "trident-0"), (8, "trident-8")],
}
PACKAGES = [
    ("FB4A", "com.facebook.katana"), ("MESSENGER", "com.facebook.orca"), ("Instagram", "com.instagram.android"),
    ("Line/", "jp.naver.line.android"), ("GSA/", "com.google.android.googlequicksearchbox"),
    ("MicroMessenger", "com.tencent.mm"), ("Pinterest", "com.pinterest"), ("Snapchat", "com.snapchat.android"),
    ("Bytedance", "com.zhiliaoapp.musically"), ("", "com.example.reader"),
]
# What scripts send: names and values of headers of their own. A value with a blank is filled by fill_own.
OWN_HEADERS = [
    [("X-Requested-With", "XMLHttpRequest")], [("X-CSRF-Token", "{hex_32_64}")], [("Authorization", "Bearer eyJ{b64_40_900}")],
    [("X-XSRF-TOKEN", "{b64_40_300}")], [("HX-Request", "true"), ("HX-Current-URL", "{origin}/"), ("HX-Target", "{word}")],
    [("RSC", "1"), ("Next-Router-State-Tree", "{enc_60_400}"), ("Next-Url", "/")], [("x-nextjs-data", "1"), ("purpose", "prefetch")],
    [("X-WP-Nonce", "{hex_10_10}")], [("Turbo-Frame", "{word}")], [("X-Foo", "1")], [("apollo-require-preflight", "true")],
    [("traceparent", "00-{hex_32_32}-{hex_16_16}-01")], [("sentry-trace", "{hex_32_32}-{hex_16_16}-0"), ("baggage", "{enc_60_300}")],
    [("X-Grpc-Web", "1"), ("X-User-Agent", "grpc-web-javascript/0.1")], [("X-Inertia", "true"), ("X-Inertia-Version", "{hex_32_32}")],
    [("X-Client-Version", "{num_1_3}.{num_1_2}")], [("X-API-Key", "{b64_20_60}")], [("Content-Range", "bytes 0-1048575/{num_7_9}")],
    [("X-Goog-Upload-Command", "start")], [("Upload-Offset", "0"), ("Tus-Resumable", "1.0.0")], [("Prefer", "return=minimal")],
]
SENT_TYPES = ["application/json", "application/json", "application/json;charset=UTF-8", "text/plain;charset=UTF-8",
              "application/x-www-form-urlencoded; charset=UTF-8", "multipart/form-data", "application/octet-stream",
              "application/merge-patch+json", "application/graphql-response+json", "application/grpc-web+proto", "image/png"]
BEACON_TYPES = ["text/plain;charset=UTF-8"] * 5 + ["application/json", "application/x-www-form-urlencoded", "multipart/form-data", ""]
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

    @property
    def hinting(self) -> bool:
        """Whether it sends client hints."""
        if re.search(r"QtWebEngine/5|Electron/1\d\.|Tesla|SmartTV|HbbTV", self.agent):
            return False
        return self.has("webview hints" if self.webview else "hints")


@dataclass(frozen=True, slots=True)
class Habits:
    """How one person's browser is set up. `recorded`: header values seen of a real browser with this agent."""

    dnt: bool = False
    gpc: bool = False
    hints: bool = True
    cookies: bool = True
    referrers: bool = True  # the site, or the browser, may hold them back
    saves_data: bool = False
    thin: bool = False  # something on the way lets only the headers through that every page needs
    encodings: bool = True  # a proxy that inspects pages takes Accept-Encoding away
    language: str | None = None  # the whole Accept-Language, where it is an unusual one; empty for none
    jxl: bool = False  # Chromium reads JPEG XL: a setting, later the default
    recorded: Mapping[str, str] = field(default_factory=dict)


@lru_cache(4096)
def parse(agent: str) -> Browser:
    """The engine that `agent` claims to be."""
    for engine, pattern in ENGINES:
        if found := re.search(pattern, agent):
            version = int(next((group for group in found.groups() if group), 0))
            if engine == "webkit" and version == 18 and (newer := re.search(r"Version/(2[6-9])", agent)):
                version = int(newer[1])  # whose agent names an older system
            return Browser(agent, engine, version)
    return Browser(agent, "webkit", 0)


@cache
def _accepts(engine: str, kind: str) -> tuple[list[int], list[str]]:
    found = [(int(since), value) for name, what, since, value in rows("accept.tsv") if (name, what) == (engine, kind)]
    return [since for since, _ in found], [value for _, value in found]


def accept(browser: Browser, kind: str) -> str:
    """The Accept header for a request of `kind`."""
    like = KINDS[kind].accept
    engine = "dillo" if browser.engine == "plain" else browser.engine
    since, values = _accepts(engine, like if like != "audio" or engine == "gecko" else "media")
    return values[bisect_right(since, browser.version) - 1] if values else "*/*"


def encodings(browser: Browser, *, trusted: bool) -> str:
    """The Accept-Encoding header for a page; br and zstd over trusted connections only."""
    engine, version = browser.engine, browser.version
    br = ", br" if trusted and browser.has("br") else ""
    if (engine == "chromium" and version < 43) or (engine == "gecko" and version < 4) or engine == "android":
        return (
            "gzip,deflate,sdch"
            if engine == "chromium"
            else "gzip"
            if engine == "android" and version < 3
            else "gzip,deflate"
        )
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
        if version >= 135 and len(language) % 2:  # lately some of them weigh as Chromium does
            return f"{language},{short};q=0.9" if english else f"{language},{short};q=0.9,en-US;q=0.8,en;q=0.7"
        if english or version <= 40:
            written = language.lower() if version < 4 else language
            return f"{written},en;q=0.5" if english else f"{language.lower()},{short};q=0.8,en-us;q=0.5,en;q=0.3"
        return f"{short},en-US;q=0.8,en;q=0.5" if version < 50 else f"{short},en-US;q=0.7,en;q=0.3"
    if engine == "chromium":
        own, next_, last = (8, 6, 4) if version < 62 else (9, 8, 7)
        also = "" if english or browser.webview else f",en-US;q=0.{next_},en;q=0.{last}"
        return f"{language},{short};q=0.{own}{also}"
    if engine in ("presto", "gtk") or (engine == "webkit" and version >= 13):
        return f"{language},{short};q=0.9" + (",en;q=0.8" if engine == "presto" and not english else "")
    if engine == "edgehtml" and not english:
        return f"{language},{short};q=0.8,en-US;q=0.5,en;q=0.3"
    if engine == "plain":
        return f"{language},{short};q=0.9" if re.search("Darwin/2|CoreMedia", browser.agent) else short
    return language.lower() if engine == "webkit" or (engine == "trident" and version < 9) else language


def possible(browser: Browser, want: Want) -> Want:
    """What a browser that cannot do what `want` says does at this path."""
    needed, instead = NEEDS.get(want.kind, (None, ""))
    if needed and not browser.has(needed):
        want = replace(want, kind=instead)
        if instead == "post":
            return replace(want, method="POST")
        return want if want.method in KINDS[instead].methods else replace(want, method="GET")
    return want


def order(browser: Browser, visit: Visit, want: Want, *, scripted: bool, late: bool) -> str:
    """The name of the header set (heads.tsv) that this browser sends for `want`.

    `scripted`: a script set Accept itself. `late`: a page after a redirect, or a connection that was opened for it.
    """
    engine, version, kind = browser.engine, browser.version, want.kind
    if engine == "plain":
        return next((word.lower() for word in PLAIN_HEADS if word in browser.agent), "phone")
    if engine == "chromium":
        return _chromium_order(version, visit, kind, scripted=scripted, late=late)
    if engine == "gecko":
        return _gecko_order(version, visit, kind, late=late)
    if engine == "gtk":
        sets = {"socket": "gtk-socket", "preflight": "gtk-preflight", "service": "gtk-service", "media": "gtk-media",
                "audio": "gtk-media"}  # fmt: skip
        fetched = kind in ("fetch", "send", "head", "cors", "inworker") and not scripted
        return sets.get(kind, "gtk" if KINDS[kind].navigates else "gtk-fetch" if fetched else "gtk-part")
    if kind == "socket":
        return "webkit-socket-accept" if late else "webkit-socket"
    if engine in ORDERS:
        steps = ORDERS[engine]
        return steps[bisect_right([since for since, _ in steps], version) - 1][1]
    return engine


def _chromium_order(version: int, visit: Visit, kind: str, *, scripted: bool, late: bool) -> str:
    if kind == "socket" or (kind == "preflight" and version >= 57):
        return f"chromium-{kind}"
    if version < 57:
        return "chromium-0"
    if KINDS[kind].navigates:
        redirected = kind == "page" and late and version >= 89
        return "chromium-redirect" if redirected else "chromium-page-127" if version >= 127 else "chromium-page"
    if kind in ("worker", "service", "saved"):
        return "chromium-worker-57" if version < 100 and not late and kind != "saved" else "chromium-worker"
    if kind == "inworker":
        return "chromium-inworker"
    since = "-57" if version < 127 else ""
    if kind in ("font", "module"):
        return "chromium-crossorigin" + (since or ("" if visit.trusted else "-plain"))
    if kind in ("media", "audio") and version < 140:
        return f"chromium-media{since}"
    return f"chromium-xhr{since}" if scripted else f"chromium-part{since}"


def _gecko_order(version: int, visit: Visit, kind: str, *, late: bool) -> str:
    if kind == "socket":
        return "gecko-socket"
    if kind in ("media", "audio") and not (visit.trusted and version >= 110):
        return "gecko-media"
    if kind == "preflight":
        return "gecko-fetch"
    if kind in ("fetch", "send", "head", "cors", "events", "inworker") and not (late and version >= 100):
        return "gecko-fetch"
    return "gecko-late" if late and version >= 100 else "gecko"


def headers(
    browser: Browser, habits: Habits, visit: Visit, want: Want, rng: random.Random, referrer: str = "", cookie: str = ""
) -> Pairs:
    """The headers of one request of a browser, in its order. `referrer` and `cookie` are empty for none."""
    kind = KINDS[want.kind]
    values = {"Host": visit.host, "User-Agent": browser.agent, "Accept-Language": languages(browser, visit.language)}
    if habits.language is not None:
        values["Accept-Language"] = habits.language
    if not values["Accept-Language"]:
        del values["Accept-Language"]
    if browser.engine != "plain" or "Dillo" in browser.agent:
        values["Accept"] = accept(browser, want.kind)
        values["Accept-Encoding"] = encodings(browser, trusted=visit.trusted)
        if habits.jxl and browser.engine == "chromium" and browser.version >= 130:
            values["Accept"] = values["Accept"].replace("image/avif", "image/jxl,image/avif", 1)
    elif re.search("Darwin/2|watchOS", browser.agent):
        values["Accept-Encoding"] = "gzip, deflate, br" if visit.trusted else "gzip, deflate"
    if referrer and (habits.referrers or want.kind == "saved"):
        cut = browser.has("origin only") and not referrer.startswith(visit.origin)
        values["Referer"] = "/".join(referrer.split("/")[:3]) + "/" if cut else referrer
    if cookie and habits.cookies:
        values["Cookie"] = cookie
    late = rng.random() < 0.12
    own: dict[str, Pairs] = {}
    _by_engine(values, browser, visit, want, rng)
    scripted = _by_kind(values, own, browser, visit, want, rng)
    if visit.trusted:
        _where_trusted(values, browser, habits, visit, want, rng)
    if habits.dnt and browser.engine != "plain":
        values["DNT"] = "1"
    if habits.gpc and browser.has("gpc"):
        values["Sec-GPC"] = "1"
    if habits.saves_data and browser.engine == "chromium" and "Android" in browser.agent:
        values["Save-Data"] = "on"
    _as_recorded(values, habits.recorded, browser, want)
    _left_out(values, browser, want)
    if not habits.encodings:
        values.pop("Accept-Encoding", None)
    if habits.thin and kind.navigates:
        personal = ("Accept-Language", "Referer", "Cookie", "Priority", "Sec-Fetch")
        values = {name: value for name, value in values.items() if not name.startswith(personal)}
    return fill(head(order(browser, visit, want, scripted=scripted, late=late)), values, own)


def _by_engine(values: dict[str, str], browser: Browser, visit: Visit, want: Want, rng: random.Random) -> None:
    """What an engine sends with every request, or with every page."""
    engine, version = browser.engine, browser.version
    # WebKit stopped to say over https that it would like https.
    satisfied = engine in ("webkit", "gtk") and version >= 17 and visit.secure
    opens = KINDS[want.kind].navigates and not (want.kind == "object" and engine == "gecko")
    if opens and browser.has("upgrade") and not satisfied:
        values["Upgrade-Insecure-Requests"] = "1"
    if engine == "chromium" and version < 20:
        values["Accept-Charset"] = "ISO-8859-1,utf-8;q=0.7,*;q=0.3"
    if engine == "gecko" and version < 8:
        values["Accept-Charset"] = "ISO-8859-1,utf-8;q=0.7,*;q=0.7"
    if engine == "gecko" and version < 4:
        values["Keep-Alive"] = "300" if version < 3 else "115"
    if engine == "android":
        values["Accept-Charset"] = "utf-8, iso-8859-1, utf-16, *;q=0.7"
    newer = protocol(visit, want) >= "HTTP/2"
    if browser.has("priority") and (newer or engine == "gecko"):
        said = KINDS[want.kind].priority[FAMILY.get(engine, engine)]
        if said == "u=5, i" and engine == "gecko":
            said = rng.choice(["u=5, i", "u=4, i", "u=4"])
        # The usual urgency is not said: of scripts that may wait, and of requests by XMLHttpRequest in Gecko.
        if said != "-" and not (want.kind in ("script", "module") and rng.random() < 0.5):
            values["Priority"] = said
    if engine == "gecko" and newer:
        values["TE"] = "trailers"
    if browser.webview:
        values["X-Requested-With"] = _named(PACKAGES, browser.agent)


def _by_kind(
    values: dict[str, str], own: dict[str, Pairs], browser: Browser, visit: Visit, want: Want, rng: random.Random
) -> bool:
    """What a request for something else than a page has beside, or instead. Whether a script set its Accept."""
    kind, engine = want.kind, browser.engine
    scripted = False
    if kind in ("fetch", "send", "cors", "inworker"):
        scripted = _scripted(values, own, browser, visit, rng)
    if want.sends:
        _sent(values, browser, visit, want, rng)
    elif want.again and kind not in ("favicon", "media", "socket", "preflight", "head", "events"):
        _conditional(values, browser, want, rng)
    elif (KINDS[kind].navigates or kind == "fetch") and rng.random() < 0.05:
        values |= {"Cache-Control": "no-cache", "Pragma": "no-cache"}  # a reload, or a script's no-store
    if kind in ("media", "audio"):
        values["Range"] = "bytes=0-1" if engine == "webkit" and rng.random() < 0.5 else _range(rng)
        older = engine == "chromium" and browser.version < 140
        values["Accept-Encoding"] = "identity;q=1, *;q=0" if older else "identity"
        if engine == "gtk":
            del values["Accept-Encoding"]
            if rng.random() < 0.6:
                del values["Range"]
    if kind in ("font", "module") and not (engine == "gtk" and kind == "font") and engine != "gecko":
        values["Origin"] = visit.origin
    if kind == "font" and engine == "gecko" and browser.version < 60:
        values["Accept-Encoding"] = "identity"
    if kind == "object" and engine == "gecko":
        values["Accept"] = "*/*"
    if kind in ("prefetch", "prerender"):
        _ahead(values, browser, kind)
    if kind == "service":
        values["Service-Worker"] = "script"
        if engine != "gtk":
            values["Cache-Control"] = "max-age=0" if want.again or engine == "chromium" else "no-cache"
            if values["Cache-Control"] == "no-cache":
                values["Pragma"] = "no-cache"
        if engine == "gecko":
            values.pop("Referer", None)
        elif engine == "gtk":
            values["Origin"] = visit.origin
    if kind == "events":
        values["Accept"], values["Cache-Control"] = "text/event-stream", "no-cache"
        scripted = True
        if engine != "chromium" or browser.version >= 127:
            values["Pragma"] = "no-cache"
    if kind == "socket":
        _socket(values, visit, engine, rng)
    if kind == "preflight":
        _preflight(values, browser, visit, want, rng)
    if kind == "cors":
        values["Origin"], values["Referer"] = _other(visit, want)
    return scripted


def _range(rng: random.Random) -> str:
    start = rng.choice([0, 0, 0, rng.randint(1, 9_000_000)])
    return f"bytes={start}-" + rng.choice(["", "", str(start + rng.randint(10, 2_000_000))])


def _ahead(values: dict[str, str], browser: Browser, kind: str) -> None:
    """A page before somebody opens it."""
    values.pop("Upgrade-Insecure-Requests", None) if kind == "prefetch" else None
    if browser.engine == "gecko" and browser.version < 110:
        values["X-Moz"] = "prefetch"
    elif browser.engine != "gecko" and browser.version < 120:
        values["Purpose"] = "prefetch"
    if browser.has("fetch") and browser.version >= (100 if browser.engine != "webkit" else 17):
        values["Sec-Purpose"] = "prefetch;prerender" if kind == "prerender" else "prefetch"
    if kind == "prerender" and browser.version >= 138:
        values["Sec-Speculation-Tags"] = "null"
    if kind == "prefetch" and browser.engine == "chromium" and 73 <= browser.version < 110:
        values["Accept"] = "application/signed-exchange;v=b3;q=0.9,*/*;q=0.8"


def _other(visit: Visit, want: Want) -> tuple[str, str]:
    """Origin and Referer of a page of another site, or of another name of this one, whose script asks us."""
    if len(want.path) % 3 == 0 and not visit.loopback:
        origin = f"{'https' if visit.secure else 'http'}://app.{visit.host.removeprefix('www.')}"
    else:
        origin = "/".join(want.outside.split("?")[0].split("/")[:3])
    return origin, origin + "/"


def _scripted(
    values: dict[str, str], own: dict[str, Pairs], browser: Browser, visit: Visit, rng: random.Random
) -> bool:
    """What a page's script sets itself. Whether it set Accept."""
    said = rng.choices(
        ["", "application/json", "application/json, text/plain, */*", "application/json, text/javascript, */*; q=0.01",
         "text/html, */*; q=0.01", "text/vnd.turbo-stream.html, text/html, application/xhtml+xml", "text/x-component"],
        [50, 14, 16, 12, 3, 3, 2],
    )[0]  # fmt: skip
    if said:
        values["Accept"] = said
    chosen: Pairs = []
    if "javascript" in said:
        chosen = [("X-Requested-With", "XMLHttpRequest")]
    for _ in range(rng.choices(range(4), [45, 32, 17, 6])[0]):
        chosen += [pair for pair in rng.choice(OWN_HEADERS) if pair[0] not in dict(chosen)]
    texts_ = texts.blanks(rng, origin=visit.origin)
    for name, value in chosen:
        if name == "X-Requested-With":
            values.pop(name, None)  # a web view leaves it to the script
        own.setdefault(rng.choice(["@1", "@1", "@2"]), []).append((name, value.format_map(texts_)))
    if browser.engine == "gtk" and (pair := next((p for p in own.get("@1", []) if p[0] == "Authorization"), None)):
        own["@1"].remove(pair)
        values["Authorization"] = pair[1]
    return bool(said)


def _sent(values: dict[str, str], browser: Browser, visit: Visit, want: Want, rng: random.Random) -> None:
    """Data, and who sends it."""
    kind, engine = want.kind, browser.engine
    boundary = "----geckoformboundary" if engine == "gecko" else "----WebKitFormBoundary"
    form = f"multipart/form-data; boundary={boundary}{texts.token('b64', 16, rng)}"
    if kind == "report":
        sent = rng.choice(["application/csp-report", "application/csp-report", "application/reports+json"])
    elif kind == "ping":
        sent = "text/ping"
    elif kind == "beacon":
        sent = rng.choice(BEACON_TYPES)
    elif kind == "post":
        sent = form if rng.random() < 0.12 else "application/x-www-form-urlencoded"
    else:
        sent = "" if want.method == "DELETE" and rng.random() < 0.8 else rng.choice(SENT_TYPES)
    if sent:
        values["Content-Type"] = form if sent == "multipart/form-data" else sent
    if sent or want.method != "DELETE":
        values["Content-Length"] = str(texts.between(2, 9000, rng))
    if engine in ("chromium", "webkit", "gecko", "android", "gtk", "edgehtml") and not (
        engine == "gecko" and browser.version < 60
    ):
        values["Origin"] = visit.origin
        if kind == "post" and values.get("Referer", visit.origin).startswith(visit.origin) is False:
            values["Origin"] = "/".join(values["Referer"].split("/")[:3])  # a sign-in that posts its answer here
        elif kind == "post" and "Referer" not in values and rng.random() < 0.5:
            values["Origin"] = "null"
    if kind == "post" and engine in ("chromium", "webkit"):
        values["Cache-Control"] = "max-age=0"
    if kind == "beacon" and engine in ("webkit", "gtk"):
        values["Cache-Control"] = "max-age=0"


def _socket(values: dict[str, str], visit: Visit, engine: str, rng: random.Random) -> None:
    values |= {"Origin": visit.origin, "Sec-WebSocket-Key": texts.token("b64", 22, rng) + "=="}
    if rng.random() < 0.2:
        values["Sec-WebSocket-Protocol"] = rng.choice(
            ["graphql-ws", "graphql-transport-ws", "vite-hmr", "json", "mqtt", "actioncable-v1-json"]
        )
    values.pop("Referer", None)
    if engine != "gecko":
        values.pop("Accept", None)


def _preflight(values: dict[str, str], browser: Browser, visit: Visit, want: Want, rng: random.Random) -> None:
    values["Origin"], values["Referer"] = _other(visit, want)
    values["Access-Control-Request-Method"] = rng.choice(["GET", "POST", "POST", "PUT", "PATCH", "DELETE"])
    names = [
        "content-type",
        "authorization",
        "x-requested-with",
        "x-csrf-token",
        "x-foo",
        "traceparent",
        "x-api-key",
        "range",
    ]
    asked = sorted(rng.sample(names, rng.choices(range(5), [15, 40, 25, 12, 8])[0]))
    if asked or values["Access-Control-Request-Method"] in ("GET", "POST"):
        asked = asked or ["content-type"]
        values["Access-Control-Request-Headers"] = rng.choice(
            [",", ","] if browser.engine != "webkit" else [", ", ","]
        ).join(asked)
    values.pop("Cookie", None)
    if browser.engine == "chromium" and browser.version >= 80:
        values["Sec-Fetch-Mode"] = "cors"  # said over http as well


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
    kind = KINDS[want.kind]
    socket = want.kind == "socket"
    if (
        browser.has("fetch")
        and not (socket and browser.engine == "chromium")
        and not (want.kind == "service" and browser.engine == "gtk")
    ):
        values["Sec-Fetch-Site"] = _site(values, visit, want)
        values["Sec-Fetch-Mode"], values["Sec-Fetch-Dest"] = kind.mode, kind.destination
        if socket and browser.engine == "gecko" and browser.version >= 130:
            values["Sec-Fetch-Dest"] = "empty"
        if want.kind == "font" and browser.engine == "gtk":
            values["Sec-Fetch-Mode"] = "no-cors"
        opened = want.kind in ("page", "post", "download") and rng.random() < 0.9  # by a person, not by a script
        if opened and browser.engine not in ("webkit", "gtk"):
            values["Sec-Fetch-User"] = "?1"
        if (
            values["Sec-Fetch-Site"] == "cross-site"
            and browser.has("storage")
            and not kind.navigates
            and kind.mode == "no-cors"
        ):
            values["Sec-Fetch-Storage-Access"] = rng.choice(["active", "none", "active"])
    silent = want.kind in ("socket", "preflight", "worker", "service", "inworker", "saved")
    if habits.hints and not silent and browser.hinting:
        values |= (
            hints(browser.agent, browser.version, rng)
            if not habits.recorded.get("sec-ch-ua")
            else {name: value for name, value in habits.recorded.items() if name.startswith("sec-ch")}
        )
        if "Brave" in values["sec-ch-ua"]:  # which takes no signed exchanges
            values["Accept"] = values["Accept"].split(",application/signed-exchange")[0]


def _site(values: Mapping[str, str], visit: Visit, want: Want) -> str:
    """Sec-Fetch-Site: whose page asks."""
    kind = KINDS[want.kind]
    source = values.get("Referer") or (values.get("Origin") if want.kind in ("cors", "preflight") else None)
    if not source:
        return "none" if kind.navigates and "Origin" not in values else "same-origin"
    if source.startswith(visit.origin):
        return "same-origin"
    return (
        "same-site" if source.partition("://")[2].startswith(f"app.{visit.host.removeprefix('www.')}") else "cross-site"
    )


def _as_recorded(values: dict[str, str], recorded: Mapping[str, str], browser: Browser, want: Want) -> None:
    """Puts the recorded values in that do not depend on the kind of request, nor contradict the agent."""
    for name, value in recorded.items():
        if name == "DNT":
            values[name] = value
        signed = "signed-exchange" in value
        if (
            name == "Accept"
            and want.kind == "page"
            and signed == (browser.engine == "chromium" and "signed" in values[name])
        ):
            values[name] = value


def _left_out(values: dict[str, str], browser: Browser, want: Want) -> None:
    """What requests that no page made itself do not say."""
    if want.kind == "saved" and browser.engine == "chromium":
        values.pop("Accept", None)
    if want.kind == "manifest" and browser.engine in ("chromium", "gecko"):
        values.pop("Cookie", None)
    if want.kind == "report" and browser.engine == "gecko":
        values.pop("Cookie", None)
        values.pop("Referer", None)


def _named(table: list[tuple[str, str]], agent: str) -> str:
    return next(name for word, name in table if word in agent)
