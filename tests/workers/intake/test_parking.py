"""A flow that raises takes nothing with it: neither an application's hangup nor a timer."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from offhook.codec.facts import Encoded, encode
from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    Decided,
    Event,
    Record,
    SessionParked,
    SessionResumed,
    TimerFired,
)
from offhook.flow import Flow, Order
from offhook.jetstream.log import Appended
from offhook.jetstream.subjects import Side
from offhook.session import Session
from offhook.workers.intake.dispatcher import POISON_DELIVERIES, POISON_RAISES
from tests.memory_log import MemoryLog
from tests.workers.intake.desk import Desk
from tests.workers.intake.dispatching import FakeDelivery
from tests.workers.sessions.stand import (
    SESSION,
    ScriptedCarrier,
    answered,
    arrive,
    facts,
    hung_up,
    initiated,
    request,
    settler_on,
)

pytestmark = pytest.mark.usefixtures("at_once")


async def test_a_hangup_asked_for_behind_a_poisonous_event_is_carried_out() -> None:
    desk = Desk()
    await arrive(desk.log, initiated(), answered())
    await request(desk.log, "hangup")
    assert await desk.redeliver(1) == ["ack"]
    assert desk.asked_in_vain == POISON_RAISES
    assert desk.carrier.operations == ["hangup"]


async def test_a_record_is_read_once_however_often_its_flow_raises() -> None:
    desk = Desk()
    await arrive(desk.log, initiated(), answered())
    stored, read = len(await desk.log.read(SESSION)), 0
    read_log = desk.log.read

    async def reading(session_id: str, **options: Any) -> Sequence[Record]:
        nonlocal read
        found = await read_log(session_id, **options)
        read += len(found)
        return found

    desk.log.read = reading  # type: ignore[method-assign]
    await desk.deliver(FakeDelivery(session_id=SESSION))
    assert desk.asked_in_vain == POISON_RAISES
    assert read == len(await read_log(SESSION)) > stored


async def test_the_log_is_not_read_between_two_raises() -> None:
    desk = Desk()
    await arrive(desk.log, initiated(), answered())
    reads_at_raises: list[int] = []
    reads, read_log, decide = 0, desk.log.read, desk._decide

    async def reading(session_id: str, **options: Any) -> Sequence[Record]:
        nonlocal reads
        reads += 1
        return await read_log(session_id, **options)

    def deciding(event: Event, session: Session) -> Sequence[Order]:
        if isinstance(event, CallAnswered):
            reads_at_raises.append(reads)
        return decide(event, session)

    desk.log.read = reading  # type: ignore[method-assign]
    desk.flow = deciding
    await desk.deliver(FakeDelivery(session_id=SESSION))
    assert len(reads_at_raises) == POISON_RAISES
    assert len(set(reads_at_raises)) == 1
    assert len(await facts(desk.log, SessionParked)) == 1


async def test_a_replica_that_does_not_show_the_parking_yet_makes_no_flow_be_asked_again() -> None:
    desk = Desk()
    await arrive(desk.log, initiated(), answered())
    read_log = desk.log.read
    lags = iter([True])

    async def lagging(session_id: str, **options: Any) -> Sequence[Record]:
        found = await read_log(session_id, **options)
        is_parked = any(isinstance(each.fact, SessionParked) for each in found)
        if is_parked and next(lags, False):
            return [each for each in found if not isinstance(each.fact, SessionParked)]
        return found

    desk.log.read = lagging  # type: ignore[method-assign]
    await desk.deliver(FakeDelivery(session_id=SESSION))
    assert next(lags, None) is None, "it lagged"
    assert desk.asked_in_vain == POISON_RAISES
    assert len(await facts(desk.log, SessionParked)) == 1


async def test_a_raise_in_passing_after_many_hand_overs_parks_no_session() -> None:
    desk = Desk()
    desk.raises_left = POISON_RAISES - 1
    await arrive(desk.log, initiated(), answered())
    delivery = FakeDelivery(session_id=SESSION, count=40)
    await desk.deliver(delivery)
    assert delivery.answers == ["ack"]
    assert await facts(desk.log, SessionParked) == []
    assert desk.heard == [CallInitiated, CallAnswered]


async def test_a_record_that_seems_to_end_its_workers_is_parked_without_asking_its_flow() -> None:
    desk = Desk()
    await arrive(desk.log, initiated())
    await desk.deliver(FakeDelivery(session_id=SESSION))
    seq = await arrive(desk.log, answered())
    await request(desk.log, "hangup")
    delivery = FakeDelivery(session_id=SESSION, count=POISON_DELIVERIES)
    await desk.deliver(delivery)
    assert delivery.answers == ["ack"]
    assert desk.asked_in_vain == 0
    (parked,) = await facts(desk.log, SessionParked)
    assert isinstance(parked, SessionParked)
    assert (parked.cause_seq, parked.attempts) == (seq, POISON_DELIVERIES)
    assert (parked.traceback, parked.flow) == ("", "")
    assert desk.carrier.operations == ["hangup"], "an application's command takes no flow"


async def test_however_often_it_was_delivered_a_session_with_nothing_to_ask_is_settled() -> None:
    desk = Desk()
    await request(desk.log, "hangup")
    await desk.deliver(FakeDelivery(session_id=SESSION, count=POISON_DELIVERIES))
    assert desk.carrier.operations == ["hangup"]
    assert await facts(desk.log, SessionParked) == []


async def test_a_timer_whose_alarm_meets_a_poisonous_event_fires_after_the_repair() -> None:
    desk = Desk()
    seq = await arrive(desk.log, initiated())
    await desk.deliver(FakeDelivery(session_id=SESSION, seq=seq))
    await arrive(desk.log, answered())
    desk.log.now += timedelta(seconds=21)
    (alarm,) = desk.timetable.rings()
    assert await desk.redeliver(1, alarm) == ["ack"]
    assert len(await facts(desk.log, TimerFired)) == 1

    desk.is_broken = False
    resumed = await desk.log.append(SESSION, "in", encode(SessionResumed(), SESSION))
    await desk.deliver(FakeDelivery(session_id=SESSION, seq=resumed.seq))
    assert desk.heard == [CallInitiated, CallAnswered, TimerFired]


async def test_a_decision_of_another_worker_comes_before_parking() -> None:
    """During a rollout: the other one has the corrected flow."""
    desk = Desk()
    seq = await arrive(desk.log, initiated(), answered())
    carrier = ScriptedCarrier(desk.log)

    async def other_decides() -> None:
        await settler_on(desk.log, carrier, CORRECTED, worker="w2").settle(SESSION)

    before_parking(desk.log, other_decides)
    assert await desk.redeliver(1) == ["ack"]
    assert await facts(desk.log, SessionParked) == []
    last = (await facts(desk.log, Decided))[-1]
    assert isinstance(last, Decided)
    assert (last.cause_seq, last.flow_version) == (seq, CORRECTED.version)

    await arrive(desk.log, hung_up())
    await desk.redeliver(1)
    assert desk.heard == [CallInitiated, CallHangup], "the session goes on"


async def test_two_workers_park_a_session_once_and_a_resumed_one_is_not_parked_again() -> None:
    desk = Desk()
    seq = await arrive(desk.log, initiated(), answered())

    async def other_parks_and_operator_resumes() -> None:
        parked = SessionParked(cause_seq=seq, error="KeyError: 'menu'", attempts=POISON_RAISES)
        await desk.log.append(SESSION, "out", encode(parked, SESSION))
        desk.is_broken = False
        await desk.log.append(SESSION, "in", encode(SessionResumed(), SESSION))

    before_parking(desk.log, other_parks_and_operator_resumes)
    assert await desk.redeliver(1) == ["ack"]
    assert len(await facts(desk.log, SessionParked)) == 1
    assert desk.heard == [CallInitiated, CallAnswered]


def before_parking(log: MemoryLog, do: Callable[[], Awaitable[None]]) -> None:
    """Do this when the next SessionParked is to be stored, before it is."""
    append = log.append

    async def overtaken(session_id: str, side: Side, encoded: Encoded, **options: Any) -> Appended:
        if encoded.type == "SessionParked":
            log.append = append  # type: ignore[method-assign]
            await do()
        return await append(session_id, side, encoded, **options)

    log.append = overtaken  # type: ignore[method-assign]


CORRECTED = Flow(name="menu", version="2", decide=lambda event, session: [])
