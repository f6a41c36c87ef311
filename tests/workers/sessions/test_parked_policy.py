"""What becomes of the calls of a parked session, under each policy."""

from dataclasses import replace

import pytest

from offhook.commands import Answer, Hangup, Transfer
from offhook.errors import SettingInvalid
from offhook.events import (
    CallAnswered,
    CallBridged,
    CallDtmfReceived,
    CallHangup,
    CallInitiated,
    CommandFailed,
    ConferenceParticipantJoined,
    TimerFired,
)
from offhook.flow import PARKED, Flow
from offhook.flow.typed_client_state import client_state
from offhook.session.timers import SetTimer
from offhook.testing import given
from offhook.workers.sessions.parked_policy import TRANSFERRED_WITHIN_S, CalledByPolicy, policy_from

DESK = "+12025550188"
CALLER, AGENT = "caller", "agent"
MARK = client_state(CalledByPolicy())

RINGS = CallInitiated(call_control_id=CALLER, direction="incoming")
IS_UP = CallAnswered(call_control_id=CALLER)
KEY = CallDtmfReceived(call_control_id=CALLER, digit="1")
AGENT_RINGS = CallInitiated(call_control_id=AGENT, direction="outgoing")
AGENT_LEAVES = CallHangup(call_control_id=AGENT)
BRIDGED = CallBridged(call_control_id=CALLER), CallBridged(call_control_id=AGENT)


def policy(text: str) -> Flow:
    found = policy_from(text)
    assert found is not None
    return found


HANG_UP, TRANSFER = policy("hangup"), policy(f"transfer:{DESK}")
CONNECT = Transfer(call_control_id=CALLER, to=DESK, target_leg_client_state=MARK)
PATIENCE = SetTimer(name=PARKED.name, after_s=TRANSFERRED_WITHIN_S)
LET_GO = Hangup(call_control_id=CALLER)


def test_every_leg_that_nobody_talks_with_is_hung_up_once() -> None:
    both = LET_GO, Hangup(call_control_id=AGENT)
    given(HANG_UP).when(RINGS).then(LET_GO)
    given(HANG_UP, RINGS, IS_UP, AGENT_RINGS).when(KEY).then(*both)
    given(HANG_UP, RINGS, IS_UP, AGENT_RINGS, KEY, *both).when(replace(KEY, digit="2")).then()


def test_a_leg_that_comes_up_later_is_hung_up_too() -> None:
    given(HANG_UP, RINGS, LET_GO).when(AGENT_RINGS).then(Hangup(call_control_id=AGENT))


def test_people_who_talk_are_left_alone_until_one_leaves() -> None:
    talk = RINGS, IS_UP, AGENT_RINGS, *BRIDGED
    given(HANG_UP, *talk).when(KEY).then()
    given(HANG_UP, *talk).when(AGENT_LEAVES).then(LET_GO)
    given(HANG_UP, RINGS, IS_UP, BRIDGED[0]).when(KEY).then()
    joined = ConferenceParticipantJoined(call_control_id=CALLER, conference_id="c1")
    given(HANG_UP, RINGS, IS_UP, joined).when(KEY).then()


def test_a_hangup_that_the_carrier_did_not_answer_is_tried_again_three_times_at_most() -> None:
    late = CommandFailed(command_id="", operation="hangup", reason="deadline")
    given(HANG_UP, RINGS, LET_GO).when(late).then(LET_GO)
    given(HANG_UP, RINGS, LET_GO, late, LET_GO, late, LET_GO).when(late).then()
    refused = CommandFailed(command_id="", operation="hangup", reason="refused")
    given(HANG_UP, RINGS, LET_GO).when(refused).then()


def test_the_caller_is_connected_with_the_configured_number() -> None:
    given(TRANSFER, RINGS, IS_UP).when(KEY).then(CONNECT, PATIENCE)
    given(TRANSFER, RINGS, IS_UP, KEY, CONNECT, PATIENCE).when(replace(KEY, digit="2")).then()


def test_a_caller_who_was_not_answered_is_answered_first() -> None:
    answer = Answer(call_control_id=CALLER)
    given(TRANSFER).when(RINGS).then(answer)
    given(TRANSFER, RINGS, answer).when(IS_UP).then(CONNECT, PATIENCE)
    failed = CommandFailed(command_id="", operation="answer", reason="refused")
    given(TRANSFER, RINGS, answer).when(failed).then(LET_GO)


def test_the_other_legs_are_hung_up_and_the_new_one_is_not() -> None:
    agent_goes = Hangup(call_control_id=AGENT)
    given(TRANSFER, RINGS, IS_UP, AGENT_RINGS).when(KEY).then(CONNECT, PATIENCE, agent_goes)
    called = RINGS, IS_UP, KEY, CONNECT, PATIENCE
    desk_rings = CallInitiated(call_control_id="desk", direction="outgoing", client_state=MARK)
    given(TRANSFER, *called).when(desk_rings).then()
    given(TRANSFER, *called).when(AGENT_RINGS).then(agent_goes)


@pytest.mark.parametrize(
    "event",
    [
        CommandFailed(command_id="", operation="transfer", reason="refused"),
        TimerFired(name=PARKED.name),
        CallHangup(call_control_id="desk", client_state=MARK),
    ],
)
def test_a_caller_whose_transfer_fails_is_hung_up(event: CommandFailed) -> None:
    given(TRANSFER, RINGS, IS_UP, KEY, CONNECT, PATIENCE).when(event).then(LET_GO)


def test_a_late_end_of_an_earlier_leg_ends_no_transfer() -> None:
    past = RINGS, IS_UP, AGENT_RINGS, KEY, CONNECT, PATIENCE, Hangup(call_control_id=AGENT)
    given(TRANSFER, *past).when(AGENT_LEAVES).then()


def test_without_a_caller_a_transfer_is_a_hangup() -> None:
    given(TRANSFER).when(AGENT_RINGS).then(Hangup(call_control_id=AGENT))


def test_none_is_no_policy() -> None:
    assert policy_from("none") is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected hangup, none or transfer:NUMBER"),
        ("ring", "OFFHOOK_PARKED is 'ring'; expected hangup, none or transfer:NUMBER"),
        ("transfer:", r"expected a number in E.164 \(\+12025550123\) or a SIP URI"),
        ("transfer:2025550188", "OFFHOOK_PARKED is 'transfer:2025550188': transfer: to is"),
    ],
)
def test_what_is_no_policy_is_refused(text: str, told: str) -> None:
    with pytest.raises(SettingInvalid, match=told):
        policy_from(text)
