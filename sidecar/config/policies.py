"""From a configuration to the image of policies and lists that the workers share.

Law: which lists are in it, and where each comes from, is said here; the image is written by the binding, from the structs of
csrc/policy/policy.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sidecar import core
from sidecar.config import crawlers, lists
from sidecar.config.config import Plan, Policy
from sidecar.config.lists import Contents


@dataclass(frozen=True)
class Material:
    """All that an image is made of but the crawlers' networks, read and checked: policies, lists, routes, what each policy does
    with each crawler; the directory of fetched networks, and whether names are looked up in the DNS."""

    policies: dict[str, Policy]
    lists: dict[str, Contents]
    routes: list[tuple[bytes, str]]
    actions: dict[str, bytes]
    ranges: Path | None
    look_up: bool

    def image(self) -> bytes:
        """The image, with the newest networks."""
        return core.policies_image(
            self.policies, self.lists, self.routes, crawlers.load(self.ranges, self.look_up), self.actions
        )


def material(plan: Plan) -> Material:
    """What a configuration says, with the lists that its policies name; XbotError for a list that cannot be read."""
    used = dict.fromkeys(name for each in plan.policies.values() for name in (*each.allow, *each.deny, *each.verified))
    named = {name: lists.contents(plan, name) for name in used}
    actions = {name: crawlers.actions(plan.crawlers.get(name, {})) for name in plan.policies}
    return Material(plan.policies, named, lists.routes(plan), actions, plan.ranges, plan.dns.look_up)


def image(plan: Plan) -> bytes:
    """The image of a configuration's policies; XbotError as `material`."""
    return material(plan).image()
