"""Behaviour learned from sessions: nothing else of a model changes by it, and few people are refused for it; and the threshold that
a log's proven clients move."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar import core, model
from sidecar.commands import cli
from sidecar.sources import records
from training.corpus import generate, published
from training.corpus.sessions import generate as sessions
from training.corpus.sessions import logs

np = pytest.importorskip("numpy", reason="training needs: pip install 'xbot[train]'")
behaviour = pytest.importorskip("training.behaviour", reason="training needs: pip install 'xbot[train]'")
pytestmark = pytest.mark.skipif(
    not all(map(find_spec, published.PACKAGES)), reason="needs the packages of the extra `corpus`"
)
PAST = [i for i, row in enumerate(core.FEATURES) if row.group == "client"]


def train(out: Path, *arguments: object) -> model.Model:
    words = [
        "train",
        "--quiet",
        "--evidence",
        "bounded",
        "--buckets",
        "12",
        "--format",
        "jsonl",
        "--out",
        out,
        *arguments,
    ]
    cli.xbot([str(word) for word in words], standalone_mode=False)
    return model.load(out)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("behaviour")
    for name, rows in (("corpus", generate(1, 3000)), ("sessions", sessions(6, 36_000))):
        (place / f"{name}.jsonl").write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return place


@pytest.fixture(scope="module")
def models(place: Path) -> tuple[model.Model, model.Model]:
    """Without sessions, and with them."""
    last = ("--last", "tls", place / "corpus.jsonl")
    bare = train(place / "bare.xbot", "--stateless", *last)
    return bare, train(place / "taught.xbot", "--sessions", place / "sessions.jsonl", *last)


def test_nothing_but_behaviour_changes(models: tuple[model.Model, model.Model]) -> None:
    bare, taught = models
    for name in ("bias", "threshold", "a", "b"):
        assert bare.header[name] == taught.header[name]
    for name in ("weight", "mean", "scale", "lower", "upper"):
        before, after = (np.delete(np.array(getattr(one, name)), PAST) for one in models)
        assert (before == after).all(), name
    assert not np.array(bare.weight)[PAST].any()
    assert bare.header["groups"] | core.GROUPS["client"] == taught.header["groups"]


def test_behaviour_only_speaks_against_a_visitor(models: tuple[model.Model, model.Model]) -> None:
    _, taught = models
    weight, lower, upper = (np.array(getattr(taught, name))[PAST] for name in ("weight", "lower", "upper"))
    assert (weight >= 0).all()
    assert (weight > 0).sum() >= 10
    assert (lower == 0).all()  # a row that is absent adds what 0 adds: nothing
    assert (np.array(taught.mean)[PAST] == 0).all()
    assert (upper[weight > 0] == 1).all()


def test_no_count_carries_a_verdict_alone(models: tuple[model.Model, model.Model], place: Path) -> None:
    """With any one row of behaviour, nine of ten requests of people stay below the threshold."""
    bare, taught = models
    request, margins = core.Request(), []
    for line in (place / "sessions.jsonl").read_bytes().splitlines():
        if b'"label":"human"' in line:
            records.load_record(line, request)
            margins.append(bare.judge(request).margin)
    score, a, b = (bare.header[name] for name in ("threshold", "a", "b"))
    left = (np.log(1 / score - 1) - b) / a - np.quantile(margins, behaviour.ALONE)
    added = np.array(taught.weight)[PAST] / np.array(taught.scale)[PAST]
    assert left > 0
    assert added.max() <= 1.02 * left


def test_programs_are_caught_by_it_and_few_people_refused(models: tuple[model.Model, model.Model]) -> None:
    found = models[1].provenance["sessions"]
    assert found["people_refused"] - found["people_refused_bare"] <= 0.005 * found["people"]
    assert found["programs_caught"] > found["programs_caught_bare"] + 0.05 * found["programs"]
    assert 0 < found["share"] <= 1


@pytest.mark.parametrize("most", [0.0, 0.1, 1.0])
def test_the_share_of_the_weights_is_the_largest_that_spares_people(most: float) -> None:
    draw = np.random.default_rng(1)
    client = np.repeat(np.arange(1, 101, dtype=np.uint64), 4)
    human = client <= 80
    bare, added = draw.normal(-1, 0.4, 400).clip(-2, 0.4), draw.exponential(0.5, 400)
    share = behaviour.largest_share(bare, added, client, human, 0.5, most)

    def refused(part: float) -> int:
        return len(np.unique(client[human & (bare + part * added >= 0.5)]))

    assert refused(share) <= most * 80
    assert share == 1.0 or refused(share + 1 / behaviour.STEPS) > most * 80


def test_who_is_refused_without_behaviour_does_not_count() -> None:
    client = np.arange(1, 11, dtype=np.uint64)
    bare = np.full(10, 2.0)
    assert behaviour.largest_share(bare, np.ones(10), client, np.full(10, True), 0.5, 0.0) == 1.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--evidence", "free"], "--sessions needs --evidence bounded"),
        (["--sessions", "/nowhere.jsonl"], "/nowhere.jsonl: No such file or directory"),
    ],
)
def test_bad_input_is_told_in_one_line(xbot: Any, place: Path, arguments: list[str], said: str) -> None:
    words = ["train", "--evidence", "bounded", "--sessions", place / "sessions.jsonl", *arguments, "--format", "jsonl"]
    done = xbot(*words, "--out", place / "none.xbot", place / "corpus.jsonl", code=2)
    assert done.stderr.decode().strip().splitlines()[-1].endswith(said)


def test_sessions_without_times_teach_nothing(xbot: Any, place: Path) -> None:
    (place / "timeless.jsonl").write_text('{"agent": "x", "ip": "192.0.2.1", "label": "bot"}\n' * 30)
    words = [
        "--evidence",
        "bounded",
        "--sessions",
        place / "timeless.jsonl",
        "--format",
        "jsonl",
        "--out",
        place / "no.xbot",
    ]
    done = xbot("train", "--quiet", *words, place / "corpus.jsonl", code=2)
    assert b"no line tells what its client did before" in done.stderr


@pytest.mark.long
def test_proven_clients_move_the_threshold_within_bounds(place: Path, xbot: Any) -> None:
    log = place / "sites.jsonl"
    sites = [site for site in logs(4, 48_000) if site.place.kind in ("shop", "docs") and site.place.sets]
    kept = [row for site in sites for row in site.records if isinstance(row.get("headers"), list)]
    log.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in kept))
    strict = train(place / "strict.xbot", "--last", "client", "--max-fpr", "0.02", "--max-fpr-clients", "0.005", log)
    lenient = train(place / "lenient.xbot", "--last", "client", "--max-fpr", "0.02", "--max-fpr-clients", "1", log)
    found = strict.provenance["threshold"]
    assert found["proven_clients"] > 50
    assert found["lowest"] == lenient.threshold
    assert found["lowest"] < strict.threshold <= found["highest"]
    assert strict.provenance["held_out"]["false_positive_rate"] < lenient.provenance["held_out"]["false_positive_rate"]
    pytest.importorskip("jinja2", reason="the report needs: pip install 'xbot[report]'")
    page = place / "report.html"
    xbot("report", "--quiet", "--format", "jsonl", "--judge", place / "strict.xbot", "--out", page, log)
    told = re.search(r"Of (\d+) proven clients .* (\d+) were refused at least once", page.read_text())
    assert told is not None
    assert int(told[1]) == found["proven_clients"]
    assert int(told[2]) < int(told[1])
