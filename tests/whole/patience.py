"""A flow for tests of timers: whoever has not answered in time is hung up."""

from collections.abc import Sequence

from offhook.commands import Hangup
from offhook.events import CallAnswered, CallInitiated, Event, TimerFired
from offhook.flow import Flow, Order
from offhook.session import Session
from offhook.session.timers import CancelTimer, SetTimer

RING_S = 8.0
"""Whoever answers later than that, on a slow machine, counts as one who does not."""


def decide(event: Event, session: Session) -> Sequence[Order]:
    match event:
        case CallInitiated():
            return [SetTimer(name="no-answer", after_s=RING_S)]
        case CallAnswered():
            return [CancelTimer(name="no-answer")]
        case TimerFired(name="no-answer"):
            return [Hangup()]
        case _:
            return []


patience = Flow(name="patience", version="1", decide=decide)
