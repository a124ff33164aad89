"""Crawlers proven by the DNS: a name server in the role of their owners, and of those who lie, are slow or are away.

Law: no name alone proves anybody; whoever does not answer is unproven; no request waits; no more than so many look-ups are begun
in a second. What is told is looked at on the wire.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from name_server import BROKEN, DEAD, GARBAGE, SLOW, NameServer
from nginx_harness import EchoSite, guarded, nginx_binary, running_nginx
from sidecar_harness import Sidecar, ask, children, head, wait_until

from sidecar.board.proofs import Shared
from sidecar.config.options import DEFAULT_MODEL
from sidecar.verify import catalogue

YANDEX = "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)"


def name_of(ip: str) -> str:
    import dns.reversename

    return dns.reversename.from_address(ip).to_text()


def both_ways(ip: str, name: str) -> dict[str, tuple[str, list[str]]]:
    """The records of an address that its domain confirms."""
    return {name_of(ip): ("PTR", [name]), name: ("AAAA" if ":" in ip else "A", [ip])}


TRUE, FALSE, NAMELESS, ALIEN, LOOKALIKE, SIX = "5.255.253.1", "9.9.9.1", "9.9.9.2", "9.9.9.3", "9.9.9.4", "2a02:6b8::1"
TABLE = {
    **both_ways(TRUE, "spider.yandex.com."),
    **both_ways(SIX, "six.Spider.YANDEX.ru."),
    # The name of a real one, which has another address.
    name_of(FALSE): ("PTR", ["spider.yandex.com."]),
    # Its own name, confirmed: of no crawler.
    **both_ways(ALIEN, "host.hoster.example."),
    **both_ways(LOOKALIKE, "spider.notyandex.com."),
    name_of("9.9.9.5"): ("PTR", ["yandex.com.evil.example."]),
    "yandex.com.evil.example.": ("A", ["9.9.9.5"]),
}


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer(TABLE) as running:
        yield running


def configured(directory: Path, server: NameServer | str, more: str = "") -> Path:
    at = server if isinstance(server, str) else server.address
    path = directory / "xbot.toml"
    path.write_text(
        f'admin = "127.0.0.1:0"\n[[listen]]\naddress = "unix:{directory}/x.sock"\n'
        f'[dns]\nlook_up = true\nservers = ["{at}"]\n{more}\n[policies.default]\nmode = "enforce"\n'
    )
    return path


def serving(directory: Path, server: NameServer | str, more: str = "", **options: int) -> Sidecar:
    path = configured(directory, server, more)
    return Sidecar(DEFAULT_MODEL, "--config", path, listen=(), **options)


def told(sidecar: Sidecar, ip: str, agent: str = YANDEX) -> tuple[str, str]:
    reply = ask(sidecar.address, head({"User-Agent": agent}, ip=ip))
    return reply["X-Bot"], reply["X-Bot-Reason"]


def until(sidecar: Sidecar, ip: str, reason: str, agent: str = YANDEX) -> tuple[str, str]:
    """Asks again until the reason is this."""
    return wait_until(lambda: (found := told(sidecar, ip, agent))[1] == reason and found, f"{ip}: {reason}")


def test_who_is_confirmed_and_who_is_not(tmp_path, server) -> None:
    with serving(tmp_path, server, "per_second = 100") as sidecar:
        for ip in (TRUE, SIX):
            assert told(sidecar, ip) == ("suspect", "unproven=yandexbot")  # first unproven, and let by
            assert until(sidecar, ip, "verified=yandexbot")[0] == "verified"
        for ip in (FALSE, NAMELESS, ALIEN, LOOKALIKE, "9.9.9.5", "2a02:6b8::2"):
            assert until(sidecar, ip, "impostor=yandexbot")[0] == "bot"
        # One look-up says all about an address.
        asked = server.count("PTR")
        assert asked == 8
        assert told(sidecar, TRUE, "Baiduspider/2.0")[1] == "impostor=baiduspider"
        assert told(sidecar, TRUE, "curl/8")[1] != "unproven"
        # Lists of networks come first, and without a claim nobody is looked up.
        assert told(sidecar, "8.8.8.8", "Googlebot/2.1")[1] == "impostor=googlebot"
        for ip in ("10.1.2.3", "127.0.0.1", "fd00::1"):
            assert told(sidecar, ip) == ("bot", "unproven=yandexbot")
        time.sleep(0.3)
        assert server.count("PTR") == asked
        metrics = sidecar.metrics()
        assert metrics['xbot_lookups_total{result="confirmed"}'] == 2
        assert metrics['xbot_lookups_total{result="denied"}'] == 6


@pytest.mark.servers
def test_a_storm_makes_no_more_look_ups_than_said(tmp_path, server) -> None:
    with serving(tmp_path, server, "per_second = 20") as sidecar:
        addresses = (f"9.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}" for i in itertools.count())
        wait_until(lambda: told(sidecar, next(addresses)) and server.count("PTR") > 60)
        times = [when for when, _, kind in server.asked if kind == "PTR"]
        assert times[-1] - times[0] > 2.5
        for first in times:
            assert sum(first <= when < first + 0.9 for when in times) <= 20


@pytest.mark.parametrize("how", [DEAD, SLOW, BROKEN, GARBAGE])
@pytest.mark.parametrize("where", ["address", "name"])
def test_who_does_not_answer_is_neither_proven_nor_let_by(tmp_path, server, how, where) -> None:
    """One zone that is silent is its owner's affair: the resolver answers others."""
    if where == "address":
        server.table[name_of(TRUE)] = how
    else:
        server.table["spider.yandex.com."] = how
    with serving(tmp_path, server, "timeout = 0.5", workers=1) as sidecar:
        begin = time.monotonic()
        assert told(sidecar, TRUE) == ("suspect", "unproven=yandexbot")
        assert time.monotonic() - begin < 0.4  # far less than the look-up takes
        assert wait_until(lambda: (found := told(sidecar, TRUE))[0] != "suspect" and found) == (
            "bot",
            "unproven=yandexbot",
        )
        assert sidecar.metrics()['xbot_lookups_total{result="silent"}'] == 1


@pytest.mark.servers
def test_an_outage_of_the_resolver_costs_no_index(tmp_path, server) -> None:
    server.away = True
    with serving(tmp_path, server, "timeout = 0.2", workers=1) as sidecar:
        for _ in range(3):
            assert told(sidecar, TRUE) == ("suspect", "unproven=yandexbot")
            time.sleep(0.3)
        assert wait_until(lambda: sidecar.metrics()['xbot_lookups_total{result="away"}'])
        server.away = False
        assert until(sidecar, TRUE, "verified=yandexbot")  # it is asked again after ten seconds


def test_huge_and_many_names(tmp_path, server) -> None:
    """A name server of one's own may send what it likes: it costs one look-up and a few more."""
    many = [f"host-{i}.yandex.com." for i in range(1500)]
    server.table[name_of("9.9.9.8")] = ("PTR", many)
    server.table.update({name: ("A", ["1.1.1.1"]) for name in many})
    server.table.update(both_ways("9.9.9.9", "crawler.yandex.net."))
    server.table["crawler.yandex.net."] = ("A", [f"1.2.{i // 250}.{i % 250}" for i in range(3000)] + ["9.9.9.9"])
    with serving(tmp_path, server, "timeout = 15") as sidecar:
        until(sidecar, "9.9.9.8", "impostor=yandexbot")
        assert server.count("A") <= 2 * 4  # by UDP, and again by TCP
        until(sidecar, "9.9.9.9", "verified=yandexbot")


def test_one_address_of_a_network_speaks_against_the_others(tmp_path, server) -> None:
    """Whoever has one address of IPv6 has 2^80, and of IPv4 often 256: being new excuses the first of them only."""
    with serving(tmp_path, server, "per_second = 1", workers=1) as sidecar:
        until(sidecar, NAMELESS, "impostor=yandexbot")
        assert told(sidecar, "9.9.9.77") == ("bot", "unproven=yandexbot")
        assert told(sidecar, "9.9.8.77") == ("suspect", "unproven=yandexbot")
        assert told(sidecar, "2001:67c:1:1::1") == ("suspect", "unproven=yandexbot")
        until(sidecar, "2001:67c:1:1::1", "impostor=yandexbot")
        assert {told(sidecar, f"2001:67c:1:1::{i:x}")[0] for i in range(2, 40)} == {"bot"}
        assert {told(sidecar, f"2001:67c:1:{i:x}::1")[0] for i in range(2, 40)} == {"bot"}
        # Another network is excused. One question of the seventy before may have its place by chance: one in fourteen does.
        others = {told(sidecar, f"2001:67c:{i:x}:1::1") for i in range(2, 8)}
        assert ("suspect", "unproven=yandexbot") in others


def test_a_storm_lets_nobody_by_for_a_word(tmp_path, server) -> None:
    """Who comes while more are asked for than can be remembered is judged by score, and who is proven stays so."""
    with serving(tmp_path, server, "per_second = 1", workers=1) as sidecar:
        until(sidecar, TRUE, "verified=yandexbot")
        counted = Counter(told(sidecar, f"9.{i >> 8}.{i & 255}.1") for i in range(4000))
        assert set(counted) == {("suspect", "unproven=yandexbot"), ("bot", "unproven=yandexbot")}
        assert (
            counted["suspect", "unproven=yandexbot"] <= 1024 + 100
        )  # those that are waited for, and answered meanwhile
        assert told(sidecar, TRUE)[0] == "verified"


def test_answers_that_oscillate_end_with_the_newest(server) -> None:
    """At the level of the table: a yes stays over an outage, and not over a no."""
    table, address = Shared().table, socket.inet_aton(TRUE)
    bit = 1 << catalogue.domains().index("yandex.com")
    table.keep(address, "answered", 0, bit)
    table.keep(address, "silent", 60)
    assert table.find(address)[:2] == ("answered", bit)
    table.keep(address, "answered", 60)
    assert table.find(address)[:2] == ("answered", 0)
    table.keep(address, "away", 60)
    assert table.find(address)[:2] == ("answered", 0)


def test_it_is_off_unless_said_and_a_reload_changes_it(tmp_path, server) -> None:
    path = configured(tmp_path, server)
    on = path.read_text()
    path.write_text(on.replace("look_up = true", "look_up = false"))
    with Sidecar(DEFAULT_MODEL, "--config", path, listen=(), workers=1) as sidecar:
        assert told(sidecar, TRUE)[0] == "bot"  # by score
        assert "yandexbot" not in told(sidecar, TRUE)[1]
        time.sleep(0.3)
        assert not server.asked
        assert len(children(sidecar.master)) == 1
        path.write_text(on)
        sidecar.reload()
        until(sidecar, TRUE, "verified=yandexbot")
        path.write_text(on.replace("look_up = true", "look_up = false"))
        sidecar.reload()
        assert told(sidecar, TRUE)[0] == "bot"
        wait_until(lambda: len(children(sidecar.master)) == 1)


@pytest.mark.servers
def test_whoever_dies_leaves_what_was_known(tmp_path, server) -> None:
    """The process that looks up, and a worker; and it ends with the master."""
    with serving(tmp_path, server, workers=1) as sidecar:
        until(sidecar, TRUE, "verified=yandexbot")
        (looking,) = set(children(sidecar.master)) - set(sidecar.serving)
        os.kill(looking, signal.SIGKILL)
        os.kill(sidecar.serving[0], signal.SIGKILL)
        assert sidecar.wait_for("lookups stopped")["how"] == "SIGKILL"
        sidecar.wait_for("worker ready", 2)
        assert told(sidecar, TRUE) == ("verified", "verified=yandexbot")
        # Another one comes.
        assert until(sidecar, NAMELESS, "impostor=yandexbot")
        (looking,) = set(children(sidecar.master)) - set(sidecar.serving)
        os.kill(sidecar.master, signal.SIGKILL)
        wait_until(
            lambda: not Path(f"/proc/{looking}/cmdline").exists() or not Path(f"/proc/{looking}/cmdline").read_bytes()
        )


@pytest.mark.servers
@pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")
@pytest.mark.skipif(shutil.which("dnsmasq") is None, reason="dnsmasq is not installed: apt-get install dnsmasq-base")
def test_through_nginx_with_dnsmasq(tmp_path) -> None:
    """A name server as it is used, and visitors with their addresses behind a proxy that nginx trusts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        f"--port={port}",
    ]
    command += ["--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file", "--local=/#/"]
    command += [
        "--user=root",
        f"--host-record=spider.yandex.com,{TRUE}",
        f"--ptr-record={name_of(FALSE)[:-1]},spider.yandex.com",
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        with serving(tmp_path, f"127.0.0.1:{port}") as sidecar, EchoSite() as site:
            body = "set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For;\n" + guarded(site, "enforce")
            with running_nginx(body, socket=sidecar.address) as nginx:

                def visit(ip: str):
                    return nginx.ask(headers={"User-Agent": YANDEX, "X-Forwarded-For": ip})

                assert visit(TRUE).status == 200
                reply = wait_until(lambda: (r := visit(TRUE)).seen("X-Bot") == ["verified"] and r)
                assert (reply.seen("X-Bot-Agent"), reply.seen("X-Bot-Purpose")) == (["yandexbot"], ["search"])
                for ip in (FALSE, NAMELESS):
                    wait_until(lambda ip=ip: visit(ip).status == 403)
    finally:
        process.terminate()
        process.wait(10)
