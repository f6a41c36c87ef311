"""What came into the views after a position of a partition: for readers that follow the log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.process.slices import Slices
from offhook.projections.views.past.timeline import TimelineEntry, entry_of, page_of
from offhook.projections.views.sessions import sessions
from offhook.projections.views.stored.archive import log_of
from offhook.projections.views.stored.event_log import STORED, event_log, read_stored
from offhook.projections.views.view import storable

CHANGES_MAX = 500
"""Records that are read at once."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A record, and what its session is listed by when it is read; null is not known yet."""

    entry: TimelineEntry
    connection_id: str | None
    from_number: str | None
    to_number: str | None
    status: str | None
    ended_at: datetime | None
    up_until: datetime | None


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The first changes after a position, and whether more of them are in the views already."""

    changes: Sequence[Change]
    has_more: bool


async def read_changes(
    connection: AsyncConnection, after: int, until: int, session_id: str | None
) -> Changes:
    """The records of one partition above `after`, up to `until`, in order; of one session only.

    Of one session the archived ones too. Of all they are missing: see `archived_after`.
    """
    log = event_log if session_id is None else await log_of(connection, [session_id])
    wanted = (log.c.seq > after) & (log.c.seq <= until)
    if session_id is not None:
        wanted &= log.c.session_id == storable(session_id)
    rows = await page_of(connection, wanted, CHANGES_MAX, log)
    ids = sorted({row.session_id for row in rows})
    columns = [sessions.c[name] for name in _LISTED_BY]
    found = await connection.execute(
        select(sessions.c.session_id, *columns).where(sessions.c.session_id.in_(ids))
    )
    listed_by = {row.session_id: {name: getattr(row, name) for name in _LISTED_BY} for row in found}
    changes: list[Change] = []
    slices = Slices()
    for row in rows:
        stored = read_stored(**{name: getattr(row, name) for name in STORED})
        by = listed_by.get(stored.session_id, _UNKNOWN)
        changes.append(Change(entry=entry_of(stored), **by))
        await slices.yield_if_due()
    return Changes(changes=changes, has_more=bool(rows) and rows[-1].next_seq is not None)


_LISTED_BY = ("connection_id", "from_number", "to_number", "status", "ended_at", "up_until")
_UNKNOWN: Mapping[str, Any] = dict.fromkeys(_LISTED_BY)
