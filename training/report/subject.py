"""subject.py - what a report is about: labelled rows, a margin for each, and the model whose threshold applies.

Two ways lead here. Fitted: margins are out of fold, as training.fit makes them; the model is the one that is exported.
Judged: margins are those of a model that is there already, and nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sidecar import core
from sidecar.errors import XbotError
from training import fit
from training.dataset import Dataset, How
from training.labels import Labels
from training.report.rereading import labelled_rows

# Beyond these a score is 1, or nearly the smallest number there is: no threshold can tell rows apart.
MOST_LOG_ODDS, LEAST_LOG_ODDS = 37.5, -700.0

# The groups of core.GROUPS, for people.
PARTS = {
    "ip": "the address", "ua": "the user agent", "referrer": "the referrer", "url": "the path", "headers": "the headers",
    "client": "what the client did before", "tls": "the handshake",
}  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """Rows, margins and model. `name`: the model file, as a person would type it; `fitted` is None where an existing
    model judges. `labels`: of a file, with the reasons; None where the logs hold them."""

    data: Dataset
    how: How
    logs: tuple[str, ...]
    labels: Labels | None
    model: core.Model
    name: str
    margins: np.ndarray
    settings: fit.Settings
    fitted: fit.Fitted | None = None

    @cached_property
    def scores(self) -> np.ndarray:
        """Each row's score, 0 to 1."""
        return fit.sigmoid(self.margins, self.model.header["a"], self.model.header["b"])

    @cached_property
    def log_odds(self) -> np.ndarray:
        """log(score / (1 - score)), within what scores can tell apart."""
        odds: np.ndarray = -(self.model.header["a"] * self.margins + self.model.header["b"])
        return odds.clip(LEAST_LOG_ODDS, MOST_LOG_ODDS)

    @property
    def called(self) -> np.ndarray:
        """Which rows are called bots: at or above the threshold, as the sidecar does it."""
        called: np.ndarray = self.scores >= self.model.threshold
        return called

    def reasons(self, line: int) -> tuple[str, ...]:
        """Why a line, numbered through all logs, has its label."""
        return self.labels.why(line) if self.labels is not None else ()

    @property
    def bot(self) -> np.ndarray:
        """Which rows are bots by their labels."""
        bot: np.ndarray = self.data.y == 1
        return bot


def judge(
    model: core.Model, name: str, data: Dataset, how: How, logs: tuple[str, ...], labels: Labels | None,
    settings: fit.Settings, fitted: fit.Fitted | None = None, advance: Callable[[int], None] = lambda _: None,
) -> Subject:  # fmt: skip
    """The rows with their margins: out of fold if the model was `fitted` on them, its own if it is from elsewhere.

    XbotError where a class has no row: then there is nothing to tell apart.
    """
    bots, humans = int((data.y == 1).sum()), int((data.y == 0).sum())
    if not bots or not humans:
        missing = "no labelled rows" if not bots + humans else "no bots" if not bots else "only bots, no humans"
        raise XbotError(f"a report needs both classes: {missing} in the log")
    if fitted is not None:
        margins = fitted.margins
    else:
        margins = np.empty(len(data.y))
        for row in labelled_rows(data, how, logs, labels, advance):
            margins[row.number] = model.judge(row.request).margin
    return Subject(data, how, logs, labels, model, name, margins, settings, fitted)
