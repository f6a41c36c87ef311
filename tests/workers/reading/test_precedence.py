"""A worker's sessions that have little to do go first; of the others few are at work at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from offhook.codec.facts import encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import CallTranscription, Decided
from offhook.jetstream.log import Appended
from offhook.jetstream.subjects import Side
from offhook.process.ending import end
from offhook.process.slices import Slices
from offhook.workers.reading import precedence as precedence_module
from offhook.workers.reading.cache import PAGE_S
from offhook.workers.reading.precedence import LONG_AT_ONCE, SLOT_WAIT_SHARE, Precedence
from offhook.workers.sessions.settle import DECISION_S, FEW_MAX
from tests.memory_log import MemoryLog
from tests.workers.sessions.stand import ScriptedCarrier, settler_on

TURNS_OF_THE_LOOP = 50
FOREVER_S = 1e6


@pytest.fixture
def waits_are_unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precedence_module, "WAIT_SHARE", FOREVER_S)
    monkeypatch.setattr(precedence_module, "WAIT_MAX_S", FOREVER_S)
    monkeypatch.setattr(precedence_module, "SLOT_WAIT_SHARE", FOREVER_S)


@pytest.mark.usefixtures("waits_are_unbounded")
async def test_a_long_session_waits_until_no_short_one_is_at_work() -> None:
    precedence, done = Precedence(), asyncio.Event()
    long = asyncio.create_task(_long(precedence, done))
    with precedence.at_work():
        await _turns()
        assert not done.is_set()
        with precedence.elsewhere():
            await long
    assert done.is_set()


async def test_a_long_session_goes_on_although_a_short_one_is_always_at_work() -> None:
    precedence, done = Precedence(), asyncio.Event()
    with precedence.at_work():
        await _long(precedence, done)
    assert done.is_set()


@pytest.mark.usefixtures("waits_are_unbounded")
async def test_a_session_that_is_not_long_any_more_waits_for_nobody() -> None:
    precedence = Precedence()
    with precedence.at_work():

        async def was_long() -> None:
            with precedence.at_work():
                with precedence.long():
                    pass
                await precedence.give_way(1.0)

        await asyncio.create_task(was_long())


@pytest.mark.usefixtures("waits_are_unbounded")
async def test_a_long_session_waits_between_slices_of_work() -> None:
    precedence, sliced = Precedence(), 0

    async def work() -> None:
        nonlocal sliced
        with precedence.at_work(), precedence.long():
            slices = Slices(slice_s=0.0)
            for _ in range(3):
                await slices.yield_if_due()
                sliced += 1

    with precedence.at_work():
        task = asyncio.create_task(work())
        await _turns()
        assert sliced == 0
    await task
    assert sliced == 3


@pytest.mark.usefixtures("waits_are_unbounded")
@pytest.mark.parametrize("before_step", [Precedence.before_decision, Precedence.before_page])
async def test_a_few_long_sessions_decide_or_read_at_a_time_one_after_the_other(
    before_step: Callable[[Precedence, float], Awaitable[None]],
) -> None:
    precedence, at_once, steps = Precedence(), 0, list[int]()

    async def work(number: int) -> None:
        nonlocal at_once
        with precedence.at_work():
            precedence.stay_long()
            for _ in range(4):
                await before_step(precedence, DECISION_S)
                at_once += 1
                assert at_once <= LONG_AT_ONCE
                steps.append(number)
                await asyncio.sleep(0)
                at_once -= 1

    await asyncio.gather(*(work(number) for number in range(6)))
    for until in range(len(steps)):
        counts = [steps[:until].count(number) for number in range(6)]
        assert max(counts) - min(counts) <= 2, steps


@pytest.mark.usefixtures("waits_are_unbounded")
async def test_a_long_session_that_is_cancelled_leaves_its_slot_to_others() -> None:
    precedence, decided = Precedence(), asyncio.Event()

    async def decide() -> None:
        with precedence.at_work():
            precedence.stay_long()
            await precedence.before_decision(DECISION_S)
            decided.set()

    async with _steps_that_do_not_end(precedence, LONG_AT_ONCE + 3):
        pass
    async with _steps_that_do_not_end(precedence, LONG_AT_ONCE - 1):
        task = asyncio.create_task(decide())
        await _turns()
        assert decided.is_set()
        await task


@pytest.mark.usefixtures("waits_are_unbounded")
async def test_reading_a_long_session_waits_for_none_that_decides() -> None:
    precedence, slices_read = Precedence(), 0

    async def read() -> None:
        nonlocal slices_read
        with precedence.at_work(), precedence.long():
            slices = Slices(slice_s=0.0)
            for _ in range(100):
                await precedence.before_page(PAGE_S)
                await slices.yield_if_due()
                slices_read += 1

    async with _steps_that_do_not_end(precedence, LONG_AT_ONCE + 1):
        task = asyncio.create_task(read())
        for _ in range(100):
            await _turns()
        assert slices_read == 100
        await task


@pytest.mark.parametrize("before_step", [Precedence.before_decision, Precedence.before_page])
async def test_a_step_waits_for_other_long_sessions_in_proportion_to_what_it_takes(
    before_step: Callable[[Precedence, float], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    precedence, loop, decided = Precedence(), asyncio.get_running_loop(), 0
    now = loop.time()

    async def decide() -> None:
        nonlocal decided
        with precedence.at_work():
            precedence.stay_long()
            for _ in range(3):
                await before_step(precedence, DECISION_S)
                decided += 1

    async with _steps_that_do_not_end(precedence, LONG_AT_ONCE + 1, before_step):
        monkeypatch.setattr(loop, "time", lambda: now)
        task = asyncio.create_task(decide())
        for expected in range(3):
            await _turns()
            assert decided == expected
            now += DECISION_S * SLOT_WAIT_SHARE
        await task


class _SlowLog(MemoryLog):
    """Lets others run at each append, and keeps those of the short session until `is_open`."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reached, self.is_open = asyncio.Event(), asyncio.Event()

    async def append(self, session_id: str, side: Side, *args: Any, **more: Any) -> Appended:
        await asyncio.sleep(0)
        if (session_id, side) == ("short", "out"):
            self.is_reached.set()
            await self.is_open.wait()
        return await super().append(session_id, side, *args, **more)

    async def causes(self, session_id: str) -> list[int]:
        """What was decided on, in that order."""
        facts = [each.fact for each in await self.read(session_id)]
        return [each.cause_seq for each in facts if isinstance(each, Decided)]


@pytest.mark.usefixtures("waits_are_unbounded")
async def test_a_session_that_catches_up_stands_still_while_a_call_is_decided_on() -> None:
    log = _SlowLog()
    settler = settler_on(log, ScriptedCarrier(log))
    arrived = await _arrive(log, "long", 10 * FEW_MAX)
    catching_up = asyncio.create_task(settler.settle("long"))
    while len(await log.causes("long")) < FEW_MAX:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await _arrive(log, "short", 1)
    call = asyncio.create_task(settler.settle("short"))
    await log.is_reached.wait()
    before = len(await log.causes("long"))
    await _turns()
    assert len(await log.causes("long")) - before <= 1, "one may have been on its way"
    assert not catching_up.done()
    log.is_open.set()
    await asyncio.gather(call, catching_up)
    assert await log.causes("long") == arrived


async def _long(precedence: Precedence, done: asyncio.Event) -> None:
    with precedence.at_work(), precedence.long():
        await precedence.give_way(0.001)
        done.set()


@asynccontextmanager
async def _steps_that_do_not_end(
    precedence: Precedence,
    count: int,
    before_step: Callable[[Precedence, float], Awaitable[None]] = Precedence.before_decision,
) -> AsyncIterator[None]:
    """Of so many long sessions, whose log does not answer. Some wait for a slot."""

    async def decide() -> None:
        with precedence.at_work():
            precedence.stay_long()
            await before_step(precedence, DECISION_S)
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(decide()) for _ in range(count)]
    await _turns()
    try:
        yield
    finally:
        await end(tasks)


async def _turns() -> None:
    for _ in range(TURNS_OF_THE_LOOP):
        await asyncio.sleep(0)


async def _arrive(log: MemoryLog, session_id: str, count: int) -> list[int]:
    """Events of a call. Returns their positions."""
    positions = []
    for number in range(count):
        event = CallTranscription(
            event_id=f"{session_id}-{number}",
            call_control_id=f"v3:{session_id}",
            call_session_id=session_id,
        )
        encoded = encoded_webhook(wire_body(event), event.event_id)
        positions.append((await log.append(session_id, "in", encoded)).seq)
    return positions
