"""bench/framing.py: what one network alone does refuses nobody elsewhere, and who loads parts stays himself."""

from __future__ import annotations

import sys

import pytest
from places import ROOT

sys.path.insert(0, str(ROOT / "bench"))

import framing
from attack import Judge

from sidecar import model


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(model.load(ROOT / "sidecar" / "default.xbot"))


def test_a_person_is_refused_nothing(judge: Judge) -> None:
    assert not any(framing.Site(judge, 50).person(f"10.9.{n}.1") for n in range(20))


@pytest.mark.parametrize(
    "whence", [lambda i: f"172.16.1.{i % 250}", lambda i: f"2001:db8:1:{i:x}::1"], ids=["24", "48"]
)
def test_one_network_frames_nobody_elsewhere(judge: Judge, whence) -> None:
    assert framing.least(judge, 0, False, framing.pages(ip=whence)) is None


def test_many_networks_in_exactly_a_look_are_a_fleet(judge: Judge) -> None:
    """The price is that whoever looks so, too, is refused his first page: docs/security.md."""
    found = framing.least(judge, 0, False, framing.pages(ip=framing.networks), 100)
    assert found is not None
    assert found >= 20


def test_who_loaded_parts_is_not_framed_by_what_his_neighbour_opens(judge: Judge) -> None:
    assert framing.least(judge, 0, True, framing.pages(ip=framing.here), 100) is None
