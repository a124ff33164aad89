"""Where a figure comes from: machine, versions, commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from processes import program

PACKAGES = ("uvloop", "scikit-learn", "numpy", "tornado", "woothee", "fastapi", "uvicorn", "onnxruntime", "cython")
PROGRAMS = {"nginx": "-v", "wrk": "-v", "h2load": "--version", "gcc": "--version", "valgrind": "--version"}


def package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def program_version(name: str, option: str) -> str | None:
    """The version that a program prints of itself: the first thing with a number and a dot in it."""
    path = program(name)
    done = subprocess.run([path, option], capture_output=True, text=True) if path else None
    found = re.search(r"\d+\.\d[\w.+-]*", done.stdout + done.stderr) if done else None
    return found[0] if found else None


def about() -> dict[str, Any]:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return {
        "machine": {
            "cpu": cpu[1] if cpu else platform.machine(),
            "cores": os.cpu_count(),
            "memory_gib": round(int(memory[1]) / 2**20, 1) if memory else None,
            "kernel": platform.release(),
            "load_before": os.getloadavg()[0],  # about 0 on a machine that measures alone
        },
        "versions": {
            "python": platform.python_version(),
            **{name: package(name) for name in PACKAGES},
            **{name: program_version(name, option) for name, option in PROGRAMS.items()},
        },
        "commit": git("rev-parse", "HEAD"),
        "changed_files": len((git("status", "--porcelain") or "").splitlines()),
    }


def git(*words: str) -> str | None:
    """What git says of this tree, or None where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, cwd=Path(__file__).parent)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
