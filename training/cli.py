"""The command `xbot train`. It imports scikit-learn only when it runs, so that `xbot --help` does not wait for it."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar import outputs
from sidecar.errors import XbotError
from training.options import fitting_options, fitting_settings, inputs_of, needs_training, read_logs, reading_options

if TYPE_CHECKING:
    from training.dataset import Dataset, How
    from training.fit import Fitted, Settings


def _created(logs: tuple[str, ...]) -> int:
    """The time in the provenance: SOURCE_DATE_EPOCH or that of the newest log: the same logs give the same file."""
    if os.environ.get("SOURCE_DATE_EPOCH", "").isdecimal():
        return int(os.environ["SOURCE_DATE_EPOCH"])
    return max((int(Path(log).stat().st_mtime) for log in logs if Path(log).is_file()), default=0)


def write_model(
    out: Path, data: Dataset, fitted: Fitted, settings: Settings, how: How, logs: tuple[str, ...]
) -> dict[int, str]:
    """Writes the model file; returns the texts of its strongest words, by bucket."""
    from training import dataset, export

    rereadable = [log for log in logs if log != "-"]
    words = dataset.words_of(rereadable, how, export.strongest_words(fitted.pipeline))
    about = export.provenance(data, fitted, words, settings, how, _created(logs))
    export.write(out, data, fitted, how, about)
    return words


@click.command(epilog="Example: xbot train --format challenge --out site.xbot train_data.tsv")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The model file to write.")
@click.option(
    "--pipeline",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also keep the fitted scikit-learn pipeline here (joblib).",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Also write DIR/report.html on the rows held out (xbot report).",
)
@fitting_options
@reading_options
def train(out: Path, pipeline: Path | None, report: Path | None, **options: Any) -> None:
    """Fit a linear machine on LOGS and write it as a model file that `xbot serve` and `xbot score` load.

    LOGS are files, gzip too, or - for standard input. Lines that cannot be read are counted, the first is shown.
    """
    needs_training("train")
    from sidecar.sources import progress
    from training import fit, summary

    written = [(out, outputs.MODEL), (pipeline, outputs.PIPELINE)]
    if report is not None:
        from training.report import cli as report_cli

        report_cli.needs_report("train --report")
        report_cli.check_rereadable("train --report", options["logs"])
        if out.exists() and not out.is_file():
            raise XbotError(f"{out}: the report reads the model again, so it must be a regular file")
        report.mkdir(parents=True, exist_ok=True)
        written.append((report / "report.html", outputs.PAGE))
    outputs.check(written, inputs_of(options))
    settings = fitting_settings(options)
    data, how, labels = read_logs(reasons=report is not None, **options)
    with progress.over_steps("fitting", settings.steps, quiet=options["quiet"]) as advance:
        fitted = fit.fit(data, settings, advance)
    words = write_model(out, data, fitted, settings, how, options["logs"])
    if pipeline is not None:
        import joblib

        kept = io.BytesIO()  # joblib asks where it is in a file, which a pipe does not know
        joblib.dump(fitted.pipeline, kept)
        outputs.write(pipeline, kept.getvalue())
    if report is not None:
        from sidecar import model
        from training.report import subject

        about = subject.judge(model.load(out), str(out), data, how, options["logs"], labels, settings, fitted)
        report_cli.write_page(report / "report.html", about, options["quiet"])
    if not options["quiet"]:
        summary.show(data, fitted, words, out, wide=not sys.stdout.isatty())
