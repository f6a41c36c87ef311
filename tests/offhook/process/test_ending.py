"""Tasks that are ended."""

import asyncio

from offhook.process.ending import end


async def test_a_task_that_drops_a_cancellation_is_cancelled_again() -> None:
    dropped = asyncio.Event()

    async def drops() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:  # as `asyncio.wait_for` may
            dropped.set()
        await asyncio.Event().wait()

    async def fails() -> None:
        raise ValueError("not raised again")

    tasks = [asyncio.create_task(drops()), asyncio.create_task(fails())]
    await asyncio.sleep(0)
    await end(tasks, again_s=0.01)
    assert dropped.is_set()
    assert tasks[0].cancelled()
    assert isinstance(tasks[1].exception(), ValueError)
    await end([])
