"""A task that is told to end does, whatever it waits for in that moment."""

from __future__ import annotations

import asyncio

from sidecar.serve import threads


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
