"""The carrier's webhook JSON → typed events. Pure; nothing authentic is ever refused here.

    form         shape                                                      where
    v2           {data: {event_type, id, occurred_at, payload}, meta}       over the wire
    v1           {event_type: "call_initiated", id, created_at, payload}    over the wire, old
    portal       {event_type, webhook_id, created_at, payload}              portal and manuals
    call_events  {name, metadata: {event: {…}}}                             GET /call_events
    payload      the inside of data.payload alone                           logs, forum posts
    unknown      anything else, JSON or not

Only v2 is what an endpoint receives, so only v2 becomes a typed event; every other form is kept as
an UnknownEvent. Source: team-telnyx/knowledge-base `webhook-fundamentals`, real payloads.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from offhook.events import (
    CallAnswered,
    CallBridged,
    CallEvent,
    CallHangup,
    CallInitiated,
    UnknownEvent,
    session_id_from,
)

Form = Literal["v2", "v1", "portal", "call_events", "payload", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """A webhook body, read. `session_id` is the subject token it is stored under."""

    form: Form
    session_id: str
    event: CallEvent
    attempt: int | None = None


def read_webhook(body: bytes) -> Webhook:
    """Never raises: a body that is not JSON, or no known shape, is an UnknownEvent of its own."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    form = form_of(document)
    if form != "v2":
        event_id = "sha256-" + hashlib.sha256(body).hexdigest()
        payload = document if isinstance(document, dict) else {}
        unknown = UnknownEvent(event_id=event_id, payload=payload)
        return Webhook(form=form, session_id=session_id_from(event_id), event=unknown)
    data = document["data"]
    meta = document.get("meta")
    attempt = meta.get("attempt") if isinstance(meta, dict) else None
    event = _event_from(data)
    return Webhook(
        form=form,
        session_id=_session_id_of(event),
        event=event,
        attempt=attempt if isinstance(attempt, int) else None,
    )


def form_of(document: object) -> Form:
    """Which of the forms above a decoded JSON document is."""
    if not isinstance(document, dict):
        return "unknown"
    data = document.get("data")
    if isinstance(data, dict) and _is_text(data.get("event_type")) and _is_text(data.get("id")):
        return "v2"
    if _is_text(document.get("event_type")):
        return "portal" if "webhook_id" in document else "v1"
    if isinstance(document.get("metadata"), dict) and "name" in document:
        return "call_events"
    return "payload" if "call_control_id" in document else "unknown"


def wire_body(event: CallEvent, *, attempt: int = 1, delivered_to: str = "") -> bytes:
    """The v2 body that reads as `event`: for tests and flows on a bench; `payload` wins."""
    payload = {
        wire: _plain(value)
        for name, wire, _ in _FIELDS[type(event)]
        if (value := getattr(event, name)) is not None
    }
    data = {
        "record_type": "event",
        "event_type": event.event_type,
        "id": event.event_id,
        "occurred_at": _plain(event.occurred_at),
        "payload": {**payload, **event.payload},
    }
    meta = {"attempt": attempt, "delivered_to": delivered_to}
    return msgspec.json.encode({"data": data, "meta": meta})


_TYPED: dict[str, type[CallEvent]] = {
    "call.initiated": CallInitiated,
    "call.answered": CallAnswered,
    "call.bridged": CallBridged,
    "call.hangup": CallHangup,
}


def _event_from(data: Mapping[str, Any]) -> CallEvent:
    payload = data.get("payload")
    payload = payload if isinstance(payload, dict) else {}
    kind = _TYPED.get(data["event_type"], UnknownEvent)
    values = {name: _value(payload.get(wire), what) for name, wire, what in _FIELDS[kind]}
    # The documents put occurred_at inside payload for some events, real ones have it in data.
    occurred_at = _time(data.get("occurred_at")) or _time(payload.get("occurred_at"))
    return kind(
        event_type=data["event_type"],
        event_id=data["id"],
        occurred_at=occurred_at,
        payload=payload,
        **values,
    )


def _session_id_of(event: CallEvent) -> str:
    for text in (
        event.call_session_id,
        event.payload.get("creator_call_session_id"),
        event.payload.get("conference_id"),
    ):
        if isinstance(text, str) and text:
            return session_id_from(text)
    return session_id_from(event.event_id)


_ENVELOPE = frozenset({"event_type", "event_id", "occurred_at", "payload"})


def _fields_of(kind: type[CallEvent]) -> tuple[tuple[str, str, type], ...]:
    kinds = {"str | None": str, "datetime | None": datetime}
    return tuple(
        (item.name, item.name.rstrip("_"), kinds.get(_type_text(item.type), dict))
        for item in dataclasses.fields(kind)
        if item.name not in _ENVELOPE
    )


def _type_text(kind: Any) -> str:
    return str(kind).replace("datetime.datetime", "datetime")


_FIELDS = {kind: _fields_of(kind) for kind in (*_TYPED.values(), UnknownEvent)}
"""(field, the carrier's name, type) of what each event takes from the payload."""


def _value(value: Any, kind: type) -> Any:
    """`value` if it is what the documents say, else None: the payload still has it."""
    if kind is datetime:
        return _time(value)
    return value if isinstance(value, kind) else None


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        time = msgspec.convert(value, datetime)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (msgspec.ValidationError, OverflowError):  # no such day, or none in UTC
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
