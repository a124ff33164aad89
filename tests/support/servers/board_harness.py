"""A sidecar with a board of its own.

Law: it is asked for by --board, in a directory that the test made. What others do to it is done by them: another user's process,
or a program in C that has csrc/ and nothing else.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from places import XBOT
from sidecar_harness import TIMEOUT, Sidecar

TCP = "127.0.0.1:0"
NOBODY = 65534


def sidecar_on(place: Path, model: Path, *more: object, **extra: Any) -> Sidecar:
    return Sidecar(model, "--board", place, "--admin", TCP, *more, **extra)


def counted(sidecar: Sidecar) -> float:
    """How many requests got a verdict."""
    return sidecar.counted("xbot_requests_total")


def refused(*arguments: object) -> str:
    """The one line of a sidecar that does not start."""
    command = [XBOT, "serve", "--listen", TCP, "--workers", "1", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT)
    lines = [line for line in done.stderr.decode().splitlines() if not line.startswith("{")]
    assert done.returncode == 2, done.stderr.decode()
    assert len(lines) == 1, lines
    return lines[0]
