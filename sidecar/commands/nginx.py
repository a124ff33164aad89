"""The command `xbot nginx`: the files that nginx includes, printed or copied.

Law: what the owner edited stays; the new file is laid beside it as NAME.new.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

import sidecar
from sidecar import outputs
from sidecar.errors import XbotError


@click.command()
@click.option("--print", "show", is_flag=True, help="Print all files.")
@click.option(
    "--write",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Copy them into DIR; beside one that you edited, as NAME.new.",
)
def nginx(show: bool, write: Path | None) -> None:
    """Print or copy the files that nginx includes.

    \b
    xbot nginx --print
    xbot nginx --write /etc/nginx/xbot
    """
    if show == (write is not None):
        raise XbotError("nginx: give one of --print and --write DIR")
    files = sorted(path for path in (Path(sidecar.__file__).parent / "nginx").iterdir() if path.is_file())
    if write is None:
        for file in files:
            click.echo(f"# ---- {file.name} ----\n{file.read_text()}")
    else:
        _write_new(write, {file.name: file.read_bytes() for file in files})


def _write_new(directory: Path, texts: dict[str, bytes]) -> None:
    """Write files that are not there yet, and beside one with other contents the new one, as NAME.new; none is written if
    one of these names is no file."""
    directory.mkdir(parents=True, exist_ok=True)
    to_write = {}
    for name, text in texts.items():
        for place in (directory / name, directory / f"{name}.new"):
            if os.path.lexists(place) and not place.is_file():
                raise XbotError(f"{place}: there already, and no file; move it away first")
        there = directory / name
        edited = there.exists() and there.read_bytes() != text
        place = directory / f"{name}.new" if edited else there
        if not place.exists() or place.read_bytes() != text:
            to_write[place] = text
    for place, text in to_write.items():
        outputs.write(place, text)
        kept = f" (yours, {place.stem}, stays as it is)" if place.suffix == ".new" else ""
        click.echo(f"{place}{kept}")
