"""The command `xbot train`. It imports scikit-learn only when it runs, so that `xbot --help` does not wait for it."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar import outputs
from sidecar.errors import XbotError
from training.options import (
    fitting_options,
    fitting_settings,
    inputs_of,
    needs_training,
    read_logs,
    read_sessions,
    reading_options,
)

if TYPE_CHECKING:
    pass


@click.command(
    short_help="Fit a model on logs.", epilog="Example: xbot train --format challenge --out site.xbot train_data.tsv"
)
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
    help="Also write DIR/report.html about the held-out rows (xbot report).",
)
@click.option(
    "--sessions",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="LOG",
    help="Learn behaviour (the group client) from this log, in jsonl with labels, and nothing else; LOGS are read --stateless "
    "(with --evidence bounded).",
)
@fitting_options
@reading_options
def train(out: Path, pipeline: Path | None, report: Path | None, sessions: Path | None, **options: Any) -> None:
    """Fit a linear machine on LOGS and write it as a model file that `xbot serve` and `xbot score` load.

    LOGS are files, gzip too, or - for standard input. Lines that cannot be read are counted, the first is shown.
    """
    needs_training("train")
    quiet, logs = options["quiet"], options["logs"]

    written = [(out, outputs.MODEL), (pipeline, outputs.PIPELINE)]
    if report is not None:
        from training.report import cli as report_cli

        report_cli.needs_report("train --report")
        report_cli.check_rereadable("train --report", logs)
        if out.exists() and not out.is_file():
            raise XbotError(f"{out}: the report reads the model again, so it must be a regular file")
        report.mkdir(parents=True, exist_ok=True)
        written.append((report / "report.html", outputs.PAGE))
    outputs.check(written, [*inputs_of(options), sessions])
    from sidecar import model
    from sidecar.sources import progress
    from training import export, fit, summary
    from training.report import subject
    from training.report.cautions import cautions
    from training.report.cli import compared

    settings = fitting_settings(options)
    if sessions is not None and settings.evidence != "bounded":
        raise XbotError("--sessions needs --evidence bounded")
    options["stateless"] |= sessions is not None
    data, how, labels = read_logs(reasons=report is not None, **options)
    settings = settings.over(how)
    watched = read_sessions(sessions, how, quiet) if sessions is not None else None
    with progress.over_steps("fitting", settings.steps, quiet=quiet) as advance:
        fitted = fit.fit(data, settings, advance, watched)
    words = export.write_model(out, data, fitted, settings, how, logs, watched)
    if pipeline is not None:
        import joblib

        kept = io.BytesIO()  # joblib asks where it is in a file, which a pipe does not know
        joblib.dump(fitted.pipeline, kept)
        outputs.write(pipeline, kept.getvalue())
    about = default = None
    if out.is_file() and (report is not None or not quiet):
        about = subject.judge(model.load(out), str(out), data, how, logs, labels, settings, fitted)
        default = compared(about, quiet) if "-" not in logs else None
    if report is not None and about is not None:
        report_cli.write_page(report / "report.html", about, quiet, default=default)
    if not quiet:
        summary.show(data, fitted, words, out, wide=not sys.stdout.isatty())
        if about is not None:
            summary.warn([f"{what} {so}" for what, so in cautions(about, fitted.figures, default=default)])
