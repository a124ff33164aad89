"""Who visits the demo's site: real clients that are installed here, the requests in requests.http, byte for byte, and
real clients that send the head of the Chrome in there.

Law: what a visitor was told is read from the reply it got, and nowhere else.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TIMEOUT = 20  # seconds for one visit
CHROME = "human, sure: Chrome on Windows"  # the block of requests.http whose head others send, too

URLLIB = "import urllib.request, sys; r = urllib.request.urlopen(sys.argv[1]); print(r.status); print(r.headers)"
REQUESTS = """import requests, sys; r = requests.get(sys.argv[1]); print(r.status_code)
print("\\n".join(f"{name}: {value}" for name, value in r.headers.items()))"""
# Arguments: the headers, who vouches for the site, the address. Of its own it sends Host alone, and first, as Chrome does.
DRESSED = """import json, requests, sys; s = requests.Session(); s.trust_env = False; s.headers.clear()
s.headers.update(json.loads(sys.argv[1])); r = s.get(sys.argv[3], verify=sys.argv[2]); print(r.status_code)
print("\\n".join(f"{name}: {value}" for name, value in r.headers.items()))"""
NODE = """fetch(process.argv[1]).then(r => { console.log(r.status);
for (const [name, value] of r.headers) console.log(name + ": " + value) })"""
# ffuf, a scanner of sites in Go, sends any head. It fills a word in for FUZZ, here the method, and keeps request and reply in a file.
FFUF = """echo GET | "$@" >/dev/null && sed '1,/ Response /d' kept/*"""
FFUF_OPTIONS = "-s -w - -X FUZZ -mc all -od kept"
PERL = 'use HTTP::Tiny; my $r = HTTP::Tiny->new->get($ARGV[0]); print "$r->{status}\\n"; '
PERL += 'print "$_: $r->{headers}{$_}\\n" for keys %{$r->{headers}}'


@dataclass(frozen=True)
class Visit:
    """One visit and what came of it."""

    client: str
    claims: str  # the User-Agent, or that it has none
    asked: str  # method and path
    expected: str  # bot or human
    sure: bool  # the demo fails if it is not called so
    secure: bool  # it came over https
    status: int
    verdict: str
    score: str
    reason: str

    @property
    def refused(self) -> bool:
        """nginx refused it: the site never saw it."""
        return self.status == 403

    @property
    def as_expected(self) -> bool:
        return self.verdict == self.expected


def real_clients(url: str) -> Iterator[Visit]:
    """Real clients, as they come, each at the front page; those that are not installed are left out."""
    curl, wget, node, perl = (shutil.which(name) for name in ("curl", "wget", "node", "perl"))
    if curl:
        yield _run("curl", [curl, "-sS", "-D", "-", "-o", "/dev/null"], url)
    if wget:
        yield _run("wget", [wget, "-q", "-S", "-O", "/dev/null"], url)
    yield _run("Python urllib", [sys.executable, "-c", URLLIB], url)
    if importlib.util.find_spec("requests"):
        yield _run("Python requests", [sys.executable, "-c", REQUESTS], url)
    if node and "function" in _output([node, "-p", "typeof fetch"]):
        yield _run("Node fetch", [node, "-e", NODE], url)
    if perl and not _output([perl, "-MHTTP::Tiny", "-e", ""]):  # a bare Debian has Perl without its modules
        yield _run("Perl HTTP::Tiny", [perl, "-e", PERL], url)
    if curl:
        yield _run("curl, members' door", [curl, "-sS", "-D", "-", "-o", "/dev/null"], url + "members/")


def as_chrome(plain: str, secure: str, authority: Path) -> Iterator[Visit]:
    """Clients in Chrome's full clothes: over http, where the head is all there is to see, and over https, where the handshake
    is their own. `authority` is the certificate of who vouches for the site. Go comes where ffuf is installed."""
    lines = dict(_blocks())[CHROME]
    head = dict(line.split(": ", 1) for line in lines[1:] if not line.startswith("Host: "))
    requests = [sys.executable, "-c", DRESSED, json.dumps(head), str(authority)]
    yield _run("requests as Chrome, http", requests, plain, sure=False)
    ffuf = shutil.which("ffuf")
    if ffuf:
        headers = [word for name, value in head.items() for word in ("-H", f"{name}: {value}")]
        yield _run("Go as Chrome, https", ["sh", "-c", FFUF, "sh", ffuf, *FFUF_OPTIONS.split(), *headers, "-u"], secure)
    yield _run("requests as Chrome, https", requests, secure)


def _output(command: list[str]) -> str:
    """What a command prints. It runs in a directory of its own, which is its home, too."""
    with tempfile.TemporaryDirectory(prefix="xbot-visitor-") as home:
        environment = {**os.environ, "HOME": home, "XDG_CONFIG_HOME": home}
        done = subprocess.run(
            command, cwd=home, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    return done.stdout + done.stderr


def _run(client: str, command: list[str], url: str, *, sure: bool = True) -> Visit:
    """Runs a client that prints status and headers of the reply it gets, in any order and on any stream."""
    output = _output([*command, url])
    status = re.search(r"^\s*(?:HTTP/\S+ )?(\d{3})\b", output, re.MULTILINE)
    headers = dict(re.findall(r"^\s*([\w-]+): (.*?)\s*$", output, re.MULTILINE))
    if not status:
        raise RuntimeError(f"{client} got no answer from {url}: {output.strip() or 'no output'}")
    asked = "GET /" + url.split("/", 3)[3]
    secure = url.startswith("https:")
    return _visit(client, asked, "bot", sure=sure, secure=secure, status=int(status[1]), headers=headers)


def sent_requests(port: int) -> Iterator[Visit]:
    """The requests of requests.http, each on a connection of its own."""
    for title, lines in _blocks():
        about, _, client = title.partition(": ")
        expected, _, sure = about.partition(", ")
        head = "\r\n".join(lines).format(site=f"127.0.0.1:{port}", lan=f"my-computer.local:{port}")
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
            connection.sendall(head.encode("ascii") + b"\r\n\r\n")
            reply = http.client.HTTPResponse(connection)
            reply.begin()
            reply.read()
        asked = lines[0].rpartition(" ")[0]
        told = dict(reply.getheaders())
        yield _visit(client, asked, expected, sure=bool(sure), secure=False, status=reply.status, headers=told)


def _blocks() -> list[tuple[str, list[str]]]:
    """The blocks of requests.http: a title, and the lines of a head."""
    blocks = (HERE / "requests.http").read_text(encoding="ascii").split("### ")[1:]
    return [(title, lines) for title, *lines in (block.strip().splitlines() for block in blocks)]


def _visit(
    client: str, asked: str, expected: str, *, sure: bool, secure: bool, status: int, headers: dict[str, str]
) -> Visit:
    """What the site says it was told; of a refusal, what nginx says that it was told."""
    found = {name.lower(): value for name, value in headers.items()}
    told = found.get("site-was-told", "").split()
    if len(told) != 3:
        told = [found.get(name, "-") for name in ("x-bot", "x-bot-score", "x-bot-reason")]
    return Visit(client, found.get("visitor-agent", ""), asked, expected, sure, secure, status, *told)
