"""A log sent through a real nginx gets what `xbot score` says of that log: the table of clients is the same code, live and offline.

Law: many addresses of 127/8, one request in flight, and the table's clock taken from the record (XBOT_CLOCK), so gaps keep their
length. What happened to a request counts from the next one on. The model has another weight for each feature: no difference hides.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import mmap
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nginx_harness
import pytest
from nginx_harness import Nginx, nginx_binary, running_nginx
from sidecar_harness import BROWSER, Sidecar, wait_until

from sidecar import core

pytestmark = pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")

START = 1_790_000_000_000  # milliseconds
HOST = "127.0.0.1"
# By the module nginx itself knows the margin; a sidecar tells it to its own log.
MARGINS = "log_format margins '$xbot $xbot_reason $xbot_margin';"
LOCATIONS = """
access_log {prefix}/log xbot_jsonl;
include xbot/outcome.conf;
include xbot/observe.conf;
root {prefix}/site;
location / { try_files $uri =404; }
location /moved/ { try_files /nowhere @moved; }
location @moved { try_files /p1.html =404; }
location /refused/ { try_files /nowhere =403; }
"""
Xbot = Callable[..., subprocess.CompletedProcess[bytes]]
Asked = tuple[int, str, str, list[tuple[str, str]]]  # milliseconds, address, target, headers


def browser(
    referrer: str | None = None, cookie: bool = False, part: bool = False, version: int = 126
) -> list[tuple[str, str]]:
    said = {**BROWSER, "Host": HOST}
    said = {name: value.replace("126", str(version)) for name, value in said.items()}
    if part:
        del said["Upgrade-Insecure-Requests"], said["Sec-Fetch-User"]
        said |= {
            "Accept": "*/*",
            "Sec-Fetch-Mode": "no-cors",
            "Sec-Fetch-Dest": "script",
            "Sec-Fetch-Site": "same-origin",
        }
    if referrer:
        said |= {"Referer": f"http://{HOST}{referrer}", "Sec-Fetch-Site": "same-origin"}
    if cookie:
        said["Cookie"] = "session=1"
    return list(said.items())


def people(rng: random.Random, address: str) -> Iterator[tuple[int, str, str, list[tuple[str, str]]]]:
    """Read some pages, with their parts; come back with a cookie."""
    now, page = rng.randrange(3_600_000), "/p1.html"
    version = rng.choice([125, 126, 126, 127])
    for n in range(rng.randrange(2, 6)):
        yield now, address, page, browser(page if n else None, cookie=n > 0, version=version)
        for part in ("/a.css", "/a.js", "/i.png", "/data"):
            now += rng.randrange(4, 200)
            yield now, address, part, browser(page, cookie=n > 0, part=True, version=version)
        now += int(1000 * 2 ** rng.uniform(1, 8))
        page = rng.choice(["/p1.html", "/p2.html", "/moved/1", "/missing.html", "/refused/2"])


def crawler(rng: random.Random, address: str) -> Iterator[tuple[int, str, str, list[tuple[str, str]]]]:
    """In a browser's clothes: pages and nothing else, at the pace of a clock."""
    now, pace = rng.randrange(3_600_000), rng.choice([300, 2000, 9000])
    for n in range(rng.randrange(8, 30)):
        target = rng.choice([f"/p{n % 4}.html", f"/q/{n}?x={n}", "/robots.txt", "/refused/1", "/a.js"])
        yield now, address, target, browser(version=120)
        now += pace + rng.randrange(pace // 8)


def fleet(rng: random.Random, address: str) -> Iterator[tuple[int, str, str, list[tuple[str, str]]]]:
    """One of many: a request, and gone."""
    yield rng.randrange(3_600_000), address, f"/p{rng.randrange(9)}.html", browser(version=119)


def visits() -> list[Asked]:
    """A few hundred requests of some dozens of addresses, by time."""
    rng = random.Random(13)
    kinds = [people] * 14 + [crawler] * 7 + [fleet] * 60
    asked: list[Asked] = []
    for n, kind in enumerate(kinds):
        asked += kind(rng, f"127.{n % 5}.{n}.{1 + n % 250}")
    return [(START + at, *rest) for at, *rest in sorted(asked, key=lambda each: each[0])]


class Clock:
    """The table's time, as the sidecar reads it."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._word = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")

    def set(self, milliseconds: int) -> None:
        self._word[0] = milliseconds


def outcomes(sidecar: Sidecar) -> Callable[[], int]:
    """How many outcomes are in the table, read where it lies."""
    for place in Path(f"/proc/{sidecar.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if "xbot-clients" in str(place.readlink()):
                table = mmap.mmap(os.open(place, os.O_RDWR), 0)
                return lambda: core.read_clients(table)["outcomes"]
    raise AssertionError("no table")


def send(nginx: Nginx, asked: list[Asked], clock: Clock, counted: Callable[[], int]) -> None:
    """One after the other, each when the outcome of the one before is counted. A client keeps its connection."""
    connections: dict[str, http.client.HTTPConnection] = {}
    for n, (at, address, target, headers) in enumerate(asked):
        clock.set(at)
        if address not in connections:
            connections[address] = http.client.HTTPConnection(HOST, nginx.port, 20, (address, 0))
        connection = connections[address]
        connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        connection.getresponse().read()
        wait_until(lambda n=n: counted() == n + 1, f"the outcome of request {n}")  # type: ignore[misc]
    for connection in connections.values():
        connection.close()


def records(lines: list[bytes], asked: list[Asked]) -> list[dict[str, Any]]:
    """The lines of nginx's decision log, at the time of the table's clock, with all headers in their order, as they were sent."""
    out = []
    for line, (at, address, target, headers) in zip(lines, asked, strict=True):
        record = json.loads(line)
        assert (record["ip"], record["uri"]) == (address, target)
        out.append({**record, "time": at / 1000, "headers": headers})
    return out


def first_answers(events: Iterator[dict[str, Any]], asked: list[Asked]) -> Iterator[dict[str, Any]]:
    """What each request was told; of one that leads to a second location, and is asked about twice, when it was counted."""
    for _, address, target, _ in asked:
        first = next(events)
        assert (first["ip"], first["uri"]) == (address, target)
        if target.startswith("/moved/"):
            second = next(events)
            assert (second["ip"], second["uri"]) == (address, target)
        yield first
    assert not [*events]


def by_sidecar(sidecar: Sidecar, asked: list[Asked]) -> list[dict[str, Any]]:
    """What the sidecar said of each request."""
    twice = sum(target.startswith("/moved/") for *_, target, _ in asked)
    sidecar.wait_for("request", len(asked) + twice)
    return [*first_answers(iter(sidecar.events("request")), asked)]


def by_module(nginx: Nginx, asked: list[Asked]) -> list[dict[str, Any]]:
    """What nginx said of each request."""
    lines = [line.decode().split(" ") for line in nginx.log_lines("margins", len(asked))]
    return [{"verdict": verdict, "reason": reason, "margin": float(margin)} for verdict, reason, margin in lines]


def test_a_log_through_nginx_gets_what_score_says(
    made_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xbot: Xbot, host: str
) -> None:
    copy = nginx_harness.copy_files

    def edited(to: Path, listen: str, board: Path | None = None) -> None:
        copy(to, listen, board)
        conf = to / "outcome.conf"
        conf.write_text(conf.read_text().replace("/run/xbot/outcome.sock", f"{tmp_path}/outcome.sock"))

    monkeypatch.setattr(nginx_harness, "copy_files", edited)
    monkeypatch.setenv("XBOT_CLOCK", str(tmp_path / "clock"))
    clock = Clock(tmp_path / "clock")
    toml = tmp_path / "xbot.toml"
    toml.write_text(f'[clients]\nsize = "64MiB"\noutcomes = "unix:{tmp_path}/outcome.sock"\n')
    inside = host == "module"
    arguments = ("--config", toml, "--log-level", "debug", *(() if inside else ("--board", "none")))
    http, log_margins = (MARGINS, "access_log {prefix}/margins margins;") if inside else ("", "")
    asked = visits()
    with (
        Sidecar(made_model_path, *arguments, workers=2, board=inside) as sidecar,
        running_nginx(log_margins + LOCATIONS, http=http, socket=sidecar.address, board=sidecar.board) as nginx,
    ):
        place = nginx.prefix / "site"
        place.mkdir()
        for n in range(9):
            (place / f"p{n}.html").write_text("<p>page</p>")
        for name in ("a.css", "a.js", "i.png", "data", "robots.txt"):
            (place / name).write_text("x")
        (nginx.prefix / "site").chmod(0o755)
        send(nginx, asked, clock, outcomes(sidecar))
        lines = nginx.log_lines("log", len(asked))
        live = by_module(nginx, asked) if inside else by_sidecar(sidecar, asked)
        assert len(sidecar.events("request")) == 0 or not inside
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(record) + "\n" for record in records(lines, asked)))
    said = xbot("score", "--model", made_model_path, "--format", "jsonl", "--json", log).stdout
    offline = [json.loads(line) for line in said.splitlines()]
    assert len(offline) == len(asked) == len(lines) > 300
    # Of the first line of a log nothing can be told, and the group is absent; a sidecar knows that it knows nothing yet.
    # Margins are sums over all features with a weight each of their own: equal margins are equal features.
    differences = [
        (n, each[1:3], one["margin"], other["margin"], one["reason"], other["reason"])
        for n, (each, one, other) in enumerate(zip(asked, live, offline, strict=True))
        if n
        and (
            abs(one["margin"] - other["margin"]) > 1e-9 or any(one[key] != other[key] for key in ("verdict", "reason"))
        )
    ]
    assert not differences, f"{len(differences)} of {len(asked)}: {differences[:5]}"
    stateless = xbot("score", "--stateless", "--model", made_model_path, "--format", "jsonl", "--json", log).stdout
    changed = sum(a["margin"] != json.loads(b)["margin"] for a, b in zip(offline, stateless.splitlines(), strict=True))
    assert changed > 100  # the table matters to these verdicts
