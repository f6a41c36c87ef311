"""The time of a position, even if its record was archived or erased since."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.position import partition_of, position_of
from offhook.projections.views.sessions import sessions
from offhook.projections.views.stored.archive import places_of, read_archived
from offhook.projections.views.stored.event_log import event_log

NEIGHBOURS_MAX = 200
"""Sessions of the partition that began last before the position: the record is probably of one."""


async def read_time_of(connection: AsyncConnection, position: int) -> datetime | None:
    """When the record at that position was stored, else the last known one before it.

    Both in its partition; None if there is neither.
    """
    first = position_of(partition_of(position), 0)
    at = event_log.c
    found = await connection.execute(
        select(at.seq, at.stored_at)
        .where(at.seq >= first, at.seq <= position)
        .order_by(at.seq.desc())
        .limit(1)
    )
    known: list[tuple[int, datetime]] = [(row.seq, row.stored_at) for row in found]
    if known and known[0][0] == position:
        return known[0][1]
    row_of = sessions.c
    neighbours = await connection.execute(
        select(
            row_of.session_id,
            row_of.first_seq,
            row_of.first_stored_at,
            row_of.last_seq,
            row_of.last_stored_at,
        )
        .where(row_of.first_seq >= first, row_of.first_seq <= position)
        .order_by(row_of.first_seq.desc())
        .limit(NEIGHBOURS_MAX)
    )
    went_on: list[str] = []
    for row in neighbours:
        known.append((row.first_seq, row.first_stored_at))
        if row.last_seq <= position:
            known.append((row.last_seq, row.last_stored_at))
        else:
            went_on.append(row.session_id)
    if position not in (seq for seq, _ in known):
        for session_id in await places_of(connection, went_on):
            archived = await read_archived(connection, session_id)
            known += [(each.seq, each.stored_at) for each in archived if each.seq <= position]
            if known[-1][0] == position:
                break
    return max(known)[1] if known else None
