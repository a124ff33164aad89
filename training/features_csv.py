"""The command `xbot features --csv`: the matrix with names, a line each, for pandas, R or a spreadsheet.

Law: the values are those that training reads, from the same C code; a line at a time, so memory does not grow with the
log. What a line does not hold, or --without leaves out, is empty; a line that cannot be read is counted and left out.
"""

from __future__ import annotations

import contextlib
import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from sidecar import core, progress, reading
from sidecar.errors import XbotError
from training.cli import needs_training, row_options

if TYPE_CHECKING:
    from training.dataset import How

_LABELS = {1: "bot", 0: "human", -1: ""}


@click.command(epilog="Example: xbot features --csv --format combined --out access.csv access.log")
@click.option("--csv", "as_csv", is_flag=True, required=True, help="Comma-separated values, the one format so far.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write here.  [default: standard output]")
@click.option("--words", is_flag=True, help="A last column with the hashed words: family=word, spaces between.")
@row_options
@click.option("--quiet", is_flag=True, help="No progress.")
@click.argument("logs", nargs=-1, required=True)
def features(as_csv: bool, out: Path | None, words: bool, quiet: bool, logs: tuple[str, ...], **options: Any) -> None:
    """Write each line of LOGS as a row: its number, label and time where known, and its features by name.

    LOGS are files, gzip too, or - for standard input. Of several logs, the first column says which. Memory does not
    grow with the log.
    """
    del as_csv
    needs_training("features")
    from training import cli

    how, labels = cli.row_settings(logs, **options)
    with _writing(out) as file, progress.over_logs("writing", logs, quiet=quiet or out is None) as advance:
        for log, size, rows in _rows(logs, how, labels, words):
            file.write(rows)
            advance(size)
            del log


@contextlib.contextmanager
def _writing(out: Path | None) -> Iterator[BinaryIO]:
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with out.open("wb") as file:
            yield file
    except OSError as error:
        raise XbotError(f"{out}: {error.strerror or error}") from None
