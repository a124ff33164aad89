"""Faults of the machine, and of whoever else uses it: the master goes on, says so once, and mends what it can.

Law: each test is a row of docs/reliability.md. A fault is made as it happens, from outside, against the real command.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT, XBOT
from sidecar_harness import (
    TIMEOUT,
    Sidecar,
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

from sidecar import inputs
from sidecar.config.addresses import UnixAddress
from sidecar.config.options import DEFAULT_MODEL
from sidecar.errors import XbotError
from sidecar.serve import listeners


@contextlib.contextmanager
def started(*arguments: object, **how: object) -> Iterator[subprocess.Popen[bytes]]:
    """`xbot serve` with these arguments, whatever becomes of it; ended with its workers at the end of the block."""
    command = [XBOT, "serve", "--model", DEFAULT_MODEL, "--workers", "1", "--log-format", "json", *arguments]
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, **how)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        for pid in [process.pid, *children(process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(TIMEOUT)


def answers(address: str) -> bool:
    with contextlib.suppress(OSError, AssertionError):
        return ask(address).status == 200
    return False


def stopped_at(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def fill(pipe: int) -> None:
    """Write until nothing more is taken."""
    os.set_blocking(pipe, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe, b"." * 512 + b"\n")
    os.set_blocking(pipe, True)


# ---- 1. never blocked ----


def hears_all(process: subprocess.Popen[bytes], address: str) -> None:
    """It answers, hears that a worker has died, and that it shall end."""
    wait_until(lambda: answers(address), "an answer")
    (first,) = children(process.pid)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: children(process.pid) not in ([], [first]) and answers(address), "the next worker")
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 0


def test_a_stalled_reader_of_the_log_stops_nothing(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    ours, theirs = os.pipe()
    fill(theirs)
    with started("--listen", address, stderr=theirs) as process:
        os.close(theirs)
        hears_all(process, address)
    os.close(ours)


def test_lines_that_could_not_be_written_are_counted(tmp_path: Path) -> None:
    """At level debug each worker writes, too: 3,000 requests are more lines than wait."""
    address = f"unix:{tmp_path}/s"
    ours, theirs = os.pipe()
    fill(theirs)
    with started("--listen", address, "--log-level", "debug", stderr=theirs) as process:
        os.close(theirs)
        wait_until(lambda: answers(address), "an answer")
        with connect(address) as sock:
            for _ in range(3000):
                sock.sendall(head())
                assert read_reply(sock).status == 200
        text = b""
        while b"log lines dropped" not in text or not text.endswith(b"\n"):
            text += os.read(ours, 65536)
        lines = [json.loads(line) for line in text.splitlines() if line.startswith(b"{")]
        (dropped,) = [line for line in lines if line["event"] == "log lines dropped"]
        assert len([line for line in lines if line["event"] == "request"]) + dropped["lines"] > 2900
        process.send_signal(signal.SIGTERM)
        while os.read(ours, 65536):
            pass
        assert process.wait(TIMEOUT) == 0
    os.close(ours)


def test_a_lock_on_the_directory_of_the_socket_stops_no_start(tmp_path: Path) -> None:
    """Whoever can read a directory can lock it."""
    holder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        with Sidecar(DEFAULT_MODEL, listen=[f"unix:{tmp_path}/s"]) as sidecar:
            assert ask(sidecar.address).status == 200
            assert sidecar.events("directory locked")[0]["directory"] == str(tmp_path)
            assert sidecar.stop() == 0
            assert not (tmp_path / "s").exists()
    finally:
        os.close(holder)


@pytest.mark.parametrize("what", ["model", "configuration", "list"])
def test_a_fifo_in_the_place_of_a_file_is_refused_at_a_reload(what: str, tmp_path: Path) -> None:
    model, config, entries = tmp_path / "m.xbot", tmp_path / "xbot.toml", tmp_path / "l.txt"
    model.write_bytes(DEFAULT_MODEL.read_bytes())
    entries.write_text("203.0.113.0/24\n")
    config.write_text('[lists.l]\nnetwork_files = ["l.txt"]\n[policies.default]\nallow = ["l"]\n')
    path = {"model": model, "configuration": config, "list": entries}[what]
    kept = path.read_bytes()
    with Sidecar(model, "--config", config) as sidecar:
        path.unlink()
        os.mkfifo(path)
        with load(sidecar.address, keepalive=True) as outcome:
            sidecar.reload()
        assert outcome.scores
        assert not outcome.failures
        refused = sidecar.events("reload refused")[-1]["reason"]
        assert str(path) in refused
        assert "no regular file" in refused
        path.unlink()
        path.write_bytes(kept)
        sidecar.reload()
        assert len(sidecar.events("reloaded")) == 1
        assert sidecar.upgrade()
        assert sidecar.stop() == 0


@pytest.mark.parametrize("command", ["serve", "score", "inspect", "check"])
def test_a_fifo_in_the_place_of_the_model_is_refused_by_every_command(command: str, tmp_path: Path) -> None:
    fifo, log = tmp_path / "m", tmp_path / "log"
    os.mkfifo(fifo)
    log.write_text('203.0.113.7 - - [10/Oct/2026:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8"\n')
    rest = {"serve": ["--listen", f"unix:{tmp_path}/s"], "score": [str(log)]}.get(command, [])
    given = [str(fifo)] if command == "inspect" else ["--model", str(fifo), *rest]
    done = subprocess.run([XBOT, command, *given], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 2, done
    assert f"{fifo}: no regular file" in done.stdout + done.stderr


@pytest.mark.parametrize("what", ["model", "configuration"])
def test_a_file_that_says_it_has_no_end_is_refused_at_a_reload(what: str, tmp_path: Path) -> None:
    """A file with a hole, larger than the machine's memory."""
    model, config = tmp_path / "m.xbot", tmp_path / "xbot.toml"
    model.write_bytes(DEFAULT_MODEL.read_bytes())
    config.write_text("workers = 1\n")
    path = {"model": model, "configuration": config}[what]
    with Sidecar(model, "--config", config, workers=1) as sidecar:
        os.truncate(path, 1 << 40)
        sidecar.reload()
        assert sidecar.events("reload refused")[-1]["reason"] == f"{path}: larger than 512 MiB"
        assert ask(sidecar.address).status == 200


@pytest.mark.parametrize("command", ["serve", "score", "inspect"])
def test_too_little_memory_is_one_line(command: str, tmp_path: Path) -> None:
    model, log, most = tmp_path / "m", tmp_path / "log", 400 << 20
    model.touch()
    os.truncate(model, most)
    log.write_text('203.0.113.7 - - [10/Oct/2026:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8"\n')
    rest = {"serve": ["--listen", f"unix:{tmp_path}/s"], "score": ["--format", "combined", str(log)]}.get(command, [])
    given = [str(model)] if command == "inspect" else ["--model", str(model), *rest]
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most))  # noqa: E731
    done = subprocess.run(
        [XBOT, command, *given], capture_output=True, text=True, timeout=TIMEOUT, check=False, preexec_fn=limit
    )
    assert (done.returncode, done.stderr) == (2, "xbot: there is not enough memory for this\n")


# A model that is not read to its end while the file `flag` is there, as on a mount whose server is away.
DEAD_MOUNT = """
import time
from pathlib import Path
from sidecar import model
from sidecar.commands.cli import main
from sidecar.serve import duties
duties.LOAD_SECONDS = 2.0
load, flag = model.load, Path({flag!r})
def late(path):
    while flag.exists():
        time.sleep(0.05)
    return load(path)
model.load = late
main()
"""


def test_a_file_that_cannot_be_read_to_its_end_holds_up_no_signal(tmp_path: Path) -> None:
    """A reload gives up after a while, the next one is heard, and the end does not wait for it."""
    flag = tmp_path / "dead"
    with Sidecar(DEFAULT_MODEL, command=[sys.executable, "-c", DEAD_MOUNT.format(flag=str(flag))]) as sidecar:
        flag.touch()
        with load(sidecar.address, keepalive=True) as outcome:
            sidecar.reload()
        assert outcome.scores
        assert not outcome.failures
        assert "not read within" in sidecar.events("reload refused")[-1]["reason"]
        sidecar.reload()
        assert len(sidecar.events("reload refused")) == 2
        flag.unlink()
        sidecar.reload()
        assert len(sidecar.events("reloaded")) == 1
        flag.touch()
        sidecar.signal(signal.SIGHUP)
        time.sleep(0.3)
        assert sidecar.stop() == 0


def test_a_worker_that_is_stopped_while_it_boots_is_replaced() -> None:
    with Sidecar(DEFAULT_MODEL) as sidecar:
        for _ in range(50):
            before = sidecar.workers
            os.kill(before[0], signal.SIGKILL)
            wait_until(lambda: sidecar.workers not in (before, before[1:]), "the next one")  # noqa: B023
            (new,) = set(sidecar.workers) - set(before)
            os.kill(new, signal.SIGSTOP)
            wait_until(lambda: stopped_at(new), "its stop")  # noqa: B023
            if not any(event["pid"] == new for event in sidecar.events("worker ready")):
                break
            os.kill(new, signal.SIGCONT)
        with load(sidecar.address, keepalive=True) as outcome:
            end = time.monotonic() + 2 * TIMEOUT
            while alive(new):
                assert time.monotonic() < end, "the stopped worker is never missed"
                time.sleep(0.1)
            wait_until(lambda: len(sidecar.serving) == 2, "both")
        assert sidecar.events("worker killed")[-1]["why"].startswith("it was not ready within")
        assert not outcome.failures


def test_a_reload_while_it_starts_ends_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file, started("--listen", f"unix:{tmp_path}/s", stderr=file) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        wait_until(lambda: "sidecar/core/binding" in maps.read_text() or process.poll() is not None)
        while b'"worker ready"' not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            process.send_signal(signal.SIGHUP)
            time.sleep(0.01)
        wait_until(lambda: b'"reloaded"' in log.read_bytes(), "a reload")
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0


def test_more_listeners_than_a_worker_can_be_given_are_refused(tmp_path: Path) -> None:
    config = tmp_path / "xbot.toml"
    config.write_text("".join(f'[[listen]]\naddress = "unix:{tmp_path}/{i}"\n' for i in range(260)))
    done = subprocess.run(
        [XBOT, "serve", "--config", config], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert (done.returncode, done.stderr) == (2, f"xbot: {config}:1: listen: 260, at most 240\n")
    places = [word for i in range(260) for word in ("--listen", f"unix:{tmp_path}/{i}")]
    done = subprocess.run([XBOT, "serve", *places], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (done.returncode, done.stderr) == (2, "xbot: --listen: 260, at most 240\n")


def test_as_many_listeners_as_may_be_serve_and_are_handed_over(tmp_path: Path) -> None:
    config = tmp_path / "xbot.toml"
    place = tmp_path / ("a" * max(1, 95 - len(str(tmp_path))))
    place.mkdir()
    config.write_text("".join(f'[[listen]]\naddress = "unix:{place}/{i}"\n' for i in range(240)))
    with Sidecar(DEFAULT_MODEL, "--config", config, listen=[], workers=1) as sidecar:
        assert sidecar.upgrade(), sidecar.events("upgrade refused")
        assert {ask(address).status for address in sidecar.addresses} == {200}
        assert sidecar.stop() == 0


def open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def limit_files(pid: int, most: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, hard))


def test_no_descriptor_for_the_next_worker_is_said_once_and_passes() -> None:
    with Sidecar(DEFAULT_MODEL) as sidecar:
        limit_files(sidecar.master, open_files(sidecar.master) - 4)
        victim, other = sidecar.serving
        with load(sidecar.address, keepalive=True, retry=True) as outcome:
            os.kill(victim, signal.SIGKILL)
            sidecar.wait_for("worker cannot start")
            time.sleep(3)
        assert outcome.scores
        assert not outcome.failures
        assert len(sidecar.events("worker cannot start")) == 1
        assert not sidecar.events("master error")
        assert ask(sidecar.address).status == 200
        limit_files(sidecar.master, 1024)
        wait_until(lambda: len(sidecar.serving) == 2, "the next worker")
        assert other in sidecar.serving
        assert sidecar.stop() == 0


def test_another_affinity_refuses_no_reload() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    sidecar = Sidecar(DEFAULT_MODEL, workers=len(os.sched_getaffinity(0)))
    at = sidecar._command.index("--workers")
    del sidecar._command[at : at + 2]
    with sidecar:
        os.sched_setaffinity(sidecar.master, {min(os.sched_getaffinity(0))})
        sidecar.reload()
        assert not sidecar.events("reload refused")


def test_a_second_sigterm_ends_it_whatever_holds_it() -> None:
    """Here a master whose loop stands still."""
    program = (
        "import time; from pathlib import Path; from sidecar.serve.workers import Workers; drain = Workers.drain\n"
        "from sidecar.commands.cli import main\n"
        "Workers.drain = lambda self: (time.sleep(600), drain(self))\nmain()"
    )
    with Sidecar(DEFAULT_MODEL, command=[sys.executable, "-c", program]) as sidecar:
        sidecar.signal(signal.SIGTERM)
        sidecar.wait_for("draining")
        began, workers = time.monotonic(), sidecar.workers
        sidecar.signal(signal.SIGTERM)
        sidecar.process.wait(TIMEOUT)
        assert time.monotonic() - began < 5
        wait_until(lambda: not any(map(alive, workers)), "the end of the workers")


@pytest.mark.parametrize("closed", [(2,), (0, 1, 2)], ids=["standard error", "all"])
def test_standard_files_that_are_closed_cost_nothing(closed: tuple[int, ...], tmp_path: Path) -> None:
    """Whoever starts us may have closed them; the next file that was opened had the number of standard error."""
    address, board = f"unix:{tmp_path}/s", tmp_path / "board"
    board.mkdir(mode=0o700)
    close = lambda: [os.close(each) for each in closed]  # noqa: E731
    with started("--listen", address, "--board", board, preexec_fn=close) as process:
        wait_until(lambda: answers(address), "an answer")
        (first,) = children(process.pid)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: children(process.pid) not in ([], [first]) and answers(address), "the next worker")
        files = [each for each in board.iterdir() if each.is_file()]
        assert not [each for each in files if b"worker" in each.read_bytes()[:4096]]  # no line of the log
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0


@pytest.mark.parametrize("given", ["inspect nowhere", "--version"])
@pytest.mark.parametrize("how", ["2>&-", "2>/dev/full", ">&-", "<&-"])
def test_a_command_ends_with_its_status_whoever_reads_it(given: str, how: str) -> None:
    done = subprocess.run(["sh", "-c", f'exec "$0" {given} {how}', XBOT], capture_output=True, text=True, check=False)
    assert done.returncode == (0 if given == "--version" else 2), done
    assert "Traceback" not in done.stderr


def test_signals_that_were_blocked_at_the_start_are_heard(tmp_path: Path) -> None:
    """By whoever started us: the death of a worker was never heard of, nor SIGTERM."""
    address = f"unix:{tmp_path}/s"
    block = lambda: signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # noqa: E731
    with started("--listen", address, preexec_fn=block) as process:
        hears_all(process, address)


def test_a_flood_of_signals_drowns_none(tmp_path: Path) -> None:
    """Thousands come while the master's loop stands still, and then SIGTERM: the pipe by which the loop hears of signals was full."""
    log, flag = tmp_path / "log", tmp_path / "stands"
    program = (
        f"import time; from pathlib import Path; from sidecar.serve.reach import Reach; flag = Path({str(flag)!r})\n"
        "from sidecar.commands.cli import main\n"
        "def mend(self):\n    flag.touch()\n    while flag.exists(): time.sleep(0.001)\n"
        "Reach.mend = mend\nmain()"
    )
    command = [sys.executable, "-c", program, "serve", "--model", DEFAULT_MODEL, "--workers", "1"]
    command += ["--log-format", "json", "--listen", f"unix:{tmp_path}/s"]
    with log.open("wb") as file:
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stderr=file)
    try:
        wait_until(lambda: b'"worker ready"' in log.read_bytes(), "a start")
        process.send_signal(signal.SIGHUP)
        wait_until(flag.exists, "the loop to stand still")
        for number in (signal.SIGHUP, signal.SIGCHLD, signal.SIGWINCH) * 1500:
            process.send_signal(number)
            os.sched_yield()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        flag.unlink()
        assert process.wait(TIMEOUT) == 0
        assert b"Traceback" not in log.read_bytes()
    finally:
        for pid in [process.pid, *children(process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(TIMEOUT)


@pytest.mark.parametrize("what", ["larger", "a line", "mistakes"])
def test_a_list_that_is_none_is_told_in_a_line(what: str, tmp_path: Path) -> None:
    """A file of another kind: it took minutes, and each of its bytes was in the message."""
    config, entries = tmp_path / "xbot.toml", tmp_path / "l.txt"
    config.write_text('[lists.l]\nnetwork_files = ["l.txt"]\n[policies.default]\nallow = ["l"]\n')
    if what == "larger":
        entries.touch()
        os.truncate(entries, 300 << 20)
    else:
        entries.write_bytes(b"x" * (8 << 20) if what == "a line" else b"x\n" * 1_000_000)
    command = [XBOT, "serve", "--config", config, "--listen", f"unix:{tmp_path}/s"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 2
    assert str(entries) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert len(done.stderr) < 1000


def test_a_file_that_is_written_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The half of a configuration may be sound."""
    path, read, writes = tmp_path / "xbot.toml", os.read, [b"whole, at last"]
    path.write_bytes(b"half")

    def beside(fd: int, most: int) -> bytes:
        data = read(fd, most)
        if writes:
            path.write_bytes(writes.pop())
        return data

    monkeypatch.setattr(os, "read", beside)
    assert inputs.read_bytes(path) == b"whole, at last"
    writes[:] = [b"again" * n for n in range(1, 100)]
    with pytest.raises(XbotError, match=f"^{path}: changed while it was read$"):
        inputs.read_bytes(path)


@pytest.mark.parametrize("command", ["serve", "score", "inspect", "check"])
def test_a_link_to_itself_is_refused_by_every_command(command: str, tmp_path: Path) -> None:
    link, log = tmp_path / "m", tmp_path / "log"
    link.symlink_to("m")
    log.write_text('203.0.113.7 - - [10/Oct/2026:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8"\n')
    rest = {"serve": ["--listen", f"unix:{tmp_path}/s"], "score": [str(log)]}.get(command, [])
    given = [str(link)] if command == "inspect" else ["--model", str(link), *rest]
    done = subprocess.run([XBOT, command, *given], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 2, done
    assert f"{link}: Too many levels of symbolic links" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may open it")
def test_a_file_that_has_nothing_to_read_yet_is_refused() -> None:
    """The kernel's log is a regular file, and makes its reader wait."""
    with pytest.raises(XbotError, match=r"^/proc/kmsg: (Resource temporarily unavailable|Operation not permitted)$"):
        inputs.read_bytes(Path("/proc/kmsg"))  # to its end, which is none


def test_fewer_descriptors_than_it_needs_are_told(tmp_path: Path) -> None:
    few = [
        "sh",
        "-c",
        'ulimit -n 40 && exec "$0" "$@"',
        XBOT,
        "serve",
        "--listen",
        f"unix:{tmp_path}/s",
        "--workers",
        "1",
    ]
    done = subprocess.run(few, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    said = "xbot: 40 open files are allowed, and 66 are needed: ulimit -n, LimitNOFILE=\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_who_waits_for_a_descriptor_of_the_master_keeps_it_from_nothing() -> None:
    """A host at the socket `module`, and there is none for it: the loop went round and round."""

    def cpu(pid: int) -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    with Sidecar(DEFAULT_MODEL, workers=1, board=True) as sidecar, contextlib.ExitStack() as stack:
        assert sidecar.board is not None
        limit_files(sidecar.master, 10)
        for _ in range(3):
            peer = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            peer.connect(str(sidecar.board / "module"))
        before = cpu(sidecar.master)
        time.sleep(2)
        assert cpu(sidecar.master) - before < 0.15  # 0.01, and 0.28 on a busy machine where it went round
        limit_files(sidecar.master, 1024)
        peer.settimeout(TIMEOUT)
        assert peer.recv(4096)
        assert sidecar.stop() == 0


# ---- 2. seen from outside ----


def test_a_directory_that_only_root_can_search_is_told(tmp_path: Path) -> None:
    """To a sidecar of another user, as all but root are: the look once ended in an error, and nobody looked any more."""
    place = tmp_path / "d"
    place.mkdir()
    bound = listeners.bind(UnixAddress(place / "s"))
    assert bound.look() is None
    for each in (*reversed(list(place.parents)[:-1]),):
        if each.stat().st_uid == os.geteuid() and each.is_relative_to(tmp_path.parent.parent):
            each.chmod(0o755)
    place.chmod(0o600)
    was = os.geteuid()
    try:
        if was == 0:
            os.chown(place, 65534, 65534)
            os.seteuid(65534)
        assert bound.look() == f"{place}: it cannot be searched, or is not there"
    finally:
        os.seteuid(was)
    if was == 0:
        os.chown(place, 0, 0)
    place.chmod(0o755)
    assert bound.look() is None
    bound.close()


@pytest.mark.parametrize("fault", ["removed", "chmod", "directory", "no directory"])
def test_a_socket_that_cannot_be_reached_is_told_and_mended(fault: str, tmp_path: Path) -> None:
    place = tmp_path / "d"
    place.mkdir()
    path = place / "s"
    with Sidecar(DEFAULT_MODEL, "--admin", "127.0.0.1:0", listen=[f"unix:{path}", "127.0.0.1:0"]) as sidecar:
        assert get(sidecar.admin, "/readyz")[0] == 200
        if fault == "removed":
            path.unlink()
        elif fault == "chmod":
            path.chmod(0o600)
        elif fault == "directory":
            place.chmod(0o600)
        else:
            place.rename(tmp_path / "old")
            place.write_text("no directory")
        said = sidecar.wait_for("listener unreachable")
        assert said["listener"] == f"unix:{path}"
        status, text = get(sidecar.admin, "/readyz")
        assert status == 503
        assert f"unix:{path}" in text
        assert get(sidecar.admin, "/healthz") == (200, "alive\n")  # a restart would mend nothing
        time.sleep(3)
        assert len(sidecar.events("listener unreachable")) == 1
        if fault == "directory":  # not ours to mend
            place.chmod(0o755)
        elif fault == "no directory":
            place.unlink()
            (tmp_path / "old").rename(place)
        else:
            sidecar.reload()
        sidecar.wait_for("listener reachable")
        assert get(sidecar.admin, "/readyz")[0] == 200
        assert path.stat().st_mode & 0o777 == 0o660
        assert {ask(address).status for address in sidecar.addresses} == {200}
        os.kill(sidecar.serving[0], signal.SIGKILL)  # its successor has the new socket, too
        wait_until(lambda: len(sidecar.serving) == 2, "both")
        with load(sidecar.address, keepalive=False) as outcome:
            time.sleep(0.3)
        assert not outcome.failures
        assert sidecar.upgrade()
        assert ask(sidecar.address).status == 200
        assert sidecar.stop() == 0
        assert not path.exists()


@pytest.mark.parametrize("fault", ["removed", "chmod"])
def test_the_sockets_beside_those_of_proxies_are_mended_too(fault: str, tmp_path: Path) -> None:
    """Of control, outcomes and admin: after SIGHUP each is heard at its path, and an upgrade hands on what is there now."""
    places = [tmp_path / name for name in ("control", "outcomes", "admin")]
    control, outcomes, admin = places
    config = tmp_path / "xbot.toml"
    config.write_text(f'control = "{control}"\n[clients]\noutcomes = "unix:{outcomes}"\n')
    options = ("--config", config, "--board", "none", "--admin", f"unix:{admin}")
    message = b"<190>Nov 27 13:24:01 xbot: " + b"0123456789abcdef" * 3 + b" 200 5120 text/html"

    def heard(count: int) -> None:
        """Each of the three."""
        with connect(f"unix:{control}") as sock:
            sock.sendall(b'{"op": "status"}\n')
            assert json.loads(sock.makefile().readline())["ok"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(str(outcomes))
            sock.send(message)
        wait_until(lambda: sidecar.metrics()["xbot_outcomes_total"] == count, "the message")
        assert get(sidecar.admin, "/readyz")[0] == 200

    with Sidecar(DEFAULT_MODEL, *options, workers=1) as sidecar:
        heard(1)
        modes = [path.stat().st_mode for path in places]
        for path in places:
            path.unlink() if fault == "removed" else path.chmod(0)
        sidecar.wait_for("listener unreachable", 3)
        sidecar.reload()
        sidecar.wait_for("listener reachable", 3)
        assert [path.stat().st_mode for path in places] == modes
        heard(2)
        assert sidecar.upgrade()
        heard(3)
        assert sidecar.stop() == 0
        assert not any(path.exists() for path in places)


def test_a_worker_without_descriptors_says_so_once_and_goes_on() -> None:
    with Sidecar(DEFAULT_MODEL, workers=1) as sidecar:
        (worker,) = sidecar.serving
        limit_files(worker, open_files(worker) + 4)
        kept: list[socket.socket] = []
        with contextlib.ExitStack() as stack:
            for _ in range(30):
                kept.append(stack.enter_context(connect(sidecar.address)))
            sidecar.wait_for("out of descriptors")
            time.sleep(1)
            assert len(sidecar.events("out of descriptors")) == 1
            assert not sidecar.events("worker error")
        wait_until(lambda: answers(sidecar.address), "an answer")
        assert sidecar.serving == [worker]


# ---- 4. files of others ----


def test_workers_can_gain_no_privileges() -> None:
    with Sidecar(DEFAULT_MODEL) as sidecar:
        for worker in sidecar.workers:
            assert "NoNewPrivs:\t1\n" in Path(f"/proc/{worker}/status").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to drop")
def test_workers_of_root_have_no_capabilities(tmp_path: Path) -> None:
    """Also after a reload and in a worker that takes another's place; they read and answer as before."""

    def sets(pid: int) -> dict[str, int]:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return {
            name: int(value, 16) for name, _, value in (line.partition(":\t") for line in lines) if name[:3] == "Cap"
        }

    with Sidecar(DEFAULT_MODEL) as sidecar:
        assert sets(sidecar.master)["CapEff"]
        os.kill(sidecar.serving[0], signal.SIGKILL)
        wait_until(lambda: len(sidecar.serving) == 2, "both")
        sidecar.reload()
        for worker in sidecar.serving:
            assert sets(worker) == dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0)
        assert ask(sidecar.address).status == 200


def test_what_others_may_write_is_told(tmp_path: Path) -> None:
    model, config, place = tmp_path / "m.xbot", tmp_path / "xbot.toml", tmp_path / "open"
    place.mkdir()
    model.write_bytes(DEFAULT_MODEL.read_bytes())
    config.write_text(
        'model = "m.xbot"\n[lists.l]\nnetwork_files = ["open/l.txt"]\n[policies.default]\nallow = ["l"]\n'
    )
    (place / "l.txt").write_text("203.0.113.0/24\n")
    listen = ("--listen", f"unix:{tmp_path}/s")

    def checked() -> list[str]:
        done = subprocess.run(
            [XBOT, "check", config, *listen, "--json"], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        return [f["what"] for f in json.loads(done.stdout)["findings"] if "everybody may write" in f["what"]]

    assert checked() == []
    for path in (model, config):
        path.chmod(0o666)
    place.chmod(0o777)
    expected = [
        f"{path}: everybody may write there (mode {mode})"
        for path, mode in ((config, "0666"), (model, "0666"), (place, "0777"))
    ]
    assert checked() == expected
    with Sidecar(model, "--config", config) as sidecar:
        assert [f"{e['path']}: {e['problem']}" for e in sidecar.events("open to others")] == expected


def test_a_link_that_takes_the_place_of_the_socket_is_not_followed(tmp_path: Path) -> None:
    """Between bind and chown somebody who may write the directory puts a link there: what it names keeps its group and mode."""
    target, path = tmp_path / "target", tmp_path / "s"
    target.write_text("secret")
    target.chmod(0o600)
    program = f"""
import os, socket
class Raced(socket.socket):
    def bind(self, name):
        super().bind(name)
        if name == {str(path)!r}:
            os.unlink(name)
            os.symlink({str(target)!r}, name)
socket.socket = Raced
from sidecar.commands.cli import main
main()
"""
    arguments = ["serve", "--model", str(DEFAULT_MODEL), "--listen", f"unix:{path}", "--socket-group", "65534"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 2, done
    assert f"unix:{path}: " in done.stderr
    assert (target.stat().st_mode & 0o777, target.stat().st_gid) == (0o600, os.getegid())


def test_each_fault_is_a_row_of_the_table() -> None:
    """And each row of the table has its tests."""
    rows = re.findall(r"`((?:test_\w+\.py::)?test_\w+)`", (ROOT / "docs" / "reliability.md").read_text())
    tests = {each.name: each.read_text() for each in (ROOT / "tests").rglob("test_*.py")}
    here = Path(__file__).name
    for row in rows:
        file, _, name = row.rpartition("::")
        assert f"def {name}(" in tests[file or here], row
    ours = set(re.findall(r"^def (test_\w+)", tests[here], re.MULTILINE)) - {"test_each_fault_is_a_row_of_the_table"}
    assert ours <= set(rows)
