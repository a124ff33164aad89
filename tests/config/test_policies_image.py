"""Images of policies that are none: each check of csrc/policy refuses one, and says why.

Law: a fault is one word of a sound image, changed, or an end that is cut off.
"""

from __future__ import annotations

import importlib.util
import re
import struct

import msgspec
from places import ROOT

from sidecar.config import config, policies
from sidecar.config.lists import Contents
from sidecar.core import Policies, PoliciesError, policies_image

VALUES = (0, 1, 7, 0x7FFFFFFF, 0xFFFFFFFF)
NOT_HERE = {"image not aligned to 8 bytes"}  # Python's buffers are


def sound() -> list[bytes]:
    """Those that the fuzzer starts from, and one with a table of agents that one more fills."""
    spec = importlib.util.spec_from_file_location("fuzz_run", ROOT / "tests" / "fuzz" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = policies.material(config.load(None))
    policy = {"p": msgspec.structs.replace(made.policies["default"], allow=("l",), deny=(), verified=())}
    return [*module.policy_images(), policies_image(policy, {"l": Contents([], [], [b"curl"], [])}, [])]


def refused(image: bytes) -> str | None:
    try:
        Policies(image)
    except PoliciesError as error:
        return str(error)
    return None


def reasons() -> set[str]:
    """All that csrc/policy may say of an image, but for those of options.def."""
    said = set[str]()
    for name in ("policy.c", "crawlers.c"):
        opening = (ROOT / "csrc" / "policy" / name).read_text().split("/* ---- opening ---- */")[1].split("/* ---- ")[0]
        said |= set(re.findall(r'(?:return|why =|\?|:) "([^"]+)"', opening))
    return said


def test_each_check_refuses_an_image() -> None:
    said = set[str | None]()
    for image in sound():
        assert refused(image) is None
        for at in range(0, len(image), 4):
            said |= {refused(image[:at] + struct.pack("<I", value) + image[at + 4 :]) for value in VALUES}
        said |= {refused(image[:size]) for size in (0, 8, 40, len(image) - 8)}
    assert reasons() - said == NOT_HERE
