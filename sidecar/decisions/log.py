"""The log of decisions, written by a thread of the master from what the workers left in their lanes.

Law: whatever becomes of the file (a full disk, a reader of a pipe that stalls, a directory that is gone), records are lost and
counted, and no request waits. A line is written whole or, where the disk is full in its midst, ended before the next. Where
somebody has moved the file away, SIGUSR1 has it opened again.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sidecar import core
from sidecar.board.lanes import Lanes
from sidecar.config.config import Decisions, Plan
from sidecar.decisions.entry import Writer
from sidecar.errors import XbotError

_SECONDS = 0.1  # from one look at the lanes to the next
_AT_ONCE = 256  # records of a lane in one go
_MODELS = 4  # the last that were served: a record may be older than a reload
_KEY_BYTES = 32
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class DecisionLog:
    """Writes until `close`. `lanes.fd` is handed to the workers. XbotError if the file, or its key, cannot be used."""

    def __init__(self, settings: Decisions, file: Path, workers: int, log: Any) -> None:
        self.lanes = Lanes(workers)
        self.settings, self.path, self._log = settings, file, log
        self._models: dict[
            int, tuple[core.Model, str]
        ] = {}  # by what workers and what other hosts call it, the last one last
        self._fd: int | None = None
        self._broken = False  # the last line has no end
        self._said = ""
        self.written = self.lost = 0
        self._reopen, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="decisions", daemon=True)
        key = _key(file.with_name(file.name + ".key")) if settings.privacy == "keyed" else b""
        self._writer = Writer(settings.privacy, settings.redact, key)
        if why := self._open():
            raise XbotError(why)

    @classmethod
    def planned(cls, plan: Plan, log: Any) -> DecisionLog | None:
        """The log that a configuration asks for. XbotError if it cannot be used."""
        settings = plan.fixed.decisions
        if settings.file is None:
            return None
        try:
            return cls(settings, plan.named(settings.file).absolute(), plan.fixed.workers, log)
        except XbotError as error:
            raise plan.wrong("decisions.file", str(error)) from None

    def start(self) -> None:
        """Write from now on."""
        self._thread.start()

    def serves(self, generation: int, image: bytes, sha256: str) -> None:
        """This is what the workers judge by, from now on."""
        model, _ = core.served_parts(image, verified=True)
        one = core.Model(bytes(model)), sha256
        models = {**self._models, generation: one, core.served_made(image): one}
        self._models = dict([*models.items()][-2 * _MODELS :])

    def reopen(self) -> None:
        """The file has been moved away."""
        self._reopen.set()

    def close(self, seconds: float) -> None:
        """Write what is left, but wait no longer than this."""
        self._ended.set()
        self._thread.join(seconds)

    @property
    def counts(self) -> Mapping[str, int]:
        """Records by what became of them."""
        return {"written": self.written, "dropped": self.lanes.dropped, "lost": self.lost}

    def _run(self) -> None:
        while True:
            last = self._ended.wait(_SECONDS)
            if self._reopen.is_set():
                self._reopen.clear()
                self._say(self._open())
            while records := self.lanes.read(_AT_ONCE):
                self._write(records)
            if last:
                return

    def _write(self, records: list[core.Recorded]) -> None:
        lines = []
        for one in records:
            model, sha256 = self._models.get(one.generation, (None, ""))
            try:
                lines.append(self._writer.line(one, model, sha256))
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
