"""The command `xbot nginx`: the files that nginx includes, printed or copied.

Law: what the owner edited stays; the new file is laid beside it as NAME.new. The files are the same for every nginx except for lines
that only some can read. One that ends in `# nginx VERSION` becomes a comment for an older nginx, as `#VERSION:` before it; one that
begins so is a comment that becomes a line for a nginx of that version or newer.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import click

import sidecar
from sidecar import outputs
from sidecar.errors import XbotError

Version = tuple[int, ...]
_DORMANT = re.compile(r"^( *)#(\d+\.\d+\.\d+): ", re.MULTILINE)
_LIVE = re.compile(r"^( *)(\S.*?) +# nginx (\d+\.\d+\.\d+)$", re.MULTILINE)


def _version(text: str) -> Version:
    return tuple(map(int, text.split(".")))


def installed() -> Version:
    """The version of the nginx of this machine; () if there is none. Debian keeps it in /usr/sbin, not on every PATH."""
    path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/local/nginx/sbin")
    said = subprocess.run([path, "-v"], capture_output=True, text=True, check=False).stderr if path else ""
    found = re.search(r"/(\d+(?:\.\d+)*)", said)
    return _version(found[1]) if found else ()


def files(version: Version) -> dict[str, bytes]:
    """The files by name, as nginx of this version is to read them; (): as they are."""

    def for_it(text: str) -> bytes:
        text = _DORMANT.sub(lambda m: m[1] if version >= _version(m[2]) else m[0], text)
        if version:
            text = _LIVE.sub(lambda m: f"{m[1]}#{m[3]}: {m[2]}" if version < _version(m[3]) else m[0], text)
        return text.encode()

    directory = Path(sidecar.__file__).parent / "nginx"
    return {path.name: for_it(path.read_text()) for path in sorted(directory.iterdir()) if path.is_file()}


def _given(_: click.Context, __: click.Parameter, text: str | None) -> Version:
    if text is None:
        return installed()
    if not re.fullmatch(r"\d+(\.\d+){1,2}", text):
        raise XbotError(f"--for {text}: not a version such as 1.22.1")
    return _version(text)


@click.command(short_help="Print or copy the files that nginx includes.")
@click.option("--print", "show", is_flag=True, help="Print all files.")
@click.option(
    "--write",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Copy them into DIR; beside one that you edited, as NAME.new.",
)
@click.option(
    "--for",
    "version",
    metavar="VERSION",
    callback=_given,
    help="The version of nginx that reads them.  [default: the installed one]",
)
def nginx(show: bool, write: Path | None, version: Version) -> None:
    """Print or copy the files that nginx includes.

    \b
    xbot nginx --print
    xbot nginx --write /etc/nginx/xbot
    """
    if show == (write is not None):
        raise XbotError("nginx: give one of --print and --write DIR")
    if write is None:
        for name, text in files(version).items():
            click.echo(f"# ---- {name} ----\n{text.decode()}")
    else:
        _write_new(write, files(version))


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
