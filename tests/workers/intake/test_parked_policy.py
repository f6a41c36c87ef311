"""What becomes of the call of a parked session."""

import pytest

from offhook.codec.facts import encode
from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    SessionParked,
    SessionResumed,
)
from offhook.workers.intake.dispatcher import POISON_DELIVERIES, POISON_RAISES
from tests.workers.intake.desk import Desk, decided_by
from tests.workers.intake.dispatching import FakeDelivery
from tests.workers.sessions.stand import (
    SESSION,
    answered,
    arrive,
    hung_up,
    initiated,
)

pytestmark = pytest.mark.usefixtures("at_once")


async def test_the_caller_of_a_parked_session_is_hung_up_once() -> None:
    desk = Desk(parked="hangup")
    await arrive(desk.log, initiated(), answered())
    assert await desk.redeliver(3) == ["ack"]
    assert desk.carrier.operations == ["hangup"]
    assert await decided_by(desk.log) == ["menu", "parked-policy"]

    await arrive(desk.log, hung_up())
    await desk.redeliver(1)
    assert desk.carrier.operations == ["hangup"]
    assert await decided_by(desk.log) == ["menu", "parked-policy"], "the rest waits for a retry"


async def test_a_record_that_seems_to_end_its_workers_is_no_reason_for_silence() -> None:
    desk = Desk(parked="hangup")
    await arrive(desk.log, initiated())
    await desk.deliver(FakeDelivery(session_id=SESSION))
    await arrive(desk.log, answered())
    await desk.deliver(FakeDelivery(session_id=SESSION, count=POISON_DELIVERIES))
    assert desk.asked_in_vain == 0
    assert desk.carrier.operations == ["hangup"]


async def test_a_worker_that_dies_after_parking_leaves_the_policy_to_the_next() -> None:
    desk = Desk(parked="hangup")
    seq = await arrive(desk.log, initiated(), answered())
    parked = SessionParked(cause_seq=seq, error="KeyError: 'menu'", attempts=POISON_RAISES)
    await desk.log.append(SESSION, "out", encode(parked, SESSION))
    await desk.redeliver(2)
    assert desk.asked_in_vain == 0
    assert desk.carrier.operations == ["hangup"]


async def test_a_call_that_is_over_is_left_to_a_retry() -> None:
    desk = Desk(parked="hangup")
    await arrive(desk.log, initiated(), answered(), hung_up())
    await desk.redeliver(1)
    assert await decided_by(desk.log) == ["menu"]
    desk.is_broken = False
    await desk.log.append(SESSION, "in", encode(SessionResumed(), SESSION))
    await desk.redeliver(1)
    assert desk.heard == [CallInitiated, CallAnswered, CallHangup]
    assert desk.carrier.operations == []


async def test_after_the_policy_a_retry_asks_the_flow_about_what_comes_next_alone() -> None:
    desk = Desk(parked="hangup")
    await arrive(desk.log, initiated(), answered())
    await desk.redeliver(1)
    await arrive(desk.log, hung_up())
    desk.is_broken = False
    await desk.log.append(SESSION, "in", encode(SessionResumed(), SESSION))
    await desk.redeliver(1)
    assert desk.heard == [CallInitiated, CallHangup]
    assert desk.carrier.operations == ["hangup"]
