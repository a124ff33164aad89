"""python -m training.corpus: writes the corpus as jsonl, one request a line."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from sidecar import outputs
from sidecar.errors import XbotError
from training.corpus import ROWS, generate, published
from training.corpus.views import views


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
@click.option("--seed", type=int, required=True, help="The same seed and packages give the same file.")
@click.option("--rows", type=click.IntRange(2), default=ROWS, show_default=True, help="Half of them by bots.")
@click.option("--views", "poorer", is_flag=True, help="Also as poorer sources would have kept them (views.py).")
def main(out: Path, seed: int, rows: int, poorer: bool) -> None:
    try:
        outputs.check([(out, outputs.CORPUS)])
        published.check()
        with outputs.writing(out) as file:
            records = generate(seed, rows)
            kept = views(records, seed) if poorer else records
            file.writelines(msgspec.json.encode(row) + b"\n" for row in kept)
    except XbotError as error:
        click.echo(f"xbot: {error}", err=True)
        sys.exit(2)


main(prog_name="python -m training.corpus")
