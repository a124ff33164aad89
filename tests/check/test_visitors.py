"""`xbot check` on a nginx behind other proxies: whom real_ip believes, and whose addresses its logs hold."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
import pytest
from places import run_xbot

from sidecar.check import nginx_conf, visitors
from sidecar.check.findings import Finding, Findings
from sidecar.check.gates import Setup

SERVER = """
http {
    %s
    upstream xbot { server unix:/run/xbot/xbot.sock; }
    server {
        %s
        auth_request /_xbot/observe;
        location = /_xbot/observe { internal; proxy_pass http://xbot/; proxy_set_header X-Real-IP %s; }
        location / { root /srv; }
    }
}
"""


def look(place: Path, server: str = "", http: str = "access_log off;", address: str = "$remote_addr") -> list[Finding]:
    (place / "nginx.conf").write_text(SERVER % (http, server, address))
    return visitors.look(Setup(nginx_conf.read(place / "nginx.conf")), place, None)


@pytest.mark.parametrize(
    ("server", "what"),
    [
        ("set_real_ip_from 0.0.0.0/0;", "set_real_ip_from 0.0.0.0/0: visitors are believed too"),
        ("set_real_ip_from 192.0.2.1; set_real_ip_from ::/0;", "set_real_ip_from ::/0: visitors are believed too"),
        ("set_real_ip_from 128.0.0.0/1;", "set_real_ip_from 128.0.0.0/1: visitors are believed too"),
        ("real_ip_header X-Forwarded-For;", "real_ip_header X-Forwarded-For: nobody is believed"),
    ],
)
@pytest.mark.parametrize("outside", [False, True])
def test_whom_real_ip_believes(tmp_path: Path, server: str, what: str, outside: bool) -> None:
    """In the server, or around it; at its own line."""
    (found,) = look(tmp_path, "", f"access_log off; {server}") if outside else look(tmp_path, server)
    assert (found.status, found.what.startswith(f"{tmp_path}/nginx.conf:{3 if outside else 6}: {what}")) == (
        "wrong",
        True,
    )
    assert found.mend


@pytest.mark.parametrize(
    "server",
    [
        "",
        "set_real_ip_from 10.0.0.0/8; set_real_ip_from fc00::/7; real_ip_header X-Forwarded-For;",
        "set_real_ip_from 104.16.0.0/12; set_real_ip_from 2400:cb00::/32; real_ip_header CF-Connecting-IP;",
        "set_real_ip_from unix:; set_real_ip_from balancer.example;",
    ],
)
def test_what_real_ip_may_believe(tmp_path: Path, server: str) -> None:
    assert look(tmp_path, server) == []


@pytest.mark.parametrize("address", ["$http_cf_connecting_ip", "$http_x_forwarded_for", "$proxy_add_x_forwarded_for"])
def test_an_address_of_a_header(tmp_path: Path, address: str) -> None:
    """It was once told only that order and handshake are another's, not that whoever comes directly chooses it."""
    (found,) = look(tmp_path, address=address)
    assert found.status == "wrong"
    assert f"X-Real-IP {address}: a visitor who comes past the proxy can choose his address" in found.what


def test_what_the_site_is_told_is_its_own_affair(tmp_path: Path) -> None:
    """Where nginx judges by its module there is no question, and the site may get any header."""
    conf = tmp_path / "nginx.conf"
    server = "location / { proxy_pass http://127.0.0.1:9; proxy_set_header X-Real-IP $http_x_forwarded_for; }"
    conf.write_text(
        f"http {{ access_log off; xbot_board /run/xbot; server {{ auth_request /_xbot/observe; {server} }} }}"
    )
    setup = Setup(nginx_conf.read(conf))
    assert setup.judging
    assert setup.gates
    assert visitors.look(setup, tmp_path, None) == []


def combined(address: str, agent: str) -> str:
    return f'{address} - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 512 "-" "Mozilla/5.0 {agent}"'


def decision(address: str, agent: str) -> str:
    """As nginx/log_format.conf has it."""
    headers = {"User-Agent": agent}
    record = {"ip": address, "time": 1.5, "method": "GET", "uri": "/", "protocol": "HTTP/1.1", "headers": headers}
    return msgspec.json.encode(record).decode()


BALANCERS = [f"192.0.2.{i}" for i in range(1, 6)]
BEHIND = [(BALANCERS[i % 5], f"n{i % 60}") for i in range(400)]


@pytest.mark.parametrize("line", [combined, decision])
def test_a_log_of_proxies(tmp_path: Path, line: object) -> None:
    log = tmp_path / "access.log"
    log.write_text("".join(f"{line(*who)}\n" for who in [*BEHIND, ("198.51.100.1", "curl")]))
    (found,) = look(tmp_path, http="access_log access.log;")  # relative, as nginx takes it
    assert found.status == "warning"
    assert found.what.startswith(
        f"{log}: 100% of the last 401 requests come from 192.0.2.1, 192.0.2.2, 192.0.2.3 and 2 more,"
    )
    assert found.what.endswith("real_ip is missing")
    assert "set_real_ip_from 192.0.2.1; set_real_ip_from 192.0.2.2;" in found.mend
    (found,) = look(tmp_path, "access_log access.log; set_real_ip_from 203.0.113.1;")
    assert found.what.endswith("set_real_ip_from does not name them")


def test_only_the_end_of_a_log_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was logged before somebody mended it is over; a first line that is cut is none."""
    visitors_now = [combined(f"198.51.100.{i % 200}", "Firefox") for i in range(400)]
    text = "".join(f"{line}\n" for line in [*(combined(*who) for who in BEHIND), *visitors_now])
    monkeypatch.setattr(visitors, "TAIL", len(text) // 2)
    (tmp_path / "access.log").write_text(text)
    assert look(tmp_path, "access_log access.log;") == []
    monkeypatch.setattr(visitors, "TAIL", len(text))
    monkeypatch.setattr(visitors, "MOST_OF", 0.4)
    assert len(look(tmp_path, "access_log access.log;")) == 1


@pytest.mark.parametrize(
    "who",
    [
        [(f"198.51.100.{i % 250}", f"n{i % 60}") for i in range(400)],  # visitors
        [("198.51.100.1", "monitor")] * 400,  # one program
        BEHIND[:150],  # too few to tell
        [*BEHIND[:250], *((f"198.51.100.{i}", "n") for i in range(100))],  # an office, and others
    ],
)
def test_a_log_of_visitors(tmp_path: Path, who: list[tuple[str, str]]) -> None:
    (tmp_path / "access.log").write_text("".join(f"{combined(*each)}\n" for each in who))
    assert look(tmp_path, "access_log access.log;") == []


@pytest.mark.parametrize(
    "log", ["none.log", ".", "syslog:server=unix:/dev/log", "/dev/full", "logs/$host.log", "rubbish", "empty"]
)
def test_a_log_that_says_nothing(tmp_path: Path, log: str) -> None:
    (tmp_path / "rubbish").write_bytes(bytes(range(256)) * 100)
    (tmp_path / "empty").touch()
    assert look(tmp_path, f"access_log {log};") == []


def test_the_command_says_it(tmp_path: Path) -> None:
    """With the sidecar's configuration beside it; nginx's own default log is not looked at where another is named."""
    (tmp_path / "access.log").write_text("".join(f"{combined(*who)}\n" for who in BEHIND))
    conf = tmp_path / "nginx.conf"
    conf.write_text(
        "events {}" + SERVER % (f"access_log {tmp_path}/access.log;", "set_real_ip_from 0.0.0.0/0;", "$remote_addr")
    )
    said = run_xbot("check", "--listen", "unix:/run/xbot/xbot.sock", "--nginx", conf, code=2).stdout.decode()
    assert "visitors are believed too, so each can choose his address" in said
    assert "with 10 agents or more each: proxies" in said


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """no-color.org: on a terminal, too."""
    found = Findings([Finding("wrong", "nginx", "x")])
    said: list[str] = []
    monkeypatch.setattr(click, "echo", said.append)
    for value, coloured in (("1", False), ("", True)):
        monkeypatch.setenv("NO_COLOR", value)
        found.show()
        assert ("\x1b" in said.pop()) is coloured
