"""The command `xbot why`: a decision of the log by its id, explained as it was taken.

Law: what is said is what the log holds and what the model adds up; where these differ, that is said too.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from sidecar.commands.explain import Judge, as_object, as_page, every_option
from sidecar.commands.judging import load
from sidecar.commands.offline import plain_console
from sidecar.config import config
from sidecar.config.plan import Overrides
from sidecar.decisions import lookup
from sidecar.errors import XbotError

_PATH = click.Path(path_type=Path)


@click.command(
    short_help="Explain a decision by its X-Bot-Id.",
    epilog="Example: xbot why k3v9x2m4q7rt --config /etc/xbot/xbot.toml",
)
@click.option("--log", "log", type=_PATH, help="The log of decisions.  [default: that of --config]")
@click.option("--config", "configuration", type=_PATH, envvar="XBOT_CONFIG", help="xbot.toml: the log, and the model.")
@click.option(
    "--model", type=_PATH, help="The model that decided.  [default: that of --config, or the one that comes with xbot]"
)
@every_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every feature.")
@click.argument("id_", metavar="ID")
def why(id_: str, log: Path | None, configuration: Path | None, model: Path | None, every: bool, as_json: bool) -> None:
    """Explain the decision with this X-Bot-Id: what spoke most for a bot and against, and all others in one. They add up to the
    margin that was served; --all shows every part.

    The id is in the answer, in nginx's logs, and on the page that a visitor sees who was refused (nginx/refused.conf).
    Files that were rotated away from the log are looked through too.
    """
    plan = config.load(configuration, Overrides(model=model)) if configuration else None
    if log is None:
        if plan is None or plan.fixed.decisions.file is None:
            raise XbotError("why: no --log, and no --config with a [decisions] file")
        log = plan.named(plan.fixed.decisions.file)
    found = lookup.find(lookup.checked(id_), log)
    request, decided = lookup.read(found)
    path, opened, _ = load(plan.model if plan else model, None, None)
    said = Judge(opened, None).why(request)
    verdict, bias, parts = lookup.explained(opened, request, decided)
    by = said.threshold if decided.threshold is None else decided.threshold
    taken = verdict._replace(bot=decided.verdict == "bot")
    said = said._replace(verdict=taken, threshold=by, bias=bias, parts=parts)
    same = lookup.is_by(opened, decided)
    if as_json:
        exact = {"model_is_the_one": same, "logged": lookup.as_logged(decided)}
        click.echo(json.dumps({**as_object(found.line, request, said), **exact}))
        return
    told = f"{decided.verdict} {decided.score:.4f} {decided.reason}" + (
        f" by {decided.policy}" if decided.policy else ""
    )
    plain_console().print(
        as_page(f"line {found.line}", request, f"{told}, {'403' if decided.refused else 'let by'}", said, every)
    )
    if not same:
        other = decided.model[:12] or "unknown"
        click.echo(f"another model decided ({other}): above is what {path} says; served was {decided.margin:+.6f}")
