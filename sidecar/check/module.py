"""nginx's own module, where its configuration uses it: is it loaded, is it made for this nginx, does it look where the sidecar writes?

Law: the file of the module is read, never loaded. What it says of itself is in nginx/module/module.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sidecar.check.findings import Finding
from sidecar.check.gates import Setup
from sidecar.check.nginx_conf import Directive, Program
from sidecar.config.plan import Plan
from sidecar.inputs import real

NAME = "ngx_http_xbot_module"
MADE_FOR = re.compile(rb"xbot module for nginx/(\d+(?:\.\d+)*)\0")
_LONGEST = 64 << 20  # bytes of a file that is read


def look(setup: Setup, program: Program | None, plan: Plan | None) -> Iterator[Finding]:
    """What is wrong; nothing where nginx neither loads nor uses it."""
    loads = [each for each in setup.conf.own("load_module") if NAME in each.arg(0)]
    if setup.judging and not loads:
        what = f"{setup.judging.place}: {setup.judging.name} is a word of xbot's module, and nothing loads it"
        yield Finding("wrong", "nginx", what, f"load_module modules/{NAME}.so; before events {{ }}")
    for each in loads[:1]:
        yield from _of_this_nginx(each, program)
    if setup.judging and plan:
        yield from _where_the_sidecar_writes(setup, plan)


def _of_this_nginx(load: Directive, program: Program | None) -> Iterator[Finding]:
    if program is None:
        return
    path = Path(program.option("prefix") or "/usr/local/nginx", load.arg(0))
    mend = "make module, or the package for this nginx; then copy it there"
    try:
        if not path.is_file():
            yield Finding("wrong", "nginx", f"{load.place}: {path} is not there", mend)
            return
        with path.open("rb") as file:
            made_for = MADE_FOR.search(file.read(_LONGEST))
    except OSError as error:
        yield Finding("skipped", "nginx", f"{path}: {error.strerror or error}", "run as root")
        return
    version = ".".join(map(str, program.version))
    if made_for is None:
        yield Finding("wrong", "nginx", f"{load.place}: {path} is no module of xbot", mend)
    elif made_for[1].decode() != version:
        what = f"{path} is made for nginx {made_for[1].decode()}, and {program.path} is {version}: it would not start"
        yield Finding("wrong", "nginx", f"{load.place}: {what}", mend)
    else:
        yield Finding("ok", "nginx", f"{path} is made for nginx {version}")


def _where_the_sidecar_writes(setup: Setup, plan: Plan) -> Iterator[Finding]:
    named = [each for http in setup.http_blocks for each in http.own("xbot_board")]
    board = Path(named[0].arg(0)) if named else Path("/run/xbot")
    place = (named[0] if named else setup.judging or setup.conf.inner[0]).place
    if plan.fixed.board is None:
        what = f"{place}: nginx judges by what is in {board}, and the sidecar writes no board"
        yield Finding("wrong", "nginx", what, f"xbot serve --board {board}")
    elif real(board) != real(plan.fixed.board):
        what = f"{place}: nginx judges by what is in {board}, and the sidecar writes to {plan.fixed.board}"
        yield Finding("wrong", "nginx", what, f"xbot_board {plan.fixed.board};")
