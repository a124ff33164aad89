"""Builds the two extensions over csrc/; everything else about the package is in pyproject.toml.

XBOT_SANITIZE=1 builds with AddressSanitizer and UndefinedBehaviorSanitizer (`make asan`).
XBOT_COMPILE=0 leaves the extensions out: the Makefile installs packages more than once, and compiles in a step of its own.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SANITIZE = os.environ.get("XBOT_SANITIZE") == "1"
# Paths relative to this file: setuptools refuses absolute ones in an sdist.
SOURCES = sorted(str(path) for path in Path("csrc").rglob("*.c"))
# Without these an edited feature table would silently keep the old features.
DEPENDS = sorted(str(path) for pattern in ("*.h", "*.def") for path in Path("csrc").rglob(pattern))

# No -ffast-math: margins must equal scikit-learn's, and NaN marks an absent feature.
FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-fvisibility=hidden"]
FLAGS += ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"] if SANITIZE else ["-O3"]
LINK = ["-fsanitize=address,undefined"] if SANITIZE else []


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


setup(
    ext_modules=cythonize(
        [extension("sidecar.core.binding", SOURCES), extension("sidecar.net.protocol", [])],
        compiler_directives={"language_level": 3, "embedsignature": True},
    )
    if os.environ.get("XBOT_COMPILE") != "0"
    else [],
)
