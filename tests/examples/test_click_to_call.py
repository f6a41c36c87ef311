"""Click to call: given what happened, when an event arrives, then these orders."""

import pytest

from examples.click_to_call import RING_S, ClickToCall, click_to_call
from offhook.client_state import client_state
from offhook.commands import Bridge, Dial, Hangup
from offhook.events import (
    CallAnswered,
    CallBridged,
    CallHangup,
    CallInitiated,
    CommandFailed,
)
from offhook.testing import EXAMPLE_CONNECTION, EXAMPLE_LEG, given

CUSTOMER = "customer-leg"
STATE = client_state(ClickToCall(customer="+12025550124"))
DIALLED = CallInitiated(
    direction="outgoing", from_="+12025550100", to="+12025550121", client_state=STATE
)
AGENT_ANSWERS = CallAnswered(client_state=STATE)
CALL_CUSTOMER = Dial(
    to="+12025550124",
    from_="+12025550100",
    connection_id=EXAMPLE_CONNECTION,
    link_to=EXAMPLE_LEG,
    timeout_secs=RING_S,
)
RINGING = (
    DIALLED,
    AGENT_ANSWERS,
    CALL_CUSTOMER,
    CallInitiated(call_control_id=CUSTOMER, direction="outgoing", to="+12025550124"),
)
CUSTOMER_ANSWERS = CallAnswered(call_control_id=CUSTOMER)
CONNECT = Bridge(call_control_id=EXAMPLE_LEG, call_control_id_to_bridge_with=CUSTOMER)


def test_while_the_agent_is_called_nothing_happens() -> None:
    given(click_to_call).when(DIALLED).then_nothing()


def test_an_agent_who_answers_is_followed_by_the_customer() -> None:
    given(click_to_call, DIALLED).when(AGENT_ANSWERS).then(CALL_CUSTOMER)


def test_who_both_answered_are_connected() -> None:
    given(click_to_call, *RINGING).when(CUSTOMER_ANSWERS).then(CONNECT)


def test_an_agent_who_does_not_answer_ends_it() -> None:
    given(click_to_call, DIALLED).when(CallHangup(hangup_cause="timeout")).then_nothing()


@pytest.mark.parametrize("cause", ["timeout", "user_busy"])
def test_without_the_customer_the_agent_is_let_go(cause: str) -> None:
    gone = CallHangup(call_control_id=CUSTOMER, hangup_cause=cause)
    given(click_to_call, *RINGING).when(gone).then(Hangup(call_control_id=EXAMPLE_LEG))


def test_without_the_agent_the_customer_is_not_called_on() -> None:
    given(click_to_call, *RINGING).when(CallHangup()).then(Hangup(call_control_id=CUSTOMER))


def test_a_customer_who_is_heard_of_after_the_agent_is_gone_is_let_go_too() -> None:
    past = DIALLED, AGENT_ANSWERS, CALL_CUSTOMER, CallHangup()
    ringing = CallInitiated(call_control_id=CUSTOMER, direction="outgoing")
    given(click_to_call, *past).when(ringing).then(Hangup(call_control_id=CUSTOMER))


def test_a_customer_of_a_dial_that_got_no_answer_is_let_go_too() -> None:
    late = CommandFailed(command_id="c", operation="dial", reason="deadline")
    past = DIALLED, AGENT_ANSWERS, CALL_CUSTOMER, late, Hangup(call_control_id=EXAMPLE_LEG)
    ringing = CallInitiated(call_control_id=CUSTOMER, direction="outgoing")
    let_go = Hangup(call_control_id=CUSTOMER)
    given(click_to_call, *past, CallHangup()).when(ringing).then(let_go)
    given(click_to_call, *past, CallHangup(), ringing, let_go).when(CUSTOMER_ANSWERS).then_nothing()


def test_bridged_legs_end_by_themselves() -> None:
    talking = (
        *RINGING,
        CUSTOMER_ANSWERS,
        CONNECT,
        CallBridged(),
        CallBridged(call_control_id=CUSTOMER),
    )
    given(click_to_call, *talking).when(CallHangup()).then_nothing()


@pytest.mark.parametrize("operation", ["dial", "bridge"])
def test_a_command_that_fails_lets_go_who_is_there(operation: str) -> None:
    failed = CommandFailed(command_id="c", operation=operation, reason="refused")
    past = DIALLED, AGENT_ANSWERS, CALL_CUSTOMER
    given(click_to_call, *past).when(failed).then(Hangup(call_control_id=EXAMPLE_LEG))


def test_nobody_is_called_twice_when_events_are_late() -> None:
    given(click_to_call, AGENT_ANSWERS, CALL_CUSTOMER).when(DIALLED).then_nothing()
    given(click_to_call, *RINGING, CUSTOMER_ANSWERS, CONNECT).when(AGENT_ANSWERS).then_nothing()


def test_a_call_of_somebody_else_is_left_alone() -> None:
    given(click_to_call, CallInitiated(direction="outgoing")).when(CallAnswered()).then_nothing()
