"""A message of the log → what the projector works on; nothing that was stored is ever refused."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from nats.aio.msg import Msg

from offhook.codec import decode, fact_id_of
from offhook.events import Record, WebhookReceived
from offhook.jetstream.log import TYPE_HEADER, VERSION_HEADER
from offhook.jetstream.subjects import parse
from offhook.process.slices import Slices
from offhook.projections.views.rows import storable

INDEXED_CHARS_MAX = 200
"""An index entry holds 2.7 kB; the carrier's ids have 36 characters, longer ones are hashed."""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A stored record. `record` is None if it cannot be read, and `error` says why."""

    seq: int  # stream sequence
    session_id: str
    side: str
    type: str
    version: int
    stored_at: datetime
    body: bytes
    record: Record | None = None
    error: str = ""

    def row(self) -> dict[str, Any]:
        """Its row in event_log."""
        fact_id = event_id = occurred_at = None
        if self.record is not None:
            fact_id = storable(self.record.fact_id) or None
        if self.record is not None and isinstance(self.record.fact, WebhookReceived):
            event_id = indexable(self.record.fact.event.event_id)
            occurred_at = self.record.fact.event.occurred_at
        return {
            "seq": self.seq,
            "session_id": self.session_id,
            "side": self.side,
            "type": self.type,
            "version": self.version,
            "fact_id": fact_id,
            "event_id": event_id,
            "occurred_at": occurred_at,
            "stored_at": self.stored_at,
            "body": self.body,
        }


async def arrivals_from(messages: Iterable[Msg]) -> list[Arrival]:
    """The arrivals in a consumer's deliveries."""
    arrivals: list[Arrival] = []
    slices = Slices()
    for message in messages:
        arrivals.append(arrival_from(message))
        await slices.yield_if_due()
    return arrivals


def arrival_from(message: Msg) -> Arrival:
    """The arrival in a consumer's delivery."""
    headers = message.headers or {}
    place = parse(message.subject)
    version = headers.get(VERSION_HEADER, "")
    return read_stored(
        seq=message.metadata.sequence.stream,
        # A subject of no known shape is a session of its own.
        session_id=place.session_id if place is not None else message.subject,
        side=place.side if place is not None else "",
        type=headers.get(TYPE_HEADER, ""),
        version=int(version) if version.isdecimal() and len(version) < 9 else 0,
        stored_at=_stored_at(message),
        body=message.data,
    )


def read_stored(
    *,
    seq: int,
    session_id: str,
    side: str,
    type: str,
    version: int,
    stored_at: datetime,
    body: bytes,
) -> Arrival:
    """The arrival for a record as it is stored, in the log or in event_log."""
    record, error = None, ""
    try:
        fact = decode(type, version, body)
        record = Record(
            seq=seq,
            stored_at=stored_at,
            session_id=session_id,
            fact=fact,
            fact_id=fact_id_of(fact, session_id),
        )
    except Exception as raised:
        # Whatever it is, only this session must suffer from it; the error is kept and shown.
        error = f"seq {seq}: {type} version {version}: {raised!r}"
    return Arrival(
        seq=seq,
        session_id=session_id,
        side=side,
        type=type,
        version=version,
        stored_at=stored_at,
        body=body,
        record=record,
        error=error,
    )


def indexable(text: str) -> str | None:
    """`text` as a key: None if empty, a hash if it is long or holds a NUL."""
    if not text:
        return None
    if len(text) <= INDEXED_CHARS_MAX and "\0" not in text:
        return text
    return "sha256-" + hashlib.sha256(text.encode()).hexdigest()


def _stored_at(message: Msg) -> datetime:
    # In whole microseconds, cut as every other reader of the log cuts them; nats-py's own
    # timestamp goes through a float and may be one off.
    tokens = message.reply.split(".")
    nanoseconds = int(tokens[-2] if len(tokens) == _V1_TOKENS else tokens[_V2_TIME])
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_V1_TOKENS = 9  # $JS.ACK.stream.consumer.delivered.seq.seq.TIME.pending
_V2_TIME = 9  # $JS.ACK.domain.account.stream.consumer.delivered.seq.seq.TIME.pending.…
