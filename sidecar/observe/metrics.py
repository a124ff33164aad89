"""What the counters are called outside: the metrics of a sidecar, in Prometheus' terms.

They are read from the board when somebody asks, and cost a request nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

import sidecar
from sidecar import version
from sidecar.config import search_engines
from sidecar.core import CLOSED, DECIDERS, OUTCOMES
from sidecar.observe.watched import Watched

# Bucket i of the shared histogram ends at 2^(i+1) ns. What lies outside these edges goes to the first one and
# to +Inf.
_FIRST_EDGE, _LAST_EDGE = 8, 30  # 256 ns to 1.07 s
OTHERS = "(others)"  # policies that came when there was no place left to count by; no policy can have this name
_NOTHING = {"decided": [[0] * len(OUTCOMES)] * len(DECIDERS), "refused": [0] * len(DECIDERS)}
_WORKER, _MODULE = "worker", "module"  # the hosts, who judge: the sidecar's workers, and nginx's by its module


class SidecarCollector(Collector):
    """Reads `master` at each scrape; safe in another thread, as it only reads."""

    def __init__(self, master: Watched) -> None:
        self._master = master
        midnight = datetime.datetime.combine(search_engines.date(), datetime.time(), datetime.timezone.utc)
        self._search_engines = midnight.timestamp()

    def describe(self) -> list[Metric]:
        """Nothing beforehand, so that registering reads no counters."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        yield from self._traffic()
        yield from self._clients()
        yield from self._store()
        yield from self._processes()
        yield from self._model()
        yield from self._by_hand()
        yield from self._alarms()
        if (decisions := self._master.decisions) is not None:
            text = "Decisions for the log: written; dropped, for want of memory; capped, as too many; lost, as the file took none"
            records = CounterMetricFamily("xbot_decision_records", text, labels=["result"])
            for result, count in decisions.counts.items():
                records.add_metric([result], count)
            yield records

    def _traffic(self) -> Iterator[Metric]:
        total = self._master.counters.total()
        totals = {_WORKER: total, _MODULE: self._master.board.hosts.total()}
        labels = ["host", "policy", "rule", "verdict"]
        text = "Requests that got a verdict, by the policy and by what decided: the score, or a list"
        requests = CounterMetricFamily("xbot_requests", text, labels=labels)
        refused = CounterMetricFamily(
            "xbot_refused", "Requests answered 403 because the verdict is enforced", labels=labels[:-1]
        )
        text = (
            "Clients that do what people do, and yet were called bots by their score: once each, once more if refused"
        )
        doubted = CounterMetricFamily("xbot_doubted_clients", text, labels=["host", "refused"])
        for host, each in totals.items():
            for policy, rule, counts, turned_away in decided(each, self._master.served.modes):
                for verdict, count in zip(OUTCOMES, counts, strict=True):
                    requests.add_metric([host, policy, rule, verdict], count)
                refused.add_metric([host, policy, rule], turned_away)
            doubted.add_metric([host, "no"], each["doubted"])
            doubted.add_metric([host, "yes"], each["regretted"])
        yield requests
        yield refused
        if self._master.clients is not None:
            yield doubted
        for name, key, text in (
            (
                "xbot_unknown_policy",
                "unknown_policy",
                "Requests for a policy that is not there: the listener's decided",
            ),
            ("xbot_truncated", "truncated", "Request heads past a bound, judged by what fits"),
        ):
            counter = CounterMetricFamily(name, text, labels=["host"])
            for host, each in totals.items():
                counter.add_metric([host], each[key])
            yield counter
        for name, key, text in (
            ("xbot_bad_requests", "bad_request", "Requests with broken framing, answered 400"),
            ("xbot_connections", "connections_total", "Connections accepted"),
            ("xbot_probes", "probes", "Questions of xbot check, which are no requests"),
            ("xbot_asked_again", "asked_again", "Questions answered 428: nginx asks once more and tells the handshake"),
        ):
            yield CounterMetricFamily(name, text, value=sum(each[key] for each in totals.values()))
        files = CounterMetricFamily(
            "xbot_other_files", "Questions by files of nginx of another version", labels=["version"]
        )
        for age in ("older", "newer"):
            files.add_metric([age], total[f"{age}_files"])
        yield files
        lookups = CounterMetricFamily(
            "xbot_lookups", "Addresses looked up in the DNS, by what came of it", labels=["result"]
        )
        for result, count in self._master.lookups.table.counts().items():
            lookups.add_metric([result], count)
        yield lookups
        text = "Connections that the sidecar closed: too slow over a head or its answers, or past a limit"
        closed = CounterMetricFamily("xbot_connections_closed", text, labels=["cause"])
        for cause, count in zip(CLOSED, total["closed"], strict=True):
            closed.add_metric([cause], count)
        yield closed
        seconds = HistogramMetricFamily("xbot_verdict_seconds", "From a head's last byte to its reply being ready")
        seconds.add_metric([], buckets(total["histogram"]), total["sum_ns"] / 1e9)
        yield seconds
        scores = HistogramMetricFamily("xbot_score", "Scores, 0 to 1: how surely a bot", labels=["host"])
        for host, each in totals.items():
            scores.add_metric([host], _by_score(each["score"]), each["sum_score"])
        yield scores

    def _clients(self) -> Iterator[Metric]:
        counts = self._master.clients.counts() if self._master.clients else {}
        if not counts:
            return
        for name, key, text in (
            ("xbot_clients_entries", "entries", "Clients, networks and shapes in the table of what clients did before"),
            ("xbot_clients_places", "places", "How many the table has room for"),
            ("xbot_clients_bytes", "bytes", "Bytes of the table"),
        ):
            yield GaugeMetricFamily(name, text, value=counts[key])
        for name, key, text in (
            ("xbot_clients_replaced", "replaced", "Entries of the table that had to go for others"),
            ("xbot_outcomes", "outcomes", "Messages about what happened to a request"),
            ("xbot_bad_outcomes", "bad_outcomes", "Messages at that socket that were none"),
        ):
            yield CounterMetricFamily(name, text, value=counts[key])

    def _store(self) -> Iterator[Metric]:
        if self._master.sharing is None:
            return
        state = self._master.sharing.state
        yield GaugeMetricFamily(
            "xbot_store_up", "Whether the store of several machines answers", value=not state["away"]
        )
        yield GaugeMetricFamily("xbot_store_machines", "Others that told something of late", value=state["machines"])
        entries = CounterMetricFamily("xbot_store_entries", "Entries told to other machines, and taken", labels=["way"])
        entries.add_metric(["told"], state["told"])
        entries.add_metric(["taken"], state["taken"])
        yield entries
        text = "Messages in the store that were none of these machines', or too old"
        yield CounterMetricFamily("xbot_store_refused", text, value=state["refused"])

    def _processes(self) -> Iterator[Metric]:
        build = {"version": sidecar.__version__, "commit": version.commit() or ""}
        yield InfoMetricFamily("xbot_build", "Which xbot this is; no commit where the build knew none", value=build)
        workers = self._master.workers
        yield GaugeMetricFamily("xbot_workers", "Workers that should be up", value=workers.count)
        yield GaugeMetricFamily("xbot_workers_up", "Workers that are up", value=workers.up)
        yield CounterMetricFamily("xbot_worker_restarts", "Workers that died and were replaced", value=workers.restarts)
        memory = GaugeMetricFamily("xbot_worker_resident_memory_bytes", "Resident memory", labels=["worker"])
        for index, pid in workers.pids.items():
            with contextlib.suppress(OSError, IndexError, ValueError):
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                memory.add_metric([str(index)], pages * os.sysconf("SC_PAGE_SIZE"))
        yield memory

    def _model(self) -> Iterator[Metric]:
        master = self._master
        reloads = CounterMetricFamily("xbot_reloads", "Reloads asked for by SIGHUP", labels=["result"])
        reloads.add_metric(["ok"], master.reloads_ok)
        reloads.add_metric(["failed"], master.reloads_failed)
        yield reloads
        model = master.served
        yield InfoMetricFamily("xbot_model", "The model that is served", value=model.labels())
        if model.trained_at is not None:
            yield GaugeMetricFamily("xbot_model_trained_timestamp_seconds", "When it was made", value=model.trained_at)
        site = master.site.status(model)
        text = "From which score on a visitor is a bot, where the policy does not say it: in use; the model's own; how far it may go"
        thresholds = GaugeMetricFamily("xbot_threshold", text, labels=["which"])
        for which, key in (("used", "threshold"), ("model", "model"), ("lowest", "lowest"), ("highest", "highest")):
            thresholds.add_metric([which], site[key])
        yield thresholds
        text = "Proven visitors by whom the threshold moves, as of the last look"
        yield GaugeMetricFamily("xbot_proven_visitors", text, value=site["proven"])
        refused = "1 while the default model observes in the place of one that was refused at the start"
        yield GaugeMetricFamily("xbot_model_refused", refused, value=model.refused is not None)
        if model.search_engines:
            yield GaugeMetricFamily(
                "xbot_search_engines_timestamp_seconds",
                "The date of the networks of search engines that come with xbot",
                value=self._search_engines,
            )
        dates = GaugeMetricFamily(
            "xbot_ranges_timestamp_seconds", "The date of each list of crawlers' networks", labels=["list"]
        )
        for name, date in model.range_dates().items():
            midnight = datetime.datetime.combine(date, datetime.time(), datetime.timezone.utc)
            dates.add_metric([name], midnight.timestamp())
        yield dates
        yield GaugeMetricFamily("xbot_model_loaded_timestamp_seconds", "When it was loaded", value=model.loaded_at)

    def _by_hand(self) -> Iterator[Metric]:
        overrides, addresses = self._master.board.wheel.said()
        text = "Seconds that a mode set by hand still holds, of a policy or of all (*); +Inf: it has no end"
        modes = GaugeMetricFamily("xbot_mode_by_hand_seconds", text, labels=["policy", "mode"])
        for each in overrides:
            modes.add_metric([each.policy or "*", each.mode], float("inf") if each.seconds is None else each.seconds)
        yield modes
        yield GaugeMetricFamily("xbot_allowed_by_hand", "Addresses that are let by, by hand", value=len(addresses))

    def _alarms(self) -> Iterator[Metric]:
        signals = self._master.alarms
        holds = GaugeMetricFamily("xbot_alarm", "1 while this alarm holds", labels=["alarm"])
        for name, alarm in signals.alarms.items():
            holds.add_metric([name], alarm.since is not None)
        yield holds
        if signals.drift is not None:
            text = "Population stability index of the last hour's margins against those of the model's training"
            yield GaugeMetricFamily("xbot_margin_stability_index", text, value=signals.drift)
        if (last := signals.canaries) is not None:
            text = "Canaries of the last run, by whether they got the right answer"
            canaries = GaugeMetricFamily("xbot_canaries", text, labels=["result"])
            canaries.add_metric(["right"], last.right)
            canaries.add_metric(["wrong"], len(last.wrong))
            yield canaries
            yield GaugeMetricFamily("xbot_canaries_timestamp_seconds", "When canaries were sent last", value=last.at)


def decided(total: dict[str, Any], served: Iterable[str]) -> Iterator[tuple[str, str, list[int], int]]:
    """Of the counters' sums: each policy, by what decided, how often with each of OUTCOMES, and how often it refused. What never
    happened is left out, but for what the score decides by policies that are `served`: a counter begins with 0."""
    policies = dict.fromkeys(served, _NOTHING) | total["policies"]
    for policy, counts in policies.items():
        for rule, row, refused in zip(DECIDERS, counts["decided"], counts["refused"], strict=True):
            if any(row) or (policy and rule == DECIDERS[0]):
                yield policy or OTHERS, rule, row, refused


def _by_score(counts: list[int]) -> list[tuple[str, float]]:
    """Cumulative Prometheus buckets of scores."""
    sums = list(itertools.accumulate(counts))
    return [*((f"{(i + 1) / len(sums):g}", float(n)) for i, n in enumerate(sums[:-1])), ("+Inf", float(sums[-1]))]


def buckets(histogram: list[int]) -> list[tuple[str, float]]:
    """Cumulative Prometheus buckets, upper edges in seconds, from counts by power of two in nanoseconds."""
    edges = [(str(2.0**edge / 1e9), float(sum(histogram[:edge]))) for edge in range(_FIRST_EDGE, _LAST_EDGE + 1)]
    return [*edges, ("+Inf", float(sum(histogram)))]
