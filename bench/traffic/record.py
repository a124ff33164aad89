"""Records sessions of real clients on the demo site: real programs and driven browsers through a real nginx over https.

    make traffic                     or, with its environment of clients (docs/traffic.md):
    build/clients/bin/python bench/traffic/record.py [--out DIR] [--only WORD] [--minutes N] [--at-once N]

Law: a client is a command of its own with a port of its own, so that the log knows it and it sends nothing more than it would to
any site. Its time is the real one plus the rests that it said (rests.py). Each client becomes one file of jsonl in DIR/sessions,
times from 0, the site's name as `shop.example`; what was recorded before is kept, unless its command has changed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import people
import site_pages
from rests import about

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from pages import authority  # noqa: E402

HOST, ELSEWHERE = "shop.example", "www.google.com"
PATIENCE = 150.0  # seconds for one client


@dataclass(frozen=True)
class Client:
    """One client: its name, its family (split.tsv), a command for the shell, and the rest before each of its requests that
    its command cannot say: median and deviation of the logarithm, or None."""

    name: str
    family: str
    command: str
    gap: tuple[float, float] | None = None


def families() -> dict[str, tuple[str, str, str]]:
    """By name: program or person, kind, side."""
    lines = [line.split("\t") for line in (HERE / "split.tsv").read_text().splitlines() if not line.startswith("#")]
    return {name: (who, kind, side) for name, who, kind, side in lines}


def programs() -> list[Client]:
    """The rows of programs.tsv, one client for each of their variants, ways and seeds."""
    found = []
    for line in (HERE / "programs.tsv").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        family, variants, ways, gap, command = line.split("\t")
        rest = None if gap == "-" else tuple(float(number) for number in gap.split("/"))
        for variant in variants.split(","):
            for number, way in enumerate(ways.split(",")):
                asked = command.replace("{variant}", variant).replace("{way}", way).replace("{seed}", str(number))
                found.append(Client(f"{family} {variant} {way}".replace(" -", ""), family, asked, rest))  # type: ignore[arg-type]
    return found


def clients(sessions: int) -> list[Client]:
    """All that there are to record: programs, and `sessions` of people."""
    drawn = [
        Client(f"{script} {browser} {number}", script, f"{{python}} {{here}}/people.py {script} {browser} {number}")
        for script, browser, number in people.cast(sessions)
    ]
    return programs() + drawn


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody has."""
    for first in range(21000, 60000, 977):
        with suppress(OSError):
            held = []
            try:
                for port in range(first, first + count):
                    held.append(socket.socket())
                    held[-1].bind(("127.0.0.1", port))
                return first
            finally:
                for one in held:
                    one.close()
    raise click.ClickException("no ports are free")


async def run(client: Client, port: int, elsewhere: int, here: Path) -> bool:
    """Runs it to its end; whether it ended by itself and well. All that it started ends with it."""
    home = here / "homes" / str(port)
    home.mkdir(parents=True)
    words = {
        "python": sys.executable,
        "here": HERE,
        "url": f"https://localhost:{port}",
        "ca": here / "ca.crt",
        "home": home,
    }
    command = client.command
    for word, value in words.items():
        command = command.replace(f"{{{word}}}", str(value))
    paths = {name: str(home) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "TMPDIR")}
    trust = dict.fromkeys(
        ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"), str(here / "ca.crt")
    )
    environment = {
        "TRAFFIC_NODE": sys.prefix, **os.environ, **paths, **trust, "TRAFFIC_URL": f"https://localhost:{port}", "TRAFFIC_ELSEWHERE": f"https://127.0.0.1:{elsewhere}",
        "TRAFFIC_RESTS": str(here / "rests" / str(port)), "TRAFFIC_CA": str(here / "ca.crt"), "TRAFFIC_PORT": str(port),
    }  # fmt: skip
    with (here / "output" / str(port)).open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            command,
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            return await asyncio.wait_for(process.wait(), PATIENCE) == 0
        except asyncio.TimeoutError:
            return False
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            shutil.rmtree(home, ignore_errors=True)


class Log:
    """A log of JSON lines that is still written, read on from where it was read to. What belongs together is kept by `key`."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key, self.read = path, key, 0
        self.found: dict[Any, list[dict[str, Any]]] = defaultdict(list)

    def of(self, value: Any) -> list[dict[str, Any]]:
        """Its lines with this value so far."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self.read)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self.read += len(whole)
            for line in whole.splitlines():
                said = json.loads(line)
                self.found[said[self.key]].append(said)
        return self.found.get(value, [])


def skipped(path: Path) -> list[tuple[float, float]]:
    """What a client said of its rests: moments and seconds."""
    if not path.exists():
        return []
    return [(float(at), float(seconds)) for at, seconds in (line.split() for line in path.read_text().splitlines())]


def told(headers: list[list[str]], port: int, elsewhere: int) -> list[list[str]]:
    """Headers with the names that the site and the other one would have."""
    names = {f"localhost:{port}": HOST, f"127.0.0.1:{elsewhere}": ELSEWHERE}
    out = []
    for name, value in headers:
        for old, new in names.items():
            value = value.replace(old, new)
        out.append([name, value])
    return out


def session(client: Client, asked: list[dict[str, Any]], port: int, elsewhere: int, here: Path) -> list[dict[str, Any]]:
    """A client's records in the order of their arrival, times from 0."""
    who, kind, side = families()[client.family]
    rests, rng = skipped(here / "rests" / str(port)), random.Random(client.name)
    own = 0.0
    out: list[dict[str, Any]] = []
    for one in sorted(asked, key=lambda one: one["arrived"]):
        if client.gap and out:
            own += about(rng, *client.gap)
        at = one["arrived"] + own + sum(seconds for moment, seconds in rests if moment <= one["arrived"])
        out.append({
            "label": "human" if who == "person" else "bot", "session": client.name, "family": client.family, "kind": kind, "side": side,
            "time": at, "method": one["method"], "uri": one["uri"], "protocol": one["protocol"], "scheme": "https", "host": HOST,
            "status": one["status"], "bytes": one["bytes"], "type": one["type"], "connection": one["connection"],
            "connection_requests": one["connection_requests"], "tls": one["tls"], "headers": told(one["headers"], port, elsewhere),
        })  # fmt: skip
    first = min((record["time"] for record in out), default=0.0)
    for record in out:
        record["time"] = round(record["time"] - first, 3)
    return sorted(out, key=lambda record: float(record["time"]))


def name_of(client: Client) -> str:
    return re.sub(r"[^\w.-]+", "-", client.name) + ".jsonl"


async def record(todo: list[Client], here: Path, out: Path, at_once: int, deadline: float) -> None:
    """Runs all, and writes each one's session as it ends."""
    first = free_ports(len(todo) + 1)
    elsewhere = first + len(todo)
    authority.issue(here)
    for folder in ("homes", "rests", "output"):
        (here / folder).mkdir()
    ports = f"{first}-{first + len(todo) - 1}" if len(todo) > 1 else str(first)
    user = "user root;" if os.geteuid() == 0 else ""
    conf = (HERE / "recorder.conf").read_text().format(here=here, ports=ports, elsewhere=elsewhere, user=user)
    (here / "nginx.conf").write_text("\n".join(line for line in conf.splitlines() if not line.startswith("#")))
    with (here / "site.jsonl").open("w", buffering=1) as log:
        runner = await site_pages.serve(here / "site.sock", log)
        nginx = await asyncio.create_subprocess_exec("nginx", "-p", str(here), "-c", str(here / "nginx.conf"))
        try:
            await asyncio.sleep(1)
            if nginx.returncode is not None:
                raise click.ClickException(f"nginx did not start: {(here / 'error.log').read_text().strip()}")
            gate = asyncio.Semaphore(at_once)
            asked, heads = Log(here / "nginx.jsonl", "port"), Log(here / "site.jsonl", "id")

            async def one(client: Client, port: int) -> None:
                async with gate:
                    if time.time() > deadline:
                        return
                    well = await run(client, port, elsewhere, here)
                await asyncio.sleep(0.3)
                found = [{**line, **head} for line in asked.of(port) for head in heads.of(line["id"])]
                records = session(client, found, port, elsewhere, here)
                click.echo(f"{client.name}: {len(records)} requests{'' if well else ', ended badly'}", err=True)
                if records and well:
                    (out / "sessions" / name_of(client)).write_text(
                        "".join(json.dumps(each) + "\n" for each in records)
                    )
                else:
                    shutil.copy(here / "output" / str(port), (out / "failed" / name_of(client)).with_suffix(".txt"))

            await asyncio.gather(*(one(client, first + number) for number, client in enumerate(todo)))
        finally:
            nginx.terminate()
            await nginx.wait()
            await runner.cleanup()


@click.command(help=__doc__)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=HERE.parent.parent / "build" / "traffic",
    help="[default: build/traffic]",
)
@click.option("--only", multiple=True, metavar="WORD", help="Clients whose name has this word; may be repeated.")
@click.option("--people", "sessions", default=120, show_default=True, help="Sessions of people to drive.")
@click.option("--at-once", default=3, show_default=True, help="Clients at a time.")
@click.option("--minutes", default=30.0, show_default=True, help="No client starts later than this.")
@click.option("--again", is_flag=True, help="Also those that are recorded already.")
def main(out: Path, only: tuple[str, ...], sessions: int, at_once: int, minutes: float, again: bool) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):  # either ends what was started
        signal.signal(number, signal.default_int_handler)
    (out / "sessions").mkdir(parents=True, exist_ok=True)
    (out / "failed").mkdir(exist_ok=True)
    todo = [client for client in clients(sessions) if not only or any(word in client.name for word in only)]
    if not again:
        todo = [client for client in todo if not (out / "sessions" / name_of(client)).exists()]
    if not todo:
        click.echo("all is recorded", err=True)
        return
    here = out / f"run-{os.getpid()}"
    here.mkdir()
    try:
        asyncio.run(record(todo, here, out, at_once, time.time() + 60 * minutes))
    finally:
        shutil.rmtree(here, ignore_errors=True)


if __name__ == "__main__":
    main()
