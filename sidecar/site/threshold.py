"""The threshold that moves: what the proven visitors of this site want, within the bounds that the model holds.

Law: it stands beside the requests. Workers note what proven visitors get (csrc/clients/visitors.h); the master looks at that from time
to time, and serves the same model with other policies: those that name no threshold of their own get the site's. Whatever fails, what
is served stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Mapping
from typing import Any, Protocol

from sidecar import proven
from sidecar.board.board import Board
from sidecar.board.served import Served
from sidecar.config.plan import Fixed
from sidecar.errors import XbotError

SECONDS = 60.0  # from one look to the next
DAYS = 7  # who asked for nothing for so long has no say
# So many proven visitors must be allowed to be refused; then no look and no network is more than half of these.
_LEAST_REFUSED = 2
_TRIFLE = 0.0005  # of a score: who is near it moves nothing


class Serving(Protocol):
    """The master, as far as it matters here; `changing` is held while what is served changes."""

    served: Served
    changing: asyncio.Lock
    log: Any

    async def adopt(self, served: Served) -> None:
        """Serve this from now on; whatever is raised, the old goes on."""


class SiteThreshold:
    """What the visitors of a board want of what is served."""

    def __init__(self, board: Board, fixed: Fixed) -> None:
        self._board = board
        self._most = fixed.clients.max_fpr if fixed.clients.move_threshold else None
        self.proven = proven.Proven(0, 0.0, float("nan"))  # as of the last look

    def wanted(self, served: Served) -> float | None:
        """The threshold that proven visitors want; None where they are too few, or it is not to be moved."""
        if self._board.visitors is None or self._most is None:
            return None
        found = self._board.visitors.read(served.mark, max(0, self._board.now_ms() - DAYS * 86_400_000))
        least = max(proven.LEAST_CLIENTS, _LEAST_REFUSED / self._most) if self._most else math.inf
        self.proven = proven.wanted(found, self._most, least)
        score = served.room.hold(self.proven)
        return None if score is None or abs(score - served.room.own) < _TRIFLE else score

    def fitted(self, served: Served) -> Served:
        """What is served, by the threshold that is wanted: the same, if that is (nearly) its own; else another, and it is closed."""
        wanted = self.wanted(served)
        if _same(wanted, served.site):
            return served
        moved = served.with_threshold(served.generation, wanted)
        served.close()
        return moved

    async def watch(self, master: Serving) -> None:
        """Look for ever whether it is to be moved."""
        while True:
            await asyncio.sleep(SECONDS)
            async with master.changing:
                await self.move(master)

    async def move(self, master: Serving) -> None:
        """Look once."""
        old = master.served
        try:
            wanted = await asyncio.to_thread(self.wanted, old)
            if _same(wanted, old.site):
                return
            await master.adopt(await asyncio.to_thread(old.with_threshold, old.generation + 1, wanted))
        except Exception as error:  # whatever it is, the old goes on
            master.log.error("threshold kept", reason=str(error) or repr(error))
            return
        self.tell(master.log, old, master.served)

    def tell(self, log: Any, before: Served | None, served: Served) -> None:
        """Say that it has moved, where it has; and keep whom that is owed to. `before` is None at a start."""
        if _same(served.site, before.site if before else None):
            return
        was = before.threshold if before else served.room.own
        said = {"threshold": served.threshold, "before": was, "model": served.room.own}
        log.info("threshold moved", **said, proven=self.proven.clients)
        with contextlib.suppress(XbotError):
            self._board.keep_visitors()

    def status(self, served: Served) -> Mapping[str, Any]:
        """For whoever asks: the threshold in use, the model's own and how far it may go, and the proven visitors that were looked at."""
        room = served.room
        return {
            "threshold": served.threshold,
            "model": room.own,
            "lowest": room.lowest,
            "highest": room.highest,
            "moves": self._most is not None and self._board.visitors is not None and room.lowest < room.highest,
            "proven": self.proven.clients,
        }


def _same(a: float | None, b: float | None) -> bool:
    return a == b if a is None or b is None else abs(a - b) < _TRIFLE
