"""The view of commands: a row for each command of each session, with what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Index,
    Text,
    bindparam,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.events import CommandFailed, CommandSucceeded, IssuedCommand
from offhook.projections.views.fold import BEGINNING, Folded
from offhook.projections.views.view import (
    Seq,
    View,
    column_names,
    rows_as,
    storable,
    storable_row,
    table_of,
)
from offhook.session import CommandState
from offhook.session.placed import session_of_answer

SIMILAR_MAX = 20
"""Commands that `list_recent_commands` returns at most."""

DIALS_MAX = 100
"""Dials of other sessions that are looked up for a session they placed."""


COMMANDS_MAX = 1_000
"""Commands of a session that are read at once."""


@dataclass(frozen=True, kw_only=True)
class CommandView:
    """A command; null is what no record has said."""

    session_id: str
    command_id: str
    operation: str | None
    call_control_id: str | None
    parameters: Mapping[str, Any] | None
    status: str  # requested, pending, succeeded, failed
    reason: str | None  # why it failed
    detail: str | None
    http_status: int | None
    answer: Mapping[str, Any] | None  # the carrier's whole body
    answer_session_id: str | None  # the session of the leg that a dial placed
    errors: Sequence[Mapping[str, Any]] | None  # the carrier's own
    maybe_performed: bool | None  # of a failed one; null if that was not kept
    attempts: int
    flow: str | None
    flow_version: str | None
    cause_seq: Seq | None
    ordinal: int
    requested_at: datetime | None
    decided_at: datetime | None
    caused_at: datetime | None  # when the record that it was decided on was stored
    settled_at: datetime | None
    last_seq: Seq


FAILED_DIAL = "status = 'failed' AND operation IN ('dial', 'transfer')"
"""The condition for a dial or transfer that never became a call."""

# A list of numbers is no text.
FAILED_DIAL_TO_SEVERAL = f"{FAILED_DIAL} AND jsonb_typeof(parameters -> 'to') = 'array'"

# An application may ask for any text, and a row of an index has a bound.
_DIAL_NUMBERS = {name: f"left(parameters ->> '{name}', 200)" for name in ("from", "to")}
DIAL_NUMBERS: Sequence["ColumnElement[str | None]"] = tuple(
    literal_column(number, Text) for number in _DIAL_NUMBERS.values()
)
"""The numbers that a dial or transfer asked for."""

commands = table_of(
    "commands",
    CommandView,
    Index("commands_command_id_index", "command_id"),
    Index(
        "commands_answer_session_id_index",
        "answer_session_id",
        postgresql_where=text("answer_session_id IS NOT NULL"),
    ),
    Index("commands_decided_at_index", "decided_at"),
    # Bids that never became a call: analytics count them over any range.
    Index(
        "commands_failed_bids_index",
        "decided_at",
        postgresql_where=text(FAILED_DIAL),
    ),
    # Their numbers are searched as those of legs are.
    *(
        Index(
            f"commands_failed_dials_{name}_index",
            literal_column(number).label("number"),
            postgresql_ops={"number": "text_pattern_ops"},
            postgresql_where=text(FAILED_DIAL),
        )
        for name, number in _DIAL_NUMBERS.items()
    ),
    *(
        Index(
            f"commands_failed_dials_{name}_reversed_index",
            literal_column(f"reverse({number})").label("reversed"),
            postgresql_ops={"reversed": "text_pattern_ops"},
            postgresql_where=text(FAILED_DIAL),
        )
        for name, number in _DIAL_NUMBERS.items()
    ),
    Index(
        "commands_failed_dials_session_id_index", "session_id", postgresql_where=text(FAILED_DIAL)
    ),
    Index(
        "commands_failed_dials_to_several_index",
        "session_id",
        postgresql_where=text(FAILED_DIAL_TO_SEVERAL),
    ),
    key=("session_id", "command_id"),
)


def command_rows(folded: Folded, after_seq: int = 0) -> list[CommandView]:
    """The commands that changed after `after_seq`."""
    session = folded.session
    return [
        _row(session.commands[command_id], session.session_id, seq)
        for command_id, seq in folded.command_seqs.items()
        if seq > after_seq
    ]


COMMANDS = View(
    table=commands,
    rows_of=command_rows,
    kept_when_erased=column_names(
        """
        operation status reason http_status maybe_performed attempts flow flow_version
        cause_seq ordinal requested_at decided_at caused_at settled_at last_seq
        """
    ),
    cleared_when_erased=column_names(
        """
        parameters detail answer answer_session_id errors
        """
    ),
)


class PlacingDial(NamedTuple):
    """A dial that placed a session."""

    session_id: str  # where it is recorded
    command_id: str
    cause_seq: int | None


@dataclass(frozen=True, kw_only=True)
class CommandPage:
    """Commands in order of decision. `next` is the first of them if others come before it."""

    commands: Sequence[CommandView]
    next: str | None


@dataclass(frozen=True, kw_only=True)
class WantedCommands:
    """The last commands that meet these, before the one with the id `before`; at most `limit`."""

    limit: int
    before: str | None = None
    status: str | None = None
    operation: str | None = None


async def read_commands_of(
    connection: AsyncConnection, session_id: str, wanted: WantedCommands
) -> CommandPage | None:
    """Of the session's commands and the dials that placed it; None if `before` is none of them."""
    stored = storable(session_id)
    own = or_(commands.c.session_id == stored, commands.c.answer_session_id == stored)
    order = _order_of_decision()
    query = select(commands).where(own).order_by(*(each.desc() for each in order))
    if wanted.status is not None:
        query = query.where(commands.c.status == wanted.status)
    if wanted.operation is not None:
        query = query.where(commands.c.operation == storable(wanted.operation))
    if wanted.before is not None:
        is_it = commands.c.command_id == storable(wanted.before)
        found = await connection.execute(select(*order).where(own, is_it).limit(1))
        if (place := found.one_or_none()) is None:
            return None
        at = [literal(value, each.type) for value, each in zip(place, order, strict=True)]
        query = query.where(tuple_(*order) < tuple_(*at))
    rows = await connection.execute(query.limit(wanted.limit + 1))
    latest_first = rows_as(CommandView, rows)
    return _page(latest_first[::-1], wanted.limit)


def command_page(ordered: Sequence[CommandView], wanted: WantedCommands) -> CommandPage | None:
    """The same of commands in order of decision."""
    if wanted.before is not None:
        ids = [command.command_id for command in ordered]
        if wanted.before not in ids:
            return None
        ordered = ordered[: ids.index(wanted.before)]
    found = [
        command
        for command in ordered
        if wanted.status in (None, command.status) and wanted.operation in (None, command.operation)
    ]
    return _page(found, wanted.limit)


def _page(ordered: Sequence[CommandView], limit: int) -> CommandPage:
    shown = ordered[-limit:]
    return CommandPage(
        commands=shown, next=shown[0].command_id if len(shown) < len(ordered) else None
    )


def by_decision(command: CommandView) -> tuple[bool, datetime, int, int, str, str]:
    """The order of a session's commands; those that are not decided come last."""
    # Its dial may be of another partition, whose positions are in no order with these.
    decided_at = command.decided_at
    return (
        decided_at is None,
        decided_at or command.requested_at or BEGINNING,
        command.cause_seq or 0,
        command.ordinal,
        command.session_id,
        command.command_id,
    )


def _order_of_decision() -> "tuple[ColumnElement[Any], ...]":
    """As `by_decision`."""
    return (
        commands.c.decided_at.is_(None),
        func.coalesce(commands.c.decided_at, commands.c.requested_at, BEGINNING),
        func.coalesce(commands.c.cause_seq, 0),
        commands.c.ordinal,
        commands.c.session_id.collate("C"),
        commands.c.command_id.collate("C"),
    )


async def read_commands(connection: AsyncConnection, command_id: str) -> list[CommandView]:
    """The commands of that id, the latest first: it is unique only for one leg, or among dials."""
    found = await list_commands(connection, commands.c.command_id == storable(command_id))
    return sorted(found, key=_when, reverse=True)


async def list_commands(
    connection: AsyncConnection, condition: "ColumnElement[bool]"
) -> list[CommandView]:
    """The commands that meet the condition, in no order."""
    found = await connection.execute(select(commands).where(condition))
    return rows_as(CommandView, found)


async def list_every_command(connection: AsyncConnection) -> list[CommandView]:
    """All of them at once: for a demo, or a test."""
    return rows_as(CommandView, await connection.execute(select(commands)))


async def list_recent_commands(
    connection: AsyncConnection, command: IssuedCommand, *, since: datetime
) -> list[CommandView]:
    """Commands of applications that ask for the same, requested after `since`; the latest first."""
    decided_at = commands.c.decided_at
    undecided = decided_at.is_(None) & (commands.c.requested_at > since)
    found = await connection.execute(
        select(commands)
        .where(
            (decided_at > since) | undecided,
            commands.c.requested_at.is_not(None),
            commands.c.operation == command.operation,
            commands.c.call_control_id.is_not_distinct_from(storable(command.call_control_id)),
            commands.c.parameters == storable(command.parameters),
        )
        .order_by(
            func.greatest(commands.c.requested_at, decided_at, commands.c.settled_at).desc(),
            commands.c.last_seq.desc(),
        )
        .limit(SIMILAR_MAX)
    )
    return rows_as(CommandView, found)


async def list_dials_of(connection: AsyncConnection, session_id: str) -> list[PlacingDial]:
    """The dials of other sessions that placed this one."""
    found = await connection.execute(_DIALS_OF, {"session_id": storable(session_id)})
    return [PlacingDial(**row._mapping) for row in found]


_DIALS_OF = (
    select(commands.c.session_id, commands.c.command_id, commands.c.cause_seq)
    .where(
        commands.c.answer_session_id == bindparam("session_id"),
        commands.c.session_id != bindparam("session_id"),
    )
    .limit(DIALS_MAX)
)


def _when(command: CommandView) -> tuple[datetime, int]:
    """When the log last had something of it: positions of two sessions are in no order."""
    known = (command.requested_at, command.decided_at, command.settled_at)
    return max((at for at in known if at is not None), default=BEGINNING), command.last_seq


def _row(state: CommandState, session_id: str, last_seq: int) -> CommandView:
    issued, outcome = state.issued, state.outcome
    failed = outcome if isinstance(outcome, CommandFailed) else None
    succeeded = outcome if isinstance(outcome, CommandSucceeded) else None
    return storable_row(
        CommandView,
        session_id=session_id,
        command_id=state.command_id,
        operation=issued.operation if issued else failed.operation if failed else None,
        call_control_id=(
            issued.call_control_id if issued else failed.call_control_id if failed else None
        ),
        parameters=issued.parameters if issued else None,
        status=state.status,
        reason=failed.reason if failed else None,
        detail=failed.detail if failed else succeeded.note if succeeded else None,
        http_status=outcome.http_status if outcome else None,
        answer=succeeded.answer if succeeded else None,
        answer_session_id=session_of_answer(succeeded.answer) if succeeded else None,
        errors=failed.errors if failed else None,
        maybe_performed=failed.maybe_performed if failed else None,
        attempts=state.attempts_made,
        flow=state.flow or None,
        flow_version=state.flow_version or None,
        cause_seq=state.cause_seq,
        ordinal=state.ordinal,
        requested_at=state.requested_at,
        decided_at=state.decided_at,
        caused_at=state.caused_at,
        settled_at=state.settled_at,
        last_seq=last_seq,
    )
