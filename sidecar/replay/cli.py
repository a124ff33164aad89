"""The command `xbot replay`: what a model and a threshold would have done to traffic that a log holds.

Law: the verdicts are the sidecar's own (sidecar.core); what is counted is in tally.py and its kin, what is said of it in report.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console

from sidecar import model, outputs
from sidecar.commands.judging import clients_for, identifying, judging_options, load, mode_option
from sidecar.errors import XbotError
from sidecar.options import MODEL_FILE
from sidecar.replay.heeded import Heeding
from sidecar.replay.report import MOST_JSON, of_policy, report
from sidecar.replay.ruled import Ruled
from sidecar.replay.tally import Judge, Tally
from sidecar.replay.terminal import show
from sidecar.sources import formats, progress
from sidecar.sources.choosing import format_options
from sidecar.sources.merging import stateless_option
from sidecar.sources.traffic import Traffic


@click.command(
    short_help="Show whom a model would have refused in logs.",
    epilog="Example: xbot replay --config /etc/xbot/xbot.toml --mode enforce access.log",
)
@judging_options
@mode_option
@click.option(
    "--against",
    "old",
    type=MODEL_FILE,
    help="The model to compare with, at its own threshold or by the same --config; `default` is the one that comes with xbot.",
)
@format_options()
@stateless_option
@click.option(
    "--threshold", type=click.FloatRange(0, 1), help="Refuse scores at or above this.  [default: the model's own]"
)
@click.option("--host", "hosts", multiple=True, metavar="HOST", help="The site's own host.  [default: guessed]")
@click.option("--robots", metavar="FILE|URL", help="The site's robots.txt: show who read it and disobeyed it.")
@click.option(
    "--json", "out", type=click.Path(path_type=Path), metavar="FILE", help="Also write the whole report here."
)
@click.option("--most", type=click.IntRange(1, MOST_JSON), default=10, show_default=True, help="Rows of each table.")
@click.argument("logs", nargs=-1, required=True)
def replay(
    path: Path | None, configuration: Path | None, policy: str | None, mode: str | None, old: Path | None, log_format: str,
    stateless: bool, threshold: float | None, hosts: tuple[str, ...], robots: str | None, out: Path | None, most: int,
    logs: tuple[str, ...],
) -> None:  # fmt: skip
    """Show what a model would have done to the traffic of LOGS: whom it would have refused, and whom perhaps wrongly.

    LOGS are files, compressed too, or - for standard input; several are read by time. Nothing is refused by this: it reads,
    judges and counts. With --config it shows what these policies and lists would have done, by policy, and whom they would have
    refused and let by. With --robots it shows who fetched what the site's robots.txt forbids, after reading it or without.
    """
    outputs.check([(out, outputs.REPLAY)], [*logs, path, old, configuration, robots])
    if configuration is not None and threshold is not None:
        raise XbotError("--threshold cannot be used with --config, whose policies have their own thresholds")
    new, loaded, rules = load(path, configuration, policy, mode)
    judge: Judge = Judge(loaded, threshold) if rules is None else Ruled(loaded, rules)
    before: Judge | None = None
    if old:
        before = Judge(model.load(old)) if rules is None else Ruled(model.load(old), rules)
    heeding = Heeding(robots, identifying(rules), hosts) if robots else None
    with progress.over_logs("replaying", logs) as advance:
        models = [loaded, before.model] if before else [loaded]
        clients = clients_for(stateless, *models)
        traffic = Traffic(logs, log_format, hosts, advance, clients)
        tally = Tally(judge, before, traffic.own)
        for log, line, request, logged in traffic.with_policies():
            judged = tally.add(log, line, request, logged)
            if heeding:
                heeding.add(log, line, request, judged.bot)
    tally.finish()
    done = report(traffic, tally, new, judge, old, before)
    done.stateless = clients is None
    if rules is not None and isinstance(judge, Ruled):
        done.config, done.policies = str(configuration), [of_policy(rules, judge, name) for name in rules.plan.policies]
    done.robots = heeding.report() if heeding else None
    if out is not None:
        outputs.write(out, msgspec.json.format(msgspec.json.encode(done), indent=1) + b"\n")
    show(
        done,
        formats.find(log_format).option,
        Console(width=None if sys.stdout.isatty() else 140, markup=False, emoji=False, highlight=False),
        most,
    )
