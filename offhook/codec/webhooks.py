"""The carrier's webhook JSON → typed events. Pure; nothing authentic is refused here.

    form         shape                                                      where
    v2           {data: {event_type, id, occurred_at, payload}, meta}       over the wire
    flat         {event_type, id, payload: {…, occurred_at}}                over the wire, rare
    v1           {event_type: "call_initiated", id, created_at, payload}    over the wire, old
    portal       {event_type, webhook_id, created_at, payload}              portal and manuals
    call_events  {name, metadata: {event: {…}}}                             GET /call_events
    payload      the content of data.payload alone                          logs, forum posts
    unknown      anything else, JSON or not

In every form an event belongs to the session that its payload names. An event without an id gets
one from its content, so that a repeated delivery has the same one. Sources: real payloads and
team-telnyx/knowledge-base `webhook-fundamentals`; flat is how `conference.floor.changed` is in
team-telnyx/openapi spec3.yml 12de4dd0.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from offhook.carrier_events import BY_TYPE, payload_fields
from offhook.codec.lenient_json import NotJson, read_json
from offhook.events import CallEvent, UnknownEvent, session_id_from

SESSION_ID_FIELDS = ("call_session_id", "creator_call_session_id", "conference_id")
"""Fields of a payload that name the session of the event; the first that is there counts."""

Form = Literal["v2", "flat", "v1", "portal", "call_events", "payload", "unknown"]


Oddity = Literal["not_json", "lenient_json", "no_event", "no_id", "no_call"]
"""What is unusual about a webhook; ingress counts them.

not_json      the body cannot be read as JSON, even leniently
lenient_json  JSON that readers disagree about: the odd part was replaced (`lenient_json.py`)
no_event      JSON without an event in it
no_id         an event without an id of its own
no_call       an event of another product: messaging, fax, number orders …
"""


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """A webhook body, read. `session_id` is the subject token it is stored under."""

    form: Form
    session_id: str
    event: CallEvent
    attempt: int | None = None
    version: int = 1  # the lowest version of WebhookReceived that reads it so
    oddities: tuple[Oddity, ...] = ()


def read_webhook(body: bytes, version: int = 2) -> Webhook:
    """Never raises: a body that is not JSON, or has no event, is an UnknownEvent of its own.

    `version` is that of the stored WebhookReceived. Version 1 read only strict JSON of the forms v2
    and flat, with an id. What it stored in a session of its own stays there.
    """
    try:
        document, is_strict = read_json(body)
    except NotJson:
        return _of_its_own("unknown", body, None, oddity="not_json")
    form = form_of(document)
    data = _data_of(document, form)
    is_usual = is_strict and form in ("v2", "flat") and _has_type_and_id(data)
    if version == 1 and not is_usual:
        return _of_its_own(form, body, document if is_strict else None, oddity="no_event")
    oddities: list[Oddity] = [] if is_strict else ["lenient_json"]
    if form == "unknown":
        oddities.append("no_event")
    else:
        if not _is_text(data.get("id")):
            oddities.append("no_id")
        if not concerns_call(data.get("event_type"), data.get("payload")):
            oddities.append("no_call")
    event = _event_from(data, _event_id_of(data, document, body))
    return Webhook(
        form=form,
        session_id=session_id_in(event.payload, event.event_id),
        event=event,
        attempt=_attempt_in(document),
        version=1 if is_usual else 2,
        oddities=tuple(oddities),
    )


def read_event(body: bytes, version: int = 2) -> tuple[CallEvent, int | None]:
    """The event and the attempt of `read_webhook`, at half its cost.

    A stored record needs no more, and nearly all are of the form v2, with a type and an id.
    """
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        document = None
    if type(document) is dict:
        data = document.get("data")
        if type(data) is dict and _has_type_and_id(data):
            return _event_from(data, data["id"]), _attempt_in(document)
    webhook = read_webhook(body, version)
    return webhook.event, webhook.attempt


def form_of(document: object) -> Form:
    """Which of the forms above a decoded JSON document is."""
    if not isinstance(document, dict):
        return "unknown"
    data = document.get("data")
    if isinstance(data, dict) and (_is_text(data.get("event_type")) or "payload" in data):
        return "v2"
    if _is_text(document.get("event_type")):
        timed = "occurred_at" in document or "created_at" not in document
        if _is_text(document.get("id")) and timed:
            return "flat"
        if "webhook_id" in document:
            return "portal"
        return "flat" if timed else "v1"
    metadata = document.get("metadata")
    if isinstance(metadata, dict) and "name" in document:
        return "call_events"
    return "payload" if _CALL_IDS & document.keys() else "unknown"


def concerns_call(event_type: object, payload: object) -> bool:
    """Whether an event is of Call Control, and not of another product.

    Every event type of Call Control is known or begins as below; a new one is recognized by its
    ids (team-telnyx/openapi spec3.yml 12de4dd0: no webhook of another product has any of them).
    """
    if isinstance(event_type, str) and (
        event_type in BY_TYPE or event_type.startswith(("call.", "conference."))
    ):
        return True
    return isinstance(payload, Mapping) and not _CALL_IDS.isdisjoint(payload)


def wire_body(event: CallEvent, *, attempt: int = 1, delivered_to: str = "") -> bytes:
    """The v2 body that reads as `event`, for tests and benches. `payload` takes precedence."""
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


def _of_its_own(form: Form, body: bytes, document: Any, *, oddity: Oddity) -> Webhook:
    event_id = "sha256-" + hashlib.sha256(body).hexdigest()
    event = UnknownEvent(event_id=event_id, payload=document if isinstance(document, dict) else {})
    return Webhook(form=form, session_id=session_id_from(event_id), event=event, oddities=(oddity,))


def _data_of(document: Any, form: Form) -> Mapping[str, Any]:
    """The object with event_type, id and payload. Without an event the payload is the document."""
    match form:
        case "v2":
            found: Any = document["data"]
        case "call_events":
            found = document["metadata"].get("event")
        case "flat" | "v1" | "portal":
            found = document
        case _:
            found = {"payload": document}
    return found if isinstance(found, dict) else {"payload": document}


def _attempt_in(document: object) -> int | None:
    meta = document.get("meta") if isinstance(document, dict) else None
    attempt = meta.get("attempt") if isinstance(meta, dict) else None
    return attempt if isinstance(attempt, int) else None


def _has_type_and_id(data: Mapping[str, Any]) -> bool:
    return _is_text(data.get("event_type")) and _is_text(data.get("id"))


def _event_id_of(data: Mapping[str, Any], document: Any, body: bytes) -> str:
    """Its own, or the portal's name for it, or a hash of all that a retry does not change."""
    for name in ("id", "webhook_id"):
        if _is_text(data.get(name)):
            return str(data[name])
    lasting = document
    if isinstance(document, dict):
        lasting = {name: value for name, value in document.items() if name != "meta"}
    try:
        content = json.dumps(lasting, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):  # more digits or levels than json writes
        content = body
    return "sha256-" + hashlib.sha256(content).hexdigest()


def _event_from(data: Mapping[str, Any], event_id: str) -> CallEvent:
    payload = data.get("payload")
    payload = payload if isinstance(payload, dict) else {}
    event_type = data["event_type"] if _is_text(data.get("event_type")) else ""
    kind = BY_TYPE.get(event_type, UnknownEvent)
    # Not by its constructor, which sets each of the fields through `object.__setattr__`.
    event = object.__new__(kind)
    fields = event.__dict__
    fields.update(_DEFAULTS[kind])
    places = _PLACES[kind]
    for wire, value in payload.items():
        if value is None or (place := places.get(wire)) is None:
            continue
        name, exact, read = place
        if type(value) is exact:
            fields[name] = value
        elif read is not None:
            fields[name] = read(value)
    # The documents put occurred_at inside payload for some events, real ones have it in data.
    occurred_at = (
        _time(data.get("occurred_at"))
        or _time(payload.get("occurred_at"))
        or _time(data.get("created_at"))
    )
    fields["event_type"] = event_type
    fields["event_id"] = event_id
    fields["occurred_at"] = occurred_at
    fields["payload"] = payload
    return event


def session_id_in(payload: object, event_id: str) -> str:
    """The session of an event with this payload: its own if the payload names none."""
    if isinstance(payload, Mapping):
        for name in SESSION_ID_FIELDS:
            text = payload.get(name)
            if isinstance(text, str) and text:
                return session_id_from(text)
    return session_id_from(event_id)


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        time = msgspec.convert(value, datetime)
        if time.tzinfo is not UTC:
            time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (msgspec.ValidationError, OverflowError):  # no such day, or none in UTC
        return None
    return time if _FIRST < time < _LAST else None


# Some languages write 0001-01-01T00:00:00Z for "no time". Postgres' driver stores both as infinity,
# which does not come back as a time.
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
    int | None: (int, None),  # a number sent as text stays in the payload
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

_CALL_IDS = frozenset({"call_control_id", "call_leg_id", *SESSION_ID_FIELDS})


def _places_in(kind: type[CallEvent]) -> dict[str, tuple[str, type | None, _Reader | None]]:
    return {
        wire_name: (item.name, *_READERS[item.type])
        for wire_name, item in payload_fields(kind).items()
    }


_PLACES = {kind: _places_in(kind) for kind in (*BY_TYPE.values(), UnknownEvent)}
"""The carrier's name of what each event takes from the payload -> field and how to read it."""

_DEFAULTS: dict[type[CallEvent], dict[str, Any]] = {
    kind: {item.name: item.default for item in dataclasses.fields(kind)} for kind in _PLACES
}
"""The fields of each event in their order. `payload` has no default here, and is always given."""


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
