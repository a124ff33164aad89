"""Where things are: the tree, the data of the tests, and the command, run to its end.

Law: no other file of the tests works out a path of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import warm

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT / "tests" / "data"
# For small files that are written thousands of times; the system's place for temporary files where there is none in memory.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
XBOT = str(Path(sys.executable).parent / "xbot")


def start_xbot(
    *args: object, stdin: bytes | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs the command to its end, whatever that is."""
    command = [XBOT, *map(str, args)]
    if command[1] in ("train", "report") and stdin is None:
        return warm.run(command, cwd or Path.cwd())
    return subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, check=False)


def run_xbot(*args: object, stdin: bytes | None = None, code: int = 0) -> subprocess.CompletedProcess[bytes]:
    """Runs the command; fails the test if it ends with another code, or with a traceback."""
    done = start_xbot(*args, stdin=stdin)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert done.returncode == code, (done.returncode, done.stderr.decode())
    return done
