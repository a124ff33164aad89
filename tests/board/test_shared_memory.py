"""Memory that processes share, in large pages: it is the same memory."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from sidecar.board import memory


@pytest.mark.parametrize("lacks", ["", "_POPULATE_WRITE", "_COLLAPSE"])
def test_memory_in_large_pages_is_the_same_memory(monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    """Also where the kernel knows nothing of it; what others have mapped stays as it is."""
    data = random.Random(1).randbytes(3 * memory.LARGE_PAGE + 5000)
    fd = memory.writable("pages", data)
    view = memory.mapped(fd)
    if lacks:
        monkeypatch.setattr(memory, lacks, 9999)
    before = Path("/proc/self/maps").read_text().count("memfd:pages")
    gathered = memory.gather(fd)
    assert not (gathered and lacks)
    assert view == data
    view[7] = 1 + data[7] % 255
    assert os.pread(fd, len(data), 0) == bytes(view)
    assert Path("/proc/self/maps").read_text().count("memfd:pages") == before
    assert not memory.gather(memory.writable("small", b"", 4096))
    os.close(fd)
