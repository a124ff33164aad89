"""What happened to requests, as the proxy tells it: a thread that takes it from a datagram socket into the table of clients.

Law: it stands beside the requests and never in their way: a thread of the master, without the interpreter's lock, which waits in the
kernel (net/outcomes.pyx). Nobody waits for it either: what does not fit into the socket's queue is the sender's to drop.
"""

from __future__ import annotations

import mmap
import os
import socket
import threading
from typing import Any

from sidecar.core import Outcomes
from sidecar.net.outcomes import receive


class Receiver:
    """Of the messages of `sock`, for the table `clients` (a writable buffer); `clock` is a descriptor of its time, or None."""

    def __init__(self, sock: socket.socket, clients: memoryview, clock: int | None, log: Any) -> None:
        self._outcomes = Outcomes(clients, None if clock is None else memoryview(mmap.mmap(clock, 0)))
        self._sock = sock
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._log = log
        self._thread = threading.Thread(target=self._run, name="outcomes", daemon=True)

    def open(self) -> None:
        """Begin to take messages."""
        self._thread.start()

    def move(self, sock: socket.socket) -> None:
        """Take those of another socket from now on. Blocks for a moment."""
        self.close()
        self._thread.join()
        os.eventfd_read(self._stop)
        self._sock = sock
        self._thread = threading.Thread(target=self._run, name="outcomes", daemon=True)
        self.open()

    def close(self) -> None:
        """Take no more; what is in the socket's queue stays there, for whoever else has the socket."""
        os.eventfd_write(self._stop, 1)

    def _run(self) -> None:
        try:
            receive(self._outcomes, self._sock.fileno(), self._stop)
        except OSError as error:
            self._log.error("outcomes lost", reason=str(error))
