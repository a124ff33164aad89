"""What may wait for ever: a file on a dead mount is read in a thread of its own, within a bound; a task is made to end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from sidecar.errors import XbotError

LOAD_SECONDS = 30.0  # a reload whose files are not read by then is refused: a mount may be dead
T = TypeVar("T")


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

    threading.Thread(target=run, name="reload", daemon=True).start()
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
