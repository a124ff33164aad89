"""The options that the commands of training share, and what is made of them: rows, settings, inputs.

Law: an option means the same in every command that takes it. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar import core, extras
from sidecar.core import MAX_K, MIN_K
from sidecar.errors import XbotError
from sidecar.options import MODEL_FILE
from sidecar.sources import formats
from sidecar.sources.choosing import format_options
from sidecar.sources.merging import stateless_option

if TYPE_CHECKING:
    from training.dataset import Dataset, How
    from training.fit import Settings
    from training.labels import Labels
    from training.start import Start

_C = 0.01
_C_FROM_A_START = 0.001  # ten thousand rows of one site are few beside what the model saw
_MOST_DIGITS = 16  # of a number of seconds
Command = Callable[..., None]


def row_options(command: Command) -> Command:
    """What a row is: what every command that featurizes takes."""
    options = (
        format_options(),
        stateless_option,
        click.option(
            "--labels",
            type=click.Path(path_type=Path),
            help="Labels for logs that hold none: line TAB bot|human (xbot label writes them).",
        ),
        click.option("--known-hosts", type=click.Path(path_type=Path), help="Hosts, one a line, for ref_host_known."),
        click.option(
            "--without", multiple=True, metavar="NAME", help="Leave out a group, feature or family; may be repeated."
        ),
        click.option(
            "--addresses/--no-addresses",
            default=None,
            help="Use addresses and networks as features.  [default: no; yes for challenge]",
        ),
        click.option(
            "--buckets",
            "k",
            type=click.IntRange(MIN_K, MAX_K),
            default=15,
            show_default=True,
            metavar="K",
            help="2^K buckets for words.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def reading_options(command: Command) -> Command:
    """How logs become rows, and who does it: what every command over labelled logs takes."""
    options = (
        row_options,
        click.option(
            "--jobs", type=click.IntRange(0), default=0, help="Processes that read.  [default: by the log's size]"
        ),
        click.option(
            "--backend",
            type=click.Choice(["loky", "dask"]),
            default="loky",
            show_default=True,
            help="Where logs are read: on this machine, or on a Dask cluster.",
        ),
        click.option("--scheduler", metavar="ADDR", help="The Dask cluster's scheduler, for --backend dask."),
        click.option("--quiet", is_flag=True, help="No summary and no progress."),
        click.argument("logs", nargs=-1, required=True),
    )
    for option in reversed(options):
        command = option(command)
    return command


def fitting_options(command: Command) -> Command:
    """What is fitted."""
    options = (
        click.option(
            "--model",
            "kind",
            type=click.Choice(["svm", "logistic", "nb"]),
            default="svm",
            show_default=True,
            help="Linear SVM, logistic regression, or naive Bayes.",
        ),
        click.option(
            "--evidence",
            type=click.Choice(["free", "bounded"]),
            default="free",
            show_default=True,
            help="bounded: nothing that a visitor adds counts towards human (svm only); costs recall.",
        ),
        click.option(
            "--last",
            multiple=True,
            metavar="NAME",
            help="Fit this group or feature after all others, so that requests without it are judged as if it did not exist "
            "(with --evidence bounded; words of the group are left out); may be repeated. client comes after the others.",
        ),
        click.option(
            "--start",
            type=MODEL_FILE,
            metavar="MODEL",
            help="Start from this model (`default`: the one that comes with xbot) and learn only what LOGS add to it (svm only).",
        ),
        click.option(
            "-C",
            "--inverse-regularization",
            "C",
            type=click.FloatRange(1e-6, 1e6),
            metavar="C",
            help="scikit-learn's C: smaller is smoother.  [default: 0.01; with --start 0.001]",
        ),
        click.option(
            "--max-fpr",
            type=click.FloatRange(0, 1),
            default=0.001,
            show_default=True,
            help="The highest share of human requests that may be called bots.",
        ),
        click.option(
            "--max-fpr-clients",
            "max_clients",
            type=click.FloatRange(0, 1),
            default=0.005,
            show_default=True,
            help="The highest share of proven clients, and of people's in --sessions, of whom a request may be refused.",
        ),
        click.option(
            "--fit-rows",
            type=click.IntRange(1000),
            default=200_000,
            show_default=True,
            help="Fit a sample of at most this many rows; all rows are judged.",
        ),
        click.option(
            "--split",
            type=click.Choice(["auto", "client", "row"]),
            default="auto",
            show_default=True,
            help="Rows that are held out together. auto: those of a client; single rows for challenge, which has no sessions.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(0, 2**32 - 1),
            default=0,
            show_default=True,
            help="The same seed and logs give the same file.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def fitting_settings(options: dict[str, Any]) -> Settings:
    """Takes what `fitting_options` gave out of a command's options."""
    from training.bounded import DESCRIPTIONS
    from training.dataset import masked_names
    from training.fit import Settings

    split = options.pop("split")
    if split == "auto":
        split = "client" if formats.find(options["log_format"]).sessions else "row"
    if options["evidence"] == "bounded" and options["kind"] != "svm":
        raise XbotError(f"--evidence bounded needs --model svm, not {options['kind']}")
    if options["evidence"] == "bounded":
        options["without"] = (*options["without"], *DESCRIPTIONS)
    if options["last"] and options["evidence"] != "bounded":
        raise XbotError("--last needs --evidence bounded")
    named = masked_names(options.pop("last"), "--last")
    # Words share buckets with those of other groups, so none of them can come last.
    options["without"] = (*options["without"], *(row.name for row in core.FAMILIES if row.name in named))
    late = named - masked_names(options["without"])
    last = tuple(row.name for row in core.FEATURES if row.name in late)
    start = _start(options)
    if options["C"] is None:
        options["C"] = _C if start is None else _C_FROM_A_START
    names = ("kind", "evidence", "C", "max_fpr", "max_clients", "fit_rows", "seed")
    return Settings(split=split, last=last, start=start, **{name: options.pop(name) for name in names})


def _start(options: dict[str, Any]) -> Start | None:
    """Takes the model to start from out of a command's options, and leaves out the words that it does not know."""
    path = options.pop("start")
    if path is None:
        return None
    from sidecar import inputs, model
    from training.start import Start

    if options["kind"] != "svm":
        raise XbotError(f"--start needs --model svm, not {options['kind']}")
    name = "default" if path == model.DEFAULT else path.name
    begun = Start.of(model.load(path), name, hashlib.sha256(inputs.read_bytes(path)).hexdigest())
    # Its words and those of a family that it does not know would fall into the same buckets.
    unknown = (family.name for i, family in enumerate(core.FAMILIES) if not begun.families >> i & 1)
    options["without"] = (*options["without"], *unknown)
    options["k"] = begun.k
    return begun


def inputs_of(options: dict[str, Any]) -> list[Path | str | None]:
    """The files that `row_options` and the argument LOGS name: none of them may be an output."""
    return [*options["logs"], options["labels"], options["known_hosts"]]


def needs_training(command: str) -> None:
    """XbotError where the packages of the extra are not installed, or would end by a traceback when they are imported."""
    extras.need(command, "train", "joblib", "sklearn")
    epoch()


def epoch() -> int | None:
    """SOURCE_DATE_EPOCH, in seconds since 1970; None where it is not set. XbotError for what is no such number."""
    said = os.environ.get("SOURCE_DATE_EPOCH")
    if said is None:
        return None
    if not (said.isascii() and said.isdecimal() and len(said) < _MOST_DIGITS and int(said) <= core.MAX_TIME):
        raise XbotError(f"SOURCE_DATE_EPOCH: {said!r} is no number of seconds since 1970")
    return int(said)


def row_settings(
    logs: tuple[str, ...], log_format: str, labels: Path | None, known_hosts: Path | None, without: tuple[str, ...],
    addresses: bool | None, k: int, stateless: bool, *, reasons: bool = False,
) -> tuple[How, Labels | None]:  # fmt: skip
    """How these logs become rows, by `row_options`, and the labels of a file, if one is given, with their `reasons`."""
    from training import dataset
    from training.labels import read_labels

    if "-" in logs and len(logs) > 1:
        raise XbotError("standard input (-) cannot be one of several logs")
    if formats.find(log_format).sessions if addresses is None else not addresses:
        without = (*without, "ip")  # a client that was held out, or comes tomorrow, has an address that nobody knows
    hosts = dataset.known_hosts(known_hosts) if known_hosts else None
    marks = read_labels(labels, reasons=reasons) if labels else None
    return dataset.How(log_format, k, hosts, dataset.masked_names(without), stateless), marks


def read_logs(
    logs: tuple[str, ...], jobs: int, backend: str, scheduler: str | None, quiet: bool, *, reasons: bool = False, **rows: Any
) -> tuple[Dataset, How, Labels | None]:  # fmt: skip
    """The labelled rows of the logs, with a progress bar, and the labels of a file, if one is given, with their
    `reasons`; tells of the first line that cannot be read, and of labels that are for more lines than there are."""
    from dataclasses import replace

    from sidecar.sources import progress
    from training import dataset

    if (backend == "dask") != (scheduler is not None):
        raise XbotError("--backend dask and --scheduler ADDR go together")
    how, marks = row_settings(logs, reasons=reasons, **rows)
    how = replace(how, jobs=jobs, scheduler=scheduler)
    if how.looks_back and (jobs > 1 or scheduler is not None):
        raise XbotError("--jobs and --backend dask need --stateless: one process reads the lines by time")
    with progress.over_logs("reading", logs, quiet=quiet) as advance:
        data = dataset.read(logs, how, labels=marks, advance=advance)
    for remark in data.remarks:
        progress.say(f"xbot: {remark}")
    lines = sum(source.lines for source in data.sources)
    if marks is not None and marks.last > lines:
        known = f"there is a label for line {marks.last}, but the last line is {lines}"
        progress.say(f"xbot: {rows['labels']}: {known}: were they made for these logs?")
    return data, how, marks


def read_sessions(log: Path, how: How, quiet: bool) -> Dataset:
    """The labelled rows of sessions, with what each client did before; as LOGS, but for the group `client`."""
    from dataclasses import replace

    from sidecar.sources import progress
    from training import dataset

    with progress.over_logs("reading sessions", (str(log),), quiet=quiet) as advance:
        data = dataset.read([str(log)], replace(how, log_format="jsonl", stateless=False, jobs=1), advance=advance)
    for remark in data.remarks:
        progress.say(f"xbot: {remark}")
    if not data.present & core.GROUPS["client"]:
        raise XbotError(f"{log}: no line tells what its client did before: sessions need addresses and times")
    return data
