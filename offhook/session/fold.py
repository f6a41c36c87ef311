"""What a record changes in a session. Pure, and used unchanged wherever calls are read.

`evolve` converges: records may come in any order, more than once, or not at all, and the same
records always give the same session. What becomes of a leg is in `leg_fold.py`; conferences and
recordings are in `conference.py`.

An imported record says what happened in another log. It is folded like any other, but it wants no
decision, its commands are not sent, its timers do not fire, and it gives no worker a lease.

A record costs the same however many came before it: what grows with a call is in `persistent.py`,
and what would have to be searched for is kept apart (`undecided`, `open_commands` …).
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Any, NamedTuple, assert_never

from offhook.events import (
    CarrierEvent,
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    LegPlaced,
    PlacedLeg,
    Record,
    SessionParked,
    SessionResumed,
    TimerCancelled,
    TimerFired,
    TimerSet,
    WebhookReceived,
)
from offhook.session.conference import conferences_after, recordings_after
from offhook.session.folding import altered, with_changes
from offhook.session.inserted import UNWANTED_LEG, is_inserted
from offhook.session.leg import Leg
from offhook.session.leg_fold import leg_after, leg_after_placed
from offhook.session.persistent import with_entry, with_member, without_member
from offhook.session.session import CommandState, Lease, Session
from offhook.session.timers import changed_timers


def fold(session_id: str, records: Iterable[Record]) -> Session:
    """The session that these records add up to."""
    session = Session(session_id=session_id)
    for record in records:
        session = evolve(session, record)
    return session


def evolve(session: Session, record: Record) -> Session:
    """The session after another record; the same object if the record changes nothing."""
    fact = record.fact
    match fact:
        case WebhookReceived(event=event):
            changes = _seen(session, record)
            _add_event(changes, session, record, event)
            return with_changes(session, changes) if changes else session
        case CommandRequested():
            return _after_request(_with_seen(session, record), record, fact)
        case Decided():
            return _after_decision(session, record, fact)
        case CommandAttempted():
            state = _command(session, fact.command_id)
            state = altered(state, attempts=max(state.attempts, fact.attempt))
            session = _with_command(session, state)
            return _with_lease(session, record, fact.worker, fact.lease_s)
        case CommandSucceeded(placed=placed):
            session = _after_outcome(session, record, fact)
            if placed is None or placed.session_id != session.session_id:
                return session
            return _after_placed(session, record, placed)
        case LegPlaced(leg=placed):
            return _after_placed(session, record, placed)
        case CommandFailed():
            return _after_outcome(_with_seen(session, record), record, fact)
        case TimerSet() | TimerCancelled():
            return _with_timers(session, record)
        case TimerFired():
            return _with_timers(_with_seen(session, record), record)
        case SessionParked() | SessionResumed():
            if session.parked is not None and session.parked.seq >= record.seq:
                return session
            return altered(session, parked=record)
        case _:
            assert_never(fact)


class Touched(NamedTuple):
    """Which of a session's legs and commands a record may have changed, by id."""

    legs: Sequence[str]
    commands: Sequence[str]


def touched_by(record: Record) -> Touched:
    """What `evolve` may change for this record; every other leg and command stays the same."""
    fact = record.fact
    match fact:
        case WebhookReceived(event=event):
            return Touched([event.call_control_id] if event.call_control_id is not None else [], [])
        case CommandRequested(command=command):
            return Touched([], [command.command_id])
        case Decided(commands=commands):
            return Touched([], [command.command_id for command in commands])
        case CommandSucceeded(placed=placed):
            legs = [placed.call_control_id] if placed is not None else []
            return Touched(legs, [fact.command_id])
        case CommandAttempted() | CommandFailed():
            return Touched([], [fact.command_id])
        case LegPlaced(leg=placed):
            return Touched([placed.call_control_id], [])
        case _:
            return Touched([], [])


def _seen(session: Session, record: Record) -> dict[str, Any]:
    """What a fact that needs a decision changes; of repeated ones the first in the log counts."""
    known = session.facts.get(record.fact_id)
    if known is not None and known <= record.seq:
        return {}
    undecided = session.undecided
    if known is not None:
        undecided = without_member(undecided, known)
    if record.seq not in session.decided and not record.is_imported:
        undecided = with_member(undecided, record.seq)
    facts = with_entry(session.facts, record.fact_id, record.seq)
    return {"facts": facts, "undecided": undecided}


def _with_seen(session: Session, record: Record) -> Session:
    changes = _seen(session, record)
    return with_changes(session, changes) if changes else session


def _add_event(
    changes: dict[str, Any], session: Session, record: Record, event: CarrierEvent
) -> None:
    """Add what the event changes."""
    if event.call_control_id is not None:
        held = session.legs.get(event.call_control_id)
        leg = held or Leg(call_control_id=event.call_control_id)
        leg = leg_after(leg, event, record.stored_at, record.seq)
        if leg is not held:
            changes["legs"] = with_entry(session.legs, leg.call_control_id, leg)
    conferences = conferences_after(session.conferences, event)
    if conferences is not session.conferences:
        changes["conferences"] = conferences
    recordings = recordings_after(session.recordings, event)
    if recordings is not session.recordings:
        changes["recordings"] = recordings


def _after_placed(session: Session, record: Record, placed: PlacedLeg) -> Session:
    held = session.legs.get(placed.call_control_id)
    leg = held or Leg(call_control_id=placed.call_control_id)
    leg = leg_after_placed(leg, placed, record)
    if leg is held:
        return session
    return altered(session, legs=with_entry(session.legs, leg.call_control_id, leg))


def _after_request(session: Session, record: Record, fact: CommandRequested) -> Session:
    state = _command(session, fact.command.command_id)
    if state.requested_seq is not None and state.requested_seq <= record.seq:
        return session
    issued = state.issued if state.decided_at is not None else fact.command
    return _with_command(
        session,
        altered(
            state,
            issued=issued,
            requested_at=record.stored_at,
            requested_seq=record.seq,
        ),
    )


def _after_decision(session: Session, record: Record, fact: Decided) -> Session:
    for ordinal, command in enumerate(fact.commands):
        is_ours = is_inserted(ordinal, fact.warnings)
        state = _command(session, command.command_id)
        # The first decision on a command_id stands, in whatever order the records are read.
        if state.decided_at is not None and state.decided_at <= record.stored_at:
            continue
        state = altered(
            state,
            issued=command,
            cause_seq=fact.cause_seq,
            ordinal=ordinal,
            flow=UNWANTED_LEG if is_ours else fact.flow,
            flow_version="1" if is_ours else fact.flow_version,
            caused_at=fact.caused_at,
            decided_at=record.stored_at,
            is_imported=record.is_imported,
        )
        session = _with_command(session, state)
    if fact.timers:
        session = _with_timers(session, record)
    session = altered(
        session,
        decided=with_member(session.decided, fact.cause_seq),
        undecided=without_member(session.undecided, fact.cause_seq),
    )
    return _with_lease(session, record, fact.worker, fact.lease_s)


def _after_outcome(
    session: Session, record: Record, fact: CommandSucceeded | CommandFailed
) -> Session:
    state = _command(session, fact.command_id)
    if state.settled_seq is not None and state.settled_seq <= record.seq:
        return session
    state = altered(state, outcome=fact, settled_at=record.stored_at, settled_seq=record.seq)
    return _with_command(session, state)


def _command(session: Session, command_id: str) -> CommandState:
    return session.commands.get(command_id) or CommandState(command_id=command_id)


def _with_command(session: Session, state: CommandState) -> Session:
    is_open = state.status == "pending" and not state.is_imported
    is_doubtful = isinstance(state.outcome, CommandFailed) and bool(state.outcome.maybe_performed)
    changes: dict[str, Any] = {
        "commands": with_entry(session.commands, state.command_id, state),
        "open_commands": _put(session.open_commands, state.command_id, is_open),
        "doubtful_commands": _put(session.doubtful_commands, state.command_id, is_doubtful),
    }
    before = session.commands.get(state.command_id)
    known = before.issued if before is not None else None
    if state.issued is not known:
        operations = dict(session.operations)  # the catalog has a few dozen
        for issued, count in ((known, -1), (state.issued, 1)):
            if issued is not None:
                operations[issued.operation] = operations.get(issued.operation, 0) + count
        changes["operations"] = {name: count for name, count in operations.items() if count}
    return with_changes(session, changes)


def _with_timers(session: Session, record: Record) -> Session:
    states, pending, opened = session.timer_states, session.pending_timers, session.open_timers
    for state in changed_timers(states, record):
        states = with_entry(states, state.timer_id, state)
        pending = _put(pending, state.timer_id, state.is_pending)
        opened = _put(opened, state.timer_id, state.is_open)
    return altered(session, timer_states=states, pending_timers=pending, open_timers=opened)


def _put(held: AbstractSet[str], member: str, belongs: bool) -> AbstractSet[str]:
    return with_member(held, member) if belongs else without_member(held, member)


def _with_lease(session: Session, record: Record, worker: str, lease_s: float) -> Session:
    is_older = session.lease is not None and session.lease.seq >= record.seq
    if is_older or record.is_imported:
        return session
    until = record.stored_at + timedelta(seconds=lease_s)
    return altered(
        session, lease=Lease(seq=record.seq, worker=worker, until=until, lasts_s=lease_s)
    )
