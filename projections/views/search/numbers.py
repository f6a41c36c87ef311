"""Which sessions have a number: of one of their legs, or of a dial or transfer that failed.

A command that failed placed no leg, and yet its number is what a reader looks for.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    Table,
    and_,
    exists,
    false,
    func,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from offhook.patterns import Pattern, number_patterns_in
from offhook.projections.views.commands import (
    DIAL_NUMBERS,
    FAILED_DIAL,
    FAILED_DIAL_TO_SEVERAL,
    commands,
)
from offhook.projections.views.legs import legs
from offhook.projections.views.sessions import STORED_APART, sessions
from offhook.projections.views.stored.event_log import CLOCK_STEP_MAX
from offhook.projections.views.view import storable

NUMBERS = ("from_number", "to_number")
_COMPARED = {"legs": NUMBERS, "commands": ("status", "operation", "parameters")}

Patterns = Sequence[Pattern]
Columns: TypeAlias = "ReadOnlyColumnCollection[str, ColumnElement[Any]]"


def sessions_with_number(wanted: Patterns, limit: int | None = None) -> "CompoundSelect[Any]":
    """Ids of sessions that have a wanted number, some twice: `limit` for each pattern and place.

    A query for each, so that each can be read from its index as far as needed.
    """
    columns = {table.name: [table.c.session_id] for table in (legs, commands)}
    return _with_number(wanted, limit, columns)


def timed_sessions_with_number(wanted: Patterns, limit: int) -> "CompoundSelect[Any]":
    """As `sessions_with_number`, each with a time that its first record is not after, as `latest`.

    Unless it is `STORED_LATE`. The time is null if none is known.
    """
    latest = {
        # A session starts with the first leg of it that does.
        legs: legs.c.started_at + STORED_APART,
        # By the log's clock, as the first record.
        commands: commands.c.decided_at + CLOCK_STEP_MAX,
    }
    columns = {table.name: [table.c.session_id, at.label("latest")] for table, at in latest.items()}
    return _with_number(wanted, limit, columns)


def _with_number(
    wanted: Patterns, limit: int | None, columns: "Mapping[str, Sequence[ColumnElement[Any]]]"
) -> "CompoundSelect[Any]":
    return union_all(
        *(
            select(*columns[table.name]).where(place).limit(limit)
            for table in (legs, commands)
            for group in _groups(wanted)
            for place in _places(table, group, table.c)
        )
    )


def legs_with_number(name: str, wanted: Patterns, limit: int) -> "CompoundSelect[Any]":
    """Ids of sessions with a leg that has such a number there, some twice: `limit` a pattern."""
    return union_all(
        *(
            select(legs.c.session_id).where(matches(legs.c[name], group)).limit(limit)
            for group in _groups(wanted)
        )
    )


def last_legs_with_number(wanted: Patterns, walked_max: int) -> "Select[Any]":
    """Of the legs that started last those with such a number, as `timed_sessions_with_number`.

    First are those whose start is not known.
    """
    columns = (legs.c[name] for name in ("session_id", "started_at", *NUMBERS))
    last = select(*columns).order_by(legs.c.started_at.desc()).limit(walked_max).subquery()
    latest = (last.c.started_at + STORED_APART).label("latest")
    return select(last.c.session_id, last.c.started_at, latest).where(
        or_(*_places(legs, wanted, last.c))
    )


def start_of_last_legs(walked_max: int) -> "ColumnElement[datetime]":
    """The latest time at which the session of any leg but these last ones was stored.

    As `latest` of `timed_sessions_with_number`; null if there are fewer legs.
    """
    starts = select(legs.c.started_at).order_by(legs.c.started_at.desc())
    first: ColumnElement[datetime] = starts.offset(walked_max - 1).limit(1).scalar_subquery()
    return first + STORED_APART


def _groups(wanted: Patterns) -> "Sequence[Patterns]":
    """The patterns that an index is read for at once: all without a star, each with one."""
    exact = [each for each in wanted if each.kind == "exact"]
    return [*([exact] if exact else ()), *([each] for each in wanted if each.kind != "exact")]


def has_number(number: str, *, have_one: bool = False) -> "Iterator[ColumnElement[bool]]":
    """The conditions for sessions with a wanted number and without an unwanted one.

    Each session is looked up by itself: what nearly every one has is then found in the newest.
    `have_one`: all of them are known to have a wanted one.
    """
    patterns = number_patterns_in(storable(number))
    if patterns.any_of and not have_one:
        yield _has_one(patterns.any_of)
    if patterns.none_of:
        yield ~_has_one(patterns.none_of)


def _has_one(wanted: Patterns) -> "ColumnElement[bool]":
    return or_(*(_one_of_session(table, wanted) for table in (legs, commands)))


def _one_of_session(table: Table, wanted: Patterns) -> "ColumnElement[bool]":
    of_session = table.c.session_id == sessions.c.session_id
    its = select(*(table.c[name] for name in _COMPARED[table.name])).where(of_session)
    if table is commands:
        its = its.where(text(FAILED_DIAL))
    # With an offset Postgres reads the session's rows first. It takes most patterns for rare, and
    # would read all rows that match from the index of numbers, again for each session.
    rows = its.offset(0).correlate(sessions).subquery()
    return exists().select_from(rows).where(or_(*_places(table, wanted, rows.c)))


def has_failed_dial(wanted: Patterns) -> "ColumnElement[bool]":
    """The condition for sessions with a failed dial to or from such a number.

    `sessions.failed_commands` does not tell: it leaves out one that lost a race with the hangup.
    """
    return _one_of_session(commands, wanted)


def wants_number(number: str | None) -> bool:
    """Whether a session is found by a number that it has, rather than by one that it lacks."""
    return number is not None and bool(number_patterns_in(storable(number)).any_of)


def matches(column: "ColumnElement[str | None]", patterns: Patterns) -> "ColumnElement[bool]":
    """The condition for a text that one of the patterns matches."""
    exact = sorted({each.text for each in patterns if each.kind == "exact"})
    conditions: list[ColumnElement[bool]] = [column.in_(exact)] if exact else []
    for each in patterns:
        if each.kind == "prefix":
            conditions.append(column.like(_escaped(each.text) + "%"))
        elif each.kind == "suffix":
            conditions.append(func.reverse(column).like(_escaped(each.text[::-1]) + "%"))
    return or_(false(), *conditions)


def _places(table: Table, wanted: Patterns, columns: "Columns") -> "Iterator[ColumnElement[bool]]":
    """The conditions for a row with such a number, one for each place where it may be."""
    if table is legs:
        for name in NUMBERS:
            yield matches(columns[name], wanted)
        return
    for number in DIAL_NUMBERS:
        yield and_(text(FAILED_DIAL), matches(number, wanted))
    to = func.jsonb_array_elements_text(columns.parameters["to"]).table_valued("value")
    one = to.render_derived()
    several = exists().select_from(one).where(matches(one.c.value, wanted))
    yield and_(text(FAILED_DIAL_TO_SEVERAL), several)


def _escaped(text_: str) -> str:
    return text_.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
