"""What `xbot check` found, and how it is told: to a person, or as JSON.

Law: a finding is one line; what is wrong or doubtful has its mend beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import click
import msgspec

Status = Literal["ok", "skipped", "warning", "wrong"]
_COLOURS: dict[Status, str] = {"ok": "green", "skipped": "bright_black", "warning": "yellow", "wrong": "red"}


class Finding(msgspec.Struct, frozen=True):
    """`about` is the part that was looked at; `what` begins with file and line, if it has them; `mend` is what to do, or ""."""

    status: Status
    about: str
    what: str
    mend: str = ""


def show(findings: Iterable[Finding]) -> None:
    """One line for each, and its mend below it."""
    for each in findings:
        status = click.style(f"{each.status:8}", _COLOURS[each.status])
        click.echo(f"{status} {each.about:13} {' '.join(each.what.split())}")
        if each.mend:
            click.echo(f"{'':22} -> {each.mend}")


def totals(findings: Sequence[Finding]) -> dict[Status, int]:
    """How many of each status."""
    counted = Counter(each.status for each in findings)
    return {status: counted[status] for status in get_args(Status)}
