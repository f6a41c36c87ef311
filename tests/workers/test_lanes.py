"""Lanes: what becomes of deliveries while sessions are settled, as a script says."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest

from offhook.events import Record, WebhookReceived
from offhook.jetstream.timetable import Alarm
from offhook.webhooks import read_webhook
from workers import lanes as module
from workers.lanes import HANDED_OVER_S, POISON_RAISES, RETRY_MAX_S, Lanes
from workers.metrics import Metrics
from workers.places import Places
from workers.settle import FlowRaised, HeldElsewhere, Settled, Settler

DRAIN_S = 5.0
TIMEOUT_S = 60.0
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass(eq=False, kw_only=True)
class FakeDelivery:
    """`answers` has "ack", or the seconds of a nak."""

    session_id: str
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
    ) -> Settled | HeldElsewhere:
        assert session_id not in self.running, "two lanes for one session"
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

    async def park(self, raised: FlowRaised, attempts: int) -> None:
        if self.park_error is not None:
            raise self.park_error
        self.parked.append(attempts)


class Bench:
    """Lanes around a fake settler."""

    def __init__(self, lanes_max: int = 8) -> None:
        self.settler = FakeSettler()
        self.handed_over: list[tuple[str, str]] = []
        settler = cast(Settler, self.settler)
        self.hurried: list[str] = []
        self.lanes = Lanes(
            settler,
            self._hand_over,
            Metrics(),
            places=Places(lanes_max),
            hurry=self.hurried.append,
        )

    async def take(self, session_id: str = "s", *, seq: int = 1, count: int = 1) -> FakeDelivery:
        delivery = FakeDelivery(session_id=session_id, seq=seq, count=count)
        await self.lanes.take(delivery)
        return delivery

    async def answers_of(self, deliveries: int) -> list[str | float]:
        """What becomes of one wake-up, delivered so often."""
        answers: list[str | float] = []
        for count in range(1, deliveries + 1):
            delivery = await self.take(count=count)
            await until_answered(delivery)
            answers += delivery.answers
        return answers

    async def _hand_over(self, worker: str, session_id: str) -> None:
        self.handed_over.append((worker, session_id))


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
    return FlowRaised(record, "KeyError: 'menu'")


async def test_an_alarm_is_told_to_who_settles_and_is_no_record_to_look_for() -> None:
    bench = Bench()
    alarm = Alarm(session_id="s", timer_id="1-0", decided_seq=2, rang_at=NOW)
    delivery = FakeDelivery(session_id="s", seq=0, alarm=alarm)
    await bench.lanes.take(delivery)
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
    bench = Bench(lanes_max=3)
    bench.settler.gate.clear()
    taking = [asyncio.create_task(bench.take(f"s{number}")) for number in range(10)]
    await until(lambda: len(bench.settler.running) == 3)
    await asyncio.sleep(0.01)
    assert sum(task.done() for task in taking) == 3
    bench.settler.gate.set()
    deliveries = await asyncio.gather(*taking)
    await until(lambda: all(delivery.answers == ["ack"] for delivery in deliveries))
    assert bench.settler.running_max == 3


async def test_a_wake_makes_a_working_lane_look_again() -> None:
    bench = Bench()
    bench.settler.gate.clear()
    await bench.take()
    await until(lambda: bench.settler.running)
    await bench.lanes.wake("s")
    bench.settler.gate.set()
    await until(lambda: len(bench.settler.settled) == 2)


async def test_news_for_a_working_lane_hurry_what_it_waits_for() -> None:
    bench = Bench()
    bench.settler.gate.clear()
    first = await bench.take()
    assert bench.hurried == []
    second = await bench.take(seq=2)
    await bench.take("another")
    await bench.lanes.wake("s")
    assert bench.hurried == ["s", "s"]
    bench.settler.gate.set()
    await until_answered(first, second)


async def test_a_wake_for_an_idle_session_looks_at_it() -> None:
    bench = Bench()
    await bench.lanes.wake("s")
    await until(lambda: bench.settler.settled == [("s", 0)])


async def test_a_wake_never_waits_for_a_free_lane() -> None:
    bench = Bench(lanes_max=1)
    bench.settler.gate.clear()
    await bench.take("busy")
    await until(lambda: bench.settler.running)
    async with asyncio.timeout(TIMEOUT_S):
        await bench.lanes.wake("other")
        await bench.lanes.wake("busy")
    bench.settler.gate.set()
    await until(lambda: [session for session, _ in bench.settler.settled] == ["busy", "busy"])


async def test_the_heartbeat_keeps_what_has_no_answer_yet() -> None:
    bench = Bench(lanes_max=1)
    bench.settler.gate.clear()
    working, joined = await bench.take(), await bench.take(seq=2)
    waiting = FakeDelivery(session_id="waits for a lane")
    taking = asyncio.create_task(bench.lanes.take(waiting))
    beating = asyncio.create_task(bench.lanes.heartbeat(0.005))
    await until(lambda: all(each.heartbeats > 1 for each in (working, joined, waiting)))
    bench.settler.gate.set()
    await taking
    await until_answered(working, joined, waiting)
    counted = [each.heartbeats for each in (working, joined, waiting)]
    await asyncio.sleep(0.03)
    assert [each.heartbeats for each in (working, joined, waiting)] == counted
    beating.cancel()


async def test_a_held_session_is_handed_to_its_worker_and_looked_at_again() -> None:
    bench = Bench()
    bench.settler.script["s"] = [HeldElsewhere(worker="w2", for_s=2.5)]
    delivery = await bench.take()
    await until_answered(delivery)
    assert bench.handed_over == [("w2", "s")]
    assert delivery.answers == [HANDED_OVER_S]


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
    pauses: list[float],
) -> None:
    bench = Bench()
    held, raised = HeldElsewhere(worker="w2", for_s=2.5), flow_raised()
    gone = RuntimeError("log gone")
    bench.settler.script["s"] = [*[held] * 40, gone, raised, gone]
    answers = await bench.answers_of(43)
    assert bench.settler.parked == []
    assert answers[-3:] == [RETRY_MAX_S, RETRY_MAX_S, "ack"]


async def test_a_flow_that_raises_leaves_its_place_to_other_calls_between_the_raises() -> None:
    bench = Bench(lanes_max=1)
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
    held = HeldElsewhere(worker="w2", for_s=2.5)
    bench.settler.script["s"] = [*[flow_raised()] * POISON_RAISES, held]
    alarm = Alarm(session_id="s", timer_id="1-0", decided_seq=2, rang_at=NOW)
    delivery = FakeDelivery(session_id="s", seq=3, alarm=alarm)
    await bench.lanes.take(delivery)
    await until_answered(delivery)
    assert bench.settler.settled == [("s", 3)] * (POISON_RAISES + 1)
    assert bench.settler.alarms == [alarm] * (POISON_RAISES + 1)
    assert delivery.answers == [HANDED_OVER_S], "what it still wakes for is not lost"


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
    bench = Bench(lanes_max=1)
    bench.settler.gate.clear()
    working = await bench.take("a")
    waiting = FakeDelivery(session_id="b")
    taking = asyncio.create_task(bench.lanes.take(waiting))
    await until(lambda: bench.settler.running)
    draining = asyncio.create_task(bench.lanes.drain(DRAIN_S))
    await asyncio.sleep(0)
    late = await bench.take("c")
    assert late.answers == [0]
    await bench.lanes.wake("d")

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
        await bench.lanes.drain(0.02)
    assert stuck.answers == [0.2]


async def test_draining_idle_lanes_is_nothing() -> None:
    async with asyncio.timeout(TIMEOUT_S):
        await Bench().lanes.drain(DRAIN_S)


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
