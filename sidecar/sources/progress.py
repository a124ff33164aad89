"""What is said on standard error while work goes on: a progress bar, on a terminal only, never in a pipe; and remarks.

Law: a bar goes when its work is done, and a remark never breaks one. One over logs comes when they have taken a while: who looks at the
first lines of a short one (`xbot score LOG | head`) sees these alone.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from sidecar.sources import reading

SOON = 0.5  # seconds until a bar over logs is shown


def say(remark: str) -> None:
    """A line on standard error, above a bar that is shown; on a terminal it is broken between words."""
    if sys.stderr.isatty() and not hasattr(sys.stderr, "rich_proxied_file"):
        Console(stderr=True, markup=False, emoji=False, highlight=False).print(remark)
    else:
        click.echo(remark, file=sys.stderr)


@contextlib.contextmanager
def over_logs(what: str, sources: Sequence[str], *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Yields a function to call with the bytes done. The total is the files' size; not known for packed ones and `-`."""
    console = Console(stderr=True)
    plain = all(source != "-" and not reading.is_packed(source) for source in sources)
    total = sum(Path(source).stat().st_size for source in sources if Path(source).is_file()) if plain else None
    columns = (TextColumn("{task.description}"), BarColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True)
    task, begun = progress.add_task(what, total=total), time.monotonic()

    def advance(done: int) -> None:
        progress.advance(task, done)
        if not progress.live.is_started and time.monotonic() - begun >= SOON:
            progress.start()

    try:
        yield advance
    finally:
        progress.stop()


@contextlib.contextmanager
def over_steps(what: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """Yields a function to call after each of so many steps, which take about as long as each other."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


@contextlib.contextmanager
def working(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Shows that something goes on whose end is not known."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield
        return
    with console.status(what):
        yield
