"""Memory that master and workers share: anonymous files (memfd), handed over as descriptors.

A model's bytes are sealed: nobody, the master included, can change them after the check, so the verified
bytes are exactly the bytes that are scored. Counters are writable, but their size is sealed.
"""

from __future__ import annotations

import fcntl
import os

_SIZE_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def sealed(name: str, data: bytes) -> int:
    """A new descriptor on `data`, which nobody can change from now on."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | _SIZE_SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def writable(name: str, size: int) -> int:
    """A new descriptor on `size` zero bytes that every holder may map and write, and nobody may resize."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SIZE_SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd
