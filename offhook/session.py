"""The session: what a call's records add up to. Pure, and used unchanged wherever calls are read.

    leg:      (unseen) ──initiated──▶ initiated ──answered──▶ answered ──bridged──▶ bridged
                                          └───────────────┴────────hangup────────────┴──▶ ended
    session:  active while one of its legs is not ended; ended after that
    command:  requested ▶ decided ▶ pending ▶ succeeded | failed

`evolve` converges: records may come in any order, more than once, or not at all, and the same
records always give the same session. So each fact of a leg keeps the stamp (the carrier's time,
event id) of the event it came from, and every field has one rule: the earliest event wins, or the
latest. A hangup is a fact like the others, so no late event takes it back, and what is learnt
after it still lands.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, assert_never

from offhook.events import (
    CallAnswered,
    CallBridged,
    CallHangup,
    CallInitiated,
    CarrierEvent,
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    IssuedCommand,
    Record,
    SessionParked,
    SessionResumed,
    WebhookReceived,
)

LegState = Literal["unseen", "initiated", "answered", "bridged", "ended"]
CommandStatus = Literal["requested", "pending", "succeeded", "failed"]

Stamp = tuple[datetime, str]
"""When the carrier says it happened, and the event's id to break a tie."""


@dataclass(frozen=True, kw_only=True)
class Leg:
    """One leg of a call. Times are UTC; what the carrier never told is None."""

    call_control_id: str
    call_leg_id: str | None = None
    connection_id: str | None = None
    direction: str | None = None  # incoming, outgoing
    from_: str | None = None
    to: str | None = None
    client_state: str | None = None  # the latest one told
    initiated_at: datetime | None = None  # call.initiated
    start_time: datetime | None = None  # the carrier's start of the leg
    answered_at: datetime | None = None  # call.answered
    bridged_at: datetime | None = None  # the first call.bridged
    ended_at: datetime | None = None  # end_time of call.hangup, else when that occurred
    hangup_cause: str | None = None
    hangup_source: str | None = None
    sip_hangup_cause: str | None = None
    quality: Mapping[str, Any] | None = None  # call_quality_stats of call.hangup
    stamps: Mapping[str, Stamp] = field(default_factory=dict, repr=False)

    @property
    def state(self) -> LegState:
        if self.ended_at is not None:
            return "ended"
        if self.bridged_at is not None:
            return "bridged"
        if self.answered_at is not None:
            return "answered"
        return "initiated" if self.started_at is not None else "unseen"

    @property
    def started_at(self) -> datetime | None:
        """The start of the leg. Outgoing call.initiated has no start_time; later events have."""
        return self.start_time or self.initiated_at

    @property
    def talk_s(self) -> float | None:
        """Seconds from answer to end; None while the leg is up or if it was never answered."""
        if self.answered_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.answered_at).total_seconds())


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


@dataclass(frozen=True, kw_only=True)
class Session:
    """A group of legs that belong to one call, with the commands sent for it.

    The last six fields are for whoever settles the session; a flow reads the first three.
    """

    session_id: str
    legs: Mapping[str, Leg] = field(default_factory=dict)  # by call_control_id
    commands: Mapping[str, CommandState] = field(default_factory=dict)  # by command_id
    facts: Mapping[str, int] = field(default_factory=dict, repr=False)  # fact id -> first sequence
    decided: frozenset[int] = field(default_factory=frozenset, repr=False)  # sequences
    undecided: frozenset[int] = frozenset()  # sequences of records that still want a Decided
    open_commands: frozenset[str] = frozenset()  # decided, without an outcome
    lease: Lease | None = None
    parked: Record | None = None  # the last SessionParked or SessionResumed

    @property
    def status(self) -> Literal["empty", "active", "ended"]:
        if not self.legs:
            return "empty"
        return "ended" if all(leg.state == "ended" for leg in self.legs.values()) else "active"

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
        """When the last leg ended; None while one is up."""
        if self.status != "ended":
            return None
        return max(leg.ended_at for leg in self.legs.values() if leg.ended_at)

    @property
    def caller(self) -> Leg | None:
        """The leg that called in, the first of several; None if none did, or none is known yet."""
        incoming = (leg for leg in self.legs.values() if leg.direction == "incoming")
        return min(incoming, key=lambda leg: leg.stamps["direction"], default=None)

    def was_asked(self, operation: str) -> bool:
        """Whether a command of this operation was ever decided or requested in the session.

        Webhooks come in any order, so a flow does well to ask where the call is, and what was
        asked already, rather than which event came when.
        """
        return any(
            state.issued is not None and state.issued.operation == operation
            for state in self.commands.values()
        )

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
            state = replace(state, attempts=max(state.attempts, fact.attempt))
            session = _with_command(session, state)
            return _with_lease(session, record, fact.worker, fact.lease_s)
        case CommandSucceeded():
            return _after_outcome(session, record, fact)
        case CommandFailed():
            return _after_outcome(_seen(session, record), record, fact)
        case SessionParked() | SessionResumed():
            if session.parked is not None and session.parked.seq >= record.seq:
                return session
            return replace(session, parked=record)
        case _:
            assert_never(fact)


def _seen(session: Session, record: Record) -> Session:
    """Note a fact that wants a decision; of repeated ones the first in the log counts."""
    known = session.facts.get(record.fact_id)
    if known is not None and known <= record.seq:
        return session
    undecided = session.undecided - {known} if known is not None else session.undecided
    if record.seq not in session.decided:
        undecided = undecided | {record.seq}
    facts = {**session.facts, record.fact_id: record.seq}
    return replace(session, facts=facts, undecided=undecided)


def _after_event(session: Session, record: Record, event: CarrierEvent) -> Session:
    if event.call_control_id is None:
        return session
    held = session.legs.get(event.call_control_id)
    leg = held or Leg(call_control_id=event.call_control_id)
    # A webhook without a time of its own counts from when it was stored.
    occurred_at = event.occurred_at or record.stored_at
    learnt = _learnt(event, occurred_at)
    known = {name: value for name, value in learnt.items() if value is not None}
    # A null client_state is news only where the carrier sent the field at all.
    if "client_state" in event.payload:
        known["client_state"] = event.client_state
    # "The latest wins" would let a repeated webhook without a time overtake what came between.
    told_at = event.occurred_at or _NEVER
    updated = _updated(leg, known, (occurred_at, event.event_id), (told_at, event.event_id))
    if updated is held:
        return session
    return replace(session, legs={**session.legs, leg.call_control_id: updated})


def _learnt(event: CarrierEvent, occurred_at: datetime) -> dict[str, Any]:
    """What an event says of its leg, by the leg's field names."""
    learnt: dict[str, Any] = {
        "call_leg_id": event.call_leg_id,
        "connection_id": event.connection_id,
        "client_state": event.client_state,
    }
    match event:
        case CallInitiated():
            learnt["direction"] = event.direction
            learnt["initiated_at"] = occurred_at
        case CallAnswered():
            learnt["answered_at"] = occurred_at
        case CallBridged():
            learnt["bridged_at"] = occurred_at
        case CallHangup():
            learnt["ended_at"] = event.end_time or occurred_at
            learnt["hangup_cause"] = event.hangup_cause
            learnt["hangup_source"] = event.hangup_source
            learnt["sip_hangup_cause"] = event.sip_hangup_cause
            learnt["quality"] = event.call_quality_stats
        case _:
            return learnt
    return {
        **learnt,
        "from_": event.from_,
        "to": event.to,
        "start_time": event.start_time,
    }


_LATEST_WINS = frozenset({"client_state"})


_NEVER = datetime.min.replace(tzinfo=UTC)


def _updated(leg: Leg, known: Mapping[str, Any], first: Stamp, last: Stamp) -> Leg:
    """`first` is the stamp for fields where the earliest event wins, `last` for the others."""
    changed: dict[str, Any] = {}
    stamps = dict(leg.stamps)
    for name, value in known.items():
        held = stamps.get(name)
        stamp = last if name in _LATEST_WINS else first
        if held is None or (stamp > held if name in _LATEST_WINS else stamp < held):
            changed[name] = value
            stamps[name] = stamp
    return replace(leg, **changed, stamps=stamps) if changed else leg


def _after_request(session: Session, record: Record, fact: CommandRequested) -> Session:
    state = _command(session, fact.command.command_id)
    if state.requested_seq is not None and state.requested_seq <= record.seq:
        return session
    issued = state.issued if state.decided_at is not None else fact.command
    return _with_command(
        session,
        replace(
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
        state = replace(
            state,
            issued=command,
            cause_seq=fact.cause_seq,
            ordinal=ordinal,
            flow=fact.flow,
            flow_version=fact.flow_version,
            decided_at=record.stored_at,
        )
        session = _with_command(session, state)
    session = replace(
        session,
        decided=session.decided | {fact.cause_seq},
        undecided=session.undecided - {fact.cause_seq},
    )
    return _with_lease(session, record, fact.worker, fact.lease_s)


def _after_outcome(
    session: Session, record: Record, fact: CommandSucceeded | CommandFailed
) -> Session:
    state = _command(session, fact.command_id)
    if state.settled_seq is not None and state.settled_seq <= record.seq:
        return session
    state = replace(state, outcome=fact, settled_at=record.stored_at, settled_seq=record.seq)
    return _with_command(session, state)


def _command(session: Session, command_id: str) -> CommandState:
    return session.commands.get(command_id) or CommandState(command_id=command_id)


def _with_command(session: Session, state: CommandState) -> Session:
    is_open = state.decided_at is not None and state.outcome is None
    single = frozenset({state.command_id})
    return replace(
        session,
        commands={**session.commands, state.command_id: state},
        open_commands=session.open_commands | single if is_open else session.open_commands - single,
    )


def _with_lease(session: Session, record: Record, worker: str, lease_s: float) -> Session:
    if session.lease is not None and session.lease.seq >= record.seq:
        return session
    until = record.stored_at + timedelta(seconds=lease_s)
    return replace(session, lease=Lease(seq=record.seq, worker=worker, until=until))
