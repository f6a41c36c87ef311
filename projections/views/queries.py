"""What the API reads. Each function takes a connection and returns plain values.

Take the checkpoint first, then the rows: the rows are then at least as new as it says.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.codec import fields_of
from offhook.errors import RecordUnreadable
from offhook.phone_numbers import spellings
from offhook.process.slices import Slices
from offhook.projections.views.arrivals import Arrival, read_stored
from offhook.projections.views.fold import Folded, advanced
from offhook.projections.views.rows import Rows, rows_of, storable
from offhook.projections.views.tables import commands, event_log, legs, parked_sessions, sessions
from offhook.projections.views.types import (
    CommandView,
    LegPage,
    LegView,
    SessionDetail,
    SessionFilter,
    SessionView,
    TimelineEntry,
    TimelinePage,
)
from offhook.projections.views.up import session_at
from offhook.session import Session

PAGE_MAX = 250
TIMELINE_MAX = 1_000
TIMELINE_BYTES_MAX = 8 * 1024 * 1024
"""Of the records on a page, but for the last one."""

DIALS_MAX = 100


async def read_session(connection: AsyncConnection, session_id: str) -> SessionDetail | None:
    """The session as the views have it; None if there is none.

    A dial that was requested on its own has a session of its own: that leads to the call it placed,
    whose commands have the dial among them.
    """
    session_id = await call_session_of(connection, session_id)
    found = await connection.execute(
        _sessions().where(sessions.c.session_id == storable(session_id))
    )
    row = found.one_or_none()
    if row is None:
        return None
    own = commands.c.session_id == row.session_id
    return SessionDetail(
        session=SessionView(**row._mapping),
        legs=_in_order_of_start(await _legs(connection, legs.c.session_id == row.session_id)),
        commands=_in_order_of_decision(
            await _commands(connection, or_(own, commands.c.answer_session_id == row.session_id))
        ),
    )


async def read_session_as_of(
    connection: AsyncConnection, session_id: str, seq: int
) -> SessionDetail | None:
    """The session as it was once the record at `seq` was in. Raises RecordUnreadable.

    Before a requested dial had placed its call, the dial's own session is that.
    """
    call = await call_session_of(connection, session_id)
    until = event_log.c.seq <= seq
    rows = await _rows_as_of(connection, call, until)
    if not rows.sessions:
        call = session_id
        rows = await _rows_as_of(connection, call, until)
    if not rows.sessions:
        return None
    dials = await _dials_of(connection, call)
    told = list(rows.commands)
    for dial in dials:
        earlier = await _rows_as_of(connection, dial.session_id, _records_of_dial(dial), until)
        told += [row for row in earlier.commands if row["command_id"] == dial.command_id]
    return SessionDetail(
        session=SessionView(**rows.sessions[0]),
        legs=_in_order_of_start([LegView(**row) for row in rows.legs]),
        commands=_in_order_of_decision([CommandView(**row) for row in told]),
    )


async def call_session_of(connection: AsyncConnection, session_id: str) -> str:
    """The session of the call that a requested dial placed; any other session is its own."""
    dialling = sessions.alias()
    placed = sessions.alias()
    found = await connection.execute(
        select(commands.c.answer_session_id)
        .join(dialling, dialling.c.session_id == commands.c.session_id)
        .join(placed, placed.c.session_id == commands.c.answer_session_id)
        .where(commands.c.session_id == storable(session_id), dialling.c.leg_count == 0)
        .distinct()
        .limit(2)
    )
    calls: Sequence[str] = found.scalars().all()
    return calls[0] if len(calls) == 1 else session_id


async def list_sessions(
    connection: AsyncConnection,
    wanted: SessionFilter,
    *,
    limit: int,
    now: datetime,
    before_seq: int | None = None,
) -> list[SessionView]:
    """At most `limit` sessions, newest first. The next page is before the last one's first_seq.

    What has no leg is a command, or a conference, rather than a call: only asked for by its status.
    Unless something is wrong with it.
    """
    conditions = {
        sessions.c.connection_id: wanted.connection_id,
    }
    numbers = {
        sessions.c.from_number: wanted.from_number,
        sessions.c.to_number: wanted.to_number,
    }
    query = _sessions().order_by(sessions.c.first_seq.desc()).limit(_bounded(limit))
    if wanted.status is None:
        is_wrong = sessions.c.parked | parked_sessions.c.error.is_not(None)
        query = query.where((sessions.c.status != "empty") | is_wrong)
    for column, value in conditions.items():
        if value is not None:
            query = query.where(column == storable(value))
    for column, number in numbers.items():
        if number is not None:
            query = query.where(column.in_(sorted(map(storable, spellings(number)))))
    if wanted.status is not None:
        query = query.where(_has_status(wanted.status, now))
    if wanted.started_from is not None:
        query = query.where(sessions.c.started_at >= wanted.started_from)
    if wanted.started_before is not None:
        query = query.where(sessions.c.started_at < wanted.started_before)
    if before_seq is not None:
        query = query.where(sessions.c.first_seq < before_seq)
    found = await connection.execute(query)
    return [session_at(SessionView(**row._mapping), now) for row in found]


def _has_status(status: str, now: datetime) -> "ColumnElement[bool]":
    """By `up`: what was active is ended once the carrier's limit has passed."""
    is_up = sessions.c.up_until > now
    match status:
        case "active":
            return and_(sessions.c.status == status, is_up)
        case "ended":
            lost = and_(sessions.c.status == "active", is_up.is_not(True))
            return or_(sessions.c.status == status, lost)
        case _:
            return sessions.c.status == status


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
    dials = await _dials_of(connection, session_id)
    wanted = or_(wanted, *map(_records_of_dial, dials))
    columns = [event_log.c[name] for name in _STORED]
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
        entries.append(_entry(read_stored(**{name: getattr(row, name) for name in _STORED})))
        await slices.yield_if_due()
    return TimelinePage(entries=entries, has_more=bool(rows) and rows[-1].next_seq is not None)


async def read_commands(connection: AsyncConnection, command_id: str) -> list[CommandView]:
    """The commands of that id, the latest first: it is unique only for one leg, or among dials."""
    found = await _commands(connection, commands.c.command_id == storable(command_id))
    return sorted(found, key=lambda command: -command.last_seq)


async def read_leg(connection: AsyncConnection, call_control_id: str) -> LegView | None:
    """The leg. Where events without a session id put it in several sessions, the fullest."""
    found = await _legs(connection, legs.c.call_control_id == storable(call_control_id))
    return max(found, key=lambda leg: (leg.state != "unseen", leg.last_seq), default=None)


async def list_active_legs(
    connection: AsyncConnection,
    connection_id: str,
    *,
    now: datetime,
    limit: int,
    offset: int = 0,
    after: str | None = None,
    before: str | None = None,
) -> LegPage:
    """Legs of the carrier's connection that are up, by call_control_id.

    A page starts at `offset`, or follows the call_control_id `after`, or ends ahead of `before`.
    """
    active = is_active(connection_id, now)
    bounded = _bounded(limit)
    total = await connection.execute(select(func.count()).select_from(legs).where(active))
    order = legs.c.call_control_id.desc() if before is not None else legs.c.call_control_id
    query = select(legs).where(active).order_by(order).limit(bounded + 1).offset(max(0, offset))
    if after is not None:
        query = query.where(legs.c.call_control_id > storable(after))
    if before is not None:
        query = query.where(legs.c.call_control_id < storable(before))
    found = [LegView(**row._mapping) for row in await connection.execute(query)]
    page = found[:bounded]
    if before is not None:
        page.reverse()
    return LegPage(legs=page, total=total.scalar_one(), has_more=len(found) > bounded)


def is_active(connection_id: str, now: datetime) -> "ColumnElement[bool]":
    """The condition for the connection's legs that are up at `now`; each is there once.

    Events without a session id put a leg in several sessions: it has ended if it did in one.
    """
    other = legs.alias()
    has_ended = or_(other.c.ended_at.is_not(None), other.c.state == "ended")
    newer = or_(has_ended, other.c.last_seq > legs.c.last_seq)
    is_told_elsewhere = exists().where(
        other.c.call_control_id == legs.c.call_control_id,
        other.c.session_id != legs.c.session_id,
        other.c.state != "unseen",
        newer,
    )
    return and_(
        legs.c.connection_id == storable(connection_id),
        legs.c.ended_at.is_(None),
        legs.c.up_until > now,
        legs.c.state != "unseen",
        ~is_told_elsewhere,
    )


def _sessions() -> "Select[Any]":
    joined = sessions.outerjoin(
        parked_sessions, parked_sessions.c.session_id == sessions.c.session_id
    )
    return select(sessions, parked_sessions.c.error.label("fold_error")).select_from(joined)


async def _legs(connection: AsyncConnection, condition: Any) -> list[LegView]:
    found = await connection.execute(select(legs).where(condition))
    return [LegView(**row._mapping) for row in found]


async def _commands(connection: AsyncConnection, condition: Any) -> list[CommandView]:
    found = await connection.execute(select(commands).where(condition))
    return [CommandView(**row._mapping) for row in found]


async def _stored(connection: AsyncConnection, *conditions: Any) -> AsyncIterator[Arrival]:
    """Records of event_log in order of seq."""
    query = (
        select(*(event_log.c[name] for name in _STORED))
        .where(*conditions)
        .order_by(event_log.c.seq)
    )
    slices = Slices()
    for row in await connection.execute(query):
        yield read_stored(**row._mapping)
        await slices.yield_if_due()


_STORED = ("seq", "session_id", "side", "type", "version", "stored_at", "body")


async def _rows_as_of(connection: AsyncConnection, session_id: str, *conditions: Any) -> Rows:
    """The rows that these records of the session add up to. Raises RecordUnreadable."""
    folded = Folded(session=Session(session_id=session_id))
    own = event_log.c.session_id == storable(session_id)
    # Folded as they are read: a long call's records, held all at once, fill the memory.
    async for arrival in _stored(connection, own, *conditions):
        if arrival.record is None:
            raise RecordUnreadable(arrival.error)
        folded = advanced(folded, arrival.record)
    return rows_of(folded)


class _Dial(NamedTuple):
    """A dial that placed a session."""

    session_id: str  # where it is recorded
    command_id: str
    cause_seq: int | None


async def _dials_of(connection: AsyncConnection, session_id: str) -> list[_Dial]:
    """The dials of other sessions that placed this one."""
    dials = await connection.execute(
        select(commands.c.session_id, commands.c.command_id, commands.c.cause_seq)
        .where(
            commands.c.answer_session_id == storable(session_id),
            commands.c.session_id != storable(session_id),
        )
        .limit(DIALS_MAX)
    )
    return [_Dial(**row._mapping) for row in dials]


def _records_of_dial(dial: _Dial) -> "ColumnElement[bool]":
    # As `offhook.codec.fact_id_of` spells them; a decision's and an attempt's end with the worker.
    fact_id = event_log.c.fact_id
    return (event_log.c.session_id == dial.session_id) & or_(
        fact_id == f"request:dial:{dial.command_id}",
        fact_id == f"outcome:{dial.session_id}:{dial.command_id}",
        fact_id.startswith(f"attempt:{dial.session_id}:{dial.command_id}:", autoescape=True),
        fact_id.startswith(f"decided:{dial.session_id}:{dial.cause_seq}:", autoescape=True),
    )


def _entry(arrival: Arrival) -> TimelineEntry:
    record = arrival.record
    return TimelineEntry(
        seq=arrival.seq,
        session_id=arrival.session_id,
        side=arrival.side,
        type=arrival.type,
        version=arrival.version,
        stored_at=arrival.stored_at,
        fact_id=record.fact_id if record is not None else "",
        fields=fields_of(record.fact) if record is not None else {},
        error=arrival.error,
    )


def _in_order_of_start(found: Sequence[LegView]) -> list[LegView]:
    return sorted(
        found,
        key=lambda leg: (
            leg.started_at is None,
            leg.started_at.timestamp() if leg.started_at else 0.0,
            leg.call_control_id,
        ),
    )


def _in_order_of_decision(found: Sequence[CommandView]) -> list[CommandView]:
    undecided = 2**63
    return sorted(
        found,
        key=lambda command: (
            command.cause_seq or undecided,
            command.ordinal,
            command.session_id,
            command.command_id,
        ),
    )


def _bounded(limit: int) -> int:
    return max(1, min(limit, PAGE_MAX))
