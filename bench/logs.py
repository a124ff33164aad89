"""Logs: lines scored per second beside goaccess, and what training costs as the log grows.

    .venv/bin/python bench/logs.py [--lines 500000] [--train 100000 --train 1000000 --train 10000000] [--markdown FILE]

The log is made of the corpus (training/corpus) as nginx would have written it, repeated from other addresses. `xbot
score` and goaccess (which parses and aggregates) read the same file, in turns, on one core, by a model that was trained on such
a log: through the table of clients, and --stateless; `xbot score` also reads the same requests as jsonl, with all their
headers. Training is the real `xbot train` in a process of its own, every line
labelled: wall time, and the peak of what it and its workers hold in memory together, pages of files left out. The log
and the matrix lie in the directory for temporary files: 6 GB for 10 million lines.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from processes import program
from rich.console import Console
from rich.table import Table

from training.corpus import generate

ROOT = Path(__file__).resolve().parent.parent
XBOT = [sys.executable, "-m", "sidecar"]


def escaped(text: str) -> str:
    return "".join(
        c if 31 < ord(c) < 127 and c not in '"\\' else "".join(f"\\x{b:02X}" for b in c.encode()) for c in text
    )


def pages(requests: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(the line behind the address and time, label) of each request."""
    out = []
    for row in requests:
        said = {name.lower(): value for name, value in row["headers"]}
        request = f"{row['method']} {row['uri']} {row['protocol']}"
        tail = f'"{escaped(request)}" 200 1234 "{escaped(said.get("referer", "-"))}" "{escaped(said.get("user-agent", "-"))}"'
        out.append((tail, row["label"]))
    return out


def write(log: Path, labels: Path, lines: int, made: list[tuple[str, str]]) -> None:
    """`lines` lines of a combined log over 30 days, about 20 by each address, and their labels."""
    rng = random.Random(lines)
    with log.open("w") as file, labels.open("w") as marks:
        for number, (tail, label) in enumerate(itertools.islice(itertools.cycle(made), lines), 1):
            client = rng.randrange(lines // 20 + 1)
            when = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(1_700_000_000 + number * 2_592_000 // lines))
            file.write(
                f"{10 + client // 2**24}.{client >> 16 & 255}.{client >> 8 & 255}.{client & 255} - - [{when}] {tail}\n"
            )
            marks.write(f"{number}\t{label}\n")


def write_records(log: Path, lines: int, requests: list[dict[str, Any]]) -> None:
    """`lines` lines of jsonl: the requests with all their headers, in order."""
    made = [msgspec.json.encode(row) + b"\n" for row in requests]
    with log.open("wb") as file:
        file.writelines(itertools.islice(itertools.cycle(made), lines))


def seconds(command: list[str], core: int) -> float:
    """CPU seconds of a command on one core."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        ["taskset", "-c", str(core), *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):  # a process belongs to the thread that started it
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                yield from tree(int(child))


def peak_of(command: list[str]) -> tuple[float, float]:
    """(wall seconds, peak MiB of anonymous memory over the whole tree of processes)."""
    started, peak = time.monotonic(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            now = 0
            for pid in tree(process.pid):
                try:
                    status = Path(f"/proc/{pid}/status").read_text()
                except OSError:
                    continue
                now += int(status.partition("RssAnon:")[2].split()[0]) if "RssAnon:" in status else 0
            peak = max(peak, now)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code:
        sys.exit(f"{' '.join(command)}: exit {code}")
    return time.monotonic() - started, peak / 1024


def trained(place: Path, lines: int, made: list[tuple[str, str]]) -> Path:
    """A model of a log of so many lines, which looks at what clients did."""
    log, labels, out = place / "small.log", place / "small.tsv", place / "score.xbot"
    write(log, labels, lines, made)
    command = [*XBOT, "train", "--quiet", "--format", "combined", "--labels", str(labels), "--out", str(out), str(log)]
    subprocess.run(command, check=True)
    return out


def score_table(model: Path, log: Path, records: Path, lines: int, rounds: int) -> Table:
    score = [*XBOT, "score", "--model", str(model), "--format"]
    goaccess = program("goaccess")
    commands = {
        "xbot score --stateless": [*score, "combined", "--stateless", str(log)],
        "xbot score": [*score, "combined", str(log)],
        "xbot score, jsonl with all headers": [*score, "jsonl", str(records)],
    }
    if goaccess:
        report = str(log.with_suffix(".json"))
        commands["goaccess"] = [
            goaccess,
            str(log),
            "--log-format=COMBINED",
            "--no-global-config",
            "--no-progress",
            "-o",
            report,
        ]
    core = max(os.sched_getaffinity(0))
    figures: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            figures[name].append(lines / seconds(command, core))
    table = Table(
        "lines scored", "lines a CPU second, one core", "over stateless", "over goaccess", title_justify="left"
    )
    for name, rates in figures.items():
        ratios = [over(rates, figures.get(other, [])) for other in ("xbot score --stateless", "goaccess")]
        ratios[1] = ratios[1] or "goaccess is missing: apt-get install goaccess"
        table.add_row(name, f"{statistics.median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})", *ratios)
    return table


def over(rates: list[float], others: list[float]) -> str:
    """The ratios of rounds: median, least and largest; empty where there are no others."""
    ratios = [a / b for a, b in zip(rates, others, strict=False)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else ""


@click.command(help=__doc__)
@click.option("--lines", default=500_000, show_default=True, help="Lines to score.")
@click.option("--rounds", default=3, show_default=True)
@click.option(
    "--train",
    "sizes",
    type=int,
    multiple=True,
    default=(100_000, 1_000_000, 10_000_000),
    show_default=True,
    help="Lines to train on.",
)
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the tables between the marks of this page.")
def main(lines: int, rounds: int, sizes: tuple[int, ...], markdown: Path | None) -> None:
    requests, tables = list(generate(1, 20_000)), []
    made = pages(requests)
    with tempfile.TemporaryDirectory(prefix="xbot-logs-") as name:
        place = Path(name)
        log, labels, records = place / "access.log", place / "labels.tsv", place / "requests.jsonl"
        write(log, labels, lines, made)
        write_records(records, lines, requests)
        tables.append(score_table(trained(place, min(lines, 50_000), made), log, records, lines, rounds))
        records.unlink()
        training = Table("training on", "seconds", "microseconds a line", "peak memory, MiB")
        for size in sizes:
            write(log, labels, size, made)
            wall, peak = peak_of(
                [
                    *XBOT,
                    "train",
                    "--quiet",
                    "--format",
                    "combined",
                    "--labels",
                    str(labels),
                    "--out",
                    str(place / "m.xbot"),
                    str(log),
                ]
            )
            training.add_row(f"{size:,} lines", f"{wall:.1f}", f"{1e6 * wall / size:.1f}", f"{peak:.0f}")
        tables.append(training)
    console = Console(width=min(110, shutil.get_terminal_size((110, 40)).columns))
    for table in tables:
        console.print(table)
    if markdown:
        replace_between(markdown, "\n\n".join(as_markdown(table) for table in tables))


def as_markdown(table: Table) -> str:
    heads = [str(column.header) for column in table.columns]
    rows = zip(*(column.cells for column in table.columns), strict=True)
    lines = [
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
        *("| " + " | ".join(map(str, row)) + " |" for row in rows),
    ]
    return "\n".join(lines)


def replace_between(page: Path, text: str) -> None:
    """Puts `text` between the marks <!-- logs --> and <!-- /logs --> of a page."""
    before, mark, rest = page.read_text().partition("<!-- logs -->\n")
    _, end, after = rest.partition("<!-- /logs -->")
    if not mark or not end:
        sys.exit(f"{page}: the marks <!-- logs --> and <!-- /logs --> are not there")
    page.write_text(f"{before}{mark}{text}\n{end}{after}")


if __name__ == "__main__":
    main()
