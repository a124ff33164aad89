"""Open loop by h2load: requests start by the clock, whether or not earlier ones were answered.

Law: each of many connections sends at its own constant rate; they start one after the other, so that together they send
evenly. A connection carries one request at a time: where an answer takes longer than the connection's period, the
requests that it held back are added with the time that they would have waited (HdrHistogram's correction for
coordinated omission). Every latency is kept: percentiles are of the sorted values, not of buckets.
"""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict

from heads import Head
from processes import BenchError, program

A_CONNECTION = 60.0  # requests a second at most: h2load's clock ticks every 10 ms
FEWEST = 64  # connections: at 1,000 a second each has 64 ms for an answer
PERCENTILES = (50.0, 90.0, 99.0, 99.9)
KEPT = tuple(100 - 100 / 2**step for step in range(1, 15))  # the points of a curve, as HdrHistogram prints them


class Latency(TypedDict):
    wanted_rate: float  # requests a second
    rate: float  # what started
    requests: int  # answered and measured
    failed: int
    added: int  # by the correction
    percentiles: dict[str, float]  # microseconds
    curve: list[tuple[float, float]]  # percentile, microseconds


def header_options(head: Head) -> list[str]:
    """The head's own headers, for h2load; it writes Host itself."""
    lines = head.bytes.decode().split("\r\n")[1:-2]
    skipped = ("host:", "connection:")
    return [word for line in lines if not line.lower().startswith(skipped) for word in ("-H", line)]


def corrected(latencies: Iterable[float], period: float) -> list[float]:
    """With one more value for each request that a longer answer held back; sorted."""
    every = []
    for latency in latencies:
        every.append(latency)
        while (latency := latency - period) > 0:
            every.append(latency)
    return sorted(every)


def percentile(values: list[float], percent: float) -> float:
    """Of sorted values: the smallest that at least so many percent are not above."""
    return values[max(0, math.ceil(len(values) * percent / 100) - 1)]


def measure(url: str, head: Head, rate: float, seconds: float, cores: frozenset[int], directory: Path) -> Latency:
    """Sends `rate` requests a second to a loopback URL for `seconds`; the first tenth is not counted."""
    connections = max(FEWEST, math.ceil(rate / A_CONNECTION))
    each = max(1, round(seconds * rate / connections))
    period = connections / rate
    log = directory / "h2load.log"
    log.unlink(missing_ok=True)
    options = ["--h1", "-t1", f"-c{connections}", f"-n{connections * each}", f"--rps={rate / connections:.6f}"]
    # Connections come at the pace of the requests: n each millisecond, or one each n milliseconds.
    pace = [f"-r{max(1, round(rate / 1000))}", f"--rate-period={max(1, round(1000 / rate))}ms"]
    command = [program("h2load") or "h2load", *options, *pace, f"--log-file={log}", *header_options(head), url]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=4 * seconds + 30,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"h2load did not end at {rate:,.0f} requests a second") from None
    if done.returncode or not log.exists():
        raise BenchError(
            f"h2load failed: {(done.stderr.strip() or done.stdout.strip() or 'it said nothing').splitlines()[-1]}"
        )
    return summary([tuple(map(int, line.split()[:3])) for line in log.read_text().splitlines()], rate, period)


def summary(lines: list[tuple[int, ...]], rate: float, period: float) -> Latency:
    """Of (start in microseconds, status, microseconds) of each request."""
    starts = sorted(line[0] for line in lines)
    first = starts[0] + (starts[-1] - starts[0]) // 10
    counted = [line for line in lines if line[0] >= first]
    good = [float(latency) for _, status, latency in counted if 200 <= status < 400]
    values = corrected(good, period * 1e6)
    if not values:
        raise BenchError("h2load: not one request was answered")
    lasted = (starts[-1] - first) / 1e6
    return Latency(
        wanted_rate=rate,
        rate=sum(start >= first for start in starts) / lasted if lasted else 0.0,
        requests=len(good),
        failed=len(counted) - len(good),
        added=len(values) - len(good),
        percentiles={f"p{percent:g}": percentile(values, percent) for percent in PERCENTILES},
        curve=[(percent, percentile(values, percent)) for percent in KEPT if len(values) * (1 - percent / 100) >= 1],
    )


def spread(found: list[Latency]) -> dict[str, Any]:
    """Median, lowest and highest of each percentile over rounds."""
    result = {}
    for name in found[0]["percentiles"]:
        values = sorted(one["percentiles"][name] for one in found)
        result[name] = {"median": values[len(values) // 2], "min": values[0], "max": values[-1]}
    return result


def highest(ladder: list[Latency], limit_us: float) -> float | None:
    """The highest rate of the steps whose p99 stays under the limit and which really was sent. Each is sent once, so a hiccup of
    the machine at a lower step says nothing of a higher."""
    held = (
        step["rate"]
        for step in ladder
        if not step["failed"] and step["percentiles"]["p99"] < limit_us and step["rate"] >= 0.98 * step["wanted_rate"]
    )
    return max(held, default=None)
