"""`xbot replay`: models that look at one feature each, so that what they refuse is known before."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import models
import pytest
from places import XBOT

from sidecar import core
from sidecar.config.options import DEFAULT_MODEL
from sidecar.replay import tally

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"
SITE = "https://shop.example"


def model(path: Path, **weights: float) -> Path:
    """A model file with these weights and no others. It refuses where they add up to more than a half; with one that
    counts, the score is 1 / (1 + exp(-8 x (weight - 0.5)))."""
    names = [row.name for row in core.FEATURES]
    k = core.MIN_K
    zeros = [0.0] * len(names)
    dense = [weights.get(name, 0.0) for name in names]
    assert sum(map(bool, dense)) == len(weights), "a name is no feature's"
    path.write_bytes(
        models.image(
            k=k, bias=-0.5, threshold=0.5, a=-8.0, b=0.0, hosts=[], mean=models.doubles(zeros),
            scale=models.doubles([1.0] * len(names)), weight=models.doubles([*dense, *[0.0] * 2**k]),
        )
    )  # fmt: skip
    return path


def line(ip: str, uri: str = "/", agent: str = CHROME, referrer: str = "-", status: int = 200, day: int = 17) -> str:
    """A line of the combined format."""
    return f'{ip} - - [{day}/May/2024:10:00:00 +0000] "GET {uri} HTTP/1.1" {status} 512 "{referrer}" "{agent}"'


def visit(ip: str, agent: str = CHROME) -> list[str]:
    """A browser's visit: a page and its parts."""
    return [line(ip, "/", agent), *(line(ip, uri, agent, f"{SITE}/") for uri in ("/a.css", "/b.js", "/c.png"))]


@pytest.fixture
def replay(xbot, tmp_path: Path):
    """replay(lines, *options) -> (what --json says, what is printed). The model refuses Firefox."""

    def run(lines: Iterable[str], *options: object, log_format: str = "combined") -> tuple[dict, str]:
        log, out = tmp_path / "a.log", tmp_path / "a.json"
        log.write_text("".join(text + "\n" for text in lines))
        told = ["--model", model(tmp_path / "new.xbot", ua_browser_firefox=1.0)]
        if "--model" in options:
            told = []
        done = xbot("replay", *told, "--format", log_format, "--json", out, *options, log)
        return json.loads(out.read_bytes()), done.stdout.decode()

    return run


def test_counts_by_verdict_and_day(replay) -> None:
    lines = [line("192.0.2.1", day=16)] * 3 + [line("192.0.2.2", agent=FIREFOX, day=16)]
    lines += [line("192.0.2.2", agent=FIREFOX, day=18)] * 2 + [line("192.0.2.3", day=18)] * 6
    told, shown = replay(lines)
    assert (told["lines"], told["requests"], told["refused"], told["unreadable"]) == (12, 12, 3, 0)
    assert (told["clients"], told["clients_refused"]) == (3, 1)
    assert told["days"] == [
        {"day": "2024-05-16", "requests": 4, "refused": 1, "refused_before": None},
        {"day": "2024-05-18", "requests": 8, "refused": 2, "refused_before": None},
    ]
    assert "3 (25.00%)" in shown
    assert re.search(r"2024-05-16 +. +4 . +1 . +25\.00% ", shown)
    assert told["newly_refused"] is None


def test_verdicts_are_those_of_score(replay, xbot, model_path: Path, corpus_path: Path, tmp_path: Path) -> None:
    """Not another way to judge: requests, reasons and shares are what `xbot score` says of the same log."""
    scored = [
        json.loads(row)
        for row in xbot("score", "--model", model_path, "--format", "jsonl", "--json", corpus_path).stdout.splitlines()
    ]
    out = tmp_path / "a.json"
    xbot("replay", "--model", model_path, "--format", "jsonl", "--json", out, corpus_path)
    told = json.loads(out.read_bytes())
    refused = [row for row in scored if row["verdict"] == "bot"]
    assert (told["requests"], told["refused"]) == (len(scored), len(refused))
    expected = sorted(Counter(row["reason"] for row in refused).items(), key=lambda item: (-item[1], item[0]))
    assert [(row["what"], row["requests"]) for row in told["reasons"]] == expected[:100]
    labels = [json.loads(row)["label"] for row in corpus_path.read_text().splitlines()]
    both = Counter(
        f"{said} {'refused' if row['verdict'] == 'bot' else 'let in'}" for said, row in zip(labels, scored, strict=True)
    )
    assert told["labelled"] == {name: both[name] for name in told["labelled"]}
    threshold = sorted(row["score"] for row in scored)[len(scored) // 2]
    xbot("replay", "--model", model_path, "--threshold", threshold, "--format", "jsonl", "--json", out, corpus_path)
    near = sum(row["score"] == threshold for row in scored)
    exact = json.loads(out.read_bytes())["refused"]
    assert abs(exact - sum(row["score"] >= threshold for row in scored)) <= near, "scores are printed with four digits"


def test_threshold(replay, tmp_path: Path) -> None:
    """Firefox has the score 1 / (1 + exp(-4)) = 0.982."""
    lines = [line("192.0.2.2", agent=FIREFOX), line("192.0.2.1")]
    assert replay(lines, "--threshold", "0.98")[0]["refused"] == 1
    told, shown = replay(lines, "--threshold", "0.983")
    assert told["refused"] == 0
    assert "refuses from 0.9830 on" in shown
    assert replay(lines, "--threshold", "0")[0]["refused"] == 2


def test_flips_both_ways(replay, tmp_path: Path) -> None:
    """The old model refuses Chrome, the new one Firefox; and a client with both pages and robots.txt only in part."""
    old = model(tmp_path / "old.xbot", ua_browser_chrome=1.0, url_robots=-1.0)
    lines = [*[line("192.0.2.1")] * 3, *[line("192.0.2.2", agent=FIREFOX)] * 2, line("192.0.2.9", agent="curl/8.5.0")]
    lines += [line("192.0.2.3", "/robots.txt"), line("192.0.2.3"), line("192.0.2.4", "/robots.txt")]
    told, shown = replay(lines, "--against", old)
    assert (told["refused"], told["refused_before"]) == (2, 4)
    newly, freed = told["newly_refused"], told["no_longer_refused"]
    assert (newly["requests"], newly["clients"], freed["requests"], freed["clients"]) == (2, 1, 4, 2)
    assert newly["reasons"] == [{"what": "ua_browser_firefox", "requests": 2}]
    assert freed["reasons"] == [{"what": "ua_browser_chrome", "requests": 4}]
    first = newly["examples"][0]
    expected = {"ip": "192.0.2.2", "agent": FIREFOX, "requests": 2, "refused": 2, "refused_before": 0, "line": 4}
    assert {name: first[name] for name in expected} == expected
    assert [(e["ip"], e["requests"], e["refused_before"], e["line"]) for e in freed["examples"]] == [
        ("192.0.2.1", 3, 3, 1), ("192.0.2.3", 2, 1, 8),
    ]  # fmt: skip
    assert "newly refused: 2 requests; clients that change sides: 1" in shown
    assert "no longer refused: 4 requests; clients that change sides: 2" in shown
    assert told["days"][0]["refused_before"] == 4


def test_the_default_model_is_called_default(xbot, tmp_path: Path) -> None:
    """Whoever has another default model sees who would change sides: here everybody with Firefox, and curl."""
    log, out = tmp_path / "a.log", tmp_path / "a.json"
    log.write_text(
        "".join(f"{line(ip, agent=agent)}\n" for ip, agent in (("192.0.2.1", FIREFOX), ("192.0.2.2", "curl/8")))
    )
    old = model(tmp_path / "old.xbot", ua_browser_firefox=1.0)
    for words, newly, no_longer in (
        (("--model", "default", "--against", old), "192.0.2.2", "192.0.2.1"),
        (("--model", old, "--against", "default"), "192.0.2.1", "192.0.2.2"),
    ):
        xbot("replay", *words, "--format", "combined", "--json", out, log)
        told = json.loads(out.read_bytes())
        assert [each["ip"] for each in told["newly_refused"]["examples"]] == [newly]
        assert [each["ip"] for each in told["no_longer_refused"]["examples"]] == [no_longer]
        assert str(DEFAULT_MODEL) in (told["model"], told["against"])
    shown = xbot("replay", log).stdout.decode()
    assert "model    │ default, refuses from" in shown
    assert "xbot explain --model default --format combined" in shown or "likely false positives: none" in shown


def test_a_file_called_default_is_named_by_its_path(tmp_path: Path) -> None:
    model(tmp_path / "default", ua_browser_firefox=1.0)
    (tmp_path / "a.log").write_text(line("192.0.2.1", agent=FIREFOX) + "\n")
    command = [XBOT, "replay", "--model", "./default", "--format", "combined", "a.log"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "refused │ 1 (100.00%)" in " ".join(done.stdout.split())


def test_a_model_against_itself_changes_nothing(replay, tmp_path: Path) -> None:
    told, _ = replay(
        [line("192.0.2.2", agent=FIREFOX)], "--against", model(tmp_path / "same.xbot", ua_browser_firefox=1.0)
    )
    for direction in ("newly_refused", "no_longer_refused"):
        assert told[direction] == {"requests": 0, "clients": 0, "reasons": [], "examples": []}


def test_what_is_refused_most(replay) -> None:
    lines = [line(f"198.51.100.{i}", "/a?x=1", FIREFOX) for i in range(5)] + [line("2001:db8:7::1", "/b", FIREFOX)] * 2
    lines += [line("203.0.113.1", "/c")] * 9
    told, shown = replay(lines)
    assert told["agents"] == [{"what": FIREFOX, "requests": 7}]
    assert told["paths"] == [{"what": "/a", "requests": 5}, {"what": "/b", "requests": 2}]
    assert told["networks"] == [{"what": "198.51.100.0/24", "requests": 5}, {"what": "2001:db8:7::/48", "requests": 2}]
    assert told["reasons"] == [{"what": "ua_browser_firefox", "requests": 7}]
    assert told["counts_short"] == {"reasons": 0, "agents": 0, "paths": 0, "networks": 0}
    assert re.search(r"5 . 71\.43% . /a", shown)


# A refused request of each kind, as jsonl; the model refuses everybody.
REQUESTS = {
    "cookie": {"uri": "/", "headers": {"User-Agent": CHROME, "Cookie": "1"}},
    "api": {"uri": "/api/items", "headers": {"User-Agent": "shop-app/3", "Authorization": "1"}},
    "api ": {"uri": "/api/items", "headers": {"User-Agent": "shop-app/3", "Accept": "application/json, text/plain"}},
    "conditional": {"uri": "/", "headers": {"User-Agent": CHROME, "If-None-Match": '"x"'}},
    "conditional ": {"uri": "/", "status": 304, "headers": {"User-Agent": CHROME}},
    "feed-reader": {"uri": "/feed", "headers": {"User-Agent": "Miniflux/2.1 (+https://miniflux.app)"}},
    "git": {"uri": "/x.git/info/refs?service=git-upload-pack", "headers": {"User-Agent": "Other/1.0"}},
    "git ": {"uri": "/x", "headers": {"User-Agent": "git/2.39.2"}},
    "link-preview": {"uri": "/", "headers": {"User-Agent": "facebookexternalhit/1.1 (+http://www.facebook.com/)"}},
    "search-engine": {"uri": "/", "headers": {"User-Agent": "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/)"}},
    "text-browser": {"uri": "/", "headers": {"User-Agent": "Lynx/2.8.9rel.1 libwww-FM/2.14"}},
    "labelled-human": {"uri": "/", "label": "human", "headers": {"User-Agent": CHROME}},
    "": {"uri": "/", "headers": {"User-Agent": CHROME}},
    " ": {"uri": "/", "label": "bot", "headers": {"User-Agent": CHROME, "Cookie": "1"}},
}  # fmt: skip


def test_likely_false_positives_of_each_kind(replay, tmp_path: Path) -> None:
    rows = [json.dumps({"ip": f"192.0.2.{i}", "method": "GET", **row}) for i, row in enumerate(REQUESTS.values())]
    everybody = model(tmp_path / "all.xbot", url_depth=1.0)
    told, shown = replay(rows, "--model", everybody, "--stateless", log_format="jsonl")
    assert told["refused"] == len(rows)
    expected: dict[str, list[int]] = {}
    for number, name in enumerate(REQUESTS, 1):
        if name.strip():
            expected.setdefault(name.strip(), []).append(number)
    found = {s["kind"]: [e["line"] for e in s["examples"]] for s in told["suspects"]}
    assert found == expected
    assert {s["kind"]: s["requests"] for s in told["suspects"]} == {name: len(at) for name, at in expected.items()}
    first = told["suspects"][0]
    assert first["examples"][0]["uri"] == "/"
    assert first["examples"][0]["reason"] == "url_depth"
    assert re.search(rf"sed -n {first['examples'][0]['line']}p \S+ \| xbot explain --model", shown)
    assert set(tally.WHY) - {"loads-parts"} == set(expected), "every kind has its request"


def test_the_command_that_is_shown_explains_the_line(replay, tmp_path: Path) -> None:
    _, shown = replay([line("192.0.2.1"), *visit("192.0.2.2", FIREFOX)], "--host", "shop.example")
    command = next(row for row in shown.splitlines() if row.startswith("Why a line")).partition(": ")[2]
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, shell=True, env=env, capture_output=True, check=True)
    assert b"ua_browser_firefox" in done.stdout


def test_refused_browsers_are_told_by_what_they_loaded(replay) -> None:
    others = [text for i in range(5) for text in visit(f"203.0.113.{i}")]
    lines = [*others, *visit("192.0.2.2", FIREFOX), line("192.0.2.3", "/a.css", FIREFOX, "https://thief.example/")]
    told, shown = replay(lines)
    assert [(s["kind"], s["requests"], s["clients"]) for s in told["suspects"]] == [("loads-parts", 4, 1)]
    example = told["suspects"][0]["examples"][0]
    assert (example["ip"], example["line"]) == ("192.0.2.2", len(others) + 1)
    assert told["own_hosts"] == ["shop.example"]
    assert "own host │ shop.example (guessed: " in shown
    assert replay(lines, "--host", "other.example")[0]["suspects"] == []


def test_a_model_that_looks_at_more_than_the_log_holds(replay) -> None:
    told, shown = replay([line("192.0.2.1")])
    assert told["groups_not_held"] == ["headers", "client", "tls"]
    assert "The model also looks at headers, client" in shown


def test_lines_that_cannot_be_read_are_in_no_figure(replay) -> None:
    told, shown = replay([line("192.0.2.1"), "nonsense", line("192.0.2.2", agent=FIREFOX)])
    assert (told["lines"], told["unreadable"], told["requests"], told["refused"]) == (3, 1, 2, 1)
    assert "1 of 3 lines could not be read" in shown


def test_sources_are_one_log(replay, xbot, tmp_path: Path) -> None:
    lines = [line("192.0.2.1"), line("192.0.2.2", agent=FIREFOX), line("192.0.2.2", "/x", FIREFOX)]
    whole, _ = replay(lines)
    first, second, out = tmp_path / "first.log", tmp_path / "second.log.gz", tmp_path / "b.json"
    first.write_text(lines[0] + "\n")
    second.write_bytes(gzip.compress("\n".join(lines[1:]).encode()))
    loaded = tmp_path / "new.xbot"
    done = xbot(
        "replay",
        "--model",
        loaded,
        "--against",
        model(tmp_path / "old.xbot"),
        "--format",
        "combined",
        "--json",
        out,
        first,
        second,
    )
    both = json.loads(out.read_bytes())
    same = ("lines", "requests", "refused", "clients", "agents", "paths", "networks", "reasons")
    assert {name: both[name] for name in same} == {name: whole[name] for name in same}
    assert both["newly_refused"]["examples"][0]["log"] == str(second)
    assert b"second.log.gz:1" in done.stdout
    text = "\n".join(lines).encode()
    done = xbot("replay", "--model", loaded, "--format", "combined", "--json", out, "-", stdin=text)
    assert json.loads(out.read_bytes())["refused"] == 2


def test_what_visitors_sent_cannot_command_a_terminal(replay) -> None:
    agent = r"\x1b[2J\x1b]0;pwned\x07 Firefox/121.0 [bold]x[/bold] :bomb:"
    told, shown = replay([line("192.0.2.1", agent=agent)] * 2)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert told["agents"][0]["what"] == "\\x1b[2J\\x1b]0;pwned\\x07 Firefox/121.0 [bold]x[/bold] :bomb:"
    assert "[bold]x[/bold] :bomb:" in shown


def test_what_visitors_send_is_kept_in_part_only(replay) -> None:
    """A visitor may send 60,000 bytes; two whose first 512 are the same are one."""
    lines = [line("192.0.2.1", "/" + "p" * 9_000 + str(i), agent=f"Firefox/121.0 {'x' * 9_000} {i}") for i in range(3)]
    told, shown = replay(lines)
    assert [(row["requests"], len(row["what"])) for row in told["agents"]] == [(3, 512)]
    assert told["clients"] == 1
    assert "p" * 199 + "…" in re.sub(r"[^p…]", "", shown)


def test_challenge(replay) -> None:
    rows = ["192.0.2.1\tFirefox%2F121.0\t\ttrue", "192.0.2.2\tMozilla%2F5.0+Chrome%2F120.0\t\tfalse"]
    told, shown = replay(rows, log_format="challenge")
    assert told["labelled"] == {"bot refused": 0, "bot let in": 1, "human refused": 1, "human let in": 0}
    assert told["days"] == []
    assert told["undated"] == 2
    assert "lines with a label" in shown
    assert [s["kind"] for s in told["suspects"]] == ["labelled-human"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "moon.xbot"], "moon.xbot: No such file or directory"),
        (["--against", "moon.xbot"], "moon.xbot: No such file or directory"),
        (["--against", "{log}"], "a.log: "),
        (["--threshold", "2"], "Invalid value for '--threshold': 2.0 is not in the range 0<=x<=1"),
        (["--json", "moon/a.json"], "moon/a.json: no such directory: moon"),
        (["moon.log"], "moon.log: No such file or directory"),
        (["-"], "standard input (-) cannot be one of several logs"),
    ],
)
def test_bad_options(options: list[str], message: str, xbot, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(line("192.0.2.1") + "\n")
    loaded = model(tmp_path / "m.xbot", url_depth=1.0)
    options = [option.format(log=log) for option in options]
    done = xbot("replay", "--model", loaded, "--format", "combined", log, *options, code=2)
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_an_empty_log(xbot, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("")
    done = xbot(
        "replay",
        "--model",
        model(tmp_path / "m.xbot", url_depth=1.0),
        "--format",
        "combined",
        tmp_path / "a.log",
        code=2,
    )
    assert b"a.log: empty, no line to read" in done.stderr


# ---- bounded memory ----


def test_top_keeps_what_is_frequent_and_says_how_far_it_may_be_off() -> None:
    top, exact = tally.Top(kept=10), Counter()
    for i in range(5_000):
        keys = [f"rare-{i}", f"often-{i % 3}"] + [f"later-{i % 4}"] * (i > 2_500)
        for key in keys:
            top.add(key)
            exact[key] += 1
    for key, count in top.most(7):
        assert not str(key).startswith("rare")
        assert exact[key] - top.short <= count <= exact[key]
    assert len(top._counts) < 20
    assert [top.most(3)[0][1], top.most(3)[2][1]] == [1667, 1666], "what was always frequent is counted exactly"


def test_clients_beyond_the_bound_are_counted_not_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from sidecar import model as files
    from sidecar.sources.traffic import Traffic

    monkeypatch.setattr(tally, "CLIENTS", 3)
    log = tmp_path / "a.log"
    log.write_text("".join(line(f"192.0.2.{i % 5}", agent=FIREFOX) + "\n" for i in range(50)))
    traffic = Traffic([str(log)], "combined")
    counted = tally.Tally(
        tally.Judge(files.load(model(tmp_path / "m.xbot", ua_browser_firefox=1.0))), None, traffic.own
    )
    for name, number, request in traffic:
        counted.add(name, number, request)
    counted.finish()
    assert (counted.requests, counted.refused, len(counted.clients), counted.beyond) == (50, 50, 3, 20)
    assert sum(client.refused for client in counted.clients.values()) == 30


# ---- real logs ----


@pytest.mark.parametrize("name", ["semicomplete_apache_10k", "almhuette_10k"])
def test_real_logs(name: str, data_dir: Path, model_path: Path, other_model_path: Path, xbot, tmp_path: Path) -> None:
    log, out = data_dir / "logs" / f"{name}.log", tmp_path / "a.json"
    xbot("replay", "--model", model_path, "--against", other_model_path, "--format", "combined", "--json", out, log)
    told = json.loads(out.read_bytes())
    scored = {
        path: [
            row.split(b"\t")[1]
            for row in xbot("score", "--model", path, "--format", "combined", log).stdout.splitlines()
        ]
        for path in (model_path, other_model_path)
    }
    new, old = scored[model_path], scored[other_model_path]
    assert told["refused"] == new.count(b"bot")
    assert told["refused_before"] == old.count(b"bot")
    pairs = Counter(zip(new, old, strict=True))
    assert told["newly_refused"]["requests"] == pairs[b"bot", b"human"]
    assert told["no_longer_refused"]["requests"] == pairs[b"human", b"bot"]
    assert sum(day["requests"] for day in told["days"]) == told["requests"]
    assert sum(day["refused"] for day in told["days"]) == told["refused"]
