"""The view of sessions: a row for each, with its legs and commands beside it.

Whether a session is up at a given time is decided as for its legs: see `legs`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Index, Select, bindparam, desc, literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.commands import (
    COMMANDS_MAX,
    CommandView,
    WantedCommands,
    by_decision,
    commands,
    read_commands_of,
)
from offhook.projections.views.fold import Folded
from offhook.projections.views.legs import LegView, leg_at, legs, list_legs
from offhook.projections.views.parked import parked_sessions
from offhook.projections.views.view import Seq, View, column_names, storable, storable_row, table_of
from offhook.session import Session
from offhook.session.leg import Leg


@dataclass(frozen=True, kw_only=True)
class SessionView:
    """A session; null is what no record has said.

    `failed_commands` has the operation, reason, http_status and count of each kind of command that
    failed, the first kind first, at most 20; null without any. `flow_raised_at` is when it was
    parked last because its flow raised, by the log's clock; it stays when the session is resumed.
    `fold_error` is set while its views cannot follow the log. `end_inferred` is true if it must
    have ended by now and not every hangup was received.
    """

    session_id: str
    status: str  # empty, active, ended
    started_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    up_until: datetime | None  # by then the carrier ends it; null unless it is up
    leg_count: int
    # Of the first leg to start.
    call_control_id: str | None
    connection_id: str | None
    direction: str | None
    from_number: str | None
    to_number: str | None
    hangup_cause: str | None
    hangup_source: str | None
    sip_hangup_cause: str | None
    # Of all its legs, as far as it is known; null if in several currencies.
    cost: Decimal | None
    currency: str | None
    recording_count: int
    recordings: Sequence[Mapping[str, Any]] | None  # as `conference.Recording`, oldest first
    conferences: Sequence[Mapping[str, Any]] | None  # and when each ended, and why
    # Of the last decision that a flow made, or of the flow that raised.
    flow: str | None
    flow_version: str | None
    parked: bool  # its flow raised: the session waits for an operator
    failed: bool  # parked, or a leg failed and none was answered later: `Session.has_failed`
    failed_commands: Sequence[Mapping[str, Any]] | None  # as `fold.CommandFailure`
    flow_raised_at: datetime | None
    first_seq: Seq
    last_seq: Seq
    first_stored_at: datetime  # of its first record, by the log's clock
    last_stored_at: datetime
    fold_error: str | None = None
    end_inferred: bool = False


STORED_APART = timedelta(minutes=1)
STORED_LATE = "first_stored_at - started_at > interval '1 minute'"
"""Of a session whose first record was stored that long after its start: imported, or delayed."""

STORED_EARLY = "started_at - first_stored_at > interval '1 minute'"
"""Of a session whose first leg started that long after its first record, such as a command."""

sessions = table_of(
    "sessions",
    SessionView,
    Index("sessions_first_seq_index", desc("first_seq")),
    *(
        Index(
            "_".join(("sessions", *first, "first_stored_at_index")),
            *first,
            desc("first_stored_at"),
            desc("first_seq"),
        )
        for first in ((), ("status",), ("connection_id",), ("hangup_cause",))
    ),
    # The start of a number is found by its bytes, whatever the collation, and its end backwards.
    *(
        Index(
            f"sessions_{number}_first_stored_at_index",
            number,
            desc("first_stored_at"),
            desc("first_seq"),
            postgresql_ops={number: "text_pattern_ops"},
        )
        for number in ("from_number", "to_number")
    ),
    *(
        Index(
            f"sessions_{number}_reversed_index",
            literal_column(f"reverse({number})").label("reversed"),
            postgresql_ops={"reversed": "text_pattern_ops"},
        )
        for number in ("from_number", "to_number")
    ),
    Index(
        "sessions_failed_index",
        desc("first_stored_at"),
        desc("first_seq"),
        postgresql_where=text("failed"),
    ),
    Index(
        "sessions_failed_commands_index",
        desc("first_stored_at"),
        desc("first_seq"),
        postgresql_where=text("failed_commands IS NOT NULL"),
    ),
    Index(
        "sessions_failed_commands_words_index",
        "failed_commands",
        postgresql_using="gin",
        postgresql_ops={"failed_commands": "jsonb_path_ops"},
        # Without a list of what is not yet in the index, which each search would read.
        postgresql_with={"fastupdate": "off"},
        postgresql_where=text("failed_commands IS NOT NULL"),
    ),
    Index(
        "sessions_flow_raised_index",
        desc("first_stored_at"),
        desc("first_seq"),
        postgresql_where=text("flow_raised_at IS NOT NULL"),
    ),
    # A search knows of the others that they were stored about when they, or their legs, started.
    *(
        Index(
            f"sessions_stored_{when}_index",
            desc("first_stored_at"),
            desc("first_seq"),
            postgresql_where=text(where),
        )
        for when, where in (("late", STORED_LATE), ("early", STORED_EARLY))
    ),
    Index("sessions_started_at_index", "started_at"),
    Index("sessions_parked_index", "session_id", postgresql_where=text("parked")),
    key=("session_id",),
)


def session_rows(folded: Folded, after_seq: int = 0) -> list[SessionView]:
    """The session's row. Webhooks of other products are no session, and have none.

    It counts the session's records, so it changes with each of them, whatever `after_seq` is.
    """
    return [session_view(folded)] if folded.is_call else []


SESSIONS = View(
    table=sessions,
    rows_of=session_rows,
    kept_when_erased=column_names(
        """
        status started_at answered_at ended_at up_until leg_count connection_id direction
        hangup_cause hangup_source sip_hangup_cause cost currency recording_count flow
        flow_version failed failed_commands flow_raised_at
        first_seq first_stored_at last_seq last_stored_at
        """
    ),
    cleared_when_erased=column_names(
        """
        from_number to_number recordings conferences parked
        """
    ),
)


def session_at(session: SessionView, now: datetime) -> SessionView:
    """The session as it is shown at `now`."""
    if is_up_or_over(session.status, session.ended_at, session.up_until, now):
        return session
    return replace(session, status="ended", end_inferred=True)


def is_up_or_over(
    status: str, ended_at: datetime | None, up_until: datetime | None, now: datetime
) -> bool:
    """Whether the status of its row holds at `now`; if not, its end was lost and it has ended."""
    if status == "empty" or ended_at is not None:
        return True
    return status == "active" and up_until is not None and now < up_until


@dataclass(frozen=True, kw_only=True)
class SessionDetail:
    """A session with its legs, in order of start, and its last commands, in order of decision.

    `commands_next` is null if these are all commands; else it is `before` for the page of
    `/sessions/{session_id}/commands` with those before them.
    """

    session: SessionView
    legs: Sequence[LegView]
    commands: Sequence[CommandView]
    commands_next: str | None = None


def detail_of(
    session: SessionView, its_legs: Sequence[LegView], its_commands: Sequence[CommandView]
) -> SessionDetail:
    """The three put together, legs in order of start, commands in order of decision."""
    return SessionDetail(
        session=session,
        legs=sorted(its_legs, key=by_start),
        commands=sorted(its_commands, key=by_decision),
    )


def detail_at(detail: SessionDetail, now: datetime) -> SessionDetail:
    """The session and its legs as they are shown at `now`."""
    return replace(
        detail,
        session=session_at(detail.session, now),
        legs=[leg_at(leg, now) for leg in detail.legs],
    )


async def read_session(
    connection: AsyncConnection, session_id: str, *, commands_max: int = COMMANDS_MAX
) -> SessionDetail | None:
    """The session as the views have it, with its last commands; None if there is none.

    A dial that was requested on its own has a session of its own: that leads to the call it placed,
    whose commands have the dial among them.
    """
    session_id = await call_session_of(connection, session_id)
    found = await connection.execute(
        sessions_and_errors().where(sessions.c.session_id == storable(session_id))
    )
    row = found.one_or_none()
    if row is None:
        return None
    page = await read_commands_of(connection, row.session_id, WantedCommands(limit=commands_max))
    assert page is not None
    detail = detail_of(
        SessionView(**row._mapping),
        await list_legs(connection, legs.c.session_id == row.session_id),
        page.commands,
    )
    return replace(detail, commands_next=page.next)


async def call_session_of(connection: AsyncConnection, session_id: str) -> str:
    """The session of the call that a requested dial placed; any other session is its own."""
    found = await connection.execute(_CALLS_OF_DIAL, {"session_id": storable(session_id)})
    calls: Sequence[str] = found.scalars().all()
    return calls[0] if len(calls) == 1 else session_id


_dialling, _placed = sessions.alias(), sessions.alias()
_CALLS_OF_DIAL = (
    select(commands.c.answer_session_id)
    .join(_dialling, _dialling.c.session_id == commands.c.session_id)
    .join(_placed, _placed.c.session_id == commands.c.answer_session_id)
    .where(commands.c.session_id == bindparam("session_id"), _dialling.c.leg_count == 0)
    .distinct()
    .limit(2)
)


def sessions_and_errors() -> "Select[Any]":
    """The rows of sessions as `SessionView` takes them."""
    joined = sessions.outerjoin(
        parked_sessions, parked_sessions.c.session_id == sessions.c.session_id
    )
    return select(sessions, parked_sessions.c.error.label("fold_error")).select_from(joined)


def by_start(leg: LegView) -> tuple[bool, float, str]:
    """The order of legs: by their start, those without one last."""
    started_s = leg.started_at.timestamp() if leg.started_at else 0.0
    return leg.started_at is None, started_s, leg.call_control_id


def session_view(folded: Folded) -> SessionView:
    """The session's row, whether or not the views have one of it."""
    session = folded.session
    first = _first_leg(session.legs)
    cost, currency = session.cost
    return storable_row(
        SessionView,
        session_id=session.session_id,
        status=session.status,
        started_at=session.started_at,
        answered_at=session.answered_at,
        ended_at=session.ended_at,
        up_until=session.up_until,
        leg_count=len(session.legs),
        call_control_id=first.call_control_id if first else None,
        connection_id=first.connection_id if first else None,
        direction=first.direction if first else None,
        from_number=first.from_ if first else None,
        to_number=first.to if first else None,
        hangup_cause=first.hangup_cause if first else None,
        hangup_source=first.hangup_source if first else None,
        sip_hangup_cause=first.sip_hangup_cause if first else None,
        cost=cost,
        currency=currency,
        recording_count=len(session.recordings),
        recordings=_recordings(session),
        conferences=_conferences(session),
        flow=folded.flow,
        flow_version=folded.flow_version,
        parked=session.is_parked,
        failed=session.has_failed,
        failed_commands=[vars(each) for each in folded.command_failures] or None,
        flow_raised_at=folded.flow_raised_at,
        first_seq=folded.first_seq,
        last_seq=folded.last_seq,
        first_stored_at=folded.first_stored_at,
        last_stored_at=folded.last_stored_at,
    )


def _first_leg(its_legs: Mapping[str, Leg]) -> Leg | None:
    """The leg that started first."""
    return min(
        its_legs.values(),
        key=lambda leg: (leg.started_at or _NEVER, leg.call_control_id),
        default=None,
    )


def _recordings(session: Session) -> list[dict[str, Any]] | None:
    if not session.recordings:
        return None
    found = sorted(session.recordings.values(), key=lambda recording: recording.stamp)
    plain: list[dict[str, Any]] = msgspec.to_builtins(found)
    return [{name: item for name, item in each.items() if name != "stamp"} for each in plain]


def _conferences(session: Session) -> list[dict[str, Any]] | None:
    if not session.conferences:
        return None
    found = [
        {
            "conference_id": conference.conference_id,
            "created_at": conference.created_at,
            "ended_at": conference.ended_at,
            "end_reason": conference.end_reason,
        }
        for _, conference in sorted(session.conferences.items())
    ]
    plain: list[dict[str, Any]] = msgspec.to_builtins(found)
    return plain


_NEVER = datetime.max.replace(tzinfo=UTC)
