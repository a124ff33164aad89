"""What is served: a checked model and checked policies in sealed memory, and what to say about them."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from sidecar import core, model
from sidecar.board import memory
from sidecar.config import config, policies
from sidecar.config.config import Plan
from sidecar.errors import RefusedModelError, XbotError


@dataclass(frozen=True)
class Served:
    """One generation: model and policies go together. `fd` holds the model, `policies_fd` the image of the policies,
    `listen_policies` the default policy of each listener. `loaded_at` is Unix time in seconds. `refused`: why the model that
    was asked for could not be used, where the default model is served in its place; else None."""

    generation: int
    path: Path
    fd: int
    policies_fd: int
    listen_policies: tuple[str, ...]
    modes: dict[str, str]  # policy to mode
    sha256: str
    search_engines: bool  # whether the list that comes with xbot is in use
    loaded_at: float
    refused: str | None = None

    @classmethod
    def load(cls, plan: Plan, generation: int) -> Served:
        """Read and check all that the plan names; XbotError says what is wrong, and nothing is kept."""
        try:
            loaded = model.load(plan.model)
        except XbotError as error:
            if plan.names_model:
                raise type(error)(str(plan.wrong("model", str(error)))) from None
            raise
        for name, policy in plan.policies.items():
            threshold = loaded.threshold if policy.threshold is None else policy.threshold
            if policy.suspect_above is not None and policy.suspect_above >= threshold:
                why = f"{policy.suspect_above} is not below the threshold, {threshold:.4f}, of {plan.model}"
                raise plan.wrong(f"policies.{name}.suspect_above", why)
        image = policies.image(plan)
        core.Policies(image)
        fd = memory.sealed("xbot-model", loaded.data)
        try:
            policies_fd = memory.sealed("xbot-policies", image)
        except BaseException:
            os.close(fd)
            raise
        return cls(
            generation=generation,
            path=plan.model,
            fd=fd,
            policies_fd=policies_fd,
            listen_policies=plan.listen_policies,
            modes={name: policy.mode for name, policy in plan.policies.items()},
            sha256=hashlib.sha256(loaded.data).hexdigest(),
            search_engines=config.uses_our_search_engines(plan),
            loaded_at=time.time(),
        )

    @classmethod
    def at_start(cls, plan: Plan) -> Served:
        """As `load`, but where the model is refused it is the default model, and nobody is refused by any policy: a site
        without a sidecar is worse off than one that is told what the default model thinks."""
        try:
            return cls.load(plan, 1)
        except RefusedModelError as error:
            if plan.model == config.DEFAULT_MODEL:
                raise
            # Thresholds are of the model that they were chosen for.
            meek = {"mode": "observe", "threshold": None, "suspect_above": None}
            tame = {name: msgspec.structs.replace(each, **meek) for name, each in plan.policies.items()}
            there = replace(plan, model=config.DEFAULT_MODEL, names_model=False, policies=tame)
            return replace(cls.load(there, 1), refused=str(error))

    @property
    def instead(self) -> str:
        """What is served where the model was refused."""
        return "the default model, and every policy observes"

    def close(self) -> None:
        """Let go of the memory; workers keep what they mapped."""
        os.close(self.fd)
        os.close(self.policies_fd)

    def labels(self) -> dict[str, str]:
        """Of the model, for the log and the metrics; `sha256` is what sha256sum prints for the file."""
        return {"path": str(self.path), "sha256": self.sha256}
