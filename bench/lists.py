"""What lists cost: a sidecar whose policy consults 50,000 networks and 1,000 agents beside one without lists.

    .venv/bin/python bench/lists.py [--networks 50000] [--agents 1000] [--rounds 7] [--seconds 3]

Two sidecars of one worker each, asked in turns over TCP by wrk as nginx would ask, on a core of their own. No request is
named by a list, so each goes through all of them. What counts is the worker's CPU time a request, and the rate.
"""

from __future__ import annotations

import ipaddress
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path

import click
import heads
import load
from processes import BenchError, Processes, answers, cpu_ns, free_port, program
from rich.console import Console
from rich.table import Table

CONFIG = """
[[listen]]
address = "127.0.0.1:{port}"
[policies.default]
mode = "enforce"
threshold = 1.0
{lists}
"""
LISTS = """
allow = ["allowed"]
deny = ["denied"]
verified = ["crawlers"]
[lists.allowed]
network_files = ["allowed.txt"]
[lists.denied]
network_files = ["denied.txt"]
agent_files = ["agents.txt"]
[lists.crawlers]
network_files = ["crawlers.txt"]
"""


def write_lists(place: Path, networks: int, agents: int) -> None:
    """Networks all over the address space but for where requests come from (bench/heads.py), half of them IPv6."""
    rng = random.Random(1)
    visitors = {each.bytes.partition(b"X-Forwarded-For: ")[2].partition(b".")[0] for each in heads.pool()}
    for name in ("allowed", "denied", "crawlers"):
        made: set[str] = set()
        while len(made) < networks // 3:
            bits = rng.choice((24, 28, 32))
            v4 = ipaddress.ip_network((rng.getrandbits(32), bits), strict=False)
            v6 = ipaddress.ip_network((rng.getrandbits(128), rng.choice((48, 64))), strict=False)
            made.add(str(v4 if len(made) % 2 and str(v4).partition(".")[0].encode() not in visitors else v6))
        (place / f"{name}.txt").write_text("\n".join(sorted(made)))
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = {"z" + "".join(rng.choices(letters, k=7)) for _ in range(agents)}
    (place / "agents.txt").write_text("\n".join(sorted(words)))


@click.command(help=__doc__)
@click.option("--networks", default=50_000, show_default=True)
@click.option("--agents", default=1_000, show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--seconds", default=3.0, show_default=True)
def main(networks: int, agents: int, rounds: int, seconds: float) -> None:
    cores = sorted(os.sched_getaffinity(0))
    gate, outer = frozenset(cores[:1]), frozenset(cores[-1:])
    ports, pids = {}, {}
    figures: dict[str, list[tuple[float, float]]] = {"without lists": [], "with lists": []}
    with tempfile.TemporaryDirectory(prefix="xbot-lists-") as name, Processes() as processes:
        place = Path(name)
        write_lists(place, networks, agents)
        asked = [heads.Head(each.kind, heads.question(each)) for each in heads.pool()]
        file = load.write_heads(asked, place / "heads")
        for row in figures:
            port = ports[row] = free_port()
            path = place / f"{row.replace(' ', '-')}.toml"
            path.write_text(CONFIG.format(port=port, lists=LISTS if row == "with lists" else ""))
            command = [program("xbot"), "serve", "--workers", "1", "--config", path]
            pids[row] = processes.start(command, cores=gate, log=place / "log", ready=answers(("127.0.0.1", port)))
            load.wrk(port, file, 0.5, outer)
        for i in range(rounds):
            for row in list(figures)[:: 1 if i % 2 else -1]:
                before = cpu_ns([pids[row]])
                done = load.wrk(ports[row], file, seconds, outer)
                spent = cpu_ns([pids[row]]) - before
                if done["failed"]:
                    raise BenchError(f"{row}: {done['failed']} requests failed")
                figures[row].append((done["requests"] / done["seconds"], spent / 1000 / done["requests"]))
    table = Table("sidecar", "requests/s", "CPU microseconds a request", "rate over the other's")
    for row, rounds_of in figures.items():
        rates, costs = zip(*rounds_of, strict=True)
        ratios = [a / b for (a, _), (b, _) in zip(rounds_of, figures["without lists"], strict=True)]
        table.add_row(row, spread(rates, 0), spread(costs, 2), spread(ratios, 3))
    Console().print(table)


def spread(values: tuple[float, ...] | list[float], digits: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench/lists.py: {error}")
