"""engine.py - from a log to labels: one pass over the log for what each client did, one over notes of it for labels.

Law: memory grows with the clients, not with the lines. Of each line 8 bytes go to a temporary file: whose it was and
what the rules saw in it. So the log is read once, and standard input will do.

A client is an address with a user agent. An address alone may be an office, an agent alone may be millions of people; both
together are the nearest thing to one visitor that every log holds. A line without an address belongs to no client.
"""

from __future__ import annotations

import tempfile
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from sidecar import core
from sidecar.sources.traffic import LONGEST, OwnHosts, host_of
from training.label.conditions import CACHED, Conditions, Test, groups_needed, groups_of
from training.label.rules import Match, Rule, RuleBook

SAME_PATHS = 8  # of a client, counted at a time: the path that has the most is counted short by a ninth of all at most
DIFFERENT = 64  # places for marks of a client: two values that fall on one place count once, so never too many
_UNREADABLE = (1 << 64) - 1
_SEEN_BITS = 24  # of a note; the rest is the client's number
_NOTES = 1 << 16  # kept in memory before they go to the file
NOBODY = 0  # the number of the client of lines without an address


@dataclass(frozen=True)
class Seen:
    """What the rules see in a request: the rules whose test it passes, as bits, and what it counts for."""

    passes: int
    counts: tuple[int, ...]
    taken: tuple[tuple[int, str], ...]  # counts that do not take all, and what they take
    there: bool
    not_there: bool


class Labeller:
    """Reads a log's requests (`read`), then gives a label and the rules that fired for each line (`labels`).

    After `labels` has run: `lines_by_fired` counts lines by the rules that fired for them, as bits in the order of
    `rules`; `clients_by_rule` counts clients; `idle` says why a rule could not fire in this log.
    """

    def __init__(self, book: RuleBook, own: OwnHosts) -> None:
        self.rules: list[tuple[str, Rule]] = [(name, rule) for name, rule in book.rules.items() if not rule.off]
        self._needs = {name: rule_needs(book, rule) for name, rule in self.rules}
        self._conditions = Conditions(book, own)
        self._tests = [self._test_of(rule) for _, rule in self.rules]
        # Place 0 of a client's counts is its requests.
        self._places = {"requests": 0} | {name: i for i, name in enumerate(book.counts, 1)}
        self._counts = [
            (self._places[name], self._conditions.test(count.match, count.unless), count.take)
            for name, count in book.counts.items()
        ]
        different = [place for place, _, take in self._counts if take.startswith("different")]
        self._mark_of = {place: i for i, place in enumerate(different)}
        self._width = len(self._places)
        self._clients: dict[tuple[bytes, bytes | None], int] = {}
        self._agents: dict[bytes, bytes] = {}  # one object for each agent, however many clients have it
        self._shared = [0]  # by client: the bits of address and agent
        self._tally = array("I", bytes(4 * self._width))  # by client: its counts
        self._passed = array("I", [0])  # by client: which tests its requests passed, a place in _passed_sets
        self._passed_sets, self._passed_place = [0], {0: 0}
        self._same: dict[tuple[int, int], dict[bytes, int]] = {}
        self._marks = array("Q", bytes(8 * len(self._mark_of)))  # by client: a bit for each place that has a mark
        self._seen: list[Seen] = []
        self._seen_place: dict[int, int] = {}
        self._lines_by_seen: list[int] = []
        self._notes = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as this object
        self.unreadable = 0
        self.idle: dict[str, str] = {}
        self.lines_by_fired: Counter[int] = Counter()
        self.clients_by_rule: Counter[str] = Counter()

    @property
    def clients(self) -> int:
        """How many clients the log has."""
        return len(self._clients)

    def _test_of(self, rule: Rule) -> Test | None:
        fields = rule.match.fields() or rule.unless.fields()
        return self._conditions.test(rule.match, rule.unless) if fields else None

    def read(self, requests: Iterable[tuple[str, int, core.Request | None]]) -> None:
        """Takes in every line; None stands for one that cannot be read."""
        notes = array("Q")
        clients, tally, passed, shared = self._clients, self._tally, self._passed, self._shared
        for _, _, request in requests:
            if len(notes) >= _NOTES:
                notes.tofile(self._notes)
                notes = array("Q")
            if request is None:
                notes.append(_UNREADABLE)
                continue
            fields = request.fields
            ip, agent = fields["ip"], fields["agent"]
            if ip is None:
                client, bits = NOBODY, self._conditions.of_client(None, agent)
            else:
                found = clients.get((ip, agent and agent[:LONGEST]))
                client = self._new_client(ip, agent) if found is None else found
                bits = shared[client]
            bits |= self._conditions.of_request(fields, request)
            place = self._seen_place.get(bits)
            if place is None:
                place = self._new_seen(bits)
            self._lines_by_seen[place] += 1
            notes.append(client << _SEEN_BITS | place)
            if client == NOBODY:
                continue
            seen, at = self._seen[place], client * self._width
            tally[at] += 1
            for i in seen.counts:
                tally[at + i] += 1
            for i, take in seen.taken:
                self._take(client, i, take, fields)
            if seen.passes & ~self._passed_sets[passed[client]]:
                passed[client] = self._place_of(seen.passes | self._passed_sets[passed[client]])
        notes.tofile(self._notes)

    def _new_client(self, ip: bytes, agent: bytes | None) -> int:
        number = len(self._shared)
        self._shared.append(self._conditions.of_client(ip, agent))
        if agent is not None:
            agent = self._agents.setdefault(agent[:LONGEST], agent[:LONGEST])
        self._clients[ip, agent] = number
        self._tally.frombytes(bytes(4 * self._width))
        self._marks.frombytes(bytes(8 * len(self._mark_of)))
        self._passed.append(0)
        return number

    def _new_seen(self, bits: int) -> int:
        place = self._seen_place[bits] = len(self._seen)
        holding = [(i, take) for i, test, take in self._counts if test.passes(bits)]
        self._seen.append(
            Seen(
                passes=sum(1 << i for i, test in enumerate(self._tests) if test is not None and test.passes(bits)),
                counts=tuple(i for i, take in holding if take == "all"),
                taken=tuple((i, take) for i, take in holding if take != "all"),
                there=self._conditions.there.passes(bits),
                not_there=self._conditions.not_there.passes(bits),
            )
        )
        self._lines_by_seen.append(0)
        return place

    def _place_of(self, passes: int) -> int:
        place = self._passed_place.get(passes)
        if place is None:
            place = self._passed_place[passes] = len(self._passed_sets)
            self._passed_sets.append(passes)
        return place

    def _take(self, client: int, i: int, take: str, fields: dict[str, bytes | None]) -> None:
        uri = fields["uri"] or b""
        if take == "same-path":
            self._count_same(client, i, uri.partition(b"?")[0][:LONGEST])
        else:
            value = uri if take == "different-uri" else host_of(fields["referrer"])
            self._marks[client * len(self._mark_of) + self._mark_of[i]] |= 1 << zlib.crc32(value) % DIFFERENT

    def _count_same(self, client: int, i: int, path: bytes) -> None:
        """Misra and Gries, "Finding repeated elements" (1982): never too much, short by a ninth of all at most."""
        paths = self._same.setdefault((client, i), {})
        if path in paths or len(paths) < SAME_PATHS:
            paths[path] = paths.get(path, 0) + 1
            return
        for other in list(paths):
            paths[other] -= 1
            if not paths[other]:
                del paths[other]

    def labels(self) -> Iterator[tuple[str, str]]:
        """Yields (label, rules) for each line, in their order.

        The label is bot, human or unknown. The rules are the names of those that fired, with commas between, `conflict`
        before them where they contradict each other, `-` where none fired.
        """
        self._find_idle()
        fired_by_client = self._judge_clients()
        fired_by_request = [seen.passes & self._bits_of("request") for seen in self._seen]
        said: dict[int, tuple[str, str]] = {}
        by_fired: Counter[int] = Counter()
        mask = (1 << _SEEN_BITS) - 1
        for note in self._all_notes():
            if note == _UNREADABLE:
                self.unreadable += 1
                yield "unknown", "unreadable"
                continue
            fired = fired_by_client[note >> _SEEN_BITS] | fired_by_request[note & mask]
            by_fired[fired] += 1
            words = said.get(fired)
            if words is None:
                words = said[fired] = self.decide(fired)
            yield words
        self.lines_by_fired = by_fired

    def _all_notes(self) -> Iterator[int]:
        self._notes.seek(0)
        while chunk := self._notes.read(8 * _NOTES):
            yield from array("Q", chunk)

    def _find_idle(self) -> None:
        """Which rules cannot fire in this log, and why."""
        lines = sum(self._lines_by_seen)
        site = self._site_counts()
        held = self._groups_held()
        for i, (name, rule) in enumerate(self.rules):
            of_rule = [
                (seen, n) for seen, n in zip(self._seen, self._lines_by_seen, strict=True) if seen.passes >> i & 1
            ]
            unheld = sorted(self._needs[name] - held)
            if unheld:
                self.idle[name] = f"the log does not hold: {', '.join(unheld)}"
            elif self._tests[i] is None and not rule.count:
                self.idle[name] = "it has no conditions"
            elif not all(bounds.hold(site[self._places[counted]], lines) for counted, bounds in rule.site.items()):
                self.idle[name] = f"this site has too few or too many: {', '.join(rule.site)}"
            elif rule.missing and (there := sum(n for seen, n in of_rule if seen.there)):
                self.idle[name] = f"this site has such paths: {there} requests were answered"
            elif rule.missing and not any(seen.not_there for seen, _ in of_rule):
                self.idle[name] = "no request for such a path failed"

    def _site_counts(self) -> list[int]:
        totals = [0] * self._width
        for seen, lines in zip(self._seen, self._lines_by_seen, strict=True):
            for i in (0, *seen.counts, *(i for i, _ in seen.taken)):
                totals[i] += lines
        return totals

    def _groups_held(self) -> set[str]:
        held: set[str] = set()
        for bits in self._seen_place:
            held |= self._conditions.groups_in(bits)
        return held

    def _bits_of(self, kind: str) -> int:
        return sum(1 << i for i, (name, rule) in enumerate(self.rules) if rule.kind == kind and name not in self.idle)

    def _judge_clients(self) -> list[int]:
        """The rules that fired for each client, as bits."""
        different = list(self._mark_of)
        for (client, i), paths in self._same.items():
            self._tally[client * self._width + i] = max(paths.values(), default=0)
        for at, marks in enumerate(self._marks):
            client, place = divmod(at, len(self._mark_of))
            self._tally[client * self._width + different[place]] = marks.bit_count()
        awake = [
            (1 << i, self._tests[i] is not None, [(self._places[c], bounds) for c, bounds in rule.count.items()])
            for i, (name, rule) in enumerate(self.rules)
            if rule.kind == "client" and name not in self.idle
        ]
        by_request = self._bits_of("request")
        judged: dict[tuple[int, bytes], int] = {}  # most clients did little, and many the same
        clients_by_fired: Counter[int] = Counter()
        fired_by_client = [0]
        for client in range(1, len(self._shared)):
            passes = self._passed_sets[self._passed[client]]
            counts = self._tally[client * self._width : (client + 1) * self._width]
            key = (passes, counts.tobytes())
            fired = judged.get(key)
            if fired is None:
                fired = 0
                for bit, tested, bounds in awake:
                    if (passes & bit or not tested) and all(b.hold(counts[at], counts[0]) for at, b in bounds):
                        fired |= bit
                if len(judged) < CACHED:
                    judged[key] = fired
            fired_by_client.append(fired)
            clients_by_fired[fired | passes & by_request] += 1
        for fired, clients in clients_by_fired.items():
            for i in bits_in(fired):
                self.clients_by_rule[self.rules[i][0]] += clients
        return fired_by_client

    def decide(self, fired: int) -> tuple[str, str]:
        """The label and the words for the rules that fired: the strongest decide, if they agree."""
        if not fired:
            return "unknown", "-"
        rules = [self.rules[i] for i in bits_in(fired)]
        words = ",".join(name for name, _ in rules)
        top = max(rule.strength for _, rule in rules)
        verdicts = {rule.verdict for _, rule in rules if rule.strength == top}
        if len(verdicts) == 1:
            return verdicts.pop(), words
        return "unknown", f"conflict,{words}" if {"bot", "human"} <= verdicts else words

    def conflicts(self) -> Counter[tuple[str, str]]:
        """Lines by the pairs of rules that contradicted each other there, a rule for bots first."""
        found: Counter[tuple[str, str]] = Counter()
        for fired, lines in self.lines_by_fired.items():
            rules = [self.rules[i] for i in bits_in(fired)]
            top = max((rule.strength for _, rule in rules), default=0)
            strongest = [(name, rule.verdict) for name, rule in rules if rule.strength == top]
            for bot, human in ((b, h) for b, x in strongest for h, y in strongest if (x, y) == ("bot", "human")):
                found[bot, human] += lines
        return found

    def overlaps(self) -> Counter[tuple[str, str]]:
        """Lines by the pairs of rules that fired together."""
        found: Counter[tuple[str, str]] = Counter()
        for fired, lines in self.lines_by_fired.items():
            for a, b in combinations(bits_in(fired), 2):
                found[self.rules[a][0], self.rules[b][0]] += lines
        return found


def bits_in(bits: int) -> Iterator[int]:
    """The places of the bits that are set, from the lowest."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def rule_reads(book: RuleBook, rule: Rule) -> list[str]:
    """The groups of fields that a rule's verdict hangs on, those of its counts included; in order."""
    return sorted(set().union(*(groups_of(*pair) for pair in _looks(book, rule))) | _of_missing(rule))


def rule_needs(book: RuleBook, rule: Rule) -> set[str]:
    """The groups of fields without which the rule cannot fire."""
    return set().union(*(groups_needed(*pair) for pair in _looks(book, rule))) | _of_missing(rule)


def _looks(book: RuleBook, rule: Rule) -> list[tuple[Match, Match]]:
    counts = [book.counts[name] for name in (*rule.count, *rule.site) if name in book.counts]
    return [(rule.match, rule.unless), *((count.match, count.unless) for count in counts)]


def _of_missing(rule: Rule) -> set[str]:
    return {"status"} if rule.missing else set()
