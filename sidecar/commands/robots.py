"""The command `xbot robots`: robots.txt, from the policies that the sidecar decides by.

Law: it prints and changes nothing; what the lines mean is said in verify/robots.py.
"""

from __future__ import annotations

from pathlib import Path

import click

from sidecar.config import config
from sidecar.verify import robots as writing


@click.command(
    short_help="Print the robots.txt that the policies mean.",
    epilog="Example: xbot robots --config /etc/xbot/xbot.toml > /srv/www/robots.txt",
)
@click.option("--config", "path", type=click.Path(path_type=Path), envvar="XBOT_CONFIG", help="xbot.toml.")
@click.option(
    "--license", "license_", metavar="URL", help="A licence in Really Simple Licensing, for the line `License`."
)
def robots(path: Path | None, license_: str | None) -> None:
    """Print a robots.txt that says what the policies say: who is denied, and what the content may be used for.

    \b
    verified = { search = "allow", training = "deny" }   is
    Content-Signal: search=yes, ai-train=no
    Content-Usage: search=y, train-ai=n
    and Disallow for those who train models

    It speaks for the policy `default`, and where other policies have `paths`, for these. `xbot check --robots` compares what the
    site serves.
    """
    plan = config.load(path)
    click.echo(writing.text(*plan.words(), license_), nl=False)
