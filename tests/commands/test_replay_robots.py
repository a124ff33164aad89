"""`xbot replay --robots`: who fetched what robots.txt forbids, after reading it or without; people are not asked.

Law: what a request is counted as is written out here, by name, proof and client; the addresses are those of the package's lists.
"""

from __future__ import annotations

import gc
import json
import tracemalloc
from pathlib import Path

import msgspec
import pytest

from sidecar import core
from sidecar.commands import judging
from sidecar.replay import heeded
from sidecar.verify import catalogue, ranges, robots

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
GPTBOT, GOOGLEBOT = "Mozilla/5.0 (compatible; GPTBot/1.2)", "Mozilla/5.0 (compatible; Googlebot/2.1)"
ROBOTS = """
User-agent: *
Disallow: /private/
Allow: /private/open
User-agent: GPTBot
User-agent: ClaudeBot
Disallow: /
"""


def address_of(crawler: str, place: int = 0) -> str:
    copies, _ = ranges.newest(None)
    return str(copies[catalogue.load().crawlers[crawler].ranges[0]].networks[place][0])


Asked = tuple[str, str, str, int]  # address, agent, target, status


def visit(ip: str, agent: str, *targets: str) -> list[Asked]:
    return [(ip, agent, target, 200) for target in targets]


def lines(requests: list[Asked]) -> str:
    """The combined format, a second apart."""
    return "".join(
        f'{ip} - - [17/May/2024:10:{n // 60:02}:{n % 60:02} +0000] "GET {uri} HTTP/1.1" {status} 5 "-" "{agent}"\n'
        for n, (ip, agent, uri, status) in enumerate(requests)
    )


@pytest.fixture
def replay(xbot, tmp_path: Path):
    """replay(log, *options) -> (`robots` of the JSON, what is printed)."""

    def run(text: str, *options: object) -> tuple[dict, str]:
        (tmp_path / "a.log").write_text(text)
        (tmp_path / "robots.txt").write_text(ROBOTS)
        out = tmp_path / "a.json"
        done = xbot("replay", "--robots", tmp_path / "robots.txt", "--json", out, *options, tmp_path / "a.log")
        return json.loads(out.read_bytes())["robots"], done.stdout.decode()

    return run


@pytest.fixture
def heed(tmp_path: Path):
    """heed(requests) -> what the JSON says of them, if the model takes nobody for a bot."""
    (tmp_path / "robots.txt").write_text(ROBOTS)
    policies = judging.identifying(None)

    def run(requests: list[Asked]) -> dict:
        heeding, request = heeded.Heeding(str(tmp_path / "robots.txt"), policies), core.Request()
        for line, text in enumerate(lines(requests).splitlines(), 1):
            request.load_line("combined", text.encode())
            heeding.add("a.log", line, request, False)
        return msgspec.to_builtins(heeding.report())

    return run


def of(told: dict, crawler: str, proof: str) -> tuple[int, int, int, int, int]:
    """(requests, reads, after, without, clients) of a row; zeros where there is none."""
    rows = [each for each in told["crawlers"] if (each["crawler"], each["proof"]) == (crawler, proof)]
    assert len(rows) <= 1
    return tuple(rows[0][name] for name in ("requests", "reads", "after", "without", "clients")) if rows else (0,) * 5


def test_who_read_it_and_disobeyed(replay) -> None:
    inside, other = address_of("gptbot"), address_of("gptbot", 1)
    requests = [
        *visit(inside, GPTBOT, "/a", "/robots.txt"),
        *visit(other, GPTBOT, "/b"),  # from elsewhere in its networks: it was read by then
        *visit("9.9.9.8", GPTBOT, "/robots.txt", "/c"),
        *visit("9.9.9.9", GPTBOT, "/b"),  # an impostor shares nothing with another, nor with whom he says to be
        *visit(address_of("googlebot"), GOOGLEBOT, "/robots.txt", "/b", "/private/open1"),
        *visit("9.9.9.7", "ClaudeBot/1", "/robots.txt"),  # its owner publishes no proof: a name is all there is
        *visit("9.9.9.6", "ClaudeBot/1", "/zz"),
    ]
    told, shown = replay(lines(requests))
    assert of(told, "gptbot", "proven") == (3, 1, 1, 1, 2)
    assert of(told, "gptbot", "disproved") == (3, 1, 1, 1, 2)
    assert of(told, "googlebot", "proven") == (3, 1, 0, 0, 0)
    assert of(told, "claudebot", "claimed") == (2, 1, 1, 0, 1)
    row = next(each for each in told["crawlers"] if each["crawler"] == "gptbot" and each["proof"] == "proven")
    assert row["purpose"] == "training"
    assert [(each["ip"], each["uri"], each["line"]) for each in row["examples"]] == [
        (inside, "/a", 1),
        (other, "/b", 3),
    ]
    assert {(each["ip"], each["after"], each["without"]) for each in told["clients"]} == {
        (inside, 0, 1), (other, 1, 0), ("9.9.9.9", 0, 1), ("9.9.9.8", 1, 0), ("9.9.9.6", 1, 0),
    }  # fmt: skip
    assert "read it and kept to it: googlebot\n" in shown
    assert "claudebot" in shown.partition("forbids")[2]


def test_people_need_not_read_it(heed) -> None:
    """A browser counts once it asked for robots.txt; a program does in any case."""
    assert heed(visit("203.0.113.4", CHROME, "/private/x"))["crawlers"] == []
    told = heed(visit("203.0.113.5", CHROME, "/private/y", "/robots.txt", "/private/x"))
    assert of(told, "", "none") == (2, 1, 1, 0, 1)
    told = heed(visit("203.0.113.6", "curl/8.5.0", "/private/x", "/open"))
    assert of(told, "", "none") == (2, 0, 0, 1, 1)


def test_a_bot_to_the_model_counts_in_observing_policies_too(replay, tmp_path) -> None:
    (tmp_path / "x.toml").write_text('[policies.default]\ndeny = ["bad"]\n[lists.bad]\nnetworks = ["203.0.113.0/24"]\n')
    told, shown = replay(lines(visit("203.0.113.4", CHROME, "/private/x")), "--config", tmp_path / "x.toml")
    assert of(told, "", "none") == (1, 0, 0, 1, 1)
    assert "(no crawler's name)" in shown


@pytest.mark.parametrize(("status", "after"), [(200, 1), (304, 1), (404, 0), (403, 0)])
def test_a_robots_txt_that_was_not_given_was_not_read(heed, status, after) -> None:
    told = heed([("9.9.9.9", "curl/8", "/robots.txt", status), ("9.9.9.9", "curl/8", "/private/x", 200)])
    assert of(told, "", "none") == (2, after, after, 1 - after, 1)


def test_of_several_hosts_only_those_given(replay) -> None:
    log = "".join(
        json.dumps({"ip": "9.9.9.9", "method": "GET", "uri": "/private/x", "headers": [["Host", host]]}) + "\n"
        for host in ("www.shop.example:443", "other.example")
    )
    told, _ = replay(log, "--format", "jsonl", "--host", "shop.example")
    assert of(told, "", "none")[3] == 1


@pytest.mark.parametrize(
    ("target", "forbidden"),
    [
        (b"/private/x", True),
        (b"/private/open", False),
        (b"/%70rivate/x", True),
        (b"http://shop.example/private/x", True),
        (b"http://[/private/x", True),
        (b"/robots.txt?x", False),
        (b"//private/x", False),
        (b"*", False),
        (b"", False),
        (b"-", False),
        (b"/private/\xff\xfe", True),
        (b"/private/" + b"a" * 60000, True),
        (b"http://shop.example", False),
    ],
)
def test_targets(target: bytes, forbidden: bool) -> None:
    assert robots.Rules(ROBOTS).forbids(target, ("curl/8",)) == forbidden


def test_memory_is_bounded(heed, monkeypatch) -> None:
    monkeypatch.setattr(heeded, "CLIENTS", 3)
    told = heed([each for i in range(10) for each in visit(f"9.9.9.{i}", "curl/8", "/private/x")])
    assert (len(told["clients"]), told["beyond"]) == (3, 7)
    assert of(told, "", "none") == (10, 0, 0, 10, 3)


def test_many_agents_are_not_remembered_for_ever(monkeypatch) -> None:
    monkeypatch.setattr(robots, "_REMEMBERED", 100)
    rules = robots.Rules(ROBOTS)
    tracemalloc.start()
    sizes = []
    for n in range(4):
        for i in range(1000):
            assert rules.forbids(b"/private/x", (f"{n}-{i}" + "a" * 500,))
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(sizes) < 300_000  # of 2,000,000 bytes of agents


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("none.txt", "none.txt: No such file or directory"),
        ("https://example.com/robots.txt", "https://example.com/robots.txt: not of this machine: "),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(xbot, tmp_path, place, why) -> None:
    (tmp_path / "a.log").write_text(lines(visit("9.9.9.9", "curl/8", "/")))
    said = xbot("replay", "--format", "combined", "--robots", place, tmp_path / "a.log", code=2).stderr.decode()
    assert said.startswith(f"xbot: {why}")
    assert said.count("\n") == 1
