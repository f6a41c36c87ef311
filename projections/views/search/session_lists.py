"""Lists of sessions that match a filter: a page of them, or all as a stream."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Text,
    func,
    literal,
    literal_column,
    select,
    text,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.patterns import number_patterns_in
from offhook.projections.views.search.number_plans import (
    COMPARED_MAX,
    FEW_MAX,
    NEWEST_OF_A_PAGE,
    WithNumber,
    with_number,
)
from offhook.projections.views.search.numbers import NUMBERS, legs_with_number, wants_number
from offhook.projections.views.search.session_filter import SessionFilter, listed
from offhook.projections.views.search.start_range import StartPart, parts_of_range
from offhook.projections.views.search.time_bound import (
    BY_BITMAPS_TOO,
    BY_INDEX,
    FOR_SEARCHES,
    bounded_search,
)
from offhook.projections.views.sessions import (
    SessionView,
    session_at,
    sessions,
    sessions_and_errors,
)
from offhook.projections.views.stored.event_log import newest_first, older_than
from offhook.projections.views.view import PAGE_MAX, rows_as, storable

FETCHED_MAX = 500
"""Rows of a stream that are in memory, and that one statement reads."""


async def list_sessions(
    connection: AsyncConnection,
    wanted: SessionFilter,
    *,
    limit: int,
    now: datetime,
    before_seq: int | None = None,
    also: "ColumnElement[bool] | None" = None,
) -> list[SessionView]:
    """At most `limit` sessions, newest first. The next page is before the last one's first_seq.

    `also` is a further condition on their rows.

    By the log's time of their first record: positions of several partitions are in no order.

    A session without legs is a command, or a conference, rather than a call: it is listed only if
    its status is asked for, or if something is wrong with it. Raises SearchTooLong.
    """
    bounded = max(1, min(limit, PAGE_MAX))
    found: list[SessionView] = []
    async for query in _queries(
        connection, wanted, now, before_seq, limit=bounded, also=also, is_page=True
    ):
        found = await _read(connection, query, bounded) or found
        is_full = len(found) == bounded
        if is_full and (query.after is None or found[-1].first_stored_at > query.after):
            break
    return [session_at(row, now) for row in found]


async def stream_sessions(
    connection: AsyncConnection,
    wanted: SessionFilter,
    *,
    limit: int | None,
    now: datetime,
    before_seq: int | None = None,
) -> AsyncGenerator[SessionView, None]:
    """As `list_sessions`, as a stream, with any `limit`; None for all. Raises SearchTooLong."""
    [query] = [each async for each in _queries(connection, wanted, now, before_seq, limit=limit)]
    count = 0
    with bounded_search():
        for part in query.parts:
            rest = part if limit is None else part.limit(limit - count)
            found = await connection.stream(rest, execution_options={"yield_per": FETCHED_MAX})
            async for row in found:
                yield session_at(SessionView(**row._mapping), now)
                count += 1
            if count == limit:
                break


class _Query(NamedTuple):
    """What it finds is right if it fills the page, or is the last; `after`: up to this time.

    What a part finds is newer than what the parts after it do.
    """

    parts: "Sequence[Select[Any]]"
    after: datetime | None = None


async def _read(connection: AsyncConnection, query: _Query, limit: int) -> list[SessionView]:
    found: list[SessionView] = []
    for part in query.parts:
        with bounded_search():
            rows = await connection.execute(part.limit(limit - len(found)))
        found += rows_as(SessionView, rows)
        if len(found) == limit:
            break
    return found


async def _queries(
    connection: AsyncConnection,
    wanted: SessionFilter,
    now: datetime,
    before_seq: int | None,
    *,
    limit: int | None,
    also: "ColumnElement[bool] | None" = None,
    is_page: bool = False,
) -> AsyncGenerator[_Query, None]:
    """One query, or for a page perhaps several: the next if one does not fill it.

    What the next finds takes the place of what one did, unless it finds nothing.
    """
    await connection.execute(text(FOR_SEARCHES))
    parts = await parts_of_range(connection, wanted)
    older = [] if before_seq is None else [await older_than(connection, sessions, before_seq)]
    conditions = [*older] if also is None else [also, *older]
    order = newest_first(sessions)
    rows = sessions_and_errors().where(*conditions)
    have_number: WithNumber | None = None
    if wants_number(wanted.number):
        patterns = number_patterns_in(storable(wanted.number)).any_of
        is_alone = also is None and replace(wanted, number=None) == SessionFilter()
        newest_max = NEWEST_OF_A_PAGE * limit if limit and is_page and is_alone else None
        async for found in with_number(connection, patterns, older, before_seq, newest_max):
            if found.after is None:
                have_number = found
                break
            some = rows.where(found.looked_up, listed(wanted, now, have_number=found.all_have))
            yield _Query([some.order_by(*_SORTED)], found.after)
    number = None if limit is None else _exact_number(wanted)
    have_few = None if number is not None else await _have_few_a_number(connection, wanted)
    if have_few:
        order = _SORTED
    if number is not None:
        # The comparison with each of them is below.
        wanted = replace(wanted, **{number.column: None})  # type: ignore[arg-type]
    if parts is None or have_number is not None or order is _SORTED:
        parts = [StartPart()]  # if there is a range, what is looked up or sorted is few enough
    else:
        wanted = replace(wanted, started_from=None, started_before=None)
        if have_few is False and wanted.failed_command is None:
            # All places of a frequent number would be read to find those of an hour.
            await connection.execute(text(BY_INDEX))
    rows = rows.where(listed(wanted, now, have_number=have_number is not None))
    if have_number is not None:
        if have_number.compared is not None:
            # By its name it takes the place of the table; no more of it is read than needed.
            newest: Select[Any] = (
                select(literal_column("*")).select_from(sessions).where(*conditions)
            )
            newest = newest.order_by(*order)
            compared = rows.where(have_number.compared).add_cte(
                newest.limit(COMPARED_MAX).cte(sessions.name)
            )
            yield _Query([compared.order_by(*order)])
            have_more = newest.with_only_columns(true(), maintain_column_froms=True)
            rows = rows.where(have_more.offset(COMPARED_MAX).correlate(None).exists())
        rows, order = rows.where(have_number.looked_up), _SORTED
    its = [
        rows.where(*part.conditions).order_by(*(_SORTED if part.are_few else order))
        for part in parts
    ]
    if number is not None:
        column = sessions.c[number.column]
        its = [_newest_of_each(each, column, number.spellings, limit) for each in its]
    yield _Query(its)


class _ExactNumber(NamedTuple):
    column: str
    spellings: Sequence[str]


def _exact_number(wanted: SessionFilter) -> _ExactNumber | None:
    """A number that the session itself has to have, if there is one."""
    for name in () if wanted.any_leg else NUMBERS:
        if (number := getattr(wanted, name)) is not None:
            patterns = number_patterns_in(storable(number))
            is_exact = all(each.kind == "exact" for each in patterns.any_of)
            if patterns.any_of and is_exact and not patterns.none_of:
                return _ExactNumber(name, sorted({each.text for each in patterns.any_of}))
    return None


async def _have_few_a_number(connection: AsyncConnection, wanted: SessionFilter) -> bool | None:
    """Whether few sessions have a number of their own that is wanted, counted by their legs.

    None if no number is wanted.

    Postgres takes the start or the end of one number of a hundred for frequent, and then looks for
    it in all sessions.
    """
    have_few = None
    for name in () if wanted.any_leg else NUMBERS:
        number = getattr(wanted, name)
        if number is not None and (any_of := number_patterns_in(storable(number)).any_of):
            found = legs_with_number(name, any_of, FEW_MAX + 1).subquery()
            some = select(found).limit(FEW_MAX + 1).subquery()
            with bounded_search():
                await connection.execute(text(BY_INDEX))
                count = await connection.execute(select(func.count()).select_from(some))
                await connection.execute(text(BY_BITMAPS_TOO))
            have_few = count.scalar_one() <= FEW_MAX
            if have_few:
                return True
    return have_few


def _newest_of_each(
    rows: "Select[Any]", column: "ColumnElement[Any]", values: Sequence[str], limit: int | None
) -> "Select[Any]":
    """The first rows with one of the values: an index has those of each value in their order.

    Of several values it has no order, and all rows would be read and sorted.
    """
    each = func.unnest(literal(values, ARRAY(Text))).table_valued("value").render_derived()
    newest = rows.where(column == each.c.value).limit(limit)
    of_each = newest.lateral()
    found = select(of_each).select_from(each.join(of_each, true()))
    return found.order_by(*newest_first(of_each))


# No index has this order: Postgres reads what matches and sorts it, rather than all sessions.
_SORTED = (
    (sessions.c.first_stored_at + literal_column("interval '0'")).desc(),
    sessions.c.first_seq.desc(),
)
