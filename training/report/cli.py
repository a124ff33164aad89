"""The command `xbot report`, and the page of `xbot train --report`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar import extras, inputs, outputs
from sidecar.errors import XbotError
from training.options import (
    fitting_options,
    fitting_settings,
    inputs_of,
    needs_training,
    read_logs,
    reading_options,
)

if TYPE_CHECKING:
    from training.fit import Figures
    from training.label.summary import Coverage
    from training.report.subject import Subject

_PATH = click.Path(path_type=Path, dir_okay=False)


@click.command(
    short_help="Write a page on how well a model tells bots.",
    epilog="Example: xbot report --format combined --labels access.labels --out report.html access.log",
)
@click.option("--out", required=True, type=_PATH, help="The page to write.")
@click.option("--judge", type=_PATH, metavar="MODEL", help="Judge the rows with this model, and fit nothing.")
@click.option(
    "--rules-json", type=_PATH, metavar="FILE", help="The file that xbot label --json wrote: coverage and conflicts."
)
@click.option(
    "--requests-per-day",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Requests to the site a day.  [default: from the log's times]",
)
@fitting_options
@reading_options
def report(
    out: Path, judge: Path | None, rules_json: Path | None, requests_per_day: float | None, **options: Any
) -> None:
    """Write one HTML page on how well LOGS' labelled rows can be told apart, or how well a model does it (--judge).

    LOGS are files, gzip too; they are read twice. The page loads nothing and opens from a file; it holds agents and
    paths of visitors, no addresses. docs/reading-a-report.md explains it.
    """
    outputs.check([(out, outputs.PAGE)], [*inputs_of(options), judge, rules_json])
    check_rereadable("report", options["logs"])
    coverage = _read_coverage(rules_json) if rules_json else None
    needs_report("report")
    from sidecar import model
    from sidecar.sources import progress
    from training import export, fit
    from training.report import subject

    quiet, logs = options["quiet"], options["logs"]
    settings = fitting_settings(options)
    if judge is not None:
        loaded = model.load(judge)
        data, how, labels = read_logs(reasons=True, **{**options, "k": loaded.k})
        with progress.over_logs("judging", logs, quiet=quiet) as advance:
            about = subject.judge(loaded, str(judge), data, how, logs, labels, settings, advance=advance)
    else:
        data, how, labels = read_logs(reasons=True, **options)
        settings = settings.over(how)
        with progress.over_steps("fitting", settings.steps, quiet=quiet) as fitted_one:
            fitted = fit.fit(data, settings, fitted_one)
        # By way of a file, as xbot train does it: what the page shows is what would be served.
        with tempfile.TemporaryDirectory(prefix="xbot-report-") as place:
            path = Path(place) / "site.xbot"
            export.write_model(path, data, fitted, settings, how, logs)
            loaded = model.load(path)
        about = subject.judge(loaded, path.name, data, how, logs, labels, settings, fitted)
    default = compared(about, quiet)
    write_page(out, about, quiet, coverage=coverage, default=default, requests_per_day=requests_per_day)
    if not quiet:
        click.echo(f"wrote {out}")


def needs_report(command: str) -> None:
    """XbotError where a package that the page needs is not installed."""
    needs_training(command)
    extras.need(command, "report", "jinja2", "matplotlib")


def check_rereadable(command: str, logs: tuple[str, ...]) -> None:
    """XbotError for standard input: the page shows lines, and a matrix has none."""
    if "-" in logs:
        raise XbotError(f"{command}: the log is read twice, so it must be a file, not standard input (-)")


def _read_coverage(path: Path) -> Coverage:
    import msgspec

    from training.label.summary import Coverage

    try:
        return msgspec.json.decode(inputs.read_bytes(path, pipe=True), type=Coverage)
    except msgspec.DecodeError as error:
        raise XbotError(f"{path}: not a file of xbot label --json: {error}") from None


def compared(about: Subject, quiet: bool) -> Figures | None:
    """The figures of the default model on the rows of a model that was fitted on them; None for one that was not."""
    if about.fitted is None:
        return None
    from sidecar import model
    from sidecar.sources import progress
    from training.report import subject

    with progress.over_logs("comparing", about.logs, quiet=quiet) as advance:
        return subject.figures_of(model.load(model.DEFAULT), about, advance)


def write_page(
    out: Path,
    about: Subject,
    quiet: bool,
    *,
    coverage: Coverage | None = None,
    default: Figures | None = None,
    requests_per_day: float | None = None,
) -> None:
    """Renders the page on a subject and puts it in place in one step."""
    from sidecar import outputs
    from sidecar.sources import progress
    from training.report import page

    with progress.over_logs("reporting", about.logs, quiet=quiet) as advance:
        text = page.render(
            about, coverage=coverage, default=default, requests_per_day=requests_per_day, advance=advance
        )
    outputs.write(out, text.encode())
