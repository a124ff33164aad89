"""The tallies of what was recorded: bounded whatever comes, and what grows is told from what is always there.

Law: records are such as a lane gives; only the clock is ours.
"""

from __future__ import annotations

import mmap
import sys
import types
from typing import Any

import pytest

from sidecar import core
from sidecar.config.options import DEFAULT_MODEL, Decisions
from sidecar.decisions.reader import Judge
from sidecar.live import feed
from sidecar.live.feed import Feed

HEAD = b"GET /xbot HTTP/1.1\r\nX-Real-IP: 203.0.113.7\r\nX-Original-URI: /%d\r\nX-Original-Method: GET\r\nUser-Agent: %s\r\n\r\n"


class Counts:
    """Counters of nobody."""

    def total(self) -> dict[str, Any]:
        return core.read_stats(bytes(core.STATS_SIZE))


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Feed:
    table = memoryview(mmap.mmap(-1, core.clients_size(1)))
    core.make_clients(table, bytes(core.CLIENTS_SECRET))
    # Whatever the table says of a shape, that it knows one is enough here.
    known = dict.fromkeys(("clients", "visitors", "loaders", "networks"), 1.0)
    monkeypatch.setattr(Feed, "_known", lambda *_: {**known, "doubted": False})
    clients = types.SimpleNamespace(view=table, counts=lambda: {"outcomes": 0})
    workers = types.SimpleNamespace(count=1, up=1)
    master: Any = types.SimpleNamespace(
        fixed=types.SimpleNamespace(decisions=Decisions()),
        board=Counts(),
        clients=clients,
        workers=workers,
        ready=True,
    )
    return Feed(master)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(feed.time, "monotonic", lambda: now[0])
    return now


def record(number: int, shape: int, agent: bytes = b"a", reason: str = "ua_word=a") -> core.Recorded:
    """A bot's, as a lane has it."""
    return core.Recorded(
        f"{number:012d}", 10**18, 1, 1.0, 0.9, "bot", True, False, reason, "default", "nginx",
        [], HEAD % (number, agent), None, False, "none", number + 1, number + 1, shape,
    )  # fmt: skip


def test_a_shape_that_grows_is_told_from_one_that_is_always_there(watching: Feed, clock: list[float]) -> None:
    """Ten a step all the time, and fifty a step in the last half minute."""
    for step in range(40):
        watching.take([record(step * 100 + i, 1 << 40, b"always") for i in range(10)], {})
        if step >= 34:
            watching.take([record(step * 100 + i, 2 << 40, b"fleet") for i in range(50)], {})
        clock[0] += 5
    told = watching.snapshot()["shapes"]
    assert [(each["agent"], each["grows"]) for each in told] == [("fleet", True), ("always", False)]
    clock[0] += 400
    watching.take([], {})
    assert watching.snapshot()["shapes"] == []


def test_of_how_many_each_group_is_known(watching: Feed, clock: list[float]) -> None:
    """By what was recorded; what cannot be read counts as a decision of which nothing is known."""
    one = record(1, 0)
    watching.take([one, one._replace(past=[0.0]), one._replace(head=b"\0")], {})
    number, told = watching.told()
    assert number == 3
    assert told == pytest.approx(
        {"ip": 2 / 3, "ua": 2 / 3, "referrer": 2 / 3, "url": 2 / 3, "headers": 2 / 3, "client": 1 / 3}
    )
    clock[0] += 400
    assert watching.told() == (0, {})


def test_bots_that_are_recorded_more_often_weigh_no_more(watching: Feed, clock: list[float]) -> None:
    """Half of the records are of bots without a past; of the requests, one in ten was one."""
    watching.take([], {})
    person = record(1, 0)._replace(outcome="human", refuse=False, past=[0.0])
    watching.take([record(2, 0), person] * 10, {})
    counts = dict.fromkeys(core.OUTCOMES, 0) | {"bot": 100, "human": 900}
    total = {**core.read_stats(bytes(core.STATS_SIZE)), "outcome": [counts[name] for name in core.OUTCOMES]}
    watching._master.board.total = lambda: total  # type: ignore[method-assign]
    number, told = watching.told()
    assert (number, told["client"], told["ua"]) == (20, pytest.approx(0.9), pytest.approx(1.0))


def test_in_the_first_minute_nothing_grows(watching: Feed, clock: list[float]) -> None:
    watching.take([], {})
    clock[0] += 30
    watching.take([record(i, 1 << 40) for i in range(100)], {})
    assert [each["grows"] for each in watching.snapshot()["shapes"]] == [False]


def test_whatever_visitors_choose_is_bounded(watching: Feed, clock: list[float]) -> None:
    """A hundred thousand reasons, shapes and clients in a minute, and 8 kB of each."""
    held = []
    for step in range(20):
        records = [record(n, n + 1, b"A" * 100, f"ua_word={n}") for n in range(step * 5000, step * 5000 + 5000)]
        watching.take(records, {})
        clock[0] += 5
        held.append(
            sum(len(getattr(watching, name)) for name in ("_last", "_refusals", "_faces", "_accused", "_explained"))
        )
        held[-1] += sum(len(each.reasons) + len(each.shapes) for each in watching._buckets)
    assert max(held) <= 500 + 12 + 512 + 1000 + 48 + 60 * 1024
    assert held[-1] - held[-2] <= 1024
    told = watching.snapshot()
    assert all(len(told[name]) <= 12 for name in ("reasons", "shapes", "refusals", "people"))
    assert sys.getsizeof(repr(told)) < 100_000
    assert len(watching.since(-1)["decisions"]) == 100


def test_who_goes_on_gets_each_decision_once(watching: Feed) -> None:
    watching.take([record(n, 1) for n in range(5)], {})
    first = watching.since(-1)
    watching.take([record(n, 1) for n in range(5, 8)], {})
    more = watching.since(first["number"])
    assert [each["id"] for each in first["decisions"] + more["decisions"]] == [f"{n:012d}" for n in range(8)]
    assert watching.since(more["number"])["decisions"] == []


def test_a_reason_that_is_missing_is_told_as_missing(watching: Feed) -> None:
    """A weight towards a human is a reason for a bot where its row is missing; how many there are of a row, a reason does not say."""
    judge = Judge(core.Model(DEFAULT_MODEL.read_bytes()), "0" * 64, {}, frozenset({"ua_os_linux"}))
    records = [record(i, i, reason=said) for i, said in enumerate(("ua_os_linux", "ua_os_windows", "ua_semicolons"))]
    watching.take(records, {1: judge})
    told = ["does not claim to run on Linux", "claims to run on Windows", "the semicolons in the User-Agent"]
    assert [each["said"] for each in watching.since(-1)["decisions"]] == told
    assert [each["said"] for each in watching.snapshot()["reasons"]] == told
