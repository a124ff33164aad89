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
from sidecar.config.options import DEFAULT_BOARD, MODULE
from sidecar.config.plan import Fixed, Plan
from sidecar.errors import XbotError
from sidecar.serve import listeners
from sidecar.serve.listeners import Bound

_SECONDS = 1.0  # how often it is looked whether the sockets' files are there


@dataclass(frozen=True)
class Other:
    """A socket that no proxy asks a verdict of: `moved` is told when its `bound` has become another socket, before the old is closed."""

    bound: Bound
    group: str | None
    moved: Callable[[socket.socket], None]


@dataclass
class Reach:
    """The sockets that proxies ask, with the dialect of each, and others of ours; `renewed` is told the place of each new one."""

    bound: list[tuple[Bound, str]]
    group: str | None
    renewed: Callable[[int, Bound], None]
    log: Any
    others: list[Other] = field(default_factory=list)
    unreachable: dict[str, str] = field(default_factory=dict)  # address of a socket to why

    @property
    def asked(self) -> bool:
        """Whether proxies can reach all sockets that they ask."""
        return not any(str(bound.address) in self.unreachable for bound, _ in self.bound)

    async def watch(self) -> None:
        """Look for ever; say, once for each, that the file of a socket is gone or closed to the proxy, and that it is back."""
        while True:
            self._look()
            await asyncio.sleep(_SECONDS)

    def mend(self) -> None:
        """Make anew what became of our sockets' files; XbotError if that cannot be."""
        self._look()
        for place, (bound, dialect) in enumerate(self.bound):
            if (new := self._mended(bound, self.group)) is not None:
                self.bound[place] = new, dialect
                self.renewed(place, new)
                bound.sock.close()
        for other in self.others:
            if (new := self._mended(other.bound, other.group)) is not None:
                other.moved(new.sock)
                other.bound.take(new)
        self._look()

    def _mended(self, bound: Bound, group: str | None) -> Bound | None:
        """Another socket in the place of one whose file is of no use. XbotError if that cannot be made."""
        if str(bound.address) not in self.unreachable or bound.activated or not bound.owned:
            return None
        try:
            listeners.mend(bound, group)
        except XbotError:
            return listeners.renew(bound, group)
        return None

    def _look(self) -> None:
        before = self.unreachable
        everything = [bound for bound, _ in self.bound] + [other.bound for other in self.others]
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
