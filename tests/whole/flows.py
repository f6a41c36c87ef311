"""Flows for the tests of the whole."""

from collections.abc import Sequence

from offhook.commands import Answer, Command, Transfer
from offhook.events import CallAnswered, CallInitiated, Event
from offhook.flow import Flow
from offhook.session import Session


def decide(event: Event, session: Session) -> Sequence[Command]:
    match event:
        case CallInitiated():
            return [Answer()]
        case CallAnswered():
            return [Transfer(to="+12025550121")]
        case _:
            return []


answer_then_transfer = Flow(name="answer-then-transfer", version="1", decide=decide)

watching = Flow(name="watching", version="1", decide=lambda event, session: [])
