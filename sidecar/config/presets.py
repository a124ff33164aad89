"""Presets of policies (presets.toml): what a kind of site commonly wants, in one word.

Law: a preset is words that the policy could say itself, and the policy's own words stand above it. Whatever is wrong in the file is a
fault of this xbot.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import msgspec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).with_name("presets.toml")
NAMES = ("publisher", "shop", "documentation", "open")


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`allow`: names of lists; `verified`: purpose -> what becomes of it."""

    allow: tuple[str, ...]
    verified: dict[str, str]


@functools.cache
def _read() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text("utf-8"))


def preset(name: str) -> Preset:
    """The preset of this name."""
    return msgspec.convert(_read()[name], Preset)


def lists() -> dict[str, tuple[str, ...]]:
    """The lists of paths, by name."""
    return msgspec.convert(_read()["lists"], dict[str, tuple[str, ...]])
