"""The load: request heads as browsers and bots send them, the same ones for every row and every run.

Law: nothing here is random but by `random.Random(SEED)`, and nothing is read from disk: two machines send the
same bytes. Addresses travel in X-Forwarded-For, which every nginx here trusts (`real_ip_header`), as behind a
load balancer.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from urllib.parse import quote_plus

SEED = 20
POOL = 256
BOT_SHARE = 0.2  # as in the challenge

CHROME = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 {}Safari/537.36"
FIREFOX = "Mozilla/5.0 ({}; rv:{}.0) Gecko/20100101 Firefox/{}.0"
WINDOWS, MAC, ANDROID = (
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "Linux; Android 10; K",
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/17.5 Mobile/15E148 Safari/604.1"
)
SPOKEN_BOTS = (
    "Bot 1.0",
    "",
    "curl/8.5.0",
    "python-requests/2.32.3",
    "Go-http-client/1.1",
    "Wget/1.21.4",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
)
SITES = ("www.example.com", "news.example.org", "shop.example.net", "forum.example.com", "m.example.org")
WORDS = ("games", "recipes", "cinema", "league", "fashion", "travel", "garden", "music", "weather", "archive")


@dataclass(frozen=True)
class Head:
    """One request: what the visitor is meant to be ("browser" or "bot") and the bytes on the wire."""

    kind: str
    bytes: bytes


def browser_agent(draw: random.Random) -> str:
    version = draw.randint(120, 138)
    return draw.choice(
        (
            CHROME.format(WINDOWS, version, ""),
            CHROME.format(MAC, version, ""),
            CHROME.format(ANDROID, version, "Mobile "),
            CHROME.format(WINDOWS, version, "") + f" Edg/{version}.0.0.0",
            FIREFOX.format(WINDOWS, version, version),
            FIREFOX.format("X11; Linux x86_64", version, version),
            IPHONE,
        )
    )


def path(draw: random.Random) -> str:
    words = "/".join(draw.choices(WORDS, k=draw.randint(1, 3)))
    return f"/{words}/{draw.randint(1, 99999)}" + (
        f"?page={draw.randint(1, 40)}&ref=home" if draw.random() < 0.3 else ""
    )


def address(draw: random.Random) -> str:
    parts = (draw.choice((66, 82, 90, 141, 207, 217)), draw.randint(0, 255), draw.randint(0, 255))
    return ".".join(map(str, parts)) + f".{draw.randint(1, 254)}"


def head(kind: str, target: str, headers: list[tuple[str, str]]) -> Head:
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    return Head(kind, "\r\n".join(lines).encode())


def browser(draw: random.Random) -> Head:
    agent, site = browser_agent(draw), draw.choice(SITES)
    headers = [("Host", "www.example.com"), ("Connection", "keep-alive")]
    if "Chrome/" in agent:
        major = agent.split("Chrome/")[1].split(".")[0]
        brand = "Microsoft Edge" if "Edg/" in agent else "Google Chrome"
        headers += [
            ("sec-ch-ua", f'"Chromium";v="{major}", "{brand}";v="{major}", "Not-A.Brand";v="99"'),
            ("sec-ch-ua-mobile", "?1" if "Mobile" in agent else "?0"),
            (
                "sec-ch-ua-platform",
                '"Android"' if "Android" in agent else '"macOS"' if "Mac" in agent else '"Windows"',
            ),
            ("Upgrade-Insecure-Requests", "1"),
        ]
    headers += [
        ("User-Agent", agent),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
        ("Referer", f"https://{site}{path(draw)}"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        (
            "Accept-Language",
            draw.choice(("en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.7", "fr,fr-FR;q=0.8,en;q=0.5")),
        ),
        (
            "Cookie",
            f"session={draw.getrandbits(128):032x}; theme=dark; seen={draw.randint(10**9, 2 * 10**9)}",
        ),
        ("X-Forwarded-For", address(draw)),
    ]
    return head("browser", path(draw), headers)


def bot(draw: random.Random) -> Head:
    agent = draw.choice(SPOKEN_BOTS)
    headers = [("Host", "www.example.com")]
    headers += [("User-Agent", agent)] if agent else []
    headers += [("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate")]
    headers += [("From", "bot@example.com")] if "compatible" in agent else []
    return head("bot", path(draw), [*headers, ("X-Forwarded-For", address(draw))])


def pool() -> list[Head]:
    """The heads that a run sends, in this order, over and over."""
    draw = random.Random(SEED)
    return [bot(draw) if draw.random() < BOT_SHARE else browser(draw) for _ in range(POOL)]


# Address, agent and referrer on whose verdict every judge must agree: by the challenge's rules the first is a
# bot three times over, and nothing speaks against the second. The third is for a judge of attacks.
WITNESSES = {
    "bot": ("192.10.10.10", "Bot 1.0", ""),
    "browser": (
        "90.51.100.94",  # of the networks that both logs know
        "Mozilla/5.0 (Windows; U; Windows NT 5.1; en-US; rv:1.8.1.24) Gecko/20100228 SeaMonkey/1.1.19",
        "http://www.recipecorner.com/archive/2041?page=3",
    ),
    "attack": ("198.51.100.94", "Mozilla/5.0 <script>alert(1)</script>", ""),
}


# What a current browser sends, for judges that look at all of it.
PERSON = (
    ("Host", "www.example.com"),
    ("User-Agent", FIREFOX.format("X11; Linux x86_64", 152, 152)),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.9"),
    ("Accept-Encoding", "gzip, deflate"),
    ("Connection", "keep-alive"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Priority", "u=0, i"),
    ("X-Forwarded-For", "198.51.100.94"),
)


def witness(kind: str) -> Head:
    """One of WITNESSES by its name, or `person`."""
    if kind == "person":
        return head(kind, "/", list(PERSON))
    visitor, agent, referrer = WITNESSES[kind]
    headers = [("Host", "www.example.com"), ("User-Agent", agent)]
    headers += [("Referer", referrer)] if referrer else []
    return head(kind, "/", [*headers, ("X-Forwarded-For", visitor)])


def of_size(number: int, line: int) -> Head:
    """Four lines of about `line` bytes, all of words and parameters that are looked at: target, agent, referrer, cookie.
    The largest that nginx takes has lines of nearly 8 kB."""
    words = [f"{WORDS[i % len(WORDS)]}{i * number}" for i in range(700)]
    target, agent = "/" + "/".join(words)[:line], "Mozilla/5.0 " + " ".join(words)[:line]
    referrer, cookie = "https://www.example.com/?" + "&".join(words)[:line], "; ".join(words)[:line]
    headers = [("Host", "www.example.com"), ("User-Agent", agent), ("Referer", referrer), ("Cookie", cookie)]
    return head("browser", target, [*headers, ("X-Forwarded-For", "203.0.113.9")])


def challenge_log(rows: int = 10_000) -> str:
    """A log in the challenge's format and by its rules, for models where XBOT_DATA is not set.

    A line is `address TAB agent TAB referrer TAB true|false`, URL-encoded; false is a bot: no agent or
    `Bot 1.0`, no referrer or one of faceboook.com, or one of two addresses.
    """
    draw = random.Random(SEED + 1)
    old = (
        "Windows NT 5.1",
        "Windows NT 6.0",
        "Windows NT 6.1",
        "X11; U; Linux i686",
        "Macintosh; U; PPC Mac OS X",
    )
    lines = []
    for _ in range(rows):
        gecko = f"{draw.randint(1, 5)}.{draw.randint(0, 9)}"
        agent = draw.choice(
            (
                browser_agent(draw),
                f"Mozilla/5.0 ({draw.choice(old)}; en-US; rv:{gecko}) Gecko/20100228 Firefox/{gecko}",
                f"Mozilla/5.0 ({draw.choice(old)}; en-US; rv:{gecko}) Gecko/20100228 SeaMonkey/{gecko}",
                f"Mozilla/4.0 (compatible; MSIE {draw.randint(6, 9)}.0; {draw.choice(old[:3])}; Trident/4.0)",
            )
        )
        site = draw.choice((*SITES, "www.recipecorner.com", "gameloot.gift", "elpais.com"))
        visitor, referrer = address(draw), f"{draw.choice(('http', 'https'))}://{site}{path(draw)}"
        is_bot = draw.random() < BOT_SHARE
        if is_bot:
            sign = draw.randrange(5)
            agent = ("", "Bot 1.0", agent, agent, agent)[sign]
            referrer = (referrer, referrer, "", "http://faceboook.com", referrer)[sign]
            visitor = draw.choice(("192.10.10.10", "193.10.10.10")) if sign == 4 else visitor
        lines.append("\t".join((visitor, quote_plus(agent), quote_plus(referrer), "false" if is_bot else "true")))
    return "\n".join(lines) + "\n"


# What Chromium 150 and OpenSSL 3 offer, as nginx tells it.
BROWSER_TLS = (
    "X-TLS-Protocol: TLSv1.3",
    "X-TLS-Ciphers: 0xdada:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA:"
    "AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA:AES256-SHA",
    "X-TLS-Curves: 0x4a4a:0x11ec:X25519:prime256v1:secp384r1",
    "X-TLS-ALPN: h2",
    "X-TLS-Reused: .",
)
BOT_TLS = (
    "X-TLS-Protocol: TLSv1.3",
    "X-TLS-Ciphers: TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA256:"
    "ECDHE-RSA-AES128-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-SHA256:"
    "DHE-RSA-AES128-SHA256:TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
    "X-TLS-Curves: X25519:prime256v1:X448:secp521r1:secp384r1:ffdhe2048:ffdhe3072:ffdhe4096:ffdhe6144:ffdhe8192",
    "X-TLS-ALPN: http/1.1",
    "X-TLS-Reused: .",
)


def question(asked: Head, scheme: str = "http", serial: int = 1000, requests: int = 1) -> bytes:
    """The head as nginx asks about it (nginx/locations.conf): the visitor's request number `requests` on connection `serial`.
    Over https the first one tells the handshake."""
    lines = asked.bytes.decode().split("\r\n")[1:-2]
    target = asked.bytes.split(b" ", 2)[1].decode()
    visitor = next(line for line in lines if line.startswith("X-Forwarded-For")).partition(": ")[2]
    own = [line for line in lines if not line.startswith(("Host", "Connection"))]
    told = (BROWSER_TLS if asked.kind == "browser" else BOT_TLS) if scheme == "https" and requests == 1 else ()
    proxy = [
        "GET / HTTP/1.1",
        f"X-Real-IP: {visitor}",
        f"X-Original-URI: {target}",
        "X-Original-Method: GET",
        "X-Original-Protocol: HTTP/1.1",
        f"X-Original-Scheme: {scheme}",
        "X-Original-Host: www.example.com",
        f"X-Connection: 812-{serial}-{requests}",
        "X-Xbot-Files: 3",
        *told,
        "Host: xbot",
    ]
    return "\r\n".join([*proxy, *own, "", ""]).encode()


def never_seen(asked: Head, number: int) -> bytes:
    """The question about this head as whoever wants to cost most would send it: agent, Accept, encodings and hints that nobody
    else sends, and headers in an order of their own."""
    draw = random.Random(SEED + number)
    proxy, own = question(asked).decode().split("Host: xbot\r\n")
    changed = ("User-Agent", "Accept:", "Accept-Encoding", "sec-ch-ua:")
    lines = [line + f" n{number:04}" if line.startswith(changed) else line for line in own.split("\r\n")[:-2]]
    draw.shuffle(lines)
    return "\r\n".join([proxy + "Host: xbot", *lines, "", ""]).encode()
