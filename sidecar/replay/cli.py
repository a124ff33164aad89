"""The command `xbot replay`: what a model and a threshold would have done to traffic that a log holds.

Law: the verdicts are the sidecar's own (sidecar.core); only counting (tally.py) and printing are ours.
"""

from __future__ import annotations

import datetime
import heapq
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from sidecar import core, model, outputs
from sidecar.commands.judging import Rules, clients_for, identifying, judging_options, load, mode_option
from sidecar.errors import XbotError
from sidecar.options import MODEL_FILE
from sidecar.replay.heeded import Heeded, Heeding, OfCrawler
from sidecar.replay.ruled import OfPolicy, Ruled
from sidecar.replay.tally import WHY, Client, ClientKey, Judge, Place, Sample, Tally, Top
from sidecar.sources import formats, merging, progress, reading
from sidecar.sources.choosing import format_options
from sidecar.sources.merging import stateless_option
from sidecar.sources.shown import text
from sidecar.sources.traffic import Traffic

MOST_JSON = 100  # of a list, in the JSON
WIDEST = 200  # characters of a cell of a table
WORDS = ("human", "suspect", "bot", "verified")  # of X-Bot
MOST_DAYS = 31  # shown; the JSON has them all


class Frequent(msgspec.Struct):
    """What was refused most: a reason, an agent, a path or a network, and how often."""

    what: str
    requests: int


class Request(msgspec.Struct):
    """A request to look at: `xbot explain` tells more about that line."""

    ip: str
    agent: str
    uri: str
    log: str
    line: int
    reason: str
    score: float


class Suspect(msgspec.Struct):
    """Refused requests of a kind that should perhaps not be refused."""

    kind: str
    why: str
    requests: int
    clients: int
    examples: list[Request]


class FlippedClient(msgspec.Struct):
    """A client that the two models treat differently."""

    ip: str
    agent: str
    requests: int
    refused: int
    refused_before: int
    log: str
    line: int
    reason: str


class Flips(msgspec.Struct):
    """What changes in one direction: requests, and clients of whose requests one side refuses some, the other none."""

    requests: int
    clients: int
    reasons: list[Frequent]
    examples: list[FlippedClient]


class Day(msgspec.Struct):
    """One day, by UTC."""

    day: str
    requests: int
    refused: int
    refused_before: int | None


class Told(msgspec.Struct):
    """What was decided about a client, and why: the list, or the strongest reason of the score."""

    ip: str
    agent: str
    why: str
    requests: int


class ListDone(msgspec.Struct):
    """How many requests a list decided, and how."""

    list: str
    verdict: str
    requests: int


class PolicyDone(msgspec.Struct):
    """What a policy would have done. `outcomes` goes by X-Bot's words. `let_by_most`: whom a list let through, and bots that a policy
    that observes let through; people whom the score let through are not in it."""

    policy: str
    mode: str
    requests: int
    outcomes: dict[str, int]
    refused: int
    lists: list[ListDone]
    refused_most: list[Told]
    let_by_most: list[Told]


class Report(msgspec.Struct):
    """What `--json` writes.

    `labelled` counts lines that bear a label: "human refused" and the like. `counts_short`: how far the counts of a
    list may be too low, 0 if they are exact. `requests_beyond`: those of clients that were too many to remember; they
    are in the counts of requests, not in those of clients.
    """

    model: str
    threshold: float
    logs: list[str]
    against: str | None
    against_threshold: float | None
    own_hosts: list[str]
    own_hosts_known: str
    lines: int
    unreadable: int
    requests: int
    refused: int
    refused_before: int | None
    labelled: dict[str, int]
    days: list[Day]
    undated: int
    clients: int
    clients_refused: int
    requests_beyond: int
    groups_not_held: list[str]
    suspects: list[Suspect]
    reasons: list[Frequent]
    agents: list[Frequent]
    paths: list[Frequent]
    networks: list[Frequent]
    counts_short: dict[str, int]
    newly_refused: Flips | None
    no_longer_refused: Flips | None
    stateless: bool = True  # no line was judged by those before it
    config: str | None = None
    policies: list[PolicyDone] | None = None
    robots: Heeded | None = None


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
        done.config, done.policies = str(configuration), [_policy(rules, judge, name) for name in rules.plan.policies]
    done.robots = heeding.report() if heeding else None
    if out is not None:
        outputs.write(out, msgspec.json.format(msgspec.json.encode(done), indent=1) + b"\n")
    show(
        done,
        formats.find(log_format).option,
        Console(width=None if sys.stdout.isatty() else 140, markup=False, emoji=False, highlight=False),
        most,
    )


def _policy(rules: Rules, judge: Ruled, name: str) -> PolicyDone:
    found, mode = judge.policies.get(name, OfPolicy()), rules.plan.policies[name].mode
    return PolicyDone(
        policy=name,
        mode=mode,
        requests=sum(found.outcomes.values()),
        outcomes={outcome: found.outcomes[outcome] for outcome in core.OUTCOMES if outcome in found.outcomes},
        refused=found.refused,
        lists=[ListDone(each, outcome, n) for (each, outcome), n in found.lists.most_common()],
        refused_most=_clients(found.refused_most),
        let_by_most=_clients(found.let_by_most),
    )


def _clients(top: Top) -> list[Told]:
    told = []
    for what, requests in top.most(MOST_JSON):
        why, ip, agent = what.split("\t", 2) if isinstance(what, str) else ("", "", "")
        told.append(Told(ip, agent, why, requests))
    return told


def report(traffic: Traffic, tally: Tally, new: Path, judge: Judge, old: Path | None, before: Judge | None) -> Report:
    """All that was counted, as the JSON has it."""
    tops = {"reasons": tally.reasons, "agents": tally.agents, "paths": tally.paths, "networks": tally.networks}
    held, wanted = tally.present, judge.model.header["groups"]
    return Report(
        model=str(new),
        threshold=judge.threshold,
        logs=list(traffic.logs),
        against=str(old) if old else None,
        against_threshold=before.threshold if before else None,
        own_hosts=sorted(text(host) for host in traffic.own.hosts),
        own_hosts_known=traffic.own.said,
        lines=traffic.lines,
        unreadable=traffic.unreadable,
        requests=tally.requests,
        refused=tally.refused,
        refused_before=tally.was_refused if before else None,
        labelled={f"{said} {'refused' if no else 'let in'}": n for (said, no), n in tally.labelled.items()},
        days=[
            Day(_day(day), requests, refused, was if before else None)
            for day, (requests, refused, was) in sorted(tally.days.items())
        ],
        undated=tally.undated,
        clients=len(tally.clients),
        clients_refused=sum(client.refused > 0 for client in tally.clients.values()),
        requests_beyond=tally.beyond,
        groups_not_held=[name for name, bits in core.GROUPS.items() if wanted & bits & ~held],
        suspects=[
            Suspect(name, WHY[name], found.requests, found.clients, [_request(sample) for sample in found.examples])
            for name, found in tally.suspects.items()
            if found.requests
        ],
        reasons=_frequent(tally.reasons),
        agents=_frequent(tally.agents),
        paths=_frequent(tally.paths),
        networks=_frequent(tally.networks),
        counts_short={name: top.short for name, top in tops.items()},
        newly_refused=_flips(tally, True) if before else None,
        no_longer_refused=_flips(tally, False) if before else None,
    )


def _day(day: int) -> str:
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()


def _frequent(top: Top) -> list[Frequent]:
    return [Frequent(text(what), requests) for what, requests in top.most(MOST_JSON)]


def _request(sample: Sample) -> Request:
    ip, agent, uri, place = sample
    return Request(ip, agent, uri, place.log, place.line, place.reason, round(place.score, 6))


def _flips(tally: Tally, to_bot: bool) -> Flips:
    clients = 0
    largest: list[tuple[int, int, ClientKey, Client, Place]] = []
    for key, client in tally.flipped_clients(to_bot):
        clients += 1
        if client.first_flipped is not None:
            changed = abs(client.refused - client.was_refused)
            entry = (changed, -clients, key, client, client.first_flipped)  # among equals, who came first
            if len(largest) < MOST_JSON:
                heapq.heappush(largest, entry)
            else:
                heapq.heappushpop(largest, entry)
    return Flips(
        requests=tally.to_bot if to_bot else tally.to_human,
        clients=clients,
        reasons=_frequent(tally.to_bot_reasons if to_bot else tally.to_human_reasons),
        examples=[
            FlippedClient(
                text(ip), text(agent), client.requests, client.refused, client.was_refused, at.log, at.line, at.reason
            )
            for _, _, (ip, agent), client, at in sorted(largest, reverse=True, key=lambda entry: entry[:2])
        ],
    )


# ---- for people ----


def show(done: Report, option: str, console: Console, most: int) -> None:
    """Prints the report as tables."""
    _print(console, "", [[name, value] for name, value in _headline(done)], "", "")
    for note in _notes(done):
        console.print(note)
    if any(done.labelled.values()):
        bots, humans = (
            [done.labelled[f"{said} refused"], done.labelled[f"{said} let in"]] for said in ("bot", "human")
        )
        _print(console, "lines with a label", [["bot", *bots], ["human", *humans]], "label", ">refused", ">let in")
    _show_policies(done, console)
    for policy in done.policies or ():
        _show_policy(policy, console, most)
    _show_days(done, console)
    _show_suspects(done, option, console)
    if done.newly_refused and done.no_longer_refused:
        _show_flips("newly refused", done, done.newly_refused, console, most)
        _show_flips("no longer refused", done, done.no_longer_refused, console, most)
    for title, rows in (
        ("strongest reason", done.reasons), ("agent", done.agents), ("path", done.paths), ("network", done.networks),
    ):  # fmt: skip
        if rows:
            cells = [[row.requests, _share(row.requests, done.refused), row.what or "(none)"] for row in rows[:most]]
            _print(console, f"refused most, by {title}", cells, ">requests", ">share", title)
    if done.robots:
        _show_robots(done, done.robots, console, most)


def _called(path: str) -> str:
    """A model as it is named in a command."""
    return "default" if path == str(model.DEFAULT) else path


def _headline(done: Report) -> Iterable[tuple[str, str]]:
    own = "" if done.config is None else ", where a policy has no threshold of its own"
    yield "model", f"{_called(done.model)}, refuses from {done.threshold:.4f} on{own}"
    yield "requests", f"{done.requests}"
    yield "refused", f"{done.refused} ({_share(done.refused, done.requests)})"
    yield "let in", f"{done.requests - done.refused} ({_share(done.requests - done.refused, done.requests)})"
    yield "clients", f"{done.clients}, of them refused at least once: {done.clients_refused}"
    if done.against is not None and done.refused_before is not None:
        yield "against", f"{_called(done.against)}, refuses from {done.against_threshold:.4f} on"
        yield "  refused", f"{done.refused_before} ({_share(done.refused_before, done.requests)})"
    yield "own host", f"{', '.join(done.own_hosts) or '-'} ({done.own_hosts_known})"


def _notes(done: Report) -> Iterable[str]:
    if done.unreadable:
        yield f"{done.unreadable} of {done.lines} lines could not be read: they are in no other figure."
    if done.groups_not_held:
        yield (
            f"The model also looks at {', '.join(done.groups_not_held)}, which the log does not hold, or not all of it:"
            " behind the proxy its verdicts may differ."
        )
    if done.requests_beyond:
        yield f"{done.requests_beyond} requests came from clients too many to remember: figures by client lack them."
    if any(done.counts_short.values()):
        short = ", ".join(f"{name} by {n}" for name, n in done.counts_short.items() if n)
        yield f"There was too much to count each exactly; counts may be too low: {short} at most."


def _show_policies(done: Report, console: Console) -> None:
    if done.policies is None:
        return
    rows = [
        [p.policy, p.mode, p.requests, *(p.outcomes.get(outcome, 0) for outcome in WORDS), p.refused]
        for p in done.policies
    ]
    heads = ("policy", "mode", ">requests", *(f">{word}" for word in WORDS), ">refused")
    _print(console, f"by policy of {done.config}", rows, *heads)
    for policy in done.policies:
        if policy.mode == "observe" and policy.outcomes.get("bot"):
            n = policy.outcomes["bot"]
            console.print(
                f"{policy.policy} observes: it lets its {n} bots by; --mode enforce shows what it would refuse."
            )


def _show_policy(done: PolicyDone, console: Console, most: int) -> None:
    if done.lists:
        rows = [[each.requests, each.list, each.verdict] for each in done.lists[:most]]
        _print(console, f"policy {done.policy}: decided by a list", rows, ">requests", "list", "verdict")
    for title, told in (("refused most", done.refused_most), ("let by most", done.let_by_most)):
        if told:
            rows = [[each.requests, each.why, _who(each.ip, each.agent, "")] for each in told[:most]]
            _print(console, f"policy {done.policy}: {title}", rows, ">requests", "why", "client")


def _show_days(done: Report, console: Console) -> None:
    if not done.days:
        return
    before = done.days[0].refused_before is not None
    rows: list[list[Any]] = []
    for day in done.days[-MOST_DAYS:]:
        row = [day.day, day.requests, day.refused, _share(day.refused, day.requests)]
        row += [day.refused_before, _share(day.refused_before or 0, day.requests)] if before else []
        bar = "█" * round(20 * day.refused / day.requests) if day.requests else ""
        rows.append([*row, bar])
    heads = ["day (UTC)", ">requests", ">refused", ">share", *([">before", ">share"] if before else []), ""]
    title = "by day" if len(done.days) <= MOST_DAYS else f"by day, the last {MOST_DAYS} of {len(done.days)}"
    _print(console, title, rows, *heads)


def _show_suspects(done: Report, option: str, console: Console) -> None:
    if not done.suspects:
        console.print("\nlikely false positives: none among the refused")
        return
    examples = [(s, e) for s in done.suspects for e in s.examples[:1]]
    rows = [[s.kind, s.requests, s.clients, _at(done, e.log, e.line), e.reason] for s, e in examples]
    heads = ("kind", ">requests", ">clients", "for example", "reason")
    _print(console, "likely false positives: look at them before you enforce", rows, *heads)
    for suspect, example in examples:
        who = _cut(_who(example.ip, example.agent, example.uri))
        console.print(Padding(f"{suspect.kind}: {suspect.why}", (0, 0, 0, 2), expand=False))
        console.print(Padding(f"{_at(done, example.log, example.line)}: {who}", (0, 0, 0, 4), expand=False))
    first = done.suspects[0].examples[0]
    if first.log != "-":
        by = (
            f"--model {shlex.quote(_called(done.model))}"
            if done.config is None
            else f"--config {shlex.quote(done.config)}"
        )
        if done.stateless:
            how = f"{reading.take(first.log, first.line)} | xbot explain {by} {option}"
        else:
            how = f"xbot explain {by} {option} {merging.line_options(done.logs, first.log, first.line)}"
        console.print(f"Why a line was refused: {how}", soft_wrap=True)


_FLIP = (">requests", ">before", ">now", "client; for example, and why")


def _show_flips(title: str, done: Report, flips: Flips, console: Console, most: int) -> None:
    console.print(f"\n{title}: {flips.requests} requests; clients that change sides: {flips.clients}")
    if flips.reasons:
        _print(console, "by reason", [[row.requests, row.what] for row in flips.reasons[:most]], ">requests", "reason")
    rows = [
        [c.requests, c.refused_before, c.refused, f"{_who(c.ip, c.agent, '')}\n{_at(done, c.log, c.line)}: {c.reason}"]
        for c in flips.examples[:most]
    ]
    if rows:
        _print(console, "clients, and how many of their requests were refused before and now", rows, *_FLIP)


def _show_robots(done: Report, found: Heeded, console: Console, most: int) -> None:
    rows: list[list[Any]] = []
    for each in found.crawlers:
        if each.after or each.without:
            name = each.crawler or "(no crawler's name)"
            example = "".join(f"{_at(done, one.log, one.line)} {one.uri}" for one in each.examples[:1])
            rows.append(
                [each.after, each.without, each.requests, each.clients, name, each.purpose, each.proof, example]
            )
    if rows:
        heads = (">after reading it", ">without", ">of", ">clients", "crawler", "purpose", "proof", "for example")
        _print(console, f"fetched what {found.file} forbids", rows[:most], *heads)
    else:
        console.print(f"\nnobody fetched what {found.file} forbids")
    kept = [_named(each) for each in found.crawlers if each.crawler and each.reads and not each.after + each.without]
    if kept:
        console.print(f"read it and kept to it: {', '.join(kept)}", soft_wrap=True)
    if found.clients:
        rows = [[c.after, c.without, c.crawler, c.proof, _who(c.ip, c.agent, "")] for c in found.clients[:most]]
        _print(console, "the same by client", rows, ">after reading it", ">without", "crawler", "proof", "client")
    if found.beyond:
        console.print(f"{found.beyond} of these requests came from clients too many to remember.")


def _named(each: OfCrawler) -> str:
    return each.crawler if each.proof == "proven" else f"{each.crawler} ({each.proof})"


def _at(done: Report, log: str, line: int) -> str:
    return f"line {line}" if len(done.logs) == 1 else f"{Path(log).name}:{line}"


def _who(ip: str, agent: str, uri: str) -> str:
    return " ".join(part for part in (ip or "-", agent or "(no agent)", uri) if part)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "-"


def _cut(cell: str) -> str:
    return cell if len(cell) <= WIDEST else f"{cell[:WIDEST]}…"


def _print(console: Console, title: str, rows: Iterable[list[Any]], *heads: str) -> None:
    """A table; a head that starts with `>` has numbers under it."""
    console.print(f"\n{title}" if title else "", highlight=False)
    table = Table(show_header=any(heads), show_edge=False, pad_edge=False)
    for head in heads:
        table.add_column(head.lstrip(">"), justify="right" if head.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cut(f"{cell}") for cell in row))
    console.print(table)
