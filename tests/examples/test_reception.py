"""The reception: given what happened, when an event arrives, then these orders."""

import pytest

from examples.reception import (
    CHOICE_MS,
    DESKS,
    MAILBOX,
    MENU,
    MESSAGE_S,
    RING_S,
    VOICE,
    reception,
)
from offhook.commands import Answer, GatherUsingSpeak, Hangup, Speak, StartRecording, Transfer
from offhook.events import (
    CallAnswered,
    CallBridged,
    CallGatherEnded,
    CallHangup,
    CallInitiated,
    CallSpeakEnded,
    CommandFailed,
    TimerFired,
)
from offhook.session.timers import SetTimer
from offhook.testing import EXAMPLE_LEG, given

DESK = "desk-leg"
ASK = GatherUsingSpeak(
    payload=MENU,
    voice=VOICE,
    valid_digits="12",
    maximum_digits=1,
    maximum_tries=1,
    timeout_millis=CHOICE_MS,
)
TAKE_MESSAGE = Speak(call_control_id=EXAMPLE_LEG, payload=MAILBOX, voice=VOICE)
TAPE = StartRecording(channels="single", format="mp3")
MESSAGE = SetTimer(name="message", after_s=MESSAGE_S)

RINGS = (CallInitiated(direction="incoming", to="+12025550101"),)
IN_MENU = (*RINGS, Answer(), CallAnswered(), ASK)
PRESSED_1 = CallGatherEnded(digits="1", status="valid")
PUT_THROUGH = (
    *IN_MENU,
    PRESSED_1,
    Transfer(to=DESKS["1"], timeout_secs=RING_S),
    CallInitiated(call_control_id=DESK, direction="outgoing"),
)
NOBODY = CallHangup(call_control_id=DESK, hangup_cause="timeout")


def test_a_call_is_answered() -> None:
    given(reception).when(*RINGS).then(Answer())


def test_who_is_answered_hears_the_menu() -> None:
    given(reception, *RINGS, Answer()).when(CallAnswered()).then(ASK)


@pytest.mark.parametrize("key", ["1", "2"])
def test_the_key_decides_on_the_desk(key: str) -> None:
    pressed = CallGatherEnded(digits=key, status="valid")
    given(reception, *IN_MENU).when(pressed).then(Transfer(to=DESKS[key], timeout_secs=RING_S))


@pytest.mark.parametrize("status", ["timeout", "invalid"])
def test_who_presses_nothing_may_leave_a_message(status: str) -> None:
    given(reception, *IN_MENU).when(CallGatherEnded(digits="", status=status)).then(TAKE_MESSAGE)


def test_who_hangs_up_in_the_menu_is_left_alone() -> None:
    given(reception, *IN_MENU).when(CallGatherEnded(status="call_hangup")).then_nothing()


@pytest.mark.parametrize("cause", ["timeout", "user_busy", "call_rejected"])
def test_when_the_desk_does_not_answer_a_message_is_taken(cause: str) -> None:
    ended = CallHangup(call_control_id=DESK, hangup_cause=cause)
    given(reception, *PUT_THROUGH).when(ended).then(TAKE_MESSAGE)


def test_when_the_transfer_is_refused_a_message_is_taken() -> None:
    refused = CommandFailed(command_id="c", operation="transfer", reason="refused")
    given(reception, *PUT_THROUGH).when(refused).then(TAKE_MESSAGE)


def test_a_desk_that_hangs_up_after_talking_is_not_followed_by_the_mailbox() -> None:
    bridged = CallBridged(call_control_id=DESK)
    bye = CallHangup(call_control_id=DESK, hangup_cause="normal_clearing")
    given(reception, *PUT_THROUGH, CallBridged(), bridged).when(bye).then_nothing()
    # The carrier's hang-up may overtake the bridge.
    given(reception, *PUT_THROUGH).when(bye).then_nothing()


def test_after_the_announcement_the_message_is_recorded_for_a_while() -> None:
    past = *PUT_THROUGH, NOBODY, TAKE_MESSAGE
    given(reception, *past).when(CallSpeakEnded(status="completed")).then(TAPE, MESSAGE)


def test_a_message_that_is_too_long_ends_the_call() -> None:
    past = *PUT_THROUGH, NOBODY, TAKE_MESSAGE, CallSpeakEnded(), TAPE, MESSAGE
    given(reception, *past).when(TimerFired(name="message")).then(Hangup())


def test_a_caller_who_is_gone_is_owed_nothing() -> None:
    past = *PUT_THROUGH, NOBODY, TAKE_MESSAGE, CallSpeakEnded(), TAPE, MESSAGE, CallHangup()
    given(reception, *past).when(TimerFired(name="message")).then_nothing()


@pytest.mark.parametrize("operation", ["answer", "gather_using_speak", "speak", "record_start"])
def test_a_command_that_fails_ends_the_call_once(operation: str) -> None:
    failed = CommandFailed(command_id="c", operation=operation, reason="refused")
    given(reception, *IN_MENU).when(failed).then(Hangup())
    given(reception, *IN_MENU, failed, Hangup()).when(failed).then_nothing()


def test_nothing_is_said_twice_when_events_are_late() -> None:
    given(reception, CallAnswered()).when(*RINGS).then(ASK)
    given(reception, *PUT_THROUGH).when(CallInitiated(direction="incoming")).then_nothing()
    given(reception, *PUT_THROUGH).when(PRESSED_1).then_nothing()
