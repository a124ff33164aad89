"""Who fetched what robots.txt forbids, and had read it: by crawler, and by client.

Law: who asks is what csrc/ says (core.Policies.identify), what is forbidden is what verify/robots.py says; only counting is ours, in
memory that does not grow with the log.

Crawlers read robots.txt from one address and fetch from others, so a crawler has read it once anybody of its name and proof has. An
impostor shares nothing but a word with others, so he has read it if that client has; so it is with programs of no known name.
A person does not read robots.txt and need not: a client without a crawler's name counts only if it asked for robots.txt before, names no
browser, or is a bot to the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from sidecar import core
from sidecar.replay.tally import CLIENTS, EXAMPLES, ClientKey
from sidecar.sources.shown import text
from sidecar.sources.traffic import LONGEST, plain_host
from sidecar.verify import catalogue, robots

NAMELESS = core.Identity("", "", "none")
_MOST = 100  # clients in the report


class Example(msgspec.Struct):
    """A request for what is forbidden."""

    ip: str
    agent: str
    uri: str
    log: str
    line: int


class OfCrawler(msgspec.Struct):
    """What came under one name with one proof (`proven`, `disproved`: it is not who it says, `unproven`, `claimed`: its owner publishes
    no proof); without a name, `none`: of all other programs. `reads`: of robots.txt, answered. `after` and `without` are requests for
    what is forbidden: after robots.txt was read, or without."""

    crawler: str
    purpose: str
    proof: str
    requests: int = 0
    reads: int = 0
    after: int = 0
    without: int = 0
    clients: int = 0  # that asked for what is forbidden
    examples: list[Example] = []


class OfClient(msgspec.Struct):
    """The same of one address with one agent."""

    ip: str
    agent: str
    crawler: str
    proof: str
    after: int
    without: int


class Heeded(msgspec.Struct):
    """Of one robots.txt. `crawlers`, `clients`: who disobeyed most comes first. `beyond`: requests for what is forbidden of clients that
    were too many to remember; they count for the crawlers alone."""

    file: str
    crawlers: list[OfCrawler]
    clients: list[OfClient]
    beyond: int


@dataclass
class _Client:
    read: bool = False
    counts: Counter[tuple[core.Identity, bool]] = field(default_factory=Counter)  # after reading it, or without


class Heeding:
    """Counts requests as they come. `hosts`: those that robots.txt speaks for, without `www.`; empty: all."""

    def __init__(self, place: str, policies: core.Policies, hosts: Iterable[str] = ()) -> None:
        self._place, self._policies = place, policies
        self._rules = robots.Rules(robots.read(place))
        self._hosts = {plain_host(host.encode()) for host in hosts}
        self._crawlers: dict[core.Identity, OfCrawler] = {}
        self._clients: dict[ClientKey, _Client] = {}
        self._beyond = 0

    def add(self, log: str, line: int, request: core.Request, bot: bool) -> None:
        """Counts what `request` holds now, line `line` of `log`; `bot`: what the model says of it."""
        fields = request.fields
        uri, host = fields["uri"] or b"", fields["host"]
        if self._hosts and host is not None and plain_host(host) not in self._hosts:
            return
        who = self._policies.identify(request) or NAMELESS
        agent = (fields["agent"] or b"")[:LONGEST]
        key = (fields["ip"] or b"", agent)
        client = self._clients.get(key)
        reads = robots.is_robots(uri)
        if who == NAMELESS and not (reads or bot or request.claim is None or (client is not None and client.read)):
            return
        found = self._crawlers.setdefault(who, OfCrawler(who.crawler, who.purpose, who.proof))
        found.requests += 1
        if reads:
            if request.status is None or request.status == 304 or 200 <= request.status < 300:
                found.reads += 1
                if (client := self._remembered(key, client)) is not None:
                    client.read = True
        elif self._rules.forbids(uri, _names(who, agent)):
            client = self._remembered(key, client)
            alone = who.proof in ("none", "disproved")
            after = client is not None and client.read if alone else found.reads > 0
            found.after += after
            found.without += not after
            if client is None:
                self._beyond += 1
                return
            first = not any(each == who for each, _ in client.counts)
            client.counts[who, after] += 1
            found.clients += first
            if first and len(found.examples) < EXAMPLES:
                found.examples.append(Example(text(key[0]), text(agent), text(uri[:LONGEST]), log, line))

    def _remembered(self, key: ClientKey, client: _Client | None) -> _Client | None:
        if client is None and len(self._clients) < CLIENTS:
            client = self._clients[key] = _Client()
        return client

    def report(self) -> Heeded:
        """All that was counted."""
        clients = []
        for (ip, agent), client in self._clients.items():
            for who in dict.fromkeys(each for each, _ in client.counts):
                after, without = client.counts[who, True], client.counts[who, False]
                clients.append(OfClient(text(ip), text(agent), who.crawler, who.proof, after, without))
        clients.sort(key=lambda each: (-each.after, -each.without, each.ip, each.agent, each.crawler))
        crawlers = sorted(
            self._crawlers.values(), key=lambda each: (-each.after, -each.without, each.crawler, each.proof)
        )
        return Heeded(self._place, crawlers, clients[:_MOST], self._beyond)


def _names(who: core.Identity, agent: bytes) -> tuple[str, ...]:
    """By which names robots.txt speaks to whom: the words of a crawler that its agent says, else the agent itself."""
    if not who.crawler:
        return (agent.decode("latin-1"),)
    said = agent.decode("latin-1").lower()
    words = catalogue.load().crawlers[who.crawler].agents
    return tuple(word for word in words if word in said) or words
