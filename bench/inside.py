"""What the module makes nginx execute: `.venv/bin/python bench/inside.py`.

Law: instructions of nginx's worker for a request, counted by callgrind, so the load of the machine does not matter; the kernel's are not
among them. Requests on a kept connection, and the difference of two runs, so that what a start costs falls out. The
site behind is another nginx. The request is a browser's; all features of the default model are in, and so are lists and the table.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shlex
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests" / "support"), str(HERE.parent / "tests" / "support" / "servers")]

from nginx_harness import Nginx, nginx_binary, running_nginx, without_module  # noqa: E402 -- of the tests
from places import ROOT  # noqa: E402
from sidecar_harness import BROWSER, Sidecar  # noqa: E402

FEW, MANY = 200, 1200  # requests
SITE = 'default_type text/html; location / { return 200 "hello"; }'
TO = 'location / {{ {passing} proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://back; }}'
GATE, PASSING = "include xbot/enforce.conf;", "include xbot/pass_module.conf;"


@contextlib.contextmanager
def counted(directory: Path) -> Iterator[None]:
    """nginx is started under callgrind, which leaves a file for each of its processes."""
    wrapper = directory / "nginx"
    counting = f"valgrind --tool=callgrind --callgrind-out-file={directory}/out.%p"
    wrapper.write_text(f'#!/bin/sh\nexec {counting} {shlex.quote(nginx_binary() or "")} "$@" 2>/dev/null\n')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    os.environ["XBOT_NGINX"] = str(wrapper)
    yield
    del os.environ["XBOT_NGINX"]


def visit(nginx: Nginx, requests: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=60)
    for _ in range(requests):
        connection.request("GET", "/", headers=BROWSER)
        answer = connection.getresponse()
        if answer.status != 200 or answer.read() != b"hello":
            raise click.ClickException(f"nginx answered {answer.status}")
    connection.close()


def instructions(directory: Path, site: Nginx, board: Path | None, requests: int) -> int:
    """Of all of nginx's processes together, with so many requests; by the module where there is a board."""
    for old in directory.glob("out.*"):
        old.unlink()
    back = f"upstream back {{ server 127.0.0.1:{site.port}; keepalive 4; }}"
    server = f"keepalive_requests 100000; {GATE if board else ''} {TO.format(passing=PASSING if board else '')}"
    with running_nginx(server, socket="unix:/nowhere", http=back, board=board) as nginx:
        visit(nginx, requests)
    totals = (
        re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.MULTILINE) for out in directory.glob("out.*")
    )
    return sum(int(found[1]) for found in totals if found)


@click.command()
def main() -> None:
    """Count the instructions of nginx for a request, alone and with the module."""
    if why := without_module():
        raise click.ClickException(why)
    with tempfile.TemporaryDirectory(prefix="xbot-inside-") as name:
        stateless = Path(name, "xbot.toml")
        stateless.write_text('[clients]\nsize = "0"\n')
        model = ROOT / "sidecar" / "default.xbot"
        with (
            Sidecar(model, "--config", stateless, workers=1, board=True) as without,
            Sidecar(model, workers=1, board=True) as whole,
            running_nginx(f"keepalive_requests 100000; {SITE}", socket="unix:/nowhere") as site,
            counted(Path(name)),
        ):
            rows = {"nginx alone": None, "module, no table": without.board, "module": whole.board}
            alone = 0
            for row, board in rows.items():
                few, many = (instructions(Path(name), site, board, n) for n in (FEW, MANY))
                each = (many - few) // (MANY - FEW)
                click.echo(f"{row:16} {each:8,} instructions a request" + (f", {each - alone:+,}" if alone else ""))
                alone = alone or each


if __name__ == "__main__":
    main()
