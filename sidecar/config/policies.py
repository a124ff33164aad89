"""From a configuration to the image of policies and lists that the workers share.

Law: which lists are in it, and where each comes from, is said here; the image is written by the binding, from the structs of
csrc/policy/policy.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar import core
from sidecar.config import crawlers, lists
from sidecar.config.config import Plan, Policy, Signatures
from sidecar.config.lists import Contents
from sidecar.verify import catalogue, signatures


@dataclass(frozen=True)
class Material:
    """All that an image is made of but the crawlers' networks, read and checked: policies, lists, routes, what each policy does
    with each crawler; the directory of fetched networks, whether names are looked up in the DNS, and
    which signatures are checked."""

    policies: dict[str, Policy]
    lists: dict[str, Contents]
    routes: list[tuple[bytes, str]]
    actions: dict[str, bytes]
    ranges: Path | None
    look_up: bool
    signatures: Signatures

    def image(self) -> bytes:
        """The image, with the newest networks."""
        return core.policies_image(
            self.policies, self.lists, self.routes, crawlers.load(self.ranges, self.look_up), self.actions
        )

    def directories(self) -> dict[str, str]:
        """Crawler -> where the keys of its signatures are fetched; none where none is checked."""
        return {**catalogue.directories(), **(self.signatures.directories or {})} if self.signatures.hosts else {}

    def signing(self) -> dict[str, Any] | None:
        """What a worker is told that checks signatures, with the newest keys; None where none is checked."""
        if not self.signatures.hosts or self.ranges is None:
            return None
        keys = signatures.told(signatures.stored(self.ranges, self.directories()))
        return {"keys": keys, "hosts": self.signatures.hosts, "per_second": self.signatures.per_second}


def material(plan: Plan) -> Material:
    """What a configuration says, with the lists that its policies name; XbotError for a list that cannot be read."""
    used = dict.fromkeys(name for each in plan.policies.values() for name in (*each.allow, *each.deny, *each.verified))
    named = {name: lists.contents(plan, name) for name in used}
    actions = {name: crawlers.actions(plan.crawlers.get(name, {})) for name in plan.policies}
    return Material(plan.policies, named, lists.routes(plan), actions, plan.ranges, plan.dns.look_up, plan.signatures)


def image(plan: Plan) -> bytes:
    """The image of a configuration's policies; XbotError as `material`."""
    return material(plan).image()
