"""tally.py - what a model did to traffic, counted in memory that does not grow with the log.

Law: every request is counted once in every figure. What could grow with the visitors is bounded, and says so when it
was: `Top.short` and `Tally.beyond`.
"""

from __future__ import annotations

import heapq
import ipaddress
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from sidecar import core
from sidecar.sources.shown import text
from sidecar.sources.traffic import ASSET, LONGEST, OwnHosts

KEPT = 10_000  # keys that a Top keeps, at least
CLIENTS = 500_000  # clients that are remembered; the requests of further ones are counted, but not by client
DAYS = 4_000
LEAST_PARTS = 3  # parts of pages with the site's own referrer, before a client is taken for a browser
EXAMPLES = 3

# Kinds of requests that should perhaps not be refused, and why. Nothing here asks what the model thinks.
WHY = {
    "labelled-human": "the log says that it is human",
    "loads-parts": f"loaded {LEAST_PARTS} parts of pages or more with this site's own referrer, as browsers do",
    "cookie": "sends a cookie: it was here before, and keeps what it is given",
    "api": "an API client: sends Authorization, or asks for JSON",
    "conditional": "asks only for what changed: it keeps what it got, as browsers and feed readers do",
    "feed-reader": "a feed reader or podcast program, by its agent",
    "git": "a git client",
    "link-preview": "the preview of a link that a person posted, by its agent",
    "search-engine": "a search engine's crawler, by its agent: whom it cannot read, it does not show",
    "text-browser": "a text browser, by its agent",
}
_BIT = {name: 1 << i for i, name in enumerate(WHY)}
_AGENTS = {
    name: re.compile(words.encode()).search
    for name, words in {
        "feed-reader": "feed|rss|newsblur|inoreader|newswire|miniflux|liferea|akregator|podcast|overcast",
        "git": r"^(j?git|go-get)/",
        "link-preview": "facebookexternalhit|twitterbot|slackbot|slack-img|whatsapp|telegrambot|discordbot|linkedinbot|"
        "skypeuripreview|embedly|mastodon|bingpreview|redditbot|pinterest|viber|iframely|bluesky|google web preview",
        "search-engine": "googlebot|bingbot|duckduckbot|yandexbot|baiduspider|applebot|yahoo! slurp|qwant|seznambot|"
        "mojeekbot|ia_archiver|archive.org_bot",
        "text-browser": r"^(e?links|lynx|w3m)\b",
    }.items()
}
_GIT_PATHS = (b"/info/refs", b"/git-upload-pack", b"/git-receive-pack")


@lru_cache(maxsize=KEPT)
def _kinds_of_agent(agent: bytes) -> tuple[str, ...]:
    return tuple(name for name, search in _AGENTS.items() if search(agent))


def kinds_of(request: core.Request, fields: dict[str, bytes | None]) -> set[str]:
    """The names in WHY that one request shows by itself."""
    kinds = set(_kinds_of_agent((fields["agent"] or b"")[:LONGEST].lower()))
    if request.label is False:
        kinds.add("labelled-human")
    if (fields["uri"] or b"").partition(b"?")[0].endswith(_GIT_PATHS):
        kinds.add("git")
    headers = {name.lower(): value for name, value in request.headers}
    if b"cookie" in headers:
        kinds.add("cookie")
    if b"authorization" in headers or any(b"json" in headers.get(name, b"") for name in (b"accept", b"content-type")):
        kinds.add("api")
    if request.status == 304 or b"if-none-match" in headers or b"if-modified-since" in headers:
        kinds.add("conditional")
    return kinds


class Top:
    """Counts of keys of which there may be any number: the frequent ones are kept.

    When twice `kept` keys are there, the rarer half is forgotten. A key that comes back starts at 0, so that its count
    may be short, by `short` at most.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept, self.short = kept, 0
        self._counts: dict[str | bytes, int] = {}

    def add(self, key: str | bytes) -> None:
        """Counts one, by its first LONGEST characters."""
        key = key[:LONGEST]
        self._counts[key] = self._counts.get(key, 0) + 1
        if len(self._counts) >= 2 * self._kept:
            largest = self.most(self._kept + 1)
            self.short += largest[-1][1]
            self._counts = dict(largest[:-1])

    def most(self, n: int) -> list[tuple[str | bytes, int]]:
        """The n most frequent keys, the most frequent first; by their text where they are equal."""
        return heapq.nsmallest(n, self._counts.items(), key=lambda item: (-item[1], str(item[0])))


class Judgement(NamedTuple):
    """What a model does to one request."""

    refused: bool
    score: float
    reason: str
    bot: bool  # refused, or would be if the policy enforced


class Judge:
    """A model with a threshold of the score: its own, or another."""

    def __init__(self, model: core.Model, threshold: float | None = None) -> None:
        self.model = model
        self.threshold = model.threshold if threshold is None else threshold

    def __call__(self, request: core.Request, logged: bytes | None = None) -> Judgement:
        """`logged`: the policy by which the log says that it was decided."""
        del logged
        verdict = self.model.judge(request, self.threshold)
        return Judgement(verdict.bot, verdict.score, verdict.reason, verdict.bot)


class Place(NamedTuple):
    """Where a request stands, and what refused it."""

    log: str
    line: int
    reason: str
    score: float


class Sample(NamedTuple):
    """One request to look at: who asked for what (empty: for many things), where it stands, what refused it."""

    ip: str
    agent: str
    uri: str
    place: Place


@dataclass
class Client:
    """What an address with a user agent did and got."""

    __slots__ = ("first_flipped", "first_refused", "kinds", "parts", "refused", "requests", "was_refused")

    requests: int
    refused: int  # by the new model
    was_refused: int  # by the old one
    parts: int  # of pages, with the site's own referrer
    kinds: int  # bits of _BIT
    first_refused: Place | None
    first_flipped: Place | None


ClientKey = tuple[bytes, bytes]  # address, agent


@dataclass
class Suspects:
    """Refused requests of one kind."""

    requests: int = 0
    clients: int = 0
    examples: list[Sample] = field(default_factory=list)


class Tally:
    """Counts requests as they come (`add`), then `finish`. With `old`, also what changes from that model to the new."""

    def __init__(self, new: Judge, old: Judge | None, own: OwnHosts) -> None:
        self._new, self._old, self._own = new, old, own
        self.requests = self.refused = self.was_refused = self.present = 0
        self.to_bot = self.to_human = 0  # requests that only the new, only the old model refuses
        self.labelled = {(said, refused): 0 for said in ("bot", "human") for refused in (True, False)}
        self.days: dict[int, list[int]] = {}  # days since 1970 -> requests, refused, refused by the old model
        self.undated = 0
        self.clients: dict[ClientKey, Client] = {}
        self._agents: dict[bytes, bytes] = {}
        self.beyond = 0  # requests of clients that came when CLIENTS were known
        self.reasons, self.agents, self.paths, self.networks = Top(), Top(), Top(), Top()
        self.to_bot_reasons, self.to_human_reasons = Top(), Top()
        self.suspects = {name: Suspects() for name in WHY}

    def add(self, log: str, line: int, request: core.Request, logged: bytes | None = None) -> Judgement:
        """Judges and counts what `request` holds now, line `line` of `log`; `logged`: the policy that decided it once. Returns what
        the new model does."""
        now = self._new(request, logged)
        was = self._old(request, logged) if self._old else now
        fields = request.fields
        self.requests += 1
        self.refused += now.refused
        self.was_refused += was.refused
        self.present |= request.present
        said = request.label
        if said is not None:
            self.labelled["bot" if said else "human", now.refused] += 1
        self._count_day(request.time, now.refused, was.refused)
        client = self._client_of((fields["ip"] or b"", (fields["agent"] or b"")[:LONGEST]))
        if client is not None:
            client.requests += 1
            client.refused += now.refused
            client.was_refused += was.refused
            uri = fields["uri"]
            if uri is not None and ASSET.search(uri) and self._own.own(fields["referrer"], fields["host"]):
                client.parts += 1
        if now.refused or was.refused:
            judged = now if now.refused else was
            place = Place(log, line, sys.intern(judged.reason), judged.score)
            if now.refused:
                self._count_refused(request, fields, client, place)
            if now.refused != was.refused:
                self._count_flipped(now.refused, client, place)
        return now

    def _count_day(self, time: int | None, refused: bool, was_refused: bool) -> None:
        day = -1 if time is None else time // 86_400
        if day < 0 or (day not in self.days and len(self.days) >= DAYS):
            self.undated += 1
            return
        counts = self.days.setdefault(day, [0, 0, 0])
        counts[0] += 1
        counts[1] += refused
        counts[2] += was_refused

    def _client_of(self, key: ClientKey) -> Client | None:
        client = self.clients.get(key)
        if client is None:
            if len(self.clients) >= CLIENTS:
                self.beyond += 1
                return None
            agent = self._agents.setdefault(key[1], key[1])  # one object, however many clients have it
            client = self.clients[key[0], agent] = Client(0, 0, 0, 0, 0, None, None)
        return client

    def _count_refused(
        self, request: core.Request, fields: dict[str, bytes | None], client: Client | None, place: Place
    ) -> None:
        self.reasons.add(place.reason)
        self.agents.add(fields["agent"] or b"")
        if fields["uri"] is not None:
            self.paths.add(fields["uri"].partition(b"?")[0])
        if fields["ip"] is not None:
            self.networks.add(network_of(fields["ip"]))
        if request.label:
            return  # refused, and rightly, says the log
        if client is not None and client.first_refused is None:
            client.first_refused = place
        for kind in kinds_of(request, fields):
            found = self.suspects[kind]
            found.requests += 1
            if client is not None and not client.kinds & _BIT[kind]:
                client.kinds |= _BIT[kind]
                found.clients += 1
                if len(found.examples) < EXAMPLES:
                    ip, agent, uri = (text((fields[name] or b"")[:LONGEST]) for name in ("ip", "agent", "uri"))
                    found.examples.append(Sample(ip, agent, uri, place))

    def _count_flipped(self, refused: bool, client: Client | None, place: Place) -> None:
        if refused:
            self.to_bot += 1
            self.to_bot_reasons.add(place.reason)
        else:
            self.to_human += 1
            self.to_human_reasons.add(place.reason)
        if client is not None and client.first_flipped is None:
            client.first_flipped = place

    def finish(self) -> None:
        """After the last request: the clients that are browsers, by what they loaded."""
        found = self.suspects["loads-parts"]
        browsers = []
        for key, client in self.clients.items():
            if client.first_refused is not None and client.parts >= LEAST_PARTS:
                found.requests += client.refused
                found.clients += 1
                browsers.append((client.refused, key, client.first_refused))
        for _, key, place in heapq.nlargest(EXAMPLES, browsers, key=lambda browser: browser[0]):
            found.examples.append(Sample(text(key[0]), text(key[1]), "", place))

    def flipped_clients(self, to_bot: bool) -> Iterator[tuple[ClientKey, Client]]:
        """The clients of which the new model is the first to refuse anything (`to_bot`), or no longer refuses any."""
        for key, client in self.clients.items():
            if (client.refused > 0) == to_bot and (client.was_refused > 0) != to_bot:
                yield key, client


def network_of(ip: bytes) -> bytes:
    """The /24 of an IPv4 address, the /48 of an IPv6 one; the text itself if it is neither."""
    packed = core.parse_address(ip)
    if packed is None:
        return ip
    bits = 24 if len(packed) == 4 else 48
    return str(ipaddress.ip_network((packed, bits), strict=False)).encode()
