"""Upgrade in place: a new master takes the listening sockets over, and then the old one drains.

Law: this module is all that two masters say to each other. They may be of different versions: to a message fields may
be added, and none changes its meaning. The channel is a pair as of control.py, its end in the new master's environment.

    old                                    new, by the same command line
    handover, with descriptors  ------->   loads and checks all, binds what is new, starts its workers
                                <-------   ready, when all of them accept; or failed, with the reason
    tells systemd; yours        ------->   owns the sockets that it kept, and their files
    drains; what the new one did not keep goes with it

Handed over are the sockets, standard error, the counters and the lock of the board. Until `ready` the old one serves on
whatever becomes of the new one. If the old one is gone, the new one needs no `yours`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

from sidecar.board.board import SHARED
from sidecar.config import addresses
from sidecar.errors import XbotError
from sidecar.serve import control, listeners, spawn
from sidecar.serve.listeners import Bound

VARIABLE = "XBOT_UPGRADE"  # in the new master's environment: the channel's descriptor, and the old master's pid
SECONDS = 60.0  # a new master that is not ready by then is ended
_POLL_SECONDS = 0.01  # only while one ends
_KILL_SECONDS = 5.0  # that one which was killed may take to end
_LAST_WORDS = 65536  # bytes


@dataclass
class Successor:
    """The new master, as the old one sees it. `said` is what it wrote to standard error before it took up the log."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    said: IO[bytes]

    @classmethod
    def start(cls, sockets: Mapping[str, Bound], shared: Mapping[str, int], environment: dict[str, str]) -> Successor:
        """Run the command line of this process again and hand it the sockets, and what is `shared`, by name. XbotError if it
        cannot be started."""
        ours, theirs = control.pair()
        ours.setblocking(False)
        with theirs, contextlib.ExitStack() as stack:
            stack.enter_context(ours)
            said = stack.enter_context(os.fdopen(os.memfd_create("xbot-said"), "w+b"))
            environment = {**environment, VARIABLE: f"{theirs.fileno()} {os.getpid()}"}
            try:
                process = spawn.successor(theirs, said, environment)
            except OSError as error:
                raise XbotError(f"{sys.executable}: {error.strerror or error}") from error
            stack.pop_all()
        message = {"op": "handover", "sockets": {name: _described(one) for name, one in sockets.items()}}
        listening = {name: one.sock.fileno() for name, one in sockets.items()}
        control.send(ours, message, {"stderr": sys.stderr.fileno(), **shared, **listening})
        return cls(process, ours, said)

    async def ready(self) -> list[str]:
        """The names of the sockets that it keeps, once its workers accept; XbotError says why it does not get there."""
        try:
            message = await asyncio.wait_for(_hear(self.channel), SECONDS)
        except asyncio.TimeoutError:
            raise XbotError(f"the new master was not ready within {SECONDS:g} s") from None
        if message is None:
            await self.ended(SECONDS)
            raise XbotError(self._last_words())
        if message["op"] == "failed":
            raise XbotError(str(message["reason"]))
        kept: list[str] = message["kept"]
        return kept

    def yours(self) -> None:
        """It is the master from now on."""
        control.send(self.channel, {"op": "yours"})

    async def ended(self, seconds: float) -> None:
        """Wait for its end; kill it when that takes too long. One that the kernel holds, as it does on a dead mount, is left to it."""
        for bound in (seconds, _KILL_SECONDS):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._end(), bound)
                return
            self.process.kill()

    async def _end(self) -> None:
        while self.process.poll() is None:
            await asyncio.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Let go of the channel; the process is not touched."""
        self.channel.close()
        self.said.close()

    def _last_words(self) -> str:
        self.said.seek(max(0, self.said.seek(0, os.SEEK_END) - _LAST_WORDS))
        lines = self.said.read().decode(errors="replace").strip().splitlines()
        if lines and lines[-1].startswith("xbot: "):
            return lines[-1].removeprefix("xbot: ")
        how = f"the new master ended before it was ready: {spawn.how_it_ended(self.process.returncode)}"
        return f"{how}: {lines[-1]}" if lines else how


@dataclass
class Predecessor:
    """The old master, as the new one sees it. Of its `sockets`, those that are not closed until `ready` are kept. `shared` is
    what the old one has of the board, by name."""

    channel: socket.socket
    sockets: dict[str, Bound]
    stderr: int
    shared: dict[str, int]

    @classmethod
    def find(cls) -> Predecessor | None:
        """The master that started this process to take its place; None if somebody else started it."""
        descriptor, _, pid = os.environ.pop(VARIABLE, "").partition(" ")
        if not (descriptor.isdigit() and pid.isdigit()):
            return None
        try:
            channel = socket.socket(fileno=int(descriptor))
        except OSError:
            return None
        if _peer(channel) != int(pid):  # the variable was left behind by somebody, and the descriptor is another's
            channel.detach()
            return None
        channel.set_inheritable(False)
        received = control.receive(channel)
        if received is None:
            raise XbotError("the old master ended before it handed its sockets over")
        message, descriptors = received
        channel.setblocking(False)
        with descriptors:
            stderr = descriptors.pop("stderr")
            sockets = {
                name: _rebuilt(described, socket.socket(fileno=descriptors.pop(name)))
                for name, described in message["sockets"].items()
            }
            shared = {name: descriptors.pop(name) for name in SHARED if name in descriptors}
            return cls(channel, sockets, stderr, shared)

    def take_up_the_log(self) -> None:
        """From now on standard error is the old master's; until then he keeps it, for the reason if we end."""
        sys.stderr.flush()
        os.dup2(self.stderr, sys.stderr.fileno())
        os.close(self.stderr)

    def failed(self, reason: str) -> None:
        """This process will not take over."""
        control.send(self.channel, {"op": "failed", "reason": reason})

    async def resign(self) -> None:
        """Say that all workers accept; returns when the sockets are ours."""
        kept = [name for name, one in self.sockets.items() if one.sock.fileno() >= 0]
        control.send(self.channel, {"op": "ready", "kept": kept})
        await _hear(self.channel)  # "yours", or nothing any more: then there is nobody else
        self.channel.close()
        for one in self.sockets.values():
            one.owned = True


def _peer(channel: socket.socket) -> int | None:
    """The process that made the pair; None if this is the end of no pair."""
    with contextlib.suppress(OSError):
        if channel.type == socket.SOCK_SEQPACKET:
            return int.from_bytes(channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), sys.byteorder)
    return None


def _described(one: Bound) -> control.Message:
    return {
        "asked": str(one.asked),
        "address": str(one.address),
        "identity": one.identity,
        "activated": one.activated,
    }


def _rebuilt(described: control.Message, sock: socket.socket) -> Bound:
    if described["activated"]:
        return listeners.adopt(sock)
    sock.setblocking(False)
    identity = tuple(described["identity"]) if described["identity"] else None
    address, asked = addresses.parse(described["address"]), addresses.parse(described["asked"])
    return Bound(address, sock, asked, identity, owned=False)


async def _hear(channel: socket.socket) -> control.Message | None:
    """The next message, which has no descriptors; None when the other side is gone."""
    try:
        data = await asyncio.get_running_loop().sock_recv(channel, control.LARGEST)
    except ConnectionError:
        return None
    message: control.Message | None = json.loads(data) if data else None
    return message
