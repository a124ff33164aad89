"""Which xbot this is: its version, and the commit that it was built from.

Law: it reads what the build wrote into commit.txt (setup.py), and needs no git.
"""

from __future__ import annotations

from pathlib import Path

import sidecar

_HERE = Path(__file__).parent


def commit() -> str | None:
    """The commit that it was built from, with `+changes` behind one that is not all of it; None if the build knew none."""
    try:
        return (_HERE / "commit.txt").read_text().strip()
    except FileNotFoundError:
        return None


def said() -> str:
    """Such as `0.2.0 (commit 1a2b3c4d5e6f)`; `0.2.0 (working tree)`; or the version alone, of a build that knew no commit."""
    if built := commit():
        return f"{sidecar.__version__} (commit {built})"
    tree = (_HERE.parent / ".git").exists()
    return f"{sidecar.__version__} (working tree)" if tree else sidecar.__version__
