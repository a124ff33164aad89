"""From head to verdict: in C alone (bench/head.c), and as the running sidecar counts it.

Law: the heads are pinned by heads.SEED. Times are medians of batches; instructions do not depend on the load
of the machine, but on compiler and flags, so both are part of the result.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import heads
from heads import Head
from load import write_heads
from processes import BenchError, program
from prometheus_client.parser import text_string_to_metric_families

HERE = Path(__file__).parent
CSRC = HERE.parent / "csrc"
CFLAGS = ["-std=gnu11", "-O3"]  # as in setup.py
STAGES = ("parse", "featurize", "judge", "answer", "recorded")  # each holds those before it
LARGER = {"2 kB": 400, "8 kB": 1900, "32 kB": 7900}  # bytes of each of four lines
TABLE = ("typical", "table")  # judged with a table of clients: what that costs is the difference to `judge`
EVERY_STAGE = ("small", "typical", "32 kB")  # of the others, `answer` alone: they show that cost is linear
N_COLD = 1024  # heads that no memo knows, many times more than one keeps
A_CONNECTION = 10  # requests that people's browsers send on one
BATCH_BYTES = 8_000_000  # bytes of heads a batch: some 10 ms


def sizes() -> dict[str, list[bytes]]:
    """Heads as nginx asks the sidecar about them, by size."""
    lines = "GET / HTTP/1.0\r\nHost: xbot\r\nX-Real-IP: 203.0.113.{0}\r\nX-Original-URI: /a/{0}.html\r\n"
    small = [f"{lines.format(i)}User-Agent: curl/8.{i}\r\nAccept: */*\r\n\r\n".encode() for i in range(64)]
    chosen = [head for head in heads.pool() if 640 <= len(heads.question(head)) <= 840]
    typical = [heads.question(head) for head in chosen]
    numbered = list(enumerate(chosen, 1000))
    first = [heads.question(head, "https", serial) for serial, head in numbered]
    kept = [heads.question(head, "https", serial, n) for serial, head in numbered for n in range(1, A_CONNECTION + 1)]
    made = {name: [heads.question(heads.of_size(i, line)) for i in range(16)] for name, line in LARGER.items()}
    cold = [heads.never_seen(chosen[i % len(chosen)], i) for i in range(N_COLD)]
    https = {"https, first": first, f"https, {A_CONNECTION} a connection": kept}
    return {"small": small, "typical": typical, "typical, cold": cold, **https, **made}


def build(directory: Path) -> Path:
    """Compiles head.c with csrc/; BenchError with the compiler's first error."""
    compiler, out = program("gcc") or program("cc"), directory / "head"
    if not compiler:
        raise BenchError("no C compiler (apt-get install gcc)")
    # -iquote: no header of csrc/ stands in for one of the C library
    command = [
        compiler,
        *CFLAGS,
        "-iquote",
        CSRC,
        HERE / "head.c",
        *sorted(CSRC.rglob("*.c")),
        "-lm",
        "-o",
        out,
    ]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line] or ["the compiler failed"]
        raise BenchError(f"head.c: {errors[0]}")
    return out


def run(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{Path(command[0]).name}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    return done


def instructions(command: list[str | Path], directory: Path, a_batch: int) -> float:
    """Instructions a head: of 2n heads less of n heads, so that loading the model falls out."""

    def count(n: int) -> int:
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={directory / 'callgrind.out'}"]
        found = re.search(r"Collected : (\d+)", run([*tool, *command, str(n), "1"]).stderr)
        if not found:
            raise BenchError("valgrind counted nothing")
        return int(found[1])

    return (count(2 * a_batch) - count(a_batch)) / a_batch


def cases() -> Iterator[tuple[str, str, list[bytes]]]:
    """Size, stage, heads."""
    for size, inputs in sizes().items():
        for stage in STAGES if size in EVERY_STAGE else ("answer",):
            yield size, stage, inputs
        if size == TABLE[0]:
            yield *TABLE, inputs


def in_c(model: Path, directory: Path, cores: frozenset[int], batches: int = 31) -> list[dict[str, Any]]:
    """One result for each size and stage."""
    head_c = build(directory)
    pinned = ["taskset", "-c", ",".join(map(str, sorted(cores)))] if program("taskset") else []
    results = []
    for size, stage, inputs in cases():
        file = write_heads([Head(size, head) for head in inputs], directory / "heads_of_one_size")
        command: list[str | Path] = [*pinned, head_c, model, file, stage]
        batch = max(len(inputs), int(BATCH_BYTES * len(inputs) / sum(map(len, inputs))))
        results.append({"size": size, "stage": stage, **json.loads(run([*command, str(batch), str(batches)]).stdout)})
    if program("valgrind"):
        for one, found in zip(results, counted(model, directory), strict=True):
            one["instructions"] = found["instructions"]
    return results


def counted(model: Path, directory: Path) -> list[dict[str, Any]]:
    """Instructions a head, for each size and stage."""
    head_c = build(directory)
    results = []
    for size, stage, inputs in cases():
        file = write_heads([Head(size, head) for head in inputs], directory / "heads_of_one_size")
        found = instructions([head_c, model, file, stage], directory, len(inputs))
        results.append({"size": size, "stage": stage, "instructions": found})
    return results


def in_sidecar(admin: Path) -> dict[str, float]:
    """The sidecar's own histogram over the run, in microseconds: the mean, and the edges (powers of two)
    that p50 and p99 are under."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(admin))
        client.sendall(b"GET /metrics HTTP/1.0\r\nHost: admin\r\n\r\n")
        text = b"".join(iter(lambda: client.recv(65536), b"")).decode().partition("\r\n\r\n")[2]
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    value = {s.name: s.value for s in samples if s.name.startswith("xbot_verdict_seconds_") and not s.labels}
    answers = value["xbot_verdict_seconds_count"]
    edges = [(float(s.labels["le"]), s.value) for s in samples if s.name == "xbot_verdict_seconds_bucket"]

    def under(share: float) -> float:
        return 1e6 * next(edge for edge, count in sorted(edges) if count >= share * answers)

    return {
        "answers": answers,
        "mean_us": 1e6 * value["xbot_verdict_seconds_sum"] / answers,
        "p50_under_us": under(0.50),
        "p99_under_us": under(0.99),
    }
