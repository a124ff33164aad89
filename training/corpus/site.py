"""site.py - what is asked for, when, and from where: everything that does not depend on who asks.

Law: a visit and its requests are drawn before anybody knows whether a person or a bot makes them. So address, time,
host, scheme, HTTP version, language, number of requests, the year of the browser, methods, queries, cookies and referrers
to send if any, and (but for what robots.py does on purpose) the path, have the same distribution for both, and a model
cannot tell the classes by them. A kind (kinds.tsv) says what is asked for and why; how a browser writes that down is browsers.py's.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import accumulate

from training.corpus import agents, texts
from training.corpus.tables import draw, rows
from training.corpus.texts import WORDS

# Protocol as nginx names it, scheme, share of the visits. HTTP/1.1 is also what a site behind a delivery network sees.
CONNECTIONS = [
    ("HTTP/2.0", "https", 48),
    ("HTTP/3.0", "https", 6),
    ("HTTP/1.1", "https", 20),
    ("HTTP/1.1", "http", 24),
    ("HTTP/1.0", "http", 2),
]
# Share of the http visits where a load balancer ended https before.
ENDED = 0.02
SPOKEN_SINCE = {"HTTP/2.0": 2016, "HTTP/3.0": 2021}
# fmt: off
EXTENSIONS = ["", "", "", "/", "/", ".html", ".html", ".php", ".php", ".htm", ".aspx", ".jsp"]
# Kind: folders, extensions
ASSETS = {
    "style": (["css", "assets", "static", "styles", "wp-content/themes/base"], ["css"]),
    "script": (["js", "assets", "static", "scripts", "wp-includes/js"], ["js", "js", "mjs"]),
    "image": (["images", "img", "assets", "media", "photos", "wp-content/uploads/2019/04"],
              ["png", "jpg", "jpg", "gif", "svg", "webp", "jpeg", "ico", "avif"]),
    "font": (["fonts", "assets/fonts"], ["woff2", "woff", "ttf"]),
    "media": (["media", "video", "files"], ["mp4", "webm", "mp3", "m4s", "ts"]),
    "audio": (["media", "audio", "files"], ["mp3", "ogg", "wav", "m4a"]),
    "track": (["media", "video"], ["vtt"]),
    "object": (["images", "assets", "docs"], ["svg", "pdf"]),
    "download": (["files", "downloads", "docs"], ["pdf", "zip", "tar.gz", "csv", "epub"]),
}
ASSETS |= {"saved": ASSETS["download"], "module": ASSETS["script"]}
# Kinds with paths of their own, and what scripts ask for.
PATHS = {
    "favicon": ["/favicon.ico"] * 6 + ["/apple-touch-icon.png", "/favicon-32x32.png", "/apple-touch-icon-precomposed.png"],
    "service": ["/sw.js", "/service-worker.js", "/serviceworker.js", "/ngsw-worker.js", "/firebase-messaging-sw.js"],
    "manifest": ["/manifest.webmanifest", "/manifest.json", "/site.webmanifest"],
    "counter": ["/matomo.php", "/piwik.php", "/collect", "/pixel.gif", "/b/ss/main/1", "/tr/", "/count.gif", "/i", "/e.gif"],
    "beacon": ["/api/beacon", "/collect", "/g/collect", "/rum", "/cdn-cgi/rum", "/log", "/matomo.php", "/events", "/api/vitals"],
    "ping": ["/ping", "/click", "/api/ping"],
    "report": ["/csp-report", "/csp", "/reports", "/api/csp"],
    "events": ["/events", "/stream", "/api/events", "/sse", "/.well-known/mercure", "/_next/webpack-hmr"],
    "socket": ["/ws", "/socket.io/", "/cable", "/websocket", "/live/websocket", "/signalr", "/app/ws", "/hub", "/graphql", "/"],
    "worker": ["/worker.js", "/assets/worker.js", "/js/worker.min.js", "/pdf.worker.mjs"],
    "wellknown": ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/.well-known/assetlinks.json",
                  "/.well-known/change-password", "/.well-known/webauthn", "/.well-known/apple-app-site-association",
                  "/.well-known/appspecific/com.chrome.devtools.json", "/.well-known/matrix/client", "/.well-known/nodeinfo",
                  "/.well-known/webfinger", "/.well-known/security.txt", "/.well-known/host-meta"],
}
APIS = ["api", "api/v1", "api/v2", "ajax", "graphql", "wp-json/wp/v2", "rest", "_next/data", "trpc", "rpc"]
LOADERS = ["/load-styles.php", "/wp-admin/load-scripts.php", "/w/load.php", "/css2", "/combo"]
# Doors that owners use every day and scanners try all the time.
DOORS = ["/wp-login.php", "/wp-admin/", "/wp-admin/admin-ajax.php", "/login", "/user/login", "/admin/",
         "/administrator/", "/xmlrpc.php"]
SIGN_IN = ["/oauth2/callback", "/auth/callback", "/callback", "/saml/acs", "/login/verify", "/auth/google/callback",
           "/unsubscribe", "/reset-password", "/signin-oidc", "/api/auth/callback/google", "/magic", "/sso", "/oauth/authorize"]
USUAL = ["/index.php", "/index.html", "/search", "/feed/", "/sitemap.xml"]
ENDS = [".com", ".org", ".net", ".de", ".info", ".example"]
# fmt: on


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table. `priority` by engine family: chromium, gecko, webkit; `-` for none."""

    name: str
    mode: str
    destination: str
    priority: dict[str, str]
    accept: str  # the kind whose Accept it has
    query: str  # the group of its query
    methods: list[str]
    method_weights: list[float]

    @property
    def navigates(self) -> bool:
        """Whether a document is opened with it."""
        return self.mode == "navigate"

    def method(self, rng: random.Random) -> str:
        """The method of one request."""
        return rng.choices(self.methods, self.method_weights)[0]


def _kind(row: list[str]) -> Kind:
    name, _, methods, mode, destination, chromium, gecko, webkit, accept, query = row
    weighed = [part.split(" ") for part in methods.split("|")]
    priority = {"chromium": chromium, "gecko": gecko, "webkit": webkit, "gtk": "-"}
    names, weights = [method for method, _ in weighed], [float(weight) for _, weight in weighed]
    return Kind(name, mode, destination, priority, accept, query, names, weights)


KINDS = {row[0]: _kind(row) for row in rows("kinds.tsv")}
_NAMES = list(KINDS)
_SHARES = list(accumulate(float(row[1]) for row in rows("kinds.tsv")))


def draw_kind(rng: random.Random) -> str:
    """The name of a kind, by its share of the requests."""
    return rng.choices(_NAMES, cum_weights=_SHARES)[0]


@dataclass(frozen=True, slots=True)
class Visit:
    """One client at one site: what all its requests share."""

    ip: str
    host: str
    scheme: str
    protocol: str
    language: str
    year: int  # the client's browser, if it has or claims one, is of this year
    ended: bool = False  # https that somebody on the way ended: the site sees http
    cookies: str = ""  # what the client has for this site, if it keeps any

    @property
    def secure(self) -> bool:
        """Whether the client sees https."""
        return self.scheme == "https" or self.ended

    @property
    def trusted(self) -> bool:
        """True where browsers send Sec-* headers and br: over https, and on this machine."""
        return self.secure or self.loopback

    @property
    def loopback(self) -> bool:
        """Whether the site runs on the client's own machine."""
        name = self.host.partition(":")[0]
        return name in ("localhost", "127.0.0.1") or name.endswith(".localhost")

    @property
    def origin(self) -> str:
        """Scheme and host as the client sees them: so a referrer of the site's own begins."""
        return f"{'https' if self.secure else 'http'}://{self.host}"


@dataclass(frozen=True, slots=True)
class Want:
    """One request of a visit. `page` is the path of the page it comes from, None for the first of a visit."""

    kind: str
    path: str
    page: str | None = None
    again: bool = False  # the client has an older copy of it
    time: float = 0.0
    method: str = "GET"
    outside: str = "https://www.google.com/"  # where it comes from, if it comes from another site

    @property
    def protocol_at_most(self) -> str:
        """Sites behind a proxy take sockets over HTTP/1.1 alone: browsers open a connection of their own for them."""
        return "HTTP/1.1" if self.kind == "socket" else "HTTP/9"

    @property
    def sends(self) -> bool:
        """Whether it carries data, or changes some."""
        return self.method in ("POST", "PUT", "PATCH", "DELETE")


def protocol(visit: Visit, want: Want) -> str:
    """The HTTP version of one request of a visit."""
    return min(visit.protocol, want.protocol_at_most)


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
    ended = scheme == "http" and rng.random() < ENDED
    return Visit(address(rng), _host(rng), scheme, protocol, agents.draw_language(rng), year, ended, texts.cookies(rng))


def wants(visit: Visit, rng: random.Random) -> list[Want]:
    """The requests of one visit, one to eight, in order of time."""
    now, extension = rng.uniform(1.6e9, 1.8e9), rng.choice(EXTENSIONS)
    page: str | None = None
    out: list[Want] = []
    for _ in range(rng.choices(range(1, 9), [30, 20, 14, 10, 8, 7, 6, 5])[0]):
        kind = "page" if not out and rng.random() < 0.6 else draw_kind(rng)
        target = path(kind, rng, extension)
        method = KINDS[kind].method(rng)
        out.append(Want(kind, target, page, rng.random() < 0.12, round(now, 3), method, outside(visit, rng)))
        now += rng.expovariate(0.05 if kind == "page" else 2)
        page = target if kind == "page" else page
    return out


def outside(visit: Visit, rng: random.Random) -> str:
    """The address of a page elsewhere that links here: a search, a social network, another site."""
    group = rng.choices(["search", "social", "other"], [55, 20, 25])[0]
    came = draw("referrers.tsv", rng, group, visit.year)[0].format(
        host=visit.host,
        land=rng.choice(["com", "com", "de", "co.uk", "fr"]),
        number=f"{rng.getrandbits(64):x}",
        question="+".join(rng.sample(WORDS, rng.randint(1, 4))),
        site=name(rng),
        slug=slug(rng),
        word=rng.choice(WORDS),
    )
    return came + ("" if "?" in came or rng.random() < 0.9 else texts.query("page", rng))


def slug(rng: random.Random, longest: int = 4) -> str:
    """A few words, as in the address of an article."""
    return "-".join(rng.sample(WORDS, rng.randint(1, longest)))


def name(rng: random.Random) -> str:
    """A site's name, like `rivernotes.org`."""
    return "".join(rng.sample(WORDS, 2)) + rng.choice(ENDS)


def _host(rng: random.Random) -> str:
    chance = rng.random()
    if chance < 0.05:
        return f"{rng.choice(['localhost', '127.0.0.1', 'app.localhost'])}:{rng.choice([3000, 4200, 5173, 8000, 8080, 8443])}"
    if chance < 0.08:  # at home, in the office
        names = [
            f"192.168.{rng.randint(0, 255)}.{rng.randint(2, 250)}",
            f"10.0.{rng.randint(0, 255)}.{rng.randint(2, 250)}",
        ]
        return rng.choice([*names, "nas", "intranet", "homeassistant.local"]) + rng.choice(
            ["", "", ":8080", ":8096", ":8123"]
        )
    if chance < 0.13:  # sites without a name
        return str(IPv4Address(rng.getrandbits(32))) + rng.choice(["", "", ":8080", ":8443"])
    return rng.choice(["", "", "www.", "www.", "blog.", "shop."]) + name(rng)


def path(kind: str, rng: random.Random, extension: str = "") -> str:
    """A path for a request of `kind`, with a query if it has one; `extension`: of the site's pages."""
    query = texts.query(KINDS[kind].query, rng)
    if kind in PATHS:
        return rng.choice(PATHS[kind]) + query
    if kind in ("style", "script") and query and rng.random() < 0.3:
        return rng.choice(LOADERS) + query
    if kind in ASSETS:
        folders, extensions = ASSETS[kind]
        mark = rng.choice(["", "", ".min", f".{rng.getrandbits(32):08x}", f"-{rng.randint(1, 9)}"])
        return f"/{rng.choice(folders)}/{slug(rng, 3)}{mark}.{rng.choice(extensions)}{query}"
    if KINDS[kind].query == "fetch" and rng.random() < 0.9:
        deeper = "".join(f"/{slug(rng, 1)}" for _ in range(rng.choice([0, 0, 1, 2])))
        number = rng.choice(["", "", f"/{rng.randint(1, 9999)}", f"/{rng.getrandbits(64):x}", ".json"])
        return f"/{rng.choice(APIS)}/{slug(rng, 2)}{deeper}{number}{query}"
    if kind == "head" and rng.random() < 0.4:
        folders, extensions = ASSETS[rng.choice(["image", "download"])]
        return f"/{rng.choice(folders)}/{slug(rng, 3)}.{rng.choice(extensions)}{query}"
    return _page(extension, query, rng)


def _page(extension: str, query: str, rng: random.Random) -> str:
    chance = rng.random()
    if chance < 0.2:
        return "/" + query
    if chance < 0.23:
        return rng.choice(DOORS) + query
    if chance < 0.27:
        return rng.choice(USUAL) + query
    if chance < 0.31:
        return rng.choice(SIGN_IN) + query
    folders = [rng.choice(WORDS) for _ in range(rng.randint(0, 2))]
    if rng.random() < 0.2:
        folders += [str(rng.randint(2005, 2026)), f"{rng.randint(1, 12):02}"]
    return "/" + "/".join([*folders, slug(rng)]) + extension + query
