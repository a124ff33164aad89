"""The same requests as poorer sources would have kept them, so that a model learns to judge with what there is.

Law: a view takes away and never adds; which one a request gets is drawn without a look at its class.

A model fitted on whole captures alone leans on headers, and is left with little for a log that holds none.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Record = dict[str, Any]

# What nginx/log_format.conf keeps is csrc/request/headers.def's VISITOR rows; these are the commonest.
_LOGGED = frozenset(
    """
user-agent referer accept accept-encoding accept-language accept-charset cookie cache-control pragma range
if-modified-since if-none-match origin authorization content-type from dnt sec-gpc sec-fetch-site sec-fetch-mode
sec-fetch-dest sec-fetch-user sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform upgrade-insecure-requests x-requested-with
priority purpose sec-purpose sec-websocket-key access-control-request-method service-worker icy-metadata
http2-settings
""".split()
)


def _value(record: Record, name: str) -> str:
    return next((value for key, value in record["headers"] if key.lower() == name), "")


def capture(record: Record) -> Record:
    """All of it."""
    return record


def unsaid(record: Record) -> Record:
    """A capture that says nothing of the connection, whether it was encrypted either, nor for which host."""
    headers = [pair for pair in record["headers"] if pair[0].lower() != "host"]
    lost = ("scheme", "host", "tls", "connection", "connection_requests")
    return {key: value for key, value in record.items() if key not in lost} | {"headers": headers}


def decision_log(record: Record) -> Record:
    """Chosen headers, order unknown."""
    return record | {"headers": {name: value for name, value in record["headers"] if name.lower() in _LOGGED}}


def combined(record: Record) -> Record:
    """What an access log in the combined format holds."""
    held = ("ip", "time", "method", "uri", "protocol", "status", "bytes", "label", "kind")
    kept = {key: record[key] for key in held if key in record}
    return kept | {"agent": _value(record, "user-agent"), "referrer": _value(record, "referer")}


def agent_only(record: Record) -> Record:
    """The agent, and an address."""
    return {"ip": record["ip"], "label": record["label"], "agent": _value(record, "user-agent")}


VIEWS: dict[Callable[[Record], Record], float] = {capture: 4, unsaid: 1, decision_log: 1, combined: 3, agent_only: 1}


def views(records: Iterable[Record], seed: int) -> Iterator[Record]:
    """Each record through a view drawn by the weights of VIEWS; the same for the same seed."""
    rng = random.Random(seed)
    kinds, weights = list(VIEWS), list(VIEWS.values())
    for record in records:
        yield rng.choices(kinds, weights)[0](record)
