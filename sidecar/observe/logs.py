"""The program's own log: one line an event on standard error, for a person or as JSON, from a level upwards.

Nothing is logged per request but at level debug. Values are quoted in both formats: a visitor's bytes cannot
forge a line. A log that nobody reads any more must not stop the server, so errors in writing it are dropped.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TextIO

import structlog

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")


class _Lossy:
    """A text file whose write and flush never fail."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()


def configure(level: str, form: str) -> None:
    """Set up structlog for this process: `level` one of LEVELS, `form` one of FORMATS."""
    renderers: list[structlog.types.Processor]
    if form == "json":
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        renderers = [structlog.dev.ConsoleRenderer(22, colors=sys.stderr.isatty(), repr_native_str=True)]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        # One write a line: lines of several processes do not mix.
        logger_factory=structlog.WriteLoggerFactory(file=_Lossy(sys.stderr)),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
