"""The log of decisions, written by a thread of the master (reader.py) from what the workers left in their lanes.

Law: whatever becomes of the file (a full disk, a reader of a pipe that stalls, a directory that is gone), records are lost and
counted, and no request waits. A line is written whole or, where the disk is full in its midst, ended before the next. Where
somebody has moved the file away, SIGUSR1 has it opened again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sidecar import core
from sidecar.board.lanes import Lanes
from sidecar.config.options import Decisions
from sidecar.config.plan import Plan
from sidecar.decisions.entry import Writer
from sidecar.decisions.reader import Models
from sidecar.errors import XbotError

_KEY_BYTES = 32
_CAPPED_SECONDS = 60.0
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class DecisionLog:
    """Takes records. XbotError if the file, or its key, cannot be used."""

    def __init__(self, settings: Decisions, file: Path, lanes: Lanes, log: Any) -> None:
        self.settings, self.path, self._lanes, self._log = settings, file, lanes, log
        self._fd: int | None = None
        self._broken = False  # the last line has no end
        self._said = ""
        self._capped, self._next_look = (
            0,
            0.0,
        )  # records that were too many, as it was said last; when it may be said again
        self.written = self.lost = 0
        self._reopen = threading.Event()
        key = _key(file.with_name(file.name + ".key")) if settings.privacy == "keyed" else b""
        self._writer = Writer(settings.privacy, settings.redact, key)
        if why := self._open():
            raise XbotError(why)

    @classmethod
    def planned(cls, plan: Plan, lanes: Lanes, log: Any) -> DecisionLog | None:
        """The log that a configuration asks for. XbotError if it cannot be used."""
        settings = plan.fixed.decisions
        if settings.file is None:
            return None
        try:
            return cls(settings, plan.named(settings.file).absolute(), lanes, log)
        except XbotError as error:
            raise plan.wrong("decisions.file", str(error)) from None

    def reopen(self) -> None:
        """The file has been moved away."""
        self._reopen.set()

    @property
    def counts(self) -> Mapping[str, int]:
        """Records by what became of them."""
        return {
            "written": self.written,
            "dropped": self._lanes.dropped,
            "capped": self._lanes.capped,
            "lost": self.lost,
        }

    def take(self, records: Sequence[core.Recorded], models: Models) -> None:
        """Write those that are for the log."""
        if self._reopen.is_set():
            self._reopen.clear()
            self._say(self._open())
        self._look_at_cap()
        if wanted := [one for one in records if one.logged]:
            self._write(wanted, models)

    def _look_at_cap(self) -> None:
        """Say, at most once a minute, how many were more than there may be in a second."""
        now = time.monotonic()
        if now < self._next_look:
            return
        capped = self._lanes.capped
        if capped > self._capped:
            most = self.settings.per_second
            self._log.warning("decisions capped", records=capped - self._capped, per_second=most)
            self._next_look = now + _CAPPED_SECONDS
        self._capped = capped

    def _write(self, records: Sequence[core.Recorded], models: Models) -> None:
        lines = []
        for one in records:
            try:
                lines.append(self._writer.line(one, models.get(one.generation)))
            except Exception as error:  # whatever it is, the next one is written
                self.lost += 1
                self._say(f"a decision cannot be written: {error!r}")
        if self._fd is None:
            self._say(self._open())
        if self._fd is None:
            self.lost += len(lines)
            return
        data = b"".join(lines)
        try:
            done = os.write(self._fd, b"\n" + data if self._broken else data)
        except OSError as error:
            self.lost += len(lines)
            self._say(f"{self.path}: {error.strerror or error}")
            return
        done -= self._broken
        whole = data[: max(done, 0)].count(b"\n")
        self._broken = 0 < done < len(data) and data[done - 1 : done] != b"\n"
        self.written += whole
        self.lost += len(lines) - whole

    def _open(self) -> str:
        """Open the file anew; why that cannot be, or nothing."""
        if self._fd is not None:
            os.close(self._fd)
        self._fd, self._broken = None, False
        try:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _FILE, 0o640)
        except OSError as error:
            return f"{self.path}: {error.strerror or error}"
        return ""

    def _say(self, why: str) -> None:
        """Once for each reason in a row."""
        if why and why != self._said:
            self._said = why
            self._log.error("decisions lost", reason=why)


def _key(path: Path) -> bytes:
    """The key by which addresses are hidden, made when there is none yet. XbotError if it cannot be had."""
    try:
        with contextlib.suppress(FileExistsError):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(os.urandom(_KEY_BYTES))
        fd = os.open(path, os.O_RDONLY | _FILE)
        with os.fdopen(fd, "rb") as file:
            key = file.read(_KEY_BYTES + 1)
    except OSError as error:
        raise XbotError(f"{path}: {error.strerror or error}") from error
    if len(key) != _KEY_BYTES:
        raise XbotError(f"{path}: not a key of {_KEY_BYTES} bytes")
    return key
