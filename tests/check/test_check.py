"""`xbot check` as a doctor: nginx's traps in configurations that nginx takes, a user who may not open the socket, what runs.

Each trap is one change to a configuration in which there is none. nginx itself (`nginx -t`) takes every one of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shlex
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nginx_harness
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from nginx_harness import EchoSite, nginx_binary, running_nginx
from places import XBOT
from proxy_harness import free_port
from sidecar_harness import Sidecar

from sidecar import core
from sidecar.check import gates, nginx_conf, promises, reach, running, traps
from sidecar.check.cli import check
from sidecar.check.findings import Finding, Findings
from sidecar.check.gates import Setup
from sidecar.commands import nginx as commands_nginx
from sidecar.config import config
from sidecar.config.addresses import parse
from sidecar.config.options import Policy
from sidecar.errors import XbotError

needs_nginx = pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

SITE = """
include xbot/enforce.conf;
location / { proxy_pass http://127.0.0.1:9; include xbot/pass.conf; }
location ^~ /.well-known/acme-challenge/ { auth_request off; root /srv; }
"""
# A question of one's own, as docs/nginx.md has it in nginx/locations.conf.
QUESTION = """
auth_request /_xbot/mine;
location @by { return 204; }
location = /_xbot/mine {
    internal;
    proxy_pass http://xbot/;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_pass_request_body off;
    proxy_set_header Content-Length "";
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Original-URI $request_uri;
    proxy_set_header X-Original-Method $request_method;
    proxy_set_header X-Original-Protocol $server_protocol;
    proxy_set_header X-Original-Scheme $scheme;
    proxy_set_header X-Original-Host $host;
    proxy_set_header X-Bot-Policy $xbot_policy;
    proxy_set_header X-Xbot-Files 3;
    proxy_connect_timeout 100ms;
    proxy_send_timeout 100ms;
    proxy_read_timeout 500ms;
    client_max_body_size 0;
    proxy_intercept_errors on;
    error_page 428 = /_xbot/tell/observe;
    error_page 500 502 503 504 = @by;
}
""" + SITE.partition("\n")[2].partition("\n")[2]
LISTEN = "unix:/run/xbot/xbot.sock"


def write(place: Path, server: str, http: str = "", listen: str = LISTEN, user: str = "") -> Path:
    """A whole configuration with this server; the file that it begins in."""
    if not (place / "xbot").exists():
        nginx_harness.copy_files(place / "xbot", listen)
    text = nginx_harness.CONFIG.format(
        prefix=place,
        port=free_port(),  # any user may have it, and no other test has it
        listen_options="",
        workers=1,
        user=user,
        http=http,
        server=server,
        load="",
        included="http",
    )
    (place / "nginx.conf").write_text(text)
    return place / "nginx.conf"


def look(conf: Path, taken: bool = True, version: tuple[int, ...] = (), **setup: Any) -> list[Finding]:
    program = nginx_conf.installed()
    assert program
    takes, said = program.test(conf)
    assert takes or not taken, said
    return traps.look(Setup(nginx_conf.read(conf), version, **setup))


def bad(findings: list[Finding]) -> list[Finding]:
    return [each for each in findings if each.status in ("wrong", "warning")]


@dataclass
class Trap:
    """One change to a configuration without a trap: what is found, and a piece of the line that is named."""

    name: str
    what: str
    line: str
    server: str = SITE
    change: tuple[str, str] = ("", "")
    http: str = ""
    status: str = "wrong"


def question(
    name: str, old: str, new: str, what: str, line: str = "location = /_xbot/mine", status: str = "wrong"
) -> Trap:
    return Trap(name, what, line, QUESTION, (old, new), status=status)


TO_APP = SITE.replace("location / {", "location @app {") + "location / { try_files $uri @app; }"
OWN_LINES = "location /shop { proxy_set_header Host $host; proxy_pass http://127.0.0.1:9; }"
REFUSED = "error_page 403 /refused.html; location = /refused.html { internal; root /srv; }"
TRAPS = [
    # Of the location that asks.
    question("body", "proxy_pass_request_body off;", "", "does not leave out the visitor's body", status="warning"),
    question("length", 'proxy_set_header Content-Length "";', "", "a body that never comes"),
    question("address", "proxy_set_header X-Real-IP $remote_addr;", "", "a visitor's own X-Real-IP,"),
    question("told", "proxy_set_header X-Original-URI $request_uri;", "", "a visitor's own X-Original-URI,"),
    question("policy", "proxy_set_header X-Bot-Policy $xbot_policy;", "", "a visitor's own X-Bot-Policy"),
    question("no files", "proxy_set_header X-Xbot-Files 3;", "", "nothing of connection and TLS handshake", status="warning"),
    question("old files", "Files 3;", "Files 1;", "files of version 1, this xbot those of 3", "X-Xbot-Files 1;", status="warning"),
    question("new files", "Files 3;", "Files 4;", "files of version 4, this xbot those of 3", "X-Xbot-Files 4;", status="warning"),
    question("again", "error_page 428 = /_xbot/tell/observe;", "", "no error_page 428"),
    question("headers", "internal;", "internal; proxy_pass_request_headers off;", "keeps the visitor's headers"),
    question("version", "proxy_http_version 1.1;", "", "opens a connection for each question", status="warning"),
    question("connection", 'proxy_set_header Connection "";', "", "opens a connection for each", status="warning"),
    question("direct", "http://xbot/", f"http://{LISTEN}:/", "opens a connection for each question", status="warning"),
    question("connect", "proxy_connect_timeout 100ms;", "", "each visitor for 60s (proxy_connect_timeout)"),
    question("read", "proxy_read_timeout 500ms;", "proxy_read_timeout 1m;", "for 1m (proxy_read_timeout)"),
    question("send", "proxy_send_timeout 100ms;", "", "each visitor for 60s (proxy_send_timeout)"),
    question("away", "error_page 500 502 503 504 = @by;", "", "no error_page 500 502 503 504"),
    question("code", "500 502 503 504 = @by;", "500 503 504 = @by;", "no error_page 502: while"),
    question("equals", "504 = @by;", "504 @by;", "no error_page 500 502 503 504"),
    question("intercept", "proxy_intercept_errors on;", "", "does not apply error_page"),
    question("cache", "internal;", "internal; proxy_cache c;", "keeps the answer about one visitor"),
    question("outside", "internal;", "", "can be asked from outside", status="warning"),
    question("upload", "client_max_body_size 0;", "", "a larger upload to location /up gets 500"),
    Trap("keepalive", "opens a connection for each", "location = /_xbot/mine", QUESTION.replace("//xbot/", "//mine/"),
         http=f"upstream mine {{ server {LISTEN}; }}", status="warning"),
    Trap("rewrite", "also catches /_xbot/enforce: the site is asked", "rewrite ^/(.*)$",
         SITE + "rewrite ^/(.*)$ /index.php?q=$1 last;"),
    Trap("rewrite in if", "also catches /_xbot/enforce", "rewrite ^ /all",
         SITE + "if ($host = x) { rewrite ^ /all break; }"),
    # Of a place that is asked about.
    Trap("nowhere", "leads to no location that asks", "auth_request /_xbot/enforced",
         SITE + "location /a { auth_request /_xbot/enforced; }"),
    Trap("to the site", "leads to no location that asks", "auth_request /xbot-check",
         SITE + "location /a { auth_request /xbot-check; }"),
    Trap("no gate", "leads to no location that asks", "auth_request /_xbot/observe",
         SITE.replace("include xbot/enforce.conf;", "auth_request /_xbot/observe;")),
    Trap("return", "location /a answers before", "return 301", SITE + "location /a { auth_request /_xbot/enforce; return 301 /b; }"),
    Trap("return of 200", "location /a answers before", "return 200", SITE + "location /a { return 200 ok; }", status="warning"),
    Trap("asked twice", "location @app: who comes here by try_files is asked about twice", "location @app", TO_APP, status="warning"),
    Trap("satisfy", "the sidecar's yes lets a visitor by", "satisfy any", SITE + "location /a { satisfy any; deny all; }"),
    Trap("kept", "no auth_request_set keeps", "auth_request_set $mine", SITE + "location /a { auth_request_set $mine $upstream_status; }"),
    Trap("refused page", "/refused.html, the page for whom is refused, is asked about too", "error_page 403", SITE + REFUSED),
    Trap("fail-closed", "location /a says 500, not 503", "location /a", SITE.replace("enforce.", "enforce_fail_closed.")
         + "location /a { error_page 404 /x; root /srv; }", status="warning"),
    # Of a server that asks.
    Trap("dropped", "location /shop hands a visitor's own X-Bot to the site: this line drops", "proxy_set_header Host",
         SITE + OWN_LINES),
    Trap("not asked about", "location /shop hands a visitor's own X-Bot to the site", "proxy_set_header Host",
         SITE + OWN_LINES.replace("{", "{ auth_request off;", 1)),
    Trap("never told", "hands a visitor's own X-Bot to the site, and not the verdict", "proxy_pass http://127",
         SITE.replace("include xbot/pass.conf;", ""), status="warning"),
    Trap("fastcgi", "location ~ \\.php$ hands a visitor's own X-Bot to the site", "fastcgi_pass",
         SITE + "location ~ \\.php$ { fastcgi_pass 127.0.0.1:9; }"),
    Trap("in if", "if $host hands a visitor's own X-Bot", "proxy_pass",
         SITE + "location /a { if ($host) { proxy_pass http://127.0.0.1:9; } }"),
    Trap("underscores", "hands on X_Bot", "proxy_pass",
         "underscores_in_headers on;" + SITE.replace("include xbot/pass.conf;", "proxy_set_header X-Bot $xbot;")),
    Trap("invalid", "hands on X.Bot", "proxy_pass",
         "ignore_invalid_headers off;" + SITE.replace("include xbot/pass.conf;", "proxy_set_header X-Bot $xbot;")),
    Trap("if", "if ($xbot = bot) is looked at before", "if ($xbot", SITE + "location /a { if ($xbot = bot) { return 403; } }"),
    Trap("if of the score", "if ($xbot_score ~ ^0.9)", "if ($xbot_score", SITE + "if ($xbot_score ~ ^0.9) { return 403; }"),
    Trap("behind another", "visitors come through another proxy", "set_real_ip_from",
         SITE + "set_real_ip_from 192.0.2.0/24; real_ip_header X-Forwarded-For;", status="warning"),
    Trap("behind another, for all", "visitors come through another proxy", "set_real_ip_from",
         http="set_real_ip_from 192.0.2.0/24;", status="warning"),
    Trap("certificates", "may refuse a certificate authority", "location /", SITE.replace("/.well-known/", "/other/"), status="warning"),
    # Of the whole.
    Trap("log", "log_format mine: $upstream_http_x_bot", "log_format mine", http="log_format mine $upstream_http_x_bot;", status="warning"),
    Trap("outcomes", "human and suspect and verified is told to the site as unknown", "map $xbot_verdict $mine",
         http="map $xbot_verdict $mine { bot bot; }"),
    Trap("set", "set runs again for the question", "set $xbot_policy", SITE + "set $xbot_policy login;", status="warning"),
]  # fmt: skip


@needs_nginx
@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_a_trap_is_found_where_it_is(tmp_path: Path, trap: Trap) -> None:
    """It alone, with a mend, once, and at a line that has it."""
    old, new = trap.change
    assert old in trap.server
    server = trap.server.replace(old, new, 1)
    http = trap.http + "proxy_cache_path {prefix}/c keys_zone=c:1m;".replace("{prefix}", str(tmp_path))
    if trap.name == "upload":
        server += "location /up { client_max_body_size 10m; root /srv; }"
    found = bad(look(write(tmp_path, server, http)))
    assert [(each.status, each.about) for each in found] == [(trap.status, "nginx")], found
    place, what = re.match(r"(\S+:\d+): (.*)", found[0].what).groups()
    assert trap.what in what
    assert found[0].mend
    file, _, number = place.rpartition(":")
    assert trap.line in Path(file).read_text().splitlines()[int(number) - 1]


NO_TRAPS = {
    "site": SITE,
    "question": QUESTION,
    "observe": SITE.replace("enforce", "observe"),
    "fail-closed": SITE.replace("enforce.", "enforce_fail_closed."),
    "fail-closed in one place": SITE + "location /a { auth_request /_xbot/enforce_fail_closed; error_page 500 = @xbot_away; }",
    "redirect": SITE + "location /old { return 301 /new; }",
    "another service": SITE + "location /sso { auth_request /sso-check; } location = /sso-check { proxy_pass http://127.0.0.1:9; "
    "include xbot/pass.conf; }",
    "the page of refusal": SITE + REFUSED.replace("internal;", "internal; auth_request off;"),
    "rewrite that lets by": SITE + "rewrite ^/(?!_xbot/)(.*)$ /index.php?q=$1 last;",
    "a policy": SITE + "location /login { set $xbot_policy login; root /srv; }",
    "aliases": "underscores_in_headers on; ignore_invalid_headers off;" + SITE,
    "fastcgi": SITE + "location ~ \\.php$ { fastcgi_param HTTP_X_BOT $xbot; fastcgi_pass 127.0.0.1:9; }",
    "satisfy any": SITE + "location /a { satisfy any; auth_request off; deny all; }",
    "suspects": "location / { set $xbot_policy grey; proxy_pass http://$site_or_challenge; include xbot/pass.conf; }"
    + SITE.replace("location / {", "location /own {"),
    "behind another": SITE + "set_real_ip_from 192.0.2.0/24; set $xbot_order lost;",
    "behind another, in one place": SITE + "set_real_ip_from 192.0.2.0/24; location /a { set $xbot_order lost; root /srv; }",
    "behind one that tells addresses": SITE + "set_real_ip_from 192.0.2.0/24; real_ip_header proxy_protocol;",
    "asked once": TO_APP.replace("@app {", "@app { auth_request off;"),
    "asked where it leads": TO_APP.replace("{ try_files", "{ auth_request off; try_files"),
    "a policy where it leads": TO_APP.replace("@app {", "@app { set $xbot_policy login;"),
    "where an error leads": SITE + "location @late { if ($xbot = bot) { return 403; } }",
}  # fmt: skip


SUSPECTS = "map $xbot $site_or_challenge { volatile; default site; suspect challenge; }"


@needs_nginx
@pytest.mark.parametrize("server", NO_TRAPS.values(), ids=NO_TRAPS.keys())
def test_there_is_no_trap_where_none_is(tmp_path: Path, server: str) -> None:
    assert bad(look(write(tmp_path, server, SUSPECTS))) == []


@needs_nginx
def test_who_looks_at_suspects(tmp_path: Path) -> None:
    """The map of http.conf hands them on, and is nobody who does something with them."""
    for http, mentioned in (("", False), (SUSPECTS, True)):
        assert Setup(nginx_conf.read(write(tmp_path, SITE, http))).mentions("suspect") is mentioned


@needs_nginx
def test_the_example_site_has_none(tmp_path: Path) -> None:
    """nginx/example_site.conf, and each of the gates alone."""
    conf = write(tmp_path, SITE)
    text = conf.read_text()
    begin = text.index("    server {")
    conf.write_text(text[:begin] + f"include {nginx_harness.FILES}/example_site.conf; }}")
    assert bad(look(conf, taken=False)) == []  # its logs are where only root writes


@needs_nginx
def test_both_configurations_together(tmp_path: Path) -> None:
    """Where nginx asks and the sidecar listens; modes; policies."""
    conf = write(tmp_path, SITE + "location /login { set $xbot_policy logn; root /srv; }")
    observing = {"default": Policy(), "login": Policy()}
    enforcing = {**observing, "login": Policy(mode="enforce")}

    def told(**setup: Any) -> list[str]:
        return [re.sub(r"^\S+: ", "", each.what) for each in bad(look(conf, **setup))]

    assert told(policies=enforcing) == ["the sidecar has no policy 'logn'"]
    assert told(policies=observing)[1:] == ["auth_request /_xbot/enforce refuses nobody: no policy is in mode enforce"]
    assert told(listen=[parse("127.0.0.1:9401")]) == [f"nginx asks {LISTEN}, the sidecar listens on 127.0.0.1:9401"]
    assert told(listen=[parse("127.0.0.1:9401"), parse(LISTEN)]) == []
    conf = write(tmp_path, SITE.replace("enforce", "observe"))
    assert told(policies=enforcing) == [
        "nobody is refused, though a policy is in mode enforce: nginx lets everybody by"
    ]


@pytest.mark.parametrize(
    ("asked", "listening", "arrives"),
    [
        ("unix:/var/run/xbot.sock", "unix:/run/xbot.sock", Path("/var/run").is_symlink()),
        ("unix:/a/../b", "unix:/b", True),
        ("127.0.0.1:80", "0.0.0.0:80", True),
        ("localhost:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("192.0.2.1:80", "127.0.0.1:80", False),
        ("unix:/a", "127.0.0.1:80", False),
    ],
)
def test_where_a_question_arrives(asked: str, listening: str, arrives: bool) -> None:
    assert gates.same(parse(asked), parse(listening)) is arrives


@needs_nginx
def test_newer_nginx_keeps_connections_by_itself(tmp_path: Path) -> None:
    conf = write(
        tmp_path, QUESTION.replace("proxy_http_version 1.1;", "").replace('proxy_set_header Connection "";', "")
    )
    assert bad(look(conf, version=(1, 29, 6)))
    assert bad(look(conf, version=(1, 29, 7))) == []


@needs_nginx
def test_a_newer_nginx_can_tell_more(tmp_path: Path) -> None:
    """Of files that were written for an older one."""
    conf = write(tmp_path, SITE)
    for name, text in commands_nginx.files((1, 18)).items():
        if name != "upstream.conf":
            (tmp_path / "xbot" / name).write_bytes(text)

    def told(*version: int) -> list[str]:
        return re.findall(r"knows (\S+),", " ".join(each.what for each in bad(look(conf, version=version))))

    assert told(1, 18, 0) == told(1, 21, 3) == []
    assert told(1, 22, 1) == ["$ssl_alpn_protocol"]
    assert told(1, 31, 2) == ["$ssl_alpn_protocol", "$ssl_sigalgs"]


# ---- nginx's own rules


LOCATIONS = """
location / { return 200 root; }
location = / { return 200 exactly; }
location /a { return 200 a; location /a/b { return 200 ab; } location = /a/c { return 200 ac; } location ~ d$ { return 200 ad; } }
location ^~ /n { return 200 n; location ~ d$ { return 200 nd; } }
location ~ \\.(?<kind>php|html)$ { return 200 regex; }
location ~* ^/A/B/SPECIAL { return 200 insensitive; }
location =/glued { return 200 glued; }
location ~ (?<!x)z$ { return 200 lookbehind; }
"""


@needs_nginx
def test_locations_are_chosen_as_nginx_chooses(tmp_path: Path) -> None:
    """A request through the real nginx, and the same path here."""
    rng = random.Random(1)
    parts = ["/", "a", "b", "c", "d", "n", ".php", ".html", "special", "glued", "z", "xz", "A", "B"]
    uris = {
        "/",
        "/glued",
        "/a/c",
        "/a/b",
        "/nd",
        "/A/b/special",
        *("/" + "".join(rng.choices(parts, k=rng.randint(1, 5))) for _ in range(150)),
    }
    uris = {uri for uri in uris if "//" not in uri}  # nginx merges slashes before it looks
    with running_nginx(LOCATIONS, socket="/nowhere") as nginx:
        server = next(iter(Setup(nginx_conf.read(nginx.prefix / "nginx.conf")).servers))
        seen = set()
        for uri in sorted(uris):
            location = server.location(uri)
            assert location
            told = nginx.ask(uri).body.decode()
            assert location.own("return")[0].args[1] == told, uri
            seen.add(told)
    assert len(seen) == LOCATIONS.count("return")


def test_what_stands_in_files_is_found_there(tmp_path: Path) -> None:
    """Also behind an include, and a file that includes itself."""
    (tmp_path / "inner.conf").write_text("\nsatisfy any;\ninclude inner.conf;\n")
    (tmp_path / "a.conf").write_text("http {\n include inner*.conf;\n  server_tokens off; }\n")
    (http,) = nginx_conf.read(tmp_path / "a.conf").own("http")
    assert http.block
    places = {each.name: each.place for each in http.block.inner}
    assert places == {"satisfy": f"{tmp_path}/inner.conf:2", "server_tokens": f"{tmp_path}/a.conf:3"}


@pytest.mark.parametrize("text", ["http { server {", "http { } }", "http { include none.conf; }", "http { a", "\0{"])
def test_a_configuration_that_cannot_be_read_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "nginx.conf").write_text(text)
    result = run("--nginx", tmp_path / "nginx.conf")
    wrong = [each["what"] for each in result["findings"] if each["status"] == "wrong"]
    assert wrong
    assert all("\n" not in each for each in wrong)


def test_times_and_sizes() -> None:
    assert [nginx_conf.seconds(text) for text in ("500ms", "60s", "60", "1m 30s", "1h")] == [0.5, 60, 60, 90, 3600]
    assert [nginx_conf.size(text) for text in ("0", "8k", "10m", "1G", "123")] == [0, 8192, 10 << 20, 1 << 30, 123]


# ---- may the proxy open the socket


class Listening:
    """A socket at the end of a path, in a directory that everybody may search, with a symbolic link to its directory."""

    def __enter__(self) -> Listening:
        self._directory = tempfile.TemporaryDirectory(prefix="xbot-")
        self.top = Path(self._directory.name)
        self.top.chmod(0o755)
        self.inner = self.top / "inner"
        self.inner.mkdir()
        self.path, self.linked = self.inner / "s", self.top / "link" / "s"
        (self.top / "far").mkdir()
        (self.top / "far" / "link").symlink_to("../inner")
        (self.top / "link").symlink_to(self.top / "far" / "link")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.path))
        self._socket.listen(64)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        for path in self.top.rglob("*"):
            if path.is_dir():
                path.chmod(0o700)
        self._directory.cleanup()


@pytest.fixture(scope="module")
def listening() -> Iterator[Listening]:
    with Listening() as found:
        yield found


def connects(path: Path, who: reach.Who) -> bool:
    """Does the kernel let this user, in a process of its own, connect?"""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(sorted(who.groups))
            os.setgid(who.gid)
            os.setuid(who.uid)
            connection = socket.socket(socket.AF_UNIX)
            connection.setblocking(False)  # nobody accepts: once the queue is full, this is all that there is to know
            with contextlib.suppress(BlockingIOError):
                connection.connect(str(path))
        except PermissionError:
            os._exit(1)
        except BaseException:
            os._exit(2)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 1)
    return status == 0


MODES = st.integers(0, 0o777)
IDS = st.sampled_from([0, 1, 65534])
WHO = st.tuples(st.sampled_from([0, 1, 65534]), IDS, st.frozensets(IDS)).map(
    lambda ids: reach.Who("somebody", ids[0], ids[1], ids[2] | {ids[1]})
)


def test_a_pipe_that_is_included_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nginx_conf, "READ_SECONDS", 0.2)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "nginx.conf").write_text("events { }\ninclude fifo;\n")
    for place in tmp_path / "nginx.conf", tmp_path / "fifo":
        with pytest.raises(XbotError, match="could not be read within"):
            nginx_conf.read(place)


def test_an_nginx_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens what it names, logs too, and waits for the other end of a pipe; after a minute that was a traceback."""
    monkeypatch.setattr(nginx_conf, "TEST_SECONDS", 0.2)
    program = tmp_path / "nginx"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    takes, said = nginx_conf.Program(str(program), (1, 26), "").test(tmp_path / "nginx.conf")
    assert not takes
    assert said.startswith(f"{tmp_path}/nginx.conf: no answer within 0.2 s")


@needs_root
@given(
    who=WHO, modes=st.tuples(MODES, MODES, MODES), owners=st.lists(IDS, min_size=6, max_size=6), linked=st.booleans()
)
@settings(max_examples=150)
def test_who_may_open_it_is_what_the_kernel_says(
    listening: Listening, who: reach.Who, modes: tuple[int, int, int], owners: list[int], linked: bool
) -> None:
    """Random modes, owners and groups of two directories and the socket; a real process of that user is the oracle."""
    for i, path in enumerate((listening.top / "far", listening.inner, listening.path)):
        os.chown(path, owners[2 * i], owners[2 * i + 1])
        path.chmod(modes[i])
    path = listening.linked if linked else listening.path
    assert (reach.refusals(path, who) == []) is connects(path, who)


@needs_root
def test_groups_are_those_of_the_system() -> None:
    for user in ("root", "daemon", "nobody"):
        groups = subprocess.run(["id", "-G", user], capture_output=True, text=True, check=True).stdout.split()
        assert reach.Who.named(user).groups == frozenset(map(int, groups))


# ---- what runs


def run(*arguments: object, code: int | None = None) -> dict[str, Any]:
    """`xbot check --json`, in this process; test_what_a_question_costs starts the command."""
    done = CliRunner().invoke(check, ["--json", *map(str, arguments)], standalone_mode=False)
    assert done.exception is None, done.exception
    result: dict[str, Any] = json.loads(done.output)
    assert done.return_value == (2 if result["totals"]["wrong"] else 0)
    assert code in (None, done.return_value), result
    return result


def told(result: dict[str, Any], about: str = "sockets") -> list[tuple[str, str]]:
    return [(each["status"], each["what"]) for each in result["findings"] if each["about"] == about]


@needs_root
@needs_nginx
def test_a_user_who_may_not_open_the_socket(made_model_path: Path, tmp_path: Path) -> None:
    """All that refuses is told at once; the command that is named mends it."""
    for options in ((), ("--socket-group", "nogroup")):
        with Sidecar(made_model_path, *options, workers=1) as sidecar:
            path = Path(sidecar.address.removeprefix("unix:"))
            conf = write(tmp_path / f"{len(options)}", SITE, listen=sidecar.address, user="user nobody nogroup;")
            arguments = ["--listen", sidecar.address, "--nginx", conf]
            search = f"{path.parent} (drwx------ root:root): nobody may not search it"
            connect = f"{path} (srw-rw---- root:root): nobody may not write to it"
            result = run(*arguments, code=2)
            assert [what for status, what in told(result) if status == "wrong"] == (
                [search] if options else [search, connect]
            )
            mends = [each["mend"] for each in result["findings"] if each["status"] == "wrong"]
            subprocess.run(shlex.split(mends[0]), check=True)
            if options:
                may = ("ok", f"nobody may open {sidecar.address}")
                assert told(run(*arguments, code=0)) == [may, ("ok", f"{sidecar.address} answers")]
            else:
                assert told(run(*arguments, code=2))[0] == ("wrong", connect)
                assert "--socket-group nogroup" in mends[1]


@needs_nginx
def test_without_a_file_nobody_says_which_policies_there_are(tmp_path: Path) -> None:
    conf = write(tmp_path, SITE + "location /login { set $xbot_policy login; root /srv; }")
    found = run("--nginx", conf)["findings"]
    assert {each["status"] for each in found if each["about"] in ("nginx", "configuration")} == {"ok", "skipped"}
    (told,) = (each for each in found if each["status"] == "skipped" and each["about"] == "configuration")
    assert told["mend"] == "xbot check FILE"
    wrong = run("--nginx", conf, "--listen", LISTEN, code=2)["findings"]
    assert any("the sidecar has no policy 'login'" in each["what"] for each in wrong)


@needs_nginx
@pytest.mark.parametrize(
    ("heard", "server", "status", "what"),
    [
        ("unix:/run/xbot/outcome.sock", "include xbot/outcome.conf;", None, ""),
        (None, "", None, ""),
        ("unix:/run/xbot/outcomes.sock", "include xbot/outcome.conf;", "wrong", "the sidecar hears at unix:/run/xbot/outcomes.sock"),
        (None, "include xbot/outcome.conf;", "warning", "and the sidecar hears of none"),
        ("unix:/run/xbot/outcome.sock", "", "warning", "nothing tells unix:/run/xbot/outcome.sock"),
    ],
)  # fmt: skip
def test_what_nginx_tells_goes_where_the_sidecar_hears_it(
    tmp_path: Path, heard: str | None, server: str, status: str | None, what: str
) -> None:
    ours = {
        "listen": [parse(LISTEN)],
        "policies": {"default": Policy(mode="enforce")},
        "outcomes": heard and parse(heard),
    }
    found = bad(look(write(tmp_path, SITE + server), **ours))
    assert [each.status for each in found] == ([status] if status else [])
    assert all(what in each.what and each.mend for each in found)


@pytest.mark.parametrize(
    ("line", "mend"), [('board = "{}/nix"', "nix"), ('[decisions]\nfile = "{}/log/d.jsonl"', "log")]
)
def test_a_directory_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, mend: str) -> None:
    """A start refuses it: so does check."""
    monkeypatch.delenv("XBOT_BOARD", raising=False)
    (tmp_path / "xbot.toml").write_text(line.format(tmp_path) + "\n")
    wrong = [each for each in run(tmp_path / "xbot.toml", code=2)["findings"] if each["status"] == "wrong"]
    assert [each["mend"] for each in wrong] == [f"install -d {tmp_path / mend}, for the sidecar's user"]
    (tmp_path / mend).mkdir(mode=0o755)
    run(tmp_path / "xbot.toml", code=0)


def test_a_short_queue_for_outcomes(made_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, room = tmp_path / "outcome.sock", tmp_path / "room"
    toml = tmp_path / "xbot.toml"
    toml.write_text(f'model = "{made_model_path}"\n[clients]\noutcomes = "unix:{path}"\n')
    monkeypatch.setattr(running, "QUEUE", room)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.bind(str(path))
        for messages, said in (("10", True), ("512", False)):
            room.write_text(f"{messages}\n")
            short = (
                "warning",
                f"unix:{path}: the system keeps 10 messages for a socket; nginx drops what comes beyond",
            )
            assert (short in told(run(toml))) == said


def test_what_a_question_costs(made_model_path: Path, tmp_path: Path) -> None:
    """At every listener, of every dialect, each on one connection; in the command's own words, and as JSON."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    addresses = [f"unix:{tmp_path}/{dialect}" for dialect in core.DIALECTS] + [f"127.0.0.1:{port}"]
    file = tmp_path / "xbot.toml"
    dialects = [f'dialect = "{dialect}"' for dialect in core.DIALECTS] + [""]
    listens = zip(addresses, dialects, strict=True)
    file.write_text("".join(f'[[listen]]\naddress = "{address}"\n{dialect}\n' for address, dialect in listens))
    arguments = [file, "--nginx", write(tmp_path, SITE), "--mode", "enforce", "--user", "root"]
    options = ["--config", file, "--mode", "enforce", "--admin", "127.0.0.1:0"]
    with Sidecar(made_model_path, *options, listen=[], workers=1) as sidecar:
        result = run(*arguments, code=2)
        assert [each["address"] for each in result["probes"]] == addresses
        for each in result["probes"]:
            assert each["questions"] == 300
            assert 0 < each["p50_us"] <= each["p99_us"]
        metrics = sidecar.metrics()
        assert metrics["xbot_connections_total"] == len(addresses)
        # And one for each policy, where it can be asked for.
        assert len(addresses) * 301 <= metrics["xbot_probes_total"] <= len(addresses) * 302
        counted = ("xbot_requests_total", "xbot_refused_total", "xbot_verdict_seconds_count", "xbot_score_count")
        assert {value for name, value in metrics.items() if name.startswith(counted)} == {0}
        done = subprocess.run([XBOT, "check", *map(str, arguments)], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (2, "")
    elsewhere = re.compile(
        rf"wrong    nginx         \S+upstream.conf:\d+: nginx asks {LISTEN}, the sidecar listens on .*"
    )
    (at_line,) = [i for i, line in enumerate(lines) if elsewhere.fullmatch(line)]
    assert lines[at_line + 1].strip() == f"-> the same address in both, as in: server {addresses[0]};"
    assert all(any(re.fullmatch(rf"{address} +300 +\d+ +\d+", line) for line in lines) for address in addresses)
    assert re.fullmatch(r"\d+ ok, \d+ skipped, 1 warning, 1 wrong", lines[-1])


def test_a_sidecar_with_an_older_configuration(made_model_path: Path, tmp_path: Path) -> None:
    file = tmp_path / "xbot.toml"
    file.write_text("[policies.login]\n")
    with Sidecar(made_model_path, "--config", file, workers=1) as sidecar:
        arguments = [file, "--listen", sidecar.address, "--user", "root"]
        assert told(run(*arguments))[-1][0] == "ok"
        file.write_text("[policies.login]\n[policies.shop]\n")
        result = run(*arguments, code=2)
        why = "the sidecar that runs has no policy 'shop': its configuration is another"
        assert ("wrong", f"{sidecar.address}: {why}") in told(result)
        sidecar.reload()
        assert told(run(*arguments))[-1][0] == "ok"


def test_nobody_and_something_else(tmp_path: Path) -> None:
    """A path without a socket, a file, a socket that was left, a service that is no sidecar, one that never answers."""
    (tmp_path / "file").touch()
    with EchoSite() as site, socket.socket() as silent, socket.socket(socket.AF_UNIX) as left:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        left.bind(str(tmp_path / "left"))
        left.close()
        stuck = f"127.0.0.1:{silent.getsockname()[1]}"
        addresses = [
            f"unix:{tmp_path}/none",
            f"unix:{tmp_path}/file",
            f"unix:{tmp_path}/left",
            site.address,
            stuck,
            "127.0.0.1:9",
        ]
        options = [word for address in addresses for word in ("--listen", address)]
        said = told(run(*options, "--user", "root", code=2))
    assert [line for line in said if line[0] != "ok"] == [
        ("skipped", f"unix:{tmp_path}/none is not there: the sidecar does not run"),
        ("wrong", f"unix:{tmp_path}/file is no socket"),
        ("warning", f"unix:{tmp_path}/left: nobody listens there; a process that is gone left it"),
        ("wrong", f"{site.address}: it answers 200 without X-Bot: this is no sidecar"),
        ("wrong", f"{stuck}: no answer within 1 s"),
        ("skipped", "127.0.0.1:9: nobody listens there: the sidecar does not run"),
    ]


@pytest.mark.parametrize("answer", [b"", b"hello\n", b"\0" * 10, b"HTTP/1.1 200 OK\r\nX-Bot: robot\r\n\r\n", b"x" * 100000,
                                    b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n"])  # fmt: skip
def test_whatever_answers_is_one_line(answer: bytes) -> None:
    """In this process: no traceback, and no sidecar."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        done = CliRunner().invoke(check, ["--listen", address, "--nginx", "/dev/null"], standalone_mode=False)
        thread.join()
    assert done.exception is None
    assert [line for line in done.output.splitlines() if line.startswith("wrong    sockets") and address in line]


def test_without_nginx_and_without_a_sidecar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and is content."""
    monkeypatch.setattr(nginx_conf, "installed", lambda: None)
    (tmp_path / "xbot.toml").write_text(f'[[listen]]\naddress = "unix:{tmp_path}/s"\n')
    done = CliRunner().invoke(check, [str(tmp_path / "xbot.toml")], standalone_mode=False)
    assert (done.exception, done.return_value) == (None, 0)
    said = [line for line in done.output.splitlines() if line.startswith("skipped")]
    assert len(said) == 3
    assert "nginx         it is not installed here" in said[0]
    assert f"unix:{tmp_path}/s is not there" in said[2]
    done = CliRunner().invoke(check, ["--nginx", str(write(tmp_path, SITE + OWN_LINES))], standalone_mode=False)
    assert done.return_value == 2
    assert "its syntax is not tested" in done.output
    assert "drops every outer proxy_set_header" in done.output


def test_all_mistakes_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a path that is relative to where the command runs, though nginx takes it for one of its own."""
    (tmp_path / "broken.conf").write_text("server {")
    (tmp_path / "nginx.conf").write_text("events {}\nhttp {\n include none.conf;\n include broken.conf;\n}\n")
    monkeypatch.chdir(tmp_path)
    said = [what for status, what in told(run("--nginx", "nginx.conf", code=2), "nginx") if status == "wrong"]
    assert [what.startswith(f"{tmp_path}/nginx.conf:3: ") for what in said].count(True) == 1
    assert [what.startswith(f"{tmp_path}/broken.conf:1: ") for what in said].count(True) == 1
    assert not [what for what in said if "No such file" in what and "none.conf" not in what], said


def test_all_mistakes_of_the_configuration_are_told_at_once(tmp_path: Path) -> None:
    """What a type shows, what it does not, and what is in the lists: these once came one after the other. A table that is
    none hides no name."""
    file = tmp_path / "xbot.toml"
    file.write_text("""workers = "x"
[[listen]]
addres = "unix:/run/x.sock"
[policies.default]
mode = "enforced"
allow = ["nobody", "a"]
[policies.b]
paths = ["b"]
[lists.a]
networks = ["10.0.0.0/99"]
network_files = ["/nonexistent"]
what = 1
""")
    said = "".join(
        what + "\n"
        for status, what in told(run(file, code=2), "configuration") + told(run(file, code=2), "lists")
        if status == "wrong"
    )
    for at, field in (
        (1, "workers: "),
        (2, "listen[0].address: is missing"),
        (3, "listen[0].addres: no such option"),
        (5, "policies.default.mode: "),
        (6, "policies.default.allow[0]: no list 'nobody'"),
        (8, "policies.b.paths[0]: "),
        (10, "lists.a.networks[0]: "),
        (11, "lists.a.network_files[0]: /nonexistent: "),
        (12, "lists.a.what: no such option"),
    ):
        assert f"{file}:{at}: {field}" in said
    assert said.count("\n") == 9
    file.write_text('workers = "x"\n[policies.default]\nallow = ["a"]\n[lists]\na = 1\n')
    said = [what for status, what in told(run(file, code=2), "configuration") if status == "wrong"]
    assert [what.split(": ")[1] for what in said] == ["workers", "lists.a"]


@needs_nginx
def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, SITE)
    monkeypatch.chdir(tmp_path)
    assert ("ok", f"nginx -t takes {tmp_path}/nginx.conf") in told(run("--nginx", "nginx.conf"), "nginx")


@needs_nginx
def test_what_nginx_itself_says(tmp_path: Path) -> None:
    conf = write(tmp_path, SITE + "no_such_directive;")
    status, what = told(run("--nginx", conf, code=2), "nginx")[0]
    line = conf.read_text().partition("no_such")[0].count("\n") + 1
    assert (status, what) == ("wrong", f'nginx -t: unknown directive "no_such_directive" in {conf}:{line}')


def test_what_may_not_be_meant(made_model_path: Path, tmp_path: Path) -> None:
    """Warnings, and status 0."""
    file = tmp_path / "xbot.toml"
    file.write_text(f"""model = "{made_model_path}"
admin = "0.0.0.0:9011"
[[listen]]
address = "0.0.0.0:9012"
[policies.login]
mode = "observe"
suspect_above = 0.0
threshold = 1
allow = ["empty"]
[lists.empty]
[lists.unused]
networks = ["192.0.2.0/24"]
""")
    conf = write(tmp_path, SITE.replace("xbot/enforce", "xbot/observe"), listen="127.0.0.1:9012")
    result = run(file, "--mode", "enforce", "--nginx", conf, code=0)
    warned = {each["what"].replace(f"{tmp_path}/", "") for each in result["findings"] if each["status"] == "warning"}
    assert warned == {
        "xbot.toml:2: admin: 0.0.0.0:9011: it has no password",
        "xbot.toml:4: listen[0].address: 0.0.0.0:9012: whoever reaches it can ask",
        "xbot.toml:5: policies.login: no listener has it, and nothing in nginx's configuration asks for it",
        "xbot.toml:7: policies.login.suspect_above: nothing in nginx's configuration looks at suspect: the site alone is told",
        "xbot.toml:10: lists.empty: there is nothing in it",
        "xbot.toml:11: lists.unused: no policy uses it",
        "--mode: enforce stands above the mode of default, login",
        "xbot/observe.conf:5: nobody is refused, though a policy is in mode enforce: nginx lets everybody by",
    }


WHOLE = (
    f"http {{ upstream xbot {{ server {LISTEN}; }} {QUESTION.replace('auth_request', 'server { auth_request', 1)} }} }}"
)
BITS = st.sampled_from(["{", "}", ";", "\n", " ", '"', "'", "\\", "#", "$", "~ ([", "=", "@", "include *;", "\0", "if"])


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("", ""),
        ('verified = { search = "allow", ads = "allow", googlebot = "allow", preview = "deny" }', ""),
        ('verified = { preview = "allow", ads = "allow" }', "preview (googlemessages)"),
        ('verified = { facebookexternalhit = "allow", archive = "score" }', "facebookexternalhit (none)"),
        ('verified = { yandexbot = "allow", chatgpt-agent = "allow" }', "yandexbot (none), chatgpt-agent (none)"),
        ('verified = { yandexbot = "allow" }\n[dns]\nlook_up = true', ""),
        ('verified = { chatgpt-agent = "allow" }\n[signatures]\nhosts = ["example.com"]', "TOP"),
    ],
)
def test_whom_a_word_cannot_let_in(tmp_path: Path, text: str, lost: str) -> None:
    """A word lets in only who is proven: where nobody can be, that is said."""
    place = tmp_path / "xbot.toml"
    top = f'ranges = "{tmp_path}"\n' if lost == "TOP" else ""
    place.write_text(f"{top}[policies.default]\n{text}\n")
    found = Findings()
    promises.look_at_words(found, config.load(place))
    said = [each.what for each in found]
    if lost in ("", "TOP"):
        assert said == []
    else:
        assert said == [
            f"of those whom default lets in, few or none can prove who they are: {lost}; others are judged by score"
        ]


@given(st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 30), st.one_of(st.just(""), BITS)), max_size=4))
@settings(max_examples=150)
def test_damage_to_nginx_conf_never_gives_a_traceback(damage: list[tuple[int, int, str]]) -> None:
    """Without nginx to say first that it does not take it."""
    text = WHOLE
    for at, length, instead in damage:
        text = text[:at] + instead + text[at + length :]
    with tempfile.TemporaryDirectory(prefix="xbot-") as name:
        path = Path(name) / "nginx.conf"
        path.write_text(text)
        try:
            found = traps.look(Setup(nginx_conf.read(path), (1, 22, 1), [parse(LISTEN)], {"default": Policy()}))
        except XbotError as error:
            assert str(error).startswith(str(path))
        else:
            assert all(each.status == "skipped" or each.what.startswith(str(path)) for each in found)
