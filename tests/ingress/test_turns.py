"""A few webhooks a turn: in the order they came, whoever gives up."""

import asyncio
from collections import Counter
from collections.abc import Coroutine

import pytest

from offhook.ingress.turns import Turns


def _waits(work: Coroutine[None, None, None]) -> bool:
    """Whether it does not end in one go; then it is left."""
    try:
        work.send(None)
    except StopIteration:
        return False
    work.close()
    return True


@pytest.mark.parametrize("a_turn", [1, 3])
async def test_nobody_waits_while_a_turn_has_room(a_turn: int) -> None:
    turns = Turns(a_turn)
    assert [_waits(turns.mine()) for _ in range(a_turn + 1)] == [False] * a_turn + [True]


@pytest.mark.parametrize("a_turn", [1, 3])
async def test_those_that_come_together_share_turns_of_the_loop(a_turn: int) -> None:
    turns = Turns(a_turn)
    turn = 0
    had: list[tuple[str, int]] = []

    async def work(name: str) -> None:
        await turns.mine()
        had.append((name, turn))

    tasks = [asyncio.create_task(work(name)) for name in "abcdefgh"]
    while not all(task.done() for task in tasks):
        turn += 1
        await asyncio.sleep(0)

    assert [name for name, _ in had] == list("abcdefgh")
    assert max(Counter(when for _, when in had).values()) == a_turn


async def test_one_that_gives_up_leaves_its_turn_to_the_next() -> None:
    turns = Turns(1)
    had: list[str] = []

    async def work(name: str) -> None:
        await turns.mine()
        had.append(name)

    tasks = [asyncio.create_task(work(name)) for name in "abc"]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert had == ["a", "c"]
    assert not _waits(turns.mine())  # and the turns are free again
