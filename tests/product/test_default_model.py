"""The default model, sidecar/default.xbot: what it must not refuse, and that its card and its recipe are true.

`make test-long` fits it again, which takes about a minute; `make test` only makes its corpus again.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from places import DATA, ROOT

sys.path.insert(0, str(ROOT / "bench"))

import quality

from sidecar import core, model
from sidecar.sources import records
from training import bounded
from training.corpus import published
from training.corpus.views import combined

PATH = ROOT / "sidecar" / "default.xbot"
CARD = ROOT / "docs" / "default-model.md"
FIXTURES = [msgspec.json.decode(line) for line in (DATA / "false_positives.jsonl").read_bytes().splitlines()]
needs_corpus = pytest.mark.skipif(
    not all(map(find_spec, published.PACKAGES)), reason="needs the packages of the extra `corpus`"
)


@pytest.fixture(scope="module")
def default() -> model.Model:
    return model.load(PATH)


def table(name: str) -> list[list[str]]:
    """The cells of the table between the marks `name` of the card, without its head."""
    begin, end = quality.BEGIN.format(name), quality.END.format(name)
    lines = CARD.read_text().split(begin)[1].split(end)[0].strip().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def verdict(loaded: model.Model, record: dict[str, Any]) -> core.Verdict:
    request = core.Request()
    records.load_record(msgspec.json.encode(record), request)
    return loaded.judge(request)


def refused_kinds(loaded: model.Model) -> set[str]:
    return {row["kind"] for row in FIXTURES if verdict(loaded, row).bot or verdict(loaded, combined(row)).bot}


def test_it_loads_and_is_of_this_version(default: model.Model) -> None:
    """It has all rows, and each bound comes from rows that training saw."""
    assert default.rows == {row.name: row.version for row in (*core.FEATURES, *core.FAMILIES)}
    assert any(0 < upper < 1024 for upper in default.upper)
    assert default.provenance["settings"]["max_fpr"] == 0.0022


def test_what_only_describes_has_no_weight(default: model.Model) -> None:
    """To name another system or browser is free. And nothing speaks for a human."""
    names = [row.name for row in core.FEATURES]
    assert [name for name in bounded.DESCRIPTIONS if default.weight[names.index(name)]] == []
    assert min(default.weight) >= 0


def test_addresses_have_no_weight(default: model.Model) -> None:
    rows = [i for i, row in enumerate(core.FEATURES) if row.group == "ip"]
    assert len(rows) == 5
    assert all(default.weight[i] == 0 for i in rows)
    assert {"ip_net", *(core.FEATURES[i].name for i in rows)} <= set(default.provenance["settings"]["without"])


def test_no_address_changes_a_verdict(default: model.Model) -> None:
    """A family of words shares its buckets with all others, so its absence is seen by its effect only."""
    for row in FIXTURES[::7]:
        margins = {verdict(default, row | {"ip": ip}).margin for ip in ("192.0.2.1", "203.0.113.77", "2001:db8::1")}
        assert len(margins) == 1, row["what"]


def test_the_fixtures_are_many_and_different() -> None:
    assert len(FIXTURES) >= 60
    assert len({row["what"] for row in FIXTURES}) == len(FIXTURES)
    assert len({row["kind"] for row in FIXTURES}) >= 12


@pytest.mark.parametrize("row", FIXTURES, ids=lambda row: f"{row['kind']}: {row['what']}")
def test_nobody_is_refused_who_is_not_on_the_card(default: model.Model, row: dict[str, Any]) -> None:
    refused = {
        name: found.reason
        for name, record in (("capture", row), ("combined log", combined(row)))
        if (found := verdict(default, record)).bot
    }
    listed = {kind for kind, *_ in table("refused")}
    assert not refused or row["kind"] in listed, f"refused, and not on the card: {refused}"


def test_the_card_lists_nobody_who_is_not_refused(default: model.Model) -> None:
    assert {kind for kind, *_ in table("refused")} == refused_kinds(default)
    assert all(why for _, why, *_ in table("refused"))


def same_packages() -> None:
    """Skips, naming them, where the corpus' packages are not those that the card names."""
    wanted = dict(table("packages"))
    assert set(wanted) == set(published.PACKAGES.values())
    for name, release in wanted.items():
        if version(name) != release:
            pytest.skip(f"{name} is {version(name)} here, {release} where the model was made")


def recipe(name: str) -> str:
    """What `make model` is told: ROWS, SESSIONS, DATE, OPTIONS."""
    found = re.search(rf"^MODEL_{name}\s*:=\s*(.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found
    return found[1]


def make_corpus(place: Path) -> Path:
    """The corpus as `make model` makes it."""
    out = place / "corpus.jsonl"
    words = ["training.corpus", "--views", "--seed", "1", "--rows", recipe("ROWS"), "--out", out]
    subprocess.run([sys.executable, "-m", *words], check=True, cwd=ROOT)
    return out


def make_sessions(place: Path) -> Path:
    """The sessions as `make model` makes them."""
    out = place / "sessions.jsonl"
    words = ["training.corpus.sessions", "--seed", "1", "--rows", recipe("SESSIONS"), "--out", out]
    subprocess.run([sys.executable, "-m", *words], check=True, cwd=ROOT)
    return out


@needs_corpus
@pytest.mark.long
def test_the_recipe_makes_its_corpus(default: model.Model, tmp_path: Path) -> None:
    same_packages()
    (source,) = default.provenance["sources"]
    assert hashlib.sha256(make_corpus(tmp_path).read_bytes()).hexdigest() == source["sha256"]


@needs_corpus
@pytest.mark.long
def test_the_recipe_makes_it_byte_for_byte(default: model.Model, tmp_path: Path, xbot) -> None:
    same_packages()
    here = {
        "numpy": np.__version__,
        "python": platform.python_version(),
        "scikit-learn": version("scikit-learn"),
        "scipy": version("scipy"),
    }
    if (made := default.provenance["versions"]) != here:
        pytest.skip(f"made with {made}, here is {here}")
    out = tmp_path / "default.xbot"
    command = [Path(sys.executable).parent / "xbot", "train", "--quiet", *recipe("OPTIONS").split()]
    command += ["--sessions", make_sessions(tmp_path), "--format", "jsonl", "--out", out]
    environment = os.environ | {"SOURCE_DATE_EPOCH": recipe("DATE")}
    subprocess.run([*command, make_corpus(tmp_path)], check=True, env=environment)
    assert out.read_bytes() == PATH.read_bytes()


@pytest.fixture(scope="module")
def tallies(default: model.Model, data_dir: Path) -> dict[tuple[str, str], quality.Tally]:
    if not find_spec("crawleruseragents"):
        pytest.skip("needs the packages of the extra `corpus`")
    return quality.judge_sets(data_dir, default, lists=False)


def share(tallies: dict[tuple[str, str], quality.Tally], wanted: str, *words: str) -> float:
    """The greatest share called bots of the sets of this label whose name holds all words."""
    found = [
        tally.shares[0] for (name, label), tally in tallies.items() if label == wanted and all(w in name for w in words)
    ]
    assert found, words
    return max(found) if wanted == "human" else min(found)


@pytest.mark.parametrize("words", [("header sets: browsers",), ("loads_assets",), ("by share of traffic",)])
def test_people_are_let_in(tallies: dict[tuple[str, str], quality.Tally], words: tuple[str, ...]) -> None:
    assert share(tallies, "human", *words) <= 0.005


@pytest.mark.parametrize(
    "words", [("declared_ua",), ("empty_ua",), ("plain clients",), ("honeypot", "none"), ("honeypot", "tool")]
)
def test_programs_that_do_not_hide_are_caught(
    tallies: dict[tuple[str, str], quality.Tally], words: tuple[str, ...]
) -> None:
    assert share(tallies, "bot", *words) >= 0.97


def test_bots_in_a_browsers_clothes(
    tallies: dict[tuple[str, str], quality.Tally], capsys: pytest.CaptureFixture[str]
) -> None:
    caught = share(tallies, "bot", "honeypot", "browser")
    with capsys.disabled():
        print(f"\nhoneypot, in a browser's clothes: {caught:.2%} caught")
    assert caught > 0.9


def test_the_cards_figures_are_this_models(tallies: dict[tuple[str, str], quality.Tally]) -> None:
    shown = {(name, wanted): share for name, wanted, _, share, *_ in table("quality")}
    assert shown == {key: f"{100 * tally.shares[0]:.2f}%" for key, tally in tallies.items()}
