"""The linear SVM with bounds: LinearSVC without them; with them inside them, and at a minimum.

Law: small random problems beside scikit-learn, and beside projected gradients; logs as users give them at the end.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tables
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar import core, model
from sidecar.commands import cli
from sidecar.sources import records

joblib = pytest.importorskip("joblib", reason="training needs: pip install 'xbot[train]'")
np = pytest.importorskip("numpy", reason="training needs: pip install 'xbot[train]'")
scipy_sparse = pytest.importorskip("scipy.sparse", reason="training needs: pip install 'xbot[train]'")
LinearSVC = pytest.importorskip("sklearn.svm", reason="training needs: pip install 'xbot[train]'").LinearSVC
bounded = pytest.importorskip("training.bounded", reason="training needs: pip install 'xbot[train]'")
dataset = pytest.importorskip("training.dataset", reason="training needs: pip install 'xbot[train]'")
fit = pytest.importorskip("training.fit", reason="training needs: pip install 'xbot[train]'")

SOME = [0, 1, 2, 3, 4, 5]


def problem(seed: int, rows: int = 120) -> tuple[Any, Any, Any]:
    """(X, y, row weights): some columns centred, some of zeros and ones, one rare, one empty, one that is always 1."""
    draw = np.random.default_rng(seed)
    y = (draw.random(rows) < draw.uniform(0.2, 0.8)).astype(int)
    y[:2] = 0, 1
    centred = draw.normal(0, 1, (rows, 3)) + np.outer(y - 0.5, draw.normal(0, 1, 3))
    words = (draw.random((rows, 6)) < 0.1 + 0.4 * draw.random(6) * np.where(y == 1, 1.0, 0.4)[:, None]).astype(float)
    rare = np.zeros((rows, 1))
    rare[draw.integers(rows)] = 1
    X = np.hstack([centred, words, rare, np.zeros((rows, 1)), np.ones((rows, 1))])
    return scipy_sparse.csr_matrix(X), y, draw.uniform(0.1, 3, rows)


def value_and_gradient(w: Any, b: float, X: Any, y: Any, weight: Any, C: float) -> tuple[float, Any, float]:
    """The problem as it is written, once more and plainly."""
    sign = np.where(y == 1, 1.0, -1.0)
    short = np.maximum(0, 1 - sign * (X @ w + b))
    pull = -2 * C * weight * sign * short
    return 0.5 * w @ w + C * weight @ short**2, w + X.T @ pull, pull.sum()


def ranges(X: Any) -> Any:
    X = X.toarray()
    return np.maximum(X.max(axis=0), 0) - np.minimum(X.min(axis=0), 0)


@pytest.mark.parametrize("seed", SOME)
@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("C", [0.01, 1.0])
def test_without_bounds_it_is_linear_svc(seed: int, dual: bool, C: float) -> None:
    """LinearSVC makes its bias small by a share of 1 / intercept_scaling²: with a large one it hardly does."""
    X, y, weight = problem(seed)
    mine = bounded.BoundedSVC(C=C, most_against=np.inf, tol=1e-9).fit(X, y, sample_weight=weight)
    theirs = LinearSVC(C=C, dual=dual, tol=1e-9, max_iter=2_000_000, intercept_scaling=30.0, random_state=0)
    theirs.fit(X, y, sample_weight=weight)
    assert np.abs(mine.coef_ - theirs.coef_).max() < 2e-3
    assert np.abs(mine.decision_function(X) - theirs.decision_function(X)).max() < 5e-3
    least = value_and_gradient(mine.coef_[0], mine.intercept_[0], X, y, weight, C)[0]
    assert least <= value_and_gradient(theirs.coef_[0], theirs.intercept_[0], X, y, weight, C)[0] * (1 + 1e-9)
    far = np.abs(theirs.decision_function(X)) > 0.01
    assert np.array_equal(mine.predict(X)[far], theirs.predict(X)[far])


@given(
    st.integers(0, 2**31),
    st.sampled_from([0.0, 0.01, 0.2, np.inf]),
    st.sampled_from([0.05, 0.5, np.inf]),
    st.sampled_from([0.01, 0.3, 10.0]),
)
@example(seed=7292782, against=0.0, most=np.inf, C=10.0)  # a step that changed nothing ended it before the minimum
@settings(max_examples=60, deadline=None)
def test_within_bounds_and_at_a_minimum(seed: int, against: float, most: float, C: float) -> None:
    """The conditions of Karush, Kuhn and Tucker: no weight outside its bounds; where one lies inside them the gradient is 0,
    and at a bound it points outwards."""
    X, y, weight = problem(seed)
    machine = bounded.BoundedSVC(C=C, most_against=against, most_for=most, tol=1e-9, max_iter=20_000)
    machine.fit(X, y, sample_weight=weight)
    w, b = machine.coef_[0], machine.intercept_[0]
    span = ranges(X)
    assert (w * span >= -against * (1 + 1e-12)).all()
    assert (w * span <= most * (1 + 1e-12)).all()
    assert w[span == 0].tolist() == [0.0]
    _, gradient, at_bias = value_and_gradient(w, b, X, y, weight, C)
    small = 1e-5 * C * weight.sum()
    assert abs(at_bias) < small
    low, high = w * span <= -against + 1e-9, w * span >= most - 1e-9
    assert (np.abs(gradient[~low & ~high]) < small).all()
    assert (gradient[low & (span > 0)] > -small).all()
    assert (gradient[high & (span > 0)] < small).all()


@pytest.mark.parametrize("seed", SOME[:3])
def test_a_bound_for_each_column(seed: int) -> None:
    """Columns that are told so are held; the others find what they find if these are given."""
    X, y, weight = problem(seed)
    free = bounded.BoundedSVC(C=0.3, tol=1e-9).fit(X, y, sample_weight=weight)
    most = np.full(X.shape[1], np.inf)
    largest = int(np.argmax(free.coef_[0] * ranges(X)))
    most[largest] = free.coef_[0, largest] * ranges(X)[largest] / 2
    held = bounded.BoundedSVC(C=0.3, most_for=most, tol=1e-9).fit(X, y, sample_weight=weight)
    assert held.coef_[0, largest] * ranges(X)[largest] == pytest.approx(most[largest])
    assert (held.coef_[0] * ranges(X) <= most * (1 + 1e-12)).all()
    _, gradient, at_bias = value_and_gradient(held.coef_[0], held.intercept_[0], X, y, weight, 0.3)
    others = (np.arange(X.shape[1]) != largest) & (held.coef_[0] > 1e-9)
    assert np.abs(np.append(gradient[others], at_bias)).max() < 1e-5 * 0.3 * weight.sum()


@pytest.mark.parametrize("seed", SOME[:3])
def test_projected_gradients_find_no_less(seed: int) -> None:
    """Beside the plainest way there is: accelerated steps, each put back into the box."""
    X, y, weight = problem(seed)
    C, span = 0.3, np.append(ranges(X), 1.0)
    machine = bounded.BoundedSVC(C=C, most_against=0.02, most_for=0.6, tol=1e-9).fit(X, y, sample_weight=weight)
    lower, upper = np.full(13, -np.inf), np.full(13, np.inf)
    used = np.append(span[:-1] > 0, False)
    lower[used], upper[used] = -0.02 / span[used], 0.6 / span[used]
    ones = np.hstack([X.toarray(), np.ones((X.shape[0], 1))])
    step = 1 / (1 + np.linalg.eigvalsh(2 * C * (ones.T * weight) @ ones)[-1])
    at, before = np.zeros(13), np.zeros(13)
    for n in range(20_000):
        ahead = at + n / (n + 3) * (at - before)
        _, gradient, at_bias = value_and_gradient(ahead[:-1], ahead[-1], X, y, weight, C)
        before, at = at, np.clip(ahead - step * np.append(gradient, at_bias), lower, upper)
    theirs = value_and_gradient(at[:-1], at[-1], X, y, weight, C)[0]
    mine = value_and_gradient(machine.coef_[0], machine.intercept_[0], X, y, weight, C)[0]
    assert mine == pytest.approx(theirs, rel=1e-8)
    assert np.abs(np.append(machine.coef_, machine.intercept_) - at).max() < 1e-4


def test_its_own_tolerance_is_near_enough() -> None:
    for seed in SOME:
        X, y, weight = problem(seed)
        found = []
        for tol in (1e-9, bounded.BoundedSVC().tol):
            machine = bounded.BoundedSVC(C=0.1, tol=tol).fit(X, y, sample_weight=weight)
            found.append(value_and_gradient(machine.coef_[0], machine.intercept_[0], X, y, weight, 0.1)[0])
        assert found[0] * (1 - 1e-9) <= found[1] <= found[0] * 1.0001


def test_a_solver_that_stops_early_says_so() -> None:
    X, y, weight = problem(0)
    with pytest.warns(match="before it converged"):
        bounded.BoundedSVC(C=1.0, max_iter=2).fit(X, y, sample_weight=weight)
    with pytest.raises(ValueError, match="two classes"):
        bounded.BoundedSVC().fit(X, np.ones(len(y)))


LATE = [1, 4, 7]


@pytest.mark.parametrize("seed", SOME)
def test_without_the_last_columns_it_is_the_machine_that_never_saw_them(seed: int) -> None:
    X, y, weight = problem(seed)
    machine = bounded.BoundedSVC(C=0.5, tol=1e-9, last=[LATE]).fit(X, y, sample_weight=weight)
    hidden = X.toarray()
    hidden[:, LATE] = 0.0
    blind = bounded.BoundedSVC(C=0.5, tol=1e-9).fit(scipy_sparse.csr_matrix(hidden), y, sample_weight=weight)
    others = np.setdiff1d(np.arange(X.shape[1]), LATE)
    assert np.array_equal(machine.coef_[0, others], blind.coef_[0, others])
    assert machine.intercept_ == blind.intercept_
    assert np.array_equal(machine.decision_function(hidden), blind.decision_function(hidden))
    assert machine.coef_[0, LATE].any()


def test_sets_of_last_columns_are_fitted_in_turn() -> None:
    """Of the first set nothing depends on the second."""
    X, y, weight = problem(SOME[0])
    both = bounded.BoundedSVC(C=0.5, tol=1e-9, last=[LATE[:2], LATE[2:]]).fit(X, y, sample_weight=weight)
    hidden = X.toarray()
    hidden[:, LATE[2:]] = 0.0
    first = bounded.BoundedSVC(C=0.5, tol=1e-9, last=[LATE[:2]]).fit(hidden, y, sample_weight=weight)
    others = np.setdiff1d(np.arange(X.shape[1]), LATE[2:])
    assert np.array_equal(both.coef_[0, others], first.coef_[0, others])
    assert both.coef_[0, LATE[2:]].any()
    joint = bounded.BoundedSVC(C=0.5, tol=1e-9, last=[LATE]).fit(X, y, sample_weight=weight)
    assert not np.allclose(both.coef_[0, LATE[:2]], joint.coef_[0, LATE[:2]])


@pytest.mark.parametrize("seed", SOME)
@pytest.mark.parametrize("against", [0.0, 0.2])
def test_the_last_columns_are_at_a_minimum_with_the_others_given(seed: int, against: float) -> None:
    X, y, weight = problem(seed)
    C = 0.5
    machine = bounded.BoundedSVC(C=C, most_against=against, tol=1e-9, last=[LATE]).fit(X, y, sample_weight=weight)
    w, span = machine.coef_[0], ranges(X)
    _, gradient, _ = value_and_gradient(w, machine.intercept_[0], X, y, weight, C)
    assert (w * span >= -against * (1 + 1e-12)).all()
    for column in LATE:
        inside = w[column] * span[column] > -against + 1e-9
        small = 1e-5 * C * weight.sum()
        assert abs(gradient[column]) < small if inside else gradient[column] > -small


# ---- as users meet it ----

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process: here("train", ..., code=2) -> (stdout, stderr)."""

    def run(*arguments: object, code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["xbot", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert ended.value.code == code, err
        return out, err

    return run


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captures in which a cookie and a language speak for a human: people have them, tools mostly do not."""
    draw, path = random.Random(5), tmp_path_factory.mktemp("bounded") / "log.jsonl"
    agents = tables.rows("agents.tsv", 5)
    browsers = [row[4] for row in agents if row[2] in ("pc", "smartphone", "tablet")]
    tools = [row[4] for row in agents if row[2] == "tool"]
    lines = []
    for n in range(800):
        bot = draw.random() < 0.4
        headers = [
            ["Host", "a.example"],
            ["User-Agent", draw.choice(tools if bot and draw.random() < 0.6 else browsers)],
        ]
        headers += [["Accept", "*/*"]] * (draw.random() < 0.7)
        headers += [["Accept-Language", "en"]] * (draw.random() < (0.1 if bot else 0.95))
        headers += [["Cookie", "a=b"]] * (draw.random() < (0.02 if bot else 0.6))
        record = {"ip": f"192.0.2.{n % 250}", "uri": f"/{draw.choice('abcd')}/x", "headers": headers}
        lines.append(json.dumps({**record, "label": "bot" if bot else "human"}))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_nothing_in_the_file_speaks_for_a_human(here: Run, log: Path, tmp_path: Path) -> None:
    """With free evidence the same log gives such weights, and an added cookie lowers a bot's margin; bounded, it cannot."""
    lowest, moved = {}, {}
    for evidence in ("free", "bounded"):
        out = tmp_path / evidence
        here("train", "--quiet", "--evidence", evidence, "--split", "row", "--format", "jsonl", "--out", out, log)
        loaded = model.load(out)
        lowest[evidence] = min(loaded.weight)
        request, margins = core.Request(), []
        for more in ([], [(b"Cookie", b"a=b"), (b"Accept-Language", b"en"), (b"X-Any", b"1")]):
            request.load_record([(b"Host", b"a.example"), (b"User-Agent", b"curl/8"), *more], True, uri=b"/a/x")
            margins.append(loaded.judge(request).margin)
        moved[evidence] = margins[1] - margins[0]
        assert loaded.provenance["settings"]["evidence"] == evidence
    assert lowest["free"] < -0.01
    assert moved["free"] < -0.01
    assert lowest["bounded"] >= -fit.TRIFLE
    assert moved["bounded"] >= 0


def test_bounds_keep_the_margins_and_say_their_cost(here: Run, log: Path, tmp_path: Path) -> None:
    """The exported machine is the fitted one; summary and provenance hold what free evidence finds; the file is the same
    each time."""
    outs, kept = [tmp_path / "one", tmp_path / "two"], tmp_path / "pipeline"
    command = ["train", "--evidence", "bounded", "--split", "row", "--format", "jsonl", "--max-fpr", "0.05"]
    said = [here(*command, "--pipeline", kept, "--out", out, log)[0] for out in outs]
    assert outs[0].read_bytes() == outs[1].read_bytes()
    about, pipeline = model.load(outs[0]).provenance, joblib.load(kept)
    assert about["machine"] == "BoundedSVC"
    assert about["bounded"]["trifle"] == fit.TRIFLE
    assert about["bounded"]["recall"] == about["held_out"]["recall"]
    free = tmp_path / "free"
    here(*command, "--quiet", "--evidence", "free", "--out", free, log)
    assert about["bounded"]["recall_free"] == pytest.approx(model.load(free).provenance["held_out"]["recall"], abs=0.02)
    assert "bounded" not in model.load(free).provenance
    assert "recall, free" in said[0]
    assert f"{about['bounded']['recall_free']:.4f}" in said[0]
    data = dataset.read([str(log)], dataset.How("jsonl", 15, None, dataset.masked_names(("ip",))))
    loaded, request, wanted = model.load(outs[0]), core.Request(), pipeline.decision_function(data.X)
    for line, margin in zip(log.read_bytes().splitlines(), wanted, strict=True):
        records.load_record(line, request)
        assert abs(loaded.judge(request).margin - margin) <= 1e-9


@pytest.mark.parametrize("kind", ["nb", "logistic"])
def test_other_machines_have_no_bounds(here: Run, log: Path, tmp_path: Path, kind: str) -> None:
    command = ["train", "--evidence", "bounded", "--model", kind, "--format", "jsonl", "--out", tmp_path / "m", log]
    assert here(*command, code=2)[1] == f"xbot: --evidence bounded needs --model svm, not {kind}\n"
    assert not (tmp_path / "m").exists()


def test_a_word_of_few_rows_weighs_nothing() -> None:
    rng = np.random.default_rng(3)
    y = np.arange(200) % 2
    common, rare = y * (rng.random(200) < 0.8), np.zeros(200)
    rare[[1, 3, 5]] = 1  # bots alone have it
    X = np.column_stack([common, rare])
    weights = {least: bounded.BoundedSVC(least_rows=least).fit(X, y).coef_[0] for least in (1, 4)}
    assert weights[1][1] > 0
    assert weights[4][1] == 0
    assert weights[4][0] > 0


@pytest.fixture(scope="module")
def handshakes(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same captures; of half of them the handshake is known: of half of these bots, and of few people, a library's."""
    draw, path = random.Random(6), tmp_path_factory.mktemp("handshakes") / "log.jsonl"
    known = {row[0]: row[2] for row in tables.rows("handshakes.tsv", 5)}
    lines = []
    for line in log.read_text().splitlines():
        record = json.loads(line)
        if draw.random() < 0.5:
            library = draw.random() < (0.5 if record["label"] == "bot" else 0.1)
            record["tls"] = {
                "protocol": "TLSv1.3",
                "ciphers": known["curl 7.88, OpenSSL 3.0" if library else "chromium 156"],
            }
        lines.append(json.dumps(record))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_where_the_last_features_are_absent_nothing_changes(here: Run, handshakes: Path, tmp_path: Path) -> None:
    """The model that knows handshakes, and one that was fitted without: one margin and one verdict, handshakes left out; and a
    handshake that nothing speaks against adds nothing."""
    command = ["train", "--quiet", "--evidence", "bounded", "--split", "row", "--max-fpr", "0.05", "--format", "jsonl"]
    loaded = []
    for name, more in (("last", ["--last", "tls"]), ("without", ["--without", "tls"]), ("joint", [])):
        here(*command, *more, "--out", tmp_path / name, handshakes)
        loaded.append(model.load(tmp_path / name))
    cuts = [(math.log(1 / one.threshold - 1) - one.header["b"]) / one.header["a"] for one in loaded]
    assert cuts[0] == pytest.approx(cuts[1], abs=1e-9)
    request, moved, parted = core.Request(), 0, 0
    for line in handshakes.read_text().splitlines():
        record = json.loads(line)
        whole = None
        if "tls" in record:
            records.load_record(line.encode(), request)
            whole = loaded[0].judge(request)
        bare = {name: value for name, value in record.items() if name != "tls"}
        records.load_record(json.dumps(bare).encode(), request)
        with_last, without, joint = (one.judge(request) for one in loaded)
        assert with_last.margin == pytest.approx(without.margin, abs=1e-9)
        assert with_last.bot is without.bot
        parted += abs(joint.margin - without.margin) > 1e-3
        if whole is not None:
            assert whole.margin >= with_last.margin - 1e-9
            moved += whole.margin > with_last.margin + 0.1
    assert moved > 20
    assert parted > 100  # all fitted at once, the others' weights depend on handshakes
    about = loaded[0].provenance["settings"]
    assert set(about["last"]) == {row.name for row in core.FEATURES if row.group == "tls"} - set(about["without"])
    assert {"tls_go", "odd_tls_chrome"} <= set(about["last"])
    assert {"tls_ciphers", "tls_curves"} <= set(about["without"])  # words share buckets: none of them can come last


def test_what_clients_did_comes_after_all_else(here: Run, handshakes: Path, tmp_path: Path) -> None:
    """Of a request whose client is not known, nothing depends on behaviour, neither with a handshake nor without."""
    draw, log = random.Random(3), tmp_path / "log.jsonl"
    records_of = [json.loads(line) for line in handshakes.read_text().splitlines()]
    dated = []
    for i, record in enumerate(records_of):  # programs come in bursts from few addresses
        bot = record["label"] == "bot"
        ip, time = (f"198.51.100.{i % 9}", i) if bot else (f"192.0.2.{draw.randrange(250)}", 60 * i)
        dated.append({**record, "ip": ip, "time": 1_700_000_000 + time, "uri": f"/{i}", "method": "GET"})
    log.write_text("".join(json.dumps(record) + "\n" for record in sorted(dated, key=lambda one: one["time"])))
    command = [
        "train",
        "--quiet",
        "--evidence",
        "bounded",
        "--split",
        "row",
        "--max-fpr",
        "0.05",
        "--format",
        "jsonl",
        "--last",
        "tls",
    ]
    loaded = []
    for name, more in (("last", ["--last", "client"]), ("without", ["--stateless"])):
        here(*command, *more, "--out", tmp_path / name, log)
        loaded.append(model.load(tmp_path / name))
    client = core.GROUPS["client"]
    assert [bool(one.header["groups"] & client) for one in loaded] == [True, False]
    weights = [one.weight[: len(core.FEATURES)] for one in loaded]
    late = [row.group == "client" for row in core.FEATURES]
    assert any(weight for weight, last in zip(weights[0], late, strict=True) if last)
    assert not any(weight for weight, last in zip(weights[1], late, strict=True) if last)
    request, clients, moved, shaken = core.Request(), core.Clients(), 0, 0
    for line in log.read_text().splitlines():
        records.load_record(line.encode(), request)
        shaken += bool(request.present & core.GROUPS["tls"])
        bare, without = (one.judge(request) for one in loaded)
        assert bare.margin == pytest.approx(without.margin, abs=1e-9)
        clients.read(request)
        known = loaded[0].judge(request)
        assert known.margin >= bare.margin - 1e-9
        moved += known.margin > bare.margin + 0.1
        clients.count(request)
    assert moved > 20
    assert shaken > 20


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--last", "tls"], "--last needs --evidence bounded"),
        (["--evidence", "bounded", "--last", "nothing"], "--last nothing: no group, feature or family of that name"),
    ],
)
def test_what_cannot_come_last(here: Run, log: Path, tmp_path: Path, options: list[str], said: str) -> None:
    assert here("train", *options, "--format", "jsonl", "--out", tmp_path / "m", log, code=2)[1] == f"xbot: {said}\n"
    assert not (tmp_path / "m").exists()
