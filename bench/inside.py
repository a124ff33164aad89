"""What the module makes nginx execute: `.venv/bin/python bench/inside.py`.

Law: instructions of nginx's worker for a request, counted by callgrind, so the load of the machine does not matter; the kernel's are not
among them. Requests on a kept connection, and the difference of two runs, so that what a start costs falls out. The
site behind is another nginx. The request is a browser's; all features of the model are in, and so are lists and the table.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import re
import shlex
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests" / "support"), str(HERE.parent / "tests" / "support" / "servers")]

from nginx_harness import Nginx, nginx_binary, running_nginx, trusting, without_module  # noqa: E402 -- of the tests
from places import ROOT  # noqa: E402
from sidecar_harness import BROWSER, Sidecar  # noqa: E402

FEW, MANY = 200, 1200  # requests
ROW = "in nginx"  # in the committed figures (bench/check.py)
SITE = 'default_type text/html; location / { return 200 "hello"; }'
TO = 'location / { proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://back; }'
GATE = "include xbot/enforce.conf; include xbot/pass_module.conf;"
STATELESS = '[clients]\nsize = "0"\n'
# What is part of what, by its functions.
PARTS = {
    "in the access phase": ("at_access",),
    "  reading the request": ("xbot_read_visitor",),
    "  judging it": ("xb_judge",),
    "    keys, past and count": ("xb_client_keys_of", "xb_clients_look_all", "xb_behaviour_of", "xb_clients_count", "xb_visitors_note"),
    "  policies, lists, crawlers": ("xb_apply_policy",),
    "  counters": ("xb_count",),
    "  the site's headers": ("xbot_remove_headers", "xbot_pass_headers"),
    "in the log phase": ("xbot_tell_outcome",),
}  # fmt: skip


@dataclass(frozen=True)
class Counted:
    """Instructions of all of nginx's processes together."""

    all: int
    of: Counter[str]  # by function, with all that it calls


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
    place = "127.0.0.1", nginx.port
    connection = (
        http.client.HTTPSConnection(*place, timeout=60, context=trusting())
        if nginx.secure
        else http.client.HTTPConnection(*place, timeout=60)
    )
    for _ in range(requests):
        connection.request("GET", "/", headers=BROWSER)
        answer = connection.getresponse()
        if answer.status != 200 or answer.read() != b"hello":
            raise click.ClickException(f"nginx answered {answer.status}")
    connection.close()


def read(out: Path) -> Counted:
    """A file of callgrind: a line of numbers is a cost of the function named last, or, behind `calls=`, of what that calls."""
    text = out.read_text(errors="replace")
    total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
    names: dict[str, str] = {}
    of: Counter[str] = Counter()
    function = ""
    for line in text.splitlines():
        if named := re.match(r"c?fn=(\(\d+\))(?: (.*))?", line):
            names.setdefault(named[1], named[2])
            function = names[named[1]] if line.startswith("fn") else function
        elif cost := re.match(r"[-+*\d]\S* (\d+)$", line):
            of[function] += int(cost[1])
    return Counted(int(total[1]) if total else 0, of)


def instructions(directory: Path, site: Nginx, board: Path | None, requests: int, secure: bool) -> Counted:
    """With so many requests; by the module where there is a board."""
    for old in directory.glob("out.*"):
        old.unlink()
    back = f"upstream back {{ server 127.0.0.1:{site.port}; keepalive 4; }}"
    server = f"keepalive_requests 100000; {GATE if board else ''} {TO}"
    with running_nginx(server, socket="unix:/nowhere", http=back, board=board, secure=secure) as nginx:
        visit(nginx, requests)
    found = [read(out) for out in directory.glob("out.*")]
    return Counted(sum(each.all for each in found), sum((each.of for each in found), Counter()))


def a_request(directory: Path, site: Nginx, board: Path | None, secure: bool = False) -> Counted:
    few, many = (instructions(directory, site, board, n, secure) for n in (FEW, MANY))
    each = {name: round((n - few.of[name]) / (MANY - FEW)) for name, n in many.of.items()}
    return Counted(round((many.all - few.all) / (MANY - FEW)), Counter(each))


@contextlib.contextmanager
def ready(model: Path) -> Iterator[tuple[Path, Nginx, Path, Path]]:
    """A directory, the site, the boards of a sidecar without a table of clients and of one with it; nginx is counted from now on."""
    with tempfile.TemporaryDirectory(prefix="xbot-inside-") as name:
        stateless = Path(name, "xbot.toml")
        stateless.write_text(STATELESS)
        with (
            Sidecar(model, "--config", stateless, workers=1, board=True) as without,
            Sidecar(model, workers=1, board=True) as whole,
            running_nginx(f"keepalive_requests 100000; {SITE}", socket="unix:/nowhere") as site,
            counted(Path(name)),
        ):
            assert without.board
            assert whole.board
            yield Path(name), site, without.board, whole.board


def handlers(model: Path) -> dict[str, int]:
    """What the handlers of the module execute for a request, for `make bench-check`: but for records, of which there are some in a second,
    not in so many requests."""

    def of(found: Counter[str]) -> int:
        return found["at_access"] + found["xbot_tell_outcome"] - found["xb_question_of"]

    with ready(model) as (directory, site, without, whole):
        boards = {f"{ROW}, no table": without, ROW: whole}
        return {row: of(a_request(directory, site, board).of) for row, board in boards.items()}


@click.command()
def main() -> None:
    """Count the instructions of nginx for a request, alone and with the module, and what they are of."""
    if why := without_module():
        raise click.ClickException(why)
    with ready(ROOT / "sidecar" / "default.xbot") as (directory, site, without, whole):
        for secure in (False, True) if importlib.util.find_spec("trustme") else (False,):
            alone = 0
            for row, board in {"nginx alone": None, "module, no table": without, "module": whole}.items():
                found = a_request(directory, site, board, secure)
                title = f"{row}, https" if secure else row
                click.echo(
                    f"{title:28} {found.all:8,} instructions a request" + (f", {found.all - alone:+,}" if alone else "")
                )
                alone = alone or found.all
                if board is whole and not secure:
                    for part, functions in PARTS.items():
                        click.echo(f"  {part:26} {sum(found.of[each] for each in functions):8,}")


if __name__ == "__main__":
    main()
