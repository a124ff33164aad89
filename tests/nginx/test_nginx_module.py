"""The judge inside nginx, by its module: what only this host can do, and that it says what the sidecar and `xbot score` say.

Law: what both hosts do is tested on both, in the other files of this folder (the fixture `host`); here are the directives of the module,
the file that it reads, and the traps of the question that it does not have.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nginx_harness import (
    FILES,
    MODULE,
    EchoSite,
    Load,
    Nginx,
    at,
    guarded,
    nginx_binary,
    read_reply,
    running_nginx,
    without_module,
)
from sidecar_harness import BROWSER, CURL, Sidecar, alive, children, wait_until

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(nginx_binary() is None or bool(without_module()), reason=without_module() or "no nginx"),
]

Xbot = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def site() -> Iterator[EchoSite]:
    with EchoSite() as site:
        yield site


@pytest.fixture(scope="module")
def enforcing(model_path: Path) -> Iterator[Sidecar]:
    with Sidecar(model_path, "--mode", "enforce", workers=1, board=True) as sidecar:
        yield sidecar


@pytest.fixture(scope="module")
def stateless(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """Each request is judged alone, so the same one gets the same score."""
    toml = tmp_path_factory.mktemp("stateless") / "xbot.toml"
    toml.write_text('[clients]\nsize = "0"\n')
    with Sidecar(model_path, "--config", toml, workers=1, board=True) as sidecar:
        yield sidecar


@pytest.fixture
def board() -> Iterator[Path]:
    """A directory for a board that has no file yet."""
    with tempfile.TemporaryDirectory(prefix="xbot-board-") as above:
        Path(above).chmod(0o755)
        path = Path(above, "board")
        path.mkdir(mode=0o755)
        yield path


def passing(site: EchoSite) -> str:
    return f"include xbot/pass.conf; proxy_pass http://{site.address};"


def verdict(nginx: Nginx, target: str = "/", headers: dict[str, str] = CURL) -> str:
    """What the site is told, or the status of who does not get there."""
    reply = nginx.ask(target, headers)
    return reply.seen("X-Bot")[0] if reply.status == 200 else str(reply.status)


def status(nginx: Nginx) -> dict[str, Any]:
    """What the page of xbot_status says, at /status."""
    found: dict[str, Any] = json.loads(nginx.ask("/status").body)
    return found


# ---- gates


def test_gates_and_what_locations_inherit(site: EchoSite, enforcing: Sidecar) -> None:
    """By `xbot`, by lines of auth_request, and by both: the nearest one counts, and `xbot` before a line beside it."""
    to = passing(site)
    server = f"""
        include xbot/locations.conf;
        location / {{ {to} }}
        location /on {{ xbot on; {to} location /on/off {{ xbot off; {to} location /on/off/deep {{ {to} }} }} }}
        location /line {{ auth_request /_xbot/enforce; {to}
            location /line/deep {{ {to} }}
            location /line/observe {{ auth_request /_xbot/observe; {to} }}
            location /line/none {{ auth_request off; {to} location /line/none/deep {{ {to} }} }}
            location /line/off {{ xbot off; {to} location /line/off/deep {{ {to} }} }}
            location /line/other {{ auth_request /other; {to} }} }}
        location /both {{ xbot off; auth_request /_xbot/enforce; {to} }}
        location = /other {{ return 204; }}
    """
    expected = {
        "/": "unknown",
        "/on": "403",
        "/on/off": "unknown",
        "/on/off/deep": "unknown",
        "/line": "403",
        "/line/deep": "403",
        "/line/observe": "bot",
        "/line/none": "unknown",
        "/line/none/deep": "unknown",
        "/line/off": "unknown",
        "/line/off/deep": "unknown",
        "/line/other": "unknown",
        "/both": "unknown",
    }
    with running_nginx(server, **at(enforcing)) as nginx:
        assert {target: verdict(nginx, target) for target in expected} == expected


def test_a_module_that_is_loaded_and_not_used_changes_nothing(site: EchoSite, enforcing: Sidecar) -> None:
    with running_nginx(guarded(site, "enforce"), socket=enforcing.address) as nginx:
        config = nginx.prefix / "nginx.conf"
        config.write_text(f"load_module {MODULE};\n{config.read_text()}")
        nginx.reload()
        wait_until(
            lambda: "reconfiguring" in nginx.error_log() and nginx.error_log().count("start worker process ") == 2
        )
        assert verdict(nginx) == "403"
        assert verdict(nginx, headers=BROWSER) == "human"


def test_the_policy_of_who_asks_for_none(site: EchoSite, tmp_path: Path) -> None:
    """`xbot_policy` is what a listener's `policy` is to the sidecar; one that is not there counts as `default`."""
    toml = tmp_path / "xbot.toml"
    toml.write_text('[policies.strict]\nmode = "enforce"\n[policies.shop]\npaths = ["/shop"]\n')
    server = f"""
        xbot on; xbot_policy strict;
        location / {{ {passing(site)} }}
        location /typo {{ xbot_policy strikt; {passing(site)} }}
        location /status {{ xbot off; xbot_status; }}
    """
    model = FILES.parent / "sidecar" / "default.xbot"
    with (
        Sidecar(model, "--config", toml, workers=1, board=True) as sidecar,
        running_nginx(server, **at(sidecar)) as nginx,
    ):
        assert verdict(nginx, "/a") == "403"
        assert verdict(nginx, "/shop") == "bot"
        assert verdict(nginx, "/typo") == "bot"
        assert status(nginx)["unknown_policy"] == 1


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("xbot_board run/xbot;", "takes an absolute path"),
        ("xbot_board /a; xbot_board /b;", "is duplicate"),
        ("xbot maybe;", "takes on or off"),
    ],
)
def test_directives_say_what_is_wrong(tmp_path: Path, line: str, why: str) -> None:
    config = tmp_path / "nginx.conf"
    config.write_text(f"load_module {MODULE};\npid {tmp_path}/pid;\nevents {{}}\nhttp {{ access_log off; {line} }}\n")
    done = subprocess.run([nginx_binary() or "", "-t", "-c", config], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert why in done.stderr


# ---- traps of the question, which are none here


def test_a_return_by_verdict(site: EchoSite, enforcing: Sidecar) -> None:
    server = (
        f"include xbot/observe.conf; location / {{ if ($xbot = bot) {{ return 418; }} {passing(site)} }}"
        "location /never { return 200 $xbot; }"
    )
    with running_nginx(server, **at(enforcing)) as nginx:
        assert verdict(nginx) == "418"
        assert verdict(nginx, headers=BROWSER) == "human"
        assert nginx.ask("/never", CURL).body == b"bot"


def test_satisfy_any_is_no_door(site: EchoSite, enforcing: Sidecar) -> None:
    """A yes to the question satisfies `any`; the module says no, or nothing."""
    server = f"include xbot/observe.conf; location / {{ satisfy any; deny all; {passing(site)} }}"
    with running_nginx(server, **at(enforcing)) as nginx:
        assert nginx.ask("/", BROWSER).status == 403


def test_who_is_refused_sees_the_page_of_the_site(site: EchoSite, enforcing: Sidecar) -> None:
    server = f"error_page 403 /refused.html; location = /refused.html {{ internal; root {{prefix}}; }} {guarded(site, 'enforce')}"
    with running_nginx(server, **at(enforcing)) as nginx:
        (nginx.prefix / "refused.html").write_text("own")
        reply = nginx.ask("/", CURL)
        assert (reply.status, reply.body) == (403, b"own")


def test_judged_once_through_redirects(site: EchoSite, enforcing: Sidecar) -> None:
    server = f"""
        include xbot/enforce.conf; root {{prefix}}/none;
        location / {{ try_files $uri @site; }}
        location @site {{ if ($xbot = none) {{ return 500; }} {passing(site)} }}
        location /status {{ auth_request off; xbot_status; }}
    """
    with running_nginx(server, **at(enforcing)) as nginx:
        for n in range(1, 4):
            assert verdict(nginx, headers=BROWSER) == "human"
            assert status(nginx)["requests"] == n
        assert verdict(nginx) == "403"
        assert status(nginx)["refused"] == 1


def test_forged_headers_reach_no_location(site: EchoSite, enforcing: Sidecar) -> None:
    """Whether or not it includes pass.conf, asks, or is asked by PHP: the names of xbot are the module's alone."""
    server = f"""
        underscores_in_headers on; ignore_invalid_headers off;
        include xbot/observe.conf;
        location / {{ proxy_pass http://{site.address}; }}
        location /off {{ auth_request off; proxy_pass http://{site.address}; }}
    """
    forged = ["X-Bot", "x_bot", "X.BOT", "X-Bot_Score", "X~Bot-Id", "X-Bot-New"]
    kept = ["X-Bottle", "XBot", "X-Robot", "X-Bo"]
    many = [(f"X-{i}", "v") for i in range(50)]  # so that the list has several parts
    with running_nginx(server, **at(enforcing)) as nginx:
        for target in ("/", "/off"):
            headers = [
                *CURL.items(),
                *((name, "human") for name in forged + kept),
                *many,
                *((name, "human") for name in forged),
            ]
            reply = nginx.ask(target, headers)
            assert [reply.seen(name) for name in forged] == [[]] * len(forged)
            assert [reply.seen(name) for name in kept] == [["human"]] * len(kept)
            assert sum(bool(reply.seen(name)) for name, _ in many) == len(many)
            assert nginx.ask(target, CURL).status == 200


SAID = ("X-Bot", "X-Bot-Score", "X-Bot-Reason", "X-Bot-Agent", "X-Bot-Purpose", "X-Bot-Id")


def test_the_verdict_among_the_headers(site: EchoSite, stateless: Sidecar) -> None:
    """By pass_module.conf in the server: whatever a location sets beside it, and as pass.conf has it. Nobody's X-Bot but ours."""
    to = f"proxy_pass http://{site.address};"
    server = f"""
        underscores_in_headers on; include xbot/observe.conf; include xbot/pass_module.conf;
        location / {{ proxy_set_header X-Own own; {to} }}
        location /without {{ xbot_pass off; {to} }}
        location /off {{ auth_request off; {to} }}
    """
    forged = {"X-Bot": "human", "X_Bot_Score": "0", "x-bot-id": "forged", "X-Bot-Agent": "me"}
    usual = f"underscores_in_headers on; include xbot/observe.conf; location / {{ {passing(site)} }}"
    with running_nginx(server, **at(stateless)) as nginx, running_nginx(usual, **at(stateless)) as by_lines:

        def seen(target: str, headers: dict[str, str], nginx: Nginx = nginx) -> dict[str, list[str]]:
            reply = nginx.ask(target, {**forged, **headers})
            return {name: reply.seen(name) for name in SAID}

        for headers in (CURL, BROWSER):
            said, lines = seen("/", headers), seen("/", headers, by_lines)
            assert [len(found) for found in said.values()] == [1, 1, 1, 0, 0, 1]
            assert said.pop("X-Bot-Id") != lines.pop("X-Bot-Id")
            assert said == lines
        assert nginx.ask("/", CURL).seen("X-Own") == ["own"]
        assert seen("/without", CURL) == {name: [] for name in SAID}
        assert seen("/off", CURL) == {name: ["unknown"] if name == "X-Bot" else [] for name in SAID}


def test_the_verdict_among_the_headers_of_redirects_and_subrequests(site: EchoSite, stateless: Sidecar) -> None:
    """Who is judged again, by another policy, is judged by his own headers: not by those that the first verdict put there. A subrequest
    has the verdict where its location says so."""
    to = f"proxy_pass http://{site.address};"
    server = f"""
        include xbot/observe.conf; root {{prefix}};
        location /twice {{ xbot_pass on; set $xbot_order lost; error_page 404 = @again; proxy_intercept_errors on;
            proxy_pass http://{site.address}/missing; }}
        location @again {{ xbot_pass on; set $xbot_order ""; {to} }}
        location /page {{ ssi on; default_type text/html; }}
        location /part {{ xbot_pass on; {to} }}
        location /copied {{ xbot_pass on; mirror /part; {to} }}
        location /not {{ mirror /bare; xbot_pass off; {to} }}
        location /bare {{ {to} }}
    """
    usual = f"include xbot/observe.conf; location / {{ {passing(site)} }}"
    with running_nginx(server, **at(stateless)) as nginx, running_nginx(usual, **at(stateless)) as by_lines:
        (nginx.prefix / "page").write_text('<!--#include virtual="/part" -->')
        once, twice = (each.ask("/twice", BROWSER) for each in (by_lines, nginx))
        assert [once.seen(name) for name in SAID[:3]] == [twice.seen(name) for name in SAID[:3]]
        assert len(twice.seen("X-Bot-Id")) == 1
        assert nginx.ask("/page", BROWSER).seen("X-Bot") == ["human"]
        for target, expected in (("/copied", ["human", "human"]), ("/not", [])):
            site.requests.clear()
            nginx.ask(target, BROWSER)
            wait_until(lambda: len(site.requests) == 2)
            told = [value for each in site.requests for name, value in each["headers"] if name == "X-Bot"]
            assert told == expected


def test_subrequests_are_not_judged(site: EchoSite, enforcing: Sidecar) -> None:
    server = f"""
        include xbot/enforce.conf;
        location / {{ mirror /copy; {passing(site)} }}
        location /copy {{ {passing(site)} }}
        location /status {{ auth_request off; xbot_status; }}
    """
    with running_nginx(server, **at(enforcing)) as nginx:
        site.requests.clear()
        assert verdict(nginx, headers=BROWSER) == "human"
        wait_until(lambda: len(site.requests) == 2)
        assert {dict(request["headers"])["X-Bot"] for request in site.requests} == {"human"}
        assert status(nginx)["requests"] == 1


def test_a_target_beyond_the_bound(site: EchoSite, tmp_path: Path) -> None:
    """It is not looked at, so a list of paths that denies cannot be consulted: then it denies (csrc/policy/policy.h)."""
    toml = tmp_path / "xbot.toml"
    toml.write_text('[policies.default]\nmode = "enforce"\ndeny = ["a"]\n[lists.a]\npaths = ["/a"]\n')
    server = f"large_client_header_buffers 4 200k; {guarded(site, 'enforce')}"
    with (
        Sidecar(FILES.parent / "sidecar" / "default.xbot", "--config", toml, workers=1, board=True) as sidecar,
        running_nginx(server, **at(sidecar)) as nginx,
    ):
        assert verdict(nginx, "/b" * 1000, BROWSER) == "human"
        assert verdict(nginx, "/b" * 40_000, BROWSER) == "403"


# ---- the file that it reads


def test_a_board_that_comes_late_changes_and_goes(
    site: EchoSite, model_path: Path, other_model_path: Path, board: Path
) -> None:
    """No reload of nginx: a worker looks for itself. What is refused changes nothing, and is told once."""
    gates = f"include xbot/observe.conf; location / {{ {passing(site)} }}"
    closed = f"location /closed {{ auth_request /_xbot/enforce_fail_closed; {passing(site)} }}"
    with running_nginx(gates + closed, socket="unix:/nowhere", board=board) as nginx:

        def score() -> str:
            reply = nginx.ask("/", CURL)
            assert reply.status == 200
            return "".join(reply.seen("X-Bot-Score"))

        assert verdict(nginx) == "unknown"
        assert verdict(nginx, "/closed") == "503"
        with Sidecar(model_path, "--board", board, workers=1):
            first = wait_until(score)
            assert verdict(nginx, "/closed", BROWSER) == "human"
        assert score() == first
        with Sidecar(other_model_path, "--board", board, workers=1):
            second = wait_until(lambda: score() != first and score())
        good = (board / "served").read_bytes()
        for bad in (good[:-1], good[:5000] + b"x" + good[5001:], b"", b"x" * 4096):
            (board / "new").write_bytes(bad)
            (board / "new").rename(board / "served")
            before = nginx.error_log().count("what was served before goes on")
            wait_until(lambda before=before: [score(), nginx.error_log().count("goes on")][1] > before)
            time.sleep(1.1)
            assert score() == second
            assert nginx.error_log().count("what was served before goes on") == before + 1
        (board / "served").unlink()
        time.sleep(1.1)
        assert score() == second
        assert nginx.error_log().count("X-Bot is unknown") == 1


@pytest.mark.parametrize(
    "how", ["others may write", "a link", "a second name", "a fifo", "a directory that others may write"]
)
def test_a_file_that_others_could_have_written_is_not_read(
    site: EchoSite, enforcing: Sidecar, board: Path, how: str
) -> None:
    good = (enforcing.board or board) / "served"
    file = board / "served"
    if how == "a link":
        file.symlink_to(good)
    elif how == "a fifo":
        os.mkfifo(file)
    else:
        shutil.copyfile(good, file)
        file.chmod(0o662 if how == "others may write" else 0o644)
    if how == "a second name":
        (board / "other").hardlink_to(file)
    if how.startswith("a directory"):
        board.chmod(0o777)
    with running_nginx(guarded(site), socket="unix:/nowhere", board=board) as nginx:
        assert verdict(nginx) == "unknown"
        assert nginx.error_log().count("served: ") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts workers of another user")
def test_workers_of_another_user_read_their_own_copy(site: EchoSite, model_path: Path, board: Path) -> None:
    """The owner cuts the file in place while it is in use: whoever maps it would die of that."""
    with Sidecar(model_path, "--board", board, workers=1):
        (board / "served").chmod(0o644)
        with running_nginx(guarded(site), socket="unix:/nowhere", board=board, user="nobody") as nginx:
            assert verdict(nginx) == "bot"
            os.truncate(board / "served", 1)
            time.sleep(1.1)
            assert verdict(nginx) == "bot"
            assert verdict(nginx, headers=BROWSER) == "human"


# ---- under load

# A connection each: nginx may close a kept one at the very moment at which a visitor asks on it.
ONCE = {**BROWSER, "Connection": "close"}


def workers_of(nginx: Nginx) -> set[int]:
    return set(children(nginx.process.pid))


def test_reloads_lose_nothing(site: EchoSite, model_path: Path, other_model_path: Path, tmp_path: Path) -> None:
    """Of nginx and of the sidecar at once, with other models. Every visitor is served, and judged."""
    served = Path(shutil.copy(model_path, tmp_path / "served.xbot"))
    with (
        Sidecar(served, workers=1, board=True) as sidecar,
        running_nginx(guarded(site), **at(sidecar), workers=2) as nginx,
    ):
        with Load(nginx, ONCE) as load:
            for model in (other_model_path, model_path) * 2:
                before = workers_of(nginx)
                shutil.copyfile(model, served.with_suffix(".new"))
                served.with_suffix(".new").rename(served)
                sidecar.process.send_signal(signal.SIGHUP)
                nginx.reload()
                wait_until(lambda before=before: len(workers_of(nginx)) == 2 and not before & workers_of(nginx))
        assert load.failures == []
        assert set(load.outcomes) == {(200, "human")}


def number_in(path: Path) -> int:
    """0 where there is none: nginx moves the file away before the successor writes its own."""
    try:
        return int(path.read_text() or 0)
    except FileNotFoundError:
        return 0


def test_a_new_binary_loses_nothing(site: EchoSite, enforcing: Sidecar) -> None:
    """SIGUSR2, then SIGQUIT to the old master, as its manual says. nginx listens to that only as a daemon."""
    server = f"{guarded(site)} location /status {{ auth_request off; xbot_status; }}"
    with running_nginx(server, **at(enforcing), workers=2) as template:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config, pid = template.prefix / "daemon.conf", template.prefix / "daemon.pid"
        text = (
            (template.prefix / "nginx.conf").read_text().replace("daemon off;", "").replace("/nginx.pid", "/daemon.pid")
        )
        # nginx hands its successor no variable that it is not told of.
        config.write_text("env ASAN_OPTIONS;" + text.replace(f"127.0.0.1:{template.port}", f"127.0.0.1:{port}"))
        subprocess.run(
            [nginx_binary() or "", "-p", template.prefix, "-c", config], check=True, stderr=subprocess.DEVNULL
        )
        masters = [wait_until(lambda: number_in(pid))]
        nginx = Nginx(template.prefix, port, template.process)
        try:
            with Load(nginx, ONCE) as load:
                wait_until(lambda: load.total > 50)
                os.kill(masters[0], signal.SIGUSR2)
                masters.append(wait_until(lambda: (n := number_in(pid)) != masters[0] and n))
                wait_until(lambda: len(children(masters[1])) == 2)
                os.kill(masters[0], signal.SIGQUIT)
                wait_until(lambda: not alive(masters[0]))
                seen = load.total
                wait_until(lambda: load.total > seen + 50)
            assert status(nginx)["verdict"]["human"] > 0
        finally:
            for master in filter(alive, masters):
                os.kill(master, signal.SIGTERM)
            wait_until(lambda: not any(map(alive, masters)))
        assert load.failures == []
        assert set(load.outcomes) == {(200, "human")}


def test_a_site_moves_between_the_hosts(site: EchoSite, model_path: Path) -> None:
    """By one line in http, there and back three times, and a reload each: nobody is lost, and every verdict is the same."""
    with (
        Sidecar(model_path, workers=1, board=True) as sidecar,
        running_nginx(guarded(site), **at(sidecar), workers=2) as nginx,
    ):
        config = nginx.prefix / "nginx.conf"
        program = {**CURL, "Connection": "close"}
        with Load(nginx, ONCE) as people, Load(nginx, program) as programs:
            for host in ("http.conf", "http_module.conf") * 3:
                text = config.read_text().replace("http_module.conf", "http.conf").replace("http.conf", host)
                config.write_text(text)
                before = workers_of(nginx)
                nginx.reload()
                wait_until(lambda before=before: len(workers_of(nginx)) == 2 and not before & workers_of(nginx))
                seen = people.total, programs.total
                wait_until(lambda seen=seen: people.total > seen[0] + 20 and programs.total > seen[1] + 20)
        for load, verdict_ in ((people, "human"), (programs, "bot")):
            assert load.failures == []
            assert set(load.outcomes) == {(200, verdict_)}


def test_killed_workers_leave_the_counters_sound(site: EchoSite, enforcing: Sidecar) -> None:
    """A worker that is killed takes its connections along, and nothing else: the next one takes its slot."""
    server = f"{guarded(site)} location /status {{ auth_request off; xbot_status; }}"
    visitors = 4
    with running_nginx(server, **at(enforcing), workers=2) as nginx:
        with Load(nginx, ONCE, visitors) as load:
            wait_until(lambda: len(workers_of(nginx)) == 2)
            for n in range(1, 5):
                victim = min(workers_of(nginx))
                os.kill(victim, signal.SIGKILL)
                wait_until(lambda victim=victim: len(workers_of(nginx)) == 2 and victim not in workers_of(nginx))
                seen = load.total
                wait_until(lambda seen=seen: load.total > seen + 50)
                assert len(load.failures) <= visitors * n
        counted = status(nginx)["requests"]
        served = load.outcomes.total()
        assert set(load.outcomes) == {(200, "human")}
        assert served <= counted <= served + len(load.failures)


# ---- the same words from every host


def random_row(rng: random.Random) -> dict[str, Any]:
    """A request of any bytes that nginx lets by."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!#$&'*+^`|~"
    known = "Accept accept-Language USER-AGENT Referer Cookie Via X-Forwarded-For X-Real-IP X-Bot X-Bot-Policy X-Original-URI DNT "
    known += "Sec-Fetch-Site Sec-CH-UA Origin From Range Priority X-TLS-Ciphers X-Connection Accept-Encoding Authorization Purpose"
    text = [
        chr(byte) if byte < 128 else chr(0xDC00 + byte)
        for byte in [*range(0x21, 0x7F), *range(0x80, 0x100), 1, 7, 0x1F, 0x7F]
    ]

    def value() -> str:
        return "".join(rng.choices([*text, " ", ",", ";"], k=rng.choice([0, 1, 5, 40, 300]))).strip(" \t")

    def name() -> str:
        own = "Z" + "".join(rng.choices(letters, k=rng.randint(1, 40)))
        return rng.choice([rng.choice(known.split()), rng.choice(known.split()), own])

    headers = [[name(), value()] for _ in range(rng.choice([0, 3, 10, 30]))]
    headers.insert(rng.randint(0, len(headers)), ["Host", "site.example"])
    path = "".join(rng.choices([*text[:-4], "%2f", "//", "..", "?", "&a="], k=rng.randint(0, 80))).replace("#", "")
    return {"method": rng.choice(["GET", "HEAD", "POST", "BREW"]), "uri": f"/{path}", "headers": headers}


HOP = frozenset(
    "connection keep-alive transfer-encoding te trailer upgrade expect proxy-connection content-length".split()
)


def plain_row(row: dict[str, Any], ip: str) -> dict[str, Any]:
    """The row as it comes over plain http, less the headers that nginx drops from a subrequest."""
    pairs = [[name, value.strip(" \t")] for name, value in row["headers"] if name.lower() not in HOP]
    if not any(name.lower() == "host" for name, _ in pairs):
        pairs.insert(0, ["Host", row.get("host") or "site.example"])
    uri = row["uri"] if row["uri"].startswith("/") else "/"
    method = row["method"] if row["method"] not in ("CONNECT", "TRACE") else "GET"
    return {"ip": ip, "method": method, "uri": uri, "protocol": "HTTP/1.1", "scheme": "http", "headers": pairs}


def answers(nginx: Nginx, rows: list[dict[str, Any]]) -> list[str]:
    """What nginx says of each: all of one address on one connection, which the PROXY protocol gives its address."""
    said: list[str] = []
    connection, ip = None, ""
    for row in rows:
        if connection is None or row["ip"] != ip:
            if connection:
                connection.close()
            connection, ip = nginx.connect(), row["ip"]
            family = "TCP6" if ":" in ip else "TCP4"
            there = "::1" if ":" in ip else "127.0.0.1"
            connection.sendall(f"PROXY {family} {ip} {there} 1 1\r\n".encode())
        blank = "\t "  # around values; nginx takes none of Host's for its own
        headers = [f"{name}:{' ' if name.lower() == 'host' else blank}{value} " for name, value in row["headers"]]
        lines = [f"{row['method']} {row['uri']} HTTP/1.1", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode("utf-8", "surrogateescape"))
        reply = read_reply(connection, row["method"])
        said.append(reply.headers.get("Said", str(reply.status)))
        if reply.headers.get("Connection") == "close":
            connection.close()
            connection = None
    return said


def assert_all_hosts_agree(rows: list[dict[str, Any]], model: Path, xbot: Xbot, log: Path) -> None:
    server = """
        set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol; keepalive_requests 100000;
        ignore_invalid_headers off; underscores_in_headers on; include xbot/observe.conf;
        add_header Said "$xbot $xbot_score $xbot_reason $xbot_margin" always;
        location / { root {prefix}/none; }
    """
    http = "map x $xbot_margin { default -; }"
    config = log.with_name("xbot.toml")
    config.write_text(f'model = "{model}"\n[policies.default]\n')
    with Sidecar(model, "--config", config, workers=1, board=True) as sidecar:
        with running_nginx(server, **at(sidecar), listen_options="proxy_protocol") as nginx:
            by_module = [line.split(" ") for line in answers(nginx, rows)]
        with running_nginx(server, http=http, socket=sidecar.address, listen_options="proxy_protocol") as nginx:
            by_sidecar = [line.split(" ") for line in answers(nginx, rows)]
    log.write_bytes(
        b"".join(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n" for row in rows)
    )
    scored = [
        json.loads(line)
        for line in xbot("score", "--json", "--format", "jsonl", "--config", config, log).stdout.splitlines()
    ]
    judged = 0
    for row, module, asked, score in zip(rows, by_module, by_sidecar, scored, strict=True):
        if module[0] == asked[0] == "unknown":  # nginx refused it as no request
            continue
        judged += 1
        assert module[:3] == asked[:3], row
        assert module[:3] == [score["verdict"], f"{score['score']:.4f}", score["reason"]], row
        assert float(module[3]) == score["margin"], row
    assert judged > 0.85 * len(rows)


def some_rows(corpus: Path, n: int, n_random: int) -> list[dict[str, Any]]:
    rng = random.Random(7)
    rows = [json.loads(line) for line in corpus.read_text().splitlines()]
    chosen = [*rng.sample(rows, n), *(random_row(rng) for _ in range(n_random))]
    rng.shuffle(chosen)
    ips = ["203.0.113.7", "2001:db8::7", "192.0.2.55", "10.1.2.3"]
    return [plain_row(row, ips[i // 25 % len(ips)]) for i, row in enumerate(chosen)]


def test_module_sidecar_and_log_agree(corpus_path: Path, model_path: Path, xbot: Xbot, tmp_path: Path) -> None:
    assert_all_hosts_agree(some_rows(corpus_path, 300, 300), model_path, xbot, tmp_path / "log")


@pytest.mark.long
def test_module_sidecar_and_log_agree_on_ten_thousand(
    corpus_path: Path, model_path: Path, xbot: Xbot, tmp_path: Path
) -> None:
    assert_all_hosts_agree(some_rows(corpus_path, 4000, 7500), model_path, xbot, tmp_path / "log")


@pytest.mark.skipif("XBOT_DATA" not in os.environ, reason="XBOT_DATA is not set")
def test_module_sidecar_and_log_agree_on_captures(model_path: Path, xbot: Xbot, tmp_path: Path) -> None:
    with gzip.open(Path(os.environ["XBOT_DATA"]) / "captures" / "clients.jsonl.gz", "rt") as file:
        rows = [plain_row(json.loads(line), "203.0.113.7") for line in file]
    assert_all_hosts_agree(rows, model_path, xbot, tmp_path / "log")
