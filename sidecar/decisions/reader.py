"""A thread of the master that reads what the workers left in their lanes, and hands it to all who want it.

Law: it reads as fast as it can, and nobody waits for it; whatever one taker makes of a record, the others get it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from sidecar import core
from sidecar.board.lanes import Lanes
from sidecar.board.served import Served

# Records that a listener of a worker leaves in a second for who watches: of bots and refusals, and of all others.
WATCHED = 50, 10
_SECONDS = 0.1  # from one look at the lanes to the next
_AT_ONCE = 256  # records of a lane in one go
_MODELS = 4  # the last that were served: a record may be older than a reload


class Judge(NamedTuple):
    """What judged a record: a model, its digest, and of each policy its threshold then."""

    model: core.Model
    sha256: str
    thresholds: Mapping[str, float]
    lacks: frozenset[str] = frozenset()  # rows that speak for a bot where a request has them not, or less of them


def lacks(model: core.Model) -> frozenset[str]:
    """The rows with a weight towards a human: as a reason for a bot, each means that it is missing."""
    return frozenset(row.name for row, weight in zip(core.FEATURES, model.weight, strict=False) if weight < 0)


Models = Mapping[int, Judge]  # by generation, and by what other hosts call it (core.served_made); the last one last


class Taker(Protocol):
    """Who wants records."""

    def take(self, records: Sequence[core.Recorded], models: Models) -> None:
        """The next ones, the oldest first, and what judged them; called several times a second, without any too."""


class Reader:
    """Reads until `close`. `lanes.fd` is handed to the workers."""

    def __init__(self, lanes: Lanes, takers: Sequence[Taker], log: Any) -> None:
        self.lanes = lanes
        self._takers, self._log = takers, log
        self._models: dict[int, Judge] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decisions", daemon=True)
        self._said = ""

    def start(self) -> None:
        """Read from now on."""
        self._thread.start()

    def serves(self, served: Served) -> None:
        """This is what the workers judge by, from now on."""
        image = served.image()
        model, _ = core.served_parts(image, verified=True)
        opened = core.Model(bytes(model))
        judge = Judge(opened, served.sha256, served.thresholds(), lacks(opened))
        models = {**self._models, served.generation: judge, core.served_made(image): judge}
        self._models = dict([*models.items()][-2 * _MODELS :])

    def close(self, seconds: float) -> None:
        """Hand out what is left, but wait no longer than this."""
        self._ended.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            self._hand_out([])  # first before any worker serves: a feed counts from then on
            last = self._ended.wait(_SECONDS)
            while records := self.lanes.read(_AT_ONCE):
                self._hand_out(records)
            if last:
                return

    def _hand_out(self, records: Sequence[core.Recorded]) -> None:
        for taker in self._takers:
            try:
                taker.take(records, self._models)
            except Exception as error:  # whatever it is, we go on
                if (problem := repr(error)) != self._said:
                    self._said = problem
                    self._log.error("decisions not taken", problem=problem[:2000])
