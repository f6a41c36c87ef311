"""Notification: a call that speaks a text, to a person at once, to a machine after its greeting.

POST /v2/calls  {"to": …, "from": …, "connection_id": …,
                 "answering_machine_detection": "premium",
                 "client_state": client_state(Notification(text="Your parcel is here."))}

A call to a fax is hung up; only premium detection can distinguish a fax from a person. If the
detection gives no result, the text is spoken DETECTION_S after the answer.
"""

from dataclasses import dataclass

from offhook import (
    CallSpeakEnded,
    CancelTimer,
    CommandFailed,
    Event,
    Flow,
    Hangup,
    Order,
    Session,
    SetTimer,
    Speak,
    TimerFired,
    state_of,
)

DETECTION_S = 4.0  # the carrier's own detection takes at most 3.5 s
GREETING_S = 20.0  # premium detection reports the end of a greeting only if there is a beep
VOICE = "AWS.Polly.Joanna"


@dataclass(frozen=True, kw_only=True)
class Notification:
    """The `client_state` of the leg: the text to speak."""

    text: str


def decide(event: Event, session: Session) -> list[Order]:
    leg = session.leg(event.call_control_id)
    request = state_of(Notification, leg)
    if leg is None or request is None:
        return []
    done = [CancelTimer(name=name) for name in session.timers]
    if leg.state == "ended":
        return [*done]
    found = leg.machine_detection
    if isinstance(event, CallSpeakEnded | CommandFailed) or found == "fax_detected":
        return [] if session.was_asked("hangup") else [*done, Hangup()]
    if (leg.state != "answered" and found is None) or session.was_asked("speak"):
        return []
    # Wait for the end of a machine's greeting, or for the detection result.
    timer, after_s = ("greeting", GREETING_S) if found == "machine" else ("person", DETECTION_S)
    known = leg.machine_greeting if found == "machine" else found
    if known is not None or (isinstance(event, TimerFired) and event.name == timer):
        return [*done, Speak(payload=request.text, voice=VOICE)]
    if timer in session.timers:
        return []
    return [*done, SetTimer(name=timer, after_s=after_s)]


notification = Flow(name="notification", version="2", decide=decide)
