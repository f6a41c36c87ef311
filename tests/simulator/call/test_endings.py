"""Ends and bridges: which legs end, and which park."""

from typing import Any, Literal

import pytest

from offhook.commands import (
    Bridge,
    Hangup,
    Transfer,
)
from offhook.simulator.call.legs import SimulatedLegState
from tests.simulator.calls import (
    BUSY,
    FRIEND,
    SILENT,
    Calls,
    error_code,
)


def test_bridged_legs_keep_their_sessions_and_end_together() -> None:
    calls = Calls()
    first, second = calls.up(), calls.up()
    calls.do(Bridge(call_control_id_to_bridge_with=second), first)
    assert calls.legs[first].call_session_id != calls.legs[second].call_session_id
    for leg in (first, second):
        assert calls.events(leg) == ["call.initiated", "call.answered", "call.bridged"]
    calls.do(Hangup(), second)
    assert calls.ending(first) == ("normal_clearing", "callee", "200")


@pytest.mark.parametrize("stay", [{"park_after_unbridge": "self"}, {"hold_after_unbridge": True}])
def test_a_leg_that_parks_outlives_its_bridge(stay: dict[str, Any]) -> None:
    calls = Calls()
    first, second = calls.up(), calls.up()
    calls.do(Bridge(call_control_id_to_bridge_with=second, **stay), first)
    calls.do(Hangup(), second)
    assert calls.legs[first].state is SimulatedLegState.ANSWERED
    calls.do(Transfer(to=FRIEND), first)
    calls.wait(1)
    assert calls.legs[first].state is SimulatedLegState.BRIDGED


def test_a_leg_parks_after_the_bridge_that_said_so_and_no_other() -> None:
    calls = Calls()
    kept, first, second = calls.up(), calls.up(), calls.up()
    stays = Bridge(call_control_id_to_bridge_with=first, park_after_unbridge="self")
    calls.do(stays, kept)
    calls.do(Hangup(), first)
    calls.do(Bridge(call_control_id_to_bridge_with=kept), second)
    calls.do(Hangup(), second)
    assert calls.legs[kept].ended


@pytest.mark.parametrize("parks", ["self", None])
def test_a_transfer_that_fails_leaves_a_bridge_as_it_was(parks: Literal["self"] | None) -> None:
    calls = Calls()
    leg, other = calls.up(), calls.up()
    calls.do(Bridge(call_control_id_to_bridge_with=other, park_after_unbridge=parks), leg)
    otherwise: Literal["self"] | None = None if parks else "self"
    calls.do(Transfer(to=BUSY, park_after_unbridge=otherwise), leg)
    calls.wait(1)
    calls.do(Hangup(), other)
    assert calls.legs[leg].ended is (parks is None)


@pytest.mark.parametrize("parks", ["self", None])
def test_a_transferred_leg_parks_if_its_transfer_says_so(parks: Literal["self"] | None) -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(Transfer(to=FRIEND, park_after_unbridge=parks), leg)
    calls.wait(1)
    calls.do(Hangup(), calls.transfer_leg(leg))
    assert calls.legs[leg].ended is (parks is None)


def test_bridging_a_bridged_leg_elsewhere_ends_the_old_bridge() -> None:
    calls = Calls()
    first, second, third = calls.up(), calls.up(), calls.up()
    calls.do(Bridge(call_control_id_to_bridge_with=second), first)
    calls.do(Bridge(call_control_id_to_bridge_with=third), first)
    assert calls.legs[second].ended
    assert calls.legs[first].bridged_with == third
    prevent = Bridge(call_control_id_to_bridge_with=third, prevent_double_bridge=True)
    assert error_code(calls, prevent, calls.up()) == "10027"
    assert error_code(calls, Bridge(call_control_id_to_bridge_with=first), first) == "10027"
    assert error_code(calls, Bridge(call_control_id_to_bridge_with="v3:nobody"), first) == "90015"


def test_hanging_up_before_the_answer_cancels_the_call() -> None:
    calls = Calls()
    leg = calls.dial()
    calls.do(Hangup(), leg)
    calls.wait(60)
    assert calls.events(leg) == ["call.initiated", "call.hangup"]
    assert calls.ending(leg) == ("originator_cancel", "caller", "487")


def test_transfers_that_still_ring_are_cancelled_with_their_call() -> None:
    calls = Calls()
    leg = calls.up()
    placed = []
    for number in (SILENT, BUSY, SILENT):
        calls.do(Transfer(to=number), leg)
        placed.append(calls.transfer_leg(leg))
    calls.wait(1)
    calls.do(Hangup(), leg)
    causes = [calls.ending(ringing)[0] for ringing in placed]
    assert causes == ["originator_cancel", "user_busy", "originator_cancel"]
