"""Slots that are lent while their holder waits."""

import asyncio
from collections.abc import Awaitable

from offhook.workers.intake.slots import Slots


async def within_a_moment(work: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(0.01):
            await work
    except TimeoutError:
        return False
    return True


async def test_who_comes_back_to_a_lent_slot_need_not_queue() -> None:
    slots = Slots(1)
    await slots.take()
    async with slots.lent():
        assert await within_a_moment(slots.take())
    # Two are at work now, so the next one waits until both are done.
    slots.leave()
    assert slots.all_taken()
    assert not await within_a_moment(slots.take())
    slots.leave()
    assert await within_a_moment(slots.take())


async def test_a_lent_slot_that_nobody_took_is_simply_taken_back() -> None:
    slots = Slots(1)
    await slots.take()
    async with slots.lent():
        assert not slots.all_taken()
    assert slots.all_taken()
    slots.leave()
    assert not slots.all_taken()
