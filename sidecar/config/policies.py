"""From a configuration to the image of policies and lists that the workers share.

Law: which lists are in it, and where each comes from, is said here; the image is written by the binding, from the structs of
csrc/policy/policy.h.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from sidecar import core
from sidecar.config import crawlers, lists, search_engines
from sidecar.config.lists import Contents
from sidecar.config.options import Policy, Signatures
from sidecar.config.plan import Plan
from sidecar.verify import catalogue, signatures
from sidecar.verify.ranges import Network


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
    listed: tuple[Network, ...]  # of the list of search engines that comes with xbot, where a policy uses it

    def image(self, threshold: float | None = None) -> bytes:
        """The image, with the newest networks. `threshold` is for policies that name none; without it they follow the model's."""
        everybody = crawlers.load(self.ranges, self.look_up, self.listed)
        policies = {name: _by(each, threshold) for name, each in self.policies.items()}
        return core.policies_image(policies, self.lists, self.routes, everybody, self.actions)

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
    listed: tuple[Network, ...] = ()
    if plan.uses_our_search_engines:
        # Most of its networks are those of crawlers, too: one search finds both.
        ours = named[search_engines.NAME]
        listed = _networks(ours)
        named[search_engines.NAME] = replace(ours, v4=[], v6=[], source=crawlers.LISTED)
    actions = {name: crawlers.actions(plan.crawlers.get(name, {})) for name in plan.policies}
    routes = lists.routes(plan)
    return Material(plan.policies, named, routes, actions, plan.ranges, plan.dns.look_up, plan.signatures, listed)


def _by(policy: Policy, threshold: float | None) -> Policy:
    return policy if policy.threshold is not None else msgspec.structs.replace(policy, threshold=threshold)


def _networks(held: Contents) -> tuple[Network, ...]:
    """Those of a list; none touches another."""
    v4 = (summarize_address_range(IPv4Address(first), IPv4Address(last)) for first, last in held.v4)
    v6 = (summarize_address_range(IPv6Address(first), IPv6Address(last)) for first, last in held.v6)
    return (*chain.from_iterable(v4), *chain.from_iterable(v6))


def image(plan: Plan) -> bytes:
    """The image of a configuration's policies; XbotError as `material`."""
    return material(plan).image()
