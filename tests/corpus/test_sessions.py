"""The sessions that the default model learns behaviour from: in order of time, read by the project's own reader, people whose browsers
contradict nothing, caches that keep, and programs that are exact where they are meant to be."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from sidecar import core
from sidecar.sources import records
from training.corpus import published
from training.corpus.sessions import Log, clients, generate, logs, people, places, programs

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, published.PACKAGES)), reason="needs the packages of the extra `corpus`"
)
ODD = [i for i, row in enumerate(core.FEATURES) if row.name.startswith("odd_")]


@pytest.fixture(scope="module")
def sample() -> list[Log]:
    return list(logs(1, 60_000))


def rows(sample: list[Log]) -> list[dict[str, Any]]:
    return [record for log in sample for record in log.records]


def test_same_seed_same_rows() -> None:
    first = list(generate(3, 1500))
    assert first == list(generate(3, 1500))
    assert first != list(generate(4, 1500))


def test_in_order_of_time_through_all_sites(sample: list[Log]) -> None:
    times = [row["time"] for row in rows(sample)]
    assert times == sorted(times)
    assert len({log.place.host for log in sample}) == len(sample) == 5
    ends = [(log.records[0]["time"], log.records[-1]["time"]) for log in sample]
    apart = [(after[0] - before[1]) / 86_400 for before, after in pairwise(ends)]
    assert min(apart) > 60  # days


def test_the_projects_reader_reads_every_row(sample: list[Log]) -> None:
    request = core.Request()
    for row in rows(sample):
        records.load_record(msgspec.json.encode(row), request)
        assert request.label == (row["label"] == "bot")
        assert request.status == row["status"]


@pytest.mark.long
def test_every_kind_comes() -> None:
    seen = Counter((row["label"], row["kind"]) for row in generate(2, 150_000))
    wanted = {("human", kind.__name__) for kind in people.KINDS} | {("bot", kind.__name__) for kind in programs.KINDS}
    assert set(seen) == wanted
    assert 0.35 < sum(n for (label, _), n in seen.items() if label == "bot") / seen.total() < 0.55


def odd_share(sample: list[Log], wanted: set[str]) -> float:
    """The share of these kinds' requests, of logs with whole headers, that contradict themselves."""
    request, odd = core.Request(), []
    for row in rows(sample):
        if row["kind"] in wanted and isinstance(row.get("headers"), list):
            records.load_record(msgspec.json.encode(row), request)
            values, _ = request.features(core.MIN_K, families=0)
            odd.append(any(values[i] == 1.0 for i in ODD))
    assert len(odd) > 100
    return sum(odd) / len(odd)


def test_peoples_browsers_contradict_nothing(sample: list[Log]) -> None:
    assert odd_share(sample, {kind.__name__ for kind in people.KINDS} - {"plain", "feeds"}) < 0.01


def test_driven_browsers_contradict_nothing(sample: list[Log]) -> None:
    assert odd_share(sample, {"driven", "clicking", "herd"}) < 0.01


def test_programs_in_part_of_a_browsers_clothes_do(sample: list[Log]) -> None:
    assert odd_share(sample, {"disguised"}) > 0.3


def here(**changes: Any) -> places.Place:
    place = places.place(random.Random(5), 1.7e9)
    for name, value in changes.items():
        setattr(place, name, value)
    return place


def test_a_fresh_part_is_asked_for_once_and_a_stale_one_with_a_condition() -> None:
    for fresh, asked_again in ((1.0, False), (0.0, True)):
        place = here(fresh=fresh, errors=0.0, elsewhere=False)
        assert place.pages[0].parts
        browsing = clients.Browsing(place, random.Random(1))
        first, second = browsing.open(0, 0.0, ""), browsing.open(0, 60.0, "")
        shown = {part.path for part in place.pages[0].parts}
        assert shown <= {ask.want.path for ask in first}
        assert not any(ask.want.again for ask in first)
        again = [ask for ask in second if ask.want.path in shown]
        assert bool(again) == asked_again
        assert all(ask.want.again and ask.answer.status == 304 for ask in again)


def test_a_cookie_comes_back_from_the_second_request_on() -> None:
    browsing = clients.Browsing(here(sets=True, errors=0.0), random.Random(1))
    asks = browsing.open(0, 0.0, "")
    assert [ask.cookie for ask in asks] == [False] + [True] * (len(asks) - 1)
    assert not any(ask.cookie for ask in clients.Browsing(here(sets=False), random.Random(1)).open(0, 0.0, ""))


def test_parts_name_the_page_or_the_style_sheet_that_shows_them(sample: list[Log]) -> None:
    named: dict[bool, int] = defaultdict(int)
    for log in sample:
        place = log.place
        shown = {part.path for page in place.pages for part in page.parts}
        sources = {f"{place.scheme}://{place.host}{page.path}" for page in place.pages}
        sources |= {f"{place.scheme}://{place.host}{path}" for path in shown}
        for row in log.records:
            if row["kind"] == "reader" and row["uri"] in shown and isinstance(row.get("headers"), list):
                referrer = next((value for name, value in row["headers"] if name.lower() == "referer"), "")
                named[referrer in sources] += 1
    assert named[True] > 300
    assert named[False] < 0.02 * named[True]


def test_a_fleet_has_one_look_and_many_addresses(sample: list[Log]) -> None:
    fleets = [[row for row in log.records if row["kind"] == "fleet"] for log in sample]
    biggest = max(fleets, key=len)
    assert len({row["ip"] for row in biggest}) > 100
    heads = {
        tuple(name for name, _ in row["headers"]) if isinstance(row.get("headers"), list) else "" for row in biggest
    }
    assert len(heads) <= 12  # fleets have a few looks
