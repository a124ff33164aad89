"""The sidecar's life: how long it takes to start and to take a new model, what it weighs, and what a second worker adds.

Law: times are what a client on the socket sees, not what a log says: from the start of the command to the first verdict;
from SIGHUP to the first verdict by the new model, asked without a pause. Scaling gives each core a worker and a thread of
the generator, so that 1 worker on 1 core and 2 on 2 have the same neighbours.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any

import alone
import heads
import report
from heads import Head
from processes import BenchError, cpu_ns, free_port, memory, tree
from rows import PROJECT, Bench

PATIENCE = 10.0  # seconds


class Client:
    """One connection of its own to a sidecar's Unix socket."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(path))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, question: bytes) -> bytes:
        """The whole answer."""
        self.socket.sendall(question)
        answer = b""
        while b"\r\n\r\n" not in answer:
            if not (more := self.socket.recv(4096)):
                raise BenchError("the sidecar closed the connection")
            answer += more
        return answer


def measure(bench: Bench, rounds: int, seconds: float) -> dict[str, Any]:
    question = heads.question(heads.pool()[0])
    model = bench.directory / "served.xbot"
    serving = Bench(**{**vars(bench), "xbot_model": model})
    starts, reloads = [], []
    for i in range(rounds):
        shutil.copy(bench.xbot_model, model)
        path = bench.directory / f"life_{i}.sock"
        started = time.monotonic()
        pid = alone.start_xbot(serving, path, free_port())
        with Client(path) as client:
            client.ask(question)
            starts.append(1000 * (time.monotonic() - started))
            reloads.append(1000 * reload_seconds(pid, client, question, model))
        sizes = [memory(one) for one in tree(pid)]
        bench.processes.end()
    return {
        "start_ms": report.spread_of(starts),
        "reload_ms": report.spread_of(reloads),
        "memory": sizes,
        "scaling": scaling(bench, rounds, seconds),
    }


def reload_seconds(pid: int, client: Client, question: bytes, model: Path) -> float:
    """From SIGHUP to the first answer by the default model, put in the place of the served one."""
    before = client.ask(question)
    shutil.copy(PROJECT / "sidecar/default.xbot", model.with_suffix(".new"))
    model.with_suffix(".new").replace(model)
    os.kill(pid, signal.SIGHUP)
    started = time.monotonic()
    while client.ask(question) == before:
        if time.monotonic() - started > PATIENCE:
            raise BenchError("the sidecar answers as before: the new model was not taken, or says the same")
    return time.monotonic() - started


def scaling(bench: Bench, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Requests a second on the socket of 1 and 2 workers, as many cores, as many threads of h2load."""
    cores = sorted(os.sched_getaffinity(0))
    asked = next(Head(head.kind, heads.question(head)) for head in heads.pool() if head.kind == "browser")
    running = []
    for workers in range(1, min(len(cores), 2) + 1):
        path, own = bench.directory / f"scaling_{workers}.sock", frozenset(cores[:workers])
        running.append((workers, own, path, alone.start_xbot(bench, path, free_port(), workers, own)))
    figures: dict[int, list[dict[str, float]]] = {workers: [] for workers, *_ in running}
    for _ in range(rounds):
        for workers, own, path, pid in running:
            before = {one: cpu_ns([one]) for one in tree(pid)[1:]}
            found = alone.h2load(path, asked, seconds, own, threads=workers)
            shares = [cpu_ns([one]) - spent for one, spent in before.items()]
            figures[workers].append(
                {
                    "requests_per_second": found["requests"] / found["seconds"],
                    "service_us": sum(shares) / 1000 / max(found["requests"], 1),
                    "least_share": min(shares) / max(sum(shares), 1),
                }
            )
    return [{"workers": workers, **report.summary(found)} for workers, found in figures.items()]
