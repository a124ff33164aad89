"""What `xbot top` and `xbot tail` print, from what a sidecar told.

Law: pure: values in, something to print out. Every text goes through `_text`: no byte of it can act on a terminal.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sidecar import core
from sidecar.sources.shown import text

VERDICTS = core.OUTCOMES
_STYLES = {"human": "green", "suspect": "yellow", "bot": "red", "verified": "cyan"}
_BARS = " ▁▂▃▄▅▆▇█"
_LEAST = 3  # lines of a table, however small the terminal is
_FRAME = 22  # lines of a screen that are no rows of its three tables


def line(one: Mapping[str, Any]) -> Text:
    """One decision."""
    out = Text(no_wrap=True)
    out.append(_clock(one["time"]) + " ")
    verdict = str(one["verdict"])
    out.append(f"{verdict:<8} ", _STYLES.get(verdict, ""))
    out.append("403 " if one["refused"] else "    ", "bold red")
    out.append(f"{one['score']:.4f} {_text(one['id'])} ", "dim")
    out.append(
        f"{_text(one['policy'])} {_text(one['visitor']) or '-'} {_text(one['method'])} {_text(one['host'])}{_text(one['uri'])}"
    )
    out.append(f"  {_text(one['said'])}", "italic")
    out.append(f"  {_text(one['agent']) or 'no agent'}", "dim")
    return out


def top(said: Mapping[str, Any], height: int | None) -> RenderableType:
    """All of it, in so many lines of a terminal; None: as many as there are."""
    live = said["live"]
    rows = 1000 if height is None else max(_LEAST, (height - _FRAME) // 3)
    alarms = [Text(f"alarm {_text(each['alarm'])}: {_text(each['says'])}", "bold yellow") for each in said["alarms"]]
    parts: list[RenderableType] = [_head(said), *alarms, Text(), _verdicts(live, said["policies"]), Text()]
    parts += [
        _reasons(live["reasons"][:rows]),
        Text(),
        _shapes(live["shapes"][:rows]),
        Text(),
        _refusals(live["refusals"][:rows]),
    ]
    if live["people"]:
        parts += [Text(), _people(live["people"][:rows])]
    parts += [Text(_text(note), "dim") for note in live["notes"]]
    return Group(*parts)


def _head(said: Mapping[str, Any]) -> Text:
    live, model = said["live"], said["model"]
    out = Text(no_wrap=True, overflow="ellipsis")
    out.append("xbot ", "bold")
    out.append(
        f"{_text(said['version'])}  {live['workers_up']} of {live['workers']} workers up  model {_text(model['sha256'])[:12]}"
    )
    if not live["ready"]:
        out.append("  not ready", "bold red")
    if model["refused"]:
        out.append("  model refused: the default one observes", "bold red")
    for name, policy in said["policies"].items():
        if policy["by_hand"]:
            out.append(f"  {_text(name)}: {_text(policy['mode'])} by hand", "bold yellow")
    return out


def _verdicts(live: Mapping[str, Any], policies: Mapping[str, Any]) -> Table:
    """Requests of the window by verdict, and by policy where there are several."""
    window, totals = live["window"], live["totals"]
    table = _table(f"last {_span(window['seconds'])}", *VERDICTS, "refused", "requests", "a second")

    def row(name: str, counts: Mapping[str, Any]) -> None:
        cells = [Text(str(counts[each]), _STYLES.get(each, "")) for each in (*VERDICTS, "refused", "requests")]
        table.add_row(name, *cells, f"{counts['requests'] / max(window['seconds'], 1e-9):.1f}")

    for name, counts in window["policies"].items():
        mode = policies.get(name, {}).get("mode", "")
        row(_text(f"{name or 'others'} ({mode})" if mode else name or "others"), counts)
    if len(window["policies"]) != 1:
        row("all", window)
    table.add_row("since the beginning", *(str(totals[each]) for each in (*VERDICTS, "refused", "requests")), "")
    series = [sum(point[each] for each in VERDICTS) for point in live["series"]]
    table.caption = Text(f"{spark(series)}  {_latency(window['latency'])}  scores 0 {spark(window['scores'])} 1", "dim")
    return table


def _reasons(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("why bots are called so", "share", "")
    for each in rows:
        table.add_row(_text(each["said"]), f"{each['share']:.0%}", Text("█" * round(each["share"] * 20), "red"))
    return table


def _shapes(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("requests that look alike", "verdict", "last minute", "new clients", "networks", "")
    for each in rows:
        verdict = _text(each["verdict"])
        table.add_row(
            _text(each["agent"]) or "no agent",
            Text(verdict, _STYLES.get(verdict, "")),
            str(each["lately"]),
            f"{each['clients']:.0f}",
            f"{each['networks']:.0f}",
            Text("grows", "bold yellow") if each["grows"] else "",
        )
    return table


def _refusals(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("latest refusals", "score", "visitor", "asked for", "why")
    for each in rows:
        parts = [part for part in each["parts"] if part["added"] > 0 and part["name"] not in ("bias", "")]
        why = "; ".join(f"{_text(part['said'])} {part['added']:+.2f}" for part in parts) or _text(each["said"])
        asked = f"{_text(each['method'])} {_text(each['uri'])}"
        table.add_row(
            f"{_clock(each['time'])} {_text(each['id'])}", f"{each['score']:.4f}", _text(each["visitor"]), asked, why
        )
    return table


def _people(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("called bots, and look like people", "visitor", "what they did", "agent")
    for each in rows:
        did = f"{each['parts']:.0f} parts loaded{', brought a cookie back' if each['brought'] else ''}"
        table.add_row(f"{_clock(each['time'])} {_text(each['id'])}", _text(each["visitor"]), did, _text(each["agent"]))
    return table


def _table(first: str, *others: str) -> Table:
    """Its first column takes what room there is; all is cut to one line."""
    table = Table(box=None, pad_edge=False, expand=True, header_style="bold", caption_justify="left")
    table.add_column(first, no_wrap=True, overflow="ellipsis", ratio=2)
    for name in others:
        wide = name in ("why", "agent", "asked for")
        table.add_column(
            name,
            no_wrap=True,
            overflow="ellipsis",
            ratio=2 if wide else None,
            justify="left" if wide or not name else "right",
        )
    return table


def spark(values: Sequence[float]) -> str:
    """A row of bars, the highest of all one in full."""
    most = max(values, default=0)
    return "".join(_BARS[-(-int(value * (len(_BARS) - 1) * 1000 / most) // 1000)] for value in values) if most else ""


def _latency(latency: Mapping[str, float | None]) -> str:
    known = {name: micros for name, micros in latency.items() if micros is not None}
    return "  ".join(f"{name} {micros:g} µs" for name, micros in known.items())


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _clock(stamp: float) -> str:
    return datetime.datetime.fromtimestamp(stamp).astimezone().strftime("%H:%M:%S")


def _text(value: object) -> str:
    return text(str(value))
