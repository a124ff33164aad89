"""How much of csrc/ the tests run: `make coverage`, or `python tests/coverage/run.py`.

csrc/ is built by gcc --coverage twice: into the extension, for those tests in Python that are about it (TESTS), and by itself, for
the programs of tests/c and for the first inputs of each fuzz target with those that `make fuzz` has kept in .fuzz.

Law: each line that nothing runs is in unreached.tsv, with the reason; one that is not there fails, and so does a share of branches
below LEAST_BRANCHES. Each branch that nothing takes is in branches.tsv; one that is not there is named.
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
    "tests/config/test_policies_image.py",
    "tests/sources/test_logs.py",
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


def unreached(files: list[dict]) -> Iterator[tuple[str, int, str]]:
    """File, number and text of each line that nothing runs."""
    for file in files:
        source = (ROOT / file["file"]).read_text().splitlines()
        for number in sorted({line["line_number"] for line in file["lines"] if not line["count"]}):
            yield file["file"], number, source[number - 1].strip()


def branches(files: list[dict]) -> Iterator[tuple[str, int, int, int]]:
    """File, line, branches and those of them that are never taken."""
    for file in files:
        for line in file["lines"]:
            counts = [branch["count"] for branch in line.get("branches", ())]
            yield file["file"], line["line_number"], len(counts), counts.count(0)


def surprising(taken: list[tuple[str, int, int, int]]) -> Iterator[str]:
    """Of lines with more branches that are never taken than branches.tsv lists."""
    rows = [
        row.split("\t") for row in (HERE / "branches.tsv").read_text().splitlines() if row and not row.startswith("#")
    ]
    known = Counter({(file, text): int(number) for file, text, number, _ in rows})
    for file, number, _, never in taken:
        text = (ROOT / file).read_text().splitlines()[number - 1].strip()
        known[file, text] -= never
        if never and known[file, text] < 0:
            yield f"{file}:{number}: {-known[file, text]} branches are never taken, and branches.tsv does not list them: {text}"


def listed() -> Counter[tuple[str, str]]:
    """The lines of unreached.tsv by file and text, as often as they are there."""
    rows = [
        row.split("\t") for row in (HERE / "unreached.tsv").read_text().splitlines() if row and not row.startswith("#")
    ]
    return Counter((file, text) for file, text, _ in rows)


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
    taken, known = list(branches(files)), listed()
    total, never = sum(row[2] for row in taken), sum(row[3] for row in taken)
    (PLACE / "branches.tsv").write_text(
        "".join(f"{file}\t{number}\t{n}\t{zero}\n" for file, number, n, zero in taken if zero)
    )
    print(
        f"lines: {lines - len(missing)} of {lines}, {len(missing)} unreached; branches: {total - never} of {total}, {1 - never / total:.1%}"
    )
    for line in surprising(taken):
        print(line)
    unknown = []
    for row in missing:
        known[row[0], row[2]] -= 1
        if known[row[0], row[2]] < 0:
            unknown.append(row)
    for file, number, text in unknown:
        print(f"{file}:{number}: nothing runs this, and tests/coverage/unreached.tsv does not list it: {text}")
    if 1 - never / total < LEAST_BRANCHES:
        print(
            f"branches: at least {LEAST_BRANCHES:.0%} are asked; build/coverage/branches.tsv has those that are never taken"
        )
    return 1 if unknown or 1 - never / total < LEAST_BRANCHES else 0


if __name__ == "__main__":
    sys.exit(main())
