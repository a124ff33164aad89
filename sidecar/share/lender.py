"""The socket `module` in the board's directory: whoever connects gets the descriptors of what hosts share (csrc/board/share.h).

Law: its file has the mode and the group of the sockets that are asked, so who may connect could ask the sidecar anything anyway. A
connection is a loan: its lane of decisions is let go when it ends, and nothing else of ours depends on it. Nobody is waited for:
who does not take the message at once is let go, and so is who says anything. The wheel and the answers of the DNS are lent so that
only we can write them: what hosts want to be looked up they put elsewhere, and we ask it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Any

from sidecar import core
from sidecar.board.counters import OfHosts
from sidecar.board.lanes import Lanes, Recording
from sidecar.board.proofs import Shared

MOST = 128  # connections; each is a worker of a host
_RETRY_SECONDS = 1.0  # without a descriptor for who waits
_PASS_ON_SECONDS, _AT_ONCE = 0.1, 256  # how often questions for the DNS are passed on, and how many


class Lender:
    """Lends `memory` (descriptors by core.SHARES) and what the DNS said by `lookups` to all, and to each `counters` of its own and a lane
    of `lanes`, where somebody reads them, for what all of them record together. `sock` stays open when this is closed."""

    def __init__(
        self,
        sock: socket.socket,
        memory: Mapping[str, int],
        counters: OfHosts,
        lookups: Shared,
        lanes: Lanes | None,
        recording: Recording,
        log: Any,
    ) -> None:
        self._sock, self._lanes, self._recording, self._log = sock, lanes, recording, log
        self._counters = counters
        self._lookups, self._asked = lookups.table, Shared()
        answers = {"lookups": read_only(lookups.fd), "questions": self._asked.fd}
        self._memory = {**memory, **answers}
        self._signs = False
        self._full = False  # that is said once
        self._again: asyncio.TimerHandle | None = None  # when it is opened again
        self._lent: dict[socket.socket, tuple[int, memoryview | None]] = {}  # counters and lane

    @property
    def count(self) -> int:
        """How many are connected."""
        return len(self._lent)

    def open(self) -> None:
        """Lend from now on."""
        self._sock.setblocking(False)
        asyncio.get_running_loop().add_reader(self._sock, self._accept)

    def move(self, sock: socket.socket) -> None:
        """Accept on another socket from now on; what is lent stays so."""
        self._rest()
        self._sock = sock
        self.open()

    def close(self) -> None:
        """Lend no more, and end what is lent."""
        self._rest()
        for each in [*self._lent]:
            self._end(each)

    def signs(self, signs: bool) -> None:
        """Whether the sidecar checks signatures, from now on."""
        if signs != self._signs:
            self._signs = signs
            self._tell()

    async def pass_on(self) -> None:
        """For ever: have looked up in the DNS what hosts ask for."""
        while True:
            await asyncio.sleep(_PASS_ON_SECONDS)
            self._lookups.take_over(self._asked.table, _AT_ONCE)

    def _rest(self) -> None:
        """Accept nobody, until it is opened again."""
        asyncio.get_running_loop().remove_reader(self._sock)
        if self._again is not None:
            self._again.cancel()

    def _accept(self) -> None:
        try:
            while True:
                self._lend(self._sock.accept()[0])
        except BlockingIOError:  # nobody waits any more
            pass
        except OSError:  # no descriptor is left: who waits must not keep the loop from all else
            self._rest()
            self._again = asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.open)

    def _lend(self, one: socket.socket) -> None:
        one.setblocking(False)
        if len(self._lent) >= MOST:
            one.close()
            if not self._full:
                self._log.warning("limit reached", limit="hosts", most=MOST)
            self._full = True
            return
        self._full = False
        with contextlib.ExitStack() as stack:
            try:
                counters = self._counters.lend()
                stack.callback(self._counters.end, counters)
                lane, view = self._lanes.lend() if self._lanes is not None else (None, None)
            except OSError:  # no memory, or no descriptor is left
                one.close()
                return
            stack.pop_all()
        self._lent[one] = counters, view
        asyncio.get_running_loop().add_reader(one, self._hear, one)
        sent = self._send(one, {**self._memory, "counters": counters, **({} if lane is None else {"lane": lane})})
        if lane is not None:
            os.close(lane)
        if not sent:
            self._end(one)
        self._tell(besides=one)

    def _tell(self, besides: socket.socket | None = None) -> None:
        """Say the rest anew, to all who do not know it."""
        for each in [*self._lent]:
            if each is not besides and each in self._lent and not self._send(each, {}):
                self._end(each)

    def _send(self, one: socket.socket, descriptors: Mapping[str, int]) -> bool:
        message = core.share_message(
            [*descriptors], **self._recording.shared_by(len(self._lent))._asdict(), signs=self._signs
        )
        try:
            socket.send_fds(one, [message], [*descriptors.values()])
        except OSError:
            return False
        return True

    def _hear(self, one: socket.socket) -> None:
        try:
            one.recv(1)
        except BlockingIOError:
            return
        except OSError:
            pass
        self._end(one)  # it is gone, or said something
        self._tell()

    def _end(self, one: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(one)
        one.close()
        counters, view = self._lent.pop(one)
        self._counters.end(counters)
        if view is not None and self._lanes is not None:
            self._lanes.end(view)


def read_only(fd: int) -> int:
    """A descriptor of the same memory by which no other user can write it, nor get one by which he can."""
    os.fchmod(fd, 0o600)
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
