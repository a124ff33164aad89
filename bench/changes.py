"""What an attacker may change in a request: the alphabet of bench/evasion.py, fixed before a model is fitted.

Law: a change is an object that knows nothing of any model. After it the site still answers what was asked: host, protocol
and resource stay. Values are those of people; the words, counts and limits below are all there is besides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from moves import (
    FIXED,
    MOST_HEADERS,
    Apply,
    Sent,
    agent_and,
    as_whole_url,
    asked_by,
    both,
    dressed,
    path_between,
    renamed,
    reordered,
    value_of,
    where,
    with_agent,
    with_header,
    with_junk,
    with_path,
    with_query,
    with_referrer,
    without,
)

from sidecar import core


@dataclass(frozen=True)
class Change:
    """One change. `family`: those that differ in a value or a count only."""

    name: str
    kind: str
    family: str
    apply: Apply
    cost: str = "bytes"

    @property
    def public(self) -> str:
        """The name without a value of people's: those stay where they were captured."""
        return self.name if self.kind in ("remove", "reorder", "padding", "padded header", "method") else self.family


# Five kinds are counted apart. A text browser, a player or an application sends so little that whoever takes its agent looks as it does;
# a pretence is four to eight lines; another method changes what is answered; a whole head is many changes at once; another handshake
# needs another program.
KINDS = {
    "add": "a header is set to a value of people's: replaced where it is there, else added",
    "remove": "a header is left out",
    "reorder": "headers in another order, or their names in another case",
    "agent": "a graphical browser's agent, or words beside the own one",
    "path": "words, dots and escapes in a target that leads to the same resource",
    "padding": "more of what is there and counted, up to nginx's limits",
    "padded header": "a header that may not have been there, padded",
    "plain agent": "the agent of a text browser, a player, an application or an old phone",
    "pretence": "a person's agent, languages and encodings, and the lines by which a kind of request is excused from all else",
    "method": "GET, HEAD or POST instead",
    "copy": "all headers of a person's request",
    "handshake": "what a person's browser offers when it opens a connection, where the request's own is known",
}
APART = frozenset({"plain agent", "pretence", "method", "copy", "handshake"})
PADDING = frozenset({"padding", "padded header"})

STEPS = (1, 4, 16, 63, 255, 1000, 4000, 8000)
VALUES = 20  # of one header, the commonest
PRETENDERS = 6  # people whose agent says that it is another kind of request
WORDS = 40  # of people's agents and paths, the commonest

COSTS = {
    b"range": "bytes; a part is answered",
    b"if-none-match": "bytes; nothing is answered where it fits",
    b"if-modified-since": "bytes; nothing is answered where it fits",
    b"accept-encoding": "bytes; it must unpack what comes",
    b"authorization": "bytes; refused where it is looked at",
    b"content-type": "bytes; a form may not be read",
}
# Programs on somebody's device, of which people's captures hold few.
DEVICES = (
    "Dalvik/2.1.0 (Linux; U; Android 12; SM-A125F Build/SP1A.210812.016)",
    "HarbourShop/214 CFNetwork/1498.700.2 Darwin/23.6.0",
    "AppleCoreMedia/1.0.0.22B83 (iPhone; U; CPU OS 18_1 like Mac OS X; en_us)",
    "HarbourShop/5.1 (Android 13; Pixel 7)",
    "HarbourShop/5.1 (iPhone; iOS 17.1; Scale/3.00)",
    "HarbourRadio/5.1 (Linux;Android 13) ExoPlayerLib/2.18.1",
    "stagefright/1.2 (Linux;Android 10)",
    "VLC/3.0.20 LibVLC/3.0.20",
    "[FBAN/FB4A;FBAV/531.0.0.41.109;FBPN/com.facebook.katana;FBLC/de_DE;FBDV/Pixel 8;FBSV/15;]",
    "Nokia6300/2.0 (07.21) Profile/MIDP-2.0 Configuration/CLDC-1.1",
    "SAMSUNG-GT-S5620/S5620XEJC1 SHP/VPP/R5 Dolfin/2.0 Nextreaming SMM-MMS/1.2.0 profile/MIDP-2.1 configuration/CLDC-1.1",
    "DoCoMo/2.0 P903i(c100;TB;W24H12)",
    "UCWEB/2.0 (Linux; U; Adr 4.0.4; en-US; X1) U2/1.0.0 UCBrowser/8.6.0.276 U2/1.0.0 Mobile",
    "Opera/9.80 (J2ME/MIDP; Opera Mini/8.0.35158/191.273; U; en) Presto/2.12.423 Version/12.16",
    "Opera/9.80 (Windows NT 6.1; U; de) Presto/2.12.388 Version/12.16",
    "Mozilla/4.0 (compatible; ms-office; MSOffice 16)",
    "Lynx/2.9.0dev.12 libwww-FM/2.14 SSL-MM/1.4.1 GNUTLS/3.7.8",
    "w3m/0.5.3+git20230121",
    "Roku/DVP-12.0 (12.0.0.4182-88)",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)",
)
PERSONAL = (b"Accept-Encoding", b"Accept-Language")
# What each kind of request says, and does not (None), beside agent, languages and encodings.
PRETENCES: dict[str, dict[bytes, bytes | None]] = {
    "a WebSocket": {b"Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZQ==", b"Accept": None, b"Referer": None},
    "a service worker's script": {b"Service-Worker": b"script", b"Accept": b"*/*"},
    "a page fetched ahead": {b"Purpose": b"prefetch", b"Accept": b"*/*"},
    "a film": {b"Range": b"bytes=0-", b"Accept-Encoding": b"identity;q=1, *;q=0", b"Accept": b"*/*"},
    "a script's request": {b"X-Requested-With": b"XMLHttpRequest", b"Accept": b"*/*"},
    "a download": {b"Accept": None, b"Sec-Fetch-Site": b"none", b"Sec-Fetch-Mode": b"navigate", b"Sec-Fetch-Dest": b"empty"},
    "a fetch": {b"Accept": b"*/*", b"Sec-Fetch-Site": b"same-origin", b"Sec-Fetch-Mode": b"cors", b"Sec-Fetch-Dest": b"empty"},
    "a picture": {b"Accept": b"image/avif,image/webp,*/*;q=0.8", b"Sec-Fetch-Site": b"same-origin", b"Sec-Fetch-Mode": b"no-cors",
                  b"Sec-Fetch-Dest": b"image"},
    "a preflight": {b"Access-Control-Request-Method": b"GET", b"Origin": b"https://example.com", b"Accept": b"*/*"},
}  # fmt: skip
GREASE = re.compile(rb"0x([0-9a-f])a\1a")
GRAPHICAL = re.compile(rb"Mozilla/5\.0 .*(Chrome|Firefox|Safari)/")
OWN_WORDS = ("Mozilla", "Gecko", "Chrome", "Safari", "Firefox", "Windows", "Macintosh", "Linux", "Android", "iPhone",
             "Mobile", "Version", "AppleWebKit", "KHTML", "Edg", "OPR", "Trident", "Opera", "Googlebot", "assets",
             "images", "static", "index", "search", "news", "blog", "contact", "about", "login", "wiki")  # fmt: skip
# Headers that anybody can send; the corpus of people without data knows few of them.
OWN_HEADERS = {
    b"Authorization": b"Bearer x",
    b"Cache-Control": b"max-age=0",
    b"Content-Type": b"application/json",
    b"Cookie": b"sid=1",
    b"DNT": b"1",
    b"From": b"a@example.com",
    b"If-Modified-Since": b"Thu, 01 Jan 1970 00:00:00 GMT",
    b"If-None-Match": b'"1"',
    b"Origin": b"http://example.com",
    b"Pragma": b"no-cache",
    b"Priority": b"u=0, i",
    b"Purpose": b"prefetch",
    b"Range": b"bytes=0-",
    b"Referer": b"https://www.google.com/",
    b"Sec-GPC": b"1",
    b"Sec-Purpose": b"prefetch",
    b"Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZQ==",
    b"Access-Control-Request-Method": b"GET",
    b"X-Requested-With": b"XMLHttpRequest",
}
ORDERS = {
    "Chromium": b"host connection sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform upgrade-insecure-requests user-agent accept"
    b" sec-fetch-site sec-fetch-mode sec-fetch-user sec-fetch-dest referer accept-encoding accept-language cookie",
    "Firefox": b"host user-agent accept accept-language accept-encoding referer connection cookie"
    b" upgrade-insecure-requests sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user priority",
    "Safari": b"host cookie accept sec-fetch-site sec-fetch-dest sec-fetch-mode user-agent referer accept-language"
    b" accept-encoding connection priority",
}


def numbered(n: int) -> Iterator[bytes]:
    """n different words of letters: bare numbers are no words."""
    return (bytes((97 + i // 676 % 26, 97 + i // 26 % 26, 97 + i % 26)) for i in range(n))


def text(value: bytes) -> str:
    return value.decode("latin-1")


def _spelling(people: Iterable[Sent]) -> dict[bytes, bytes]:
    """How people's browsers write a name over HTTP/1, by the name in lower case."""
    found: dict[bytes, bytes] = {}
    for request in people:
        for name, _ in request.headers:
            if request.protocol.startswith(b"HTTP/1"):
                found[name.lower()] = name
            else:
                found.setdefault(name.lower(), name.title())
    return found


def headers_of(people: Sequence[Sent]) -> Iterator[Change]:
    """Sets each header to each value of people's, and leaves each out."""
    spelling, values = _spelling(people), Counter((n.lower(), v) for one in people for n, v in one.headers)
    by_name: dict[bytes, list[bytes]] = {}
    for (name, value), _ in values.most_common():
        if name not in FIXED | {b"user-agent"} and len(by_name.setdefault(name, [])) < VALUES:
            by_name[name].append(value)
    for name, value in OWN_HEADERS.items():
        spelling.setdefault(name.lower(), name)
        if value not in by_name.setdefault(name.lower(), []):
            by_name[name.lower()].append(value)
    for name, found in sorted(by_name.items()):
        shown, cost = spelling[name].decode("latin-1"), COSTS.get(name, "bytes")
        for value in found:
            family = f"add {shown}"
            yield Change(f"{shown}: {text(value)}", "add", family, with_header(spelling[name], value), cost)
        common = with_header(spelling[name], found[0], first=True)
        yield Change(f"{shown} first: {text(found[0])}", "add", f"add {shown} first", common, cost)
        yield Change(f"{shown}: (empty)", "add", f"add {shown} empty", with_header(spelling[name], b""), cost)
    for name in sorted({*by_name, b"user-agent", b"connection", b"accept-charset"}):
        yield Change(f"no {name.decode()}", "remove", f"remove {name.decode()}", without(name), "what it was for")
    bare = without(b"")
    for name in by_name:
        bare = both(bare, without(name))
    yield Change("no header but the agent", "remove", "remove all", bare, "what they were for")


def orders() -> Iterator[Change]:
    """Orders of the engines, plain ones, and cases of names."""
    found: dict[str, Apply] = {}
    for engine, names in ORDERS.items():
        place = {name: i for i, name in enumerate(names.split())}
        found[f"the order of {engine}"] = reordered(partial(_place, place))
    found["sorted by name"] = reordered(bytes)
    found["backwards"] = lambda request: request._replace(headers=request.headers[::-1])
    for name in (b"user-agent", b"accept", b"accept-encoding", b"accept-language", b"referer", b"cookie", b"host"):
        found[f"{name.decode()} to the front"] = reordered(name.__ne__)
        found[f"{name.decode()} to the end"] = reordered(name.__eq__)
    found |= {f"names in {case.__name__} case": renamed(case) for case in (bytes.lower, bytes.title, bytes.upper)}
    for shown, apply in found.items():
        yield Change(shown, "reorder", shown, apply, "nothing")


def _place(places: dict[bytes, int], name: bytes) -> int:
    return places.get(name, len(places))


def agents(people: Sequence[Sent]) -> Iterator[Change]:
    """Agents of people, and words of theirs before and behind the bot's own."""
    found = Counter(value_of(one, b"user-agent") for one in people)
    devices = [agent.encode() for agent in DEVICES]
    for agent in dict.fromkeys([agent for agent, _ in found.most_common(2 * VALUES)] + devices):
        kind = "agent" if GRAPHICAL.match(agent) else "plain agent"
        yield Change(f"agent: {text(agent)}", kind, kind, with_header(b"User-Agent", agent), "its name")
    words = Counter(word for agent, n in found.items() for word in re.findall(rb"[A-Za-z]{2,}", agent) * n)
    own = [word.encode() for word in OWN_WORDS]
    for word in dict.fromkeys([word for word, _ in words.most_common(WORDS)] + own):
        shown = word.decode()
        yield Change(f"agent + {shown}", "agent", "agent + word", agent_and(b" " + word))
    for shown, change in (
        ("agent: Mozilla/5.0 before it", lambda a: b"Mozilla/5.0 " + a),
        ("agent in lower case", bytes.lower),
        ("agent in upper case", bytes.upper),
        ("agent: -", lambda _: b"-"),
        ("agent: its first word", lambda a: a.split(b" ")[0]),
        ("agent: without what is in brackets", lambda a: re.sub(rb"\([^)]*\)", b"", a)),
    ):
        yield Change(shown, "agent", shown, with_agent(change), "its name")


def paths(people: Sequence[Sent]) -> Iterator[Change]:
    """Other targets that lead to the same resource: behind it, and by a way that is resolved."""
    words = Counter(word for one in people for word in re.findall(rb"[a-z]{3,}", one.uri.partition(b"?")[0]))
    own = [word.encode() for word in OWN_WORDS]
    for word in dict.fromkeys([word for word, _ in words.most_common(WORDS)] + own):
        shown = word.decode()
        for name, family, apply in (
            (f"path + /{shown}", "path + word", path_between(b"", b"/" + word)),
            (f"path: /{shown}/.. before it", "path ..", path_between(b"/" + word + b"/..", b"")),
            (f"query + {shown}", "query + word", with_query(word + b"=" + word)),
        ):
            yield Change(name, "path", family, apply)
    for tail in (b".html", b".css", b".js", b".png", b".jpg", b".ico", b".woff2", b".php", b"/", b";v=1", b"%20"):
        yield Change(f"path + {text(tail)}", "path", "path + end", path_between(b"", tail))
        yield Change(f"path + /x{text(tail)}", "path", "path + part", path_between(b"", b"/x" + tail))
    for shown, change in (
        ("path: // before it", lambda p: b"/" + p),
        ("path: /. before it", lambda p: b"/." + p),
        ("path: /%2e before it", lambda p: b"/%2e" + p),
        ("path: dots escaped", lambda p: p.replace(b".", b"%2e")),
        ("path: all letters escaped", lambda p: re.sub(rb"[a-z]", lambda m: b"%%%02x" % m[0][0], p)),
    ):
        yield Change(shown, "path", shown, with_path(change))
    for shown, query in (("?", b""), ("?/health", b"/health"), ("?a=b://x/health", b"a=b://x/health")):
        yield Change(f"query {shown}", "path", "query", with_query(query))
    yield Change("the target as a whole URL", "path", "absolute", as_whole_url)


def _padding(n: int) -> dict[str, Apply]:
    """Each kind of padding, n of it."""
    many = min(n, MOST_HEADERS)
    junk = tuple((b"X-" + word.title(), b"1") for word in numbered(many))
    return {
        "parameters": with_query(b"&".join([b"a=1"] * n)),
        "parameters of other names": with_query(b"&".join(word + b"=1" for word in numbered(n))),
        "ampersands": with_query(b"&" * n),
        "bytes of query": with_query(b"q=" + b"x" * n),
        "percent signs in the query": with_query(b"q=" + b"%20" * n),
        "parts of the path": path_between(b"", b"/x" * n),
        "parts of other names": path_between(b"", b"".join(b"/" + word for word in numbered(n))),
        "bytes of path": path_between(b"", b"/" + b"x" * n),
        "slashes": path_between(b"/" * n, b""),
        "dots in the path": path_between(b"/." * n, b""),
        "percent signs in the path": path_between(b"", b"/" + b"%20" * n),
        "words of the agent": agent_and(b" x" * n),
        "other words of the agent": agent_and(b"".join(b" " + word for word in numbered(n))),
        "bytes of the agent": agent_and(b" " + b"x" * n),
        "blanks in the agent": agent_and(b" " * n + b"x"),
        "semicolons in the agent": agent_and(b";" * n),
        "digits in the agent": agent_and(b" " + b"1" * n),
        "headers": with_junk(junk),
        "headers before the others": with_junk(junk, first=True),
        "headers of one name": with_junk(((b"X-Junk", b"1"),) * many),
        "bytes of a header": with_junk(((b"X-Junk", b"x" * n),)),
        "cookie headers": with_junk(((b"Cookie", b"a=1"),) * many),
        **{what: where(name.lower(), with_header(name, value)) for what, (name, value) in _long_values(n).items()},
        **{what: where(b"referer", apply) for what, apply in _long_referrers(n).items()},
    }


def _long_values(n: int) -> dict[str, tuple[bytes, bytes]]:
    """Headers with n of something in their value."""
    return {
        "cookies": (b"Cookie", b"; ".join(word + b"=1" for word in numbered(n))),
        "bytes of a cookie": (b"Cookie", b"a=" + b"x" * n),
        "languages": (b"Accept-Language", b",".join([b"en"] * n)),
        "types": (b"Accept", b",".join([b"*/*"] * n)),
        "encodings": (b"Accept-Encoding", b", ".join([b"gzip"] * n)),
    }


def _long_referrers(n: int) -> dict[str, Apply]:
    """Referrers with n of something."""
    return {
        "bytes of the referrer's path": with_referrer(b"/" + b"x" * n),
        "parts of the referrer's path": with_referrer(b"/x" * n),
        "bytes of the referrer's query": with_referrer(b"/?q=" + b"x" * n),
        "parameters of the referrer": with_referrer(b"/?" + b"&" * n),
        "dots in the referrer's host": with_referrer(b"/", b"a." * n + b"example.org"),
    }


def padding() -> Iterator[Change]:
    for n in STEPS:
        for what, apply in _padding(n).items():
            if n <= MOST_HEADERS or "headers" not in what:
                yield Change(f"{n} {what}", "padding", f"pad {what}", apply)
        for what, (name, value) in _long_values(n).items():
            yield Change(f"with {n} {what}", "padded header", f"add {what}", with_header(name, value))
        for what, apply in _long_referrers(n).items():
            yield Change(f"with {n} {what}", "padded header", f"add {what}", apply)


def apart(people: Sequence[Sent]) -> Iterator[Change]:
    """What is counted apart: another method, and whole heads of people's that open pages or load their parts."""
    for method in (b"GET", b"HEAD", b"POST"):
        yield Change(f"method {method.decode()}", "method", "method", asked_by(method), "what is answered")
    heads: dict[tuple[bytes, bytes], Sent] = {}
    for one in people:
        if one.method == b"GET":
            heads.setdefault((value_of(one, b"user-agent"), value_of(one, b"accept")), one)
    for (agent, accept), one in list(heads.items())[:VALUES]:
        shown = f"headers of {text(agent)}, {text(accept)}"
        yield Change(shown, "copy", "copy", dressed(one.headers), "a list of headers")


def pretences(people: Sequence[Sent]) -> Iterator[Change]:
    """Each kind of request, by the agents of people's pages; other headers stay as they are."""
    pages: dict[bytes, Sent] = {}
    for one in people:
        agent = value_of(one, b"user-agent")
        if one.method == b"GET" and value_of(one, b"accept").startswith(b"text/html") and GRAPHICAL.match(agent):
            pages.setdefault(agent, one)
    for agent, page in list(pages.items())[:PRETENDERS]:
        own: dict[bytes, bytes | None] = {name: value_of(page, name.lower()) for name in PERSONAL}
        for kind, lines in PRETENCES.items():
            apply = with_header(b"User-Agent", agent)
            for name, value in (own | lines).items():
                apply = both(apply, with_header(name, value) if value else without(name.lower()))
            yield Change(
                f"says that it is {kind}, by {text(agent)}", "pretence", f"says that it is {kind}", apply, "lines"
            )


def with_handshake(tls: core.Tls) -> Apply:
    """The lists of `tls`, and that the protocol which is spoken was agreed on. Only where a handshake is known."""

    def apply(request: Sent) -> Sent:
        if request.tls is None:
            return request
        spoken = b"http/1.1" if request.protocol.startswith(b"HTTP/1") else b"h2"
        return request._replace(tls=request.tls._replace(ciphers=tls.ciphers, curves=tls.curves, alpn=spoken))

    return apply


def handshakes(people: Iterable[Sent]) -> Iterator[Change]:
    """The lists of each browser, GREASE left as one connection had it."""
    found: dict[bytes, core.Tls] = {}
    for one in people:
        if one.tls is not None and one.tls.ciphers and one.tls.curves:
            found.setdefault(GREASE.sub(b"G", one.tls.ciphers + b" " + one.tls.curves), one.tls)
    for n, (_, tls) in enumerate(sorted(found.items()), 1):
        yield Change(
            f"handshake {n}, of a person's browser", "handshake", "handshake", with_handshake(tls), "a program that can"
        )


def alphabet(people: Sequence[Sent]) -> list[Change]:
    """All changes, by values of these people's requests."""
    return [
        *headers_of(people),
        *orders(),
        *agents(people),
        *paths(people),
        *padding(),
        *handshakes(people),
        *pretences(people),
        *apart(people),
    ]
