"""A session from examples of calls, commands and leases."""

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from itertools import permutations
from pathlib import Path

import pytest

from offhook.codec.webhooks import read_webhook
from offhook.events import (
    CallAnswered,
    CallBridged,
    CallEvent,
    CallHangup,
    CallInitiated,
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Fact,
    IssuedCommand,
    LegPlaced,
    PlacedLeg,
    SessionParked,
    SessionResumed,
    UnknownEvent,
    WebhookReceived,
)
from offhook.session import Leg, Session, evolve, fold
from tests.offhook.session.records import (
    HANG_UP,
    INITIATED,
    SESSION,
    at,
    decision,
    record_of,
    recorded,
)


def only_leg(session: Session) -> Leg:
    (leg,) = session.legs.values()
    return leg


ANSWERED = CallAnswered(
    event_id="e2", occurred_at=at(2), call_control_id="leg-a", start_time=at(-0.1)
)
BRIDGED = CallBridged(event_id="e3", occurred_at=at(5), call_control_id="leg-a")
HANGUP = CallHangup(
    event_id="e4",
    occurred_at=at(62.5),
    call_control_id="leg-a",
    end_time=at(62),
    hangup_cause="normal_clearing",
    hangup_source="caller",
    sip_hangup_cause="200",
    call_quality_stats={"inbound": {"mos": "4.50"}},
)


def test_a_session_without_records_is_empty() -> None:
    session = fold(SESSION, [])
    assert (session.status, session.started_at, session.answered_at) == ("empty", None, None)
    assert session.ended_at is None
    assert session.leg(None) is None


def test_an_answered_and_bridged_call_in_every_order() -> None:
    records = recorded(INITIATED, ANSWERED, BRIDGED, HANGUP)
    sessions = [fold(SESSION, order) for order in permutations(records)]
    assert all(session == sessions[0] for session in sessions)
    leg = only_leg(sessions[0])
    assert leg.state == "ended"
    assert (leg.started_at, leg.answered_at, leg.bridged_at) == (at(-0.1), at(2), at(5))
    assert (leg.ended_at, leg.talk_s) == (at(62), 60.0)
    assert (leg.direction, leg.from_, leg.to) == ("incoming", "+12025550123", "+12025550199")
    assert leg.quality == {"inbound": {"mos": "4.50"}}
    assert (sessions[0].status, sessions[0].ended_at) == ("ended", at(62))


def test_the_answer_is_when_it_occurred_and_not_the_start_time() -> None:
    leg = only_leg(fold(SESSION, recorded(ANSWERED)))
    assert (leg.answered_at, leg.started_at, leg.state) == (at(2), at(-0.1), "answered")


def test_an_outgoing_leg_starts_when_it_was_initiated() -> None:
    outgoing = CallInitiated(
        event_id="e1", occurred_at=at(1), call_control_id="leg-b", direction="outgoing"
    )
    leg = only_leg(fold(SESSION, recorded(outgoing)))
    assert (leg.started_at, leg.state) == (at(1), "initiated")


def test_a_late_answer_does_not_revive_an_ended_leg() -> None:
    session = fold(SESSION, recorded(INITIATED, HANGUP))
    later = evolve(session, record_of(WebhookReceived(event=ANSWERED), 9))
    assert only_leg(later).state == "ended"
    assert only_leg(later).talk_s == 60.0


def test_what_comes_after_the_hangup_still_lands() -> None:
    saved = UnknownEvent(
        event_type="call.recording.saved",
        event_id="e5",
        occurred_at=at(70),
        call_control_id="leg-a",
        call_leg_id="f0f0f0f0",
        client_state="c2F2ZWQ=",
    )
    leg = only_leg(fold(SESSION, recorded(INITIATED, HANGUP, saved)))
    assert (leg.state, leg.call_leg_id, leg.client_state) == ("ended", "f0f0f0f0", "c2F2ZWQ=")


def test_the_first_of_two_hangups_counts() -> None:
    second = CallHangup(
        event_id="e9", occurred_at=at(90), call_control_id="leg-a", hangup_cause="time_limit"
    )
    leg = only_leg(fold(SESSION, recorded(second, HANGUP)))
    assert (leg.hangup_cause, leg.ended_at) == ("normal_clearing", at(62))


def test_the_latest_client_state_counts_and_null_clears_it() -> None:
    first = CallAnswered(
        event_id="e1", occurred_at=at(1), call_control_id="leg-a", client_state="YQ=="
    )
    cleared = UnknownEvent(
        event_type="call.dtmf.received",
        event_id="e2",
        occurred_at=at(2),
        call_control_id="leg-a",
        payload={"client_state": None},
    )
    silent = UnknownEvent(
        event_type="call.x", event_id="e3", occurred_at=at(3), call_control_id="leg-a"
    )
    assert only_leg(fold(SESSION, recorded(first, silent))).client_state == "YQ=="
    assert only_leg(fold(SESSION, recorded(cleared, first, silent))).client_state is None


def test_a_repeated_webhook_without_a_time_does_not_bring_back_its_client_state() -> None:
    untimed = UnknownEvent(
        event_type="call.x", event_id="e1", call_control_id="leg-a", client_state="YQ=="
    )
    timed = UnknownEvent(
        event_type="call.x",
        event_id="e2",
        occurred_at=at(2),
        call_control_id="leg-a",
        client_state="Yg==",
    )
    assert only_leg(fold(SESSION, recorded(untimed, timed, untimed))).client_state == "Yg=="


def test_an_event_of_an_unknown_type_makes_an_unseen_leg() -> None:
    unknown = UnknownEvent(event_type="call.x", event_id="e1", call_control_id="leg-z")
    session = fold(SESSION, recorded(unknown))
    assert (only_leg(session).state, session.status) == ("unseen", "active")


def test_a_session_ends_with_its_last_leg() -> None:
    other = CallHangup(event_id="e8", occurred_at=at(80), call_control_id="leg-b")
    dialled = CallInitiated(event_id="e7", occurred_at=at(3), call_control_id="leg-b")
    records = recorded(INITIATED, dialled, HANGUP, other)
    assert fold(SESSION, records[:3]).status == "active"
    assert (fold(SESSION, records).status, fold(SESSION, records).ended_at) == ("ended", at(80))


def test_a_command_is_pending_from_its_decision_to_its_outcome() -> None:
    records = recorded(
        INITIATED,
        decision(1, HANG_UP),
        CommandAttempted(command_id="c1", attempt=2, because="503", worker="w1", lease_s=4.0),
        CommandSucceeded(command_id="c1", http_status=200, answer={"data": {"result": "ok"}}),
    )
    before, decided, retried, settled = (fold(SESSION, records[: n + 1]) for n in range(4))
    assert before.undecided == {1}
    assert not decided.undecided
    assert decided.open_commands == {"c1"}
    assert decided.commands["c1"].status == "pending"
    assert retried.commands["c1"].attempts == 2
    assert retried.lease is not None
    assert (retried.lease.seq, retried.lease.until) == (3, at(1003) + timedelta(seconds=4))
    assert settled.commands["c1"].status == "succeeded"
    assert not settled.open_commands
    assert settled.commands["c1"].settled_seq == 4


def test_a_failed_command_wants_a_decision_of_its_own() -> None:
    failed = CommandFailed(command_id="c1", operation="hangup", reason="deadline")
    session = fold(SESSION, recorded(INITIATED, decision(1, HANG_UP), failed))
    assert session.commands["c1"].status == "failed"
    assert session.undecided == {3}


def test_a_requested_command_is_requested_until_it_is_decided() -> None:
    records = recorded(CommandRequested(command=HANG_UP, requested_by="app"), decision(1, HANG_UP))
    assert fold(SESSION, records[:1]).commands["c1"].status == "requested"
    state = fold(SESSION, records).commands["c1"]
    assert (state.status, state.requested_seq, state.requested_at) == ("pending", 1, at(1001))


def test_the_first_decision_on_a_command_stands_in_either_order() -> None:
    other = IssuedCommand(command_id="c1", operation="hangup", call_control_id="leg-b")
    records = recorded(INITIATED, ANSWERED, decision(1, HANG_UP), decision(2, other))
    session = fold(SESSION, records)
    assert session == fold(SESSION, reversed(records))
    assert session.commands["c1"].issued == HANG_UP


def test_a_later_lease_counts_whoever_is_read_first() -> None:
    records = recorded(INITIATED, decision(1, worker="w1"), decision(1, worker="w2"))
    for order in (records, records[::-1]):
        lease = fold(SESSION, order).lease
        assert lease is not None
        assert lease.worker == "w2"


def test_a_parked_session_goes_on_when_it_is_resumed() -> None:
    parked = SessionParked(cause_seq=1, error="ValueError: no", attempts=5)
    records = recorded(INITIATED, parked, SessionResumed(resumed_by="op"))
    assert fold(SESSION, records[:2]).is_parked
    assert not fold(SESSION, records).is_parked
    assert not fold(SESSION, records[::-1]).is_parked


# ------------------------------------------------------------------ whole calls


def captured_calls(files: Sequence[Path]) -> list[list[CallEvent]]:
    """The captured v2 bodies, a list for each session, in the order of their file names."""
    sessions: dict[str, list[CallEvent]] = {}
    for path in files:
        webhook = read_webhook(path.read_bytes())
        if webhook.form == "v2":
            sessions.setdefault(webhook.session_id, []).append(webhook.event)
    assert sessions or not files, "no v2 capture in OFFHOOK_CAPTURES"
    return list(sessions.values())


def test_whole_calls_converge_in_every_order(capture_files: list[Path]) -> None:
    calls: list[list[CallEvent]] = [[INITIATED, ANSWERED, HANGUP]]
    for events in calls + captured_calls(capture_files):
        records = recorded(*events)
        wanted = fold(SESSION, records)
        assert all(fold(SESSION, order) == wanted for order in permutations(records))
        for kind, state in ((CallHangup, "ended"), (CallAnswered, "answered")):
            if any(isinstance(event, kind) for event in events):
                assert only_leg(wanted).state == state
                assert only_leg(wanted).started_at is not None
                break


PLACED = PlacedLeg(
    call_control_id="leg-b",
    session_id=SESSION,
    call_leg_id="b",
    connection_id="1",
    from_number="+12025550100",
    to_number="+12025550110",
    client_state="YQ==",
)


@pytest.mark.parametrize(
    "fact",
    [
        CommandSucceeded(command_id="c", http_status=200, placed=PLACED),
        LegPlaced(leg=PLACED, command_id="c", command_session_id="another"),
    ],
    ids=["its own dial", "another session's"],
)
def test_a_leg_is_known_from_the_answer_to_its_dial(fact: Fact) -> None:
    session = fold(SESSION, recorded(fact))
    assert session.status == "active"
    leg = only_leg(session)
    assert (leg.state, leg.direction, leg.call_leg_id) == ("initiated", "outgoing", "b")
    assert (leg.connection_id, leg.from_, leg.to) == ("1", "+12025550100", "+12025550110")
    assert (leg.client_state, leg.started_at) == ("YQ==", leg.dialled_at)
    ended = CallHangup(event_id="e", occurred_at=at(9), call_control_id="leg-b")
    session = fold(SESSION, recorded(ended, fact))
    assert (session.status, only_leg(session).to) == ("ended", "+12025550110")


def test_what_events_tell_of_a_dialled_leg_counts_in_any_order() -> None:
    told = CallInitiated(
        event_id="e",
        occurred_at=at(3),
        call_control_id="leg-b",
        from_="+12025550199",
        to="sip:desk@example.com",
        direction="outgoing",
        payload={"client_state": None},
    )
    placed = CommandSucceeded(command_id="c", http_status=200, placed=PLACED)
    for log in (recorded(told, placed), recorded(placed, told)):
        leg = only_leg(fold(SESSION, log))
        assert (leg.from_, leg.to) == ("+12025550199", "sip:desk@example.com")
        assert (leg.client_state, leg.started_at) == (None, at(3))


def test_a_dial_of_a_leg_of_another_session_places_none_here() -> None:
    elsewhere = dataclasses.replace(PLACED, session_id="another")
    placed = CommandSucceeded(command_id="c", http_status=200, placed=elsewhere)
    assert fold(SESSION, recorded(placed)).legs == {}
