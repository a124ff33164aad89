"""The options of xbot.toml are rows: one row gives name, type, check, packing, default and docs.

Law: the rows themselves are the expectation; what a policy of C decides with them is tested in test_policies.py.
"""

from __future__ import annotations

import importlib.util
import math
import struct
from pathlib import Path

import msgspec
import pytest
from places import ROOT
from sidecar_harness import Sidecar

from sidecar import core
from sidecar.check.cli import doubts
from sidecar.config import config, options, policies, toml_file
from sidecar.config.plan import Overrides, Plan
from sidecar.errors import XbotError

NAME_SIZE = core.MAX_NAME + 1


def written(tmp_path: Path, text: str) -> Plan:
    path = tmp_path / "xbot.toml"
    path.write_text(text)
    return config.load(path)


def options_of(image: bytes) -> dict[str, float]:
    """What the first policy of an image holds of the rows, in their order: shares, then choices."""
    shares = [each.name for each in core.POLICY_OPTIONS if each.values is None]
    choices = [each.name for each in core.POLICY_OPTIONS if each.values is not None]
    at = image.index(b"only".ljust(NAME_SIZE, b"\0")) + NAME_SIZE
    found = struct.unpack_from(f"<{len(shares)}d{len(choices)}I", image, at)
    return dict(zip((*shares, *choices), found, strict=True))


def only(tmp_path: Path, line: str) -> bytes:
    """The image of this policy and `default`, with nothing else in it."""
    plan = written(tmp_path, f"search_engines = false\n[policies.only]\n{line}\n")
    return policies.image(plan)


@pytest.mark.parametrize("option", core.POLICY_OPTIONS, ids=lambda option: option.name)
def test_a_row_is_read_checked_and_packed(tmp_path: Path, option: core.Option) -> None:
    """Each value of each option arrives in its own place of the image and changes no other; what is not allowed is refused."""
    before = options_of(only(tmp_path, ""))
    if option.values is None:
        assert math.isnan(before.pop(option.name))
        assert option.without
        values = {0.25: 0.25, 1: 1.0}
    else:
        assert before.pop(option.name) == 0
        values = {f'"{name}"': number for number, name in enumerate(option.values)}
    for text, packed in values.items():
        image = only(tmp_path, f"{option.name} = {text}")
        after = options_of(image)
        assert after.pop(option.name) == packed
        assert repr(after) == repr(before)
        core.Policies(image)
    for wrong in ("1.5", "nan", '"other"', "[]"):
        with pytest.raises(XbotError, match=rf"xbot.toml:3: policies.only.{option.name}: .* is not "):
            only(tmp_path, f"{option.name} = {wrong}")


@pytest.mark.parametrize("option", core.POLICY_OPTIONS, ids=lambda option: option.name)
def test_an_image_with_a_value_that_no_row_allows_is_refused(tmp_path: Path, option: core.Option) -> None:
    """The check on opening is made from the row too."""
    image = bytearray(only(tmp_path, ""))
    order = sorted(core.POLICY_OPTIONS, key=lambda each: each.values is not None)
    shares = sum(each.values is None for each in order)
    place, at = order.index(option), image.index(b"only".ljust(NAME_SIZE, b"\0")) + NAME_SIZE
    if option.values is None:
        struct.pack_into("<d", image, at + 8 * place, 1.5)
    else:
        struct.pack_into("<I", image, at + 8 * shares + 4 * (place - shares), 2)
    with pytest.raises(core.PoliciesError, match=option.name):
        core.Policies(bytes(image))


def test_every_option_has_a_doc() -> None:
    """But for those that are tables of their own; and none of them breaks the table that it stands in."""
    for kind in (
        options.Config,
        options.Listen,
        options.Log,
        options.Limits,
        options.Clients,
        options.Decisions,
        options.Policy,
        options.Entries,
    ):
        for field in msgspec.structs.fields(kind):
            doc = toml_file.doc_of(field.type)
            if doc is None:
                assert (kind, field.name) in {
                    (options.Config, name)
                    for name in (
                        "listen",
                        "log",
                        "limits",
                        "clients",
                        "decisions",
                        "dns",
                        "signatures",
                        "policies",
                        "lists",
                    )
                }
            else:
                assert doc.text
                assert "|" not in doc.text + doc.without
                assert field.required or doc.without or field.default is not None, field.name


def test_the_tables_of_the_page_are_made_from_the_rows() -> None:
    spec = importlib.util.spec_from_file_location("make_configuration", ROOT / "docs" / "make_configuration.py")
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    text = made.PAGE.read_text()
    assert made.page(text) == text, "run: make docs"


# ---- a new name for an old option ----

OLD = "# the grey zone\n[policies.grey]\nchallenge_above = 0.001\n"


def test_an_old_name_goes_on_working(tmp_path: Path) -> None:
    """With one line that names the new one, the file and the line."""
    plan = written(tmp_path, OLD)
    new = written(tmp_path, OLD.replace("challenge_above", "suspect_above"))
    assert (plan.policies, new.outdated()) == (new.policies, [])
    path = tmp_path / "xbot.toml"
    path.write_text(OLD)
    line = f"{path}:3: policies.grey.challenge_above: is called suspect_above now"
    assert plan.outdated() == [line]
    assert [each.what for each in doubts(plan, Overrides(), None) if "is called" in each.what] == [line]


def test_a_sidecar_warns_of_an_old_name(made_model_path: Path, tmp_path: Path) -> None:
    """At the start, and at a reload."""
    path = tmp_path / "xbot.toml"
    path.write_text(OLD)
    with Sidecar(made_model_path, "--config", path, workers=1) as sidecar:
        told = [f"{path}:3: policies.grey.challenge_above: is called suspect_above now"]
        assert [each["option"] for each in sidecar.events("old name of an option")] == told
        sidecar.reload()
        assert [each["option"] for each in sidecar.events("old name of an option")] == told * 2
