"""The table of clients under several threads at once, by ThreadSanitizer and by what comes out of it.

What it means is tested by tests/c/board/test_clients.c, and what rows make of it by tests/c/test_behaviour.c.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from compiled import CSRC, ENVIRONMENT, SUPPORT, gcc

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


def test_races(tmp_path: Path) -> None:
    """Every number that is read could have been counted; and no access is a data race."""
    sources = [SUPPORT / "race_clients.c", *CSRC.glob("board/*.c"), *CSRC.glob("base/*.c"), *CSRC.glob("request/*.c")]
    gcc("-fsanitize=thread", *sources, "-lpthread", "-o", tmp_path / "race_clients")
    done = subprocess.run(
        [tmp_path / "race_clients", "2"], capture_output=True, env=ENVIRONMENT, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    assert b" checks, 0 failures" in done.stdout
