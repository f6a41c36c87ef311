"""A record as a message of the log: the headers that it is stored with, and how it is read back.

Pure. What is read is the answer to a direct get, which has subject, sequence and time as headers.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from nats.aio.msg import Msg

from offhook.codec.facts import Encoded, decode_record
from offhook.events import Record
from offhook.jetstream.stream import EXPECTED_SEQ_HEADER, partition_in
from offhook.jetstream.subjects import parse, storable_text
from offhook.position import position_of, seq_of

TYPE_HEADER = "Offhook-Type"
VERSION_HEADER = "Offhook-Version"
ID_HEADER = "Nats-Msg-Id"
TRACE_HEADER = "traceparent"
IMPORTED_HEADER = "Offhook-Imported"
"""Of a record that was imported: its position in the log it comes from."""
STORED_AT_HEADER = "Offhook-Stored-At"
"""Beside it: when that log stored it, as ISO 8601."""


def headers_of(
    encoded: Encoded, expected_seq: int | None, more: Mapping[str, str] | None
) -> dict[str, str]:
    """The headers of a message with that fact.

    `expected_seq` is the position of the last message before it on its subject, 0 without one.
    """
    headers = {
        TYPE_HEADER: encoded.type,
        VERSION_HEADER: str(encoded.version),
        **(more or {}),
    }
    if encoded.fact_id:
        headers[ID_HEADER] = encoded.fact_id
    if expected_seq is not None:
        headers[EXPECTED_SEQ_HEADER] = str(seq_of(expected_seq))
    return headers


def trace_headers(traceparent: str) -> dict[str, str]:
    """The header that hands a trace on; empty unless the value is valid in W3C Trace Context."""
    return {TRACE_HEADER: traceparent} if _TRACEPARENT.fullmatch(traceparent) else {}


def imported_headers(position: int, stored_at: datetime) -> dict[str, str]:
    """The headers that make an appended record an imported one."""
    return {
        IMPORTED_HEADER: str(position),
        STORED_AT_HEADER: stored_at.astimezone(UTC).isoformat(timespec="microseconds"),
    }


def record_of(message: Msg) -> Record:
    """The record in the answer to a direct get. Raises RecordUnreadable."""
    headers = message.headers or {}
    return record_in(message, headers["Nats-Subject"], position_of_read(message), time_of(headers))


def record_in(message: Msg, subject: str, position: int, stored_at: datetime) -> Record:
    """The record in a message that was stored there and then. Raises RecordUnreadable."""
    headers = message.headers or {}
    place = parse(subject)
    session_id = place.session_id if place is not None else storable_text(subject)
    type_name = headers.get(TYPE_HEADER, "")
    return decode_record(
        type_name,
        version_in(headers),
        message.data,
        position=position,
        session_id=session_id,
        stored_at=stored_elsewhere_at(headers) or stored_at,
        traceparent=headers.get(TRACE_HEADER, ""),
        imported_from=imported_from(headers),
    )


def version_in(headers: Mapping[str, str]) -> int:
    """The version of the fact; 0, which no fact has, if there is none or it is no number."""
    text = headers.get(VERSION_HEADER, "")
    return int(text) if text.isdecimal() and len(text) <= _VERSION_DIGITS_MAX else 0


def imported_from(headers: Mapping[str, str]) -> int | None:
    """The position of an imported record in the log it comes from; None if it is of this one.

    Whoever wrote the header, the record is not acted on: a position that cannot be read is 0.
    """
    position = headers.get(IMPORTED_HEADER)
    if position is None:
        return None
    return int(position) if position.isdecimal() and len(position) <= _POSITION_DIGITS_MAX else 0


def stored_elsewhere_at(headers: Mapping[str, str]) -> datetime | None:
    """When the log that an imported record comes from stored it; None for any other record."""
    text = headers.get(STORED_AT_HEADER)
    if text is None or IMPORTED_HEADER not in headers:
        return None
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def position_of_read(message: Msg) -> int:
    """The position of the message in the answer to a direct get."""
    headers = message.headers or {}
    return position_of(partition_in(headers["Nats-Stream"]), int(headers["Nats-Sequence"]))


def time_of(headers: Mapping[str, str]) -> datetime:
    """When the message in the answer to a direct get was stored."""
    # Nanoseconds, of which datetime keeps the microseconds.
    text = headers["Nats-Time-Stamp"].removesuffix("Z")
    whole, _, fraction = text.partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00")


_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_POSITION_DIGITS_MAX = 18
_VERSION_DIGITS_MAX = 8
