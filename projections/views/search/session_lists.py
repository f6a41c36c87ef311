"""Lists of sessions that match a filter: a page of them, or all as a stream."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Select, Text, any_, literal, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import SenderFault
from offhook.patterns import number_patterns_in
from offhook.projections.views.database.errors import StatementFailed, sqlstate_of
from offhook.projections.views.search.numbers import sessions_with_number
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
"""Sessions with a number that are looked up one by one. If more have it, some of the newest do."""

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
    query = (await _query(connection, wanted, now, before_seq)).limit(bounded)
    if also is not None:
        query = query.where(also)
    with bounded_search():
        found = await connection.execute(query)
    return [session_at(row, now) for row in rows_as(SessionView, found)]


async def stream_sessions(
    connection: AsyncConnection,
    wanted: SessionFilter,
    *,
    limit: int | None,
    now: datetime,
    before_seq: int | None = None,
) -> AsyncGenerator[SessionView, None]:
    """As `list_sessions`, as a stream, with any `limit`; None for all. Raises SearchTooLong."""
    query = (await _query(connection, wanted, now, before_seq)).limit(limit)
    with bounded_search():
        found = await connection.stream(query, execution_options={"yield_per": FETCHED_MAX})
        async for row in found:
            yield session_at(SessionView(**row._mapping), now)


async def _query(
    connection: AsyncConnection, wanted: SessionFilter, now: datetime, before_seq: int | None
) -> "Select[Any]":
    # Until the transaction ends. A plan for any values could not use an index for LIKE.
    await connection.execute(text(_FOR_SEARCHES))
    few = None
    if wanted.number is not None:
        few = await _few_with_number(connection, wanted.number)
    listable = listed(wanted, now, have_number=few is not None)
    query = sessions_and_errors().where(listable).order_by(*newest_first(sessions))
    if before_seq is not None:
        query = query.where(await older_than(connection, sessions, before_seq))
    if few is not None:
        # As one parameter: thousands of them take long to compile.
        query = query.where(sessions.c.session_id == any_(literal(few, ARRAY(Text))))
    return query


async def _few_with_number(connection: AsyncConnection, number: str) -> Sequence[str] | None:
    """The sessions that have such a number, if they are at most FEW_MAX; None if there are more.

    For few of them Postgres may expect many, and then looks for them in all sessions, newest first.
    """
    wanted = number_patterns_in(storable(number)).any_of
    if not wanted:
        return None
    query = sessions_with_number(wanted, FEW_MAX + 1)
    with bounded_search():
        await connection.execute(text(_BY_INDEX.format("off")))
        found = (await connection.execute(query.limit(FEW_MAX + 1))).scalars().all()
        await connection.execute(text(_BY_INDEX.format("on")))
    return sorted({str(each) for each in found}) if len(found) <= FEW_MAX else None


@contextmanager
def bounded_search() -> Iterator[None]:
    try:
        yield
    except StatementFailed as error:
        if sqlstate_of(error) == _CANCELLED:
            raise SearchTooLong from error
        raise


_CANCELLED = "57014"
_BY_INDEX = """
    select set_config('enable_seqscan', '{0}', true), set_config('enable_bitmapscan', '{0}', true)
"""
_FOR_SEARCHES = f"""
    select set_config('plan_cache_mode', 'force_custom_plan', true),
        set_config('statement_timeout', '{SEARCH_TIMEOUT_S * 1000:.0f}', true)
"""
