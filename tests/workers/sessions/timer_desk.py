"""A flow that sets a timer, and workers that settle its session on the stand-ins."""

from collections.abc import Sequence
from datetime import timedelta

from offhook.commands import Hangup
from offhook.events import (
    CallAnswered,
    CallInitiated,
    Event,
    TimerFired,
)
from offhook.flow import Flow, Order
from offhook.jetstream.timetable import Alarm
from offhook.session import Session
from offhook.session.timers import CancelTimer, SetTimer
from offhook.workers.sessions.settle import Settled, Settler
from tests.memory_log import MemoryLog
from tests.memory_timetable import MemoryTimetable
from tests.workers.sessions.stand import (
    SESSION,
    ScriptedCarrier,
    settler_on,
)

RING_S = 20


def decide(event: Event, session: Session) -> Sequence[Order]:
    """Ring for 20 s; whoever has not answered by then is hung up."""
    match event:
        case CallInitiated():
            return [SetTimer(name="no-answer", after_s=RING_S)]
        case CallAnswered():
            return [CancelTimer(name="no-answer")]
        case TimerFired(name="no-answer"):
            return [Hangup()]
        case _:
            return []


PATIENCE = Flow(name="patience", version="1", decide=decide)


class Desk:
    """A log, a timetable, a carrier, and as many workers as are asked for."""

    def __init__(self, log: MemoryLog | None = None, flow: Flow = PATIENCE) -> None:
        self.log = log or MemoryLog()
        self.timetable = MemoryTimetable(self.log)
        self.carrier = ScriptedCarrier(self.log)
        self.flow = flow

    def worker(self, name: str = "w1") -> Settler:
        return settler_on(self.log, self.carrier, self.flow, worker=name, timetable=self.timetable)

    def passes(self, seconds: float) -> None:
        self.log.now += timedelta(seconds=seconds)

    async def ring(self, worker: str = "w1") -> list[Alarm]:
        """Settle on what rings by now."""
        alarms = self.timetable.rings()
        assert await self.worker(worker).settle(SESSION, 0, alarms) == Settled()
        return alarms
