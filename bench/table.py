"""What the table of clients costs (bench/table.c): `.venv/bin/python bench/table.py`.

Law: each figure is a ratio to the verdict on the same request without a table, in turns with it in the same run, so the load of the
machine falls out; the fastest batches are compared, as others only wait longer. Instructions are counted by callgrind, where it is.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import click
import verdict
from processes import BenchError, program

HERE = Path(__file__).parent
STAGES = {"judge": "judged without a table", "look": "keys, read and count", "client": "judged with the table"}


def build(directory: Path) -> Path:
    """Compiles table.c with csrc/."""
    out = directory / "table"
    compiler = program("gcc") or program("cc")
    if not compiler:
        raise BenchError("no C compiler (apt-get install gcc)")
    sources = [HERE / "table.c", *sorted(verdict.CSRC.rglob("*.c"))]
    verdict.run([compiler, *verdict.CFLAGS, "-iquote", verdict.CSRC, "-I", verdict.CSRC, *sources, "-lm", "-o", out])
    return out


def measure(table: Path, clients: int, mebibytes: int, rounds: int) -> dict[str, float]:
    """Nanoseconds a request of each stage: of the fastest batch of all rounds, the stages in turns."""
    fastest: dict[str, float] = {}
    for _ in range(rounds):
        for stage in STAGES:
            done = verdict.run([table, stage, str(clients), str(mebibytes), "1000", "301"])
            found: dict[str, Any] = json.loads(done.stdout)
            fastest[stage] = min(found["ns_min"], fastest.get(stage, found["ns_min"]))
    return fastest


@click.command()
@click.option("--rounds", default=5, help="How often each stage is run.")
@click.option("--mebibytes", default=512, help="Of the table: 512 hold two million entries.")
@click.option("--clients", multiple=True, default=(1000, 1_000_000), help="How many clients there are.")
def main(rounds: int, mebibytes: int, clients: tuple[int, ...]) -> None:
    """Print what the table costs, with few and with many clients."""
    with tempfile.TemporaryDirectory(prefix="xbot-bench-") as temporary:
        directory = Path(temporary)
        try:
            table = build(directory)
            for n in clients:
                found = measure(table, n, mebibytes, rounds)
                print(f"{n:,} clients")
                for stage, ns in found.items():
                    print(f"  {STAGES[stage]:24} {ns:8.0f} ns  {ns / found['judge']:.2f} of a verdict without")
                adds = found["client"] - found["judge"]  # its memory comes while the rest of the request is looked at
                print(f"  {'the table adds':24} {adds:8.0f} ns  {adds / found['judge']:.2f} of a verdict without")
            if program("valgrind"):
                print("instructions a request, 1,000 clients")
                for stage, what in STAGES.items():
                    command: list[str | Path] = [table, stage, "1000", "16"]
                    print(f"  {what:24} {verdict.instructions(command, directory, 4000):8.0f}")
        except (BenchError, subprocess.SubprocessError) as error:
            raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
