"""The command `xbot report`, and the page of `xbot train --report`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar.errors import XbotError
from training.cli import fitting_options, fitting_settings, needs_training, read_logs, reading_options, write_model

if TYPE_CHECKING:
    from sidecar import core
    from training.dataset import Dataset, How
    from training.fit import Fitted, Settings
    from training.label.summary import Coverage

_PATH = click.Path(path_type=Path, dir_okay=False)


@click.command(epilog="Example: xbot report --format combined --labels access.labels --out report.html access.log")
@click.option("--out", required=True, type=_PATH, help="The page to write.")
@click.option("--judge", type=_PATH, metavar="MODEL", help="Judge the rows by this model, and fit nothing.")
@click.option("--rules-json", type=_PATH, metavar="FILE", help="What xbot label --json wrote: coverage and conflicts.")
@click.option(
    "--requests-per-day",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="The site's rate.  [default: by the log's times]",
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
    needs_report("report")
    from training.report import page, subject

    if not out.parent.is_dir():
        raise XbotError(f"{out}: no such directory: {out.parent}")
    check_rereadable("report", options["logs"])
    coverage = read_coverage(rules_json) if rules_json else None
    quiet, labels = options["quiet"], options["labels"]
    settings = fitting_settings(options)
    if judge is not None:
        from sidecar import model

        loaded = model.load(judge)
        data, how = read_logs(**{**options, "k": loaded.k})
        subject.check_both_classes(data)
        about = _judged(loaded, judge, data, how, options["logs"], labels, settings, quiet)
    else:
        from sidecar import progress
        from training import fit

        data, how = read_logs(**options)
        with progress.working("fitting", quiet=quiet):
            fitted = fit.fit(data, settings)
        about = _fitted(data, how, options["logs"], labels, settings, fitted)
    _write(out, about, coverage, requests_per_day, quiet)
    if not quiet:
        click.echo(f"wrote {out}")


def needs_report(command: str) -> None:
    """XbotError where a package that the page needs is not installed."""
    needs_training(command)
    try:
        import jinja2
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise XbotError(f"{command} needs {error.name}, which is not installed: pip install 'xbot[train]'") from None
    del jinja2


def check_rereadable(command: str, logs: tuple[str, ...]) -> None:
    """XbotError for standard input: the page shows lines, and a matrix has none."""
    if "-" in logs:
        raise XbotError(f"{command}: the log is read twice, so it must be a file, not standard input (-)")


def read_coverage(path: Path) -> Coverage:
    """What `xbot label --json` wrote. XbotError names file and field."""
    import msgspec

    from training.label.summary import Coverage

    try:
        return msgspec.json.decode(path.read_bytes(), type=Coverage)
    except OSError as error:
        raise XbotError(f"{path}: {error.strerror or error}") from None
    except msgspec.DecodeError as error:
        raise XbotError(f"{path}: not what xbot label --json writes: {error}") from None


def write_report(
    out: Path, model_path: Path, data: Dataset, how: How, logs: tuple[str, ...], labels: Path | None,
    settings: Settings, fitted: Fitted, quiet: bool,
) -> None:  # fmt: skip
    """The page on a model that was just fitted and written."""
    from sidecar import model

    about = _subject(model.load(model_path), str(model_path), data, how, logs, labels, settings, fitted.margins, fitted)
    _write(out, about, None, None, quiet)


def _fitted(
    data: Dataset, how: How, logs: tuple[str, ...], labels: Path | None, settings: Settings, fitted: Fitted
) -> Any:
    from sidecar import model

    # By way of a file, as xbot train does it: what the page shows is what would be served.
    with tempfile.TemporaryDirectory(prefix="xbot-report-") as place:
        path = Path(place) / "report.xbot"
        write_model(path, data, fitted, settings, how, logs)
        loaded = model.load(path)
    return _subject(loaded, "site.xbot", data, how, logs, labels, settings, fitted.margins, fitted)


def _judged(
    loaded: core.Model, path: Path, data: Dataset, how: How, logs: tuple[str, ...], labels: Path | None,
    settings: Settings, quiet: bool,
) -> Any:  # fmt: skip
    from sidecar import progress
    from training import dataset
    from training.report import subject

    marks = dataset.read_labels(labels) if labels else None
    with progress.over_logs("judging", logs, quiet=quiet) as advance:
        margins = subject.margins_by(loaded, data, how, logs, marks, advance)
    return _subject(loaded, str(path), data, how, logs, labels, settings, margins, None)


def _subject(
    loaded: core.Model, name: str, data: Dataset, how: How, logs: tuple[str, ...], labels: Path | None,
    settings: Settings, margins: Any, fitted: Fitted | None,
) -> Any:  # fmt: skip
    from training import dataset
    from training.report import subject

    return subject.Subject(
        data=data,
        how=how,
        logs=logs,
        labels=dataset.read_labels(labels) if labels else None,
        model=loaded,
        name=name,
        margins=margins,
        settings=settings,
        fitted=fitted,
        reasons=subject.read_reasons(labels) if labels else {},
    )


def _write(out: Path, about: Any, coverage: Coverage | None, requests_per_day: float | None, quiet: bool) -> None:
    from sidecar import model, progress
    from training.report import page

    with progress.over_logs("reporting", about.logs, quiet=quiet) as advance:
        text = page.render(about, coverage=coverage, requests_per_day=requests_per_day, advance=advance)
    model.write(out, text.encode())
