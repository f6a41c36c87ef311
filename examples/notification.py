"""Notification: a call that says its text, to a person at once, to a machine after its greeting.

POST /v2/calls  {"to": …, "from": …, "connection_id": …,
                 "answering_machine_detection": "greeting_end",
                 "client_state": client_state(Notification(text="Your parcel is here."))}
"""

from dataclasses import dataclass

from offhook.client_state import state_of
from offhook.commands import Hangup, Speak
from offhook.events import CallAnswered, CallSpeakEnded, CommandFailed, Event, TimerFired
from offhook.flow import Flow, Order
from offhook.session import Leg, Session
from offhook.timers import CancelTimer, SetTimer

DETECTION_S = 30.0
VOICE = "AWS.Polly.Joanna"


@dataclass(frozen=True, kw_only=True)
class Notification:
    """What the leg carries: what to say."""

    text: str


def decide(event: Event, session: Session) -> list[Order]:
    leg = session.leg(event.call_control_id)
    told = state_of(Notification, leg)
    if leg is None or told is None:
        return []
    if leg.state == "ended":
        return [CancelTimer(name="detection")]
    spoken = session.was_asked("speak")
    if isinstance(event, CallSpeakEnded | CommandFailed):
        return [] if session.was_asked("hangup") else [Hangup()]
    # A detection that never ends is no reason to leave somebody listening to nothing.
    if not spoken and (_is_listening(leg) or isinstance(event, TimerFired)):
        return [CancelTimer(name="detection"), Speak(payload=told.text, voice=VOICE)]
    if isinstance(event, CallAnswered) and not spoken:
        return [SetTimer(name="detection", after_s=DETECTION_S)]
    return []


def _is_listening(leg: Leg) -> bool:
    """A person, as soon as that is known; a machine once its greeting is over."""
    if leg.machine_detection == "machine":
        return leg.machine_greeting is not None
    return leg.machine_detection is not None


notification = Flow(name="notification", version="1", decide=decide)
