"""Builds the extensions over csrc/; everything else about the package is in pyproject.toml.

XBOT_SANITIZE=1 builds with AddressSanitizer and UndefinedBehaviorSanitizer (`make asan`); XBOT_COVERAGE=1 so that lines and
branches that run are counted (`make coverage`).
XBOT_COMPILE=0 leaves the extensions out: the Makefile installs packages more than once, and compiles in a step of its own.

An sdist and a wheel hold the commit that they were built from, in sidecar/commit.txt, where git or an sdist knows it.
"""

import os
import subprocess
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

SANITIZE = os.environ.get("XBOT_SANITIZE") == "1"
COVERAGE = os.environ.get("XBOT_COVERAGE") == "1"
# Paths relative to this file: setuptools refuses absolute ones in an sdist.
SOURCES = sorted(str(path) for path in Path("csrc").rglob("*.c"))
# Without these an edited feature table would silently keep the old features.
DEPENDS = sorted(str(path) for pattern in ("*.h", "*.def") for path in Path("csrc").rglob(pattern))

# No -ffast-math: margins must equal scikit-learn's, and NaN marks an absent feature.
FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-fvisibility=hidden"]
LINK = []
if SANITIZE:
    LINK = ["-fsanitize=address,undefined"]
    FLAGS += ["-O1", "-g", "-fno-sanitize-recover=undefined", *LINK]
elif COVERAGE:
    LINK = ["--coverage"]
    FLAGS += ["-O0", "-g", "-DWIDE=", *LINK]
else:
    FLAGS += ["-O3"]


def extension(name: str, sources: list[str]) -> Extension:
    return Extension(
        name,
        [f"{name.replace('.', '/')}.pyx", *sources],
        include_dirs=["csrc"],
        depends=DEPENDS,
        # Generated code compares and casts in ways that -Wextra dislikes; csrc/ itself is linted with -Werror.
        extra_compile_args=[
            *FLAGS,
            "-Wno-unused-parameter",
            "-Wno-sign-compare",
            "-Wno-missing-field-initializers",
        ],
        extra_link_args=LINK,
        libraries=["m"],
    )


def commit() -> str:
    """The commit of this tree, with `+changes` where files differ from it; "" if nobody knows."""
    kept = Path("sidecar/commit.txt")
    if kept.exists():  # an unpacked sdist
        return kept.read_text().strip()
    try:
        top, name, changes = (
            subprocess.run(["git", *words.split()], capture_output=True, text=True, check=True).stdout.strip()
            for words in ("rev-parse --show-toplevel", "rev-parse --short=12 HEAD", "status --porcelain -uno")
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    # A tree without git may lie inside another repository.
    return name + ("+changes" if changes else "") if Path(top) == Path.cwd().resolve() else ""


def write_commit(package: Path) -> None:
    file = package / "commit.txt"
    file.unlink(missing_ok=True)  # of an earlier build; a link to the tree's own, in an sdist
    if name := commit():
        file.write_text(f"{name}\n")


class BuildPy(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            write_commit(Path(self.build_lib, "sidecar"))


class Sdist(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        write_commit(Path(base_dir, "sidecar"))


setup(
    cmdclass={"build_py": BuildPy, "sdist": Sdist},
    ext_modules=cythonize(
        [
            extension("sidecar.core.binding", SOURCES),
            extension("sidecar.net.protocol", []),
            extension("sidecar.net.outcomes", []),
        ],
        compiler_directives={"language_level": 3, "embedsignature": True},
    )
    if os.environ.get("XBOT_COMPILE") != "0"
    else [],
)
