"""The package as pip makes it: fixtures for tests of what people install. conftest.py takes them in."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from places import ROOT

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def run(*command: object, **more: object) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False, **more)
    assert done.returncode == 0, (command, done.stdout.decode()[-3000:], done.stderr.decode()[-3000:])
    return done


def unpack(sdist: Path, place: Path) -> Path:
    """The tree of an sdist, in `place`. Python 3.11.2, which Debian 12 has, knows no filter."""
    with tarfile.open(sdist) as archive:
        archive.extractall(place, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (found,) = place.glob("xbot-*")
    return found


@pytest.fixture(scope="session")
def reachable(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where the package index does not answer."""
    place = tmp_path_factory.mktemp("probe")
    probe = [
        *PIP,
        "download",
        "--quiet",
        "--no-deps",
        "--no-cache-dir",
        "--retries",
        "1",
        "--timeout",
        "10",
        "--dest",
        str(place),
        "click",
    ]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("the package index cannot be reached: pip download failed")


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what is in the tree, so that nothing is left behind in it."""
    place = tmp_path_factory.mktemp("sdist")
    copy = place / "tree"
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, copy / name
        if source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_symlink():
                target.symlink_to(source.readlink())
            else:
                target.write_bytes(source.read_bytes())
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, place, cwd=copy)
    (found,) = place.glob("xbot-*.tar.gz")
    return found


@pytest.fixture(scope="session")
def wheel(sdist: Path, reachable: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist by pip, in an environment of its own: what a user's pip does."""
    place = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", "--quiet", "--no-deps", "--wheel-dir", place, sdist)
    (found,) = place.glob("xbot-*.whl")
    return found
