"""How much of csrc/ the tests run: `make coverage`, or `python tests/coverage/run.py`.

csrc/ is built by gcc --coverage twice: into the extension, for those tests in Python that are about it (TESTS), and by itself, for
the programs of tests/c and for the first inputs of each fuzz target with those that `make fuzz` has kept in .fuzz.

Law: each line that nothing runs is in unreached.tsv, and each branch that nothing takes in branches.tsv, with the reason. One that is
not there fails, and so does a row whose line is no longer in its file, and a share of branches below LEAST_BRANCHES.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE.parent / "support"), str(HERE.parent / "fuzz"), str(ROOT)]

import compiled  # noqa: E402
from run import IN_C, seeds  # noqa: E402

PLACE = ROOT / "build" / "coverage"
COVERAGE = ["-O0", "-U_FORTIFY_SOURCE", "--coverage", "-DWIDE="]
LEAST_BRANCHES = 0.98
TESTS = [
    "tests/core",
    "tests/config/test_policies.py",
    "tests/config/test_crawlers.py",
    "tests/config/test_list_evasion.py",
    "tests/config/test_policies_image.py",
    "tests/sources/test_logs.py",
    "tests/sources/test_odd_logs.py",
    "tests/sources/test_jsonl.py",
    "tests/sources/test_handshake_records.py",
    "tests/verify/test_signatures.py",
]
# Of those, what builds csrc/ itself.
NOT = ["tests/core/test_c.py", "tests/core/test_upgraded_rows.py", "tests/core/test_shared_tables.py"]


def extension() -> None:
    """The tests of TESTS, with an extension that counts."""
    setup = [sys.executable, "setup.py", "--quiet", "build"]
    setup += ["--build-temp", str(PLACE / "objects"), "--build-lib", str(PLACE / "lib")]
    environment = {**os.environ, "XBOT_COVERAGE": "1"}
    subprocess.run(setup, cwd=ROOT, env=environment, check=True, capture_output=True)
    for counted in (PLACE / "objects").rglob("*.gcda"):
        counted.unlink()
    environment = {**os.environ, "PYTHONPATH": str(PLACE / "lib")}
    # Not by `python -m pytest`, which would take the extension of the tree.
    tests = [Path(sys.executable).with_name("pytest"), "-q", "-p", "no:cacheprovider", "-m", "not servers and not long"]
    tests += [*TESTS, *(f"--ignore={path}" for path in NOT)]
    if subprocess.run(tests, cwd=ROOT, env=environment, check=False).returncode:
        sys.exit("coverage: a test failed, so nothing is measured")


def programs() -> None:
    """tests/c, and the inputs of the fuzz targets."""
    place = PLACE / "c"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    made = compiled.objects(place, COVERAGE)
    for source in sorted(compiled.PROGRAMS.rglob("test_*.c")):
        if source.stem != "test_cost":
            program = place / source.stem
            compiled.gcc(*COVERAGE, source, *made, "-lm", "-o", program)
            subprocess.run([program, *compiled.ARGUMENTS.get(source.stem, [])], check=True, stdout=subprocess.DEVNULL)
    for target in IN_C:
        inputs = place / f"{target}.inputs"
        inputs.mkdir(exist_ok=True)
        for number, seed in enumerate(seeds(target)):
            (inputs / f"{number:05}").write_bytes(seed)
        program, kept = place / target, ROOT / ".fuzz" / f"{target}.corpus"
        compiled.gcc(*COVERAGE, HERE / "replay.c", ROOT / "tests" / "fuzz" / f"{target}.c", *made, "-lm", "-o", program)
        subprocess.run([program, inputs, *([kept] if kept.is_dir() else [])], check=True)


def measured() -> list[dict]:
    """What gcovr says of each file of csrc/."""
    command = [sys.executable, "-m", "gcovr", "-r", ".", "-f", "csrc/", "-j", "2", "--json", str(PLACE / "found.json")]
    command += ["--merge-mode-functions=merge-use-line-min", "build/coverage"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return json.loads((PLACE / "found.json").read_text())["files"]


@cache
def source(file: str) -> list[str]:
    return [line.strip() for line in (ROOT / file).read_text().splitlines()]


def text_of(file: str, number: int) -> str:
    return source(file)[number - 1]


def unreached(files: list[dict]) -> Iterator[tuple[str, int, str]]:
    """File, number and text of each line that nothing runs."""
    for file in files:
        for number in sorted({line["line_number"] for line in file["lines"] if not line["count"]}):
            yield file["file"], number, text_of(file["file"], number)


def branches(files: list[dict]) -> Iterator[tuple[str, int, int, int]]:
    """File, line, branches and those of them that are never taken."""
    for file in files:
        for line in file["lines"]:
            counts = [branch["count"] for branch in line.get("branches", ())]
            yield file["file"], line["line_number"], len(counts), counts.count(0)


Row = tuple[str, str, int, str]  # file, text of the line, how many, why


def rows(name: str) -> list[Row]:
    """A list beside this file. In unreached.tsv a row is one line."""
    found = []
    for line in (HERE / name).read_text().splitlines():
        if line and not line.startswith("#"):
            file, text, *number, why = line.split("\t")
            found.append((file, text, int(number[0]) if number else 1, why))
    return found


def beyond(listed: list[Row], found: list[tuple[str, int, str, int]]) -> Iterator[tuple[str, int, str, int]]:
    """Of what is never run or taken (file, line, its text, how many), what the list does not have."""
    known: Counter[tuple[str, str]] = Counter()
    for file, text, number, _ in listed:
        known[file, text] += number
    for file, line, text, number in found:
        known[file, text] -= number
        if known[file, text] < 0:
            yield file, line, text, -known[file, text]
            known[file, text] = 0


def stale(listed: list[Row]) -> Iterator[Row]:
    """Rows whose line is not in its file."""
    for row in listed:
        if not (ROOT / row[0]).is_file() or row[1] not in source(row[0]):
            yield row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", choices=["programs", "extension", "nothing"], help="run only these; what ran before still counts"
    )
    only = parser.parse_args().only
    if only is None:
        shutil.rmtree(PLACE, ignore_errors=True)
    if only in (None, "programs"):
        programs()
    if only in (None, "extension"):
        extension()
    files = measured()
    lines = sum(len({line["line_number"] for line in file["lines"]}) for file in files)
    missing = list(unreached(files))
    taken = list(branches(files))
    total, never = sum(row[2] for row in taken), sum(row[3] for row in taken)
    print(
        f"lines: {lines - len(missing)} of {lines}, {len(missing)} unreached; branches: {total - never} of {total}, {1 - never / total:.1%}"
    )
    wrong = [
        f"{file}:{number}: nothing runs this, and unreached.tsv does not list it: {text}"
        for file, number, text, _ in beyond(rows("unreached.tsv"), [(*row, 1) for row in missing])
    ]
    wrong += [
        f"{file}:{number}: {n} branches are never taken, and branches.tsv does not list them: {text}"
        for file, number, text, n in beyond(
            rows("branches.tsv"), [(*row[:2], text_of(*row[:2]), row[3]) for row in taken]
        )
    ]
    wrong += [
        f"{name}: its line is not in {file}: {text}"
        for name in ("unreached.tsv", "branches.tsv")
        for file, text, _, _ in stale(rows(name))
    ]
    if 1 - never / total < LEAST_BRANCHES:
        wrong.append(f"branches: at least {LEAST_BRANCHES:.0%} are asked")
    print("".join(f"{line}\n" for line in wrong), end="")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
