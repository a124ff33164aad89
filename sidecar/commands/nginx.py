"""The command `xbot nginx`: the files that nginx includes, printed or copied.

Law: nothing that is there already is written over.
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
@click.option("--write", type=click.Path(path_type=Path), metavar="DIR", help="Copy them into DIR.")
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
    """Write files that are not there yet; one with the same bytes stays; one with others is an error, and none is
    written then."""
    directory.mkdir(parents=True, exist_ok=True)
    there = {path for name in texts if os.path.lexists(path := directory / name)}
    for path in sorted(there):
        if not path.is_file() or path.read_bytes() != texts[path.name]:
            raise XbotError(f"{path}: there already, with other contents; move it away first")
    for name, text in texts.items():
        if directory / name not in there:
            outputs.write(directory / name, text)
            click.echo(directory / name)
