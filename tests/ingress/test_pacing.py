"""A few webhooks per iteration of the event loop, in order, whichever of them are cancelled."""

import asyncio
from collections import Counter
from collections.abc import Coroutine

import pytest

from offhook.ingress.pacing import Pacer


def _waits(work: Coroutine[None, None, None]) -> bool:
    """Whether the coroutine suspends instead of finishing; closes it then."""
    try:
        work.send(None)
    except StopIteration:
        return False
    work.close()
    return True


@pytest.mark.parametrize("per_iteration", [1, 3])
async def test_nobody_waits_while_the_iteration_has_room(per_iteration: int) -> None:
    pacer = Pacer(per_iteration)
    waits = [_waits(pacer.admit()) for _ in range(per_iteration + 1)]
    assert waits == [False] * per_iteration + [True]


@pytest.mark.parametrize("per_iteration", [1, 3])
async def test_those_that_arrive_together_are_spread_over_iterations(per_iteration: int) -> None:
    pacer = Pacer(per_iteration)
    iteration = 0
    admitted: list[tuple[str, int]] = []

    async def work(name: str) -> None:
        await pacer.admit()
        admitted.append((name, iteration))

    tasks = [asyncio.create_task(work(name)) for name in "abcdefgh"]
    while not all(task.done() for task in tasks):
        iteration += 1
        await asyncio.sleep(0)

    assert [name for name, _ in admitted] == list("abcdefgh")
    assert max(Counter(when for _, when in admitted).values()) == per_iteration


async def test_a_cancelled_one_leaves_its_room_to_the_next() -> None:
    pacer = Pacer(1)
    admitted: list[str] = []

    async def work(name: str) -> None:
        await pacer.admit()
        admitted.append(name)

    tasks = [asyncio.create_task(work(name)) for name in "abc"]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert admitted == ["a", "c"]
    assert not _waits(pacer.admit())  # and there is room again
