"""The three things systemd and a service say to each other: listening sockets, state, and signs of life.

Sources: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3). The protocols are a few lines over the
environment; the Python packages for them are either no longer kept or need libsystemd to compile. The
variables are removed once read, so that no child takes them for its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time

_FIRST_FD = 3


def listening_sockets() -> list[socket.socket]:
    """The sockets that systemd opened for this process; none at a second call."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    sockets = [socket.socket(fileno=fd) for fd in range(_FIRST_FD, _FIRST_FD + int(count))]
    for sock in sockets:
        sock.set_inheritable(False)
    return sockets


class Notifier:
    """Sends state to systemd; does nothing where there is none."""

    def __init__(self) -> None:
        address = os.environ.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        pid, period = os.environ.pop("WATCHDOG_PID", ""), os.environ.pop("WATCHDOG_USEC", "")
        self._given = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": period}
        ours = period.isdigit() and pid in ("", str(os.getpid()))
        self.watchdog_seconds: float | None = int(period) / 1e6 if ours and self._address else None

    def ready(self, status: str) -> None:
        """The service serves, or serves again after a reload."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload has begun; ready() ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def environment(self) -> dict[str, str]:
        """The variables by which another process of the service finds systemd; WATCHDOG_PID binds them to nobody."""
        return {name: value for name, value in self._given.items() if value}

    def hand_over(self, pid: int) -> None:
        """The service's main process is another one: from now on it speaks, and this one is silent."""
        self._send(f"MAINPID={pid}")
        self._address = ""

    def stopping(self) -> None:
        """The service drains."""
        self._send("STOPPING=1\nSTATUS=draining")

    async def stay_alive(self) -> None:
        """Tell the watchdog for ever, at half its period, that the loop turns."""
        while self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_seconds / 2)

    def _send(self, state: str) -> None:
        if self._address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.connect(self._address)
                sock.send(state.encode())
