"""A session as a worker knows it between two reads of the log: folded, with its positions.

`session` is what a decision may see: the fold of everything up to the oldest record that still
needs one, plus all that workers recorded. Later facts wait in `ahead`, so that every record is
decided on exactly what came before it, and a replay decides the same.

Everything here costs the same for each record on average, however long the call is; what goes over
many records at once is a coroutine, and lets other calls run in between.
"""

import heapq
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from offhook.events import (
    CallInitiated,
    CommandFailed,
    CommandRequested,
    Decided,
    IssuedCommand,
    LegPlaced,
    Record,
    SessionResumed,
    TimerFired,
    WebhookReceived,
)
from offhook.flow import API_FLOW, ARCHIVED
from offhook.process.slices import Slices
from offhook.session import CommandState, Leg, Session, evolve
from offhook.session.timers import TimerState
from offhook.workers.sending.urgency import ENDS, urgency_of

RECENT = timedelta(hours=1)
"""A call.initiated that occurred longer ago may be of a session that is archived."""

UNFOLDED_MAX = 64
"""Records that `latest` may have to fold at once."""

SNAPSHOT_SHARE = 96
"""A long session gets a snapshot after a ninety-sixth more: all together cost 96 times the last.
An entry takes less than a microsecond to store, where a record after it takes 40 to read."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """How far a session is known: the last position of each side, and the records up to it."""

    in_seq: int
    out_seq: int
    in_count: int
    out_count: int
    at: datetime | None  # when the last of them was stored; None if that is not known


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The fold of a session's records up to a position on each side."""

    session: Session
    in_seq: int  # position of the last record on `.in`; earlier than the following
    out_seq: int  # of the last one on `.out`
    out_at: datetime  # when that was stored
    in_count: int  # records up to `in_seq` on `.in`
    out_count: int  # up to `out_seq` on `.out`

    @property
    def known(self) -> Known:
        """How far it goes."""
        return Known(
            in_seq=self.in_seq,
            out_seq=self.out_seq,
            in_count=self.in_count,
            out_count=self.out_count,
            at=self.out_at,
        )

    def ends_with(self, record: Record | None) -> bool:
        """Whether this is the last record on `.out` that was folded, as the log has it now."""
        return record is not None and (record.seq, record.stored_at) == (self.out_seq, self.out_at)


@dataclass(kw_only=True)
class SessionState:
    """Used by one task at a time. The only owner of the worker's positions in the session."""

    session: Session
    in_seq: int = 0  # position of the last record read on `.in`
    out_seq: int = 0  # the same on `.out`
    tail_seq: int = 0  # of the last record on `.out` that must be there; the next append follows it
    settled_seq: int = 0  # of the last record on `.in` that a decision is known to be on
    ahead: dict[int, Record] = field(default_factory=dict)  # facts not yet decided on, by sequence
    has_begun: bool = False  # its beginning is in the log: it is not archived
    is_archived: bool = False  # its earlier records have left the log
    lease_seen: tuple[int, datetime] | None = None  # its sequence, and when by our own clock
    whole_until: int = 0  # up to here the log has no record of it that was not read
    dropped_seq: int = 0  # up to here on `.out`, an earlier state may have been acted on
    unsent: tuple[int, int] | None = None  # cause and position of an own decision not acted on yet
    begun_at: Snapshot | None = None  # this one, which was not compared with the log yet
    _in_order: list[int] = field(default_factory=list)  # a heap of `ahead` and of some that left it
    _requests: dict[int, Record] = field(default_factory=dict)  # those of `ahead`
    _resumed_seq: int = 0  # of the last SessionResumed read
    _folded_seq: int = 0  # of the last record on `.in` that `session` has
    _out_at: datetime | None = None  # when the record at `out_seq` was stored
    _at: datetime | None = None  # when the last record read was stored
    _in_count: int = 0  # records read on `.in`
    _out_count: int = 0  # the same on `.out`
    _kept: int = 0  # facts and decisions of the last snapshot
    _kept_at: tuple[int, int] = (0, 0)  # its positions on `.in` and `.out`
    _latest: Session = field(init=False)  # with all that was read, but for `_unfolded`
    _unfolded: list[Record] = field(default_factory=list)
    _asked: tuple[Session, int, Session] | None = None  # of `next_cause`: see `_decided`

    def __post_init__(self) -> None:
        self._latest = self.session

    def add(self, record: Record) -> None:
        """Add a record that was read."""
        if not self.ahead:
            self._is_latest(self.session)
        self._unfolded.append(record)
        if len(self._unfolded) > UNFOLDED_MAX:
            self.latest()
        self._note_beginning(record)
        self._at = max(self._at or record.stored_at, record.stored_at)
        if record.side == "in":
            self.in_seq = max(self.in_seq, record.seq)
            self._in_count += 1
            if isinstance(record.fact, CommandRequested):
                self._requests[record.seq] = record
            elif isinstance(record.fact, SessionResumed):
                self._resumed_seq = max(self._resumed_seq, record.seq)
            self._put_ahead(record)
            return
        self._out_count += 1
        if record.seq > self.out_seq:
            self.out_seq, self._out_at = record.seq, record.stored_at
        if isinstance(record.fact, TimerFired):
            # To a decision on an earlier record the timer is still set, and may be cancelled.
            self._put_ahead(record)
            return
        if isinstance(record.fact, Decided):
            self._decided(record, record.fact)
            return
        self.session = evolve(self.session, record)
        if isinstance(record.fact, CommandFailed):
            self._put_ahead(record)

    async def next_cause(self, *, has_policy: bool = False) -> tuple[Record, Session] | None:
        """The oldest record that needs a decision, and the session it is decided on.

        In a parked session only what applications ask for is decided (they may still hang up), and
        while one of its legs is up everything, if there is a policy for parked sessions.
        """
        requests_only = self.is_parked() and not (has_policy and self.latest().status == "active")
        slices = Slices()
        while (record := self._first_ahead(requests_only)) is not None:
            folded = evolve(self.session, record)
            if record.seq in folded.undecided:
                if len(self.ahead) == 1:
                    self._is_latest(folded)
                self._asked = None if requests_only else (self.session, record.seq, folded)
                return record, folded
            # Decided already, a repeated event, or a fact that needs no decision.
            self.session = folded
            self._leave_ahead(record.seq)
            await slices.yield_if_due()
        if not self.ahead:
            self._is_latest(self.session)
        return None

    def latest(self) -> Session:
        """The session with everything read so far, decided on or not."""
        for record in self._unfolded:
            self._latest = evolve(self._latest, record)
        self._unfolded.clear()
        return self._latest

    def is_unread(self) -> bool:
        """Whether nothing of it was read yet."""
        return self.in_seq == self.out_seq == 0

    def due_snapshot(self, every: int) -> Snapshot | None:
        """A snapshot, if as many facts and decisions were added as there have to be for one.

        None while the session is not simply the fold of its first records.
        """
        added = self._folded_size - self._kept
        return self._snapshot() if added >= max(every, self._kept // SNAPSHOT_SHARE) else None

    def last_snapshot(self) -> Snapshot | None:
        """A snapshot of all that was read; None if the last one was that, or there can be none."""
        is_kept = self._kept_at == (self.in_seq, self.out_seq)
        return None if is_kept or self.ahead else self._snapshot()

    def _snapshot(self) -> Snapshot | None:
        session = self.session
        is_in_order = self._folded_seq < self.out_seq and all(
            record.side == "in" and seq > self._folded_seq for seq, record in self.ahead.items()
        )
        has_begun = self.has_begun and not self.is_archived and bool(session.decided)
        is_usual = has_begun and not session.is_parked and not session.undecided
        if not (is_usual and is_in_order) or self._out_at is None:
            return None
        self._kept = self._folded_size
        self._kept_at = (self._folded_seq, self.out_seq)
        return Snapshot(
            session=session,
            in_seq=self._folded_seq,
            out_seq=self.out_seq,
            out_at=self._out_at,
            in_count=self._in_count - len(self.ahead),
            out_count=self._out_count,
        )

    def begin_at(self, snapshot: Snapshot, *, is_compared: bool = True) -> None:
        """Start from the snapshot; no record was added before.

        If it `is_compared`, the log has the record that it ends with.
        """
        session = snapshot.session
        self.begun_at = None if is_compared else snapshot
        self.session = self._latest = session
        self.in_seq = self._folded_seq = snapshot.in_seq
        self.out_seq, self._out_at = snapshot.out_seq, snapshot.out_at
        self.has_begun = True
        self._resumed_seq = session.parked.seq if session.parked is not None else 0
        self._in_count, self._out_count = snapshot.in_count, snapshot.out_count
        self._at = snapshot.out_at
        self._kept = self._folded_size
        self._kept_at = (snapshot.in_seq, snapshot.out_seq)

    @property
    def known(self) -> Known:
        """How far it was read."""
        return Known(
            in_seq=self.in_seq,
            out_seq=self.out_seq,
            in_count=self._in_count,
            out_count=self._out_count,
            at=self._at,
        )

    @property
    def size(self) -> int:
        """Facts and decisions that it holds: memory grows with these."""
        return self._folded_size + len(self.ahead)

    @property
    def _folded_size(self) -> int:
        return len(self.session.facts) + len(self.session.decided)

    def is_parked(self) -> bool:
        """Whether the flow failed on this session, and it was not resumed since."""
        parked = self.session.parked
        return self.session.is_parked and parked is not None and parked.seq > self._resumed_seq

    def open_commands(self) -> list[CommandState]:
        """Decided commands without an outcome, in the order they were decided.

        An end of a call that an application asked for comes first: it was decided out of order.
        """
        states = (self.session.commands[each] for each in self.session.open_commands)
        return sorted(
            states,
            key=lambda state: (
                not (state.flow == API_FLOW.name and _ends(state.issued)),
                state.cause_seq or 0,
                state.ordinal,
            ),
        )

    def requested_ends(self) -> list[Record]:
        """Requests to end a call that have no decision yet, oldest first."""
        if not self._requests:
            return []
        undecided = self.latest().undecided
        return [
            record
            for seq, record in sorted(self._requests.items())
            if isinstance(record.fact, CommandRequested)
            and _ends(record.fact.command)
            and seq in undecided
        ]

    def has_news(self) -> bool:
        """Whether a record was read that needs a decision and has none yet."""
        return bool(self.latest().undecided)

    def open_timers(self) -> list[TimerState]:
        """Timers to schedule, and cancellations to record, in the order they were decided."""
        states = (self.session.timer_states[each] for each in self.session.open_timers)
        return sorted(states, key=lambda state: (state.decided_seq or 0, state.timer_id))

    def due_timers(self, by: datetime) -> list[TimerState]:
        """Timers that are set and due by this time of the log's clock, the first due first."""
        pending = [state for state in self.latest().timers.values() if state.is_due(by)]
        return sorted(pending, key=lambda state: (state.due_at or by, state.timer_id))

    def ended_leg(self, call_control_id: str | None) -> Leg | None:
        """The leg, if it is known to have ended."""
        leg = self.latest().leg(call_control_id)
        return leg if leg is not None and leg.state == "ended" else None

    def _decided(self, record: Record, fact: Decided) -> None:
        """Add a decision, after what it is on: as for who made it, legs are in this order too.

        Not after a request that was decided out of turn: older records are decided on without it.
        """
        if fact.cause_seq not in self.ahead and fact.cause_seq not in self.session.decided:
            self.settled_seq = max(self.settled_seq, fact.cause_seq)
        asked, self._asked = self._asked, None
        if asked is not None and asked[0] is self.session and asked[1] == fact.cause_seq:
            self.session = asked[2]
            self._leave_ahead(fact.cause_seq)
        elif fact.cause_seq in self.ahead:
            self._fold_until(fact.cause_seq)
        self.session = evolve(self.session, record)

    def _fold_until(self, cause_seq: int) -> None:
        """Fold what is ahead up to this record, unless something before it needs a decision."""
        while (first := self._first_ahead(requests_only=False)) is not None:
            if first.seq > cause_seq:
                return
            folded = evolve(self.session, first)
            if first.seq in folded.undecided and first.seq != cause_seq:
                return
            self.session = folded
            self._leave_ahead(first.seq)

    def _leave_ahead(self, seq: int) -> None:
        """The record is in `session` now: it is no longer ahead of it."""
        record = self.ahead.pop(seq, None)
        self._requests.pop(seq, None)
        if record is not None and record.side == "in":
            self._folded_seq = max(self._folded_seq, seq)

    def _note_beginning(self, record: Record) -> None:
        match record.fact:
            case Decided(flow=ARCHIVED.name):
                self.is_archived = True
            case Decided() | LegPlaced():
                self.has_begun = True
            case WebhookReceived(event=CallInitiated(occurred_at=datetime() as at)):
                self.has_begun |= abs(record.stored_at - at) < RECENT

    def _is_latest(self, session: Session) -> None:
        """Use this fold of all records read, instead of folding them again."""
        self._latest = session
        self._unfolded.clear()

    def _put_ahead(self, record: Record) -> None:
        if record.seq not in self.ahead:
            self.ahead[record.seq] = record
            heapq.heappush(self._in_order, record.seq)

    def _first_ahead(self, requests_only: bool) -> Record | None:
        """The oldest fact without a decision."""
        if requests_only:
            return self._requests[min(self._requests)] if self._requests else None
        while self._in_order:
            if (record := self.ahead.get(self._in_order[0])) is not None:
                return record
            heapq.heappop(self._in_order)
        return None


def _ends(command: IssuedCommand | None) -> bool:
    return command is not None and urgency_of(command.operation) == ENDS
