"""A flow before and after its mistake was corrected."""

from collections.abc import Sequence

from offhook.commands import Answer, Command
from offhook.events import CallInitiated, Event
from offhook.flow import Flow
from offhook.session import Session


def _raise(event: Event, session: Session) -> Sequence[Command]:
    raise ValueError("no such digit: [x]")


def _answer(event: Event, session: Session) -> Sequence[Command]:
    return [Answer()] if isinstance(event, CallInitiated) else []


raising = Flow(name="digits", version="1", decide=_raise)
corrected = Flow(name="digits", version="2", decide=_answer)
