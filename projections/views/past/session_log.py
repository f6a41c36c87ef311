"""A session's own records, and one record of its timeline, as the log has them."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import RecordUnreadable
from offhook.events import Record
from offhook.history.selection import Selection
from offhook.process.slices import Slices
from offhook.projections.views.commands import list_dials_of
from offhook.projections.views.past.selected_records import select_records
from offhook.projections.views.past.session_as_of import (
    AsOf,
    log_of_session,
    records_of_dial,
    stored_by,
)
from offhook.projections.views.past.timeline import page_of
from offhook.projections.views.sessions import call_session_of
from offhook.projections.views.stored.event_log import STORED, StoredRecord, read_stored
from offhook.projections.views.view import storable

OWN_RECORDS_MAX = 1_000


@dataclass(frozen=True, kw_only=True)
class OwnRecords:
    """The session's first records that can be read, in order of position."""

    session_id: str  # of the call, if a dial that placed it was asked for
    records: Sequence[Record]
    has_more: bool


async def read_own_records(
    connection: AsyncConnection, session_id: str, as_of: AsOf | None = None
) -> OwnRecords:
    """At most OWN_RECORDS_MAX, and 8 MiB, of the session; without those of dials elsewhere."""
    session_id = await call_session_of(connection, session_id)
    log = await log_of_session(connection, session_id)
    own = log.c.session_id == storable(session_id)
    if as_of is not None:
        own &= await stored_by(connection, log, session_id, as_of)
    rows = await page_of(connection, own, OWN_RECORDS_MAX, log)
    records: list[Record] = []
    slices = Slices()
    for row in rows:
        stored = read_stored(**{name: getattr(row, name) for name in STORED})
        if stored.record is not None:
            records.append(stored.record)
        await slices.yield_if_due()
    has_more = bool(rows) and rows[-1].next_seq is not None
    return OwnRecords(session_id=session_id, records=records, has_more=has_more)


async def read_whole_session(connection: AsyncConnection, session_id: str) -> list[Record]:
    """All of the session's records, also those in the archive, in order of position.

    Raises RecordUnreadable, and OperatorFault if a file of the archive cannot be read.
    """
    records: list[Record] = []
    async for each in select_records(connection, Selection(sessions=(session_id,))):
        stored = read_stored(
            seq=each.position,
            session_id=each.session_id,
            side=each.side,
            type=each.type,
            version=each.version,
            stored_at=each.stored_at,
            body=each.body,
        )
        if stored.record is None:
            raise RecordUnreadable(stored.error)
        records.append(stored.record)
    return records


async def read_record(
    connection: AsyncConnection, session_id: str, position: int
) -> StoredRecord | None:
    """The record of the session's timeline at that position, with its headers; None without one.

    `headers` is None if an earlier version copied the record without them: ask the log then.
    """
    session_id = await call_session_of(connection, session_id)
    log = await log_of_session(connection, session_id)
    dials = await list_dials_of(connection, session_id)
    is_in = or_(
        log.c.session_id == storable(session_id),
        *(records_of_dial(log, dial) for dial in dials),
    )
    found = await connection.execute(
        select(*(log.c[name] for name in (*STORED, "headers"))).where(log.c.seq == position, is_in)
    )
    if (row := found.one_or_none()) is None:
        return None
    values = dict(row._mapping)
    if values["headers"] is not None:
        values["headers"] = msgspec.json.decode(values["headers"], type=dict[str, str])
    return read_stored(**values)
