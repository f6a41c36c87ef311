"""The dispatcher, while another worker has a session's lease."""

import asyncio
from dataclasses import replace

import pytest

from offhook.workers.intake import dispatcher as module
from offhook.workers.intake.handover import HandoverAnswer
from offhook.workers.sessions.settle import HeldElsewhere
from tests.workers.intake.dispatching import (
    DRAIN_S,
    HELD,
    Bench,
    FakeDelivery,
    until,
    until_answered,
)

LONG_S = 600.0


async def test_a_held_session_is_handed_to_its_worker_and_kept_and_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HANDED_OVER_S", 0.01)
    bench = Bench(slots_max=1)
    bench.settler.script["s"] = [HELD, HELD]
    beating = asyncio.create_task(bench.dispatcher.heartbeat(0.001))
    delivery = await bench.take()
    await until_answered(delivery)
    beating.cancel()
    assert bench.handed_over == [("w2", "s")] * 2
    assert delivery.answers == ["ack"], "it was not given back meanwhile"
    assert delivery.heartbeats > 0
    assert bench.settler.voids == []


@pytest.fixture
def held_for_long(monkeypatch: pytest.MonkeyPatch) -> HeldElsewhere:
    """The session is not looked at again while the test runs, unless there is news."""
    monkeypatch.setattr(module, "HANDED_OVER_S", LONG_S)
    return replace(HELD, for_s=2 * LONG_S)


async def test_while_another_worker_holds_a_session_its_place_is_free() -> None:
    bench = Bench(slots_max=1)
    bench.settler.script["s"] = [HELD]
    await bench.take()
    await until(lambda: bench.handed_over)
    other = await bench.take("other")
    await until_answered(other)
    assert other.answers == ["ack"]


async def test_news_for_a_session_held_elsewhere_are_handed_over_at_once(
    held_for_long: HeldElsewhere,
) -> None:
    bench = Bench()
    bench.settler.script["s"] = [held_for_long, replace(HELD, for_s=0.01)]
    first = await bench.take(seq=1)
    await until(lambda: len(bench.handed_over) == 1)
    second = await bench.take(seq=2)
    await until(lambda: len(bench.handed_over) == 2)
    await until_answered(first, second)
    assert bench.settler.settled == [("s", 1), ("s", 2), ("s", 2)]


async def test_a_session_whose_worker_is_gone_is_settled_at_once() -> None:
    bench = Bench()
    bench.answer = HandoverAnswer.GONE
    bench.settler.script["s"] = [HELD]
    delivery = await bench.take()
    await until_answered(delivery)
    assert delivery.answers == ["ack"]
    assert bench.settler.voids == [7]
    assert len(bench.settler.settled) == 2


async def test_deliveries_that_another_worker_has_taken_are_its_to_answer() -> None:
    bench = Bench()
    bench.answer = HandoverAnswer.TAKEN
    bench.settler.script["s"] = [HELD]
    beating = asyncio.create_task(bench.dispatcher.heartbeat(0.001))
    delivery = await bench.take()
    await until(lambda: bench.handed_over and bench.dispatcher.room() == 8)
    beats = delivery.heartbeats
    await asyncio.sleep(0.02)
    beating.cancel()
    assert delivery.answers == []
    assert delivery.heartbeats == beats
    assert len(bench.settler.settled) == 1


async def test_a_delivery_taken_from_another_worker_is_settled_and_answered_here() -> None:
    bench = Bench()
    bench.settler.gate.clear()
    first = await bench.take(seq=1)
    await until(lambda: bench.settler.running)
    taken = FakeDelivery(session_id="s", seq=2)
    assert bench.dispatcher.take_over("s", [taken])
    beating = asyncio.create_task(bench.dispatcher.heartbeat(0.001))
    await until(lambda: taken.heartbeats)
    beating.cancel()
    bench.settler.gate.set()
    await until_answered(first, taken)
    assert taken.answers == ["ack"]
    assert bench.settler.settled == [("s", 1), ("s", 2)]


async def test_no_more_deliveries_are_kept_for_others_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, held_for_long: HeldElsewhere
) -> None:
    monkeypatch.setattr(module, "HANDED_OVER_MAX", 1)
    bench = Bench()
    bench.settler.script = {"a": [held_for_long], "b": [held_for_long]}
    kept = await bench.take("a")
    await until(lambda: bench.handed_over)
    given_back = await bench.take("b")
    await until_answered(given_back)
    assert given_back.answers == [LONG_S]
    assert kept.answers == []
    await bench.dispatcher.drain(DRAIN_S)


async def test_draining_gives_back_what_waits_for_another_worker(
    held_for_long: HeldElsewhere,
) -> None:
    bench = Bench()
    bench.settler.script["s"] = [held_for_long]
    delivery = await bench.take()
    await until(lambda: bench.handed_over)
    await bench.dispatcher.drain(DRAIN_S)
    assert delivery.answers == [0]
