"""QtWebEngine in a window of its own (view.py), by the same DevTools as Chromium."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pages.around import Screen, named
from traffic.browsers import Chromium

VIEW = Path(__file__).parent / "view.py"
HAS = """import importlib.util as u, sys
sys.exit(not any(u.find_spec(name) and u.find_spec(name + ".QtWebEngineWidgets") for name in ("PyQt6", "PyQt5")))"""


def installed() -> list[str]:
    """A Python that has QtWebEngine: Debian's. Nothing where it has none."""
    found = [each for each in ("/usr/bin/python3", sys.executable) if Path(each).exists()]
    return [each for each in found if subprocess.run([each, "-c", HAS], capture_output=True).returncode == 0][:1]


class QtWebEngine(Chromium):
    """`program`: a Python that has it. `names` are found on this machine, as older ones are not told so by options."""

    names: Sequence[str] = ()

    async def _run(self) -> int:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        self.screen = Screen()
        own = {
            "DISPLAY": self.screen.display,
            "QTWEBENGINE_REMOTE_DEBUGGING": str(port),
            "QTWEBENGINE_DISABLE_SANDBOX": "1",
        }
        environment = os.environ | own | named(self.profile, self.names)
        command = [*self.program, str(VIEW), str(self.profile), self.languages, *self.flags, "--remote-allow-origins=*"]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return port

    async def stop(self) -> None:
        await super().stop()
        self.screen.close()
