"""A session's fold with what the views add to it: which record last changed each row. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from offhook.codec.webhooks import concerns_call
from offhook.events import CommandFailed, Decided, Fact, Record, SessionParked, WebhookReceived
from offhook.flow import WITHOUT_FLOW
from offhook.session import Session, evolve, touched_by
from offhook.session.failures import is_command_failure
from offhook.session.folding import altered, with_changes
from offhook.session.persistent import with_entry

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""Before any record."""

FAILURES_MAX = 20
"""Kinds of failed commands that are kept of a session; there are seldom more than two."""


@dataclass(frozen=True, kw_only=True)
class CommandFailure:
    """Commands of a session that failed alike, as `offhook.session.failures` has it."""

    operation: str
    reason: str
    http_status: int | None
    count: int


@dataclass(frozen=True, kw_only=True)
class Folded:
    """A session as of `last_seq`. All sequences are positions, all times the log's.

    `leg_seqs` and `command_seqs` are of what changed since the session was last `written`.
    """

    session: Session
    first_seq: int = 0  # of its first record
    last_seq: int = 0  # of its last record
    first_stored_at: datetime = BEGINNING
    last_stored_at: datetime = BEGINNING
    leg_seqs: Mapping[str, int] = field(default_factory=dict)  # last change, by call_control_id
    command_seqs: Mapping[str, int] = field(default_factory=dict)  # last change, by command_id
    command_failures: Sequence[CommandFailure] = ()  # in the order of the first of each kind
    flow_raised_at: datetime | None = None  # when it was parked last because its flow raised
    flow: str | None = None  # of the last decision that a flow made, or of the flow that raised
    flow_version: str | None = None
    occurred_at: datetime = BEGINNING  # the latest of its webhooks, by the carrier's clock
    is_call: bool = False  # whether any record but of webhooks of other products is in it


def folded_from(session_id: str, records: Iterable[Record]) -> Folded:
    """The fold of a session's records, in order of seq."""
    folded = Folded(session=Session(session_id=session_id))
    for record in records:
        folded = advanced(folded, record)
    return folded


def advanced(folded: Folded, record: Record) -> Folded:
    """The fold after the next record; unchanged by one that is already in it."""
    if record.seq <= folded.last_seq:
        return folded
    before, after = folded.session, evolve(folded.session, record)
    seq, fact = record.seq, record.fact
    changes: dict[str, Any] = {
        "session": after,
        "last_seq": seq,
        "last_stored_at": record.stored_at,
    }
    if not folded.first_seq:
        changes |= {"first_seq": seq, "first_stored_at": record.stored_at}
    if not folded.is_call:
        changes["is_call"] = _is_of_a_call(fact)
    if after.legs is not before.legs or after.commands is not before.commands:
        legs, commands = touched_by(record)
        changes["leg_seqs"] = _changed(before.legs, after.legs, legs, folded.leg_seqs, seq)
        changes["command_seqs"] = _changed(
            before.commands, after.commands, commands, folded.command_seqs, seq
        )
    if isinstance(fact, WebhookReceived):
        at = fact.event.occurred_at
        if at is not None and at > folded.occurred_at:
            changes["occurred_at"] = at
    else:
        _add_own(changes, folded, record, after)
    return with_changes(folded, changes)


def _add_own(changes: dict[str, Any], folded: Folded, record: Record, after: Session) -> None:
    """Add what only a fact of our own changes."""
    fact = record.fact
    if isinstance(fact, Decided | SessionParked) and fact.flow not in _NO_FLOWS:
        changes |= {"flow": fact.flow, "flow_version": fact.flow_version}
        if (folded.flow, folded.flow_version) != (fact.flow, fact.flow_version):
            # The rows of its legs have the flow as well.
            changes["leg_seqs"] = dict.fromkeys(after.legs, record.seq)
    if isinstance(fact, SessionParked):
        changes["flow_raised_at"] = max(folded.flow_raised_at or BEGINNING, record.stored_at)
    if isinstance(fact, CommandFailed) and _is_outcome(fact, after, folded.session):
        changes["command_failures"] = _with_failure(
            folded.command_failures,
            fact,
            attempts=after.commands[fact.command_id].attempts_made,
        )


def is_out_of_order(folded: Folded, record: Record) -> bool:
    """Whether it is a webhook that occurred before one that is in the fold."""
    at = _occurred_at(record)
    return at is not None and at < folded.occurred_at


def written(folded: Folded) -> Folded:
    """The fold once its rows are in the views: nothing has changed since."""
    return altered(folded, leg_seqs={}, command_seqs={})


def _occurred_at(record: Record) -> datetime | None:
    fact = record.fact
    return fact.event.occurred_at if isinstance(fact, WebhookReceived) else None


def _is_outcome(fact: CommandFailed, after: Session, before: Session) -> bool:
    """Whether it settled its command: the first outcome in the log counts."""
    return after.commands[fact.command_id] is not before.commands.get(fact.command_id)


def _with_failure(
    held: Sequence[CommandFailure], fact: CommandFailed, *, attempts: int
) -> Sequence[CommandFailure]:
    if not is_command_failure(fact.reason, attempts=attempts, http_status=fact.http_status):
        return held
    alike = CommandFailure(
        operation=fact.operation, reason=fact.reason, http_status=fact.http_status, count=0
    )
    for place, each in enumerate(held):
        if altered(each, count=0) == alike:
            return (*held[:place], altered(each, count=each.count + 1), *held[place + 1 :])
    return (*held, altered(alike, count=1))[:FAILURES_MAX]


def _is_of_a_call(fact: Fact) -> bool:
    match fact:
        case WebhookReceived(event=event):
            return concerns_call(event.event_type, event.payload)
        case Decided():
            return bool(fact.commands or fact.timers)
        case _:
            return True


def _changed(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    touched: Sequence[str],
    seqs: Mapping[str, int],
    seq: int,
) -> Mapping[str, int]:
    # evolve returns a new value where it changes one, so comparing identity is enough.
    for key in touched:
        if after.get(key) is not before.get(key):
            seqs = with_entry(seqs, key, seq)
    return seqs


# A SessionParked from before it was kept names no flow.
_NO_FLOWS = WITHOUT_FLOW | {""}
