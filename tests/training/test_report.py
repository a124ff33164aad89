"""The page of `xbot report`: it stands alone, it is well-formed, its figures are right, and it shows no one's HTML."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="the report needs: pip install 'xbot[report]'")
pytest.importorskip("jinja2", reason="the report needs: pip install 'xbot[report]'")
pytest.importorskip("html5lib", reason="reading the page needs html5lib (dependency group test)")

import numpy as np
from report_page import HOSTILE_AGENT, HOSTILE_PATH, HOSTILE_REASON, Page, counted, made_log, texts
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from sidecar import core
from training.report import lists, measures, plots

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


# So many humans may be refused that some are: otherwise half of the figures would be 0 here.
FIT = ("--format", "combined", "--max-fpr", "0.03")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a log, its labels, and what was made of them."""
    place = tmp_path_factory.mktemp("report")
    log, labels = made_log()
    (place / "access.log").write_text("\n".join(log) + "\n")
    (place / "labels.tsv").write_text("\n".join(labels) + "\n")
    return place


@pytest.fixture(scope="module")
def trained(place: Path, xbot: Callable[..., Any]) -> Page:
    """The page of `xbot train --report`."""
    made = (*FIT, "--quiet", "--labels", place / "labels.tsv", "--report", place / "fit")
    xbot("train", *made, "--out", place / "site.xbot", place / "access.log")
    return Page(place / "fit" / "report.html")


@pytest.fixture(scope="module")
def reported(place: Path, xbot: Callable[..., Any]) -> Page:
    """The page of `xbot report`, with the rules' coverage."""
    out, rules = place / "report.html", place / "rules.json"
    xbot("label", "--quiet", "--format", "combined", "--json", rules, "--out", place / "weak.tsv", place / "access.log")
    options = (*FIT, "--labels", place / "labels.tsv", "--rules-json", rules)
    done = xbot("report", *options, "--out", out, place / "access.log")
    assert done.stdout.decode() == f"wrote {out}\n"
    return Page(out)


@pytest.fixture(scope="module")
def judged(place: Path, trained: Page, xbot: Callable[..., Any]) -> Page:
    """The page of `xbot report --judge` on another log of the site, in two files, one of them gzip."""
    log, labels = made_log(900, seed=7)
    (place / "one.log").write_text("\n".join(log[:400]) + "\n")
    (place / "two<b>.log.gz").write_bytes(gzip.compress(("\n".join(log[400:]) + "\n").encode()))
    (place / "other.tsv").write_text("\n".join(labels) + "\n")
    options = ("--judge", place / "site.xbot", "--format", "combined", "--labels", place / "other.tsv")
    xbot("report", "--quiet", *options, "--out", place / "judged.html", place / "one.log", place / "two<b>.log.gz")
    return Page(place / "judged.html")


@pytest.fixture(scope="module")
def scored(place: Path, judged: Page, xbot: Callable[..., Any]) -> list[dict[str, Any]]:
    """What `xbot score` says of that log, with label, reason and agent: an independent source of all figures."""
    log, labels = made_log(900, seed=7)
    (place / "whole.log").write_text("\n".join(log) + "\n")  # what clients did in one file counts in the next
    done = xbot("score", "--json", "--model", place / "site.xbot", "--format", "combined", place / "whole.log")
    rows: list[dict[str, Any]] = list(map(json.loads, done.stdout.splitlines()))
    header = json.loads(xbot("inspect", "--json", place / "site.xbot").stdout)["header"]
    for row, line, label in zip(rows, log, labels[1:], strict=True):
        row["score"] = 1 / (1 + math.exp(header["a"] * row["margin"] + header["b"]))  # all digits of it
        row["label"], row["reason_of_label"] = label.split("\t")[1:]
        row["agent"] = line.split('"')[5].replace(r"\x22", '"')
    return [row for row in rows if row["label"] != "unknown"]


# ---- it stands alone ----


@pytest.fixture(scope="module", params=["trained", "reported", "judged"])
def page(request: pytest.FixtureRequest) -> Page:
    """Each of the pages."""
    found: Page = request.getfixturevalue(request.param)
    return found


def _addresses(page: Page) -> Iterator[str]:
    for element in page.root.iter():
        for name, value in element.attrib.items():
            name = name[1] if isinstance(name, tuple) else name
            if name in ("src", "href", "xlink:href", "srcset", "data", "poster", "action", "formaction", "background"):
                yield value
            yield from re.findall(r"url\(([^)]*)\)", value)
    for style in page.all("style"):
        yield from re.findall(r"url\(([^)]*)\)", style.text or "")
        assert "@import" not in (style.text or "")
        assert "@font-face" not in (style.text or "")


def test_the_page_loads_nothing(page: Page):
    addresses = list(_addresses(page))
    assert len(addresses) > 20  # the contents, the drawings' own parts
    assert [address for address in addresses if not address.startswith("#")] == []
    assert not {"link", "img", "iframe", "object", "embed", "base", "audio", "video"} & {
        e.tag for e in page.root.iter()
    }


def test_what_the_page_points_at_is_there_once(page: Page):
    ids = Counter(element.get("id") for element in page.root.iter() if element.get("id"))
    assert [name for name, times in ids.items() if times > 1] == []
    assert {address[1:] for address in _addresses(page)} <= set(ids)


def test_only_the_pages_own_script_may_run(page: Page):
    data, script = page.all("script")
    assert (data.get("type"), script.attrib) == ("application/json", {})
    said = next(meta.get("content") for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in said
    assert said.startswith("default-src 'none';")


def test_a_hostile_visitor_is_only_text(page: Page):
    agents = [texts(e) for e in page.all("span") if e.get("class") == "agent"]
    assert HOSTILE_AGENT.replace(r"\x22", '"') in agents
    paths = [texts(e) for e in page.all("span") if e.get("class") == "uri"]
    assert f"GET {HOSTILE_PATH}" in paths
    assert HOSTILE_REASON in [texts(row[0]) for row in page.table("reasons", "Bots caught")]
    handlers = [name for element in page.root.iter() for name in element.attrib if str(name).startswith("on")]
    assert handlers == []
    assert {"b", "iframe", "img"} & {element.tag for element in page.root.iter()} == set()


def test_what_counted_is_said_in_sentences(page: Page):
    """And of an address only that it counted."""
    found = [texts(e) for e in page.all("div") if (e.get("class") or "").startswith("part ")]
    assert found
    group = {row.name: row.group for row in (*core.FEATURES, *core.FAMILIES)}
    for each in found:
        said = re.fullmatch(r"[+\-−]\S+ (?:(.+) \((\w+)\)|(\w+))", each)
        assert said, each
        assert group[said[2] or said[3]] == "ip" if said[3] else group[said[2]] != "ip"


def test_the_same_input_gives_the_same_page(place: Path, trained: Page, judged: Page, xbot: Callable[..., Any]):
    options = ("--judge", place / "site.xbot", "--format", "combined", "--labels", place / "other.tsv")
    xbot("report", "--quiet", *options, "--out", place / "again.html", place / "one.log", place / "two<b>.log.gz")
    assert (place / "again.html").read_bytes() == (place / "judged.html").read_bytes()


def test_the_page_is_small(page: Page):
    assert len(page.text.encode()) < 3_000_000


# ---- its figures ----


def test_a_fitted_page_says_what_the_model_file_says(place: Path, trained: Page, xbot: Callable[..., Any]):
    """Out-of-fold figures: those that training keeps in the model, and the two ways to the page agree."""
    about = json.loads(xbot("inspect", "--json", place / "site.xbot").stdout)
    held_out = about["provenance"]["held_out"]
    assert 0.5 < held_out["recall"] < 1  # the made log is neither hopeless nor perfect
    confusion = [[int(texts(c).replace(",", "")) for c in row[1:]] for row in trained.table("at", "Confusion")]
    assert confusion == [
        [held_out["true_bots"], held_out["missed_bots"]],
        [held_out["false_bots"], held_out["true_humans"]],
    ]
    assert trained.cards()["ROC AUC"] == f"{held_out['roc_auc']:.4f}"
    assert trained.cards()["bots caught"] == plots.share_text(held_out["recall"])


def test_report_and_train_report_agree(trained: Page, reported: Page):
    assert trained.cards() == reported.cards()
    assert trained.chooser == reported.chooser


def test_figures_of_a_judged_log(judged: Page, scored: list[dict[str, Any]]):
    """Against the verdicts that `xbot score` prints for the same lines, by scikit-learn and by counting."""
    y = np.array([row["label"] == "bot" for row in scored])
    called = np.array([row["verdict"] == "bot" for row in scored])
    margin, score = (np.array([row[name] for row in scored]) for name in ("margin", "score"))
    confusion = [[int(texts(c).replace(",", "")) for c in row[1:]] for row in judged.table("at", "Confusion")]
    assert confusion == [[(y & called).sum(), (y & ~called).sum()], [(~y & called).sum(), (~y & ~called).sum()]]
    assert judged.cards()["ROC AUC"] == f"{roc_auc_score(y, margin):.4f}"
    assert f"average precision {average_precision_score(y, margin):.4f}" in texts(judged.section("curves"))
    assert f"is {brier_score_loss(y, score):.4f};" in texts(judged.section("scores"))
    bins = [(int(texts(row[1]).replace(",", "")), counted(row[2])[0]) for row in judged.table("scores", "mean score")]
    place = np.minimum((score * 10).astype(int), 9)
    assert bins == [((place == i).sum(), y[place == i].sum()) for i in range(10) if (place == i).any()]


def test_the_lists_are_judged_on_the_same_rows(judged: Page, scored: list[dict[str, Any]]):
    crawlers = pytest.importorskip("crawleruseragents", reason="needs crawler-user-agents (extra corpus)")
    one_line = re.compile("bot|crawl|spider|curl|wget|python|java|http", re.IGNORECASE)
    verdicts = {
        "this model": lambda row: row["verdict"] == "bot",
        "crawler-user-agents": lambda row: crawlers.is_crawler(row["agent"]),
        "one line": lambda row: one_line.search(row["agent"]) is not None,
    }
    rows = judged.table("at", "Beside two lists")
    assert [row[0].text.strip() for row in rows] == list(verdicts)
    for row, is_bot in zip(rows, verdicts.values(), strict=True):
        for cell, label in ((row[1], "bot"), (row[2], "human")):
            of_class = [is_bot(one) for one in scored if one["label"] == label]
            assert counted(cell) == (sum(of_class), len(of_class))
    for label, caption in (("bot", "Bots caught"), ("human", "Humans refused")):
        shown = {texts(row[0]): [counted(cell) for cell in row[2:5]] for row in judged.table("reasons", caption)}
        expected = {}
        for reason in {one["reason_of_label"] for one in scored if one["label"] == label}:
            found = [one for one in scored if (one["label"], one["reason_of_label"]) == (label, reason)]
            expected[reason] = [(sum(map(is_bot, found)), len(found)) for is_bot in verdicts.values()]
        assert shown == expected


def test_each_threshold_is_the_best_of_its_kind(judged: Page, scored: list[dict[str, Any]]):
    """Tried one by one: with no more humans refused, no threshold catches more bots."""
    bots = sorted(row["margin"] for row in scored if row["label"] == "bot")
    humans = sorted(row["margin"] for row in scored if row["label"] == "human")
    every = sorted({*bots, *humans})
    outcomes = [(sum(b >= at for b in bots), sum(h >= at for h in humans)) for at in every] + [(0, 0)]
    rows = [(counted(row[1])[0], counted(row[2])[0]) for row in judged.table("choose", "threshold")]
    assert len(rows) >= 3
    mine = (sum(r["verdict"] == "bot" for r in scored if r["label"] == "bot"),
            sum(r["verdict"] == "bot" for r in scored if r["label"] == "human"))  # fmt: skip
    assert mine in rows
    for caught, refused in rows:
        if (caught, refused) != mine:  # that one was chosen on other rows
            assert caught == max(c for c, r in outcomes if r <= refused)
    points = [(caught, refused) for _, caught, refused, *_ in judged.chooser["points"]]
    assert points == sorted(points)
    assert set(points) <= set(outcomes)
    assert (points[0], points[-1]) == ((0, 0), (len(bots), len(humans)))
    assert points[judged.chooser["at"]] == mine


def test_the_cost_is_at_the_logs_rate(judged: Page, scored: list[dict[str, Any]]):
    times = [re.search(r"\[(\d\d)/Mar/2024:(\d\d):(\d\d)", line) for line in made_log(900, seed=7)[0]]
    minutes = [(int(found[1]) * 24 + int(found[2])) * 60 + int(found[3]) for found in times]
    a_day = 900 / ((max(minutes) - min(minutes)) / 1440)
    humans = [row for row in scored if row["label"] == "human"]
    refused = a_day * len(humans) / len(scored) * sum(row["verdict"] == "bot" for row in humans) / len(humans)
    assert refused > 0
    assert judged.cards()["humans refused a day"] == (f"{refused:,.0f}" if refused >= 10 else f"{refused:.2g}")
    assert judged.chooser["rate"] == pytest.approx(a_day)


def test_separation_of_each_feature(judged: Page, scored: list[dict[str, Any]]):
    shown = {texts(row[0]): [texts(cell) for cell in row] for row in judged.table("separation", "feature")}
    y = np.array([row["label"] == "bot" for row in scored])
    digits = np.array([sum(c.isdigit() for c in row["agent"]) for row in scored])
    assert shown["ua_digits"][2:5] == [
        f"{roc_auc_score(y, digits):.3f}", f"{digits[y].mean():.3g}", f"{digits[~y].mean():.3g}",
    ]  # fmt: skip
    assert "ip_1" not in shown  # addresses are not learnt, so they are no feature
    auc = [round(abs(float(cells[2]) - 0.5), 6) for cells in shown.values()]
    assert auc == sorted(auc, reverse=True)


def test_mistakes_are_the_worst_and_the_commands_show_them(
    place: Path, judged: Page, scored: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    found = list(judged.section("mistakes").iter("details"))
    worst_human = max(row["score"] for row in scored if row["label"] == "human")
    assert texts(next(e for e in found[0].iter("span") if e.get("class") == "score")) == plots.score_text(worst_human)
    kinds = set()
    for details in found[:6] + found[-6:]:
        command = texts(next(details.iter("code")))
        done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
        agent = texts(next(e for e in details.iter("span") if e.get("class") == "agent"))
        assert agent[:60] in done.stdout.decode().replace("\n", "")
        kinds.add(command.split()[0])
    assert kinds == {"xbot"}  # with what the client did before


def test_strongest_features_are_the_models(place: Path, judged: Page, xbot: Callable[..., Any]):
    shown = {texts(row[0]): texts(row[2]).replace("−", "-") for row in judged.table("weights", "feature")}
    said = xbot("inspect", "--weights", "400", place / "site.xbot").stdout.decode()
    weights = dict(re.findall(r"^([+-][\d.]+)\s+│\s+(\S+)", said, re.M))
    by_name = {name: weight for weight, name in weights.items()}
    compared = [name for name in shown if name in by_name]
    assert len(compared) >= 10
    for name in compared:
        assert float(shown[name]) == pytest.approx(float(by_name[name]), abs=6e-4)


def test_rules_are_those_of_the_labelling(place: Path, reported: Page, judged: Page):
    said = json.loads((place / "rules.json").read_text())
    shown = {texts(row[0]): row for row in reported.table("rules", "rule")}
    awake = [rule for rule in said["rules"] if rule["on"] and not rule["idle"]]
    assert set(shown) == {rule["name"] for rule in awake}
    assert any(rule["lines"] for rule in awake)
    for rule in awake:
        assert counted(shown[rule["name"]][3]) == (rule["lines"], said["lines"])
        assert int(texts(shown[rule["name"]][6]).replace(",", "")) == rule["decided"]
    assert "rules" not in [section.get("id") for section in judged.all("section")]


def test_comparisons_are_made_where_something_is_fitted(reported: Page, judged: Page):
    assert "comparisons" not in [section.get("id") for section in judged.all("section")]
    machines = [texts(row[0]) for row in reported.table("comparisons", "machine")]
    assert machines == ["linear SVM", "logistic regression", "naive Bayes", "SVM, RBF kernel"]
    splits = {texts(row[0]): float(texts(row[2])) for row in reported.table("comparisons", "held out")}
    assert splits["by client"] == float(reported.cards()["ROC AUC"])
    assert "by row" in splits
    groups = {texts(row[0]): float(texts(row[1])) for row in reported.table("comparisons", "what it reads")}
    # Fewer rows than the sample: it is all of them, so this is the page's own machine on the page's own folds.
    assert groups["everything"] == float(reported.cards()["ROC AUC"])
    assert {"without ua", "only ua", "without url", "only url"} < set(groups)


def test_a_model_on_its_own_log_and_a_rate_that_is_given(place: Path, trained: Page, xbot: Callable[..., Any]):
    options = ("--judge", place / "site.xbot", "--format", "combined", "--labels", place / "labels.tsv")
    xbot("report", "--quiet", *options, "--requests-per-day", "5e6", "--out", place / "own.html", place / "access.log")
    page, warning = Page(place / "own.html"), "The model was fitted on this very log."
    assert warning in texts(page.root.find("body"))
    assert warning not in texts(trained.root.find("body"))
    assert page.chooser["rate"] == 5e6
    assert "at 5,000,000 requests a day" in texts(page.root.find("body"))


def test_a_missing_list_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lists, "find_spec", lambda name: None)
    package, one_line = lists.agent_lists()
    assert package.missing == "not measured: pip install crawler-user-agents"
    assert package.is_bot is None
    assert one_line.is_bot is not None
    assert one_line.is_bot("Wget/1.21")
    assert not one_line.is_bot("Mozilla/5.0 (Windows NT 10.0)")


# ---- the arithmetic behind ----


@pytest.mark.parametrize(
    ("seconds", "most", "width", "text"),
    [(540, 120, 5, "5 seconds"), (540, 7, 120, "2 minutes"), (90_000, 120, 900, "15 minutes"), (90_000, 7, 21_600, "6 hours"),
     (3, 120, 1, "a second"), (7200, 120, 60, "a minute"), (400_000, 120, 3600, "an hour"), (8e6, 120, 86_400, "a day"),
     (1e9, 7, 12 * 365 * 86_400 + 6 * 86_400 + 73_440, "")],
)  # fmt: skip
def test_steps_of_time_are_those_that_people_count_in(seconds: float, most: int, width: int, text: str):
    found, said = plots.span(seconds, most)
    assert (found, said) == (width, text) if text else found * most >= seconds
    assert found % 86_400 == 0 or 86_400 % found == 0


@pytest.mark.parametrize(
    "times", [(0, core.MAX_TIME), (core.MAX_TIME - 5, core.MAX_TIME), (core.MAX_TIME - 10**6, core.MAX_TIME)]
)
def test_the_timeline_ends_with_the_last_year_there_is(times: tuple[int, int]) -> None:
    """A tick behind a request of the year 9999, which a clock that was never set gives, ended the report with a traceback."""
    time = np.array([*times, 1773299700 if times[0] == 0 else times[0]])
    assert plots.timeline(time, np.array([True, False, True])) is not None


def test_the_axis_of_time_names_its_steps_and_round_ticks():
    """A log of nine minutes once had ticks such as 10:06:17, a date at each, and no word of how long a step is."""
    time = 1_431_857_100.0 + np.arange(540)
    drawing = str(plots.timeline(time, np.arange(540) % 2 == 0))
    assert all(
        f">{word}<" in drawing
        for word in ("10:06", "10:08", "10:12", "requests in 5 seconds", "time, UTC, from 17 May 2015 on")
    )
    drawing = str(plots.timeline(time + 170 * np.arange(540), np.arange(540) % 2 == 0))
    assert all(f">{word}<" in drawing for word in ("12:00", "18 May", "06:00", "requests in 15 minutes"))


@pytest.mark.parametrize(
    ("seconds", "text"), [(9, "9 seconds"), (531, "9 minutes"), (7200, "2.0 hours"), (864_000, "10.0 days")]
)
def test_how_long_a_log_is(seconds: float, text: str):
    assert measures.length_text(seconds) == text


def test_cuts_are_all_thresholds_there_are():
    rng = np.random.default_rng(3)
    for _ in range(200):
        n = int(rng.integers(2, 30))
        odds, bot = rng.integers(-4, 5, n).astype(float), rng.random(n) < 0.5
        if bot.all() or not bot.any():
            continue
        cuts = measures.cuts(odds, bot)
        tried = {(int((bot & (odds >= at)).sum()), int((~bot & (odds >= at)).sum())) for at in [*odds, 99.0]}
        assert set(zip(cuts.caught.tolist(), cuts.refused.tolist(), strict=True)) == tried
        for at, caught, refused in zip(cuts.log_odds, cuts.caught, cuts.refused, strict=True):
            assert ((bot & (odds >= at)).sum(), (~bot & (odds >= at)).sum()) == (caught, refused)
        thin = measures.thinned(cuts, most=8)
        assert {0, len(cuts.log_odds) - 1} <= set(thin.tolist())


@pytest.mark.parametrize(("part", "whole"), [(0, 5), (5, 5), (3, 17), (0, 1125), (54, 1125)])
def test_intervals_are_exact(part: int, whole: int):
    other = binomtest(part, whole).proportion_ci(method="exact")
    assert measures.interval(part, whole) == pytest.approx((other.low, other.high))


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0%"), (1, "100%"), (0.12345, "12%"), (0.0123, "1.2%"), (0.00331, "0.33%"), (0.99941, "99.94%"), (0.5, "50%")],
)
def test_shares_have_the_digits_they_need(share: float, text: str):
    assert plots.share_text(share) == text


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (0.5, "0.5"),
        (0.8177, "0.8177"),
        (0.9999944, "0.9999944"),
        (1 - 2e-9, "1 − 2×10⁻⁹"),
        (3e-12, "3×10⁻¹²"),
        (1.0, "1"),
    ],
)
def test_scores_are_told_from_0_and_1(score: float, text: str):
    assert plots.score_text(score) == text


# ---- in a browser ----


def browse(page: Path) -> tuple[str, list[str]]:
    """(the document after its scripts ran, what went to the console), in Chromium without a network."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    profile = page.parent / f"{page.stem}.profile"
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--v=0", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=90, check=True)
    shutil.rmtree(profile, ignore_errors=True)
    console = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if ":CONSOLE" in line]
    return done.stdout.decode(), console


def test_an_error_on_the_console_would_be_seen(tmp_path: Path):
    (tmp_path / "bad.html").write_text("<!DOCTYPE html><title>x</title><script>there.is.none</script>")
    _, console = browse(tmp_path / "bad.html")
    assert "ReferenceError" in " ".join(console)


@pytest.mark.parametrize("name", ["fit/report.html", "report.html", "judged.html"])
def test_chromium_has_nothing_to_say(place: Path, name: str, trained: Page, reported: Page, judged: Page):
    document, console = browse(place / name)
    assert console == []
    assert '<form id="chooser" class="chooser">' in document  # no longer hidden: the script ran
    assert "<title>xbot report" in document  # no visitor changed it
    assert document.count('class="marker"') == 3


def test_the_chooser_moves(place: Path, judged: Page):
    """The slider is moved to each end and to the model's place; the page's own policy forbids the test's script, so the
    copy goes without."""
    points, at = judged.chooser["points"], judged.chooser["at"]
    script = """<script>
      const slider = document.getElementById("slider");
      const names = ["score", "caught", "refused", "precision", "day", "option"];
      const said = [];
      for (const value of PLACES) {
        slider.value = value;
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        said.push(names.map((name) => document.getElementById(`chosen-${name}`).value));
      }
      document.title = JSON.stringify(said);
    </script></body>""".replace("PLACES", json.dumps([0, at, len(points) - 1]))
    open_page = re.sub(r"<meta http-equiv[^>]*>", "", judged.text).replace("</body>", script)
    (place / "moved.html").write_text(open_page)
    document, console = browse(place / "moved.html")
    assert console == []
    said = json.loads(re.search(r"<title>(.*?)</title>", document)[1])
    bots, humans = judged.chooser["bots"], judged.chooser["humans"]
    score, caught, refused, *_ = points[at]
    assert said[0][1:5] == ["0%", "0%", "–", "none"]
    assert said[0][5] == "--max-fpr 0"
    assert said[1][:3] == [score, plots.share_text(caught / bots), plots.share_text(refused / humans)]
    assert said[1][3] == plots.share_text(caught / (caught + refused))
    assert int(float(said[1][5].split()[1]) * humans) == refused
    assert said[2][1:4] == ["100%", "100%", plots.share_text(bots / (bots + humans))]


def test_a_table_sorts(place: Path, judged: Page):
    script = """<script>
      const table = document.querySelector("#separation table");
      table.tHead.rows[0].cells[0].click();
      document.title = [...table.tBodies[0].rows].map((row) => row.cells[0].textContent).join(" ");
    </script></body>"""
    (place / "sorted.html").write_text(re.sub(r"<meta http-equiv[^>]*>", "", judged.text).replace("</body>", script))
    document, _ = browse(place / "sorted.html")
    names = re.search(r"<title>(.*?)</title>", document)[1].split()
    assert len(names) > 10
    assert names == sorted(names, reverse=True)


# ---- what cannot be done is said ----


@pytest.mark.parametrize("judge", [True, False])
@pytest.mark.parametrize(("kept", "said"), [("bot", "only bots, no humans"), ("human", "no bots")])
def test_one_class_is_not_enough(
    place: Path, trained: Page, xbot: Callable[..., Any], judge: bool, kept: str, said: str
):
    lines = (place / "labels.tsv").read_text().splitlines()
    (place / "one.tsv").write_text("\n".join(line for line in lines if f"\t{kept}\t" in line) + "\n")
    options = ("--format", "combined", "--labels", place / "one.tsv", "--out", place / "none.html")
    extra = ("--judge", place / "site.xbot") if judge else ()
    done = xbot("report", *extra, *options, place / "access.log", code=2)
    assert re.fullmatch(
        rf"xbot: (a report|training) needs both classes: {said} in the log", done.stderr.decode().splitlines()[-1]
    )
    assert not (place / "none.html").exists()


@pytest.mark.parametrize(
    ("options", "log", "said"),
    [
        ((), "-", "the log is read twice, so it must be a file, not standard input (-)"),
        ((), "{place}/access.log", "training needs both classes: no labelled rows in the log"),
        ((), "{place}/none.log", "{place}/none.log: No such file or directory"),
        (
            ("--rules-json", "{place}/labels.tsv"),
            "{place}/access.log",
            "labels.tsv: not a file of xbot label --json: ",
        ),
        (("--rules-json", "{place}/none.json"), "{place}/access.log", "{place}/none.json: No such file or directory"),
        (("--judge", "{place}/labels.tsv"), "{place}/access.log", "xbot: {place}/labels.tsv: "),
        (("--requests-per-day", "0"), "{place}/access.log", "'--requests-per-day'"),
    ],
)
def test_errors_are_one_line(place: Path, xbot: Callable[..., Any], options: tuple[str, ...], log: str, said: str):
    given = [option.format(place=place) for option in (*options, log)]
    done = xbot("report", "--format", "combined", "--out", place / "x.html", *given, code=2)
    assert said.format(place=place) in done.stderr.decode()
    assert sum(" are earlier than " not in line for line in done.stderr.decode().splitlines()) == 1
    assert not (place / "x.html").exists()


def test_a_directory_that_is_not_there_is_named(place: Path, xbot: Callable[..., Any]):
    options = ("--format", "combined", "--labels", place / "labels.tsv", "--out", place / "no" / "x.html")
    done = xbot("report", *options, place / "access.log", code=2)
    assert done.stderr.decode() == f"xbot: {place}/no/x.html: no such directory: {place}/no\n"


def test_train_with_a_report_refuses_standard_input_before_it_fits(place: Path, xbot: Callable[..., Any]):
    options = ("--report", place / "in", "--format", "combined", "--labels", place / "labels.tsv")
    done = xbot("train", *options, "--out", place / "in.xbot", "-", stdin=(place / "access.log").read_bytes(), code=2)
    assert "train --report: the log is read twice" in done.stderr.decode()
    assert not (place / "in.xbot").exists()


@pytest.mark.parametrize(("minutes", "told"), [(9, True), (9 * 1440, False)])
def test_a_short_log_is_told(
    tmp_path: Path, trained: Page, place: Path, xbot: Callable[..., Any], minutes: int, told: bool
):
    """The visitors of nine minutes are not those of a week; it was 0.0 days long, and nothing was said of it."""
    rows = [(0, "human", "Mozilla/5.0"), (60 * minutes, "bot", "curl/8")]
    lines = [
        {"time": 1_700_000_000 + at, "uri": "/", "label": label, "headers": {"User-Agent": agent}}
        for at, label, agent in rows
    ]
    (tmp_path / "two.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = ("--judge", place / "site.xbot", "--format", "jsonl", "--out", tmp_path / "two.html")
    xbot("report", "--quiet", *options, tmp_path / "two.jsonl")
    page = Page(tmp_path / "two.html")
    assert ("The log covers 9 minutes." in texts(page.root)) is told
    assert ("UTC, 9 minutes." in texts(page.section("rows"))) is told


def test_few_rows_one_client_and_no_times(tmp_path: Path, trained: Page, place: Path, xbot: Callable[..., Any]):
    """The least that a report can be made of: two rows of one address, in a format that tells no time."""
    (tmp_path / "two.jsonl").write_text(
        '{"ip": "192.0.2.1", "uri": "/", "label": "human", "headers": {"User-Agent": "Mozilla/5.0"}}\n'
        '{"ip": "192.0.2.1", "uri": "/", "label": "bot", "headers": {"User-Agent": "curl/8"}}\n'
    )
    options = ("--judge", place / "site.xbot", "--format", "jsonl", "--out", tmp_path / "two.html")
    xbot("report", "--quiet", *options, tmp_path / "two.jsonl")
    page = Page(tmp_path / "two.html")
    assert page.cards()["humans refused a day"] == "–"
    assert "The log tells no times" in texts(page.section("rows"))
    assert "The labels give no reasons." in texts(page.section("reasons"))


# ---- real traffic ----


@pytest.mark.long
def test_a_real_log(data_dir: Path, tmp_path: Path, xbot: Callable[..., Any]):
    logs = data_dir / "logs"
    options = ("--format", "combined", "--labels", logs / "almhuette.weak_labels.tsv", "--out", tmp_path / "real.html")
    xbot("report", "--quiet", *options, logs / "almhuette_10k.log")
    page = Page(tmp_path / "real.html")
    assert len(page.text.encode()) < 3_000_000
    bots = [counted(row[2])[1] for row in page.table("reasons", "Bots caught")]
    assert sum(bots) == 7528  # each row of these labels has one reason
    assert "One client sent 7" in texts(page.root.find("body"))  # the brute force
    splits = {texts(row[0]): float(texts(row[2])) for row in page.table("comparisons", "held out")}
    assert splits["by row"] > splits["by client"]  # holding out rows flatters
