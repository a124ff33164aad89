"""The socket alone: the questions that nginx would ask, sent by two load generators straight to the service.

Law: xbot with one worker, and an nginx with one worker that answers a static 204, each listens on a Unix socket and on
TCP, on the same core; the generator has another. h2load asks over the Unix socket, as nginx does, the same head each
time; wrk, which knows no Unix sockets, asks over TCP, with every head of the load in turn. Where the service's core is not
busy the generator was the limit, and the rate is a lower bound: CPU a request tells more then.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import heads
import load
import openloop
import report
from heads import Head
from processes import BenchError, answers, cpu_ns, free_port, program
from rows import Bench

CONNECTIONS = 32
THREADS = 1
H2LOAD, WRK = "h2load, Unix socket", "wrk, TCP"


def start_static(bench: Bench, path: Path, port: int) -> int:
    """An nginx whose every answer is 204; returns its pid."""
    listen = f"unix:{path} backlog=4096;\n    listen 127.0.0.1:{port}"
    return bench.nginx("static_alone", bench.gate_cores, path, "static.conf", LISTEN=listen)


def start_xbot(bench: Bench, path: Path, port: int, workers: int = 1, cores: frozenset[int] | None = None) -> int:
    command = [program("xbot"), "serve", "--model", bench.xbot_model, "--workers", str(workers)]
    command += ["--listen", f"unix:{path}", "--listen", f"127.0.0.1:{port}"]
    log = bench.directory / "xbot_alone.log"
    return bench.processes.start(command, cores=cores or bench.gate_cores, log=log, ready=answers(path))


def h2load(path: Path, head: Head, seconds: float, cores: frozenset[int], threads: int = THREADS) -> dict[str, float]:
    """Closed loop over a Unix socket. Returns requests, seconds and failed."""
    options = ["--h1", f"-t{threads}", f"-c{CONNECTIONS}", f"--duration={max(100, round(1000 * seconds))}ms"]
    command = [program("h2load") or "h2load", *options, f"--base-uri=unix:{path}", *openloop.header_options(head)]
    done = subprocess.run(
        [*command, "http://xbot/"],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    finished = re.search(r"finished in ([\d.]+)(ms|s), ", done.stdout)
    counted = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
    if not finished or not counted:
        raise BenchError(f"h2load failed: {(done.stderr.strip() or 'it said nothing').splitlines()[-1]}")
    lasted = float(finished[1]) / (1000 if finished[2] == "ms" else 1)
    return {"requests": int(counted[2]), "seconds": lasted, "failed": sum(map(int, counted.groups()[2:]))}


def measure(bench: Bench, rounds: int, seconds: float) -> dict[str, Any]:
    """Rates and CPU of both services by both generators, in turns, and their ratios within a round."""
    asked = [Head(head.kind, heads.question(head)) for head in heads.pool()]
    heads_file = load.write_heads(asked, bench.directory / "questions")
    typical = next(head for head in asked if head.kind == "browser")
    services = {}
    for name, start in (("static", start_static), ("xbot", start_xbot)):
        path, port = bench.directory / f"{name}_alone.sock", free_port()
        services[name] = (start(bench, path, port), path, port)
    figures: dict[str, dict[str, list[dict[str, float]]]] = {
        generator: {name: [] for name in services} for generator in (H2LOAD, WRK)
    }
    for i in range(rounds):
        for generator in figures:
            for name, (pid, path, port) in sorted(services.items(), reverse=i % 2 == 1):
                before = cpu_ns([pid])
                if generator == H2LOAD:
                    found: Any = h2load(path, typical, seconds, bench.outer_cores)
                else:
                    found = load.wrk(port, heads_file, seconds, bench.outer_cores)
                cpu = cpu_ns([pid]) - before
                figures[generator][name].append(
                    {
                        "requests_per_second": found["requests"] / found["seconds"],
                        "service_us": cpu / 1000 / max(found["requests"], 1),
                        "busy": cpu / 1e9 / found["seconds"],
                        "failed": found["failed"],
                    }
                )
    return {
        generator: {
            "services": {name: report.summary(found) for name, found in by_name.items()},
            "ratio": {
                name: report.spread_of([a[key] / b[key] for a, b in pairs])
                for name, key, pairs in (
                    ("rate", "requests_per_second", list(zip(by_name["xbot"], by_name["static"], strict=True))),
                    ("cpu", "service_us", list(zip(by_name["static"], by_name["xbot"], strict=True))),
                )
            },
        }
        for generator, by_name in figures.items()
    }
