"""What is observed of a running sidecar: the attributes of a master that metrics and health are made from.

Law: metrics and health read these attributes and change none; they know nothing else of the processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sidecar.board.board import Board
from sidecar.board.clients import Clients
from sidecar.board.counters import Counters
from sidecar.board.proofs import Shared
from sidecar.board.served import Served
from sidecar.live.feed import Feed


class Processes(Protocol):
    """The workers: how many there should be and are, how many were replaced, and the process of each place."""

    @property
    def count(self) -> int: ...
    @property
    def up(self) -> int: ...
    @property
    def restarts(self) -> int: ...
    @property
    def pids(self) -> Mapping[int, int]: ...


class Records(Protocol):
    """The log of decisions: records by what became of them."""

    @property
    def counts(self) -> Mapping[str, int]: ...


class Threshold(Protocol):
    """The threshold that moves."""

    def status(self, served: Served) -> Mapping[str, Any]:
        """What is to be said of it."""


class Alarm(Protocol):
    """Since when it holds, Unix time; None: it does not. `says` is what is wrong."""

    @property
    def since(self) -> float | None: ...
    @property
    def says(self) -> str: ...


class Canaries(Protocol):
    """The last that were sent: when, how many got the right answer, and which did not."""

    @property
    def at(self) -> float: ...
    @property
    def right(self) -> int: ...
    @property
    def wrong(self) -> Sequence[str]: ...


class Signals(Protocol):
    """What tells that the gate may be wrong (alarms.py)."""

    @property
    def alarms(self) -> Mapping[str, Alarm]: ...
    @property
    def canaries(self) -> Canaries | None: ...
    @property
    def drift(self) -> float | None: ...


class Machines(Protocol):
    """What is shared with other machines."""

    state: dict[str, Any]


class Watched(Protocol):
    """A master, read from another thread."""

    @property
    def counters(self) -> Counters: ...
    @property
    def board(self) -> Board: ...
    @property
    def clients(self) -> Clients | None: ...
    @property
    def served(self) -> Served: ...
    @property
    def site(self) -> Threshold: ...
    @property
    def sharing(self) -> Machines | None: ...
    @property
    def lookups(self) -> Shared: ...
    @property
    def workers(self) -> Processes: ...
    @property
    def feed(self) -> Feed: ...
    @property
    def draining(self) -> bool: ...
    @property
    def unreachable(self) -> Mapping[str, str]: ...
    @property
    def ready(self) -> bool: ...
    @property
    def turned(self) -> float: ...
    @property
    def decisions(self) -> Records | None: ...
    @property
    def alarms(self) -> Signals: ...
    @property
    def reloads_ok(self) -> int: ...
    @property
    def reloads_failed(self) -> int: ...
