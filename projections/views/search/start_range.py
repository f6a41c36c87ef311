"""Where the sessions of a range of start times are, in the order of their first records."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ARRAY, ColumnElement, Text, and_, any_, false, func, literal, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.search.session_filter import SessionFilter, started_within
from offhook.projections.views.search.time_bound import FOR_SEARCHES
from offhook.projections.views.sessions import STORED_APART, STORED_EARLY, STORED_LATE, sessions

APART_MAX = 5_000
"""Sessions stored long after or before their start that are looked at for a range, of each kind."""


async def start_search(
    connection: AsyncConnection, wanted: SessionFilter
) -> "Sequence[Sequence[ColumnElement[bool]]] | None":
    """FOR_SEARCHES, and the conditions for the wanted range of starts, in parts.

    Together the parts have all sessions that started in the range, each of them once; those of a
    part are newer than those of the next. None if no range is wanted, or one of any leg, or if
    too many sessions were stored apart from their start.
    """
    started = [] if wanted.any_leg else started_within(wanted)
    if not started:
        await connection.execute(text(FOR_SEARCHES))
        return None
    since = _moved(wanted.started_from, -STORED_APART)
    until = _moved(wanted.started_before, STORED_APART)
    bounds = {"started_from": wanted.started_from, "started_before": wanted.started_before}
    bounds |= {"stored_from": since, "stored_before": until}
    apart = (await connection.execute(_STORED_APART, bounds)).one()
    if max(len(apart.late), len(apart.early)) > APART_MAX:
        return None
    # Postgres would take the two times for independent, and expect far too few.
    within: list[ColumnElement[bool]] = [func.coalesce(and_(*started), false())]
    if until is not None:
        within.append(sessions.c.first_stored_at < until)
    if since is not None:
        within.append(sessions.c.first_stored_at >= since)
    late, early = (
        [_one_of(ids), *started] if (ids := [each for each in some if each]) else []
        for some in (apart.late, apart.early)
    )
    return [part for part in (late, within, early) if part]


def _moved(at: datetime | None, by: timedelta) -> datetime | None:
    """None if there is no such time: then no session is beyond it."""
    try:
        return None if at is None else at + by
    except OverflowError:
        return None


def _one_of(session_ids: Sequence[str]) -> "ColumnElement[bool]":
    return sessions.c.session_id == any_(literal(session_ids, ARRAY(Text)))


_SOME = f"""
    select case
        when started_at >= coalesce(cast(:started_from as timestamptz), '-infinity')
        and started_at < coalesce(cast(:started_before as timestamptz), 'infinity') then session_id
    end
    from sessions where {{where}}
    order by first_stored_at desc, first_seq desc limit {APART_MAX + 1}
"""
_LATE = _SOME.format(where=f"{STORED_LATE} and first_stored_at >= :stored_before")
_EARLY = _SOME.format(where=f"{STORED_EARLY} and first_stored_at < :stored_from")
_STORED_APART = text(f"{FOR_SEARCHES}, array({_LATE}) as late, array({_EARLY}) as early")
