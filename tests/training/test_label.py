"""`xbot label`: logs whose right labels are known because the visits were made to be so."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import tables
from places import ROOT

from sidecar.verify import ranges
from training.label import rules, sets

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"
SITE = "shop.example"
Labels = list[tuple[str, set[str]]]


def line(
    ip: str,
    uri: str,
    *,
    agent: str = CHROME,
    referrer: str = "-",
    status: int = 200,
    method: str = "GET",
    second: int = 0,
) -> str:
    """A line of the combined format."""
    time = f"17/May/2024:10:{second // 60 % 60:02}:{second % 60:02} +0000"
    return f'{ip} - - [{time}] "{method} {uri} HTTP/1.1" {status} 512 "{referrer}" "{agent}"'


def own(path: str = "/") -> str:
    """A referrer on the site itself."""
    return f"https://www.{SITE}{path}"


def person(ip: str, *, agent: str = CHROME, pages: Iterable[str] = ("/",)) -> list[str]:
    """A visit of a person: pages and their parts, led on by the site itself."""
    out, before = [], "-"
    for page in pages:
        out += [line(ip, page, agent=agent, referrer=before)]
        out += [line(ip, part, agent=agent, referrer=own(page)) for part in ("/style.css", "/app.js", "/logo.png")]
        before = own(page)
    return [*out, line(ip, "/favicon.ico", agent=agent)]


def people(n: int = 12) -> list[str]:
    """Visits that show what the site is like: its pages have parts, and its host is its referrer."""
    return [text for i in range(n) for text in person(f"203.0.113.{i + 1}", pages=("/", "/offers"))]


def read(path: Path) -> Labels:
    """The labels of a file: (label, rules) by line. Checks header, numbers and words."""
    head, *rows = path.read_text().splitlines()
    assert head == "line\tlabel\trules"
    out = []
    for number, row in enumerate(rows, 1):
        n, label, fired = row.split("\t")
        assert int(n) == number
        assert label in ("bot", "human", "unknown")
        out.append((label, set() if fired == "-" else set(fired.split(","))))
    return out


@pytest.fixture
def label(xbot, tmp_path: Path) -> Callable[..., Labels]:
    """label(lines, *options, log_format="combined") -> Labels."""

    def run(lines: list[str], *options: object, log_format: str = "combined") -> Labels:
        log, out = tmp_path / "a.log", tmp_path / "a.labels"
        log.write_text("\n".join(lines) + "\n")
        xbot("label", "--format", log_format, "--quiet", "--out", out, *options, log)
        found = read(out)
        assert len(found) == len(lines)
        return found

    return run


def robot(ip: str, uris: Iterable[str], **fields: object) -> list[str]:
    return [line(ip, uri, **fields) for uri in uris]  # type: ignore[arg-type]


PAGES = [f"/page-{i}" for i in range(6)]
ATTACKS = [
    "/../../../../etc/passwd",
    "/a?id=1%20union%20all%20select%201,2",
    "/?q=%3Cscript%3Ealert(1)",
    "/?x=${jndi:ldap://192.0.2.1/a}",
    "/?f=../../../../tmp/x",
]
# The visit, the rules that must fire for all of it (no others), and the label.
VISITS = {
    "declared crawler": (
        robot("192.0.2.1", ["/"], agent="Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)"),
        {"declared-crawler", "declared-tool"},
        "bot",
    ),
    "tool": (robot("192.0.2.1", ["/"], agent="reqwest/0.11.4"), {"declared-tool"}, "bot"),
    "attack in the agent": (robot("192.0.2.1", ["/"], agent="${jndi:ldap://192.0.2.9/x}"), {"attacking-agent"}, "bot"),
    "feed reader": (
        robot("192.0.2.1", ["/feed"], agent="Tiny Tiny RSS/1.11 (http://tt-rss.org/)"),
        {"on-behalf"},
        "unknown",
    ),
    "git": (robot("192.0.2.1", ["/x.git/info/refs"], agent="git/2.39.2"), {"on-behalf"}, "unknown"),
    "no agent": (robot("192.0.2.1", ["/"], agent="-"), {"empty-agent"}, "bot"),
    "crawler's network": (robot("66.249.66.1", ["/"]), {"crawler-network"}, "bot"),
    "robots.txt": (robot("192.0.2.1", ["/robots.txt", "/"]), {"robots-txt"}, "bot"),
    "secret": (robot("192.0.2.1", ["/.env", "/"], status=404), {"secret-files"}, "bot"),
    **{f"attack {uri}": (robot("192.0.2.1", [uri, "/"], status=400), {"attack-in-url"}, "bot") for uri in ATTACKS[1:]},
    "attack that names a file": (robot("192.0.2.1", ATTACKS[:1], status=400), {"attack-in-url", "secret-files"}, "bot"),
    "proxy": (robot("192.0.2.1", ["http://other.example/", "/"]), {"proxy-request"}, "bot"),
    "wordpress": (robot("192.0.2.1", ["/wp-login.php", "/"], status=404), {"probe-wordpress"}, "bot"),
    "joomla": (robot("192.0.2.1", ["//administrator/"], status=404), {"probe-joomla"}, "bot"),
    "drupal": (robot("192.0.2.1", ["/user/login"], status=404), {"probe-cms"}, "bot"),
    "database": (robot("192.0.2.1", ["/phpMyAdmin-2.11/"], status=404), {"probe-database"}, "bot"),
    "shell": (
        robot("192.0.2.1", ["/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php"], status=404),
        {"probe-shell"},
        "bot",
    ),
    "device": (robot("192.0.2.1", ["/boaform/admin/formLogin"], status=404), {"probe-device"}, "bot"),
    "not found": (robot("192.0.2.1", [f"/old/{i}" for i in range(12)], status=404), {"not-found-scan"}, "bot"),
    "brute force": (robot("192.0.2.1", ["/login"] * 60, method="POST"), {"brute-force"}, "bot"),
    "pages only": (robot("192.0.2.1", PAGES), {"pages-without-parts"}, "bot"),
    "referrer spam": (
        [line("192.0.2.1", "/", referrer=f"https://casino-{i}.example/") for i in range(4)],
        {"referrer-spam"},
        "bot",
    ),
    "person": (person("192.0.2.1", pages=("/", "/offers")), {"loads-parts", "loads-pictures"}, "human"),
    "directory listing": (
        [
            *(line("192.0.2.1", f"/icons/{i}.gif", referrer=own("/files/")) for i in range(3)),
            line("192.0.2.1", "/favicon.ico"),
        ],
        {"loads-pictures"},
        "human",
    ),
    # What looks a little like one of the above, and must not be labelled.
    "one page": (robot("192.0.2.1", ["/"]), set(), "unknown"),
    "reads one page again and again, from its cache": (robot("192.0.2.1", ["/news"] * 30), set(), "unknown"),
    "text browser": (
        [line("192.0.2.1", page, agent="Lynx/2.8.9rel.1 libwww-FM/2.14", referrer=own()) for page in PAGES],
        set(),
        "unknown",
    ),
    "icons that are not there": (
        robot("192.0.2.1", ["/apple-touch-icon.png", "/favicon.ico", "/apple-touch-icon-120x120.png"] * 10, status=404),
        set(),
        "unknown",
    ),
    "application that posts": (
        [*robot("192.0.2.1", ["/api/ping"] * 60, method="POST"), line("192.0.2.1", "/logo.png")],
        set(),
        "unknown",
    ),
    "telephone named bot": (
        robot("192.0.2.1", ["/"], agent=CHROME.replace("Windows NT 10.0; Win64; x64", "Linux; Android 7.0; M bot 60")),
        set(),
        "unknown",
    ),
    "search for SQL": (robot("192.0.2.1", ["/search?q=credit+union+selection"]), set(), "unknown"),
}


@pytest.fixture(scope="module")
def visited(xbot, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Labels]:
    """The labels of each visit, all made to one site on one day, each from its own address."""
    lines, place = people(60), {}
    for i, (name, (visit, _, _)) in enumerate(VISITS.items()):
        place[name] = slice(len(lines), len(lines) + len(visit))
        lines += [text.replace("192.0.2.1 ", f"192.0.2.{i} ", 1) for text in visit]
    log = tmp_path_factory.mktemp("visits") / "a.log"
    log.write_text("\n".join(lines) + "\n")
    out = log.with_suffix(".labels")
    xbot("label", "--format", "combined", "--quiet", "--out", out, log)
    found = read(out)
    assert len(found) == len(lines)
    return {"people": found[: place[next(iter(VISITS))].start], **{name: found[at] for name, at in place.items()}}


@pytest.mark.parametrize("name", VISITS)
def test_each_rule_fires_for_its_visit_and_no_other(name: str, visited: dict[str, Labels]) -> None:
    _, fired, verdict = VISITS[name]
    assert {(verdict, frozenset(fired))} == {(word, frozenset(names)) for word, names in visited[name]}


def test_people_are_people_whoever_else_comes(visited: dict[str, Labels]) -> None:
    assert {word for word, _ in visited["people"]} == {"human"}


def test_every_shipped_rule_has_a_visit() -> None:
    needs_more = {"trap", "scanner-network", "cloud-without-parts", "other-handshake"}  # tested below
    seen = set().union(*(fired for _, fired, _ in VISITS.values()))
    assert set(rules.read().rules) - needs_more == seen


def test_networks_of_lists(label) -> None:
    networks = rules.read().networks
    for name, rule in (("scanners", "scanner-network"), ("datacenters", "cloud-without-parts")):
        held = sets.NetworkSet(networks[name], name, None)
        first = held._first[4][3]
        ip = ".".join(str(byte) for byte in first.to_bytes(4, "big"))
        found = label(people() + robot(ip, PAGES[: 3 if name == "datacenters" else 1]))
        assert found[-1] == ("bot", {rule})


@pytest.mark.parametrize("name", ["googlebot", "bingbot", "gptbot", "ahrefs"])
def test_who_is_verified_when_served_is_a_bot_whatever_it_says(label, name) -> None:
    """By the same lists; also one that looks like a person."""
    ip = str(ranges.newest(None)[0][name].networks[0][0])
    outcome, fired = label(people() + person(ip))[-1]
    assert outcome == "bot"
    assert "crawler-network" in fired


def test_a_host_that_visitors_named_acts_on_no_terminal(xbot, tmp_path: Path) -> None:
    """On a small site a few addresses choose what is guessed to be its own host."""
    visits = [
        json.dumps({"ip": f"192.0.2.{i}", "uri": "/a.css", "headers": {"Referer": "http://\x1b]0;mine\x07/"}})
        for i in range(3)
    ]
    (tmp_path / "a.log").write_text("\n".join(visits) + "\n")
    said = xbot("label", "--format", "jsonl", "--out", tmp_path / "a.labels", tmp_path / "a.log").stderr.decode()
    assert r"own host: \x1b]0;mine\x07 (guessed" in said
    assert "\x1b" not in said


def test_a_person_in_a_cloud_is_nobody_we_know(label) -> None:
    held = sets.NetworkSet(rules.read().networks["datacenters"], "datacenters", None)
    ip = ".".join(str(byte) for byte in held._first[4][0].to_bytes(4, "big"))
    assert label(people() + person(ip))[-1] == ("unknown", set())
    assert label(people() + person(ip), "--off", "datacenters")[-1][0] == "human"


def test_a_client_is_an_address_with_an_agent(label) -> None:
    """Two agents behind one address: what one does is not held against the other."""
    visit = [
        line("192.0.2.1", "/robots.txt", agent=FIREFOX),
        *person("192.0.2.1"),
        line("192.0.2.1", "/a", agent=FIREFOX),
    ]
    found = label(people() + visit)[-len(visit) :]
    assert found[0] == found[-1] == ("bot", {"robots-txt"})
    assert {word for word, _ in found[1:-1]} == {"human"}


def test_rules_that_contradict_each_other_label_nothing(label) -> None:
    visit = [line("192.0.2.1", "/robots.txt"), *person("192.0.2.1")]
    found = label(people() + visit)[-len(visit) :]
    assert all(word == "unknown" and names >= {"conflict", "robots-txt", "loads-parts"} for word, names in found)


def test_the_stronger_rule_decides(label) -> None:
    visit = person("192.0.2.1", agent="Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
    found = label(people() + visit)[-len(visit) :]
    assert all(word == "bot" and names >= {"declared-crawler", "loads-parts"} for word, names in found)
    assert all("conflict" not in names for _, names in found)


def test_probes_are_none_on_a_site_that_has_such_paths(label, tmp_path: Path) -> None:
    visit = robot("192.0.2.1", ["/wp-login.php"], status=404)
    writer = robot("192.0.2.2", ["/wp-login.php"], status=200)
    report = tmp_path / "coverage.json"
    found = label(people() + visit + writer, "--json", report)
    assert found[-2:] == [("unknown", set()), ("unknown", set())]
    rule = next(r for r in json.loads(report.read_bytes())["rules"] if r["name"] == "probe-wordpress")
    assert "this site has such paths: 1" in rule["idle"]


def test_pages_without_parts_need_a_site_whose_pages_have_parts(label) -> None:
    """An API, or a site whose pictures lie elsewhere: nobody loads parts, so that says nothing."""
    lines = [text for i in range(20) for text in robot(f"192.0.2.{i}", PAGES)]
    assert {word for word, _ in label(lines, "--host", SITE)} == {"unknown"}


def test_a_brute_force_is_counted_among_other_requests(label) -> None:
    """The most posted path is found although ten others come between."""
    draw = random.Random(3)
    uris = [f"/other-{i % 10}" for i in range(60)] + [f"/login?x={i}" for i in range(200)]
    draw.shuffle(uris)
    assert label(people() + robot("192.0.2.1", uris, method="POST"))[-1] == ("bot", {"brute-force"})


# ---- the site's own host ----


def test_own_host_is_guessed_from_those_who_load_parts(xbot, tmp_path: Path) -> None:
    """Forged referrers may be the most frequent, but bring no parts of pages; and few sites embed our pictures."""
    spam = [line(f"198.51.100.{i % 250}", "/", referrer="https://casino.example/") for i in range(300)]
    thieves = [line(f"192.0.2.{i % 3}", "/logo.png", referrer="https://thief.example/") for i in range(300)]
    log = tmp_path / "a.log"
    log.write_text("\n".join(spam + thieves + people()) + "\n")
    done = xbot("label", "--format", "combined", log)
    assert f"own host: {SITE} (guessed: 12 of 15 addresses".encode() in done.stderr


def test_a_log_of_one_address_is_told_so(xbot, tmp_path: Path) -> None:
    """It is that of a proxy, and without it no rule knows who loads parts: nobody would be labelled a person."""
    log = tmp_path / "a.log"
    log.write_text("\n".join(person("10.0.0.1") * 2) + "\n")
    told = b"--host names it: all requests come from one address: that of a proxy?"
    assert told in xbot("label", "--format", "combined", log).stderr
    log.write_text("\n".join([*person("10.0.0.1"), line("10.0.0.2", "/")]) + "\n")
    assert told not in xbot("label", "--format", "combined", log).stderr


def test_own_host_can_be_given(label) -> None:
    visit = person("192.0.2.1")
    assert {word for word, _ in label(visit)} == {"unknown"}, "one address is no majority: there is no guess"
    assert {word for word, _ in label(visit, "--host", f"www.{SITE}")} == {"human"}
    assert {word for word, _ in label(people(), "--host", "other.example")} == {"unknown"}


def test_own_host_of_each_request(xbot, tmp_path: Path) -> None:
    """A log that holds the Host header needs no guess, and may be of several sites."""
    rows = []
    for i, host in enumerate(["a.example", "b.example:8443"] * 6):
        for uri in ("/", "/a.css", "/b.css", "/c.png"):
            headers = {"Host": host, "User-Agent": CHROME, "Referer": f"https://{host}/" if uri != "/" else ""}
            rows.append({"ip": f"192.0.2.{i}", "method": "GET", "uri": uri, "status": 200, "headers": headers})
    rows.append({**rows[1], "ip": "192.0.2.99", "headers": {**rows[1]["headers"], "Referer": "https://b.example/"}})
    log, out = tmp_path / "a.jsonl", tmp_path / "a.labels"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = xbot("label", "--format", "jsonl", "--out", out, log)
    assert b"own host: the host that each request asks for" in done.stderr
    found = read(out)
    assert {word for word, _ in found[:-1]} == {"human"}
    assert found[-1] == ("unknown", set())


def test_a_handshake_of_another_program(xbot, tmp_path: Path) -> None:
    """All that such a client did is a program's; where it loads parts as a person does, nobody knows. One that is not told, or that
    fits, says nothing."""
    handshakes = {name: (suites, groups) for name, _, suites, groups, _ in tables.rows("handshakes.tsv", 5)}
    curl, chromium = handshakes["curl 7.88, OpenSSL 3.0"], handshakes["chromium 156"]
    visits = {
        "192.0.2.1": (curl, ["/", "/robot"]),
        "192.0.2.2": (chromium, ["/", "/robot"]),
        "192.0.2.3": (None, ["/", "/robot"]),
        "192.0.2.4": (curl, ["/", "/a.css", "/b.css", "/c.png"]),
    }
    rows = []
    for ip, (handshake, uris) in visits.items():
        for i, uri in enumerate(uris):
            referrer = f"https://{SITE}/" if uri != "/" else ""
            row = {"ip": ip, "method": "GET", "uri": uri, "status": 200, "scheme": "https"}
            row["headers"] = {"Host": SITE, "User-Agent": CHROME, "Referer": referrer}
            if handshake and i == 0:  # only the first request of a connection tells it
                row["tls"] = dict(zip(("ciphers", "curves"), handshake, strict=True))
            rows.append(row)
    log, out, told = tmp_path / "a.jsonl", tmp_path / "a.labels", tmp_path / "a.json"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    xbot("label", "--format", "jsonl", "--out", out, "--json", told, log)
    found = dict(zip([row["ip"] for row in rows], read(out), strict=True))
    assert found["192.0.2.1"] == ("bot", {"other-handshake"})
    assert found["192.0.2.2"] == found["192.0.2.3"] == ("unknown", set())
    assert found["192.0.2.4"] == ("unknown", {"conflict", "other-handshake", "loads-parts"})
    assert read(out)[:2] == [found["192.0.2.1"]] * 2
    reads = {rule["name"]: rule["reads"] for rule in json.loads(told.read_text())["rules"]}
    assert reads["other-handshake"] == ["tls", "ua"]


# ---- what is read and written ----


def test_lines_that_cannot_be_read_keep_their_place(label, xbot, tmp_path: Path) -> None:
    lines = [*people(), "nonsense", *robot("192.0.2.1", ["/robots.txt"])]
    found = label(lines)
    assert found[-2:] == [("unknown", {"unreadable"}), ("bot", {"robots-txt"})]
    done = xbot("label", "--format", "combined", "--out", tmp_path / "b", tmp_path / "a.log")
    assert f"a.log:{len(lines) - 1}: line: no fields: expected ip".encode() in done.stderr


def test_sources_are_one_log(xbot, tmp_path: Path) -> None:
    """Several files, gzip and standard input give what one file gives; a client is one across files."""
    lines = people() + robot("192.0.2.1", ["/robots.txt"]) + people() + robot("192.0.2.1", ["/late"])
    whole, first, second = tmp_path / "whole.log", tmp_path / "a.log", tmp_path / "b.log.gz"
    text = "\n".join(lines) + "\n"
    whole.write_text(text)
    half = "\n".join(lines[:115]) + "\n"
    first.write_text(half)
    second.write_bytes(gzip.compress(text[len(half) :].encode()))
    expected = xbot("label", "--format", "combined", "--quiet", whole).stdout
    assert expected.splitlines()[-1] == b"%d\tbot\trobots-txt" % len(lines)
    assert xbot("label", "--format", "combined", "--quiet", first, second).stdout == expected
    assert xbot("label", "--format", "combined", "--quiet", "-", stdin=text.encode()).stdout == expected
    assert xbot("label", "--format", "combined", "--quiet", "-", stdin=gzip.compress(text.encode())).stdout == expected
    out = tmp_path / "labels"
    xbot("label", "--format", "combined", "--quiet", "--out", out, whole)
    assert out.read_bytes() == expected
    assert xbot("label", "--format", "combined", "--quiet", "--out", "/dev/stdout", whole).stdout == expected


def test_challenge_holds_no_pages(xbot, tmp_path: Path) -> None:
    log = tmp_path / "a.tsv"
    log.write_text("192.0.2.1\tcurl%2F8.5.0\t\tfalse\n192.0.2.2\tMozilla%2F5.0+Chrome\t\ttrue\n192.0.2.3\t\t\tfalse\n")
    done = xbot("label", "--format", "challenge", log)
    assert [row.split(b"\t")[1] for row in done.stdout.splitlines()[1:]] == [b"bot", b"unknown", b"bot"]
    assert re.search(r"robots-txt +. the log does not hold: url", done.stderr.decode())


def test_lines_without_address_have_no_client(xbot, tmp_path: Path) -> None:
    """All share one agent and no address: they are not one client, and what one of them does is its own."""
    rows = [{"method": "GET", "uri": uri, "headers": [["User-Agent", CHROME]]} for uri in ("/robots.txt", "/", "/a")]
    rows.append({"method": "GET", "uri": "/", "headers": [["User-Agent", "curl/8.5.0"]]})
    mine = tmp_path / "mine.toml"
    mine.write_text('[rule.by-request]\nverdict = "bot"\nkind = "request"\ndoc = "x"\nmatch.path = ["^/a$"]\n')
    log = tmp_path / "a.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = xbot("label", "--format", "jsonl", "--quiet", "--rules", mine, log)
    assert [row.split(b"\t")[2] for row in done.stdout.splitlines()[1:]] == [b"-", b"-", b"by-request", b"-"]


def test_the_summary_and_the_json_agree_with_the_labels(xbot, tmp_path: Path) -> None:
    lines = people()
    for visit, _, _ in VISITS.values():
        lines += visit
    log, out, report = tmp_path / "a.log", tmp_path / "a.labels", tmp_path / "a.json"
    log.write_text("\n".join(lines) + "\n")
    done = xbot("label", "--format", "combined", "--out", out, "--json", report, log)
    found, told = read(out), json.loads(report.read_bytes())
    assert told["lines"] == len(lines)
    assert told["labels"] == {word: sum(w == word for w, _ in found) for word in ("bot", "human", "unknown")}
    assert told["conflicts"] == sum("conflict" in names for _, names in found)
    by_rule = Counter(name for _, names in found for name in names - {"conflict"})
    assert {r["name"]: r["lines"] for r in told["rules"] if r["lines"]} == by_rule
    alone = Counter(name for _, names in found if len(names) == 1 for name in names)
    assert {r["name"]: r["alone"] for r in told["rules"] if r["alone"]} == alone
    verdicts = {name: rule.verdict for name, rule in rules.read().rules.items()}
    decided = Counter(n for w, names in found for n in names - {"conflict"} if verdicts[n] == w != "unknown")
    assert {r["name"]: r["decided"] for r in told["rules"] if r["decided"]} == decided
    assert told["clients"] == len({(t.split()[0], t.split('"')[5]) for t in lines})
    pairs = {tuple(pair["rules"]): pair["lines"] for pair in told["overlap_pairs"]}
    for (a, b), n in pairs.items():
        assert n == sum({a, b} <= names for _, names in found)
    assert told["conflict_pairs"], "the visits of one address contradict each other somewhere"
    reads = {r["name"]: r["reads"] for r in told["rules"]}
    assert reads["declared-tool"] == ["ua"]
    assert reads["loads-parts"] == ["ip", "referrer", "status", "url"]
    assert re.search(r"robots-txt +. bot", done.stderr.decode())


def test_memory_grows_with_clients_not_with_lines(xbot, tmp_path: Path) -> None:
    def peak(times: int) -> int:
        log = tmp_path / f"{times}.log"
        log.write_text(("\n".join(people()) + "\n") * times)
        code = (
            "import resource, sys; from sidecar.commands.cli import main\n"
            "try: main()\n"
            "finally: sys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))"
        )
        command = [
            sys.executable,
            "-c",
            code,
            "label",
            "--format",
            "combined",
            "--quiet",
            "--out",
            os.devnull,
            str(log),
        ]
        command[command.index(os.devnull)] = str(tmp_path / "out")
        return int(subprocess.run(command, check=True, capture_output=True).stderr)

    assert peak(1500) < peak(150) + 16_000, "in KiB: 180,000 lines against 18,000"


# ---- files of rules ----


def test_switch_off_change_and_add(label, tmp_path: Path) -> None:
    visit = robot("192.0.2.1", ["/robots.txt", "/hidden/a", "/seen"])
    mine = tmp_path / "mine.toml"
    mine.write_text(
        '[rule.robots-txt]\nverdict = "human"\n'
        '[rule.hidden]\nverdict = "bot"\nstrength = 3\nkind = "request"\ndoc = "x"\nmatch.path = ["^/HIDDEN/"]\n'
    )
    site = people()
    assert [w for w, _ in label(site + visit)[len(site) :]] == ["bot", "bot", "bot"]
    assert label(site + visit, "--off", "robots-txt")[len(site) :] == [("unknown", set())] * 3
    assert label(site + visit, "--rules", mine)[len(site) :] == [
        ("human", {"robots-txt"}),
        ("bot", {"robots-txt", "hidden"}),
        ("human", {"robots-txt"}),
    ]
    mine.write_text("[rule.robots-txt]\noff = true\n")
    assert label(site + visit, "--rules", mine)[len(site) :] == [("unknown", set())] * 3


def test_traps(label) -> None:
    visit = robot("192.0.2.1", ["/secret-door/inside", "/x"])
    assert label(people() + visit, "--trap", "/secret-door/")[-1] == ("bot", {"trap"})
    assert label(people() + visit, "--trap", "/secret-door")[-1] == ("unknown", set()), (
        "a whole path, not its beginning"
    )


def test_who_follows_the_trap_is_a_bot_however_many_parts_it_loads(label) -> None:
    """A driven browser loads what a page shows, and clicks on everything."""
    visit = person("203.0.113.99")
    assert label(people() + visit)[-1][0] == "human"
    trapped = [*visit, line("203.0.113.99", "/xbot-trap/more", status=404)]
    assert {word for word, _ in label(people() + trapped)[-len(trapped) :]} == {"bot"}


def test_networks_of_files(label, tmp_path: Path) -> None:
    (tmp_path / "ours.txt").write_text("# the monitoring\n198.51.100.0/24\n2001:db8:1::/48 # office\n")
    (tmp_path / "bing.json").write_text(
        json.dumps({"prefixes": [{"ipv4Prefix": "198.18.0.0/30"}, {"ipv6Prefix": "2001:db8:2::/64"}]})
    )
    mine = tmp_path / "mine.toml"
    mine.write_text(
        '[networks.ours]\ndoc = "x"\nfiles = ["ours.txt", "bing.json"]\nip = ["203.0.113.200/32"]\n'
        '[rule.ours]\nverdict = "bot"\ndoc = "x"\nmatch.ip_in = ["ours"]\n'
    )
    inside = [
        "198.51.100.255",
        "2001:db8:1:ffff::1",
        "198.18.0.3",
        "2001:db8:2::5",
        "203.0.113.200",
        "::ffff:198.51.100.1",
    ]
    outside = ["198.51.101.0", "2001:db8:3::1", "198.18.0.4", "203.0.113.201"]
    found = label([line(ip, "/") for ip in inside + outside], "--rules", mine)
    assert found == [("bot", {"ours"})] * len(inside) + [("unknown", set())] * len(outside)


def test_rules_on_headers_need_headers(xbot, label, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        '[rule.no-language]\nverdict = "bot"\ndoc = "x"\nkind = "request"\n'
        'match.agent = ["chrome"]\nunless.header.accept-language = ["."]\n'
    )
    rows = [
        {"ip": "192.0.2.1", "uri": "/", "headers": [["User-Agent", CHROME], ["Accept-Language", "de"]]},
        {"ip": "192.0.2.1", "uri": "/", "headers": [["User-Agent", CHROME]]},
    ]
    log = tmp_path / "a.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = xbot("label", "--format", "jsonl", "--quiet", "--rules", mine, log)
    assert [row.split(b"\t")[1] for row in done.stdout.splitlines()[1:]] == [b"unknown", b"bot"]
    assert label([line("192.0.2.1", "/")], "--rules", mine) == [("unknown", set())], "combined holds no headers"


def test_the_file_of_rules_in_the_docs(label, tmp_path: Path) -> None:
    docs = (ROOT / "docs" / "labelling.md").read_text()
    block = re.search(r"\n    # On this site, feed readers count as bots.*?\n\n(?=\S)", docs, re.DOTALL)
    assert block
    mine = tmp_path / "mine.toml"
    mine.write_text(re.sub(r"^    ", "", block[0], flags=re.MULTILINE))
    (tmp_path / "more-addresses.txt").write_text("198.51.100.7\n")
    visits = [
        line("192.0.2.9", "/feed", agent="Tiny Tiny RSS/1.11 (http://tt-rss.org/)"),
        line("192.0.2.40", "http://other.example/"),
        line("192.0.2.41", "/comment/3", method="POST"),
        line("192.0.2.17", "/"),
        line("198.51.100.7", "/"),
    ]
    found = label(people() + visits, "--rules", mine)[-len(visits) :]
    assert found == [
        ("bot", {"on-behalf"}),
        ("unknown", set()),
        ("bot", {"blind-comment"}),
        ("bot", {"monitoring"}),
        ("bot", {"monitoring"}),
    ]


def test_list(xbot, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('[rule.mine]\nverdict = "bot"\ndoc = "my own rule"\nmatch.referrer = ["casino"]\n')
    told = xbot("label", "--list", "--rules", mine, "--off", "robots-txt").stdout.decode()
    assert re.search(r"robots-txt \(off\) +. bot +. +1 . client +. url", told)
    assert re.search(r"mine +. bot +. +1 . client +. referrer +. my own rule", told)
    for name in rules.read().rules:
        assert name in told


RULE = '[rule.mine]\nverdict = "bot"\ndoc = "x"\n'
NETWORKS = RULE + "match.ip_in = ['mine']\n[networks.mine]\ndoc = 'x'\n"
# What is wrong -> the file, and what the message says after the file's name.
BAD_FILES = {
    "not TOML": ("[rule.x]\nverdict = bot\n", r":2: not TOML: "),
    "cut short": ('[rule.x]\nverdict = "bo', r":2: not TOML: "),
    "no such table": ("[rules.x]\n", r": rules: no such table; there are agents, networks, count, rule"),
    "no tables": ("rule = 3\n", r": rule: expected tables such as \[rule\.name\]"),
    "bad name": ('[rule."a,b"]\n', r": rule\.a,b: a name has lower-case letters"),
    "no such field": (RULE + "macth.path = ['a']\n", r": rule\.mine: .*unknown field `macth`"),
    "no such condition": (RULE + "match.paht = ['a']\n", r": rule\.mine\.match: .*unknown field `paht`"),
    "no verdict": ('[rule.mine]\ndoc = "x"\nmatch.path = ["a"]\n', r": rule\.mine: .*missing required field `verdict`"),
    "bad verdict": (
        '[rule.mine]\nverdict = "maybe"\ndoc = "x"\n',
        r": rule\.mine\.verdict: invalid enum value 'maybe'",
    ),
    "bad kind": (RULE + 'kind = "line"\n', r": rule\.mine\.kind: invalid enum value 'line'"),
    "no list": (RULE + 'match.path = "a"\n', r": rule\.mine\.match\.path: expected `array`, got `str`"),
    "bad expression": (RULE + "match.agent = ['(']\n", r": rule\.mine\.match\.agent: '\(' is no regular"),
    "bad exception": (
        RULE + "match.agent=['a']\nunless.path=['[']\n",
        r": rule\.mine\.unless\.path: '\[' is no regular",
    ),
    "bad network": (RULE + "match.ip = ['10.0.0.300']\n", r": rule\.mine\.match\.ip: '10\.0\.0\.300' does not appear"),
    "host bits": (RULE + "match.ip = ['10.0.0.1/8']\n", r": rule\.mine\.match\.ip: 10\.0\.0\.1/8 has host bits set"),
    "bad status": (RULE + "match.status = [7]\n", r": rule\.mine\.match\.status: 7 is no status"),
    "no such contradiction": (
        RULE + "match.odd = ['odd_accept']\n",
        r": rule\.mine\.match\.odd: 'odd_accept' is no contradiction of a handshake; there are odd_tls_chrome",
    ),
    "no such set": (
        RULE + "match.ip_in = ['moon']\n",
        r": rule\.mine\.match\.ip_in: no set 'moon'; there are crawlers",
    ),
    "no such agents": (RULE + "match.agent_in = ['moon']\n", r": rule\.mine\.match\.agent_in: no set 'moon'"),
    "no such count": (
        RULE + "count.moon = { least = 1 }\n",
        r": rule\.mine\.count: no count 'moon'; there are requests",
    ),
    "bad bound": (
        RULE + "count.page = { at_least = 1 }\n",
        r": rule\.mine\.count\[\.\.\.\]: .*unknown field `at_least`",
    ),
    "counts of a request": (
        RULE + "kind='request'\ncount.page = { least = 1 }\n",
        r": rule\.mine\.count: only a rule of kind",
    ),
    "fires for all": (RULE, r": rule\.mine\.match: missing: the rule would fire for everything"),
    "bad count": ('[count.mine]\ndoc="x"\ntake="some"\n', r": count\.mine\.take: invalid enum value 'some'"),
    "no such list": (NETWORKS + "lists=['moon']\n", r": networks\.mine: pymispwarninglists has no .*moon"),
    "no networks": (NETWORKS + "lists=['alexa']\n", r": networks\.mine\.lists: 'alexa' is no list of networks"),
    "no such file": (NETWORKS + "files=['moon.txt']\n", r"moon\.txt: No such file"),
    "shipped rule changed badly": (
        '[rule.robots-txt]\nstrength = "2"\n',
        r": rule\.robots-txt\.strength: expected `int`",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_rules_are_named_by_file_and_field(name: str, xbot, tmp_path: Path) -> None:
    text, message = BAD_FILES[name]
    mine, log = tmp_path / "mine.toml", tmp_path / "a.log"
    mine.write_text(text)
    log.write_text(line("192.0.2.1", "/") + "\n")
    out = tmp_path / "labels"
    done = xbot("label", "--format", "combined", "--out", out, "--rules", mine, log, code=2)
    expected = r"^xbot: \S*" + ("" if message.startswith("moon") else r"mine\.toml") + message
    assert re.search(expected, done.stderr.decode()), done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert not out.exists()


def test_bad_file_of_networks_is_named_by_line(xbot, tmp_path: Path) -> None:
    (tmp_path / "ours.txt").write_text("198.51.100.0/24\nnonsense\n")
    mine, log = tmp_path / "mine.toml", tmp_path / "a.log"
    mine.write_text('[networks.mine]\ndoc="x"\nfiles=["ours.txt"]\n' + RULE + "match.ip_in=['mine']\n")
    log.write_text(line("192.0.2.1", "/") + "\n")
    done = xbot("label", "--format", "combined", "--rules", mine, log, code=2)
    assert b"ours.txt:2: 'nonsense' does not appear to be" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--off", "moon"], "--off moon: no rule or set of that name; --list shows them"),
        (["--rules", "moon.toml"], "moon.toml: No such file or directory"),
        (["--trap", "secret"], "--trap secret: a path starts with /"),
        (["--out", "moon/labels"], "moon/labels: no such directory: moon"),
        (["--json", "moon/x.json"], "moon/x.json: no such directory: moon"),
        (["moon.log"], "moon.log: No such file or directory"),
        (["-"], "standard input (-) cannot be one of several logs"),
        (["--format", "apache"], "'apache' is no format of logs"),
    ],
)
def test_bad_options(options: list[str], message: str, xbot, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(line("192.0.2.1", "/") + "\n")
    done = xbot("label", "--format", "combined", log, *options, code=2)
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_an_empty_log_and_no_log(xbot, tmp_path: Path) -> None:
    log, out = tmp_path / "a.log", tmp_path / "labels"
    log.write_text("")
    assert b"a.log: empty, no line to read" in xbot("label", "--format", "combined", "--out", out, log, code=2).stderr
    assert not out.exists()
    assert b"Missing argument" in xbot("label", "--format", "combined", code=2).stderr
    assert b"a.log: empty, no line to read" in xbot("label", log, code=2).stderr


@pytest.mark.parametrize(
    ("module", "off"),
    [("crawleruseragents", ["crawlers", "on-behalf"]), ("pymispwarninglists", ["crawlers", "scanners", "datacenters"])],
)
def test_a_missing_package_is_named_and_can_be_done_without(module: str, off: list[str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{module!r}] = None\n")
    log = tmp_path / "a.log"
    log.write_text("\n".join(people()) + "\n")
    command = [sys.executable, "-m", "sidecar", "label", "--format", "combined", "--quiet", str(log)]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    assert done.returncode == 2
    package = {"crawleruseragents": "crawler-user-agents"}.get(module, module)
    expected = rf"xbot: \S*rules\.toml: \w+\.[a-z-]+: needs {package}, .*: pip install {package} \(or: --off"
    assert re.match(expected, done.stderr.decode()), done.stderr.decode()
    for name in off:
        command += ["--off", name]
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert {row.split(b"\t")[1] for row in done.stdout.splitlines()[1:]} == {b"human"}


def test_the_sets_find_what_their_packages_patterns_find() -> None:
    """The index of plain words is a shortcut, not another meaning."""
    published = pytest.importorskip("crawleruseragents").CRAWLER_USER_AGENTS_DATA
    table = rules.Agents(doc="", package="crawler-user-agents")
    held = sets.AgentSet(table, "all", None)
    patterns = [re.compile(entry["pattern"]) for entry in published]
    draw = random.Random(1)
    agents = [agent for entry in draw.sample(published, 120) for agent in entry["instances"][:1]]
    agents += [CHROME, FIREFOX, "", "-", "x", "ab", *(agent[: len(agent) // 2] for agent in agents)]
    for agent in agents:
        assert held(agent) == any(pattern.search(agent) for pattern in patterns), agent


# ---- real logs ----


@pytest.mark.long
@pytest.mark.parametrize(("log", "told"), [("semicomplete_apache_10k", "semicomplete"), ("almhuette_10k", "almhuette")])
def test_real_logs(log: str, told: str, data_dir: Path, label, xbot, tmp_path: Path) -> None:
    """Rules of others labelled these logs: ours never say the opposite, and say enough to train."""
    source, out = data_dir / "logs" / f"{log}.log", tmp_path / "labels"
    xbot("label", "--format", "combined", "--quiet", "--out", out, source)
    ours = [word for word, _ in read(out)]
    theirs = [
        row.split("\t")[1] for row in (data_dir / "logs" / f"{told}.weak_labels.tsv").read_text().splitlines()[1:]
    ]
    counts = Counter(zip(ours, theirs, strict=True))
    assert counts["bot", "human"] == counts["human", "bot"] == 0
    assert ours.count("bot") > 1_500
    assert ours.count("human") > 1_000
    xbot("train", "--quiet", "--format", "combined", "--labels", out, "--out", tmp_path / "m.xbot", source)
