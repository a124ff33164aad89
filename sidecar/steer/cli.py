"""The commands `xbot mode`, `status`, `allow` and `reload`: a running sidecar, steered over its control socket.

Law: a command says one thing and prints what holds then; the sidecar decides what may be said.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from sidecar import core
from sidecar.config import toml_file
from sidecar.config.options import CONTROL, DEFAULT_BOARD
from sidecar.errors import XbotError
from sidecar.steer import words
from sidecar.steer.client import ask

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A span of time, such as 90s, 30m, 1h or 7d, in seconds."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([smhd])", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no span of time, such as 90s, 30m, 1h or 7d", ctx, param)
    return float(found[1]) * _UNITS[found[2]]


place_option = click.option(
    "--control",
    type=click.Path(path_type=Path),
    envvar="XBOT_CONTROL",
    default=DEFAULT_BOARD / CONTROL,
    show_default=True,
    help="The sidecar's control socket.",
)


def _steering(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all of them have."""
    return functools.reduce(lambda f, option: option(f), [_AS_JSON, place_option], command)


_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the sidecar's reply, one JSON object.")


@click.command(
    short_help="Let a running sidecar observe or enforce, at once.", epilog="Example: xbot mode observe --for 1h"
)
@click.argument("mode", type=click.Choice(core.WHEEL_MODES))
@click.option("--policy", help="Of this policy only; the others stay as they are.  [default: of all]")
@click.option(
    "--for", "seconds", metavar="TIME", callback=_seconds, help="For so long.  [default: until another mode is said]"
)
@_steering
def mode(mode: str, policy: str | None, seconds: float | None, control: Path, as_json: bool) -> None:
    """Set the mode of a running sidecar at once, whatever its configuration says.

    \b
    observe     nobody is refused; the site is still told who is a bot
    enforce     bots are refused
    off         nobody is refused, and the site is told nothing: X-Bot is unknown
    configured  as the configuration says, again

    It holds from the next answer of each worker on, through reloads and upgrades, until its time is over.
    """
    _show(ask(control, _checked(words.Mode, mode=mode, policy=policy, seconds=seconds)), as_json)


@click.command(
    short_help="Let a visitor by, at once and for a while.", epilog="Example: xbot allow 203.0.113.7 --for 1h"
)
@click.argument("address")
@click.option(
    "--for",
    "seconds",
    metavar="TIME",
    callback=_seconds,
    default="1h",
    show_default=True,
    help="For so long, at most 30d.",
)
@click.option("--end", is_flag=True, help="No longer.")
@_steering
def allow(address: str, seconds: float, end: bool, control: Path, as_json: bool) -> None:
    """Let by a visitor's ADDRESS, or a network, at once and for a while.

    It stands above every list and the score. Whom to let by for ever belongs into a list of the configuration.
    """
    words.network(address)
    _show(ask(control, _checked(words.Allow, address=address, seconds=0.0 if end else seconds)), as_json)


@click.command(short_help="Have a running sidecar read its files again.", epilog="Example: xbot reload")
@_steering
def reload(control: Path, as_json: bool) -> None:
    """Read configuration, lists and model again, as SIGHUP does, and say whether they were taken."""
    _show(ask(control, words.Reload()), as_json)


@click.command(short_help="Show what a running sidecar serves.", epilog="Example: xbot status --json")
@_steering
def status(control: Path, as_json: bool) -> None:
    """Show what a running sidecar serves, the mode of each policy, what was said by hand, and what looks wrong."""
    _show(ask(control, words.Status()), as_json)


def _checked(kind: type[msgspec.Struct], **said: Any) -> msgspec.Struct:
    """A request, as the sidecar will see it."""
    try:
        return msgspec.convert({"op": kind.__name__.lower(), **said}, kind)
    except msgspec.ValidationError as error:
        name = str(error).rpartition("$.")[2].rstrip("`")
        types = {each.name: each.type for each in msgspec.structs.fields(kind)}
        option = {"seconds": "--for", "policy": "--policy"}.get(name, name)
        raise XbotError(f"{option}: must be {toml_file.allowed(types[name])}") from None


def _show(reply: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(reply))
        return
    model = reply["model"]
    lines = [
        f"xbot {reply['version']}, pid {reply['pid']}, up {_span(reply['seconds'])}, "
        f"{reply['workers_up']} of {reply['workers']} workers",
        f"model {model['path']}, {model['sha256'][:12]}",
        *([f"model refused: {model['refused']}"] if model["refused"] else []),
        f"threshold {_threshold(reply['site'])}",
        *([_store(reply["store"])] if reply["store"] else []),
        *(f"policy {name}: {_mode(each)}" for name, each in reply["policies"].items()),
        *(f"allowed by hand: {each['address']}, {_left(each['seconds'])}" for each in reply["allowed"]),
        *(f"unreachable: {address}: {why}" for address, why in reply["unreachable"].items()),
        *(f"alarm {each['alarm']}, for {_span(each['seconds'])}: {each['says']}" for each in reply["alarms"]),
        *(
            f"looks like a person: {each['id']}, {'refused' if each['refused'] else 'called a bot'} {_span(each['seconds'])} ago"
            for each in reply["doubted"]
        ),
        *([_canaries(last)] if (last := reply["canaries"]) else []),
    ]
    click.echo("\n".join(lines))


def _threshold(site: dict[str, Any]) -> str:
    """From where on visitors are bots, and who says so."""
    if not site["moves"]:
        return f"{site['threshold']:.4f}, the model's"
    whose = "the model's" if site["threshold"] == site["model"] else f"this site's (the model's: {site['model']:.4f})"
    return f"{site['threshold']:.4f}, {whose}; {site['proven']} proven visitors, at most {site['highest']:.4f}"


def _canaries(last: dict[str, Any]) -> str:
    wrong = f", wrong: {', '.join(last['wrong'])}" if last["wrong"] else ""
    return f"canaries {_span(last['seconds'])} ago: {last['right']} right{wrong}"


def _store(state: dict[str, Any]) -> str:
    """How it goes with the other machines."""
    how = f"away, {state['away']}" if state["away"] else f"{state['machines']} other machines"
    return f"store: {how}; {state['told']} entries told, {state['taken']} taken"


def _mode(policy: dict[str, Any]) -> str:
    if not policy["by_hand"]:
        return str(policy["mode"])
    return f"{policy['mode']} by hand, {_left(policy['seconds'])} (configured: {policy['configured']})"


def _left(seconds: float | None) -> str:
    return "until another is said" if seconds is None else f"for {_span(seconds)}"


def _span(seconds: float) -> str:
    """In its two largest units."""
    parts, rest = [], int(seconds)
    for unit, size in reversed(_UNITS.items()):
        if rest >= size:
            parts.append(f"{rest // size}{unit}")
            rest %= size
    return " ".join(parts[:2]) or "0s"
