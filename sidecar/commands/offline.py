"""The commands that look at models and logs without a server: score and inspect.

Law: they load a model and read a log by the same code as the sidecar and training; only the printing is theirs.
"""

from __future__ import annotations

import datetime
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from sidecar import core, model
from sidecar.commands import judging
from sidecar.commands.judging import judging_options, mode_option
from sidecar.options import MODEL_FILE
from sidecar.sources import progress, reading
from sidecar.sources.choosing import format_options
from sidecar.sources.formats import Format, find
from sidecar.sources.lines import Unreadable, of_logs
from sidecar.sources.merging import Order, stateless_option


@click.command(short_help="Print a verdict for each line of a log.", epilog="Example: xbot score --json access.log")
@judging_options
@mode_option
@format_options()
@stateless_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.argument("log", default="-")
def score(
    path: Path | None, configuration: Path | None, policy: str | None, mode: str | None, log_format: str, stateless: bool,
    as_json: bool, log: str,
) -> None:  # fmt: skip
    """Print a verdict for each line of LOG, in its order: line, verdict, score, strongest reason.

    LOG is a file, compressed too, or - for standard input. A line that cannot be read is reported in its place. Lines are judged
    in their order, each also by what its client did in the lines before it, if the model looks at that. With --config
    the verdict is what its policies and lists make of it, and two columns more say by which policy, and refused or let by.
    """
    _, loaded, rules = judging.load(path, configuration, policy, mode)
    write = sys.stdout.buffer.write
    with progress.over_logs("scoring", [log], quiet=sys.stdout.isatty()) as advance:
        form, clients = find(log_format), judging.clients_for(stateless, loaded)
        if (form.record is None or form.plain) and rules is None:
            _score_blocks(loaded, form, clients, log, as_json, advance)
        else:
            for _, (number, text, read, fault) in of_logs([log], form, clients, [Unreadable(log)], advance):
                if read is None:
                    write(core.report_error(number, *fault, as_json))
                elif rules is None:
                    write(loaded.report(read, number, as_json))
                else:
                    write(_decided(loaded, rules, read, form.logged_policy(text, read), number, as_json))
    sys.stdout.flush()


def _score_blocks(
    loaded: core.Model, form: Format, clients: core.Clients | None, log: str, as_json: bool, advance: Callable[[int], None]
) -> None:  # fmt: skip
    """The same for a format that csrc reads, a block at a time."""
    request, before, unreadable, order, handshakes = core.Request(), 0, Unreadable(log), Order(), form.handshakes()
    for block in reading.blocks(log):
        done = loaded.report_lines(
            request, form.name, block, before + 1, as_json, sys.stdout.buffer.write, clients, form.record, handshakes
        )
        if done.first_bad is not None:
            unreadable.add(*done.first_bad, done.bad)
        order.add(log, done.first_late, done.lines - done.bad, done.late)
        before += done.lines
        advance(len(block))
    sys.stdout.flush()
    unreadable.tell(before)
    order.tell()


def _decided(
    loaded: core.Model, rules: judging.Rules, request: core.Request, logged: bytes | None, line: int, as_json: bool
) -> bytes:
    """The line for what the policies make of a request."""
    decision, verdict = rules.decide_again(loaded, request, logged), loaded.judge(request)
    if as_json:
        said = {
            "line": line,
            "verdict": decision.outcome,
            "score": round(verdict.score, 4),
            "margin": verdict.margin,
            "reason": decision.reason,
            "policy": decision.policy,
            "list": decision.list,
            "refuse": decision.refuse,
        }
        return json.dumps(said).encode() + b"\n"
    done = "refused" if decision.refuse else "let by"
    row = (line, decision.outcome, f"{verdict.score:.4f}", decision.reason, decision.policy, done)
    return "\t".join(map(str, row)).encode() + b"\n"


# Members of a model's provenance that `inspect` tells in its own words, or not at all: --json has them all.
_TOLD = frozenset(
    (
        "created",
        "xbot",
        "rows",
        "bots",
        "humans",
        "sources",
        "held_out",
        "sessions",
        "threshold",
        "bounded",
        "settings",
        "split",
        "machine",
        "versions",
        "words",
        "margins",
    )
)


def plain_console() -> Console:
    """Shows text of any origin as it is: without markup or emoji."""
    return Console(width=None if sys.stdout.isatty() else 140, markup=False, emoji=False, highlight=False)


@click.command(short_help="Show what a model file holds.", epilog="Example: xbot inspect site.xbot")
@click.argument("path", metavar="[MODEL]", type=MODEL_FILE, default="default")
@click.option("--json", "as_json", is_flag=True, help="Header and provenance as one JSON object.")
@click.option("--weights", default=20, show_default=True, help="How many of the strongest weights to show.")
def inspect(path: Path, as_json: bool, weights: int) -> None:
    """Show what a model file holds: header, where it comes from, how well it did, its strongest weights.

    MODEL is a file, or `default` for the model that comes with xbot.
    """
    loaded = model.load(path)
    if as_json:
        said = {
            "header": loaded.header,
            "rows": loaded.rows,
            "unknown_rows": unknown_rows(loaded),
            "provenance": loaded.provenance,
        }
        click.echo(json.dumps(said, indent=1))
        return
    console = plain_console()
    console.print(_header_table(path, loaded))
    console.print(_weights_table(loaded, weights))


def unknown_rows(loaded: core.Model) -> list[str]:
    """The rows of this program that the model does not have: they have no weight in it."""
    return [row.name for row in (*core.FEATURES, *core.FAMILIES) if row.name not in loaded.rows]


def _header_table(path: Path, loaded: core.Model) -> Table:
    header, provenance = loaded.header, loaded.provenance
    table = Table(title=str(path), title_justify="left", show_header=False, show_edge=False, pad_edge=False)
    groups = [name for name, bits in core.GROUPS.items() if header["groups"] & bits]
    counts = f"{header['n_dense']} features, {header['n_families']} families, 2^{header['k']} buckets of words"
    table.add_row("format", f"version {header['version']}: {counts}")
    raised = [f"{name} {version}" for name, version in loaded.rows.items() if version > 1]
    if raised:
        table.add_row("rows by version", " ".join(raised))
    if unknown := unknown_rows(loaded):
        table.add_row("does not know", " ".join(unknown))
    table.add_row("groups", " ".join(groups))
    table.add_row("threshold", f"{header['threshold']:.6f} of the score; bias {header['bias']:+.6f}")
    table.add_row("score", f"1 / (1 + exp({header['a']:.6f} × margin {header['b']:+.6f}))")
    if header["n_hosts"]:
        table.add_row("known hosts", str(header["n_hosts"]))
    for name, value in _origin(provenance):
        table.add_row(name, value)
    return table


def _origin(said: dict[str, Any]) -> list[tuple[str, str]]:
    """Where a model comes from and how well it did, for people, and any other member as it is. A file may hold what training never
    wrote: then all members are shown as they are."""
    try:
        told = list(_trained(said))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        told, rest = [], said
    else:
        rest = {name: value for name, value in said.items() if name not in _TOLD}
    return told + [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in rest.items()]


def _trained(said: dict[str, Any]) -> Iterator[tuple[str, str]]:
    settings, held, bounded = said.get("settings", {}), said.get("held_out", {}), said.get("bounded", {})
    if "created" in said:
        made = datetime.datetime.fromtimestamp(said["created"], datetime.timezone.utc)
        yield "made", f"{made:%Y-%m-%d}, by xbot {said.get('xbot', '?')}"
    if "rows" in said:
        logs = ", ".join(source["name"] for source in said.get("sources", ()))
        yield (
            "trained on",
            f"{said['rows']:,} requests, {said['bots']:,} of bots and {said['humans']:,} of humans: {logs}",
        )
    if held:
        yield (
            "held out",
            (
                f"catches {held['recall']:.2%} of the bots; calls {held['false_positive_rate']:.2%} of the humans bots; "
                f"ROC AUC {held['roc_auc']:.4f}"
            ),
        )
    if watched := said.get("sessions"):
        yield (
            "behaviour",
            (
                f"from {watched['rows']:,} requests in sessions; held out: catches {watched['programs_caught']:,} of "
                f"{watched['programs']:,} clients of programs ({watched['programs_caught_bare']:,} without it), calls "
                f"{watched['people_refused']:,} of {watched['people']:,} clients of people bots ({watched['people_refused_bare']:,})"
            ),
        )
    if (margins := said.get("margins")) and len(margins) == core.MARGINS:
        edge = core.MARGINS / 4
        yield "margins", f"{_bars(margins)} held out, below {1 / 2 - edge:g} to above {edge - 1 / 2:g}"
    if moved := said.get("threshold"):
        yield "proven clients", f"{moved['proven_clients']:,}; their threshold may be up to {moved['highest']:.6f}"
    if bounded:
        yield "bounded", f"nothing speaks for a human; without these bounds it would catch {bounded['recall_free']:.2%}"
    if start := settings.get("start"):
        yield "started from", f"{start['name']} ({start['sha256'][:12]})"
    if settings:
        asked = ("C", "max_fpr", "seed", "format", "folds", "split")
        yield "settings", ", ".join(f"{name} {settings[name]}" for name in asked if name in settings)
        yield from (
            (name, _names(settings[key]))
            for key, name in (("last", "fitted last"), ("without", "left out"))
            if settings.get(key)
        )
    if "machine" in said:
        versions = (f"{name} {version}" for name, version in said.get("versions", {}).items())
        yield "machine", "; ".join((said["machine"], ", ".join(versions)))


def _bars(counts: list[int]) -> str:
    """A histogram in one line. By the square root, so that a few are seen beside many."""
    most = max(*counts, 1)
    return "".join(" ▁▂▃▄▅▆▇█"[math.ceil(8 * math.sqrt(count / most))] for count in counts)


def _names(names: list[str]) -> str:
    """Names of rows, where those that begin alike are not told one by one: `ip_1, tls_... (27)`."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(name.partition("_")[0], []).append(name)
    return ", ".join(", ".join(each) if len(each) < 4 else f"{kind}_... ({len(each)})" for kind, each in kinds.items())


def _weights_table(loaded: core.Model, most: int) -> Table:
    table = Table(title=f"the {most} strongest weights", title_justify="left", show_edge=False, pad_edge=False)
    for column in ("weight", "feature", "mean", "scale", "bounds"):
        table.add_column(column, justify="left" if column == "feature" else "right")
    words = loaded.provenance.get("words", {})
    dense, weight = len(core.FEATURES), loaded.weight
    for i in sorted(range(len(weight)), key=lambda i: -abs(weight[i]))[:most]:
        if i < dense:
            bounds = f"{loaded.lower[i]:g} to {loaded.upper[i]:g}"
            numbers = (core.FEATURES[i].name, f"{loaded.mean[i]:.4g}", f"{loaded.scale[i]:.4g}", bounds)
        else:
            numbers = (words.get(str(i - dense), f"bucket {i - dense}"), "", "", "")
        table.add_row(f"{weight[i]:+.6f}", *numbers)
    return table
