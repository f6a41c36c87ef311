"""Dispatcher: what becomes of deliveries while sessions are settled, as a script says."""

import asyncio
from datetime import timedelta

import pytest

from offhook.events import CallAnswered, Record, WebhookReceived
from offhook.jetstream.timetable import Alarm
from offhook.workers.intake import dispatcher
from offhook.workers.intake.dispatcher import RETRY_MAX_S
from offhook.workers.reading.silence import ARRIVED_MAX
from tests.workers.intake.dispatching import (
    DRAIN_S,
    NOW,
    TIMEOUT_S,
    Bench,
    FakeDelivery,
    until,
    until_answered,
)


async def test_an_alarm_is_told_to_who_settles_and_is_no_record_to_look_for() -> None:
    bench = Bench()
    alarm = Alarm(session_id="s", timer_id="1-0", decided_seq=2, rang_at=NOW)
    delivery = FakeDelivery(session_id="s", seq=0, alarm=alarm)
    await bench.dispatcher.take(delivery)
    await until_answered(delivery)
    assert bench.settler.settled == [("s", 0)]
    assert bench.settler.alarms == [alarm]
    assert delivery.answers == ["ack"]


@pytest.mark.parametrize("may_begin", [False, True])
async def test_who_settles_is_told_that_a_session_may_be_new(may_begin: bool) -> None:
    bench = Bench()
    delivery = FakeDelivery(session_id="s", may_begin=may_begin)
    await bench.dispatcher.take(delivery)
    await until_answered(delivery)
    assert bench.settler.new == (["s"] if may_begin else [])


@pytest.mark.parametrize(("count", "decoded"), [(ARRIVED_MAX, ARRIVED_MAX), (ARRIVED_MAX + 1, 0)])
async def test_who_settles_is_told_what_has_arrived_and_when(count: int, decoded: int) -> None:
    """The records only if they are few."""
    bench = Bench()
    bench.settler.gate.clear()
    first = await bench.take()
    await until(lambda: bench.settler.settled)
    fact = WebhookReceived(event=CallAnswered(event_id="e", call_control_id="v3:a"))
    deliveries = [
        FakeDelivery(
            session_id="s",
            at=NOW + timedelta(seconds=each),
            arrived=Record(seq=each, stored_at=NOW, session_id="s", fact=fact, fact_id="e"),
        )
        for each in range(count)
    ]
    for delivery in deliveries:
        await bench.dispatcher.take(delivery)
    bench.settler.gate.set()
    await until_answered(first)
    await until_answered(deliveries[-1])
    assert len(bench.settler.arrived) == decoded
    assert bench.settler.woken_at == [deliveries[-1].at]


async def test_deliveries_join_a_session_that_is_stored_at_its_rest() -> None:
    bench = Bench()
    bench.settler.gate.clear()
    resting = asyncio.create_task(bench.dispatcher.rest("s"))
    await until(lambda: bench.settler.rested)
    delivery = await bench.take("s", seq=7)
    await bench.dispatcher.rest("s")  # it does not rest: nothing is to be done
    assert not resting.done()
    bench.settler.gate.set()
    await until_answered(delivery)
    await resting
    assert bench.settler.rested == ["s"]
    assert bench.settler.settled == [("s", 0), ("s", 7)]


async def test_a_session_at_rest_that_is_taken_up_again_does_not_hold_up_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatcher, "RESTING_S", 0.01)
    bench = Bench()
    bench.settler.gate.clear()
    await bench.dispatcher.rest("s")
    assert bench.settler.running == ["s"]
    bench.settler.gate.set()


async def test_a_session_that_rests_waits_for_a_slot_and_is_left_at_the_end() -> None:
    bench = Bench(slots_max=1)
    bench.settler.gate.clear()
    await bench.take("other")
    await until(lambda: bench.settler.running)
    resting = asyncio.create_task(bench.dispatcher.rest("s"))
    await asyncio.sleep(0)
    assert bench.settler.rested == []
    bench.settler.gate.set()
    await resting
    assert bench.settler.rested == ["s"]
    await bench.dispatcher.drain(DRAIN_S)
    await bench.dispatcher.rest("another")
    assert bench.settler.rested == ["s"]


async def test_a_settled_delivery_is_acknowledged_last() -> None:
    bench = Bench()
    bench.settler.gate.clear()
    delivery = await bench.take(seq=7)
    await until(lambda: bench.settler.running)
    assert delivery.answers == []
    bench.settler.gate.set()
    await until_answered(delivery)
    assert delivery.answers == ["ack"]
    assert bench.settler.settled == [("s", 7)]


async def test_a_session_has_one_lane_and_later_deliveries_join_it() -> None:
    bench = Bench()
    bench.settler.gate.clear()
    first = await bench.take(seq=1)
    await until(lambda: bench.settler.running)
    later = [await bench.take(seq=seq) for seq in (2, 3)]
    bench.settler.gate.set()
    await until_answered(first, *later)
    # Looked at once more for both, and they were not acknowledged with the first.
    assert bench.settler.settled == [("s", 1), ("s", 3)]


async def test_many_sessions_are_settled_at_once_but_never_more_than_lanes() -> None:
    bench = Bench(slots_max=3)
    bench.settler.gate.clear()
    deliveries = [await bench.take(f"s{number}") for number in range(10)]
    await until(lambda: len(bench.settler.running) == 3)
    await asyncio.sleep(0.01)
    assert len(bench.settler.running) == 3
    bench.settler.gate.set()
    await until(lambda: all(delivery.answers == ["ack"] for delivery in deliveries))
    assert bench.settler.running_max == 3


async def test_a_wake_makes_a_working_lane_look_again() -> None:
    bench = Bench()
    bench.settler.gate.clear()
    await bench.take()
    await until(lambda: bench.settler.running)
    bench.dispatcher.take_over("s", [])
    bench.settler.gate.set()
    await until(lambda: len(bench.settler.settled) == 2)


async def test_news_for_a_working_lane_hurry_what_it_waits_for() -> None:
    bench = Bench()
    bench.settler.gate.clear()
    first = await bench.take()
    assert bench.hurried == []
    second = await bench.take(seq=2)
    await bench.take("another")
    bench.dispatcher.take_over("s", [])
    assert bench.hurried == ["s", "s"]
    bench.settler.gate.set()
    await until_answered(first, second)


async def test_a_wake_for_an_idle_session_looks_at_it() -> None:
    bench = Bench()
    bench.dispatcher.take_over("s", [])
    await until(lambda: bench.settler.settled == [("s", 0)])


async def test_a_wake_without_a_free_lane_is_left_to_who_asks() -> None:
    bench = Bench(slots_max=1)
    bench.settler.gate.clear()
    await bench.take("busy")
    await until(lambda: bench.settler.running)
    assert not bench.dispatcher.take_over("other", []), "who asks may do it"
    assert bench.dispatcher.take_over("busy", [])
    bench.settler.gate.set()
    await until(lambda: [session for session, _ in bench.settler.settled] == ["busy", "busy"])


async def test_the_heartbeat_keeps_what_has_no_answer_yet() -> None:
    bench = Bench(slots_max=1)
    bench.settler.gate.clear()
    working, joined = await bench.take(), await bench.take(seq=2)
    waiting = FakeDelivery(session_id="waits for a slot")
    taking = asyncio.create_task(bench.dispatcher.take(waiting))
    beating = asyncio.create_task(bench.dispatcher.heartbeat(0.005))
    await until(lambda: all(each.heartbeats > 1 for each in (working, joined, waiting)))
    bench.settler.gate.set()
    await taking
    await until_answered(working, joined, waiting)
    counted = [each.heartbeats for each in (working, joined, waiting)]
    await asyncio.sleep(0.03)
    assert [each.heartbeats for each in (working, joined, waiting)] == counted
    beating.cancel()


async def test_room_is_what_is_neither_at_work_nor_waiting() -> None:
    bench = Bench(slots_max=2)
    bench.settler.gate.clear()
    assert bench.dispatcher.room() == 2
    deliveries = [await bench.take("a"), await bench.take("a", seq=2)]
    assert bench.dispatcher.room() == 1
    deliveries += [await bench.take("b"), await bench.take("c")]
    assert bench.dispatcher.room() == 0
    bench.settler.gate.set()
    await until_answered(*deliveries)
    await until(lambda: bench.dispatcher.room() == 2)


async def test_an_error_comes_again_later_each_time() -> None:
    bench = Bench()
    delays: list[str | float] = []
    for count in (1, 2, 3, 6, 7, 50):
        bench.settler.script["s"] = [RuntimeError("log gone")]
        delivery = await bench.take(count=count)
        await until_answered(delivery)
        delays += delivery.answers
    assert delays == [0.2, 0.4, 0.8, RETRY_MAX_S, RETRY_MAX_S, RETRY_MAX_S]


async def test_a_delivery_counted_thousands_of_times_is_settled_all_the_same() -> None:
    bench = Bench()
    delivery = await bench.take(count=5000)
    await until_answered(delivery)
    assert delivery.answers == ["ack"]
    bench.settler.script["s"] = [RuntimeError("log gone")]
    delivery = await bench.take(count=5000)
    await until_answered(delivery)
    assert delivery.answers == [RETRY_MAX_S]


async def test_draining_finishes_the_lanes_and_leaves_the_rest_to_others() -> None:
    bench = Bench(slots_max=1)
    bench.settler.gate.clear()
    working = await bench.take("a")
    waiting = FakeDelivery(session_id="b")
    taking = asyncio.create_task(bench.dispatcher.take(waiting))
    await until(lambda: bench.settler.running)
    draining = asyncio.create_task(bench.dispatcher.drain(DRAIN_S))
    await asyncio.sleep(0)
    late = await bench.take("c")
    assert late.answers == [0]
    bench.dispatcher.take_over("d", [])

    bench.settler.gate.set()
    await asyncio.gather(draining, taking)

    assert working.answers == ["ack"]
    assert waiting.answers == [0]
    assert [session for session, _ in bench.settler.settled] == ["a"]


async def test_draining_ends_in_time_whatever_the_lanes_do() -> None:
    bench = Bench()
    bench.settler.gate.clear()
    stuck = await bench.take()
    await until(lambda: bench.settler.running)
    async with asyncio.timeout(TIMEOUT_S):
        await bench.dispatcher.drain(0.02)
    assert stuck.answers == [0]


async def test_draining_idle_lanes_is_nothing() -> None:
    async with asyncio.timeout(TIMEOUT_S):
        await Bench().dispatcher.drain(DRAIN_S)


@pytest.mark.parametrize("seqs", [(1, 2), (2, 1)])
async def test_the_newest_of_the_joined_must_have_been_read(seqs: tuple[int, int]) -> None:
    bench = Bench()
    bench.settler.gate.clear()
    await bench.take(seq=0)
    await until(lambda: bench.settler.running)
    for seq in seqs:
        await bench.take(seq=seq)
    bench.settler.gate.set()
    await until(lambda: len(bench.settler.settled) == 2)
    assert bench.settler.settled[-1] == ("s", 2)


async def test_a_drain_answers_what_came_in_the_same_instant() -> None:
    bench = Bench(slots_max=1)
    bench.settler.gate.clear()
    first, second = await bench.take("s"), await bench.take("s2")
    await bench.dispatcher.drain(0.01)
    assert (first.answers, second.answers) == ([0.0], [0.0])
    assert not bench.dispatcher.take_over("s", [FakeDelivery(session_id="s")])
