"""From a configuration to the image of policies and lists that the workers share.

Law: which lists are in it, and where each comes from, is said here; the image is written by the binding, from the structs of
csrc/policy/policy.h.
"""

from __future__ import annotations

from sidecar import core
from sidecar.config import lists
from sidecar.config.config import Plan


def image(plan: Plan) -> bytes:
    """The image of a configuration's policies, with the lists that they name; XbotError for a list that cannot be read."""
    used = dict.fromkeys(name for each in plan.policies.values() for name in (*each.allow, *each.deny, *each.verified))
    return core.policies_image(plan.policies, {name: lists.contents(plan, name) for name in used}, lists.routes(plan))
