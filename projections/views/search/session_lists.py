"""Lists of sessions that match a filter: a page of them, or all as a stream."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.database import (
    PAGE_MAX,
    SEARCH_TIMEOUT_S,
    SearchTooLong,
    StatementFailed,
)
from offhook.projections.views.search.session_filter import SessionFilter, listed
from offhook.projections.views.sessions import (
    SessionView,
    session_at,
    sessions,
    sessions_and_errors,
)
from offhook.projections.views.stored.event_log import newest_first, older_than

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
    query = (await _query(connection, wanted, now, before_seq)).limit(bounded)
    if also is not None:
        query = query.where(also)
    with _bounded():
        found = await connection.execute(query)
    return [session_at(SessionView(**row._mapping), now) for row in found]


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
    with _bounded():
        found = await connection.stream(query, execution_options={"yield_per": FETCHED_MAX})
        async for row in found:
            yield session_at(SessionView(**row._mapping), now)


async def _query(
    connection: AsyncConnection, wanted: SessionFilter, now: datetime, before_seq: int | None
) -> "Select[Any]":
    query = sessions_and_errors().where(listed(wanted, now)).order_by(*newest_first(sessions))
    if before_seq is not None:
        query = query.where(await older_than(connection, sessions, before_seq))
    # Until the transaction ends. A plan for any values could not use an index for LIKE.
    await connection.execute(text(_FOR_SEARCHES))
    return query


@contextmanager
def _bounded() -> Iterator[None]:
    try:
        yield
    except StatementFailed as error:
        if str(getattr(error.orig, "sqlstate", None)) == _CANCELLED:
            raise SearchTooLong from error
        raise


_CANCELLED = "57014"
_FOR_SEARCHES = f"""
    select set_config('plan_cache_mode', 'force_custom_plan', true),
        set_config('statement_timeout', '{SEARCH_TIMEOUT_S * 1000:.0f}', true)
"""
