"""Long work lets other tasks run, and short work does not go round the loop."""

import asyncio

import pytest

from offhook.process.slices import SLICE_S, Slices


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
