"""The rows of the table: nginx with each of the services that it may ask, before the same site.

Law: a row differs from the others in the service alone. One class a row: `start` brings its service up and
says how nginx asks it; everything else (front, site, load, check, figures) is shared. A new row is a new
class in ROWS.
"""

from __future__ import annotations

import getpass
import http.client
import importlib.util
import os
import shutil
import socket
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypedDict
from urllib.parse import urlencode

import heads
from heads import Head
from load import wrk
from processes import ONE_THREAD, BenchError, Processes, answers, cpu_ns, free_port, memory, pin, program, tree

HERE = Path(__file__).parent
PROJECT = HERE.parent
SOCKET_OF_UPSTREAM = "/run/xbot/xbot.sock"  # in nginx/upstream.conf
HACKATHON_PROCESSES = 16

INSTALL = {
    "nginx": "apt-get install nginx",
    "wrk": "apt-get install wrk",
    "sklearn": "pip install '.[train]'",
    "tornado": "pip install --group bench",
    "woothee": "pip install --group bench",
    "xbot": "make build",
}


class NotJudgingError(BenchError):
    """A row that does not answer the witnesses as it must: its figures would be of something easier."""


def missing(needs: tuple[str, ...]) -> list[str]:
    """The names among `needs` that are neither a program (on PATH or beside this Python) nor a package."""
    return [name for name in needs if not (program(name) or importlib.util.find_spec(name))]


@dataclass
class Bench:
    """What the rows of one run share; both models were fitted on the same log."""

    directory: Path
    processes: Processes
    gate_cores: frozenset[int]  # the nginx that is measured and the service it asks
    outer_cores: frozenset[int]  # wrk and the site
    xbot_model: Path
    hackathon_model: Path
    site_port: int = 0

    def nginx(self, name: str, cores: frozenset[int], ready: Path | int, conf: str, **values: str | Path | int) -> int:
        """Starts an nginx whose http { } is bench/nginx/CONF with @NAME@ replaced; returns its pid."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""  # else root's workers cannot reach the sockets
        text = fill("base.conf", HTTP=fill(conf, DIR=directory, **values), DIR=directory, USER=user)
        config = directory / "nginx.conf"
        config.write_text(text)
        address = ready if isinstance(ready, Path) else ("127.0.0.1", ready)
        return self.processes.start(
            [program("nginx"), "-c", config], cores=cores, log=directory / "output", ready=answers(address)
        )

    def unjudged(self) -> int:
        """Requests so far that reached the site as `unknown`: fail-open let them by."""
        return (self.directory / "site/unjudged").stat().st_size // len("unknown\n")

    def start_site(self) -> None:
        (self.directory / "site").mkdir()
        (self.directory / "site/index.html").write_text("<!doctype html><title>Site</title>" + "<p>Hello.</p>" * 70)
        self.site_port = free_port()
        self.nginx("site", self.outer_cores, self.site_port, "site.conf", PORT=self.site_port)


def fill(template: str, **values: str | Path | int) -> str:
    text = (HERE / "nginx" / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


@dataclass
class Gate:
    """A service that runs, and how nginx asks it (for nginx/front.conf)."""

    pids: list[int] = field(default_factory=list)
    http: str = ""
    server: str = ""
    passing: str = ""
    admin: Path | None = None


class Row(ABC):
    name: str
    title: str
    needs: tuple[str, ...] = ("nginx", "wrk")
    expects: ClassVar[dict[str, str | None]]  # what the site must be told of the witnesses; None: nothing

    @abstractmethod
    def start(self, bench: Bench) -> Gate: ...


class Unguarded(Row):
    name, title = "unguarded", "nginx alone"
    expects: ClassVar = {"browser": None, "bot": None}

    def start(self, bench: Bench) -> Gate:  # noqa: ARG002 - it has nothing to start
        return Gate()


def project_gate(bench: Bench, name: str, service: Path) -> Gate:
    """The project's own nginx/ files, as a user includes them, with the socket `service` in upstream.conf."""
    files = bench.directory / name / "xbot"
    shutil.copytree(PROJECT / "nginx", files)
    upstream = (files / "upstream.conf").read_text()
    if SOCKET_OF_UPSTREAM not in upstream:
        raise BenchError(f"{PROJECT / 'nginx/upstream.conf'}: {SOCKET_OF_UPSTREAM} is not in it")
    (files / "upstream.conf").write_text(upstream.replace(SOCKET_OF_UPSTREAM, str(service)))
    return Gate(http="include xbot/http.conf;", server="include xbot/observe.conf;", passing="include xbot/pass.conf;")


class Static(Row):
    name, title = "static", "nginx + static 204 of a second nginx"
    expects: ClassVar = {"browser": "human", "bot": "human"}

    def start(self, bench: Bench) -> Gate:
        service = bench.directory / f"{self.name}.sock"
        gate = project_gate(bench, self.name, service)
        gate.pids = [bench.nginx(f"{self.name}_auth", bench.gate_cores, service, "static.conf", SOCKET=service)]
        return gate


class Xbot(Row):
    name, title = "xbot", "nginx + xbot"
    needs = (*Row.needs, "xbot")
    expects: ClassVar = {"browser": "human", "bot": "bot"}

    def start(self, bench: Bench) -> Gate:
        service, admin = bench.directory / f"{self.name}.sock", bench.directory / f"{self.name}_admin.sock"
        gate = project_gate(bench, self.name, service)
        command = [program("xbot"), "serve", "--model", bench.xbot_model, "--workers", "1"]
        command += ["--listen", f"unix:{service}", "--admin", f"unix:{admin}"]
        log = bench.directory / f"{self.name}.log"
        gate.pids = [bench.processes.start(command, cores=bench.gate_cores, log=log, ready=answers(service))]
        gate.admin = admin
        return gate


class Hackathon(Row):
    name, title = "hackathon", "nginx + 16 Tornado processes with a pickled SVC"
    needs = (*Row.needs, "tornado", "sklearn", "woothee")
    expects: ClassVar = {"browser": "human", "bot": "bot"}

    def start(self, bench: Bench) -> Gate:
        gate, addresses = Gate(), []
        for i in range(HACKATHON_PROCESSES):
            with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
                listening.setblocking(False)
                addresses.append(listening.getsockname())
                command: list[str | Path | None] = [
                    sys.executable,
                    HERE / "hackathon/serve.py",
                    bench.hackathon_model,
                    str(listening.fileno()),
                ]
                gate.pids.append(
                    bench.processes.start(
                        command,
                        cores=frozenset(os.sched_getaffinity(0)),  # to load in; pinned below
                        log=bench.directory / f"{self.name}_{i}.log",
                        ready=lambda: True,  # the socket listens already; the check below waits for an answer
                        environment=ONE_THREAD,
                        pass_fds=(listening.fileno(),),
                    )
                )
        servers = "\n    ".join(f"server {host}:{port} max_fails=0;" for host, port in addresses)
        gate.http = fill("hackathon_http.conf", SERVERS=servers)
        gate.server = fill("hackathon_server.conf")
        gate.passing = "proxy_set_header X-Bot $hackathon;"
        for address in addresses:  # every process has its model, and refuses and allows as the challenge asks
            for kind, status in (("bot", 403), ("browser", 204)):
                query = urlencode(dict(zip(("ip", "user_agent", "referer"), heads.WITNESSES[kind], strict=True)))
                said, _ = ask(address, f"GET /?{query} HTTP/1.1\r\nHost: hackathon\r\n\r\n".encode())
                if said != status:
                    raise NotJudgingError(f"hackathon: a process answered {said}, not {status}, to /?{query}")
        for pid in gate.pids:
            pin(pid, bench.gate_cores)
        return gate


ROWS: tuple[type[Row], ...] = (Unguarded, Static, Xbot, Hackathon)


def ask(address: tuple[str, int], request: bytes, timeout: float = 60.0) -> tuple[int, str | None]:
    """Sends one request; returns the status and the X-Bot that the site was told."""
    with socket.create_connection(address, timeout) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()
        return answer.status, answer.getheader("X-Bot-Seen")


class Round(TypedDict):
    """Figures of one row in one round."""

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    failed: int  # an error, a status of 400 or more, or let by without a verdict
    nginx_us: float  # CPU microseconds a request: the nginx that is measured
    service_us: float  # the service, all of its processes
    busy: float  # share of the gate's cores that both took; well below 1, something else was the limit


class Running:
    """A row that is up: front, service and site."""

    def __init__(self, row: Row, bench: Bench) -> None:
        self.row, self.bench = row, bench
        (bench.directory / row.name).mkdir()
        self.gate = row.start(bench)
        self.port = free_port()
        self.front = bench.nginx(
            row.name,
            bench.gate_cores,
            self.port,
            "front.conf",
            PORT=self.port,
            SITE=bench.site_port,
            GATE_HTTP=self.gate.http,
            GATE_SERVER=self.gate.server,
            GATE_PASS=self.gate.passing,
        )

    def verdict(self, head: Head) -> str | None:
        """What the site is told of this head; anything but a 200 is an error."""
        status, seen = ask(("127.0.0.1", self.port), head.bytes)
        if status != 200:
            raise NotJudgingError(f"{self.row.name}: a {head.kind}'s request got {status}")
        return seen

    def check(self) -> dict[str, int]:
        """Asks about the witnesses, then about each head of the load, which also warms the row up.

        Returns how often the site was told what, `{"bot told bot": 40, ...}`. NotJudgingError where a witness
        does not get its due."""
        for kind, expected in self.row.expects.items():
            said = self.verdict(heads.witness(kind))
            if said != expected:
                raise NotJudgingError(f"{self.row.name}: the site was told {said} of the {kind}, not {expected}")
        told: dict[str, int] = {}
        for head in heads.pool():
            key = f"{head.kind} told {self.verdict(head) or 'nothing'}"
            told[key] = told.get(key, 0) + 1
        return dict(sorted(told.items()))

    def measure(self, heads_file: Path, seconds: float) -> Round:
        before = cpu_ns([self.front]), cpu_ns(self.gate.pids)
        unjudged = self.bench.unjudged()
        load = wrk(self.port, heads_file, seconds, self.bench.outer_cores)
        nginx, service = cpu_ns([self.front]) - before[0], cpu_ns(self.gate.pids) - before[1]
        requests = load["requests"]
        if not requests:
            raise BenchError(f"{self.row.name}: not one request was answered in {seconds} s")
        return Round(
            requests=requests,
            requests_per_second=requests / load["seconds"],
            p50_ms=load["p50_us"] / 1000,
            p99_ms=load["p99_us"] / 1000,
            failed=load["failed"] + self.bench.unjudged() - unjudged,
            nginx_us=nginx / 1000 / requests,
            service_us=service / 1000 / requests,
            busy=(nginx + service) / 1e9 / load["seconds"] / len(self.bench.gate_cores),
        )

    def memory(self) -> list[dict[str, float]]:
        """MiB of each process of the service; the master first, where there is one."""
        return [memory(pid) for top in self.gate.pids for pid in tree(top)]
