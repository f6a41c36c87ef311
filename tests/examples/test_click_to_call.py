"""Click to call: given what happened, when an event arrives, then these orders."""

import pytest

from examples.click_to_call import (
    CALLING,
    DETECTION_S,
    RING_S,
    VOICE,
    ClickToCall,
    click_to_call,
)
from offhook.commands import Bridge, Dial, Hangup, Speak, StopPlayback
from offhook.events import (
    CallAnswered,
    CallBridged,
    CallHangup,
    CallInitiated,
    CallMachinePremiumDetectionEnded,
    CommandFailed,
    TimerFired,
)
from offhook.flow.typed_client_state import client_state
from offhook.session.timers import SetTimer
from offhook.testing import EXAMPLE_CONNECTION, EXAMPLE_LEG, given

CUSTOMER = "customer-leg"
STATE = client_state(ClickToCall(customer="+12025550124"))
DIALLED = CallInitiated(
    direction="outgoing", from_="+12025550100", to="+12025550121", client_state=STATE
)
AGENT_ANSWERS = CallAnswered(client_state=STATE)
AGENT_WAITS = SetTimer(name="agent", after_s=DETECTION_S)
CUSTOMER_WAITS = SetTimer(name="customer", after_s=DETECTION_S)
AGENT_IS_THERE = CallMachinePremiumDetectionEnded(result="human_business", client_state=STATE)
HOLD_THE_LINE = Speak(call_control_id=EXAMPLE_LEG, payload=CALLING, voice=VOICE, loop="infinity")
DIAL = Dial(
    to="+12025550124",
    from_="+12025550100",
    connection_id=EXAMPLE_CONNECTION,
    link_to=EXAMPLE_LEG,
    timeout_secs=RING_S,
    answering_machine_detection="premium",
)
CALL_CUSTOMER = HOLD_THE_LINE, DIAL
CALLED = DIALLED, AGENT_ANSWERS, AGENT_WAITS, AGENT_IS_THERE, *CALL_CUSTOMER
RINGING = (
    *CALLED,
    CallInitiated(call_control_id=CUSTOMER, direction="outgoing", to="+12025550124"),
)
CUSTOMER_ANSWERS = CallAnswered(call_control_id=CUSTOMER)
CUSTOMER_IS_THERE = CallMachinePremiumDetectionEnded(
    call_control_id=CUSTOMER, result="human_residence"
)
CONNECT = (
    StopPlayback(call_control_id=EXAMPLE_LEG),
    Bridge(call_control_id=EXAMPLE_LEG, call_control_id_to_bridge_with=CUSTOMER),
)
TALKING = *RINGING, CUSTOMER_ANSWERS, CUSTOMER_WAITS, CUSTOMER_IS_THERE, *CONNECT


def test_while_the_agent_is_called_nothing_happens() -> None:
    given(click_to_call).when(DIALLED).then_nothing()


def test_an_agent_who_is_a_person_is_followed_by_the_customer() -> None:
    given(click_to_call, DIALLED).when(AGENT_ANSWERS).then(AGENT_WAITS)
    past = DIALLED, AGENT_ANSWERS, AGENT_WAITS
    given(click_to_call, *past).when(AGENT_IS_THERE).then(*CALL_CUSTOMER)


def test_who_are_both_people_are_connected() -> None:
    given(click_to_call, *RINGING).when(CUSTOMER_ANSWERS).then(CUSTOMER_WAITS)
    past = *RINGING, CUSTOMER_ANSWERS, CUSTOMER_WAITS
    given(click_to_call, *past).when(CUSTOMER_IS_THERE).then(*CONNECT)


def test_without_a_result_in_time_they_count_as_people() -> None:
    past = DIALLED, AGENT_ANSWERS, AGENT_WAITS
    given(click_to_call, *past).when(TimerFired(name="agent")).then(*CALL_CUSTOMER)
    both = *RINGING, CUSTOMER_ANSWERS, CUSTOMER_WAITS
    given(click_to_call, *both).when(TimerFired(name="customer")).then(*CONNECT)


@pytest.mark.parametrize("result", ["machine", "fax_detected"])
def test_a_machine_is_connected_with_nobody(result: str) -> None:
    machine = CallMachinePremiumDetectionEnded(result=result, client_state=STATE)
    past = DIALLED, AGENT_ANSWERS, AGENT_WAITS
    given(click_to_call, *past).when(machine).then(Hangup())
    machine = CallMachinePremiumDetectionEnded(call_control_id=CUSTOMER, result=result)
    both = *RINGING, CUSTOMER_ANSWERS, CUSTOMER_WAITS
    let_go = Hangup(call_control_id=EXAMPLE_LEG), Hangup(call_control_id=CUSTOMER)
    given(click_to_call, *both).when(machine).then(*let_go)


def test_an_agent_who_does_not_answer_ends_it() -> None:
    given(click_to_call, DIALLED).when(CallHangup(hangup_cause="timeout")).then_nothing()


@pytest.mark.parametrize("cause", ["timeout", "user_busy"])
def test_without_the_customer_the_agent_is_let_go(cause: str) -> None:
    gone = CallHangup(call_control_id=CUSTOMER, hangup_cause=cause)
    given(click_to_call, *RINGING).when(gone).then(Hangup(call_control_id=EXAMPLE_LEG))


def test_without_the_agent_the_customer_is_not_called_on() -> None:
    given(click_to_call, *RINGING).when(CallHangup()).then(Hangup(call_control_id=CUSTOMER))


def test_a_customer_who_is_heard_of_after_the_agent_is_gone_is_let_go_too() -> None:
    past = *CALLED, CallHangup()
    ringing = CallInitiated(call_control_id=CUSTOMER, direction="outgoing")
    given(click_to_call, *past).when(ringing).then(Hangup(call_control_id=CUSTOMER))


def test_a_customer_of_a_dial_that_got_no_answer_is_let_go_too() -> None:
    late = CommandFailed(command_id="c", operation="dial", reason="deadline")
    past = *CALLED, late, Hangup(call_control_id=EXAMPLE_LEG)
    ringing = CallInitiated(call_control_id=CUSTOMER, direction="outgoing")
    let_go = Hangup(call_control_id=CUSTOMER)
    given(click_to_call, *past, CallHangup()).when(ringing).then(let_go)
    given(click_to_call, *past, CallHangup(), ringing, let_go).when(CUSTOMER_ANSWERS).then_nothing()


def test_bridged_legs_end_by_themselves() -> None:
    bridged = CallBridged(), CallBridged(call_control_id=CUSTOMER)
    given(click_to_call, *TALKING, *bridged).when(CallHangup()).then_nothing()


@pytest.mark.parametrize("operation", ["dial", "bridge"])
def test_a_command_that_fails_lets_go_who_is_there(operation: str) -> None:
    failed = CommandFailed(command_id="c", operation=operation, reason="refused")
    given(click_to_call, *CALLED).when(failed).then(Hangup(call_control_id=EXAMPLE_LEG))


def test_nobody_is_called_twice_when_events_are_late() -> None:
    given(click_to_call, AGENT_ANSWERS, AGENT_WAITS, AGENT_IS_THERE, *CALL_CUSTOMER).when(
        DIALLED
    ).then_nothing()
    given(click_to_call, *TALKING).when(AGENT_ANSWERS).then_nothing()


def test_a_call_of_somebody_else_is_left_alone() -> None:
    given(click_to_call, CallInitiated(direction="outgoing")).when(CallAnswered()).then_nothing()
