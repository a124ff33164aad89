"""The command `xbot label`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console

from sidecar import outputs
from sidecar.sources import progress
from sidecar.sources.choosing import format_options
from sidecar.sources.shown import text
from sidecar.sources.traffic import Traffic
from training.label import rules, summary
from training.label.engine import Labeller

_PATH = click.Path(path_type=Path)


@click.command(
    short_help="Label the lines of logs by rules, to train on them.",
    epilog="Example: xbot label --out access.labels access.log",
)
@format_options()
@click.option("--out", type=_PATH, help="Write the labels here.  [default: standard output]")
@click.option("--rules", "files", multiple=True, type=_PATH, metavar="FILE", help="Change and add rules (TOML).")
@click.option("--off", multiple=True, metavar="NAME", help="Switch off a rule or a set; may be repeated.")
@click.option(
    "--trap",
    "traps",
    multiple=True,
    metavar="PATH",
    help="A path that no person finds: who asks for it is a bot (/xbot-trap/, always).",
)
@click.option("--host", "hosts", multiple=True, metavar="HOST", help="The site's own host.  [default: guessed]")
@click.option("--json", "report", type=_PATH, metavar="FILE", help="Write coverage and conflicts here, for the report.")
@click.option("--list", "listing", is_flag=True, help="Show the rules that the other options leave, and exit.")
@click.option("--quiet", is_flag=True, help="No summary and no progress.")
@click.argument("logs", nargs=-1)
def label(
    log_format: str, out: Path | None, files: tuple[Path, ...], off: tuple[str, ...], traps: tuple[str, ...],
    hosts: tuple[str, ...], report: Path | None, listing: bool, quiet: bool, logs: tuple[str, ...],
) -> None:  # fmt: skip
    """Label the lines of LOGS bot, human or unknown by rules, so that `xbot train --labels` can learn from them.

    LOGS are files, gzip too, or - for standard input. A client's lines are judged by all that it did, in all of LOGS.
    The lines of several logs are numbered through, in the order given.
    """
    book = rules.read(files, off, traps)
    if listing:
        wide = None if sys.stdout.isatty() else 160
        summary.show_list(summary.listing(book), Console(width=wide, markup=False, emoji=False, highlight=False))
        return
    if not logs:
        raise click.UsageError("Missing argument 'LOGS...'.")
    outputs.check([(out, outputs.LABELS), (report, outputs.COVERAGE)], [*logs, *files])
    with progress.over_logs("reading", logs, quiet=quiet) as advance:
        traffic = Traffic(logs, log_format, hosts, advance)
        labeller = Labeller(book, traffic.own)
        labeller.read(traffic)
    with outputs.writing(out) as file, progress.working("labelling", quiet=quiet):
        file.write(b"line\tlabel\trules\n")
        file.writelines(f"{n}\t{word}\t{fired}\n".encode() for n, (word, fired) in enumerate(labeller.labels(), 1))
    own = sorted(text(host) for host in traffic.own.hosts)
    done = summary.coverage(book, labeller, own, traffic.own.said)
    if report is not None:
        outputs.write(report, msgspec.json.format(msgspec.json.encode(done), indent=1) + b"\n")
    if not quiet:
        console = Console(stderr=True, markup=False, emoji=False, highlight=False)
        if not console.is_terminal:
            console.width = 120
        summary.show(done, console)
