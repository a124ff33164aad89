"""The board of one sidecar: a directory of files, or, where there is none to be used, memory that only workers share.

Law: what a master shows to others it shows from the moment on at which it speaks for the service (`take`), never before; a
new master (serve/upgrade.py) that does not get that far has changed no file.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from typing import Any

from sidecar import inputs
from sidecar.board import clients
from sidecar.board import counters as files
from sidecar.board.clients import Clients, Visitors
from sidecar.board.counters import Counters, OfHosts
from sidecar.board.directory import Directory, times
from sidecar.board.outcomes import Receiver
from sidecar.board.served import Served
from sidecar.board.wheel import Wheel
from sidecar.config import addresses
from sidecar.config.plan import Plan
from sidecar.errors import XbotError

_LEAST_KEY = 32  # bytes of what several machines share
SHARED = ("counters", "lock", "wheel", "clients", "visitors", "hosts")  # descriptors that a new master gets


class Board:
    """`directory` is None where all is memory; `unfit` says why, if there is one that cannot be used and nobody asked for."""

    def __init__(self, plan: Plan, handed: Mapping[str, int] | None = None) -> None:
        """The board that is planned. `handed` are the descriptors `shared` by the master that we take over from. XbotError if
        somebody asked for a directory and it cannot be used."""
        self.asked = plan.asks_board is not None
        self.group = addresses.group_id(plan.fixed.socket_group) if plan.fixed.socket_group else None
        self.directory: Directory | None = None
        self._ours = False  # from `take` to `give`
        self.unfit: str | None = None
        path, workers, handed = plan.fixed.board, plan.fixed.workers, handed or {}
        try:
            if path is not None and (plan.asks_board or path.is_dir()):
                self.directory = Directory.open(path, handed.get("lock"))
            self.counters = Counters(workers, self.directory, handed.get("counters"))
        except XbotError as error:
            if plan.asks_board:
                raise plan.wrong(plan.asks_board, str(error)) from None
            if self.directory is not None and self.directory.lock != handed.get("lock"):
                self.directory.close()
            self.directory, self.unfit = None, str(error)
            self.counters = Counters(workers, None, handed.get("counters"))
        made, booted = times()
        try:
            self.wheel = Wheel(booted, made, self.directory, handed.get("wheel"))
        except XbotError:  # a file that others may write; the next thing that is said takes its place
            self.wheel = Wheel(booted, made, None)
        self.hosts = OfHosts(self.directory, handed.get("hosts"))
        self.clients: Clients | None = None
        self.clock = clients.clock()
        self._receiver: Receiver | None = None
        if plan.fixed.clients.mebibytes:
            try:
                self.clients = Clients(plan.fixed.clients, self.directory, handed.get("clients"), store_key(plan))
            except OSError as error:
                raise plan.wrong("clients.size", error.strerror or str(error)) from None
        self.visitors: Visitors | None = None
        if self.clients is not None and plan.fixed.clients.move_threshold:
            # Whom another table told apart otherwise is forgotten with it.
            of_before = self.clients.said is None
            self.visitors = Visitors(
                self.directory if of_before else None, handed.get("visitors") if of_before else None
            )
        for fd in {*handed.values()} - {*self.shared.values()}:
            os.close(fd)  # of a board that is no longer ours

    @property
    def memory(self) -> dict[str, int]:
        """What a worker gets of it, by name."""
        return {"counters": self.counters.fd, **self.lent}

    @property
    def shared(self) -> dict[str, int]:
        """What a new master gets of it, by name."""
        lock = {"lock": self.directory.lock} if self.directory else {}
        return {"counters": self.counters.fd, "wheel": self.wheel.fd, "hosts": self.hosts.fd, **lock, **self._tables}

    @property
    def lent(self) -> dict[str, int]:
        """What each host of another user gets of it, by core.SHARES; workers get it, too: what all who judge write, and its time."""
        return {**self._tables, **({} if self.clock is None else {"clock": self.clock})}

    @property
    def _tables(self) -> dict[str, int]:
        of_clients = {"clients": self.clients.fd} if self.clients else {}
        return {**of_clients, **({"visitors": self.visitors.fd} if self.visitors else {})}

    def total(self) -> dict[str, Any]:
        """What all hosts have counted, our workers and others, in the form of sidecar.core.read_stats."""
        return files.total(self.counters, self.hosts)

    def now_ms(self) -> int:
        """The time of the tables, in milliseconds since 1970."""
        return clients.system_ms() if self.clock is None else int.from_bytes(os.pread(self.clock, 8, 0), "little")

    def hear(self, sock: socket.socket, log: Any) -> None:
        """From `take` on, what is told at this datagram socket counts in the table of clients."""
        if self.clients is not None:
            self._receiver = Receiver(sock, self.clients.view, self.clock, log)

    def hear_at(self, sock: socket.socket) -> None:
        """What is told comes to another socket from now on."""
        if self._receiver is not None:
            self._receiver.move(sock)

    def take(self, served: Served) -> None:
        """We speak for the service: show our counters, and what is served. XbotError if the files cannot be written, and somebody
        asked for them."""
        self._ours = True
        if self._receiver is not None:
            self._receiver.open()
        try:
            self.counters.put()
            self.publish(served)
            if any(self.wheel.said()):
                self.keep_wheel()
            if self.directory is not None:
                # They were read, or are of no use.
                for name in (clients.NAME, files.OF_HOSTS, *([Visitors.NAME] if self.visitors is None else [])):
                    self.directory.remove(name)
        except XbotError as error:
            if self.asked or self.directory is None:
                raise
            self.directory.close()
            self.directory, self.unfit = None, str(error)

    def keep_wheel(self) -> None:
        """Put what an operator has said where the next sidecar finds it. XbotError if that cannot be."""
        if self.directory is not None:
            self.wheel.keep(self.directory, self.group)

    def keep_visitors(self) -> None:
        """Put the proven visitors where the next sidecar finds them. XbotError if that cannot be."""
        if self._ours and self.visitors is not None and self.directory is not None:
            self.visitors.keep(self.directory)

    def publish(self, served: Served) -> None:
        """Put what is served where other hosts find it. XbotError if that cannot be; then they keep what was there."""
        if self.directory is not None:
            served.publish(self.directory, self.group)

    def give(self) -> None:
        """Another master speaks for the service."""
        self._ours = False
        if self._receiver is not None:
            self._receiver.close()

    def leave(self) -> None:
        """No worker is left, and the process ends: keep what the next one can use. XbotError if that cannot be."""
        if self._ours and self.directory is not None:
            self.hosts.keep(self.directory)
            if self.clients is not None:
                self.clients.keep(self.directory)
                self.keep_visitors()


def store_key(plan: Plan) -> bytes | None:
    """The secret that several machines share, where they do. XbotError if its file cannot be used."""
    if plan.fixed.clients.store is None or plan.fixed.clients.store_key is None:
        return None
    path, why = plan.named(plan.fixed.clients.store_key), ""
    try:
        data, mode = inputs.read_bytes(path).strip(), stat.S_IMODE(path.stat().st_mode)
    except (OSError, XbotError) as error:
        raise plan.wrong("clients.store_key", getattr(error, "strerror", None) or str(error)) from None
    if mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        why = f"others may read or write it (mode {mode:04o}); chmod o-rw,g-w"
    elif len(data) < _LEAST_KEY:
        why = f"{len(data)} bytes, and a secret needs {_LEAST_KEY}: openssl rand -hex 32"
    if why:
        raise plan.wrong("clients.store_key", f"{path}: {why}")
    return data
