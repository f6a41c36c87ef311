"""How the sessions with a number are found: how many have it decides."""

from collections.abc import AsyncGenerator, Sequence
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
    null,
    select,
    text,
    true,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.patterns import Pattern
from offhook.projections.views.search.numbers import (
    has_failed_dial,
    last_legs_with_number,
    sessions_with_number,
    start_of_last_legs,
    timed_sessions_with_number,
)
from offhook.projections.views.search.time_bound import BY_BITMAPS_TOO, BY_INDEX, bounded_search
from offhook.projections.views.sessions import STORED_LATE, sessions
from offhook.projections.views.stored.event_log import newest_first

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


class WithNumber(NamedTuple):
    """Conditions for the sessions with a number, by two plans; `compared` only if they are many.

    If `after` is given, perhaps not all of those that are stored up to that time are `looked_up`;
    without `all_have` some of them may not have the number.
    """

    looked_up: "ColumnElement[bool]"
    compared: "ColumnElement[bool] | None" = None
    after: datetime | None = None
    all_have: bool = True


async def with_number(
    connection: AsyncConnection,
    patterns: Sequence[Pattern],
    older: "Sequence[ColumnElement[bool]]",
    before_seq: int | None,
    newest_max: int | None,
) -> AsyncGenerator[WithNumber, None]:
    """The conditions for the sessions with such a number; none for all if over SOME_MAX have it.

    Postgres expects any number of them, and cannot choose itself between reading these and looking
    for them in all sessions, newest first. With `newest_max` those come first that a page needs
    which has no other condition: perhaps that many of the newest are enough.
    """
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
        yield WithNumber(_one_of(found.ids))
        return
    if found.after is not None and len(found.others) <= OTHERS_MAX:
        yield _newest(found)
    # Not as a join: Postgres would look each up, and sort them. A transaction that sees what is
    # new may find a few more than were counted.
    again = sessions_with_number(patterns).limit(2 * SOME_MAX)
    yield WithNumber(
        sessions.c.session_id == any_(func.array(again.scalar_subquery())),
        compared=sessions.c.session_id.in_(again).is_(true())
        if found.number_of > FEW_MAX
        else None,
    )


def _newest(found: "Row[Any]") -> WithNumber:
    ids = _one_of([*found.ids, *found.others])
    return WithNumber(ids, after=found.after, all_have=not found.others)


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
        await connection.execute(text(BY_INDEX))
        found: Row[Any] = (await connection.execute(query)).one()
        await connection.execute(text(BY_BITMAPS_TOO))
    return found


def _one_of(session_ids: Sequence[str]) -> "ColumnElement[bool]":
    # As one parameter: thousands of them take long to compile.
    return sessions.c.session_id == any_(literal(session_ids, ARRAY(Text)))
