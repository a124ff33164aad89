"""Models that several tests need, made once a run by the real command; processes side by side share them."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import compiled
import models
import pytest
from hypothesis import HealthCheck, settings
from packages import reachable, sdist, wheel  # noqa: F401 -- fixtures
from places import ROOT, run_xbot

from sidecar import core, model

# Sidecars of tests that ask for no board have none, whatever this machine has.
os.environ["XBOT_BOARD"] = "none"

# The command is started some thousand times: compiled once, it starts in half the time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

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
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """made_once(name, make) -> the file of this name; whoever comes first makes it by make(path), others wait."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    place = place / "shared"
    place.mkdir(exist_ok=True)

    def once(name: str, make: Callable[[Path], object]) -> Path:
        path, unfinished = place / name, place / f"unfinished.{name}"
        with (place / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                make(unfinished)
                unfinished.rename(path)
        return path

    return once


@pytest.fixture(scope="session")
def sanitized(made_once: Callable[..., Path]) -> list[Path]:
    """The objects of csrc/ under AddressSanitizer and UndefinedBehaviorSanitizer."""

    def make(place: Path) -> None:
        place.mkdir(exist_ok=True)
        compiled.objects(place, compiled.SANITIZE)

    return sorted(made_once("sanitized", make).glob("*.o"))


@pytest.fixture(scope="session")
def corpus_path(made_once: Callable[..., Path]) -> Path:
    """4,000 requests made from packages, jsonl."""
    pytest.importorskip("crawleruseragents", reason="the corpus needs: pip install 'xbot[corpus]'")
    command = [sys.executable, "-m", "training.corpus", "--seed", "1", "--rows", "4000", "--out"]
    return made_once("corpus.jsonl", lambda path: subprocess.run([*command, str(path)], check=True, cwd=ROOT))


TRAIN = ("train", "--quiet", "--stateless", "--format", "jsonl")


@pytest.fixture(scope="session")
def model_path(corpus_path: Path, made_once: Callable[..., Path]) -> Path:
    """A small model that judges ordinary requests sensibly."""
    return made_once("model.xbot", lambda path: run_xbot(*TRAIN, "--without", "ip", "--out", path, corpus_path))


@pytest.fixture(scope="session")
def other_model_path(corpus_path: Path, made_once: Callable[..., Path]) -> Path:
    """Another one, whose scores differ on every request."""
    options = ("-C", "0.001", "--without", "headers")
    return made_once("other.xbot", lambda path: run_xbot(*TRAIN, *options, "--out", path, corpus_path))


@pytest.fixture(scope="session")
def made_model_path(made_once: Callable[..., Path]) -> Path:
    """A model made without fitting, every weight another: for tests of what any model does."""
    return made_once("made.xbot", lambda path: path.write_bytes(models.balanced_image()))


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
def challenge_model_path(challenge_path: Path, made_once: Callable[..., Path]) -> Path:
    """A model fitted on all of them."""
    command = ("train", "--quiet", "--format", "challenge", "--out")
    return made_once("challenge.xbot", lambda path: run_xbot(*command, path, challenge_path))
