"""site.py - what is asked for, when, and from where: everything that does not depend on who asks.

Law: a visit and its requests are drawn before anybody knows whether a person or a bot makes them. So address, time,
host, scheme, HTTP version, language, number of requests, the year of the browser, and (but for what robots.py does on
purpose) the path, have the same distribution for both, and a model cannot tell the classes by them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from training.corpus import agents

# Protocol as nginx names it, scheme, share of the visits. HTTP/1.1 is also what a site behind a delivery network sees.
CONNECTIONS = [
    ("HTTP/2.0", "https", 48),
    ("HTTP/3.0", "https", 6),
    ("HTTP/1.1", "https", 20),
    ("HTTP/1.1", "http", 24),
    ("HTTP/1.0", "http", 2),
]
SPOKEN_SINCE = {"HTTP/2.0": 2016, "HTTP/3.0": 2021}
# fmt: off
# Kind of request (what the page wants it for), share of the requests
KINDS = {
    "page": 48, "style": 6, "script": 8, "image": 15, "font": 3, "media": 2, "xhr": 8, "post": 4, "favicon": 3,
    "prefetch": 1, "worker": 1, "download": 1,
}
WORDS = """
about account album answers api archive article articles author baking beach blog board books bridge calendar cars cart
catalog category chapter checkout city classic coffee comments company contact cooking courses delivery demo design
detail docs download drive editor energy events faq film finance first fitness forum gallery games garden gift green
guide harbour health help history home hotel house index info install issue items jobs journal kids kitchen language
latest learn legal library list local login manual maps market media members menu mobile music nature news notes offers
order overview page people photo photos places plans poems post posts press prices privacy product products profile
project radio readme recipe region release report review river sale school science search season section series service
setup shop shows site small software space sport stories story student summer support tags team terms text ticket topic
tours town training travel tutorial update user users video view village water weather wiki winter words work world
writing
""".split()
EXTENSIONS = ["", "", "", "/", "/", ".html", ".html", ".php", ".php", ".htm", ".aspx", ".jsp"]
# Kind: folders, extensions
ASSETS = {
    "style": (["css", "assets", "static", "styles", "wp-content/themes/base"], ["css"]),
    "script": (["js", "assets", "static", "scripts", "wp-includes/js"], ["js", "js", "mjs"]),
    "image": (["images", "img", "assets", "media", "photos", "wp-content/uploads/2019/04"],
              ["png", "jpg", "jpg", "gif", "svg", "webp", "jpeg", "ico"]),
    "font": (["fonts", "assets/fonts"], ["woff2", "woff", "ttf"]),
    "media": (["media", "video", "files"], ["mp4", "webm", "mp3"]),
    "download": (["files", "downloads", "docs"], ["pdf", "zip", "tar.gz", "csv", "epub"]),
}
ICONS = ["/favicon.ico"] * 6 + ["/apple-touch-icon.png", "/favicon-32x32.png"]
# Doors that owners use every day and scanners try all the time.
DOORS = ["/wp-login.php", "/wp-admin/", "/wp-admin/admin-ajax.php", "/login", "/user/login", "/admin/",
         "/administrator/", "/xmlrpc.php"]
USUAL = ["/index.php", "/index.html", "/search", "/feed/", "/sitemap.xml"]
KEYS = ["id", "p", "page", "q", "lang", "sort", "ref", "cat", "s", "v", "utm_source", "fbclid"]
ENDS = [".com", ".org", ".net", ".de", ".info", ".example"]
# fmt: on


@dataclass(frozen=True, slots=True)
class Visit:
    """One client at one site: what all its requests share."""

    ip: str
    host: str
    scheme: str
    protocol: str
    language: str
    year: int  # the client's browser, if it has or claims one, is of this year

    @property
    def trusted(self) -> bool:
        """True where browsers send Sec-* headers and br: over https, and on this machine."""
        return self.scheme == "https" or self.host.split(":")[0] in ("localhost", "127.0.0.1")

    @property
    def origin(self) -> str:
        """Scheme and host, as a referrer of the site's own begins."""
        return f"{self.scheme}://{self.host}"


@dataclass(frozen=True, slots=True)
class Want:
    """One request of a visit. `page` is the path of the page it comes from, None for the first of a visit."""

    kind: str
    path: str
    page: str | None = None
    again: bool = False  # the client has an older copy of it, or sends data to it
    time: float = 0.0
    asked: str = ""  # the method, where it does not follow from the kind

    @property
    def method(self) -> str:
        """GET, or POST where a form or a script sends data."""
        return self.asked or ("POST" if self.kind == "post" or (self.kind == "xhr" and self.again) else "GET")


def address(rng: random.Random) -> str:
    """An address out of the whole public range, mostly IPv4."""
    if rng.random() < 0.12:
        return str(IPv6Address((0x2 << 124) | rng.getrandbits(124)))
    while not (ip := IPv4Address(rng.getrandbits(32))).is_global or ip.is_multicast:
        pass
    return str(ip)


def visit(rng: random.Random) -> Visit:
    """The frame of a visit. An old browser cannot speak a new protocol: the year is drawn to fit, for both classes."""
    protocol, scheme, _ = rng.choices(CONNECTIONS, [share for _, _, share in CONNECTIONS])[0]
    while (year := agents.draw_year(rng)) < SPOKEN_SINCE.get(protocol, 0):
        pass
    return Visit(address(rng), _host(rng), scheme, protocol, agents.draw_language(rng), year)


def wants(rng: random.Random) -> list[Want]:
    """The requests of one visit, one to eight, in order of time."""
    now, extension = rng.uniform(1.6e9, 1.8e9), rng.choice(EXTENSIONS)
    page: str | None = None
    out: list[Want] = []
    for _ in range(rng.choices(range(1, 9), [30, 20, 14, 10, 8, 7, 6, 5])[0]):
        kind = "page" if not out and rng.random() < 0.6 else rng.choices(list(KINDS), list(KINDS.values()))[0]
        path = _path(kind, extension, rng)
        out.append(Want(kind, path, page, rng.random() < 0.12, round(now, 3)))
        now += rng.expovariate(0.05 if kind == "page" else 2)
        page = path if kind == "page" else page
    return out


def slug(rng: random.Random, longest: int = 4) -> str:
    """A few words, as in the address of an article."""
    return "-".join(rng.sample(WORDS, rng.randint(1, longest)))


def name(rng: random.Random) -> str:
    """A site's name, like `rivernotes.org`."""
    return "".join(rng.sample(WORDS, 2)) + rng.choice(ENDS)


def _host(rng: random.Random) -> str:
    chance = rng.random()
    if chance < 0.04:
        return f"{rng.choice(['localhost', '127.0.0.1'])}:{rng.choice([3000, 8000, 8080, 8443])}"
    if chance < 0.1:  # sites without a name
        return str(IPv4Address(rng.getrandbits(32))) + rng.choice(["", "", ":8080", ":8443"])
    return rng.choice(["", "", "www.", "www.", "blog.", "shop."]) + name(rng)


def _query(rng: random.Random) -> str:
    def value() -> str:
        return rng.choice([str(rng.randint(1, 9999)), rng.choice(WORDS), "%20".join(rng.sample(WORDS, 2))])

    return "?" + "&".join(f"{rng.choice(KEYS)}={value()}" for _ in range(rng.randint(1, 3)))


def _path(kind: str, extension: str, rng: random.Random) -> str:
    if kind == "favicon":
        return rng.choice(ICONS)
    if kind == "worker":
        return rng.choice(["/sw.js", "/service-worker.js"])
    if kind in ASSETS:
        folders, extensions = ASSETS[kind]
        mark = rng.choice(["", "", ".min", f".{rng.getrandbits(32):08x}", f"-{rng.randint(1, 9)}"])
        version = f"?v={rng.randint(1, 9)}.{rng.randint(0, 20)}" if rng.random() < 0.15 else ""
        return f"/{rng.choice(folders)}/{slug(rng, 3)}{mark}.{rng.choice(extensions)}{version}"
    if kind == "xhr":
        base = rng.choice(["api", "api/v1", "ajax", "graphql", "wp-json/wp/v2"])
        return f"/{base}/{slug(rng, 1)}" + (_query(rng) if rng.random() < 0.4 else "")
    return _page(extension, rng)


def _page(extension: str, rng: random.Random) -> str:
    chance = rng.random()
    if chance < 0.22:
        return "/"
    if chance < 0.25:
        return rng.choice(DOORS)
    if chance < 0.29:
        return rng.choice(USUAL) + (_query(rng) if chance < 0.27 else "")
    folders = [rng.choice(WORDS) for _ in range(rng.randint(0, 2))]
    if rng.random() < 0.2:
        folders += [str(rng.randint(2005, 2026)), f"{rng.randint(1, 12):02}"]
    return "/" + "/".join([*folders, slug(rng)]) + extension + (_query(rng) if rng.random() < 0.18 else "")
