"""What the hop costs: `make bench`, or `.venv/bin/python bench/run.py --help`.

Law: one run, the same cores and the same load for every row, rows interleaved in short rounds, so that a
machine that changes its pace changes it for all. docs/benchmarks.md says what is measured and why it is fair.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alone
import batch
import chart
import click
import heads
import hop
import https
import lifecycle
import load
import machine
import openloop
import report
import settings
import verdict
from processes import BenchError, Processes, program
from rich.console import Console
from rich.progress import Progress
from rows import INSTALL, Bench, Round, Row, Running, missing
from services import ROWS, train

HERE = Path(__file__).parent
RESULT_VERSION = 2  # of the JSON's shape
OPEN_RATE = 1000.0  # requests a second
OPEN_STEPS = (0.05, 0.1, 0.15, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0)  # of what the row carried in a closed loop
LIMITS_MS = (1.0, 100.0)  # of p99


@dataclass(frozen=True)
class Part:
    """What is measured beside the rows, each by a module of its own."""

    needs: tuple[str, ...]
    measure: Callable[[Bench, int, float], Any]


PARTS = {
    "socket": Part(("nginx", "xbot", "h2load", "wrk"), alone.measure),
    "head": Part(("xbot",), lambda bench, *_: verdict.in_c(bench.xbot_model, bench.directory, bench.outer_cores)),
    "api": Part(("xbot", "sklearn", "onnxruntime", "skl2onnx"), batch.measure),
    "life": Part(("xbot",), lifecycle.measure),
    "settings": Part(("nginx", "wrk", "xbot"), settings.measure),
    "https": Part(("nginx", "wrk", "xbot", "openssl"), https.measure),
    "hop": Part(("nginx", "wrk", "xbot", "strace"), hop.measure),
}
OPEN = "open"  # a part that needs the rows up
NAMES = (*(row.name for row in ROWS), OPEN, *PARTS)  # what --only takes


def challenge_log(directory: Path) -> tuple[Path, str]:
    """The log that the models are fitted on, and what to call it."""
    if data := os.environ.get("XBOT_DATA"):
        return Path(data) / "challenge/train_data.tsv", "the challenge's log"
    log = directory / "challenge.tsv"
    log.write_text(heads.challenge_log(), encoding="utf-8")
    return log, "a synthetic log of the challenge's format"


def choose(only: tuple[str, ...]) -> tuple[list[Row], dict[str, str]]:
    """The rows that can be measured here, and why the others, and other parts, are not."""
    needs = {OPEN: ("h2load",), **{name: part.needs for name, part in PARTS.items()}}
    needs |= {row.name: row.needs for row in ROWS}
    skipped = {
        name: ", ".join(f"{lacking} is missing ({INSTALL[lacking]})" for lacking in missing(wanted))
        for name, wanted in needs.items()
        if (not only or name in only) and missing(wanted)
    }
    every = not any(row.name in only for row in ROWS) and (not only or OPEN in only)
    rows = [kind() for kind in ROWS if (every or kind.name in only) and kind.name not in skipped]
    return rows, skipped


def closed_loop(
    rows: list[Running], bench: Bench, rounds: int, seconds: float, progress: Progress
) -> dict[str, list[Round]]:
    """Every row at full load in turns; each round starts at another row."""
    heads_file = load.write_heads(heads.pool(), bench.directory / "heads")
    task = progress.add_task("full load", total=rounds * len(rows))
    figures: dict[str, list[Round]] = {one.row.name: [] for one in rows}
    for i in range(rounds):
        first = i % len(rows)
        for one in rows[first:] + rows[:first]:
            figures[one.row.name].append(one.measure(heads_file, seconds))
            progress.advance(task)
    return figures


def open_loop(
    rows: list[Running], bench: Bench, capacity: dict[str, float], rounds: int, seconds: float, progress: Progress
) -> dict[str, Any]:
    """Latency at OPEN_RATE in turns; then at steps of what each row carried in the closed loop, which is where the highest
    rates that keep p99 below LIMITS_MS lie."""
    task = progress.add_task("open loop", total=(rounds + len(OPEN_STEPS)) * len(rows))
    head = next(head for head in heads.pool() if head.kind == "browser")

    def at(one: Running, rate: float, seconds: float) -> openloop.Latency:
        found = openloop.measure(
            f"http://127.0.0.1:{one.port}/", head, rate, seconds, bench.outer_cores, bench.directory
        )
        progress.advance(task)
        return found

    constant: dict[str, list[openloop.Latency]] = {one.row.name: [] for one in rows}
    for i in range(rounds):
        first = i % len(rows)
        for one in rows[first:] + rows[:first]:
            constant[one.row.name].append(at(one, OPEN_RATE, seconds))
    ladder: dict[str, list[openloop.Latency]] = {one.row.name: [] for one in rows}
    for step in OPEN_STEPS:
        for one in rows:
            ladder[one.row.name].append(at(one, step * capacity[one.row.name], seconds / 2))
    return {
        name: {
            "rounds": constant[name],
            "spread": openloop.spread(constant[name]),
            "ladder": ladder[name],
            "highest": {f"{limit:g}": openloop.highest(ladder[name], limit * 1000) for limit in LIMITS_MS},
        }
        for name in constant
    }


def through_nginx(
    rows: list[Row], bench: Bench, rounds: int, seconds: float, opened: bool, progress: Progress
) -> dict[str, Any]:
    """All rows up at once (an idle one costs nothing), checked, then measured."""
    bench.start_site()
    starting = progress.add_task("fit, start and check", total=len(rows))
    running, about, told = [], {}, {}
    for row in rows:
        about[row.name] = row.fit(bench)
        running.append(Running(row, bench))
        told[row.name] = running[-1].check()
        progress.advance(starting)
    figures = closed_loop(running, bench, rounds, seconds, progress)
    results = {
        one.row.name: {
            "title": one.row.title,
            "model": about[one.row.name],
            "told": told[one.row.name],
            **report.summary(figures[one.row.name]),
            "memory": one.memory(),
            "rounds": figures[one.row.name],
        }
        for one in running
    }
    admin = next((one.gate.admin for one in running if one.gate.admin), None)
    counted = verdict.in_sidecar(admin) if admin else None
    capacity = {name: result["median"]["requests_per_second"] for name, result in results.items()}
    found = open_loop(running, bench, capacity, rounds, seconds, progress) if opened else {}
    return {"rows": results, "sidecar": counted, "open": found}


def run(only: tuple[str, ...], rounds: int, seconds: float, progress: Progress) -> dict[str, Any]:
    """One run, as the JSON holds it. Raises BenchError."""
    rows, skipped = choose(only)

    def wanted(name: str) -> bool:
        return (not only or name in only) and name not in skipped

    cores = sorted(os.sched_getaffinity(0))
    gate, outer = frozenset(cores[:1]), frozenset(cores[-1:])
    pool = heads.pool()
    result: dict[str, Any] = {
        "result_version": RESULT_VERSION,
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        **machine.about(),
    }
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="xbot-bench-") as temporary:
        directory = Path(temporary)
        log, log_name = challenge_log(directory)

        def bench(processes: Processes) -> Bench:
            return Bench(directory, processes, gate, outer, log, directory / "model.xbot")

        if not missing(("xbot",)):
            fit = ["train", "--quiet", "--format", "challenge", "--out", str(directory / "model.xbot"), str(log)]
            train([program("xbot"), *fit])
        with Processes() as processes:
            opened = wanted(OPEN)
            measured = through_nginx(rows, bench(processes), rounds, seconds, opened, progress) if rows else {}
        parts = {}
        for name, part in PARTS.items():
            if wanted(name):
                task = progress.add_task(name, total=1)
                with Processes() as processes:
                    parts[name] = part.measure(bench(processes), rounds, seconds)
                progress.advance(task)
    return result | {
        "run": {
            "rounds": rounds,
            "seconds": seconds,
            "took": time.monotonic() - started,
            "connections": load.CONNECTIONS,
            "threads": load.THREADS,
            "gate_cores": ", ".join(map(str, sorted(gate))),
            "outer_cores": ", ".join(map(str, sorted(outer))),
            "log": log_name,
            "seed": heads.SEED,
            "heads": len(pool),
            "bots": sum(head.kind == "bot" for head in pool),
            "mean_bytes": sum(len(head.bytes) for head in pool) / len(pool),
            "cflags": " ".join(verdict.CFLAGS),
        },
        "skipped": skipped,
        "rows": {},
        "sidecar": None,
        "open": {},
        **measured,
        "ratios": report.ratios(measured.get("rows", {})),
        "parts": parts,
    }


def read(path: Path) -> dict[str, Any]:
    """An earlier run's result; BenchError if it is none, or one of another shape."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BenchError(f"{path}: {error}") from None
    if not isinstance(result, dict) or result.get("result_version") != RESULT_VERSION:
        raise BenchError(f"{path}: no result of this bench (result_version {RESULT_VERSION})")
    return result


@click.command(context_settings={"show_default": True})
@click.option("--rounds", default=5, type=click.IntRange(1), help="Rounds; each measures every row once.")
@click.option("--seconds", default=2.0, type=click.FloatRange(0.1, 60), help="Load on a row in a round.")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Only this row or part; may be repeated.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Result file.  [default: bench/results/DATE.json]")
@click.option(
    "--from", "given", type=click.Path(exists=True, path_type=Path), help="Show this result; measure nothing."
)
@click.option(
    "--markdown",
    type=click.Path(exists=True, path_type=Path),
    help="Also put the tables into this document, and the chart and the JSON beside it.",
)
def main(
    rounds: int,
    seconds: float,
    only: tuple[str, ...],
    out: Path | None,
    given: Path | None,
    markdown: Path | None,
) -> None:
    """Measure what asking xbot before each request costs nginx, against asking nobody, a fixed answer, the hackathon's
    service and what sites use today. Load goes to 127.0.0.1 alone.

    Example: bench/run.py --rounds 1 --seconds 1 --only static --only xbot
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is ended
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        if markdown:
            report.around_tables(markdown)  # before the run, not after it
        if given:
            result = read(given)
        else:
            with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
                result = run(only, rounds, seconds, progress)
            out = out or HERE / "results" / time.strftime("%Y%m%d-%H%M%S.json")
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        report.print_tables(result, console)
        if markdown:
            report.update(markdown, result)
            chart.draw(result, markdown.with_suffix(".svg"))
            markdown.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    except (BenchError, ValueError) as error:
        sys.exit(f"bench: {error}")
    if failed := [name for name, row in result["rows"].items() if any(one["failed"] for one in row["rounds"])]:
        sys.exit(f"bench: requests failed in {', '.join(failed)}: these rows measure nothing")


if __name__ == "__main__":
    main()
