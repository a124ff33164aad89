"""The command `xbot explain`: why a request got its verdict, down to the last feature, or the entry of a list.

Law: what is said is what csrc/ decided; the only thing worked out here is which entry of a list it was, by asking again.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sidecar import core, inputs
from sidecar.commands.judging import Rules, clients_for, judging_options, load
from sidecar.commands.offline import plain_console
from sidecar.config import lists, options, policies
from sidecar.config.plan import Plan
from sidecar.errors import XbotError
from sidecar.sources import formats, reading, sentences
from sidecar.sources.choosing import format_options
from sidecar.sources.lines import Unreadable, of_logs
from sidecar.sources.merging import stateless_option

# The groups of core.GROUPS, in words.
_HOLDS = {
    "ip": "address", "ua": "agent", "referrer": "referrer", "url": "URL", "headers": "headers",
    "client": "earlier lines of the client", "tls": "TLS handshake",
}  # fmt: skip


# Over plain http there is no handshake, and of a first request no past: a verdict without them is whole.
_NO_DOUBT = {"tls", "client"}

# Whose handshake it is (core.Request.stack), in words.
_PROGRAMS = {
    "openssl": "OpenSSL", "gnutls": "GnuTLS", "nss": "NSS, as Firefox", "chromium": "BoringSSL, as Chromium", "apple": "Apple's",
    "go": "Go", "java": "Java", "schannel": "Windows'", "rustls": "rustls", "unknown": "of an unknown program",
}  # fmt: skip
_BROWSERS = {
    "IE": "Internet Explorer",
    "UC": "UC Browser",
    "TEXT": "a text browser",
    "APP": "a browser inside a program",
}
_ALPN = {b"-": "no protocol agreed on"}
_DIGITS = 6  # of what is added up


class Why(NamedTuple):
    """All that is shown about a request. Without a configuration there is no decision; `entry` is the list's that decided.
    `held`, `not_held`: the groups of features that the model looks at, and its source holds, or does not hold whole."""

    verdict: core.Verdict
    decision: core.Decision | None
    entry: str | None
    bias: float
    parts: list[core.Contribution]
    held: list[str]
    not_held: list[str]
    threshold: float

    @property
    def outcome(self) -> str:
        """What X-Bot says."""
        return self.decision.outcome if self.decision else "bot" if self.verdict.bot else "human"


@dataclasses.dataclass(frozen=True)
class Judge:
    """A model and, where there is a configuration, its policies."""

    model: core.Model
    rules: Rules | None

    def why(self, request: core.Request) -> Why:
        """Decides by the policy that the request asks for, else by the one that was chosen."""
        decision = self.rules.decide(self.model, request) if self.rules else None
        entry = self._entry(self.rules.plan, decision, request) if self.rules and decision and decision.list else None
        verdict, bias, parts = self.model.explain(request)
        looked_at = {name: self.model.header["groups"] & bits for name, bits in core.GROUPS.items()}
        held = [name for name, bits in looked_at.items() if bits and not bits & ~request.present]
        # Over plain http there is no handshake to miss.
        there = request.present | (core.GROUPS["tls"] if request.fields["scheme"] == b"http" else 0)
        not_held = [name for name, bits in looked_at.items() if bits & ~there]
        return Why(verdict, decision, entry, bias, parts, held, not_held, self._threshold(decision))

    def _threshold(self, decision: core.Decision | None) -> float:
        """From which score on a visitor is a bot: what the policy says, else the model."""
        own = self.rules.plan.policies[decision.policy].threshold if self.rules and decision else None
        return self.model.threshold if own is None else own

    def _entry(self, plan: Plan, decision: core.Decision, request: core.Request) -> str | None:
        """The entry of the list that decided."""
        if decision.list is None:
            return None

        def names(entries: options.Entries) -> bool:
            alone = dataclasses.replace(
                plan, policies={decision.policy: options.Policy(deny=("it",))}, lists={"it": entries}
            )
            return core.Policies(policies.image(alone)).decide(self.model, request, decision.policy).list is not None

        return lists.naming(plan, decision.list, names)


every_option = click.option("--all", "every", is_flag=True, help="Show every part too, not only the strongest.")


@click.command(
    short_help="Show why each line of logs gets its verdict.", epilog="Example: xbot explain --line 17 access.log"
)
@judging_options
@format_options("head")
@stateless_option
@click.option(
    "--line",
    "wanted",
    metavar="[LOG:]N",
    help="Show this line alone. The lines before it are read for what its client did.",
)
@click.option("--dialect", type=click.Choice(core.DIALECTS), help="The head is a proxy's question in this dialect.")
@click.option("--ip", help="The address that the request of a head came from.")
@every_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, with every feature.")
@click.argument("logs", nargs=-1, default=("-",))
def explain(
    path: Path | None,
    configuration: Path | None,
    policy: str | None,
    log_format: str,
    dialect: str | None,
    ip: str | None,
    every: bool,
    as_json: bool,
    stateless: bool,
    wanted: str | None,
    logs: tuple[str, ...],
) -> None:
    """Show why each line of LOGS gets its verdict: the three parts that speak most for a bot, the three that speak most
    against, and all others in one. They and the bias add up to the margin; --all shows every part.

    LOGS are files, compressed too, or - for standard input. What the client did before is what LOGS hold of it: a single line is
    judged by itself, and --line shows one with the lines before it. Several logs are read by time.

    Above 0 speaks for a bot. In the table and the JSON, a hashed word is family=word. Without --json, what adds nothing is left out. A
    line of the log formats that come with nginx/ is decided by the policy that it names.

    \b
    xbot explain --config /etc/xbot/xbot.toml --line 17 site.log
    xbot explain --config xbot.toml --policy login \\
        --format head --ip 192.0.2.7 head.txt
    """
    if log_format != "head" and (dialect or ip):
        raise XbotError("explain: --dialect and --ip need --format head")
    if log_format == "head" and (wanted is not None or len(logs) != 1):
        raise XbotError("explain: --format head takes one head, and no --line")
    judge, console = Judge(*load(path, configuration, policy)[1:]), plain_console()
    if log_format == "head":
        found = _head(logs[0], dialect, ip)
    else:
        found = _lines(logs, log_format, clients_for(stateless, judge.model), _place(logs, wanted))
    for log, line, request, logged, error in found:
        if request is None:
            click.echo(core.report_error(line, *error, as_json), nl=False)
            continue
        why = judge.why(request)
        if as_json:
            click.echo(json.dumps({**({"log": log} if log else {}), **as_object(line, request, why)}))
        else:
            console.print(as_page(f"{log}:{line}" if log else f"line {line}", request, logged, why, every))


# The log, if there are several, the line, the request, what the log itself says of it, and the error.
Found = tuple[str, int, core.Request | None, str, tuple[str, str]]


def _place(logs: Sequence[str], wanted: str | None) -> tuple[int, int] | None:
    """Which of the logs --line means, and which line of it; None for all."""
    if wanted is None:
        return None
    log, _, number = wanted.rpartition(":")
    if not number.isascii() or not number.isdigit() or not int(number):
        raise XbotError(f"explain: --line {wanted}: expected the number of a line, or LOG:N")
    if not log and len(logs) > 1:
        raise XbotError(f"explain: --line {wanted}: of several logs, say which: LOG:{number}")
    if log and log not in logs:
        raise XbotError(f"explain: --line {wanted}: {log} is none of the logs")
    return (logs.index(log) if log else 0), int(number)


def _lines(
    logs: Sequence[str], log_format: str, clients: core.Clients | None, only: tuple[int, int] | None
) -> Iterator[Found]:
    """Each line, or one of them; the request asks for the policy logged."""
    form = formats.find(log_format)
    for i, (line, text, request, error) in of_logs(logs, form, clients, [Unreadable(log) for log in logs]):
        if only is not None and (i, line) != only:
            continue
        logged = ""
        if request is not None and form.decision is not None and (said := form.decision.search(text)):
            outcome, score, reason, policy = (part.decode("ascii", "replace") for part in said.groups())
            logged = f"{outcome} {score} {reason}" + (f" by {policy}" if policy else "")
            if policy:
                request.ask_policy(said.group(4))
        yield (logs[i] if len(logs) > 1 else ""), line, request, logged, error
        if only is not None:
            return
    if only is not None:
        raise XbotError(f"{reading.name_of(logs[only[0]])}: there is no line {only[1]}")


def _head(source: str, dialect: str | None, ip: str | None) -> Iterator[Found]:
    """The one request of a head; line breaks may be those of a text file, and the empty line may be missing."""
    data = sys.stdin.buffer.read(core.MAX_HEAD + 1) if source == "-" else inputs.read_bytes(Path(source), pipe=True)
    lines = [
        line.removesuffix(b"\r")
        for line in data.partition(b"\r\n\r\n")[0].partition(b"\n\n")[0].strip(b"\r\n").split(b"\n")
    ]
    request = core.Request()
    if ip is not None and core.parse_address(ip.encode()) is None:
        raise XbotError(f"explain: --ip {ip!r} is not an IPv4 or IPv6 address")
    try:
        request.load_head(b"\r\n".join([*lines, b"", b""]), dialect)
    except core.LineError as error:
        name = "standard input" if source == "-" else source
        raise XbotError(f"{name}: {error.args[0]}: {error.args[1]}") from None
    if ip is not None:
        request.come_from(ip.encode())
    yield "", 1, request, "", ("", "")


def as_object(line: int, request: core.Request, why: Why) -> dict[str, Any]:
    """All of it, for JSON."""
    decided = {}
    if why.decision is not None:
        decided = {
            "policy": why.decision.policy,
            "refuse": why.decision.refuse,
            "list": why.decision.list,
            "entry": why.entry,
        }
    return {
        "line": line,
        "verdict": why.outcome,
        "score": why.verdict.score,
        "margin": why.verdict.margin,
        "threshold": why.threshold,
        "reason": why.decision.reason if why.decision else why.verdict.reason,
        **decided,
        "groups_not_held": why.not_held,
        "handshake": request.stack,
        "bias": why.bias,
        "contributions": [{"name": p.name, "value": p.value, "contribution": p.contribution} for p in why.parts],
    }


def _text(value: bytes | None) -> str:
    """What a visitor sent, without the control characters that a terminal would obey."""
    text = "" if value is None else value.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _decided(decision: core.Decision, entry: str | None) -> str:
    """The policy's part in one line."""
    told = "403" if decision.refuse else "let by"
    why = f"{decision.reason}: {entry}" if decision.list else "by the score"
    return f"policy {decision.policy}: {decision.outcome}, {told}, {why}"


def _doubt(why: Why) -> str:
    """A warning where the model reads groups that the source does not hold."""
    lacks, by = (
        ", ".join(_HOLDS[name] for name in groups if name not in _NO_DOUBT) for groups in (why.not_held, why.held)
    )
    more = ", or not all of them in their order" if "headers" in why.not_held else ""
    return f"judged by {by or 'nothing'} only: there are no {lacks} here{more}; behind the proxy the verdict may differ"


def _handshake(request: core.Request) -> list[str]:
    """The library of the handshake, what was agreed on, and the browser that the agent claims; empty where it is absent."""
    tls = request.tls
    if tls is None:
        return []
    agreed = [_text(tls.protocol), _ALPN.get(tls.alpn or b"", _text(tls.alpn)), "resumed" if tls.reused == b"r" else ""]
    said = [_PROGRAMS[request.stack] if request.stack else "program unknown", *filter(None, agreed)]
    return [f"handshake: {', '.join(said)}; agent claims {_claim(request)}"]


def _claim(request: core.Request) -> str:
    """The browser that the agent names, as people write it, and its version if there is one."""
    if request.claim is None:
        return "no browser"
    name, version = request.claim
    return _BROWSERS.get(name) or f"{name.title()} {version or ''}".rstrip()


def as_page(place: str, request: core.Request, logged: str, why: Why, every: bool) -> RenderableType:
    """For a person: what speaks for a bot and against, and the sum; `every` part too, in a table. `logged`: what the log itself says."""
    fields, verdict = request.fields, why.verdict
    title = [
        f"{place}: {why.outcome}, score {verdict.score:.4f}, margin {verdict.margin:+.6f}; a bot from {why.threshold:.4f} on",
        *([_doubt(why)] if set(why.not_held) - _NO_DOUBT else []),
        *([f"logged: {logged}"] if logged else []),
        *([_decided(why.decision, why.entry)] if why.decision else []),
        " ".join(_text(fields[name]) or "-" for name in ("ip", "method", "uri")),
        f"agent: {_text(fields['agent']) or '-'}",
        *_handshake(request),
    ]
    parts: list[RenderableType] = [Text("\n".join(title)), "", _sum(why, every)]
    if every:
        parts += ["", _table(why)]
    return Group(*parts, "")


def _sum(why: Why, every: bool) -> Table:
    """The strongest parts in sentences, and the rest in one: as they are printed, they add up to the margin."""
    shown = sentences.strongest(why.parts)
    others = sum(1 for part in why.parts if part.contribution) - len(shown)
    lines = [
        *((part.contribution, "for a bot" if part.contribution > 0 else "against", _said(part)) for part in shown),
        (why.bias, "bias", "what the model adds to every request"),
    ]
    margin = round(why.verdict.margin, _DIGITS)
    rest = round(margin - math.fsum(round(added, _DIGITS) for added, _, _ in lines), _DIGITS) + 0.0
    if others:
        parts = f"{others} part{'s' * (others > 1)}{'' if every else '; --all shows each'}"
        lines.append((rest, "all others", parts))
    elif rest:
        lines.append((rest, "rounding", "of the above"))
    lines.append((margin, "margin", "the sum; above 0 leans to bot"))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for added, what, text in lines:
        table.add_row(f"{added:+.{_DIGITS}f}", what, Text(text))
    return table


def _said(part: core.Contribution) -> str:
    return f"{sentences.sentence(part)} ({sentences.name(part)})"


def _table(why: Why) -> Table:
    """Every part that adds something."""
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("adds", justify="right", no_wrap=True)
    table.add_column("feature", overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("what it says", overflow="fold")
    for part in sorted(why.parts, key=lambda part: -abs(part.contribution)):
        if part.contribution:
            value = "" if part.value is None else f"{part.value:g}"
            name = Text(_text(part.name.encode()))
            table.add_row(f"{part.contribution:+.{_DIGITS}f}", name, value, Text(sentences.sentence(part)))
    table.add_row(f"{why.bias:+.{_DIGITS}f}", "bias", "", "what the model adds to every request")
    table.add_row(f"{why.verdict.margin:+.{_DIGITS}f}", "margin", "", "the sum; above 0 leans to bot")
    return table
