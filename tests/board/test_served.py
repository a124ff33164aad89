"""What is served, as a file: what another host finds in it, and what a reload changes of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from board_harness import sidecar_on
from compiled import ENVIRONMENT, SANITIZE, SUPPORT, gcc
from places import DATA
from sidecar_harness import ask, head

from sidecar import core
from sidecar.board import directory


@pytest.fixture(scope="module")
def read_served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A program in C that judges by what it finds in a board, as a module inside nginx does."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    place = tmp_path_factory.mktemp("read_served")
    objects = request.getfixturevalue("sanitized")
    gcc(*SANITIZE, SUPPORT / "read_served.c", *objects, "-lm", "-o", place / "read_served")
    return place / "read_served"


def judged(program: Path, served: Path, heads: list[bytes], **extra: Any) -> tuple[int, list[str]]:
    """Its exit status and lines."""
    asked = b"".join(struct.pack("<I", len(one)) + one for one in heads)
    done = subprocess.run([program, served], input=asked, capture_output=True, env=ENVIRONMENT, check=False, **extra)
    return done.returncode, done.stdout.decode().splitlines()


def records() -> list[dict[str, Any]]:
    """Requests of people and programs, as a log has them."""
    lines = (DATA / "false_positives.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines if line and not line.startswith("#")]
    wanted = ("method", "uri", "protocol", "scheme", "host", "headers")
    return [{"ip": f"192.0.2.{i}", **{name: one[name] for name in wanted}} for i, one in enumerate(found, 1)]


def as_asked(record: dict[str, Any]) -> bytes:
    """The same, as nginx asks."""
    lines = ["GET /xbot HTTP/1.1", f"X-Real-IP: {record['ip']}"]
    lines += [f"X-Original-{name}: {record[name.lower()]}" for name in ("URI", "Method", "Protocol", "Scheme", "Host")]
    lines += [f"{name}: {value}" for name, value in record["headers"]]
    return "\r\n".join([*lines, "", ""]).encode()


def test_another_host_gives_the_same_margins(model_path: Path, place: Path, read_served: Path, xbot) -> None:  # type: ignore[no-untyped-def]
    rows = records()
    assert len(rows) > 60
    log = "".join(json.dumps(row) + "\n" for row in rows).encode()
    said = xbot("score", "--model", model_path, "--format", "jsonl", "--json", "-", stdin=log).stdout.splitlines()
    with sidecar_on(place, model_path, workers=1) as sidecar:
        code, lines = judged(read_served, place / "served", [as_asked(row) for row in rows])
        assert code == 0
        outcomes = [ask(sidecar.address, as_asked(row))["X-Bot"] for row in rows]
    margins, theirs = zip(*(line.split() for line in lines), strict=True)
    assert [float(margin) for margin in margins] == [json.loads(line)["margin"] for line in said]
    assert list(theirs) == outcomes
    assert len({*margins}) > 30


def test_what_is_published_is_what_is_served(
    made_model_path: Path, model_path: Path, place: Path, read_served: Path
) -> None:
    """A reload renames a new file into place; one that is refused changes no byte; a reader never sees half of one."""
    with tempfile.TemporaryDirectory() as own:
        model = Path(shutil.copy(made_model_path, own))
        served = place / "served"
        with sidecar_on(place, model) as sidecar:
            first = served.read_bytes()
            image, policies = core.served_parts(first, verified=False)
            assert image == made_model_path.read_bytes()
            assert core.Policies(policies).names == ("default",)
            assert stat.S_IMODE(served.stat().st_mode) == 0o640
            assert stat.S_IMODE((place / "counters").stat().st_mode) == 0o600
            with served.open("rb") as old:
                model.write_bytes(b"no model")
                sidecar.reload()
                assert sidecar.events("reload refused")
                assert served.read_bytes() == first
                shutil.copy(model_path, model)
                sidecar.reload()
                assert old.read() == first  # who holds the old one has it whole
            assert core.served_parts(served.read_bytes(), verified=False)[0] == model_path.read_bytes()
            sizes = set()
            for turn in range(6):
                shutil.copy((made_model_path, model_path)[turn % 2], model)
                sidecar.signal(signal.SIGHUP)
                while len(sidecar.events("reloaded")) < turn + 2:
                    image, _ = core.served_parts(served.read_bytes(), verified=False)
                    sizes.add(len(image))
            assert sizes == {made_model_path.stat().st_size, model_path.stat().st_size}
            assert judged(read_served, served, [head()])[0] == 0
        assert judged(read_served, served, [head()])[0] == 0  # it outlives the sidecar


@pytest.mark.parametrize("how", ["cut", "grown", "a bit", "of another kind", "empty", "a link"])
def test_another_host_refuses_what_is_damaged(how: str, made_model_path: Path, place: Path, read_served: Path) -> None:
    whole = core.served_image(made_model_path.read_bytes(), b"", *directory.times())
    path = place / "served"
    path.write_bytes(whole)
    if how == "a link":
        path = place / "link"
        path.symlink_to("served")
    said = {
        "cut": (whole[:-8], "wrong size: it is not what the header says"),
        "grown": (whole + bytes(8), "wrong size: it is not what the header says"),
        "a bit": (whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:], "wrong digest"),
        "of another kind": (core.counters_image(9, *directory.times()), "another kind of file"),
        "empty": (b"", None),
        "a link": (whole, None),
    }
    data, why = said[how]
    (place / "served").write_bytes(data)
    code, lines = judged(read_served, path, [head()])
    assert (code, lines) == ((1, [why]) if why else (2, []))


@pytest.mark.parametrize("how", ["cut", "link", "fifo"])
def test_whatever_lies_in_the_place_of_what_is_served(how: str, made_model_path: Path, place: Path) -> None:
    path, outside = place / "served", place.parent / "outside"
    outside.write_bytes(b"untouched")
    for name in ("served", "served.new"):
        if how == "cut":
            (place / name).write_bytes(b"XBBOARD\n")
        elif how == "link":
            (place / name).symlink_to(outside)
        else:
            os.mkfifo(place / name)
    with sidecar_on(place, made_model_path, workers=1):
        assert core.served_parts(path.read_bytes(), verified=False)[0] == made_model_path.read_bytes()
        assert path.lstat().st_nlink == 1
    assert outside.read_bytes() == b"untouched"


def test_a_reload_that_cannot_publish_changes_nothing(made_model_path: Path, model_path: Path, place: Path) -> None:
    """What other hosts serve and what we serve is one thing: both are new, or neither."""
    with tempfile.TemporaryDirectory() as own:
        model = Path(shutil.copy(made_model_path, own))
        with sidecar_on(place, model, workers=1) as sidecar:
            before = ask(sidecar.address)["X-Bot-Score"]
            (place / "served.new").mkdir()
            shutil.copy(model_path, model)
            sidecar.reload()
            assert sidecar.events("reload refused")[0]["reason"] == f"{place}/served.new: Is a directory"
            assert ask(sidecar.address)["X-Bot-Score"] == before
            assert core.served_parts((place / "served").read_bytes(), verified=False)[0] == made_model_path.read_bytes()
            (place / "served.new").rmdir()
            sidecar.reload()
            assert ask(sidecar.address)["X-Bot-Score"] != before
