"""The notification: given what happened, when an event arrives, then these orders."""

import pytest

from examples.notification import (
    DETECTION_S,
    GREETING_S,
    VOICE,
    Notification,
    notification,
)
from offhook.commands import Hangup, Speak
from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    CallMachineDetectionEnded,
    CallMachineGreetingEnded,
    CallMachinePremiumDetectionEnded,
    CallSpeakEnded,
    CommandFailed,
    TimerFired,
)
from offhook.flow.typed_client_state import client_state
from offhook.session.timers import CancelTimer, SetTimer
from offhook.testing import given

STATE = client_state(Notification(text="Your parcel is here."))
DIALLED = CallInitiated(direction="outgoing", client_state=STATE)
ANSWERED = CallAnswered(client_state=STATE)
WAIT = SetTimer(name="person", after_s=DETECTION_S)
WAITING = DIALLED, ANSWERED, WAIT
SAY = Speak(payload="Your parcel is here.", voice=VOICE)
LISTENING = CancelTimer(name="person"), SAY
MACHINE = CallMachineDetectionEnded(result="machine")
GREETS = CancelTimer(name="person"), SetTimer(name="greeting", after_s=GREETING_S)
SAID = CallSpeakEnded(status="completed")


def test_who_answers_is_listened_to_first() -> None:
    given(notification).when(DIALLED).then_nothing()
    given(notification, DIALLED).when(ANSWERED).then(WAIT)


@pytest.mark.parametrize("result", ["human", "not_sure"])
def test_a_person_hears_it_at_once(result: str) -> None:
    detected = CallMachineDetectionEnded(result=result)
    given(notification, *WAITING).when(detected).then(*LISTENING)


def test_a_machine_hears_it_after_its_greeting() -> None:
    given(notification, *WAITING).when(MACHINE).then(*GREETS)
    greeted = CallMachineGreetingEnded(result="ended")
    past = *WAITING, MACHINE, *GREETS
    given(notification, *past).when(greeted).then(CancelTimer(name="greeting"), SAY)


def test_a_greeting_whose_end_nobody_tells_is_waited_for_a_while() -> None:
    past = *WAITING, MACHINE, *GREETS
    given(notification, *past).when(TimerFired(name="greeting")).then(SAY)


def test_a_fax_is_not_spoken_to() -> None:
    fax = CallMachinePremiumDetectionEnded(result="fax_detected")
    given(notification, *WAITING).when(fax).then(CancelTimer(name="person"), Hangup())
    past = *WAITING, fax, CancelTimer(name="person"), Hangup()
    given(notification, *past).when(fax).then_nothing()


def test_a_detection_that_never_ends_is_not_waited_for() -> None:
    given(notification, *WAITING).when(TimerFired(name="person")).then(SAY)


def test_when_all_is_said_the_call_ends() -> None:
    past = *WAITING, CallMachineDetectionEnded(result="human"), *LISTENING
    given(notification, *past).when(SAID).then(Hangup())
    given(notification, *past, SAID, Hangup()).when(SAID).then_nothing()


def test_what_cannot_be_said_ends_the_call() -> None:
    past = *WAITING, CallMachineDetectionEnded(result="human"), *LISTENING
    failed = CommandFailed(command_id="c", operation="speak", reason="refused")
    given(notification, *past).when(failed).then(Hangup())


def test_a_call_that_has_ended_waits_for_nothing() -> None:
    given(notification, *WAITING).when(CallHangup()).then(CancelTimer(name="person"))


def test_nothing_is_said_twice_when_events_are_late() -> None:
    human = CallMachineDetectionEnded(result="human", client_state=STATE)
    given(notification).when(human).then(SAY)
    given(notification, human, SAY).when(ANSWERED).then_nothing()


def test_a_call_of_somebody_else_is_left_alone() -> None:
    given(notification, CallInitiated(direction="outgoing")).when(CallAnswered()).then_nothing()
