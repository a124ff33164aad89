"""A machine of its own for commands that a page says to type: `/etc`, `/run`, `/usr`, network and processes are not this machine's.

    with Machine() as machine:
        done = machine.run("nginx -t && nginx -s reload")

Law: it has this machine's programs, and nothing that is done in it is left: a root with a layer in memory on top, a network of
its own with nothing but the loopback, and processes that end with it. Needs root, as the pages do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from places import ROOT

_SETUP = """
set -eu
mount -t tmpfs layers /mnt
mkdir /mnt/up /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/work overlay /mnt/root
cd /mnt/root
mount -t proc proc proc; mount -t tmpfs tmpfs run; mount -t tmpfs tmpfs tmp; mount --rbind /dev dev
chmod 1777 tmp
for place in "$@"; do mkdir -p ".$place"; mount --rbind "$place" ".$place"; done
ip link set lo up
echo ready
exec chroot . sleep infinity
"""
_SECONDS = 120  # that one command may take


def missing() -> str:
    """Why there can be no such machine here: "" if it can."""
    if os.geteuid() != 0:
        return "only root can have a machine of its own"
    try:
        with Machine() as machine:
            machine.run("true", check=True)
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        return f"no machine of its own: {error}"
    return ""


class Machine:
    """`run` runs a line by its shell, in `site`, a directory of its own."""

    site = "/srv/site"

    def __enter__(self) -> Machine:
        places = dict.fromkeys((str(ROOT), sys.prefix, sys.base_prefix))
        words = [
            "unshare",
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "bash",
            "-c",
            _SETUP,
            "setup",
            *places,
        ]
        self._outer = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._outer.stdout
        assert self._outer.stderr
        if self._outer.stdout.readline() != "ready\n":
            raise RuntimeError(self._outer.stderr.read().strip())
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        self._inner = int(children.read_text().split()[0])
        while Path(f"/proc/{self._inner}/comm").read_text() != "sleep\n":
            time.sleep(0.01)
        self.root = Path(f"/proc/{self._inner}/root")
        self.path(self.site).mkdir(parents=True)
        self._started: dict[int, subprocess.Popen[str]] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self._outer.kill()  # and with it process 1 of the machine, and so all
        for each in (*self._started.values(), self._outer):
            each.communicate()

    def path(self, inside: str | Path) -> Path:
        """A file of the machine, as seen from here."""
        return self.root / str(inside).lstrip("/")

    def write(self, inside: str | Path, text: str | bytes) -> None:
        """Writes a file of the machine, and the directories above it."""
        file = self.path(inside)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)

    def _words(self, line: str) -> list[str]:
        path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = ["env", "-i", f"PATH={path}", "HOME=/root", "LC_ALL=C.UTF-8", "TERM=dumb"]
        inside = [f"--target={self._inner}", "--mount", "--net", "--pid", "--root", f"--wd={self.root}{self.site}"]
        return ["nsenter", *inside, *environment, "bash", "-o", "pipefail", "-c", line]

    def run(self, line: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs a line to its end."""
        options = {"check": False, "timeout": _SECONDS, "stdin": subprocess.DEVNULL, **options}
        return subprocess.run(self._words(line), capture_output=True, text=True, **options)

    def start(self, line: str, log: str, until: str = "") -> int:
        """Starts what goes on, and waits until its `log` says that it is up. Returns its process id, as the machine sees it."""
        self.write(log, b"")
        self.write("/run/started", b"")
        words = self._words(f"echo $$ >/run/started; exec {line} 2>{log}")
        process = subprocess.Popen(words, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for _ in range(600):
            said, pid = self.path(log).read_text(), self.path("/run/started").read_text()
            if until in said and pid.endswith("\n"):
                self._started[int(pid)] = process
                return int(pid)
            if process.poll() is not None:
                break
            time.sleep(0.05)
        process.kill()
        process.wait()
        raise AssertionError(f"{line}\n{said}")

    def end(self, pid: int) -> None:
        """Ends what was started, and waits for it."""
        self.run(f"kill {pid}")
        self._started.pop(pid).wait(30)
