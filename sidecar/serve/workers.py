"""The workers: started, listened to, told what is new, watched and replaced, until they drain.

Law: this module knows the processes and nothing of what they serve: what a new one is told first is the master's
(`Brief`), and the message travels as it is. A worker that dies is replaced for ever; what it had counted stays (counters.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.serve import control, spawn

_EARLY_SECONDS = 1.0  # a worker that ends sooner than this has failed to start ...
_EARLY_DEATHS = 5  # ... and after so many in a row the next one waits,
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 10.0  # seconds, doubled from the first to the longest
_BOOT_SECONDS = 15.0  # one that is not ready by then is replaced
_SWAP_SECONDS = 10.0  # a worker that has not taken a new model by then is replaced
_PING_SECONDS, _MOST_UNANSWERED = 5.0, 3  # a worker that leaves more pings unanswered is replaced

Brief = Callable[[], tuple[control.Message, dict[str, int]]]  # the first message, with its descriptors


@dataclass
class Slot:
    """One worker's place. The process in it changes."""

    index: int
    process: subprocess.Popen[bytes] | None = None
    control: socket.socket | None = None
    started: float = 0.0  # time.monotonic()
    ready: bool = False
    generation: int = 0  # of what it serves
    unanswered: int = 0  # pings
    early_deaths: int = 0  # in a row
    said: str = ""  # why it cannot start, since it last could


class Workers:
    """`count` processes. `on_hopeless` is called, with what is wrong, when the next try of one has to wait."""

    def __init__(self, count: int, brief: Brief, on_hopeless: Callable[[str], None], log: Any) -> None:
        self.count = count
        self.log = log
        self.restarts = 0
        self._brief = brief
        self._on_hopeless = on_hopeless
        self._slots = [Slot(index) for index in range(count)]
        self._draining = False
        self._changed = asyncio.Event()

    @property
    def up(self) -> int:
        """How many accept connections."""
        return sum(slot.ready for slot in self._slots)

    @property
    def pids(self) -> dict[int, int]:
        """Slot index to process id, of those there are."""
        return {slot.index: slot.process.pid for slot in self._slots if slot.process}

    def start(self) -> None:
        """Start them all."""
        for slot in self._slots:
            self._spawn(slot)

    async def until(self, true: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until `true()`, asked again when a worker or `wake` gives cause, or `seconds` are over; whether it is."""

        async def wait() -> None:
            while not true():
                self._changed.clear()
                await self._changed.wait()

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(wait(), seconds)
        return true()

    def wake(self) -> None:
        """Have those who wait ask again."""
        self._changed.set()

    async def serve(self, message: control.Message, descriptors: Mapping[str, int]) -> None:
        """Tell all what is new; returns when all that are up serve it. One that does not take it is replaced."""
        self.tell(message, descriptors)

        def behind() -> list[Slot]:
            return [slot for slot in self._slots if slot.ready and slot.generation != message["generation"]]

        await self.until(lambda: not behind(), _SWAP_SECONDS)
        for slot in behind():
            self._kill(slot, "it does not take what is new")

    def tell(self, message: control.Message, descriptors: Mapping[str, int]) -> None:
        """Send all that are there a message that has no answer."""
        for slot in self._slots:
            if slot.control is not None:
                control.send(slot.control, message, descriptors)

    async def watch(self) -> None:
        """Ask each for a sign of life, and replace one that hangs."""
        while True:
            await asyncio.sleep(_PING_SECONDS)
            for slot in self._slots:
                if slot.ready and slot.control is not None:
                    if slot.unanswered >= _MOST_UNANSWERED:
                        self._kill(slot, "it hangs")
                    slot.unanswered += 1
                    control.send(slot.control, {"op": "ping"})

    def drain(self) -> None:
        """Have them answer what has come, and end; none is replaced any more."""
        self._draining = True
        self.tell({"op": "drain"}, {})

    def kill(self, why: str) -> int:
        """End those that are left; how many."""
        left = [slot for slot in self._slots if slot.process is not None]
        for slot in left:
            self._kill(slot, why)
        return len(left)

    def reap(self) -> None:
        """SIGCHLD: note who has ended."""
        for slot in self._slots:
            if slot.process is not None and slot.process.poll() is not None:
                self._bury(slot, slot.process)
        self.wake()

    def _spawn(self, slot: Slot) -> None:
        if self._draining:
            return
        loop = asyncio.get_running_loop()
        slot.started, slot.ready, slot.unanswered = time.monotonic(), False, 0
        try:
            ours, theirs = control.pair()
        except OSError as error:
            self._failed_early(slot, f"cannot start: {error}")
            return
        ours.setblocking(False)
        try:
            with theirs:
                brief = self._brief()
                slot.process = process = spawn.worker(theirs)
        except OSError as error:
            ours.close()
            self._failed_early(slot, f"cannot start: {error}")
            return
        slot.control = ours
        control.send(ours, *brief)
        loop.add_reader(ours, self._hear, slot)
        loop.call_later(_BOOT_SECONDS, self._check_boot, slot, process)
        self.log.debug("worker started", worker=slot.index, pid=process.pid)

    def _check_boot(self, slot: Slot, process: subprocess.Popen[bytes]) -> None:
        if slot.process is process and not slot.ready:
            self._kill(slot, f"it was not ready within {_BOOT_SECONDS:g} s")

    def _hear(self, slot: Slot) -> None:
        """Take in all that the worker has said."""
        with contextlib.suppress(BlockingIOError):
            while slot.control is not None:
                received = control.receive(slot.control)
                if received is None:  # its end is SIGCHLD's to tell
                    asyncio.get_running_loop().remove_reader(slot.control)
                    return
                self._take(slot, received[0])

    def _take(self, slot: Slot, message: control.Message) -> None:
        pid = slot.process.pid if slot.process else None
        match message.pop("op"):
            case "ready":
                slot.ready, slot.generation, slot.said = True, message["generation"], ""
                self.log.info("worker ready", worker=slot.index, pid=pid)
            case "serve":
                slot.generation = message["generation"]
            case "pong":
                slot.unanswered = 0
            case "log":
                level = message.pop("level")
                getattr(self.log, level)(message.pop("event"), worker=slot.index, pid=pid, **message)
        self.wake()

    def _bury(self, slot: Slot, process: subprocess.Popen[bytes]) -> None:
        """Note the end of a worker, and start the next one in its slot."""
        self._hear(slot)  # its last words
        if slot.control is not None:
            asyncio.get_running_loop().remove_reader(slot.control)
            slot.control.close()
        was_ready, killed = slot.ready, process.returncode == -signal.SIGKILL
        lived = time.monotonic() - slot.started
        slot.process, slot.control, slot.ready = None, None, False
        how = spawn.how_it_ended(process.returncode)
        if self._draining:
            self.log.debug("worker stopped", worker=slot.index, pid=process.pid, how=how)
            return
        self.log.warning("worker died", worker=slot.index, pid=process.pid, how=how, seconds=round(lived, 3))
        self.restarts += 1
        # kill -9 of a worker that served comes from outside: it says nothing about how the next will fare.
        if lived < _EARLY_SECONDS and not (was_ready and killed):
            self._failed_early(slot, how)
        else:
            slot.early_deaths = 0
            self._spawn(slot)

    def _failed_early(self, slot: Slot, how: str) -> None:
        """Try again: at once at first, then ever more slowly, and for ever."""
        slot.early_deaths += 1
        wait = 0.0
        if slot.early_deaths >= _EARLY_DEATHS:
            wait = min(_FIRST_WAIT * 2.0 ** (slot.early_deaths - _EARLY_DEATHS), _LONGEST_WAIT)
            tries = {"tries": slot.early_deaths, "next_try_seconds": wait}
            if slot.said != how:
                self.log.error("worker cannot start", worker=slot.index, how=how, **tries)
            slot.said = how
            self._on_hopeless(f"a worker cannot start: {how}")
        asyncio.get_running_loop().call_later(wait, self._spawn, slot)

    def _kill(self, slot: Slot, why: str) -> None:
        if slot.process is not None:
            self.log.error("worker killed", worker=slot.index, pid=slot.process.pid, why=why)
            slot.process.kill()
