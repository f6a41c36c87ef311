"""What a session keeps of conferences and recordings, whatever order their events come in."""

from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from offhook.codec.facts import fact_id_of
from offhook.events import CallEvent, Record, WebhookReceived
from offhook.session import Session, fold
from offhook.session.conference import CONFERENCES_MAX, RECORDINGS_MAX
from tests.example_events import AT, example_event

NO_LEG = {"call_control_id": None, "call_leg_id": None, "call_session_id": None}


def event(event_type: str, second: int = 0, **told: Any) -> CallEvent:
    told = {"event_id": f"{event_type}-{second}", **told}
    return example_event(event_type, second=second, **told)


def session_of(*events: CallEvent) -> Session:
    """The session, which is the same in every order of up to five events."""
    records = [
        Record(
            seq=seq,
            stored_at=AT + timedelta(hours=1, seconds=seq),
            session_id="s",
            fact=fact,
            fact_id=fact_id_of(fact, "s"),
        )
        for seq, fact in enumerate(map(_received, events), start=1)
    ]
    orders = permutations(records) if len(records) <= 5 else [records, records[::-1]]
    sessions = [fold("s", order) for order in orders]
    assert all(session == sessions[0] for session in sessions)
    return sessions[0]


def _received(event: CallEvent) -> WebhookReceived:
    return WebhookReceived(event=event)


def test_a_conference_begins_and_ends() -> None:
    created = event("conference.created", 1, conference_id="c")
    ended = event("conference.ended", 60, conference_id="c", reason="host_left")
    going_on = session_of(created).conferences["c"]
    assert (going_on.created_at, going_on.has_ended) == (created.occurred_at, False)
    over = session_of(created, ended).conferences["c"]
    assert (over.ended_at, over.end_reason) == (ended.occurred_at, "host_left")


def test_events_without_a_leg_are_the_conferences_alone() -> None:
    session = session_of(
        event("conference.speak.started", 1, conference_id="c", **NO_LEG),
        event("conference.playback.started", 2, conference_id="c", **NO_LEG),
    )
    conference = session.conferences["c"]
    assert (conference.is_speaking, conference.is_playing) == (True, True)
    assert (session.legs, session.status) == ({}, "empty")
    over = session_of(
        event("conference.speak.started", 1, conference_id="c", **NO_LEG),
        event("conference.speak.ended", 2, conference_id="c", **NO_LEG),
        event("conference.playback.started", 3, conference_id="c", **NO_LEG),
        event("conference.ended", 4, conference_id="c", **NO_LEG),
    )
    conference = over.conferences["c"]
    assert (conference.is_speaking, conference.is_playing) == (False, False)


def test_the_participants_are_the_legs_that_joined_and_did_not_leave() -> None:
    joined, left = "conference.participant.joined", "conference.participant.left"
    told: dict[str, Any] = {"conference_id": "c"}
    session = session_of(
        event(joined, 1, call_control_id="leg-a", **told),
        event(joined, 2, call_control_id="leg-b", **told),
        event(left, 3, call_control_id="leg-a", **told),
        event("conference.floor.changed", 4, call_control_id="leg-b", **told),
    )
    assert [leg.call_control_id for leg in session.participants("c")] == ["leg-b"]
    assert session.participants("another") == []
    assert session.conferences["c"].floor == "leg-b"
    assert session.conferences["c"].created_at is None


@pytest.mark.parametrize("event_type", ["call.recording.saved", "recording_saved"])
def test_a_recording_is_kept_with_or_without_its_leg(event_type: str) -> None:
    saved = event(event_type, 9, call_control_id=None, recording_id="r", channels="dual")
    session = session_of(event("call.hangup", 5), saved)
    recording = session.recordings["r"]
    assert (recording.call_control_id, recording.call_leg_id) == (None, "call_leg_id")
    assert (recording.channels, recording.format) == ("dual", "format")
    assert recording.urls == {"name": "recording_urls"}
    assert (recording.started_at, recording.ended_at) == (AT, AT)


def test_a_recording_of_a_conference_is_kept_too() -> None:
    saved = event("conference.recording.saved", conference_id="c", recording_id="r")
    session = session_of(saved)
    assert session.recordings["r"].conference_id == "c"
    assert set(session.conferences) == {"c"}


def test_a_recording_without_an_id_has_its_events() -> None:
    first = event("call.recording.saved", 1, recording_id=None)
    second = event("call.recording.saved", 2, recording_id=None)
    assert set(session_of(first, second, first).recordings) == {first.event_id, second.event_id}


def test_of_one_recording_the_last_event_counts() -> None:
    session = session_of(
        event("call.recording.saved", 1, recording_id="r", format="wav"),
        event("call.recording.saved", 2, recording_id="r", format="mp3"),
    )
    assert session.recordings["r"].format == "mp3"


def test_conferences_and_recordings_are_bounded() -> None:
    session = session_of(
        *(
            event("conference.created", n, conference_id=f"c{n:04}")
            for n in range(CONFERENCES_MAX + 1)
        ),
        *(
            event("call.recording.saved", n, recording_id=f"r{n:04}")
            for n in range(RECORDINGS_MAX + 1)
        ),
    )
    assert (len(session.conferences), len(session.recordings)) == (CONFERENCES_MAX, RECORDINGS_MAX)


def test_the_cost_of_a_session_is_that_of_its_legs() -> None:
    usd: dict[str, Any] = {"cost_parts": [{"currency": "USD"}]}
    a = event("call.cost", 1, call_control_id="leg-a", total_cost="0.0040", **usd)
    b = event("call.cost", 2, call_control_id="leg-b", total_cost="0.1", **usd)
    session = session_of(a, b, a)
    assert session.cost == (Decimal("0.1040"), "USD")
    eur: dict[str, Any] = {"cost_parts": [{"currency": "EUR"}]}
    mixed = session_of(a, event("call.cost", 3, call_control_id="leg-c", total_cost="1", **eur))
    assert mixed.cost == (None, None)
    assert session_of(event("call.hangup")).cost == (None, None)
