"""How a worker's process is made, and a new master's.

A worker runs the code that the master runs, however that was installed: isolated from the environment and the
working directory (-I), without the hooks of site-packages (-S), on the master's own import path. A new master is the
master's command line once more, with whatever lies on the disk by now.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import IO

import sidecar
from sidecar.serve.worker import IGNORED_SIGNALS

_BOOT = "import sys; sys.path[:] = sys.argv[2:]; from sidecar.serve.worker import main; main(int(sys.argv[1]))"


_FETCH = "import sys; sys.path[:] = sys.argv[1:]; from sidecar.verify.refresh import main; main()"


_LOOK_UP = "import sys; sys.path[:] = sys.argv[2:]; from sidecar.verify.lookups import main; main(int(sys.argv[1]))"


_SHARE = "import sys; sys.path[:] = sys.argv[2:]; from sidecar.site.exchange import main; main(int(sys.argv[1]))"


async def fetched(order: bytes, seconds: float) -> bytes:
    """What a process that fetches lists of networks says to an order (verify/refresh.py). It is killed after `seconds`, and when
    this task is cancelled. OSError if it cannot be started, TimeoutError if it was killed."""
    command = [sys.executable, "-I", "-S", "-c", _FETCH, *_import_path()]
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=nothing)
    try:
        said, _ = await asyncio.wait_for(process.communicate(order), seconds)
    except asyncio.TimeoutError:
        raise TimeoutError(f"not done after {seconds:g} seconds") from None
    finally:
        if process.returncode is None:
            process.kill()
    return said


@contextlib.asynccontextmanager
async def _helping(code: str, order: bytes, table: int, says: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that works on the table of this descriptor by an order, until the end of the context, where it is killed."""
    command = [sys.executable, "-I", "-S", "-c", code, str(table), *_import_path()]
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=says, stderr=nothing, pass_fds=[table])
    try:
        if process.stdin is not None:  # it is there: see above
            process.stdin.write(order)
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def looking_up(order: bytes, table: int) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """A process that looks names up by an order (verify/lookups.py), and writes what it finds into the table of this descriptor.
    It is killed at the end. OSError if it cannot be started."""
    return _helping(_LOOK_UP, order, table, asyncio.subprocess.DEVNULL)


def sharing(order: bytes, table: int) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """A process that shares the table of this descriptor by an order (site/exchange.py), and says on its standard output how it goes.
    It is killed at the end. OSError if it cannot be started."""
    return _helping(_SHARE, order, table, asyncio.subprocess.PIPE)


def worker(control: socket.socket) -> subprocess.Popen[bytes]:
    """Start a worker on its end of the control pair, its only inherited descriptor. OSError if that fails."""
    command = [sys.executable, "-I", "-S", "-c", _BOOT, str(control.fileno()), *_import_path()]
    with _blocked_signals():
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[control.fileno()])


def successor(channel: socket.socket, stderr: IO[bytes], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a new master by this process' command line, with `channel` inherited. OSError if that fails."""
    command = [sys.executable, *sys.orig_argv[1:]]
    environment = {**os.environ, **environment}
    with _blocked_signals():
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=stderr, pass_fds=[channel.fileno()], env=environment
        )


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """A child made herein starts with these signals blocked, until it says itself what is to become of them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@functools.cache
def _import_path() -> list[str]:
    """The master's import path in absolute terms, and at its end where this package lies."""
    here = str(Path(sidecar.__file__).absolute().parent.parent)
    return list(dict.fromkeys([*(str(Path(entry).absolute()) for entry in sys.path if entry), here]))


def how_it_ended(code: int) -> str:
    """A process's return code in words, such as `SIGKILL` or `exit status 1`."""
    if code >= 0:
        return f"exit status {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
