"""Events written as the carrier's JSON, and read again."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from offhook.codec.webhooks import Form, read_event, read_webhook, wire_body
from offhook.events import (
    CallAnswered,
    CallBridged,
    CallEvent,
    CallHangup,
    CallInitiated,
    UnknownEvent,
)
from tests.offhook.codec.webhook_bodies import FLOOR_CHANGED, PAYLOAD, V2, body_of

# ------------------------------------------------------------------ the way back

texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
ENDS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))  # told as no time
times = st.none() | st.datetimes(timezones=st.just(UTC)).filter(lambda time: time not in ENDS)
COMMON = {
    "event_id": st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    "occurred_at": times,
    "call_control_id": texts,
    "call_leg_id": texts,
    "call_session_id": texts,
    "connection_id": texts,
    "client_state": texts,
    "from_": texts,
    "to": texts,
    "start_time": times,
}
typed_events: st.SearchStrategy[CallEvent] = st.one_of(
    st.builds(CallInitiated, **COMMON, direction=texts, state=texts, caller_id_name=texts),
    st.builds(CallAnswered, **COMMON, calling_party_type=texts),
    st.builds(CallBridged, **COMMON),
    st.builds(CallHangup, **COMMON, end_time=times, hangup_cause=texts, sip_hangup_cause=texts),
)


@given(typed_events, st.integers(1, 9))
def test_an_event_written_to_the_wire_reads_the_same(event: CallEvent, attempt: int) -> None:
    webhook = read_webhook(wire_body(event, attempt=attempt))
    assert webhook.attempt == attempt
    written = {**vars(webhook.event), "payload": {}}
    assert written == vars(event)
    again = read_webhook(wire_body(webhook.event, attempt=attempt))
    assert again == webhook


_parts = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "call.hangup", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["event_type", "id", "payload", "attempt"]), inner)
    ),
    max_leaves=6,
)


@given(
    st.binary(max_size=40)
    | st.dictionaries(
        st.sampled_from(["data", "meta", "event_type", "id", "payload", "created_at"]), _parts
    ).map(lambda document: json.dumps(document).encode()),
    st.sampled_from([1, 2]),
)
def test_the_event_alone_is_that_of_the_webhook(body: bytes, version: int) -> None:
    webhook = read_webhook(body, version)
    assert read_event(body, version) == (webhook.event, webhook.attempt)


@given(typed_events)
def test_an_event_has_its_fields_in_their_order(event: CallEvent) -> None:
    """However it was made: msgspec writes them as they are in the object."""
    read, _ = read_event(wire_body(event))
    assert [*vars(read)] == [field.name for field in dataclasses.fields(read)]


def test_what_the_payload_says_wins_on_the_wire() -> None:
    event = CallAnswered(event_id="e1", to="+12025550123", payload={"to": "+12025550199", "x": 1})
    read = read_webhook(wire_body(event)).event
    assert isinstance(read, CallAnswered)
    assert (read.to, read.payload["x"]) == ("+12025550199", 1)


# ------------------------------------------------------------------ bodies as they come

CAPTURED: dict[str, Form] = {  # the captures' index has names of its own
    "v2_envelope": "v2",
    "v2_data_wrapper": "v2",
    "portal_flat": "portal",
    "data_only": "flat",
    "payload_only": "payload",
}


def test_bodies_are_recognised_and_survive_the_way_back(capture_files: list[Path]) -> None:
    told: list[tuple[bytes, Form, str]] = [
        (body_of(V2), "v2", "call.initiated"),
        (body_of(V2["data"]), "flat", "call.initiated"),
        (body_of(FLOOR_CHANGED), "flat", "conference.floor.changed"),
        (body_of(PAYLOAD), "payload", ""),
    ]
    for index in (file for file in capture_files if file.name == "index.json"):
        told += [
            ((index.parent / each["file"]).read_bytes(), CAPTURED[each["form"]], each["event_type"])
            for each in json.loads(index.read_text())["files"]
        ]
    assert len(told) > 4 or not capture_files, "no index of the captures in OFFHOOK_CAPTURES"
    for body, form, event_type in told:
        webhook = read_webhook(body)
        assert webhook.form == form, body
        if form in ("v2", "flat"):
            assert not isinstance(webhook.event, UnknownEvent)
            assert webhook.event.event_type == event_type
            assert webhook.event.occurred_at is not None
            again = read_webhook(wire_body(webhook.event))
            assert (again.event, again.session_id) == (webhook.event, webhook.session_id)
