"""What a gate can do wrong, and what tells it: alarms, each a metric and one line of the log when it begins and when it is over.

Law: they look at sums that workers count anyway, from time to time, and change nothing. None is about a single request: an alarm begins
when its condition has held for BEGINS looks in a row, and is over when it has not for ENDS. What is kept is bounded.

refusals_fell, refusals_leapt   in the hour after a change of what is served (a reload, an upgrade, new lists), the share of requests that
    are refused is none, or LEAP times that of the time before, at most an hour. Shares are compared by the z test of two proportions
    (NIST/SEMATECH e-Handbook of Statistical Methods, 7.3.3), far out: LEAST_Z. Nothing is compared while a mode is set by hand.
drift   the margins of the last hour have another distribution than those of the model's training: the population stability index,
    sum (p - q) ln (p / q) over about ten bins of equal shares, is above 0.25, which is taken for a shift that asks for a new model
    (N. Siddiqi, Credit Risk Scorecards, 2006). Or a whole group of features is known of another share of the requests of the last minutes
    than of the rows of training, by the same index over two bins: a proxy that no longer tells the handshake leaves the margins alike, and
    the model half blind. Only for a model that was trained on logs: xbot's own says nothing of a site's traffic.
people_refused   clients that look like people were refused (csrc/answer.h), PEOPLE of them in an hour, and more than this site is used
    to: programs that drive a browser look so, too, and every site has some. The hour is compared with the day before by the exact test of
    two Poisson rates (J. Przyborowski and H. Wilenski, Biometrika 31, 1940), to RARE. A day of which nothing is known counts as one
    without any, so that what is wrong from the beginning rings, too.
canaries_wrong   the last `xbot check --canary` got a wrong answer.
ranges_old   a list of crawlers' networks is older than it may be (verify/ranges.py).
"""

from __future__ import annotations

import asyncio
import collections
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sidecar import core
from sidecar.config.options import DEFAULT_MODEL
from sidecar.observe.watched import Watched

NAMES = ("refusals_fell", "refusals_leapt", "drift", "people_refused", "canaries_wrong", "ranges_old")
LOOK_SECONDS = 10.0
BEGINS, ENDS = 2, 6  # looks in a row
HOUR = 3600.0
LEAST_REQUESTS, LEAST_REFUSED, LEAP, LEAST_Z = 500, 20, 3.0, 6.0
LEAST_MARGINS, LEAST_TOLD, DRIFTED, STEADY = 2000, 300, 0.25, 0.2
GROUPS = {
    "ip": "addresses",
    "ua": "agents",
    "referrer": "referrers",
    "url": "targets",
    "headers": "headers",
    "tls": "TLS handshakes",
    "client": "what clients did before",
}
PEOPLE, RARE = 3, 1e-3
DAY = 24 * HOUR
_POINT_SECONDS = 60.0  # from one remembered sum to the next
_MOST_DOUBTED = 32


class Sums(NamedTuple):
    """What was counted up to a time of time.monotonic()."""

    at: float
    requests: int = 0
    refused: int = 0
    regretted: int = 0
    margins: tuple[int, ...] = ()


class Doubted(NamedTuple):
    """A decision about a client that looks like a person: when, by time.time(), its id, and whether it was a refusal."""

    at: float
    id: str
    refused: bool


@dataclass
class Alarm:
    """One condition over time. `since` is Unix time while it holds, else None; `says` what it was, at the last look."""

    name: str
    since: float | None = None
    says: str = ""
    streak: int = 0  # looks in a row that say otherwise than `since`

    def look(self, says: str | None, log: Any) -> None:
        """`says` is what is wrong at this look; None: nothing."""
        self.says = says or self.says
        self.streak = self.streak + 1 if (says is None) == (self.since is not None) else 0
        if self.streak < (BEGINS if self.since is None else ENDS):
            return
        self.streak = 0
        if self.since is None:
            self.since = time.time()
            log.warning("alarm", alarm=self.name, says=self.says)
        else:
            log.info("alarm over", alarm=self.name, seconds=passed(self.since))
            self.since = None


class Alarms:
    """Of one master. Everything but `watch` may be called from any thread."""

    def __init__(self, master: Watched, log: Any) -> None:
        self._master, self.log = master, log
        self.alarms = {name: Alarm(name) for name in NAMES}
        self.doubted: tuple[Doubted, ...] = ()  # the last ones
        self.canaries: Canaries | None = None
        self.drift: float | None = None  # the index, where it can be told
        self._points: collections.deque[Sums] = collections.deque(
            [Sums(0.0)]
        )  # the sums of the last hour, and before it
        self._hours: collections.deque[Sums] = collections.deque(
            maxlen=round(DAY / HOUR) + 1
        )  # likewise of the last day, by hour
        self._generation = -1
        self._before: Sums | None = None  # of the time before what is served now was served: the difference of two sums
        self._changed = Sums(0.0)  # when it began to be served

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(LOOK_SECONDS)

    def take(self, records: Sequence[core.Recorded], models: object) -> None:  # noqa: ARG002 -- as all takers (decisions/reader.py)
        """What any host decided: the clients in doubt are kept. For the thread that reads decisions."""
        found = [Doubted(one.time / 1e9, one.id, one.doubt == "regretted") for one in records if one.doubt != "none"]
        self.doubted = (*self.doubted, *found)[-_MOST_DOUBTED:]

    def ran(self, right: int, wrong: Sequence[str]) -> None:
        """Canaries were sent, and so many got the right answer, and these the wrong one. That counts at once."""
        self.canaries = Canaries(time.time(), right, tuple(wrong))
        alarm, says = self.alarms["canaries_wrong"], self._canaries()
        alarm.streak = BEGINS if alarm.since is None else ENDS
        alarm.look(says, self.log)

    def told(self) -> dict[str, Any]:
        """For the operator: the alarms that hold, the last clients in doubt, and the last canaries."""
        return {
            "alarms": [
                {"alarm": each.name, "seconds": passed(each.since), "says": each.says}
                for each in self.alarms.values()
                if each.since is not None
            ],
            "doubted": [{"id": each.id, "refused": each.refused, "seconds": passed(each.at)} for each in self.doubted],
            "canaries": self.canaries
            and {
                "seconds": passed(self.canaries.at),
                "right": self.canaries.right,
                "wrong": list(self.canaries.wrong),
            },
        }

    def look(self, now: float) -> None:
        """At the sums as they are now."""
        total, served = self._master.board.total(), self._master.served
        sums = Sums(now, total["requests"], total["refused"], total["regretted"], tuple(total["margin"]))
        if served.generation != self._generation:
            self._before = None if self._generation < 0 and not sums.requests else less(sums, self._points[0])
            self._changed, self._generation = sums, served.generation
        if now - self._points[-1].at >= _POINT_SECONDS:
            self._points.append(sums)
            while len(self._points) > 1 and self._points[1].at <= now - HOUR:
                self._points.popleft()
        if not self._hours or now - self._hours[-1].at >= HOUR:
            self._hours.append(sums)
        fell, leapt = self._refusals(sums)
        conditions = {
            "refusals_fell": fell,
            "refusals_leapt": leapt,
            "drift": self._drift(sums),
            "people_refused": self._people(sums),
            "canaries_wrong": self._canaries(),
            "ranges_old": self._ranges(),
        }
        for name, says in conditions.items():
            self.alarms[name].look(says, self.log)

    def _refusals(self, sums: Sums) -> tuple[str | None, str | None]:
        """What is wrong with the share that is refused since the last change: (it fell to none, it leapt)."""
        after, before = less(sums, self._changed), self._before
        if before is None or after.at > HOUR or self._master.board.wheel.said()[0]:
            return None, None
        if min(before.requests, after.requests) < LEAST_REQUESTS:
            return None, None
        was, now = before.refused / before.requests, after.refused / after.requests
        said = f"{now:.2%} of requests are refused since what is served changed, {was:.2%} were before"
        enforces = "enforce" in self._master.served.modes.values()
        fell = enforces and not after.refused and was * after.requests >= LEAST_REFUSED
        leapt = now > LEAP * was and after.refused >= LEAST_REFUSED and z_of_shares(before, after) > LEAST_Z
        return said if fell else None, said if leapt else None

    def _drift(self, sums: Sums) -> str | None:
        served = self._master.served
        first = max(self._points[0], self._changed, key=lambda each: each.at)
        margins = less(sums, first).margins
        known = served.margins if served.path != DEFAULT_MODEL else None
        enough = known is not None and sum(margins) >= LEAST_MARGINS
        self.drift = stability(known, margins) if known is not None and enough else None
        bound = STEADY if self.alarms["drift"].since is not None else DRIFTED
        wrong = [self._untold(bound)] if known is not None else []
        if self.drift is not None and self.drift > bound:
            wrong.append(f"margins are spread otherwise than in training: stability index {self.drift:.2f}")
        said = "; ".join(filter(None, wrong))
        return f"{said}; mend what tells it, or train a new model" if said else None

    def _untold(self, bound: float) -> str:
        """Which groups of features are known of another share of requests than in training; empty: none is."""
        number, told = self._master.feed.told()
        if number < LEAST_TOLD:
            return ""
        moved = []
        for name, share in self._master.served.told.items():
            now = told.get(name, 0.0)
            if stability_of_shares(share, now) > bound:
                moved.append(f"{GROUPS[name]} are known of {now:.0%} of requests, of {share:.0%} in training")
        return "; ".join(moved)

    def _people(self, sums: Sums) -> str | None:
        first = next(point for point in self._points if point.at)  # the first look leaves one
        found, before = less(sums, first).regretted, less(first, self._hours[0])
        usual = before.regretted / max(1.0, before.at / HOUR)
        if found < PEOPLE or chance_of_more(found, before.regretted, HOUR / (HOUR + max(DAY, before.at))) > RARE:
            return None
        return f"{found} clients that look like people were refused within an hour, {usual:.1f} are usual"

    def _canaries(self) -> str | None:
        if self.canaries is None or not self.canaries.wrong:
            return None
        return f"canaries got the wrong answer: {', '.join(self.canaries.wrong)}"

    def _ranges(self) -> str | None:
        days, old = self._master.served.old_lists()
        return f"lists of networks are {days} days old or more: {', '.join(old)}" if old else None


class Canaries(NamedTuple):
    """The last run: when, by time.time(), how many got the right answer, and the names of those that did not."""

    at: float
    right: int
    wrong: tuple[str, ...]


def passed(since: float) -> int:
    """Whole seconds since a Unix time; none where the clock was set back meanwhile."""
    return max(0, round(time.time() - since))


def less(now: Sums, then: Sums) -> Sums:
    """What was counted between the two; its `at` is how long that took. Never below 0: counters may have begun anew."""
    since = then.margins or (0,) * len(now.margins)
    margins = tuple(max(0, a - b) for a, b in zip(now.margins, since, strict=True))
    requests, refused = max(0, now.requests - then.requests), max(0, now.refused - then.refused)
    return Sums(now.at - then.at, requests, refused, max(0, now.regretted - then.regretted), margins)


def z_of_shares(before: Sums, after: Sums) -> float:
    """How many standard deviations the later share of refusals lies above the earlier one, were both the same."""
    both = (before.refused + after.refused) / (before.requests + after.requests)
    spread = math.sqrt(both * (1 - both) * (1 / before.requests + 1 / after.requests))
    gap = after.refused / after.requests - before.refused / before.requests
    return gap / spread if spread else 0.0


def chance_of_more(now: int, before: int, share: float) -> float:
    """How likely `now` events or more of all these fall into the last `share` of the time, were their rate the same all the while."""
    n = now + before
    if now <= n * share:
        return 1.0
    odds, log = math.log(share) - math.log1p(-share), n * math.log1p(-share) + math.lgamma(n + 1)
    total = 0.0
    for k in range(now, n + 1):  # they fall from the first on
        one = math.exp(log + k * odds - math.lgamma(k + 1) - math.lgamma(n - k + 1))
        total += one
        if one < total * 1e-9:
            break
    return min(1.0, total)


def stability(expected: Sequence[float], found: Sequence[float], bins: int = 10) -> float:
    """The population stability index of two histograms of the same buckets, which are joined until each holds about 1 of `bins` of what
    was expected. Half a count more in each keeps it finite."""
    joined: list[list[float]] = [[0.0, 0.0]]
    for a, b in zip(expected, found, strict=True):
        if joined[-1][0] >= sum(expected) / bins:
            joined.append([0.0, 0.0])
        joined[-1][0] += a
        joined[-1][1] += b
    all_a, all_b = (sum(column) + 0.5 * len(joined) for column in zip(*joined, strict=True))
    shares = [((a + 0.5) / all_a, (b + 0.5) / all_b) for a, b in joined]
    return math.fsum((p - q) * math.log(p / q) for q, p in shares)


def stability_of_shares(expected: float, found: float) -> float:
    """The same of two bins: a share, and what is left to one. Shares are kept off 0 and 1: where all were expected, seven in a hundred are
    the least that counts."""
    p, q = (min(max(share, 0.002), 0.998) for share in (found, expected))
    return (p - q) * math.log(p / q) + (q - p) * math.log((1 - p) / (1 - q))
