"""The table of what clients did, in a real sidecar: who shares it, what it survives, and who may tell it what happened.

Law: what a client did is seen by what the table counts; verdicts by it are the model's business (tests/nginx/test_nginx_clients.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from places import XBOT
from sidecar_harness import (
    BROWSER,
    CURL,
    TIMEOUT,
    LostError,
    Sidecar,
    ask,
    connect,
    head,
    load,
    read_replies,
    read_reply,
    wait_until,
)

from sidecar import core
from sidecar.board.clients import Clients
from sidecar.config.options import Clients as Wanted

TCP = "127.0.0.1:0"
MESSAGE = "<190>Nov 27 13:24:01 xbot: {keys} 200 5120 text/html"
KEYS = "0123456789abcdef" * 3


class Table(Sidecar):
    """A sidecar with a file; `toml` is what follows [clients]. `{here}` stands for its directory."""

    def __init__(self, model: Path, toml: str = "", workers: int = 2, board: str = "none") -> None:
        super().__init__(model, "--admin", TCP, workers=workers)
        self.file = self.directory / "xbot.toml"
        self.outcomes = self.directory / "outcome.sock"
        board = board.replace("{here}", str(self.directory))
        self._command += ["--config", str(self.file), "--board", board]
        self.write(toml)

    def write(self, toml: str) -> None:
        self.file.write_text(f"[clients]\n{toml}".replace("{here}", str(self.directory)))

    def count(self, name: str) -> float:
        return self.metrics()[f"xbot_{name}"]


def visit(sidecar: Sidecar, visitors: int, first: int = 0) -> None:
    """So many visitors at addresses of networks of their own ask once. On a lost connection once more, as proxies do."""
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(connect(sidecar.address))
        for n in range(first, first + visitors):
            request = head(BROWSER, ip=f"10.{n >> 8}.{n & 255}.9")
            try:
                sock.sendall(request)
                read_reply(sock)
            except (LostError, ConnectionError):  # accepted by a worker of the old master, which ends
                sock = stack.enter_context(connect(sidecar.address))
                sock.sendall(request)
                read_reply(sock)


@contextlib.contextmanager
def proxy(path: Path) -> Iterator[socket.socket]:
    """The end of nginx: it does not wait."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(str(path))
        yield sock


def told(sock: socket.socket) -> bool:
    """Whether there was room for one more message."""
    try:
        sock.send(MESSAGE.format(keys=KEYS).encode())
    except BlockingIOError:
        return False
    return True


def tell(sock: socket.socket, sidecar: Table, message: bytes, name: str = "outcomes_total") -> None:
    before = sidecar.count(name)
    sock.send(message)
    wait_until(lambda: sidecar.count(name) == before + 1, name)


def test_all_workers_count_in_one_table(model_path: Path) -> None:
    with Table(model_path, 'size = "2MiB"\n') as sidecar:
        for _ in range(20):  # connections, so that either worker has some
            ask(sidecar.address, head(BROWSER))
        assert sidecar.count("clients_entries") == 3  # a client, its network, its shape
        ask(sidecar.address, head(CURL))
        assert sidecar.count("clients_entries") == 5  # another client and shape, in the same network
        assert sidecar.count("clients_bytes") <= 2 << 20
        assert sidecar.count("clients_replaced_total") == 0


def test_a_check_counts_nobody(model_path: Path) -> None:
    with Table(model_path) as sidecar:
        done = subprocess.run(
            [XBOT, "check", "--model", str(model_path), "--listen", sidecar.address, "--json"],
            capture_output=True,
            check=False,
        )
        assert b'"questions"' in done.stdout, done.stdout
        assert sidecar.count("probes_total") > 100
        assert sidecar.count("clients_entries") == 0


def test_without_a_table(model_path: Path) -> None:
    with Table(model_path, 'size = "0"\n') as sidecar:
        assert ask(sidecar.address).status == 200
        assert not [
            name
            for name in sidecar.metrics()
            if name.startswith(("xbot_clients", "xbot_outcomes", "xbot_bad_outcomes"))
        ]


def test_it_survives_its_workers(model_path: Path) -> None:
    """kill -9 in the middle of load, many times: nobody waits for the dead, and nothing is forgotten."""
    with Table(model_path, 'size = "1MiB"\n') as sidecar:
        visit(sidecar, 100)
        # Who asks below is known by then: a newcomer whom two workers meet at once may take two places.
        ask(sidecar.address, head(BROWSER))
        before = sidecar.count("clients_entries")
        with load(sidecar.address, keepalive=True, retry=True) as outcome:
            for round_ in range(6):
                os.kill(sidecar.serving[0], signal.SIGKILL)
                sidecar.wait_for("worker died", round_ + 1)
                sidecar.wait_for("worker ready", 2 + round_ + 1)
        assert not outcome.failures
        assert sum(outcome.scores.values()) > 20
        assert sidecar.count("clients_entries") == before


def test_a_full_table_takes_whoever_comes(model_path: Path) -> None:
    """More networks than there are places: the memory stays as it is, and everybody is answered."""
    with Table(model_path, 'size = "1MiB"\n', workers=1) as sidecar:
        visit(sidecar, 4000)
        assert sidecar.count("clients_entries") <= sidecar.count("clients_places")
        assert sidecar.count("clients_replaced_total") > 1000
        assert ask(sidecar.address).status == 200


def test_an_upgrade_keeps_it(model_path: Path) -> None:
    with Table(model_path, 'size = "2MiB"\n') as sidecar:
        visit(sidecar, 10)
        before = sidecar.count("clients_entries")
        assert before > 20
        assert sidecar.upgrade()
        assert sidecar.count("clients_entries") == before
        visit(sidecar, 10)
        assert sidecar.count("clients_entries") == before  # the same keys
        sidecar.write('size = "1MiB"\n')
        assert sidecar.upgrade()
        assert sidecar.count("clients_entries") == 0
        assert sidecar.wait_for("clients forgotten")["reason"] == "it has another size"
        sidecar.write('size = "1MiB"\nprivacy = "network"\n')
        assert sidecar.upgrade()
        assert sidecar.wait_for("clients forgotten", 2)["reason"] == "it tells clients apart in another way"


def test_two_masters_with_one_table(model_path: Path) -> None:
    """The old one's workers count in it while the new one's already do."""
    with Table(model_path, 'size = "1MiB"\n') as sidecar:
        visit(sidecar, 5)
        before = sidecar.count("clients_entries")
        with connect(sidecar.address) as old:
            old.sendall(head(CURL)[:50])  # keeps an old worker
            assert sidecar.upgrade()
            old.sendall(head(CURL)[50:])
            read_replies(old, 1)
        assert sidecar.count("clients_entries") == before + 3


def test_a_restart_keeps_it(model_path: Path) -> None:
    with Table(model_path, 'size = "2MiB"\n', board="{here}") as sidecar:
        sidecar.directory.chmod(0o755)
        kept = sidecar.directory / "clients"
        visit(sidecar, 10)
        before = sidecar.count("clients_entries")
        assert not kept.exists()
        assert sidecar.stop() == 0
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        sidecar.log_path.unlink()
        sidecar.start()
        assert not kept.exists()  # what is in use has no copy that grows old
        assert sidecar.count("clients_entries") == before
        visit(sidecar, 10)
        assert sidecar.count("clients_entries") == before  # the same secret
        assert sidecar.upgrade()
        assert not kept.exists()  # the old master has nothing to keep
        assert sidecar.stop() == 0
        data = bytearray(kept.read_bytes())
        data[20] ^= 1  # in its header
        kept.write_bytes(data)
        sidecar.log_path.unlink()
        sidecar.start()
        assert sidecar.count("clients_entries") == 0
        assert len(sidecar.events("clients forgotten")) == 1
        os.kill(sidecar.process.pid, signal.SIGKILL)
        wait_until(lambda: not sidecar.workers, "the workers' end")
        sidecar.log_path.unlink()
        sidecar.start()  # nothing was kept: it was killed
        assert sidecar.count("clients_entries") == 0


def test_what_happened_is_told(model_path: Path) -> None:
    """Only to who is in the group; what is no such message is counted, whatever it is, and kills nothing."""
    with Table(model_path, 'outcomes = "unix:{here}/outcome.sock"\n') as sidecar:
        assert sidecar.events("started")[-1]["outcomes"] == f"unix:{sidecar.outcomes}"
        assert stat.S_IMODE(sidecar.outcomes.stat().st_mode) == 0o660
        with proxy(sidecar.outcomes) as nginx:
            tell(nginx, sidecar, MESSAGE.format(keys=KEYS).encode())
            for bad in (
                b"",
                b"\0" * 60000,
                b"<190>",
                b"x" * 3000,
                MESSAGE.format(keys=KEYS[1:]).encode(),
                os.urandom(900),
            ):
                tell(nginx, sidecar, bad, "bad_outcomes_total")
            long = MESSAGE.format(keys=KEYS).encode() + b"; charset=" + b"x" * 5000
            tell(nginx, sidecar, long)
            assert sidecar.count("clients_entries") == 0  # whom nobody asked about is not made by it
            log = sidecar.log_path.read_text()
            assert "charset" not in log
            assert not sidecar.events("outcomes lost")
            # The socket goes on over an upgrade, and whoever is connected with it.
            assert sidecar.upgrade()
            wait_until(lambda: sidecar.process.poll() is not None, "the old master's end")
            assert sidecar.count("outcomes_total") == 2
            tell(nginx, sidecar, MESSAGE.format(keys=KEYS).encode())
        assert sidecar.stop() == 0
        assert not sidecar.outcomes.exists()


def test_nobody_waits_for_a_master_that_stands_still(model_path: Path) -> None:
    with Table(model_path, 'outcomes = "unix:{here}/outcome.sock"\n') as sidecar:
        os.kill(sidecar.process.pid, signal.SIGSTOP)
        with proxy(sidecar.outcomes) as nginx:
            sent = sum(1 for _ in iter(lambda: told(nginx), False))
        assert ask(sidecar.address).status == 200
        os.kill(sidecar.process.pid, signal.SIGCONT)
        wait_until(lambda: sidecar.count("outcomes_total") == sent > 5, "those that fit")


def test_the_socket_of_another_sidecar_is_not_taken(model_path: Path) -> None:
    with Table(model_path, 'outcomes = "unix:{here}/outcome.sock"\n') as sidecar:
        other = sidecar.directory / "other.toml"
        other.write_text(sidecar.file.read_text())
        listen = f"unix:{sidecar.directory}/other.sock"
        command = [
            XBOT,
            "serve",
            "--model",
            str(model_path),
            "--config",
            str(other),
            "--listen",
            listen,
            "--board",
            "none",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 2
        assert "somebody answers on this socket" in done.stderr
        os.kill(sidecar.process.pid, signal.SIGKILL)
        sidecar.process.wait(TIMEOUT)
        wait_until(lambda: not sidecar.workers, "the workers' end")
        assert sidecar.outcomes.exists()
        sidecar.log_path.unlink()
        sidecar.start()  # what a dead one left behind is cleared
        with proxy(sidecar.outcomes) as nginx:
            tell(nginx, sidecar, MESSAGE.format(keys=KEYS).encode())


def test_a_key_grows_old() -> None:
    """Then nobody is found any more; its age goes on in the table of the next master, and in the file of a restart."""
    hour = 3_600_000
    table = Clients(Wanted(size="1MiB", key_hours=2))
    begun = core.read_clients(table.view)["keyed_ms"]
    assert abs(begun - time.time() * 1000) < 60_000
    secret = bytes(table.view[128:144])
    assert not table.renew(begun + 2 * hour - 1)
    assert bytes(table.view[128:144]) == secret
    next_one = Clients(Wanted(size="1MiB", key_hours=2), None, os.dup(table.fd))
    assert not next_one.renew(begun + 2 * hour - 1)
    assert next_one.renew(begun + 2 * hour)
    assert bytes(table.view[128:144]) != secret  # the very same memory
    assert not table.renew(begun + 2 * hour)
    assert not Clients(Wanted(size="1MiB")).renew(1 << 60)


def test_a_clock_that_is_none(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"7")
    for path, why in ((tmp_path / "none", "No such file or directory"), (tmp_path / "short", "no file of 8 bytes")):
        command = [
            XBOT,
            "serve",
            "--model",
            str(model_path),
            "--listen",
            f"unix:{tmp_path}/xbot.sock",
            "--board",
            "none",
        ]
        environment = {**os.environ, "XBOT_CLOCK": str(path)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False, env=environment)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1] == f"xbot: XBOT_CLOCK: {path}: {why}"
