"""A session as it was at a moment of the past: its records until then, folded."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, false, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import RecordUnreadable
from offhook.position import partition_of
from offhook.projections.views.commands import PlacingDial, command_rows, list_dials_of
from offhook.projections.views.fold import Folded, advanced
from offhook.projections.views.legs import leg_rows
from offhook.projections.views.past.positions import read_time_of
from offhook.projections.views.sessions import (
    SessionDetail,
    SessionView,
    call_session_of,
    detail_of,
    read_session,
    session_rows,
    session_view,
)
from offhook.projections.views.stored.archive import log_of
from offhook.projections.views.stored.erasures import ERASED
from offhook.projections.views.stored.event_log import read_records
from offhook.projections.views.view import storable
from offhook.session import Session

AsOf = int | datetime
"""A moment of the past: a position, or a time by the log's clock. What is there was in then."""


async def read_session_as_of(
    connection: AsyncConnection, session_id: str, as_of: AsOf
) -> SessionDetail | None:
    """The session as it was at that moment. Raises RecordUnreadable.

    Before a requested dial had placed its call, the dial's own session is that. Of the session's
    records no more are read than were stored by then, and one.
    """
    call = await call_session_of(connection, session_id)
    log = await log_of_session(connection, call, session_id)
    folded = await _folded(connection, log, call, await stored_by(connection, log, call, as_of))
    if not folded.is_call and call != session_id:
        call = session_id
        folded = await _folded(connection, log, call, await stored_by(connection, log, call, as_of))
    if not (rows := session_rows(folded)):
        return await _erased_as_of(connection, session_id, as_of)
    commands = command_rows(folded)
    for dial in await list_dials_of(connection, call):
        until = await stored_by(connection, log, dial.session_id, as_of)
        earlier = await _folded(connection, log, dial.session_id, records_of_dial(log, dial), until)
        commands += [row for row in command_rows(earlier) if row.command_id == dial.command_id]
    # A row that was folded has no value where its type has a default, and JSON would lack it.
    return detail_of(replace(rows[0]), list(map(replace, leg_rows(folded))), commands)


async def _erased_as_of(
    connection: AsyncConnection, session_id: str, as_of: AsOf
) -> SessionDetail | None:
    """What is kept of an erased session, as in a list; None before its last record."""
    if not session_id.startswith(ERASED):
        return None
    found = await read_session(connection, session_id)
    at = as_of if isinstance(as_of, datetime) else await read_time_of(connection, as_of)
    if found is None or at is None or found.session.last_stored_at > at:
        return None
    return found


async def read_session_row_as_of(
    connection: AsyncConnection, session_id: str, at: datetime
) -> tuple[SessionView | None, int]:
    """The row of exactly that session at that time, and how many records were folded for it.

    A record that cannot be read ends the fold, and its error is the row's `fold_error`.
    """
    folded, count, error = await fold_session_as_of(connection, session_id, at)
    rows = [session_view(folded)] if error else session_rows(folded)
    return (replace(rows[0], fold_error=error) if rows else None), count


async def fold_session_as_of(
    connection: AsyncConnection, session_id: str, at: datetime
) -> tuple[Folded, int, str | None]:
    """The fold of exactly that session's records until then, their number, and an error.

    The error is that of the first record that cannot be read: it and what follows is not folded.
    """
    folded, count, error = Folded(session=Session(session_id=session_id)), 0, None
    log = await log_of(connection, [session_id])
    own = log.c.session_id == storable(session_id)
    until = await stored_by(connection, log, session_id, at)
    async for stored in read_records(connection, own, until, log=log):
        count += 1
        if stored.record is None:
            error = error or stored.error
        elif error is None:
            folded = advanced(folded, stored.record)
    return folded, count, error


async def _folded(
    connection: AsyncConnection, log: FromClause, session_id: str, *conditions: Any
) -> Folded:
    """The fold of these records of the session. Raises RecordUnreadable."""
    folded = Folded(session=Session(session_id=session_id))
    own = log.c.session_id == storable(session_id)
    async for stored in read_records(connection, own, *conditions, log=log):
        if stored.record is None:
            raise RecordUnreadable(stored.error)
        folded = advanced(folded, stored.record)
    return folded


async def log_of_session(connection: AsyncConnection, *session_ids: str) -> FromClause:
    """event_log with what is archived of these sessions and of the dials that placed them."""
    wanted = {*session_ids}
    for session_id in session_ids:
        wanted |= {dial.session_id for dial in await list_dials_of(connection, session_id)}
    return await log_of(connection, wanted)


async def stored_by(
    connection: AsyncConnection, log: FromClause, session_id: str, as_of: AsOf
) -> "ColumnElement[bool]":
    """The condition for the session's records that were in at that moment: its first ones.

    A position of another partition stands for the time of its record. The walk to the first record
    that is later ends there.
    """
    own = log.c.session_id == storable(session_id)
    if not isinstance(as_of, datetime):
        found = await connection.execute(select(log.c.seq).where(own).order_by(log.c.seq).limit(1))
        first = found.scalar_one_or_none()
        if first is None or partition_of(first) == partition_of(as_of):
            return log.c.seq <= as_of
        at = await read_time_of(connection, as_of)
        if at is None:
            return false()
        as_of = at
    found = await connection.execute(
        select(log.c.seq).where(own, log.c.stored_at > as_of).order_by(log.c.seq).limit(1)
    )
    later = found.scalar_one_or_none()
    return true() if later is None else log.c.seq < later


def records_of_dial(log: FromClause, dial: PlacingDial) -> "ColumnElement[bool]":
    # As `fact_id_of` of the codec spells them; a decision's and an attempt's end with the worker.
    fact_id = log.c.fact_id
    return (log.c.session_id == dial.session_id) & or_(
        fact_id == f"request:dial:{dial.command_id}",
        fact_id == f"outcome:{dial.session_id}:{dial.command_id}",
        fact_id.startswith(f"attempt:{dial.session_id}:{dial.command_id}:", autoescape=True),
        fact_id.startswith(f"decided:{dial.session_id}:{dial.cause_seq}:", autoescape=True),
    )
