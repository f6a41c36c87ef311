"""The session fold: any order, any repetition and any gap give a sane session, and the same one."""

from collections.abc import Sequence
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from offhook.events import (
    CallAnswered,
    CallCost,
    CallHangup,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    LegPlaced,
    PlacedLeg,
    Record,
    TimerFired,
    WebhookReceived,
)
from offhook.session import Session, evolve, fold, touched_by
from tests.offhook.session.records import SESSION, logs, record_of, shuffled_logs

RANK = {"unseen": 0, "initiated": 1, "answered": 2, "bridged": 3, "ended": 4}


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
