"""bench/lives.py and bench/whole.py: each life stands on one side, the short ones are lived, and a program beside them is still seen."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys

import pytest
from nginx_harness import nginx_binary, without_module
from places import ROOT

sys.path.insert(0, str(ROOT / "bench"))

pytest.importorskip("numpy", reason="needs the extra `train`")
pytest.importorskip("apify_fingerprint_datapoints", reason="needs the extra `corpus`")
pytest.importorskip("crawleruseragents", reason="needs the extra `corpus`")
pytest.importorskip("fake_useragent", reason="needs the extra `corpus`")

import lives

from sidecar import model
from training.corpus.sessions import programs
from training.corpus.sessions.clients import Client, Crowd

DEFAULT = ROOT / "sidecar" / "default.xbot"
# Quick ones of each kind: unseen, from elsewhere, in a burst, by errors.
SHORT = ("post_polls_unseen", "posts_from_elsewhere", "all_in_tabs", "reload_of_errors")
# Some of their requests are refused (docs/lives.md).
OPEN = ("tabs_restored", "regulars", "regulars_after_restart")


def test_each_life_is_on_one_side() -> None:
    assert sorted(lives.split()) == sorted(lives.LIVES)
    assert set(lives.split().values()) == {"looked", "kept"}


def test_a_life_is_the_same_each_time_and_in_order() -> None:
    once, again = list(lives.lived("comparer", 0)), list(lives.lived("comparer", 0))
    assert once == again
    assert [each["time"] for each in once] == sorted(each["time"] for each in once)
    assert {each["client"] for each in once} == {"0"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in SHORT else pytest.mark.long) for name in lives.LIVES if name not in OPEN],
)
def test_nobody_is_refused(name: str) -> None:
    told = lives.live(name, 0, model.load(DEFAULT), cold=False)
    why = [text for each in told for text in each.why]
    assert told
    assert not why, f"{name}: {why[:3]}"


def test_programs_beside_them_are_refused() -> None:
    """A browser's exact heads, page after page without a part, at the same site and among the same people; so the table was asked."""
    rng, site, loaded, found = random.Random(4), lives.site(0), model.load(DEFAULT), []
    for _ in range(8):
        look, asks = next(programs.impersonator(site, Crowd(site, rng), rng))
        later = lives.START + lives.BEFORE - asks[0].time
        asks = [ask._replace(time=ask.time + later, cookie=False, referrer="") for ask in asks]
        records = [
            {**each, "client": "program"} for each in Client("program", "bot", look, asks).records(rng, told=True)
        ]
        log = sorted([*records, *map(dict, lives.around(0))], key=lambda each: float(each["time"]))
        found += lives.judged(log, loaded).values()
    long = [told for told in found if len(told.refused) > 20 and not any(told.alone)]
    assert len(long) > 1
    assert all(any(told.refused) for told in long)


def test_what_is_refused_is_counted_by_the_request() -> None:
    told = [lives.Told([False] * 5 + [True] + [False] * 4, [False] * 10), lives.Told([False] * 10, [False] * 10)]
    assert lives.row("it", "looked", told) == [
        "it", "looked", "2", "20", "0.0%", "50.0%", "50.0%", "50.0%", "5.00%", "0.0%",
    ]  # fmt: skip


@pytest.mark.long
@pytest.mark.servers
@pytest.mark.skipif(nginx_binary() is None or bool(without_module()), reason=without_module() or "no nginx")
def test_no_real_browser_is_refused_on_the_whole_path() -> None:
    """nginx with the module, a sidecar, the mode enforce; what people do in some seconds, or some hours that are skipped."""
    pytest.importorskip("trustme")
    for program in ("chromium", "xvfb-run", "certutil"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    names = ("first_links", "post_polls_unseen", "posts_from_elsewhere", "comparer", "reload_of_errors", "signage")
    words = [word for name in names for word in ("--life", name)]
    done = subprocess.run(
        ["xvfb-run", "-a", sys.executable, ROOT / "bench" / "whole.py", "--browser", "chromium", *words],
        capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ended badly" not in done.stderr
    assert all(name in done.stdout for name in names)
