"""measures.py - from margins and labels to figures: every threshold there is, histogram, calibration, bounds.

Law: arrays in, numbers out; no file, no drawing. Counts are of rows (requests).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta
from sklearn.metrics import brier_score_loss

from training import fit, proven
from training.report.subject import LEAST_LOG_ODDS, MOST_LOG_ODDS, Subject

BINS = 10  # of the calibration
# Shares of humans refused that the table of thresholds shows.
BUDGETS = (0.0, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def length_text(seconds: float) -> str:
    """How long a log is, by the unit that tells it: minutes, hours, days."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def share_text(share: float) -> str:
    """A share in percent, with as many digits as it needs: 0.33%, 12%, 99.94%."""
    percent = 100 * share
    if percent in (0, 100):
        return f"{percent:.0f}%"
    edge = max(min(percent, 100 - percent), 1e-6)
    digits = 0 if edge >= 10 else (1 if percent < 50 else 0) - math.floor(math.log10(edge))
    text = f"{percent:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"


@dataclass(frozen=True)
class Cuts:
    """All thresholds that differ, from the one that refuses nobody to the one that refuses all. `log_odds`: midway
    between the rows on both sides; `caught` bots and `refused` humans, by count, of `bots` and `humans`."""

    log_odds: np.ndarray
    caught: np.ndarray
    refused: np.ndarray
    bots: int
    humans: int

    @property
    def score(self) -> np.ndarray:
        """The thresholds as scores."""
        return fit.sigmoid(self.log_odds, -1.0, 0.0)

    @property
    def recall(self) -> np.ndarray:
        """The share of bots caught."""
        share: np.ndarray = self.caught / self.bots
        return share

    @property
    def false_positive_rate(self) -> np.ndarray:
        """The share of humans refused."""
        share: np.ndarray = self.refused / self.humans
        return share

    @property
    def precision(self) -> np.ndarray:
        """Of those called bots the share that are; 1 where none is called so."""
        called = self.caught + self.refused
        share: np.ndarray = np.where(called > 0, self.caught / np.maximum(called, 1), 1.0)
        return share

    def doing(self, caught: int, refused: int) -> int:
        """The place of the cut that does just this."""
        return int(np.flatnonzero((self.caught == caught) & (self.refused == refused))[0])

    def within(self, budget: float) -> int:
        """The place of the cut that catches the most bots and refuses at most this share of the humans."""
        allowed = self.refused <= int(budget * self.humans)
        return int(np.flatnonzero(allowed & (self.caught == self.caught[allowed].max()))[0])


def cuts(log_odds: np.ndarray, bot: np.ndarray) -> Cuts:
    """Every threshold on these rows."""
    order = np.argsort(-log_odds, kind="stable")
    sorted_odds, bots = log_odds[order], np.cumsum(bot[order])
    humans = np.arange(1, len(order) + 1) - bots
    last = np.append(np.flatnonzero(np.diff(sorted_odds)), len(order) - 1)  # of those with equal log-odds
    above = sorted_odds[last]
    below = np.append(above[1:], above[-1] - 1.0)
    return Cuts(
        log_odds=np.concatenate([[above[0] + 1.0], (above + below) / 2]),
        caught=np.concatenate([[0], bots[last]]),
        refused=np.concatenate([[0], humans[last]]),
        bots=int(bots[-1]),
        humans=int(humans[-1]),
    )


def figures(subject: Subject) -> fit.Figures:
    """Counts and rates at the model's threshold, by the scores, as they are served."""
    called = subject.called
    lowest = float(subject.margins[called].min()) if called.any() else np.inf
    return fit.figures(subject.margins, subject.data.y, lowest)


def threshold_log_odds(subject: Subject) -> float:
    """The model's threshold as log-odds."""
    threshold = subject.model.threshold
    if not 0.0 < threshold < 1.0:
        return MOST_LOG_ODDS if threshold >= 1.0 else LEAST_LOG_ODDS
    return float(np.log(threshold / (1.0 - threshold)))


def interval(part: int, whole: int, confidence: float = 0.95) -> tuple[float, float]:
    """Where the true share lies, by Clopper and Pearson ("The use of confidence or fiducial limits", 1934)."""
    tail = (1 - confidence) / 2
    low = 0.0 if part == 0 else float(beta.ppf(tail, part, whole - part + 1))
    high = 1.0 if part == whole else float(beta.ppf(1 - tail, part + 1, whole - part))
    return low, high


@dataclass(frozen=True)
class RefusedClients:
    """Clients of a class: all, and those of whose requests of this class some, or every one, is called a bot's."""

    all: int
    some: int
    every: int


def refused_clients(subject: Subject, label: int) -> RefusedClients:
    """Counts clients with a known address."""
    rows = np.flatnonzero((subject.data.y == label) & (subject.data.client != 0))
    _, place, requests = np.unique(subject.data.client[rows], return_inverse=True, return_counts=True)
    called = np.bincount(place, weights=subject.called[rows], minlength=len(requests))
    return RefusedClients(len(requests), int((called > 0).sum()), int((called == requests).sum()))


@dataclass(frozen=True)
class ProvenClients:
    """Proven clients (training.proven): all, those of whom some request is called a bot's, and the threshold at which at most
    `share` of them would be refused, None where they are too few to say."""

    all: int
    refused: int
    share: float
    threshold: float | None


def proven_clients(subject: Subject) -> ProvenClients:
    """How the model does on them, whatever their labels."""
    known, most = subject.data.known, subject.settings.max_clients
    found = proven.of_rows(subject.data, subject.margins, most)
    refused = 0 if known is None else np.intersect1d(known.who[subject.called], proven.clients_of(subject.data)).size
    header = subject.model.header
    wanted = (
        None if np.isnan(found.threshold) else float(fit.sigmoid(np.array(found.threshold), header["a"], header["b"]))
    )
    return ProvenClients(found.clients, int(refused), most, wanted)


@dataclass(frozen=True)
class Bin:
    """Rows whose scores lie in one tenth: their mean score, how many, how many are bots, and where the share lies."""

    score: float
    rows: int
    bots: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The share of bots."""
        return self.bots / self.rows


def calibration(subject: Subject) -> tuple[list[Bin], float]:
    """(bins, Brier score): does a score of 0.9 mean that nine of ten are bots? The Brier score is the mean of
    (score - label)², 0 at best."""
    place = np.minimum((subject.scores * BINS).astype(int), BINS - 1)
    bins = []
    for number in range(BINS):
        rows = np.flatnonzero(place == number)
        if len(rows):
            bots = int(subject.bot[rows].sum())
            low, high = interval(bots, len(rows))
            bins.append(Bin(float(subject.scores[rows].mean()), len(rows), bots, low, high))
    return bins, float(brier_score_loss(subject.data.y, subject.scores))


@dataclass(frozen=True)
class Rate:
    """What a site gets: requests a day, and the share of them that is human, by the labels. `said`: how it is known."""

    requests: float
    human_share: float
    said: str

    def a_day(self, share_of_humans: float) -> float:
        """How many human requests a day that share is."""
        return self.requests * self.human_share * share_of_humans


def choose(all_cuts: Cuts, budgets: tuple[float, ...] = BUDGETS) -> list[tuple[float, int]]:
    """(budget, place) for each budget that catches more than the one before."""
    rows: list[tuple[float, int]] = []
    for budget in budgets:
        place = all_cuts.within(budget)
        if not rows or all_cuts.caught[place] > all_cuts.caught[rows[-1][1]]:
            rows.append((budget, place))
    return rows


def thinned(all_cuts: Cuts, keep: tuple[int, ...] = (), most: int = 240) -> np.ndarray:
    """Places of cuts for a slider: close where few humans are refused, then even in both shares; `keep` stays."""
    humans, bots = all_cuts.humans, all_cuts.bots
    refused = np.unique(np.round(np.geomspace(1, max(humans, 1), most // 2)).astype(int) - 1)
    places = {*keep, 0, len(all_cuts.log_odds) - 1}
    # Just before one more human is refused is the best place of its kind.
    places |= {int(np.searchsorted(all_cuts.refused, n, side="right")) - 1 for n in refused}
    caught = np.unique(np.linspace(0, bots, most // 2).astype(int))
    places |= {int(np.searchsorted(all_cuts.caught, n, side="left")) for n in caught}
    return np.array(sorted(place for place in places if place < len(all_cuts.log_odds)))
