"""What the pages say to type is typed here: each command of README, nginx.md, training.md and operations.md, word for word.

Law: a line of a page that is a command is run in its order, in a machine of its own (bare_machine.py), with the edits that the
page shows; or it is in ELSEWHERE, with the reason. A command in the middle of a sentence is not run: its options must exist.
"""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from bare_machine import Machine, missing
from nginx_harness import copy_files, nginx_binary, without_module
from places import ROOT

from sidecar.check import nginx_conf, traps, visitors
from sidecar.check.gates import Setup
from sidecar.commands.cli import xbot
from sidecar.config import config, options
from sidecar.config.options import DEFAULT_MODEL

PAGES = [
    "README.md",
    "docs/nginx.md",
    "docs/training.md",
    "docs/operations.md",
    "docs/behind-a-proxy.md",
    "docs/what-to-allow.md",
    "docs/nginx-module.md",
]
PROGRAMS = "xbot make pip pipx python3 curl install nginx systemctl sed kill apt-get tail grep kubectl helm log=\\S+ XBOT_DATA=\\S+"
# How a command begins that is not run here, and why.
ELSEWHERE = {
    "make demo": "asks the package index: deploy/bare_root.sh; tests/product/test_demo.py runs the demo",
    "make test": "runs this test: deploy/bare_root.sh",
    "make build": "asks the package index: deploy/bare_root.sh",
    "make install": "asks the package index: deploy/bare_root.sh; tests/product/test_makefile.py runs it",
    "pipx install": "asks the package index: deploy/bare_root.sh; tests/product/test_release.py makes the wheel and tries it",
    "python3 -m venv /opt/xbot": "the same: deploy/bare_root.sh",
    "kubectl apply": "needs a cluster; tests/product/test_chart.py has kubectl make the objects",
    "helm ": "needs a cluster; tests/product/test_chart.py has Helm make the objects, by the same options",
    "apt-get install nginx-dev": "is installed, or there is no module to try: asks the package index",
    "make module": "the module is made before the tests: `make module`",
    "systemctl daemon-reload": "needs systemd as process 1; tests/product/test_deploy.py has systemd-analyze verify the units",
    "systemctl enable": "the same",
    "systemctl kill": "the same; tests/serve/test_upgrade.py sends the signal",
    "XBOT_DATA=": "needs real data; tests/bench/test_captures.py",
    "xbot check --canary": "needs nginx with canary.conf; tests/check/test_canaries.py",
    "xbot top  ": "goes on until Ctrl-C; tests/live/test_watch.py",
    "xbot tail --refused": "the same",
    "xbot why k3v9": "an invented id; tests/decisions/test_decisions.py looks up real ones",
}
TRAINING = (
    "xbot label",
    "xbot train",
    "xbot report",
    "xbot replay",
)  # of training.md: tests/training/test_training_docs.py runs them

SIDECAR_LOG = "/run/serve.log"
NGINX = """user www-data;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events {}
http {
    server_names_hash_bucket_size 64;
    include /etc/nginx/conf.d/*.conf;
}
"""
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"
PARTS = ["/style.css", "/app.js", "/logo.png", "/favicon.ico"]


def log() -> str:
    """Sixty people, who open three pages each with their parts, and sixty programs."""
    lines = []
    for i in range(60):
        for page in ("/", f"/post/{i}", "/about"):
            lines += [(f"198.51.100.{i}", page, "-" if page == "/" else "http://site.example/", FIREFOX)]
            lines += [(f"198.51.100.{i}", part, f"http://site.example{page}", FIREFOX) for part in PARTS]
            lines += [(f"203.0.113.{i}", path, "-", "curl/8.5.0") for path in ("/.env", "/wp-login.php", f"/post/{i}")]
    return "".join(
        f"{address} - - [01/Jan/2026:00:{i // 60:02}:{i % 60:02} +0000] "
        f'"GET {path} HTTP/1.1" 200 512 "{referrer}" "{agent}"\n'
        for i, (address, path, referrer, agent) in enumerate(lines)
    )


# What systemd does for `reload`, by the words of the unit.
SYSTEMCTL = """#!/bin/sh
test "$*" = "reload xbot" || exit 64
export MAINPID=$(cat /run/xbot.pid)
eval "$(sed -n 's/^ExecReload=//p' {unit})"
"""


def blocks(page: str) -> list[str]:
    """The indented blocks of a page, without their indentation."""
    text = (ROOT / page).read_text()
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in found]


def commands(page: str) -> list[str]:
    """The lines of its blocks that are commands, each as it stands. A variable belongs to the line after it."""
    begin = re.compile(rf"(?:{'|'.join(PROGRAMS.split())})(?: |$)")
    lines = [line.strip() for block in blocks(page) for line in block.splitlines() if begin.match(line.strip())]
    lines = [line for line in lines if "──" not in line]  # a drawing
    joined: list[str] = []
    for line in lines:
        if joined and re.fullmatch(r"\w+=\S+", joined[-1]):
            joined[-1] += f"\n{line}"
        else:
            joined.append(line)
    return joined


def block(page: str, word: str) -> str:
    """The first block of a page that has a word."""
    return next(each for each in blocks(page) if word in each)


class Walk:
    """One machine, as it is before the page's first line, and the page's edits at the lines before which they stand."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.sidecar = 0  # its process id
        machine.run(
            "rm -rf /etc/nginx /etc/xbot /var/log/nginx; mkdir -p /etc/nginx/conf.d /etc/xbot /var/log/nginx /var/log/xbot /var/www/html"
        )
        machine.write("/etc/hosts", "127.0.0.1 localhost site.example\n")
        machine.write("/etc/nginx/nginx.conf", NGINX)
        ours = (ROOT / "deploy/xbot.toml").read_text()
        machine.write("/etc/xbot/xbot.toml", ours.replace('#socket_group = "www-data"', 'socket_group = "www-data"'))
        machine.write(
            "/usr/local/sbin/systemctl", SYSTEMCTL.replace("{unit}", str(ROOT / "deploy/systemd/xbot.service"))
        )
        machine.run("chmod 755 /usr/local/sbin/systemctl")
        shutil.copy(DEFAULT_MODEL, machine.path(f"{machine.site}/site.xbot"))
        machine.write(f"{machine.site}/access.log", log())
        labels = (f"{i}\t{'bot' if 'curl' in line else 'human'}\n" for i, line in enumerate(log().splitlines(), 1))
        machine.write(f"{machine.site}/labels.tsv", "".join(labels))
        machine.write(f"{machine.site}/index.html", "hello\n")

    def type(self, line: str) -> str:
        """Runs one command of the page; what it printed."""
        if line.startswith("xbot serve"):
            if self.sidecar:
                self.machine.end(self.sidecar)
            self.sidecar = self.machine.start(line.partition(" #")[0], SIDECAR_LOG, "worker ready")
            self.machine.write("/run/xbot.pid", str(self.sidecar))
            return ""
        line = line.replace("PID", str(self.sidecar))
        done = self.machine.run(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}\n{self.log()}"
        assert "Traceback" not in done.stderr
        return done.stdout

    def log(self) -> str:
        file = self.machine.path(SIDECAR_LOG)
        return file.read_text() if file.exists() else ""

    def first_edits(self) -> None:
        """Both edits of nginx.md, and the logs that it says to write; a site on port 8000."""
        page = "docs/nginx.md"
        server = block(page, "server {\n    include xbot/observe.conf;")
        logs = block(page, "site.jsonl xbot_jsonl;")
        assert server.count("    ...\n") == 1
        server = server.replace("    ...\n", f"    listen 80;\n    server_name site.example;\n{logs}")
        self.machine.write("/etc/nginx/conf.d/site.conf", block(page, "include xbot/http.conf;") + server)
        self.machine.start("python3 -m http.server 8000", "/run/site.log")
        self.machine.run("nginx >/run/nginx.log 2>&1", check=True)

    def third_edit(self) -> None:
        """The location that refuses, by a policy of the file."""
        page = "docs/nginx.md"
        login, _, toml = block(page, "set $xbot_policy login;").partition("# xbot.toml\n")
        login = login.replace("...", "include xbot/pass.conf; proxy_pass http://127.0.0.1:8000;")
        site = self.machine.path("/etc/nginx/conf.d/site.conf")
        site.write_text(site.read_text().rstrip().removesuffix("}") + login + "}\n")
        self.machine.write(
            "/etc/xbot/xbot.toml",
            f'socket_group = "www-data"\n[[listen]]\naddress = "unix:/run/xbot/xbot.sock"\n{toml}',
        )
        self.type("xbot serve --config /etc/xbot/xbot.toml")
        self.type("nginx -t && nginx -s reload")
        self.machine.run("sleep 0.5")
        told = self.machine.run("curl -s -o /dev/null -w %{http_code} http://site.example/login").stdout
        assert told == "403", told

    def module_edits(self) -> None:
        """What nginx-module.md begins from, nginx.md with a policy, and then its two edits."""
        page = "docs/nginx-module.md"
        for line in to_run("docs/nginx.md"):
            if line.startswith(("xbot nginx", "xbot serve")):
                self.type(line)
        self.first_edits()
        self.third_edit()
        conf, site = (self.machine.path(f"/etc/nginx/{name}") for name in ("nginx.conf", "conf.d/site.conf"))
        conf.write_text(block(page, "load_module") + conf.read_text())
        line, _, was = block(page, "include xbot/http_module.conf;").partition("\n")[0].partition("# was: ")
        assert was in site.read_text()
        site.write_text(site.read_text().replace(was, line))


def not_here(page: str, line: str) -> str:
    """Why a command is not run here; "" if it is."""
    if page == "docs/training.md" and line.startswith(TRAINING):
        return "tests/training/test_training_docs.py"
    return next((why for begin, why in ELSEWHERE.items() if line.startswith(begin)), "")


def to_run(page: str) -> Iterator[str]:
    yield from (line for line in commands(page) if not not_here(page, line))


@pytest.fixture(scope="module")
def possible() -> None:
    if why := missing():
        pytest.skip(why)


@pytest.fixture
def walk(possible: None) -> Iterator[Walk]:
    with Machine() as machine:
        yield Walk(machine)


needs_nginx = pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")


@needs_nginx
@pytest.mark.servers
@pytest.mark.parametrize("page", PAGES)
def test_each_command_runs_as_it_stands(page: str, walk: Walk) -> None:
    edits: dict[str, Callable[[], None]] = {}
    if page == "docs/nginx.md":
        edits = {"nginx -t": walk.first_edits, "log=": walk.third_edit}
    if page not in ("README.md", "docs/nginx.md"):  # these have it made
        walk.machine.run("install -d /run/xbot", check=True)
    if page == "docs/training.md":
        toml = block(page, 'model = "site.xbot"')
        walk.machine.write(f"{walk.machine.site}/xbot.toml", toml)
    if page in ("docs/behind-a-proxy.md", "docs/what-to-allow.md"):
        walk.machine.write("/var/log/nginx/site.log", log())
    if page == "docs/nginx-module.md":
        if why := without_module():
            pytest.skip(why)
        walk.machine.path(f"{walk.machine.site}/build").symlink_to(ROOT / "build")
        edits = {"xbot check": walk.module_edits}
    said = {}
    for line in to_run(page):
        for begin, edit in edits.items():
            if line.startswith(begin):
                edit()
        said[line] = walk.type(line)
    assert said
    if page == "docs/nginx.md":
        (curl,) = (said[line] for line in said if line.startswith("curl"))
        (explained,) = (said[line] for line in said if line.startswith("log="))
        assert '"bot"' in curl
        assert "bot" in explained
    if page == "docs/training.md":
        walk.machine.run(f"until grep -q reloaded {SIDECAR_LOG}; do sleep 0.1; done", check=True, timeout=20)
    if page == "docs/nginx-module.md":
        walk.machine.run("sleep 1")
        told = walk.machine.run("curl -s -o /dev/null -w %{http_code} http://site.example/login; xbot top --once")
        assert told.stdout.startswith("403"), told
        assert "auth_request" not in walk.machine.path("/var/log/nginx/error.log").read_text()
    if page == "docs/operations.md":
        assert "observe" in said[next(line for line in said if line.startswith("xbot status"))]


def test_what_is_left_out_is_there_and_has_a_reason() -> None:
    every = [line for page in PAGES for line in commands(page)]
    assert len(every) > 50
    for begin, why in ELSEWHERE.items():
        assert any(line.startswith(begin) for line in every), f"no page says {begin} any more"
        for test in re.findall(r"tests/\S+\.py", why):
            assert (ROOT / test).exists()
    assert {page for page in PAGES if any(to_run(page))} == set(PAGES)


def test_what_asks_the_package_index_is_typed_in_a_bare_root() -> None:
    """By `make test-root`, as the page has it."""
    script = (ROOT / "deploy/bare_root.sh").read_text()
    for line in (line.partition("  ")[0] for page in PAGES for line in commands(page)):
        if "deploy/bare_root.sh" in not_here("", line):
            assert f'typed "{line}' in script, line


# ---- commands in sentences, and settings


def _known(words: list[str]) -> str:
    """What of `xbot COMMAND --options` does not exist; "" if all does."""
    name = words[1] if len(words) > 1 else ""
    if not name or name.startswith("-"):
        return "" if name in ("", "-h", "--help", "--version") else name
    command = xbot.get_command(click.Context(xbot), name)
    if command is None:
        return name
    options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}
    return " ".join(
        word for word in words[2:] if re.match(r"--?[a-zA-Z]", word) and word.partition("=")[0] not in options
    )


EVERY_PAGE = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", EVERY_PAGE, ids=str)
def test_commands_in_sentences_exist(page: Path) -> None:
    """Of a renamed option or target a page would still speak."""
    importlib.import_module("training.commands.cli")
    text = (ROOT / page).read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for said in re.findall(r"`([^`\n]+)`", text):
        if said.endswith(";"):  # of nginx's configuration
            continue
        for part in re.split(r"[|;&]+", said):
            words = part.replace("|", " ").split()
            if words[:1] == ["xbot"] and re.fullmatch(r"[a-z][a-z-]*|--?\w+", words[1] if len(words) > 1 else "-h"):
                assert not _known(words), f"{page}: `{said}`: there is no {_known(words)}"
            if words[:1] == ["make"] and len(words) > 1 and re.fullmatch(r"[a-z-]+", words[1]):
                assert words[1] in targets, f"{page}: `{said}`"


@pytest.mark.parametrize("name", ["", *xbot.list_commands(click.Context(xbot))])
def test_help_fits_a_terminal_of_80_columns(name: str) -> None:
    """Its examples too, which nothing breaks. `--format` once was a line of 178 characters."""
    command = xbot.get_command(click.Context(xbot), name) if name else xbot
    assert command
    said = command.get_help(click.Context(command, info_name=f"xbot {name}", terminal_width=80))
    assert [line for line in said.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("text", ["xbot scroe", "xbot score --modell x", "xbot --vresion"])
def test_one_that_does_not_exist_is_found(text: str) -> None:
    assert _known(text.split())


@needs_nginx
@pytest.mark.parametrize("page", ["docs/behind-a-proxy.md", "docs/what-to-ask.md"])
def test_what_a_page_puts_into_a_server_is_sound(page: str, tmp_path: Path) -> None:
    """All of its blocks in one server: nginx takes it, and there is no trap in it."""
    server = "".join(each for each in blocks(page) if ";" in each)
    if "observe.conf" not in server:
        server += "include xbot/observe.conf;"
    copy_files(tmp_path / "xbot", "unix:/run/xbot/xbot.sock")
    conf = tmp_path / "nginx.conf"
    around = f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; include xbot/http.conf;"
    conf.write_text(
        f"{around} server {{ listen 127.0.0.1:9;\n{server}\nlocation ^~ /.well-known/ {{ auth_request off; root /srv; }} }} }}"
    )
    done = subprocess.run([str(nginx_binary()), "-t", "-c", str(conf)], capture_output=True, text=True, check=False)
    assert "syntax is ok" in done.stderr, done.stderr
    setup = Setup(nginx_conf.read(conf))
    found = [*traps.look(setup), *visitors.look(setup, tmp_path, None)]
    assert [each for each in found if each.status in ("wrong", "warning")] == []


@pytest.mark.parametrize("text", [each for each in blocks("docs/what-to-allow.md") if "[policies" in each])
def test_what_a_page_puts_into_the_file_is_sound(text: str, tmp_path: Path) -> None:
    (tmp_path / "xbot.toml").write_text(text)
    plan = config.load(tmp_path / "xbot.toml")
    used = {name for each in plan.policies.values() for name in each.allow}
    assert set(plan.lists) - set(options.OURS) <= used
