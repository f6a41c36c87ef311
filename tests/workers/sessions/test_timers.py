"""Timers of a session on the stand-ins: whatever happens between, each fires once, or never."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from offhook.codec.facts import Encoded, encode
from offhook.commands import Answer, Hangup
from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    Decided,
    Event,
    SessionParked,
    SessionResumed,
    TimerCancelled,
    TimerFired,
    TimerSet,
)
from offhook.flow import Flow, Order
from offhook.jetstream.log import Appended
from offhook.jetstream.subjects import Side
from offhook.jetstream.timetable import Alarm
from offhook.session import Session
from offhook.session.timers import SetTimer
from offhook.workers.sessions.flows import TIMERS_PER_SESSION_MAX, FlowRaised
from offhook.workers.sessions.settle import Settled
from tests.memory_log import MemoryLog
from tests.memory_timetable import MemoryTimetable
from tests.workers.sessions.stand import (
    SESSION,
    ScriptedCarrier,
    answered,
    arrive,
    facts,
    hung_up,
    initiated,
    settler_on,
)
from tests.workers.sessions.timer_desk import RING_S, Desk


async def test_a_timer_is_set_and_fires_into_its_flow_once() -> None:
    desk = Desk()
    seq = await arrive(desk.log, initiated())
    decided_at = desk.log.now
    await desk.worker().settle(SESSION, seq)
    (timer,) = await facts(desk.log, TimerSet)
    assert isinstance(timer, TimerSet)
    assert (
        timedelta(0)
        <= timer.due_at - decided_at - timedelta(seconds=RING_S)
        < timedelta(milliseconds=1)
    )

    desk.passes(RING_S - 1)
    assert await desk.ring() == []
    assert await facts(desk.log, TimerFired) == []

    desk.passes(2)
    (alarm,) = await desk.ring()
    (fired,) = await facts(desk.log, TimerFired)
    assert isinstance(fired, TimerFired)
    assert (fired.name, fired.call_control_id) == ("no-answer", "v3:leg-a")
    assert desk.carrier.operations == ["hangup"]

    # The alarm is delivered again, to this worker and to another one.
    for worker in ("w1", "w2"):
        assert await desk.worker(worker).settle(SESSION, 0, [alarm]) == Settled()
    assert len(await facts(desk.log, TimerFired)) == 1
    assert desk.carrier.operations == ["hangup"]


async def test_every_fired_timer_has_its_one_decision() -> None:
    desk = Desk()
    await arrive(desk.log, initiated())
    await desk.ring()
    desk.passes(RING_S)
    await desk.ring()
    records = await desk.log.read(SESSION)
    fired = [record.seq for record in records if isinstance(record.fact, TimerFired)]
    causes = [record.fact.cause_seq for record in records if isinstance(record.fact, Decided)]
    assert causes == [1, *fired]


async def test_a_cancelled_timer_never_fires() -> None:
    desk = Desk()
    await arrive(desk.log, initiated())
    await desk.ring()
    desk.passes(5)
    await arrive(desk.log, answered())
    await desk.ring()
    (cancelled,) = await facts(desk.log, TimerCancelled)
    assert isinstance(cancelled, TimerCancelled)
    assert cancelled.name == "no-answer"

    desk.passes(60)
    assert len(await desk.ring()) == 1, "its alarm rings all the same"
    assert await facts(desk.log, TimerFired) == []
    assert desk.carrier.operations == []


async def test_what_cancels_a_timer_counts_also_if_it_came_with_the_alarm() -> None:
    """The answer is in the log, undecided, when the timer is due: it comes first."""
    desk = Desk()
    await arrive(desk.log, initiated())
    await desk.ring()
    desk.passes(RING_S + 1)
    await arrive(desk.log, answered())
    await desk.ring()
    assert await facts(desk.log, TimerFired) == []
    assert desk.carrier.operations == []


async def test_a_timer_that_fired_before_an_older_event_was_decided_is_kept_from_the_flow() -> None:
    """Another worker records it while this one is about to decide on the answer."""

    class Overtaking(MemoryLog):
        answered = False
        overtaken = False

        async def append(
            self, session_id: str, side: Side, encoded: Encoded, **more: Any
        ) -> Appended:
            if encoded.type == "Decided" and self.answered and not self.overtaken:
                self.overtaken = True
                fired = TimerFired(name="no-answer", timer_id="1-0", call_control_id="v3:leg-a")
                await super().append(SESSION, "out", encode(fired, SESSION))
            return await super().append(session_id, side, encoded, **more)

    log = Overtaking()
    desk = Desk(log)
    await arrive(log, initiated())
    await desk.ring()
    desk.passes(RING_S)
    await arrive(log, answered())
    log.answered = True
    await desk.ring()

    records = await log.read(SESSION)
    (fired,) = (record for record in records if isinstance(record.fact, TimerFired))
    decided = [record.fact for record in records if isinstance(record.fact, Decided)]
    assert [fact.cause_seq for fact in decided[-2:]] == [4, fired.seq]
    assert [order.after_s for order in decided[-2].timers] == [None]
    assert decided[-1].commands == ()
    assert desk.carrier.operations == []


async def test_a_timer_set_again_fires_at_its_new_time_only() -> None:
    def again(event: Event, session: Session) -> Sequence[Order]:
        match event:
            case CallInitiated() | CallAnswered():
                return [SetTimer(name="no-answer", after_s=RING_S)]
            case TimerFired():
                return [Hangup()]
            case _:
                return []

    desk = Desk(flow=Flow(name="again", version="1", decide=again))
    await arrive(desk.log, initiated())
    await desk.ring()
    desk.passes(15)
    await arrive(desk.log, answered())
    await desk.ring()
    assert len(await facts(desk.log, TimerCancelled)) == 1

    desk.passes(10)
    await desk.ring()
    assert await facts(desk.log, TimerFired) == []
    desk.passes(11)
    await desk.ring()
    assert len(await facts(desk.log, TimerFired)) == 1
    assert desk.carrier.operations == ["hangup"]


async def test_a_timer_of_an_ended_call_fires() -> None:
    desk = Desk()
    await arrive(desk.log, initiated(), hung_up())
    await desk.ring()
    desk.passes(RING_S)
    await desk.ring()
    assert len(await facts(desk.log, TimerFired)) == 1
    # The flow's hangup of a leg that has ended is needless: nothing is sent.
    assert desk.carrier.operations == []


async def test_a_timer_fires_late_rather_than_never() -> None:
    desk = Desk()
    await arrive(desk.log, initiated())
    await desk.ring()
    desk.passes(3 * 86_400)
    await desk.ring()
    assert desk.carrier.operations == ["hangup"]


async def test_an_alarm_that_rings_before_its_time_rings_again() -> None:
    """A server's clock was put back, by half a second, between ringing and stamping."""
    desk = Desk()
    await arrive(desk.log, initiated())
    await desk.ring()
    early = Alarm(
        session_id=SESSION,
        timer_id="1-0",
        decided_seq=2,
        rang_at=desk.log.now + timedelta(seconds=RING_S - 0.5),
    )
    desk.timetable.waiting.clear()
    assert await desk.worker().settle(SESSION, 0, [early]) == Settled()
    assert await facts(desk.log, TimerFired) == []
    desk.passes(RING_S)
    await desk.ring()
    assert len(await facts(desk.log, TimerFired)) == 1


async def test_an_alarm_beside_an_event_is_looked_at_when_that_is_decided() -> None:
    desk = Desk(flow=Flow(name="f", version="1", decide=_sets_a_timer_at_first))
    await arrive(desk.log, initiated())
    await desk.ring()
    desk.passes(RING_S)
    await arrive(desk.log, hung_up())
    assert await desk.ring()
    assert len(await facts(desk.log, TimerFired)) == 1


def _sets_a_timer_at_first(event: Event, session: Session) -> list[Order]:
    return [SetTimer(name="t", after_s=RING_S)] if isinstance(event, CallInitiated) else []


async def test_a_timer_of_a_parked_session_fires_when_it_is_resumed() -> None:
    desk = Desk()
    await arrive(desk.log, initiated())
    await desk.ring()
    parked = SessionParked(cause_seq=1, error="KeyError", attempts=5)
    await desk.log.append(SESSION, "out", encode(parked, SESSION))
    desk.passes(RING_S)
    await desk.ring()
    assert desk.carrier.operations == []

    resumed = encode(SessionResumed(resumed_by="ops"), SESSION)
    placed = await desk.log.append(SESSION, "in", resumed)
    await desk.worker().settle(SESSION, placed.seq)
    assert len(await facts(desk.log, TimerFired)) == 1
    assert desk.carrier.operations == ["hangup"]


async def test_a_timer_goes_back_to_the_flow_that_set_it() -> None:
    heard: list[str] = []

    def listening(name: str) -> Flow:
        def decide(event: Event, session: Session) -> Sequence[Order]:
            if isinstance(event, TimerFired):
                heard.append(name)
            if isinstance(event, CallInitiated):
                return [SetTimer(name="t", after_s=1)]
            return []

        numbers = frozenset({"+12025550100"}) if name == "second" else frozenset()
        return Flow(name=name, version="1", decide=decide, numbers=numbers)

    log = MemoryLog()
    timetable = MemoryTimetable(log)
    flows = [listening("first"), listening("second")]
    settler = settler_on(log, ScriptedCarrier(log), flows, timetable=timetable)
    await arrive(log, initiated())
    await settler.settle(SESSION)
    log.now += timedelta(seconds=2)
    await settler.settle(SESSION, 0, timetable.rings())
    assert heard == ["second"]


async def test_commands_and_timers_of_one_decision_are_both_done() -> None:
    def both(event: Event, session: Session) -> Sequence[Order]:
        return [SetTimer(name="t", after_s=1), Answer()] if isinstance(event, CallInitiated) else []

    desk = Desk(flow=Flow(name="both", version="1", decide=both))
    await arrive(desk.log, initiated())
    await desk.ring()
    assert desk.carrier.operations == ["answer"]
    assert len(await facts(desk.log, TimerSet)) == 1


async def test_a_flow_that_sets_timers_for_ever_is_stopped() -> None:
    def loop(event: Event, session: Session) -> Sequence[Order]:
        return [] if isinstance(event, CallHangup) else [SetTimer(name="t", after_s=0.001)]

    desk = Desk(flow=Flow(name="loop", version="1", decide=loop))
    worker = desk.worker()
    await arrive(desk.log, initiated())
    await worker.settle(SESSION)
    for _ in range(TIMERS_PER_SESSION_MAX - 1):
        desk.passes(0.01)
        await worker.settle(SESSION, 0, desk.timetable.rings())
    desk.passes(0.01)
    with pytest.raises(FlowRaised, match="over 1000 timers in a session: a loop"):
        await worker.settle(SESSION, 0, desk.timetable.rings())
    assert len(await facts(desk.log, TimerSet)) == TIMERS_PER_SESSION_MAX
