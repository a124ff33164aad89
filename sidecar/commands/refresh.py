"""The command `xbot refresh`: the published lists of crawlers' networks, fetched now.

Law: it does what the sidecar does each day (verify/refresh.py), and says what became of each list.
"""

from __future__ import annotations

from pathlib import Path

import click

from sidecar.config import config, policies
from sidecar.errors import XbotError
from sidecar.verify import refresh as fetching


@click.command(
    short_help="Fetch crawlers' networks and keys.", epilog="Example: xbot refresh --config /etc/xbot/xbot.toml"
)
@click.option(
    "--config", "path", type=click.Path(path_type=Path), envvar="XBOT_CONFIG", help="xbot.toml, with `ranges`."
)
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Where to keep them.  [default: `ranges`]")
def refresh(path: Path | None, directory: Path | None) -> int:
    """Fetch the lists of networks that crawlers' owners publish, and the keys of signatures if any are checked.

    A list that cannot be had or is not sound changes nothing: the copy before stays. Status 2 if that happened to any. A
    sidecar that runs takes the new lists at its next reload.
    """
    plan = config.load(path)
    place = directory or plan.ranges
    if place is None:
        raise XbotError("refresh: nowhere to keep the lists: --dir DIR, or `ranges` in the --config")
    directories = policies.material(plan).directories()
    results = [*fetching.refresh(place, plan.publishers), *fetching.refresh_keys(place, directories)]
    for each in results:
        click.echo(str(each))
    return 2 if any(each.what == "failed" for each in results) else 0
