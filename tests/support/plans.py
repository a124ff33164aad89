"""Policies made here, not read from a file: what one list names is denied."""

from __future__ import annotations

from typing import Any

from sidecar import core
from sidecar.config import config, options, policies
from sidecar.config.plan import Plan


def opened(**listed: Any) -> core.Policies:
    """Policies that deny what one list names."""
    entries = {kind: tuple(each) for kind, each in listed.items()}
    return core.Policies(policies.image(plan_with(options.Entries(**entries))))


def plan_with(entries: options.Entries) -> Plan:
    plan = config.load(None)
    denying = options.Policy(mode="enforce", deny=("it",))
    return Plan(None, plan.fixed, plan.model, (), {"default": denying}, {"it": entries})
