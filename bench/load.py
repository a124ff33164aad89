"""Load by wrk: closed loop, HTTP/1.1 with keepalive, loopback only, bounded in time.

Law: the same connections, threads and heads for every row. A closed loop at full load measures capacity: its
latency is the queue of CONNECTIONS visitors who wait for one core, not what a lone visitor sees.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TypedDict

from heads import Head
from processes import BenchError, program

_START_SECONDS = 30.0
CONNECTIONS = 64
THREADS = 1


class Load(TypedDict):
    requests: int
    seconds: float
    p50_us: int
    p99_us: int
    failed: int


def write_heads(heads: list[Head], path: Path) -> Path:
    path.write_bytes(b"".join(head.bytes + b"\0" for head in heads))
    return path


def _wait_for_handler(process: subprocess.Popen[bytes]) -> None:
    """Until wrk catches SIGINT, which it does as its load begins: before, on a busy machine, that ended it without a word."""
    end, caught = time.monotonic() + _START_SECONDS, 1 << (signal.SIGINT - 1)
    while process.poll() is None and time.monotonic() < end:
        found = re.search(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
        if found is None or int(found[1], 16) & caught:
            return
        time.sleep(0.005)


def wrk(port: int, heads: Path, seconds: float, cores: frozenset[int], scheme: str = "http") -> Load:
    """Sends `heads` to 127.0.0.1:port for `seconds`. Failed: every status from 400 on, every socket error."""
    # wrk knows whole seconds only: SIGINT ends it in time; -d would, in any case.
    options = [f"-t{THREADS}", f"-c{CONNECTIONS}", f"-d{math.ceil(seconds) + 30}s", "--timeout", "5s"]
    script = ["-s", str(Path(__file__).with_name("load.lua"))]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [program("wrk") or "wrk", *options, *script, f"{scheme}://127.0.0.1:{port}", "--", str(heads)],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        try:
            _wait_for_handler(process)
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait(10)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        said = output.read().decode(errors="replace").strip()
    try:
        counted = json.loads(said.rsplit("\n", 1)[-1])
    except ValueError:
        raise BenchError(f"wrk failed: {said.splitlines()[0] if said else 'it said nothing'}") from None
    return Load(
        requests=counted["requests"],
        seconds=counted["seconds"],
        p50_us=counted["p50_us"],
        p99_us=counted["p99_us"],
        failed=sum(counted[kind] for kind in ("status", "connect", "read", "write", "timeout")),
    )
