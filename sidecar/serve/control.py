"""How master and worker, and two masters (upgrade.py), talk: one JSON object a message, with descriptors beside it.

The pair is SOCK_SEQPACKET: messages keep their bounds, and the end of one side is the other's end of file,
also when it was killed. Master to worker: `start`, `serve`, `ping`, `drain`. Worker to master: `ready`,
`serve`, `pong`, `log`.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]
LARGEST = 1 << 16  # bytes of a message
_MOST_DESCRIPTORS = 250  # the kernel takes 253 a message


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends, neither inherited by a child unless it is passed on."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> bool:
    """Send one message; False when the other side is gone or does not read (its end is noticed elsewhere)."""
    try:
        socket.send_fds(sock, [json.dumps(message).encode()], list(descriptors))
    except OSError:
        return False
    return True


def receive(sock: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors, which are the caller's to close; None: the other side is gone.

    Raises BlockingIOError on a non-blocking socket with nothing to read.
    """
    try:
        data, descriptors, _, _ = socket.recv_fds(sock, LARGEST, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None
    return (json.loads(data), descriptors) if data else None
