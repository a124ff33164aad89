"""Large logs: the same rows whoever reads them, and memory that does not grow with the log."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sidecar import core, model
from sidecar.errors import XbotError
from training import dataset
from training.labels import Labels

AGENTS = ("curl/8.5.0", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "", "a\\x22b")


def write_log(path: Path, lines: int, seed: int = 1, networks: int = 256) -> Path:
    """A combined log; every thousandth line is broken."""
    rng = random.Random(seed)
    with path.open("w") as file:
        for number in range(1, lines + 1):
            if number % 1000 == 0:
                file.write("broken\n")
                continue
            file.write(
                f"198.51.{rng.randrange(networks)}.{rng.randrange(256) // (256 // networks)} - - "
                f"[{1 + number * 27 // (lines + 1):02d}/May/2024:10:00:00 +0000] "
                f'"GET /page/{rng.randrange(500)}?q={rng.random()} HTTP/1.1" 200 17 "-" "{rng.choice(AGENTS)}"\n'
            )
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("scale") / "access.log", 60_000, networks=4)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks in a log that a test can afford."""
    monkeypatch.setattr(dataset, "CHUNK", 1 << 20)


def labels(lines: int, unlabelled: int = 0) -> Labels:
    """Every second line is a bot's; every so many-th has no label."""
    made, numbers = Labels(), np.arange(1, lines + 1)
    words = [b"bot" if number % 2 else b"human" for number in numbers]
    if unlabelled:
        words[unlabelled - 1 :: unlabelled] = [b"unknown"] * (lines // unlabelled)
    made.set(numbers, words, [b""] * lines)
    return made


def same(a: dataset.Dataset, b: dataset.Dataset) -> bool:
    assert (a.X.indptr == b.X.indptr).all()
    assert (a.X.indices == b.X.indices).all()
    assert np.array_equal(a.X.data, b.X.data, equal_nan=True)
    for name in ("y", "line", "client", "time"):
        assert (getattr(a, name) == getattr(b, name)).all(), name
    assert (a.sources, a.first_error, a.present) == (b.sources, b.first_error, b.present)
    return True


@pytest.fixture(scope="module")
def alone(log: Path) -> dataset.Dataset:
    """Read by this process, in one chunk."""
    return dataset.read([str(log)], dataset.How("combined", 12, jobs=1), labels=labels(60_000))


def test_lines_are_numbered_across_chunks(alone: dataset.Dataset) -> None:
    kept = [line for line in range(1, 60_001) if line % 1000]
    assert alone.line.tolist() == kept
    assert alone.unreadable == 60
    assert alone.first_error.endswith(
        'access.log:1000: line: no fields: expected ip - user [time] "request" status bytes "referrer" "user agent"'
    )


def test_lines_without_a_label_leave_no_trace(log: Path, alone: dataset.Dataset) -> None:
    """They are counted, and their rows are not kept; all others are as they were."""
    some = dataset.read([str(log)], dataset.How("combined", 12, jobs=1), labels=labels(60_000, 3))
    kept = np.flatnonzero(alone.line % 3)
    assert some.unlabelled == len(alone.line) - len(kept) > 19_000
    assert some.X.has_sorted_indices
    whole = alone.X[kept]
    for name in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(some.X, name), getattr(whole, name), equal_nan=True), name
    for name in ("y", "line", "client", "time"):
        assert (getattr(some, name) == getattr(alone, name)[kept]).all(), name
    assert not some.X.data.flags.owndata
    assert not some.X.indices.flags.owndata


@pytest.fixture(scope="module")
def stateless(log: Path) -> dataset.Dataset:
    """Each line by itself, read by this process."""
    return dataset.read([str(log)], dataset.How("combined", 12, stateless=True, jobs=1), labels=labels(60_000))


def test_two_processes_read_the_same_rows(log: Path, stateless: dataset.Dataset) -> None:
    how = dataset.How("combined", 12, stateless=True, jobs=2)
    assert same(stateless, dataset.read([str(log)], how, labels=labels(60_000)))


def past(data: dataset.Dataset) -> np.ndarray:
    """What the rows hold of what clients did before."""
    columns = [i for i, row in enumerate(core.FEATURES) if row.group == "client"]
    return data.X[:, columns].toarray()


def test_rows_know_what_their_clients_did_before(log: Path, alone: dataset.Dataset, stateless: dataset.Dataset) -> None:
    """And are otherwise what they are without it; a client that comes again in a later chunk is known."""
    assert alone.present == stateless.present | core.GROUPS["client"]
    assert not past(stateless).any()
    known = past(alone)
    assert (known[len(known) // 2 :] > 0).any(axis=0).sum() > 2
    others = np.setdiff1d(
        np.arange(alone.X.shape[1]), [i for i, row in enumerate(core.FEATURES) if row.group == "client"]
    )
    left, right = alone.X[:, others], stateless.X[:, others]
    assert np.array_equal(left.indices, right.indices)
    assert np.array_equal(left.data, right.data, equal_nan=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "CHUNK", 1 << 30)
        assert same(alone, dataset.read([str(log)], dataset.How("combined", 12), labels=labels(60_000)))


def test_several_logs_are_read_by_time(log: Path, tmp_path: Path) -> None:
    """The rows of two that lie side by side are those of the one that is sorted, each with the label of its own line."""
    whole = [line for line in log.read_bytes().splitlines(keepends=True) if line != b"broken\n"][:20_000]
    rng = random.Random(4)
    which = [rng.random() < 0.3 for _ in whole]
    parts = [[line for line, other in zip(whole, which, strict=True) if other is side] for side in (False, True)]
    for name, lines in (("whole", whole), ("first", parts[0]), ("second", parts[1])):
        (tmp_path / name).write_bytes(b"".join(lines))
    # Lines of one second come in the order of the logs: so the whole is sorted by time and log.
    order = sorted(range(len(whole)), key=lambda i: (whole[i].split(b"[")[1][:11], which[i]))
    (tmp_path / "whole").write_bytes(b"".join(whole[i] for i in order))
    how = dataset.How("combined", 12)
    one = dataset.read([str(tmp_path / "whole")], how, labels=labels(len(whole)))
    two = dataset.read([str(tmp_path / "first"), str(tmp_path / "second")], how, labels=labels(len(whole)))
    assert (one.X.indices == two.X.indices).all()
    assert np.array_equal(one.X.data, two.X.data, equal_nan=True)
    assert (past(two) > 0).any()
    place, seen = [], [0, len(parts[0])]
    for i in range(len(whole)):
        seen[which[i]] += 1
        place.append(seen[which[i]])
    assert two.line.tolist() == [place[i] for i in order]
    assert (two.y == two.line % 2).all()
    assert [(source.name, source.lines) for source in two.sources] == [
        ("first", len(parts[0])),
        ("second", len(parts[1])),
    ]
    apart = dataset.read(
        [str(tmp_path / "second"), str(tmp_path / "first")], replace(how, stateless=True), labels=labels(len(whole))
    )
    assert apart.line.tolist() == list(range(1, len(whole) + 1))
    assert {source.sha256 for source in apart.sources} == {source.sha256 for source in two.sources}


def test_only_a_stateless_log_is_read_by_many(log: Path, tmp_path: Path, xbot) -> None:
    for options in (["--jobs", "2"], ["--backend", "dask", "--scheduler", "tcp://127.0.0.1:9"]):
        done = xbot("train", "--format", "combined", *options, "--out", tmp_path / "m", log, code=2)
        assert done.stderr == b"xbot: --jobs and --backend dask need --stateless: one process reads the lines by time\n"


def test_a_log_of_one_time_teaches_nothing_of_behaviour(tmp_path: Path, xbot) -> None:
    """Its model does not look at the group; that of the same lines at their times does."""
    lines = [
        f'192.0.2.{n % 40} - - [01/May/2024:10:00:{{}} +0000] "GET /{n} HTTP/1.1" 200 17 "-" "{AGENTS[n % 2]}"\n'
        for n in range(2000)
    ]
    (tmp_path / "labels").write_text("".join(f"{n}\t{'human' if n % 2 == 0 else 'bot'}\n" for n in range(1, 2001)))
    looks = {}
    for name, second in (("one", lambda _: 0), ("many", lambda n: n * 60 // 2000)):
        log, out = tmp_path / f"{name}.log", tmp_path / f"{name}.xbot"
        log.write_text("".join(line.format(f"{second(n):02d}") for n, line in enumerate(lines)))
        xbot("train", "--quiet", "--format", "combined", "--labels", tmp_path / "labels", "--out", out, log)
        looks[name] = bool(model.load(out).header["groups"] & core.GROUPS["client"])
    assert looks == {"one": False, "many": True}


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A real Dask cluster on this machine: a scheduler and two worker processes."""
    distributed = pytest.importorskip("distributed", reason="needs a Dask cluster: pip install distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as local:
        yield local.scheduler_address


def test_a_dask_cluster_reads_the_same_rows(log: Path, stateless: dataset.Dataset, cluster: str) -> None:
    how = dataset.How("combined", 12, stateless=True, scheduler=cluster)
    assert same(stateless, dataset.read([str(log)], how, labels=labels(60_000)))


def test_the_command_takes_a_cluster(log: Path, cluster: str, tmp_path: Path, xbot) -> None:
    marks = tmp_path / "labels.tsv"
    marks.write_text("".join(f"{n}\t{'bot' if n % 2 else 'human'}\n" for n in range(1, 2001)))
    short = tmp_path / "short.log"
    short.write_bytes(b"".join(log.open("rb").readlines()[:2000]))
    plain, clustered = tmp_path / "plain.xbot", tmp_path / "clustered.xbot"
    # These labels mean nothing, so the machine may well refuse them; what counts is that both ways agree.
    runs = []
    for out, extra in ((plain, []), (clustered, ["--backend", "dask", "--scheduler", cluster])):
        command = [
            sys.executable,
            "-m",
            "sidecar",
            "train",
            "--stateless",
            "--quiet",
            "--format",
            "combined",
            "--labels",
            marks,
        ]
        runs.append(subprocess.run([*command, *extra, "--out", out, short], capture_output=True, check=False))
    assert runs[0].returncode == runs[1].returncode
    assert runs[0].stderr == runs[1].stderr
    assert plain.exists() == clustered.exists()
    if plain.exists():
        assert plain.read_bytes() == clustered.read_bytes()


@pytest.mark.long
def test_no_cluster_there_is_said(log: Path) -> None:
    pytest.importorskip("distributed", reason="needs: pip install distributed")
    with pytest.raises(XbotError, match="no Dask scheduler answers"):
        dataset.read([str(log)], dataset.How("combined", 12, stateless=True, scheduler="tcp://127.0.0.1:9"))


def grown(log: Path, marks: Path) -> int:
    """Memory in KiB that featurizing the log takes, in a process of its own: what all files and arrays add to it, at
    the end and at the last chunk, pages of files left out."""
    code = """
import sys
from pathlib import Path
from sidecar.sources import reading
from training import dataset, labels
reading.BLOCK = dataset.CHUNK = 1 << 17
def held():
    return int(open("/proc/self/status").read().partition("RssAnon:")[2].split()[0])
before, most = held(), 0
def seen(done):
    global most
    most = max(most, held())
marks = labels.read_labels(Path(sys.argv[2]))
data = dataset.read([sys.argv[1]], dataset.How("combined", 12, stateless=True, jobs=1), labels=marks, advance=seen)
seen(0)
print(most - before)
"""
    command = [sys.executable, "-c", code, str(log), str(marks)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_memory_follows_the_chunk_not_the_log(tmp_path: Path) -> None:
    """Ten times the lines, a third of them without a label: what grows is some bytes a line, for its label and where
    its row begins; a row itself has 300."""
    sizes = {}
    for lines in (20_000, 200_000):
        log, marks = write_log(tmp_path / f"{lines}.log", lines), tmp_path / f"{lines}.tsv"
        words = ("unknown", "bot", "human")
        marks.write_text("".join(f"{n}\t{words[n % 3]}\tdeclared-crawler\n" for n in range(1, lines + 1)))
        sizes[lines] = grown(log, marks)
    assert sizes[200_000] - sizes[20_000] < 180_000 * 40 // 1024, sizes


def test_jsonl_in_chunks(corpus_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = dataset.read([str(corpus_path)], dataset.How("jsonl", 12, stateless=True, jobs=1))
    by_time = dataset.read([str(corpus_path)], dataset.How("jsonl", 12))
    monkeypatch.setattr(dataset, "CHUNK", 1 << 16)
    assert same(whole, dataset.read([str(corpus_path)], dataset.How("jsonl", 12, stateless=True, jobs=2)))
    assert same(by_time, dataset.read([str(corpus_path)], dataset.How("jsonl", 12)))
    assert (past(by_time) > 0).any()
    assert (
        len(whole.y)
        == len(corpus_path.read_bytes().splitlines())
        == sum(1 for line in corpus_path.open() if json.loads(line))
    )
