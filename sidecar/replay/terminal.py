"""The report of `xbot replay` as tables in a terminal.

Law: it says what report.py holds, at most so many rows of each list, and works nothing out but shares.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from sidecar import model
from sidecar.replay.heeded import Heeded, OfCrawler
from sidecar.replay.report import Flips, PolicyDone, Report
from sidecar.sources import merging, reading

WIDEST = 200  # characters of a cell
WORDS = ("human", "suspect", "bot", "verified")  # of X-Bot
MOST_DAYS = 31


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
