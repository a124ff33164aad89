"""The command `xbot bench`: what the question adds to the requests of your own nginx.

Law: load goes to this machine, and little of it: a constant, low rate, bounded in count and time. A latency is counted from
the moment at which the request was due, so who waited for an earlier one is not left out. The client is Python's own and
takes part of what it measures; so does it in each row, and it is the difference of two rows that counts. What a machine
carries at most a Python client cannot tell: h2load does, where it is installed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.table import Table

from sidecar.config import addresses
from sidecar.errors import XbotError

MOST_RATE, MOST_SECONDS, MOST_CONNECTIONS = 2000, 60, 64
PERCENTILES = (50, 90, 99)
TIMEOUT = 5.0  # seconds
# What a browser sends; the sidecar is asked about it as nginx asks (nginx/locations.conf).
HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br",
    "Upgrade-Insecure-Requests": "1",
}
QUESTION = {
    "X-Real-IP": "127.0.0.1",
    "X-Original-URI": "/",
    "X-Original-Method": "GET",
    "X-Original-Protocol": "HTTP/1.1",
    "X-Original-Scheme": "http",
    "X-Original-Host": "localhost",
}


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("xbot", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True)
class Target:
    """Where requests go. `unix` is a socket's path or None."""

    name: str
    said: str  # as the user gave it
    host: str
    port: int
    path: str
    tls: bool
    unix: str | None
    headers: dict[str, str]

    def connection(self) -> http.client.HTTPConnection:
        if self.unix is not None:
            return _UnixConnection(self.unix)
        if not self.tls:
            return http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        context = ssl.create_default_context()
        context.check_hostname = False  # this machine under another name
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(self.host, self.port, timeout=TIMEOUT, context=context)


@dataclass
class Found:
    """The results of a target's requests: latencies in seconds of those that were answered."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)


def merged(*parts: dict[str, str]) -> dict[str, str]:
    """Headers of all parts; a later one replaces an earlier one of the same name in any case."""
    found: dict[str, tuple[str, str]] = {}
    for name, value in (pair for part in parts for pair in part.items()):
        found[name.lower()] = (name, value)
    return dict(found.values())


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least this many percent do not exceed; NaN for no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.nan


def is_own(host: str) -> bool:
    """Whether every address of a host belongs to this machine: only then a socket can be bound to it."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError as error:
        raise XbotError(f"bench: {host}: {error.strerror or error}") from None
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            try:
                probe.bind(address)
            except OSError:
                return False
    return True


def site(name: str, url: str, headers: dict[str, str]) -> Target:
    """The target of `--guarded URL`; XbotError if it is no URL of a web site."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise XbotError(f"bench: --{name} {url!r}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise XbotError(f"bench: --{name} {url!r}: not http://HOST[:PORT]/PATH")
    tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(name, url, parts.hostname, port or (443 if tls else 80), path, tls, None, merged(HEADERS, headers))


def sidecar(text: str, headers: dict[str, str]) -> Target:
    """The target of `--socket`: the sidecar, asked as nginx asks."""
    address = addresses.parse(text)
    asked = merged(QUESTION, HEADERS, headers)
    if isinstance(address, addresses.UnixAddress):
        return Target("socket", text, "", 0, "/", False, str(address.path), asked)
    return Target("socket", text, address.host, address.port, "/", False, None, asked)


def reach(target: Target) -> None:
    """XbotError if nobody answers there, or if a page is none: an error costs a site less than a page does. The guarded one may
    be refused (403), for that is what the question is for."""
    connection = target.connection()
    try:
        connection.request("GET", target.path, headers=target.headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise XbotError(f"bench: {target.said}: {getattr(error, 'strerror', None) or error or 'no answer'}") from None
    finally:
        connection.close()
    if target.name != "socket" and answer.status >= 400 and (target.name, answer.status) != ("guarded", 403):
        raise XbotError(
            f"bench: --{target.name} {target.said}: {answer.status} {answer.reason}: name a page that is there"
        )


def _send(target: Target, due: Sequence[float], found: Found, lock: threading.Lock) -> None:
    """One connection: a request at each of the moments, or as soon after it as the answer before it allows."""
    mine = Found()
    connection = target.connection()
    for moment in due:
        if (wait := moment - time.perf_counter()) > 0:
            time.sleep(wait)
        try:
            connection.request("GET", target.path, headers=target.headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            mine.errors[type(error).__name__] += 1
            connection.close()
            continue
        mine.latencies.append(time.perf_counter() - moment)
        mine.statuses[str(answer.status)] += 1
        mine.verdicts[answer.getheader("X-Bot", "")] += 1
    connection.close()
    with lock:
        found.latencies += mine.latencies
        found.statuses += mine.statuses
        found.verdicts += mine.verdicts
        found.errors += mine.errors


def at_constant_rate(target: Target, rate: float, seconds: float, connections: int, found: Found) -> None:
    """Adds `rate` requests a second for `seconds` to `found`; the connections take turns."""
    start, count, lock = time.perf_counter() + 0.05, round(rate * seconds), threading.Lock()
    threads = [
        threading.Thread(
            target=_send,
            args=(target, [start + i / rate for i in range(first, count, connections)], found, lock),
            daemon=True,
        )
        for first in range(min(connections, count))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def highest_rate(target: Target, seconds: float, connections: int) -> float | None:
    """Requests a second that h2load gets answered in a closed loop; None without h2load, or if it fails."""
    h2load = shutil.which("h2load")
    if h2load is None:
        return None
    command = [h2load, "--h1", f"-c{connections}", f"--duration={max(1, round(1000 * seconds))}ms"]
    for name, value in target.headers.items():
        command += ["-H", f"{':authority' if name.lower() == 'host' else name}: {value}"]
    if target.unix is not None:
        command += [f"--base-uri=unix:{target.unix}"]
        url = "http://xbot/"
    else:
        host = f"[{target.host}]" if ":" in target.host else target.host
        url = f"{'https' if target.tls else 'http'}://{host}:{target.port}{target.path}"
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run([*command, url], capture_output=True, text=True, timeout=seconds + 30)
        if said := re.search(r"([\d.]+) req/s", done.stdout):
            return float(said[1])
    return None


def as_json(targets: Sequence[Target], found: dict[str, Found], rates: dict[str, float | None]) -> dict[str, Any]:
    """Milliseconds and requests a second of each target, and what the question adds."""
    result: dict[str, Any] = {
        target.name: {
            "to": target.said,
            "answered": len(found[target.name].latencies),
            "failed": dict(found[target.name].errors),
            "statuses": dict(found[target.name].statuses),
            "verdicts": {verdict: n for verdict, n in found[target.name].verdicts.items() if verdict},
            "ms": {f"p{p}": 1000 * percentile(found[target.name].latencies, p) for p in PERCENTILES},
            "requests_per_second": rates.get(target.name),
        }
        for target in targets
    }
    if "guarded" in result and "unguarded" in result:
        guarded, unguarded = result["guarded"]["ms"], result["unguarded"]["ms"]
        result["added_ms"] = {name: guarded[name] - unguarded[name] for name in guarded}
    return result


def print_table(result: dict[str, Any], told: str) -> None:
    table = Table(title=told, title_justify="left")
    names = [f"p{p}, ms" for p in PERCENTILES]
    for column in ("what", "answers", *names, "at most, requests/s"):
        table.add_column(column, justify="left" if column in ("what", "answers") else "right")
    for name in ("unguarded", "guarded", "socket"):
        if name not in result:
            continue
        one = result[name]
        counts = {**one["statuses"], **one["verdicts"], **one["failed"]}
        answers = ", ".join(f"{n} × {what}" for what, n in counts.items())
        rate = one["requests_per_second"]
        table.add_row(name, answers, *(f"{ms:.3f}" for ms in one["ms"].values()), f"{rate:,.0f}" if rate else "–")
    if "added_ms" in result:
        table.add_row("the question adds", "", *(f"{ms:+.3f}" for ms in result["added_ms"].values()), "")
    Console(width=None if sys.stdout.isatty() else 120).print(table)


@click.command(short_help="Measure what asking costs your own nginx.")
@click.option("--guarded", metavar="URL", help="A page of your site that nginx guards with xbot.")
@click.option("--unguarded", metavar="URL", help="A similar page without the guard: `auth_request off;`.")
@click.option("--socket", "asked", metavar="unix:PATH|HOST:PORT", help="The sidecar itself, without nginx.")
@click.option("--rate", type=click.FloatRange(1, MOST_RATE), default=200, show_default=True, help="Requests a second.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, MOST_SECONDS),
    default=5,
    show_default=True,
    help="Seconds for each target and round.",
)
@click.option(
    "--rounds", type=click.IntRange(1, 20), default=5, show_default=True, help="Rounds; the targets are asked in turns."
)
@click.option("--connections", type=click.IntRange(1, MOST_CONNECTIONS), default=8, show_default=True)
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="NAME:VALUE",
    help="Send this header, too; replaces one of the same name.",
)
@click.option(
    "--most/--no-most",
    default=True,
    show_default=True,
    help="At the end, a second of full load, if h2load is installed.",
)
@click.option("--remote", is_flag=True, help="Allow a host that is not this machine; it must be yours.")
@click.option("--json", "json_", is_flag=True, help="Print one JSON object.")
def bench(
    guarded: str | None,
    unguarded: str | None,
    asked: str | None,
    rate: float,
    seconds: float,
    rounds: int,
    connections: int,
    headers: tuple[str, ...],
    most: bool,
    remote: bool,
    json_: bool,
) -> None:
    """Measure what the question adds to the requests of your own nginx.

    The client is Python's: read the differences. Only addresses of this machine are asked.

    \b
    xbot bench --guarded http://127.0.0.1/ \\
        --unguarded http://127.0.0.1/plain/ -H 'Host: site.example'
    xbot bench --socket unix:/run/xbot/xbot.sock
    """
    pairs = [header.partition(":") for header in headers]
    if wrong := next((name for name, colon, _ in pairs if not colon or not name.strip()), None):
        raise XbotError(f"bench: --header {wrong!r}: not NAME:VALUE")
    given = {name.strip(): value.strip() for name, _, value in pairs}
    targets = [site(name, url, given) for name, url in (("unguarded", unguarded), ("guarded", guarded)) if url]
    targets += [sidecar(asked, given)] if asked else []
    if not targets:
        raise XbotError("bench: give --guarded URL, --unguarded URL or --socket ADDRESS")
    for target in targets:
        if target.unix is None and not remote and not is_own(target.host):
            raise XbotError(f"bench: {target.said}: not an address of this machine; add --remote if the host is yours")
        reach(target)
    found = {target.name: Found() for target in targets}
    for i in range(rounds):
        for target in targets[:: -1 if i % 2 else 1]:
            at_constant_rate(target, rate, seconds / rounds, connections, found[target.name])
    rates = {target.name: highest_rate(target, 1.0, connections) for target in targets} if most else {}
    result = as_json(targets, found, rates)
    if json_:
        click.echo(json.dumps(result))
        return
    print_table(
        result, f"{rate:g} requests a second for {seconds:g} s each, in {rounds} turns, on {connections} connections"
    )
    if most and not shutil.which("h2load"):
        click.echo("To measure the highest rate, install h2load (apt-get install nghttp2-client).", err=True)
