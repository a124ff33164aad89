"""conditions.py - the conditions of rules on one request, as bits of one integer.

Law: a bit stands for one condition on one field, such as "the path is one of these". Each value of a field is tested once:
its bits are kept, since agents, paths and referrers repeat. A request's bits are the union of its fields' bits; a rule
asks which bits are set and which are not. A condition on what the line does not hold never holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

from sidecar import core
from sidecar.sources.traffic import LONGEST, OwnHosts, host_of
from training.label.rules import HANDSHAKE_ODD, Match, Networks, RuleBook
from training.label.sets import AgentSet, NetworkSet, Patterns

CACHED = 1 << 16  # values kept of a field that visitors choose freely; then its cache starts afresh
# The groups of a model's features that look at the same thing: what training masks to do without a rule's input.
GROUPS_OF = {
    "agent": "ua", "agent_in": "ua", "ip": "ip", "ip_in": "ip", "method": "url", "path": "url", "query": "url",
    "uri": "url", "protocol": "url", "status": "status", "referrer": "referrer", "referrer_is": "referrer",
    "header": "headers", "odd": "ua tls",
}  # fmt: skip
# It was there; it was not, or nobody was let in. A redirection is neither: some sites answer everything with one.
THERE, NOT_THERE = ("2xx", 304), (400, 403, 404, 405, 410)
_ODD = {row.name: column for column, row in enumerate(core.FEATURES) if row.name in HANDSHAKE_ODD}
_Holds = Callable[[Any], bool]


def groups_of(*matches: Match) -> set[str]:
    """The groups that these conditions read."""
    fields = {name.partition(".")[0] for match in matches for name in match.fields()}
    return {group for field in fields for group in GROUPS_OF[field].split()}


def groups_needed(match: Match, unless: Match) -> set[str]:
    """The groups without which nothing can be said: those of `match`. `unless` excepts what is known to be so; but what
    it says of headers can only be true where headers are known."""
    return groups_of(match) | (groups_of(unless) & {"headers"})


class Test(NamedTuple):
    """Passes for the bits of a request in which all of `need` and none of `forbid` are set."""

    need: int
    forbid: int

    def passes(self, bits: int) -> bool:
        return bits & self.need == self.need and not bits & self.forbid


class Conditions:
    """The conditions of a rule book. Make all tests first, then ask for bits.

    `there` and `not_there` are tests of the answer's status.
    """

    def __init__(self, book: RuleBook, own: OwnHosts) -> None:
        self._book, self._own = book, own
        self._bits: dict[tuple[str, tuple[Any, ...]], int] = {}
        self._by_field: dict[str, list[tuple[int, _Holds]]] = {}
        self._sets: dict[str, _Holds] = {}
        self._known = {group: 1 << i for i, group in enumerate(sorted(set(" ".join(GROUPS_OF.values()).split())))}
        self._agents: dict[bytes, int] = {}
        self._uris: dict[bytes, int] = {}
        self._referrers: dict[tuple[bytes, bytes | None], int] = {}
        self._answers: dict[tuple[bytes | None, bytes | None, int | None], int] = {}
        self.there = self.test(Match(status=THERE), Match())
        self.not_there = self.test(Match(status=NOT_THERE), Match())

    def test(self, match: Match, unless: Match) -> Test:
        """The test that passes where all fields of `match` hold and none of `unless`."""
        need = sum(self._known[group] for group in groups_needed(match, unless))
        for name, words in match.fields().items():
            need |= self._bit(name, words)
        forbid = 0
        for name, words in unless.fields().items():
            forbid |= self._bit(name, words)
        return Test(need, forbid)

    def groups_in(self, bits: int) -> set[str]:
        """The groups that a request with these bits holds."""
        return {group for group, bit in self._known.items() if bits & bit}

    def of_client(self, ip: bytes | None, agent: bytes | None) -> int:
        """The bits that all requests of a client share: those of its address and its agent."""
        bits = 0
        if ip is not None:
            bits |= self._known["ip"]
            packed = core.parse_address(ip)
            if packed is not None:
                bits |= self._ask("ip", packed) | self._ask("ip_in", packed)
        if agent is not None:
            found = self._agents.get(agent)
            if found is None:
                text = "" if agent == b"-" else _text(agent)
                found = self._known["ua"] | self._ask("agent", text) | self._ask("agent_in", text)
                _keep(self._agents, agent, found, len(agent))
            bits |= found
        return bits

    def of_request(self, fields: dict[str, bytes | None], request: core.Request) -> int:
        """All other bits of what `request` holds; `fields` are its fields."""
        uri, host, status = fields["uri"], fields["host"], request.status
        referrer = fields["referrer"] or b""
        bits = self._referrers.get((referrer, host))
        if bits is None:
            bits = self._of_referrer(b"" if referrer == b"-" else referrer, host)
            _keep(self._referrers, (referrer, host), bits, len(referrer) + len(host or b""))
        if uri is not None:
            found = self._uris.get(uri)
            if found is None:
                found = self._of_uri(uri)
                _keep(self._uris, uri, found, len(uri))
            bits |= found
        answer = (fields["method"], fields["protocol"], status)
        found = self._answers.get(answer)
        if found is None:
            found = self._of_answer(*answer)
            _keep(self._answers, answer, found, len(answer[0] or b"") + len(answer[1] or b""))
        bits |= found
        if request.present & core.GROUPS["headers"]:
            bits |= self._known["headers"] | self._of_headers(request)
        if request.present & core.GROUPS["tls"]:
            bits |= self._known["tls"] | self._of_handshake(request)
        return bits

    def _of_uri(self, uri: bytes) -> int:
        text = _text(uri)
        path, _, query = text.partition("?")
        path = re.sub("//+", "/", unquote(path))
        return self._known["url"] | self._ask("uri", text) | self._ask("path", path) | self._ask("query", query)

    def _of_referrer(self, referrer: bytes, host: bytes | None) -> int:
        kind = "own" if self._own.own(referrer, host) else "external" if host_of(referrer) else "none"
        return self._known["referrer"] | self._ask("referrer", _text(referrer)) | self._ask("referrer_is", kind)

    def _of_answer(self, method: bytes | None, protocol: bytes | None, status: int | None) -> int:
        bits = 0
        if method is not None:
            bits |= self._ask("method", _text(method).upper())
        if protocol is not None:
            bits |= self._ask("protocol", _text(protocol))
        if status is not None:
            bits |= self._known["status"] | self._ask("status", status)
        return bits

    def _of_headers(self, request: core.Request) -> int:
        bits = 0
        if any(name.startswith("header.") for name in self._by_field):
            for name, value in request.headers:
                bits |= self._ask(f"header.{_text(name).lower()}", _text(value))
        return bits

    def _of_handshake(self, request: core.Request) -> int:
        if "odd" not in self._by_field:
            return 0
        values, _ = request.features(core.MIN_K, families=0)
        return self._ask("odd", {name for name, column in _ODD.items() if values[column] == 1.0})

    def _ask(self, field: str, value: Any) -> int:
        bits = 0
        for bit, holds in self._by_field.get(field, ()):
            if holds(value):
                bits |= bit
        return bits

    def _bit(self, name: str, words: tuple[Any, ...]) -> int:
        key = (name, words)
        if key not in self._bits:
            self._bits[key] = 1 << (len(self._known) + len(self._bits))
            self._by_field.setdefault(name, []).append((self._bits[key], self._condition(name, words)))
        return self._bits[key]

    def _condition(self, name: str, words: tuple[Any, ...]) -> _Holds:
        if name in ("agent_in", "ip_in"):
            sets = [self._set(name, word) for word in words]
            return lambda value: any(holds(value) for holds in sets)
        if name == "ip":
            return NetworkSet(Networks(doc="", ip=words), "", None)
        if name == "method":
            methods = frozenset(word.upper() for word in words)
            return lambda value: value in methods
        if name == "status":
            classes = frozenset(str(word).lower() for word in words)
            return lambda value: str(value) in classes or f"{value // 100}xx" in classes
        if name == "referrer_is":
            return lambda value: value in words
        if name == "odd":
            names = frozenset(words)
            return lambda value: not names.isdisjoint(value)
        return Patterns(words)

    def _set(self, field: str, name: str) -> _Holds:
        key = f"{'agents' if field == 'agent_in' else 'networks'}.{name}"
        if key not in self._sets:
            where = self._book.where[key]
            if field == "agent_in":
                agents = self._book.agents[name]
                self._sets[key] = (lambda _: False) if agents.off else AgentSet(agents, name, where)
            else:
                networks = self._book.networks[name]
                self._sets[key] = (lambda _: False) if networks.off else NetworkSet(networks, name, where)
        return self._sets[key]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _keep(cache: dict[Any, int], key: Any, bits: int, size: int) -> None:
    if size > LONGEST:
        return
    if len(cache) >= CACHED:
        cache.clear()
    cache[key] = bits
