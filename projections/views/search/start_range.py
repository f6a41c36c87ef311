"""Where the sessions of a range of start times are, in the order of their first records."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ARRAY, ColumnElement, Text, and_, any_, false, func, literal, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.search.session_filter import SessionFilter, started_within
from offhook.projections.views.search.time_bound import bounded_search
from offhook.projections.views.sessions import STORED_APART, STORED_EARLY, STORED_LATE, sessions

APART_MAX = 5_000
"""Sessions stored long after or before their start that are looked at for a range, of each kind."""


class StartPart(NamedTuple):
    """Some of the sessions that started in a range."""

    conditions: "Sequence[ColumnElement[bool]]" = ()
    are_few: bool = False
    """They are looked up: in the order of an index nearly all sessions might be read for them."""


async def parts_of_range(
    connection: AsyncConnection, wanted: SessionFilter
) -> Sequence[StartPart] | None:
    """The sessions that started in the wanted range, in parts, each of them once.

    Those of a part are newer than those of the next. None if no range is wanted, or one of any
    leg, or if too many sessions were stored apart from their start. All statements of a search
    have to see one moment (`read_at_one_moment`): some parts are ids.
    """
    started = [] if wanted.any_leg else started_within(wanted)
    if not started:
        return None
    since = _moved(wanted.started_from, -STORED_APART)
    until = _moved(wanted.started_before, STORED_APART)
    bounds = {"started_from": wanted.started_from, "started_before": wanted.started_before}
    bounds |= {"stored_from": since, "stored_before": until}
    with bounded_search():
        apart = (await connection.execute(_STORED_APART, bounds)).one()
    if max(len(apart.late), len(apart.early)) > APART_MAX:
        return None
    # Postgres would take the two times for independent, and expect far too few.
    within: list[ColumnElement[bool]] = [func.coalesce(and_(*started), false())]
    if until is not None:
        within.append(sessions.c.first_stored_at < until)
    if since is not None:
        within.append(sessions.c.first_stored_at >= since)
    return [*_looked_up(apart.late), StartPart(within), *_looked_up(apart.early)]


def _moved(at: datetime | None, by: timedelta) -> datetime | None:
    """None if there is no such time: then no session is beyond it."""
    try:
        return None if at is None else at + by
    except OverflowError:
        return None


def _looked_up(apart: Sequence[str | None]) -> Sequence[StartPart]:
    """Those that did not start in the range are None."""
    if not (session_ids := [each for each in apart if each is not None]):
        return []
    is_one = sessions.c.session_id == any_(literal(session_ids, ARRAY(Text)))
    return [StartPart([is_one], are_few=True)]


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
_STORED_APART = text(f"select array({_LATE}) as late, array({_EARLY}) as early")
