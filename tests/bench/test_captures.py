"""bench/captures.py and bench/cases.py: who is counted as what, and what a case expects."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

sys.path.insert(0, str(ROOT / "bench"))

pytest.importorskip("crawleruseragents", reason="needs the packages of the extra `corpus`")

import captures
import cases
import quality

from sidecar import model

MOST_PEOPLE = 3  # requests of people's browsers that may be refused, of 993; of pages and their parts none
# The share of requests over https, by libraries in a browser's clothes, that are to be caught: by their handshake, and without.
LEAST_LIBRARIES, LEAST_BARE = 0.98, 0.8

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"


def capture(method: str = "GET", uri: str = "/", label: str = "human", **headers: str) -> captures.Capture:
    pairs = [[name.replace("_", "-"), value] for name, value in headers.items()]
    record = {"label": label, "client": "one", "method": method, "uri": uri, "scheme": "https", "headers": pairs}
    return captures.Capture(record, "person")


@pytest.mark.parametrize(
    ("what", "part"),
    [
        ({"Sec_Fetch_Dest": "document", "Accept": "text/html"}, True),
        ({"Sec_Fetch_Dest": "image", "Accept": "image/avif"}, True),
        ({"Sec_Fetch_Dest": "empty", "Accept": "text/html"}, False),
        ({"Sec_Fetch_Dest": "video", "Accept": "*/*", "uri": "/a.png"}, False),
        ({"Accept": "text/html"}, True),
        ({"Accept": "text/html", "method": "POST", "uri": "/contact"}, True),
        ({"Accept": "text/html", "Sec_Purpose": "prefetch"}, False),
        ({"Accept": "*/*", "uri": "/assets/app.js?v=1"}, True),
        ({"Accept": "*/*", "uri": "/api/items"}, False),
        ({"Accept": "*/*", "uri": "/assets/app.js", "Origin": "https://example.com"}, False),
        ({"Accept": "*/*", "method": "OPTIONS"}, False),
        ({"uri": "/ws", "Sec_WebSocket_Key": "x"}, False),
    ],
)
def test_what_is_part_of_a_page(what: dict[str, Any], part: bool) -> None:
    assert capture(**what).part_of_page is part


@pytest.mark.parametrize(
    ("agent", "claims"),
    [
        (CHROME, True),
        (CHROME.replace("Chrome", "HeadlessChrome"), False),
        ("Mozilla/5.0 (compatible; LinkChecker/10.2.1; +https://linkchecker.github.io/linkchecker/)", False),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", True),
        ("curl/8.5.0", False),
        ("", False),
    ],
)
def test_whose_agent_is_a_browsers(agent: str, claims: bool) -> None:
    assert capture(label="bot", User_Agent=agent).claims_browser is claims


def test_counts_are_those_of_the_table_of_kinds(data_dir: Path) -> None:
    found = list(captures.captures(data_dir))
    sent, claiming = Counter(c.client for c in found), Counter(c.client for c in found if c.claims_browser)
    with (data_dir / "captures" / "kinds.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            assert sent[row["client"]] == int(row["requests"])
            if row["label"] == "bot":
                assert claiming[row["client"]] == int(row["claims a browser"]), row["client"]


def test_a_client_is_on_one_side() -> None:
    """The checksum of the name decides, today and tomorrow."""
    assert [captures.side(name) for name in ("curl", "lynx", "axios", "got")] == [
        "kept",
        "kept",
        "looked at",
        "looked at",
    ]


@pytest.mark.parametrize(
    ("expected", "answers"),
    [("bot, bot", ["bot"] * 2), ("human x3", ["human"] * 3), ("human", ["human"]), ("20 verdicts", []), ("bots", [])],
)
def test_what_a_case_expects(expected: str, answers: list[str]) -> None:
    assert cases.Case("one", "evasion", expected, ROOT).answers == answers


def test_a_kind_is_on_the_card_when_a_row_names_it() -> None:
    rows = ["<!-- refused: begin -->", "| kind | why |", "| --- | --- |", "| calendar and contact sync | x |"]
    card = "\n".join([*rows, "<!-- refused: end -->", "| federation |"])
    assert cases.on_card(card, "calendars and contacts")
    assert not cases.on_card(card, "file sync")
    assert not cases.on_card(card, "federation")


def test_the_default_model_on_real_clients(data_dir: Path) -> None:
    tallies = captures.judge(data_dir, model.load(quality.DEFAULT))
    refused = {key: tally for key, tally in tallies.items() if key[0] == "human" and tally.bots}
    assert not [tally.mistakes for key, tally in refused.items() if key[1].endswith(captures.PARTS)]
    assert sum(tally.bots for tally in refused.values()) <= MOST_PEOPLE, [t.mistakes for t in refused.values()]
    for name in captures.SIDES:
        caught = tallies["bot", "library: in clothes", "https", name]
        assert caught.bots / caught.requests >= LEAST_LIBRARIES, name
        assert caught.bare / caught.requests >= LEAST_BARE, name
    people = [tally for key, tally in tallies.items() if key[0] == "human"]
    assert sum(tally.bots for tally in people) <= sum(tally.bare for tally in people)  # a handshake refuses nobody more


def test_the_default_model_on_the_cases(data_dir: Path) -> None:
    loaded, card = model.load(quality.DEFAULT), cases.CARD.read_text(encoding="utf-8")
    assert not [case.name for case in cases.cases(data_dir) if not cases.judge(case, loaded, card)[0]]
