"""Where the records of archived sessions are, and how they are read from there.

archive_segments     a row per segment file; `archived_at` is null while it is written, and
                     `given_up_at` unless it is lost for good
archived_sessions    a row per session and segment; `left_log_at` is null until the stream has let
                     go of its records

A session's records are in event_log or in a segment, never in both; what arrived after it was
archived is in event_log, and may be archived too, into a second segment.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    FromClause,
    Index,
    Integer,
    Table,
    Text,
    cast,
    func,
    select,
    text,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import ArchiveUnreadable, HistoryUnreadable, OperatorFault
from offhook.history.lines import HistoryRecord
from offhook.history.segments import Block, read_block
from offhook.position import partition_of, position_of
from offhook.projections.views.stored.event_log import StoredRecord, event_log, read_stored
from offhook.projections.views.view import metadata, storable

archive_segments = Table(
    "archive_segments",
    metadata,
    Column("name", Text, primary_key=True),
    Column("root", Text, nullable=False),  # a folder, or any URL of fsspec
    Column("begun_at", DateTime(timezone=True), nullable=False),
    Column("archived_at", DateTime(timezone=True)),
    Column("sha256", Text),
    Column("bytes", BigInteger),
    Column("records", BigInteger),
    Column("sessions", Integer),
    Column("first_seq", BigInteger),
    Column("last_seq", BigInteger),
    Column("given_up_at", DateTime(timezone=True)),
)

archived_sessions = Table(
    "archived_sessions",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("segment", Text, primary_key=True),
    Column("byte_offset", BigInteger, nullable=False),
    Column("byte_length", BigInteger, nullable=False),
    Column("records", Integer, nullable=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("repeated", ARRAY(BigInteger), nullable=False),  # see `segments.Block`
    Column("left_log_at", DateTime(timezone=True)),
    Index("archived_sessions_segment_index", "segment"),
    Index("archived_sessions_last_seq_index", "last_seq"),
    Index(
        "archived_sessions_in_log_index", "segment", postgresql_where=text("left_log_at IS NULL")
    ),
)

MOVING_LOCK = 0x0FF4A4C4
"""Held while rows of event_log are deleted because they are in a segment."""

REWRITTEN_TRIES = 3
"""A segment is replaced by another while a session is erased: its rows are then read again."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a session is archived."""

    root: str
    segment: str
    sha256: str | None  # of the file as it was written; unknown while it is being written
    block: Block


async def places_of(
    connection: AsyncConnection, session_ids: Collection[str]
) -> dict[str, list[Place]]:
    """Where each of these sessions is archived, oldest first; only of those that are."""
    if not session_ids:
        return {}
    found = await connection.execute(
        select(archived_sessions, archive_segments.c.root, archive_segments.c.sha256)
        .join(archive_segments, archive_segments.c.name == archived_sessions.c.segment)
        .where(archived_sessions.c.session_id.in_([storable(each) for each in session_ids]))
        .order_by(archived_sessions.c.first_seq)
    )
    places: dict[str, list[Place]] = {}
    for row in found:
        places.setdefault(row.session_id, []).append(
            Place(root=row.root, segment=row.segment, sha256=row.sha256, block=block_of(row))
        )
    return places


def block_of(row: Any) -> Block:
    """The block that a row of archived_sessions describes."""
    return Block(
        session_id=row.session_id,
        offset=row.byte_offset,
        length=row.byte_length,
        records=row.records,
        first_position=row.first_seq,
        last_position=row.last_seq,
        repeated=tuple(row.repeated),
    )


async def read_archived(connection: AsyncConnection, session_id: str) -> list[StoredRecord]:
    """The session's archived records in order of position; none if it is not archived.

    Repeated deliveries of an event are left out, as they are in event_log. Read event_log first: a
    session that is archived in between is then in both, and not in neither. Raises
    ArchiveUnreadable.
    """
    known: Sequence[Place] | None = None
    failed: ArchiveUnreadable | None = None
    for _ in range(REWRITTEN_TRIES):
        places = (await places_of(connection, [session_id])).get(session_id, [])
        if failed is not None and places == known:
            raise failed
        known = places
        try:
            return await asyncio.to_thread(_read_places, places)
        except (OperatorFault, HistoryUnreadable) as error:
            failed = ArchiveUnreadable(
                f"session {session_id} is archived, and its file cannot be read: {error}"
            )
    assert failed is not None
    raise failed


async def log_of(connection: AsyncConnection, session_ids: Collection[str]) -> FromClause:
    """event_log, with the archived records of these sessions as further rows.

    Until the transaction ends no session is archived: its records would be in neither. Raises
    ArchiveUnreadable.
    """
    await connection.execute(
        text("select pg_advisory_xact_lock_shared(:key)"), {"key": MOVING_LOCK}
    )
    archived: list[StoredRecord] = []
    for session_id in await places_of(connection, session_ids):
        archived += await read_archived(connection, session_id)
    if not archived:
        return event_log
    rows = [each.row() for each in archived]
    columns = [
        func.unnest(cast([row[column.name] for row in rows], ARRAY(column.type))).label(column.name)
        for column in event_log.columns
    ]
    return union_all(select(event_log), select(*columns)).subquery("log")


async def archived_after(connection: AsyncConnection, positions: Sequence[int]) -> bool:
    """Whether the archive has a record after one of these positions, in its partition."""
    found = await connection.execute(
        text(
            "select exists (select from unnest(cast(:after as bigint[]), cast(:until as bigint[]))"
            " as place (after, until) join archived_sessions"
            " on last_seq > place.after and last_seq < place.until)"
        ),
        {
            "after": list(positions),
            "until": [position_of(partition_of(each) + 1, 0) for each in positions],
        },
    )
    return bool(found.scalar_one())


async def archived_ids(connection: AsyncConnection) -> AsyncIterator[str]:
    """Every archived session, once, in order of id, a thousand at a time: for a rebuild."""
    after = ""
    while True:
        found = await connection.execute(
            select(archived_sessions.c.session_id)
            .where(archived_sessions.c.session_id > after)
            .distinct()
            .order_by(archived_sessions.c.session_id)
            .limit(_PAGE)
        )
        page: Sequence[str] = found.scalars().all()
        for session_id in page:
            yield session_id
        if len(page) < _PAGE:
            return
        after = page[-1]


def stored_from(record: HistoryRecord) -> StoredRecord:
    """The record as event_log would have it."""
    return read_stored(
        seq=record.position,
        session_id=record.session_id,
        side=record.side,
        type=record.type,
        version=record.version,
        stored_at=record.stored_at,
        body=record.body,
        headers=record.headers,
    )


def _read_places(places: Sequence[Place]) -> list[StoredRecord]:
    found: list[StoredRecord] = []
    for place in places:
        repeated = frozenset(place.block.repeated)
        found += [
            stored_from(record)
            for record in read_block(place.root, place.segment, place.block)
            if record.position not in repeated
        ]
    return found


_PAGE = 1_000
