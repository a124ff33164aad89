"""What the hop costs over https, and what telling the TLS handshake adds to it.

Law: as the rows (run.py), over connections that stay open, so that the handshake itself is no part of it; nginx sees each
connection's own address, or no handshake could be remembered. A figure is of its round's `xbot, no handshake`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import heads
import load
import report
from processes import BenchError
from rows import Bench, Changes, Gate, Row, Running
from services import Static, Unguarded, Xbot

# Of the files as they are shipped: nothing is told, and so nothing is remembered or asked for again.
TELLS = "X-Connection        $pid-$connection-$connection_requests;"
UNTOLD: Changes = (
    ("question.conf", TELLS, 'X-Connection "";'),
    *(
        ("locations.conf", f"$xbot_tls_{name};", '"";')
        for name in ("protocol", "ciphers", "curves", "alpn", "reused", "sigalgs")
    ),
)
# As if nginx told it with every question.
ALWAYS: Changes = (("handshake.conf", "map $connection_requests", "map 1"),)


def secure(gate: Gate, bench: Bench) -> Gate:
    """The gate's nginx speaks TLS, and sees each connection's own address."""
    tls = "".join(
        f" {name} {path};" for name, path in zip(("ssl_certificate", "ssl_certificate_key"), places(bench), strict=True)
    )
    listens = (" backlog=4096;", f" ssl backlog=4096;{tls}")
    gate.front = (*gate.front, listens, ("real_ip_header X-Forwarded-For;", ""))
    return gate


class UnguardedHttps(Unguarded):
    name = "unguarded_https"

    def start(self, bench: Bench) -> Gate:
        return secure(super().start(bench), bench)


class StaticHttps(Static):
    name = "static_https"

    def start(self, bench: Bench) -> Gate:
        return secure(super().start(bench), bench)


class Told(Xbot):
    name, title = "told", "nginx + xbot"

    def start(self, bench: Bench) -> Gate:
        return secure(super().start(bench), bench)


class Untold(Told):
    name, title = "untold", "nginx + xbot, no handshake told"
    changes = UNTOLD


class Always(Told):
    name, title = "always", "nginx + xbot, handshake told with every request"
    changes = ALWAYS


VARIANTS: tuple[type[Row], ...] = (UnguardedHttps, StaticHttps, Untold, Told, Always)


def measure(bench: Bench, rounds: int, seconds: float) -> dict[str, Any]:
    """Each variant's figures, and its rate and CPU against those of xbot without the handshake, within each round."""
    heads_file = load.write_heads(heads.pool(), bench.directory / "heads")
    bench.directory = bench.directory / "https"
    bench.directory.mkdir()
    bench.start_site()
    make_certificate(bench)
    running = [Running(variant(), bench) for variant in VARIANTS]
    figures: dict[str, list[Any]] = {one.row.name: [] for one in running}
    for i in range(rounds):
        first = i % len(running)
        for one in running[first:] + running[:first]:
            figures[one.row.name].append(one.measure(heads_file, seconds, "https"))
    untold = figures[Untold.name]
    return {
        one.row.name: {
            "title": one.row.title,
            **report.summary(found := figures[one.row.name]),
            "failed": sum(each["failed"] for each in found),
            "rate": report.spread_of(
                [a["requests_per_second"] / b["requests_per_second"] for a, b in zip(found, untold, strict=True)]
            ),
        }
        for one in running
    }


def places(bench: Bench) -> tuple[Path, Path]:
    """Of the certificate and its key."""
    return bench.directory / "certificate.pem", bench.directory / "key.pem"


def make_certificate(bench: Bench) -> None:
    """One of our own."""
    certificate, key = places(bench)
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key]
    command = ["openssl", "req", "-x509", *new, "-out", certificate, "-subj", "/CN=localhost"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"openssl: {(done.stderr.strip() or 'it said nothing').splitlines()[-1]}")
