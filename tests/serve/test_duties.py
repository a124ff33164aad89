"""What the master's loop does beside starting workers neither ends it nor holds it up."""

from __future__ import annotations

import _thread
import asyncio
import signal
import socket
import subprocess
import tempfile
import threading
from typing import Any, cast

import pytest

from sidecar.errors import XbotError
from sidecar.serve import duties, upgrade
from sidecar.serve.master import Master


def test_a_task_that_takes_no_notice_is_told_again() -> None:
    """What happened: SIGTERM in the moment in which a reload had been read; the master waited for its duties for ever."""

    async def run() -> list[str]:
        read: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heard: list[str] = []

        async def duty() -> None:
            try:
                await read
            except asyncio.CancelledError:
                heard.append("and went on")  # as wait_for() did until Python 3.12
            await asyncio.Event().wait()

        task = asyncio.create_task(duty())
        await asyncio.sleep(0)
        await asyncio.wait_for(duties.ended(task), 10)
        assert task.cancelled()
        return heard

    assert asyncio.run(run()) == ["and went on"]


def test_a_reload_that_comes_with_the_end_is_forgotten() -> None:
    """What happened: SIGHUP and SIGTERM in one moment; the master asked again and again for what was still wanted, and heard nobody."""

    async def run() -> tuple[str | None, bool]:
        master = Master.__new__(Master)  # of it no more is looked at
        master.changing, master._stop_wanted, master._reload_wanted = asyncio.Lock(), asyncio.Event(), asyncio.Event()
        master._reload_wanted.set()
        master._stop_wanted.set()
        return await master.reload(), master._reload_wanted.is_set()

    assert asyncio.run(run()) == ("this master is draining", False)


def test_a_duty_that_fails_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happened: a list of networks that could not be read ended the fetching of lists for ever. It is said once for each reason."""
    monkeypatch.setattr(duties, "_AGAIN_SECONDS", 0.001)
    outcomes: list[Exception] = [OSError("one"), OSError("one"), RuntimeError("can't start new thread")]
    said: list[tuple[str, str]] = []

    class Log:
        def error(self, event: str, **more: Any) -> None:
            said.append((event, more["problem"]))

    async def duty() -> None:
        if outcomes:
            raise outcomes.pop(0)

    asyncio.run(asyncio.wait_for(duties.lasting("d", duty, Log), 10))
    assert said == [("master error", "OSError('one')"), ("master error", """RuntimeError("can't start new thread")""")]


def test_a_new_master_that_nothing_ends_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that reads a dead mount cannot be killed either: the old one waited for its end, and heard no SIGHUP any more."""
    monkeypatch.setattr(upgrade, "_KILL_SECONDS", 0.05)

    class Held:
        killed = 0

        def poll(self) -> None:
            return None

        def kill(self) -> None:
            self.killed += 1

    held = Held()
    ours, theirs = socket.socketpair()
    with ours, theirs, tempfile.TemporaryFile() as said:
        successor = upgrade.Successor(cast("subprocess.Popen[bytes]", held), ours, said)
        asyncio.run(asyncio.wait_for(successor.ended(0.05), 10))
    assert held.killed


def test_a_thread_that_never_begins_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory a thread ends before it has said that it is there: a reload waited for that in the loop itself."""
    monkeypatch.setattr(duties, "LOAD_SECONDS", 0.05)
    monkeypatch.setattr(_thread, "start_new_thread", lambda *_: 1)
    for name in ("_start_new_thread", "_start_joinable_thread"):  # of Python 3.13 the second
        monkeypatch.setattr(threading, name, lambda *_, **__: 1, raising=False)
    with pytest.raises(XbotError, match="not read within"):
        asyncio.run(duties.in_time(lambda: None))


def test_a_reload_that_comes_to_a_master_that_has_handed_over_is_passed_on() -> None:
    """Whoever asked did not know yet that there was another; it was asked of one that drained, and forgotten."""

    def heard() -> None:  # also below nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    with subprocess.Popen(["sleep", "60"], preexec_fn=heard) as heir:
        master = Master.__new__(Master)  # of it no more is looked at
        master._heir = heir
        master._want_reload()
        assert heir.wait(10) == -signal.SIGHUP
