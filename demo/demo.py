"""make demo: trains a model, puts nginx and the sidecar before a small site, sends visitors, shows what each was told.

Law: everything shown came through nginx; nothing is made up or remembered. What is started here ends here, by its
process, whatever happens. Files stay in .demo/, for `xbot explain` and a second look.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / place) for place in ("support", "support/servers"))]

import msgspec  # noqa: E402
import nginx_harness  # noqa: E402
from demo_site import Site  # noqa: E402
from visitors import Visit, as_chrome, real_clients, sent_requests  # noqa: E402

from sidecar import core  # noqa: E402
from sidecar.errors import XbotError  # noqa: E402
from training.corpus import generate  # noqa: E402

XBOT = [sys.executable, "-m", "sidecar"]
SEED = 1
# Names, orders and referrers are words that anybody can choose. Addresses are random in the corpus, and here all are one.
WITHOUT = "--without ip --without hdr_order --without hdr_name --without ref_host"
console = Console(highlight=False)


@click.command(help=__doc__)
@click.option("--once", is_flag=True, help="Show the table and end: 1 if a verdict that must hold does not.")
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=ROOT / ".demo", help="Where to keep files.")
@click.option("--rows", type=click.IntRange(200), default=36_000, show_default=True, help="Requests to train on.")
def main(once: bool, folder: Path, rows: int) -> None:
    try:
        if not nginx_harness.nginx_binary():
            raise XbotError("nginx is missing; install it: apt-get install nginx-light")
        folder.mkdir(parents=True, exist_ok=True)
        with running(folder, train(folder, rows)) as (plain, secure):
            visits = send(plain, secure)
            show(visits)
            show_handshakes(visits, folder)
            if once:
                wrong = [visit for visit in visits if is_wrong(visit)]
                for visit in wrong:
                    console.print(
                        f"[red]wrong[/]: {escape(visit.client)} was called {visit.verdict}, got {visit.status}"
                    )
                sys.exit(1 if wrong else 0)
            look(plain, secure, folder)
            signal.pause()
    except KeyboardInterrupt:
        console.print("\nstopped")
    except (XbotError, RuntimeError, OSError) as error:
        click.echo(f"demo: {error}", err=True)
        sys.exit(2)


def train(folder: Path, rows: int) -> Path:
    """Makes the corpus and trains on it by the command that a user has. Returns the model."""
    corpus, model = folder / "corpus.jsonl", folder / "demo.xbot"
    console.rule("[bold]1. requests of people and of bots, from packages that install by name", align="left")
    columns = (TextColumn("making requests"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress, corpus.open("wb") as file:
        for row in progress.track(generate(SEED, rows), total=rows):
            file.write(msgspec.json.encode(row) + b"\n")
    console.rule("[bold]2. a linear SVM", align="left")
    # The handshake gets its weights last, as in the default model: what is judged without one is judged as before, and no
    # list of suites has to be known by heart.
    words = f"train --format jsonl --stateless --evidence bounded -C 0.1 --max-fpr 0.003 {WITHOUT} --last tls --seed {SEED} --out"
    command = [*words.split(), str(model), str(corpus)]
    console.print(f"[dim]xbot {' '.join(command)}[/]", soft_wrap=True)
    done = subprocess.run([*XBOT, *command], cwd=ROOT, check=False, stderr=subprocess.PIPE, text=True)
    # That the default model, which learned from more rows of the same packages, does better is no news here.
    sys.stderr.write("".join(said for said in done.stderr.splitlines(True) if not said.startswith("xbot: beware: ")))
    if done.returncode:
        raise RuntimeError("training failed")
    return model


@contextlib.contextmanager
def running(folder: Path, model: Path) -> Iterator[tuple[nginx_harness.Nginx, nginx_harness.Nginx]]:
    """The site, the sidecar and nginx, over http and over https, for the time of a `with` block."""
    config = (ROOT / "demo" / "nginx.conf").read_text()
    with contextlib.ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xbot-demo-"))) / "xbot.sock"
        site = stack.enter_context(Site(folder / "visits.jsonl"))
        stack.enter_context(sidecar(folder, model, path))
        server = config.replace("{site}", site.address)
        plain = stack.enter_context(nginx_harness.running_nginx(server, socket=path))
        yield plain, stack.enter_context(nginx_harness.running_nginx(server, socket=path, secure=True))


@contextlib.contextmanager
def sidecar(folder: Path, model: Path, path: Path) -> Iterator[None]:
    """`xbot serve` on the Unix socket `path`, in a session of its own, so that Ctrl-C reaches only us."""
    log = folder / "sidecar.log"
    command = [*XBOT, "serve", "--model", str(model), "--listen", f"unix:{path}", "--mode", "enforce", "--workers", "1"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    try:
        while not answers(path):
            if process.poll() is not None:
                raise RuntimeError(f"the sidecar did not start: {log.read_text().strip()}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its workers too
            process.wait()


def answers(path: Path) -> bool:
    """Whether a question on this socket gets an answer. The socket is there before the first worker is."""
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.settimeout(60)
        probe.connect(str(path))
        probe.sendall(b"GET / HTTP/1.1\r\nHost: xbot\r\n\r\n")
        return probe.recv(64).startswith(b"HTTP/1.1 ")
    return False


def send(plain: nginx_harness.Nginx, secure: nginx_harness.Nginx) -> list[Visit]:
    """Sends the visitors, and tells of each as it comes."""
    console.rule("[bold]3. nginx, the sidecar, a site, and its visitors", align="left")
    visits = []
    with console.status("visitors come") as status:
        dressed = as_chrome(plain.url + "/", secure.url + "/", secure.prefix / nginx_harness.CERTIFICATE)
        for visit in chain(real_clients(plain.url + "/"), sent_requests(plain.port), dressed):
            status.update(f"visitors come: {escape(visit.client)}")
            visits.append(visit)
    return visits


def show(visits: list[Visit]) -> None:
    """The table: who came, what it claims (where there is room), what the site was told."""
    wide = console if console.is_terminal else Console(width=140, highlight=False)
    table = Table(title="what the site was told, as its replies say", title_justify="left", box=box.SIMPLE_HEAD)
    columns = ["client", "X-Bot", "score", "status", "reason", "claims to be", "asks for"]
    for name in columns if wide.width >= 130 else columns[:5]:
        table.add_column(name, no_wrap=name != "reason", overflow="fold")  # the reason gives way
    for visit in visits:
        colour = {"human": "green", "bot": "red"}.get(visit.verdict, "yellow")
        cells = [
            escape(visit.client),
            f"[{colour}]{visit.verdict}[/]" + ("" if visit.as_expected else " [yellow]?[/]"),
            visit.score,
            f"[bold]{visit.status}[/]" if visit.refused else str(visit.status),
            escape(visit.reason),
            f"[dim]{escape(short(visit.claims))}[/]",
            escape(visit.asked.removeprefix("GET ")),
        ]
        table.add_row(*cells[: len(table.columns)])
    wide.print(table)
    bots, refused = sum(visit.verdict == "bot" for visit in visits), sum(visit.refused for visit in visits)
    console.print(f"{len(visits)} visits: {bots} by bots, {refused} of them refused (403)")
    if not all(visit.as_expected for visit in visits):
        console.print(
            "[yellow]?[/] is not what it should be called: the model is small, and one request is all it sees"
        )


def show_handshakes(visits: list[Visit], folder: Path) -> None:
    """What the handshake alone says of those who came over https, by `xbot explain` from what reached the site."""
    kept = [line for line in (folder / "visits.jsonl").read_bytes().splitlines() if b'"scheme": "https"' in line]
    command = [*XBOT, "explain", "--json", "--model", str(folder / "demo.xbot"), "--format", "jsonl", "-"]
    explained = subprocess.run(command, cwd=ROOT, input=b"\n".join(kept), capture_output=True, check=True).stdout
    meanings = {row.name: row.doc for row in core.FEATURES if row.group == "tls"}
    title = "Chrome's head over https: what the handshake of who sent it says most"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("client", "handshake", "what it says most"):
        table.add_column(name, no_wrap=name != "what it says most")
    for visit, line in zip((visit for visit in visits if visit.secure), explained.splitlines(), strict=True):
        told = json.loads(line)
        parts = {part["name"]: part["contribution"] for part in told["contributions"] if part["name"] in meanings}
        reason = max(parts, key=lambda name: parts[name])
        table.add_row(escape(visit.client), told["handshake"], f"{reason}: {meanings[reason]}")
    console.print(table)
    if not any(visit.client.startswith("Go as") for visit in visits):
        console.print("to see a client in Go do the same: apt-get install ffuf, then make demo again")


def is_wrong(visit: Visit) -> bool:
    """A verdict that must hold does not, or nginx did not do at the members' door what the verdict says."""
    at_the_door = visit.asked == "GET /members/"
    return (visit.sure and not visit.as_expected) or (at_the_door and visit.refused != (visit.verdict == "bot"))


def short(agent: str) -> str:
    """What an agent claims in a few words: its product, and its system."""
    products = re.findall(r"(?!Mozilla|AppleWebKit|Gecko|Version|Mobile)\b[A-Za-z][\w.-]*/[\d.]+", agent)
    telling = [product for product in products if not product.startswith(("Chrome/", "Safari/"))]
    said = next(iter(telling or products), agent) or "nothing"
    system = re.search(r"Android \d+|Windows NT [\d.]+|Macintosh|iPhone|Linux", agent)
    return f"{said} ({system[0]})" if system and said != agent else said


def look(plain: nginx_harness.Nginx, secure: nginx_harness.Nginx, folder: Path) -> None:
    """Where to look next."""
    files = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    explain = f"xbot explain --model {files}/demo.xbot --format jsonl -"
    for what, where in (
        ("look yourself", f"{plain.url}/  from a browser, then from curl"),
        ("with a handshake", f"{secure.url}/  from a browser, then from curl -k with its agent (-A)"),
        ("why, for the last visitor", f"tail -1 {files}/visits.jsonl | .venv/bin/{explain}"),
        ("the model", f".venv/bin/xbot inspect {files}/demo.xbot"),
        ("your own site", "README.md trains on your own log, docs/nginx.md puts it before your site"),
    ):
        console.print(f"[bold]{what + ':':27}[/]{escape(where)}", soft_wrap=True)
    console.print("\nCtrl-C stops all of it.")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` and `with` do their work
    main()
