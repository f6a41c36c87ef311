"""The measured flows: they answer every incoming call; one raises on some."""

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

POISON_NUMBER = "+12025550666"


def decide_or_raise(event: Event, session: Session) -> Sequence[Command]:
    caller = session.caller
    if caller is not None and caller.from_ == POISON_NUMBER:
        raise ValueError(f"no menu for {POISON_NUMBER}")
    return decide(event, session)


POISONED = Flow(name="poisoned", version="1", decide=decide_or_raise)
