"""Models that several tests need, made once a run by the real command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import models
import pytest
from hypothesis import HealthCheck, settings
from packages import reachable, sdist, wheel  # noqa: F401 -- fixtures
from places import ROOT, run_xbot

from sidecar import core, model

# Sidecars of tests that ask for no board have none, whatever this machine has.
os.environ["XBOT_BOARD"] = "none"

# A shell starts what it sends to the background with Ctrl-C ignored; what is started here must not inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A loaded machine is no failure: no example has a time to keep.
settings.register_profile(
    "xbot", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("xbot")


# Files that take longest begin first: with files side by side, none is left to run alone at the end.
LONG = (
    "test_training_docs",
    "test_report",
    "test_train",
    "test_package",
    "test_bench",
    "test_sidecar",
    "test_default_model",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "reachable" in getattr(item, "fixturenames", ()):  # asks the package index
            item.add_marker(pytest.mark.servers)
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture(scope="session")
def xbot():
    """The command as a function: xbot("score", ..., stdin=b"", code=0) -> CompletedProcess."""
    return run_xbot


@pytest.fixture(scope="session")
def corpus_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4,000 requests made from packages, jsonl."""
    pytest.importorskip("crawleruseragents", reason="the corpus needs: pip install 'xbot[corpus]'")
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    command = [sys.executable, "-m", "training.corpus", "--out", str(path), "--seed", "1", "--rows", "4000"]
    subprocess.run(command, check=True, cwd=ROOT)
    return path


@pytest.fixture(scope="session")
def model_path(corpus_path: Path) -> Path:
    """A small model that judges ordinary requests sensibly."""
    path = corpus_path.with_name("model.xbot")
    run_xbot("train", "--quiet", "--stateless", "--format", "jsonl", "--without", "ip", "--out", path, corpus_path)
    return path


@pytest.fixture(scope="session")
def other_model_path(corpus_path: Path) -> Path:
    """Another one, whose scores differ on every request."""
    path = corpus_path.with_name("other.xbot")
    run_xbot(
        "train",
        "--quiet",
        "--stateless",
        "--format",
        "jsonl",
        "-C",
        "0.001",
        "--without",
        "headers",
        "--out",
        path,
        corpus_path,
    )
    return path


@pytest.fixture(scope="session")
def made_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model made without fitting, every weight another: for tests of what any model does."""
    path = tmp_path_factory.mktemp("made") / "made.xbot"
    path.write_bytes(models.balanced_image())
    return path


@pytest.fixture(scope="session")
def made_model(made_model_path: Path) -> core.Model:
    """The same, loaded."""
    return model.load(made_model_path)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real data to test on, named by XBOT_DATA; the tests that need it are skipped without."""
    place = os.environ.get("XBOT_DATA")
    if not place:
        pytest.skip("XBOT_DATA is not set: no real data to test on")
    return Path(place).resolve()


@pytest.fixture(scope="session")
def challenge_path(data_dir: Path) -> Path:
    """The 10,000 labelled rows of the challenge format."""
    return data_dir / "challenge" / "train_data.tsv"


@pytest.fixture(scope="session")
def challenge_model_path(challenge_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model fitted on all of them."""
    path = tmp_path_factory.mktemp("challenge") / "challenge.xbot"
    run_xbot("train", "--quiet", "--format", "challenge", "--out", path, challenge_path)
    return path
