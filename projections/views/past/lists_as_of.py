"""Lists of many sessions as they were at a time of the past.

    candidates, newest first: their first record was stored by then
      session unchanged    ──▶ the row as it is now
      changed since        ──▶ its records until then, folded
                                   └─▶ filtered as of then

The work has a bound: sessions and records that are folded for one page.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import SenderFault
from offhook.projections.views.past.session_as_of import fold_session_as_of, read_session_row_as_of
from offhook.projections.views.queues import (
    QueueVisitFilter,
    QueueVisitView,
    is_listed_visit,
    queue_visit_rows,
    queue_visits,
)
from offhook.projections.views.search.session_filter import (
    SessionFilter,
    has_leg,
    is_listed,
    listed,
)
from offhook.projections.views.sessions import (
    SessionView,
    session_at,
    sessions,
    sessions_and_errors,
)
from offhook.projections.views.stored.event_log import newest_first, older_than
from offhook.projections.views.view import PAGE_MAX, rows_as, storable

FOLDED_SESSIONS_MAX = 1_000
"""Sessions that changed since, and are folded for one page."""

FOLDED_RECORDS_MAX = 30_000
"""Records of those: some seconds of work."""


class TooMuchToFold(SenderFault):
    """The page would take more than the bound."""

    def __init__(self, folded: int, records: int, found: int, limit: int, filters: str) -> None:
        super().__init__(
            f"{folded} sessions with {records} records changed after as_of and were read again, "
            f"with {found} of {limit} found; expected at most {FOLDED_SESSIONS_MAX} sessions and "
            f"{FOLDED_RECORDS_MAX} records. Filter by {filters}, or take a smaller limit"
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
                and_(~unchanged, *has_leg(wanted)),
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
        rows = rows_as(SessionView, await connection.execute(query))
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
                raise TooMuchToFold(
                    folded, records, len(found), bounded, "connection_id, from_number or to_number"
                )
        if len(rows) < PAGE_MAX:
            return found
        before_seq = rows[-1].first_seq


async def list_queue_visits_as_of(
    connection: AsyncConnection,
    wanted: QueueVisitFilter,
    at: datetime,
    *,
    limit: int,
    before_seq: int | None = None,
) -> list[QueueVisitView]:
    """What `list_queue_visits` would have returned at that time of the log. Raises TooMuchToFold.

    An event that comes late may part a visit in two, but the first record of a visit is that of a
    visit ever after: each visit of then has a row of now with the same `first_seq`.
    """
    bounded = max(1, min(limit, PAGE_MAX))
    visit, changed = queue_visits.c, queue_visits.alias()
    is_unchanged = sessions.c.last_stored_at <= at
    candidates = (
        select(queue_visits, is_unchanged.label("is_unchanged"))
        .join(sessions, sessions.c.session_id == visit.session_id)
        .where(visit.first_stored_at <= at)
        .order_by(*newest_first(queue_visits))
        .limit(PAGE_MAX)
    )
    if wanted.session_id is not None:
        candidates = candidates.where(visit.session_id == storable(wanted.session_id))
    if wanted.queue is not None:
        has_queue = changed.c.queue == storable(wanted.queue)
        of_session = changed.c.session_id == visit.session_id
        candidates = candidates.where(exists().where(of_session, has_queue))
    found: list[QueueVisitView] = []
    past: dict[str, Sequence[QueueVisitView]] = {}
    records = 0
    while True:
        query = candidates
        if before_seq is not None:
            query = query.where(await older_than(connection, queue_visits, before_seq))
        rows = list(await connection.execute(query))
        for each in rows:
            values = dict(each._mapping)
            unchanged = values.pop("is_unchanged")
            row: QueueVisitView | None = QueueVisitView(**values)
            if not unchanged:
                if each.session_id not in past:
                    folded, count, _ = await fold_session_as_of(connection, each.session_id, at)
                    past[each.session_id] = queue_visit_rows(folded)
                    records += count
                of_then = past[each.session_id]
                row = next((then for then in of_then if then.first_seq == each.first_seq), None)
            if row is not None and is_listed_visit(row, wanted):
                found.append(row)
                if len(found) == bounded:
                    return found
            if len(past) >= FOLDED_SESSIONS_MAX or records >= FOLDED_RECORDS_MAX:
                raise TooMuchToFold(len(past), records, len(found), bounded, "queue or session_id")
        if len(rows) < PAGE_MAX:
            return found
        before_seq = rows[-1].first_seq
