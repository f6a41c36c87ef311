"""Lists of many sessions as they were at a time of the past.

    candidates, newest first: their first record was stored by then
      no record since      ──▶ the row as it is now
      changed since        ──▶ its records until then, folded
                                   └─▶ filtered as of then

The work has a bound: sessions and records that are folded for one page.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import SenderFault
from offhook.phone_numbers import spellings
from offhook.projections.views.database import PAGE_MAX
from offhook.projections.views.legs import legs
from offhook.projections.views.past.history import read_session_row_as_of
from offhook.projections.views.sessions import (
    SessionFilter,
    SessionView,
    is_listed,
    listed,
    session_at,
    sessions,
    sessions_and_errors,
)
from offhook.projections.views.stored.event_log import newest_first, older_than
from offhook.projections.views.view import storable

FOLDED_SESSIONS_MAX = 1_000
"""Sessions that changed since, and are folded for one page."""

FOLDED_RECORDS_MAX = 30_000
"""Records of those: some seconds of work."""


class TooMuchToFold(SenderFault):
    """The page would take more than the bound."""

    def __init__(self, folded: int, records: int, found: int, limit: int) -> None:
        super().__init__(
            f"{folded} sessions with {records} records changed after as_of and were read again, "
            f"with {found} of {limit} found; expected at most {FOLDED_SESSIONS_MAX} sessions and "
            f"{FOLDED_RECORDS_MAX} records. Filter by connection_id, from_number or to_number, or "
            "take a smaller limit"
        )


async def list_sessions_as_of(
    connection: AsyncConnection,
    wanted: SessionFilter,
    at: datetime,
    *,
    limit: int,
    before_seq: int | None = None,
) -> list[SessionView]:
    """What `list_sessions` would have returned at that time of the log. Raises TooMuchToFold.

    A filter finds a session if a leg that it has now matches, and then decides as of then: the
    numbers and the connection of a leg do not change once they are known.
    """
    bounded = max(1, min(limit, PAGE_MAX))
    unchanged = sessions.c.last_stored_at <= at
    candidates = (
        sessions_and_errors()
        .where(
            sessions.c.first_stored_at <= at,
            or_(
                and_(unchanged, listed(wanted, at)),
                and_(~unchanged, *_has_leg(wanted)),
            ),
        )
        .order_by(*newest_first(sessions))
        .limit(PAGE_MAX)
    )
    found: list[SessionView] = []
    folded = records = 0
    while True:
        query = candidates
        if before_seq is not None:
            query = query.where(await older_than(connection, sessions, before_seq))
        rows = [SessionView(**row._mapping) for row in await connection.execute(query)]
        for row in rows:
            session: SessionView | None = row
            if row.last_stored_at > at:
                session, count = await read_session_row_as_of(connection, row.session_id, at)
                folded, records = folded + 1, records + count
            if session is not None and is_listed(shown := session_at(session, at), wanted):
                found.append(shown)
                if len(found) == bounded:
                    return found
            if folded >= FOLDED_SESSIONS_MAX or records >= FOLDED_RECORDS_MAX:
                raise TooMuchToFold(folded, records, len(found), bounded)
        if len(rows) < PAGE_MAX:
            return found
        before_seq = rows[-1].first_seq


def _has_leg(wanted: SessionFilter) -> "list[ColumnElement[bool]]":
    """Conditions that hold for every session that can match, of those that changed since."""
    conditions: list[ColumnElement[bool]] = []
    of_session = legs.c.session_id == sessions.c.session_id
    if wanted.connection_id is not None:
        matches = legs.c.connection_id == storable(wanted.connection_id)
        conditions.append(exists().where(of_session, matches))
    for column, number in (
        (legs.c.from_number, wanted.from_number),
        (legs.c.to_number, wanted.to_number),
    ):
        if number is not None:
            matches = column.in_(sorted(map(storable, spellings(number))))
            conditions.append(exists().where(of_session, matches))
    return conditions
