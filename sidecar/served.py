"""What is served: a checked model and checked policies in sealed memory, and what to say about them."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from sidecar import core, memory, model, policies
from sidecar.config import Plan
from sidecar.errors import XbotError


@dataclass(frozen=True)
class Served:
    """One generation: model and policies go together. `fd` holds the model, `policies_fd` the image of the policies,
    `listen_policies` the default policy of each listener. `loaded_at` is Unix time in seconds."""

    generation: int
    path: Path
    fd: int
    policies_fd: int
    listen_policies: tuple[str, ...]
    modes: dict[str, str]  # policy to mode
    sha256: str
    loaded_at: float

    @classmethod
    def load(cls, plan: Plan, generation: int) -> Served:
        """Read and check all that the plan names; XbotError says what is wrong, and nothing is kept."""
        try:
            loaded = model.load(plan.model)
        except XbotError as error:
            raise (plan.wrong("model", str(error)) if plan.names_model else error) from None
        for name, policy in plan.policies.items():
            threshold = loaded.threshold if policy.threshold is None else policy.threshold
            if policy.challenge_above is not None and policy.challenge_above >= threshold:
                why = f"{policy.challenge_above} is not below the threshold, {threshold:.4f}, of {plan.model}"
                raise plan.wrong(f"policies.{name}.challenge_above", why)
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
            loaded_at=time.time(),
        )

    def close(self) -> None:
        """Let go of the memory; workers keep what they mapped."""
        os.close(self.fd)
        os.close(self.policies_fd)

    def labels(self) -> dict[str, str]:
        """Of the model, for the log and the metrics; `sha256` is what sha256sum prints for the file."""
        return {"path": str(self.path), "sha256": self.sha256}
