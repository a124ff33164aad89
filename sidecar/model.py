"""The model file: reading it with every check, packing it.

Law: the layout is stated once, in csrc/model/model.h; this module puts the parts one behind the other and checks the digest, and
csrc/model/model.c checks everything else. Arrays come as buffers of little-endian doubles, so no numpy is needed here.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar import core, inputs
from sidecar.errors import RefusedModelError

DEFAULT = Path(__file__).with_name("default.xbot")  # the model that comes with xbot


@dataclass(frozen=True)
class Parts:
    """What a model file holds besides what follows from it. Arrays are buffers of doubles, in the order of core.FEATURES;
    `lower` and `upper` bound each value."""

    bias: float
    threshold: float
    a: float
    b: float
    k: int
    groups: int
    families: int
    mean: memoryview
    scale: memoryview
    lower: memoryview
    upper: memoryview
    weight: memoryview
    hosts: Sequence[int]
    provenance: dict[str, Any]


def load(path: Path) -> core.Model:
    """Reads and checks a model file. With the path and the reason: XbotError if it cannot be read, RefusedModelError if it
    cannot be used."""
    data = inputs.read_bytes(path)
    try:
        return open_image(data)
    except core.ModelError as error:
        raise RefusedModelError(f"{path}: {error}") from None


def open_image(data: bytes) -> core.Model:
    """Opens a file's bytes after checking the digest; core.ModelError with the reason if they are refused.

    What the C checks can name exactly (magic, version, size) comes first: "bad digest" alone would hide it.
    """
    intact = hashlib.sha256(data[: -core.MODEL_DIGEST]).digest() == data[-core.MODEL_DIGEST :]
    try:
        opened = core.Model(data)
    except core.ModelError as error:
        named = ("magic", "format version", "size")
        if intact or any(word in str(error) for word in named):
            raise
        raise core.ModelError(f"bad digest: the file was damaged ({error})") from None
    if not intact:
        raise core.ModelError("bad digest: the file was damaged")
    return opened


def _padded(data: bytes, fill: bytes = b"\0") -> bytes:
    return data + fill * (-len(data) % 8)


def pack(parts: Parts, test_heads: Sequence[bytes]) -> bytes:
    """The image of a model file. Each of `test_heads`, a request head as nginx sends it, becomes a self-test: what it says
    of the visitor, and the margin by this build, which any build that loads the file must reproduce."""
    untested = _image(parts, [])
    model, request = open_image(untested), core.Request()
    tests = []
    for head in test_heads:
        request.load_head(head)
        tests.append(request.self_test(model.judge(request).margin))
    return _image(parts, tests)


def _image(parts: Parts, tests: Sequence[bytes]) -> bytes:
    columns = (parts.mean, parts.scale, parts.lower, parts.upper, parts.weight)
    hosts = _padded(array("I", parts.hosts).tobytes())
    self_tests = b"".join(tests)
    provenance = _padded(json.dumps(parts.provenance, sort_keys=True, indent=1).encode(), b" ")
    rest = b"".join(memoryview(column).cast("B") for column in columns) + hosts + self_tests + provenance

    def header(file_size: int) -> bytes:
        return core.model_header(
            parts.k, parts.groups, parts.families, len(parts.hosts), len(tests), len(self_tests), len(provenance),
            file_size, parts.bias, parts.threshold, parts.a, parts.b,
        )  # fmt: skip

    body = header(len(header(0)) + len(rest) + core.MODEL_DIGEST) + rest
    return body + hashlib.sha256(body).digest()
