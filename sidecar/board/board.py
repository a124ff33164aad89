"""The board of one sidecar: a directory of files, or, where there is none to be used, memory that only workers share.

Law: what a master shows to others it shows from the moment on at which it speaks for the service (`take`), never before; a
new master (serve/upgrade.py) that does not get that far has changed no file.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from sidecar.board import clients
from sidecar.board import counters as files
from sidecar.board.clients import Clients
from sidecar.board.counters import Counters, OfHosts
from sidecar.board.directory import Directory, times
from sidecar.board.outcomes import Receiver
from sidecar.board.served import Served
from sidecar.board.wheel import Wheel
from sidecar.config import addresses
from sidecar.config.config import Plan
from sidecar.errors import XbotError

SHARED = ("counters", "lock", "wheel", "clients", "hosts")  # descriptors that a new master gets


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
                self.clients = Clients(plan.fixed.clients, self.directory, handed.get("clients"))
            except OSError as error:
                raise plan.wrong("clients.size", error.strerror or str(error)) from None
        for fd in {*handed.values()} - {*self.shared.values()}:
            os.close(fd)  # of a board that is no longer ours

    @property
    def memory(self) -> dict[str, int]:
        """What a worker gets of it, by name."""
        table = {"clients": self.clients.fd} if self.clients else {}
        return {"counters": self.counters.fd, **table, **({} if self.clock is None else {"clock": self.clock})}

    @property
    def shared(self) -> dict[str, int]:
        """What a new master gets of it, by name."""
        lock = {"lock": self.directory.lock} if self.directory else {}
        table = {"clients": self.clients.fd} if self.clients else {}
        return {"counters": self.counters.fd, "wheel": self.wheel.fd, "hosts": self.hosts.fd, **lock, **table}

    @property
    def lent(self) -> dict[str, int]:
        """What each host of another user gets of it, by core.SHARES."""
        table = {"clients": self.clients.fd} if self.clients else {}
        return {**table, **({} if self.clock is None else {"clock": self.clock})}

    def hear(self, sock: socket.socket, log: Any) -> None:
        """From `take` on, what is told at this datagram socket counts in the table of clients."""
        if self.clients is not None:
            self._receiver = Receiver(sock, self.clients.view, self.clock, log)

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
                for name in (clients.NAME, files.OF_HOSTS):
                    self.directory.remove(name)  # it was read, or is of no use
        except XbotError as error:
            if self.asked or self.directory is None:
                raise
            self.directory.close()
            self.directory, self.unfit = None, str(error)

    def keep_wheel(self) -> None:
        """Put what an operator has said where the next sidecar finds it. XbotError if that cannot be."""
        if self.directory is not None:
            self.wheel.keep(self.directory, self.group)

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
