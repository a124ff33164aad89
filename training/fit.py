"""Fitting: scale, a linear machine, calibration and threshold, all judged on clients that were not fitted.

Law: scikit-learn fits, nothing here re-implements it; training.bounded is the one machine that it lacks. Margins for
calibration, threshold and figures are out of fold: each row's comes from a machine that was fitted without any row of its
client; the exported machine is fitted on all (scikit-learn calls it `CalibratedClassifierCV(ensemble=False)`, which keeps
the margins to itself, and the threshold needs them).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from sidecar import core
from sidecar.errors import XbotError
from sidecar.proven import Proven
from training import behaviour, proven
from training.bounded import BoundedSVC
from training.bounds import Bounds, Scale
from training.dataset import Dataset, How
from training.linear import margins_of
from training.start import Start

FOLDS = 5
LEAST_WORD = 20  # rows that must hold a word before bounded evidence gives it a weight
LEAST_ROWS = 10  # of each class: two in every fold
DUAL = 0.1  # the largest C for which the dual problem is the quicker one
BEHAVIOUR = tuple(i for i, row in enumerate(core.FEATURES) if row.group == "client")
CALIBRATED = 200_000  # rows that two numbers are fitted on
Kind = Literal["svm", "logistic", "nb"]
KINDS: tuple[Kind, ...] = ("svm", "logistic", "nb")
Evidence = Literal["free", "bounded"]
# How much any one thing may speak for a human under bounded evidence, as a margin. Words are many: of a hundredth each, 64
# in one path freed a ninth of the bots that were caught.
TRIFLE = 0.0
# How much a word of a path may speak for a bot then. Scanners ask for /config and /sdk because sites have them: a weight of 1.4,
# which the fit would take, refused every browser that opened one. Two such words are no verdict either; /wp-login.php has three.
PATH_WORD = 0.6


@dataclass(frozen=True)
class Settings:
    """What is fitted. `max_fpr`: the most humans that may be called bots, by share of their requests; `fit_rows`: the
    most rows that are fitted (a sample; all rows are judged); `split`: what is held out together; `evidence`: bounded where
    no feature and no word may speak for a human by more than TRIFLE (svm only); `last`: features that are fitted when all
    others have their weights, so that where they are absent nothing depends on them (bounded evidence only); those of
    clients after the others; `start`: a model whose weights are kept but for what these rows add to them (svm only);
    `max_clients`: the most of proven clients, and of people's in sessions, that may be refused."""

    kind: Kind = "svm"
    evidence: Evidence = "free"
    C: float = 0.01
    max_fpr: float = 0.001
    seed: int = 0
    fit_rows: int = 200_000
    split: Literal["client", "row"] = "client"
    last: tuple[str, ...] = ()
    max_clients: float = 0.005
    start: Start | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for provenance; of a model to start from its name and digest."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        return said | {"start": self.start and {"name": self.start.name, "sha256": self.start.sha256}}

    def over(self, how: How) -> Settings:
        """The settings of a fit on rows that are made so."""
        return self if self.start is None else replace(self, start=self.start.over(how))

    @property
    def last_columns(self) -> tuple[int, ...]:
        """Where they stand in the matrix."""
        return tuple(i for i, row in enumerate(core.FEATURES) if row.name in self.last)

    @property
    def last_in_turn(self) -> tuple[tuple[int, ...], ...]:
        """The same in the sets that are fitted one after the other: a request with a handshake and without a past is judged as if
        there were none."""
        past = tuple(i for i in self.last_columns if core.FEATURES[i].group == "client")
        return tuple(filter(None, (tuple(i for i in self.last_columns if i not in past), past)))

    @property
    def steps(self) -> int:
        """Machines that `fit` fits: one for each fold, and that which is exported; free ones to compare bounded ones with."""
        return FOLDS + 1 + FOLDS * (self.evidence == "bounded")


@dataclass(frozen=True)
class Figures:
    """How the machine did on rows that it was not fitted on, at the threshold."""

    true_bots: int  # bots called bots
    missed_bots: int
    true_humans: int
    false_bots: int  # humans called bots
    precision: float
    recall: float
    false_positive_rate: float
    accuracy: float
    roc_auc: float
    average_precision: float

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for provenance."""
        return asdict(self)


@dataclass(frozen=True)
class Behaviour:
    """What sessions taught, by clients (addresses) that were not fitted: `share` of the weights that is left, people's clients and
    programs', and of whom some request is called a bot's, without behaviour and with it."""

    share: float
    people: int
    people_refused: int
    people_refused_bare: int
    programs: int
    programs_caught: int
    programs_caught_bare: int


@dataclass(frozen=True)
class Fitted:
    """The pipeline, its calibration (score = 1 / (1 + exp(a * margin + b))), threshold (of the score) and figures.

    `margins`: each row's, out of fold; `split`: "client", or "row" where there are too few clients to split by; `free`:
    what free evidence would have given on the same folds, where it is bounded; `behaviour`: what sessions taught; `proven`: what
    proven clients say; `bounds`: the scores between which they may move the threshold."""

    pipeline: Pipeline
    a: float
    b: float
    threshold: float
    figures: Figures
    margins: np.ndarray
    split: str
    converged: bool
    free: Figures | None = None
    start: Start | None = None
    behaviour: Behaviour | None = None
    proven: Proven | None = None
    bounds: tuple[float, float] | None = None

    def scores(self) -> np.ndarray:
        """The score of each row, out of fold."""
        return sigmoid(self.margins, self.a, self.b)


def sigmoid(margins: np.ndarray, a: float, b: float) -> np.ndarray:
    """1 / (1 + exp(a * margin + b)), as csrc/model/scorer.c computes it."""
    with np.errstate(over="ignore"):  # exp() may reach infinity, and then the score is 0
        scores: np.ndarray = 1.0 / (1.0 + np.exp(a * margins + b))
    return scores


def _to_array(X: scipy.sparse.csr_matrix) -> np.ndarray:
    dense: np.ndarray = X.astype(np.float64).toarray()
    return dense


def make_machine(settings: Settings, trifle: float = TRIFLE, of_paths: np.ndarray | None = None) -> Pipeline:
    """The pipeline over the columns of training.dataset: dense ones bounded and scaled, absent values at what adds nothing;
    buckets as they are; a machine whose decision is linear in them, and deterministic. `trifle` bounds it, if evidence is
    bounded, and PATH_WORD the columns `of_paths`.

    Naive Bayes counts, so its columns must not be negative: they are scaled to 0..1 instead.
    """
    dense = len(core.FEATURES)
    last, start = settings.last_columns, settings.start
    scale = make_pipeline(
        FunctionTransformer(_to_array, accept_sparse=True),  # a copy, which the next three may write into
        Bounds(start=start),
        MinMaxScaler(copy=False) if settings.kind == "nb" else Scale(copy=False, last=last, start=start),
        SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True, copy=False),
    )
    columns = ColumnTransformer(
        [("dense", scale, slice(0, dense)), ("words", "passthrough", slice(dense, None))], sparse_threshold=1.0
    )
    machine: BoundedSVC | LinearSVC | LogisticRegression | MultinomialNB
    if settings.kind == "svm" and settings.evidence == "bounded":
        machine = BoundedSVC(
            C=settings.C,
            most_against=trifle,
            most_for=np.inf if of_paths is None or trifle == np.inf else np.where(of_paths, PATH_WORD, np.inf),
            least_rows=LEAST_WORD,
            last=settings.last_in_turn,
            start=start,
        )
    elif settings.kind == "svm" and start is not None:
        machine = BoundedSVC(C=settings.C, most_against=np.inf, start=start)
    elif settings.kind == "svm":
        # One problem, two ways to its solution. By coordinates of the dual it is found several times as fast, and nearer,
        # as long as C is small; with a large one that takes ever more rounds. bench/solvers.py measures both.
        dual = settings.C <= DUAL
        machine = LinearSVC(
            C=settings.C, dual=dual, tol=0.1 if dual else 1e-3, max_iter=1000, random_state=settings.seed
        )
    elif settings.kind == "logistic":
        machine = LogisticRegression(C=settings.C, solver="newton-cg", tol=1e-4, max_iter=1000)
    else:
        machine = MultinomialNB(alpha=1.0 / settings.C, fit_prior=False)
    return Pipeline([("columns", columns), ("machine", machine)])


def row_weights(y: np.ndarray, client: np.ndarray) -> np.ndarray:
    """How much each row counts: a client with n rows as sqrt(n), so that one loud address does not decide; then both
    classes alike. The mean is 1. Rows of unknown clients (0) count as clients of their own."""
    _, inverse, counts = np.unique(client, return_inverse=True, return_counts=True)
    return _balanced(np.where(client == 0, 1.0, 1.0 / np.sqrt(counts)[inverse]), y)


def _balanced(weight: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The weights, scaled so that both classes count alike and the mean is 1."""
    for label in (0, 1):
        weight[y == label] /= max(weight[y == label].sum(), 1e-300)
    scaled: np.ndarray = weight * len(y) / 2.0
    return scaled


def sample(weight: np.ndarray, client: np.ndarray, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(`most` of the rows, in order; the share with which each was drawn): the heavier a row the surer, so that loud
    clients lose the most. Systematic through the rows sorted by client: each client keeps its share to within a row."""
    share = np.minimum(1.0, weight * (most / weight.sum()))
    for _ in range(100):  # what is sure to be drawn leaves room for the others
        rest = share < 1.0
        room = (most - np.count_nonzero(~rest)) / max(share[rest].sum(), 1e-300)
        if room <= 1.0 + 1e-9:
            break
        share[rest] = np.minimum(1.0, share[rest] * room)
    order = np.argsort(client, kind="stable")
    through = np.floor(np.cumsum(share[order]) + np.random.default_rng(seed).random())
    rows = np.sort(order[np.diff(through, prepend=0.0) > 0])
    return rows, share[rows]


def check_classes(y: np.ndarray) -> None:
    """XbotError unless both classes have rows enough to fit and to hold out."""
    bots, humans = int((y == 1).sum()), int((y == 0).sum())
    if not bots or not humans:
        missing = "no labelled rows" if not bots + humans else "no bots" if not bots else "only bots, no humans"
        raise XbotError(f"training needs both classes: {missing} in the log")
    if min(bots, humans) < LEAST_ROWS:
        raise XbotError(f"training needs at least {LEAST_ROWS} rows of each class: {bots} bots, {humans} humans")


def _mixed(client: np.ndarray, seed: int) -> np.ndarray:
    """A number for each client, in another order for each seed (the finaliser of splitmix64)."""
    x = client ^ np.uint64((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF)
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed


def folds_of(data: Dataset, settings: Settings) -> tuple[np.ndarray, str]:
    """The fold of each row, 0 to FOLDS - 1, and what was split by: clients, or rows where a class has too few clients.

    All rows of a client are in one fold: a row-wise split is optimistic, as the same client stands on both sides.
    """
    unknown = data.client == 0
    client = np.where(unknown, np.arange(1, len(data.y) + 1, dtype=np.uint64), data.client)
    fold = (_mixed(client, settings.seed) % np.uint64(FOLDS)).astype(np.int8)
    enough = all(len(np.unique(fold[data.y == label])) == FOLDS for label in (0, 1))
    if settings.split == "client" and enough:
        return fold, "client"
    fold = np.empty(len(data.y), dtype=np.int8)
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=settings.seed)
    for number, (_, held_out) in enumerate(splitter.split(np.zeros(len(data.y)), data.y)):
        fold[held_out] = number
    return fold, "row"


def _fit_rows(data: Dataset, rows: np.ndarray, settings: Settings, trifle: float = TRIFLE) -> Pipeline:
    """A machine fitted on these rows, or on a sample of them if they are more than settings.fit_rows."""
    weight = row_weights(data.y[rows], data.client[rows])
    if len(rows) > settings.fit_rows:
        drawn, share = sample(weight, data.client[rows], settings.fit_rows, settings.seed)
        rows = rows[drawn]
        weight = _balanced(weight[drawn] / share, data.y[rows])  # as much as those that it stands for
    machine = make_machine(settings, trifle, data.columns_of("url_word"))
    return machine.fit(data.X[rows], data.y[rows], machine__sample_weight=weight)


class Margins(NamedTuple):
    """Of each row: its margin, and what it would be without the features that are fitted last. `machines`: those that gave them,
    by fold."""

    margins: np.ndarray
    bare: np.ndarray
    machines: list[Pipeline]


def out_of_fold(
    data: Dataset,
    fold: np.ndarray,
    settings: Settings,
    advance: Callable[[], None] = lambda: None,
    trifle: float = TRIFLE,
) -> Margins:
    """Each row's margin by a machine that was fitted on the other folds."""
    margins, bare = np.empty(len(data.y)), np.empty(len(data.y))
    machines = []
    for number in range(FOLDS):
        held_out = np.flatnonzero(fold == number)
        machine = _fit_rows(data, np.flatnonzero(fold != number), settings, trifle)
        margins[held_out] = margins_of(machine, data.X, held_out)
        bare[held_out] = (
            margins_of(machine, data.X, held_out, settings.last_columns) if settings.last else margins[held_out]
        )
        machines.append(machine)
        advance()
    return Margins(margins, bare, machines)


def fit(
    data: Dataset,
    settings: Settings,
    advance: Callable[[], None] = lambda: None,
    sessions: Dataset | None = None,
) -> Fitted:
    """Fits, calibrates and chooses the threshold: the most bots caught with at most `max_fpr` of the humans refused, by
    out-of-fold margins. Features that are fitted last have no say in it: where they are absent, nothing changes. `advance` is
    called settings.steps times. Proven clients then move it, within bounds, so that at most `max_clients` of them are refused.
    `sessions`: rows that the group `client` is learned from, and nothing else (bounded evidence only).
    XbotError if a class is missing or the rows cannot be told apart at all."""
    check_classes(data.y)
    fold, split = folds_of(data, settings)
    # One thread of linear algebra: sums in another order would make another file of the same logs.
    with warnings.catch_warnings(record=True) as caught, threadpool_limits(1):
        warnings.simplefilter("always", ConvergenceWarning)
        margins, bare, machines = out_of_fold(data, fold, settings, advance)
        machine = _fit_rows(data, np.arange(len(data.y)), settings)
        advance()
        free = None
        if settings.evidence == "bounded":
            # The same solver without bounds: LinearSVC finds the same, and takes longer where C is large.
            others, bare_others, _ = out_of_fold(data, fold, settings, advance, trifle=np.inf)
            free = figures(others, data.y, choose_threshold(bare_others, data.y, settings.max_fpr))
        threshold = choose_threshold(bare, data.y, settings.max_fpr)
        taught = None if sessions is None else _teach(machine, machines, sessions, threshold, settings)
    room, found = proven.bounds(margins, data.y, threshold), proven.of_rows(data, margins, settings.max_clients)
    threshold = room.hold(found)
    a, b = calibrate(margins, data.y)
    lowest, highest = sigmoid(np.array(room), a, b)
    return Fitted(
        pipeline=machine,
        a=a,
        b=b,
        threshold=float(sigmoid(np.array(threshold), a, b)),
        figures=figures(margins, data.y, threshold),
        margins=margins,
        split=split,
        converged=not any(issubclass(w.category, ConvergenceWarning) for w in caught),
        free=free,
        start=settings.start,
        behaviour=taught,
        proven=found,
        bounds=(float(lowest), float(highest)),
    )


def _teach(
    machine: Pipeline, machines: list[Pipeline], sessions: Dataset, threshold: float, settings: Settings
) -> Behaviour:
    """Teaches `machine` behaviour, as much of it as few people's clients are refused for; `machines`, of the folds, say how many."""
    check_classes(sessions.y)
    fold = (_mixed(sessions.client, settings.seed) % np.uint64(FOLDS)).astype(np.int8)
    bare, added = np.empty(len(fold)), np.empty(len(fold))

    def teach(pupil: Pipeline, rows: np.ndarray) -> None:
        weight = row_weights(sessions.y[rows], sessions.client[rows])
        solver = BoundedSVC(C=settings.C, most_against=TRIFLE, least_rows=LEAST_WORD)
        behaviour.add(pupil, sessions, rows, weight, BEHAVIOUR, solver, threshold)

    for number, pupil in enumerate(machines):
        held_out = np.flatnonzero(fold == number)
        bare[held_out] = margins_of(pupil, sessions.X, held_out)
        teach(pupil, np.flatnonzero(fold != number))
        added[held_out] = margins_of(pupil, sessions.X, held_out) - bare[held_out]
    human = sessions.y == 0
    share = behaviour.largest_share(bare, added, sessions.client, human, threshold, settings.max_clients)
    teach(machine, np.arange(len(fold)))
    behaviour.shrink(machine, BEHAVIOUR, share)

    def clients(margins: np.ndarray, rows: np.ndarray) -> int:
        return len(np.unique(sessions.client[rows & (margins >= threshold)]))

    every = (np.full(len(bare), np.inf), bare + share * added, bare)
    return Behaviour(
        share, *(clients(margins, human) for margins in every), *(clients(margins, ~human) for margins in every)
    )


def calibrate(margins: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Platt's a and b: probability of bot = 1 / (1 + exp(a * margin + b)).

    With Platt's smoothed targets ("Probabilistic Outputs for Support Vector Machines", 1999), so that classes that do
    not overlap give no infinite slope: each row is fitted as both outcomes, weighted by its target.
    """
    if len(y) > CALIBRATED:  # evenly through the sorted margins
        evenly = np.argsort(margins, kind="stable")[:: -(-len(y) // CALIBRATED)]
        margins, y = margins[evenly], y[evenly]
    bots, humans = (y == 1).sum(), (y == 0).sum()
    target = np.where(y == 1, (bots + 1.0) / (bots + 2.0), 1.0 / (humans + 2.0))
    unit = float(np.std(margins)) or 1.0  # margins of naive Bayes run to hundreds; the solver wants ones
    twice = np.concatenate([margins, margins])[:, None] / unit
    outcome = np.concatenate([np.ones(len(y)), np.zeros(len(y))])
    weight = np.concatenate([target, 1.0 - target])
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(twice, outcome, sample_weight=weight)
    slope, offset = float(fitted.coef_[0, 0]) / unit, float(fitted.intercept_[0])
    if slope <= 0:
        raise XbotError("the features do not separate the labels: on held-out rows, bots do not score above humans")
    return -slope, -offset


def choose_threshold(margins: np.ndarray, y: np.ndarray, max_fpr: float) -> float:
    """The margin from which on a row is called a bot.

    As many bots as can be caught while at most max_fpr of the humans are called bots; midway between the lowest bot
    that is caught and what lies next below it.
    """
    humans, bots = np.sort(margins[y == 0])[::-1], margins[y == 1]
    allowed = int(max_fpr * len(humans))
    ceiling = humans[allowed] if allowed < len(humans) else -np.inf
    caught = bots[bots > ceiling]
    if not len(caught):
        return float(np.nextafter(humans[0], np.inf))
    lowest = caught.min()
    below = margins[margins < lowest]
    if not len(below):
        return float(lowest)
    # Between neighbours there is no middle: it would round to the one below.
    return float(max((lowest + below.max()) / 2, np.nextafter(below.max(), lowest)))


def figures(margins: np.ndarray, y: np.ndarray, threshold: float) -> Figures:
    """Counts and rates at a threshold of the margin."""
    called, bot = margins >= threshold, y == 1
    true_bots, false_bots = int((called & bot).sum()), int((called & ~bot).sum())
    missed, true_humans = int((~called & bot).sum()), int((~called & ~bot).sum())
    return Figures(
        true_bots=true_bots,
        missed_bots=missed,
        true_humans=true_humans,
        false_bots=false_bots,
        precision=true_bots / max(1, true_bots + false_bots),
        recall=true_bots / max(1, true_bots + missed),
        false_positive_rate=false_bots / max(1, false_bots + true_humans),
        accuracy=(true_bots + true_humans) / len(y),
        roc_auc=float(roc_auc_score(y, margins)),
        average_precision=float(average_precision_score(y, margins)),
    )


@dataclass(frozen=True)
class Split:
    """The same machine judged by another way of holding rows out. `threshold` is chosen anew on its margins."""

    name: str
    held_out: int
    figures: Figures


def compare_splits(data: Dataset, fitted: Fitted, settings: Settings) -> list[Split]:
    """By client, as fitted; by row, which flatters; and the last fifth by time, clients seen before it left out."""
    splits = [Split(f"by {fitted.split}", len(data.y), fitted.figures)]
    everything = np.arange(len(data.y))
    rng = np.random.default_rng(settings.seed)
    held_out = np.sort(rng.choice(everything, max(1, len(everything) // FOLDS), replace=False))
    splits += _judge_split("by row", data, np.setdiff1d(everything, held_out), held_out, settings)
    if (data.time >= 0).all() and len(np.unique(data.time)) > FOLDS:
        late = data.time > np.quantile(data.time, 1 - 1 / FOLDS)
        new = late & ~np.isin(data.client, data.client[~late])
        splits += _judge_split("by time, new clients", data, np.flatnonzero(~late), np.flatnonzero(new), settings)
    return splits


def _judge_split(name: str, data: Dataset, fitted: np.ndarray, held_out: np.ndarray, settings: Settings) -> list[Split]:
    """The split's figures, or none where either side lacks a class."""
    if min(len(np.unique(data.y[rows])) for rows in (fitted, held_out)) < 2:
        return []
    with threadpool_limits(1):
        margins = margins_of(_fit_rows(data, fitted, settings), data.X, held_out)
    y = data.y[held_out]
    return [Split(name, len(held_out), figures(margins, y, choose_threshold(margins, y, settings.max_fpr)))]
