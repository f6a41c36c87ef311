"""The session fold: any order, any repetition and any gap give a sane session, and the same one."""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.carrier_events import BY_TYPE
from offhook.codec.facts import fact_id_of
from offhook.codec.webhooks import read_webhook
from offhook.events import (
    CallAnswered,
    CallBridged,
    CallCost,
    CallEvent,
    CallHangup,
    CallInitiated,
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    Fact,
    IssuedCommand,
    LegPlaced,
    PlacedLeg,
    Record,
    SessionParked,
    SessionResumed,
    TimerCancelled,
    TimerFired,
    TimerOrder,
    TimerSet,
    UnknownEvent,
    WebhookReceived,
)
from offhook.session import Leg, Session, evolve, fold, touched_by

SESSION = "session-1"
START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
RANK = {"unseen": 0, "initiated": 1, "answered": 2, "bridged": 3, "ended": 4}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def recorded(*facts: Fact | CallEvent) -> list[Record]:
    """The facts as the log has them: sequences from 1, stored one second apart."""
    records = []
    for seq, item in enumerate(facts, start=1):
        fact: Fact = WebhookReceived(event=item) if isinstance(item, CallEvent) else item
        records.append(record_of(fact, seq))
    return records


def record_of(fact: Fact, seq: int) -> Record:
    return Record(
        seq=seq,
        stored_at=at(1000 + seq),
        session_id=SESSION,
        fact=fact,
        fact_id=fact_id_of(fact, SESSION),
    )


def only_leg(session: Session) -> Leg:
    (leg,) = session.legs.values()
    return leg


# ------------------------------------------------------------------ records made by chance

LEGS = ("leg-a", "leg-b", "leg-c")
COMMAND_IDS = ("command-1", "command-2", "command-3")

event_times = st.one_of(st.none(), st.integers(0, 30).map(at))
client_states = st.sampled_from([None, "YQ==", "Yg=="])


# What tells one leg, conference or recording from another repeats, and so does what flows ask for.
FIELD_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "call_control_id": st.sampled_from([*LEGS, None]),
    "conference_id": st.sampled_from(["conference-1", "conference-2", "conference-3", None]),
    "recording_id": st.sampled_from(["recording-1", "recording-2", "recording-3", None]),
    "client_state": client_states,
    "digit": st.sampled_from(["1", "2", "#", None]),
    "total_cost": st.sampled_from(["0.004", "1", "-", "NaN", "1e9999", None]),
    "cost_parts": st.sampled_from(
        [None, [], [{"currency": "USD"}], [{"currency": 7}, {"currency": []}]]
    ),
}
TYPE_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str | None: st.sampled_from(["one", "two", None]),
    int | None: st.sampled_from([7, 10**400, -(10**400), None]),
    float | None: st.sampled_from([0.5, None]),
    bool | None: st.sampled_from([True, None]),
    datetime | None: event_times,
}
KINDS: tuple[type[CallEvent], ...] = (*BY_TYPE.values(), UnknownEvent)
VALUES = {
    kind: st.fixed_dictionaries(
        {
            item.name: FIELD_VALUES.get(item.name, TYPE_VALUES.get(item.type, st.none()))
            for item in dataclasses.fields(kind)
            if item.name not in ("event_type", "event_id", "occurred_at", "payload")
        }
    )
    for kind in KINDS
}


@st.composite
def call_events(draw: st.DrawFn, number: int) -> CallEvent:
    """An event of any type. Those that make a leg's state are drawn as often as all the others."""
    states: list[type[CallEvent]] = [CallInitiated, CallAnswered, CallBridged, CallHangup]
    kind = draw(st.sampled_from(states) | st.sampled_from(KINDS))
    values = dict(draw(VALUES[kind]))
    told_null = draw(st.booleans()) and values["client_state"] is None
    values |= {"event_type": "call.never_heard_of"} if kind is UnknownEvent else {}
    return kind(
        event_id=f"event-{number}",
        occurred_at=draw(event_times),
        payload={"client_state": None} if told_null else {},
        **values,
    )


@st.composite
def other_facts(draw: st.DrawFn) -> Fact:
    command_id = draw(st.sampled_from(COMMAND_IDS))
    issued = IssuedCommand(
        command_id=command_id,
        operation="hangup",
        call_control_id=draw(st.sampled_from(LEGS)),
        parameters={"client_state": draw(st.sampled_from(["YQ==", "Yg=="]))},
    )
    worker = draw(st.sampled_from(["worker-1", "worker-2"]))
    placed = PlacedLeg(
        call_control_id=draw(st.sampled_from(LEGS)),
        session_id=draw(st.sampled_from([SESSION, "another-session"])),
        connection_id=draw(st.sampled_from(["one", "two", None])),
        to_number=draw(st.sampled_from(["+12025550110", None])),
        client_state=draw(client_states),
        time_limit_s=draw(st.sampled_from([30, 60, None])),
    )
    timer_id = draw(st.sampled_from(["1-0", "2-0"]))
    timer = TimerOrder(timer_id=timer_id, name="t", after_s=draw(st.sampled_from([None, 20.0])))
    facts: list[Fact] = [
        CommandRequested(command=issued, requested_by="app"),
        Decided(
            cause_seq=draw(st.integers(1, 12)),
            cause_id="any",
            flow="frontdesk",
            flow_version="1",
            worker=worker,
            lease_s=4.0,
            commands=(issued,) if draw(st.booleans()) else (),
            timers=(timer,) if draw(st.booleans()) else (),
        ),
        CommandAttempted(
            command_id=command_id,
            attempt=draw(st.integers(2, 4)),
            because="503",
            worker=worker,
            lease_s=4.0,
        ),
        CommandSucceeded(command_id=command_id, http_status=200),
        CommandSucceeded(command_id=command_id, http_status=200, placed=placed),
        LegPlaced(leg=placed, command_id=command_id, command_session_id="another-session"),
        CommandFailed(
            command_id=command_id,
            operation="hangup",
            reason="refused",
            maybe_performed=draw(st.sampled_from([None, True, False])),
        ),
        SessionParked(cause_seq=draw(st.integers(1, 12)), error="boom", attempts=5),
        SessionResumed(resumed_by="operator"),
        TimerSet(timer_id=timer_id, name="t", due_at=at(20)),
        TimerCancelled(timer_id=timer_id, name="t"),
        TimerFired(timer_id=timer_id, name="t", due_at=at(20)),
    ]
    return draw(st.sampled_from(facts))


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """The records of one session with several legs, in log order."""
    count = draw(st.integers(0, 12))
    return recorded(
        *(draw(st.one_of(call_events(number), other_facts())) for number in range(count))
    )


@st.composite
def shuffled_logs(draw: st.DrawFn) -> tuple[list[Record], list[Record]]:
    log = draw(logs())
    return log, draw(st.permutations(log))


@given(shuffled_logs())
def test_every_order_gives_the_same_session(pair: tuple[list[Record], list[Record]]) -> None:
    log, shuffled = pair
    assert fold(SESSION, shuffled) == fold(SESSION, log)


@given(shuffled_logs())
def test_every_order_gives_the_same_session_when_bounds_are_reached(
    pair: tuple[list[Record], list[Record]],
) -> None:
    log, shuffled = pair
    with (
        patch("offhook.session.leg_fold.DTMF_MAX", 2),
        patch("offhook.session.leg_fold.CONFERENCES_MAX", 1),
        patch("offhook.session.conference.CONFERENCES_MAX", 1),
        patch("offhook.session.conference.RECORDINGS_MAX", 1),
        patch("offhook.session.persistent.COPIED_MAX", 1),
    ):
        session = fold(SESSION, log)
        assert fold(SESSION, [*shuffled, *shuffled]) == session
    assert len(session.conferences) <= 1
    assert len(session.recordings) <= 1
    assert all(len(leg.keys) <= 2 for leg in session.legs.values())
    assert all(len(leg.memberships) <= 1 for leg in session.legs.values())


@given(logs())
def test_whatever_is_told_the_session_answers_every_question(log: list[Record]) -> None:
    session = fold(SESSION, log)
    for value in (
        session,
        *session.legs.values(),
        *session.conferences.values(),
        *session.recordings.values(),
    ):
        for name, item in vars(type(value)).items():
            if isinstance(item, property):
                getattr(value, name)


@given(shuffled_logs(), st.data())
def test_a_record_read_again_changes_nothing(
    pair: tuple[list[Record], list[Record]], data: st.DataObject
) -> None:
    log, shuffled = pair
    again = data.draw(st.lists(st.sampled_from(log))) if log else []
    assert fold(SESSION, [*shuffled, *again]) == fold(SESSION, log)


@given(shuffled_logs())
def test_a_record_changes_no_leg_and_command_but_those_it_touches(
    pair: tuple[list[Record], list[Record]],
) -> None:
    session = Session(session_id=SESSION)
    for record in pair[1]:
        before, session = session, evolve(session, record)
        touched = touched_by(record)
        for told, held, now in (
            (touched.legs, before.legs, session.legs),
            (touched.commands, before.commands, session.commands),
        ):
            assert {key for key in now if now[key] is not held.get(key)} <= set(told)


@given(logs())
def test_what_is_kept_apart_is_what_a_search_would_find(log: list[Record]) -> None:
    session = fold(SESSION, log)
    states = session.timer_states
    assert session.pending_timers == {key for key in states if states[key].is_pending}
    assert session.open_timers == {key for key in states if states[key].is_open}
    issued = [state.issued for state in session.commands.values() if state.issued is not None]
    asked = {each.operation for each in issued}
    assert all(session.was_asked(operation) for operation in asked)
    assert set(session.operations) == asked
    outcomes = {key: state.outcome for key, state in session.commands.items()}
    assert session.doubtful_commands == {
        key
        for key, outcome in outcomes.items()
        if isinstance(outcome, CommandFailed) and outcome.maybe_performed
    }


@given(logs())
def test_a_webhook_delivered_again_changes_nothing(log: list[Record]) -> None:
    session = fold(SESSION, log)
    webhooks = [record for record in log if isinstance(record.fact, WebhookReceived)]
    for seq, record in enumerate(webhooks, start=len(log) + 1):
        assert evolve(session, record_of(record.fact, seq)) == session


def placed_in(log: Sequence[Record]) -> set[tuple[str, str]]:
    """The legs that dials placed, and the sessions that record them."""
    found: set[tuple[str, str]] = set()
    for record in log:
        match record.fact:
            case LegPlaced(leg=leg):
                found.add((leg.call_control_id, record.session_id))
            case CommandSucceeded(placed=PlacedLeg() as leg):
                found.add((leg.call_control_id, leg.session_id))
    return found


@given(logs(), st.data())
def test_whatever_is_missing_the_session_is_sane(log: list[Record], data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.sampled_from(log), unique_by=lambda r: r.seq)) if log else []
    session = fold(SESSION, kept)
    events = [
        (record.fact.event, record)
        for record in kept
        if isinstance(record.fact, WebhookReceived) and record.fact.event.call_control_id
    ]
    told_of = {event.call_control_id for event, _ in events}
    assert set(session.legs) == told_of | {
        leg for leg, where in placed_in(kept) if where == SESSION
    }
    for leg in session.legs.values():
        of_leg = [(e, r) for e, r in events if e.call_control_id == leg.call_control_id]
        answers = [
            (e.occurred_at or r.stored_at, e.event_id)
            for e, r in of_leg
            if isinstance(e, CallAnswered)
        ]
        assert leg.answered_at == (min(answers)[0] if answers else None)
        ends = [e for e, _ in of_leg if isinstance(e, CallHangup | CallCost)]
        assert (leg.state == "ended") == bool(ends)
        assert (leg.ended_at is not None) == any(isinstance(e, CallHangup) for e in ends)
        assert leg.talk_s is None or leg.talk_s >= 0
        assert (leg.up_until is not None) or leg.ended_at or not leg.is_up
    ended = [leg for leg in session.legs.values() if leg.has_ended]
    is_known = bool(ended) and all(leg.ended_at for leg in ended)
    assert (session.ended_at is not None) == (session.status == "ended" and is_known)


@given(shuffled_logs())
def test_a_leg_never_goes_back(pair: tuple[list[Record], list[Record]]) -> None:
    session = Session(session_id=SESSION)
    for record in pair[1]:
        after = evolve(session, record)
        for name, leg in session.legs.items():
            assert RANK[after.legs[name].state] >= RANK[leg.state]
        session = after


@given(shuffled_logs())
def test_what_is_open_is_what_the_records_leave_open(
    pair: tuple[list[Record], list[Record]],
) -> None:
    log, shuffled = pair
    session = fold(SESSION, shuffled)
    first_seqs: dict[str, int] = {}
    for record in log:
        if isinstance(record.fact, WebhookReceived | CommandRequested | CommandFailed | TimerFired):
            first_seqs.setdefault(record.fact_id, record.seq)
    facts = [record.fact for record in log]
    decisions = [fact for fact in facts if isinstance(fact, Decided)]
    decided_seqs = {fact.cause_seq for fact in decisions}
    settled = {f.command_id for f in facts if isinstance(f, CommandSucceeded | CommandFailed)}
    given_ids = {command.command_id for fact in decisions for command in fact.commands}
    assert session.undecided == set(first_seqs.values()) - decided_seqs
    assert session.open_commands == given_ids - settled
    assert session.facts == first_seqs


# ------------------------------------------------------------------ examples


INITIATED = CallInitiated(
    event_id="e1",
    occurred_at=at(0),
    call_control_id="leg-a",
    direction="incoming",
    from_="+12025550123",
    to="+12025550199",
    start_time=at(-0.1),
)
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


HANG_UP = IssuedCommand(command_id="c1", operation="hangup", call_control_id="leg-a")


def decision(cause_seq: int, *commands: IssuedCommand, worker: str = "w1") -> Decided:
    return Decided(
        cause_seq=cause_seq,
        cause_id="e1",
        flow="frontdesk",
        flow_version="1",
        worker=worker,
        lease_s=4.0,
        commands=commands,
    )


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
