"""Lists of sessions that match a filter: a page of them, or all as a stream."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Text,
    any_,
    case,
    func,
    literal,
    literal_column,
    select,
    text,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import SenderFault
from offhook.patterns import number_patterns_in
from offhook.projections.views.database.errors import StatementFailed, sqlstate_of
from offhook.projections.views.search.numbers import NUMBERS, legs_with_number, sessions_with_number
from offhook.projections.views.search.session_filter import SessionFilter, listed
from offhook.projections.views.sessions import (
    SessionView,
    session_at,
    sessions,
    sessions_and_errors,
)
from offhook.projections.views.stored.event_log import newest_first, older_than
from offhook.projections.views.view import PAGE_MAX, rows_as, storable

FEW_MAX = 3_000
"""Sessions with a number that are looked up one by one."""

SOME_MAX = 30_000
"""Sessions with a number that the newest sessions are compared with, or that are looked up if that
finds too few, or if other filters may leave few of them. If more have it, the newest are looked at
for it one by one: enough of them have it."""

COMPARED_MAX = 100_000
"""Sessions that are compared with those that have a number: perhaps none of the newest has it."""

FETCHED_MAX = 500
"""Rows of a stream that are in memory, and that one statement reads."""

SEARCH_TIMEOUT_S = 10.0
"""A filter without an index reads sessions, newest first, until enough are found."""


class SearchTooLong(SenderFault):
    """A search would take longer than its bound."""

    def __init__(self) -> None:
        super().__init__(
            f"the search took more than {SEARCH_TIMEOUT_S:.0f} s; expected a filter that few "
            "sessions match: add a number, started_from and started_before, or a connection_id"
        )


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
    for query in await _queries(
        connection, wanted, now, before_seq, limit=bounded, also=also, is_page=True
    ):
        with bounded_search():
            found = rows_as(SessionView, await connection.execute(query)) or found
        if len(found) == bounded:
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
    [query] = await _queries(connection, wanted, now, before_seq, limit=limit)
    with bounded_search():
        found = await connection.stream(query, execution_options={"yield_per": FETCHED_MAX})
        async for row in found:
            yield session_at(SessionView(**row._mapping), now)


async def _queries(
    connection: AsyncConnection,
    wanted: SessionFilter,
    now: datetime,
    before_seq: int | None,
    *,
    limit: int | None,
    also: "ColumnElement[bool] | None" = None,
    is_page: bool = False,
) -> "Sequence[Select[Any]]":
    """One query, or for a page perhaps two: the other if the first does not fill it.

    What the other finds takes the place of what the first did, unless it finds nothing.
    """
    # Until the transaction ends. A plan for any values could not use an index for LIKE.
    await connection.execute(text(_FOR_SEARCHES))
    conditions = [] if also is None else [also]
    if before_seq is not None:
        conditions.append(await older_than(connection, sessions, before_seq))
    order = newest_first(sessions)
    newest: Select[Any] = (
        select(literal_column("*")).select_from(sessions).where(*conditions).order_by(*order)
    )
    found = None
    if wanted.number is not None:
        is_narrowed = also is not None or replace(wanted, number=None) != SessionFilter()
        few_max = FEW_MAX if is_page and not is_narrowed else SOME_MAX
        found = await _sessions_with_number(connection, wanted.number, few_max)
    number = None if limit is None else _exact_number(wanted)
    if number is None and await _have_few_a_number(connection, wanted):
        order = _SORTED
    if number is not None:
        # The comparison with each of them is below.
        wanted = replace(wanted, **{number.column: None})  # type: ignore[arg-type]
    conditions.append(listed(wanted, now, have_number=found is not None))
    rows = sessions_and_errors().where(*conditions)
    queries = []
    if found is not None:
        if found.compared is not None:
            # By its name it takes the place of the table; no more of it is read than needed.
            some = newest.limit(COMPARED_MAX).cte(sessions.name)
            compared = rows.where(found.compared).add_cte(some)
            queries.append(compared.order_by(*order).limit(limit))
            have_more = newest.with_only_columns(true(), maintain_column_froms=True)
            rows = rows.where(have_more.offset(COMPARED_MAX).correlate(None).exists())
        rows, order = rows.where(found.looked_up), _SORTED
    if number is not None:
        rows = _newest_of_each(rows, sessions.c[number.column], number.spellings, limit)
    else:
        rows = rows.order_by(*order).limit(limit)
    return [*queries, rows]


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


async def _have_few_a_number(connection: AsyncConnection, wanted: SessionFilter) -> bool:
    """Whether few sessions have a number of their own that is wanted, counted by their legs.

    Postgres takes the start or the end of one number of a hundred for frequent, and then looks for
    it in all sessions.
    """
    for name in () if wanted.any_leg else NUMBERS:
        number = getattr(wanted, name)
        if number is not None and (any_of := number_patterns_in(storable(number)).any_of):
            found = legs_with_number(name, any_of, FEW_MAX + 1).subquery()
            some = select(found).limit(FEW_MAX + 1).subquery()
            with bounded_search():
                await connection.execute(text(_BY_INDEX))
                count = await connection.execute(select(func.count()).select_from(some))
                await connection.execute(text(_BY_BITMAPS_TOO))
            if count.scalar_one() <= FEW_MAX:
                return True
    return False


def _newest_of_each(
    rows: "Select[Any]", column: "ColumnElement[Any]", values: Sequence[str], limit: int | None
) -> "Select[Any]":
    """The newest rows with one of the values: an index has those of each value in their order.

    Of several values it has no order, and all rows would be read and sorted.
    """
    each = func.unnest(literal(values, ARRAY(Text))).table_valued("value").render_derived()
    newest = rows.where(column == each.c.value).order_by(*newest_first(sessions)).limit(limit)
    of_each = newest.lateral()
    found = select(of_each).select_from(each.join(of_each, true()))
    return found.order_by(*newest_first(of_each)).limit(limit)


class _WithNumber(NamedTuple):
    """Conditions for the sessions with a number, by two plans; `compared` only if they are many."""

    looked_up: "ColumnElement[bool]"
    compared: "ColumnElement[bool] | None" = None


async def _sessions_with_number(
    connection: AsyncConnection, number: str, few_max: int
) -> _WithNumber | None:
    """The conditions for the sessions with such a number; None if more than SOME_MAX have it.

    Postgres expects any number of them, and cannot choose itself between reading these and looking
    for them in all sessions, newest first.
    """
    wanted = number_patterns_in(storable(number)).any_of
    if not wanted:
        return None
    some = sessions_with_number(wanted, SOME_MAX + 1).limit(SOME_MAX + 1).subquery()
    count, ids = func.count(), func.array_agg(some.c.session_id)
    with bounded_search():
        await connection.execute(text(_BY_INDEX))
        found = await connection.execute(select(count, case((count <= few_max, ids))))
        await connection.execute(text(_BY_BITMAPS_TOO))
    number_of, few = found.one()
    if number_of <= few_max:
        # As one parameter: thousands of them take long to compile.
        one_of = any_(literal(sorted(set(few or ())), ARRAY(Text)))
        return _WithNumber(sessions.c.session_id == one_of)
    if number_of <= SOME_MAX:
        # Not as a join: Postgres would look each up, and sort them. A transaction that sees what
        # is new may find a few more than were counted.
        again = sessions_with_number(wanted).limit(2 * SOME_MAX)
        return _WithNumber(
            sessions.c.session_id == any_(func.array(again.scalar_subquery())),
            compared=sessions.c.session_id.in_(again).is_(true()),
        )
    return None


@contextmanager
def bounded_search() -> Iterator[None]:
    try:
        yield
    except StatementFailed as error:
        if sqlstate_of(error) == _CANCELLED:
            raise SearchTooLong from error
        raise


_CANCELLED = "57014"
# No index has this order: Postgres reads what matches and sorts it, rather than all sessions.
_SORTED = (
    (sessions.c.first_stored_at + literal_column("interval '0'")).desc(),
    sessions.c.first_seq.desc(),
)
_FOR_SEARCHES = f"""
    select set_config('plan_cache_mode', 'force_custom_plan', true),
        set_config('statement_timeout', '{SEARCH_TIMEOUT_S * 1000:.0f}', true)
"""
# Whatever Postgres expects of a pattern: a whole table takes seconds, and what has the number has
# to fit into a hash table.
_BY_INDEX = """
    select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
        set_config(
            'work_mem',
            greatest(pg_size_bytes(current_setting('work_mem')) / 1024, 8 * 1024) || 'kB', true
        )
"""
_BY_BITMAPS_TOO = "select set_config('enable_bitmapscan', 'on', true)"
