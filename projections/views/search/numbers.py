"""Which sessions have a number: of one of their legs, or of a dial or transfer that failed.

A command that failed placed no leg, and yet its number is what a reader looks for.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
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

from offhook.patterns import Pattern, number_patterns_in
from offhook.projections.views.commands import (
    DIAL_NUMBERS,
    FAILED_DIAL,
    FAILED_DIAL_TO_SEVERAL,
    commands,
)
from offhook.projections.views.legs import legs
from offhook.projections.views.sessions import sessions
from offhook.projections.views.view import storable

NUMBERS = ("from_number", "to_number")


Patterns = Sequence[Pattern]


def sessions_with_number(wanted: Patterns, limit: int | None = None) -> "CompoundSelect[Any]":
    """Ids of sessions that have a wanted number, some twice: `limit` for each pattern and place.

    A query for each, so that each can be read from its index as far as needed.
    """
    return union_all(
        *(
            select(table.c.session_id).where(place).limit(limit)
            for table in (legs, commands)
            for each in wanted
            for place in _places(table, [each])
        )
    )


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
    return or_(
        *(
            # With an offset, Postgres does not read all that match beforehand.
            select(1)
            .where(table.c.session_id == sessions.c.session_id, or_(*_places(table, wanted)))
            .offset(0)
            .exists()
            for table in (legs, commands)
        )
    )


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


def _places(table: Table, wanted: Patterns) -> "Iterator[ColumnElement[bool]]":
    """The conditions for a row with such a number, one for each place where it may be."""
    if table is legs:
        for name in NUMBERS:
            yield matches(legs.c[name], wanted)
        return
    for number in DIAL_NUMBERS:
        yield and_(text(FAILED_DIAL), matches(number, wanted))
    to = func.jsonb_array_elements_text(commands.c.parameters["to"]).table_valued("value")
    one = to.render_derived()
    several = exists().select_from(one).where(matches(one.c.value, wanted))
    yield and_(text(FAILED_DIAL_TO_SEVERAL), several)


def _escaped(text_: str) -> str:
    return text_.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
