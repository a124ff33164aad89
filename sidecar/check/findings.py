"""What `xbot check` found, and how it is told: to a person, or as JSON.

Law: a finding is one line; `mend` says what to do about it, where there is something to say.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Literal, get_args

import click
import msgspec

from sidecar.errors import XbotError, lines_of

Status = Literal["ok", "skipped", "warning", "wrong"]
_COLOURS: dict[Status, str] = {"ok": "green", "skipped": "bright_black", "warning": "yellow", "wrong": "red"}


class Finding(msgspec.Struct, frozen=True):
    """`about` is the part that was looked at; `what` begins with file and line, if it has them; `mend` is what to do, or ""."""

    status: Status
    about: str
    what: str
    mend: str = ""


class Findings(list[Finding]):
    """All of them, in the order in which they were found."""

    def add(self, status: Status, about: str, what: str, mend: str = "") -> None:
        """One more."""
        self.append(Finding(status, about, what, mend))

    def add_error(self, about: str, error: XbotError) -> None:
        """Each mistake that an error tells of and that was not told yet."""
        told = {each.what for each in self}
        self.extend(Finding("wrong", about, line) for line in lines_of(error) if line not in told)

    def totals(self) -> dict[Status, int]:
        """How many of each status."""
        counted = Counter(each.status for each in self)
        return {status: counted[status] for status in get_args(Status)}

    def show(self) -> None:
        """One line for each, and what to do below it."""
        for each in self:
            status = f"{each.status:8}"
            if not os.environ.get("NO_COLOR"):  # no-color.org; click leaves it to us
                status = click.style(status, _COLOURS[each.status])
            click.echo(f"{status} {each.about:13} {' '.join(each.what.split())}")
            if each.mend:
                click.echo(f"{'':22} -> {each.mend}")
