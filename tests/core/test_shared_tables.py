"""The tables that workers share, under several threads at once, by ThreadSanitizer and by what comes out of them.

What they mean is tested by tests/c/board/test_handshakes.c and tests/c/clients/; handshakes through a real nginx in
tests/nginx/test_nginx_tls.py.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from compiled import CSRC, ENVIRONMENT, SUPPORT, gcc

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


@pytest.mark.parametrize("name", ["race_handshakes", "race_clients"])
def test_races(name: str, tmp_path: Path) -> None:
    """No handshake that is found is torn, or another key's; every count could have been counted; and no access is a data race."""
    sources = [
        SUPPORT / f"{name}.c",
        *CSRC.glob("board/*.c"),
        *CSRC.glob("clients/*.c"),
        *CSRC.glob("base/*.c"),
        *CSRC.glob("request/*.c"),
    ]
    gcc("-fsanitize=thread", *sources, "-lpthread", "-o", tmp_path / name)
    done = subprocess.run([tmp_path / name, "2"], capture_output=True, env=ENVIRONMENT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    assert b" checks, 0 failures" in done.stdout
