"""Flows for the tests of the whole."""

from collections.abc import Sequence

from offhook.commands import Answer, Command, SendDtmf, Transfer
from offhook.events import CallAnswered, CallDtmfReceived, CallInitiated, Event
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


def echo(event: Event, session: Session) -> Sequence[Command]:
    match event:
        case CallInitiated():
            return [Answer()]
        case CallDtmfReceived(digit=str(digit)):
            return [SendDtmf(digits=digit)]
        case _:
            return []


echoing = Flow(name="echoing", version="1", decide=echo)
