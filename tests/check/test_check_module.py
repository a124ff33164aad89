"""`xbot check` on an nginx that judges by its module: what keeps it from starting, and the traps that are left."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import nginx_harness
import pytest
from nginx_harness import MODULE, nginx_binary, without_module
from places import run_xbot

from sidecar.check import nginx_conf, traps
from sidecar.check.gates import Setup

pytestmark = pytest.mark.skipif(nginx_binary() is None or bool(without_module()), reason=without_module() or "no nginx")

SITE = "include xbot/enforce.conf; location / { root /srv; } location ^~ /.well-known/acme-challenge/ { auth_request off; root /srv; }"

BARE = "location /bare { proxy_pass http://127.0.0.1:9; proxy_pass_request_headers off; }"


def write(place: Path, server: str, load: str = f"load_module {MODULE};") -> Path:
    """A whole configuration with this server; the file that it begins in. Beside it is the board's directory."""
    board = place / "board"
    board.mkdir(exist_ok=True)
    nginx_harness.copy_files(place / "xbot", "unix:/run/xbot/xbot.sock", board)
    text = nginx_harness.CONFIG.format(
        prefix=place,
        port=9,
        listen_options="",
        workers=1,
        user="",
        http="",
        server=server,
        load=load,
        included="http_module",
    )
    (place / "nginx.conf").write_text(text)
    return place / "nginx.conf"


def told(conf: Path, *more: str, code: int = 0) -> str:
    """All that the command says about this nginx, of a sidecar with a board."""
    listen = ("--listen", "unix:/run/xbot/xbot.sock")
    board = more or ("--board", conf.parent / "board", "--mode", "enforce")
    return run_xbot("check", *listen, *board, "--nginx", conf, code=code).stdout.decode()


def test_nothing_is_wrong_where_nothing_is(tmp_path: Path) -> None:
    version = ".".join(map(str, nginx_conf.installed().version))
    said = told(write(tmp_path, SITE))
    assert f"{MODULE} is made for nginx {version}" in said
    assert "no trap" in said


def test_a_module_for_another_nginx(tmp_path: Path) -> None:
    """The check says it in plain words; nginx says it too."""
    version = ".".join(map(str, nginx_conf.installed().version))
    other = tmp_path / "ngx_http_xbot_module.so"
    data = MODULE.read_bytes()
    mark = f"xbot module for nginx/{version}\0".encode()
    assert data.count(mark) == 1
    other.write_bytes(data.replace(mark, mark.replace(b"1.", b"0.", 1)))
    said = told(write(tmp_path, SITE, f"load_module {other};"), code=2)
    assert f"{other} is made for nginx {version.replace('1.', '0.', 1)}, and {nginx_binary()} is {version}" in said


def test_a_module_that_nobody_loads_or_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert "xbot_board is a word of xbot's module, and nothing loads it" in told(
        write(tmp_path / "a", SITE, ""), code=2
    )
    (tmp_path / "b").mkdir()
    load = f"load_module {tmp_path}/ngx_http_xbot_module.so;"
    assert f"{tmp_path}/ngx_http_xbot_module.so is not there" in told(write(tmp_path / "b", SITE, load), code=2)
    (tmp_path / "ngx_http_xbot_module.so").write_bytes(b"\x7fELF")
    assert "is no module of xbot" in told(tmp_path / "b/nginx.conf", code=2)


def test_another_board_or_none(tmp_path: Path) -> None:
    conf = write(tmp_path, SITE)
    assert "the sidecar writes to /run/other" in told(conf, "--board", "/run/other", code=2)
    assert "the sidecar writes no board" in told(conf, "--board", "none", code=2)


def test_a_socket_that_nginx_may_not_open(tmp_path: Path) -> None:
    """Without it there is a verdict, but no past."""
    board = tmp_path / "board"
    board.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(board / "module"))
        (board / "module").chmod(0o600)
        said = told(write(tmp_path, SITE), "--board", str(board), "--user", "nobody", code=2)
    assert f"{board}/module (srw-------" in said
    assert "nobody may not write to it" in said


@pytest.mark.parametrize(
    ("server", "what"),
    [
        (SITE + "location /a { return 200 hello; }", "answers before the sidecar is asked"),
        (SITE.replace("include xbot/enforce.conf;", "xbot on;"), "auth_request off does not end xbot on"),
        (SITE + BARE + "xbot_pass on;", "location /bare hands on none of the request's headers"),
        (SITE + BARE.replace("}", "include xbot/pass.conf; }") + "xbot_pass on;", ""),
        (SITE + "set_real_ip_from 192.0.2.0/24;", "visitors come through another proxy"),
        (SITE.partition("location ^~")[0], "may refuse a certificate authority"),
        # Of these the question alone has the trap.
        (SITE + "location /a { satisfy any; deny all; }", ""),
        (SITE + "rewrite ^/(.*)$ /index.php?q=$1 last;", ""),
        (SITE + "error_page 403 /refused.html; location = /refused.html { internal; root /srv; }", ""),
        (SITE + "if ($xbot = bot) { return 403; }", ""),
    ],
)
def test_traps(tmp_path: Path, server: str, what: str) -> None:
    conf = write(tmp_path, server)
    done = subprocess.run([nginx_binary() or "", "-t", "-c", conf], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [each for each in traps.look(Setup(nginx_conf.read(conf))) if each.status in ("wrong", "warning")]
    assert any(what in each.what for each in found) if what else not found, found
