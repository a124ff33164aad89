"""The corpus that the demo trains on: the same for a seed, read by the project's own reader, and no trait of its
sources (address, HTTP version, age of the agents, what a package happens to record) tells the classes apart."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from places import ROOT
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from sidecar import core
from sidecar.errors import XbotError
from sidecar.sources import records
from training.corpus import agents, browsers, generate, hints, published, robots, site, spoken
from training.corpus.browsers import Habits, parse
from training.corpus.site import KINDS, Visit, Want
from training.corpus.tables import fill, rows

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, published.PACKAGES)), reason="needs the packages of the extra `corpus`"
)
SELF_DECLARED = re.compile(
    r"bot\b|crawl|spider|slurp|https?:|www\.|@|headless|phantom|\.com|compatible; (?!MSIE|Konq|Googlebot)",
    re.IGNORECASE,
)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def corpus() -> list[Row]:
    return list(generate(1, 12_000))


@pytest.fixture(scope="module")
def other() -> list[Row]:
    return list(generate(2, 12_000))


def is_bot(sample: list[Row]) -> np.ndarray:
    return np.array([row["label"] == "bot" for row in sample])


def value(row: Row, name: str) -> str | None:
    return next((text for key, text in row["headers"] if key.lower() == name), None)


def claimed_years(sample: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """The year of the browser, and whether it is a bot, of all rows that claim to be a browser and no more."""
    claims = [(agents.year_of(value(row, "user-agent") or ""), row) for row in sample]
    kept = [(year, row) for year, row in claims if year and not SELF_DECLARED.search(value(row, "user-agent") or "")]
    return np.array([year for year, _ in kept]), is_bot([row for _, row in kept])


def test_same_seed_same_rows() -> None:
    assert list(generate(7, 300)) == list(generate(7, 300))
    assert list(generate(7, 300)) != list(generate(8, 300))


@pytest.mark.parametrize("count", [1, 2, 999])
def test_as_many_rows_as_asked_for(count: int) -> None:
    sample = list(generate(1, count))
    assert len(sample) == count
    assert abs(int(is_bot(sample).sum()) * 2 - count) <= 8  # no visit is longer


def test_the_projects_reader_reads_every_row_in_order(corpus: list[Row]) -> None:
    request = core.Request()
    for row in corpus:
        records.load_record(msgspec.json.encode(row), request)
        assert request.label == (row["label"] == "bot")
        names = [name.decode().lower() for name, _ in request.headers]
        assert names == [name.lower() for name, _ in row["headers"]]


def test_both_classes_are_wide(corpus: list[Row]) -> None:
    for label in ("bot", "human"):
        sample = [row for row in corpus if row["label"] == label]
        assert len({value(row, "user-agent") for row in sample}) > 1000
        assert {row["method"] for row in sample} >= {"GET", "POST"}
        assert {row["protocol"] for row in sample} == {"HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"}
        assert {row["scheme"] for row in sample} == {"http", "https"}


def test_the_frame_of_a_visit_does_not_tell_the_class(corpus: list[Row], other: list[Row]) -> None:
    """A tree may combine address, time, host, scheme and HTTP version as it likes: on another seed it guesses."""

    def frame(row: Row) -> list[float]:
        octets = [int(part) for part in row["ip"].split(".")] if "." in row["ip"] else [-1] * 4
        host = row["host"]
        numeric = host.replace(".", "").replace(":", "").isdigit()
        return [
            *octets, row["time"] % 86400, row["time"], len(host), host.count("."), ":" in host, numeric,
            row["scheme"] == "https", float(row["protocol"].partition("/")[2]),
        ]  # fmt: skip

    tree = DecisionTreeClassifier(max_depth=6, random_state=0)
    tree.fit([frame(row) for row in corpus], is_bot(corpus))
    guesses = tree.predict_proba([frame(row) for row in other])[:, 1]
    assert abs(roc_auc_score(is_bot(other), guesses) - 0.5) < 0.04


@pytest.mark.parametrize("trait", ["protocol", "scheme", "method"])
def test_one_trait_has_one_distribution(corpus: list[Row], other: list[Row], trait: str) -> None:
    counts = Counter((row[trait], row["label"]) for row in corpus + other)
    for kind in {key for key, _ in counts}:
        total = counts[kind, "bot"] + counts[kind, "human"]
        assert abs(counts[kind, "bot"] / total - 0.5) < 0.06 + 2.5 / total**0.5, kind  # a visit has several rows


def query(row: Row) -> str:
    return str(row["uri"]).partition("?")[2]


@pytest.mark.parametrize(
    "measure",
    [
        pytest.param(lambda row: len(query(row)), id="bytes of the query"),
        pytest.param(lambda row: query(row).count("&") + bool(query(row)), id="parameters"),
        pytest.param(lambda row: query(row).count("%"), id="percent signs"),
        pytest.param(lambda row: len(value(row, "cookie") or "") or None, id="bytes of the cookies, if any"),
        pytest.param(lambda row: len(row["uri"]), id="bytes of the target"),
    ],
)
def test_no_count_tells_the_class(corpus: list[Row], other: list[Row], measure: Callable[[Row], int | None]) -> None:
    """Advertisements, sign-in and counters have long queries, and bots pad: lengths are drawn before the class."""
    scans = {target.partition("?")[0] for _, _, target in rows("probes.tsv")}
    measured = [(measure(row), row) for row in corpus + other if row["uri"].partition("?")[0] not in scans]
    counts = [(count, row["label"] == "bot") for count, row in measured if count is not None]
    bots = np.array([bot for _, bot in counts])
    numbers = np.array([count for count, _ in counts])
    assert abs(roc_auc_score(bots, numbers) - 0.5) < 0.06
    for label in (bots, ~bots):  # a heavy tail in both
        assert np.percentile(numbers[label], 99) > 3 * max(np.mean(numbers[label]), 0.2)


def test_the_age_of_a_claimed_browser_does_not_tell_the_class(corpus: list[Row], other: list[Row]) -> None:
    years, bots = claimed_years(corpus + other)
    assert min(bots.sum(), (~bots).sum()) > 2000
    assert abs(roc_auc_score(bots, years) - 0.5) < 0.04
    for label in (bots, ~bots):  # old ones and new ones in both
        assert np.percentile(years[label], 10) <= 2014
        assert np.percentile(years[label], 90) >= 2024


def test_paths_tell_the_class_by_what_bots_do_on_purpose_only(corpus: list[Row]) -> None:
    """Without scans and robots.txt, the kinds of paths have the same shares."""
    on_purpose = {target.partition("?")[0] for _, _, target in rows("probes.tsv")} | {"/robots.txt", "/sitemap.xml"}
    left = [row for row in corpus if row["uri"].partition("?")[0] not in on_purpose]

    def kind(row: Row) -> str:
        path = row["uri"].partition("?")[0]
        return "/" if path == "/" else path.rpartition(".")[2] if "." in path[-6:] else path.split("/")[1][:4]

    counts = {label: Counter(kind(row) for row in left if row["label"] == label) for label in ("bot", "human")}
    totals = {label: counter.total() for label, counter in counts.items()}
    for name in counts["human"] | counts["bot"]:
        shares = [counts[label][name] / totals[label] for label in counts]
        assert abs(shares[0] - shares[1]) < 0.03, name
    assert sum(row["label"] == "human" and row["uri"] == "/wp-login.php" for row in corpus) > 3


def test_the_number_of_headers_does_not_settle_it(corpus: list[Row]) -> None:
    counts, bots = np.array([len(row["headers"]) for row in corpus]), is_bot(corpus)
    assert np.mean(counts[bots] >= np.median(counts[~bots])) > 0.05  # crawlers that render, copied header sets
    assert np.mean(counts[~bots] <= np.median(counts[bots])) > 0.03  # text browsers, old telephones, thin proxies


@pytest.mark.parametrize(
    "name", ["accept-language", "sec-fetch-mode", "referer", "cookie", "sec-ch-ua", "accept-encoding", "dnt"]
)
def test_no_header_belongs_to_one_class(corpus: list[Row], name: str) -> None:
    """A package that never records a header must not turn it into a label."""
    for label in ("bot", "human"):
        having = np.mean([value(row, name) is not None for row in corpus if row["label"] == label])
        assert 0 < having < 1, label


def test_recorded_headers_only_change_values() -> None:
    """What a package recorded of a real browser leads to the headers that its agent alone leads to."""
    rng, differs = random.Random(5), 0
    visit, want = Visit("192.0.2.1", "site.example", "https", "HTTP/2.0", "en-US", 2026), Want("page", "/")
    for n in range(300):
        recorded = published.recorded_headers(rng)
        browser = parse(recorded.pop("User-Agent"))
        alone, beside = (
            [name for name, _ in browsers.headers(browser, habits, visit, want, random.Random(n)) if name != "DNT"]
            for habits in (Habits(), Habits(recorded=recorded))
        )
        differs += alone != beside
    assert differs <= 3


def test_browsers_send_sec_headers_and_br_where_they_trust_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where a load balancer ended https before: those are left out here."""
    monkeypatch.setattr(site, "ENDED", 0)
    people = [row for row in generate(1, 8_000) if row["label"] == "human"]
    plain = [row for row in people if row["scheme"] == "http" and not re.match(r"localhost|127\.|app\.", row["host"])]
    assert len(plain) > 500
    anywhere = ("sec-gpc", "sec-purpose", "sec-speculation-tags")
    for row in plain:
        names = {name.lower() for name, _ in row["headers"]}
        if row["method"] == "OPTIONS":
            names.discard("sec-fetch-mode")  # Chromium's preflights say it over http as well
        secret = [name for name in names if name.startswith("sec-") and not name.startswith("sec-websocket-")]
        assert not [name for name in secret if name not in anywhere], row
        if not (value(row, "user-agent") or "").startswith("Links"):
            assert "br" not in (value(row, "accept-encoding") or ""), row
    assert any(value(row, "sec-fetch-mode") for row in people if row["host"].startswith("localhost"))


def claims(row: Row) -> tuple[str, int]:
    browser = parse(value(row, "user-agent") or "")
    return browser.engine, browser.version


def test_peoples_hints_agree_with_their_agents(corpus: list[Row], other: list[Row]) -> None:
    hinted = [row for row in corpus + other if row["label"] == "human" and value(row, "sec-ch-ua")]
    assert len(hinted) > 2000
    for row in hinted:
        engine, version = claims(row)
        agent = value(row, "user-agent") or ""
        assert engine == "chromium", row
        assert f'"Chromium";v="{version}"' in (value(row, "sec-ch-ua") or ""), row
        assert value(row, "sec-ch-ua-platform") == f'"{hints.platform(agent)}"', row


def test_people_send_what_their_engine_sends(corpus: list[Row], other: list[Row]) -> None:
    """Where a request's headers contradict its agent, it is not a person's."""
    for row in corpus + other:
        engine, version = claims(row)
        names = {name.lower() for name, _ in row["headers"]}
        if row["label"] != "human" or engine not in ("chromium", "gecko", "webkit"):
            continue
        encodings = value(row, "accept-encoding") or ""
        if "zstd" in encodings:
            assert browsers.Browser("", engine, version).has("zstd"), row
        if engine != "chromium":
            assert "image/apng" not in (value(row, "accept") or ""), row
        if row["method"] in ("POST", "PUT", "PATCH", "DELETE") and engine != "gecko":
            assert "origin" in names, row
        if row["method"] in ("GET", "HEAD"):
            assert "content-type" not in names, row
        assert "http2-settings" not in names, row


@pytest.mark.parametrize(
    ("version", "brands"),
    [
        (90, None),
        (110, '"Chromium";v="110", "Not A(Brand";v="24", "Google Chrome";v="110"'),
        (131, '"Google Chrome";v="131", "Chromium";v="131", "Not_A Brand";v="24"'),
        (142, '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"'),
    ],
)
def test_brands_stand_where_chromium_puts_them(version: int, brands: str | None) -> None:
    made = hints.brands("Chrome", version, random.Random(0), "Google Chrome")
    assert made == brands if brands else "Brand" in made
    assert hints.brands("Chromium/156", 156, random.Random(0)) == '"Not:A-Brand";v="8", "Chromium";v="156"'


def test_browsers_of_the_next_year_are_in_both_classes(corpus: list[Row], other: list[Row]) -> None:
    for label in ("bot", "human"):
        newest = Counter[str]()
        for row in corpus + other:
            if row["label"] == label:
                engine, version = claims(row)
                newest[engine] = max(newest[engine], version)
        assert newest["chromium"] >= 157
        assert newest["gecko"] >= 154
        assert newest["webkit"] >= 27


def test_http_2_has_small_names_and_nothing_about_the_connection(corpus: list[Row]) -> None:
    for row in corpus:
        if row["protocol"] >= "HTTP/2":
            names = [name for name, _ in row["headers"]]
            assert [name.lower() for name in names] == names
            assert "connection" not in names


def test_people_with_rare_browsers_are_there(corpus: list[Row], other: list[Row]) -> None:
    people = " ".join(value(row, "user-agent") or "" for row in corpus + other if row["label"] == "human")
    for word in (
        "Lynx",
        "w3m",
        "MSIE 6.0",
        "Opera Mini",
        "BlackBerry",
        "FB_IAB",
        "Nintendo",
        "CUBOT",
        "OpenBSD",
        "wv)",
    ):
        assert word in people


def test_feed_readers_and_previews_are_left_to_the_site() -> None:
    assert len(published.crawler_agents()) > 1000
    assert not [agent for agent in published.crawler_agents() if re.search("WhatsApp|Feedly|Instagram", agent)]


CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0"
IE6 = "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1"
)


@pytest.mark.parametrize(
    ("agent", "protocol", "kind", "names"),
    [
        (
            CHROME.format(120),
            "HTTP/2.0",
            "page",
            "host sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform upgrade-insecure-requests user-agent accept "
            "sec-fetch-site sec-fetch-mode sec-fetch-user sec-fetch-dest accept-encoding accept-language",
        ),
        (
            CHROME.format(147),
            "HTTP/2.0",
            "image",
            "host sec-ch-ua-platform user-agent sec-ch-ua sec-ch-ua-mobile accept sec-fetch-site sec-fetch-mode "
            "sec-fetch-dest accept-encoding accept-language priority",
        ),
        (CHROME.format(41), "HTTP/1.1", "page", "Host Connection Accept User-Agent Accept-Encoding Accept-Language"),
        (
            FIREFOX,
            "HTTP/1.1",
            "style",
            "Host User-Agent Accept Accept-Language Accept-Encoding Connection Sec-Fetch-Dest Sec-Fetch-Mode "
            "Sec-Fetch-Site",
        ),
        (
            SAFARI,
            "HTTP/2.0",
            "page",
            "host sec-fetch-dest user-agent accept sec-fetch-site sec-fetch-mode accept-language priority "
            "accept-encoding",
        ),
        (IE6, "HTTP/1.1", "page", "Accept Accept-Language UA-CPU Accept-Encoding User-Agent Host Connection"),
    ],
)
def test_the_order_of_a_browsers_headers(agent: str, protocol: str, kind: str, names: str) -> None:
    visit = Visit("192.0.2.1", "site.example", "https", protocol, "en-US", 2024)
    pairs = browsers.headers(parse(agent), Habits(), visit, Want(kind, "/"), random.Random(0))
    assert [name for name, _ in spoken(pairs, protocol)] == names.split()


@pytest.mark.parametrize(
    ("agent", "kind", "has", "lacks"),
    [
        (
            CHROME.format(150),
            "socket",
            "sec-websocket-key origin accept-language",
            "accept sec-fetch-mode sec-ch-ua referer",
        ),
        (FIREFOX, "socket", "sec-websocket-key origin accept sec-fetch-mode", "referer"),
        (SAFARI, "socket", "sec-websocket-key origin", "sec-ch-ua referer"),
        (
            CHROME.format(150),
            "preflight",
            "access-control-request-method origin sec-fetch-mode",
            "cookie sec-ch-ua content-type",
        ),
        (FIREFOX, "preflight", "access-control-request-method origin sec-fetch-mode", "cookie content-type"),
        (CHROME.format(150), "service", "service-worker cache-control", "sec-ch-ua"),
        (FIREFOX, "service", "service-worker", "referer"),
        (CHROME.format(150), "inworker", "sec-fetch-mode", "sec-ch-ua"),
        (CHROME.format(150), "saved", "referer sec-fetch-mode", "accept sec-ch-ua"),
        (CHROME.format(150), "events", "cache-control pragma sec-ch-ua", ""),
        (CHROME.format(150), "beacon", "origin sec-ch-ua", "upgrade-insecure-requests"),
        (CHROME.format(150), "manifest", "sec-fetch-mode", "cookie"),
        (CHROME.format(150), "prerender", "sec-purpose upgrade-insecure-requests", "sec-fetch-user"),
        (SAFARI, "send", "origin content-type", "sec-ch-ua sec-fetch-user"),
    ],
)
def test_a_kind_of_request_has_its_headers(agent: str, kind: str, has: str, lacks: str) -> None:
    visit = Visit("192.0.2.1", "site.example", "https", "HTTP/2.0", "en-US", 2026, cookies="a=1")
    for seed in range(20):
        want = Want(kind, "/", "/page", method=KINDS[kind].methods[0])
        pairs = browsers.headers(
            parse(agent), Habits(), visit, want, random.Random(seed), "https://site.example/page", "a=1"
        )
        names = {name.lower() for name, _ in pairs}
        assert not set(has.split()) - names
        assert not set(lacks.split()) & names


def test_every_kind_is_asked_for_by_every_engine() -> None:
    for agent in (CHROME.format(60), CHROME.format(150), FIREFOX, SAFARI, IE6):
        for kind, row in KINDS.items():
            for scheme in ("http", "https"):
                visit = Visit("192.0.2.1", "site.example", scheme, "HTTP/1.1", "en-US", 2026, cookies="a=1")
                want = browsers.possible(parse(agent), Want(kind, "/", method=row.methods[0]))
                pairs = browsers.headers(parse(agent), Habits(), visit, want, random.Random(1))
                assert [name for name, _ in pairs if name.startswith("@")] == []
                assert len({name.lower() for name, _ in pairs}) == len(pairs)


def test_any_bot_may_add_what_people_send(corpus: list[Row], other: list[Row]) -> None:
    """Tools under their own names, too: no addition belongs to people."""
    declared = [
        row for row in corpus + other if re.search(r"curl|python|Go-http|Java/|Wget", value(row, "user-agent") or "")
    ]
    assert {row["label"] for row in declared} == {"bot"}
    for name in (
        "range",
        "cookie",
        "accept-language",
        "referer",
        "origin",
        "authorization",
        "sec-fetch-mode",
        "if-none-match",
    ):
        assert sum(value(row, name) is not None for row in declared) > 3, name


def test_own_headers_join_a_tools_headers_as_the_tool_does_it() -> None:
    own = {"User-Agent": "Mozilla/5.0", "Accept-Language": "en", "sec-ch-ua": '"X"'}
    requests_ = fill(
        "Host|User-Agent|Accept-Encoding: gzip, deflate|Accept: */*", {"Host": "a", "User-Agent": "python"}
    )
    assert [name for name, _ in robots.join("end", own, requests_)] == [
        "Host", "User-Agent", "Accept-Encoding", "Accept", "Accept-Language", "sec-ch-ua",
    ]  # fmt: skip
    node = fill("Host|Connection: keep-alive", {"Host": "a"})
    assert [name for name, _ in robots.join("first", own, node)] == ["Host", *own, "Connection"]
    go = fill("Host|User-Agent|Accept-Encoding: gzip", {"Host": "a", "User-Agent": "Go-http-client/1.1"})
    joined = dict(robots.join("sorted", own, go))
    assert list(joined) == ["Host", "User-Agent", "Accept-Language", "Sec-Ch-Ua", "Accept-Encoding"]
    assert joined["User-Agent"] == "Mozilla/5.0"


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "find_spec", lambda name: None if name == "fake_useragent" else object())
    with pytest.raises(XbotError, match=r"pip install fake-useragent$"):
        next(generate(1, 1))


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "training.corpus", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_writes_what_generate_yields(tmp_path: Path) -> None:
    done = run("--out", str(tmp_path / "corpus.jsonl"), "--seed", "3", "--rows", "50")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    written = [msgspec.json.decode(line) for line in (tmp_path / "corpus.jsonl").read_bytes().splitlines()]
    assert written == [msgspec.json.decode(msgspec.json.encode(row)) for row in generate(3, 50)]


def test_the_command_names_a_place_it_cannot_write(tmp_path: Path) -> None:
    done = run("--out", str(tmp_path / "none" / "corpus.jsonl"), "--seed", "3")
    assert done.returncode == 2
    assert done.stderr == f"xbot: {tmp_path}/none/corpus.jsonl: no such directory: {tmp_path}/none\n"
