"""Settings of nginx that make the question cheaper or dearer, each against the files as they are shipped.

Law: one change a variant, all else as in the row of xbot; measured in turns. docs/nginx.md says when each is safe.
"""

from __future__ import annotations

from typing import Any

import heads
import load
import report
from processes import answers, free_port, program
from rows import Bench, Changes, Gate, Running, project_gate
from services import Xbot

# All that a model of the challenge's log looks at. One that looks at headers needs them all, in their order.
THREE = """proxy_pass_request_headers off;
    proxy_set_header User-Agent $http_user_agent;
    proxy_set_header Referer $http_referer;"""
CACHED = """proxy_cache xbot;
    proxy_cache_key "$remote_addr $http_user_agent $http_referer";
    proxy_cache_valid 200 10s;"""


class Shipped(Xbot):
    name, title = "shipped", "as shipped"


class CloseToSidecar(Xbot):
    name, title = "close_to_sidecar", "no keepalive to the sidecar"
    changes: Changes = (("upstream.conf", "keepalive 64;", ""),)


class CloseToSite(Xbot):
    name, title = "close_to_site", "no keepalive to the site"

    def start(self, bench: Bench) -> Gate:
        gate = super().start(bench)
        gate.front = (("keepalive 64;", ""),)
        return gate


class OverTcp(Xbot):
    name, title = "over_tcp", "the sidecar on a TCP port"

    def start(self, bench: Bench) -> Gate:
        port = free_port()
        gate = project_gate(bench, self.name, f"127.0.0.1:{port}")
        command = [program("xbot"), "serve", "--model", bench.xbot_model, "--workers", "1"]
        command += ["--listen", f"127.0.0.1:{port}"]
        log, ready = bench.directory / f"{self.name}.log", answers(("127.0.0.1", port))
        gate.pids = [bench.processes.start(command, cores=bench.gate_cores, log=log, ready=ready)]
        return gate


class ThreeHeaders(Xbot):
    name, title = "three_headers", "only address, agent and referrer sent"
    changes: Changes = (("question.conf", "proxy_pass_request_headers on;", THREE),)


class Cached(Xbot):
    """Every head of the load asks again within ten seconds: the most that a cache can do."""

    name, title = "cached", "the answer cached for ten seconds"
    changes: Changes = (("locations.conf", "proxy_cache off;", CACHED),)

    def start(self, bench: Bench) -> Gate:
        gate = super().start(bench)
        place = bench.directory / self.name / "cache"
        gate.http += f"\nproxy_cache_path {place} keys_zone=xbot:8m;"
        return gate


class Stateless(Xbot):
    """The files as they are; the sidecar judges each request alone."""

    name, title = "stateless", "no table of what clients did"
    clients = 'size = "0"'

    def start(self, bench: Bench) -> Gate:
        self.options = bench.directory / f"{self.name}.toml"
        self.options.write_text(f"[clients]\n{self.clients}\n".replace("@DIR@", str(bench.directory)))
        return super().start(bench)


class Outcomes(Stateless):
    """nginx tells what happened to each request: a datagram a request, and a thread that takes it."""

    name, title = "outcomes", "with outcome.conf"
    clients = 'outcomes = "unix:@DIR@/outcome.sock"'

    def start(self, bench: Bench) -> Gate:
        self.changes = (("outcome.conf", "/run/xbot/outcome.sock", f"{bench.directory}/outcome.sock"),)
        gate = super().start(bench)
        gate.server += " include xbot/outcome.conf;"
        return gate


VARIANTS: tuple[type[Xbot], ...] = (
    Shipped,
    Stateless,
    Outcomes,
    CloseToSidecar,
    CloseToSite,
    OverTcp,
    ThreeHeaders,
    Cached,
)


def measure(bench: Bench, rounds: int, seconds: float) -> dict[str, Any]:
    """Each variant's figures, and its rate and CPU against the shipped files within each round."""
    heads_file = load.write_heads(heads.pool(), bench.directory / "heads")
    bench.directory = bench.directory / "settings"
    bench.directory.mkdir()
    bench.start_site()
    running = [Running(variant(), bench) for variant in VARIANTS]
    for one in running:
        one.check()
    figures: dict[str, list[Any]] = {one.row.name: [] for one in running}
    for i in range(rounds):
        first = i % len(running)
        for one in running[first:] + running[:first]:
            figures[one.row.name].append(one.measure(heads_file, seconds / 2))
    shipped = figures[Shipped.name]
    return {
        one.row.name: {
            "title": one.row.title,
            **report.summary(found := figures[one.row.name]),
            "failed": sum(each["failed"] for each in found),
            "rate": report.spread_of(
                [a["requests_per_second"] / b["requests_per_second"] for a, b in zip(found, shipped, strict=True)]
            ),
        }
        for one in running
    }
