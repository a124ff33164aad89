"""What a browser needs around it that cannot be told otherwise: a screen that nobody sees, and names that lead to this machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

# Answers for the system's look-ups (libnss-wrapper).
WRAPPER = ("/usr/lib/x86_64-linux-gnu/libnss_wrapper.so", "/usr/lib/aarch64-linux-gnu/libnss_wrapper.so")


def named(home: Path, names: Sequence[str]) -> dict[str, str]:
    """The environment in which a program finds these names on this machine, and any other as before. `home` is for its file."""
    library = next(filter(os.path.exists, WRAPPER), None)
    if not names or library is None:
        return {}
    hosts = home / "hosts"
    hosts.write_text("".join(f"127.0.0.1 {name}\n" for name in ("localhost", *names)))
    return {"LD_PRELOAD": library, "NSS_WRAPPER_HOSTS": str(hosts)}


class Screen:
    """`display`: its name for programs. That of whoever runs this, where there is one; else Xvfb's, until `close`."""

    def __init__(self) -> None:
        self.display = os.environ.get("DISPLAY", "")
        self._process: subprocess.Popen[bytes] | None = None
        if not self.display:
            told, tells = os.pipe()
            command = ["Xvfb", "-displayfd", str(tells), "-screen", "0", "1280x900x24"]
            self._process = subprocess.Popen(command, pass_fds=[tells], stderr=subprocess.DEVNULL)
            os.close(tells)
            with os.fdopen(told) as number:
                self.display = ":" + number.readline().strip()

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
