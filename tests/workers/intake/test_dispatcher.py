"""Dispatcher: what becomes of deliveries while sessions are settled, as a script says."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest

from offhook.codec.webhooks import read_webhook
from offhook.events import Record, WebhookReceived
from offhook.jetstream.timetable import Alarm
from offhook.workers.intake import dispatcher as module
from offhook.workers.intake.delivery import Delivery
from offhook.workers.intake.dispatcher import HANDED_OVER_S, POISON_RAISES, RETRY_MAX_S, Dispatcher
from offhook.workers.intake.handover import HandoverAnswer
from offhook.workers.intake.slots import Slots
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.sessions.flows import FlowRaised
from offhook.workers.sessions.settle import HeldElsewhere, Settled, Settler

DRAIN_S = 5.0
HELD = HeldElsewhere(worker="w2", for_s=2.5, lease_seq=7)
TIMEOUT_S = 60.0
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass(eq=False, kw_only=True)
class FakeDelivery:
    """`answers` has "ack", or the seconds of a nak."""

    session_id: str
    reply: str = "$JS.ACK"
    seq: int = 1
    alarm: Alarm | None = None
    count: int = 1
    answers: list[str | float] = field(default_factory=list)
    heartbeats: int = 0
    is_unreachable: bool = False

    async def ack(self) -> None:
        self._reach()
        self.answers.append("ack")

    async def nak(self, delay_s: float) -> None:
        self._reach()
        self.answers.append(delay_s)

    async def in_progress(self) -> None:
        self.heartbeats += 1

    def _reach(self) -> None:
        if self.is_unreachable:
            raise ConnectionError("closed")


class FakeSettler:
    """Settles when the gate opens, as the script says: session -> what comes of it, in turn."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.script: dict[str, list[Settled | HeldElsewhere | Exception]] = {}
        self.settled: list[tuple[str, int]] = []
        self.alarms: list[Alarm] = []
        self.voids: list[int] = []
        self.parked: list[int] = []
        self.park_error: Exception | None = None
        self.running: list[str] = []
        self.running_max = 0

    async def settle(
        self,
        session_id: str,
        wake_seq: int = 0,
        alarms: Sequence[Alarm] = (),
        *,
        is_deadly: bool = False,
        void: int = 0,
        first_seq: int = 0,
    ) -> Settled | HeldElsewhere:
        self.voids += [void] if void else []
        assert session_id not in self.running, "two tasks for one session"
        self.running.append(session_id)
        self.running_max = max(self.running_max, len(self.running))
        self.settled.append((session_id, wake_seq))
        self.alarms += alarms
        try:
            await self.gate.wait()
        finally:
            self.running.remove(session_id)
        outcomes = self.script.get(session_id, [])
        outcome = outcomes.pop(0) if outcomes else Settled()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def park(self, raised: FlowRaised, attempts: int, traceback: str) -> bool:
        if self.park_error is not None:
            raise self.park_error
        self.parked.append(attempts)
        return True


class Bench:
    """Dispatcher around a fake settler."""

    def __init__(self, slots_max: int = 8) -> None:
        self.settler = FakeSettler()
        self.handed_over: list[tuple[str, str]] = []
        self.answer = HandoverAnswer.SILENT  # of the worker that is handed over to
        settler = cast(Settler, self.settler)
        self.hurried: list[str] = []
        self.dispatcher = Dispatcher(
            settler,
            self._hand_over,
            WorkerMetrics(),
            slots=Slots(slots_max),
            hurry=self.hurried.append,
        )

    async def take(self, session_id: str = "s", *, seq: int = 1, count: int = 1) -> FakeDelivery:
        delivery = FakeDelivery(session_id=session_id, seq=seq, count=count)
        await self.dispatcher.take(delivery)
        return delivery

    async def answers_of(self, deliveries: int) -> list[str | float]:
        """What becomes of one wake-up, delivered so often."""
        answers: list[str | float] = []
        for count in range(1, deliveries + 1):
            delivery = await self.take(count=count)
            await until_answered(delivery)
            answers += delivery.answers
        return answers

    async def _hand_over(
        self, worker: str, session_id: str, deliveries: Sequence[Delivery]
    ) -> HandoverAnswer:
        self.handed_over.append((worker, session_id))
        return self.answer


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.001)


async def until_answered(*deliveries: FakeDelivery) -> None:
    await until(lambda: all(delivery.answers for delivery in deliveries))


def flow_raised(seq: int = 1) -> FlowRaised:
    webhook = read_webhook(b"{}")
    record = Record(
        seq=seq,
        stored_at=NOW,
        session_id="s",
        fact=WebhookReceived(event=webhook.event),
    )
    return FlowRaised(record, "KeyError: 'menu'", out_seq=0)


async def test_an_alarm_is_told_to_who_settles_and_is_no_record_to_look_for() -> None:
    bench = Bench()
    alarm = Alarm(session_id="s", timer_id="1-0", decided_seq=2, rang_at=NOW)
    delivery = FakeDelivery(session_id="s", seq=0, alarm=alarm)
    await bench.dispatcher.take(delivery)
    await until_answered(delivery)
    assert bench.settler.settled == [("s", 0)]
    assert bench.settler.alarms == [alarm]
    assert delivery.answers == ["ack"]


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


async def test_while_another_worker_holds_a_session_its_place_is_free() -> None:
    bench = Bench(slots_max=1)
    bench.settler.script["s"] = [HELD]
    await bench.take()
    await until(lambda: bench.handed_over)
    other = await bench.take("other")
    await until_answered(other)
    assert other.answers == ["ack"]


async def test_news_for_a_session_held_elsewhere_are_handed_over_at_once() -> None:
    bench = Bench()
    bench.settler.script["s"] = [HELD, HELD]
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
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HANDED_OVER_MAX", 1)
    bench = Bench()
    bench.settler.script = {"a": [HELD], "b": [HELD]}
    kept = await bench.take("a")
    await until(lambda: bench.handed_over)
    given_back = await bench.take("b")
    await until_answered(given_back)
    assert given_back.answers == [HANDED_OVER_S]
    assert kept.answers == []
    await bench.dispatcher.drain(DRAIN_S)


async def test_draining_gives_back_what_waits_for_another_worker() -> None:
    bench = Bench()
    bench.settler.script["s"] = [HELD]
    delivery = await bench.take()
    await until(lambda: bench.handed_over)
    await bench.dispatcher.drain(DRAIN_S)
    assert delivery.answers == [0]


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


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between two raises, which take no time."""
    taken: list[float] = []

    async def pause(seconds: float) -> None:
        taken.append(seconds)

    monkeypatch.setattr(module, "_pause", pause)
    return taken


async def test_a_flow_that_raises_is_parked_after_five_raises_within_a_second(
    pauses: list[float],
) -> None:
    bench = Bench()
    bench.settler.script["s"] = [flow_raised() for _ in range(POISON_RAISES)]
    assert await bench.answers_of(1) == ["ack"], "one worker counts them, in one delivery"
    assert bench.settler.parked == [POISON_RAISES]
    assert pauses == pytest.approx([0.1, 0.2, 0.3, 0.4])


async def test_what_a_flow_raises_in_passing_parks_nothing(pauses: list[float]) -> None:
    bench = Bench()
    few = POISON_RAISES - 1
    first, next_one = [flow_raised()] * few, [flow_raised(seq=2)] * few
    bench.settler.script["s"] = [*first, *next_one]
    assert await bench.answers_of(1) == ["ack"]
    assert bench.settler.parked == []


async def test_hand_overs_and_other_troubles_before_a_raise_are_no_raises(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HANDED_OVER_S", 0.001)
    bench = Bench()
    raised, gone = flow_raised(), RuntimeError("log gone")
    bench.settler.script["s"] = [*[HELD] * 40, gone, raised, HELD, gone]
    assert await bench.answers_of(3) == [0.2, 0.4, "ack"]
    assert bench.settler.parked == []


async def test_a_flow_that_raises_leaves_its_place_to_other_calls_between_the_raises() -> None:
    bench = Bench(slots_max=1)
    bench.settler.script["s"] = [flow_raised()] * (POISON_RAISES - 1)
    raising = await bench.take()
    await until(lambda: bench.settler.settled)
    other = await bench.take("other")
    await until_answered(other)
    assert raising.answers == []
    await until_answered(raising)
    assert raising.answers == ["ack"]


async def test_each_raise_is_logged_and_the_parking(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    bench.settler.script["s"] = [flow_raised() for _ in range(POISON_RAISES)]
    await bench.answers_of(1)
    logged = [
        (each.message, getattr(each, "attempt", None), bool(each.exc_info))
        for each in caplog.records
    ]
    assert logged == [
        ("flow raised", 1, True),
        *(("flow raised", attempt, False) for attempt in range(2, POISON_RAISES + 1)),
        ("session parked", None, False),
    ]
    assert caplog.records[-1].__dict__["attempts"] == POISON_RAISES


async def test_a_parked_session_is_looked_at_once_more_for_the_same_wake_ups(
    pauses: list[float],
) -> None:
    bench = Bench()
    bench.settler.script["s"] = [*[flow_raised()] * POISON_RAISES, HELD]
    alarm = Alarm(session_id="s", timer_id="1-0", decided_seq=2, rang_at=NOW)
    delivery = FakeDelivery(session_id="s", seq=3, alarm=alarm)
    await bench.dispatcher.take(delivery)
    await until_answered(delivery)
    assert bench.settler.settled == [("s", 3)] * (POISON_RAISES + 2)
    assert bench.settler.alarms == [alarm] * (POISON_RAISES + 2)
    assert delivery.answers == ["ack"], "what it still wakes for is not lost"


async def test_a_delivery_that_joined_is_answered_when_parking_fails(
    pauses: list[float],
) -> None:
    bench = Bench()
    bench.settler.script["s"] = [flow_raised()] * POISON_RAISES
    bench.settler.gate.clear()
    bench.settler.park_error = RuntimeError("log gone")
    poison = await bench.take(count=POISON_RAISES)
    await until(lambda: bench.settler.running)
    joined = await bench.take(seq=2)
    bench.settler.gate.set()
    await until_answered(poison, joined)
    assert poison.answers == [3.2]
    assert joined.answers == ["ack"]


async def test_a_delivery_that_cannot_be_answered_keeps_no_other_waiting() -> None:
    bench = Bench()
    bench.settler.gate.clear()
    lost = await bench.take(seq=1)
    lost.is_unreachable = True
    await until(lambda: bench.settler.running)
    joined = await bench.take(seq=2)
    bench.settler.gate.set()
    await until_answered(joined)
    assert joined.answers == ["ack"]


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
