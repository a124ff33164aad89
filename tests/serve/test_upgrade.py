"""Upgrade in place by SIGUSR2: real masters, one after the other, on the same sockets.

Law: a sidecar here is started by a command line and, where the test changes anything, a file xbot.toml; what changes is
the file. A client that asks all the time must not see that anything happened.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from nginx_harness import EchoSite, Load, guarded, nginx_binary, running_nginx
from places import XBOT
from sidecar_harness import (
    BROWSER,
    TIMEOUT,
    Sidecar,
    activated,
    alive,
    ask,
    children,
    connect,
    get,
    head,
    load,
    read_reply,
    wait_until,
)

from sidecar.serve import upgrade

TCP = "127.0.0.1:0"


class Configured(Sidecar):
    """A sidecar with a file: `write(toml)` replaces it. The first listener is `xbot.sock` beside it, unless it says so."""

    def __init__(self, model: Path, toml: str, **more: object) -> None:
        super().__init__(model, listen=[], **more)  # type: ignore[arg-type]
        self.file = self.directory / "xbot.toml"
        self.model = Path(shutil.copy(model, self.directory / "site.xbot"))
        at = self._command.index("--model")
        del self._command[at : at + 4]  # and --workers: the file's
        self._command += ["--config", str(self.file)]
        self._workers = 1
        self.write(toml)

    def write(self, toml: str) -> None:
        self.file.write_text('model = "site.xbot"\n' + toml.replace("{here}", str(self.directory)))


LISTEN = '[[listen]]\naddress = "unix:{here}/xbot.sock"\n'


def test_a_new_master_takes_over_and_the_old_one_goes(model_path: Path) -> None:
    with Sidecar(model_path, "--admin", TCP, listen=None) as sidecar:
        before, admin, workers = sidecar.address, sidecar.admin, sidecar.workers
        with connect(sidecar.address) as begun:
            begun.sendall(head()[:50])
            assert sidecar.upgrade()
            assert (sidecar.address, sidecar.admin) == (before, admin)
            begun.sendall(head()[50:])  # the old one answers what it has begun
            assert read_reply(begun).status == 200
            assert begun.recv(1) == b""
        assert sidecar.process.wait(TIMEOUT) == 0
        assert sidecar.events("stopped")[-1]["drained"] is True
        assert not set(sidecar.workers) & set(workers)
        assert Path(f"/proc/{sidecar.master}/comm").read_text() == "xbot\n"
        assert len(sidecar.workers) == 2
        assert ask(sidecar.address).status == 200
        assert sidecar.counted("xbot_requests_total", verdict="bot") == 2  # also what the old one answered
        assert get(sidecar.admin, "/readyz")[0] == 200
        path = Path(before.removeprefix("unix:"))
        assert path.is_socket()
        sidecar.stop()
        assert not path.exists()  # it had become the new one's


@pytest.mark.parametrize("listen", [None, [TCP]], ids=["unix", "tcp"])
def test_upgrades_under_load_lose_nothing(model_path: Path, listen: list[str] | None) -> None:
    with Sidecar(model_path, listen=listen) as sidecar:
        with (
            load(sidecar.address, keepalive=True, clients=2) as kept,
            load(sidecar.address, keepalive=False, clients=2) as fresh,
        ):
            for _ in range(3):
                assert sidecar.upgrade()
        assert kept.failures == fresh.failures == []
        assert min(kept.scores.total(), fresh.scores.total()) > 100
        sidecar.wait_for("stopped", 3)


def test_it_takes_what_a_reload_cannot_change(model_path: Path) -> None:
    """Workers, listeners, admin, drain_timeout, log, code: everything is read again."""
    with Configured(model_path, f"workers = 1\n{LISTEN}") as sidecar:
        old = f"unix:{sidecar.directory}/xbot.sock"
        with load(old, keepalive=False) as outcome:
            sidecar.write(f'workers = 2\nadmin = "{TCP}"\n{LISTEN}[[listen]]\naddress = "{TCP}"\n')
            sidecar.reload()
            assert "SIGUSR2" in sidecar.events("reload refused")[0]["reason"]
            assert sidecar.upgrade()
        assert outcome.failures == []
        assert len(sidecar.workers) == 2
        assert [ask(address).status for address in sidecar.addresses] == [200, 200]
        tcp = sidecar.addresses[1]
        assert sidecar.metrics()["xbot_workers_up"] == 2

        sidecar.write(f'workers = 1\n[[listen]]\naddress = "{TCP}"\n')
        with load(tcp, keepalive=False) as outcome:
            second = sidecar.master
            assert sidecar.upgrade()
            wait_until(lambda: not alive(second))
        assert outcome.failures == []
        assert sidecar.addresses == [tcp]  # the same port
        with pytest.raises(FileNotFoundError):
            connect(old)
        with pytest.raises(ConnectionRefusedError):
            connect(sidecar.events("started")[-2]["admin"])


def test_what_is_dropped_answers_those_who_had_connected(model_path: Path) -> None:
    with Configured(model_path, f'workers = 1\n{LISTEN}[[listen]]\naddress = "{TCP}"\n') as sidecar:
        dropped = sidecar.address
        worker = sidecar.workers[0]
        os.kill(worker, signal.SIGSTOP)  # so that connections pile up
        waiting = [connect(dropped) for _ in range(20)]
        for sock in waiting:
            sock.sendall(head())
        sidecar.write(f'workers = 1\n[[listen]]\naddress = "{TCP}"\n')
        assert sidecar.upgrade()
        os.kill(worker, signal.SIGCONT)
        for sock in waiting:
            with sock:
                assert read_reply(sock).status == 200
        assert sidecar.process.wait(TIMEOUT) == 0
        assert not Path(dropped.removeprefix("unix:")).exists()


def test_a_socket_whose_file_is_gone_is_made_again(made_model_path: Path) -> None:
    """And its group is that of the new configuration; the one that is kept changes its group, too."""
    kept = '[[listen]]\naddress = "unix:{here}/kept.sock"\n'
    with Configured(made_model_path, f"workers = 1\n{LISTEN}{kept}") as sidecar:
        paths = [Path(address.removeprefix("unix:")) for address in sidecar.addresses]
        paths[0].unlink()
        groups = [*os.getgroups(), 4711] if os.geteuid() == 0 else os.getgroups()
        sidecar.write(f'workers = 1\nsocket_group = "{groups[-1]}"\n{LISTEN}{kept}')
        assert sidecar.upgrade()
        assert [ask(address).status for address in sidecar.addresses] == [200, 200]
        assert [path.stat().st_gid for path in paths] == [groups[-1]] * 2
        sidecar.stop()
        assert not any(path.exists() for path in paths)


# What keeps the old one


def test_a_new_master_that_does_not_come_up_changes_nothing(model_path: Path) -> None:
    good = f"workers = 1\n{LISTEN}"
    with (
        Configured(model_path, good) as sidecar,
        load(f"unix:{sidecar.directory}/xbot.sock", keepalive=False) as outcome,
    ):
        master, workers, address = sidecar.master, sidecar.workers, sidecar.address

        def refused() -> str:
            assert not sidecar.upgrade()
            event = sidecar.events("upgrade refused")[-1]
            assert event["level"] == "error"
            assert (sidecar.master, sidecar.workers) == (master, workers)
            assert not alive(sidecar.events("upgrading")[-1]["successor"])
            return str(event["reason"])

        sidecar.write(f'workers = "many"\n{LISTEN}')
        assert refused() == f"{sidecar.file}:2: workers: 'many' is not a whole number from 1 to 1024"
        sidecar.file.unlink()
        assert refused() == f"{sidecar.file}: No such file or directory"
        sidecar.write("workers = 1\n")
        assert refused().startswith("serve: no --listen")

        # A listener that is new, and was bound before it was known that another cannot be.
        new = sidecar.directory / "new.sock"
        sidecar.write(f'{good}[[listen]]\naddress = "unix:{new}"\n[[listen]]\naddress = "unix:/nonexistent/s"\n')
        assert refused().startswith("unix:/nonexistent/s: ")
        assert not new.exists()

        sidecar.write(good)
        whole = sidecar.model.read_bytes()
        sidecar.model.write_bytes(whole[:-1])
        assert refused().startswith(f"{sidecar.file}:1: model: {sidecar.model}: ")
        sidecar.model.write_bytes(whole)

        log = sidecar.log_path.read_text()
        assert "Traceback" not in log
        assert not re.search("^xbot: ", log, re.MULTILINE)  # the reason is in the old one's line, and nowhere else
        assert sidecar.upgrade()
        assert sidecar.address == address
    assert outcome.failures == []


FAULTS = {
    "raise RuntimeError('new code')": "the new master ended before it was ready: exit status 1: RuntimeError: new code",
    "os.kill(os.getpid(), signal.SIGKILL)": "the new master ended before it was ready: SIGKILL",
    "sys.argv.append('--zzz')": "No such option '--zzz'. (see xbot serve --help)",
    "from sidecar.serve import spawn; spawn._BOOT = 'raise SystemExit(3)'": "a worker cannot start: exit status 3",
}
CHANGED = """
import os, pathlib, signal, sys
exec(pathlib.Path({code!r}).read_text())
from sidecar.commands import cli
cli.main()
"""


@pytest.fixture
def code(tmp_path: Path) -> tuple[Path, list[str]]:
    """What a process of the command does first: a file, and the command. It stands for another version of xbot."""
    file, script = tmp_path / "code.py", tmp_path / "xbot.py"
    file.touch()
    script.write_text(CHANGED.format(code=str(file)))
    return file, [sys.executable, str(script)]


def test_broken_code_changes_nothing(made_model_path: Path, code: tuple[Path, list[str]]) -> None:
    file, command = code
    with Sidecar(made_model_path, workers=1, command=command) as sidecar:
        master, workers = sidecar.master, sidecar.workers
        with load(sidecar.address, keepalive=False) as outcome:
            for fault, reason in FAULTS.items():
                file.write_text(fault)
                assert not sidecar.upgrade()
                assert sidecar.events("upgrade refused")[-1]["reason"] == reason
        assert outcome.failures == []
        assert (sidecar.master, children(master)) == (master, workers)
        assert sidecar.stop() == 0
        assert not Path(sidecar.address.removeprefix("unix:")).exists()


def test_a_new_master_that_hangs_is_ended(made_model_path: Path, code: tuple[Path, list[str]]) -> None:
    file, command = code
    file.write_text("from sidecar.serve import upgrade; upgrade.SECONDS = 0.5")
    with Sidecar(made_model_path, "--drain-timeout", 0, workers=1, command=command) as sidecar:
        file.write_text("import time; time.sleep(1000)")
        assert not sidecar.upgrade()
        assert sidecar.events("upgrade refused")[0]["reason"] == "the new master was not ready within 0.5 s"
        assert not alive(sidecar.events("upgrading")[0]["successor"])
        assert ask(sidecar.address).status == 200


# What else happens in the middle

HELD = """
import asyncio
from sidecar.serve import upgrade
resign = upgrade.Predecessor.resign
async def late(self):
    gate = pathlib.Path({gate!r})
    gate.touch()
    while gate.exists():
        await asyncio.sleep(0.01)
    await resign(self)
upgrade.Predecessor.resign = late
"""


@pytest.fixture
def held(made_model_path: Path, tmp_path: Path, code: tuple[Path, list[str]]) -> Iterator[tuple[Sidecar, int, Path]]:
    """A sidecar in the middle of an upgrade, the new master, and a file: once it is removed, the upgrade goes on."""
    file, command = code
    gate = tmp_path / "gate"
    file.write_text(HELD.format(gate=str(gate)))
    with Sidecar(made_model_path, "--admin", TCP, workers=1, command=command) as sidecar:
        sidecar.signal(signal.SIGUSR2)
        new = sidecar.wait_for("upgrading")["successor"]
        wait_until(gate.exists, "the new master's workers")
        yield sidecar, new, gate


def test_a_killed_new_master_changes_nothing(held: tuple[Sidecar, int, Path]) -> None:
    sidecar, new, _ = held
    master, theirs = sidecar.master, children(new)
    assert len(theirs) == 1
    sidecar.signal(signal.SIGHUP)
    with load(sidecar.address, keepalive=False) as fresh, load(sidecar.address, keepalive=True) as kept:
        wait_until(lambda: fresh.scores.total() > 200)  # so that its workers have answered some
        assert sidecar.events("reloaded") == []
        os.kill(new, signal.SIGKILL)
        assert sidecar.wait_for("upgrade refused")["reason"].endswith("SIGKILL")
        wait_until(lambda: not any(map(alive, theirs)), "the end of its workers")
        sidecar.wait_for("reloaded")  # what was asked for meanwhile
    assert fresh.failures == kept.failures == []
    assert sidecar.master == master
    assert len(sidecar.workers) == 1


def test_a_killed_old_master_leaves_the_new_one(held: tuple[Sidecar, int, Path]) -> None:
    """Whoever is left is the master: it owns the sockets, and the site has not noticed."""
    sidecar, new, gate = held
    with load(sidecar.address, keepalive=False, retry=True) as outcome:
        sidecar.process.kill()
        sidecar.process.wait(TIMEOUT)
        gate.unlink()
        assert sidecar.wait_for("took over")["pid"] == new
        assert ask(sidecar.address).status == 200
    assert outcome.failures == []
    path = Path(sidecar.address.removeprefix("unix:"))
    assert path.is_socket()
    sidecar.signal(signal.SIGTERM)
    wait_until(lambda: not alive(new))
    assert not path.exists()


def test_other_signals_wait_or_are_refused(held: tuple[Sidecar, int, Path]) -> None:
    """A second SIGUSR2 is refused, whoever gets it; a SIGHUP is the new one's to carry out."""
    sidecar, new, gate = held
    sidecar.signal(signal.SIGUSR2)
    assert sidecar.wait_for("upgrade refused")["reason"] == "one is under way"
    os.kill(new, signal.SIGUSR2)
    assert sidecar.wait_for("upgrade refused", 2)["reason"] == "this master has not taken over yet"
    sidecar.signal(signal.SIGHUP)
    worker = sidecar.serving[0]
    os.kill(worker, signal.SIGSTOP)  # so that the old one takes its time to drain
    assert sidecar.events("reloaded") == []
    gate.unlink()
    sidecar.wait_for("reloaded")
    names = [event["event"] for event in sidecar.events()]
    assert names.index("took over") < names.index("reloaded")
    wait_until(lambda: sidecar.metrics()['xbot_reloads_total{result="ok"}'] == 1)
    sidecar.process.send_signal(signal.SIGUSR2)
    assert sidecar.wait_for("upgrade refused", 3)["reason"] == "this master is draining"
    os.kill(worker, signal.SIGCONT)
    assert sidecar.process.wait(TIMEOUT) == 0
    assert sidecar.master == new


def test_process_1_of_a_container_stays(made_model_path: Path) -> None:
    """Its end would be the end of the new master, too."""
    alone = ["unshare", "--pid", "--fork"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare --pid is not allowed here")
    with Sidecar(made_model_path, workers=1, command=[*alone, XBOT]) as sidecar:
        (master,) = children(sidecar.process.pid)
        os.kill(master, signal.SIGUSR2)
        assert "container" in sidecar.wait_for("upgrade refused")["reason"]
        assert ask(sidecar.address).status == 200
        os.kill(master, signal.SIGKILL)


@pytest.mark.parametrize("whole_group", [False, True], ids=["master", "group"])
def test_sigterm_ends_both(held: tuple[Sidecar, int, Path], whole_group: bool) -> None:
    """Sent to the old one, or, as a service manager does, to every process."""
    sidecar, new, _ = held
    workers = children(new) + sidecar.workers
    for pid in [sidecar.process.pid, *([new, *workers] if whole_group else [])]:
        os.kill(pid, signal.SIGTERM)
    assert sidecar.process.wait(TIMEOUT) == 0
    assert not any(alive(pid) for pid in [new, *workers])
    assert not Path(sidecar.address.removeprefix("unix:")).exists()
    assert [event["drained"] for event in sidecar.events("stopped")] == [True, True]


def test_a_variable_that_was_left_behind_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for left in ("x", "99999 1", f"{theirs.fileno()} {os.getpid()}", f"0 {os.getpid()}", "3"):
            monkeypatch.setenv(upgrade.VARIABLE, left)
            assert upgrade.Predecessor.find() is None
            assert upgrade.VARIABLE not in os.environ
        theirs.send(b"still open")


# systemd


def test_activated_sockets_pass_on(made_model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(100)
        with activated(made_model_path, listening, "--dialect", "challenge") as sidecar:
            before = sidecar.events("started")[0]["listeners"]
            for _ in range(2):
                old = sidecar.master
                assert sidecar.upgrade()
                wait_until(lambda old=old: not alive(old))
                question = b"GET /?ip=203.0.113.7&user_agent=curl&referer= HTTP/1.1\r\nHost: x\r\n\r\n"
                assert ask(sidecar.address, question).status in (204, 403)
            assert sidecar.events("started")[-1]["listeners"] == before
            assert sidecar.stop() == 0
        assert path.is_socket()  # systemd's


def test_systemd_is_told_who_the_main_process_is(
    made_model_path: Path, tmp_path: Path, code: tuple[Path, list[str]]
) -> None:
    """Each message with its sender: the kernel says who that was, and systemd asks it too."""
    file, command = code
    said: list[tuple[int, str]] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

        def listen() -> None:
            while True:
                data, ancillary, _, _ = notify.recvmsg(4096, 1024)
                if data == b"end":
                    return
                said.append((struct.unpack("i", ancillary[0][2][:4])[0], data.decode().partition("\n")[0]))

        threading.Thread(target=listen, daemon=True).start()
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "50000"}
        with Sidecar(made_model_path, workers=1, command=command, env=environment) as sidecar:
            old = sidecar.process.pid
            file.write_text("raise SystemExit(1)")
            assert not sidecar.upgrade()
            file.write_text("")
            assert sidecar.upgrade()
            new = sidecar.master
            sidecar.process.wait(TIMEOUT)
            wait_until(lambda: (new, "WATCHDOG=1") in said)
            sidecar.stop()
            wait_until(lambda: (new, "STOPPING=1") in said)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"end", str(tmp_path / "notify"))
    refused = [(old, "READY=1"), (old, "RELOADING=1"), (old, "READY=1")]
    done = [(old, "RELOADING=1"), (old, f"MAINPID={new}"), (new, "READY=1"), (new, "STOPPING=1")]
    assert [one for one in said if one[1] != "WATCHDOG=1"] == refused + done
    assert (old, "WATCHDOG=1") not in said[said.index((old, f"MAINPID={new}")) :]
    assert (new, "WATCHDOG=1") not in said[: said.index((new, "READY=1"))]


# Through nginx


@pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")
@pytest.mark.parametrize("upgrades", [3, pytest.param(20, marks=pytest.mark.long)])
def test_upgrades_and_reloads_lose_nothing_behind_nginx(
    model_path: Path, other_model_path: Path, tmp_path: Path, upgrades: int
) -> None:
    """With five reloads to each upgrade."""
    reloads = 5
    models = [path.read_bytes() for path in (other_model_path, model_path)]
    with (
        Configured(model_path, f"workers = 2\n{LISTEN}") as sidecar,
        EchoSite() as site,
        running_nginx(guarded(site), socket=sidecar.address, workers=2) as nginx,
        Load(nginx, headers=BROWSER) as visitors,
    ):
        for turn in range(upgrades):
            for again in range(reloads):
                beside = tmp_path / "beside"
                beside.write_bytes(models[(turn + again) % 2])
                shutil.move(beside, sidecar.model)
                sidecar.reload()
            sidecar.write(f"workers = {1 + turn % 2}\n{LISTEN}")
            assert sidecar.upgrade()
        assert len(sidecar.events("reloaded")) == upgrades * reloads
    assert visitors.failures == []
    assert set(visitors.outcomes) <= {(200, "human"), (200, "bot")}
    assert visitors.total > 100
