"""How master and worker, and two masters (upgrade.py), talk: one JSON object a message, with descriptors beside it.

The pair is SOCK_SEQPACKET: messages keep their bounds, and the end of one side is the other's end of file,
also when it was killed. Master to worker: `start`, `serve`, `ping`, `drain`. Worker to master: `ready`,
`serve`, `pong`, `log`. Each descriptor has a name in its message; who does not know a name leaves it, and it is closed.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Any

Message = dict[str, Any]
LARGEST = 1 << 17  # bytes of a message; the paths of all sockets fit in one
_MOST_DESCRIPTORS = 250  # the kernel takes 253 a message


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends, neither inherited by a child unless it is passed on."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Descriptors(dict[str, int]):
    """By name, those that came with a message. `pop` is who takes one; with the `with` block the others are closed."""

    def __enter__(self) -> Descriptors:
        return self

    def __exit__(self, *_: object) -> None:
        while self:
            os.close(self.popitem()[1])


def send(sock: socket.socket, message: Message, descriptors: Mapping[str, int] | None = None) -> bool:
    """Send one message; False when the other side is gone or does not read (its end is noticed elsewhere)."""
    named = descriptors or {}
    try:
        socket.send_fds(sock, [json.dumps({**message, "descriptors": [*named]}).encode()], [*named.values()])
    except OSError:
        return False
    return True


def receive(sock: socket.socket) -> tuple[Message, Descriptors] | None:
    """The next message and its descriptors; None: the other side is gone.

    Raises BlockingIOError on a non-blocking socket with nothing to read.
    """
    try:
        data, descriptors, _, _ = socket.recv_fds(sock, LARGEST, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None
    if not data:
        return None
    message = json.loads(data)
    return message, Descriptors(zip(message.pop("descriptors"), descriptors, strict=True))
