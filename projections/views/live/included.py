"""What a list of sessions includes on request: legs, the last webhook, the last command, and what
was asked for where there is no leg.

One query for each kind, however many sessions the page has.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ARRAY, Text, cast, func, literal, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.events import WebhookReceived
from offhook.projections.views.commands import commands
from offhook.projections.views.legs import LegView, leg_at, legs, list_legs
from offhook.projections.views.live.phases import Phase, phase_at
from offhook.projections.views.sessions import SessionView, by_start
from offhook.projections.views.stored.event_log import STORED, event_log, read_stored
from offhook.wording.asked import numbers_of

Include = Literal["legs", "last"]


@dataclass(frozen=True, kw_only=True)
class LastEvent:
    """The last webhook of a session in the log. Null is what cannot be read of it."""

    seq: int
    event_type: str | None
    call_control_id: str | None
    occurred_at: datetime | None  # the carrier's clock
    stored_at: datetime  # the log's clock


@dataclass(frozen=True, kw_only=True)
class LastCommand:
    """The command that was decided or requested last; its outcome, as in `/commands`."""

    session_id: str
    command_id: str
    call_control_id: str | None
    operation: str | None
    status: str  # requested, pending, succeeded, failed
    reason: str | None
    detail: str | None
    http_status: int | None
    requested_at: datetime | None
    decided_at: datetime | None
    settled_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the first command of a session without legs asked for, as a dial that was refused."""

    operation: str | None
    call_control_id: str | None
    from_number: str | None
    to_number: str | None  # several with commas between
    asked_at: datetime | None  # when it was requested or decided


@dataclass(frozen=True, kw_only=True)
class IncludingSession(SessionView):
    """A session with what was asked for; null is what was not.

    `phase` and `asked` come with `legs`; `phase` is null unless the session is up, `asked` unless
    it has a command and no leg. `last_event` is null too if the
    session's records are archived or no webhook is among them, `last_command` if it has none.
    """

    phase: Phase | None = None
    legs: Sequence[LegView] | None = None
    asked: Asked | None = None
    last_event: LastEvent | None = None
    last_command: LastCommand | None = None


async def including(
    connection: AsyncConnection,
    found: Sequence[SessionView],
    include: Collection[Include],
    now: datetime,
) -> list[IncludingSession]:
    """These sessions, as `session_at` shows them at `now`, with what is included."""
    ids = [session.session_id for session in found]
    events: Mapping[str, LastEvent] = {}
    issued: Mapping[str, LastCommand] = {}
    if "last" in include:
        events, issued = await _last_events(connection, ids), await _last_commands(connection, ids)
    its_legs, asked = None, dict[str, Asked]()
    if "legs" in include:
        its_legs = await _legs(connection, ids, now)
        asked = await _asked(connection, [each for each in ids if each not in its_legs])

    def whole(session: SessionView) -> IncludingSession:
        own = None if its_legs is None else its_legs.get(session.session_id, [])
        found = object.__new__(IncludingSession)  # as `storable_row` leaves the constructor out
        found.__dict__.update(
            vars(session),
            phase=None if own is None else phase_at(session, own, now),
            legs=own,
            asked=asked.get(session.session_id),
            last_event=events.get(session.session_id),
            last_command=issued.get(session.session_id),
        )
        return found

    return [whole(session) for session in found]


async def _legs(
    connection: AsyncConnection, ids: Sequence[str], now: datetime
) -> Mapping[str, list[LegView]]:
    """The legs of each session in order of start."""
    its_legs: dict[str, list[LegView]] = defaultdict(list)
    for leg in await list_legs(connection, legs.c.session_id.in_(ids)):
        its_legs[leg.session_id].append(leg_at(leg, now))
    for each in its_legs.values():
        each.sort(key=by_start)
    return its_legs


async def _asked(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Asked]:
    """What the first command of each session asked for."""
    if not ids:
        return {}
    wanted = _each_of(ids)
    at = func.coalesce(commands.c.requested_at, commands.c.decided_at).label("asked_at")
    names = ("session_id", "operation", "call_control_id", "parameters")
    first = (
        select(*(commands.c[name] for name in names), at)
        .where(commands.c.session_id == wanted.c.session_id)
        .order_by(at.nulls_last(), commands.c.ordinal)
        .limit(1)
        .lateral()
    )
    found = await connection.execute(select(first).select_from(wanted.join(first, true())))
    asked: dict[str, Asked] = {}
    for row in found:
        caller, called = numbers_of(row.parameters)
        asked[row.session_id] = Asked(
            operation=row.operation,
            call_control_id=row.call_control_id,
            from_number=caller,
            to_number=called,
            asked_at=row.asked_at,
        )
    return asked


async def _last_events(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, LastEvent]:
    wanted = _each_of(ids)
    last = (
        select(*(event_log.c[name] for name in STORED))
        .where(event_log.c.session_id == wanted.c.session_id, event_log.c.type == _WEBHOOK)
        .order_by(event_log.c.seq.desc())
        .limit(1)
        .lateral()
    )
    found = await connection.execute(select(last).select_from(wanted.join(last, true())))
    return {row.session_id: _last_event(dict(row._mapping)) for row in found}


def _last_event(row: Mapping[str, Any]) -> LastEvent:
    stored = read_stored(**row)
    fact = stored.record.fact if stored.record is not None else None
    event = fact.event if isinstance(fact, WebhookReceived) else None
    return LastEvent(
        seq=stored.seq,
        event_type=event.event_type if event else None,
        call_control_id=event.call_control_id or None if event else None,
        occurred_at=event.occurred_at if event else None,
        stored_at=stored.stored_at,
    )


async def _last_commands(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, LastCommand]:
    """With the dials that placed a session: they are stored under the session that dialled."""
    wanted = _each_of(ids)
    at = func.coalesce(commands.c.decided_at, commands.c.requested_at)
    last = (
        select(*(commands.c[name] for name in _OF_A_COMMAND))
        .where(
            or_(
                commands.c.session_id == wanted.c.session_id,
                commands.c.answer_session_id == wanted.c.session_id,
            )
        )
        .order_by(at.desc().nulls_last(), commands.c.cause_seq.desc(), commands.c.ordinal.desc())
        .limit(1)
        .lateral()
    )
    query = select(wanted.c.session_id.label("of"), last).select_from(wanted.join(last, true()))
    return {
        row.of: LastCommand(**{name: getattr(row, name) for name in _OF_A_COMMAND})
        for row in await connection.execute(query)
    }


def _each_of(ids: Sequence[str]) -> Any:
    listed = cast(literal(list(ids), ARRAY(Text)), ARRAY(Text))
    return select(func.unnest(listed).label("session_id")).subquery()


_WEBHOOK = "WebhookReceived"
_OF_A_COMMAND = tuple(LastCommand.__dataclass_fields__)
