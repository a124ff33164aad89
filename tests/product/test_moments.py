"""Nobody is refused in an ordinary moment: a real browser does what pages and people do, and the default model judges each request."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

# Over HTTP/1.1, in which the case of names counts, too.
BROWSERS = ["chromium", "firefox", "qtwebengine", "webkit"]


@pytest.mark.long
@pytest.mark.parametrize("browser", BROWSERS)
def test_no_moment_is_refused(browser: str, tmp_path: Path) -> None:
    kept = tmp_path / "moments.jsonl"
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "moments.py", "--browser", browser, "--http1", "--keep", kept],
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    if done.returncode == 2 and "is not installed" in done.stderr:
        pytest.skip(done.stderr.strip())
    asked = {record["uri"] for record in map(json.loads, kept.read_text().splitlines())}
    assert {"/m/link.html", "/m/form_post", "/m/socket", "/m/passed_frame.html", "/m/in_worker.json"} <= asked
    assert len(asked) > 150
    assert done.returncode == 0, done.stdout + done.stderr
