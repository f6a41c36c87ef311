"""One webhook a turn: in the order they came, one each turn of the loop, whoever gives up."""

import asyncio

from ingress.turns import Turns


async def test_the_first_one_does_not_wait() -> None:
    turns = Turns()
    waiting = turns.mine()
    try:
        waiting.send(None)
    except StopIteration:
        return
    raise AssertionError("a free turn was waited for")


async def test_those_that_come_together_have_a_turn_of_the_loop_each() -> None:
    turns = Turns()
    turn = 0
    had: list[tuple[str, int]] = []

    async def work(name: str) -> None:
        await turns.mine()
        had.append((name, turn))

    tasks = [asyncio.create_task(work(name)) for name in "abcd"]
    while not all(task.done() for task in tasks):
        turn += 1
        await asyncio.sleep(0)

    assert [name for name, _ in had] == list("abcd")
    assert len({when for _, when in had}) == 4


async def test_one_that_gives_up_leaves_its_turn_to_the_next() -> None:
    turns = Turns()
    had: list[str] = []

    async def work(name: str) -> None:
        await turns.mine()
        had.append(name)

    tasks = [asyncio.create_task(work(name)) for name in "abc"]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert had == ["a", "c"]
    await asyncio.wait_for(turns.mine(), 1)  # and the turns are free again
