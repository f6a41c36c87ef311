"""The carrier's events are what its own SDK says they are: nothing missing, nothing invented."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel
from telnyx.types.unwrap_webhook_event import UnwrapWebhookEvent

from offhook import events
from offhook.carrier_events import BY_TYPE, OF_A_CONFERENCE_ALONE, CarrierEvent
from offhook.codec.webhooks import read_webhook, wire_body
from offhook.projections.views.legs import legs
from offhook.projections.views.sessions import sessions
from tests.example_events import example_event

EVENTS_PAGE = Path(__file__).parents[2] / "docs" / "events.md"
BASE = {item.name for item in dataclasses.fields(CarrierEvent)}

# What makes a webhook one of a call or of a conference, and not of a message, a fax or an order.
OF_CALLS = {"call_session_id", "creator_call_session_id"}

NOT_IN_THE_SDK = {
    "call.sip_info.received": "named in the documents of send_sip_info, without a schema",
    "dialogflow.detectintent.response": "a real webhook",
    "recording_saved": "a real webhook, older than call.recording.saved",
}

# (event type, field) -> why it is here though the SDK does not know it.
NOT_DOCUMENTED = {
    ("call.initiated", "calling_party_type"): "in real webhooks",
    ("call.initiated", "from_sip_uri"): "in real webhooks",
    ("call.initiated", "to_sip_uri"): "in real webhooks",
    ("call.answered", "calling_party_type"): "in real webhooks",
    ("call.answered", "codec"): "in real webhooks",
    ("call.answered", "sampling_rate"): "in real webhooks",
    ("call.bridged", "start_time"): "seen in real webhooks",
    ("call.gather.ended", "gather_id"): "the documents of gather say that it comes back",
    ("call.hangup", "calling_party_type"): "in real webhooks",
    ("call.hangup", "end_time"): "in real webhooks",
    ("call.hangup", "telnyx_error"): "in real webhooks, as null",
    ("call.speak.started", "calling_party_type"): "in real webhooks",
    ("call.speak.started", "speak_id"): "in real webhooks",
    ("call.speak.ended", "calling_party_type"): "in real webhooks",
    ("call.speak.ended", "speak_id"): "in real webhooks",
    ("call.recording.saved", "recording_id"): "in real webhooks of recording_saved",
    ("call.recording.saved", "format"): "in real webhooks of recording_saved",
    ("call.recording.saved", "start_time"): "in real webhooks of recording_saved",
    ("call.recording.saved", "end_time"): "in real webhooks of recording_saved",
}


def _bare(annotation: Any) -> Any:
    """Without the `Optional` around it."""
    members = [member for member in get_args(annotation) if member is not type(None)]
    is_optional = get_origin(annotation) is Union and len(members) == 1
    return members[0] if is_optional else annotation


def _has(model: Any, name: str) -> bool:
    return name in getattr(model, "model_fields", {})


def payload_models() -> dict[str, type[BaseModel]]:
    """The SDK's model of the payload, by event type, for every webhook of a call."""
    found = {}
    for model in get_args(UnwrapWebhookEvent):
        data = _bare(model.model_fields["data"].annotation) if _has(model, "data") else model
        if not (_has(data, "payload") and _has(data, "event_type")):
            continue
        payload = _bare(data.model_fields["payload"].annotation)
        if OF_CALLS & set(getattr(payload, "model_fields", {})):
            for event_type in get_args(_bare(data.model_fields["event_type"].annotation)):
                found[event_type] = payload
    return found


MODELS = payload_models()


def test_every_event_type_of_the_sdk_has_its_class() -> None:
    assert set(BY_TYPE) == set(MODELS) | set(NOT_IN_THE_SDK)
    assert not set(MODELS) & set(NOT_IN_THE_SDK)
    assert len(BY_TYPE) == 65


@pytest.mark.parametrize("event_type", MODELS)
def test_its_fields_are_the_sdks(event_type: str) -> None:
    theirs = {
        name: _as_ours(item.annotation)
        for name, item in MODELS[event_type].model_fields.items()
        if name not in BASE
    }
    ours = {
        item.name: item.type
        for item in dataclasses.fields(BY_TYPE[event_type])
        if item.name not in BASE and (event_type, item.name) not in NOT_DOCUMENTED
    }
    assert ours == theirs


def test_no_exception_is_needless() -> None:
    for event_type, name in NOT_DOCUMENTED:
        assert name in {item.name for item in dataclasses.fields(BY_TYPE[event_type])}
        assert name not in MODELS[event_type].model_fields


@pytest.mark.parametrize("event_type", BY_TYPE)
def test_a_class_is_named_after_its_event_type_and_is_an_event(event_type: str) -> None:
    kind = BY_TYPE[event_type]
    words = event_type.replace("_", ".").split(".")
    assert kind.__name__ == "".join(word.capitalize() for word in words)
    assert getattr(events, kind.__name__) is kind
    assert kind().event_type == event_type


@pytest.mark.parametrize("event_type", BY_TYPE)
def test_every_field_is_read_off_the_wire(event_type: str) -> None:
    event = example_event(event_type)
    read = read_webhook(wire_body(event)).event
    assert dataclasses.replace(read, payload={}) == event
    assert all(value is not None for value in vars(read).values())


def test_the_page_of_events_names_every_type_and_nothing_that_is_not_there() -> None:
    page = EVENTS_PAGE.read_text()
    named = set(re.findall(r"`((?:call|conference|streaming|siprec|dialogflow)\.[a-z_.]+)`", page))
    assert named | {"recording_saved"} == set(BY_TYPE)
    assert "`recording_saved`" in page
    table, _, of_sessions = page.partition("A session keeps")
    for text, columns in ((table, legs.columns), (of_sessions, sessions.columns)):
        cells = [row.split("|")[3] for row in text.splitlines() if row.startswith("| `")]
        shown = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
        assert shown
        assert shown <= set(columns.keys())


def test_events_of_a_conference_alone_are_documented_without_a_leg() -> None:
    without = {name for name, model in MODELS.items() if "call_leg_id" not in model.model_fields}
    # The recording of a conference has a call_control_id instead.
    assert {kind().event_type for kind in OF_A_CONFERENCE_ALONE} == (
        without - {"conference.recording.saved"}
    )


WRONG: tuple[Any, ...] = ("x", 7, 10**400, 1.5, True, [1], ["x", 1], [{}, "x"], {"a": 1}, [], None)


@pytest.mark.parametrize("event_type", BY_TYPE)
def test_what_is_not_as_documented_is_none_and_stays_in_the_payload(event_type: str) -> None:
    for item in dataclasses.fields(BY_TYPE[event_type]):
        if item.name in {"event_type", "event_id", "occurred_at", "payload"}:
            continue
        for value in WRONG:
            event = BY_TYPE[event_type](event_id="e", payload={item.name.rstrip("_"): value})
            read = read_webhook(wire_body(event)).event
            told = getattr(read, item.name)
            assert told == (value if _is(value, item.type) else None)
            assert read.payload[item.name.rstrip("_")] == value


def _is(value: Any, kind: Any) -> bool:
    """Whether a JSON value is one of this type. None of the values above is a time."""
    checks: dict[Any, bool] = {
        str | None: isinstance(value, str),
        int | None: type(value) is int,
        float | None: type(value) is float or (type(value) is int and value < 2**63),
        bool | None: type(value) is bool,
        datetime | None: False,
        Sequence[str] | None: value == [],
        Sequence[Mapping[str, Any]] | None: value == [],
        Mapping[str, Any] | None: isinstance(value, dict),
        Mapping[str, Any] | str | None: isinstance(value, dict | str),
        Any: True,
    }
    return checks[kind]


def _as_ours(annotation: Any) -> Any:
    """The type that the SDK's becomes here: enums are open, objects are mappings."""
    kind = _bare(annotation)
    if get_origin(kind) is Union:
        members = [_as_ours(member) for member in get_args(kind) if member is not type(None)]
        assert set(members) == {Mapping[str, Any] | None, str | None}, kind
        return Mapping[str, Any] | str | None
    if get_origin(kind) is Literal:
        return str | None
    if get_origin(kind) is list:
        (item,) = get_args(kind)
        return Sequence[str] | None if item is str else Sequence[Mapping[str, Any]] | None
    if get_origin(kind) is dict or issubclass(kind, BaseModel):
        return Mapping[str, Any] | None
    assert kind in (str, int, float, bool, datetime), kind
    return kind | None
