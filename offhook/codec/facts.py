"""Facts ↔ bytes: stored names, versions, and the reading of old ones. Pure.

A fact's type and version travel in headers (`Offhook-Type`, `Offhook-Version`), its fields as JSON.
A webhook is stored as the bytes that were signed; its version says how they are read, and is the
lowest that reads them so. To change another fact, raise its version in `VERSIONS`
and add the step from the old one to `UPCASTS`; the steps run in order up to the newest.
"""

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from offhook.codec.webhooks import read_event
from offhook.errors import RecordUnreadable
from offhook.events import (
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    Fact,
    LegPlaced,
    Record,
    SessionParked,
    SessionResumed,
    TimerCancelled,
    TimerFired,
    TimerSet,
    WebhookReceived,
)
from offhook.position import referred

FACTS: dict[str, type[Fact]] = {
    kind.__name__: kind
    for kind in (
        WebhookReceived,
        CommandRequested,
        LegPlaced,
        SessionResumed,
        Decided,
        CommandAttempted,
        CommandSucceeded,
        CommandFailed,
        TimerSet,
        TimerCancelled,
        TimerFired,
        SessionParked,
    )
}
VERSIONS: dict[str, int] = {**dict.fromkeys(FACTS, 1), "WebhookReceived": 2}
UPCASTS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""(type, version) -> the fields as the next version has them."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A fact as it is stored in the log. `fact_id` is its de-duplication id."""

    type: str
    version: int
    fact_id: str
    body: bytes


def encode(fact: Fact, session_id: str) -> Encoded:
    """Any fact except a webhook, which is stored as received: see `encoded_webhook`."""
    assert not isinstance(fact, WebhookReceived), (
        "a webhook is stored as the bytes that were signed"
    )
    name = type(fact).__name__
    return Encoded(
        type=name,
        version=VERSIONS[name],
        fact_id=fact_id_of(fact, session_id),
        body=msgspec.json.encode(fact),
    )


def encoded_webhook(body: bytes, event_id: str, version: int = 1) -> Encoded:
    """A webhook's raw body, as it is stored. An id that a header cannot carry is hashed.

    `version` says how it is to be read: `offhook.codec.webhooks.read_webhook`.
    """
    if not _HEADER_TEXT.fullmatch(event_id):
        event_id = "sha256-" + hashlib.sha256(event_id.encode("utf-8", "replace")).hexdigest()
    return Encoded(type="WebhookReceived", version=version, fact_id=event_id, body=body)


_HEADER_TEXT = re.compile(r"[!-~]{1,128}")


def decode(type_name: str, version: int, body: bytes) -> Fact:
    """The fact in the newest version. Raises RecordUnreadable."""
    kind = FACTS.get(type_name)
    if kind is None:
        raise RecordUnreadable(f"record type {type_name!r} is not known to this version of Offhook")
    newest = VERSIONS[type_name]
    if not 1 <= version <= newest:
        raise RecordUnreadable(f"{type_name} has version {version}; known: 1 to {newest}")
    if kind is WebhookReceived:
        event, attempt = read_event(body, version)
        return WebhookReceived(event=event, attempt=attempt)
    try:
        if version == newest:
            return msgspec.json.decode(body, type=kind)
        fields = msgspec.json.decode(body, type=dict[str, Any])
        for step in range(version, newest):
            fields = UPCASTS[type_name, step](fields)
        return msgspec.convert(fields, kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordUnreadable(f"{type_name} version {version}: {error}") from error


def decode_record(
    type_name: str,
    version: int,
    body: bytes,
    *,
    position: int,
    session_id: str,
    stored_at: datetime,
    traceparent: str = "",
    imported_from: int | None = None,
) -> Record:
    """The record that is stored at a position. Raises RecordUnreadable."""
    fact = decode(type_name, version, body)
    if isinstance(fact, Decided | SessionParked):
        cause_seq = referred(fact.cause_seq, position)
        in_seq = None if fact.in_seq is None else referred(fact.in_seq, position)
        if (cause_seq, in_seq) != (fact.cause_seq, fact.in_seq):
            fact = dataclasses.replace(fact, cause_seq=cause_seq, in_seq=in_seq)
    # Not by its constructor, which sets each of the fields through `object.__setattr__`.
    record = object.__new__(Record)
    record.__dict__.update(
        seq=position,
        stored_at=stored_at,
        session_id=session_id,
        fact=fact,
        fact_id=fact_id_of(fact, session_id),
        traceparent=traceparent,
        imported_from=imported_from,
    )
    return record


def fact_id_of(fact: Fact, session_id: str) -> str:
    """What makes a fact unique in its session. It is the `Nats-Msg-Id` too, so it is unique there.

    A repeated webhook has the carrier's event id; a command id is unique for one leg, or among
    dials, as with the carrier; a decision is a worker's own, so that finding its id in the log
    means having won; an outcome is one per command of a session: two calls may have commands with
    the same id of an application's; a timer is set, cancelled and fires once. Parking and resuming
    may repeat: no id.
    """
    match fact:
        case WebhookReceived(event=event):
            return event.event_id
        case CommandRequested(command=command):
            return f"request:{command.call_control_id or 'dial'}:{command.command_id}"
        case LegPlaced(leg=leg):
            return f"placed:{session_id}:{leg.call_control_id}"
        case Decided(cause_seq=cause_seq, worker=worker):
            return f"decided:{session_id}:{cause_seq}:{worker}"
        case CommandAttempted(command_id=command_id, attempt=attempt, worker=worker):
            renewal = f":{fact.renewal}" if fact.renewal else ""
            return f"attempt:{session_id}:{command_id}:{attempt}:{worker}{renewal}"
        case CommandSucceeded(command_id=command_id) | CommandFailed(command_id=command_id):
            return f"outcome:{session_id}:{command_id}"
        case TimerSet(timer_id=timer_id):
            return f"timer-set:{session_id}:{timer_id}"
        case TimerCancelled(timer_id=timer_id):
            return f"timer-cancelled:{session_id}:{timer_id}"
        case TimerFired(timer_id=timer_id):
            return f"timer-fired:{session_id}:{timer_id}"
        case SessionParked() | SessionResumed():
            return ""


def fields_of(fact: Fact) -> Mapping[str, Any]:
    """The fact's fields as plain JSON values, for timelines and pages."""
    if isinstance(fact, WebhookReceived):
        event: dict[str, Any] = msgspec.to_builtins(fact.event)
        return {"attempt": fact.attempt, **event}
    fields: dict[str, Any] = msgspec.to_builtins(fact)
    return fields


assert all(dataclasses.is_dataclass(kind) for kind in FACTS.values())
