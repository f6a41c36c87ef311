"""A session's timeline: its records with those of the dials that placed it, page by page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, FromClause, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.codec.facts import fields_of
from offhook.position import BIGINT_MAX, position_of
from offhook.process.slices import Slices
from offhook.projections.views.commands import list_dials_of
from offhook.projections.views.past.session_as_of import (
    AsOf,
    log_of_session,
    records_of_dial,
    stored_by,
)
from offhook.projections.views.sessions import call_session_of
from offhook.projections.views.stored.event_log import STORED, StoredRecord, event_log, read_stored
from offhook.projections.views.view import storable

_PARTITION = position_of(1, 0)

TIMELINE_MAX = 1_000
TIMELINE_BYTES_MAX = 8 * 1024 * 1024
"""Of the records on a page, but for the last one."""


@dataclass(frozen=True, kw_only=True)
class TimelineEntry:
    """A record of the log. `error` says why `fields` is empty, if the record cannot be read."""

    seq: int
    session_id: str
    side: str
    type: str
    version: int
    stored_at: datetime
    fact_id: str
    fields: Mapping[str, Any]
    error: str


@dataclass(frozen=True, kw_only=True)
class TimelinePage:
    """A page of a timeline; the next one begins after its last record."""

    session_id: str  # of the call, if a dial that placed it was asked for
    entries: Sequence[TimelineEntry]
    has_more: bool


async def read_timeline(
    connection: AsyncConnection,
    session_id: str,
    *,
    after_seq: int = 0,
    before_seq: int | None = None,
    limit: int = TIMELINE_MAX,
    as_of: AsOf | None = None,
) -> TimelinePage:
    """The session's records that follow the one at `after_seq`, oldest first, at most `limit`.

    With `before_seq` instead, the last ones before that position; BIGINT_MAX is behind all of them.

    With those of the dials that placed its legs: they are stored under the session that dialled,
    which leads here too if it is a request of its own. The session's own records are in the order
    of their positions, and those of its dials, which may be in another partition, among them by
    time. What is stored while pages are read moves no record to another page.
    """
    session_id = await call_session_of(connection, session_id)
    bounded = max(1, min(limit, TIMELINE_MAX))
    log = await log_of_session(connection, session_id)
    own = log.c.session_id == storable(session_id)
    if as_of is not None:
        own &= await stored_by(connection, log, session_id, as_of)
    dialled = await _dialled(connection, log, session_id, as_of)
    is_followed = False
    if before_seq is not None:
        place = next((at for at, each in enumerate(dialled) if each.seq == before_seq), None)
        until = before_seq if place is None else dialled[place].before_seq
        later = own & (log.c.seq >= until)
        own &= log.c.seq < until
        earlier = [each for each in dialled[:place] if each.before_seq <= until]
        is_followed = len(earlier) < len(dialled) or await _newest(connection, log, later) > 0
        dialled = earlier
        after_seq = max(0, await _newest(connection, log, own, bounded - 1) - 1)
    read = next((place for place, each in enumerate(dialled) if each.seq == after_seq), None)
    if read is None:
        own &= log.c.seq > after_seq
        dialled = [each for each in dialled if each.before_seq > after_seq]
    else:
        own &= log.c.seq >= dialled[read].before_seq
        dialled = dialled[read + 1 :]
    rows = await page_of(connection, own, bounded, log)
    next_seq = rows[-1].next_seq if rows else None
    until = BIGINT_MAX if next_seq is None else next_seq
    merged = sorted(
        [
            *((row.seq, True, 0, row) for row in rows),
            *(
                (each.before_seq, False, place, each.row)
                for place, each in enumerate(dialled)
                if each.before_seq <= until
            ),
        ],
        key=lambda each: each[:3],
    )
    entries: list[TimelineEntry] = []
    size = 0
    slices = Slices()
    page = merged[:bounded] if before_seq is None else merged[-bounded:]
    for *_, row in page:
        if size >= TIMELINE_BYTES_MAX:
            break
        entries.append(entry_of(read_stored(**{name: getattr(row, name) for name in STORED})))
        size += len(row.body)
        await slices.yield_if_due()
    is_cut = len(entries) < (len(merged) if before_seq is None else len(page))
    return TimelinePage(
        session_id=session_id,
        entries=entries,
        has_more=next_seq is not None or is_cut or is_followed,
    )


async def _newest(
    connection: AsyncConnection, log: FromClause, wanted: "ColumnElement[bool]", place: int = 0
) -> int:
    """The position of the newest of these records, or the one at a place before it; 0 if none."""
    query = select(log.c.seq).where(wanted).order_by(log.c.seq.desc()).offset(place).limit(1)
    return (await connection.execute(query)).scalar_one_or_none() or 0


class _Dialled(NamedTuple):
    """A record of a dial of another session, and its place: ahead of which of the call's own."""

    seq: int
    before_seq: int  # BIGINT_MAX behind all of them
    stored_at: datetime
    row: Any


async def _dialled(
    connection: AsyncConnection, log: FromClause, session_id: str, as_of: AsOf | None
) -> list[_Dialled]:
    """The records of the dials that placed the session's legs, in their order in the timeline."""
    dials = await list_dials_of(connection, session_id)
    if not dials:
        return []
    wanted = or_(*(records_of_dial(log, dial) for dial in dials))
    if as_of is not None:
        for dialling in {dial.session_id for dial in dials}:
            elsewhere = log.c.session_id != dialling
            wanted &= elsewhere | await stored_by(connection, log, dialling, as_of)
    own = log.alias()
    is_same = own.c.seq // _PARTITION == log.c.seq // _PARTITION
    is_later = own.c.stored_at > log.c.stored_at
    before = (
        select(own.c.seq)
        .where(
            own.c.session_id == storable(session_id),
            or_(is_same & (own.c.seq > log.c.seq), ~is_same & is_later),
        )
        .order_by(own.c.seq)
        .limit(1)
        .correlate(log)
        .scalar_subquery()
    )
    columns = [log.c[name] for name in STORED]
    found = await connection.execute(
        select(*columns, func.coalesce(before, BIGINT_MAX).label("before_seq"))
        .where(wanted)
        .order_by(log.c.stored_at, log.c.seq)
        .limit(TIMELINE_MAX)
    )
    return sorted(
        (_Dialled(row.seq, row.before_seq, row.stored_at, row) for row in found),
        key=lambda each: (each.before_seq, each.stored_at, each.seq),
    )


async def page_of(
    connection: AsyncConnection,
    wanted: "ColumnElement[bool]",
    limit: int,
    log: FromClause = event_log,
) -> Sequence[Any]:
    """The first records, at most `limit` and no more than TIMELINE_BYTES_MAX and one.

    Each row has the columns of STORED, and `next_seq`, null if no record follows.
    """
    # One more than wanted, to know whether there is one.
    page = (
        select(*(log.c[name] for name in STORED))
        .where(wanted)
        .order_by(log.c.seq)
        .limit(limit + 1)
        .subquery()
    )
    size = func.octet_length(page.c.body)
    sized = select(
        page,
        (func.sum(size).over(order_by=page.c.seq) - size).label("bytes_before"),
        func.lead(page.c.seq).over(order_by=page.c.seq).label("next_seq"),
    ).subquery()
    query = (
        select(sized)
        .where(sized.c.bytes_before < TIMELINE_BYTES_MAX)
        .order_by(sized.c.seq)
        .limit(limit)
    )
    return list(await connection.execute(query))


def entry_of(stored: StoredRecord) -> TimelineEntry:
    """The record as it is shown."""
    record = stored.record
    return TimelineEntry(
        seq=stored.seq,
        session_id=stored.session_id,
        side=stored.side,
        type=stored.type,
        version=stored.version,
        stored_at=stored.stored_at,
        fact_id=record.fact_id if record is not None else "",
        fields=fields_of(record.fact) if record is not None else {},
        error=stored.error,
    )
