"""Which format a log has: what the options say, or what its first lines look like.

Law: a format is taken for what its own reader makes of the lines. No second description of a format is kept here.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import click

from sidecar import core
from sidecar.errors import XbotError
from sidecar.sources import progress, reading
from sidecar.sources.fields.w3c import ABOUT_THE_LOG
from sidecar.sources.formats import FORMATS, NAMES, Format, find
from sidecar.sources.shown import text

AUTO = "auto"
_LINES, _BYTES = 100, 1 << 18  # of a log's beginning that are looked at
_LONGEST = 60  # characters of a line in a message
_DEEPEST, _MEMBERS = 8, 20  # of a document of JSON, that are looked at
Command = Callable[..., Any]
_OF_BROWSERS = b"Mozilla/"
# nginx's and Apache's.
_OF_ERRORS = re.compile(
    rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[[a-z]+\] |\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:.]+ \d{4}\] \[\w*:?[a-z]+\] "
)


class _Name(click.Choice[str]):
    """The name of a format. All of them are too many for a message: one that is mistyped is answered with those near it."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:  # noqa: ARG002 -- click passes it
        """As click asks for it."""
        near = difflib.get_close_matches(str(value), self.choices)
        return f"{value!r} is no format of logs." + (f" Did you mean {' or '.join(map(repr, near))}?" if near else "")


def format_options(*others: str) -> Callable[[Command], Command]:
    """The options --format and --log-format of a command with an argument `log` or `logs`. The command gets `log_format`: the
    name of a row, a pattern, one of `others`, which are no formats of logs; or AUTO where there is no log."""

    def decorate(command: Command) -> Command:
        @click.option(
            "--format",
            "log_format",
            type=_Name((AUTO, *NAMES, *others)),
            default=AUTO,
            show_default=True,
            metavar="NAME",
            help=f"The log's format: {', '.join(NAMES)} (docs/formats.md); auto detects it from the first lines."
            + "".join(f" {name}: one request head, as the visitor sent it." for name in others if name == "head"),
        )
        @click.option(
            "--log-format",
            "pattern",
            metavar="STRING",
            help="Your own format: nginx's log_format or Apache's LogFormat, as in the configuration; or HAProxy's lines that "
            "capture headers of requests.",
        )
        @functools.wraps(command)
        def run(*arguments: Any, log_format: str, pattern: str | None, **options: Any) -> Any:
            logs = options.get("logs", (options["log"],) if "log" in options else ())
            if pattern is not None:
                if log_format != AUTO:
                    raise XbotError("--format and --log-format cannot both be given")
                log_format = find(pattern).name
            elif log_format == AUTO and logs:
                log_format = _taken(logs[0], quiet=bool(options.get("quiet")))
                _all_have(logs, find(log_format))
            return command(*arguments, log_format=log_format, **options)

        return run

    return decorate


def _taken(log: str, *, quiet: bool) -> str:
    """The name of the format that a log looks like, also printed on standard error; XbotError if it looks like none."""
    lines = _lines(reading.head(log))
    if not lines:
        raise XbotError(f"{reading.name_of(log)}: empty, no line to read")
    if len(lines[0]) >= _BYTES:
        hint = (
            "; is it one list of JSON? jq -c makes a line of each request"
            if lines[0].lstrip()[:1] in (b"{", b"[")
            else ""
        )
        raise XbotError(f"{reading.name_of(log)}: line 1: longer than {_BYTES} bytes: no format has such lines{hint}")
    form = guess(lines)
    if form is None:
        if why := _why_no_json(lines[0].lstrip()):
            raise XbotError(f"{reading.name_of(log)}: {why}")
        if why := _why_no_address(lines[0]):
            raise XbotError(f"{reading.name_of(log)}: line 1: it looks like combined, but {why}")
        if _OF_ERRORS.match(lines[0]):
            raise XbotError(f"{reading.name_of(log)}: a server's log of errors: give the access log")
        shown = text(lines[0])
        shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
        why = "name it with --format, or give its pattern with --log-format (docs/formats.md)"
        raise XbotError(f"{reading.name_of(log)}: the format was not recognised: {why}; it begins: {shown}")
    if not quiet:
        progress.say(f"xbot: {reading.name_of(log)}: read as {form.name} ({form.doc})")
        if "ua" not in form.groups and any(_OF_BROWSERS in line for line in lines):
            progress.say("xbot: its lines hold agents, but this format does not: give yours by --log-format")
    return form.name


def _all_have(logs: Sequence[str], form: Format) -> None:
    """XbotError for a file that has another format than the first log, before any of them is read."""
    for log in logs[1:]:
        lines = _lines(reading.head(log)) if reading.is_file(log) else []
        if lines and _yield(form.opened(), lines) == (0, 0) and (other := guess(lines)) is not None:
            first = f"{reading.name_of(logs[0])} like {form.name}"
            raise XbotError(f"{log}: it looks like {other.name}, but {first}: logs of two formats need two commands")


def _lines(head: bytes) -> list[bytes]:
    """The first lines that are not empty, without one that may be cut."""
    lines = head[:_BYTES].split(b"\n")
    if len(head) > _BYTES and len(lines) > 1:
        lines.pop()
    return [line for line in lines if line.strip()][:_LINES]


def _why_no_address(line: bytes) -> str:
    """What is wrong with a combined line but for its first fields; "" for any other line."""
    try:
        FORMATS["combined"].load(line, core.Request())
    except core.LineError as error:
        field, why = error.args
        request = line[line.rfind(b" [", 0, line.find(b'] "') + 1) + 1 :]
        if field == "ip" and _yield(FORMATS["combined"], [b"- - - " + request]) > (0, 0):
            return f"ip: {why}"
    return ""


def _why_no_json(line: bytes) -> str:
    """What is wrong with a line of JSON that no format reads; "" for what is none."""
    if line[:1] == b"[" and line[1:].lstrip()[:1] in (b"", b"{", b"[", b'"'):
        return "an array of JSON, not an object on each line: jq -c '.[]' makes such lines"
    if line[:1] != b"{":
        return ""
    try:
        found = json.loads(line.decode("utf-8", "replace"), strict=False, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        return f"not an object of JSON on each line: jq -c . makes such lines; line 1: {error}"
    # The format that would read most of it, were it not for the member that it refuses.
    best, most = "", (0, 0)
    for form in FORMATS.values():
        try:
            form.opened().load(line, core.Request())
        except core.LineError as error:
            field, why = error.args
            if form.record is not None and field in found:
                others = {name: value for name, value in found.items() if name != field}
                much = _yield(form.opened(), [json.dumps(others).encode()])
                if not best or much > most:
                    best, most = f"line 1: it looks like {form.name}, but {text(field)}: {text(why)}", much
    lists = (name for name, value in found.items() if isinstance(value, list) and value and isinstance(value[0], dict))
    much, command = _inside(found)
    if best and much <= most:
        return best
    command = command or next((f"jq -c '.{text(name)}[]'" for name in lists), "")
    return command and f"its requests stand in a list: {command} makes lines of them"


def _inside(value: object, path: str = "", depth: int = 0) -> tuple[tuple[int, int], str]:
    """Where in a document of JSON a list holds what some format reads best: how much of it, and jq's command that prints it."""
    best: tuple[tuple[int, int], str] = ((0, 0), "")
    if depth > _DEEPEST:
        return best
    if isinstance(value, (str, dict)) and path.endswith("]"):
        line = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json.dumps(value).encode()
        if (form := guess([line])) is not None:
            how = "-r" if isinstance(value, str) else "-c"
            best = _yield(form.opened(), [line]), f"jq {how} {shlex.quote(path)}"
    inner: list[tuple[str, object]] = []
    if isinstance(value, dict):
        inner = [(f".{name}", each) for name, each in value.items() if name.isidentifier()]
    elif isinstance(value, list):
        # A list of texts is one request's, such as Loki's pair of a time and a line.
        inner = [(f"[{i if isinstance(each, str) else ''}]", each) for i, each in enumerate(value)]
    for name, each in inner[:_MEMBERS]:
        if (found := _inside(each, path + name, depth + 1))[0] > best[0]:
            best = found
    return best


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def guess(lines: Sequence[bytes]) -> Format | None:
    """The format that reads most of these lines, and of several the one that gets most out of them; None if none reads any.

    A format that is the beginning of another is taken where the other reads no line. One line with a stray quote in its agent, and
    the whole log would be one without agents."""
    best, most = None, (0, 0)
    for form in FORMATS.values():
        found = _yield(form.opened(), lines)
        if found > most and not (form.begins and _yield(FORMATS[form.begins], lines) > (0, 0)):
            best, most = form, found
    return best


def _yield(form: Format, lines: Sequence[bytes]) -> tuple[int, int]:
    """How many lines a format reads, and how much it gets out of them: groups, times, hosts."""
    request, read, much = core.Request(), 0, 0
    for line in lines:
        try:
            form.load(line, request)
        except core.LineError as error:
            read += error.args == ABOUT_THE_LOG
            continue
        if (request.fields["referrer"] or b"").startswith(_OF_BROWSERS):
            continue  # the fields stand in another order
        read += 1
        much += sum(value not in (None, b"", b"-") for value in request.fields.values())
        much += (request.time is not None) + len(request.headers)
    return (read, much) if much else (0, 0)


def hint(source: str) -> str:
    """What a log that could not be read looks like, for a message; empty if nothing is known."""
    form = guess(_lines(reading.head(source)))
    return "" if form is None else f"; it looks like {form.name}: --format {form.name}"
