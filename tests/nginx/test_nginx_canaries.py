"""Whom nginx names as the visitor ($xbot_ip), and canaries by it: the same on both hosts, and through a server of the site itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from nginx_harness import FILES, EchoSite, at, guarded, nginx_binary, running_nginx
from places import run_xbot
from proxy_harness import free_port
from sidecar_harness import BROWSER, CURL, Sidecar, wait_until

from sidecar.check import canaries
from sidecar.model import DEFAULT

pytestmark = pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")
HEADS = canaries.heads()
PEOPLE = sum(each.kind == "person" for each in HEADS.values())
TOML = """
control = "{place}/c"
[decisions]
file = "decisions.jsonl"
sample = 1
[policies.default]
mode = "enforce"
[policies.strict]
mode = "enforce"
threshold = 0.00001
paths = ["/login"]
"""


def serving(place: Path, host: str) -> Sidecar:
    (place / "xbot.toml").write_text(TOML.format(place=place))
    return Sidecar(
        DEFAULT, "--config", place / "xbot.toml", "--admin", "127.0.0.1:0", workers=1, board=host == "module"
    )


def check(place: Path, url: str, *more: str, code: int = 0) -> list[str]:
    done = run_xbot("check", "--canary", url, *more, "--json", place / "xbot.toml", code=code)
    return [found["what"] for found in json.loads(done.stdout)["findings"]]


def test_a_visitor_has_the_address_that_the_configuration_says(tmp_path: Path, host: str) -> None:
    """By `set`, and by a map; asked early or late, and for the page of refused.conf with nothing else set."""
    toml = tmp_path / "xbot.toml"
    toml.write_text(
        '[policies.default]\nmode = "enforce"\nallow = ["staff"]\n[lists.staff]\nnetworks = ["203.0.113.0/24"]\n'
    )
    with (
        EchoSite() as site,
        Sidecar(DEFAULT, "--config", toml, workers=1, board=host == "module") as sidecar,
    ):
        to = f"include xbot/pass.conf; proxy_pass http://{site.address};"
        server = f"""
            include xbot/enforce.conf; include xbot/refused.conf;
            location / {{ {to} }}
            location /staff {{ set $xbot_ip 203.0.113.9; {to} }}
            location /header {{ set $xbot_ip $http_x_test; {to} }}
            location /early {{ if ($xbot = nobody) {{ return 500; }} set $xbot_ip 203.0.113.9; {to} }}
        """
        with running_nginx(server, **at(sidecar)) as nginx:

            def told(target: str, **headers: str) -> str:
                reply = nginx.ask(target, {**CURL, **headers})
                return reply.seen("X-Bot-Reason")[0] if reply.status == 200 else str(reply.status)

            assert told("/") == "403"
            assert told("/staff") == told("/early") == "allow=staff"
            assert told("/header", **{"X-Test": "203.0.113.77"}) == "allow=staff"
            assert told("/header", **{"X-Test": "198.51.100.7"}) == "403"
        mapped = "map $http_x_test $xbot_visitor { default $remote_addr; ~. $http_x_test; }"
        server = f"include xbot/enforce.conf; set $xbot_ip $xbot_visitor; location / {{ {to} }}"
        with running_nginx(server, http=mapped, **at(sidecar)) as nginx:
            assert told("/") == "403"
            assert told("/", **{"X-Test": "203.0.113.77"}) == "allow=staff"


def test_canaries_are_counted_nowhere(tmp_path: Path, host: str) -> None:
    """Not a decision is recorded, and not a number moves but that of probes."""
    port = free_port()
    text = (FILES / "canary.conf").read_text().replace("8012", str(port))
    with serving(tmp_path, host) as sidecar, running_nginx("return 204;", http=text, **at(sidecar)):
        assert check(tmp_path, f"http://127.0.0.1:{port}/") == [
            f"{len(HEADS)} known bots and people got the right answer"
        ]
        wait_until(lambda: sidecar.metrics()["xbot_probes_total"] == len(HEADS), "the probes")
        for name in ("xbot_requests_total", "xbot_refused_total"):
            assert sum(n for key, n in sidecar.metrics().items() if key.startswith(name)) == 0
        assert sidecar.metrics().get("xbot_outcomes_total", 0) == 0
        assert (tmp_path / "decisions.jsonl").read_bytes() == b""


def test_canaries_go_through_a_server_of_the_site(tmp_path: Path, host: str) -> None:
    """By its gate, its locations and policies: bots are refused, people reach the site. Nobody else is told, or passes for one."""
    door = free_port()
    own = (FILES / "canary_site.conf").read_text().replace("8013", str(door))
    http = (FILES / "canary.conf").read_text().replace("8012", str(free_port()))
    with EchoSite() as site, serving(tmp_path, host) as sidecar:
        other = f"server {{ listen 127.0.0.1:{door}; server_name other.example; return 418; }}"
        server = f"server_name shop.example; {own} include xbot/refused.conf; {guarded(site, 'enforce')}"
        with running_nginx(server, http=f"{http} {other}", **at(sidecar)) as nginx:
            url = f"http://127.0.0.1:{door}/"
            right = [f"{len(HEADS)} known bots and people got the right answer"]
            assert check(tmp_path, url, "--host", "shop.example") == right
            assert len(site.requests) == PEOPLE
            assert {dict(each["headers"])["X-Bot"] for each in site.requests} <= {"human", "suspect", "verified"}
            people = [f"{name}, a person, is refused" for name, each in HEADS.items() if each.kind == "person"]
            assert check(tmp_path, f"{url}login", "--host", "shop.example", code=2) == people
            assert "418 without X-Bot-Canary" in check(tmp_path, url, "--host", "other.example", code=2)[0]
            wait_until(lambda: sidecar.metrics()["xbot_probes_total"] == 2 * len(HEADS), "the probes")
            reply = nginx.ask("/", {**BROWSER, "X-Real-IP": "192.0.2.1", "Host": f"127.0.0.1:{door}"})
            assert (reply.status, reply.headers["X-Bot-Canary"]) == (200, None)
            wait_until(
                lambda: sum(sidecar.counted("xbot_requests_total", host=each) for each in ("worker", "module")) == 1
            )


@pytest.mark.parametrize("name", ["a b", "x\r\nX-Real-IP: 1", ""])
def test_a_host_is_a_name(name: str) -> None:
    told = run_xbot("check", "--canary", "http://127.0.0.1:8013/", "--host", name, code=2).stderr.decode()
    assert "--host" in told
    assert told.count("\n") == 1
