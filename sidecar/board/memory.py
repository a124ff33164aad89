"""Memory without a name (memfd), which master and workers share by its descriptor.

What is served is sealed: nobody, the master included, can change it after the check, so the verified bytes are exactly
the bytes that are scored. Counters are writable, but their size is sealed: nobody can cut off what others have mapped.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os

LARGE_PAGE = 1 << 21  # bytes
_NONE, _FIXED, _POPULATE_WRITE, _COLLAPSE = 0, 0x10, 23, 25  # Linux: <linux/mman.h>
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


def gather(fd: int) -> bool:
    """Put the memory behind `fd` into large pages, whatever the system gives to memory that asks, and so take all of it; others may use it
    meanwhile. It takes time: some 0.1 s for 100 MiB. False where there are none: a kernel before 6.1, or none left; then no harm is done.
    Who maps it at a multiple of LARGE_PAGE has fewer pages to find."""
    import ctypes  # here: workers need it not

    c = ctypes.CDLL(None, use_errno=True)
    c.mmap.restype = ctypes.c_void_p
    c.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    c.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    c.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    size = os.fstat(fd).st_size // LARGE_PAGE * LARGE_PAGE
    room = c.mmap(None, size + LARGE_PAGE, _NONE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if not size or room in (None, ctypes.c_void_p(-1).value):
        return False
    at = -(-room // LARGE_PAGE) * LARGE_PAGE
    shared = c.mmap(at, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | _FIXED, fd, 0)
    pages = range(at, at + size, LARGE_PAGE) if shared == at else ()
    done = all(not c.madvise(page, LARGE_PAGE, how) for page in pages for how in (_POPULATE_WRITE, _COLLAPSE))
    c.munmap(room, size + LARGE_PAGE)
    return shared == at and done


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
