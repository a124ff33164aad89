"""The whole path, by real browsers: nginx with the module, a sidecar, the table of clients, the default model, the mode enforce.

    make module && .venv/bin/python bench/whole.py [--browser chromium|firefox] [--life NAME] [--model MODEL]

Law: a browser in a window does what a person does (hours of it in seconds: the table's clock is skipped, life/pages.py), by an address of
its own, over https and HTTP/2, and what nginx logged is counted. Lives are those of bench/lives.py as a browser can live them, under
the same names (life/split.tsv). The status is 1 if one request of them is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support" / "servers"), str(ROOT / "tests" / "support")]

import lives  # noqa: E402
import moments  # noqa: E402
import nginx_harness  # noqa: E402
import quality  # noqa: E402
from life.by_browser import LIVES, Person  # noqa: E402
from life.gate import Gate  # noqa: E402
from life.pages import Clock, Site  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from sidecar_harness import Sidecar, wait_until  # noqa: E402
from traffic import browsers  # noqa: E402

LOG = """log_format lives escape=json '{"ip":"$remote_addr","method":"$request_method","uri":"$request_uri","status":$status,'
    '"xbot":"$xbot_verdict","score":"$xbot_score","reason":"$xbot_reason","protocol":"$server_protocol"}';
"""
PEOPLE = """server { listen 127.0.0.1:%d; access_log off; include xbot/observe.conf;
  location / { include xbot/pass.conf; proxy_pass http://unix:{prefix}/site.sock; } }
"""
SERVER = """access_log {prefix}/lives.jsonl lives; keepalive_requests 100000; http2_max_concurrent_streams 256;
include xbot/enforce.conf;
location = /elsewhere { auth_request off; access_log off; default_type text/html;
  return 200 "<!doctype html><link rel=icon href=data:,><title>elsewhere</title>"; }
location / { include xbot/pass.conf; proxy_set_header Host $http_host; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection $http_connection; proxy_pass http://unix:{prefix}/site.sock; }
"""
TOML = '[clients]\nsize = "16MiB"\n[policies.default]\nmode = "enforce"\n'


def prime(port: int, clock: Clock) -> None:
    """The people of a site that is used: some hundreds of pages with their parts."""
    for number, record in enumerate(lives.around(0)[:1500]):
        lines = [f"{record['method']} {record['uri']} HTTP/1.1", f"Host: {record['host']}"]
        lines += [
            f"{name}: {value}"
            for name, value in record["headers"]
            if name.lower() not in ("host", "content-length", "connection", "upgrade", "transfer-encoding")
        ]
        with socket.create_connection(("127.0.0.1", port), source_address=(address_of(record["ip"]), 0)) as connection:
            connection.sendall("\r\n".join([*lines, "Connection: close", "Content-Length: 0", "", ""]).encode())
            while connection.recv(1 << 16):
                pass
        if number % 5 == 0:
            clock.rest(10)


def address_of(ip: str) -> str:
    """Of this machine, as near to it as others are."""
    numbers = random.Random(ip)
    return f"127.{numbers.randint(100, 250)}.{numbers.randint(0, 255)}.{numbers.randint(1, 254)}"


@contextlib.asynccontextmanager
async def running(model: Path, here: Path) -> AsyncIterator[tuple[nginx_harness.Nginx, Site]]:
    """nginx, sidecar and site, with people on it."""
    clock = Clock(here / "clock")
    os.environ["XBOT_CLOCK"] = str(clock.path)
    (here / "xbot.toml").write_text(TOML)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (
        Sidecar(model, "--config", here / "xbot.toml", board=True, workers=1) as sidecar,
        nginx_harness.running_nginx(
            SERVER,
            socket=sidecar.address,
            board=sidecar.board,
            http=LOG + PEOPLE % port,
            secure=True,
            listen_options="http2",
        ) as nginx,
    ):
        site = Site(clock)
        runner = await site.start(nginx.prefix / "site.sock")
        ticking = asyncio.create_task(clock.run())
        await asyncio.to_thread(wait_until, lambda: "xbot-hosts" in maps(nginx), "the table in nginx")
        await asyncio.to_thread(prime, port, clock)
        try:
            yield nginx, site
        finally:
            ticking.cancel()
            await runner.cleanup()


def maps(nginx: nginx_harness.Nginx) -> str:
    workers = Path(f"/proc/{nginx.process.pid}/task/{nginx.process.pid}/children").read_text().split()
    return "".join(Path(f"/proc/{worker}/maps").read_text() for worker in workers)


async def live(name: str, browser: str, gate: Gate, site: Site, home: Path) -> bool:
    """One life in a browser that is new; whether it came to its end."""
    home.mkdir()
    os.environ["HOME"] = str(home)
    hands = browsers.BROWSERS[browser](home, "en-US,en", private=False)
    await hands.start()
    try:
        await asyncio.wait_for(LIVES[name](Person(hands, site, gate, random.Random(name))), 120)
    except (RuntimeError, TimeoutError, asyncio.TimeoutError) as error:
        click.echo(f"{browser} {name}: {type(error).__name__} {error}", err=True)
        return False
    finally:
        site.step, site.broken = 0.0, False
        await hands.stop()
        shutil.rmtree(home, ignore_errors=True)
    return True


async def all_lives(names: list[str], used: list[str], model: Path) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """What nginx logged of each browser and life."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="xbot-whole-", ignore_cleanup_errors=True) as place:
        async with running(model, Path(place)) as (nginx, site):
            authority = (nginx.prefix / nginx_harness.CERTIFICATE).read_text().rpartition("-----BEGIN")[2]
            (Path(place) / "authority.pem").write_text("-----BEGIN" + authority)
            browsers.AUTHORITY = str(Path(place) / "authority.pem")
            read = 0
            for turn, (name, browser) in enumerate((name, browser) for browser in used for name in names):
                gate = Gate(nginx.port)
                await gate.start()
                gate.address = f"127.{turn // 200 + 2}.{turn % 200 + 1}.7"
                well = await live(name, browser, gate, site, Path(place) / f"home-{turn}")
                gate.server.close()
                await asyncio.sleep(0.2)
                lines = (nginx.prefix / "lives.jsonl").read_text().splitlines()
                found[name, browser] = [*map(json.loads, lines[read:])]
                read = len(lines)
                bots = [said for said in found[name, browser] if said["status"] == 403]
                why = Counter(said["reason"] for said in bots).most_common(2)
                click.echo(
                    f"{browser} {name}: {len(found[name, browser])} requests, {len(bots)} refused {why}{'' if well else ', ended badly'}",
                    err=True,
                )
    return found


@click.command(help=__doc__)
@click.option(
    "--browser",
    "used",
    type=click.Choice(list(browsers.BROWSERS)),
    multiple=True,
    help="[default: all that are installed]",
)
@click.option("--life", "names", multiple=True, type=click.Choice(list(LIVES)), help="These alone; may be repeated.")
@click.option("--model", type=click.Path(path_type=Path), default=quality.DEFAULT, help="[default: the one shipped]")
def main(used: tuple[str, ...], names: tuple[str, ...], model: Path) -> None:
    if "DISPLAY" not in os.environ:  # a browser without a window says so
        os.execvp("xvfb-run", ["xvfb-run", "-a", sys.executable, *sys.argv])
    if why := nginx_harness.without_module():
        raise SystemExit(why)
    installed = [each for each in browsers.BROWSERS if moments.INSTALLED[each]()]
    found = asyncio.run(all_lives(list(names or LIVES), list(used or installed), model))
    table, sides = (
        Table("browser", "life", "side", "requests", "by 1", "by 10", "by 100", "refused", "worst score"),
        lives.split(),
    )
    for (name, browser), said in found.items():
        bots = [each["status"] == 403 for each in said]
        by = [str(sum(bots[:step])) for step in lives.STEPS]
        worst = max((float(each["score"] or 0) for each in said), default=0.0)
        table.add_row(browser, name, sides[name], str(len(said)), *by, str(sum(bots)), f"{worst:.3f}")
    Console(width=130).print(table)
    sys.exit(1 if any(each["status"] == 403 for said in found.values() for each in said) else 0)


if __name__ == "__main__":
    quality.run(main)
