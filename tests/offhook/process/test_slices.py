"""Long work lets other tasks run, and short work does not go round the loop."""

import asyncio

import pytest

from offhook.process.slices import BATCH_SLICE_S, SLICE_S, TURNS, TURNS_S, Slices


async def test_others_run_once_a_slice_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("offhook.process.slices.time.perf_counter", lambda: now)
    ran: list[float] = []
    loop = asyncio.get_running_loop()
    work = Slices()
    loop.call_soon(lambda: ran.append(now))
    for _ in range(10):
        await work.yield_if_due()
    assert ran == []
    now = SLICE_S
    await work.yield_if_due()
    assert ran == [SLICE_S]
    loop.call_soon(lambda: ran.append(now))
    await work.yield_if_due()
    assert ran == [SLICE_S], "a new slice has begun"


async def test_where_no_call_waits_slices_are_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    now, turns = 0.0, 0
    monkeypatch.setattr("offhook.process.slices.time.perf_counter", lambda: now)
    work = Slices.of_batch()

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    now = SLICE_S
    await work.yield_if_due()
    assert turns == 0
    now = BATCH_SLICE_S
    await work.yield_if_due()
    assert turns == 1
    task.cancel()


@pytest.mark.parametrize(("turn_s", "turns"), [(0.0, TURNS), (TURNS_S * 0.4, 3)])
async def test_others_get_several_turns_in_between_but_not_too_much_time(
    monkeypatch: pytest.MonkeyPatch, turn_s: float, turns: int
) -> None:
    now, taken = 0.0, 0
    monkeypatch.setattr("offhook.process.slices.time.perf_counter", lambda: now)
    work = Slices()

    async def other() -> None:
        nonlocal now, taken
        while True:
            await asyncio.sleep(0)
            now, taken = now + turn_s, taken + 1

    task = asyncio.create_task(other())
    await asyncio.sleep(0)
    now, taken = SLICE_S, 0
    await work.yield_if_due()
    task.cancel()
    assert taken == turns
