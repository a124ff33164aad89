"""A decision of the log by its id: where it stands, and what its model adds up.

Law: the log is read as every log is, packed or not. What it does not hold is said, with the reason that the id itself gives.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from sidecar import core
from sidecar.errors import XbotError
from sidecar.sources.reading import blocks
from sidecar.sources.records import load_record

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_NOT_THERE = {
    "no log": "there was no log of decisions when it was taken ([decisions] in xbot.toml)",
    "not sampled": "it was not sampled: of the decisions about others than bots only a share is recorded ([decisions] sample)",
    "dropped": "it was dropped: more came at once than [decisions] per_second, or than a worker has memory for",
    "recorded": "it was recorded, and is not there: the file was moved away since, or took no more "
    "(xbot_decision_records_total)",
}


class Vector(msgspec.Struct):
    """What a decision was made from, where its record alone does not say it."""

    dense: dict[str, float]
    words: list[tuple[str, Annotated[int, msgspec.Meta(ge=0)], str]]
    address: float = 0.0  # what the features of a hidden address add


class Decided(msgspec.Struct):
    """The fields of a line that only this log has."""

    id: str
    margin: float
    score: float
    verdict: str
    reason: str
    policy: str = ""
    model: str = ""
    refused: bool = False
    threshold: float | None = None  # of its policy, when it was taken
    features: Vector | None = None


class Found(NamedTuple):
    """A line of a file."""

    file: Path
    line: int
    text: bytes


def checked(text: str) -> str:
    """An id as the log has it; XbotError if it is none."""
    id_ = text.strip().lower()
    if not re.fullmatch(rf"[{_LETTERS}]{{{core.ID_LETTERS}}}", id_):
        raise XbotError(f"{text!r} is no id: an X-Bot-Id has {core.ID_LETTERS} digits and letters, none of i, l, o, u")
    return id_


def find(id_: str, log: Path) -> Found:
    """The line with this id, in the file or in one that was rotated away from it, the newest first. XbotError says why there
    is none."""
    rotated = [each for each in log.parent.glob(f"{log.name}[.-]*") if each.suffix != ".key"]
    files = sorted(filter(Path.is_file, [log, *rotated]), key=lambda each: -each.stat().st_mtime)
    if not files:
        raise XbotError(f"{log}: no such file")
    wanted = f'"id":"{id_}"'.encode()
    for file in files:
        number = 0
        for block in blocks(str(file)):
            if wanted in block:
                for place, line in enumerate(block.split(b"\n")):
                    if wanted in line:
                        return Found(file, number + place + 1, line)
            number += block.count(b"\n")
    fate = core.FATES[_LETTERS.index(id_[-1]) % len(core.FATES)]
    raise XbotError(f"{id_} is not in {', '.join(map(str, files))}: {_NOT_THERE[fate]}")


def read(found: Found) -> tuple[core.Request, Decided]:
    """The request of a line, and what was decided. XbotError if the line is not sound."""
    request = core.Request()
    try:
        load_record(found.text, request)
        decided = msgspec.convert(json.loads(found.text.decode("utf-8", "surrogateescape")), Decided)
    except (core.LineError, ValueError) as error:
        raise XbotError(f"{found.file}:{found.line}: {error}") from None
    return request, decided


def explained(
    model: core.Model, request: core.Request, decided: Decided
) -> tuple[core.Verdict, float, list[core.Contribution]]:
    """As core.Model.explain; with its vector, if the line has one, and this is the model that it is of."""
    if decided.features is None or not is_by(model, decided):
        return model.explain(request)
    vector = decided.features
    try:
        verdict, bias, parts = model.explain_vector(core.Request(), vector.dense, vector.words)
    except ValueError as error:
        raise XbotError(f"{decided.id}: {error}") from None
    if vector.address:
        parts.append(
            core.Contribution("address", None, vector.address, "all that the address adds, which is not logged")
        )
    margin = verdict.margin + vector.address
    return core.Verdict(decided.verdict == "bot", decided.score, margin, decided.reason), bias, parts


def is_by(model: core.Model, decided: Decided) -> bool:
    """Is it the model that decided?"""
    return hashlib.sha256(model.data).hexdigest() == decided.model


def as_logged(decided: Decided) -> dict[str, Any]:
    """What the log says, for JSON."""
    return {
        name: getattr(decided, name)
        for name in ("id", "margin", "score", "threshold", "verdict", "reason", "policy", "model", "refused")
    }
