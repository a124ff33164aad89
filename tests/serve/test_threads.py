"""A task that is told to end does, whatever it waits for in that moment."""

from __future__ import annotations

import asyncio

from sidecar.serve import threads
from sidecar.serve.master import Master


def test_a_task_that_takes_no_notice_is_told_again() -> None:
    """What happened: SIGTERM in the moment in which a reload had been read; the master waited for its duties for ever."""

    async def run() -> list[str]:
        read: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heard: list[str] = []

        async def duty() -> None:
            try:
                await read
            except asyncio.CancelledError:
                heard.append("and went on")  # as wait_for() did until Python 3.12
            await asyncio.Event().wait()

        task = asyncio.create_task(duty())
        await asyncio.sleep(0)
        await asyncio.wait_for(threads.ended(task), 10)
        assert task.cancelled()
        return heard

    assert asyncio.run(run()) == ["and went on"]


def test_a_reload_that_comes_with_the_end_is_forgotten() -> None:
    """What happened: SIGHUP and SIGTERM in one moment; the master asked again and again for what was still wanted, and heard nobody."""

    async def run() -> tuple[str | None, bool]:
        master = Master.__new__(Master)  # of it no more is looked at
        master.changing, master._stop_wanted, master._reload_wanted = asyncio.Lock(), asyncio.Event(), asyncio.Event()
        master._reload_wanted.set()
        master._stop_wanted.set()
        return await master.reload(), master._reload_wanted.is_set()

    assert asyncio.run(run()) == ("this master is draining", False)
