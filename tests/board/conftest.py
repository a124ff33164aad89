"""A directory for a board."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for a board, below one that every user may search."""
    with tempfile.TemporaryDirectory(prefix="xbot-board-") as above:
        path = Path(above, "board")
        path.parent.chmod(0o755)
        path.mkdir(mode=0o755)
        yield path
