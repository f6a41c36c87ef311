"""One worker with a flow that breaks when a call is answered."""

import asyncio
from collections.abc import Callable, Sequence

from offhook.events import (
    CallAnswered,
    CallInitiated,
    Decided,
    Event,
)
from offhook.flow import Flow, Order
from offhook.jetstream.timetable import Alarm
from offhook.session import Session
from offhook.session.timers import SetTimer
from offhook.workers.intake.delivery import Delivery
from offhook.workers.intake.dispatcher import Dispatcher
from offhook.workers.intake.handover import HandoverAnswer
from offhook.workers.intake.slots import Slots
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.sessions.parked_policy import policy_from
from tests.memory_log import MemoryLog
from tests.memory_timetable import MemoryTimetable
from tests.workers.intake.dispatching import FakeDelivery, until_answered
from tests.workers.sessions.stand import (
    SESSION,
    ScriptedCarrier,
    facts,
    settler_on,
)

Decide = Callable[[Event, Session], Sequence[Order]]


class Desk:
    """One worker's dispatcher on the stand-ins, with a flow that breaks when a call is answered."""

    def __init__(self, parked: str = "none") -> None:
        self.log = MemoryLog()
        self.timetable = MemoryTimetable(self.log)
        self.carrier = ScriptedCarrier(self.log)
        self.is_broken = True
        self.raises_left = 1_000
        self.asked_in_vain = 0
        self.heard: list[type[Event]] = []
        self.flow: Decide = self._decide
        self.dispatcher = Dispatcher(
            settler_on(
                self.log,
                self.carrier,
                Flow(
                    name="menu",
                    version="1",
                    decide=lambda event, session: self.flow(event, session),
                ),
                timetable=self.timetable,
                policy=policy_from(parked),
            ),
            self._hand_over,
            WorkerMetrics(),
            slots=Slots(8),
            hurry=lambda session_id: None,
        )

    def _decide(self, event: Event, session: Session) -> Sequence[Order]:
        if isinstance(event, CallAnswered) and self.is_broken and self.raises_left:
            self.raises_left -= 1
            self.asked_in_vain += 1
            raise KeyError("menu")
        self.heard.append(type(event))
        return [SetTimer(name="patience", after_s=20)] if isinstance(event, CallInitiated) else []

    async def _hand_over(
        self, worker: str, session_id: str, deliveries: Sequence[Delivery]
    ) -> HandoverAnswer:
        raise AssertionError("there is one worker")

    async def redeliver(self, times: int, alarm: Alarm | None = None) -> list[str | float]:
        """What became of the last of so many deliveries of one wake-up."""
        for count in range(1, times + 1):
            delivery = FakeDelivery(session_id=SESSION, seq=0, alarm=alarm, count=count)
            await self.deliver(delivery)
        return delivery.answers

    async def deliver(self, *deliveries: FakeDelivery) -> None:
        await asyncio.gather(*(self.dispatcher.take(delivery) for delivery in deliveries))
        await until_answered(*deliveries)


async def decided_by(log: MemoryLog) -> list[str]:
    """The flows of the decisions, oldest first."""
    return [fact.flow for fact in await facts(log, Decided) if isinstance(fact, Decided)]
