"""Sessions that wait for an operator, for one of two reasons.

flow     the flow raised on one of its records, five times over: a worker parked it (in the log),
         and OFFHOOK_PARKED says what becomes of its calls
views    its records cannot be read or folded: the projector parked it (in Postgres), and its views
         stay as they were
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Integer, Table, Text, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.events import SessionParked
from offhook.flow import PARKED
from offhook.projections.views.stored.event_log import read_stored
from offhook.projections.views.view import metadata, storable

parked_sessions = Table(
    "parked_sessions",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("since_seq", BigInteger, nullable=False),  # the record at which folding first failed
    Column("error", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("parked_at", DateTime(timezone=True), nullable=False),
    Column("tried_at", DateTime(timezone=True), nullable=False),
)


@dataclass(frozen=True, kw_only=True)
class ParkedView:
    """A parked session. `since_seq` is the position of the record that it was parked on.

    The numbers are those of its first leg; null if the views know none.
    """

    session_id: str
    by: str  # flow, views
    since_seq: int
    since: datetime
    error: str
    commands: Sequence[tuple[str, str]] = ()  # operation and status of the policy's, in order
    traceback: str = ""  # of the flow's code; empty if that was not kept
    from_number: str | None = None
    to_number: str | None = None


async def list_parked(connection: AsyncConnection, limit: int | None = None) -> list[ParkedView]:
    """What is parked, the longest parked first: all of it, or so many of each kind at most."""
    found = [*await _by_flow(connection, limit), *await _by_views(connection, limit)]
    numbers = await _numbers(connection, [each.session_id for each in found])
    between = [numbers.get(each.session_id, (None, None)) for each in found]
    complete = [
        replace(each, from_number=from_number, to_number=to_number)
        for each, (from_number, to_number) in zip(found, between, strict=True)
    ]
    return sorted(complete, key=lambda each: each.since)


async def count_parked(connection: AsyncConnection) -> int:
    """How many sessions are parked, for either reason."""
    found = await connection.execute(
        text(
            "select count(*) from (select session_id from sessions where parked"
            " union select session_id from parked_sessions) as parked"
        )
    )
    return int(found.scalar_one())


async def is_parked_by_views(connection: AsyncConnection, session_id: str) -> bool:
    """Whether the projector parked it."""
    found = await connection.execute(
        text("select exists (select from parked_sessions where session_id = :session_id)"),
        {"session_id": storable(session_id)},
    )
    return bool(found.scalar_one())


async def list_parked_ids(connection: AsyncConnection) -> list[str]:
    """The ids of the parked sessions: those parked by their flow, then those by the projector."""
    flows = await connection.execute(
        text("select session_id from sessions where parked order by session_id")
    )
    views = await connection.execute(
        text("select session_id from parked_sessions order by session_id")
    )
    return [row.session_id for row in (*flows, *views)]


async def _by_flow(connection: AsyncConnection, limit: int | None) -> list[ParkedView]:
    result = await connection.execute(
        text(
            "select distinct on (session_id)"
            " seq, session_id, side, type, version, stored_at, body from event_log"
            " where type = 'SessionParked'"
            " and session_id in (select session_id from sessions where parked"
            " order by last_stored_at limit :limit)"
            " order by session_id, seq desc"
        ),
        {"limit": limit},
    )
    parked = [read_stored(**row._mapping) for row in result]
    given = await connection.execute(
        text(
            "select session_id, operation, status from commands where flow = :flow"
            " and session_id = any(:ids) order by cause_seq, ordinal"
        ),
        {"flow": PARKED.name, "ids": [each.session_id for each in parked]},
    )
    commands: dict[str, list[tuple[str, str]]] = {}
    for row in given:
        commands.setdefault(row.session_id, []).append((row.operation, row.status))
    found = []
    for each in parked:
        fact = each.record.fact if each.record else None
        found.append(
            ParkedView(
                session_id=each.session_id,
                by="flow",
                since_seq=fact.cause_seq if isinstance(fact, SessionParked) else each.seq,
                since=each.stored_at,
                error=fact.error if isinstance(fact, SessionParked) else each.error,
                commands=commands.get(each.session_id, ()),
                traceback=fact.traceback if isinstance(fact, SessionParked) else "",
            )
        )
    return found


async def _by_views(connection: AsyncConnection, limit: int | None) -> list[ParkedView]:
    result = await connection.execute(
        text(
            "select session_id, since_seq, parked_at, error from parked_sessions"
            " order by parked_at limit :limit"
        ),
        {"limit": limit},
    )
    return [
        ParkedView(
            session_id=row.session_id,
            by="views",
            since_seq=row.since_seq,
            since=row.parked_at,
            error=row.error,
        )
        for row in result
    ]


async def _numbers(
    connection: AsyncConnection, session_ids: Sequence[str]
) -> dict[str, tuple[str | None, str | None]]:
    """From and to, by session; without those that have no views."""
    result = await connection.execute(
        text(
            "select session_id, from_number, to_number from sessions where session_id = any(:ids)"
        ),
        {"ids": session_ids},
    )
    return {row.session_id: (row.from_number, row.to_number) for row in result}
