"""A flow that raises takes nothing with it: neither an application's hangup nor a timer."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from offhook.codec import encode
from offhook.events import CallAnswered, CallInitiated, Event, SessionResumed, TimerFired
from offhook.flow import Flow, Order
from offhook.session import Session
from offhook.timers import SetTimer
from tests.memory_log import MemoryLog
from tests.memory_timetable import MemoryTimetable
from tests.workers.test_lanes import FakeDelivery, until_answered
from tests.workers.test_settle import (
    SESSION,
    ScriptedCarrier,
    answered,
    arrive,
    facts,
    initiated,
    request,
    settler_on,
)
from workers.lanes import POISON_DELIVERIES, Lanes
from workers.metrics import Metrics
from workers.places import Places


class Desk:
    """One worker's lanes on the stand-ins, with a flow that breaks when a call is answered."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.timetable = MemoryTimetable(self.log)
        self.carrier = ScriptedCarrier(self.log)
        self.is_broken = True
        self.heard: list[type[Event]] = []
        self.lanes = Lanes(
            settler_on(
                self.log,
                self.carrier,
                Flow(name="menu", version="1", decide=self._decide),
                timetable=self.timetable,
            ),
            self._hand_over,
            Metrics(),
            places=Places(8),
            hurry=lambda session_id: None,
        )

    def _decide(self, event: Event, session: Session) -> Sequence[Order]:
        if isinstance(event, CallAnswered) and self.is_broken:
            raise KeyError("menu")
        self.heard.append(type(event))
        return [SetTimer(name="patience", after_s=20)] if isinstance(event, CallInitiated) else []

    async def _hand_over(self, worker: str, session_id: str) -> None:
        raise AssertionError("there is one worker")

    async def deliver(self, *deliveries: FakeDelivery) -> None:
        await asyncio.gather(*(self.lanes.take(delivery) for delivery in deliveries))
        await until_answered(*deliveries)


async def test_a_hangup_asked_for_behind_a_poisonous_event_is_carried_out() -> None:
    desk = Desk()
    await arrive(desk.log, initiated(), answered())
    await request(desk.log, "hangup")
    delivery = FakeDelivery(session_id=SESSION, count=POISON_DELIVERIES)
    await desk.deliver(delivery)
    assert delivery.answers == ["ack"]
    assert desk.carrier.operations == ["hangup"]


async def test_a_timer_whose_alarm_meets_a_poisonous_event_fires_after_the_repair() -> None:
    desk = Desk()
    seq = await arrive(desk.log, initiated())
    await desk.deliver(FakeDelivery(session_id=SESSION, seq=seq))
    await arrive(desk.log, answered())
    desk.log.now += timedelta(seconds=21)
    (alarm,) = desk.timetable.rings()
    rang = FakeDelivery(session_id=SESSION, seq=0, alarm=alarm, count=POISON_DELIVERIES)
    await desk.deliver(rang)
    assert rang.answers == ["ack"]
    assert len(await facts(desk.log, TimerFired)) == 1

    desk.is_broken = False
    resumed = await desk.log.append(SESSION, "in", encode(SessionResumed(), SESSION))
    await desk.deliver(FakeDelivery(session_id=SESSION, seq=resumed.seq))
    assert desk.heard == [CallInitiated, CallAnswered, TimerFired]
