"""The program's own log: one line an event on standard error, for a person or as JSON, from a level upwards.

Nothing is logged per request but at level debug. Values are quoted in both formats: a visitor's bytes cannot
forge a line. A log that nobody reads must not stop the server: a thread writes it, lines that find too many before them are dropped
and counted, and errors in writing are ignored.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import logging
import os
import select
import sys
import threading

import structlog

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")
_MOST_LINES = 1024  # that wait to be written
_LAST_SECONDS = 1.0  # that the end of the process waits for them


class _Unhurried:
    """What structlog takes for a text file: lines wait, at most _MOST_LINES, and one thread writes them to a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting: collections.deque[bytes] = collections.deque()
        self._dropped = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def write(self, text: str) -> int:
        """Never blocks: a line that finds too many before it is dropped, and counted."""
        with self._changed:
            if len(self._waiting) < _MOST_LINES:
                self._waiting.append(text.encode(errors="backslashreplace"))
                self._changed.notify_all()
            else:
                self._dropped += 1
        return len(text)

    def flush(self) -> None:
        """The thread writes each line at once."""

    def wait(self, seconds: float) -> None:
        """Until all is written, but no longer than this."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                line = self._waiting[0]
            self._write(line)
            with self._changed:
                self._waiting.popleft()
                dropped, self._dropped = self._dropped, 0
                self._changed.notify_all()
            if dropped:
                structlog.get_logger().warning("log lines dropped", lines=dropped)

    def _write(self, line: bytes) -> None:
        # Not by sys.stderr: its lock, held by a thread that never returns, would hold up the end of the interpreter.
        with contextlib.suppress(OSError):
            while line:
                try:
                    line = line[os.write(self._fd, line) :]
                except BlockingIOError:  # whoever gave us the descriptor made it so
                    select.select([], [self._fd], [])


_files: list[_Unhurried] = []  # of this process: one, once it is configured


def configure(level: str, form: str) -> None:
    """Set up structlog for this process: `level` one of LEVELS, `form` one of FORMATS."""
    renderers: list[structlog.types.Processor]
    if form == "json":
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        renderers = [structlog.dev.ConsoleRenderer(22, colors=sys.stderr.isatty(), repr_native_str=True)]
    file = _Unhurried(sys.stderr.fileno())
    _files[:] = [file]
    atexit.register(flush)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        # One write a line: lines of several processes do not mix.
        logger_factory=structlog.WriteLoggerFactory(file=file),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )


def flush() -> None:
    """Wait until all is written, or for a moment: what this process writes to standard error itself comes after."""
    for file in _files:
        file.wait(_LAST_SECONDS)
