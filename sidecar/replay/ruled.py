"""What the policies and lists of a configuration do to traffic, counted by policy.

Law: as tally.py, which counts the rest: in memory that does not grow with the log.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sidecar import core
from sidecar.commands.judging import Rules
from sidecar.replay.tally import Judge, Judgement, Top
from sidecar.sources.shown import text

_KEPT = 1000  # clients of a policy, at least
_LONGEST = 160  # characters of an agent


def _top() -> Top:
    return Top(_KEPT)


@dataclass
class OfPolicy:
    """What a policy did. The keys of `refused_most` and `let_by_most` are a reason, an address and an agent, with tabs between."""

    outcomes: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    lists: Counter[tuple[str, str]] = field(default_factory=Counter)  # list, outcome
    refused_most: Top = field(default_factory=_top)
    let_by_most: Top = field(default_factory=_top)

    def add(self, decision: core.Decision, request: core.Request) -> None:
        """Counts a decision on what `request` holds."""
        self.outcomes[decision.outcome] += 1
        self.refused += decision.refuse
        if decision.list is not None:
            self.lists[decision.list, decision.outcome] += 1
        if decision.refuse or decision.list is not None or decision.outcome == "bot":
            fields = request.fields
            ip, agent = text(fields["ip"] or b""), text((fields["agent"] or b"")[:_LONGEST])
            (self.refused_most if decision.refuse else self.let_by_most).add(f"{decision.reason}\t{ip}\t{agent}")


class Ruled(Judge):
    """A model with policies. `policies`: by name, those that decided anything."""

    def __init__(self, model: core.Model, rules: Rules) -> None:
        super().__init__(model)
        self._rules = rules
        self.policies: dict[str, OfPolicy] = {}

    def __call__(self, request: core.Request, logged: bytes | None = None) -> Judgement:
        """`logged`: the policy by which the log says that it was decided."""
        decision = self._rules.decide_again(self.model, request, logged)
        self.policies.setdefault(decision.policy, OfPolicy()).add(decision, request)
        score = self.model.judge(request).score
        return Judgement(decision.refuse, score, decision.reason, decision.outcome == "bot")
