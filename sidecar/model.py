"""The model file: reading it with every check, writing it so that it is there whole or not at all.

Law: the layout is stated once, in csrc/model.h; this module packs the header of that struct and checks the digest, and
csrc/model.c checks everything else. Arrays come as buffers of little-endian doubles, so no numpy is needed here.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar import core
from sidecar.errors import RefusedModelError, XbotError

# struct xb_model_header of csrc/model.h, without the reserved bytes at its end.
HEADER = struct.Struct("<8sIIQIIIIIIQQQddddI")


@dataclass(frozen=True)
class Parts:
    """What a model file holds besides what follows from it. Arrays are buffers of doubles."""

    bias: float
    threshold: float
    a: float
    b: float
    k: int
    groups: int
    families: int
    mean: memoryview
    scale: memoryview
    weight: memoryview
    hosts: Sequence[int]
    provenance: dict[str, Any]


def load(path: Path) -> core.Model:
    """Reads and checks a model file. With the path and the reason: XbotError if it cannot be read, RefusedModelError if it
    cannot be used."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise XbotError(f"{path}: {error.strerror or error}") from None
    try:
        return open_image(data)
    except core.ModelError as error:
        raise RefusedModelError(f"{path}: {error}") from None


def open_image(data: bytes) -> core.Model:
    """Opens a file's bytes after checking the digest; core.ModelError with the reason if they are refused.

    What the C checks can name exactly (magic, version, size, schema) comes first: "bad digest" alone would hide it.
    """
    intact = hashlib.sha256(data[: -core.MODEL_DIGEST]).digest() == data[-core.MODEL_DIGEST :]
    try:
        opened = core.Model(data)
    except core.ModelError as error:
        named = ("magic", "version", "size", "schema")
        if intact or any(word in str(error) for word in named):
            raise
        raise core.ModelError(f"bad digest: the file was damaged ({error})") from None
    if not intact:
        raise core.ModelError("bad digest: the file was damaged")
    return opened


def _padded(data: bytes, fill: bytes = b"\0") -> bytes:
    return data + fill * (-len(data) % 8)


def _self_tests(tests: Sequence[tuple[bytes, float]]) -> bytes:
    return b"".join(struct.pack("<dII", margin, len(head), 0) + _padded(head) for head, margin in tests)


def pack(parts: Parts, test_heads: Sequence[bytes]) -> bytes:
    """The image of a model file. Each of `test_heads`, a request head as nginx sends it, becomes a self-test: its
    margin is computed by this very build and stored, and any build that loads the file must reproduce it."""
    untested = _image(parts, [])
    model, request = open_image(untested), core.Request()
    tests = []
    for head in test_heads:
        request.load_head(head)
        tests.append((head, model.judge(request).margin))
    return _image(parts, tests)


def _image(parts: Parts, tests: Sequence[tuple[bytes, float]]) -> bytes:
    arrays = b"".join(memoryview(array).cast("B") for array in (parts.mean, parts.scale, parts.weight))
    hosts = _padded(struct.pack(f"<{len(parts.hosts)}I", *parts.hosts))
    self_tests = _self_tests(tests)
    provenance = _padded(json.dumps(parts.provenance, sort_keys=True, indent=1).encode(), b" ")
    size = core.MODEL_HEADER + len(arrays) + len(hosts) + len(self_tests) + len(provenance) + core.MODEL_DIGEST
    header = HEADER.pack(
        core.MODEL_MAGIC, core.MODEL_VERSION, core.MODEL_HEADER, core.SCHEMA_ID, len(core.FEATURES), parts.k,
        core.MODEL_F64, parts.groups, len(parts.hosts), len(tests), len(self_tests), len(provenance), size,
        parts.bias, parts.threshold, parts.a, parts.b, parts.families,
    )  # fmt: skip
    body = header.ljust(core.MODEL_HEADER, b"\0") + arrays + hosts + self_tests + provenance
    return body + hashlib.sha256(body).digest()


def write(path: Path, image: bytes) -> None:
    """Puts the file in place in one step: written beside, synced, renamed. XbotError if that cannot be done."""
    temporary = None
    if path.exists() and not path.is_file():
        raise XbotError(f"{path}: not a regular file")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(image)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise XbotError(f"{path}: {error.strerror or error}") from None
