"""Lists of sessions that match a filter: a page of them, or all as a stream."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Row,
    ScalarSelect,
    Select,
    Text,
    TextClause,
    any_,
    case,
    func,
    literal,
    literal_column,
    null,
    select,
    text,
    true,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import SenderFault
from offhook.patterns import Pattern, number_patterns_in
from offhook.projections.views.database.errors import StatementFailed, sqlstate_of
from offhook.projections.views.search.numbers import (
    NUMBERS,
    has_failed_dial,
    last_legs_with_number,
    legs_with_number,
    sessions_with_number,
    start_of_last_legs,
    timed_sessions_with_number,
    wants_number,
)
from offhook.projections.views.search.session_filter import SessionFilter, listed
from offhook.projections.views.sessions import (
    STORED_LATE,
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

NEWEST_OF_A_PAGE = 3
"""Legs with a number, for each session of a page, that a page is made of: both legs of a session
may have it, and what starts within a minute is in no order."""

COUNTED_FIRST_MAX = 6_000
"""Sessions with a number that are counted before the last legs are looked at for it."""

WALKED_MAX = 20_000
"""Of the legs that started last, those that are looked at for a number that many have."""

OTHERS_MAX = 500
"""Sessions that are looked at for a number because the start of their legs does not say when they
were stored."""

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
    async for query in _queries(
        connection, wanted, now, before_seq, limit=bounded, also=also, is_page=True
    ):
        with bounded_search():
            found = rows_as(SessionView, await connection.execute(query.select)) or found
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
    with bounded_search():
        found = await connection.stream(query.select, execution_options={"yield_per": FETCHED_MAX})
        async for row in found:
            yield session_at(SessionView(**row._mapping), now)


class _Query(NamedTuple):
    """What it finds is right if it fills the page, or is the last; `after`: up to this time."""

    select: "Select[Any]"
    after: datetime | None = None


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
    # Until the transaction ends. A plan for any values could not use an index for LIKE.
    await connection.execute(text(_FOR_SEARCHES))
    older = [] if before_seq is None else [await older_than(connection, sessions, before_seq)]
    conditions = [*older] if also is None else [also, *older]
    order = newest_first(sessions)
    rows = sessions_and_errors().where(*conditions)
    have_number: _WithNumber | None = None
    if wants_number(wanted.number):
        is_alone = also is None and replace(wanted, number=None) == SessionFilter()
        newest_max = NEWEST_OF_A_PAGE * limit if limit and is_page and is_alone else None
        async for found in _with_number(connection, wanted, older, before_seq, newest_max):
            if found.after is None:
                have_number = found
                break
            some = rows.where(found.looked_up, listed(wanted, now, have_number=found.all_have))
            yield _Query(some.order_by(*_SORTED).limit(limit), found.after)
    number = None if limit is None else _exact_number(wanted)
    if number is None and await _have_few_a_number(connection, wanted):
        order = _SORTED
    if number is not None:
        # The comparison with each of them is below.
        wanted = replace(wanted, **{number.column: None})  # type: ignore[arg-type]
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
            yield _Query(compared.order_by(*order).limit(limit))
            have_more = newest.with_only_columns(true(), maintain_column_froms=True)
            rows = rows.where(have_more.offset(COMPARED_MAX).correlate(None).exists())
        rows, order = rows.where(have_number.looked_up), _SORTED
    if number is not None:
        rows = _newest_of_each(rows, sessions.c[number.column], number.spellings, limit)
    else:
        rows = rows.order_by(*order).limit(limit)
    yield _Query(rows)


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
    """Conditions for the sessions with a number, by two plans; `compared` only if they are many.

    If `after` is given, perhaps not all of those that are stored up to that time are `looked_up`;
    without `all_have` some of them may not have the number.
    """

    looked_up: "ColumnElement[bool]"
    compared: "ColumnElement[bool] | None" = None
    after: datetime | None = None
    all_have: bool = True


async def _with_number(
    connection: AsyncConnection,
    wanted: SessionFilter,
    older: "Sequence[ColumnElement[bool]]",
    before_seq: int | None,
    newest_max: int | None,
) -> AsyncGenerator[_WithNumber, None]:
    """The conditions for the sessions with such a number; none for all if over SOME_MAX have it.

    Postgres expects any number of them, and cannot choose itself between reading these and looking
    for them in all sessions, newest first. With `newest_max` those come first that a page needs
    which has no other condition: perhaps that many of the newest are enough.
    """
    patterns = number_patterns_in(storable(wanted.number)).any_of
    count_max = SOME_MAX if newest_max is None else COUNTED_FIRST_MAX
    query = _newest_of_some(patterns, older, before_seq, newest_max, count_max)
    found = await _read_by_index(connection, query)
    if found.number_of > count_max and newest_max is not None:
        if before_seq is None:
            last = await _read_by_index(connection, _newest_of_many(patterns, newest_max))
            are_enough = last.taken * NEWEST_OF_A_PAGE >= newest_max
            if are_enough and last.after and len(last.others) <= OTHERS_MAX:
                yield _newest(last)
            query = _newest_of_some(patterns, older, before_seq, newest_max, SOME_MAX)
        else:
            query = _count_of_some(patterns)
        found = await _read_by_index(connection, query)
    if found.number_of > SOME_MAX:
        return
    if found.taken == found.number_of:
        yield _WithNumber(_one_of(found.ids))
        return
    if found.after is not None and len(found.others) <= OTHERS_MAX:
        yield _newest(found)
    # Not as a join: Postgres would look each up, and sort them. A transaction that sees what is
    # new may find a few more than were counted.
    again = sessions_with_number(patterns).limit(2 * SOME_MAX)
    yield _WithNumber(
        sessions.c.session_id == any_(func.array(again.scalar_subquery())),
        compared=sessions.c.session_id.in_(again).is_(true())
        if found.number_of > FEW_MAX
        else None,
    )


def _newest(found: "Row[Any]") -> _WithNumber:
    ids = _one_of([*found.ids, *found.others])
    return _WithNumber(ids, after=found.after, all_have=not found.others)


def _newest_of_some(
    wanted: Sequence[Pattern],
    older: "Sequence[ColumnElement[bool]]",
    before_seq: int | None,
    newest_max: int | None,
    count_max: int,
) -> "Select[Any]":
    """Of sessions with a number: how many have it, and the `ids` of the newest.

    None of the rest is stored after the time `after`, but for `others` that were stored late. How
    many of the ids are before `before_seq` is not known: those that may be after it come first.
    """
    some = timed_sessions_with_number(wanted, count_max + 1).limit(count_max + 1).cte("some")
    counted = select(func.count().label("number_of")).select_from(some).cte("counted")
    number_of = select(counted.c.number_of).scalar_subquery()
    taken: ColumnElement[int] | int = SOME_MAX if newest_max is None else newest_max
    if newest_max is not None and before_seq is not None:
        before = select(sessions.c.first_stored_at).where(sessions.c.first_seq == before_seq)
        is_passed = some.c.latest.is_(None) | (some.c.latest >= before.scalar_subquery())
        passed = select(func.count()).select_from(some).where(is_passed).scalar_subquery()
        taken = case((passed <= FEW_MAX, passed + newest_max), else_=0)
    newest = (
        select(some.c.session_id, some.c.latest)
        .where(number_of <= count_max)
        .order_by(some.c.latest.desc())  # those without one first
        .limit(taken)
        .cte("newest")
    )
    return _ids_of(newest, _after(newest), [text(STORED_LATE)], older).add_columns(
        number_of.label("number_of")
    )


def _count_of_some(wanted: Sequence[Pattern]) -> "Select[Any]":
    """As `_newest_of_some`, without ids."""
    some = sessions_with_number(wanted, SOME_MAX + 1).limit(SOME_MAX + 1).subquery()
    number_of = select(func.count()).select_from(some).scalar_subquery().label("number_of")
    return select(literal(0).label("taken"), null().label("after"), number_of)


def _newest_of_many(wanted: Sequence[Pattern], newest_max: int) -> "Select[Any]":
    """As `_newest_of_some`, from the legs that started last, for a number that many of them have.

    If fewer of them have it than asked for, all that did not start before them are there. The
    sessions with a failed dial to or from the number are among the `others`.
    """
    last = last_legs_with_number(wanted, WALKED_MAX).subquery()
    found = select(last.c.session_id, last.c.latest).order_by(last.c.started_at.desc())
    newest = found.limit(newest_max).cte("newest")
    are_all = select(func.count() < newest_max).select_from(newest).scalar_subquery()
    after = case((are_all, start_of_last_legs(WALKED_MAX)), else_=_after(newest))
    return _ids_of(newest, after, [text(STORED_LATE), has_failed_dial(wanted)], [])


def _after(newest: "CTE[Any]") -> "ScalarSelect[Any]":
    return select(func.min(newest.c.latest)).scalar_subquery()


def _ids_of(
    newest: "CTE[Any]",
    after: "ColumnElement[datetime]",
    are_others: "Sequence[ColumnElement[bool] | TextClause]",
    older: "Sequence[ColumnElement[bool]]",
) -> "Select[Any]":
    others = union_all(
        *(
            select(sessions.c.session_id)
            .where(is_other, sessions.c.first_stored_at > after, *older)
            .order_by(*newest_first(sessions))
            .limit(OTHERS_MAX + 1)
            for is_other in are_others
        )
    )
    return select(
        select(func.count()).select_from(newest).scalar_subquery().label("taken"),
        func.array(select(newest.c.session_id).scalar_subquery()).label("ids"),
        after.label("after"),
        func.array(others.scalar_subquery()).label("others"),
    )


async def _read_by_index(connection: AsyncConnection, query: "Select[Any]") -> "Row[Any]":
    with bounded_search():
        await connection.execute(text(_BY_INDEX))
        found: Row[Any] = (await connection.execute(query)).one()
        await connection.execute(text(_BY_BITMAPS_TOO))
    return found


def _one_of(session_ids: Sequence[str]) -> "ColumnElement[bool]":
    # As one parameter: thousands of them take long to compile.
    return sessions.c.session_id == any_(literal(session_ids, ARRAY(Text)))


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
