"""lists.py - two lists of agents that a site could use instead, judged on the same rows; and figures by reason.

Law: a row counts under each of its reasons. A list knows nothing but the agent, so its verdicts are kept by agent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec

from training.label.rules import Agents
from training.label.sets import AgentSet
from training.report.measures import interval
from training.report.rereading import Row

ONE_LINE = "bot|crawl|spider|curl|wget|python|java|http"
PACKAGE = "crawler-user-agents"
AGENTS_KEPT = 1 << 16  # verdicts; then they start afresh


@dataclass(frozen=True)
class AgentList:
    """A list by its name; `is_bot` is None where what it needs is not installed, and `missing` says so."""

    name: str
    what: str
    is_bot: Callable[[str], bool] | None
    missing: str = ""


def agent_lists() -> list[AgentList]:
    """The patterns of the package crawler-user-agents, as it means them (letters with regard to case), and one line."""
    one_line = re.compile(ONE_LINE, re.IGNORECASE).search
    expression = AgentList("one line", f"/{ONE_LINE}/i", lambda agent: one_line(agent) is not None)
    what = f"the patterns of {PACKAGE}"
    if find_spec("crawleruseragents") is None:
        return [AgentList(PACKAGE, what, None, f"not measured: pip install {PACKAGE}"), expression]
    return [
        AgentList(PACKAGE, what, AgentSet(Agents(doc=what, package="crawler-user-agents"), PACKAGE, None)),
        expression,
    ]


@dataclass
class Tally:
    """Rows, and how many of them the model and each list call bots."""

    rows: int = 0
    by_model: int = 0
    by_list: list[int] = field(default_factory=list)

    def add(self, model: bool, lists: tuple[bool | None, ...]) -> None:
        """Counts a row."""
        self.rows += 1
        self.by_model += model
        self.by_list = [n + bool(v) for n, v in zip(self.by_list or [0] * len(lists), lists, strict=True)]


@dataclass(frozen=True)
class Judge:
    """What the model or a list does to all rows. `a_list`: it has no threshold."""

    name: str
    what: str
    caught: int
    bots: int
    refused: int
    humans: int
    a_list: bool = True
    missing: str = ""

    @property
    def recall(self) -> float:
        """The share of bots caught."""
        return self.caught / self.bots

    @property
    def false_positive_rate(self) -> float:
        """The share of humans refused."""
        return self.refused / self.humans

    @property
    def most_false(self) -> float:
        """What the share of humans refused is at most, with 97.5% confidence."""
        return interval(self.refused, self.humans)[1]

    @property
    def precision(self) -> float | None:
        """Of those called bots the share that are; None where none is called so."""
        called = self.caught + self.refused
        return self.caught / called if called else None


class ByReason:
    """Counts rows by label and reason, as the model and the lists judge them."""

    def __init__(self, lists: list[AgentList]) -> None:
        self.lists = lists
        self.all = {True: Tally(), False: Tally()}  # by whether the row is a bot
        self.reasons: dict[tuple[bool, str], Tally] = {}
        self._said: dict[bytes, tuple[bool | None, ...]] = {}

    def add(self, row: Row, bot: bool, called: bool, reasons: tuple[str, ...]) -> None:
        """Counts a labelled row."""
        said = self._of_agent(row.request.fields["agent"] or b"")
        self.all[bot].add(called, said)
        for reason in reasons:
            self.reasons.setdefault((bot, reason), Tally()).add(called, said)

    def _of_agent(self, agent: bytes) -> tuple[bool | None, ...]:
        said = self._said.get(agent)
        if said is None:
            if len(self._said) >= AGENTS_KEPT:
                self._said.clear()
            text = agent.decode("utf-8", "surrogateescape")
            said = self._said[agent] = tuple(None if one.is_bot is None else one.is_bot(text) for one in self.lists)
        return said

    def judges(self, name: str) -> list[Judge]:
        """The model, called `name`, and the lists, over all rows."""
        bots, humans = self.all[True], self.all[False]
        of_model = Judge(name, "", bots.by_model, bots.rows, humans.by_model, humans.rows, a_list=False)
        return [of_model] + [
            Judge(one.name, one.what, bots.by_list[i], bots.rows, humans.by_list[i], humans.rows, missing=one.missing)
            for i, one in enumerate(self.lists)
        ]

    def of_label(self, bot: bool) -> list[tuple[str, Tally]]:
        """(reason, tally) of the rows with this label, the largest first."""
        found = [(reason, tally) for (label, reason), tally in self.reasons.items() if label == bot]
        return sorted(found, key=lambda item: (-item[1].rows, item[0]))
