"""Where a request's time goes in nginx: system calls by strace, and the share of kernel and program by perf.

Law: calls are counted, not timed, so a traced process that is slow gives the same count; shares are samples of the clock of
a process that nobody traces. Both of the nginx that asks and of the service; in rows `unguarded`, `static`, `xbot`.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import heads
import load
from processes import BenchError, program, tree
from rows import Bench, Running
from services import Static, Unguarded, Xbot

_LONGER = (1, 4, 16, 64)  # a traced process is slow, and the machine may be busy
# wrk counts answers: what its connections were waiting for at the end was traced, too, but is in no count.
_ENOUGH = 32 * load.CONNECTIONS
LEAST = 0.2  # calls a request; what is rarer belongs to opening connections


@contextmanager
def under_load(running: Running, heads_file: Path, seconds: float) -> Iterator[dict[str, Any]]:
    """wrk in a thread; what it counted is in the dict once the block is left."""
    found: dict[str, Any] = {}

    def run() -> None:
        found.update(load.wrk(running.port, heads_file, seconds, running.bench.outer_cores))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield found
    finally:
        thread.join()


def calls(running: Running, pid: int, heads_file: Path, seconds: float) -> dict[str, float]:
    """System calls a request of one process, within 1/32. BenchError if it answers too few, on a machine however busy."""
    requests = 0
    for longer in _LONGER:
        requests, said = _traced(running, pid, heads_file, longer * seconds)
        if requests >= _ENOUGH:
            table = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", said, re.MULTILINE)
            a_request = {name: int(count) / requests for count, name in table if name != "total"}
            return {name: count for name, count in a_request.items() if count >= LEAST}
    raise BenchError(f"{running.row.name}: {requests} requests were answered while strace looked, not {_ENOUGH}")


def _traced(running: Running, pid: int, heads_file: Path, seconds: float) -> tuple[int, str]:
    """(requests, what strace says of them). It is there for the whole load, so that calls and requests are the same ones."""
    tracer = subprocess.Popen(
        [program("strace") or "strace", "-c", "-p", str(pid)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr
    attached = tracer.stderr.readline()
    try:
        if "attached" not in attached:
            raise BenchError(f"strace: {attached.strip()}")
        with under_load(running, heads_file, seconds) as found:
            pass
    finally:
        tracer.send_signal(2)
        said = tracer.stderr.read()
        tracer.wait()
    return found["requests"], said


def shares(running: Running, pid: int, heads_file: Path, seconds: float, directory: Path) -> dict[str, float]:
    """Of a process' time, what was spent in the kernel, in the program, in each library; empty where perf does not work."""
    perf, data = program("perf"), directory / "perf.data"
    if not perf:
        return {}
    with under_load(running, heads_file, seconds):
        record = [
            perf,
            "record",
            "-q",
            "-e",
            "cpu-clock",
            "-F",
            "1999",
            "-p",
            str(pid),
            "-o",
            data,
            "--",
            "sleep",
            seconds * 0.8,
        ]
        subprocess.run([str(word) for word in record], capture_output=True, timeout=seconds + 30)
    report = [perf, "report", "-i", str(data), "--no-children", "--sort", "dso", "--stdio", "-g", "none"]
    said = subprocess.run(report, capture_output=True, text=True).stdout
    found = re.findall(r"^ +([\d.]+)% +(\S+)", said, re.MULTILINE)
    return {
        name.strip("[]").removesuffix(".kallsyms"): float(share) / 100 for share, name in found if float(share) >= 1
    }


def measure(bench: Bench, rounds: int, seconds: float) -> dict[str, Any]:  # noqa: ARG001 - counts need no rounds
    heads_file = load.write_heads(heads.pool(), bench.directory / "heads")
    bench.directory = bench.directory / "hop"
    bench.directory.mkdir()
    bench.start_site()
    result = {}
    for kind in (Unguarded, Static, Xbot):
        running = Running(kind(), bench)
        running.check()
        worker = tree(running.front)[1]
        services = [tree(pid)[-1] for pid in running.gate.pids]
        result[kind.name] = {
            "title": kind.title,
            "nginx": calls(running, worker, heads_file, seconds / 2),
            "service": calls(running, services[0], heads_file, seconds / 2) if services else {},
            "shares": shares(running, worker, heads_file, seconds, bench.directory),
            "service_shares": shares(running, services[0], heads_file, seconds, bench.directory) if services else {},
        }
    return result
