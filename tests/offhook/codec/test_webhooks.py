"""The carrier's JSON: every form is recognised, and nothing at all makes the reader raise."""

import dataclasses
import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.codec.webhooks import Form, form_of, read_event, read_webhook, wire_body
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

PAYLOAD = {
    "call_control_id": "v3:example",
    "call_leg_id": "aaaa0000-0000-11f0-8000-02420a1f0b69",
    "call_session_id": "bbbb0000-0000-11f0-8000-02420a1f0b69",
    "client_state": None,
    "connection_id": "1234567890123456789",
    "direction": "incoming",
    "from": "+12025550123",
    "start_time": "2026-11-22T09:00:00.000001Z",
    "state": "parked",
    "to": "+12025550199",
}
V2: dict[str, Any] = {
    "data": {
        "event_type": "call.initiated",
        "id": "cccc0000-0000-4000-8000-000000000001",
        "occurred_at": "2026-11-22T09:00:00.076316Z",
        "payload": PAYLOAD,
        "record_type": "event",
    },
    "meta": {"attempt": 1, "delivered_to": "https://hooks.example.com/webhooks/telnyx"},
}

FLOOR_CHANGED: dict[str, Any] = {  # as the specification has it
    "event_type": "conference.floor.changed",
    "id": "0ccc7b54-4df3-4bca-a65a-3da1ecc777f0",
    "payload": {
        "call_control_id": "v3:example",
        "call_session_id": "bbbb0000-0000-11f0-8000-02420a1f0b69",
        "conference_id": "428c31b6-abf3-3bc1-b7f4-5013ef9657c1",
        "occurred_at": "2026-11-22T09:00:00.076316Z",
    },
    "record_type": "event",
}


def body_of(document: Any) -> bytes:
    return json.dumps(document).encode()


def v2_with(**data: Any) -> bytes:
    return body_of({"data": {"event_type": "call.x", "id": "event-1", **data}})


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


# ------------------------------------------------------------------ junk


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_an_event_of_their_own(body: bytes) -> None:
    webhook = read_webhook(body)
    assert webhook == read_webhook(body)
    assert webhook.session_id
    assert webhook.event.event_id


json_documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=10,
)
NAMES = ["call_session_id", "occurred_at", "start_time", "from", "client_state", "conference_id"]


@given(
    event_type=st.sampled_from(["call.initiated", "call.hangup", "call.x"]) | json_documents,
    event_id=st.text(max_size=10) | json_documents,
    occurred_at=st.datetimes().map(str) | json_documents,
    payload=st.dictionaries(st.sampled_from(NAMES), json_documents) | json_documents,
    meta=json_documents,
)
def test_json_of_any_kind_is_read(
    event_type: Any, event_id: Any, occurred_at: Any, payload: Any, meta: Any
) -> None:
    data = {
        "event_type": event_type,
        "id": event_id,
        "occurred_at": occurred_at,
        "payload": payload,
    }
    webhook = read_webhook(body_of({"data": data, "meta": meta}))
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", webhook.session_id)
    assert webhook.event.occurred_at is None or webhook.event.occurred_at.tzinfo is UTC


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"data":' * 50_000,
        b'{"data":{"event_type":"call.hang',
        b"from=%2B12025550123&to=%2B12025550199",
    ],
    ids=["empty", "no text", "deep list", "deep object", "cut off", "form"],
)
def test_what_no_json_reader_takes_is_kept_as_unknown(body: bytes) -> None:
    webhook = read_webhook(body)
    assert (webhook.form, webhook.version, webhook.oddities) == ("unknown", 1, ("not_json",))
    assert webhook.event == UnknownEvent(event_id=f"sha256-{hashlib.sha256(body).hexdigest()}")


ODD = {
    "half a pair": (b"Zoe \\ud83d", "Zoe \ufffd"),
    "the other half": (b"\\ude00 Zoe", "\ufffd Zoe"),
    "latin-1": (b"Jos\xe9", "Jos\ufffd"),
    "cesu-8": (b"\xed\xa0\xbd\xed\xb8\x80", "\U0001f600"),
    "tab": (b"a\tb", "a\tb"),
    "escape": (b"O\\'Brien", "O\\'Brien"),
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("event_type", ["call.initiated", "call.hangup"])
def test_an_odd_character_costs_only_itself(event_type: str, case: str) -> None:
    raw, read = ODD[case]
    document = {"data": {**V2["data"], "event_type": event_type}, "meta": V2["meta"]}
    document["data"]["payload"] = {**PAYLOAD, "note": "#", "from": "+12025550123"}
    body = body_of(document)
    assert body.count(b"#") == 1
    webhook = read_webhook(body.replace(b"#", raw))
    usual = read_webhook(body)
    assert webhook.event == dataclasses.replace(
        usual.event, payload={**usual.event.payload, "note": read}
    )
    assert (webhook.session_id, webhook.attempt) == (usual.session_id, usual.attempt)
    assert (usual.version, usual.oddities) == (1, ())
    assert (webhook.version, webhook.oddities) == (2, ("lenient_json",))


@pytest.mark.parametrize(
    ("raw", "value"),
    [("NaN", None), ("1e999", "1e999"), ("-Infinity", None), ("007", "007"), ("nan", None)],
)
def test_an_odd_number_costs_only_itself(raw: str, value: Any) -> None:
    body = v2_with(event_type="call.hangup", payload={"hangup_cause": "x", "mos": "#"})
    event = read_webhook(body.replace(b'"#"', raw.encode())).event
    assert isinstance(event, CallHangup)
    assert (event.hangup_cause, event.payload["mos"]) == ("x", value)


@pytest.mark.parametrize("body", [b'{"data":{"event_type":"call.x","id":"\\ud800"}}', b"{}"])
def test_what_was_kept_apart_is_read_as_it_was(body: bytes) -> None:
    old = read_webhook(body, 1)
    assert old.event.event_id == f"sha256-{hashlib.sha256(body).hexdigest()}"
    assert isinstance(old.event, UnknownEvent)
    assert old.session_id == session_id_from(old.event.event_id)
    usual = body_of(V2)
    assert read_webhook(usual, 1) == read_webhook(usual)


# ------------------------------------------------------------------ without an id


def without_id(**more: Any) -> dict[str, Any]:
    data = {"event_type": "call.initiated", "occurred_at": "2026-11-22T09:00:00Z", **more}
    return {"data": {**data, "payload": PAYLOAD}}


PORTAL = {
    "created_at": "2026-11-22T09:00:00.076316Z",
    "event_type": "call.hangup",
    "payload": {**PAYLOAD, "hangup_cause": "normal_clearing"},
    "record_type": "event",
    "webhook_id": "0ccc7b54-4df3-4bca-a65a-3da1ecc777f0",
}


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (without_id(), CallInitiated),
        (without_id(id=7), CallInitiated),
        (without_id()["data"], CallInitiated),
        (PORTAL, CallHangup),
        ({"name": "call.initiated", "metadata": {"event": V2["data"]}}, CallInitiated),
        (PAYLOAD, UnknownEvent),
        ({"data": {"payload": PAYLOAD}}, UnknownEvent),
    ],
)
def test_an_event_without_an_id_stays_with_its_call(document: Any, kind: type[CallEvent]) -> None:
    webhook = read_webhook(body_of(document))
    assert type(webhook.event) is kind
    assert webhook.session_id == PAYLOAD["call_session_id"]
    assert webhook.event.call_control_id == "v3:example"
    assert webhook.version == 2
    # The same, delivered again: another attempt, with other spaces and another order.
    again = dict(reversed(document.items()))
    body = json.dumps({"meta": {"attempt": 2}, **again}, indent=1).encode()
    assert read_webhook(body).event.event_id == webhook.event.event_id
    # Another event.
    other = json.loads(json.dumps(document).replace("+12025550123", "+12025550124"))
    if webhook.event.event_id.startswith("sha256-"):
        assert read_webhook(body_of(other)).event.event_id != webhook.event.event_id


def test_the_portals_id_is_the_events() -> None:
    webhook = read_webhook(body_of(PORTAL))
    assert webhook.event.event_id == PORTAL["webhook_id"]
    assert webhook.event.occurred_at == datetime(2026, 11, 22, 9, 0, 0, 76316, tzinfo=UTC)


@pytest.mark.parametrize(
    ("data", "oddities"),
    [
        ({"event_type": "message.received", "id": "e", "payload": {"to": []}}, ("no_call",)),
        ({"event_type": "fax.received", "id": "e", "payload": {"fax_id": "f"}}, ("no_call",)),
        ({"event_type": "number_order.complete", "payload": {}}, ("no_id", "no_call")),
        ({"event_type": "call.new", "id": "e"}, ()),
        ({"event_type": "streaming.started", "id": "e"}, ()),
        ({"event_type": "new.kind", "id": "e", "payload": {"call_leg_id": "x"}}, ()),
        ({"event_type": "new.kind", "id": "e", "payload": {"conference_id": "x"}}, ()),
    ],
)
def test_events_of_other_products_are_told_apart(data: Any, oddities: tuple[str, ...]) -> None:
    assert read_webhook(body_of({"data": data})).oddities == oddities


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
