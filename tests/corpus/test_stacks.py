"""The handshakes of the corpus (training/corpus/stacks.py): whose they are, what varies, and that nothing else of the corpus depends
on them; and the script that captures them."""

from __future__ import annotations

import math
import random
import re
import sys
from collections import Counter
from importlib.util import find_spec
from typing import Any

import msgspec
import numpy as np
import pytest
from nginx_harness import nginx_binary
from places import ROOT

from sidecar import core
from sidecar.sources import records
from training.corpus import generate, published, stacks
from training.corpus.tables import rows
from training.corpus.views import agent_only, capture, combined, decision_log, unsaid

sys.path.insert(0, str(ROOT / "bench"))
import handshakes

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, published.PACKAGES)), reason="needs the packages of the extra `corpus`"
)
Row = dict[str, Any]
NAMES = [row.name for row in core.FEATURES]
CODE = re.compile(r"0x[0-9a-f]{4}$")
KNOWN = set(
    re.findall(
        r'^XB_(?:SUITE|GROUP)\(0x\w{4}, "([^"]+)"\)', (ROOT / "csrc/request/suites.def").read_text(), re.MULTILINE
    )
)


@pytest.fixture(scope="module")
def corpus() -> list[Row]:
    return list(generate(3, 16_000))


@pytest.fixture(scope="module")
def told(corpus: list[Row]) -> list[Row]:
    return [row for row in corpus if "tls" in row]


def seen(row: Row) -> dict[str, float]:
    """The features of a row."""
    request = core.Request()
    records.load_record(msgspec.json.encode(row), request)
    return dict(zip(NAMES, request.features(15)[0], strict=True))


def odd(row: Row) -> set[str]:
    return {name for name, value in seen(row).items() if name.startswith("odd_tls_") and value == 1}


def agent(row: Row) -> str:
    return next((value for name, value in row["headers"] if name.lower() == "user-agent"), "")


# ---- the table ----


def test_a_row_is_in_nginxs_words_and_says_where_it_comes_from() -> None:
    for row in rows("stacks.tsv"):
        stack, since, until, share, protocol, ciphers, curves, alpn, source = row
        assert re.fullmatch(r"(captured|published): \S.+", source), stack
        assert protocol in ("TLSv1.2", "TLSv1.3"), stack
        assert alpn in ("h2|http/1.1", "http/1.1", "-"), stack
        assert float(share) > 0
        assert since == "-" or until == "-" or int(since) <= int(until), stack
        for member in (*ciphers.split(":"), *curves.split(":")):
            assert member in KNOWN or CODE.match(member) or member == "GREASE", f"{stack}: {member}"


def test_every_stack_that_is_asked_for_is_there_and_no_other() -> None:
    there = {row[0] for row in rows("stacks.tsv")}
    asked = {name for row in rows("tools.tsv") for name in row[4].split("|")} | set(stacks.LIBRARIES)
    browsers = {"chromium", "chromium-embedded", "gecko", "apple", "webkitgtk", "schannel-7", "schannel-10", "android"}
    assert there == asked | browsers | {name for _, name in stacks.PLAIN}


@pytest.mark.parametrize(
    ("claimed", "stack"),
    [
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36", ("chromium", 150)),
        ("Mozilla/5.0 (Linux; Android 14; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Mobile Safari/537.36",
         ("chromium-embedded", 150)),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", ("gecko", 140)),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/150.0.0.0 Mobile/15E148",
         ("apple", 18)),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15", ("webkitgtk", 17)),
        ("Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko", ("schannel-7", 0)),
        ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", None),
        ("MyApp/3 CFNetwork/1410.0.3 Darwin/22.6.0", ("apple", 16)),
        ("Links (2.28; Linux)", ("links", 10)),
    ],
)  # fmt: skip
def test_the_stack_of_a_browser(claimed: str, stack: tuple[str, int] | None) -> None:
    assert stacks.of_browser(stacks.parse(claimed)) == stack


# ---- whose they are ----


def test_people_contradict_nothing(told: list[Row]) -> None:
    people = [row for row in told if row["label"] == "human"]
    assert len(people) > 1500
    wrong = Counter((agent(row), *sorted(odd(row))) for row in people if odd(row))
    assert wrong.total() <= 0.001 * len(people), wrong.most_common(5)


def test_webkitgtk_is_a_persons(told: list[Row]) -> None:
    gtk = [row for row in told if row["label"] == "human" and seen(row)["tls_webkitgtk"] == 1]
    assert gtk
    assert all(seen(row)["tls_gnutls"] == 1 for row in gtk)


def test_a_library_in_a_browsers_clothes_has_its_own_handshake(told: list[Row]) -> None:
    """Most do; exact impersonators among them have the browser's."""
    clothed = [row for row in told if row["label"] == "bot" and re.match(r"Mozilla/5\.0 .*(Chrome/1[3-9]|Firefox/1[3-9])\d", agent(row))
               and not re.search(r"bot|[Cc]rawl|[Ss]pider|Headless|http|@", agent(row))]  # fmt: skip
    assert len(clothed) > 200
    share = np.mean([bool(odd(row)) for row in clothed])
    assert 0.5 < share < 0.97


@pytest.mark.parametrize(
    ("version", "group", "least"), [(120, None, 1.0), (127, "0x6399", 0.7), (140, "0x11ec", 0.7), (150, "0x11ec", 1.0)]
)
def test_a_version_has_its_own_list(version: int, group: str | None, least: float) -> None:
    """Chromium of a desk: no hybrid group, Kyber in 124 to 130, its successor since."""
    claimed = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
    drawn = [stacks.draw_stack(stacks.OWN, claimed, random.Random(n), h2=True) for n in range(300)]
    hybrid = [{"0x6399", "0x11ec"} & set(stack.curves) for stack in drawn if stack]
    assert len(hybrid) == 300
    assert np.mean([found == ({group} if group else set()) for found in hybrid]) >= least
    assert all(stack.ciphers[0] == stack.curves[0] == "GREASE" for stack in drawn if stack)


# ---- what varies ----


def test_grease_is_drawn_for_each_connection(told: list[Row]) -> None:
    drawn = Counter(
        member for row in told for member in row["tls"]["ciphers"].split(":") if handshakes.GREASE.fullmatch(member)
    )
    assert len(drawn) == 16
    assert not any("GREASE" in row["tls"]["ciphers"] for row in told)
    by_connection: dict[tuple[str, int], set[str]] = {}
    for row in told:
        by_connection.setdefault((row["ip"], row["connection"]), set()).add(row["tls"]["ciphers"])
    assert all(len(lists) == 1 for lists in by_connection.values())


def test_requests_of_a_connection_are_counted(told: list[Row]) -> None:
    last: dict[tuple[str, int], int] = {}
    for row in told:
        key = (row["ip"], row["connection"])
        assert row["connection_requests"] == last.get(key, 0) + 1
        last[key] = row["connection_requests"]
    assert {1, 2, 5} <= set(last.values())


def test_nginx_does_not_know_the_groups_of_a_session_resumed_under_tls_1_2(told: list[Row]) -> None:
    for row in told:
        resumed = row["tls"]["reused"] == "r" and row["tls"]["protocol"] == "TLSv1.2"
        assert ("curves" not in row["tls"]) is resumed
    assert 0.02 < np.mean(["curves" not in row["tls"] for row in told]) < 0.2


def test_what_is_agreed_on_is_what_is_spoken(told: list[Row]) -> None:
    for row in told:
        assert row["tls"]["alpn"] in (("h2",) if row["protocol"] == "HTTP/2.0" else ("http/1.1", "-")), row


def test_none_over_plain_http_nor_over_quic(told: list[Row]) -> None:
    assert {row["scheme"] for row in told} == {"https"}
    assert {row["protocol"] for row in told} == {"HTTP/1.1", "HTTP/2.0"}


@pytest.mark.parametrize("trait", ["there", "resumed", "requests"])
def test_what_does_not_depend_on_the_program_does_not_tell_the_class(corpus: list[Row], trait: str) -> None:
    recent = [row for row in corpus if row["scheme"] == "https" and row["protocol"] == "HTTP/2.0"]
    having = [row for row in recent if "tls" in row]
    values = {
        "there": [("tls" in row, row["label"]) for row in recent],
        "resumed": [(row["tls"]["reused"] == "r", row["label"]) for row in having],
        "requests": [(row["connection_requests"] > 1, row["label"]) for row in having],
    }[trait]
    shares = [np.mean([value for value, label in values if label == name]) for name in ("bot", "human")]
    assert abs(shares[0] - shares[1]) < 0.06
    assert min(shares) > 0.1


def test_nothing_else_depends_on_them(corpus: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "TOLD", 0.0)
    bare = [
        {name: row[name] for name in row if name not in ("tls", "connection", "connection_requests")}
        for row in corpus[:3000]
    ]
    assert list(generate(3, 16_000))[:3000] == bare


def test_views_of_poorer_sources_hold_none(told: list[Row]) -> None:
    assert all("tls" in view(told[0]) for view in (capture, decision_log))
    for view in (unsaid, combined, agent_only):
        assert not {"tls", "connection", "connection_requests"} & view(told[0]).keys()
        assert math.isnan(seen(view(told[0]))["tls_13"])


# ---- capturing them ----

TABLE = "# a comment\nopenssl\t-\t-\t3\tTLSv1.2\tA\tB\t-\tcaptured: curl 7.1\nother\t-\t-\t1\tTLSv1.2\tA\tB\t-\tpublished: a book\n"


def test_a_capture_replaces_its_row_and_no_other() -> None:
    offer = handshakes.Offer("TLSv1.3", "C:D", "E", "h2|http/1.1")
    lines = handshakes.merged(TABLE, {"curl": ("8.2", offer), "new": ("1.0", offer)}).splitlines()
    assert lines[0] == "# a comment"
    assert lines[1] == "openssl\t-\t-\t3\tTLSv1.3\tC:D\tE\th2|http/1.1\tcaptured: curl 8.2"
    assert lines[2].endswith("published: a book")
    assert lines[3] == "new\t-\t-\t1\tTLSv1.3\tC:D\tE\th2|http/1.1\tcaptured: new 1.0"
    assert len(lines) == 4


def test_every_captured_row_has_its_client() -> None:
    known = {client.name for client in handshakes.clients()}
    captured = {
        row[-1].removeprefix(handshakes.CAPTURED).rpartition(" ")[0]
        for row in rows("stacks.tsv")
        if row[-1].startswith("captured")
    }
    assert captured == known


@pytest.mark.skipif(not nginx_binary(), reason="needs nginx")
def test_a_real_client_through_a_real_nginx(tmp_path: Any) -> None:
    """Python's own, whose suites the same Python can tell."""
    import ssl

    client = next(one for one in handshakes.clients() if one.name == "python")
    handshakes.prepare(tmp_path)
    with handshakes.site(tmp_path) as ports:
        offer = handshakes.offer_of(client, 1, tmp_path, tmp_path, ports)
    assert offer is not None
    # Those of shared keys and passwords, which Debian's Python lists, are offered by nobody who has none.
    names = [suite["name"] for suite in ssl.create_default_context().get_ciphers()]
    wanted = [name for name in names if not re.search("PSK|SRP", name)]
    assert offer.ciphers.split(":")[: len(wanted)] == wanted or set(wanted) <= set(offer.ciphers.split(":"))
    assert (offer.protocol, offer.alpn) == ("TLSv1.3", "-")
    assert "X25519" in offer.curves.split(":")
