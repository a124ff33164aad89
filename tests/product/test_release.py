"""What is released: one version everywhere, the commit in what is built, and a wheel that other machines take.

Law: builds are real ones, of a copy of the tree; what compiles for long or asks the package index has the mark `servers`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packages import run, unpack
from places import ROOT

import sidecar
from sidecar import version


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("CHANGELOG.md", r"^## (?:Unreleased: )?(\S+)"),
        ("deploy/docker/compose.yaml", r"image: xbot:(\S+)"),
        ("deploy/kubernetes/sidecar.yaml", r"image: xbot:(\S+)"),
        ("deploy/kubernetes/kustomization.yaml", r"newTag: ([^\s}]+)"),
        ("deploy/kubernetes/chart/Chart.yaml", r"^(?:version|appVersion): (\S+)"),
        ("deploy/debian/changelog", r"^xbot \((\S+)-1\)"),
    ],
)
def test_one_version_everywhere(file: str, pattern: str) -> None:
    found = re.findall(pattern, (ROOT / file).read_text(), re.MULTILINE)
    if file == "CHANGELOG.md":
        del found[1:]  # the newest comes first
    assert found
    assert set(found) == {sidecar.__version__}


def test_the_version_names_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "sidecar"
    package.mkdir()
    monkeypatch.setattr(version, "_HERE", package)
    assert version.said() == sidecar.__version__
    (tmp_path / ".git").write_text("gitdir: elsewhere\n")  # as in a second working tree
    assert version.said() == f"{sidecar.__version__} (working tree)"
    (package / "commit.txt").write_text("1a2b3c4d5e6f\n")
    assert version.said() == f"{sidecar.__version__} (commit 1a2b3c4d5e6f)"


def git(tree: Path, *words: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    return run("git", *who, *words, cwd=tree).stdout.decode().strip()


def build(tree: Path, what: str) -> Path:
    """The sdist or wheel of a tree, without its extensions: the rest is the same, and quick."""
    out = tree.parent / f"{tree.name}-{what}"
    out.mkdir()
    script = f"import sys; from setuptools import build_meta; build_meta.build_{what}(sys.argv[1])"
    run(sys.executable, "-c", script, out, cwd=tree, env={**os.environ, "XBOT_COMPILE": "0"})
    (found,) = out.glob("xbot-*")
    return found


def kept(tree: Path) -> str:
    return (tree / "sidecar/commit.txt").read_text().strip()


def test_sdist_and_wheel_keep_the_commit(sdist: Path, tmp_path: Path) -> None:
    """Of a clean tree, of one with changes, and of an unpacked sdist that lies in somebody else's repository."""
    tree = unpack(sdist, tmp_path)
    assert not (tree / "sidecar/commit.txt").exists()  # `sdist` was built without git
    git(tree, "init", "--quiet")
    (tree / ".gitignore").write_text("*.egg-info/\nbuild/\n")
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "-m", "all")
    head = git(tree, "rev-parse", "--short=12", "HEAD")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    git(other, "commit", "--quiet", "--allow-empty", "-m", "another project")
    copy = unpack(build(tree, "sdist"), other)
    assert kept(copy) == head
    with zipfile.ZipFile(build(copy, "wheel")) as archive:
        assert archive.read("sidecar/commit.txt").decode() == f"{head}\n"
    (copy / "sidecar/commit.txt").unlink()
    with zipfile.ZipFile(build(copy.rename(other / "again"), "wheel")) as archive:
        assert "sidecar/commit.txt" not in archive.namelist()
    (tree / "README.md").write_text("changed\n")
    with zipfile.ZipFile(build(tree, "wheel")) as archive:
        assert archive.read("sidecar/commit.txt").decode() == f"{head}+changes\n"
    assert not (tree / "sidecar/commit.txt").exists()


def test_make_wheel(reachable: None) -> None:
    """It serves in an empty environment (deploy/try.sh), fits other machines, and holds no symbols for a debugger."""
    said = run("make", "--no-print-directory", "wheel", cwd=ROOT).stdout.decode().splitlines()
    tried, sdist, wheel = said[-3:]
    assert re.fullmatch(rf"xbot {re.escape(sidecar.__version__)}.*: scores, serves, answers", tried)
    assert sdist == f"dist/xbot-{sidecar.__version__}.tar.gz"
    assert re.fullmatch(r"dist/xbot-\S+-cp3\d+-cp3\d+-manylinux_2_\d+_\w+\.whl", wheel)
    assert (ROOT / sdist).exists()
    with zipfile.ZipFile(ROOT / wheel) as archive:
        compiled = [archive.read(name) for name in archive.namelist() if name.endswith(".so")]
    assert len(compiled) == 3
    assert not [one for one in compiled if b".debug_info" in one or b".symtab" in one]


def test_a_command_that_does_not_work_is_found() -> None:
    """deploy/try.sh of a command that says yes to all."""
    done = subprocess.run([ROOT / "deploy/try.sh", "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--version said:" in done.stderr
