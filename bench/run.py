"""What the hop costs: `make bench`, or `.venv/bin/python bench/run.py --help`.

Law: one run, the same cores and the same load for every row, rows interleaved in short rounds, so that a
machine that changes its pace changes it for all. docs/benchmarks.md says what is measured and why it is fair.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import heads
import load
import machine
import report
import verdict
from processes import ONE_THREAD, BenchError, Processes, program
from rich.console import Console
from rich.progress import Progress
from rows import INSTALL, ROWS, Bench, Round, Row, Running, missing

HERE = Path(__file__).parent
HEAD = "head"  # with the rows' names, what --only takes
RESULT_VERSION = 1  # of the JSON's shape
PARTS = (*(row.name for row in ROWS), HEAD)


def challenge_log(directory: Path) -> tuple[Path, str]:
    """The log that the models are fitted on, and what to call it."""
    if data := os.environ.get("XBOT_DATA"):
        return Path(data) / "challenge/train_data.tsv", "the challenge's log"
    log = directory / "challenge.tsv"
    log.write_text(heads.challenge_log(), encoding="utf-8")
    return log, "a synthetic log of the challenge's format"


def train(command: list[str | Path | None]) -> str:
    environment = {**os.environ, **ONE_THREAD}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise BenchError(f"training failed: {(done.stderr.strip() or 'it said nothing').splitlines()[-1]}")
    return done.stdout


def choose(only: tuple[str, ...]) -> tuple[list[Row], dict[str, str]]:
    """The rows that can be measured here, and why the others are not."""
    chosen, skipped = [], {}
    for row in (kind() for kind in ROWS if not only or kind.name in only):
        if lacking := missing(row.needs):
            skipped[row.name] = ", ".join(f"{name} is missing ({INSTALL[name]})" for name in lacking)
        else:
            chosen.append(row)
    return chosen, skipped


def measure(
    rows: list[Row], bench: Bench, rounds: int, seconds: float, progress: Progress
) -> tuple[dict[str, Any], Any]:
    """All rows up at once (an idle one costs nothing), checked, then measured in turns; each round starts at
    another row. Returns what the rows gave, and what the sidecar counted itself."""
    heads_file = load.write_heads(heads.pool(), bench.directory / "heads")
    bench.start_site()
    starting = progress.add_task("start and check", total=len(rows))
    running, told = [], {}
    for row in rows:
        running.append(Running(row, bench))
        told[row.name] = running[-1].check()
        progress.advance(starting)
    measuring = progress.add_task("measure", total=rounds * len(rows))
    figures: dict[str, list[Round]] = {row.name: [] for row in rows}
    for i in range(rounds):
        first = i % len(running)
        for one in running[first:] + running[:first]:
            figures[one.row.name].append(one.measure(heads_file, seconds))
            progress.advance(measuring)
    results = {
        one.row.name: {
            "title": one.row.title,
            "told": told[one.row.name],
            **report.summary(figures[one.row.name]),
            "memory": one.memory(),
            "rounds": figures[one.row.name],
        }
        for one in running
    }
    admin = next((one.gate.admin for one in running if one.gate.admin), None)
    return results, verdict.in_sidecar(admin) if admin else None


def run(only: tuple[str, ...], rounds: int, seconds: float, progress: Progress) -> dict[str, Any]:
    """One run, as the JSON holds it. Raises BenchError."""
    rows, skipped = choose(only)
    in_c = not only or HEAD in only
    if in_c and missing(("xbot",)):
        in_c, skipped[HEAD] = False, f"xbot is missing ({INSTALL['xbot']})"
    names = {row.name for row in rows}
    cores = sorted(os.sched_getaffinity(0))
    gate, outer = frozenset(cores[:1]), frozenset(cores[-1:])
    pool = heads.pool()
    result: dict[str, Any] = {
        "result_version": RESULT_VERSION,
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        **machine.about(),
    }
    with tempfile.TemporaryDirectory(prefix="xbot-bench-") as temporary, Processes() as processes:
        directory = Path(temporary)
        bench = Bench(directory, processes, gate, outer, directory / "model.xbot", directory / "hackathon.pickle")
        log, log_name = challenge_log(directory)
        hackathon = None
        if "xbot" in names or in_c:
            fit = ["train", "--quiet", "--format", "challenge", "--out", str(bench.xbot_model), str(log)]
            train([program("xbot"), *fit])
        if "hackathon" in names:
            said = train([sys.executable, HERE / "hackathon/train.py", log, bench.hackathon_model])
            hackathon = json.loads(said)
        measured, counted = measure(rows, bench, rounds, seconds, progress) if rows else ({}, None)
        processes.end()
        task = progress.add_task("head in C", total=1)
        in_c_results = verdict.in_c(bench.xbot_model, directory, outer) if in_c else []
        progress.advance(task)
    return result | {
        "run": {
            "rounds": rounds,
            "seconds": seconds,
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
        "rows": measured,
        "skipped": skipped,
        "ratios": report.ratios(measured),
        "hackathon": hackathon,
        "sidecar": counted,
        "head": in_c_results,
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
@click.option("--seconds", default=4.0, type=click.FloatRange(0.1, 60), help="Load on a row in a round.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Only this row or part; may be repeated.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Result file.  [default: bench/results/DATE.json]")
@click.option(
    "--from", "given", type=click.Path(exists=True, path_type=Path), help="Show this result; measure nothing."
)
@click.option(
    "--markdown", type=click.Path(exists=True, path_type=Path), help="Also put the tables into this document."
)
def main(
    rounds: int,
    seconds: float,
    only: tuple[str, ...],
    out: Path | None,
    given: Path | None,
    markdown: Path | None,
) -> None:
    """Measure what asking xbot before each request costs nginx, against asking nobody, a fixed answer and the
    hackathon's service. Load goes to 127.0.0.1 alone.

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
    except (BenchError, ValueError) as error:
        sys.exit(f"bench: {error}")
    if failed := [name for name, row in result["rows"].items() if any(one["failed"] for one in row["rounds"])]:
        sys.exit(f"bench: requests failed in {', '.join(failed)}: these rows measure nothing")


if __name__ == "__main__":
    main()
