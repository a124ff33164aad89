"""What tells that a gate may be wrong: each alarm begins, is told once, and is over; none begins for a site that is as it was."""

from __future__ import annotations

import math
import random
import types
from pathlib import Path
from typing import Any

import models
import numpy as np
import pytest
from places import run_xbot
from sidecar_harness import Sidecar, visit, wait_until
from test_metrics import STRICT

from sidecar import core
from sidecar.board import served
from sidecar.board.served import Served
from sidecar.config import config, options
from sidecar.config.plan import Overrides
from sidecar.observe import alarms
from sidecar.observe.alarms import HOUR, LOOK_SECONDS, Alarms, chance_of_more, stability
from training.export import spread


class Site:
    """A master whose counters a test writes, and whose time it makes pass."""

    def __init__(self) -> None:
        self.total: dict[str, Any] = {"requests": 0, "refused": 0, "regretted": 0, "margin": [0] * core.MARGINS}
        self.said: list[tuple[str, str]] = []
        self.served: Any = types.SimpleNamespace(
            generation=1,
            modes={"default": "enforce"},
            path=Path("site.xbot"),
            margins=None,
            told={},
            old_lists=lambda: (3, self.old),
        )
        self.old: list[str] = []
        self.by_hand: list[str] = []
        self.now = 1e6
        self.known: tuple[int, dict[str, float]] = (0, {})
        self.master: Any = types.SimpleNamespace(
            served=self.served,
            feed=types.SimpleNamespace(told=lambda: self.known),
            board=types.SimpleNamespace(
                total=lambda: self.total, wheel=types.SimpleNamespace(said=lambda: (self.by_hand, []))
            ),
        )
        told = lambda event, alarm, **_: self.said.append((event, alarm))  # noqa: E731 -- a method of a logger
        self.alarms = Alarms(self.master, types.SimpleNamespace(warning=told, info=told))

    def live(self, seconds: float, per_second: float = 10.0, refused: float = 0.1, margin: int | None = None) -> None:
        """Time passes, with so many requests in each second, of which this share is refused."""
        for _ in range(int(seconds / LOOK_SECONDS)):
            self.now += LOOK_SECONDS
            n = int(per_second * LOOK_SECONDS)
            self.total["requests"] += n
            self.total["refused"] += round(n * refused)
            for _ in range(n if margin is None else 0):
                self.total["margin"][min(31, max(0, int(random.gauss(16, 4))))] += 1
            if margin is not None:
                self.total["margin"][margin] += n
            self.alarms.look(self.now)

    def change(self) -> None:
        """Something else is served."""
        self.served.generation += 1


@pytest.fixture
def site() -> Site:
    random.seed(1)
    return Site()


@pytest.mark.parametrize(("share", "name"), [(0.0, "refusals_fell"), (0.6, "refusals_leapt")])
def test_refusals_after_a_change(site: Site, share: float, name: str) -> None:
    site.live(HOUR)
    site.change()
    site.live(HOUR, refused=0.11)
    assert site.said == []  # a little more or less is nothing
    site.change()
    site.live(300, refused=share)
    assert site.said == [("alarm", name)]
    assert site.alarms.told()["alarms"][0]["alarm"] == name
    site.live(2 * HOUR, refused=share)
    assert site.said == [("alarm", name), ("alarm over", name)]  # said once, however long it holds


def test_refusals_that_change_by_themselves_or_by_hand(site: Site) -> None:
    """Bots come and go: nothing was changed. And an operator knows what he does."""
    site.live(3 * HOUR)
    site.live(HOUR, refused=0.7)
    site.live(HOUR, refused=0.1)
    site.by_hand = ["observe"]
    site.change()
    site.live(HOUR, refused=0.0)
    site.by_hand = []
    site.live(2 * HOUR)
    site.served.modes = {"default": "observe"}
    site.change()
    site.live(HOUR, refused=0.0)
    assert site.said == []


def test_few_requests_say_nothing(site: Site) -> None:
    site.live(HOUR, per_second=0.1)
    site.change()
    site.live(HOUR, per_second=0.1, refused=0.0)
    assert site.said == []


def test_a_first_start_compares_nothing_and_an_upgrade_does(site: Site) -> None:
    site.live(HOUR, refused=0.9)
    assert site.said == []
    other = Site()
    other.total |= {"requests": 10000, "refused": 1000}  # by the master before
    other.live(600, refused=0.0)
    assert other.said == [("alarm", "refusals_fell")]


def test_drift(site: Site) -> None:
    site.served.margins = tuple(int(1e6 * 2.718 ** (-((i - 16) ** 2) / 32)) for i in range(core.MARGINS))
    site.live(2 * HOUR)
    assert site.alarms.drift is not None
    assert site.alarms.drift < 0.1
    assert site.said == []
    site.live(HOUR, margin=28)
    assert site.said == [("alarm", "drift")]
    site.live(3 * HOUR)
    assert site.said[1:] == [("alarm over", "drift")]
    site.served.path = options.DEFAULT_MODEL  # which knows nothing of this site
    site.live(3 * HOUR, margin=28)
    assert site.alarms.drift is None
    assert len(site.said) == 2


def test_a_group_that_is_no_longer_told(site: Site) -> None:
    """A proxy that does not pass the handshake on any more leaves the margins as they were."""
    site.served.margins = tuple(int(1e6 * 2.718 ** (-((i - 16) ** 2) / 32)) for i in range(core.MARGINS))
    site.served.told = {"ua": 1.0, "tls": 0.8, "client": 1.0}
    for known in ({"ua": 1.0, "tls": 0.8, "client": 0.99}, {"ua": 1.0, "tls": 0.65, "client": 0.95}):
        site.known = 1000, known
        site.live(600)
        assert site.said == []
    site.known = 1000, {"ua": 1.0, "client": 1.0}
    site.live(600)
    assert site.said == [("alarm", "drift")]
    says = site.alarms.told()["alarms"][0]["says"]
    assert says.startswith("TLS handshakes are known of 0% of requests, of 80% in training")
    assert "stability" not in says
    site.known = 1000, {"ua": 1.0, "tls": 0.8, "client": 1.0}
    site.live(600)
    assert site.said[1:] == [("alarm over", "drift")]
    for known in (
        (100, {}),
        (1000, {"ua": 1.0, "tls": 0.8, "client": 0.88}),
    ):  # too few; and a group that is told of fewer
        site.known = known
        site.live(600)
    assert [event for event, _ in site.said] == ["alarm", "alarm over", "alarm"]
    site.served.path = options.DEFAULT_MODEL
    site.live(600)
    assert site.said[3:] == [("alarm over", "drift")]


@pytest.mark.parametrize(
    "said",
    [
        None,
        7,
        [],
        "tls",
        {"tls": "1"},
        {"tls": 2.0},
        {"tls": -0.1},
        {"tls": float("nan")},
        {"tls": True},
        {"more": 0.5},
        {"tls": None},
    ],
)
def test_a_model_that_says_nonsense_of_its_groups_says_nothing(said: Any) -> None:
    """Anybody may have written a model's provenance."""
    assert served._told({"told": said}) == {}
    assert served._told({"told": {"tls": 0.5, "ua": 1.0}}) == {"tls": 0.5, "ua": 1.0}


@pytest.mark.parametrize("name", core.GROUPS)
def test_each_group_has_a_name(name: str) -> None:
    assert alarms.GROUPS[name]


def test_the_index_is_that_of_the_books() -> None:
    """Ten bins, by hand; and it is finite where a bin is empty."""
    same = [1000] * 10
    assert stability(same, same) == pytest.approx(0.0, abs=1e-9)
    moved = [1500] + [1000] * 8 + [500]
    by_hand = (0.15 - 0.1) * 0.405465 + (0.05 - 0.1) * -0.693147
    assert stability(same, moved) == pytest.approx(by_hand, rel=0.01)
    assert 1 < stability(same, [10000] + [0] * 9) < 100


def test_old_lists_and_people(site: Site) -> None:
    site.live(HOUR)
    site.old = ["googlebot"]
    site.total["regretted"] += 2
    site.live(60)
    assert site.said == [("alarm", "ranges_old")]
    site.total["regretted"] += 1
    site.live(60)
    assert site.said[1:] == [("alarm", "people_refused")]
    site.old = []
    site.live(2 * HOUR)
    assert sorted(site.said[2:]) == [("alarm over", "people_refused"), ("alarm over", "ranges_old")]


def test_people_are_told_of_where_they_are_more_than_usual(site: Site) -> None:
    """Three driven browsers an hour rang for ever, and nobody looked any more; a model that refuses people still rings."""
    rung = 0
    for _ in range(72):
        for _ in range(3):
            site.live(HOUR / 3, per_second=0.1)
            site.total["regretted"] += 1
        rung = len([each for each in site.said if each == ("alarm", "people_refused")])
    assert rung == 1  # as long as nothing was known of the site
    assert site.said[-1] == ("alarm over", "people_refused")
    site.total["regretted"] += 12
    site.live(60)
    assert site.said[-1] == ("alarm", "people_refused")


def test_chances_are_those_of_the_binomial_distribution() -> None:
    """Summed exactly, with whole numbers."""
    for now, before, parts in ((3, 0, 25), (3, 3, 25), (12, 72, 25), (40, 72, 25), (3, 200, 25), (0, 0, 25)):
        n = now + before
        exact = sum(math.comb(n, k) * (parts - 1) ** (n - k) for k in range(now, n + 1)) / parts**n
        assert chance_of_more(now, before, 1 / parts) == pytest.approx(exact if now > n / parts else 1.0)
    assert chance_of_more(10**6, 10**6, 1 / 25) < 1e-300


def test_what_comes_and_goes_is_said_once(site: Site) -> None:
    for turn in range(100):
        site.old = ["googlebot"] * (turn % 2)
        site.live(LOOK_SECONDS)
    assert site.said == []
    site.old = ["googlebot"]
    site.live(60)
    for turn in range(100):
        site.old = ["googlebot"] * (turn % 2)
        site.live(LOOK_SECONDS)
    assert site.said == [("alarm", "ranges_old")]


def test_lists_are_old_by_their_dates(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the date of those that come with xbot."""
    served = Served.load(config.load(None, Overrides(model=model_path)), 1)
    for days, old in ((179, False), (180, True)):
        monkeypatch.setattr("sidecar.verify.ranges.Copy.age", lambda self, days=days: days)
        monkeypatch.setattr("sidecar.config.search_engines.age", lambda days=days: days)
        bound, names = served.old_lists()
        assert bound == 180
        assert ({"googlebot", "search-engines"} <= set(names)) == bool(names) == old
    served.close()


@pytest.mark.parametrize(
    "said", [None, "x", [1] * 5, [0] * 32, [1] * 31 + [-1], [1.5] * 32, [True] * 32, [1 << 60] * 32]
)
def test_what_a_file_says_of_its_margins_is_checked(said: object, tmp_path: Path) -> None:
    path = tmp_path / "a.xbot"
    for provenance, want in (({"margins": said}, None), ({"margins": [1] * 32}, (1,) * 32)):
        path.write_bytes(models.image(provenance=provenance))
        served = Served.load(config.load(None, Overrides(model=path)), 1)
        assert served.margins == want
        served.close()


def test_training_counts_margins_as_workers_do() -> None:
    """tests/c/board/test_board.c has the same margins."""
    assert spread(np.array([0.0, -0.1, 1e300, -1e300])) == [1, *[0] * 14, 1, 1, *[0] * 14, 1]


def test_it_is_told_in_status_log_and_metrics(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "xbot.toml").write_text(STRICT)
    more = ["--config", tmp_path / "xbot.toml", "--admin", "127.0.0.1:0", "--control", tmp_path / "c"]
    with Sidecar(model_path, *more, workers=1) as sidecar:
        assert sidecar.counted("xbot_alarm", alarm="people_refused") == 0
        assert {f'xbot_alarm{{alarm="{name}"}}' for name in alarms.NAMES} <= sidecar.metrics().keys()
        assert "looks like" not in run_xbot("status", "--control", tmp_path / "c").stdout.decode()
        visit(sidecar, "203.0.113.1", "/", "/b", "/strict")
        wait_until(lambda: "looks like" in run_xbot("status", "--control", tmp_path / "c").stdout.decode(), "a doubt")
        told = run_xbot("status", "--control", tmp_path / "c").stdout.decode()
        (line,) = [line for line in told.splitlines() if line.startswith("looks like a person: ")]
        assert ", refused " in line
        assert "203.0.113.1" not in told
