"""The model file: what is refused, by name; that a good one loads; that it is written whole or not at all."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import random
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import models
import pytest
from places import ROOT, run_xbot

from sidecar import core, model, outputs
from sidecar.errors import XbotError

GOOD = models.image()
FIELDS = (
    "magic version header_size n_dense n_families k dtype groups families n_hosts n_tests tests_size provenance_size "
    "file_size bias threshold a b"
).split()
HEADER = struct.Struct("<8s10I3Q4d")  # where the fields lie, to change them; held against the C struct below
ROW = struct.Struct("<28sI")
N, FAMILIES = len(core.FEATURES), len(core.FAMILIES)
NAMES = [row.name for row in core.FEATURES]
BUCKETS = 1 << core.MIN_K
ROWS = core.MODEL_HEADER
MEAN = ROWS + ROW.size * (N + FAMILIES)
SCALE, LOWER, UPPER, WEIGHT = (MEAN + 8 * N * column for column in range(1, 5))
HOSTS = WEIGHT + 8 * (N + BUCKETS)
TESTS = HOSTS + 8  # two hosts


def signed(body: bytes) -> bytes:
    """The body with the digest that belongs to it."""
    return body + hashlib.sha256(body).digest()


def changed(**fields: Any) -> bytes:
    """A good file with other values in its header, and the digest put right."""
    values = dict(zip(FIELDS, HEADER.unpack_from(GOOD), strict=True)) | fields
    body = HEADER.pack(*values.values()).ljust(core.MODEL_HEADER, b"\0") + GOOD[core.MODEL_HEADER : -core.MODEL_DIGEST]
    return signed(body)


def poked(place: int, data: bytes) -> bytes:
    """A good file with other bytes in one place, and the digest put right."""
    body = GOOD[: -core.MODEL_DIGEST]
    return signed(body[:place] + data + body[place + len(data) :])


def double(value: float) -> bytes:
    return struct.pack("<d", value)


def sized(body: bytes) -> bytes:
    """The body with the size in its header made to fit."""
    at = HEADER.size - 4 * 8 - 8  # before the four doubles
    assert struct.unpack_from("<Q", GOOD, at)[0] == len(GOOD)
    return signed(body[:at] + struct.pack("<Q", len(body) + core.MODEL_DIGEST) + body[at + 8 :])


NAN, INF = math.nan, math.inf
REFUSED = {
    "empty": (b"", "wrong magic"),
    "a text": (b"this is a text, and no model at all, whatever its name says\n" * 9, "wrong magic"),
    "gzip": (b"\x1f\x8b" + bytes(200), "wrong magic"),
    "line ends changed": (GOOD.replace(b"\r\n", b"\n", 1), "wrong magic"),
    "magic": (changed(magic=b"\x89XBOX\r\n\x1a"), "wrong magic"),
    "future version": (changed(version=core.MODEL_VERSION + 1), "future format version"),
    "far future version": (changed(version=2**32 - 1), "future format version"),
    "version 0": (changed(version=0), "unknown format version"),
    "header size": (changed(header_size=64), "unknown format version"),
    "yesterday's format": (changed(version=1), "made by xbot 0.1: train again"),
    "one feature less": (changed(n_dense=N - 1), "wrong size"),
    "one family less": (changed(n_families=FAMILIES - 1, families=1), "wrong size"),
    "features beyond the file": (changed(n_dense=4096), "wrong size"),
    "features beyond all measure": (changed(n_dense=2**32 - 1), "more rows than a model can have"),
    "a row of no known name": (poked(ROWS, ROW.pack(b"ua_foo", 2)), "row ua_foo: this xbot has none of that name"),
    "a row of another version": (
        poked(ROWS, ROW.pack(b"ip_1", 7)),
        f"row ip_1: version 7, this xbot computes version {core.FEATURES[0].version}",
    ),
    "a row twice": (poked(ROWS + ROW.size, ROW.pack(b"ip_1", core.FEATURES[0].version)), "row ip_1: named twice"),
    "a row without a name": (poked(ROWS, ROW.pack(b"", 1)), "without a readable name"),
    "a row whose name does not end": (poked(ROWS, ROW.pack(b"a" * 28, 1)), "without a readable name"),
    "a row whose name is no name": (poked(ROWS, ROW.pack(b"ip\x1b[31m", 1)), "without a readable name"),
    "a family of no known name": (poked(ROWS + N * ROW.size, ROW.pack(b"foo", 1)), "family foo: this xbot has none"),
    "a family of another version": (poked(ROWS + N * ROW.size, ROW.pack(b"ua_word", 3)), "family ua_word: version 3"),
    "a feature for a family": (poked(ROWS + N * ROW.size, ROW.pack(b"ip_1", 1)), "family ip_1: this xbot has none"),
    "a lower bound above the upper": (poked(LOWER, double(1e9)), "bounds out of order"),
    "a bound too large": (poked(UPPER, double(1e300)), "a bound beyond 1e60"),
    "another bound": (poked(UPPER + 8 * NAMES.index("ua_length"), double(1.0)), "failed self-test"),
    "k too small": (changed(k=core.MIN_K - 1), "k out of range"),
    "k too large": (changed(k=core.MAX_K + 1), "k out of range"),
    "k larger than the file": (changed(k=core.MAX_K), "wrong size"),
    "dtype": (changed(dtype=9), "unknown dtype"),
    "families": (changed(families=1 << len(core.FAMILIES)), "families"),
    "hosts beyond the file": (changed(n_hosts=2**32 - 1), "wrong size"),
    "one self-test more": (changed(n_tests=len(models.HEADS) + 1), "self-test"),
    "one self-test less": (changed(n_tests=len(models.HEADS) - 1), "self-test"),
    "self-tests beyond the file": (changed(tests_size=2**64 - 8), "wrong size"),
    "provenance beyond the file": (changed(provenance_size=2**64 - 8), "wrong size"),
    "file size": (changed(file_size=len(GOOD) + 8), "wrong size"),
    "a byte appended": (GOOD + b"\0", "wrong size"),
    "eight bytes appended": (GOOD + bytes(8), "wrong size"),
    "eight bytes put in": (sized(GOOD[:SCALE] + bytes(8) + GOOD[SCALE : -core.MODEL_DIGEST]), "wrong size"),
    "eight bytes taken out": (sized(GOOD[:SCALE] + GOOD[SCALE + 8 : -core.MODEL_DIGEST]), "wrong size"),
    "threshold above 1": (changed(threshold=1.5), "threshold"),
    "threshold below 0": (changed(threshold=-0.5), "threshold"),
    "scale 0": (poked(SCALE + 8, double(0.0)), "scale of 0"),
    "scale -0": (poked(SCALE + 8, double(-0.0)), "scale of 0"),
    "scale that makes a weight infinite": (poked(SCALE, double(5e-324)), "over its scale"),
    "mean too large": (poked(MEAN, double(1e300)), "beyond 1e60"),
    "hosts out of order": (poked(HOSTS, GOOD[HOSTS + 4 : HOSTS + 8] + GOOD[HOSTS : HOSTS + 4]), "hosts out of order"),
    "the same host twice": (poked(HOSTS, GOOD[HOSTS : HOSTS + 4] * 2), "hosts out of order"),
    "another weight": (poked(WEIGHT, double(7.25)), "failed self-test"),
    "another bias": (changed(bias=1.0), "failed self-test"),
    "another margin": (poked(TESTS, double(0.125)), "failed self-test"),
    "a margin that is none": (poked(TESTS, double(NAN)), "self-test"),
    "a self-test that is no request": (poked(TESTS + 16, b"\xfe\xff\xff\xff"), "self-test"),
    "a longer self-test": (poked(TESTS + 8, struct.pack("<I", 2**32 - 1)), "self-test"),
    "digest": (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), "bad digest"),
    **{f"{name} {value}": (changed(**{name: value}), "NaN or infinity in the header") for name, value in itertools.product(("bias", "threshold", "a", "b"), (NAN, INF, -INF))},
    **{f"{value} at {place}": (poked(place, double(value)), "NaN or infinity in the arrays") for place, value in itertools.product((MEAN, SCALE - 8, SCALE, LOWER, UPPER, WEIGHT - 8, WEIGHT, HOSTS - 8), (NAN, INF, -INF))},
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(tmp_path: Path, name: str) -> None:
    data, why = REFUSED[name]
    path = tmp_path / "site.xbot"
    path.write_bytes(data)
    with pytest.raises(XbotError, match=f"^{re.escape(str(path))}: .*{why}"):
        model.load(path)


def test_truncated_anywhere(tmp_path: Path) -> None:
    """Every size up to a little behind the header, then a sample; with and without a digest that fits."""
    sizes = [*range(200), *random.Random(5).sample(range(200, len(GOOD)), 150), len(GOOD) - 1]
    for size in sizes:
        for data in (GOOD[:size], signed(GOOD[:size])):
            with pytest.raises(core.ModelError, match="wrong size|wrong magic"):
                model.open_image(data)


def test_every_flipped_bit_is_refused() -> None:
    """A sample of bytes over the whole file, the header's and the last ones all."""
    body = range(core.MODEL_HEADER, len(GOOD) - core.MODEL_DIGEST)
    places = [
        *range(core.MODEL_HEADER),
        *random.Random(7).sample(body, 300),
        *range(len(GOOD) - core.MODEL_DIGEST, len(GOOD)),
    ]
    for place in places:
        damaged = bytearray(GOOD)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(core.ModelError):
            model.open_image(bytes(damaged))


def test_damage_that_no_check_sees_is_a_bad_digest() -> None:
    """A weight that no self-test uses, the provenance, the reserved bytes of the header."""
    about = GOOD.rindex(b"for a test")
    for place in (core.MODEL_HEADER - 1, about, HOSTS - 3):
        damaged = bytearray(GOOD)
        damaged[place] ^= 1
        with pytest.raises(core.ModelError, match="bad digest"):
            model.open_image(bytes(damaged))


def test_a_good_file_loads(tmp_path: Path) -> None:
    path = tmp_path / "site.xbot"
    outputs.write(path, GOOD)
    loaded, parts = model.load(path), models.parts()
    assert loaded.data == GOOD
    for name in ("bias", "threshold", "a", "b", "k", "groups"):
        assert loaded.header[name] == getattr(parts, name)
    assert list(loaded.mean) == list(parts.mean)
    assert list(loaded.scale) == list(parts.scale)
    assert list(loaded.lower) == list(parts.lower)
    assert list(loaded.upper) == list(parts.upper)
    assert loaded.rows == {row.name: row.version for row in (*core.FEATURES, *core.FAMILIES)}
    assert list(loaded.weight) == list(parts.weight)
    assert loaded.provenance == parts.provenance
    assert loaded.header["n_hosts"] == len(parts.hosts)
    assert loaded.header["n_tests"] == len(models.HEADS)


def test_packing_is_deterministic_and_exact() -> None:
    assert models.image() == GOOD
    assert models.image(seed=2) != GOOD
    assert GOOD[-32:] == hashlib.sha256(GOOD[:-32]).digest()
    assert len(GOOD) % 8 == 0
    for hosts, k in ((0, 8), (1, 8), (3, 9), (1000, 10)):
        made = models.image(k=k, hosts=sorted(random.Random(hosts).sample(range(2**32), hosts)))
        assert model.open_image(made).header["n_hosts"] == hosts


@pytest.mark.parametrize(
    "change",
    [
        {"bias": NAN},
        {"threshold": 2.0},
        {"hosts": [2, 1]},
        {"k": 7},
        {"scale": models.doubles([0.0] * N)},
        {"lower": models.doubles([NAN] * N)},
    ],
)
def test_what_would_be_refused_is_not_packed(change: dict[str, Any]) -> None:
    with pytest.raises(core.ModelError):
        models.image(**change)


def test_known_hosts_travel_in_the_file() -> None:
    """ref_host_known is what the model's own set says."""
    loaded, request = model.open_image(GOOD), core.Request()
    for referrer, known in ((b"http://www.known.example/", 1.0), (b"http://unknown.example/", 0.0)):
        request.load_record([(b"Referer", referrer)], True)
        values = {part.name: part.value for part in loaded.explain(request)[2]}
        assert values["ref_host_known"] == known


# ---- the layout is stated once ----


def test_the_header_is_that_of_the_c_struct(tmp_path: Path) -> None:
    """Names, offsets and sizes, as the compiler has them."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    prints = "".join(
        f'printf("{name} %zu %zu\\n", offsetof(xb_model_header, {name}), sizeof((xb_model_header){{0}}.{name}));\n'
        for name in FIELDS
    )
    source = f'#include <stdio.h>\n#include "model/model.h"\nint main(void) {{ {prints} printf("%zu", sizeof(xb_model_header)); }}'
    program = tmp_path / "offsets"
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    command = ["gcc", "-std=gnu11", f"-I{ROOT / 'csrc'}", "-x", "c", "-", "-o", str(program)]
    subprocess.run(command, input=source.encode(), check=True, env=environment)
    *rows, size = (
        subprocess.run([program], capture_output=True, check=True, env=environment).stdout.decode().split("\n")
    )
    offset, codes = 0, ["8s", *"IIIIIIIIIIQQQdddd"]
    for row, name, code in zip(rows, FIELDS, codes, strict=True):
        assert row == f"{name} {offset} {struct.calcsize('<' + code)}"
        offset += struct.calcsize("<" + code)
    assert int(size) == core.MODEL_HEADER >= offset == HEADER.size


def test_the_page_of_the_format_is_true() -> None:
    """docs/model-file.md names every reason that the C code gives for the file's parts, and its numbers."""
    page = (ROOT / "docs" / "model-file.md").read_text()
    for word in (
        "magic",
        "version",
        "row",
        "bounds",
        "threshold",
        "SHA-256",
        "self-test",
        "provenance",
        "families",
        str(core.MODEL_HEADER),
    ):
        assert word in page


# ---- writing ----


def leftovers(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_writing_replaces_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "site.xbot"
    outputs.write(path, b"old")
    held = path.open("rb")
    outputs.write(path, GOOD)
    assert held.read() == b"old"  # who had it open keeps the old file, whole
    held.close()
    assert path.read_bytes() == GOOD
    assert path.stat().st_mode & 0o777 == 0o644
    assert leftovers(tmp_path) == {"site.xbot"}


@pytest.mark.parametrize("failing", ["fsync", "replace", "fchmod"])
def test_a_failing_write_leaves_the_old_file(tmp_path: Path, monkeypatch, failing: str) -> None:
    path = tmp_path / "site.xbot"
    outputs.write(path, GOOD)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(
        *{"fsync": (os, "fsync"), "replace": (Path, "replace"), "fchmod": (os, "fchmod")}[failing], fail
    )
    with pytest.raises(XbotError, match=r"site\.xbot: No space left on device"):
        outputs.write(path, models.image(seed=2))
    assert path.read_bytes() == GOOD
    assert leftovers(tmp_path) == {"site.xbot"}


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(XbotError, match="none/site.xbot: No such file"):
        outputs.write(tmp_path / "none" / "site.xbot", GOOD)
    (tmp_path / "directory").mkdir()
    with pytest.raises(XbotError, match="directory: "):
        outputs.write(tmp_path / "directory", GOOD)
    assert leftovers(tmp_path) == {"directory"}
    with pytest.raises(XbotError, match="/proc/site.xbot: "):
        outputs.write(Path("/proc/site.xbot"), GOOD)
    if os.geteuid():
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        with pytest.raises(XbotError, match="closed/site.xbot: Permission denied"):
            outputs.write(closed / "site.xbot", GOOD)


def test_a_full_disk(tmp_path: Path) -> None:
    """A limit on the file's size stands for it: the command says so, the old file stays, nothing is left."""
    path, log = tmp_path / "site.xbot", tmp_path / "log"
    path.write_bytes(GOOD)
    rows = [
        f"192.0.2.{n % 250}\t{'Bot' if n % 2 else f'Mozilla+{n}'}\thttp%3A%2F%2Fa.example%2F\t{'false' if n % 2 else 'true'}"
        for n in range(80)
    ]
    log.write_text("\n".join(rows))
    command = f"trap '' XFSZ; ulimit -f 128; exec {shutil.which('xbot', path=str(Path(os.sys.executable).parent))} train --quiet --format challenge --out {path} {log}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.decode() == f"xbot: {path}: File too large\n"
    assert path.read_bytes() == GOOD
    assert leftovers(tmp_path) == {"site.xbot", "log"}
    assert run_xbot("inspect", path).returncode == 0
