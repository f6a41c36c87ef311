"""Webhooks of odd content: junk, odd characters and numbers, and events without an id."""

import dataclasses
import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.codec.webhooks import read_webhook
from offhook.events import (
    CallEvent,
    CallHangup,
    CallInitiated,
    UnknownEvent,
    session_id_from,
)
from tests.offhook.codec.webhook_bodies import PAYLOAD, V2, body_of, v2_with

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
