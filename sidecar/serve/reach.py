"""Where the sidecar is reached: whether the files of its sockets are there and open to the proxy, and how that is mended.

Law: looks and mends, and never waits. A socket whose file is gone gets no file any more: another takes its place, here and in
each worker.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sidecar.config.addresses import UnixAddress
from sidecar.config.config import DEFAULT_BOARD, MODULE, Fixed, Plan
from sidecar.errors import XbotError
from sidecar.serve import listeners
from sidecar.serve.listeners import Bound

_SECONDS = 1.0  # how often it is looked whether the sockets' files are there


@dataclass
class Reach:
    """The sockets that proxies ask, with the dialect of each, and others of ours; `renewed` is told the place of each new one."""

    bound: list[tuple[Bound, str]]
    group: str | None
    renewed: Callable[[int, Bound], None]
    log: Any
    others: list[Bound] = field(default_factory=list)
    unreachable: dict[str, str] = field(default_factory=dict)  # address of a listener to why

    async def watch(self) -> None:
        """Look for ever; say, once for each, that the file of a socket is gone or closed to the proxy, and that it is back."""
        while True:
            self._look()
            await asyncio.sleep(_SECONDS)

    def mend(self) -> None:
        """Make anew what became of our sockets' files; XbotError if that cannot be."""
        self._look()
        for place, (bound, dialect) in enumerate(self.bound):
            if str(bound.address) not in self.unreachable or bound.activated or not bound.owned:
                continue
            try:
                listeners.mend(bound, self.group)
            except XbotError:
                new = listeners.renew(bound, self.group)
                self.bound[place] = new, dialect
                self.renewed(place, new)
                bound.sock.close()
        self._look()

    def _look(self) -> None:
        before = self.unreachable
        everything = [bound for bound, _ in self.bound] + self.others
        self.unreachable = {str(bound.address): why for bound in everything if (why := bound.look())}
        for address in before.keys() - self.unreachable.keys():
            self.log.info("listener reachable", listener=address)
        for address in sorted(self.unreachable.keys() - before.keys()):
            self.log.error("listener unreachable", listener=address, reason=self.unreachable[address], mend="SIGHUP")


def control_group(fixed: Fixed) -> str:
    """Of the control socket. By number where none is named: in a setgid directory it would be the proxy's."""
    return fixed.control_group or str(os.getegid())


def control(plan: Plan, board: bool, kept: Bound | None) -> tuple[Bound | None, str | None]:
    """The control socket: that which was `kept` from an old master, or a new one; and why there is none. XbotError where
    somebody asked for it. Without that there is one only in a `board` that is in use."""
    address = plan.fixed.control
    if address is None or not (plan.asks_control or board):
        return None, None
    if kept is not None:
        return kept, None
    try:
        return listeners.bind(address, control_group(plan.fixed)), None
    except XbotError as error:
        if plan.asks_control:
            raise
        return None, str(error)


def lender(plan: Plan, board: bool, kept: Bound | None) -> tuple[Bound | None, str | None]:
    """The socket for hosts that share memory with us, in a `board` that is in use: that which was `kept`, or a new one; and why
    there is none. XbotError where somebody named the board."""
    if not board or plan.fixed.board is None:
        if kept is not None:
            kept.close()
        return None, None
    if kept is not None:
        return kept, None
    try:
        return listeners.bind(lent_at(plan), plan.fixed.socket_group, socket.SOCK_SEQPACKET), None
    except XbotError as error:
        if plan.asks_board:
            raise
        return None, str(error)


def lent_at(plan: Plan) -> UnixAddress:
    """Where that socket is, if there is a board."""
    return UnixAddress((plan.fixed.board or DEFAULT_BOARD) / MODULE)
