"""The carrier's webhook JSON → typed events. Pure; nothing authentic is ever refused here.

    form         shape                                                      where
    v2           {data: {event_type, id, occurred_at, payload}, meta}       over the wire
    flat         {event_type, id, payload: {…, occurred_at}}                over the wire, rare
    v1           {event_type: "call_initiated", id, created_at, payload}    over the wire, old
    portal       {event_type, webhook_id, created_at, payload}              portal and manuals
    call_events  {name, metadata: {event: {…}}}                             GET /call_events
    payload      the inside of data.payload alone                           logs, forum posts
    unknown      anything else, JSON or not

Only the first two are what an endpoint receives, so only they become typed events; every other form
is kept as an UnknownEvent. Sources: team-telnyx/knowledge-base `webhook-fundamentals`, real
payloads; flat is how team-telnyx/openapi spec3.yml 12de4dd0 has `conference.floor.changed`.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from offhook.carrier_events import BY_TYPE
from offhook.events import CallEvent, UnknownEvent, session_id_from

Form = Literal["v2", "flat", "v1", "portal", "call_events", "payload", "unknown"]


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
    if form not in ("v2", "flat"):
        event_id = "sha256-" + hashlib.sha256(body).hexdigest()
        payload = document if isinstance(document, dict) else {}
        unknown = UnknownEvent(event_id=event_id, payload=payload)
        return Webhook(form=form, session_id=session_id_from(event_id), event=unknown)
    data = document["data"] if form == "v2" else document
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
        timed = "occurred_at" in document or "created_at" not in document
        if _is_text(document.get("id")) and timed:
            return "flat"
        return "portal" if "webhook_id" in document else "v1"
    if isinstance(document.get("metadata"), dict) and "name" in document:
        return "call_events"
    return "payload" if "call_control_id" in document else "unknown"


def wire_body(event: CallEvent, *, attempt: int = 1, delivered_to: str = "") -> bytes:
    """The v2 body that reads as `event`: for tests and flows on a bench; `payload` wins."""
    payload = {
        wire: _plain(value)
        for wire, (name, _, _) in _PLACES[type(event)].items()
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


def _event_from(data: Mapping[str, Any]) -> CallEvent:
    payload = data.get("payload")
    payload = payload if isinstance(payload, dict) else {}
    kind = BY_TYPE.get(data["event_type"], UnknownEvent)
    places = _PLACES[kind]
    values: dict[str, Any] = {}
    for wire, value in payload.items():
        if value is None or (place := places.get(wire)) is None:
            continue
        name, exact, read = place
        if type(value) is exact:
            values[name] = value
        elif read is not None:
            values[name] = read(value)
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


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        time = msgspec.convert(value, datetime)
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (msgspec.ValidationError, OverflowError):  # no such day, or none in UTC
        return None
    return time if _FIRST < time < _LAST else None


# The first instant is how some languages spell that there is none (0001-01-01T00:00:00Z), and to
# Postgres' driver both are infinities, which come back as no time that can be reckoned with.
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def _number(value: Any) -> float | None:
    return float(value) if type(value) is int and abs(value) < _INTEGERS_BELOW else None


def _texts(value: Any) -> Sequence[str] | None:
    return value if _is_list_of(value, str) else None


def _objects(value: Any) -> Sequence[Mapping[str, Any]] | None:
    return value if _is_list_of(value, dict) else None


def _is_list_of(value: Any, kind: type) -> bool:
    return type(value) is list and all(type(item) is kind for item in value)


_INTEGERS_BELOW = 2**63
_Reader = Callable[[Any], Any]
_READERS: dict[Any, tuple[type | None, _Reader | None]] = {
    str | None: (str, None),
    int | None: (int, None),  # a number told as text stays in the payload
    bool | None: (bool, None),
    float | None: (float, _number),
    datetime | None: (None, _time),
    Sequence[str] | None: (None, _texts),
    Sequence[Mapping[str, Any]] | None: (None, _objects),
    Mapping[str, Any] | None: (dict, None),
    Mapping[str, Any] | str | None: (dict, lambda value: value if type(value) is str else None),
    Any: (None, lambda value: value),
}
"""By a field's type: the JSON type taken as it is, and what makes a value or None of any other.

What is not as the documents say becomes None: the payload still has it.
"""

_ENVELOPE = frozenset({"event_type", "event_id", "occurred_at", "payload"})


def _places_in(kind: type[CallEvent]) -> dict[str, tuple[str, type | None, _Reader | None]]:
    return {
        item.name.rstrip("_"): (item.name, *_READERS[item.type])
        for item in dataclasses.fields(kind)
        if item.name not in _ENVELOPE
    }


_PLACES = {kind: _places_in(kind) for kind in (*BY_TYPE.values(), UnknownEvent)}
"""The carrier's name of what each event takes from the payload -> field and how to read it."""


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
