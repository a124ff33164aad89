"""python -m training.corpus.sessions: writes sessions as jsonl, one request a line, in order of time."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from sidecar import outputs
from sidecar.errors import XbotError
from training.corpus import published
from training.corpus.sessions import ROWS, generate


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
@click.option("--seed", type=int, required=True, help="The same seed and packages give the same file.")
@click.option("--rows", type=click.IntRange(100), default=ROWS, show_default=True, help="About so many, of all sites.")
def main(out: Path, seed: int, rows: int) -> None:
    try:
        outputs.check([(out, outputs.CORPUS)])
        published.check()
        with outputs.writing(out) as file:
            file.writelines(msgspec.json.encode(row) + b"\n" for row in generate(seed, rows))
    except XbotError as error:
        click.echo(f"xbot: {error}", err=True)
        sys.exit(2)


main(prog_name="python -m training.corpus.sessions")
