"""The command `xbot nginx`: the files that nginx includes, printed or copied.

Law: nothing that is there already is written over. The files are the same for every nginx but for lines that only some can read.
One that ends in `# nginx VERSION` becomes a comment for an older nginx, as `#VERSION:` before it; one that begins so is a comment
that becomes a line for a nginx of that version or newer.
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


@click.command()
@click.option("--print", "show", is_flag=True, help="Print all files.")
@click.option("--write", type=click.Path(path_type=Path), metavar="DIR", help="Copy them into DIR.")
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
    """Write files that are not there yet; one with the same bytes stays; one with others is an error, and none is
    written then."""
    directory.mkdir(parents=True, exist_ok=True)
    there = {path for name in texts if os.path.lexists(path := directory / name)}
    for path in sorted(there):
        if not path.is_file() or path.read_bytes() != texts[path.name]:
            raise XbotError(f"{path}: exists already with other contents; move it away first")
    for name, text in texts.items():
        if directory / name not in there:
            outputs.write(directory / name, text)
            click.echo(directory / name)
