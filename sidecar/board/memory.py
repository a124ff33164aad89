"""Memory without a name (memfd), which master and workers share by its descriptor.

What is served is sealed: nobody, the master included, can change it after the check, so the verified bytes are exactly
the bytes that are scored. Counters are writable, but their size is sealed: nobody can cut off what others have mapped.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os

_SIZE_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def sealed(name: str, data: bytes) -> int:
    """A new descriptor on `data`, which nobody can change from now on."""
    return _made(name, data, fcntl.F_SEAL_WRITE | _SIZE_SEALS)


def writable(name: str, data: bytes, size: int = 0) -> int:
    """A new descriptor on `data`, and zeros behind it up to `size` bytes: every holder may map and write it, and nobody may
    resize it."""
    return _made(name, data, _SIZE_SEALS, size)


def mapped(fd: int) -> memoryview:
    """All of the memory behind `fd`, writable. In large pages where the system gives them to shared memory that asks
    (/sys/kernel/mm/transparent_hugepage/shmem_enabled: advise): a table of many clients is read all over."""
    shared = mmap.mmap(fd, 0)
    with contextlib.suppress(OSError, AttributeError):  # a kernel, or a C library, without them
        shared.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(shared)


def write(fd: int, data: bytes | memoryview) -> None:
    """Write all of `data`. OSError where there is no room."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _made(name: str, data: bytes, seals: int, size: int = 0) -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        write(fd, data)
        os.ftruncate(fd, max(size, len(data)))  # zeros that nobody touches take no memory
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(fd)
        raise
    return fd
