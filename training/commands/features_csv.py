"""The command `xbot features --csv`: the matrix with names, a row for each line, for pandas, R or Tableau.

Law: the values are those that training reads, from the same C code, one line at a time: memory does not grow with the
log. What a line does not hold, or --without leaves out, is empty; a line that cannot be read is counted and left out.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar import core, outputs
from sidecar.sources import progress
from sidecar.sources.lines import Unreadable, of_logs
from sidecar.sources.merging import lines_before
from training.options import inputs_of, needs_training, row_options, row_settings

if TYPE_CHECKING:
    from training.dataset import How
    from training.labels import Labels

_LABELS = {1: "bot", 0: "human", -1: "", None: ""}


@click.command(
    short_help="Write each line of logs as a row of features.",
    epilog="Example: xbot features --csv --format combined --out access.csv access.log",
)
@click.option("--csv", "as_csv", is_flag=True, required=True, help="Comma-separated values, the only format.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write here.  [default: standard output]")
@click.option(
    "--words", is_flag=True, help="Add a last column with the hashed words: family=word, separated by spaces."
)
@row_options
@click.option("--quiet", is_flag=True, help="No progress.")
@click.argument("logs", nargs=-1, required=True)
def features(as_csv: bool, out: Path | None, words: bool, quiet: bool, logs: tuple[str, ...], **options: Any) -> None:
    """Write each line of LOGS as a row: line number, label, time (seconds since 1970) and each feature by its name.

    LOGS are files, gzip too, or - for standard input; several are read by time, and a first column says which. What a line does not
    hold is empty. The lines are not kept in memory.
    """
    if not as_csv:
        raise click.UsageError("Missing option '--csv'.")
    needs_training("features")
    outputs.check([(out, outputs.CSV)], inputs_of({"logs": logs, **options}))
    how, marks = row_settings(logs, **options)
    shown = not quiet and out is not None
    with outputs.writing(out) as file, progress.over_logs("writing", logs, quiet=not shown) as advance:
        table = csv.writer(codecs.getwriter("utf-8")(file), lineterminator="\n")
        names = [row.name for row in core.FEATURES]
        table.writerow([*(["log"] * (len(logs) > 1)), "line", "label", "time", *names, *(["words"] * words)])
        table.writerows(_rows(logs, how, marks, words, advance))


class _Texts(dict[float, str]):
    """Numbers as text, each made once: most values are 0 or 1, and none is above 1024. Absent ones are empty."""

    def __missing__(self, value: float) -> str:
        if value != value:
            return ""
        text = self[value] = f"{value:.17g}"
        return text


def _rows(
    logs: tuple[str, ...], how: How, marks: Labels | None, words: bool, advance: Callable[[int], None]
) -> Iterator[list[str]]:
    """The cells of each line that can be read."""
    number, clients = _Texts(), core.Clients() if how.looks_back else None
    before = lines_before(logs) if marks is not None and clients is not None else None
    masked = [i for i, row in enumerate(core.FEATURES) if row.name in how.without]
    families = how.families if words else 0
    unreadable = [Unreadable(log) for log in logs]
    for read, (which, (line, _, request, _)) in enumerate(of_logs(logs, how.form, clients, unreadable, advance), 1):
        if request is None:
            continue
        dense, tokens = request.features(how.k, how.hosts, families)
        cells = [number[value] for value in dense]
        for i in masked:
            cells[i] = ""
        label = request.label if marks is None else marks[read if before is None else before[which] + line]
        time = "" if request.time is None else str(request.time)
        said = [" ".join(f"{family}={word}" for _, family, word in tokens)] * words
        yield [*([logs[which]] if len(logs) > 1 else []), str(line), _LABELS[label], time, *cells, *said]
