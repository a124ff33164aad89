"""What the commands judge with: a model, and the policies and lists of a configuration where one is given.

Law: what is said is what csrc/ decides. A log's line decides by no policy but those of the configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from sidecar import core, model
from sidecar.config import config, policies
from sidecar.config.options import DEFAULT_MODEL, DEFAULT_POLICY
from sidecar.config.plan import Overrides, Plan
from sidecar.errors import XbotError
from sidecar.options import MODEL_FILE

F = TypeVar("F", bound=Callable[..., Any])


def judging_options(command: F) -> F:
    """The options --model, --config and --policy."""
    options = (
        click.option(
            "--model",
            "path",
            type=MODEL_FILE,
            metavar="FILE",
            help="The model file; `default` is the one that comes with xbot.  [default: that of --config, else default]",
        ),
        click.option(
            "--config",
            "configuration",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="xbot.toml: decide by its policies and lists, as the sidecar does.",
        ),
        click.option(
            "--policy",
            help="The policy for requests that neither name one nor have a path that belongs to one.  [default: default]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


mode_option = click.option(
    "--mode",
    type=click.Choice(["observe", "enforce"]),
    help="With --config: use this mode for all policies.  [default: the mode of each policy]",
)


@dataclass(frozen=True)
class Rules:
    """The policies and lists of a configuration; `policy` is for requests that ask for none."""

    plan: Plan
    opened: core.Policies
    policy: str

    def decide(self, by: core.Model, request: core.Request) -> core.Decision:
        """By the policy that the request asks for, else by the one that has its path, else by `policy`."""
        return self.opened.decide(by, request, self.policy)

    def decide_again(self, by: core.Model, request: core.Request, logged: bytes | None) -> core.Decision:
        """What these policies do with a request that `logged` decided once. Which policy has its path they say anew; a policy
        that no path leads to was named by the proxy, and is asked for again."""
        named = (logged or b"").decode("ascii", "replace")
        policy = self.plan.policies.get(named)
        request.ask_policy(logged if logged and policy and named != self.policy and not policy.paths else b"")
        return self.decide(by, request)


def clients_for(stateless: bool, *models: core.Model) -> core.Clients | None:
    """The table through which a log is read; None where it is not wanted, or none of the models looks at it."""
    looks = any(each.header["groups"] & core.GROUPS["client"] for each in models)
    return core.Clients() if looks and not stateless else None


def load(
    path: Path | None, configuration: Path | None, policy: str | None, mode: str | None = None
) -> tuple[Path, core.Model, Rules | None]:
    """The model with its path, and the rules where there is a configuration; XbotError if anything is wrong."""
    if configuration is None:
        for option, given in (("--policy", policy), ("--mode", mode)):
            if given is not None:
                raise XbotError(f"{option} needs --config")
        return path or DEFAULT_MODEL, model.load(path or DEFAULT_MODEL), None
    over = Overrides(model=path, mode="enforce" if mode == "enforce" else "observe" if mode else None)
    plan = config.load(configuration, over)
    name = policy or DEFAULT_POLICY
    if name not in plan.policies:
        raise XbotError(f"{configuration}: no policy {name!r}; there are {', '.join(sorted(plan.policies))}")
    return plan.model, model.load(plan.model), Rules(plan, core.Policies(policies.image(plan)), name)


def identifying(rules: Rules | None) -> core.Policies:
    """What tells crawlers: by the lists of the configuration, or by those that come with xbot."""
    return rules.opened if rules is not None else core.Policies(policies.image(config.load(None)))
