"""The measured flow: it answers every incoming call."""

from collections.abc import Sequence

from offhook.commands import Answer, Command
from offhook.events import CallInitiated, Event
from offhook.flow import Flow
from offhook.session import Session


def decide(event: Event, session: Session) -> Sequence[Command]:
    match event:
        case CallInitiated():
            return [Answer()]
        case _:
            return []


ANSWERING = Flow(name="answering", version="1", decide=decide)
