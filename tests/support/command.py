"""The command, run to its end."""

from __future__ import annotations

import subprocess

from places import XBOT


def run_xbot(*args: object, stdin: bytes | None = None, code: int = 0) -> subprocess.CompletedProcess[bytes]:
    """Runs the command; fails the test if it ends with another code, or with a traceback."""
    done = subprocess.run([XBOT, *map(str, args)], input=stdin, capture_output=True, check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert done.returncode == code, (done.returncode, done.stderr.decode())
    return done
