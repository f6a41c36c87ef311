"""The carrier's JSON: every form is recognised, and nothing at all makes the reader raise."""

import hashlib
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.codec.webhooks import Form, form_of, read_webhook
from offhook.events import (
    CallAnswered,
    CallBridged,
    CallEvent,
    CallHangup,
    CallInitiated,
    CallRecordingSaved,
    ConferenceFloorChanged,
    RecordingSaved,
    StreamingStarted,
    UnknownEvent,
    session_id_from,
)
from tests.offhook.codec.webhook_bodies import FLOOR_CHANGED, PAYLOAD, V2, body_of, v2_with

# ------------------------------------------------------------------ forms

FORMS: list[tuple[Form, Any]] = [
    ("v2", V2),
    ("v2", {"data": V2["data"]}),  # without meta, as the models of the specification
    ("v2", {"data": {"event_type": "message.received", "id": "test-123"}}),
    ("flat", V2["data"]),
    ("flat", FLOOR_CHANGED),
    (
        "v1",
        {
            "record_type": "event",
            "event_type": "call_initiated",
            "id": "0ccc7b54-4df3-4bca-a65a-3da1ecc777f0",
            "created_at": "2026-11-22T09:00:00.076316Z",
            "payload": PAYLOAD,
        },
    ),
    (
        "portal",
        {
            "created_at": "2026-11-22T09:00:00.076316Z",
            "event_type": "call.initiated",
            "payload": PAYLOAD,
            "record_type": "event",
            "webhook_id": "0ccc7b54-4df3-4bca-a65a-3da1ecc777f0",
        },
    ),
    (
        "call_events",
        {
            "call_leg_id": "aaaa",
            "call_session_id": "bbbb",
            "event_timestamp": "2026-11-22T09:00:00.076316Z",
            "metadata": {"attempt": 1, "event": V2["data"]},
            "name": "call.initiated",
            "type": "webhook",
        },
    ),
    ("payload", PAYLOAD),
    ("v2", {"data": {"event_type": "call.initiated"}}),
    ("v2", {"data": {"event_type": "call.initiated", "id": 7}}),
    ("v2", {"data": {"id": "x", "payload": PAYLOAD}}),
    ("flat", {"event_type": "call.initiated", "payload": PAYLOAD}),
    ("payload", {"call_session_id": "bbbb"}),
    ("unknown", {}),
    ("unknown", {"data": {"event_type": "", "id": "x"}}),
    ("unknown", []),
    ("unknown", None),
    ("unknown", "call.initiated"),
    ("unknown", 7),
]


@pytest.mark.parametrize(("form", "document"), FORMS)
def test_every_form_is_recognised(form: Form, document: Any) -> None:
    webhook = read_webhook(body_of(document))
    assert webhook.form == form_of(document) == form
    if form == "unknown":
        assert isinstance(webhook.event, UnknownEvent)
        assert webhook.event.payload == (document if isinstance(document, dict) else {})
        assert webhook.session_id == session_id_from(webhook.event.event_id)


def test_a_flat_webhook_is_read_as_the_specification_has_it() -> None:
    event = read_webhook(body_of(FLOOR_CHANGED)).event
    assert event == ConferenceFloorChanged(
        event_id="0ccc7b54-4df3-4bca-a65a-3da1ecc777f0",
        occurred_at=datetime(2026, 11, 22, 9, 0, 0, 76316, tzinfo=UTC),
        call_control_id="v3:example",
        call_session_id="bbbb0000-0000-11f0-8000-02420a1f0b69",
        conference_id="428c31b6-abf3-3bc1-b7f4-5013ef9657c1",
        payload=FLOOR_CHANGED["payload"],
    )


@pytest.mark.parametrize("document", [V2, {**V2["data"], "meta": V2["meta"]}])
def test_a_webhook_becomes_a_typed_event(document: Any) -> None:
    webhook = read_webhook(body_of(document))
    assert webhook.event == CallInitiated(
        event_id="cccc0000-0000-4000-8000-000000000001",
        occurred_at=datetime(2026, 11, 22, 9, 0, 0, 76316, tzinfo=UTC),
        call_control_id="v3:example",
        call_leg_id="aaaa0000-0000-11f0-8000-02420a1f0b69",
        call_session_id="bbbb0000-0000-11f0-8000-02420a1f0b69",
        connection_id="1234567890123456789",
        direction="incoming",
        state="parked",
        from_="+12025550123",
        to="+12025550199",
        start_time=datetime(2026, 11, 22, 9, 0, 0, 1, tzinfo=UTC),
        payload=PAYLOAD,
    )
    assert webhook.attempt == 1


@pytest.mark.parametrize(
    ("event_type", "kind"),
    [
        ("call.initiated", CallInitiated),
        ("call.answered", CallAnswered),
        ("call.bridged", CallBridged),
        ("call.hangup", CallHangup),
        ("call.recording.saved", CallRecordingSaved),
        ("recording_saved", RecordingSaved),
        ("streaming.started", StreamingStarted),
        ("conference.floor.changed", ConferenceFloorChanged),
        ("call.never_heard_of", UnknownEvent),
        ("call.Hangup", UnknownEvent),
        ("call_hangup", UnknownEvent),
    ],
)
def test_the_event_type_alone_says_what_it_is(event_type: str, kind: type[CallEvent]) -> None:
    event = read_webhook(v2_with(event_type=event_type, payload={"direction": "incoming"})).event
    assert type(event) is kind
    assert event.event_type == event_type


def test_a_field_of_the_wrong_type_is_none_and_stays_in_the_payload() -> None:
    payload = {"from": 12025550123, "start_time": "soon", "call_quality_stats": [1], "to": "+12"}
    event = read_webhook(v2_with(event_type="call.hangup", payload=payload)).event
    assert isinstance(event, CallHangup)
    assert (event.from_, event.start_time, event.call_quality_stats) == (None, None, None)
    assert event.to == "+12"
    assert event.payload == payload


@pytest.mark.parametrize("payload", [None, [], "text", 7])
def test_a_payload_that_is_no_object_is_empty(payload: Any) -> None:
    assert read_webhook(v2_with(payload=payload)).event.payload == {}


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-22T09:00:00.076316Z", datetime(2026, 11, 22, 9, 0, 0, 76316, tzinfo=UTC)),
        ("2026-11-22T09:00:00Z", datetime(2026, 11, 22, 9, tzinfo=UTC)),
        ("2026-11-22T10:00:00+01:00", datetime(2026, 11, 22, 9, tzinfo=UTC)),
        ("2026-11-22T09:00:00.076316", datetime(2026, 11, 22, 9, 0, 0, 76316, tzinfo=UTC)),
        ("2026-13-22T09:00:00Z", None),
        ("0001-01-01T00:00:00+23:59", None),  # before the first day there is in UTC
        ("9999-12-31T23:59:59-23:59", None),
        ("0001-01-01T00:00:00Z", None),  # how some languages spell that there is none
        ("9999-12-31T23:59:59.999999Z", None),
        ("", None),
        (1763868600, None),
    ],
)
def test_times_are_aware_and_in_utc(text: Any, time: datetime | None) -> None:
    assert read_webhook(v2_with(occurred_at=text)).event.occurred_at == time


def test_occurred_at_may_stand_in_the_payload() -> None:
    event = read_webhook(v2_with(payload={"occurred_at": "2026-11-22T09:00:00Z"})).event
    assert event.occurred_at == datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.mark.parametrize(("meta", "attempt"), [({"attempt": 3}, 3), ({"attempt": "3"}, None)])
def test_the_attempt_is_the_carriers_own(meta: Any, attempt: int | None) -> None:
    data = {"event_type": "call.x", "id": "event-1"}
    assert read_webhook(body_of({"data": data, "meta": meta})).attempt == attempt
    assert read_webhook(body_of({"data": data, "meta": None})).attempt is None


# ------------------------------------------------------------------ sessions


@pytest.mark.parametrize(
    ("payload", "session_id"),
    [
        ({"call_session_id": "a-session_1"}, "a-session_1"),
        ({"call_session_id": "a", "creator_call_session_id": "b", "conference_id": "c"}, "a"),
        ({"creator_call_session_id": "b", "conference_id": "c"}, "b"),
        ({"call_session_id": "", "conference_id": "c"}, "c"),
        ({"call_session_id": None, "conference_id": 7}, "event-1"),
        ({"from": "+12025550123"}, "event-1"),
        ({"call_session_id": "x" * 64}, "x" * 64),
        ({"call_session_id": "x" * 65}, "h" + hashlib.sha256(b"x" * 65).hexdigest()[:32]),
        ({"call_session_id": "a.b"}, "h" + hashlib.sha256(b"a.b").hexdigest()[:32]),
        ({"call_session_id": "calls.*.>"}, "h" + hashlib.sha256(b"calls.*.>").hexdigest()[:32]),
        ({"call_session_id": "abc\n"}, "h" + hashlib.sha256(b"abc\n").hexdigest()[:32]),
        ({"call_session_id": "ü"}, "h" + hashlib.sha256("ü".encode()).hexdigest()[:32]),
    ],
)
def test_the_session_is_a_safe_subject_token(payload: Any, session_id: str) -> None:
    assert read_webhook(v2_with(payload=payload)).session_id == session_id


def test_the_hash_of_a_session_id_is_the_same_for_ever() -> None:
    assert session_id_from("a session with spaces") == "h71c43804d117897d1cc2b982d5a494eb"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_session_id_makes_one_token(text: str) -> None:
    token = session_id_from(text)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", token)
    assert session_id_from(token) == token
