"""What comes by chance: signals at any moment, calls of the kernel that fail, a clock that jumps.

Law: a seed chooses; each round is bounded, against the real command. Whatever came, the sidecar answers, reloads, hands over and ends
as soon as it is over. tests/support/faults.c makes calls fail and the clock jump, preloaded into master and workers.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import random
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT
from sidecar_harness import (
    BROWSER,
    TIMEOUT,
    Sidecar,
    alive,
    ask,
    connect,
    get,
    head,
    load,
    read_reply,
    visit,
    wait_until,
)

from sidecar.config.options import DEFAULT_MODEL

HARMLESS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT)
LATER = (0.0, 0.0, 0.001, 0.01, 0.05, 0.2, 0.6)  # seconds to the next signal
ENDS = (
    (signal.SIGTERM,),
    (signal.SIGHUP, signal.SIGTERM),
    (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2, signal.SIGUSR1),
    (signal.SIGUSR2, signal.SIGTERM),
    (signal.SIGINT,),
)


def masters(sidecar: Sidecar) -> list[int]:
    """Those that are alive."""
    pids = {sidecar.process.pid, *(event["successor"] for event in sidecar.events("upgrading"))}
    return sorted(pid for pid in pids if alive(pid))


@pytest.mark.long
def test_signals_at_any_moment() -> None:
    """To an old master and a new one, in any order; then it answers still, or ends."""
    draw = random.Random(17)
    for turn in range(12):
        with Sidecar(DEFAULT_MODEL, workers=1) as sidecar:
            sent = []
            for _ in range(draw.randrange(2, 15)):
                number, to = draw.choice(HARMLESS), draw.choice(masters(sidecar))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(to, number)
                sent.append(number.name)
                time.sleep(draw.choice(LATER))
            if turn % 3 == 0:
                assert ask_again(sidecar) == 200, sent
                wait_until(lambda sidecar=sidecar: len(masters(sidecar)) == 1, "one master")
                sidecar.reload()
            for number in draw.choice(ENDS):
                for pid in masters(sidecar):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
                time.sleep(draw.choice(LATER))
            wait_until(lambda sidecar=sidecar: not masters(sidecar), f"the end after {sent}")
            assert not sidecar.events("master error"), sent
            assert "Traceback" not in sidecar.log_path.read_text()


def ask_again(sidecar: Sidecar) -> int:
    """A connection that an old master had may be lost once."""
    with contextlib.suppress(OSError, AssertionError):
        return ask(sidecar.address).status
    return ask(sidecar.address).status


CALLS = "open mmap fork rename fsync sendmsg memfd socketpair unlink chmod truncate thread".split()
FAULTS = {
    "open": ("EMFILE", "ENFILE", "EIO", "ENOSPC"),
    "mmap": ("ENOMEM",),
    "fork": ("EAGAIN", "ENOMEM"),
    "rename": ("ENOSPC", "EIO"),
    "fsync": ("EIO",),
    "sendmsg": ("ENOBUFS",),
    "memfd": ("EMFILE", "ENOMEM"),
    "socketpair": ("EMFILE",),
    "unlink": ("EIO",),
    "chmod": ("EPERM",),
    "truncate": ("ENOSPC",),
    "thread": ("EAGAIN",),
}
EACH = [(call, error) for call, errors in FAULTS.items() for error in errors]


class Faults:
    """The page that a preloaded library reads."""

    def __init__(self, place: Path) -> None:
        source, built, page = ROOT / "tests" / "support" / "faults.c", place / "faults.so", place / "faults"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", built, source, "-ldl"], check=True)
        page.write_bytes(bytes(4096))
        with page.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), 4096)
        self.environment = {**os.environ, "LD_PRELOAD": str(built), "XBOT_FAULTS": str(page)}

    @contextlib.contextmanager
    def failing(self, call: str, error: str, every: int) -> Iterator[None]:
        """While the block lasts, each `every` call fails."""
        at = 16 * CALLS.index(call)
        self._page[at : at + 16] = struct.pack("iiii", getattr(errno, error), every, 0, 0)
        try:
            yield
        finally:
            self._page[at : at + 4] = bytes(4)

    def set_clock(self, days: float) -> None:
        """By so much it is wrong from now on."""
        self._page[2048:2056] = struct.pack("q", round(days * 86400e9))


@pytest.mark.long
def test_calls_that_fail(tmp_path: Path) -> None:
    """While some call fails, always or now and then, a reload, a killed worker, an upgrade and the log's reopening are asked for. What
    is connected is answered; and once the call works, all works."""
    faults, config = Faults(tmp_path), tmp_path / "xbot.toml"
    config.write_text('[decisions]\nfile = "log.jsonl"\n[clients]\nsize = "1MiB"\n')
    options = ("--config", config, "--admin", "127.0.0.1:0")
    with Sidecar(DEFAULT_MODEL, *options, workers=1, board=True, env=faults.environment) as sidecar:
        with load(sidecar.address, keepalive=True, clients=1, pause=0.01, retry=True) as outcome:
            for number, (call, error) in enumerate(EACH):
                with faults.failing(call, error, 1 + 2 * (number % 2)):
                    for each in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
                        sidecar.signal(each)
                        time.sleep(0.3)
                    if number % 2:
                        # Not a new master: it is a child of the old one, and may have taken over a moment ago.
                        for worker in {*sidecar.workers} - {*masters(sidecar)}:
                            os.kill(worker, signal.SIGKILL)
                    time.sleep(0.3)
                wait_until(
                    lambda: len(masters(sidecar)) == 1 and len(sidecar.serving) == 1, f"a worker after {call} {error}"
                )
                done = len(sidecar.events("reloaded"))
                while len(sidecar.events("reloaded")) == done:  # one that was asked for meanwhile may be refused yet
                    sidecar.reload()
                assert get(sidecar.admin, "/healthz")[0] == 200
        assert sidecar.upgrade(), sidecar.events("upgrade refused")[-1]
        assert outcome.scores.total() > 100
        assert not outcome.failures
        assert sidecar.stop() == 0


@pytest.mark.long
def test_a_clock_that_jumps(tmp_path: Path) -> None:
    """A year ahead, ten years back, and right again: the same verdicts; deadlines, the table of clients, the wheel, the log of decisions
    and the alarms go on."""
    faults, config, log = Faults(tmp_path), tmp_path / "xbot.toml", tmp_path / "log.jsonl"
    config.write_text(
        '[limits]\npeer_timeout = 0.5\n[decisions]\nfile = "log.jsonl"\nsample = 1.0\n[clients]\nsize = "1MiB"\n'
    )
    options = ("--config", config, "--admin", "127.0.0.1:0")
    with Sidecar(DEFAULT_MODEL, *options, workers=1, env=faults.environment) as sidecar:
        with load(sidecar.address, keepalive=True, clients=1, pause=0.01) as outcome:
            for number, days in enumerate((0.0, 366.0, -3660.0, 0.5, 0.0)):
                faults.set_clock(days)
                assert visit(sidecar, f"203.0.113.{number}", "/", "/a", "/b") == [200, 200, 200]
                assert ask(sidecar.address, head(BROWSER, ip="192.0.2.1"))["X-Bot"] == "human"
                assert ask(sidecar.address, head(ip="192.0.2.1"))["X-Bot"] == "bot"
                with connect(sidecar.address) as slow:
                    slow.sendall(head()[:20])
                    assert slow.recv(1) == b""  # by its deadline
                lines = log.stat().st_size
                wait_until(lambda lines=lines: log.stat().st_size > lines, "lines of the log")
                sidecar.reload()
                assert get(sidecar.admin, "/readyz")[0] == 200
                assert get(sidecar.admin, "/healthz")[0] == 200
        assert not outcome.failures
        assert sidecar.metrics()["xbot_clients_entries"] > 0
        assert not sidecar.events("reload refused")
        assert not sidecar.events("master error")
        assert not sidecar.events("worker killed")
        assert sidecar.upgrade()
        with connect(sidecar.address) as sock:
            sock.sendall(head())
            assert read_reply(sock).status == 200
        began = time.monotonic()
        assert sidecar.stop() == 0
        assert time.monotonic() - began < TIMEOUT
