"""The command `xbot train`. Imports scikit-learn only when it runs, so that `xbot --help` does not wait for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from sidecar.core import FORMATS, MAX_K, MIN_K
from sidecar.errors import XbotError


def _created(logs: tuple[str, ...]) -> int:
    """The time in the provenance: SOURCE_DATE_EPOCH or that of the newest log: the same logs give the same file."""
    if os.environ.get("SOURCE_DATE_EPOCH", "").isdigit():
        return int(os.environ["SOURCE_DATE_EPOCH"])
    return max((int(Path(log).stat().st_mtime) for log in logs if Path(log).is_file()), default=0)


@click.command(epilog="Example: xbot train --format challenge --out site.xbot train_data.tsv")
@click.option(
    "--format",
    "log_format",
    required=True,
    type=click.Choice(FORMATS),
    help="The logs' format (docs/formats.md).",
)
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The model file to write.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Labels for one log that holds none: line TAB bot|human.",
)
@click.option("--known-hosts", type=click.Path(path_type=Path), help="Hosts, one a line, for ref_host_known.")
@click.option("--without", multiple=True, metavar="NAME", help="Leave out a group, feature or family; may be repeated.")
@click.option(
    "--buckets",
    "k",
    type=click.IntRange(MIN_K, MAX_K),
    default=15,
    show_default=True,
    metavar="K",
    help="2^K buckets for words.",
)
@click.option(
    "-C",
    "--inverse-regularization",
    "C",
    type=click.FloatRange(1e-6, 1e6),
    default=1.0,
    show_default=True,
    metavar="C",
    help="The SVM's C.",
)
@click.option(
    "--max-fpr",
    type=click.FloatRange(0, 1),
    default=0.001,
    show_default=True,
    help="The most humans that may be called bots, by share.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="The same seed and logs give the same file.",
)
@click.option(
    "--pipeline",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also keep the fitted scikit-learn pipeline here (joblib).",
)
@click.option("--quiet", is_flag=True, help="No summary and no progress.")
@click.argument("logs", nargs=-1, required=True)
def train(
    log_format: str, out: Path, labels: Path | None, known_hosts: Path | None, without: tuple[str, ...], k: int,
    C: float, max_fpr: float, seed: int, pipeline: Path | None, quiet: bool, logs: tuple[str, ...],
) -> None:  # fmt: skip
    """Fit a linear SVM on LOGS and write it as a model file that `xbot serve` and `xbot score` load.

    LOGS are files, gzip too, or - for standard input. Lines that cannot be read are counted, the first is shown.
    """
    try:
        from training import dataset, export, fit, summary
    except ModuleNotFoundError as error:
        raise XbotError(f"train needs {error.name}, which is not installed: pip install 'xbot[train]'") from None
    from sidecar import progress

    if labels is not None and len(logs) != 1:
        raise XbotError("--labels goes with one log: its line numbers are that log's")
    if "-" in logs and len(logs) > 1:
        raise XbotError("standard input (-) cannot be one of several logs")
    if not out.parent.is_dir():
        raise XbotError(f"{out}: no such directory: {out.parent}")
    hosts = dataset.known_hosts(known_hosts) if known_hosts else None
    masked = dataset.masked_names(without)
    marks = dataset.read_labels(labels) if labels else None
    with progress.over_logs("reading", logs, quiet=quiet) as advance:
        data = dataset.read(logs, log_format, k, hosts=hosts, without=masked, labels=marks, advance=advance)
    if data.first_error:
        more = f"; {data.unreadable} lines could not be read" if data.unreadable > 1 else ""
        click.echo(f"xbot: {data.first_error}{more}", err=True)
    with progress.working("fitting", quiet=quiet):
        fitted = fit.fit(data, C=C, max_fpr=max_fpr, seed=seed)
    rereadable = [log for log in logs if log != "-"]
    words = dataset.words_of(rereadable, log_format, k, export.strongest_words(fitted.pipeline))
    settings = {
        "format": log_format,
        "C": C,
        "max_fpr": max_fpr,
        "seed": seed,
        "without": sorted(without),
        "folds": fit.FOLDS,
    }
    export.write(out, data, fitted, hosts or (), export.provenance(data, fitted, words, settings, _created(logs)))
    if pipeline is not None:
        import joblib

        joblib.dump(fitted.pipeline, pipeline)
    if not quiet:
        summary.show(data, fitted, words, out, wide=not sys.stdout.isatty())
