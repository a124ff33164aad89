"""The commands that look at models and logs without a server: score and inspect.

Law: they load a model and read a log by the same code as the sidecar and training; only the printing is theirs.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from sidecar import core, model
from sidecar.config.config import DEFAULT_MODEL
from sidecar.sources import formats, progress, reading
from sidecar.sources.lines import Unreadable, of_block

F = TypeVar("F", bound=Callable[..., Any])


class ModelFile(click.Path):
    """A model's path; `default` is the model that comes with xbot. A file of that name is ./default."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click calls it, for each value."""
        return DEFAULT_MODEL if value == "default" else super().convert(value, param, ctx)


MODEL_FILE = ModelFile()
_MODEL = click.option("--model", "path", required=True, type=MODEL_FILE, help="The model file; default: xbot's own.")
_FORMAT = click.option(
    "--format",
    "log_format",
    required=True,
    type=click.Choice(formats.NAMES),
    help="The log's format (docs/formats.md).",
)
_LOG = click.argument("log", default="-")


@click.command(epilog="Example: xbot score --model site.xbot --format combined --json access.log")
@_MODEL
@_FORMAT
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@_LOG
def score(path: Path, log_format: str, as_json: bool, log: str) -> None:
    """Print a verdict for each line of LOG, in its order: line, verdict, score, strongest reason.

    LOG is a file, gzip too, or - for standard input. A line that cannot be read is reported in its place.
    """
    loaded, out, unreadable = model.load(path), sys.stdout.buffer, Unreadable(log)
    with progress.over_logs("scoring", [log], quiet=sys.stdout.isatty()) as advance:
        request, before, form = core.Request(), 0, formats.FORMATS[log_format]
        handshakes = form.handshakes()
        for block in reading.blocks(log):
            report, lines, faults = _report(loaded, form, request, handshakes, block, before, as_json)
            out.write(report)
            before += lines
            for fault in faults:
                unreadable.add(*fault)
            advance(len(block))
    unreadable.tell(before)


def _report(
    loaded: core.Model,
    form: formats.Format,
    request: core.Request,
    handshakes: core.Handshakes | None,
    block: bytes,
    before: int,
    as_json: bool,
) -> tuple[bytes, int, list[tuple[int, str, str]]]:
    """What is printed for a block, how many lines it has, and which of them cannot be read."""
    if form.record is None:
        return loaded.report_lines(request, form.name, block, before + 1, as_json)
    out, faults, number = [], [], before
    for number, _, read, fault in of_block(block, form, request, before, handshakes):
        if read is None:
            faults.append((number, *fault))
            out.append(core.report_error(number, *fault, as_json))
        else:
            out.append(loaded.report(read, number, as_json))
    return b"".join(out), number - before, faults


def plain_console() -> Console:
    """Shows text as it is, whoever wrote it: no markup of its own, no emoji."""
    return Console(width=None if sys.stdout.isatty() else 140, markup=False, emoji=False, highlight=False)


@click.command(epilog="Example: xbot inspect site.xbot")
@click.argument("path", metavar="MODEL", type=MODEL_FILE)
@click.option("--json", "as_json", is_flag=True, help="Header and provenance as one JSON object.")
@click.option("--weights", default=20, show_default=True, help="How many of the strongest weights to show.")
def inspect(path: Path, as_json: bool, weights: int) -> None:
    """Show what a model file holds: header, where it comes from, how well it did, its strongest weights."""
    loaded = model.load(path)
    if as_json:
        said = {
            "header": loaded.header,
            "rows": loaded.rows,
            "unknown_rows": unknown_rows(loaded),
            "provenance": loaded.provenance,
        }
        click.echo(json.dumps(said, indent=1))
        return
    console = plain_console()
    console.print(_header_table(path, loaded))
    console.print(_weights_table(loaded, weights))


def unknown_rows(loaded: core.Model) -> list[str]:
    """The rows of this program that the model does not have: they weigh nothing in it."""
    return [row.name for row in (*core.FEATURES, *core.FAMILIES) if row.name not in loaded.rows]


def _header_table(path: Path, loaded: core.Model) -> Table:
    header, provenance = loaded.header, loaded.provenance
    table = Table(title=str(path), title_justify="left", show_header=False, show_edge=False, pad_edge=False)
    groups = [name for name, bits in core.GROUPS.items() if header["groups"] & bits]
    counts = f"{header['n_dense']} features, {header['n_families']} families, 2^{header['k']} buckets of words"
    table.add_row("format", f"version {header['version']}: {counts}")
    raised = [f"{name} {version}" for name, version in loaded.rows.items() if version > 1]
    if raised:
        table.add_row("rows by version", " ".join(raised))
    if unknown := unknown_rows(loaded):
        table.add_row("does not know", " ".join(unknown))
    table.add_row("groups", " ".join(groups))
    table.add_row("threshold", f"{header['threshold']:.6f} of the score; bias {header['bias']:+.6f}")
    table.add_row("score", f"1 / (1 + exp({header['a']:.6f} × margin {header['b']:+.6f}))")
    if header["n_hosts"]:
        table.add_row("known hosts", str(header["n_hosts"]))
    for name, value in provenance.items():
        if name == "created":
            value = datetime.datetime.fromtimestamp(value, datetime.timezone.utc).isoformat()
        if name != "words":
            table.add_row(name, value if isinstance(value, str) else json.dumps(value))
    return table


def _weights_table(loaded: core.Model, most: int) -> Table:
    table = Table(title=f"the {most} strongest weights", title_justify="left", show_edge=False, pad_edge=False)
    for column in ("weight", "feature", "mean", "scale", "bounds"):
        table.add_column(column, justify="left" if column == "feature" else "right")
    words = loaded.provenance.get("words", {})
    dense, weight = len(core.FEATURES), loaded.weight
    for i in sorted(range(len(weight)), key=lambda i: -abs(weight[i]))[:most]:
        if i < dense:
            bounds = f"{loaded.lower[i]:g} to {loaded.upper[i]:g}"
            numbers = (core.FEATURES[i].name, f"{loaded.mean[i]:.4g}", f"{loaded.scale[i]:.4g}", bounds)
        else:
            numbers = (words.get(str(i - dense), f"bucket {i - dense}"), "", "", "")
        table.add_row(f"{weight[i]:+.6f}", *numbers)
    return table
