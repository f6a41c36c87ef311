"""Whether a leg is up, where its hangup or everything but late events was lost."""

from datetime import timedelta
from typing import Any

import pytest

from offhook.carrier_events import BY_TYPE
from offhook.events import CallEvent, LegPlaced, PlacedLeg, Record, WebhookReceived
from offhook.session import Session, evolve, fold
from offhook.session.leg import RINGING_S_MAX, TIME_LIMIT_S, Leg
from tests.example_events import AT, example_event
from tests.offhook.session.test_leg import at, event, leg_of

LATE = (
    "call.analyzed",
    "call.conversation.ended",
    "call.conversation_insights.generated",
    "call.cost",
    "call.hangup",
    "call.recording.error",
    "call.recording.saved",
    "call.recording.transcription.saved",
    "conference.recording.saved",
    "recording_saved",
)
"""What is sent after the end of a leg as well, or only then."""

ENDING = (
    "call.ai_gather.ended",
    "call.dequeued",
    "call.fork.stopped",
    "call.gather.ended",
    "call.playback.ended",
    "call.speak.ended",
    "conference.participant.left",
    "siprec.stopped",
    "streaming.stopped",
)
"""What the end of a leg brings about."""

INITIATED = event("call.initiated", 0, direction="incoming", start_time=at(0))
ANSWERED = event("call.answered", 5, start_time=at(0))
COST = event("call.cost", 100, total_cost="0.01")


def record_of(event: CallEvent, seq: int = 1) -> Record:
    return Record(
        seq=seq,
        stored_at=AT,
        session_id="s",
        fact=WebhookReceived(event=event),
        fact_id=event.event_id,
    )


def session_of(*events: CallEvent) -> Session:
    return fold("s", [record_of(event, seq) for seq, event in enumerate(events, start=1)])


@pytest.mark.parametrize("event_type", [*LATE, *ENDING])
def test_a_leg_known_only_from_what_may_come_after_its_end_is_not_up(event_type: str) -> None:
    late = event(event_type, 60)
    assert not leg_of(late).is_up
    assert session_of(late).status == "ended"
    assert session_of(late).up_until is None
    assert leg_of(late, INITIATED).is_up == (event_type not in ("call.hangup", "call.cost"))


@pytest.mark.parametrize(
    "event_type", ["call.initiated", "call.answered", "call.dtmf.received", "call.transcription"]
)
def test_a_leg_is_up_by_any_event_of_a_leg_that_is_up(event_type: str) -> None:
    assert leg_of(event(event_type)).is_up
    assert session_of(event(event_type)).status == "active"


def test_every_event_type_of_a_leg_was_thought_of() -> None:
    """An event type that is added proves that a leg is up, unless the fold knows better."""
    proves_nothing = {
        event_type
        for event_type in BY_TYPE
        if example_event(event_type).call_control_id and not leg_of(event(event_type)).is_up
    }
    assert set(LATE) | set(ENDING) <= proves_nothing
    assert not any(each.endswith((".started", ".created", ".received")) for each in proves_nothing)


def test_a_cost_says_that_the_leg_has_ended_but_not_when() -> None:
    leg = leg_of(INITIATED, ANSWERED, COST)
    assert (leg.state, leg.ended_at, leg.up_until) == ("ended", None, at(100))
    assert not leg.is_held
    session = session_of(INITIATED, ANSWERED, COST)
    assert (session.status, session.ended_at) == ("ended", None)


def test_a_hangup_that_comes_later_says_when_it_ended() -> None:
    hangup = event("call.hangup", 90, end_time=at(90))
    leg = leg_of(INITIATED, ANSWERED, COST, hangup)
    assert (leg.state, leg.ended_at, leg.up_until) == ("ended", at(90), None)
    assert session_of(COST, hangup).ended_at == at(90)


@pytest.mark.parametrize(
    ("events", "until_s"),
    [
        ((INITIATED, ANSWERED), 5 + TIME_LIMIT_S),
        ((INITIATED,), RINGING_S_MAX + TIME_LIMIT_S),
        ((event("call.bridged", 7, start_time=at(0)),), 7 + TIME_LIMIT_S),
        ((event("call.dtmf.received", 9),), 9 + RINGING_S_MAX + TIME_LIMIT_S),
    ],
)
def test_a_leg_is_up_no_longer_than_the_carrier_lets_it(
    events: tuple[CallEvent, ...], until_s: int
) -> None:
    assert leg_of(*events).up_until == AT + timedelta(seconds=until_s)
    assert session_of(*events).up_until == AT + timedelta(seconds=until_s)


def test_a_time_limit_of_the_dial_counts_from_the_answer() -> None:
    placed = PlacedLeg(call_control_id="v3:example", session_id="s", time_limit_s=120)
    told = LegPlaced(leg=placed, command_id="c", command_session_id="dial")
    dialled = Record(seq=9, stored_at=AT, session_id="s", fact=told, fact_id="placed")
    session = fold("s", [dialled])
    assert session.status == "active"
    assert session.up_until == AT + timedelta(seconds=RINGING_S_MAX + 120)
    answered = session_of(ANSWERED)
    for either_order in (evolve(answered, dialled), evolve(session, record_of(ANSWERED))):
        assert either_order.up_until == AT + timedelta(seconds=5 + 120)


def test_a_session_is_up_as_long_as_its_last_leg_can_be() -> None:
    other: dict[str, Any] = {"call_control_id": "v3:other"}
    later = event("call.answered", 50, **other)
    assert session_of(INITIATED, ANSWERED, later).up_until == AT + timedelta(
        seconds=50 + TIME_LIMIT_S
    )
    assert (
        session_of(INITIATED, event("call.hangup", 60, **other)).up_until
        == leg_of(INITIATED).up_until
    )


def test_a_time_beyond_the_calendar_is_no_error() -> None:
    last = event("call.answered", start_time=None).occurred_at
    assert last is not None
    leg = Leg(call_control_id="v3:a", up_at=last.max.replace(tzinfo=last.tzinfo))
    assert leg.up_until is not None
