"""The copy of the log: each event id once, with its raw bytes, to fold the views from again.

Nothing that was stored is ever refused: a record that cannot be read is here all the same.
"""

import hashlib
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    FromClause,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    false,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.codec.facts import decode_record
from offhook.events import Record, WebhookReceived
from offhook.position import PARTITIONS_MAX, SEQ_MAX, partition_of, position_of, position_text
from offhook.process.slices import Slices
from offhook.projections.views.view import metadata, storable

CLOCK_STEP_MAX = timedelta(days=1)
"""How far the log's clock may have been set back within a session."""

INDEXED_CHARS_MAX = 200
"""An index entry holds 2.7 kB; the carrier's ids have 36 characters, longer ones are hashed."""

event_log = Table(
    "event_log",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("session_id", Text, nullable=False),
    Column("side", Text, nullable=False),  # in, out; empty for a subject of no known shape
    Column("type", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("fact_id", Text),
    Column("event_id", Text),  # the carrier's, of webhooks only
    Column("occurred_at", DateTime(timezone=True)),  # the carrier's clock
    Column("stored_at", DateTime(timezone=True), nullable=False),  # the log's clock
    Column("body", LargeBinary, nullable=False),  # the bytes as they are in the log
    # As JSON: `lasting_headers`. Null if an earlier version copied the record: ask the log then.
    Column("headers", Text),
    Index("event_log_session_id_seq_index", "session_id", "seq"),
    Index("event_log_event_id_key", "event_id", unique=True),
    Index("event_log_stored_at_index", "stored_at"),
)

FETCHED_MAX = 500
"""Rows that `read_records` has in memory."""

STORED = ("seq", "session_id", "side", "type", "version", "stored_at", "body")
"""The columns that a fold needs; the others are made from them, but for the headers."""


@dataclass(frozen=True, kw_only=True)
class StoredRecord:
    """A record as it is stored. `record` is None if it cannot be read, and `error` says why."""

    seq: int  # its position (`offhook.position`)
    session_id: str
    side: str
    type: str
    version: int
    stored_at: datetime
    body: bytes
    headers: Mapping[str, str] | None = None  # None if they were not read
    record: Record | None = None
    error: str = ""

    def row(self) -> dict[str, Any]:
        """Its row in event_log."""
        fact_id = event_id = occurred_at = None
        if self.record is not None:
            fact_id = storable(self.record.fact_id) or None
        if self.record is not None and isinstance(self.record.fact, WebhookReceived):
            event_id = event_id_of(self)
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
            "headers": None if self.headers is None else headers_text(self.headers),
        }


def read_stored(
    *,
    seq: int,
    session_id: str,
    side: str,
    type: str,
    version: int,
    stored_at: datetime,
    body: bytes,
    headers: Mapping[str, str] | None = None,
) -> StoredRecord:
    """The record with its content, as far as this version can read it. Raises nothing."""
    record, error = None, ""
    try:
        record = decode_record(
            type, version, body, position=seq, session_id=session_id, stored_at=stored_at
        )
    except Exception as raised:
        # Whatever it is, only this session must suffer from it; the error is kept and shown.
        error = f"seq {position_text(seq)}: {type} version {version}: {raised!r}"
    return StoredRecord(
        seq=seq,
        session_id=session_id,
        side=side,
        type=type,
        version=version,
        stored_at=stored_at,
        body=body,
        headers=headers,
        record=record,
        error=error,
    )


def headers_text(headers: Mapping[str, str]) -> str:
    """Headers as the column holds them: text, because jsonb takes no NUL."""
    return msgspec.json.encode(headers).decode() if headers else _NO_HEADERS


_NO_HEADERS = "{}"


def indexable(text: str) -> str | None:
    """`text` as a key: None if empty, a hash if it is long or holds a NUL."""
    if not text:
        return None
    if len(text) <= INDEXED_CHARS_MAX and "\0" not in text:
        return text
    return "sha256-" + hashlib.sha256(text.encode()).hexdigest()


def event_id_of(stored: StoredRecord) -> str | None:
    """The carrier's id of the event, as event_log has it; None for other records."""
    record = stored.record
    if record is None or not isinstance(record.fact, WebhookReceived):
        return None
    return indexable(record.fact.event.event_id)


async def read_records(
    connection: AsyncConnection, *conditions: Any, log: FromClause
) -> AsyncIterator[StoredRecord]:
    """The records that meet the conditions, in order of seq.

    `log` is event_log, or what `archive.log_of` returns; the conditions are on its columns.

    Fetched in parts and decoded one by one: those of a long call are never all in memory.
    """
    query = select(*(log.c[name] for name in STORED)).where(*conditions).order_by(log.c.seq)
    slices = Slices()
    async for row in await connection.stream(query, execution_options={"yield_per": FETCHED_MAX}):
        yield read_stored(**row._mapping)
        await slices.yield_if_due()


async def read_time_at(connection: AsyncConnection, position: int) -> datetime | None:
    """When the record at that position was stored, else the last one before it in its partition.

    None if there is neither.
    """
    found = await connection.execute(
        select(event_log.c.stored_at)
        .where(
            event_log.c.seq <= position,
            event_log.c.seq >= position_of(partition_of(position), 0),
        )
        .order_by(event_log.c.seq.desc())
        .limit(1)
    )
    return found.scalar_one_or_none()


def newest_first(table: "FromClause") -> "tuple[ColumnElement[Any], ColumnElement[Any]]":
    """The order of a list over many sessions, by the first record of each row."""
    return table.c.first_stored_at.desc(), table.c.first_seq.desc()


async def older_than(
    connection: AsyncConnection, table: Table, before_seq: int
) -> "ColumnElement[bool]":
    """The condition for the rows of a list that follow the one whose first record is there.

    If no row has it, the list goes on with what was stored before that position.
    """
    if before_seq >= position_of(PARTITIONS_MAX - 1, SEQ_MAX):
        return true()
    found = await connection.execute(
        select(table.c.first_stored_at).where(table.c.first_seq == before_seq).limit(1)
    )
    at = found.scalar_one_or_none() or await read_time_at(connection, before_seq)
    if at is None:
        return false()
    return tuple_(table.c.first_stored_at, table.c.first_seq) < tuple_(
        literal(at, DateTime(timezone=True)), literal(before_seq, BigInteger)
    )


async def read_with_headers(
    connection: AsyncConnection, session_ids: Collection[str]
) -> dict[str, list[StoredRecord]]:
    """The records of each session with their headers, in order of seq, all at once."""
    found = await connection.execute(
        select(*(event_log.c[name] for name in (*STORED, "headers")))
        .where(event_log.c.session_id.in_(session_ids))
        .order_by(event_log.c.seq)
    )
    records: dict[str, list[StoredRecord]] = {each: [] for each in session_ids}
    slices = Slices()
    for row in found:
        values = dict(row._mapping)
        if values["headers"] is not None:
            values["headers"] = msgspec.json.decode(values["headers"])
        records[row.session_id].append(read_stored(**values))
        await slices.yield_if_due()
    return records


async def read_event_ids(connection: AsyncConnection) -> set[str]:
    """The carrier's event ids in the log, all of them: for a demo, or a test."""
    found = await connection.execute(
        select(event_log.c.event_id).where(event_log.c.event_id.is_not(None))
    )
    return set(found.scalars())


async def read_times_of_facts(connection: AsyncConnection) -> Mapping[int, datetime]:
    """When each record from outside was stored, by sequence, all of them: for a demo, or a test."""
    found = await connection.execute(
        select(event_log.c.seq, event_log.c.stored_at).where(event_log.c.side == "in")
    )
    return {row.seq: row.stored_at for row in found}
