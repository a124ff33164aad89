"""The addresses that a configuration names, `unix:PATH` and `HOST:PORT`, and the groups of their files.

Law: text in, checked values out; no socket is made here (serve/listeners.py does).
"""

from __future__ import annotations

import grp
import os
from dataclasses import dataclass
from pathlib import Path

from sidecar.errors import XbotError

LONGEST_PATH = 107  # bytes of the path of a Unix socket


@dataclass(frozen=True)
class UnixAddress:
    """A path; `unix:PATH`."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True)
class TcpAddress:
    """A host (name, IPv4 or IPv6) and a port; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Address = UnixAddress | TcpAddress


def parse(text: str) -> Address:
    """`unix:PATH`, `HOST:PORT` or `[IPV6]:PORT`; XbotError says what is wrong with anything else."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise XbotError(f"{text!r}: no path after unix:")
        if len(os.fsencode(Path(path).absolute())) > LONGEST_PATH:
            raise XbotError(f"{text!r}: the path of a Unix socket has at most {LONGEST_PATH} bytes")
        return UnixAddress(Path(path).absolute())
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise XbotError(f"{text!r}: write an IPv6 address in brackets, as in [::1]:8080")
    if not colon or not host:
        raise XbotError(f"{text!r} is neither unix:PATH nor HOST:PORT")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise XbotError(f"{text!r}: {port!r} is not a port (0-65535)")
    return TcpAddress(host, int(port))


def unix(option: str, path: str) -> UnixAddress:
    """The address of a path that an option names; XbotError if it cannot be that of a socket."""
    try:
        parse(f"unix:{path}")
    except XbotError as error:
        raise XbotError(f"{option}: {error}") from None
    return UnixAddress(Path(path).absolute())


def group_id(group: str) -> int:
    """The number of a group that is given by name or number; XbotError if there is none."""
    try:
        return int(group) if group.isascii() and group.isdigit() and len(group) < 10 else grp.getgrnam(group).gr_gid
    except KeyError:
        raise XbotError(f"no group named {group!r}") from None
