"""A record of the log ↔ a line of JSON. Lossless and pure; the format is docs/decisions/0027.

    {"v":1,"position":7,"session":"…","side":"in","type":"WebhookReceived","version":1,
     "stored_at":"2026-11-22T10:00:00.123456Z","id":"…","headers":{"telnyx-timestamp":"…"},
     "body":"…"}

`body` is the text of the stored bytes if they are UTF-8; else `body_base64` takes its place. A line
that has a field of a later version is refused: it would be lost on the way back into a log.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from offhook.errors import HistoryUnreadable, shown

FORMAT = 1
"""The `v` of each line. Raise it when a field is added or its meaning changes."""


@dataclass(frozen=True, kw_only=True)
class HistoryRecord:
    """A record as the log has it, nothing decoded."""

    position: int  # in the log it was read from (`offhook.position`)
    session_id: str
    side: str  # in, out; empty for a subject of no known shape
    type: str
    version: int  # 0 if its header was missing or no number
    stored_at: datetime  # the log's clock
    body: bytes
    fact_id: str = ""  # what makes the fact unique in its session; empty if nothing does
    headers: Mapping[str, str] = field(default_factory=dict)  # those that no other field holds


PlacedRecord = tuple[str, HistoryRecord]
"""A record, and where in a file it was found: "FILE, line 7"."""


def line_of(record: HistoryRecord) -> bytes:
    """The record as one line, with the newline at its end."""
    try:
        text, base64_text = record.body.decode(), None
    except UnicodeDecodeError:
        text, base64_text = None, base64.b64encode(record.body).decode()
    line = _Line(
        v=FORMAT,
        position=record.position,
        session=record.session_id,
        side=_side(record.side),
        type=record.type,
        version=record.version,
        stored_at=record.stored_at.astimezone(UTC),
        id=record.fact_id,
        headers=dict(record.headers),
        body=text,
        body_base64=base64_text,
    )
    return _ENCODER.encode(line) + b"\n"


def record_from(line: bytes) -> HistoryRecord:
    """The record in a line. Raises HistoryUnreadable, which names what is wrong."""
    try:
        found = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HistoryUnreadable(_why_not(line, error)) from error
    if found.v != FORMAT:
        raise HistoryUnreadable(_other_format(found.v))
    try:
        stored_at = found.stored_at.astimezone(UTC)
    except OverflowError as error:
        raise HistoryUnreadable(
            f"stored_at is {found.stored_at.isoformat()}, which is no time in UTC"
        ) from error
    return HistoryRecord(
        position=found.position,
        session_id=found.session,
        side=found.side,
        type=found.type,
        version=found.version,
        stored_at=stored_at,
        fact_id=found.id,
        headers=found.headers,
        body=_body(found),
    )


class _Line(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    v: int
    position: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    session: str
    side: Literal["in", "out", ""]
    type: str
    version: Annotated[int, msgspec.Meta(ge=0)]
    stored_at: Annotated[datetime, msgspec.Meta(tz=True)]
    id: str = ""
    headers: dict[str, str] = {}
    body: str | None = None
    body_base64: str | None = None


class _Format(msgspec.Struct):
    v: int


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_Line)


def _side(side: str) -> Literal["in", "out", ""]:
    match side:
        case "in" | "out" | "":
            return side
        case _:
            raise ValueError(f"side is {side!r}; expected 'in', 'out' or ''")


def _body(line: _Line) -> bytes:
    match line.body, line.body_base64:
        case str(text), None:
            return text.encode()
        case None, str(text):
            try:
                return base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError) as error:
                raise HistoryUnreadable(f"body_base64 is not base64: {error}") from error
        case _:
            raise HistoryUnreadable("expected either body or body_base64")


def _why_not(line: bytes, error: Exception) -> str:
    """Of a line in a later format only that counts: its fields may be anything."""
    try:
        found = msgspec.json.decode(line, type=_Format).v
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = FORMAT
    if found != FORMAT:
        return _other_format(found)
    return f"{shown(line[:200])} is not a line of history: {error}"


def _other_format(found: int) -> str:
    return (
        f"a line has format v {found}; this version of Offhook reads v {FORMAT}:"
        " use the version that wrote it, or a later one"
    )
