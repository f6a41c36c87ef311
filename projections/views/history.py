"""A session's past: its records, and what it was after any of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.codec import fields_of
from offhook.errors import RecordUnreadable
from offhook.process.slices import Slices
from offhook.projections.views.commands import PlacingDial, command_rows, list_dials_of
from offhook.projections.views.event_log import (
    STORED,
    StoredRecord,
    event_log,
    read_records,
    read_stored,
)
from offhook.projections.views.fold import Folded, advanced
from offhook.projections.views.legs import leg_rows
from offhook.projections.views.sessions import (
    SessionDetail,
    call_session_of,
    detail_of,
    session_rows,
)
from offhook.projections.views.view import storable
from offhook.session import Session

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
    connection: AsyncConnection, session_id: str, *, after_seq: int = 0, limit: int = TIMELINE_MAX
) -> TimelinePage:
    """The session's records above `after_seq`, oldest first, at most `limit`.

    With those of the dials that placed its legs: they are stored under the session that dialled,
    which leads here too if it is a request of its own.
    """
    session_id = await call_session_of(connection, session_id)
    bounded = max(1, min(limit, TIMELINE_MAX))
    wanted = event_log.c.session_id == storable(session_id)
    dials = await list_dials_of(connection, session_id)
    wanted = or_(wanted, *map(_records_of_dial, dials))
    columns = [event_log.c[name] for name in STORED]
    # One more than wanted, to know whether there is one.
    page = (
        select(*columns)
        .where(wanted, event_log.c.seq > after_seq)
        .order_by(event_log.c.seq)
        .limit(bounded + 1)
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
        .limit(bounded)
    )
    rows = list(await connection.execute(query))
    entries: list[TimelineEntry] = []
    slices = Slices()
    for row in rows:
        entries.append(_entry(read_stored(**{name: getattr(row, name) for name in STORED})))
        await slices.yield_if_due()
    return TimelinePage(
        session_id=session_id,
        entries=entries,
        has_more=bool(rows) and rows[-1].next_seq is not None,
    )


async def read_session_as_of(
    connection: AsyncConnection, session_id: str, seq: int
) -> SessionDetail | None:
    """The session as it was once the record at `seq` was in. Raises RecordUnreadable.

    Before a requested dial had placed its call, the dial's own session is that.
    """
    call = await call_session_of(connection, session_id)
    until = event_log.c.seq <= seq
    folded = await _folded(connection, call, until)
    if not folded.is_call:
        call = session_id
        folded = await _folded(connection, call, until)
    if not (rows := session_rows(folded)):
        return None
    commands = command_rows(folded)
    for dial in await list_dials_of(connection, call):
        earlier = await _folded(connection, dial.session_id, _records_of_dial(dial), until)
        commands += [row for row in command_rows(earlier) if row.command_id == dial.command_id]
    return detail_of(rows[0], leg_rows(folded), commands)


async def read_seq_at(connection: AsyncConnection, session_id: str, at: datetime) -> int | None:
    """The stream sequence of the session's last record stored by `at`; None if there is none."""
    found = await connection.execute(
        select(func.max(event_log.c.seq)).where(
            event_log.c.session_id == storable(session_id), event_log.c.stored_at <= at
        )
    )
    seq: int | None = found.scalar_one()
    return seq


async def _folded(connection: AsyncConnection, session_id: str, *conditions: Any) -> Folded:
    """The fold of these records of the session. Raises RecordUnreadable."""
    folded = Folded(session=Session(session_id=session_id))
    own = event_log.c.session_id == storable(session_id)
    async for stored in read_records(connection, own, *conditions):
        if stored.record is None:
            raise RecordUnreadable(stored.error)
        folded = advanced(folded, stored.record)
    return folded


def _records_of_dial(dial: PlacingDial) -> "ColumnElement[bool]":
    # As `offhook.codec.fact_id_of` spells them; a decision's and an attempt's end with the worker.
    fact_id = event_log.c.fact_id
    return (event_log.c.session_id == dial.session_id) & or_(
        fact_id == f"request:dial:{dial.command_id}",
        fact_id == f"outcome:{dial.session_id}:{dial.command_id}",
        fact_id.startswith(f"attempt:{dial.session_id}:{dial.command_id}:", autoescape=True),
        fact_id.startswith(f"decided:{dial.session_id}:{dial.cause_seq}:", autoescape=True),
    )


def _entry(stored: StoredRecord) -> TimelineEntry:
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
