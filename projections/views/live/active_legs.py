"""The legs of a carrier's connection that are up, in pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.database.transactions import read_at_one_moment
from offhook.projections.views.legs import LegView, last_stored_at, legs
from offhook.projections.views.view import PAGE_MAX, rows_as, storable


@dataclass(frozen=True, kw_only=True)
class LegPage:
    """A page of legs, and how many there are on all pages."""

    legs: Sequence[LegView]
    total: int
    has_more: bool  # beyond this page, in the direction it was asked for


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
    active = _is_active(connection_id, now)
    bounded = max(1, min(limit, PAGE_MAX))
    total = await connection.execute(select(func.count()).select_from(legs).where(active))
    order = legs.c.call_control_id.desc() if before is not None else legs.c.call_control_id
    query = select(legs).where(active).order_by(order).limit(bounded + 1).offset(max(0, offset))
    if after is not None:
        query = query.where(legs.c.call_control_id > storable(after))
    if before is not None:
        query = query.where(legs.c.call_control_id < storable(before))
    found = rows_as(LegView, await connection.execute(query))
    page = found[:bounded]
    if before is not None:
        page.reverse()
    return LegPage(legs=page, total=total.scalar_one(), has_more=len(found) > bounded)


async def read_active_page(
    connection: AsyncConnection,
    connection_id: str,
    *,
    now: datetime,
    size: int,
    number: int = 1,
    after: str | None = None,
    before: str | None = None,
) -> tuple[LegPage, int]:
    """A page of a connection's active legs, and the position of its first one, from 0.

    The page has a number, or follows or precedes a call_control_id. All of it is read at one
    moment, so `connection` must not have begun: a leg that ends in between would shift the
    position, and an earlier page would look like the last one.
    """
    await read_at_one_moment(connection)
    id_ = legs.c.call_control_id
    if after is not None:
        start = await _count_active(connection, connection_id, now, id_ <= storable(after))
        page = await list_active_legs(connection, connection_id, now=now, limit=size, after=after)
    elif before is not None:
        stop = await _count_active(connection, connection_id, now, id_ < storable(before))
        page = await list_active_legs(connection, connection_id, now=now, limit=size, before=before)
        start = max(0, stop - len(page.legs))
    else:
        start = (number - 1) * size
        page = await list_active_legs(connection, connection_id, now=now, limit=size, offset=start)
    return page, start


async def _count_active(
    connection: AsyncConnection,
    connection_id: str,
    now: datetime,
    condition: "ColumnElement[bool]",
) -> int:
    found = await connection.execute(
        select(func.count()).select_from(legs).where(_is_active(connection_id, now), condition)
    )
    return found.scalar_one()


def _is_active(connection_id: str, now: datetime) -> "ColumnElement[bool]":
    """The condition for the connection's legs that are up at `now`; each is there once.

    Events without a session id put a leg in several sessions: it has ended if it did in one.
    """
    other = legs.alias()
    has_ended = or_(other.c.ended_at.is_not(None), other.c.state == "ended")
    is_newer = tuple_(last_stored_at(other), other.c.last_seq) > tuple_(
        last_stored_at(legs), legs.c.last_seq
    )
    newer = or_(has_ended, is_newer)
    counts_elsewhere = exists().where(
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
        ~counts_elsewhere,
    )
