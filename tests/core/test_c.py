"""csrc/ by itself: the programs of tests/c under AddressSanitizer and UndefinedBehaviorSanitizer.

Law: a program of tests/c is one case here; it says what failed and where, and this module only builds and runs it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from compiled import ARGUMENTS, COUNT, ENVIRONMENT, PROGRAMS, SANITIZE, gcc, objects

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
