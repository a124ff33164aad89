"""What it costs to tell crawlers: requests of verified addresses, judged with the catalogue of crawlers and their lists, and without.

    .venv/bin/python bench/verified.py [--rounds 9] [--seconds 2] [--instructions]

Through nginx, as bench/run.py measures: two fronts with a sidecar of one worker each on one core, asked in turns by wrk on another.
All requests come from addresses that the owners of search engines publish and say their crawlers' names, so each is looked up and
proven. The other sidecar's image of policies has no crawlers in it; nothing else differs. What counts is the ratio within a round.

Instructions a head by callgrind, in C alone (bench/head.c): from crawlers that are proven, and from browsers, who claim nothing.
"""

from __future__ import annotations

import os
import random
import re
import statistics
import sys
import tempfile
from pathlib import Path

import click
import heads
import load
import verdict
from heads import Head
from processes import BenchError, Processes, answers, program
from rich.console import Console
from rich.table import Table
from rows import Bench, Gate, Running, project_gate
from services import Xbot

from sidecar.config import config, policies
from sidecar.config.options import DEFAULT_MODEL
from sidecar.verify import catalogue, ranges

CRAWLERS = ("googlebot", "bingbot", "applebot", "duckduckbot")
# The sidecar as it is, but for the crawlers in its image.
WITHOUT = """
from sidecar import core
whole = core.policies_image
core.policies_image = lambda policies, lists, routes, crawlers=None, actions=None: whole(policies, lists, routes)
from sidecar.commands.cli import main
main()
"""
NO_ENGINES = "[policies.default]\nsearch_engines = false\n"  # that list lies among the crawlers' networks


def verified() -> list[Head]:
    """As the bots of bench/heads.py, from an address of a list of the crawler that each says to be."""
    draw, (copies, _), known = random.Random(heads.SEED), ranges.newest(None), catalogue.load().crawlers
    out = []
    for _ in range(heads.POOL):
        name = draw.choice(CRAWLERS)
        networks = [each for each in copies[known[name].ranges[0]].networks if each.version == 4]
        network = draw.choice(networks)
        agent = f"Mozilla/5.0 (compatible; {name}/2.1; +https://www.example.com/bot.html)"
        address = str(network[draw.randrange(network.num_addresses)])
        headers = [("Host", "www.example.com"), ("User-Agent", agent), ("Accept", "*/*")]
        headers += [("Accept-Encoding", "gzip, deflate"), ("From", "bot@example.com"), ("X-Forwarded-For", address)]
        out.append(heads.head("verified", heads.path(draw), headers))
    return out


class With(Xbot):
    name, title = "with", "crawlers are told"


class Without(Xbot):
    name, title = "without", "no crawlers in the image"

    def start(self, bench: Bench) -> Gate:
        service = bench.directory / f"{self.name}.sock"
        options = bench.directory / f"{self.name}.toml"
        options.write_text(NO_ENGINES)
        gate = project_gate(bench, self.name, service)
        command = [sys.executable, "-c", WITHOUT, "serve", "--model", bench.xbot_model, "--workers", "1"]
        command += ["--listen", f"unix:{service}", "--config", options]
        log = bench.directory / f"{self.name}.log"
        gate.pids = [bench.processes.start(command, cores=bench.gate_cores, log=log, ready=answers(service))]
        return gate


def through_nginx(rounds: int, seconds: float, console: Console) -> None:
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="xbot-verified-") as name, Processes() as processes:
        Path(name).chmod(0o755)
        gate, outer = frozenset(cores[:1]), frozenset(cores[-1:])
        bench = Bench(Path(name), processes, gate, outer, Path(name) / "log", DEFAULT_MODEL)
        bench.start_site()
        file = load.write_heads(verified(), Path(name) / "heads")
        running = [Running(With(), bench), Running(Without(), bench)]
        for row, told in zip(running, ("verified", "bot"), strict=True):
            seen = {row.verdict(head) for head in verified()}
            if seen != {told}:
                raise BenchError(f"{row.row.name}: the site was told {seen}, not {told}")
            row.measure(file, 0.5)
        found = [[row.measure(file, seconds) for row in running[:: 1 if i % 2 else -1]][:: 1 if i % 2 else -1]
                 for i in range(rounds)]  # fmt: skip
    if lost := sum(each["failed"] for pair in found for each in pair):
        raise BenchError(f"{lost} requests failed")
    table = Table(
        "sidecar", "requests/s", "CPU us a request: nginx", "sidecar", "rate over without", "CPU over without"
    )
    for i, row in enumerate(running):
        mine, other = [pair[i] for pair in found], [pair[1] for pair in found]
        rates = [a["requests_per_second"] / b["requests_per_second"] for a, b in zip(mine, other, strict=True)]
        costs = [
            (a["nginx_us"] + a["service_us"]) / (b["nginx_us"] + b["service_us"])
            for a, b in zip(mine, other, strict=True)
        ]
        table.add_row(
            row.row.title,
            spread([each["requests_per_second"] for each in mine], 0),
            spread([each["nginx_us"] for each in mine], 2),
            spread([each["service_us"] for each in mine], 2),
            spread(rates, 3),
            spread(costs, 3),
        )
    console.print(table)


def spread(values: list[float], digits: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def images(place: Path) -> tuple[Path, Path]:
    """Images of one policy that observes: with crawlers, and without."""
    (place / "without.toml").write_text(NO_ENGINES)
    plain = policies.material(config.load(place / "without.toml"))
    (place / "with").write_bytes(policies.image(config.load(None)))
    from sidecar import core

    (place / "without").write_bytes(core.policies_image(plain.policies, plain.lists, plain.routes))
    return place / "with", place / "without"


def instructions(console: Console) -> None:
    browsers = [each for each in heads.pool() if each.kind == "browser"]
    table = Table("heads", "with crawlers", "without", "more")
    with tempfile.TemporaryDirectory(prefix="xbot-verified-") as name:
        place = Path(name)
        head_c, both = verdict.build(place), images(place)
        for title, asked in (("proven crawlers", verified()), ("browsers", browsers)):
            file = load.write_heads([Head(each.kind, heads.question(each)) for each in asked], place / "heads")
            counts = [_counted(head_c, file, image, place, len(asked)) for image in both]
            table.add_row(title, *(f"{each:,.0f}" for each in counts), f"{counts[0] - counts[1]:,.0f}")
    console.print(table)


def _counted(head_c: Path, file: Path, image: Path, place: Path, n: int) -> float:
    """As verdict.instructions, with an image of policies."""

    def count(a_batch: int) -> int:
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={place / 'callgrind.out'}"]
        command = [*tool, head_c, DEFAULT_MODEL, file, "answer", str(a_batch), "1", image]
        found = re.search(r"Collected : (\d+)", verdict.run(command).stderr)
        if not found:
            raise BenchError("valgrind counted nothing")
        return int(found[1])

    return (count(2 * n) - count(n)) / n


@click.command(help=__doc__)
@click.option("--rounds", default=9, show_default=True)
@click.option("--seconds", default=2.0, show_default=True)
@click.option(
    "--instructions", "only", is_flag=True, help="Only those: a machine that is busy changes nothing in them."
)
def main(rounds: int, seconds: float, only: bool) -> None:
    console = Console(width=140)
    if program("valgrind"):
        instructions(console)
    if not only:
        through_nginx(rounds, seconds, console)


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench/verified.py: {error}")
