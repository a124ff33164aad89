"""The report of `xbot replay`: what is in its JSON, and how it is made of what was counted.

Law: it is complete without a terminal, and nothing is judged or counted here (tally.py, ruled.py, heeded.py do).
"""

from __future__ import annotations

import datetime
import heapq
from pathlib import Path

import msgspec

from sidecar import core
from sidecar.commands.judging import Rules
from sidecar.replay.heeded import Heeded
from sidecar.replay.ruled import OfPolicy, Ruled
from sidecar.replay.tally import WHY, Client, ClientKey, Judge, Place, Sample, Tally, Top
from sidecar.sources.shown import text
from sidecar.sources.traffic import Traffic

MOST_JSON = 100  # of a list


class Frequent(msgspec.Struct):
    """What was refused most: a reason, an agent, a path or a network, and how often."""

    what: str
    requests: int


class Request(msgspec.Struct):
    """A request to look at: `xbot explain` tells more about that line."""

    ip: str
    agent: str
    uri: str
    log: str
    line: int
    reason: str
    score: float


class Suspect(msgspec.Struct):
    """Refused requests of a kind that should perhaps not be refused."""

    kind: str
    why: str
    requests: int
    clients: int
    examples: list[Request]


class FlippedClient(msgspec.Struct):
    """A client that the two models treat differently."""

    ip: str
    agent: str
    requests: int
    refused: int
    refused_before: int
    log: str
    line: int
    reason: str


class Flips(msgspec.Struct):
    """What changes in one direction: requests, and clients of whose requests one side refuses some, the other none."""

    requests: int
    clients: int
    reasons: list[Frequent]
    examples: list[FlippedClient]


class Day(msgspec.Struct):
    """One day, by UTC."""

    day: str
    requests: int
    refused: int
    refused_before: int | None


class Told(msgspec.Struct):
    """What was decided about a client, and why: the list, or the strongest reason of the score."""

    ip: str
    agent: str
    why: str
    requests: int


class ListDone(msgspec.Struct):
    """How many requests a list decided, and how."""

    list: str
    verdict: str
    requests: int


class PolicyDone(msgspec.Struct):
    """What a policy would have done. `outcomes` goes by X-Bot's words. `let_by_most`: whom a list let through, and bots that a policy
    that observes let through; people whom the score let through are not in it."""

    policy: str
    mode: str
    requests: int
    outcomes: dict[str, int]
    refused: int
    lists: list[ListDone]
    refused_most: list[Told]
    let_by_most: list[Told]


class Report(msgspec.Struct):
    """What `--json` writes.

    `labelled` counts lines that bear a label: "human refused" and the like. `counts_short`: how far the counts of a
    list may be too low, 0 if they are exact. `requests_beyond`: those of clients that were too many to remember; they
    are in the counts of requests, not in those of clients.
    """

    model: str
    threshold: float
    logs: list[str]
    against: str | None
    against_threshold: float | None
    own_hosts: list[str]
    own_hosts_known: str
    lines: int
    unreadable: int
    requests: int
    refused: int
    refused_before: int | None
    labelled: dict[str, int]
    days: list[Day]
    undated: int
    clients: int
    clients_refused: int
    requests_beyond: int
    groups_not_held: list[str]
    suspects: list[Suspect]
    reasons: list[Frequent]
    agents: list[Frequent]
    paths: list[Frequent]
    networks: list[Frequent]
    counts_short: dict[str, int]
    newly_refused: Flips | None
    no_longer_refused: Flips | None
    stateless: bool = True  # no line was judged by those before it
    config: str | None = None
    policies: list[PolicyDone] | None = None
    robots: Heeded | None = None


def of_policy(rules: Rules, judge: Ruled, name: str) -> PolicyDone:
    """What one policy would have decided."""
    found, mode = judge.policies.get(name, OfPolicy()), rules.plan.policies[name].mode
    return PolicyDone(
        policy=name,
        mode=mode,
        requests=sum(found.outcomes.values()),
        outcomes={outcome: found.outcomes[outcome] for outcome in core.OUTCOMES if outcome in found.outcomes},
        refused=found.refused,
        lists=[ListDone(each, outcome, n) for (each, outcome), n in found.lists.most_common()],
        refused_most=_clients(found.refused_most),
        let_by_most=_clients(found.let_by_most),
    )


def _clients(top: Top) -> list[Told]:
    told = []
    for what, requests in top.most(MOST_JSON):
        why, ip, agent = what.split("\t", 2) if isinstance(what, str) else ("", "", "")
        told.append(Told(ip, agent, why, requests))
    return told


def report(traffic: Traffic, tally: Tally, new: Path, judge: Judge, old: Path | None, before: Judge | None) -> Report:
    """All that was counted, as the JSON has it."""
    tops = {"reasons": tally.reasons, "agents": tally.agents, "paths": tally.paths, "networks": tally.networks}
    held, wanted = tally.present, judge.model.header["groups"]
    return Report(
        model=str(new),
        threshold=judge.threshold,
        logs=list(traffic.logs),
        against=str(old) if old else None,
        against_threshold=before.threshold if before else None,
        own_hosts=sorted(text(host) for host in traffic.own.hosts),
        own_hosts_known=traffic.own.said,
        lines=traffic.lines,
        unreadable=traffic.unreadable,
        requests=tally.requests,
        refused=tally.refused,
        refused_before=tally.was_refused if before else None,
        labelled={f"{said} {'refused' if no else 'let in'}": n for (said, no), n in tally.labelled.items()},
        days=[
            Day(_day(day), requests, refused, was if before else None)
            for day, (requests, refused, was) in sorted(tally.days.items())
        ],
        undated=tally.undated,
        clients=len(tally.clients),
        clients_refused=sum(client.refused > 0 for client in tally.clients.values()),
        requests_beyond=tally.beyond,
        groups_not_held=[name for name, bits in core.GROUPS.items() if wanted & bits & ~held],
        suspects=[
            Suspect(name, WHY[name], found.requests, found.clients, [_request(sample) for sample in found.examples])
            for name, found in tally.suspects.items()
            if found.requests
        ],
        reasons=_frequent(tally.reasons),
        agents=_frequent(tally.agents),
        paths=_frequent(tally.paths),
        networks=_frequent(tally.networks),
        counts_short={name: top.short for name, top in tops.items()},
        newly_refused=_flips(tally, True) if before else None,
        no_longer_refused=_flips(tally, False) if before else None,
    )


def _day(day: int) -> str:
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()


def _frequent(top: Top) -> list[Frequent]:
    return [Frequent(text(what), requests) for what, requests in top.most(MOST_JSON)]


def _request(sample: Sample) -> Request:
    ip, agent, uri, place = sample
    return Request(ip, agent, uri, place.log, place.line, place.reason, round(place.score, 6))


def _flips(tally: Tally, to_bot: bool) -> Flips:
    clients = 0
    largest: list[tuple[int, int, ClientKey, Client, Place]] = []
    for key, client in tally.flipped_clients(to_bot):
        clients += 1
        if client.first_flipped is not None:
            changed = abs(client.refused - client.was_refused)
            entry = (changed, -clients, key, client, client.first_flipped)  # among equals, who came first
            if len(largest) < MOST_JSON:
                heapq.heappush(largest, entry)
            else:
                heapq.heappushpop(largest, entry)
    return Flips(
        requests=tally.to_bot if to_bot else tally.to_human,
        clients=clients,
        reasons=_frequent(tally.to_bot_reasons if to_bot else tally.to_human_reasons),
        examples=[
            FlippedClient(
                text(ip), text(agent), client.requests, client.refused, client.was_refused, at.log, at.line, at.reason
            )
            for _, _, (ip, agent), client, at in sorted(largest, reverse=True, key=lambda entry: entry[:2])
        ],
    )
