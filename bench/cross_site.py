"""A model trained on one site's log alone, judged on another's, by reason and beside the lists.

    XBOT_DATA=DIR .venv/bin/python bench/cross_site.py [--markdown docs/default-model.md]

Law: trained as docs/training.md says, on the labels of `xbot label`; judged by the other site's weak labels, which
other rules made. No line of the judged site is fitted.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click
import quality
from rich.console import Console
from rich.table import Table

from sidecar import core, model

XBOT = str(Path(sys.executable).parent / "xbot")
COLUMNS = ("judged: reason", "is", "requests", "other site's model", "the same, without ua", "default model",
           "crawler-user-agents", "one line")  # fmt: skip


def train(log: Path, place: Path, *options: str) -> model.Model:
    """A model of one log, labelled by xbot label's own rules."""
    labels, out = place / "labels.tsv", place / "site.xbot"
    for command in (
        ("label", "--quiet", "--format", "combined", "--out", labels, log),
        ("train", "--quiet", "--format", "combined", "--labels", labels, "--out", out, *options, log),
    ):
        subprocess.run([XBOT, *map(str, command)], check=True)
    return model.load(out)


def compare(data: Path, site: str, models: list[model.Model]) -> list[list[str]]:
    """A row for each reason of a site's weak labels: the share that each model, then each list, calls bots."""

    def read(place: Path, request: core.Request, judge: quality.Judge) -> quality.Rows:
        return quality.one_log(place, site, request, judge)

    judged = [quality.judge_sets(data, one, (read,)) for one in models]
    rows = []
    for (reason, wanted), tally in judged[-1].items():
        shares = [tallies[reason, wanted].shares[0] for tallies in judged] + tally.shares[1:]
        rows.append([reason, wanted, str(tally.rows), *(f"{100 * share:.2f}%" for share in shares)])
    return rows


@click.command(help=__doc__)
@click.option(
    "--markdown", "document", type=click.Path(path_type=Path, exists=True), help="Put the table in here, too."
)
def main(document: Path | None) -> None:
    data, rows = quality.data_place(), []
    sites = list(quality.LOGS)
    for judged, trained in (sites, reversed(sites)):
        log = data / "logs" / f"{quality.LOGS[trained]}.log"
        with tempfile.TemporaryDirectory(prefix="xbot-cross-") as place:
            models = [train(log, Path(place)), train(log, Path(place), "--without", "ua"), model.load(quality.DEFAULT)]
        rows += compare(data, judged, models)
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*row)
    Console(width=160).print(table)
    if document:
        quality.put(document, "cross-site", quality.markdown(COLUMNS, rows))


if __name__ == "__main__":
    quality.run(main)
