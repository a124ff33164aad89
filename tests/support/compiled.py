"""csrc/ compiled by gcc, for programs in C that use it without Python."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
from pathlib import Path

from places import DATA, ROOT

CSRC, PROGRAMS = ROOT / "csrc", ROOT / "tests" / "c"
SUPPORT = PROGRAMS / "support"
CFLAGS = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{CSRC}", f"-I{SUPPORT}"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
# csrc/ with its work counted instead of its memory watched: tests/c/support/counted.h.
COUNT = ["-fsanitize-coverage=trace-pc", "-D_POSIX_C_SOURCE=200809L", "-include", str(SUPPORT / "counted.h")]
# The tables that a program of tests/c takes.
ARGUMENTS = {
    "test_connection": [DATA / "heads.tsv"],
    "test_request": [DATA / "heads.tsv"],
    "test_logline": [DATA / "lines.tsv"],
    "test_handshake": [DATA / "handshakes.tsv"],
}
# The sanitizers of `make asan` are in this process by preloading; a compiler has no use for them.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def gcc(*arguments: object) -> None:
    done = subprocess.run(["gcc", *CFLAGS, *map(str, arguments)], capture_output=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr.decode()


def objects(place: Path, flags: list[str]) -> list[Path]:
    """csrc/ compiled with these flags."""
    sources = sorted(CSRC.rglob("*.c"))
    found = [place / f"{source.stem}.o" for source in sources]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda pair: gcc(*flags, "-c", pair[0], "-o", pair[1]), zip(sources, found, strict=True)))
    return found
