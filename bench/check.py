"""`make bench-check`: instructions of the C path against the committed figures of bench/instructions.json.

Law: a count, not a time, of the same heads and a model made here from a fixed seed. It follows from the code, the compiler,
the C library, valgrind and what it says of the processor: where one of these is another than that of the committed
figures, nothing is compared, and that is said. The rows of nginx say what the handlers of the module execute
(bench/inside.py): they are compared where the module is built, for the same nginx. A count more than TOLERANCE
above or below its figure fails; `--write` commits to new ones.
"""

from __future__ import annotations

import array
import json
import platform
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import heads
import inside
import machine
import verdict
from processes import BenchError, program

from sidecar import core, model

FIGURES = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.01
K = 15  # as training has it


def identity() -> dict[str, str | None]:
    """What a count depends on beside the code. The C library chooses its string functions by the processor."""
    flags = Path("/proc/cpuinfo").read_text()
    return {
        "compiler": machine.program_version("gcc", "--version"),
        "c_library": " ".join(platform.libc_ver()),
        "valgrind": machine.program_version("valgrind", "--version"),
        "processor": f"{platform.machine()}{' avx2' if ' avx2' in flags else ''}",
        "flags": " ".join(verdict.CFLAGS),
        "nginx": machine.program_version("nginx", "-v"),
    }


def made_model(bias: float = 0.0) -> bytes:
    """Every feature and bucket with a weight of its own."""
    draw, n = random.Random(heads.SEED), len(core.FEATURES)

    def doubles(values: list[float]) -> memoryview:
        return memoryview(array.array("d", values))

    weights = [draw.uniform(-1, 1) / 100 for _ in range(n + 2**K)]
    parts = model.Parts(
        bias=bias,
        threshold=0.5,
        a=-1.0,
        b=0.0,
        k=K,
        groups=sum(core.GROUPS.values()),
        families=(1 << len(core.FAMILIES)) - 1,
        mean=doubles([0.0] * n),
        scale=doubles([1.0] * n),
        lower=doubles([0.0] * n),
        upper=doubles([1024.0] * n),
        weight=doubles(weights),
        hosts=sorted({core.host_hash(b"host%d.example" % i) for i in range(10_000)}),
        provenance={"made": "to count instructions"},
    )
    return model.pack(parts, [])


def count() -> dict[str, int]:
    with tempfile.TemporaryDirectory(prefix="xbot-bench-") as temporary:
        directory = Path(temporary)
        (directory / "model.xbot").write_bytes(made_model())
        found = verdict.counted(directory / "model.xbot", directory)
        rows = {f"{one['size']}, {one['stage']}": round(one["instructions"]) for one in found}
        if inside.without_module():
            return rows
        # So many bots are recorded in a second, not of so many requests: here nobody is one.
        (directory / "model.xbot").write_bytes(made_model(bias=-100.0))
        return rows | inside.handlers(directory / "model.xbot")


@click.command()
@click.option("--write", is_flag=True, help="Take what is counted now for the committed figures.")
@click.option("--figures", type=click.Path(path_type=Path), default=FIGURES, help="The committed figures.")
def main(write: bool, figures: Path) -> None:
    """Count the instructions from head to verdict and compare them with the committed figures."""
    if not program("valgrind"):
        print("bench-check: valgrind is missing (apt-get install valgrind): nothing is compared")
        return
    here = identity()
    committed: dict[str, Any] = json.loads(figures.read_text()) if figures.exists() else {}
    different = [f"{key} {committed['made_with'].get(key)}, here {value}" for key, value in here.items()
                 if committed and key != "nginx" and committed["made_with"].get(key) != value]  # fmt: skip
    if different and not write:
        print(f"bench-check: the committed figures cannot be compared: they are of {'; '.join(different)}")
        return
    try:
        counted = count()
    except (BenchError, subprocess.SubprocessError) as error:
        sys.exit(f"bench-check: {error}")
    if write and (why := inside.without_module()):
        sys.exit(f"bench-check: {why}")
    if write:
        figures.write_text(json.dumps({"made_with": here, "instructions": counted}, indent=1) + "\n")
    before = committed.get("instructions", {})
    here_too = not committed or committed["made_with"].get("nginx") == here["nginx"]
    if why := inside.without_module() or (
        "" if here_too or write else f"the figures are of {committed['made_with'].get('nginx')}"
    ):
        print(f"bench-check: nginx is not compared: {why}")
        counted = {name: n for name, n in counted.items() if not name.startswith(inside.ROW)}
        before = {name: n for name, n in before.items() if not name.startswith(inside.ROW)}
    off = []
    for name in sorted({*before, *counted}):
        was, now = before.get(name), counted.get(name)
        change = f"{100 * (now / was - 1):+.2f}%" if was and now else "new" if now else "gone"
        print(f"{name:22} {was or 0:>9,} {now or 0:>9,}  {change}")
        if not was or not now or abs(now / was - 1) > TOLERANCE:
            off.append(f"{name} {change}")
    if off and not write:
        sys.exit(
            f"bench-check: more than {TOLERANCE:.0%} off: {'; '.join(off)}. If that is meant: make bench-check BENCH=--write"
        )


if __name__ == "__main__":
    main()
