"""A row of the table: nginx before the same site, with one of the services of bench/services.py.

Law: a row differs from the others in the service alone. A service says how nginx asks it; everything else (front,
site, load, check, figures) is shared here.
"""

from __future__ import annotations

import getpass
import http.client
import importlib.util
import os
import socket
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypedDict

import heads
from heads import Head
from load import wrk
from processes import BenchError, Processes, answers, cpu_ns, free_port, memory, program, tree

HERE = Path(__file__).parent
PROJECT = HERE.parent
SOCKET_OF_UPSTREAM = "/run/xbot/xbot.sock"  # in nginx/upstream.conf
MODULES = Path("/usr/lib/nginx/modules")  # where Debian and Ubuntu keep what nginx loads
MODULE = PROJECT / "build/module/ngx_http_xbot_module.so"  # our own

INSTALL = {
    "nginx": "apt-get install nginx",
    "wrk": "apt-get install wrk",
    "h2load": "apt-get install nghttp2-client",
    "strace": "apt-get install strace",
    "openssl": "apt-get install openssl",
    "sklearn": "pip install '.[train]'",
    "pymispwarninglists": "pip install '.[corpus]'",
    "fastapi": "pip install --group bench",
    "uvicorn": "pip install --group bench",
    "tornado": "pip install --group bench",
    "woothee": "pip install --group bench",
    "onnxruntime": "pip install --group bench",
    "skl2onnx": "pip install --group bench",
    "xbot": "make build",
    str(MODULE): "make module",
    "ngx_http_lua_module.so": "apt-get install libnginx-mod-http-lua",
    "ngx_http_js_module.so": "apt-get install libnginx-mod-http-js",
    "ngx_http_modsecurity_module.so": "apt-get install libnginx-mod-http-modsecurity",
    "/usr/share/modsecurity-crs/rules": "apt-get install modsecurity-crs",
}


class NotJudgingError(BenchError):
    """A row that does not answer the witnesses as it must: its figures would be of something easier."""


def missing(needs: tuple[str, ...]) -> list[str]:
    """The names among `needs` that are not here: programs (on PATH or beside this Python) and packages by their names, files
    by their paths, modules of nginx by their files."""

    def is_here(name: str) -> bool:
        if "/" in name or name.endswith(".so"):
            return (MODULES / name).exists()
        return bool(program(name) or importlib.util.find_spec(name))

    return [name for name in needs if not is_here(name)]


@dataclass
class Bench:
    """What the rows of one run share. All models are fitted on the same log."""

    directory: Path
    processes: Processes
    gate_cores: frozenset[int]  # the nginx that is measured and the service it asks
    outer_cores: frozenset[int]  # wrk and the site
    log: Path  # in the challenge's format
    xbot_model: Path
    site_port: int = 0

    def nginx(
        self,
        name: str,
        cores: frozenset[int],
        ready: Path | int,
        conf: str,
        modules: tuple[str, ...] = (),
        changes: tuple[tuple[str, str], ...] = (),
        **values: str | Path | int,
    ) -> int:
        """Starts an nginx whose http { } is bench/nginx/CONF with @NAME@ replaced; returns its pid."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""  # else root's workers cannot reach the sockets
        loaded = "\n".join(f"load_module {MODULES / module};" for module in modules)
        http = fill(conf, DIR=directory, **values)
        for before, after in changes:
            http = http.replace(before, after)
        text = fill("base.conf", HTTP=http, DIR=directory, USER=user, MODULES=loaded)
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


def changed(file: Path, before: str, after: str) -> str:
    """A file's text with the one place changed; BenchError where it is not there."""
    text = file.read_text()
    if before not in text:
        raise BenchError(f"{file}: {before} is not in it")
    return text.replace(before, after)


@dataclass
class Gate:
    """A service that runs, and how nginx asks it (for nginx/front.conf)."""

    pids: list[int] = field(default_factory=list)
    http: str = ""
    server: str = ""
    passing: str = ""
    modules: tuple[str, ...] = ()  # of nginx
    front: tuple[tuple[str, str], ...] = ()  # changes of front.conf
    admin: Path | None = None


class Row(ABC):
    name: str
    title: str
    needs: tuple[str, ...] = ("nginx", "wrk")
    expects: ClassVar[
        dict[str, str | None]
    ]  # what the site must be told of the witnesses; None: nothing; "403": refused

    def fit(self, bench: Bench) -> dict[str, Any]:  # noqa: ARG002 - most have no model of their own
        """Fits what `start` needs on bench.log; returns what is worth knowing of it."""
        return {}

    @abstractmethod
    def start(self, bench: Bench) -> Gate: ...


Changes = tuple[tuple[str, str, str], ...]  # file, what stands there, what is to stand there instead


def project_gate(bench: Bench, name: str, service: Path | str, changes: Changes = ()) -> Gate:
    """The project's own nginx/ files, as a user includes them, with the place of `service` in upstream.conf."""
    from sidecar.commands.nginx import files as written  # here: without it the other rows can be measured
    from sidecar.commands.nginx import installed

    files = bench.directory / name / "xbot"
    files.mkdir(parents=True)
    for file, text in written(installed()).items():
        (files / file).write_bytes(text)
    place = f"unix:{service}" if isinstance(service, Path) else service
    for file, before, after in (("upstream.conf", f"unix:{SOCKET_OF_UPSTREAM}", place), *changes):
        (files / file).write_text(changed(files / file, before, after))
    return Gate(http="include xbot/http.conf;", server="include xbot/observe.conf;", passing="include xbot/pass.conf;")


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
            self.gate.modules,
            PORT=self.port,
            SITE=bench.site_port,
            GATE_HTTP=self.gate.http,
            GATE_SERVER=self.gate.server,
            GATE_PASS=self.gate.passing,
            changes=self.gate.front,
        )

    def verdict(self, head: Head) -> str | None:
        """What the site is told of this head; the status, where the site was not asked."""
        status, seen = ask(("127.0.0.1", self.port), head.bytes)
        return seen if status == 200 else str(status)

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
            said = self.verdict(head) or "nothing"
            if said.isdigit():
                raise NotJudgingError(f"{self.row.name}: a {head.kind}'s request got {said}")
            key = f"{head.kind} told {said}"
            told[key] = told.get(key, 0) + 1
        return dict(sorted(told.items()))

    def measure(self, heads_file: Path, seconds: float, scheme: str = "http") -> Round:
        before = cpu_ns([self.front]), cpu_ns(self.gate.pids)
        unjudged = self.bench.unjudged()
        load = wrk(self.port, heads_file, seconds, self.bench.outer_cores, scheme)
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
