"""stacks.py - handshakes (stacks.tsv): what a client's TLS offers, and what nginx tells of its connections.

Law: a handshake follows from the program that makes it, not from the agent that it claims: of a person it is the engine's, of a
library in a browser's clothes the library's, and of an impersonator the browser's again. Everything else (whether nginx tells of
it, sites that end at TLS 1.2, sessions that are resumed, how long a connection is kept, lists that nobody has seen yet) is drawn
the same way for both classes, and by a generator of its own: requests are otherwise what they would be without.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from training.corpus.browsers import Browser, parse
from training.corpus.site import Visit
from training.corpus.tables import rows

OWN = "own"  # the stack of the browser that the agent names
LIBRARY = "library"  # a library's, of any
COPIERS = "copiers"  # of who copies a whole head: a library's, and of some the browser's own list with it
IMPERSONATORS = 0.2  # share of these
TOLD = 0.6  # share of https visits whose handshake the log holds
OLDER_SITES = 0.08  # share of visits to a site that speaks TLS 1.2 at most
UNSEEN = 0.03  # share of visits by a program whose lists differ from all that are known: a setting, next year's version
GREASE = [f"0x{digit}a{digit}a" for digit in "0123456789abcdef"]
FORMS = re.compile(r"Android|Electron/|QtWebEngine/|SmartTV|SMART-TV|HbbTV|Tizen|Tesla|Web0S|PlayStation|CrKey")
# Libraries that a browser's head is put into, and how often.
LIBRARIES = {
    "python": 28, "python-older": 7, "python-quiet": 8, "httpx": 8, "openssl": 15, "openssl-quiet": 7, "gnutls-quiet": 3, "gnutls": 1,
    "go": 14, "go-quiet": 4, "java": 4, "java-quiet": 4, "okhttp": 3, "node": 6, "undici": 5, "php": 3, "rustls": 5, "deno": 1,
    "bun": 1, "schannel-10": 2, "schannel-11": 2, "impersonator": 3,
}  # fmt: skip
# Small browsers, players and systems' own libraries, by a word of the agent.
PLAIN = [
    ("Lynx", "lynx"), ("w3m", "openssl-quiet"), ("ELinks", "gnutls-quiet"), ("Links", "links"), ("Dillo", "dillo"),
    ("NetSurf", "openssl"), ("Emacs", "gnutls-quiet"), ("Dalvik", "android"), ("ExoPlayer", "android"), ("stagefright", "android"),
    ("Darwin/", "apple"), ("AppleCoreMedia", "apple"), ("FBAN", "apple"), ("watchOS", "apple"), ("VLC", "gnutls-quiet"),
    ("mpv", "gnutls-quiet"), ("Roku", "openssl-quiet"), ("ffice", "schannel-10"),
]  # fmt: skip
NEW_SYSTEM = 17  # the version of a system whose library a program uses
DARWIN = {17: 11, 18: 12, 19: 13, 20: 14, 21: 15, 22: 16, 23: 17, 24: 18, 25: 26}  # the iOS of the same year


@dataclass(frozen=True, slots=True)
class Stack:
    """One row of the table: lists as tuples; `alpn` is what is agreed on where HTTP/2 is spoken, and where it is not."""

    protocol: str
    ciphers: tuple[str, ...]
    curves: tuple[str, ...]
    alpn: tuple[str, ...]


@cache
def _fitting(name: str, version: int) -> tuple[list[Stack], list[float]]:
    found, shares = [], []
    for stack, since, until, share, protocol, ciphers, curves, alpn, _ in rows("stacks.tsv"):
        if stack == name and (since == "-" or int(since) <= version) and (until == "-" or version <= int(until)):
            found.append(Stack(protocol, tuple(ciphers.split(":")), tuple(curves.split(":")), tuple(alpn.split("|"))))
            shares.append(float(share))
    return found, shares


def of_browser(browser: Browser) -> tuple[str, int] | None:
    """The stack of a browser and its version there; None where nobody knows it, or no site of today takes it."""
    agent, engine, version = browser.agent, browser.engine, browser.version
    if engine == "chromium":
        return ("chromium-embedded" if FORMS.search(agent) else "chromium"), version
    if engine in ("gecko", "android"):
        return engine, version
    if engine == "gtk":
        return "webkitgtk", version
    if engine == "webkit":
        return ("apple", version) if re.search(r"Mac OS X|Macintosh", agent) else None
    if engine == "trident":
        windows = re.search(r"Windows NT (6\.[1-3]|10)", agent)
        return ("schannel-7" if windows[1] == "6.1" else "schannel-10", 0) if windows else None
    if engine == "edgehtml":
        return "schannel-10", 0
    if engine == "plain":
        name = next((stack for word, stack in PLAIN if word in agent), None)
        return (name, _system_version(name, agent)) if name else None
    return None


def _system_version(name: str, agent: str) -> int:
    if name == "apple":
        darwin, system = re.search(r"Darwin/(\d+)", agent), re.search(r"OS (\d+)_", agent)
        return DARWIN.get(int(darwin[1]), 0) if darwin else int(system[1]) if system else 17
    android = re.search(r"Android (\d+)", agent)
    return int(android[1]) if android else 10


def _choices(names: Mapping[str, float], version: int, *, h2: bool) -> dict[Stack, float]:
    """The rows of these stacks by weight; `h2`: of those alone that offer HTTP/2."""
    weights: dict[Stack, float] = {}
    for name, weight in names.items():
        found, shares = _fitting(name, version)
        for stack, share in zip(found, shares, strict=True):
            if "h2" in stack.alpn or not h2:
                weights[stack] = weights.get(stack, 0.0) + weight * share / sum(shares)
    return weights


def draw_stack(program: str, agent: str, rng: random.Random, *, h2: bool) -> Stack | None:
    """What `program` offers: OWN, LIBRARY, COPIERS, or names of the table divided by `|`; None where that is not known. `h2`:
    HTTP/2 is spoken, so a library that cannot is another one."""
    if program == COPIERS:
        program = OWN if rng.random() < IMPERSONATORS else LIBRARY
    if program == OWN:
        known = of_browser(parse(agent))
        weights = _choices({known[0]: 1}, known[1], h2=h2) if known else {}
    else:
        names = LIBRARIES if program == LIBRARY else Counter(program.split("|"))
        weights = _choices(names, NEW_SYSTEM, h2=h2) or _choices(LIBRARIES, NEW_SYSTEM, h2=h2)
    return rng.choices(list(weights), list(weights.values()))[0] if weights else None


def _unseen(stack: Stack, rng: random.Random) -> Stack:
    """The lists of next year's version, or of somebody's settings: one or two members less, or a group more."""
    ciphers, curves = list(stack.ciphers), list(stack.curves)
    for _ in range(rng.randint(1, 2)):
        if rng.random() < 0.3:
            curves.insert(rng.randint(1, 2), rng.choice(["0x11ed", "0x0200", "0x0202", "0x11ee"]))
        elif len(ciphers) > 6:
            ciphers.pop(rng.randrange(4, len(ciphers)))
    return replace(stack, ciphers=tuple(ciphers), curves=tuple(curves))


class Connections:
    """The connections of one client at one site; `told`: whether the site's log holds handshakes, drawn where it is not given."""

    def __init__(self, visit: Visit, program: str, agent: str, rng: random.Random, *, told: bool | None = None) -> None:
        known = (
            visit.scheme == "https"
            and visit.protocol < "HTTP/3"  # QUIC has lists of its own
            and (rng.random() < TOLD if told is None else told)
        )
        self.stack = draw_stack(program, agent, rng, h2=visit.protocol >= "HTTP/2") if known else None
        self.rng = rng
        if self.stack and rng.random() < UNSEEN:
            self.stack = _unseen(self.stack, rng)
        self.older = rng.random() < OLDER_SITES
        self.kept = rng.choice([0.0, 0.5, 0.9, 1.0])  # share of requests that go on with the connection
        self.known = rng.random() < 0.25  # the client has been here before, and keeps sessions
        self.resumes = rng.random() < 0.6
        self.number, self.requests, self.spoken = rng.randint(1, 1 << 24), 0, ""
        self.said: dict[str, str] = {}

    def fields(self, protocol: str) -> dict[str, Any]:
        """What a record of `jsonl` holds of the connection of the next request, which speaks `protocol`: nothing, or
        `tls`, `connection` and `connection_requests`."""
        if not self.stack:
            return {}
        if not self.requests or protocol != self.spoken or self.rng.random() > self.kept:
            reused = self.resumes and (self.known or self.requests > 0)
            self.said, self.requests, self.spoken = self._handshake(self.stack, protocol, reused), 0, protocol
            self.number += self.rng.randint(1, 40)
        self.requests += 1
        return {"tls": self.said, "connection": self.number, "connection_requests": self.requests}

    def _handshake(self, stack: Stack, protocol: str, reused: bool) -> dict[str, str]:
        spoken = "TLSv1.2" if self.older else stack.protocol
        last = stack.alpn[-1]
        said = {
            "protocol": spoken,
            "ciphers": self._list(stack.ciphers),
            "curves": self._list(stack.curves),
            "alpn": "h2" if protocol >= "HTTP/2" else last if last != "h2" else "-",
            "reused": "r" if reused else ".",
        }
        if reused and spoken == "TLSv1.2":  # nginx does not know them then
            del said["curves"]
        return said

    def _list(self, members: tuple[str, ...]) -> str:
        return ":".join(self.rng.choice(GREASE) if name == "GREASE" else name for name in members)
