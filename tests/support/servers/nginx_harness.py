"""A real nginx with the files of nginx/, in a directory of its own, before a site that tells what reached it.

    with EchoSite() as site, running_nginx(guarded(site), socket=socket) as nginx:
        reply = nginx.ask(headers={"User-Agent": "curl/8"})
        reply.status, reply.seen("X-Bot")

Law: nothing outside the temporary directory is read or written but the nginx binary and nginx/; the port is bound
before nginx starts and handed over, so two harnesses never meet; every process ends with its `with` block. Needs no
privileges, and no pytest: the demo uses it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import http.client
import json
import os
import pwd
import shutil
import signal
import socket as sockets
import ssl
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from places import ROOT

from sidecar.commands.nginx import files, installed

if TYPE_CHECKING:
    from sidecar_harness import Sidecar

FILES = ROOT / "nginx"
CERTIFICATE, KEY = "certificate.pem", "key.pem"  # in the directory of an nginx that speaks https
DEFAULT_SOCKET = "unix:/run/xbot/xbot.sock"
# XBOT_NGINX and XBOT_MODULE name others, such as those that `make asan-module` builds with sanitizers.
MODULE = Path(os.environ.get("XBOT_MODULE") or ROOT / "build" / "module" / "ngx_http_xbot_module.so")
DEFAULT_BOARD = "xbot_board /run/xbot;"

CONFIG = """
{load}
daemon off;
worker_processes {workers};
error_log {prefix}/error.log info;
pid {prefix}/nginx.pid;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    include xbot/{included}.conf;
    {http}
    server {{
        listen 127.0.0.1:{port}{listen_options};
        {server}
    }}
}}
"""


def nginx_binary() -> str | None:
    """Where nginx is, or None. Debian keeps it in /usr/sbin, which is not on every PATH."""
    return (
        os.environ.get("XBOT_NGINX") or shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    )


def without_module(module: Path = MODULE, by: str = "make module") -> str:
    """Why the judge cannot run inside nginx here: "" if it can. `by`: what makes the module."""
    sources = [*(ROOT / "csrc").rglob("*.[ch]"), *(ROOT / "csrc").rglob("*.def"), *(FILES / "module").iterdir()]
    if "XBOT_MODULE" in os.environ and module == MODULE:
        return ""
    if not module.exists():
        return f"the module is not built: {by}"
    old = module.stat().st_mtime < max(source.stat().st_mtime for source in sources)
    return f"the module is older than its sources: {by}" if old else ""


def at(sidecar: Sidecar) -> dict[str, Any]:
    """How running_nginx has this sidecar judge: by a question, or, if it has a board, by the module."""
    return {"socket": sidecar.address, "board": sidecar.board}


def guarded(site: EchoSite, gate: str = "observe") -> str:
    """The body of a server block as the documentation has it: one gate (a file of nginx/, without .conf), one pass."""
    return f"include xbot/{gate}.conf;\nlocation / {{ include xbot/pass.conf; proxy_pass http://{site.address}; }}"


def copy_files(to: Path, listen: str, board: Path | None = None) -> None:
    """Writes nginx/ for the installed nginx to the directory `to`; the sidecar is asked at `listen` (`unix:PATH` or `HOST:PORT`), and the
    module looks into the directory `board`."""
    to.mkdir(parents=True)
    for name, text in files(installed()).items():
        (to / name).write_bytes(text)
    upstream = to / "upstream.conf"
    text = upstream.read_text()
    assert DEFAULT_SOCKET in text, f"{upstream} does not name {DEFAULT_SOCKET}"
    upstream.write_text(text.replace(DEFAULT_SOCKET, listen))
    http = to / "http_module.conf"
    text = http.read_text()
    assert DEFAULT_BOARD in text, f"{http} does not name the board"
    http.write_text(text.replace(DEFAULT_BOARD, f"xbot_board {board};") if board else text)


@dataclass(frozen=True)
class Reply:
    """What the visitor got."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def site(self) -> dict[str, Any]:
        """What reached the site, if the reply is EchoSite's."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def seen(self, name: str) -> list[str]:
        """The values of the header that reached the site under this very name (any case)."""
        return [value for key, value in self.site["headers"] if key.lower() == name.lower()]


def read_reply(connection: sockets.socket, method: str = "GET") -> Reply:
    response = http.client.HTTPResponse(connection, method=method)
    try:
        response.begin()
        return Reply(response.status, response.headers, response.read())
    finally:
        response.close()


@dataclass(frozen=True)
class Nginx:
    """A running nginx."""

    prefix: Path  # its directory: nginx.conf, xbot/, error.log
    port: int  # on 127.0.0.1
    process: subprocess.Popen[bytes]
    secure: bool = False  # it is asked over https

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self.port}"

    def connect(self, timeout: float = 30) -> sockets.socket:
        connection = sockets.create_connection(("127.0.0.1", self.port), timeout)
        return trusting().wrap_socket(connection, server_hostname="localhost") if self.secure else connection

    def send(self, raw: bytes, method: str = "GET") -> Reply:
        """Sends these bytes on a connection of their own, and reads one reply."""
        with self.connect() as connection:
            connection.sendall(raw)
            return read_reply(connection, method)

    def ask(
        self,
        target: str = "/",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        method: str = "GET",
        body: bytes = b"",
    ) -> Reply:
        """One request with exactly these headers, in this order, besides Host and Content-Length."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if not any(name.lower() == "host" for name, _ in pairs):
            pairs.insert(0, ("Host", "site.example"))
        if body:
            pairs.append(("Content-Length", str(len(body))))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in pairs)]
        return self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body, method)

    def error_log(self) -> str:
        return (self.prefix / "error.log").read_text(errors="replace")

    def log_lines(self, name: str, at_least: int = 0) -> list[bytes]:
        """The lines of an access log in `prefix`. nginx writes a line after the reply: waits for `at_least` of them."""
        path = self.prefix / name
        for _ in range(500):
            lines = path.read_bytes().splitlines() if path.exists() else []
            if len(lines) >= at_least:
                return lines
            time.sleep(0.01)
        raise AssertionError(f"{path} has {len(lines)} lines, not {at_least}")

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)


def trusting() -> ssl.SSLContext:
    """Of a client that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def certificate(directory: Path) -> tuple[Path, Path]:
    """A new certificate for localhost and its key. The first file ends in its authority's: who trusts that file trusts the site."""
    import trustme  # of the group demo: here alone, since most nginx here speak plain http

    certificate, key = directory / CERTIFICATE, directory / KEY
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    certificate.write_bytes(b"".join(pem.bytes() for pem in (*issued.cert_chain_pems, authority.cert_pem)))
    issued.private_key_pem.write_to_path(key)
    return certificate, key


def _is_up(pid: int, prefix: Path) -> bool:
    """Whether the master has begun a worker. Before that it may forget a signal: one that comes after it has written its pid, and before it
    blocks signals for its loop, sets a flag that the loop looks at when the next signal comes."""
    return (prefix / "nginx.pid").exists() and Path(f"/proc/{pid}/task/{pid}/children").read_text() != ""


def _user(name: str) -> str:
    return f"user {name} {grp.getgrgid(pwd.getpwnam(name).pw_gid).gr_name};"


@contextlib.contextmanager
def running_nginx(
    server: str,
    *,
    socket: Path | str,
    http: str = "",
    workers: int = 1,
    user: str | None = None,
    listen_options: str = "",
    secure: bool = False,
    board: Path | None = None,
    module: Path = MODULE,
) -> Iterator[Nginx]:
    """Starts nginx with one server block of this body; `http` goes before it.

    `socket` is where the sidecar listens: a path, unix:PATH or HOST:PORT. In both texts {prefix} stands for nginx's
    directory. `user` runs the workers (root only; root's workers run as root unless told, so that they reach a 0660
    socket). `listen_options` go behind the port, such as "http2"; `secure`: it speaks https. With
    `board`, the directory of a sidecar's board, nginx judges by its module.
    Raises RuntimeError with nginx's own words if it does not start.
    """
    binary = nginx_binary()
    if binary is None:
        raise RuntimeError("nginx is not installed: apt-get install nginx-light")
    with tempfile.TemporaryDirectory(prefix="xbot-nginx-") as name, sockets.socket() as listener:
        prefix = Path(name)
        prefix.chmod(0o755)
        listener.bind(("127.0.0.1", 0))
        listener.listen(511)
        listener.setblocking(False)  # nginx expects that of a socket it inherits; a worker would hang in accept()
        port = listener.getsockname()[1]
        copy_files(prefix / "xbot", f"unix:{socket}" if str(socket).startswith("/") else str(socket), board)
        if secure:
            listen_options = f"ssl {listen_options}".rstrip()
            paths = dict(zip(("ssl_certificate", "ssl_certificate_key"), certificate(prefix), strict=True))
            server = "".join(f"{name} {path};\n" for name, path in paths.items()) + server
        config = CONFIG.format(
            load=f"load_module {module};" if board else "",
            included="http_module" if board else "http",
            prefix=prefix,
            port=port,
            listen_options=f" {listen_options}" if listen_options else "",
            workers=workers,
            user=_user(user or "root") if os.geteuid() == 0 else "",
            http=http.replace("{prefix}", name),
            server=server.replace("{prefix}", name),
        )
        (prefix / "nginx.conf").write_text(config)
        with (prefix / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [binary, "-p", name, "-c", f"{name}/nginx.conf"],
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                pass_fds=[listener.fileno()],
                # How nginx hands its listening sockets to its own successor.
                env={**os.environ, "NGINX": f"{listener.fileno()};"},
            )
        try:
            while not _is_up(process.pid, prefix):
                if process.poll() is not None:
                    raise RuntimeError(f"nginx did not start:\n{(prefix / 'stderr').read_text()}")
                time.sleep(0.005)
            listener.close()
            yield Nginx(prefix, port, process, secure)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class EchoSite:
    """A site on a free loopback port, in a thread. Replies 200 (404 below /missing) with what it received, as JSON:
    method, target, protocol, headers (pairs, in order, bytes as latin-1) and body (its length)."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []  # what came, as in the replies
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._socket = sockets.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, name="echo-site", daemon=True)

    def __enter__(self) -> EchoSite:
        self._loop.run_until_complete(asyncio.start_server(self._serve, sock=self._socket, limit=1 << 20, backlog=511))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head[:-4].split("\r\n")
                method, target, protocol = first.split(" ", 2)
                headers = [[part.strip(" ") for part in line.split(":", 1)] for line in lines]
                length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
                chunked = any(name.lower() == "transfer-encoding" for name, _ in headers)
                body = await self._chunks(reader) if chunked else len(await reader.readexactly(length))
                told = {"method": method, "target": target, "protocol": protocol, "headers": headers, "body": body}
                self.requests.append(told)
                payload = json.dumps(told).encode()
                status = "404 Not Found" if target.startswith("/missing") else "200 OK"
                reply = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
                writer.write(reply.encode() + (b"" if method == "HEAD" else payload))
                if protocol == "HTTP/1.0":
                    break
        writer.close()

    @staticmethod
    async def _chunks(reader: asyncio.StreamReader) -> int:
        """Reads a chunked body; returns its length."""
        total = 0
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
            total += size
        await reader.readexactly(2)
        return total


class Load:
    """Visitors that ask without end, each on a connection kept open, until the `with` block ends.

    `outcomes` counts (status, the X-Bot that reached the site, or None); `failures` holds what broke. A visitor rests
    for `pause` seconds after each reply: the load is there to be seen through, not to measure.
    """

    def __init__(self, nginx: Nginx, headers: Mapping[str, str], visitors: int = 4, pause: float = 0.001) -> None:
        self.outcomes: Counter[tuple[int, str | None]] = Counter()
        self.failures: list[str] = []
        self._nginx = nginx
        self._pause = pause
        self._headers = dict(headers)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(visitors)]

    @property
    def total(self) -> int:
        return self.outcomes.total() + len(self.failures)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _visit(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._nginx.port, timeout=30)
        while not self._stop.is_set():
            try:
                connection.request("GET", "/", headers=self._headers)
                response = connection.getresponse()
                reply = Reply(response.status, response.headers, response.read())
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
                continue
            verdict = reply.seen("X-Bot")[0] if reply.status == 200 else None
            self.outcomes[reply.status, verdict] += 1
            time.sleep(self._pause)
        connection.close()
