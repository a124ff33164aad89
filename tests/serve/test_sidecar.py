"""The sidecar as a whole: real processes, real sockets, the real command."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from places import ROOT, XBOT
from sidecar_harness import (
    BROWSER,
    CURL,
    TIMEOUT,
    LostError,
    Sidecar,
    activated,
    alive,
    ask,
    children,
    connect,
    get,
    head,
    listens,
    load,
    read_replies,
    read_reply,
    wait_until,
)

from sidecar import __version__, core

TCP = ["127.0.0.1:0"]


@pytest.fixture(params=["unix", "tcp"])
def sidecar(request, model_path):
    with Sidecar(model_path, listen=TCP if request.param == "tcp" else None) as running:
        yield running


@pytest.fixture
def served(tmp_path, model_path):
    """A copy of the model that a test may overwrite."""
    return Path(shutil.copy(model_path, tmp_path / "served.xbot"))


def replace(path: Path, data: bytes) -> None:
    beside = path.with_name("beside")
    beside.write_bytes(data)
    beside.replace(path)


# Answers


def send_until_it_blocks(sock: socket.socket, question: bytes, most: int = 16 << 20) -> int:
    """Bytes sent before nobody took more for a second."""
    sock.settimeout(1)
    sent = 0
    while sent < most:
        try:
            sent += sock.send((question * 50)[sent % len(question) :])
        except TimeoutError:
            return sent
    pytest.fail(f"{most} bytes of questions were taken, and no answer was read")


def test_who_asks_and_does_not_read_is_not_read_either(model_path):
    """Replies that nobody takes would otherwise pile up in the worker; and once they are taken, none is missing."""
    question = head()
    with Sidecar(model_path) as running, connect(running.address) as sock:
        replies = send_until_it_blocks(sock, question) // len(question)
        assert len(read_replies(sock, replies)) == replies


def test_it_answers_and_keeps_the_connection(sidecar):
    with connect(sidecar.address) as sock:
        for headers, verdict in ((CURL, "bot"), (BROWSER, "human")):
            sock.sendall(head(headers))
            reply = read_reply(sock)
            assert reply.status == 200
            assert reply["X-Bot"] == verdict
            assert reply["Content-Length"] == "0"
            assert len(reply["X-Bot-Score"]) == 6
            assert 0.0 <= float(reply["X-Bot-Score"]) <= 1.0
            assert reply["X-Bot-Reason"]
            assert "Connection" not in reply.headers


def test_pipelined_requests_get_their_replies_in_order(sidecar):
    with connect(sidecar.address) as sock:
        sock.sendall((head(CURL) + head(BROWSER)) * 50)
        replies = read_replies(sock, 100)
    assert [reply["X-Bot"] for reply in replies] == ["bot", "human"] * 50


def test_each_answer_has_an_id_of_its_own(sidecar):
    """Also two workers never give the same."""
    with connect(sidecar.address) as one, connect(sidecar.address) as other:
        one.sendall(head(BROWSER) * 100)
        other.sendall(head(BROWSER) * 100)
        ids = [reply["X-Bot-Id"] for sock in (one, other) for reply in read_replies(sock, 100)]
    assert len(set(ids)) == 200
    assert all(re.fullmatch("[0-9a-z]{12}", each) for each in ids)
    assert len({each[:2] for each in ids}) > 50  # no count to be seen in them


def test_a_request_byte_by_byte_gets_the_same_reply(sidecar):
    whole = ask(sidecar.address, head(BROWSER))
    with connect(sidecar.address) as sock:
        for byte in head(BROWSER):
            sock.sendall(bytes([byte]))
        assert read_reply(sock) == whole
        two = head(BROWSER) + head(CURL)
        for at in range(0, len(two), 7):  # the second head begins in the middle of a piece
            sock.sendall(two[at : at + 7])
        assert [reply["X-Bot"] for reply in read_replies(sock, 2)] == ["human", "bot"]


def test_broken_framing_is_400_and_the_end_of_its_connection_alone(sidecar):
    with connect(sidecar.address) as good, connect(sidecar.address) as bad:
        bad.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert read_reply(bad).status == 400
        assert bad.recv(1) == b""
        good.sendall(head())
        assert read_reply(good).status == 200


def test_enforce_refuses_bots_and_observe_nobody(model_path):
    with Sidecar(model_path, "--mode", "enforce") as sidecar:
        assert ask(sidecar.address, head(CURL)).status == 403
        assert ask(sidecar.address, head(BROWSER)).status == 200


def test_the_challenge_dialect(model_path):
    with Sidecar(model_path, "--dialect", "challenge") as sidecar, connect(sidecar.address) as sock:
        sock.sendall(b"GET /?ip=203.0.113.7&user_agent=curl%2F8.5.0&referer= HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_reply(sock).status in (204, 403)


def test_several_listeners_share_workers_and_counters(model_path):
    with Sidecar(model_path, "--admin", "127.0.0.1:0", listen=["127.0.0.1:0", "127.0.0.1:0"]) as sidecar:
        first, second = sidecar.addresses
        assert first != second
        assert ask(first) == ask(second)
        assert sidecar.counted("xbot_requests_total", verdict="bot") == 2


def test_a_client_that_aborts_does_no_harm(sidecar):
    for request in (b"", head()[:40], head(), head() * 200):
        for _ in range(25):
            sock = connect(sidecar.address)
            # On TCP this makes the close a reset; a Unix socket closed with unread replies resets by itself.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(request)
            sock.close()
    assert ask(sidecar.address).status == 200
    assert len(sidecar.workers) == 2
    assert {event["level"] for event in sidecar.events()} == {"info"}


# Workers


def test_killed_workers_lose_no_connection(model_path):
    """A request in the hands of a worker that is killed is lost with it; a proxy's second try must find an
    answer, and a new connection must never be refused."""
    with Sidecar(model_path) as sidecar:
        kills = 15
        with load(sidecar.address, keepalive=False, retry=True) as outcome:
            for _ in range(kills):
                time.sleep(0.2)
                os.kill(wait_until(lambda: sidecar.serving)[0], signal.SIGKILL)
            sidecar.wait_for("worker ready", 2 + kills)
        assert outcome.failures == []
        assert outcome.scores.total() > kills
        assert outcome.retried <= kills * 4  # at most what 4 clients had under way
        died = sidecar.events("worker died")
        assert [event["how"] for event in died] == ["SIGKILL"] * kills
        assert not sidecar.events("worker cannot start")


def test_a_connection_waits_while_no_worker_is_left(model_path):
    with Sidecar(model_path, workers=1) as sidecar:
        os.kill(sidecar.workers[0], signal.SIGKILL)
        assert ask(sidecar.address).status == 200
        sidecar.wait_for("worker died")


def test_workers_that_cannot_start_are_tried_ever_more_slowly(model_path, tmp_path):
    """The command with a worker that ends at once; the master must neither spin nor give up."""
    script = tmp_path / "broken.py"
    script.write_text(
        "from sidecar.commands import cli\nfrom sidecar.serve import spawn\n"
        "spawn._BOOT = 'raise SystemExit(3)'\ncli.main()\n"
    )
    sidecar = Sidecar(model_path, workers=0 + 1, command=[sys.executable, str(script)])
    sidecar._workers = 0  # none of them will be ready
    with sidecar:
        sidecar.wait_for("worker died", 7)
        (said,) = sidecar.events("worker cannot start")  # once, however often it is tried
        assert (said["tries"], said["next_try_seconds"], said["how"]) == (5, 0.5, "exit status 3")
        died = [datetime.fromisoformat(event["timestamp"]) for event in sidecar.events("worker died")]
        waits = [(later - sooner).total_seconds() for sooner, later in itertools.pairwise(died)]
        assert max(waits[:4]) < waits[4] < waits[5]
        assert (waits[4] > 0.5, waits[5] > 1.0) == (True, True)
        assert sidecar.stop() == 0


def test_a_worker_that_hangs_is_replaced(model_path, tmp_path):
    script = tmp_path / "impatient.py"
    script.write_text(
        "from sidecar.commands import cli; from sidecar.serve import workers\nworkers._PING_SECONDS = 0.1\ncli.main()\n"
    )
    with Sidecar(model_path, workers=1, command=[sys.executable, str(script)]) as sidecar:
        time.sleep(1.0)
        assert not sidecar.events("worker killed")  # one that answers stays
        os.kill(sidecar.workers[0], signal.SIGSTOP)
        assert sidecar.wait_for("worker killed")["why"] == "it hangs"
        assert ask(sidecar.address).status == 200


def test_a_killed_master_takes_its_workers_along(model_path):
    with Sidecar(model_path) as sidecar:
        path = Path(sidecar.address.removeprefix("unix:"))
        workers = sidecar.workers
        assert len(workers) == 2
        with connect(sidecar.address) as silent:  # an idle connection holds no worker back
            sidecar.signal(signal.SIGKILL)
            sidecar.process.wait(TIMEOUT)
            wait_until(lambda: not any(map(alive, workers)), "the workers' end")
            assert silent.recv(1) == b""
        assert path.is_socket()  # stale
        sidecar.log_path.unlink()
        sidecar.start()
        assert ask(sidecar.address).status == 200


def test_a_worker_is_small_and_holds_nothing_of_training(model_path):
    with Sidecar(model_path) as sidecar:
        for _ in range(50):
            ask(sidecar.address)
        for pid in sidecar.workers:
            maps = Path(f"/proc/{pid}/maps").read_text()
            assert "uvloop" in maps
            assert "sidecar/core" in maps
            for absent in ("numpy", "scipy", "sklearn", "msgspec"):
                assert absent not in maps
            status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            assert status["Name"] == "xbot-worker"
            if "libasan" not in maps:
                assert int(status["VmRSS"].split()[0]) < 28 * 1024


# The model


def test_a_hundred_swaps_under_load_lose_no_request(served, model_path, other_model_path):
    models = [model_path.read_bytes(), other_model_path.read_bytes()]
    with Sidecar(served) as sidecar:
        expected = set()
        with (
            load(sidecar.address, keepalive=True, clients=2) as kept,
            load(sidecar.address, keepalive=False) as fresh,
        ):
            for turn in range(100):
                replace(served, models[(turn + 1) % 2])
                sidecar.reload()
                expected.add(ask(sidecar.address, head(BROWSER))["X-Bot-Score"])
        assert len(sidecar.events("reloaded")) == 100
        assert not any(event["same_model"] for event in sidecar.events("reloaded"))
        assert len(expected) == 2
        for outcome in (kept, fresh):
            assert outcome.failures == []
            assert set(outcome.scores) == expected
        assert not sidecar.events("worker died")


def test_a_worker_started_later_gets_the_current_model(served, other_model_path):
    with Sidecar(served) as sidecar:
        before = ask(sidecar.address, head(BROWSER))
        replace(served, other_model_path.read_bytes())
        sidecar.reload()
        after = ask(sidecar.address, head(BROWSER))
        assert after != before
        served.unlink()  # from now on the bytes are in memory only
        for pid in sidecar.workers:
            os.kill(pid, signal.SIGKILL)
        sidecar.wait_for("worker ready", 4)
        for _ in range(10):
            assert ask(sidecar.address, head(BROWSER)) == after


def damaged(data: bytes, kind: str) -> bytes:
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    return {"corrupt": flipped, "truncated": data[:-1], "empty": b"", "text": b"not a model\n" * 100}[kind]


@pytest.mark.parametrize("kind", ["corrupt", "truncated", "empty", "text", "missing"])
def test_a_model_that_is_not_sound_is_refused_and_the_old_goes_on(served, kind):
    with Sidecar(served, "--admin", "127.0.0.1:0") as sidecar:
        before = ask(sidecar.address, head(BROWSER))
        good = served.read_bytes()
        if kind == "missing":
            served.unlink()
        else:
            replace(served, damaged(good, kind))
        with load(sidecar.address, keepalive=True) as outcome:
            sidecar.reload()
        refused = sidecar.wait_for("reload refused")
        assert refused["level"] == "error"
        assert refused["reason"].startswith(f"{served}: ")
        assert len(refused["reason"]) > len(f"{served}: ")
        assert outcome.failures == []
        assert ask(sidecar.address, head(BROWSER)) == before
        assert sidecar.metrics()['xbot_reloads_total{result="failed"}'] == 1
        replace(served, good)
        sidecar.reload()
        assert len(sidecar.events("reloaded")) == 1


# The socket


def serve(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`xbot serve` where it must fail: one line, status 2."""
    command = [XBOT, "serve", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 2, done
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("xbot: ")
    return done


def test_the_socket_has_its_mode_and_group_and_goes_at_the_end(model_path):
    with Sidecar(model_path, "--socket-group", str(os.getgid())) as sidecar:
        path = Path(sidecar.address.removeprefix("unix:"))
        assert path.is_socket()
        assert path.stat().st_mode & 0o777 == 0o660
        assert path.stat().st_gid == os.getgid()
        assert sidecar.stop() == 0
        assert not path.exists()


def test_a_stale_socket_is_cleared(model_path, tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    assert path.is_socket()
    with Sidecar(model_path, listen=[f"unix:{path}"]) as sidecar:
        assert ask(sidecar.address).status == 200


def test_a_second_sidecar_refuses_and_the_first_goes_on(model_path, sidecar):
    done = serve("--model", model_path, "--listen", sidecar.address)
    assert sidecar.address in done.stderr
    assert "another sidecar" in done.stderr
    assert ask(sidecar.address).status == 200


def test_a_socket_with_a_full_queue_counts_as_answering(model_path, tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        assert "somebody answers" in serve("--model", model_path, "--listen", f"unix:{path}").stderr
    assert path.is_socket()


def test_what_is_no_socket_is_never_removed(model_path, tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("mine")
    link.symlink_to(tmp_path / "nowhere")
    for path in (file, link, tmp_path):
        assert str(path) in serve("--model", model_path, "--listen", f"unix:{path}").stderr
    assert file.read_text() == "mine"
    assert link.is_symlink()


def test_a_socket_that_is_no_longer_ours_is_left_alone(model_path, tmp_path):
    path = tmp_path / "s"
    with Sidecar(model_path, listen=[f"unix:{path}"]) as sidecar:
        path.rename(tmp_path / "moved")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            assert sidecar.stop() == 0
            assert path.is_socket()


# The end


@pytest.mark.parametrize("listen", [None, TCP], ids=["unix", "tcp"])
def test_sigterm_lets_what_has_begun_finish(model_path, listen):
    with Sidecar(model_path, listen=listen, workers=1) as sidecar:
        begun_and_finished(sidecar)


def begun_and_finished(sidecar: Sidecar) -> None:
    begun, request = connect(sidecar.address), head()
    begun.sendall(request[:50])
    silent, idle = connect(sidecar.address), connect(sidecar.address)
    idle.sendall(request)
    read_reply(idle)
    sidecar.signal(signal.SIGTERM)
    sidecar.wait_for("draining")
    silent.sendall(request)  # it had connected in time
    assert read_reply(silent).status == 200
    assert idle.recv(1) == b""
    begun.sendall(request[50:])
    reply = read_reply(begun)
    assert reply.status == 200
    assert reply["Connection"] == "close"
    assert begun.recv(1) == b""
    for sock in (begun, silent, idle):
        sock.close()
    assert sidecar.process.wait(TIMEOUT) == 0
    assert sidecar.events("stopped")[0]["drained"] is True
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        connect(sidecar.address)


def test_sigterm_answers_what_waits_in_the_queue(model_path):
    """The worker is stopped, so that connections pile up in the kernel; then it is told to drain."""
    with Sidecar(model_path, workers=1) as sidecar:
        worker = sidecar.workers[0]
        os.kill(worker, signal.SIGSTOP)
        waiting = [connect(sidecar.address) for _ in range(50)]
        for sock in waiting:
            sock.sendall(head())
        sidecar.signal(signal.SIGTERM)
        sidecar.wait_for("draining")
        os.kill(worker, signal.SIGCONT)
        for sock in waiting:
            with sock:
                assert read_reply(sock).status == 200
        assert sidecar.process.wait(TIMEOUT) == 0


@pytest.mark.parametrize("keepalive", [False, True], ids=["new", "kept"])
def test_sigterm_under_load_resets_nobody(model_path, keepalive):
    with Sidecar(model_path) as sidecar:
        with load(sidecar.address, keepalive=keepalive) as outcome:
            wait_until(lambda: outcome.scores.total() > 50)
            assert sidecar.stop() == 0
        kinds = {type(failure) for failure in outcome.failures}
        assert kinds <= {FileNotFoundError, ConnectionRefusedError}, outcome.failures  # nobody there any more


def test_the_drain_timeout_ends_what_does_not_end(model_path):
    with Sidecar(model_path, "--drain-timeout", "0.3") as sidecar, connect(sidecar.address) as begun:
        begun.sendall(head()[:50])
        begun.sendall(head()[50:] + head()[:50])
        read_reply(begun)  # so that the worker has seen the beginning of the second
        assert sidecar.stop() == 0
        assert sidecar.events("stopped")[0]["drained"] is False


def test_sigterm_twice_ends_at_once(model_path):
    with Sidecar(model_path, "--drain-timeout", "3600") as sidecar, connect(sidecar.address) as begun:
        begun.sendall(head() + head()[:50])
        read_reply(begun)
        sidecar.signal(signal.SIGTERM)
        sidecar.wait_for("draining")
        assert sidecar.stop() == 0
        assert sidecar.events("stopped")[0]["drained"] is False


def test_signals_to_the_whole_group_drain_too(model_path):
    """What a terminal's Ctrl-C and a service manager do: workers leave the signal to the master."""
    with Sidecar(model_path, start_new_session=True) as sidecar, connect(sidecar.address) as begun:
        begun.sendall(head() + head()[:50])
        read_reply(begun)
        os.killpg(sidecar.process.pid, signal.SIGHUP)
        sidecar.wait_for("reloaded")
        os.killpg(sidecar.process.pid, signal.SIGINT)
        sidecar.wait_for("draining")
        begun.sendall(head()[50:])
        assert read_reply(begun).status == 200
        assert sidecar.process.wait(TIMEOUT) == 0
        assert not sidecar.events("worker died")


# systemd


def test_socket_activation_never_refuses_over_a_restart(model_path, tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(100)
        with activated(model_path, listening) as sidecar:
            assert sidecar.address == f"unix:{path}"
            assert ask(sidecar.address).status == 200
            assert sidecar.stop() == 0
        assert path.is_socket()
        with connect(f"unix:{path}") as early:  # nobody runs now
            early.sendall(head())
            with activated(model_path, listening):
                assert read_reply(early).status == 200


def test_socket_activation_by_something_else_is_named(model_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wrong:
        sidecar = activated(model_path, wrong)
        with (
            pytest.raises(AssertionError, match="inherited descriptor 3 is not a listening stream socket"),
            sidecar,
        ):
            pass


def test_systemd_is_told_of_every_state(model_path, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(TIMEOUT)

        def heard(state: str) -> str:
            while not (message := notify.recv(4096).decode()).startswith(state):
                pass
            return message

        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        with Sidecar(model_path, env=environment) as sidecar:
            assert "2 workers" in heard("READY=1")
            heard("WATCHDOG=1")
            heard("WATCHDOG=1")
            sidecar.reload()
            assert "MONOTONIC_USEC=" in heard("RELOADING=1")
            heard("READY=1")
            assert sidecar.stop() == 0
            heard("STOPPING=1")


# What the operator sees


def boot_time() -> int:
    """When the system began, in Unix time, as the kernel counts from."""
    return next(
        int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime ")
    )


@pytest.mark.parametrize("place", ["unix", "tcp"])
def test_the_admin_endpoint_counts(model_path, tmp_path, place):
    admin = f"unix:{tmp_path}/admin" if place == "unix" else "127.0.0.1:0"
    with Sidecar(model_path, "--admin", admin, "--mode", "enforce") as sidecar:
        assert get(sidecar.admin, "/readyz") == (200, "2 of 2 workers are up\n")
        assert get(sidecar.admin, "/elsewhere")[0] == 404
        for _ in range(3):
            ask(sidecar.address, head(CURL))
        for _ in range(4):
            ask(sidecar.address, head(BROWSER))
        assert ask(sidecar.address, b"nonsense\r\n\r\n").status == 400
        metrics = sidecar.metrics()
        assert sidecar.counted("xbot_requests_total", verdict="bot") == 3
        assert sidecar.counted("xbot_requests_total", verdict="human") == 4
        assert sidecar.counted("xbot_refused_total") == 3
        assert metrics["xbot_bad_requests_total"] == 1
        assert metrics["xbot_connections_total"] == 8
        assert metrics["xbot_workers"] == metrics["xbot_workers_up"] == 2
        assert metrics["xbot_verdict_seconds_count"] == metrics['xbot_verdict_seconds_bucket{le="+Inf"}'] == 7
        edges = [value for name, value in metrics.items() if name.startswith("xbot_verdict_seconds_bucket")]
        assert edges == sorted(edges)
        assert 0 < metrics["xbot_verdict_seconds_sum"] < 7
        assert metrics["xbot_probes_total"] == 0
        assert any(name.startswith("xbot_build_info") and f'version="{__version__}"' in name for name in metrics)
        started = float(Path(f"/proc/{sidecar.process.pid}/stat").read_text().rpartition(")")[2].split()[19])
        since_boot = metrics["process_start_time_seconds"] - boot_time()
        assert since_boot == pytest.approx(started / os.sysconf("SC_CLK_TCK"), abs=0.02)
        digest = subprocess.run(["sha256sum", model_path], capture_output=True, text=True, check=True).stdout.split()[0]
        assert any(name.startswith("xbot_model_info") and digest in name for name in metrics)


def test_counters_do_not_go_back_when_workers_die(model_path):
    with Sidecar(model_path, "--admin", "127.0.0.1:0") as sidecar:
        for turn in range(1, 4):
            for _ in range(10):
                ask(sidecar.address)
            for pid in sidecar.workers:
                os.kill(pid, signal.SIGKILL)
            sidecar.wait_for("worker ready", 2 + 2 * turn)
            metrics = sidecar.metrics()
            assert sidecar.counted("xbot_requests_total", verdict="bot") == 10 * turn
            assert metrics["xbot_worker_restarts_total"] == 2 * turn


def test_readyz_says_when_it_drains(model_path):
    with Sidecar(model_path, "--admin", "127.0.0.1:0") as sidecar, connect(sidecar.address) as begun:
        begun.sendall(head() + head()[:50])
        read_reply(begun)
        sidecar.signal(signal.SIGTERM)
        sidecar.wait_for("draining")
        assert get(sidecar.admin, "/readyz") == (503, "draining\n")
        begun.sendall(head()[50:])
        read_reply(begun)
        assert sidecar.process.wait(TIMEOUT) == 0


def test_the_log_tells_what_happens(served):
    with Sidecar(served) as sidecar:
        started = sidecar.events("started")[0]
        assert started["pid"] == sidecar.process.pid
        assert started["path"] == str(served)
        assert started["listeners"] == [f"{sidecar.address} (nginx)"]
        assert (started["workers"], started["policies"]) == (2, {"default": "observe"})
        assert {"version", "sha256", "timestamp"} <= set(started)
        ask(sidecar.address)
        sidecar.reload()
        sidecar.stop()
        names = [event["event"] for event in sidecar.events()]
        assert names == ["started", *["worker ready"] * 2, "reloaded", "draining", "stopped"]


def test_debugging_logs_each_request(model_path):
    with Sidecar(model_path, "--log-level", "debug") as sidecar:
        ask(sidecar.address, head(CURL, uri="/a?b", ip="203.0.113.9"))
        sidecar.wait_for("request", 1)  # another worker may write the next line
        ask(sidecar.address, head({**CURL, "User-Agent": 'x" \x1b[31m\xff'}))
        sidecar.wait_for("request", 2)
        first, second = sidecar.events("request")
        assert (first["level"], first["ip"], first["uri"], first["verdict"]) == (
            "debug",
            "203.0.113.9",
            "/a?b",
            "bot",
        )
        assert first["agent"] == "curl/8.5.0"
        assert first["pid"] in sidecar.workers
        assert second["agent"] == 'x" \x1b[31m\\xff'


def test_a_visitor_cannot_forge_a_line_of_the_text_log(model_path):
    with Sidecar(model_path, "--log-level", "debug", log_format="text") as sidecar:
        ask(
            f"unix:{sidecar.directory}/xbot.sock",
            head({**CURL, "User-Agent": "x\x1b[31m [error] worker died"}),
        )
        text = wait_until(lambda: "request " in (text := sidecar.log_path.read_text()) and text)
        assert "\x1b" not in text
        assert "agent='x\\x1b[31m [error] worker died'" in text


def test_a_log_that_nobody_reads_stops_nothing(model_path, tmp_path):
    reader, writer = os.pipe()
    command = [XBOT, "serve", "--model", model_path, "--listen", f"unix:{tmp_path}/s", "--workers", "1"]
    process = subprocess.Popen(command, stderr=writer)
    try:
        os.close(writer)
        wait_until(lambda: listens(f"unix:{tmp_path}/s") or process.poll() is not None)
        os.close(reader)
        assert ask(f"unix:{tmp_path}/s").status == 200
        worker = children(process.pid)[0]
        process.send_signal(signal.SIGHUP)
        os.kill(worker, signal.SIGKILL)
        assert ask(f"unix:{tmp_path}/s").status == 200
        process.terminate()
        assert process.wait(TIMEOUT) == 0
    finally:
        process.kill()
        process.wait()


# What may go wrong before it starts


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--listen", "nowhere"], "'nowhere' is neither unix:PATH nor HOST:PORT"),
        (["--listen", "unix:"], "no path after unix:"),
        (["--listen", "unix:" + "x" * 200], "at most 107 bytes"),
        (["--listen", "127.0.0.1:65536"], "'65536' is not a port"),
        (["--listen", "::1:80"], "in brackets"),
        (["--listen", "192.0.2.1:8080"], "192.0.2.1:8080: "),
        (["--listen", "unix:/nonexistent/s"], "directory /nonexistent: No such file or directory"),
        (
            ["--listen", "127.0.0.1:0", "--dialect", "gopher"],
            f"--dialect 'gopher' is not one of {', '.join(core.DIALECTS)}",
        ),
        (["--listen", "127.0.0.1:0", "--workers", "0"], "--workers"),
        (["--listen", "127.0.0.1:0", "--admin", "1"], "'1' is neither"),
        (["--listen", "unix:s", "--socket-group", "no-such-group"], "no group named 'no-such-group'"),
        ([], "no --listen"),
        (["--lisen", "127.0.0.1:0"], "--lisen"),
    ],
)
def test_wrong_arguments_are_named(model_path, arguments, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert named in serve("--model", model_path, *arguments).stderr
    assert not list(tmp_path.iterdir())


def test_a_missing_model_is_named(tmp_path):
    done = serve("--model", tmp_path / "none.xbot", "--listen", "127.0.0.1:0")
    assert done.stderr == f"xbot: {tmp_path}/none.xbot: No such file or directory\n"


# The command


def test_serving_imports_nothing_of_training():
    script = (
        "import sys; sys.argv[1:] = ['serve', '--help']\nfrom sidecar.commands import cli\n"
        "try: cli.main()\n"
        "except SystemExit: print([name for name in ('training', 'numpy', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n"), done


def test_every_command_is_listed_and_has_an_example(xbot):
    text = xbot("--help").stdout.decode()
    for name in ("serve", "nginx", "score", "explain", "inspect", "train"):
        assert f"\n  {name} " in text
        assert f"xbot {name} " in xbot(name, "--help").stdout.decode().partition("\n")[2]
    assert "..." not in text.partition("\n")[2]  # no line of the list is cut


def test_unknown_commands_are_one_line(xbot):
    assert xbot("sreve", code=2).stderr.decode().startswith("xbot: No such command 'sreve'")


def test_nginx_files_are_printed_and_written(xbot, tmp_path):
    files = ROOT / "nginx"
    texts = {path.name: path.read_text() for path in files.iterdir() if path.is_file()}
    printed = xbot("nginx", "--print", "--for", "1.22.1").stdout.decode()
    assert texts
    assert all(text in printed and f"---- {name} ----" in printed for name, text in texts.items())
    xbot("nginx", "--for", "1.22.1", "--write", tmp_path / "xbot")
    assert {path.name: path.read_text() for path in (tmp_path / "xbot").iterdir()} == texts
    xbot("nginx", "--for", "1.22.1", "--write", tmp_path / "xbot")  # the same again is fine
    changed = tmp_path / "xbot" / min(texts)
    changed.write_text("mine")
    assert f"{changed}.new" in xbot("nginx", "--for", "1.22.1", "--write", tmp_path / "xbot").stdout.decode()
    assert changed.read_text() == "mine"
    assert "one of --print and --write" in xbot("nginx", code=2).stderr.decode()


def test_a_reader_that_leaves_is_no_error():
    with subprocess.Popen([XBOT, "nginx", "--print"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


def test_lost_is_what_the_client_reports():
    """The clients of these tests do notice a reply that is cut off."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 200 OK\r\n")
        theirs.close()
        with pytest.raises(LostError):
            read_reply(ours)


def test_debug_lines_are_whole_json_even_from_many_workers(model_path):
    with Sidecar(model_path, "--log-level", "debug") as sidecar:
        with load(sidecar.address, keepalive=False, pause=0) as outcome:
            wait_until(lambda: outcome.scores.total() > 300)
        wait_until(lambda: len(sidecar.events("request")) >= outcome.scores.total())
        assert all(json.loads(line)["event"] for line in sidecar.log_path.read_text().splitlines())
