"""A hand on the wheel: a running sidecar, steered by the commands over its control socket.

Law: the sidecar is a real one, the commands are run as an operator runs them; what a visitor gets is asked of the sidecar.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import re
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import ROOT, run_xbot
from sidecar_harness import BROWSER, CURL, TIMEOUT, Reply, Sidecar, ask, connect, head, read_reply, wait_until

ENFORCE = ("--mode", "enforce")


def control_of(sidecar: Sidecar) -> str:
    return str(sidecar.events("started")[-1]["control"].removeprefix("unix:"))


def xbot(sidecar: Sidecar, *words: object, code: int = 0) -> str:
    """What a command says, on standard output or, where it fails, on standard error."""
    done = run_xbot(*words, "--control", control_of(sidecar), code=code)
    return (done.stderr if code else done.stdout).decode()


def said(sidecar: Sidecar, line: bytes) -> dict[str, Any]:
    """The reply to a line, as it is."""
    with connect(f"unix:{control_of(sidecar)}") as sock:
        sock.sendall(line)
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    answer: dict[str, Any] = json.loads(data)
    return answer


@pytest.fixture
def steered(tmp_path: Path, model_path: Path) -> Iterator[Sidecar]:
    """A sidecar that refuses bots, with a board."""
    board = tmp_path / "board"
    board.mkdir(mode=0o755)
    with Sidecar(model_path, *ENFORCE, "--board", board, "--admin", "127.0.0.1:0") as running:
        yield running


def bot(sidecar: Sidecar, **where: str) -> Reply:
    return ask(sidecar.address, head(CURL, **where))


def test_observe_stops_refusals_at_once_and_configured_begins_them_again(steered: Sidecar) -> None:
    assert bot(steered).status == 403
    assert "policy default: observe by hand, until another is said (configured: enforce)" in xbot(
        steered, "mode", "observe"
    )
    for _ in range(50):  # whichever worker answers
        reply = bot(steered)
        assert (reply.status, reply["X-Bot"]) == (200, "bot")
    assert "policy default: enforce\n" in xbot(steered, "mode", "configured")
    assert bot(steered).status == 403


def test_a_worker_that_hangs_refuses_nobody_either(steered: Sidecar) -> None:
    """It answers nobody while it hangs. What it answers when it goes on is answered by the new mode."""
    worker, other = steered.workers
    connections = [connect(steered.address) for _ in range(40)]
    with contextlib.ExitStack() as stack:
        for sock in connections:
            stack.enter_context(sock)
            sock.sendall(head(CURL))
            assert read_reply(sock).status == 403
        for pid in (worker, other):
            os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            xbot(steered, "mode", "observe", "--for", "1h")
            took = time.monotonic() - began
            for sock in connections:
                sock.sendall(head(CURL))
        finally:
            os.kill(other, signal.SIGCONT)
        answered = []
        for sock in connections:  # those of the worker that hangs get nothing
            sock.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                answered.append(read_reply(sock).status)
        os.kill(worker, signal.SIGCONT)
        for sock in connections:
            sock.settimeout(TIMEOUT)
        wait_until(lambda: bot(steered).status == 200)
        assert set(answered) <= {200}
        assert took < TIMEOUT


def test_it_holds_over_a_reload_and_an_upgrade(steered: Sidecar) -> None:
    xbot(steered, "mode", "observe", "--for", "1h")
    xbot(steered, "allow", "203.0.113.9", "--for", "1h")
    steered.reload()
    assert bot(steered).status == 200
    assert steered.upgrade()
    assert bot(steered).status == 200
    status = json.loads(xbot(steered, "status", "--json"))
    assert status["pid"] == steered.master
    assert status["policies"]["default"]["mode"] == "observe"
    assert 3000 < status["policies"]["default"]["seconds"] < 3600
    assert [each["address"] for each in status["allowed"]] == ["203.0.113.9"]
    xbot(steered, "mode", "configured")  # by the new master
    assert bot(steered).status == 403


def test_it_outlives_a_sidecar_that_is_killed(steered: Sidecar) -> None:
    xbot(steered, "mode", "observe", "--for", "1h")
    workers = steered.workers
    os.kill(steered.process.pid, signal.SIGKILL)
    steered.process.wait(TIMEOUT)
    wait_until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in workers))
    steered.log_path.unlink()
    steered.start()
    assert bot(steered).status == 200
    assert steered.events("mode by hand")[0]["since"] == "before"


def test_it_runs_out_by_itself(steered: Sidecar) -> None:
    """Also where the master can do nothing about it."""
    xbot(steered, "mode", "observe", "--for", "1s")
    assert bot(steered).status == 200
    os.kill(steered.master, signal.SIGSTOP)
    try:
        wait_until(lambda: bot(steered).status == 403)
    finally:
        os.kill(steered.master, signal.SIGCONT)
    assert "policy default: enforce\n" in xbot(steered, "status")


def test_off_tells_the_site_nothing(steered: Sidecar) -> None:
    xbot(steered, "mode", "off")
    reply = bot(steered)
    assert (reply.status, reply["X-Bot"]) == (200, "unknown")
    assert not {"X-Bot-Score", "X-Bot-Reason"} & reply.headers.keys()


def test_allow_lets_by_one_address(steered: Sidecar) -> None:
    assert "allowed by hand: 203.0.113.9, for 29m" in xbot(steered, "allow", "203.0.113.9", "--for", "30m")
    reply = bot(steered, ip="203.0.113.9")
    assert (reply.status, reply["X-Bot"], reply["X-Bot-Reason"]) == (200, "human", "allow=xbot.allow")
    assert bot(steered, ip="203.0.113.8").status == 403
    assert "allowed by hand" not in xbot(steered, "allow", "203.0.113.9", "--end")
    assert bot(steered, ip="203.0.113.9").status == 403
    assert "allowed by hand: 2001:db8:7::/48, for 59m" in xbot(steered, "allow", "2001:db8:7::/48")
    assert bot(steered, ip="2001:db8:7:1::5").status == 200


POLICIES = """
[policies.default]
mode = "enforce"
[policies.login]
mode = "enforce"
paths = ["/login"]
"""


def test_one_policy_alone(tmp_path: Path, model_path: Path) -> None:
    configuration = tmp_path / "xbot.toml"
    configuration.write_text(POLICIES)
    with Sidecar(model_path, "--config", configuration, "--control", tmp_path / "c") as running:
        xbot(running, "mode", "observe", "--policy", "login")
        assert bot(running, uri="/login").status == 200
        assert bot(running).status == 403
        assert xbot(running, "mode", "observe", "--policy", "nix", code=2) == (
            "xbot: no policy 'nix'; there are default, login\n"
        )
        xbot(running, "mode", "observe")  # of all: what was said of single ones is over
        xbot(running, "mode", "enforce", "--policy", "login")
        assert (bot(running, uri="/login").status, bot(running).status) == (403, 200)
        xbot(running, "mode", "off")
        assert bot(running, uri="/login")["X-Bot"] == "unknown"
        # A reload that drops a policy, and one that brings it back.
        xbot(running, "mode", "observe", "--policy", "login")
        configuration.write_text(POLICIES.partition("[policies.login]")[0])
        running.reload()
        configuration.write_text(POLICIES)
        running.reload()
        assert bot(running, uri="/login")["X-Bot"] == "bot"
        assert bot(running, uri="/login").status == 200


def test_enforce_by_hand(tmp_path: Path, model_path: Path) -> None:
    with Sidecar(model_path, "--control", tmp_path / "c", "--board", "none") as running:
        assert bot(running).status == 200
        xbot(running, "mode", "enforce", "--for", "1h")
        assert bot(running).status == 403
        assert ask(running.address, head(BROWSER)).status == 200


def test_where_the_status_is_all_that_is_read_nobody_is_refused_either(tmp_path: Path, model_path: Path) -> None:
    with Sidecar(model_path, "--control", tmp_path / "c", "--dialect", "challenge") as running:
        question = b"GET /?ip=192.0.2.1&user_agent=curl%2F8&referer= HTTP/1.1\r\nHost: a\r\n\r\n"
        assert ask(running.address, question).status == 403
        xbot(running, "mode", "observe")
        assert ask(running.address, question).status == 204


def test_reload_says_what_became_of_it(tmp_path: Path, model_path: Path) -> None:
    configuration = tmp_path / "xbot.toml"
    configuration.write_text("[policies.default]\n")
    with Sidecar(model_path, "--config", configuration, "--control", tmp_path / "c") as running:
        configuration.write_text('[policies.default]\nmode = "enforce"\n')
        assert "policy default: enforce\n" in xbot(running, "reload")
        configuration.write_text('[policies.default]\nmode = "nix"\n')
        told = xbot(running, "reload", code=2)
        assert told.startswith(f"xbot: reload refused: {configuration}:2: policies.default.mode: ")
        assert told.count("\n") == 1
        assert bot(running).status == 403


def test_who_asked_is_in_the_log_and_what_holds_in_the_metrics(steered: Sidecar) -> None:
    xbot(steered, "mode", "observe", "--for", "1h")
    xbot(steered, "allow", "203.0.113.9")
    for event in ("mode by hand", "allowed by hand"):
        logged = steered.wait_for(event)
        assert (logged["uid"], logged["level"]) == (os.getuid(), "warning")
        assert logged["pid"] not in (os.getpid(), steered.master)
        assert logged["seconds"] == 3600
    metrics = steered.metrics()
    assert 3000 < metrics['xbot_mode_by_hand_seconds{mode="observe",policy="*"}'] < 3600
    assert metrics["xbot_allowed_by_hand"] == 1
    assert "203.0.113" not in str(metrics)


def test_the_socket_is_not_the_proxys(tmp_path: Path, model_path: Path) -> None:
    """In a directory that gives its files the proxy's group, too."""
    other = next(each.gr_gid for each in grp.getgrall() if each.gr_gid not in (0, os.getegid()))
    board = tmp_path / "board"
    board.mkdir(mode=0o755)
    if os.geteuid() == 0:
        os.chown(board, -1, other)
        board.chmod(0o2755)
    with Sidecar(model_path, "--board", board, "--socket-group", str(os.getegid())) as running:
        found = Path(control_of(running)).stat()
        assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, os.getegid())
        assert running.upgrade()
        assert Path(control_of(running)).stat().st_gid == os.getegid()
    if os.geteuid() == 0:
        place = tmp_path / "c"
        with Sidecar(model_path, "--control", place, "--control-group", other) as running:
            assert place.stat().st_gid == other
            assert running.upgrade()
            assert place.stat().st_gid == other


def test_there_is_none_without_a_board_or_where_nobody_wants_one(tmp_path: Path, model_path: Path) -> None:
    (tmp_path / "board").mkdir(mode=0o755)
    for options in (("--board", "none"), ("--board", str(tmp_path / "board"), "--control", "none")):
        with Sidecar(model_path, *options) as running:
            assert "control" not in running.events("started")[-1]
    told = run_xbot("serve", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:9", code=2).stderr.decode()
    assert told == "xbot: --control '127.0.0.1:9' is not an absolute path, or none\n"
    for words, said in (
        (("allow", "::1", "--for", "31d"), "--for: must be a number of seconds, at most 30 days"),
        (("mode", "observe", "--for", "0s"), "--for: must be more than 0 seconds, at most ten years"),
        (("mode", "observe", "--policy", "x" * 99), "--policy: must be a name, at most 31 letters"),
        (("allow", "10.0.0.0/33"), "'10.0.0.0/33' does not appear to be an IPv4 or IPv6 network"),
    ):
        assert run_xbot(*words, "--control", tmp_path / "nix", code=2).stderr.decode() == f"xbot: {said}\n"
    told = run_xbot("status", "--control", tmp_path / "nix", code=2).stderr.decode()
    assert told == f"xbot: {tmp_path}/nix: no such socket; does a sidecar run with a board? --control names another\n"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "not understood: Input data was truncated"),
        (b"{}\n", "not understood: Object missing required field `op`"),
        (b'{"op":"mode","mode":"nix"}\n', "not understood: Invalid enum value 'nix' - at `$.mode`"),
        (b'{"op":"mode","mode":"observe","seconds":-1}\n', "not understood: Expected `float` > 0.0 - at `$.seconds`"),
        (b'{"op":"mode","mode":"observe","seconds":1e999}\n', "not understood: "),
        (b'{"op":"status","more":1}\n', "not understood: Object contains unknown field `more`"),
        (b'{"op":"allow","address":"x\xff","seconds":1}\n', "not understood: "),
        (b'{"op":"allow","address":"example.com","seconds":1}\n', "'example.com' does not"),
        (b"[" * 4000 + b"\n", "not understood: "),
        (b"x" * 5000 + b"\n", "longer than 4096 bytes"),
    ],
)
def test_what_is_not_understood_changes_nothing(steered: Sidecar, line: bytes, why: str) -> None:
    with connect(f"unix:{control_of(steered)}") as sock:
        sock.sendall(line)
        sock.shutdown(socket.SHUT_WR)
        answer = json.loads(b"".join(iter(lambda: sock.recv(65536), b"")))
    assert answer["ok"] is False
    assert answer["error"].startswith(why)
    assert not steered.events("mode by hand")


def test_clients_that_stall_harm_nobody(steered: Sidecar) -> None:
    """Neither one that says half of it, nor one that does not read, nor many of both."""
    place = f"unix:{control_of(steered)}"
    with contextlib.ExitStack() as stack:
        for number in range(60):
            sock = stack.enter_context(connect(place))
            sock.sendall((b'{"op":"mode","mode":"obs', b'{"op":"status"}\n', b"")[number % 3])
        began = time.monotonic()
        assert "policy default: observe by hand" in xbot(steered, "mode", "observe")
        assert time.monotonic() - began < 5
        assert bot(steered).status == 200


def test_several_at_once(steered: Sidecar) -> None:
    place = f"unix:{control_of(steered)}"
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(place)) for _ in range(8)]
        for client in clients:
            client.sendall(b'{"op":"reload"}\n')
        for client in clients:
            assert json.loads(b"".join(iter(lambda client=client: client.recv(65536), b"")))["ok"]
    steered.wait_for("reloaded", 8)
    assert said(steered, b'{"op":"status"}\n')["ok"]


PAGE = (ROOT / "docs" / "operations.md").read_text()


def commands_of(section: str) -> list[list[str]]:
    """The commands of a section of the page, as its reader types them."""
    text = re.split(rf"^## {section}$", PAGE, flags=re.MULTILINE)[1].partition("\n## ")[0]
    found = re.findall(
        r"(?:^    |`)xbot ((?:mode|allow|reload|status)\b(?: [a-z0-9.-]+| ADDRESS)*)", text, re.MULTILINE
    )
    return [line.split() for line in found]


@pytest.mark.parametrize("section", ["A hand on the wheel", "Roll back", "An incident's five minutes"])
def test_what_the_page_says_is_what_works(section: str, steered: Sidecar) -> None:
    """Each command of the section, in its order; behind `mode observe` nobody is refused, behind `mode configured` bots are."""
    commands = [words for words in commands_of(section) if words not in (["mode"], ["allow"])]
    assert len(commands) >= 3
    for words in commands:
        xbot(steered, *("203.0.113.99" if word == "ADDRESS" else word for word in words))
        if words[0] == "mode":
            assert bot(steered).status == (403 if words[1] in ("configured", "enforce") else 200)
