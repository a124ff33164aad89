"""csrc/ by itself: the programs of tests/c under AddressSanitizer and UndefinedBehaviorSanitizer, and the fuzz targets.

Law: a program of tests/c is one case here; it says what failed and where, and this module only builds and runs it.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest
from compiled import ARGUMENTS, COUNT, ENVIRONMENT, PROGRAMS, SANITIZE, gcc, objects
from places import ROOT

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


def run(program: Path) -> None:
    arguments = map(str, ARGUMENTS.get(program.name, []))
    done = subprocess.run([program, *arguments], capture_output=True, env=ENVIRONMENT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    assert b" checks, 0 failures" in done.stdout


SOURCES = sorted(path for path in PROGRAMS.rglob("test_*.c") if path.stem != "test_cost")


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_program(source: Path, sanitized: list[Path], tmp_path: Path) -> None:
    """Every check of a program holds, and no sanitizer speaks."""
    gcc(*SANITIZE, source, *sanitized, "-lm", "-o", tmp_path / source.stem)
    run(tmp_path / source.stem)


def test_cost(tmp_path: Path) -> None:
    """Work grows with the bytes, not with their square."""
    gcc(PROGRAMS / "test_cost.c", *objects(tmp_path, COUNT), "-lm", "-o", tmp_path / "test_cost")
    run(tmp_path / "test_cost")


def _fuzzing():
    spec = importlib.util.spec_from_file_location("fuzz_run", ROOT / "tests" / "fuzz" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fuzzing = _fuzzing()


@pytest.fixture(scope="session")
def fuzzers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every target that can be built here."""
    place = tmp_path_factory.mktemp("fuzz")
    fuzzing.build([target for target in fuzzing.TARGETS if not fuzzing.missing(target)], place)
    return place


@pytest.mark.long
@pytest.mark.parametrize("target", fuzzing.TARGETS)
def test_fuzz(target: str, fuzzers: Path) -> None:
    """A few seconds from the seeds of tests/data; `make fuzz` goes on for as long as you like."""
    if why := fuzzing.missing(target):
        pytest.skip(f"no fuzzing: {why}")
    done = fuzzing.run(target, fuzzers, seconds=4, most_runs=100_000)
    text = done.stderr.decode("utf-8", "replace")
    assert done.returncode == 0, text[-6000:]
    units = [line.split()[-1] for line in text.splitlines() if line.startswith("stat::number_of_executed_units:")]
    assert int(units[0]) > len(list(fuzzing.seeds(target)))
