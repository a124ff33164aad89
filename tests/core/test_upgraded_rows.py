"""A model survives an upgrade: the C core of tomorrow, with a feature, a family and a header name more, on the files of today.

Tomorrow's core is csrc/ with rows put in before all others, compiled into tests/c/support/margins.c.
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
from pathlib import Path

import models
import pytest
import tables
from compiled import CSRC, ENVIRONMENT, SUPPORT, gcc

from sidecar import core, model

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")

TODAY = models.image(heads=())
HEADS = [tables.unescape(text) for form, text in tables.rows("fixed_requests.tsv", 2) if form == "head"]
FEATURE = 'XB_FEATURE(ua_tomorrow, UA, {version}, ua->length > 0, "a row of tomorrow")\n'
FAMILY = 'XB_FAMILY(ua_tomorrows, UA, 1, "a family of tomorrow")\n'
HEADER = 'XB_HEADER(TOMORROW, "x-tomorrow", VISITOR)\n'
N, FAMILIES = len(core.FEATURES), len(core.FAMILIES)


def before_first(text: str, row: str, added: str) -> str:
    """The table with rows added before the first one that begins so."""
    at = text.index(f"\n{row}") + 1
    return text[:at] + added + text[at:]


def built(place: Path, *, version: int = 1) -> Path:
    """Tomorrow's program, with version `version` of the new row."""
    tree = place / "csrc"
    shutil.copytree(CSRC, tree)
    features, headers = tree / "features" / "features.def", tree / "request" / "headers.def"
    rows = before_first(features.read_text(), "XB_FEATURE(ua_length", FEATURE.format(version=version) + FAMILY)
    features.write_text(rows)
    headers.write_text(before_first(headers.read_text(), "XB_HEADER(", HEADER))
    program = place / "margins"
    gcc(
        "-iquote",
        tree,
        "-D_POSIX_C_SOURCE=200809L",
        SUPPORT / "margins.c",
        *sorted(tree.rglob("*.c")),
        "-lm",
        "-o",
        program,
    )
    return program


@pytest.fixture(scope="module")
def tomorrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("tomorrow"))


def run(program: Path, image: bytes, place: Path) -> tuple[int, list[str]]:
    """(exit code, lines): the margins of HEADS, or the reason of a refusal."""
    path = place / "model.xbot"
    path.write_bytes(image)
    heads = b"".join(struct.pack("<I", len(head)) + head for head in HEADS)
    done = subprocess.run([program, path], input=heads, capture_output=True, env=ENVIRONMENT, check=False)
    return done.returncode, done.stdout.decode().splitlines()


def margins_today(image: bytes) -> list[float]:
    loaded, request, found = core.Model(image), core.Request(), []
    for head in HEADS:
        request.load_head(head)
        found.append(loaded.judge(request).margin)
    return found


def with_row(name: bytes, version: int, weight: float) -> bytes:
    """TODAY with one dense row more at its end: mean 0, scale 1, bounds 0 and 1."""
    fields = list(struct.unpack_from("<8s10I3Q4d", TODAY))
    at = core.MODEL_HEADER
    table = TODAY[at : at + 32 * (N + FAMILIES)]
    at += len(table)
    columns = [TODAY[at + 8 * N * i : at + 8 * N * (i + 1)] for i in range(5)]
    rest = TODAY[at + 40 * N : -core.MODEL_DIGEST]
    fields[3] += 1
    fields[13] += 32 + 40
    body = struct.pack("<8s10I3Q4d", *fields).ljust(core.MODEL_HEADER, b"\0")
    body += table[: 32 * N] + struct.pack("<28sI", name, version) + table[32 * N :]
    for column, value in zip(columns, (0.0, 1.0, 0.0, 1.0, weight), strict=True):
        body += column + struct.pack("<d", value)
    body += rest
    return body + hashlib.sha256(body).digest()


@pytest.mark.long
def test_yesterdays_file_gives_the_same_margins(tomorrow: Path, tmp_path: Path) -> None:
    """To the last digit but for the order of sums; and the shipped model passes its self-test there."""
    for image in (TODAY, Path(model.__file__).with_name("default.xbot").read_bytes()):
        code, lines = run(tomorrow, image, tmp_path)
        assert code == 0, lines
        found, wanted = list(map(float, lines)), margins_today(image)
        assert len(found) == len(wanted) > 100
        assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= 1e-9
        assert max(wanted) - min(wanted) > 1


@pytest.mark.long
def test_tomorrows_file_is_refused_by_name_today(tomorrow: Path, tmp_path: Path) -> None:
    """It loads where the row is known, and counts there; here the refusal names the row, whatever its weight."""
    image = with_row(b"ua_tomorrow", 1, 2.5)
    code, lines = run(tomorrow, image, tmp_path)
    assert code == 0, lines
    added = {round(float(a) - b, 6) for a, b in zip(lines, margins_today(TODAY), strict=True)}
    assert added == {0.0, 2.5}
    for weight in (2.5, 0.0):
        with pytest.raises(core.ModelError, match=r"^row ua_tomorrow: this xbot has none of that name; train again"):
            model.open_image(with_row(b"ua_tomorrow", 1, weight))


@pytest.mark.long
def test_a_row_that_is_computed_otherwise_refuses_the_file(tmp_path: Path) -> None:
    later = built(tmp_path, version=2)
    assert run(later, with_row(b"ua_tomorrow", 1, 1.0), tmp_path) == (
        1,
        ["row ua_tomorrow: version 1, this xbot computes version 2; train again"],
    )
    assert run(later, with_row(b"ua_tomorrow", 2, 1.0), tmp_path)[0] == 0
    assert run(later, TODAY, tmp_path)[0] == 0


def test_a_file_that_lacks_rows(xbot, tmp_path: Path) -> None:
    """What the file does not name weighs nothing, a family's words are not looked at, and `inspect` names them."""
    fields = list(struct.unpack_from("<8s10I3Q4d", TODAY))
    at, gone = core.MODEL_HEADER, [row.name for row in core.FEATURES].index("ua_length")
    table = [TODAY[at + 32 * i : at + 32 * (i + 1)] for i in range(N + FAMILIES)]
    at += 32 * (N + FAMILIES)
    columns = [TODAY[at + 8 * N * i : at + 8 * N * (i + 1)] for i in range(5)]
    rest = TODAY[at + 40 * N : -core.MODEL_DIGEST]
    del table[-1], table[gone]
    fields[3], fields[4], fields[13] = N - 1, FAMILIES - 1, fields[13] - 64 - 40
    fields[8] &= (1 << FAMILIES - 1) - 1
    body = struct.pack("<8s10I3Q4d", *fields).ljust(core.MODEL_HEADER, b"\0") + b"".join(table)
    body += b"".join(column[: 8 * gone] + column[8 * gone + 8 :] for column in columns) + rest
    path = tmp_path / "less.xbot"
    path.write_bytes(body + hashlib.sha256(body).digest())
    loaded, whole, request = model.load(path), core.Model(TODAY), core.Request()
    last = core.FAMILIES[-1].name
    assert not loaded.header["families"] >> FAMILIES - 1
    for head in HEADS:
        request.load_head(head)
        margin = loaded.judge(request).margin
        _, bias, parts = loaded.explain(request)
        assert not any(part.name.startswith(f"{last}=") for part in parts)
        assert next(part.contribution for part in parts if part.name == "ua_length") == 0.0
        assert sum((part.contribution for part in parts), bias) == pytest.approx(margin, abs=1e-9)
        _, _, all_parts = whole.explain(request)
        shared = {part.name: part.contribution for part in all_parts}
        assert all(
            shared.get(part.name, part.contribution) == part.contribution for part in parts if part.name != "ua_length"
        )
    assert f"ua_length {last}" in xbot("inspect", path).stdout.decode()
