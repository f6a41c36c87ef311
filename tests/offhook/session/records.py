"""Records of a session for its tests, by hand and at random."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from offhook.carrier_events import BY_TYPE
from offhook.codec.facts import fact_id_of
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

SESSION = "session-1"
START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


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


# ------------------------------------------------------------------ records at random

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


# ------------------------------------------------------------------ records by hand


INITIATED = CallInitiated(
    event_id="e1",
    occurred_at=at(0),
    call_control_id="leg-a",
    direction="incoming",
    from_="+12025550123",
    to="+12025550199",
    start_time=at(-0.1),
)

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
