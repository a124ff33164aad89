"""What happened in the last minutes, for whoever watches: of what all workers counted, and of the decisions that they left in their lanes.

Law: this is the one place that keeps it, for the page, `xbot top` and `xbot tail`. All is bounded: by time, and by number where visitors
choose. What is counted (`totals`, `window`) is of every request, from the counters that /metrics reads. What is told of single decisions
(`reasons`, `shapes`, `refusals`) is of those that were recorded, which are a few in each second (decisions/reader.py).

It is written by the thread that reads lanes, under a lock that nobody holds for long, and told by other threads.
"""

from __future__ import annotations

import collections
import itertools
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from sidecar import core
from sidecar.board.board import Board
from sidecar.board.clients import Clients
from sidecar.config.plan import Fixed
from sidecar.decisions.entry import Writer
from sidecar.decisions.reader import Judge, Models
from sidecar.live import shown

WINDOW = 300.0  # seconds that tallies look back
_STEP = 5.0  # seconds of a point of the series, and of a bucket of tallies
_POINTS = int(WINDOW / _STEP)
_KEPT = 500  # decisions, the last ones
_SHOWN = 12  # refusals, reasons, shapes and people that are shown
_NAMES = 512  # reasons, and shapes, of a bucket
_ACCUSED = 1000  # clients, of which it is looked whether they turn out to be people
_FRESH = 1.0  # seconds for which what was put together holds
_KEY = 32  # bytes by which addresses are hidden; of the log's own key nobody is told here
# A shape grows if so many of its requests were recorded in the last minute, and these are so many times those of a minute before.
_LEAST, _GROWS, _MINUTE = 10, 3.0, 60.0


class Processes(Protocol):
    """The workers."""

    @property
    def count(self) -> int: ...
    @property
    def up(self) -> int: ...


class Watched(Protocol):
    """A master, as far as it is watched here."""

    @property
    def fixed(self) -> Fixed: ...
    @property
    def board(self) -> Board: ...
    @property
    def clients(self) -> Clients | None: ...
    @property
    def workers(self) -> Processes: ...
    @property
    def ready(self) -> bool: ...


class Seen(NamedTuple):
    """A decision, numbered in the order in which they were read."""

    number: int
    one: core.Recorded


@dataclass
class _Bucket:
    """What was recorded within one step of time."""

    began: float
    reasons: collections.Counter[str] = field(default_factory=collections.Counter)
    shapes: collections.Counter[int] = field(default_factory=collections.Counter)
    numbers: collections.Counter[bool] = field(default_factory=collections.Counter)  # by whether they are about bots
    told: collections.Counter[tuple[bool, str]] = field(
        default_factory=collections.Counter
    )  # of how many each group was known


class Feed:
    """Takes records (decisions/reader.py), and counts of `master`; `snapshot` and `since` are for those who watch."""

    def __init__(self, master: Watched) -> None:
        self._master = master
        self._lock = threading.Lock()  # of what is taken
        self._telling = threading.Lock()  # of what is told
        self._last: collections.deque[Seen] = collections.deque(maxlen=_KEPT)
        self._refusals: collections.deque[Seen] = collections.deque(maxlen=_SHOWN)
        self._buckets: collections.deque[_Bucket] = collections.deque(maxlen=_POINTS)
        self._points: collections.deque[tuple[float, dict[str, Any]]] = collections.deque(maxlen=_POINTS + 1)
        self._faces: OrderedDict[int, core.Recorded] = OrderedDict()  # the last decision about each shape
        self._accused: OrderedDict[int, core.Recorded] = OrderedDict()  # the last bot or refusal of each client
        self._explained: OrderedDict[int, dict[str, Any]] = OrderedDict()  # by number
        self._models: Models = {}
        self._request = core.Request()
        self._number = 0
        self._made: tuple[float, dict[str, Any]] = (-_FRESH, {})
        settings = master.fixed.decisions
        self._writer = Writer(settings.privacy, settings.redact, os.urandom(_KEY))

    # What is taken

    def take(self, records: Sequence[core.Recorded], models: Models) -> None:
        """The next records, and every now and then the counts."""
        now = time.monotonic()
        if not self._points or now - self._points[-1][0] >= _STEP:
            total = self._master.board.total()
            with self._lock:
                self._points.append((now, total))
        self._models = models
        if records:
            with self._lock:
                bucket = self._bucket(now)
                for one in records:
                    self._take(one, bucket)

    def _bucket(self, now: float) -> _Bucket:
        if not self._buckets or now - self._buckets[-1].began >= _STEP:
            self._buckets.append(_Bucket(now))
        return self._buckets[-1]

    def _take(self, one: core.Recorded, bucket: _Bucket) -> None:
        self._number += 1
        bot = one.outcome == "bot"
        bucket.numbers[bot] += 1
        bucket.told.update((bot, name) for name in self._known_groups(one))
        seen = Seen(self._number, one)
        self._last.append(seen)
        accused = one.refuse or one.outcome == "bot"
        if accused and (one.reason in bucket.reasons or len(bucket.reasons) < _NAMES):
            bucket.reasons[one.reason] += 1
        if one.refuse:
            self._refusals.append(seen)
        if one.shape and (one.shape in bucket.shapes or len(bucket.shapes) < _NAMES):
            bucket.shapes[one.shape] += 1
            _put(self._faces, one.shape, one, _NAMES)
        if accused and one.client:
            _put(self._accused, one.client, one, _ACCUSED)

    def _known_groups(self, one: core.Recorded) -> list[str]:
        """The groups of features of which something was known when this was decided."""
        try:
            self._request.load_head(one.head, one.dialect)
            if one.handshake is not None:
                self._request.know_handshake(one.handshake)
        except (core.LineError, ValueError):
            return []
        present = self._request.present | (core.GROUPS["client"] if one.past else 0)
        return [name for name, bits in core.GROUPS.items() if present & bits]

    # What is told

    def told(self) -> tuple[int, dict[str, float]]:
        """How many decisions of the last minutes were recorded, and of which share of all decisions then each group of features was
        known. Bots and others are recorded each at a rate of their own, so they weigh as many as were decided."""
        oldest = time.monotonic() - WINDOW
        total = self._master.board.total()
        with self._lock:
            buckets = [each for each in self._buckets if each.began >= oldest]
            before = next((counts for at, counts in self._points if at >= oldest - _STEP), total)
        numbers: collections.Counter[bool] = collections.Counter()
        known: collections.Counter[tuple[bool, str]] = collections.Counter()
        for bucket in buckets:
            numbers.update(bucket.numbers)
            known.update(bucket.told)
        decided = {name: _totals(total)[name] - _totals(before)[name] for name in core.OUTCOMES}
        bots = decided.pop("bot")
        weights = {True: max(bots, numbers[True]), False: max(sum(decided.values()), numbers[False])}
        shares: collections.Counter[str] = collections.Counter()
        for (bot, name), times in known.items():
            shares[name] += times / numbers[bot] * weights[bot] / sum(weights.values())
        return sum(numbers.values()), dict(shares)

    def since(self, number: int, most: int = 100) -> dict[str, Any]:
        """The decisions after the one of this number, at most so many and the latest; `number` is where to go on."""
        with self._lock:
            found = [seen for seen in self._last if seen.number > number][-most:]
            last = self._number
        return {
            "number": last,
            "decisions": [shown.decision(each.one, self._writer, self._judge(each.one)) for each in found],
        }

    def snapshot(self) -> dict[str, Any]:
        """All that is shown at this moment; the same object for a second."""
        with self._telling:
            made, said = self._made
            if time.monotonic() - made >= _FRESH:
                said = self._snapshot()
                self._made = time.monotonic(), said
            return said

    def _snapshot(self) -> dict[str, Any]:
        master, now = self._master, time.monotonic()
        total = master.board.total()
        with self._lock:
            points = [*self._points, (now, total)]
            oldest = now - WINDOW - _STEP
            buckets = [each for each in self._buckets if each.began >= oldest]
            refusals = list(self._refusals)
            accused = list(self._accused.values())
            faces = dict(self._faces)
        points = [each for each in points if each[0] >= oldest]
        reasons: collections.Counter[str] = collections.Counter()
        shapes: collections.Counter[int] = collections.Counter()
        lately: collections.Counter[int] = collections.Counter()
        for bucket in buckets:
            reasons.update(bucket.reasons)
            shapes.update(bucket.shapes)
            if now - bucket.began < _MINUTE:
                lately.update(bucket.shapes)
        before = now - points[0][0] - _MINUTE  # seconds of the window that are not of the last minute
        return {
            "time": round(time.time(), 3),
            "ready": master.ready,
            "workers": master.workers.count,
            "workers_up": master.workers.up,
            "totals": _totals(total),
            "window": {"seconds": round(now - points[0][0], 1), **_between(points[0][1], total)},
            "series": _series(points),
            "reasons": _reasons(
                reasons, frozenset[str]().union(*(judge.lacks for judge in [*self._models.values()][-1:]))
            ),
            "shapes": self._shapes(shapes, lately, before, faces),
            "refusals": [self._refusal(each) for each in reversed(refusals)],
            "people": self._people(accused),
            "notes": self._notes(total),
        }

    def _judge(self, one: core.Recorded) -> Judge | None:
        return self._models.get(one.generation)

    def _refusal(self, seen: Seen) -> dict[str, Any]:
        """With what its margin is made of; worked out once."""
        if seen.number not in self._explained:
            judge = self._judge(seen.one)
            parts = shown.explained(seen.one, self._writer, judge) if judge is not None else []
            _put(
                self._explained,
                seen.number,
                {**shown.decision(seen.one, self._writer, judge), "parts": parts},
                4 * _SHOWN,
            )
        return self._explained[seen.number]

    def _shapes(
        self,
        counts: collections.Counter[int],
        lately: collections.Counter[int],
        before: float,
        faces: Mapping[int, core.Recorded],
    ) -> list[dict[str, Any]]:
        """Requests that look alike to the last header, whoever sends them: first those that grow, then those with most."""
        found = []
        for key, recorded in counts.most_common(4 * _SHOWN):
            known, face = self._known("shape", key), faces.get(key)
            if known is None or face is None:
                continue
            usual = (recorded - lately[key]) * _MINUTE / before if before >= _MINUTE else None
            said = shown.decision(face, self._writer, self._judge(face))
            found.append(
                {
                    "shape": f"{key >> 40:06x}",
                    **{name: said[name] for name in ("agent", "verdict", "refused", "said")},
                    "recorded": recorded,
                    "lately": lately[key],
                    "grows": usual is not None and lately[key] >= max(_LEAST, _GROWS * usual),
                    **{name: round(known[name], 1) for name in ("clients", "visitors", "loaders", "networks")},
                }
            )
        return sorted(found, key=lambda each: (not each["grows"], -each["lately"]))[:_SHOWN]

    def _people(self, accused: Sequence[core.Recorded]) -> list[dict[str, Any]]:
        """Clients that were called bots by their score, and yet look like people (csrc/answer.h): first the refused, the latest first."""
        found = []
        for one in reversed(accused):
            known = self._known("client", one.client)
            if known is not None and known["doubted"]:
                found.append((known["regretted"], one, known))
        found.sort(key=lambda each: not each[0])
        return [
            {
                **shown.decision(one, self._writer, self._judge(one)),
                "regretted": known["regretted"],
                "brought": known["brought"],
                "pages": round(known["pages"], 1),
                "parts": round(known["parts"], 1),
            }
            for _, one, known in found[:_SHOWN]
        ]

    def _known(self, kind: Any, key: int) -> dict[str, Any] | None:
        clients = self._master.clients
        if clients is None:
            return None
        try:
            return core.read_entry(clients.view, kind, key, time.time_ns() // 1_000_000)
        except core.BoardError:
            return None

    def _notes(self, total: Mapping[str, Any]) -> list[str]:
        """What cannot be told, and what the owner would have to switch on."""
        notes = []
        if self._master.fixed.decisions.file is None:
            notes.append(
                "Decisions are not kept: with [decisions] file in xbot.toml, xbot why explains each by its id."
            )
        if self._master.clients is None:
            notes.append(
                "Shapes, and refused clients that look like people, need a table of clients: size in [clients] is 0."
            )
        elif not self._master.clients.counts().get("outcomes"):
            notes.append(
                "nginx has not told what its answers were (include xbot/outcome.conf): parts and pages are told by their paths alone."
            )
        if self._number == 0 and not sum(total["outcome"]):
            notes.append("No request has come yet.")
        return notes


def _put(table: OrderedDict[int, Any], key: int, value: Any, most: int) -> None:
    """As the youngest; the oldest goes where there are too many."""
    table[key] = value
    table.move_to_end(key)
    while len(table) > most:
        table.popitem(last=False)


def _totals(total: Mapping[str, Any]) -> dict[str, Any]:
    """Since the counters began, as /metrics has them."""
    return {
        "requests": total["requests"],
        "refused": total["refused"],
        **dict(zip(core.OUTCOMES, total["outcome"], strict=True)),
    }


def _between(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """What was counted between two moments. Times are in microseconds."""
    before, after = _totals(old), _totals(new)
    histogram = [b - a for a, b in zip(old["histogram"], new["histogram"], strict=True)]
    told: dict[str, Any] = {name: max(0, after[name] - before[name]) for name in after}
    told["policies"] = {
        name: _of_policy(old["policies"].get(name), counts) for name, counts in sorted(new["policies"].items())
    }
    told["policies"] = {name: each for name, each in told["policies"].items() if name or each["requests"]}
    told["scores"] = [b - a for a, b in zip(old["score"], new["score"], strict=True)]
    told["latency"] = {f"p{share * 100:g}": _quantile(histogram, share) for share in (0.5, 0.9, 0.99)}
    return told


def _of_policy(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> dict[str, int]:
    """What one policy decided between two moments; None: it had decided nothing before."""
    sums = [sum(column) for column in zip(*new["decided"], strict=True)]
    refused = sum(new["refused"])
    if old is not None:
        sums = [b - sum(a) for a, b in zip(zip(*old["decided"], strict=True), sums, strict=True)]
        refused -= sum(old["refused"])
    return {**dict(zip(core.OUTCOMES, sums, strict=True)), "requests": sum(sums), "refused": refused}


def _quantile(histogram: Sequence[int], share: float) -> float | None:
    """Microseconds below which this share of the answers took: the upper edge of a power of two in nanoseconds."""
    wanted, seen = share * sum(histogram), 0
    for i, count in enumerate(histogram):
        seen += count
        if count and seen >= wanted:
            return round(2.0 ** (i + 1) / 1e3, 1)
    return None


def _series(points: Sequence[tuple[float, Mapping[str, Any]]]) -> list[dict[str, float]]:
    """Requests a second by verdict, and refusals, between one point and the next; `ago` in seconds."""
    now = points[-1][0]
    told = []
    for (began, old), (ended, new) in itertools.pairwise(points):
        if ended - began < _STEP / 2:
            continue
        counts = _between(old, new)
        rates = {name: round(counts[name] / (ended - began), 2) for name in (*core.OUTCOMES, "refused")}
        told.append({"ago": round(now - ended, 1), **rates})
    return told


def _reasons(counts: collections.Counter[str], lacks: frozenset[str]) -> list[dict[str, Any]]:
    """Why bots were called so, the most frequent first."""
    every = sum(counts.values())
    return [
        {
            "reason": shown.short(name),
            "said": shown.reason(name, lacks),
            "recorded": count,
            "share": round(count / every, 4),
        }
        for name, count in counts.most_common(_SHOWN)
    ]
