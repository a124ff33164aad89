"""Training: the exported machine is scikit-learn's, judged on rows that it did not see; and every log that cannot be
learned from says why.

Law: most of it runs on small logs made here (the challenge format, bots by the rules that are written in `challenge_log`);
the tests on the 10,000 real rows are skipped without XBOT_DATA.
"""

from __future__ import annotations

import concurrent.futures
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote_plus

import pytest
import tables
from hypothesis import given, settings
from hypothesis import strategies as st
from places import XBOT

from sidecar import core, model
from sidecar.commands import cli
from sidecar.errors import XbotError
from sidecar.sources import reading

joblib = pytest.importorskip("joblib", reason="training needs: pip install 'xbot[train]'")
np = pytest.importorskip("numpy", reason="training needs: pip install 'xbot[train]'")
dataset = pytest.importorskip("training.dataset", reason="training needs: pip install 'xbot[train]'")
fit = pytest.importorskip("training.fit", reason="training needs: pip install 'xbot[train]'")
LinearSVC = pytest.importorskip("sklearn.svm", reason="training needs: pip install 'xbot[train]'").LinearSVC
linear = pytest.importorskip("training.linear", reason="training needs: pip install 'xbot[train]'")

DENSE = len(core.FEATURES)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command in this process, where scikit-learn is imported already: here("train", ..., code=2) -> Done."""

    def run(*arguments: object, code: int = 0) -> Done:
        monkeypatch.setattr(sys, "argv", ["xbot", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        done = Done(*capsys.readouterr())
        assert ended.value.code == code, done.stderr
        return done

    return run


class Done(NamedTuple):
    """What a command said."""

    stdout: str
    stderr: str


BROWSERS = [row[4] for row in tables.rows("agents.tsv", 5) if row[2] in ("pc", "smartphone", "tablet")]
TOOLS = [row[4] for row in tables.rows("agents.tsv", 5) if row[2] == "tool"]


def challenge_log(path: Path, rows: int, *, seed: int = 0, bots: float = 0.3, wrong: float = 0.0) -> Path:
    """Labelled rows: bots are tools, or have no agent or no referrer; `wrong` is the share of labels that are turned round."""
    draw, lines = random.Random(seed), []
    for _ in range(rows):
        bot = draw.random() < bots
        agent, referrer = draw.choice(BROWSERS), f"https://www.site{draw.randrange(30)}.example/{draw.randrange(9)}"
        if bot:
            kind = draw.randrange(3)
            agent = draw.choice(TOOLS) if kind == 0 else "" if kind == 1 else agent
            referrer = "" if kind == 2 else referrer
        address = ".".join(str(draw.randrange(1, 255)) for _ in range(4))
        label = "false" if bot != (draw.random() < wrong) else "true"
        lines.append("\t".join([address, quote_plus(agent), quote_plus(referrer), label]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return challenge_log(tmp_path_factory.mktemp("train") / "log.tsv", 600)


def data_of(log: Path, log_format: str = "challenge", k: int = 15, **how: Any) -> Any:
    return dataset.read([str(log)], dataset.How(log_format, k, **how))


def scored(model_path: Path, log: Path, log_format: str = "challenge") -> list[dict[str, Any]]:
    command = [XBOT, "score", "--json", "--model", str(model_path), "--format", log_format, str(log)]
    done = subprocess.run(command, capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


# ---- the exported machine is the fitted one ----


def margins_by_scikit_learn(pipeline: Any, X: Any) -> Any:
    """Naive Bayes has no decision_function: the difference of the classes' joint log-likelihoods is what it decides by."""
    if hasattr(pipeline, "decision_function"):
        return pipeline.decision_function(X)
    odds = pipeline[-1].predict_joint_log_proba(pipeline[:-1].transform(X))
    return odds[:, 1] - odds[:, 0]


def beyond(X: Any) -> Any:
    """The rows with dense values that training did not see: far larger ones and negative ones, 0 where there was a value."""
    X = X.astype(np.float64)
    dense = X.indices < DENSE
    factor = np.random.default_rng(2).choice([-1.0, 0.0, 1.0, 3.0, 1e4], len(X.data))
    X.data[dense] *= factor[dense]
    return X


def check_margins(model_path: Path, pipeline_path: Path, log: Path) -> None:
    """The margins of `xbot score`, and those that calibration and threshold go by, are the fitted pipeline's on every
    row; some rows lack some values."""
    data, pipeline = data_of(log), joblib.load(pipeline_path)
    assert np.isnan(data.X.data).any()
    wanted = margins_by_scikit_learn(pipeline, data.X)
    found = np.array([one["margin"] for one in scored(model_path, log)])
    assert len(found) == len(wanted) == len(log.read_bytes().splitlines())
    assert np.abs(found - wanted).max() <= 1e-9
    assert np.std(wanted) > 0.1
    rows = np.random.default_rng(1).permutation(len(wanted))[:300]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear, "CHUNK", 77)
        assert np.abs(linear.margins_of(pipeline, data.X, rows) - wanted[rows]).max() <= 1e-9
        far = beyond(data.X)
        assert (
            np.abs(linear.margins_of(pipeline, far, rows) - margins_by_scikit_learn(pipeline, far)[rows]).max() <= 1e-9
        )


@pytest.mark.parametrize("kind", fit.KINDS)
def test_margins_are_those_of_scikit_learn(here, log: Path, tmp_path: Path, kind: str) -> None:
    out, kept = tmp_path / "m.xbot", tmp_path / "pipeline"
    here("train", "--quiet", "--format", "challenge", "--model", kind, "-C", "1", "--out", out, "--pipeline", kept, log)
    check_margins(out, kept, log)


@pytest.mark.parametrize("kind", fit.KINDS)
def test_beyond_what_training_saw_nothing_counts_for_more(here, log: Path, tmp_path: Path, kind: str) -> None:
    """A row with a longer agent and referrer than any of training's has the margin of the longest ones: in the fitted
    pipeline and by the exported file alike. An address in training is never 0 or 255, so both ends are passed."""
    out, kept, far = tmp_path / "m.xbot", tmp_path / "pipeline", tmp_path / "far.tsv"
    here("train", "--quiet", "--format", "challenge", "--model", kind, "-C", "1", "--out", out, "--pipeline", kept, log)
    agents = ["".join(f"x{n % 7};+" for n in range(size)) for size in (60, 100, 200)]
    referrers = [f"http%3A%2F%2Fa.b.c.d.e.f{n}.example%2F" + "p" * n + "%3F" + "q" * n for n in (30, 300, 900)]
    far.write_text(
        "".join(f"{ip}\t{a}\t{r}\tfalse\n" for ip in ("0.0.0.0", "255.255.255.255") for a in agents for r in referrers)
    )
    pipeline, loaded = joblib.load(kept), model.load(out)
    X = data_of(far).X
    dense = X[:, :DENSE].toarray().astype(np.float64)
    assert (np.nan_to_num(dense) > np.array(loaded.upper)).any(axis=1).all()
    assert (np.nan_to_num(dense) < np.array(loaded.lower)).any()
    found = np.array([one["margin"] for one in scored(out, far)])
    assert np.abs(found - margins_by_scikit_learn(pipeline, X)).max() <= 1e-9
    weight = np.array(loaded.weight)[:DENSE] / np.array(loaded.scale)
    assert (
        np.abs((np.nan_to_num(dense) - np.clip(np.nan_to_num(dense), loaded.lower, loaded.upper)) * weight).max() > 0.1
    )


def test_bounds_are_what_training_saw(here, log: Path, tmp_path: Path) -> None:
    """The least and the largest value of each feature over the fitted rows; 0 where no row held it."""
    out = tmp_path / "m.xbot"
    here("train", "--quiet", "--format", "challenge", "--out", out, log)
    dense = data_of(log).X[:, :DENSE].toarray()
    loaded = model.load(out)
    for i, column in enumerate(dense.T):
        held = column[~np.isnan(column)]
        wanted = (held.min(), held.max()) if len(held) else (0.0, 0.0)
        assert (loaded.lower[i], loaded.upper[i]) == wanted
        assert len(held) or (loaded.mean[i], loaded.weight[i]) == (0.0, 0.0)


def test_margins_on_real_rows(here, challenge_path: Path, tmp_path: Path) -> None:
    """All 10,000 of the challenge."""
    out, kept = tmp_path / "m.xbot", tmp_path / "pipeline"
    here("train", "--quiet", "--format", "challenge", "--out", out, "--pipeline", kept, challenge_path)
    data, pipeline = data_of(challenge_path), joblib.load(kept)
    found = np.array([one["margin"] for one in scored(out, challenge_path)])
    assert len(found) == 10_000
    assert np.abs(found - pipeline.decision_function(data.X)).max() <= 1e-9


# ---- rows that were not fitted ----


def check_held_out(log: Path, place: Path, seeds: Sequence[int]) -> None:
    """For each seed: 80% are fitted, and the verdict on every row of the other 20% is right."""
    lines = log.read_bytes().splitlines(keepends=True)

    def wrong(seed: int) -> list[int]:
        order = random.Random(seed).sample(range(len(lines)), len(lines))
        fitted, held_out = order[: len(lines) * 4 // 5], order[len(lines) * 4 // 5 :]
        parts = [place / f"{name}{seed}" for name in ("fitted", "held-out", "model")]
        parts[0].write_bytes(b"".join(lines[i] for i in fitted))
        parts[1].write_bytes(b"".join(lines[i] for i in held_out))
        command = [XBOT, "train", "--quiet", "--format", "challenge", "--out", str(parts[2]), str(parts[0])]
        subprocess.run(command, check=True)
        said = scored(parts[2], parts[1])
        return [
            i
            for i, one in zip(held_out, said, strict=True)
            if (one["verdict"] == "bot") != lines[i].rstrip().endswith(b"false")
        ]

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(wrong, seeds)) == [[] for _ in seeds]


def test_a_fifth_that_was_not_fitted(tmp_path: Path) -> None:
    check_held_out(challenge_log(tmp_path / "log", 1500, seed=4), tmp_path, [1])


def test_a_fifth_of_real_rows_that_was_not_fitted(challenge_path: Path, tmp_path: Path) -> None:
    check_held_out(challenge_path, tmp_path, [1, 2, 3])


# ---- the same again ----


def test_the_same_seed_gives_the_same_file(here, log: Path, tmp_path: Path) -> None:
    """Byte for byte, in two processes whose hashes, threads and number of readers differ. Another seed gives another."""
    command = [
        "train",
        "--quiet",
        "--format",
        "challenge",
        "--seed",
        "7",
        "--out",
        str(tmp_path / "one"),
        "--jobs",
        "2",
    ]
    environment = {**os.environ, "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "4"}
    subprocess.run([XBOT, *command, str(log)], check=True, env=environment)
    for name, seed in (("two", 7), ("other", 8)):
        here("train", "--quiet", "--format", "challenge", "--seed", seed, "--out", tmp_path / name, log)
    one, two, other = ((tmp_path / name).read_bytes() for name in ("one", "two", "other"))
    assert one == two
    assert one != other


def test_the_same_rows_give_the_same_matrix(tmp_path: Path, monkeypatch) -> None:
    """In one chunk, in many, and row by row; lines keep their numbers, and broken ones are counted."""
    log = challenge_log(tmp_path / "log", 300)
    lines = log.read_bytes().splitlines(keepends=True)
    lines[100:100] = [b"broken\n", b"192.0.2.1\ta\tb\n", b"192.0.2.1\t%\tb\ttrue\n"]
    log.write_bytes(b"".join(lines))
    whole = data_of(log)
    monkeypatch.setattr(reading, "BLOCK", 1000)
    monkeypatch.setattr(dataset, "CHUNK", 2000)
    pieces = data_of(log)
    matrix = core.Matrix(15)
    matrix.append_lines("challenge", log.read_bytes(), 1)
    for data in (whole, pieces):
        assert data.unlabelled == 1
        assert data.unreadable == 2
        assert data.first_error.endswith(
            "log:101: line: fewer than 3 fields: expected ip, user_agent, referrer and perhaps true or false"
        )
        assert list(data.line) == [n for n in range(1, 304) if n not in (101, 102, 103)]
        assert len(data.y) == 300
        assert data.X.shape == (300, DENSE + 2**15)
    for name in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(whole.X, name), getattr(pieces.X, name), equal_nan=True)
    assert np.array_equal(whole.client, pieces.client)
    labelled = [i for i, label in enumerate(matrix.label) if label >= 0]
    dense = np.frombuffer(matrix.dense).reshape(-1, DENSE)[labelled]
    held = [i for i, row in enumerate(core.FEATURES) if row.group in ("ip", "ua", "referrer")]
    assert np.array_equal(whole.X[:, :DENSE].toarray()[:, held], dense[:, held].astype(np.float32), equal_nan=True)
    assert np.abs(dense[:, held][~np.isnan(dense[:, held])]).max() < 2**24  # so that float32 holds what the scorer sees
    assert list(whole.y) == [matrix.label[i] for i in labelled]


# ---- what cannot be learned from ----

ROW = "192.0.2.{0}\tagent+{0}\thttp%3A%2F%2Fa.example%2F\t{1}\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("".join(ROW.format(n % 250, "true") for n in range(100)), "no bots in the log"),
        ("".join(ROW.format(n % 250, "false") for n in range(100)), "only bots, no humans in the log"),
        (
            "".join(ROW.format(n % 250, "false" if n < 9 else "true") for n in range(100)),
            "at least 10 rows of each class: 9 bots, 91 humans",
        ),
        (
            "".join(ROW.format(n % 250, "false" if n > 8 else "true") for n in range(100)),
            "at least 10 rows of each class: 91 bots, 9 humans",
        ),
        ("".join(ROW.format(n % 250, "").rsplit("\t", 1)[0] + "\n" for n in range(100)), "no labelled rows in the log"),
        ("", "empty, no line to read"),
        ("nonsense\n" * 30, "no line of 30 could be read"),
        (
            "".join(
                ROW.format(7, "true" if n % 2 else "false").replace("192.0.2.7", f"192.0.2.{n // 2 % 250}")
                for n in range(200)
            ),
            "do not separate the labels",
        ),
    ],
    ids=["no bots", "only bots", "few bots", "few humans", "unlabelled", "empty", "unreadable", "no difference"],
)
def test_a_log_that_cannot_be_learned_from(here, tmp_path: Path, text: str, why: str) -> None:
    log, out = tmp_path / "log", tmp_path / "m.xbot"
    log.write_text(text)
    done = here("train", "--quiet", "--format", "challenge", "--out", out, log, code=2)
    *before, last = done.stderr.splitlines()
    assert last.startswith("xbot: ")
    assert why in last
    assert len(before) <= 1  # the first unreadable line, where there is one
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--without", "ua_nonsense"], "--without ua_nonsense: no group, feature or family of that name"),
        (["--out", "/no/such/place/m.xbot"], "no such directory: /no/such/place"),
        (["--labels", "/no/such/labels"], "/no/such/labels: No such file"),
        (["--known-hosts", "/no/such/hosts"], "/no/such/hosts: No such file"),
        (["--max-fpr", "2"], "--max-fpr"),
        (["--buckets", "7"], "--buckets"),
        (["-C", "0"], "-C"),
        (["--seed", "-1"], "--seed"),
        (["--model", "forest"], "forest"),
        (["-"], "standard input"),
        (["/no/such/log"], "/no/such/log: No such file"),
    ],
)
def test_wrong_arguments_are_named(here, log: Path, tmp_path: Path, arguments: list[str], why: str) -> None:
    done = here("train", "--quiet", "--format", "challenge", "--out", tmp_path / "m.xbot", *arguments, log, code=2)
    assert why in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "m.xbot").exists()


@pytest.mark.parametrize("said", ["x", "", "-1", "1e9", "9" * 30])
def test_a_date_of_the_build_that_is_none_is_one_line(log: Path, tmp_path: Path, said: str) -> None:
    """numpy reads SOURCE_DATE_EPOCH when it is imported: its own traceback was all that one saw."""
    words = [XBOT, "train", "--quiet", "--format", "challenge", "--out", tmp_path / "m.xbot", log]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env=os.environ | {"SOURCE_DATE_EPOCH": said}
    )
    assert (done.returncode, done.stderr) == (
        2, f"xbot: SOURCE_DATE_EPOCH: {said!r} is no number of seconds since 1970\n"
    )  # fmt: skip


def test_lines_that_cannot_be_read_are_told_and_left_out(here, tmp_path: Path) -> None:
    log, out = challenge_log(tmp_path / "log", 200), tmp_path / "m.xbot"
    log.write_bytes(b"192.0.2.1\tonly two\n" + log.read_bytes() + b"192.0.2.1\t%\t\ttrue\n")
    done = here("train", "--quiet", "--format", "challenge", "--out", out, log)
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"xbot: {log}:1: line: fewer than 3 fields: expected ip, user_agent, referrer and perhaps true or false; "
        "2 of 202 lines could not be read"
    ]
    about = model.load(out).provenance
    assert about["rows"] == 200
    assert about["sources"][0]["lines"] == 202
    assert about["sources"][0]["unreadable"] == 2


# ---- what goes in, and what stays out ----


def weights(path: Path) -> tuple[dict[str, float], list[float], dict[str, Any]]:
    loaded = model.load(path)
    dense = dict(zip((row.name for row in core.FEATURES), loaded.weight, strict=False))
    return dense, list(loaded.weight[DENSE:]), loaded.header


@pytest.mark.parametrize("kind", fit.KINDS)
def test_what_is_left_out_has_no_weight(here, log: Path, tmp_path: Path, kind: str) -> None:
    """A feature, a family and a group; and the groups that the log does not hold."""
    out = tmp_path / "m.xbot"
    here(
        "train",
        "--quiet",
        "--model",
        kind,
        "--format",
        "challenge",
        "--without",
        "ua_empty",
        "--without",
        "ua_word",
        "--without",
        "ip",
        "--out",
        out,
        log,
    )
    dense, words, header = weights(out)
    group = {row.name: row.group for row in core.FEATURES}
    assert {
        name for name, weight in dense.items() if weight and group[name] in ("ip", "url", "headers", "client")
    } == set()
    assert dense["ua_empty"] == 0
    assert dense["ua_length"] != 0
    assert dense["ref_empty"] != 0
    families = {row.name for i, row in enumerate(core.FAMILIES) if header["families"] >> i & 1}
    assert families == {"ref_host"}
    if kind != "nb":  # it weighs words that nobody said, too
        assert 0 < sum(weight != 0 for weight in words) <= 30  # the hosts of the log


@pytest.mark.parametrize("kind", fit.KINDS)
def test_absent_groups_have_no_weight(here, log: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "m.xbot"
    here("train", "--quiet", "--format", "challenge", "--model", kind, "--out", out, log)
    dense, _, header = weights(out)
    group = {row.name: row.group for row in core.FEATURES}
    assert {group[name] for name, weight in dense.items() if weight} == {"ip", "ua", "referrer"}
    assert header["groups"] == core.GROUPS["ip"] | core.GROUPS["ua"] | core.GROUPS["referrer"]
    assert {row.name for i, row in enumerate(core.FAMILIES) if header["families"] >> i & 1} == {
        "ip_net",
        "ua_word",
        "ref_host",
    }
    # So what such a log cannot hold does not move a verdict.
    loaded, request = model.load(out), core.Request()
    headers = [(b"User-Agent", b"curl/8"), (b"Referer", b"http://a.example/")]
    request.load_record(headers, True, ip=b"192.0.2.1")
    bare = loaded.judge(request)
    request.load_record(
        [*headers, (b"Accept", b"*/*"), (b"X-Own", b"1")], True, ip=b"192.0.2.1", uri=b"/.git", method=b"POST"
    )
    assert loaded.judge(request).margin == bare.margin


def test_labels_from_a_file(here, tmp_path: Path) -> None:
    """A combined log holds none. Words that are no label leave a line out."""
    draw, log, labels = random.Random(1), tmp_path / "access.log", tmp_path / "labels.tsv"
    lines, marks = [], ["line\tlabel\treason"]
    for number in range(1, 301):
        bot = draw.random() < 0.4
        agent = draw.choice(TOOLS if bot else BROWSERS)
        lines.append(
            f'192.0.2.{draw.randrange(250)} - - [17/May/2015:10:05:03 +0000] "GET /{number} HTTP/1.1" 200 1 "-" "{agent}"'
        )
        marks.append(f"{number}\t{'unsure' if number % 50 == 0 else 'bot' if bot else 'human'}\tbecause")
    log.write_text("\n".join(lines))
    labels.write_text("\n".join(marks))
    out = tmp_path / "m.xbot"
    here("train", "--quiet", "--format", "combined", "--labels", labels, "--out", out, log)
    about = model.load(out).provenance
    assert about["rows"] == 294
    said = scored(out, log, "combined")
    right = sum(
        (one["verdict"] == "bot") == ("\tbot\t" in mark)
        for one, mark in zip(said, marks[1:], strict=True)
        if "unsure" not in mark
    )
    assert right == 294


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1\tbot\nx\tbot\n", "labels.tsv:2: line: expected a line number, a tab and bot or human"),
        ("1\tmaybe\n", "labels.tsv: no line says bot or human"),
        (
            "1\tbot\n5000\thuman\n",
            "labels.tsv: there is a label for line 5000, but the last line is 600: were they made for these logs?",
        ),
    ],
)
def test_labels_that_do_not_fit(here, log: Path, tmp_path: Path, text: str, why: str) -> None:
    labels = tmp_path / "labels.tsv"
    labels.write_text(text)
    done = here(
        "train", "--quiet", "--format", "challenge", "--labels", labels, "--out", tmp_path / "m.xbot", log, code=2
    )
    assert why in done.stderr


def test_known_hosts(here, tmp_path: Path) -> None:
    """A ranked list; the feature then says which referrers are known, in training and after it."""
    draw, log, hosts, out = random.Random(2), tmp_path / "log", tmp_path / "hosts.csv", tmp_path / "m.xbot"
    hosts.write_text("".join(f"{n},known{n}.example\r\n" for n in range(1, 500)) + "\nplain.example\n")
    lines = []
    for n in range(300):
        bot = n % 3 == 0
        host = f"known{draw.randrange(1, 500)}.example" if not bot else f"x{draw.randrange(10**6)}.example"
        lines.append(f"192.0.2.{n % 250}\tMozilla\thttp%3A%2F%2Fwww.{host}%2F\t{'false' if bot else 'true'}")
    log.write_text("\n".join(lines))
    here(
        "train", "--quiet", "--format", "challenge", "--known-hosts", hosts, "--without", "ref_host", "--out", out, log
    )
    loaded, request = model.load(out), core.Request()
    assert loaded.header["n_hosts"] == 500
    margins = {}
    for host, known in (("known499.example", 1), ("PLAIN.example", 1), ("known500.example", 0)):
        request.load_line("challenge", f"198.51.100.1\tMozilla\thttp://www.{host}/".encode())
        verdict, _, parts = loaded.explain(request)
        assert {part.name: part.value for part in parts}["ref_host_known"] == known
        margins[host] = verdict.margin
    assert margins["known499.example"] < margins["known500.example"]  # all else is equal
    (tmp_path / "empty").touch()
    done = here("train", "--format", "challenge", "--known-hosts", tmp_path / "empty", "--out", out, log, code=2)
    assert "empty: empty, no host in it" in done.stderr


# ---- the summary ----


def test_the_summary_tells_what_was_fitted(xbot, log: Path, tmp_path: Path) -> None:
    done = xbot("train", "--format", "challenge", "--out", tmp_path / "m.xbot", log)
    text = done.stdout.decode()
    rows = log.read_text().splitlines()
    bots = sum(row.endswith("false") for row in rows)
    assert f"{len(rows)} rows: {bots} bots, {len(rows) - bots} humans" in text
    for word in (
        "precision",
        "recall",
        "false-positive rate",
        "confusion matrix",
        "strongest features",
        "threshold",
        "m.xbot",
    ):
        assert word in text
    # No progress in a pipe, and no warnings of a library.
    assert all(said.startswith(b"xbot: beware: ") for said in done.stderr.splitlines())


def test_quiet_says_nothing(here, log: Path, tmp_path: Path) -> None:
    done = here("train", "--quiet", "--format", "challenge", "--out", tmp_path / "m.xbot", log)
    assert (done.stdout, done.stderr) == ("", "")


# ---- the fit ----


def objective(pipeline: Any, data: Any, weight: Any, C: float) -> float:
    """What the machine minimises: half the squared norm of its weights (the SVM's bias is one) and C times the loss."""
    margins = np.where(data.y == 1, 1.0, -1.0) * pipeline.decision_function(data.X)
    machine = pipeline[-1]
    norm = float(machine.coef_[0] @ machine.coef_[0])
    if isinstance(machine, LinearSVC):
        return 0.5 * (norm + machine.intercept_[0] ** 2) + C * float(weight @ np.maximum(0, 1 - margins) ** 2)
    return 0.5 * norm + C * float(weight @ np.logaddexp(0, -margins))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of columns that no row holds; training hides it
@pytest.mark.parametrize("C", [0.001, fit.Settings.C, fit.DUAL, 1.01 * fit.DUAL, 3.0])
@pytest.mark.parametrize("kind", ["svm", "logistic"])
def test_the_solver_comes_close_to_the_minimum(noisy: tuple[Path, Path, Path], kind: str, C: float) -> None:
    """Whichever solver the size of C chooses: beside one that is given all the time it wants."""
    data = data_of(noisy[0], k=10)
    weight = fit.row_weights(data.y, data.client)
    mine = fit.make_machine(fit.Settings(kind=kind, C=C)).fit(data.X, data.y, machine__sample_weight=weight)
    exact = fit.make_machine(fit.Settings(kind=kind, C=C))
    exact[-1].set_params(tol=1e-8, max_iter=100_000, **({"dual": False} if kind == "svm" else {}))
    exact.fit(data.X, data.y, machine__sample_weight=weight)
    least = objective(exact, data, weight, C)
    assert least * (1 - 1e-6) <= objective(mine, data, weight, C) <= least * 1.01


@given(
    st.lists(st.tuples(st.integers(0, 9), st.floats(0.001, 100)), min_size=10, max_size=80),
    st.integers(1, 9),
    st.integers(0, 2),
)
def test_a_sample_stands_for_all_rows(rows: list[tuple[int, float]], tenths: int, seed: int) -> None:
    """As many as asked for; heavy rows surely, the others by their weight; each client with what is due to it."""
    client, weight = np.array([c for c, _ in rows], dtype=np.uint64), np.array([w for _, w in rows])
    most = max(1, len(rows) * tenths // 10)
    drawn, share = fit.sample(weight, client, most, seed)
    assert (np.diff(drawn) > 0).all()
    assert len(drawn) == most
    assert ((share > 0) & (share <= 1)).all()
    stood_for = weight[drawn] / share  # a row that is not sure to be drawn stands for the same, whatever its weight
    assert len({round(w, 9) for w in stood_for[share < 1]}) <= 1
    if (share < 1).any():
        each = stood_for[share < 1][0]
        due = np.minimum(1.0, weight / each)
        assert due.sum() == pytest.approx(most, abs=1e-6)
        for one in set(client.tolist()):
            assert abs(np.isin(drawn, np.flatnonzero(client == one)).sum() - due[client == one].sum()) < 1 + 1e-6


def test_a_sample_is_fitted_and_all_rows_are_judged(noisy: tuple[Path, Path, Path]) -> None:
    data = data_of(noisy[0])
    steps: list[None] = []
    whole, part = (
        fit.fit(data, fit.Settings(fit_rows=most, max_fpr=0.2), lambda: steps.append(None)) for most in (2000, 1000)
    )
    assert len(steps) == 2 * fit.Settings().steps
    assert len(part.margins) == len(data.y) == 2000
    assert not np.array_equal(part.margins, whole.margins)
    assert part.figures.true_bots + part.figures.missed_bots == (data.y == 1).sum()
    assert part.figures.roc_auc > whole.figures.roc_auc - 0.03


def test_many_rows_are_calibrated_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(3)
    y = (draw.random(20_000) < 0.3).astype(int)
    margins = draw.normal(2.0 * y - 1.0, 1.0)
    whole = fit.calibrate(margins, y)
    monkeypatch.setattr(fit, "CALIBRATED", 4000)
    assert fit.calibrate(margins, y) == pytest.approx(whole, abs=0.1)


# ---- calibration and threshold ----


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A log of which a tenth is labelled wrongly, another of the same kind, and a model of the first."""
    place = tmp_path_factory.mktemp("noisy")
    fitted, fresh = (challenge_log(place / f"{seed}.tsv", 2000, seed=seed, wrong=0.1) for seed in (11, 12))
    command = [
        XBOT,
        "train",
        "--quiet",
        "--format",
        "challenge",
        "--max-fpr",
        "0.2",
        "--out",
        str(place / "m.xbot"),
        str(fitted),
    ]
    subprocess.run(command, check=True)
    return fitted, fresh, place / "m.xbot"


def test_scores_are_calibrated(noisy: tuple[Path, Path, Path]) -> None:
    """On rows that nobody fitted: better than the base rate, as often right as they say, and ascending with the margin."""
    _, fresh, model_path = noisy
    said = scored(model_path, fresh)
    y = np.array([row.endswith("false") for row in fresh.read_text().splitlines()], dtype=float)
    score, margin = (np.array([one[name] for one in said]) for name in ("score", "margin"))
    brier, base = np.mean((score - y) ** 2), np.mean((y.mean() - y) ** 2)
    assert brier < 0.6 * base
    assert abs(score.mean() - y.mean()) < 0.05
    for low, high in ((0.0, 0.5), (0.5, 1.01)):
        rows = (score >= low) & (score < high)
        assert rows.sum() > 100
        assert abs(score[rows].mean() - y[rows].mean()) < 0.1
    assert np.all(np.diff(score[np.argsort(margin)]) >= 0)
    header = model.load(model_path).header
    assert header["a"] < 0
    assert np.allclose(score, 1 / (1 + np.exp(header["a"] * margin + header["b"])), atol=0.00006)


def test_provenance_holds_the_figures(noisy: tuple[Path, Path, Path]) -> None:
    fitted, _, model_path = noisy
    about = model.load(model_path).provenance
    held = about["held_out"]
    rows = fitted.read_text().splitlines()
    assert about["bots"] == sum(row.endswith("false") for row in rows) == held["true_bots"] + held["missed_bots"]
    assert about["humans"] == len(rows) - about["bots"] == held["true_humans"] + held["false_bots"]
    assert held["false_positive_rate"] == held["false_bots"] / about["humans"] <= 0.2
    assert held["recall"] == held["true_bots"] / about["bots"]
    assert about["created"] == int(fitted.stat().st_mtime)


def test_provenance_says_of_how_many_rows_each_group_was_known(here, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Two of three came with a handshake; a model without a past says nothing, for its rows are no site's traffic."""
    log, lines = tmp_path / "log.jsonl", []
    for n in range(300):
        about: dict[str, Any] = {
            "label": "bot" if n % 2 else "human",
            "time": 1_795_737_600 + n,
            "ip": f"203.0.113.{n % 200}",
        }
        about |= {"method": "GET", "uri": "/", "protocol": "HTTP/1.1", "scheme": "https", "host": "a.example"}
        about["headers"] = [["Host", "a.example"], ["User-Agent", "curl/8" if n % 2 else "Mozilla/5.0"]]
        if n % 3:
            about["tls"] = {"protocol": "TLSv1.3", "ciphers": "TLS_AES_128_GCM_SHA256", "curves": "X25519"}
        lines.append(json.dumps(about))
    log.write_text("\n".join(lines) + "\n")
    for more, wanted in (
        ((), {"ua": 1.0, "referrer": 1.0, "url": 1.0, "headers": 1.0, "tls": 0.6667, "client": 1.0}),
        (("--without", "tls"), {"ua": 1.0, "referrer": 1.0, "url": 1.0, "headers": 1.0, "client": 1.0}),
        (("--stateless",), None),
    ):
        out = tmp_path / "m.xbot"
        here("train", "--format", "jsonl", "--without", "ip", "--out", out, log, *more)
        found = model.load(out).provenance.get("told")
        assert found == (wanted and pytest.approx(wanted, abs=0.01))


_MARGINS = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, -1.0, 5e-324, 1.0000000000000002, 2.5]) | st.floats(-1e9, 1e9), st.booleans()),
    min_size=2,
    max_size=40,
).filter(lambda rows: len({bot for _, bot in rows}) == 2)


@settings(max_examples=400)
@given(_MARGINS, st.sampled_from([0.0, 0.001, 0.1, 0.25, 0.5, 1.0]) | st.floats(0, 1))
def test_the_threshold_keeps_its_promise(rows: list[tuple[float, bool]], max_fpr: float) -> None:
    """At most the given share of humans is called bots, and no threshold that keeps to that catches more."""
    margins, y = np.array([margin for margin, _ in rows]), np.array([int(bot) for _, bot in rows])
    humans = int((y == 0).sum())

    def called(threshold: float) -> tuple[int, int]:
        return int(((margins >= threshold) & (y == 0)).sum()), int(((margins >= threshold) & (y == 1)).sum())

    false_bots, caught = called(fit.choose_threshold(margins, y, max_fpr))
    assert false_bots <= max_fpr * humans
    candidates = [called(float(margin)) for margin in margins]
    assert caught == max([true for false, true in candidates if false <= int(max_fpr * humans)], default=0)


@settings(max_examples=40)
@given(_MARGINS)
def test_calibration_ascends_or_is_refused(rows: list[tuple[float, bool]]) -> None:
    margins, y = np.array([margin for margin, _ in rows]), np.array([int(bot) for _, bot in rows])
    try:
        a, b = fit.calibrate(margins, y)
    except XbotError:
        return
    assert a < 0
    assert math.isfinite(a)
    assert math.isfinite(b)


def test_classes_that_do_not_overlap_give_a_finite_slope() -> None:
    margins = np.concatenate([np.linspace(-2, -1, 500), np.linspace(1, 2, 500)])
    a, b = fit.calibrate(margins, (margins > 0).astype(int))
    scores = fit.sigmoid(margins, a, b)
    assert -100 < a < 0
    assert scores[:500].max() < 0.05
    assert scores[500:].min() > 0.95


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=60).filter(
        lambda rows: len({bot for bot, _ in rows}) == 2
    )
)
def test_rows_weigh_by_client_and_class(rows: list[tuple[bool, int]]) -> None:
    """Each class counts half; a client's rows together as the root of their number; those of nobody as one client each."""
    y, client = np.array([int(bot) for bot, _ in rows]), np.array([c for _, c in rows], dtype=np.uint64)
    weight = fit.row_weights(y, client)
    assert (weight > 0).all()
    assert weight.mean() == pytest.approx(1)
    assert weight[y == 1].sum() == pytest.approx(weight[y == 0].sum())
    for label in (0, 1):
        per_client = {}
        for c in set(client[y == label]) - {0}:
            rows_of = (client == c) & (y == label)
            assert len(set(weight[rows_of])) == 1
            per_client[c] = weight[rows_of][0] * math.sqrt((client == c).sum())
        assert len({round(w, 9) for w in per_client.values()}) <= 1


@given(st.lists(st.integers(0, 40), min_size=60, max_size=200), st.integers(0, 3))
def test_a_client_is_in_one_fold(clients: list[int], seed: int) -> None:
    y = np.array([c % 2 for c in clients])
    data = dataset.Dataset(X=None, y=y, line=y, client=np.array(clients, dtype=np.uint64), time=y, k=8, present=0)
    if min((y == 0).sum(), (y == 1).sum()) < fit.LEAST_ROWS:
        return
    fold, split = fit.folds_of(data, fit.Settings(seed=seed))
    assert set(fold) <= set(range(fit.FOLDS))
    if split == "client":
        for c in set(clients) - {0}:
            assert len(set(fold[data.client == c])) == 1
    for number in range(fit.FOLDS):  # both classes on both sides
        assert len(set(y[fold == number])) == len(set(y[fold != number])) == 2
