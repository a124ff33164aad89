"""The Makefile names all system packages that are missing at once, installs no more than a goal runs, and leaves out no test.

Law: make itself is run, on a copy of the files that it reads, with a PATH of our own; nothing is installed or downloaded.
"""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="needs make")


def program(place: Path, name: str, script: str) -> None:
    place.mkdir(exist_ok=True)
    file = place / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def make(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`make` among the programs in tree/bin, and no others."""
    for name in ("Makefile", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, tree)
    command = [shutil.which("make") or "", "-C", str(tree), f"PATH={tree / 'bin'}", "SUDO=sudo", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def asked_for(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The packages of the one line that tells what is missing."""
    assert done.returncode == 2
    line, end = done.stderr.splitlines()
    assert "Error 1" in end
    _, told, packages = line.partition("some system packages are missing: sudo apt-get install ")
    assert told, line
    return packages.split()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A system with a whole Python, a compiler with its headers, and nginx: programs that say yes."""
    for name in ("python3", "cc", "nginx"):
        program(tmp_path / "bin", name, "exit 0")
    return tmp_path


@pytest.mark.parametrize(
    ("goal", "packages"),
    [
        ("build", "python3-venv python3-dev gcc libc6-dev"),
        ("demo", "python3-venv python3-dev gcc libc6-dev nginx-light"),
        ("deb", "python3-venv python3-dev gcc libc6-dev debhelper nginx-dev build-essential help2man lintian"),
        (
            "test-deb",
            "python3-venv python3-dev gcc libc6-dev debootstrap debhelper nginx-dev build-essential help2man lintian",
        ),
        ("lint", "python3-venv python3-dev gcc libc6-dev"),
        ("bench", "python3-venv python3-dev gcc libc6-dev nginx-light wrk"),
    ],
)
def test_all_that_is_missing_is_named_at_once(tmp_path: Path, goal: str, packages: str) -> None:
    (tmp_path / "bin").mkdir()
    assert asked_for(make(tmp_path, goal)) == packages.split()
    assert not (tmp_path / ".venv").exists()


def test_a_python_without_venv(tree: Path) -> None:
    """As Debian's is without python3-venv."""
    program(tree / "bin", "python3", 'case "$*" in *ensurepip*) exit 1;; esac')
    assert asked_for(make(tree, "build")) == ["python3-venv"]


def test_a_python_without_headers(tree: Path) -> None:
    program(tree / "bin", "python3", 'case "$*" in *Python.h*) exit 1;; esac')
    assert asked_for(make(tree, "build")) == ["python3-dev"]


def test_a_compiler_without_headers(tree: Path) -> None:
    """gcc without libc6-dev, as apt-get leaves it where nothing is installed that is only recommended."""
    program(tree / "bin", "cc", "exit 1")
    assert asked_for(make(tree, "build")) == ["libc6-dev"]


def test_an_old_python(tree: Path) -> None:
    program(tree / "bin", "python3", 'case "$*" in *version_info*) exit 1;; esac')
    done = make(tree, "build")
    assert done.returncode == 2
    assert done.stderr.startswith("make: python3 is older than 3.10; name another: make PYTHON=python3.12\n")


def test_nginx_alone_is_named_where_no_apt_get_is(tree: Path) -> None:
    (tree / "bin" / "nginx").unlink()
    assert asked_for(make(tree, "demo")) == ["nginx-light"]


@pytest.fixture
def makefile(tmp_path: Path) -> Path:
    """The files that `make install-files` reads, and a system of its own in place/image."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("nginx", "deploy"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def really_make(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "-C", str(tree), f"DESTDIR={tree}/image", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_an_interpreter_in_a_home_directory(makefile: Path) -> None:
    """Those who run the service could not enter it."""
    home = makefile / "home"
    home.mkdir()
    program(home / "bin", "python3", f'test "$1" != -m && echo {home}/bin/python3')
    words = (f"PYTHON={home}/bin/python3", f"HOME={home}")
    done = really_make(makefile, "install", *words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"make: {home}/bin/python3 is below a home directory, which")
    assert not (makefile / "image").exists()
    assert not (makefile / "build").exists()
    assert really_make(makefile, "interpreter", *words, "ANY_PYTHON=1").returncode == 0
    assert really_make(makefile, "interpreter", words[0], f"HOME={home}/bin/python").returncode == 0


COMPLETIONS = (
    "share/bash-completion/completions/xbot",
    "share/zsh/site-functions/_xbot",
    "share/fish/vendor_completions.d/xbot.fish",
)


def test_uninstall_takes_away_what_install_put(makefile: Path) -> None:
    image = makefile / "image"
    others = image / "usr/local/lib/systemd/system/other.service"
    others.parent.mkdir(parents=True)
    others.write_text("not ours\n")
    for name in (
        "lib/xbot/sidecar/core.py",
        "bin/xbot",
        "share/man/man1/xbot.1",
        "share/man/man1/xbot-mode.1",
        *COMPLETIONS,
    ):  # as pip and `install` lay them
        (image / "usr/local" / name).parent.mkdir(parents=True, exist_ok=True)
        (image / "usr/local" / name).write_text("")
    assert really_make(makefile, "install-files").returncode == 0
    toml, observe = image / "etc/xbot/xbot.toml", image / "etc/nginx/xbot/observe.conf"
    assert (image / "etc/logrotate.d/xbot").read_bytes() == (ROOT / "deploy/logrotate/xbot").read_bytes()
    toml.write_text("workers = 3\n")
    rotation = image / "etc/logrotate.d/xbot"
    rotation.write_text("# ours\n")
    assert really_make(makefile, "install-files").returncode == 0  # xbot.toml.new
    assert {path.name for path in rotation.parent.iterdir()} == {"xbot", "xbot.dpkg-dist"}
    (image / "var/lib/xbot/site.xbot").write_text("a model\n")
    observe.write_text("# ours\n")
    done = really_make(makefile, "uninstall")
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == [f"kept: {rotation}", f"kept: {observe}", f"kept: {toml}"]
    left = {path for path in image.rglob("*") if path.is_file()}
    assert left == {others, toml, observe, rotation, image / "var/lib/xbot/site.xbot"}
    for path in (toml, observe, rotation, image / "var/lib/xbot/site.xbot"):
        path.unlink()
    assert really_make(makefile, "uninstall").stdout == ""
    assert not (image / "etc/xbot").exists()
    assert not (image / "etc/nginx/xbot").exists()
    assert not (image / "var/lib/xbot").exists()


@pytest.mark.skipif(not shutil.which("help2man"), reason="needs help2man")
def test_each_command_has_a_manual_page(tmp_path: Path) -> None:
    """As `make install` and the Debian package have them made; a command that cannot be run here has none."""
    program(tmp_path / "bin", "xbot", HELPS)
    subprocess.run([ROOT / "deploy/man.sh", tmp_path / "bin/xbot", tmp_path / "man"], check=True, capture_output=True)
    pages = {path.name: path.read_text() for path in (tmp_path / "man").iterdir()}
    assert set(pages) == {"xbot.1", "xbot-score.1"}
    assert "xbot-score \\- Print a verdict for each line, in its order\n" in pages["xbot-score.1"]
    lines = re.sub(r"\\f.|\\", "", pages["xbot-score.1"]).splitlines()
    examples = [line for line in lines if line.startswith(("xbot score", ".br"))]
    assert examples == [".br", "xbot score --json a.log", ".br", "xbot score --line 1 --all a.log"]


HELPS = """
case "$*" in
  --version) echo "xbot 0.2.0 (commit 1a2b)" ;;
  "score --help") printf 'Usage: xbot score [LOG]\\n\\n  Print a verdict for each\\n  line, in its order: and more.\\n\\n'
    printf '  xbot score --json a.log\\n  xbot score --line 1 \\\\\\n      --all a.log\\n' ;;
  "train --help") printf 'Usage: xbot train\\n\\n  train needs numpy, which is not installed: pip\\n' ;;
  *) printf 'Usage: xbot\\n\\n  About.\\n\\nCommands:\\n  score  Print.\\n  train  Fit.\\n' ;;
esac
"""


def installs(tree: Path, goal: str) -> list[str]:
    """What a goal would have pip install."""
    done = make(tree, "-n", goal, f"PYTHON={sys.executable}")
    assert done.returncode == 0, done.stderr
    return [line.partition(" --editable ")[2] for line in done.stdout.splitlines() if " --editable " in line]


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        ("build", ["'.[train,corpus]'"]),
        ("demo", ["'.[train,corpus]'"]),
        ("test", ["'.[train,corpus]'", "'.[report]' --group test"]),
        ("lint", ["'.[train,corpus]'", "'.[report]' --group lint"]),
    ],
)
def test_a_goal_installs_what_it_runs(tree: Path, goal: str, expected: list[str]) -> None:
    """`make demo` once installed 1.1 GB: Envoy, Caddy and the schemas of Kubernetes with it."""
    assert [words.strip() for words in installs(tree, goal)] == expected


def test_the_demo_adds_its_visitors(tree: Path) -> None:
    done = make(tree, "-n", "demo", f"PYTHON={sys.executable}")
    assert [line for line in done.stdout.splitlines() if line.endswith(" --group demo")]
    assert "--group demo" not in make(tree, "-n", "build", f"PYTHON={sys.executable}").stdout


def test_every_mark_has_a_target_that_ci_calls() -> None:
    """So no test is left out of all of them."""
    marks = [text.partition(":")[0] for text in PROJECT["tool"]["pytest"]["ini_options"]["markers"]]
    lines = (ROOT / "Makefile").read_text().splitlines()
    called = (ROOT / ".ci/run").read_text().splitlines()
    (short,) = (line for line in lines if "-m pytest" in line and "not " in line)
    assert " and ".join(f"not {mark}" for mark in marks) in short
    (places,) = (line.partition(" = ")[2].split() for line in lines if line.startswith("ALONE = "))
    assert all((ROOT / place).exists() for place in places)
    for mark in marks:
        (at,) = (place for place, line in enumerate(lines) if line.startswith(f"test-{mark}: build $(VENV)/"))
        recipe = list(itertools.takewhile(lambda line: line.startswith("\t"), lines[at + 1 :]))
        if mark == "long":  # in two parts: what one leaves out, the other takes
            beside, alone = recipe
            assert beside.endswith(f" -m {mark} $(ALONE:%=--ignore=%)")
            assert alone.endswith(f" -m {mark} $(ALONE)")
        else:
            assert recipe[0].endswith(f" -m {mark}")
    assert {"make test", *(f"make test-{mark}" for mark in marks)} <= set(called)
