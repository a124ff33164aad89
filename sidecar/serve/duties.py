"""What the master's loop does beside starting workers, and what must neither end it nor hold it up.

Law: a duty that fails is said and begun again; a signal is heard, however many come before it; a file on a dead mount is read in a
thread of its own, within a bound; a task that is told to end does.
"""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sidecar.errors import XbotError

LOAD_SECONDS = 30.0  # a reload whose files are not read by then is refused: a mount may be dead
_AGAIN_SECONDS = 10.0  # from the failure of a duty to its next try
T = TypeVar("T")


async def lasting(name: str, duty: Callable[[], Awaitable[None]], log: Callable[[], Any]) -> None:
    """Do a duty until it is done, whatever it raises; the same failure is said once. `log` gives the log of then."""
    said = ""
    while True:
        try:
            await duty()
        except Exception as error:  # as no descriptor, no thread, no memory
            if said != (said := repr(error)):
                log().error("master error", duty=name, problem=said, next_try_seconds=_AGAIN_SECONDS)
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            return


def hear(number: signal.Signals, called: Callable[[], None], at_once: Callable[[], None] = lambda: None) -> None:
    """Have the loop that runs here call `called` for each signal of this number, and `at_once` called also while it stands still; one
    that comes when the loop has ended is let be. asyncio's own way is a byte in a pipe for each signal of any number: some hundreds
    fill it while the loop stands still, and the next is lost."""
    loop = asyncio.get_running_loop()

    def heard(*_: object) -> None:
        at_once()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(called)

    signal.signal(number, heard)
    signal.siginterrupt(number, False)


def wake_by_signals() -> None:
    """To be called before `hear`: whatever the loop waits for, and whichever thread a signal comes to, it wakes up."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, lambda: None)
    signal.set_wakeup_fd(signal.set_wakeup_fd(-1), warn_on_full_buffer=False)


async def in_time(read: Callable[[], T]) -> T:
    """What `read` returns in a thread of its own; XbotError if it does not within LOAD_SECONDS. The thread is left behind
    then, with what it reads; a process does not wait for it at its end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(set_: Callable[..., None], value: object) -> None:
        if not future.done():
            set_(value)

    def run() -> None:
        done: tuple[Callable[..., None], object]
        try:
            done = future.set_result, read()
        except BaseException as error:
            done = future.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, *done)

    # Thread.start() waits for the thread to begin, and for ever where it ends before, as it does without memory.
    _thread.start_new_thread(run, ())
    try:
        return await asyncio.wait_for(future, LOAD_SECONDS)
    except asyncio.TimeoutError:
        raise XbotError(f"configuration, lists and model: not read within {LOAD_SECONDS:g} s") from None


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancel `task`, and wait for its end. Until Python 3.12, wait_for() takes no notice of being cancelled in the moment in which
    what it waits for is done (cpython issue 86296): who then waits in a loop would never end. So it is told again."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)


def reason(error: Exception) -> str:
    """Why something was refused, in one line."""
    return str(error) if isinstance(error, XbotError) else repr(error)
