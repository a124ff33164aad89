"""The commands `xbot top` and `xbot tail`: what a running sidecar decides, live in a terminal or once for a script.

Law: they ask over the control socket and change nothing. What is printed is what the sidecar told, which is plain text already; it
is printed as text once more (sources/shown.py), for the terminal obeys whatever is not.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from sidecar.steer import words
from sidecar.steer.cli import place_option
from sidecar.steer.client import ask
from sidecar.watch import screens

_interval = click.option(
    "--interval",
    type=click.FloatRange(0.2, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="From one look to the next.",
)
_once = click.option("--once", is_flag=True, help="Look once, print that, and end.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


@click.command(short_help="Watch a running sidecar.", epilog="Example: xbot top")
@place_option
@_interval
@_once
@_json
def top(control: Path, interval: float, once: bool, as_json: bool) -> None:
    """Watch a running sidecar: requests by verdict and policy, times, why bots are called bots, what looks alike and grows, the latest
    refusals, and refused clients that look like people.

    Counts are of all requests. What is said of single decisions is of those that the workers leave for who watches, a few in each second.
    Ends with Ctrl-C.
    """
    if as_json or once or not sys.stdout.isatty():
        while True:
            said = ask(control, words.Watch())
            click.echo(json.dumps(said)) if as_json else _console().print(screens.top(said, None))
            if once:
                return
            time.sleep(interval)
    with contextlib.suppress(KeyboardInterrupt), Live(screen=True, auto_refresh=False) as live:
        while True:
            live.update(screens.top(ask(control, words.Watch()), live.console.height), refresh=True)
            time.sleep(interval)


@click.command(short_help="Print a running sidecar's decisions as they come.", epilog="Example: xbot tail --refused")
@place_option
@_interval
@click.option("--refused", is_flag=True, help="Only what was refused.")
@click.option("--verdict", type=click.Choice(screens.VERDICTS), help="Only decisions with this verdict.")
@_once
@_json
def tail(control: Path, interval: float, refused: bool, verdict: str | None, once: bool, as_json: bool) -> None:
    """Print the decisions of a running sidecar as they are taken, a line each: the last ones, and then those that come.

    Of bots and of others it sees some in each second; the log of decisions ([decisions] in xbot.toml) has all that its owner asks for, and
    keeps it. `xbot why ID` explains one that is in that log. Ends with Ctrl-C.
    """
    console, after = _console(), -1
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            said = ask(control, words.Tail(after=after))
            if said["number"] < after:  # another sidecar
                after = -1
                continue
            after = said["number"]
            for one in said["decisions"]:
                if (refused and not one["refused"]) or verdict not in (None, one["verdict"]):
                    continue
                click.echo(json.dumps(one)) if as_json else console.print(screens.line(one))
            if once:
                return
            sys.stdout.flush()
            time.sleep(interval)


def _console() -> Console:
    """One that wraps nothing where no terminal is: a decision is a line."""
    return Console(soft_wrap=True, highlight=False, emoji=False, markup=False)
