"""What the API reads beyond `offhook.projections.views.queries`."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.api.telnyx.paging import Wanted
from offhook.events import IssuedCommand
from offhook.projections.views.queries import is_active, list_active_legs
from offhook.projections.views.rows import storable
from offhook.projections.views.tables import commands, event_log, legs
from offhook.projections.views.types import CommandView, LegPage

ALIKE_MAX = 20


async def read_active_page(
    connection: AsyncConnection, connection_id: str, wanted: Wanted, now: datetime
) -> tuple[LegPage, int]:
    """A page of a connection's active legs, and the place of its first one, from 0.

    All of it is read at one moment, so `connection` must not have begun: a leg that ends in
    between would move the place, and the last page would seem to have come before it has.
    """
    await connection.execution_options(isolation_level="REPEATABLE READ")
    if wanted.after is not None:
        start = await _active_up_to(connection, connection_id, wanted.after, now)
        page = await list_active_legs(
            connection, connection_id, now=now, limit=wanted.size, after=wanted.after
        )
    elif wanted.before is not None:
        stop = await _active_up_to(connection, connection_id, wanted.before, now, itself=False)
        page = await list_active_legs(
            connection, connection_id, now=now, limit=wanted.size, before=wanted.before
        )
        start = max(0, stop - len(page.legs))
    else:
        start = (wanted.number - 1) * wanted.size
        page = await list_active_legs(
            connection, connection_id, now=now, limit=wanted.size, offset=start
        )
    return page, start


async def read_seq_at(connection: AsyncConnection, session_id: str, at: datetime) -> int | None:
    """The stream sequence of the session's last record stored by `at`; None if there is none."""
    found = await connection.execute(
        select(func.max(event_log.c.seq)).where(
            event_log.c.session_id == storable(session_id), event_log.c.stored_at <= at
        )
    )
    seq: int | None = found.scalar_one()
    return seq


async def list_recent_commands(
    connection: AsyncConnection, command: IssuedCommand, *, since: datetime
) -> list[CommandView]:
    """Commands of applications that ask for the same, requested after `since`; the latest first."""
    decided_at = commands.c.decided_at
    undecided = decided_at.is_(None) & (commands.c.requested_at > since)
    found = await connection.execute(
        select(commands)
        .where(
            (decided_at > since) | undecided,
            commands.c.requested_at.is_not(None),
            commands.c.operation == command.operation,
            commands.c.call_control_id.is_not_distinct_from(storable(command.call_control_id)),
            commands.c.parameters == storable(command.parameters),
        )
        .order_by(commands.c.last_seq.desc())
        .limit(ALIKE_MAX)
    )
    return [CommandView(**row._mapping) for row in found]


async def _active_up_to(
    connection: AsyncConnection,
    connection_id: str,
    leg: str,
    now: datetime,
    *,
    itself: bool = True,
) -> int:
    """How many active legs the list has up to `leg`: those of `list_active_legs`."""
    place = legs.c.call_control_id
    found = await connection.execute(
        select(func.count())
        .select_from(legs)
        .where(
            is_active(connection_id, now),
            place <= storable(leg) if itself else place < storable(leg),
        )
    )
    return found.scalar_one()
