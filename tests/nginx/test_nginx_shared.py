"""What nginx's module shares with the sidecar: the operator's word, decisions by their ids, counters; and what happens without it.

Law: what both hosts do is asked of both (the fixture `host`). The sidecar, nginx and the commands are real ones.
"""

from __future__ import annotations

import array
import contextlib
import grp
import json
import math
import mmap
import os
import pwd
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from name_server import NameServer
from nginx_harness import EchoSite, Load, Nginx, at, guarded, nginx_binary, running_nginx, without_module
from places import ROOT, run_xbot
from sidecar_harness import BROWSER, CURL, Sidecar, children, wait_until

from sidecar import core
from sidecar.board import memory

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(nginx_binary() is None or bool(without_module()), reason=without_module() or "no nginx"),
]
DEFAULT = ROOT / "sidecar" / "default.xbot"
SECRETS = {**CURL, "Cookie": "sid=COOKIESECRET", "X-Api-Token": "TOKENSECRET", "Via": "1.1 x", "TE": "trailers"}
TOML = """
control = "{place}/control"
[decisions]
file = "decisions.jsonl"
{more}
[policies.default]
mode = "enforce"
"""
PYTHON = "/usr/bin/python3"  # one that other users may run
ID = 'add_header Id "$xbot_id" always;'
ONCE = {**BROWSER, "Connection": "close"}


@pytest.fixture(scope="module")
def site() -> Iterator[EchoSite]:
    with EchoSite() as site:
        yield site


def serving(place: Path, model: Path, host: str, more: str = "sample = 1", policies: str = "", **extra: Any) -> Sidecar:
    toml = place / "xbot.toml"
    toml.write_text(TOML.format(place=place, more=more) + policies)
    return Sidecar(model, "--config", toml, "--admin", "127.0.0.1:0", board=host == "module", workers=1, **extra)


def command(place: Path, *words: object, code: int = 0) -> str:
    return run_xbot(*words, "--control", place / "control", code=code).stdout.decode()


def told(nginx: Nginx, headers: dict[str, str] = CURL, target: str = "/") -> str:
    """What the site is told, or the status of who does not get there."""
    reply = nginx.ask(target, headers)
    return reply.seen("X-Bot")[0] if reply.status == 200 else str(reply.status)


def connected(nginx: Nginx) -> bool:
    """Whether each worker of nginx has met the sidecar."""
    workers = children(nginx.process.pid)
    return bool(workers) and all("xbot-hosts" in Path(f"/proc/{pid}/maps").read_text() for pid in workers)


# ---- decisions


@pytest.mark.parametrize("privacy", ["whole", "network"])
def test_an_id_leads_to_the_exact_sum(
    site: EchoSite, model_path: Path, tmp_path: Path, host: str, privacy: str
) -> None:
    """Whoever judged: `xbot why` adds up to the margin that was served, what clients did before is a part of it, and no secret is kept."""
    more = f'sample = 1\nprivacy = "{privacy}"'
    with (
        serving(tmp_path, model_path, host, more) as sidecar,
        running_nginx(ID + guarded(site, "enforce"), **at(sidecar)) as nginx,
    ):
        replies = [nginx.ask(f"/{n}?token=QUERYSECRET&n={n}", CURL if n % 2 else SECRETS) for n in range(6)]
        replies += [nginx.ask("/page", BROWSER), nginx.ask("/a.css", BROWSER), nginx.ask("/" + "x" * 4000, CURL)]
        assert {reply.status for reply in replies} == {200, 403}
        log = tmp_path / "decisions.jsonl"
        wait_until(lambda: log.read_bytes().count(b"\n") >= len(replies), "the log of decisions")
    text = log.read_text()
    assert "SECRET" not in text
    assert ('"127.0.0.1"' in text) == (privacy == "whole")
    entries = {entry["id"]: entry for entry in map(json.loads, text.splitlines())}
    assert set(entries) == {reply.headers["Id"] for reply in replies}
    for reply in replies:
        entry = entries[reply.headers["Id"]]
        assert (entry["refused"], entry["policy"]) == (reply.status == 403, "default")
        why = ("why", entry["id"], "--log", log, "--model", model_path, "--json")
        said = json.loads(run_xbot(*why).stdout)
        assert said["model_is_the_one"]
        total = said["bias"] + math.fsum(part["contribution"] for part in said["contributions"])
        assert total == pytest.approx(entry["margin"], abs=1e-9)


def test_what_is_recorded_is_what_was_judged(site: EchoSite, model_path: Path, tmp_path: Path) -> None:
    """By the module: the margin of the log is that of `$xbot_margin`, and the request is there as it was sent."""
    with (
        serving(tmp_path, model_path, "module") as sidecar,
        running_nginx(f'{ID} add_header Margin "$xbot_margin" always; {guarded(site)}', **at(sidecar)) as nginx,
    ):
        replies = [nginx.ask("/a/b?c=d", headers) for headers in (BROWSER, CURL, SECRETS)]
        log = tmp_path / "decisions.jsonl"
        wait_until(lambda: log.read_bytes().count(b"\n") >= len(replies), "the log of decisions")
    entries = {entry["id"]: entry for entry in map(json.loads, log.read_text().splitlines())}
    for reply, headers in zip(replies, (BROWSER, CURL, SECRETS), strict=True):
        entry = entries[reply.headers["Id"]]
        assert entry["margin"] == float(reply.headers["Margin"])
        assert (entry["method"], entry["uri"], entry["protocol"]) == ("GET", "/a/b?c=d", "HTTP/1.1")
        assert entry["connection_requests"] == 1
        own = [name for name in headers if name not in ("Host", "Via", "TE")]
        assert [name for name, _ in entry["headers"]] == own


def test_who_looks_like_a_person_is_named_to_the_operator(model_path: Path, tmp_path: Path, host: str) -> None:
    """Whoever judged: `xbot status` has the id of the refusal, which `xbot why` explains. Behind another proxy, as plain http is none of
    this browser's."""
    policies = 'threshold = 0.9999\n[policies.strict]\nmode = "enforce"\nthreshold = 0.0001\npaths = ["/strict"]\n'
    pages = "default_type text/html; location / { try_files /none @page; } location @page { auth_request off; return 200 x; }"
    pages += "location = /a.css { try_files /none @part; } location @part { auth_request off; default_type text/css; return 200 x; }"
    part = {"Accept": "text/css,*/*;q=0.1", "Sec-Fetch-Dest": "style", "Sec-Fetch-Mode": "no-cors"}
    came = {"Cookie": "a=b", "Referer": "https://example.com/", "Sec-Fetch-Site": "same-origin"}
    with (
        serving(tmp_path, model_path, host, policies=policies) as sidecar,
        running_nginx(f"{ID} set $xbot_order lost; include xbot/enforce.conf; {pages}", **at(sidecar)) as nginx,
    ):
        for number, target in enumerate(("/", "/b", "/c")):
            assert nginx.ask(target, {**BROWSER, **(came if number else {})}).status == 200
            nginx.ask("/a.css", {**BROWSER, **came, **part})
        assert "looks like" not in command(tmp_path, "status")
        refused = nginx.ask("/strict", {**BROWSER, **came})
        assert refused.status == 403
        line = f"looks like a person: {refused.headers['Id']}, refused "
        wait_until(lambda: line in command(tmp_path, "status"), "the id")
        why = ("why", refused.headers["Id"], "--log", tmp_path / "decisions.jsonl", "--model", model_path, "--json")
        assert json.loads(run_xbot(*why).stdout)["model_is_the_one"]


def test_hosts_share_what_may_be_recorded_in_a_second(model_path: Path, tmp_path: Path) -> None:
    """However many connect, and once others are gone: an equal share each."""

    def share(message: bytes) -> int:
        return int.from_bytes(message[28:32], "little")

    with serving(tmp_path, model_path, "module", "per_second = 100") as sidecar, contextlib.ExitStack() as stack:
        socks: list[socket.socket] = []
        for n in range(1, 4):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.enter_context(sock).settimeout(20)
            sock.connect(f"{sidecar.board}/module")
            message, fds, _, _ = socket.recv_fds(sock, 1024, 16)
            for fd in fds:
                os.close(fd)
            assert [share(message), *(share(each.recv(1024)) for each in socks)] == [-(-100 // n)] * n
            socks.append(sock)
        socks.pop(0).close()
        assert [share(each.recv(1024)) for each in socks] == [50, 50]


# ---- the operator's word


def test_a_hand_on_the_wheel(site: EchoSite, model_path: Path, tmp_path: Path, host: str) -> None:
    """It holds from the next request on, also for a gate that is closed without a verdict."""
    closed = f"location /closed {{ auth_request /_xbot/enforce_fail_closed; include xbot/pass.conf; proxy_pass http://{site.address}; }}"
    with (
        serving(tmp_path, model_path, host) as sidecar,
        running_nginx(guarded(site, "enforce") + closed, **at(sidecar)) as nginx,
    ):
        assert told(nginx) == "403"
        command(tmp_path, "mode", "observe")
        assert told(nginx) == "bot"
        command(tmp_path, "mode", "off")
        reply = nginx.ask("/", CURL)
        assert (reply.seen("X-Bot"), reply.seen("X-Bot-Score"), reply.seen("X-Bot-Reason")) == (["unknown"], [], [])
        assert told(nginx, target="/closed") == "unknown"
        command(tmp_path, "mode", "configured")
        assert told(nginx) == told(nginx, target="/closed") == "403"
        command(tmp_path, "allow", "127.0.0.1", "--for", "1h")
        reply = nginx.ask("/", CURL)
        assert (reply.seen("X-Bot"), reply.seen("X-Bot-Reason")) == (["human"], [f"allow={core.BY_HAND}"])


def test_the_operators_word_outlives_the_sidecar(site: EchoSite, model_path: Path, tmp_path: Path) -> None:
    """It was said in an emergency: neither the sidecar's death nor nginx's reload may bring the refusals back."""
    with (
        serving(tmp_path, model_path, "module") as sidecar,
        running_nginx(guarded(site, "enforce"), **at(sidecar)) as nginx,
    ):
        assert told(nginx) == "403"
        command(tmp_path, "mode", "observe")
        for pid in (*sidecar.workers, sidecar.master):
            os.kill(pid, signal.SIGKILL)
        sidecar.process.wait()
        assert told(nginx) == "bot"
        before = children(nginx.process.pid)
        nginx.reload()
        wait_until(lambda: children(nginx.process.pid) and not set(before) & set(children(nginx.process.pid)))
        assert told(nginx) == "bot"


# ---- the DNS


def test_what_the_dns_says_is_known_to_both_hosts(site: EchoSite, tmp_path: Path, host: str) -> None:
    """Whoever judges asks for an address to be looked up, and finds the answer."""
    true, false = "5.255.253.1", "9.9.9.1"
    table = {
        f"{'.'.join(reversed(true.split('.')))}.in-addr.arpa.": ("PTR", ["spider.yandex.com."]),
        f"{'.'.join(reversed(false.split('.')))}.in-addr.arpa.": ("PTR", ["spider.yandex.com."]),
        "spider.yandex.com.": ("A", [true]),
    }
    body = "set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For;\n" + guarded(site, "enforce")
    yandex = "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)"
    with NameServer(table) as server:
        (tmp_path / "xbot.toml").write_text(
            f'[dns]\nlook_up = true\nservers = ["{server.address}"]\n[policies.default]\nmode = "enforce"\n'
        )
        with (
            Sidecar(DEFAULT, "--config", tmp_path / "xbot.toml", workers=1, board=host == "module") as sidecar,
            running_nginx(body, **at(sidecar)) as nginx,
        ):

            def visit(ip: str) -> str:
                return told(nginx, {"User-Agent": yandex, "X-Forwarded-For": ip})

            assert visit(true) == "suspect"
            wait_until(lambda: visit(true) == "verified", "the proof")
            wait_until(lambda: visit(false) == "403", "the disproof")


# ---- counters


def counted(sidecar: Sidecar) -> float:
    return sum(n for name, n in sidecar.metrics().items() if re.match(r'xbot_requests_total\{host="module"', name))


def test_metrics_count_what_the_module_judges(site: EchoSite, model_path: Path, tmp_path: Path) -> None:
    """None is lost, none is twice: over a worker that is killed, an upgrade and a restart of the sidecar, and while it is away."""
    with (
        serving(tmp_path, model_path, "module") as sidecar,
        running_nginx(guarded(site, "enforce"), **at(sidecar), workers=1) as nginx,
    ):
        asked = 0

        def ask(n: int) -> None:
            nonlocal asked
            for _ in range(n):
                assert told(nginx) == "403"
            asked += n

        ask(7)
        wait_until(lambda: counted(sidecar) == asked, f"{asked} requests")
        refused = 'xbot_refused_total{{host="{}",policy="default",rule="score"}}'.format
        assert sidecar.metrics()[refused("module")] == asked
        assert sidecar.metrics()[refused("worker")] == 0
        (victim,) = children(nginx.process.pid)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: children(nginx.process.pid) not in ([], [victim]) and connected(nginx), "another worker")
        ask(5)
        assert sidecar.upgrade()
        ask(5)
        wait_until(lambda: counted(sidecar) == asked, f"{asked} requests after an upgrade")
        assert sidecar.stop() == 0
        ask(5)
        sidecar.log_path.unlink()
        sidecar.start()
        wait_until(lambda: counted(sidecar) == asked, f"{asked} requests after a restart")


# ---- without the sidecar


def test_the_sidecar_dies_and_comes_back_under_load(site: EchoSite, model_path: Path, tmp_path: Path) -> None:
    """Nobody notices. What clients did is known again once it is back."""
    with (
        serving(tmp_path, model_path, "module") as sidecar,
        running_nginx(guarded(site), **at(sidecar), workers=2) as nginx,
    ):
        with Load(nginx, ONCE) as load:
            for _ in range(2):
                for pid in (*sidecar.workers, sidecar.master):
                    os.kill(pid, signal.SIGKILL)
                sidecar.process.wait()
                seen = load.total
                wait_until(lambda seen=seen: load.total > seen + 50)
                sidecar.log_path.unlink()
                sidecar.start()
                wait_until(lambda: sidecar.metrics()["xbot_outcomes_total"] > 0, "outcomes in the new table")
        assert load.failures == []
        assert {status for status, _ in load.outcomes} == {200}
        assert "unknown" not in {verdict for _, verdict in load.outcomes}
        assert "[alert]" not in nginx.error_log()


def test_a_sidecar_that_stands_still_holds_nobody_up(site: EchoSite, model_path: Path, tmp_path: Path) -> None:
    """Workers that begin meanwhile judge without a past, and have it once the sidecar goes on."""
    with (
        serving(tmp_path, model_path, "module") as sidecar,
        running_nginx(guarded(site), **at(sidecar), workers=2) as nginx,
    ):
        wait_until(lambda: connected(nginx), "the sidecar")
        os.kill(sidecar.master, signal.SIGSTOP)
        try:
            with Load(nginx, ONCE) as load:
                before = set(children(nginx.process.pid))
                nginx.reload()
                wait_until(lambda: len(now := set(children(nginx.process.pid))) == 2 and not before & now)
                seen = load.total
                wait_until(lambda: load.total > seen + 50)
                assert not connected(nginx)
        finally:
            os.kill(sidecar.master, signal.SIGCONT)
        assert load.failures == []
        assert set(load.outcomes) == {(200, "human")}
        wait_until(lambda: connected(nginx), "the sidecar again")


# ---- who may have what


def meet(sidecar: Sidecar) -> tuple[socket.socket, list[str], list[int]]:
    """As a worker of nginx does: the connection, and the descriptors by name."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(20)
    sock.connect(f"{sidecar.board}/module")
    message, fds, _, _ = socket.recv_fds(sock, 1024, 16)
    assert len(message) == 64
    return sock, [core.SHARES[kind] for kind in message[48 : 48 + len(fds)]], fds


def test_what_is_lent_cannot_be_cut_and_the_wheel_cannot_be_turned(model_path: Path, tmp_path: Path) -> None:
    with serving(tmp_path, model_path, "module") as sidecar:
        sock, names, fds = meet(sidecar)
        with sock:
            assert names == ["clients", "visitors", "wheel", "lookups", "questions", "counters", "lane"]
            for name, fd in zip(names, fds, strict=True):
                size = os.fstat(fd).st_size
                for other in (size - 1, size + 1):
                    with pytest.raises(OSError, match="not permitted|Invalid"):
                        os.ftruncate(fd, other)
                if name in ("wheel", "lookups"):
                    with pytest.raises(PermissionError):
                        mmap.mmap(fd, size)
                os.close(fd)


@pytest.mark.skipif(os.geteuid() != 0 or not Path(PYTHON).exists(), reason="only root can be others")
def test_who_may_connect_and_what_another_user_gets(model_path: Path, tmp_path: Path) -> None:
    """The group of the sockets; and no way from the descriptor of the wheel to one that writes."""
    group = grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name
    program = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
sock.connect(sys.argv[1])
_, fds, _, _ = socket.recv_fds(sock, 1024, 16)
for fd in fds:
    try:
        os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
        print("writes")
    except PermissionError:
        print("reads")
"""
    with serving(tmp_path, model_path, "module", 'sample = 1\n[log]\nlevel = "info"') as sidecar:
        path = f"{sidecar.board}/module"

        def by(gid: int) -> subprocess.CompletedProcess[str]:
            command = [PYTHON, "-S", "-c", program, path]
            nobody = pwd.getpwnam("nobody").pw_uid
            return subprocess.run(
                command, capture_output=True, text=True, check=False, user=nobody, group=gid, extra_groups=[]
            )

        assert "PermissionError" in by(grp.getgrnam("daemon").gr_gid).stderr
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
        assert by(grp.getgrnam(group).gr_gid).stdout.split() == [
            "writes",
            "writes",
            "reads",
            "reads",
            "writes",
            "writes",
            "writes",
        ]


def test_connections_are_bounded_and_nobody_is_listened_to(model_path: Path, tmp_path: Path) -> None:
    with serving(tmp_path, model_path, "module") as sidecar, contextlib.ExitStack() as stack:
        chatting, _, fds = meet(sidecar)
        for fd in fds:
            os.close(fd)
        chatting.send(b"hello")
        assert chatting.recv(100) == b""
        chatting.close()
        for _ in range(140):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.enter_context(sock)
            sock.connect(f"{sidecar.board}/module")
        assert sidecar.wait_for("limit reached")["limit"] == "hosts"
        assert sidecar.metrics()["xbot_workers_up"] == 1


BAD = {
    "nothing": "",
    "garbage": "not a message of xbot",
    "another version": "of another version of xbot",
    "no descriptors": "descriptors are missing",
    "unsealed": "its size is not sealed",
    "small": "the sidecar's clients are not used",
    "of another kind": "",
}


@pytest.mark.parametrize("how", BAD)
def test_whoever_lends_nonsense_is_let_be(site: EchoSite, model_path: Path, how: str) -> None:
    """The module checks what it gets, says why it does not take it, and judges without it."""
    with Sidecar(model_path, workers=1, board=True) as sidecar:
        assert sidecar.board is not None
        place = sidecar.board / "module"
        place.unlink()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as fake:
            fake.bind(str(place))
            fake.listen(16)
            with running_nginx(guarded(site), **at(sidecar)) as nginx:
                met, _ = fake.accept()
                with met:
                    lend(met, how)
                    wait_until(lambda: BAD[how] in nginx.error_log(), BAD[how])
                    for _ in range(3):
                        assert told(nginx) == "bot"
                    (worker,) = children(nginx.process.pid)
                    assert "memfd:fake" not in Path(f"/proc/{worker}/maps").read_text()
                assert "[alert]" not in nginx.error_log()
                assert "exited on signal" not in nginx.error_log()


def lend(sock: socket.socket, how: str) -> None:
    """One message that is not as it should be."""
    good = core.share_message(["clients"], sample=1.0, watched=(0, 0), per_second=1000, signs=False)
    table = bytearray(core.clients_size(1))
    fd = memory.writable("fake", bytes(table))
    if how == "unsealed":
        os.close(fd)
        fd = os.memfd_create("fake")
        core.make_clients(table, bytes(16))
        os.write(fd, table)
    elif how == "small":
        os.close(fd)
        fd = memory.writable("fake", b"x")
    message = {"nothing": b"", "garbage": os.urandom(64), "another version": good[:8] + b"\xff" + good[9:]}.get(
        how, good
    )
    if how == "of another kind":
        message = good[:48] + b"\xee" + good[49:]
    fds = [] if how in ("nothing", "garbage", "no descriptors") else [fd]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    if how != "nothing":
        sock.sendmsg([message], rights)
    os.close(fd)


# ---- large pages


def mapping(pid: int, name: str) -> tuple[int, int]:
    """Where this memory begins in a process, and how many kB of it are large pages there."""
    found = re.search(
        rf"^([0-9a-f]+)-\S+ .*{name}.*\n(?:[A-Z]\w+:.*\n)*?ShmemPmdMapped: +(\d+) kB$", smaps(pid), re.MULTILINE
    )
    assert found
    return int(found[1], 16), int(found[2])


def smaps(pid: int) -> str:
    return Path(f"/proc/{pid}/smaps").read_text()


def test_the_table_in_large_pages(site: EchoSite, tmp_path: Path) -> None:
    """A worker maps the table where the processor can use them, whether there are any or not."""
    toml = tmp_path / "xbot.toml"
    toml.write_text('[clients]\nsize = "8MiB"\nlarge_pages = true\n')
    with (
        Sidecar(DEFAULT, "--config", toml, workers=1, board=True) as sidecar,
        running_nginx(guarded(site), **at(sidecar)) as nginx,
    ):
        wait_until(lambda: connected(nginx))
        for _ in range(3):
            assert told(nginx, BROWSER) == "human"
        begins, large = mapping(children(nginx.process.pid)[0], "xbot-clients")
        assert begins % memory.LARGE_PAGE == 0
        if not sidecar.events("no large pages for the table of clients"):
            assert large > 0
