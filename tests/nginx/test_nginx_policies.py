"""Policies through the real nginx: who chooses one, what the site and the logs are told, and where suspects are sent.

Law: the sidecar and the files of nginx/ are as users have them; the recipe for the grey zone is cut out of docs/nginx.md.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from nginx_harness import FILES, EchoSite, Nginx, at, guarded, nginx_binary, running_nginx
from sidecar_harness import BROWSER, CURL, Sidecar, wait_until

pytestmark = pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")

# Every visitor is from 127.0.0.1 here. The default model gives BROWSER a score near 0 and CURL one near 1.
CONFIG = """
[policies.login]
mode = "enforce"
deny = ["paths"]

[policies.grey]
suspect_above = 0.001

[policies.ours]
mode = "enforce"
verified = ["here"]

[lists.paths]
paths = ["/login/old"]

[lists.here]
networks = ["127.0.0.0/8"]
"""


@pytest.fixture(scope="module")
def sidecar(host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    path = tmp_path_factory.mktemp("policies") / "xbot.toml"
    path.write_text(CONFIG)
    model = FILES.parent / "sidecar" / "default.xbot"
    with Sidecar(model, "--config", path, workers=1, board=host == "module") as running:
        running.config = path
        yield running


@pytest.fixture(scope="module")
def site() -> Iterator[EchoSite]:
    with EchoSite() as running:
        yield running


def passing(site: EchoSite) -> str:
    return f"include xbot/pass.conf; proxy_pass http://{site.address};"


@pytest.fixture(scope="module")
def nginx(sidecar: Sidecar, site: EchoSite) -> Iterator[Nginx]:
    server = f"""
        access_log {{prefix}}/combined xbot;
        access_log {{prefix}}/decisions xbot_jsonl;
        underscores_in_headers on;
        {guarded(site)}
        location /login {{ set $xbot_policy login; auth_request /_xbot/enforce; {passing(site)} }}
        location /ours {{ set $xbot_policy ours; auth_request /_xbot/enforce; {passing(site)} }}
        location /typo {{ set $xbot_policy logni; auth_request /_xbot/enforce; {passing(site)} }}
        location /files {{ set $xbot_policy login; auth_request /_xbot/enforce; root /nowhere; try_files $uri @app; }}
        location @app {{ {passing(site)} }}
    """
    with running_nginx(server, **at(sidecar)) as running:
        yield running


@pytest.mark.parametrize(
    ("target", "visitor", "status", "told"),
    [
        ("/", CURL, 200, "bot"),
        ("/login", CURL, 403, None),
        ("/login", BROWSER, 200, "human"),
        ("/login/old", BROWSER, 403, None),
        ("/login/%6fld", BROWSER, 403, None),
        ("/login/x/../old", BROWSER, 403, None),
        ("/ours", CURL, 200, "verified"),
        ("/typo", CURL, 200, "bot"),  # as the listener's own policy has it
        ("/files/x", CURL, 403, None),
        ("/files/x", BROWSER, 200, "human"),
    ],
)
def test_a_location_chooses_a_policy(
    nginx: Nginx, target: str, visitor: dict[str, str], status: int, told: str
) -> None:
    reply = nginx.ask(target, visitor)
    assert reply.status == status
    if told:
        assert reply.seen("X-Bot") == [told]


@pytest.mark.parametrize("name", ["X-Bot-Policy", "x-bot-policy", "X_Bot_Policy", "X-Bot_Policy"])
def test_a_visitor_chooses_none(nginx: Nginx, name: str) -> None:
    """Neither a milder one where bots are refused, nor a stricter one, nor any for the site to see."""
    for value in ("ours", "default", "grey"):
        assert nginx.ask("/login", {**CURL, name: value}).status == 403
        reply = nginx.ask("/", {**CURL, name: value})
        assert reply.seen("X-Bot") == ["bot"]
        assert not reply.seen(name)


def test_a_refusal_can_be_looked_up(nginx: Nginx, sidecar: Sidecar, tmp_path: Path, xbot) -> None:
    """From either log of log_format.conf: the line alone says by which policy, and the list's entry is named."""
    before = {name: len(nginx.log_lines(name)) for name in ("combined", "decisions")}
    nginx.ask("/login/old?x", BROWSER)
    for name, log_format in (("combined", "combined"), ("decisions", "jsonl")):
        line = nginx.log_lines(name, at_least=before[name] + 1)[-1]
        (tmp_path / name).write_bytes(line + b"\n")
        command = ("explain", "--config", sidecar.config, "--format", log_format)
        told = json.loads(xbot(*command, "--json", tmp_path / name).stdout)
        assert (told["verdict"], told["refuse"], told["policy"], told["reason"]) == ("bot", True, "login", "deny=paths")
        assert told["entry"] == "path /login/old (lists.paths.paths)"
        assert abs(told["bias"] + sum(p["contribution"] for p in told["contributions"]) - told["margin"]) < 1e-9
        shown = xbot(*command, tmp_path / name).stdout.decode()
        assert "policy login: bot, 403, deny=paths: path /login/old (lists.paths.paths)" in shown


def test_a_refusal_can_be_looked_up_by_its_head(sidecar: Sidecar, tmp_path: Path, xbot) -> None:
    head = tmp_path / "head.txt"
    head.write_text("GET /login/./old HTTP/1.1\nHost: site.example\nUser-Agent: " + BROWSER["User-Agent"] + "\n")
    command = (
        "explain",
        "--config",
        sidecar.config,
        "--policy",
        "login",
        "--format",
        "head",
        "--json",
        "--ip",
        "192.0.2.7",
    )
    told = json.loads(xbot(*command, head).stdout)
    assert (told["refuse"], told["entry"]) == (True, "path /login/old (lists.paths.paths)")


def recipe() -> tuple[str, str]:
    """What docs/nginx.md puts into `http` and into `server` for the grey zone."""
    text = (FILES.parent / "docs" / "nginx.md").read_text().partition("## The grey zone")[2].partition("\n## ")[0]
    blocks, block = [], []
    for line in [*text.splitlines(), "end"]:
        if line.startswith("    "):
            block.append(line)
        elif line.strip() and block:
            blocks.append("\n".join(block))
            block = []
    http, server = [each for each in blocks if "{" in each]
    return http, server


def test_suspects_and_only_they_are_sent_to_the_challenge(sidecar: Sidecar, site: EchoSite) -> None:
    http, server = recipe()
    with EchoSite() as challenge:
        http = http.replace("127.0.0.1:8000", site.address).replace("127.0.0.1:8923", challenge.address)
        plain = f"location /plain {{ include xbot/pass.conf; proxy_pass http://{site.address}; }}"
        with running_nginx(f"include xbot/observe.conf; {server} {plain}", **at(sidecar), http=http) as nginx:
            suspect = nginx.ask("/", BROWSER)
            assert (suspect.status, suspect.seen("X-Bot")) == (200, ["suspect"])
            assert [each["target"] for each in challenge.requests] == ["/"]
            assert nginx.ask("/", CURL).seen("X-Bot") == ["bot"]
            assert nginx.ask("/plain", BROWSER).seen("X-Bot") == ["human"]
            assert len(challenge.requests) == 1
            sidecar_away = running_nginx(f"include xbot/observe.conf; {server}", socket="/nowhere.sock", http=http)
            with sidecar_away as alone:
                assert alone.ask("/", BROWSER).seen("X-Bot") == ["unknown"]
        assert len(challenge.requests) == 1


def test_a_proven_crawler_reaches_the_site_and_a_forged_one_does_not(model_path: Path) -> None:
    """X-Bot-Agent and X-Bot-Purpose are the sidecar's word alone, under any name that a site may take for them."""
    forged = {
        name.replace("-", separator): "googlebot" for name in ("X-Bot-Agent", "X-Bot-Purpose") for separator in "-_."
    }
    server = (
        "set_real_ip_from 127.0.0.1; real_ip_header X-Test-IP; underscores_in_headers on; ignore_invalid_headers off;"
    )
    with (
        EchoSite() as site,
        Sidecar(model_path) as sidecar,
        running_nginx(f"{server} {guarded(site)}", **at(sidecar)) as nginx,
    ):
        for ip, told in (("66.249.66.1", [["googlebot"], ["search"]]), ("8.8.8.8", [[], []])):
            reply = nginx.ask(headers={**BROWSER, **forged, "X-Test-IP": ip})
            assert [reply.seen("X-Bot-Agent"), reply.seen("X-Bot-Purpose")] == told, ip


def test_a_refusal_names_its_id_and_whom_to_write_to(model_path: Path) -> None:
    """The site gets the id, too; and never one that a visitor made up, under any name that it may take for it."""
    forged = dict.fromkeys(("X-Bot-Id", "X_Bot_Id", "X.Bot.Id", "X-Bot_Id", "X_Bot-Id", "X-Bot.Id"), "forged")
    with EchoSite() as site, Sidecar(model_path, "--mode", "enforce") as sidecar:
        server = f"""
            include xbot/enforce.conf; include xbot/refused.conf; set $xbot_contact "help@site.example";
            underscores_in_headers on; ignore_invalid_headers off;
            location / {{ {passing(site)} }}
            location /closed {{ deny all; {passing(site)} }}
        """
        with running_nginx(server, socket=sidecar.address) as nginx:
            reply = nginx.ask("/", {**CURL, **forged})
            found = re.search(
                r"write to help@site\.example and name the id <b>([0-9a-z]{12})</b>\.", reply.body.decode()
            )
            assert reply.status == 403
            assert found
            passed = nginx.ask("/", {**BROWSER, **forged})
            assert re.fullmatch("[0-9a-z]{12}", *passed.seen("X-Bot-Id"))
            assert [passed.seen(name) for name in forged if name != "X-Bot-Id"] == [[]] * (len(forged) - 1)
            assert b"name the id" not in nginx.ask("/closed", BROWSER).body
            os.kill(sidecar.process.pid, signal.SIGKILL)
            sidecar.process.wait()
            wait_until(lambda: nginx.ask("/", {**CURL, **forged}).status == 200)
            away = nginx.ask("/", {**CURL, **forged})
            assert (away.seen("X-Bot"), away.seen("X-Bot-Id")) == (["unknown"], [])
