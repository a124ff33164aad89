"""What people install: the sdist, built and installed into an empty environment, serves and scores without scikit-learn.

All but the sdist asks the package index that pip is configured with for the few packages of the base install
(`make test-servers`); where that cannot be reached, these tests are skipped, saying so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from packages import run, unpack
from places import ROOT


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of commands of an empty environment, with the base install in it."""
    place = tmp_path_factory.mktemp("empty") / "venv"
    run(sys.executable, "-m", "venv", place)
    run(place / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", wheel)
    return place / "bin"


def test_the_sdist_holds_what_a_build_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for source in [
        *(path for path in (ROOT / "csrc").rglob("*") if path.is_file()),
        *(ROOT / "sidecar").rglob("*.py"),
        *(ROOT / "sidecar").rglob("*.p[yx][xdi]"),
        *(ROOT / "nginx").glob("*.conf"),
    ]:
        assert any(name.endswith("/".join(source.relative_to(ROOT).parts)) for name in names), source
    assert {"LICENSE", "README.md", "pyproject.toml", "setup.py"} <= names
    assert not {name for name in names if name.endswith((".so", ".o"))}
    assert not {name for name in names if name.startswith("sidecar/") and name.endswith(".c")}
    assert not {name for name in names if name.startswith("tests")}


def test_an_sdist_made_without_compiling_holds_it_too(sdist: Path, tmp_path: Path) -> None:
    """As `make deb` makes one: csrc/ was in it only as the extensions' source."""
    tree = unpack(sdist, tmp_path)
    shutil.rmtree(tree / "xbot.egg-info")  # the list of an earlier build
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, tmp_path / "out", cwd=tree, env={**os.environ, "XBOT_COMPILE": "0"})
    (again,) = (tmp_path / "out").glob("xbot-*.tar.gz")
    with tarfile.open(sdist) as archive, tarfile.open(again) as other:
        assert {name for name in other.getnames() if "/csrc/" in name} == {
            name for name in archive.getnames() if "/csrc/" in name
        }


def test_the_wheel_holds_what_runs_and_no_more(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        marked = archive.read("sidecar/py.typed")
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    assert {f"sidecar/core/binding{suffix}", f"sidecar/net/protocol{suffix}"} <= names
    assert {"sidecar/core/binding.pyi", "sidecar/core/csrc.pxd", "sidecar/net/protocol.pyi"} <= names
    assert {f"sidecar/nginx/{path.name}" for path in (ROOT / "nginx").glob("*.conf")} <= names
    static = ROOT / "sidecar" / "observe" / "static"
    assert {f"sidecar/observe/static/{path.name}" for path in static.iterdir()} <= names
    assert marked is not None
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"sidecar", "training"}
    assert not {name for name in names if name.endswith((".c", ".h", ".o", ".pyx", ".pxi")) or "/test" in name}
    assert not {name for name in names if "data/" in name and not name.startswith("xbot-")}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_base_install_is_small(installed: Path) -> None:
    found = json.loads(
        run(installed / "python", "-m", "pip", "--disable-pip-version-check", "list", "--format", "json").stdout
    )
    names = {package["name"].lower().replace("_", "-") for package in found}
    assert {"xbot", "uvloop", "msgspec", "click"} <= names
    assert not names & {"scikit-learn", "numpy", "scipy", "joblib", "pandas", "matplotlib", "cython"}
    assert (
        b"no broken requirements"
        in run(installed / "python", "-m", "pip", "--disable-pip-version-check", "check").stdout.lower()
    )


def test_commands_answer(installed: Path, tmp_path: Path) -> None:
    """From another directory than the tree: help, version, and nginx's files."""
    text = run(installed / "xbot", "--help", cwd=tmp_path).stdout.decode()
    for name in ("score", "explain", "inspect", "serve", "nginx", "train"):
        assert name in text
    assert b"--listen" in run(installed / "xbot", "serve", "--help", cwd=tmp_path).stdout
    assert run(installed / "xbot", "--version", cwd=tmp_path).stdout.startswith(b"xbot")
    printed = run(installed / "xbot", "nginx", "--print", cwd=tmp_path).stdout.decode()
    run(installed / "xbot", "nginx", "--write", tmp_path / "conf", cwd=tmp_path)
    for path in (ROOT / "nginx").glob("*.conf"):
        assert path.read_text() in printed
        assert (tmp_path / "conf" / path.name).read_text() == path.read_text()


def test_scoring_needs_no_more(installed: Path, made_model_path: Path, tmp_path: Path, xbot) -> None:
    """The same verdict as here, to the last bit of the margin."""
    line = b"192.0.2.1\tcurl%2F8.5.0\thttp%3A%2F%2Fexample.com%2F\n"
    command = ["score", "--json", "--model", made_model_path, "--format", "challenge", "-"]
    assert run(installed / "xbot", *command, input=line, cwd=tmp_path).stdout == xbot(*command, stdin=line).stdout
    modules = run(
        installed / "python",
        "-c",
        "import sys, sidecar.commands.cli, sidecar.commands.offline, sidecar.serve.worker; print(*sys.modules)",
        cwd=tmp_path,
    )
    assert not {"numpy", "sklearn", "training"} & set(modules.stdout.decode().split())


def test_training_says_what_is_missing(installed: Path, tmp_path: Path) -> None:
    command = [installed / "xbot", "train", "--format", "challenge", "--out", tmp_path / "m.xbot", tmp_path / "log"]
    (tmp_path / "log").write_text("192.0.2.1\ta\tb\ttrue\n")
    done = subprocess.run(list(map(str, command)), capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert f"{installed.parent}/bin/python -m pip install 'joblib>=1.3'".encode() in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert b"Traceback" not in done.stderr
    helped = subprocess.run(
        [str(installed / "xbot"), "train", "--help"], capture_output=True, check=False, cwd=tmp_path
    )
    assert b"Traceback" not in helped.stderr
