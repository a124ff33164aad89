"""A real sidecar on sockets of its own, run by the command, ended with its `with` block; and a client for it.

    with Sidecar(model_path, "--mode", "enforce") as sidecar:
        reply = ask(sidecar.address, head({"User-Agent": "curl/8"}))
        reply.status, reply["X-Bot"]

Law: everything lies in one temporary directory; on entering, the sidecar answers already; on leaving, none of
its processes is left. The clients read replies as the bytes say, and wait TIMEOUT for a byte, no longer.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from places import XBOT

LOG_SHOWN = 8000  # characters of a sidecar's log, where a test fails
TIMEOUT = 20.0  # seconds: far more than anything takes, so that only a hang meets it

Address = str  # unix:PATH or HOST:PORT, as the command has it

BROWSER = {
    "Host": "example.com",
    "sec-ch-ua": '"Not/A)Brand";v="8", "Chromium";v="126", "Google Chrome";v="126"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Windows"',
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-User": "?1",
    "Sec-Fetch-Dest": "document",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
}
CURL = {"Host": "example.com", "User-Agent": "curl/8.5.0", "Accept": "*/*"}


class LostError(AssertionError):
    """The connection ended before a whole reply had come."""


@dataclass(frozen=True)
class Reply:
    """One reply, which has no body. Two are equal but for their ids: each answer has one of its own."""

    status: int
    headers: dict[str, str] = field(compare=False)
    said: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        said = {name: value for name, value in self.headers.items() if name != "X-Bot-Id"}
        object.__setattr__(self, "said", said)

    def __getitem__(self, name: str) -> str:
        return self.headers[name]


def head(headers: Mapping[str, str] = CURL, uri: str = "/", ip: str = "203.0.113.7") -> bytes:
    """A request head as nginx sends it for a visitor with these headers."""
    asked = {"X-Real-IP": ip, "X-Original-URI": uri, "X-Original-Method": "GET"}
    asked |= {
        "X-Original-Protocol": "HTTP/1.1",
        "X-Original-Scheme": "https",
        "X-Original-Host": "example.com",
    }
    lines = [f"{name}: {value}" for name, value in {**asked, **headers}.items()]
    return "\r\n".join(["GET /xbot HTTP/1.1", *lines, "", ""]).encode("latin-1")


def connect(address: Address) -> socket.socket:
    """A connection to `unix:PATH` or `HOST:PORT`."""
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(TIMEOUT)
        try:
            sock.connect(address.removeprefix("unix:"))
        except BaseException:
            sock.close()
            raise
        return sock
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT)


def listens(address: Address) -> bool:
    """Whether somebody takes connections there; the file of a socket is there a moment before."""
    try:
        connect(address).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


def read_replies(sock: socket.socket, count: int) -> list[Reply]:
    """The next `count` replies; LostError if the connection ends before. Nothing may follow them."""
    data = b""
    while data.count(b"\r\n\r\n") < count:
        try:
            more = sock.recv(65536)
        except ConnectionError as error:
            raise LostError(f"{error} after {data!r}") from None
        if not more:
            raise LostError(f"end of file after {data!r}")
        data += more
    *heads, rest = data.split(b"\r\n\r\n")
    assert rest == b"", rest
    return [_parse(head) for head in heads]


def _parse(text: bytes) -> Reply:
    first, *lines = text.decode("ascii").split("\r\n")
    version, status, _ = first.split(" ", 2)
    assert version == "HTTP/1.1", first
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers.get("Content-Length", "0") == "0", text
    return Reply(int(status), headers)


def read_reply(sock: socket.socket) -> Reply:
    """The next reply."""
    return read_replies(sock, 1)[0]


def ask(address: Address, request: bytes | None = None) -> Reply:
    """One request on a connection of its own."""
    with connect(address) as sock:
        with contextlib.suppress(ConnectionError):  # what came before the end is still read
            sock.sendall(head() if request is None else request)
        return read_reply(sock)


def visit(sidecar: Sidecar, ip: str, *targets: str) -> list[int]:
    """What a browser at this address is answered, page by page, each with a part; from the second on it brings a cookie."""
    said = []
    for number, target in enumerate(targets):
        came = {"Cookie": "a=b", "Referer": "https://example.com/"} if number else {}
        said.append(ask(sidecar.address, head({**BROWSER, **came}, uri=target, ip=ip)).status)
        part = {"Accept": "text/css,*/*;q=0.1", "Sec-Fetch-Dest": "style", "Sec-Fetch-Mode": "no-cors"}
        part |= {"Sec-Fetch-Site": "same-origin", "Referer": "https://example.com/"}
        ask(sidecar.address, head({**BROWSER, **came, **part}, uri="/a.css", ip=ip))
    return said


def get(address: Address, path: str) -> tuple[int, str]:
    """Status and body of an ordinary GET, such as of the admin endpoint. Once more where an old master accepted it and ended."""
    data = b""
    for _ in range(2):
        with contextlib.suppress(ConnectionError), connect(address) as sock:
            sock.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            data = b"".join(iter(lambda: sock.recv(65536), b""))
        if data:
            break
    text = data.decode()
    return int(text.split(" ", 2)[1]), text.partition("\r\n\r\n")[2]


def wait_until(true: Callable[[], Any], what: str = "") -> Any:
    """The first true value of `true()`; fails if there is none for TIMEOUT."""
    end = time.monotonic() + TIMEOUT
    while not (value := true()):
        assert time.monotonic() < end, f"waited in vain for {what or true}"
        time.sleep(0.01)
    return value


def children(pid: int) -> list[int]:
    """The process ids of the children of `pid` that are alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            state, parent, *_ = stat.read_text().rpartition(")")[2].split()
            if int(parent) == pid and state not in "ZX":
                found.append(int(stat.parent.name))
    return sorted(found)


def alive(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


class Sidecar:
    """`xbot serve` on a Unix socket in a temporary directory, unless `listen` says otherwise.

    Its log is JSON. `board`: it has a board of its own, which other hosts read. `command` replaces the command `xbot`, `extra`
    goes to subprocess.Popen.
    """

    def __init__(
        self,
        model: Path,
        *arguments: object,
        listen: Sequence[Address] | None = None,
        workers: int = 2,
        command: Sequence[str] = (XBOT,),
        log_format: str = "json",
        board: bool = False,
        **extra: Any,
    ) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="xbot-")
        self.directory = Path(self._directory.name)
        self.log_path = self.directory / "log"
        places = [f"unix:{self.directory}/xbot.sock"] if listen is None else listen
        self._command = [*command, "serve", "--model", str(model), "--workers", str(workers)]
        self._command += ["--log-format", log_format, *map(str, arguments)]
        self.board: Path | None = None
        if board:
            self.directory.chmod(0o755)
            self.board = self.directory / "board"
            self.board.mkdir(mode=0o755)
            self._command += ["--board", str(self.board)]
        self._command += [word for place in places for word in ("--listen", place)]
        self._workers = workers
        self._extra = extra

    def __enter__(self) -> Sidecar:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, failed: type[BaseException] | None = None, *_: object) -> None:
        if failed is not None and self.log_path.exists():
            print(self.log_path.read_text(errors="replace")[-LOG_SHOWN:])  # pytest shows it with the failure
        if hasattr(self, "process"):
            masters = {self.process.pid, *(event["successor"] for event in self.events("upgrading"))}
            # Workers go by themselves when the master is gone; one that is stopped or stuck does not.
            for pid in [*masters, *(worker for master in masters for worker in children(master))]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(TIMEOUT)
        self._directory.cleanup()

    def start(self) -> None:
        """Start the process; returns when all workers are ready."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self._command, stderr=log, stdin=subprocess.DEVNULL, **self._extra)
        if "--log-format" in self._command and "text" in self._command:
            wait_until(lambda: self.log_path.read_text().count("worker ready") >= self._workers, "workers")
            return
        wait_until(lambda: self._answers() or self.process.poll() is not None, "a sidecar that answers")
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.log_path.read_text()}"

    def _answers(self) -> bool:
        started = self.events("started")
        return bool(started) and len(self.events("worker ready")) >= self._workers

    @property
    def addresses(self) -> list[Address]:
        """Where it listens, with the ports that it took."""
        return [place.partition(" (")[0] for place in self.events("started")[-1]["listeners"]]

    @property
    def address(self) -> Address:
        """The first of them."""
        return self.addresses[0]

    @property
    def admin(self) -> Address:
        """Where /metrics and /healthz are, if asked for."""
        return str(self.events("started")[-1]["admin"])

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """What the log says so far, or only the events of one name. Other lines, such as errors, are skipped."""
        whole = self.log_path.read_text().rpartition("\n")[0]
        found = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [event for event in found if name in (None, event["event"])]

    def wait_for(self, name: str, count: int = 1) -> dict[str, Any]:
        """The latest event of this name, once there are `count` of them."""
        wait_until(lambda: len(self.events(name)) >= count, f"{count} x {name!r}")
        return self.events(name)[-1]

    @property
    def master(self) -> int:
        """The process id of the master, which an upgrade changes."""
        took_over = self.events("took over")
        return int(took_over[-1]["pid"]) if took_over else self.process.pid

    @property
    def workers(self) -> list[int]:
        """The process ids of the master's workers that are alive."""
        return children(self.master)

    @property
    def serving(self) -> list[int]:
        """Those of them that have said that they are ready, the longest serving one first."""
        alive = self.workers
        return [event["pid"] for event in self.events("worker ready") if event["pid"] in alive]

    def signal(self, number: signal.Signals) -> None:
        """Send the master a signal."""
        os.kill(self.master, number)

    def reload(self) -> None:
        """SIGHUP; returns when the new model serves everywhere, or was refused."""
        before = len(self.events("reloaded")) + len(self.events("reload refused"))
        self.signal(signal.SIGHUP)
        wait_until(lambda: len(self.events("reloaded")) + len(self.events("reload refused")) > before, "a reload")

    def upgrade(self) -> bool:
        """SIGUSR2; returns when a new master has taken over, or that was refused: whether it has."""
        before, refused = len(self.events("took over")), len(self.events("upgrade refused"))
        self.signal(signal.SIGUSR2)
        wait_until(
            lambda: len(self.events("took over")) > before or len(self.events("upgrade refused")) > refused,
            "an upgrade",
        )
        return len(self.events("took over")) > before

    def stop(self) -> int:
        """SIGTERM, and the exit status of the first master."""
        master = self.master
        self.signal(signal.SIGTERM)
        wait_until(lambda: not alive(master), "the master's end")
        return self.process.wait(TIMEOUT)

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics, by name with labels."""
        status, text = get(self.admin, "/metrics")
        assert status == 200, text
        samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def counted(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels, whatever others they have."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            value
            for sample, value in self.metrics().items()
            if sample.partition("{")[0] == name and all(each in sample for each in wanted)
        )


def activated(model: Path, listening: socket.socket, *arguments: object, **environment: str) -> Sidecar:
    """A sidecar that finds `listening` as descriptor 3, as systemd leaves it there."""
    shell = ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"', XBOT]
    return Sidecar(
        model,
        *arguments,
        listen=[],
        command=shell,
        env={**os.environ, **environment},
        close_fds=False,
        preexec_fn=lambda: os.dup2(listening.fileno(), 3),
    )


@dataclass
class Outcome:
    """What the clients of `load` met: replies by score, and every failure."""

    scores: Counter[str] = field(default_factory=Counter)
    failures: list[BaseException] = field(default_factory=list)
    retried: int = 0  # requests whose connection was lost in a worker's hands, and that a second try answered


@contextlib.contextmanager
def load(
    address: Address, *, keepalive: bool, clients: int = 4, pause: float = 0.002, retry: bool = False
) -> Iterator[Outcome]:
    """Ask all the time, from `clients` threads, until the block ends, `pause` seconds between two requests.

    With `retry`, a request on a lost connection is asked once more on a new one, as proxies do.
    """
    outcome, done, lock = Outcome(), threading.Event(), threading.Lock()
    request = head(BROWSER)

    def client() -> None:
        sock = None
        while not done.wait(pause):
            try:
                if sock is None:
                    sock = connect(address)
                try:
                    sock.sendall(request)
                    reply = read_reply(sock)
                except (LostError, ConnectionError):
                    if not retry:
                        raise
                    sock.close()
                    sock = connect(address)
                    sock.sendall(request)
                    reply = read_reply(sock)
                    with lock:
                        outcome.retried += 1
                with lock:
                    outcome.scores[reply["X-Bot-Score"]] += 1
                if not keepalive or reply.headers.get("Connection") == "close":
                    sock.close()
                    sock = None
            except (OSError, AssertionError) as error:
                with lock:
                    outcome.failures.append(error)
                sock = None
        if sock is not None:
            sock.close()

    threads = [threading.Thread(target=client, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield outcome
    finally:
        done.set()
        for thread in threads:
            thread.join(TIMEOUT)
