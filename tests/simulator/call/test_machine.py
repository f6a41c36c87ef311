"""The leg state machine: given legs, when a command or a happening arrives, then these webhooks."""

from typing import Any

import pytest

from offhook.commands import (
    Answer,
    Bridge,
    Dial,
    Hangup,
    Refer,
    Reject,
    SendSipInfo,
    Transfer,
)
from offhook.simulator.call.legs import SimulatedLegState
from tests.simulator.calls import (
    BUSY,
    BYE,
    CALLER,
    FRIEND,
    HELLO,
    NOBODY,
    OTHER,
    OURS,
    REJECTS,
    SILENT,
    TALKS,
    Calls,
    error_code,
)

# ---------------------------------------------------------------- inbound


def test_an_inbound_call_waits_parked_until_it_is_answered() -> None:
    calls = Calls()
    leg = calls.ring()
    assert calls.payload(leg, "call.initiated")["state"] == "parked"
    calls.do(Answer(), leg)
    assert calls.legs[leg].state is SimulatedLegState.ANSWERED
    assert calls.events(leg) == ["call.initiated", "call.answered"]


def test_a_caller_whom_nobody_answers_gives_up() -> None:
    calls = Calls()
    leg = calls.ring(patience_s=20)
    calls.wait(19)
    assert not calls.legs[leg].ended
    calls.wait(1)
    assert calls.ending(leg) == ("originator_cancel", "caller", "487")
    assert calls.payload(leg, "call.hangup")["call_quality_stats"] is None


def test_a_caller_who_was_answered_hangs_up_after_the_talk() -> None:
    calls = Calls()
    leg = calls.ring(patience_s=20, hangup_after_s=60)
    calls.wait(10)
    calls.do(Answer(), leg)
    calls.wait(59)
    assert not calls.legs[leg].ended
    calls.wait(1)
    assert calls.ending(leg) == ("normal_clearing", "caller", "200")
    stats = calls.payload(leg, "call.hangup")["call_quality_stats"]
    assert stats["inbound"]["packet_count"] == "3000"


def test_answering_an_answered_leg_sends_nothing_and_counts_as_repeated() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(Answer(), leg)
    assert calls.newest is not None
    assert calls.newest.repeated
    assert calls.newest.webhooks == ()


@pytest.mark.parametrize(
    ("cause", "ending"),
    [
        ("CALL_REJECTED", ("call_rejected", "callee", "603")),
        ("USER_BUSY", ("user_busy", "callee", "486")),
        ("NOT_FOUND", ("not_found", "callee", "404")),
        ("TEMPORARILY_UNAVAILABLE", ("unspecified", "callee", "480")),
    ],
)
def test_a_rejected_call_ends_with_the_cause_given(
    cause: Any, ending: tuple[str, str, str]
) -> None:
    calls = Calls()
    leg = calls.ring()
    calls.do(Reject(cause=cause), leg)
    assert calls.ending(leg) == ending


def test_before_the_answer_only_answer_reject_and_hangup_are_accepted() -> None:
    calls = Calls()
    leg, other = calls.ring(), calls.up()
    for command in (
        Transfer(to=FRIEND),
        Bridge(call_control_id_to_bridge_with=other),
        Refer(sip_address="sip:a@example.com"),
        SendSipInfo(content_type="text/plain", body="x"),
    ):
        assert error_code(calls, command, leg) == "90034"
    assert error_code(calls, Bridge(call_control_id_to_bridge_with=leg), other) == "90034"
    assert error_code(calls, Reject(cause="USER_BUSY"), other) == "10027"


def test_an_ended_leg_accepts_no_command() -> None:
    calls = Calls()
    leg = calls.ring()
    calls.do(Hangup(), leg)
    for command in (Answer(), Hangup(), Transfer(to=FRIEND), Reject(cause="USER_BUSY")):
        assert error_code(calls, command, leg) == "90018"


# ---------------------------------------------------------------- outbound


def test_a_dialled_number_answers_after_a_moment() -> None:
    calls = Calls()
    leg = calls.dial()
    initiated = calls.payload(leg, "call.initiated")
    assert (initiated["direction"], initiated["state"]) == ("outgoing", "bridging")
    assert "start_time" not in initiated
    calls.wait(1)
    assert "direction" not in calls.payload(leg, "call.answered")
    assert calls.legs[leg].state is SimulatedLegState.ANSWERED


@pytest.mark.parametrize(
    ("number", "ending"),
    [
        (BUSY, ("user_busy", "callee", "486")),
        (REJECTS, ("call_rejected", "callee", "603")),
        (NOBODY, ("not_found", "callee", "404")),
        (SILENT, ("timeout", "unknown", "487")),
        ("+12025550181", ("unspecified", "callee", "480")),
        ("+12025550182", ("unspecified", "unknown", "503")),
        ("+12025550185", ("call_rejected", "unknown", "403")),
        (TALKS, ("normal_clearing", "callee", "200")),
        (f"sip:{BUSY}@example.com", ("user_busy", "callee", "486")),
    ],
)
def test_a_magic_number_ends_its_call_in_its_own_way(
    number: str, ending: tuple[str, str, str]
) -> None:
    calls = Calls()
    leg = calls.dial(number)
    calls.wait(31)
    assert calls.ending(leg) == ending


def test_a_slow_number_answers_after_a_while() -> None:
    calls = Calls()
    leg = calls.dial("+12025550187")
    calls.wait(9)
    assert calls.events(leg) == ["call.initiated"]
    calls.wait(1)
    assert calls.events(leg)[-1] == "call.answered"


def test_a_silent_number_rings_as_long_as_the_dial_says() -> None:
    calls = Calls()
    leg = calls.dial(SILENT, timeout_secs=5, retry_on_timeout=False)
    calls.wait(5)
    assert calls.ending(leg)[0] == "no_answer"


def test_the_time_limit_counts_from_the_answer() -> None:
    calls = Calls()
    leg = calls.dial(time_limit_secs=30)
    calls.wait(30.5)
    assert not calls.legs[leg].ended
    calls.wait(0.5)
    assert calls.ending(leg)[0] == "time_limit"


def test_of_several_numbers_only_the_first_rings() -> None:
    calls = Calls()
    leg = calls.do(Dial(to=[FRIEND, OTHER], from_=OURS, connection_id="1"))
    assert calls.legs[leg].to == FRIEND


def test_a_linked_leg_joins_the_session_and_is_bridged_when_it_answers() -> None:
    calls = Calls()
    leg = calls.up()
    linked = calls.dial(link_to=leg, bridge_on_answer=True, bridge_intent=True)
    assert calls.legs[linked].call_session_id == calls.legs[leg].call_session_id
    assert calls.legs[linked].from_ == CALLER
    calls.wait(1)
    assert calls.events(linked) == ["call.initiated", "call.answered", "call.bridged"]
    assert calls.events(leg)[-1] == "call.bridged"


def test_a_second_linked_leg_is_hung_up_if_double_bridges_are_prevented() -> None:
    calls = Calls()
    leg = calls.up()
    calls.dial(link_to=leg, bridge_on_answer=True)
    second = calls.dial(OTHER, link_to=leg, bridge_on_answer=True, prevent_double_bridge=True)
    calls.wait(1)
    assert calls.events(second) == ["call.initiated", "call.answered", "call.hangup"]
    assert calls.legs[leg].state is SimulatedLegState.BRIDGED


# ---------------------------------------------------------------- two legs


def test_a_transfer_places_a_leg_in_the_session_and_bridges_it() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(Transfer(to=FRIEND, target_leg_client_state=HELLO), leg)
    new = calls.transfer_leg(leg)
    calls.wait(1)
    assert calls.events(new) == ["call.initiated", "call.answered", "call.bridged"]
    assert calls.events(leg)[-1] == "call.bridged"
    placed = calls.payload(new, "call.initiated")
    assert placed["call_session_id"] == calls.legs[leg].call_session_id
    assert (placed["from"], placed["to"], placed["client_state"]) == (OURS, FRIEND, HELLO)


def test_a_failed_transfer_ends_the_new_leg_only() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(Transfer(to=BUSY), leg)
    calls.wait(1)
    assert calls.ending(calls.transfer_leg(leg))[0] == "user_busy"
    assert calls.legs[leg].state is SimulatedLegState.ANSWERED
    calls.do(Transfer(to=BUSY), leg)
    assert calls.newest is not None
    assert not calls.newest.repeated


def test_a_second_transfer_while_the_first_rings_counts_as_repeated() -> None:
    calls = Calls()
    leg = calls.up()
    for repeated in (False, True):
        calls.do(Transfer(to=FRIEND), leg)
        assert calls.newest is not None
        assert calls.newest.repeated is repeated


def test_sip_info_reaches_only_the_other_leg_of_a_bridge() -> None:
    calls = Calls()
    first, second = calls.up(), calls.up()
    info = SendSipInfo(content_type="text/plain", body="x")
    calls.do(info, first)
    calls.do(Bridge(call_control_id_to_bridge_with=second), first)
    calls.do(info, first)
    received = [hook for hook in calls.webhooks if hook.event_type == "call.sip_info.received"]
    assert [hook.call_control_id for hook in received] == [second]


@pytest.mark.parametrize(
    ("number", "event", "response"),
    [
        ("friend", "call.refer.completed", 200),
        (REJECTS, "call.refer.failed", 603),
        (SILENT, "call.refer.failed", 408),
    ],
)
def test_a_refer_reports_its_outcome(number: str, event: str, response: int) -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(Refer(sip_address=f"sip:{number}@example.com"), leg)
    assert calls.payload(leg, "call.refer.started")["sip_notify_response"] == 100
    calls.wait(5)
    assert calls.payload(leg, event)["sip_notify_response"] == response
    assert not calls.legs[leg].ended


# ---------------------------------------------------------------- what webhooks carry


def test_the_client_state_is_echoed_until_it_is_replaced() -> None:
    calls = Calls()
    leg = calls.ring()
    calls.do(Answer(client_state=HELLO), leg)
    calls.do(Refer(sip_address="sip:friend@example.com"), leg)
    calls.do(Hangup(client_state=BYE), leg)
    states = [hook.payload["client_state"] for hook in calls.webhooks]
    assert states == [None, HELLO, HELLO, BYE]


def test_the_start_time_is_the_start_of_the_leg_on_every_later_event() -> None:
    calls = Calls()
    leg = calls.ring()
    calls.wait(3)
    calls.do(Answer(), leg)
    calls.wait(3)
    calls.do(Hangup(), leg)
    assert {hook.payload["start_time"] for hook in calls.webhooks} == {
        "2026-11-22T12:00:00.000000Z"
    }
    assert calls.payload(leg, "call.hangup")["end_time"] == "2026-11-22T12:00:06.000000Z"


def test_a_leg_may_have_its_own_addresses_for_webhooks() -> None:
    calls = Calls()
    leg = calls.dial(
        webhook_url="http://one", webhook_urls={"call.hangup": "http://two"}, timeout_secs=5
    )
    calls.do(Hangup(), leg)
    assert [hook.urls for hook in calls.webhooks] == [("http://one",), ("http://two",)]
