"""The session: what a call's records add up to. Pure, and used unchanged wherever calls are read.

    session:  active while one of its legs is up; ended after that
    command:  requested ▶ decided ▶ pending ▶ succeeded | failed

`evolve` converges: records may come in any order, more than once, or not at all, and the same
records always give the same session. What becomes of a leg is in `leg.py`; conferences and
recordings are in `conference.py`.

One more record costs the same however many came before it: what grows with a call is in
`offhook.session.persistent`, and what would have to be searched for is kept apart (`undecided`,
`open_commands`, `pending_timers` …).
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple, assert_never

from offhook.events import (
    CarrierEvent,
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    IssuedCommand,
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
from offhook.session.conference import Conference, Recording, conferences_after, recordings_after
from offhook.session.folding import altered
from offhook.session.leg import Leg as Leg
from offhook.session.leg import leg_after, leg_after_placed
from offhook.session.persistent import with_entry, with_member, without_member
from offhook.session.timers import TimerState, changed_timers

CommandStatus = Literal["requested", "pending", "succeeded", "failed"]


@dataclass(frozen=True, kw_only=True)
class CommandState:
    """A command's story. `issued` is None while only its outcome was seen."""

    command_id: str
    issued: IssuedCommand | None = None
    cause_seq: int | None = None  # stream sequence of the record it was decided on
    ordinal: int = 0  # its place in that decision, from 0
    flow: str = ""
    flow_version: str = ""
    requested_at: datetime | None = None
    requested_seq: int | None = None
    decided_at: datetime | None = None
    attempts: int = 0
    settled_at: datetime | None = None
    settled_seq: int | None = None
    outcome: CommandSucceeded | CommandFailed | None = None

    @property
    def status(self) -> CommandStatus:
        if isinstance(self.outcome, CommandSucceeded):
            return "succeeded"
        if isinstance(self.outcome, CommandFailed):
            return "failed"
        return "pending" if self.decided_at is not None else "requested"


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Which worker acts for the session, and until when by the log's clock."""

    seq: int  # stream sequence of the record that gave or renewed it
    worker: str
    until: datetime
    lasts_s: float  # from that record on


@dataclass(frozen=True, kw_only=True)
class Session:
    """A group of legs that belong to one call, with the commands sent for it.

    A flow reads the fields up to `commands`, and `timers`; the others are for whoever settles the
    session. Mappings are in order of arrival.
    """

    session_id: str
    legs: Mapping[str, Leg] = field(default_factory=dict)  # by call_control_id
    conferences: Mapping[str, Conference] = field(default_factory=dict)  # by conference_id
    recordings: Mapping[str, Recording] = field(default_factory=dict)  # by recording_id
    commands: Mapping[str, CommandState] = field(default_factory=dict)  # by command_id
    operations: Mapping[str, int] = field(default_factory=dict, repr=False)  # commands of each
    facts: Mapping[str, int] = field(default_factory=dict, repr=False)  # fact id -> first sequence
    decided: AbstractSet[int] = field(default_factory=frozenset, repr=False)  # sequences
    undecided: AbstractSet[int] = frozenset()  # sequences of records that still want a Decided
    open_commands: AbstractSet[str] = frozenset()  # decided, without an outcome
    doubtful_commands: AbstractSet[str] = frozenset()  # failed, and may have been performed
    timer_states: Mapping[str, TimerState] = field(default_factory=dict, repr=False)  # by timer id
    pending_timers: AbstractSet[str] = frozenset()  # ids of those set, not fired nor cancelled
    open_timers: AbstractSet[str] = frozenset()  # ids; see TimerState.is_open
    lease: Lease | None = None
    parked: Record | None = None  # the last SessionParked or SessionResumed

    @property
    def status(self) -> Literal["empty", "active", "ended"]:
        """By what the events tell. That a hangup was lost, only a clock tells: see `up_until`."""
        if not self.legs:
            return "empty"
        return "active" if any(leg.is_up for leg in self.legs.values()) else "ended"

    @property
    def up_until(self) -> datetime | None:
        """The latest time at which a leg can be up, if one is: the carrier ends it by then."""
        times = (leg.up_until for leg in self.legs.values() if leg.is_up)
        return max((each for each in times if each is not None), default=None)

    @property
    def is_parked(self) -> bool:
        return self.parked is not None and isinstance(self.parked.fact, SessionParked)

    @property
    def started_at(self) -> datetime | None:
        return min(
            (leg.started_at for leg in self.legs.values() if leg.started_at),
            default=None,
        )

    @property
    def answered_at(self) -> datetime | None:
        times = (leg.answered_at for leg in self.legs.values() if leg.answered_at)
        return min(times, default=None)

    @property
    def ended_at(self) -> datetime | None:
        """When the last leg ended; None while one is up, or if a hangup was not received."""
        legs = self.legs.values()
        if self.status != "ended" or any(leg.has_ended and not leg.ended_at for leg in legs):
            return None
        return max((leg.ended_at for leg in legs if leg.ended_at), default=None)

    @property
    def caller(self) -> Leg | None:
        """The leg that called in, the first of several; None if none did, or none is known yet."""
        incoming = (leg for leg in self.legs.values() if leg.direction == "incoming")
        return min(incoming, key=lambda leg: leg.stamps["direction"], default=None)

    @property
    def cost(self) -> tuple[Decimal | None, str | None]:
        """What the legs cost together, as far as it is told, and the currency.

        Both are None while nothing is told, or if the legs have several currencies.
        """
        told = [leg for leg in self.legs.values() if leg.cost is not None]
        totals = [total for leg in told if (total := leg.cost_total) is not None]
        currencies = {leg.currency for leg in told}
        if not totals or len(currencies) != 1:
            return None, None
        return sum(totals, Decimal(0)), currencies.pop()

    def participants(self, conference_id: str) -> list[Leg]:
        """This session's legs that are in the conference now."""
        legs = self.legs.values()
        return [leg for leg in legs if leg.is_in_conference and leg.conference_id == conference_id]

    @property
    def timers(self) -> Mapping[str, TimerState]:
        """The timers that are set, neither fired nor cancelled, by name, in order of decision."""
        pending = (self.timer_states[timer_id] for timer_id in self.pending_timers)
        in_order = sorted(pending, key=lambda state: (state.decided_seq or 0, state.timer_id))
        return {state.name: state for state in in_order}

    def was_asked(self, operation: str) -> bool:
        """Whether a command of this operation was ever decided or requested in the session.

        Webhooks come in any order, so a flow does well to ask where the call is, and what was
        asked already, rather than which event came when.
        """
        return self.operations.get(operation, 0) > 0

    def leg(self, call_control_id: str | None) -> Leg | None:
        return None if call_control_id is None else self.legs.get(call_control_id)


def fold(session_id: str, records: Iterable[Record]) -> Session:
    """The session that these records add up to."""
    session = Session(session_id=session_id)
    for record in records:
        session = evolve(session, record)
    return session


def evolve(session: Session, record: Record) -> Session:
    """The session after one more record; the same one if the record tells nothing new."""
    fact = record.fact
    match fact:
        case WebhookReceived(event=event):
            return _after_event(_seen(session, record), record, event)
        case CommandRequested():
            return _after_request(_seen(session, record), record, fact)
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
            return _after_outcome(_seen(session, record), record, fact)
        case TimerSet() | TimerCancelled():
            return _with_timers(session, record)
        case TimerFired():
            return _with_timers(_seen(session, record), record)
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
    """What `evolve` may change for this record: no other leg or command is another one after it."""
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


def _seen(session: Session, record: Record) -> Session:
    """Note a fact that wants a decision; of repeated ones the first in the log counts."""
    known = session.facts.get(record.fact_id)
    if known is not None and known <= record.seq:
        return session
    undecided = session.undecided
    if known is not None:
        undecided = without_member(undecided, known)
    if record.seq not in session.decided:
        undecided = with_member(undecided, record.seq)
    facts = with_entry(session.facts, record.fact_id, record.seq)
    return altered(session, facts=facts, undecided=undecided)


def _after_event(session: Session, record: Record, event: CarrierEvent) -> Session:
    changes: dict[str, Any] = {}
    if event.call_control_id is not None:
        held = session.legs.get(event.call_control_id)
        leg = held or Leg(call_control_id=event.call_control_id)
        leg = leg_after(leg, event, record.stored_at)
        if leg is not held:
            changes["legs"] = with_entry(session.legs, leg.call_control_id, leg)
    conferences = conferences_after(session.conferences, event)
    if conferences is not session.conferences:
        changes["conferences"] = conferences
    recordings = recordings_after(session.recordings, event)
    if recordings is not session.recordings:
        changes["recordings"] = recordings
    return altered(session, **changes) if changes else session


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
        state = _command(session, command.command_id)
        # The first decision on a command_id stands, in whatever order the records are read.
        if state.decided_at is not None and state.decided_at <= record.stored_at:
            continue
        state = altered(
            state,
            issued=command,
            cause_seq=fact.cause_seq,
            ordinal=ordinal,
            flow=fact.flow,
            flow_version=fact.flow_version,
            decided_at=record.stored_at,
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
    is_open = state.decided_at is not None and state.outcome is None
    is_doubtful = isinstance(state.outcome, CommandFailed) and bool(state.outcome.maybe_performed)
    changes: dict[str, Any] = {
        "commands": with_entry(session.commands, state.command_id, state),
        "open_commands": _put(session.open_commands, state.command_id, is_open),
        "doubtful_commands": _put(session.doubtful_commands, state.command_id, is_doubtful),
    }
    before = session.commands.get(state.command_id)
    known = before.issued if before is not None else None
    if state.issued is not known:
        operations = dict(session.operations)  # of which the catalog has a few dozen
        for issued, count in ((known, -1), (state.issued, 1)):
            if issued is not None:
                operations[issued.operation] = operations.get(issued.operation, 0) + count
        changes["operations"] = {name: count for name, count in operations.items() if count}
    return altered(session, **changes)


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
    if session.lease is not None and session.lease.seq >= record.seq:
        return session
    until = record.stored_at + timedelta(seconds=lease_s)
    return altered(
        session, lease=Lease(seq=record.seq, worker=worker, until=until, lasts_s=lease_s)
    )
