"""Which sessions are listed: the same rule as a condition in SQL and for a row in hand.

`number`, `any_leg` and `leg_…` are of any leg, which a row in hand does not have: `is_listed`
ignores them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, cast, exists, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB

from offhook.patterns import Pattern, Patterns, number_patterns_in, patterns_in
from offhook.projections.views.legs import legs
from offhook.projections.views.parked import parked_sessions
from offhook.projections.views.search.numbers import NUMBERS, has_number, matches, wants_number
from offhook.projections.views.sessions import SessionView, sessions
from offhook.projections.views.view import storable


@dataclass(frozen=True, kw_only=True)
class SessionFilter:
    """Which sessions are listed; None matches any value. Times are `from` ≤ t < `before`.

    Ids, numbers, cause, source and SIP code are patterns (`offhook.patterns`); in the other texts
    UNKNOWN matches a missing value. A duration is from the start to the end, an answer delay from
    the start to the answer, talk from the answer to the end; both bounds are included.

    `failed_command` has patterns too: one of a command that failed matches its operation, its
    reason or its HTTP status.

    `flow_raised` is whether it was ever parked because its flow raised; its range is about the
    last time.

    With `any_leg` a single leg, any of them, has to meet all conditions but those on the session:
    `session_id`, `status`, `number`, `failed`, `failed_command`, `flow_raised` and its range, and
    `leg_hangup_cause` with `leg_sip_hangup_cause`, which a leg has to meet by itself.
    """

    session_id: str | None = None
    call_control_id: str | None = None
    status: str | None = None
    connection_id: str | None = None
    direction: str | None = None
    number: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    hangup_cause: str | None = None
    hangup_source: str | None = None
    sip_hangup_cause: str | None = None
    leg_hangup_cause: str | None = None
    leg_sip_hangup_cause: str | None = None
    flow: str | None = None
    flow_version: str | None = None
    failed: bool | None = None
    failed_command: str | None = None
    flow_raised: bool | None = None
    flow_raised_from: datetime | None = None
    flow_raised_before: datetime | None = None
    started_from: datetime | None = None
    started_before: datetime | None = None
    ended_from: datetime | None = None
    ended_before: datetime | None = None
    answered: bool | None = None
    duration_s_min: float | None = None
    duration_s_max: float | None = None
    answer_delay_s_min: float | None = None
    answer_delay_s_max: float | None = None
    talk_s_min: float | None = None
    talk_s_max: float | None = None
    any_leg: bool = False


EQUAL = ("connection_id", "direction", "flow", "flow_version")
UNKNOWN = "!*"
"""Of these: what has no value, as in a pattern."""

RANGES = ("started", "ended")
SPANS = {
    "duration": ("started_at", "ended_at"),
    "answer_delay": ("started_at", "answered_at"),
    "talk": ("answered_at", "ended_at"),
}
ENDINGS = ("hangup_cause", "sip_hangup_cause")
TEXTS = (
    *("session_id", "call_control_id"),
    *(*ENDINGS, "hangup_source"),
)


def listed(
    wanted: SessionFilter, now: datetime, *, have_number: bool = False
) -> "ColumnElement[bool]":
    """The condition for sessions that are listed at `now`; `is_listed` says the same of a row.

    `have_number`: of sessions which are known to have a wanted number.

    Without a status, sessions without legs are left out unless something is wrong with them, or is
    wanted of them: a failed command or its number, as of a dial that placed no call, or a flow that
    raised.
    """
    is_wrong = sessions.c.parked | parked_sessions.c.error.is_not(None)
    if wanted.failed_command is not None or wants_number(wanted.number):
        is_wrong |= sessions.c.failed_commands.is_not(None)
    if _asks_flow_raised(wanted):
        is_wrong |= sessions.c.flow_raised_at.is_not(None)
    status = (
        (sessions.c.status != "empty") | is_wrong
        if wanted.status is None
        else _has_status(wanted.status, now)
    )
    return and_(status, *_conditions(wanted, have_number=have_number))


def is_listed(session: SessionView, wanted: SessionFilter) -> bool:
    """Whether the session, as `session_at` shows it, is listed."""
    if wanted.status is None:
        is_wrong = session.parked or session.fold_error is not None
        if wanted.failed_command is not None:
            is_wrong = is_wrong or session.failed_commands is not None
        if _asks_flow_raised(wanted):
            is_wrong = is_wrong or session.flow_raised_at is not None
        if session.status == "empty" and not is_wrong:
            return False
    elif session.status != wanted.status:
        return False
    for name in EQUAL:
        value = getattr(wanted, name)
        expected = None if value == UNKNOWN else storable(value)
        if value is not None and getattr(session, name) != expected:
            return False
    for name, patterns in _patterns(wanted):
        if not patterns.match(getattr(session, name)):
            return False
    return (
        wanted.failed in (None, session.failed)
        and _failed_commands(wanted).match(*_failure_words(session))
        and wanted.flow_raised in (None, session.flow_raised_at is not None)
        and _is_within(session.flow_raised_at, wanted.flow_raised_from, wanted.flow_raised_before)
        and wanted.answered in (None, session.answered_at is not None)
        and _is_within(_start(session, wanted), wanted.started_from, wanted.started_before)
        and _is_within(session.ended_at, wanted.ended_from, wanted.ended_before)
        and all(_lasts(session, wanted, name) for name in SPANS)
    )


def has_leg(wanted: SessionFilter) -> "Iterator[ColumnElement[bool]]":
    """Conditions on the legs a session has now that hold if it ever was listed.

    The numbers and the connection of a leg do not change once they are known, and a session whose
    flow has raised stays one. A pattern that a value must not match says nothing, because the
    session may be listed by another leg.
    """
    if _asks_flow_raised(wanted):
        yield sessions.c.flow_raised_at.is_not(None)
    of_session = legs.c.session_id == sessions.c.session_id
    if wanted.connection_id not in (None, UNKNOWN):
        has_connection = legs.c.connection_id == storable(wanted.connection_id)
        yield exists().where(of_session, has_connection)
    for name, text in ((name, getattr(wanted, name)) for name in NUMBERS):
        if text is not None and (any_of := number_patterns_in(storable(text)).any_of):
            yield exists().where(of_session, matches(legs.c[name], any_of))


def _conditions(wanted: SessionFilter, *, have_number: bool) -> "Iterator[ColumnElement[bool]]":
    if wanted.failed is not None:
        # "failed = true" would not be recognised as the condition of its index.
        yield sessions.c.failed if wanted.failed else ~sessions.c.failed
    if wanted.failed_command is not None:
        yield from _has_failed_command(_failed_commands(wanted))
    yield from _flow_raised(wanted)
    if wanted.number is not None:
        yield from has_number(wanted.number, have_one=have_number)
    if how_it_ended := list(_of_some_leg(wanted)):
        yield sessions.c.session_id.in_(select(legs.c.session_id).where(*how_it_ended))
    of_row = list(_of_row(wanted, legs if wanted.any_leg else sessions))
    if wanted.any_leg and of_row:
        yield sessions.c.session_id.in_(select(legs.c.session_id).where(*of_row))
    else:
        yield from of_row


def _of_row(wanted: SessionFilter, table: Table) -> "Iterator[ColumnElement[bool]]":
    """What a session has, as that of its first leg, and each of its legs has."""
    columns = table.c
    for name in EQUAL:
        if (value := getattr(wanted, name)) is not None:
            yield columns[name] == (None if value == UNKNOWN else storable(value))
    if wanted.answered is not None:
        is_answered = columns.answered_at.is_not(None)
        yield is_answered if wanted.answered else ~is_answered
    for name, patterns in _patterns(wanted):
        yield from _match(columns[name], patterns)
    for name in RANGES:
        column: ColumnElement[datetime | None] = columns[f"{name}_at"]
        if name == "started" and table is sessions:
            yield from started_within(wanted)
        else:
            yield from _within(column, wanted, name)
    for name, (first, last) in SPANS.items():
        lasted_s = func.extract("epoch", columns[last] - columns[first])
        if (least := getattr(wanted, f"{name}_s_min")) is not None:
            yield lasted_s >= least
        if (most := getattr(wanted, f"{name}_s_max")) is not None:
            yield lasted_s <= most


def started_within(wanted: SessionFilter) -> "Sequence[ColumnElement[bool]]":
    """The conditions for a session's own start, if it has to be in a range."""
    within = _within(sessions.c.started_at, wanted, "started")
    if not within or not _may_have_no_legs(wanted):
        return within
    # An expression of both columns would be in no index.
    stored_within = _within(sessions.c.first_stored_at, wanted, "started")
    return [or_(and_(*within), and_(sessions.c.started_at.is_(None), *stored_within))]


def _of_some_leg(wanted: SessionFilter) -> "Iterator[ColumnElement[bool]]":
    for name in ENDINGS:
        if (text := getattr(wanted, f"leg_{name}")) is not None:
            yield from _match(legs.c[name], patterns_in(storable(text)))


def _match(column: "ColumnElement[Any]", patterns: Patterns) -> "Iterator[ColumnElement[bool]]":
    if patterns.any_of:
        yield matches(column, patterns.any_of)
    if patterns.none_of:
        yield matches(column, patterns.none_of).is_not(True)


def _within(
    column: "ColumnElement[datetime | None]", wanted: SessionFilter, name: str
) -> "Sequence[ColumnElement[bool]]":
    since, before = (getattr(wanted, f"{name}_{bound}") for bound in ("from", "before"))
    conditions = []
    if since is not None:
        conditions.append(column >= since)
    if before is not None:
        conditions.append(column < before)
    return conditions


def _flow_raised(wanted: SessionFilter) -> "Iterator[ColumnElement[bool]]":
    raised_at = sessions.c.flow_raised_at
    if wanted.flow_raised is not None:
        yield raised_at.is_not(None) if wanted.flow_raised else raised_at.is_(None)
    if wanted.flow_raised_from is not None:
        yield raised_at >= wanted.flow_raised_from
    if wanted.flow_raised_before is not None:
        yield raised_at < wanted.flow_raised_before


def _asks_flow_raised(wanted: SessionFilter) -> bool:
    """Whether only sessions are wanted whose flow raised."""
    bounds = (wanted.flow_raised_from, wanted.flow_raised_before)
    return wanted.flow_raised is True or any(bound is not None for bound in bounds)


def _may_have_no_legs(wanted: SessionFilter) -> bool:
    """Whether such sessions are wanted; they start with their first record."""
    asks_what_failed = wanted.failed_command is not None or _asks_flow_raised(wanted)
    is_asked = asks_what_failed or wants_number(wanted.number)
    return wanted.status == "empty" or (wanted.status is None and is_asked)


def _start(session: SessionView, wanted: SessionFilter) -> datetime | None:
    first_stored_at = session.first_stored_at if _may_have_no_legs(wanted) else None
    return session.started_at or first_stored_at


FAILURE_WORDS = ("operation", "reason", "http_status")
"""What a pattern of `failed_command` is compared with."""

_HTTP_STATUS = re.compile(r"[1-9][0-9]{0,8}")


def _failed_commands(wanted: SessionFilter) -> Patterns:
    if wanted.failed_command is None:
        return Patterns(any_of=(), none_of=())
    return patterns_in(storable(wanted.failed_command))


def _failure_words(session: SessionView) -> "Iterator[str | None]":
    for each in session.failed_commands or ():
        for name in FAILURE_WORDS:
            yield None if each[name] is None else str(each[name])


def _has_failed_command(patterns: Patterns) -> "Iterator[ColumnElement[bool]]":
    """One that failed matches a wanted pattern, and none an unwanted one."""
    failed = sessions.c.failed_commands

    def any_command(wanted: Sequence[Pattern]) -> "ColumnElement[bool]":
        # Whole words are found by their index, however rare they are.
        found = [
            failed.contains([{name: word}])
            for each in wanted
            if each.kind == "exact"
            for name, word in _whole_words(each.text)
        ]
        if parts := [each for each in wanted if each.kind != "exact"]:
            each = func.jsonb_array_elements(failed).table_valued("value").render_derived()
            words = (cast(each.c.value, JSONB)[name].astext for name in FAILURE_WORDS)
            matching = or_(*(matches(word, parts) for word in words))
            found.append(exists().select_from(each).where(matching))
        return and_(failed.is_not(None), or_(*found))

    if patterns.any_of:
        yield any_command(patterns.any_of)
    if patterns.none_of:
        yield any_command(patterns.none_of).is_not(True)


def _whole_words(word: str) -> "Iterator[tuple[str, str | int]]":
    """The failure words that a text may be, with the value that is stored."""
    for name in FAILURE_WORDS:
        if name != "http_status":
            yield name, word
        elif _HTTP_STATUS.fullmatch(word):
            yield name, int(word)


def _patterns(wanted: SessionFilter) -> "Iterator[tuple[str, Patterns]]":
    for name in NUMBERS:
        if (text := getattr(wanted, name)) is not None:
            yield name, number_patterns_in(storable(text))
    for name in TEXTS:
        if (text := getattr(wanted, name)) is not None:
            yield name, patterns_in(storable(text))


def _is_within(at: datetime | None, since: datetime | None, before: datetime | None) -> bool:
    if since is None and before is None:
        return True
    return at is not None and (since is None or at >= since) and (before is None or at < before)


def _lasts(session: SessionView, wanted: SessionFilter, span: str) -> bool:
    least, most = (getattr(wanted, f"{span}_s_{bound}") for bound in ("min", "max"))
    if least is None and most is None:
        return True
    first, last = (getattr(session, name) for name in SPANS[span])
    if first is None or last is None:
        return False
    lasted_s = (last - first).total_seconds()
    return (least is None or lasted_s >= least) and (most is None or lasted_s <= most)


def _has_status(status: str, now: datetime) -> "ColumnElement[bool]":
    """As `session_at` has it: what was active is ended once the carrier's limit has passed."""
    is_up = sessions.c.up_until > now
    match status:
        case "active":
            return and_(sessions.c.status == status, is_up)
        case "ended":
            lost = and_(sessions.c.status == "active", is_up.is_not(True))
            return or_(sessions.c.status == status, lost)
        case _:
            return sessions.c.status == status
