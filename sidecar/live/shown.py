"""Decisions and verdicts, as they are shown to whoever watches: plain words, short, and harmless.

Law: nothing that a visitor sent leaves here but as printable text of a bounded length, without cookies, and without secrets and with
the address as [decisions] in xbot.toml wants them. What adds up is what `xbot why` says of the same decision.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sidecar import core
from sidecar.decisions import lookup
from sidecar.decisions.entry import Writer
from sidecar.decisions.reader import Judge
from sidecar.sources import sentences
from sidecar.sources.shown import text

LONGEST = 300  # letters of what a visitor sent
_DIGITS = 4  # of what is added up
_ROWS = {row.name: row for row in (*core.FEATURES, *core.FAMILIES)}
_LISTS = {
    "allow": "the list {} lets it by",
    "deny": "the list {} names it",
    "verified": "proven to be {}",
    "impostor": "says that it is {}, and its address says otherwise",
}


def short(value: str | bytes | None, most: int = LONGEST) -> str:
    """As text that can do no harm, cut to so many letters."""
    if value is None:
        return ""
    whole = (
        value.encode("utf-8", "surrogateescape")[: 4 * most + 4] if isinstance(value, str) else value[: 4 * most + 4]
    )
    shown = text(whole)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def decision(one: core.Recorded, writer: Writer, judge: Judge | None) -> dict[str, Any]:
    """A record, for a line of a table. `judge` is what judged it, if that is still known."""
    entry = writer.entry(one, None)
    agent = entry.get("agent")
    if agent is None:
        pairs = entry.get("headers", {})
        agent = next(
            (
                said
                for name, said in (pairs.items() if isinstance(pairs, dict) else pairs)
                if name.lower() == "user-agent"
            ),
            "",
        )
    return {
        "id": one.id,
        "time": round(one.time / 1e9, 3),
        "verdict": one.outcome,
        "refused": one.refuse,
        "score": round(one.score, 4),
        "margin": round(one.margin, _DIGITS),
        "policy": one.policy,
        "reason": one.reason,
        "said": reason(one.reason, judge.lacks if judge else frozenset()),
        "visitor": short(entry.get("ip") or entry.get("visitor") or "", 64),
        "method": short(entry.get("method", ""), 16),
        "host": short(entry.get("host", ""), 100),
        "uri": short(entry.get("uri", "")),
        "agent": short(agent),
        "logged": one.logged,
    }


def explained(one: core.Recorded, writer: Writer, judge: Judge) -> list[dict[str, Any]]:
    """What its margin is made of: the strongest parts for a bot and against, the bias, and the rest."""
    line = writer.line(one, judge)
    request, decided = lookup.read(lookup.Found(Path("live"), 0, line))
    verdict, bias, parts = lookup.explained(judge.model, request, decided)
    return added_up(verdict.margin, bias, parts)


def added_up(margin: float, bias: float, parts: Sequence[core.Contribution]) -> list[dict[str, Any]]:
    """`added` and `said` of the strongest parts, of the bias and of all others in one. As they are rounded, they add up to the margin."""
    shown = sentences.strongest(parts)
    lines = [
        {
            "added": round(part.contribution, _DIGITS),
            "said": short(sentences.sentence(part)),
            "name": sentences.name(part),
        }
        for part in shown
    ]
    lines.append({"added": round(bias, _DIGITS), "said": "what the model adds to every request", "name": "bias"})
    others = sum(1 for part in parts if part.contribution) - len(shown)
    rest = round(round(margin, _DIGITS) - math.fsum(float(str(line["added"])) for line in lines), _DIGITS) + 0.0
    if others or rest:
        lines.append({"added": rest, "said": f"{others} other parts" if others != 1 else "one other part", "name": ""})
    return lines


def reason(said: str, lacks: frozenset[str]) -> str:
    """A reason, as X-Bot-Reason has it, in a sentence. `lacks`: the rows of the model that are a reason where they are missing."""
    name, is_word, word = said.partition("=")
    row = _ROWS.get(name)
    if row is not None:
        if sentences.counts(row.doc):
            return row.doc.rpartition(", at most ")[0]
        known = None if is_word else float(name not in lacks)
        return short(sentences.sentence(core.Contribution(said, known, 0.0, row.doc)))
    if name in _LISTS and is_word:
        return _LISTS[name].format(short(word))
    return short(said) if said != "none" else "nothing speaks for a bot"


def line(entry: Any) -> bytes:
    """As a line of JSON in ASCII."""
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"
