"""Large logs: the same rows whoever reads them, and memory that does not grow with the log."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sidecar.errors import XbotError
from training import dataset

AGENTS = ("curl/8.5.0", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "", "a\\x22b")


def write_log(path: Path, lines: int, seed: int = 1) -> Path:
    """A combined log; every thousandth line is broken."""
    rng = random.Random(seed)
    with path.open("w") as file:
        for number in range(1, lines + 1):
            if number % 1000 == 0:
                file.write("broken\n")
                continue
            file.write(
                f"198.51.{rng.randrange(256)}.{rng.randrange(256)} - - "
                f"[{1 + number * 27 // (lines + 1):02d}/May/2024:10:00:00 +0000] "
                f'"GET /page/{rng.randrange(500)}?q={rng.random()} HTTP/1.1" 200 17 "-" "{rng.choice(AGENTS)}"\n'
            )
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("scale") / "access.log", 60_000)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks in a log that a test can afford."""
    monkeypatch.setattr(dataset, "CHUNK", 1 << 20)


def labels(lines: int) -> dataset.Labels:
    return {line: line % 2 for line in range(1, lines + 1)}


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


def test_two_processes_read_the_same_rows(log: Path, alone: dataset.Dataset) -> None:
    assert same(alone, dataset.read([str(log)], dataset.How("combined", 12, jobs=2), labels=labels(60_000)))


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A real Dask cluster on this machine: a scheduler and two worker processes."""
    distributed = pytest.importorskip("distributed", reason="needs a Dask cluster: pip install distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as local:
        yield local.scheduler_address


def test_a_dask_cluster_reads_the_same_rows(log: Path, alone: dataset.Dataset, cluster: str) -> None:
    how = dataset.How("combined", 12, scheduler=cluster)
    assert same(alone, dataset.read([str(log)], how, labels=labels(60_000)))


def test_the_command_takes_a_cluster(log: Path, cluster: str, tmp_path: Path, xbot) -> None:
    marks = tmp_path / "labels.tsv"
    marks.write_text("".join(f"{n}\t{'bot' if n % 2 else 'human'}\n" for n in range(1, 2001)))
    short = tmp_path / "short.log"
    short.write_bytes(b"".join(log.open("rb").readlines()[:2000]))
    plain, clustered = tmp_path / "plain.xbot", tmp_path / "clustered.xbot"
    # These labels mean nothing, so the machine may well refuse them; what counts is that both ways agree.
    runs = []
    for out, extra in ((plain, []), (clustered, ["--backend", "dask", "--scheduler", cluster])):
        command = [sys.executable, "-m", "sidecar", "train", "--quiet", "--format", "combined", "--labels", marks]
        runs.append(subprocess.run([*command, *extra, "--out", out, short], capture_output=True, check=False))
    assert runs[0].returncode == runs[1].returncode
    assert runs[0].stderr == runs[1].stderr
    assert plain.exists() == clustered.exists()
    if plain.exists():
        assert plain.read_bytes() == clustered.read_bytes()


def test_no_cluster_there_is_said(log: Path) -> None:
    pytest.importorskip("distributed", reason="needs: pip install distributed")
    with pytest.raises(XbotError, match="no Dask scheduler answers"):
        dataset.read([str(log)], dataset.How("combined", 12, scheduler="tcp://127.0.0.1:9"))


def peak(log: Path) -> int:
    """Peak memory, in KiB, of a process of its own that featurizes the log."""
    code = (
        "import resource, sys\nfrom training import dataset\ndataset.CHUNK = 1 << 20\n"
        "dataset.read([sys.argv[1]], dataset.How('combined', 12, jobs=1))\n"
        "status = open('/proc/self/status').read()\n"
        "print(int(status.split('RssAnon:')[1].split()[0]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(log)], capture_output=True, text=True, check=True, env={**os.environ}
    )
    return int(done.stdout.split()[0])


def test_memory_follows_the_chunk_not_the_log(tmp_path: Path) -> None:
    small, large = write_log(tmp_path / "small.log", 20_000), write_log(tmp_path / "large.log", 200_000)
    assert peak(large) < 1.5 * peak(small), "ten times the lines"


def test_jsonl_in_chunks(corpus_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = dataset.read([str(corpus_path)], dataset.How("jsonl", 12, jobs=1))
    monkeypatch.setattr(dataset, "CHUNK", 1 << 16)
    assert same(whole, dataset.read([str(corpus_path)], dataset.How("jsonl", 12, jobs=2)))
    assert (
        len(whole.y)
        == len(corpus_path.read_bytes().splitlines())
        == sum(1 for line in corpus_path.open() if json.loads(line))
    )
