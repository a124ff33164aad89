"""The services that nginx may ask, or have in itself: one class a row.

Law: each is what its name says, set up as its own documentation or its user would; where this project can be kind to
it, it is. `ROWS` is the order of the table. A new row is a new class in it.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

import heads
from processes import ONE_THREAD, BenchError, answers, pin, program
from rows import HERE, MODULE, PROJECT, Bench, Changes, Gate, NotJudgingError, Row, ask, fill, project_gate

HACKATHON_PROCESSES = 16
CRS = Path("/usr/share/modsecurity-crs")


def train(command: list[str | Path | None]) -> str:
    """What a command that fits a model printed; BenchError with its last line if it failed."""
    environment = {**os.environ, **ONE_THREAD}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise BenchError(f"training failed: {(done.stderr.strip() or 'it said nothing').splitlines()[-1]}")
    return done.stdout


class Unguarded(Row):
    name, title = "unguarded", "nginx alone"
    expects: ClassVar = {"browser": None, "bot": None}

    def start(self, bench: Bench) -> Gate:  # noqa: ARG002 - it has nothing to start
        return Gate()


class Static(Row):
    name, title = "static", "nginx + static 204 of a second nginx"
    expects: ClassVar = {"browser": "human", "bot": "human"}

    def start(self, bench: Bench) -> Gate:
        service = bench.directory / f"{self.name}.sock"
        gate = project_gate(bench, self.name, service)
        gate.pids = [
            bench.nginx(f"{self.name}_auth", bench.gate_cores, service, "static.conf", LISTEN=f"unix:{service}")
        ]
        return gate


class Xbot(Row):
    name, title = "xbot", "nginx + xbot"
    needs = (*Row.needs, "xbot")
    expects: ClassVar = {"browser": "human", "bot": "bot"}
    changes: Changes = ()  # of the project's nginx files: bench/settings.py
    options: Path | None = None  # the sidecar's configuration

    def start(self, bench: Bench) -> Gate:
        service, admin = bench.directory / f"{self.name}.sock", bench.directory / f"{self.name}_admin.sock"
        gate = project_gate(bench, self.name, service, self.changes)
        command = [program("xbot"), "serve", "--model", bench.xbot_model, "--workers", "1"]
        command += ["--listen", f"unix:{service}", "--admin", f"unix:{admin}"]
        command += ["--config", self.options] if self.options else []
        log = bench.directory / f"{self.name}.log"
        gate.pids = [bench.processes.start(command, cores=bench.gate_cores, log=log, ready=answers(service))]
        gate.admin = admin
        return gate


class Module(Row):
    """The judge inside nginx, by the model of the log and with the table, as the row of xbot. The sidecar is there as the one
    who publishes what is served; nobody asks it, so it is not measured."""

    name, title = "module", "nginx + the module of xbot"
    needs = (*Row.needs, "xbot", str(MODULE))
    expects: ClassVar = {"browser": "human", "bot": "bot"}

    def options(self, bench: Bench) -> list[str | Path]:
        """Of `xbot serve`: what is served."""
        return ["--model", bench.xbot_model]

    def start(self, bench: Bench) -> Gate:
        service, board = bench.directory / f"{self.name}.sock", bench.directory / f"{self.name}_board"
        board.mkdir(mode=0o755)
        place = ("http_module.conf", "xbot_board /run/xbot;", f"xbot_board {board};")
        gate = project_gate(bench, self.name, service, (place,))
        gate.http, gate.passing = "include xbot/http_module.conf;", "include xbot/pass_module.conf;"
        gate.modules = (str(MODULE),)
        command = [program("xbot"), "serve", *self.options(bench), "--workers", "1"]
        command += ["--listen", f"unix:{service}", "--board", board]
        log = bench.directory / f"{self.name}.log"
        bench.processes.start(command, cores=bench.outer_cores, log=log, ready=(board / "served").exists)
        return gate


class ModuleShipped(Module):
    """All that a site has that installs xbot and changes nothing: the default model with all of its features, the policies and lists of
    deploy/xbot.toml, the table."""

    name, title = "module_shipped", "nginx + the module, default model, policies, lists, table"
    expects: ClassVar = {"person": "human", "bot": "bot"}

    def options(self, bench: Bench) -> list[str | Path]:
        return ["--config", PROJECT / "deploy/xbot.toml", "--admin", f"unix:{bench.directory / self.name}.admin"]


class ModuleAlone(Module):
    """The module with what the row of Lua has: the model of the log, and no table."""

    name, title = "module_alone", "nginx + the same weights in the module, no table"

    def options(self, bench: Bench) -> list[str | Path]:
        file = bench.directory / f"{self.name}.toml"
        file.write_text('[clients]\nsize = "0"\n')
        return ["--config", file, *super().options(bench)]


class Lua(Row):
    """The same model file, read and scored by LuaJIT inside nginx: bench/lua/gate.lua says what of it."""

    name, title = "lua", "nginx + the same weights in Lua"
    needs = (*Row.needs, "xbot", "ngx_http_lua_module.so")
    expects: ClassVar = {"browser": "human", "bot": "bot"}

    def start(self, bench: Bench) -> Gate:
        from sidecar import core  # here: without it the other rows can be measured

        def numbered(rows: tuple[core.Row, ...]) -> str:
            return ", ".join(f"{row.name} = {number}" for number, row in enumerate(rows))

        script = bench.directory / "gate.lua"
        names = {"FEATURES": numbered(core.FEATURES), "FAMILIES": numbered(core.FAMILIES)}
        script.write_text(fill("../lua/gate.lua", MODEL=bench.xbot_model, **names))
        return Gate(
            http=fill("lua_http.conf", SCRIPT=script),
            server=fill("lua_server.conf"),
            passing="proxy_set_header X-Bot $lua_verdict;",
            modules=("ndk_http_module.so", "ngx_http_lua_module.so"),
        )


def read_weights(model: Path) -> dict[str, Any]:
    """A model file (csrc/model/model.h) as bench/njs/gate.js wants it, with what it would have to make for each request."""
    image = model.read_bytes()
    n_dense, n_families, k = struct.unpack_from("<3I", image, 16)
    bias, threshold, a, b = struct.unpack_from("<4d", image, 72)
    values = iter(struct.unpack_from(f"<{5 * n_dense + (1 << k)}d", image, 128 + 32 * (n_dense + n_families)))
    mean, scale, lower, upper, weight = (list(itertools.islice(values, n_dense)) for _ in range(5))
    folded = [each / by for each, by in zip(weight, scale, strict=True)]
    scalars = {"k": k, "bias": bias, "threshold": threshold, "a": a, "b": b}
    kinds = [8 if byte < 32 or byte == 127 else 4 if byte > 127 else 2 if chr(byte).isdigit() else chr(byte).isalpha()
             for byte in range(256)]  # fmt: skip
    dense = {"mean": mean, "lower": lower, "upper": upper, "folded": folded}
    return {**scalars, **dense, "buckets": list(values), "classes": list(map(int, kinds))}


class Njs(Row):
    """The same by njs, nginx's own language for scripts: bench/njs/gate.js."""

    name, title = "njs", "nginx + the same weights in njs"
    needs = (*Row.needs, "xbot", "ngx_http_js_module.so")
    expects: ClassVar = {"browser": "human", "bot": "bot"}

    def start(self, bench: Bench) -> Gate:
        from sidecar import core  # here: without it the other rows can be measured

        place = bench.directory / "njs_scripts"
        place.mkdir()
        (place / "gate.js").write_text(fill("../njs/gate.js"))
        names = {"features": core.FEATURES, "families": core.FAMILIES}
        numbers = {name: {row.name: number for number, row in enumerate(rows)} for name, rows in names.items()}
        (place / "model.json").write_text(json.dumps(read_weights(bench.xbot_model) | numbers))
        return Gate(
            http=fill("njs_http.conf", PLACE=place),
            passing="proxy_set_header X-Bot $njs_verdict;",
            modules=("ngx_http_js_module.so",),
        )


class ModSecurity(Row):
    """The core rule set as Debian's README sets it up, SecRuleEngine On, the default paranoia level."""

    name, title = "modsecurity", "nginx + ModSecurity, core rule set"
    needs = (*Row.needs, "ngx_http_modsecurity_module.so", str(CRS / "rules"))
    expects: ClassVar = {"browser": None, "bot": None, "attack": "403"}

    def start(self, bench: Bench) -> Gate:
        directory = bench.directory / "modsecurity_rules"
        directory.mkdir()
        shipped = Path("/usr/share/nginx/docs/modsecurity")
        settings = (shipped / "modsecurity.conf").read_text()
        for before, after in (
            ("\nSecRuleEngine DetectionOnly", "\nSecRuleEngine On"),
            ("\nSecAuditLog /var/log/nginx/modsec_audit.log", f"\nSecAuditLog {directory / 'audit.log'}"),
            ("\nSecUnicodeMapFile unicode.mapping", f"\nSecUnicodeMapFile {shipped / 'unicode.mapping'}"),
        ):
            if before not in settings:
                raise BenchError(f"{shipped / 'modsecurity.conf'}: no line{before!r}")
            settings = settings.replace(before, after)
        rules = (CRS / "owasp-crs.load").read_text().replace("IncludeOptional", "Include")
        (directory / "main.conf").write_text(f"{settings}\n{rules}")
        return Gate(
            server=f"modsecurity on;\nmodsecurity_rules_file {directory / 'main.conf'};",
            modules=("ngx_http_modsecurity_module.so",),
        )


class FastApi(Row):
    name, title = "fastapi", "nginx + FastAPI, uvicorn and scikit-learn"
    needs = (*Row.needs, "fastapi", "uvicorn", "sklearn", "woothee", "pymispwarninglists")
    expects: ClassVar = {"browser": "human", "bot": "bot"}

    def fit(self, bench: Bench) -> dict[str, Any]:
        said = train([sys.executable, HERE / "hackathon/train.py", bench.log, model_of(self, bench), "linear"])
        return dict(json.loads(said))

    def start(self, bench: Bench) -> Gate:
        service = bench.directory / f"{self.name}.sock"
        # Under load it needs longer than nginx waits for xbot; what is let by unasked would count as failed.
        patient = ("locations.conf", "proxy_read_timeout    500ms;", "proxy_read_timeout 60s;")
        gate = project_gate(bench, self.name, service, (patient,))
        command: list[str | Path | None] = [sys.executable, HERE / "fastapi_serve.py", model_of(self, bench), service]
        log = bench.directory / f"{self.name}.log"
        every = frozenset(os.sched_getaffinity(0))  # to load in; pinned below
        gate.pids = [
            bench.processes.start(command, cores=every, log=log, ready=answers(service), environment=ONE_THREAD)
        ]
        pin(gate.pids[0], bench.gate_cores)
        return gate


class Hackathon(Row):
    name, title = "hackathon", "nginx + 16 Tornado processes with a pickled SVC"
    needs = (*Row.needs, "tornado", "sklearn", "woothee", "pymispwarninglists")
    expects: ClassVar = {"browser": "human", "bot": "bot"}

    def fit(self, bench: Bench) -> dict[str, Any]:
        said = train([sys.executable, HERE / "hackathon/train.py", bench.log, model_of(self, bench), "rbf"])
        return dict(json.loads(said))

    def start(self, bench: Bench) -> Gate:
        gate, addresses = Gate(), []
        for i in range(HACKATHON_PROCESSES):
            with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
                listening.setblocking(False)
                addresses.append(listening.getsockname())
                command: list[str | Path | None] = [
                    sys.executable,
                    HERE / "hackathon/serve.py",
                    model_of(self, bench),
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


def model_of(row: Row, bench: Bench) -> Path:
    """Where the row's own pickled model lies."""
    return bench.directory / f"{row.name}.pickle"


ROWS: tuple[type[Row], ...] = (
    Unguarded,
    ModuleShipped,
    Module,
    ModuleAlone,
    Lua,
    Njs,
    Static,
    Xbot,
    FastApi,
    ModSecurity,
    Hackathon,
)
