"""A session as a worker knows it between two looks at the log, and the bounded cache of them.

`session` is what a decision may see: the fold of everything up to the oldest record that still
wants one, plus all that workers recorded. Later facts wait in `ahead`, so that every record is
decided on exactly what came before it, and a replay decides the same.

Everything here costs the same for each record however long the call is; what goes over many records
at once is a coroutine, and lets other calls run in between.
"""

import heapq
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from offhook.errors import LogUnavailable
from offhook.events import (
    CommandFailed,
    CommandRequested,
    IssuedCommand,
    Record,
    SessionResumed,
    TimerFired,
)
from offhook.flow import API_FLOW
from offhook.jetstream.log import READ_BATCH_MAX, EventLog, pages
from offhook.process.slices import Slices
from offhook.session import CommandState, Leg, Session, evolve
from offhook.session.timers import TimerState
from offhook.workers.sending.urgency import ENDS, urgency_of

CASES_CACHED_MAX = 10_000

UNFOLDED_MAX = 64
"""Records that `latest` may have to fold at once."""

STALE_READ_PAUSES_S = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
"""How long a replica that lags is waited for, from read to read."""


@dataclass(kw_only=True)
class SessionState:
    """Kept by one lane at a time. Positions are stream sequences of the last record read."""

    session: Session
    in_seq: int = 0
    out_seq: int = 0
    known_seq: int = 0  # stream sequence of the last record on `.out` that must be there
    ahead: dict[int, Record] = field(default_factory=dict)  # facts not yet decided on, by sequence
    lease_seen: tuple[int, datetime] | None = None  # sequence, and when by the worker's own clock
    _in_order: list[int] = field(default_factory=list)  # a heap of `ahead` and of some that left it
    _requests: dict[int, Record] = field(default_factory=dict)  # those of `ahead`
    _resumed_seq: int = 0  # of the last SessionResumed read
    _latest: Session = field(init=False)  # with all that was read, but for `_unfolded`
    _unfolded: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._latest = self.session

    def add(self, record: Record) -> None:
        """Take in a record that was read."""
        self._unfolded.append(record)
        if len(self._unfolded) > UNFOLDED_MAX:
            self.latest()
        if record.side == "in":
            self.in_seq = max(self.in_seq, record.seq)
            if isinstance(record.fact, CommandRequested):
                self._requests[record.seq] = record
            elif isinstance(record.fact, SessionResumed):
                self._resumed_seq = max(self._resumed_seq, record.seq)
            self._put_ahead(record)
            return
        self.out_seq = max(self.out_seq, record.seq)
        if isinstance(record.fact, TimerFired):
            # To a decision on an earlier record the timer is still set, and may be cancelled.
            self._put_ahead(record)
            return
        self.session = evolve(self.session, record)
        if isinstance(record.fact, CommandFailed):
            self._put_ahead(record)

    async def next_cause(self, *, has_policy: bool = False) -> tuple[Record, Session] | None:
        """The oldest record that wants a decision, and the session it is decided on.

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
                return record, folded
            # Decided already, a repeated event, or a fact that wants no decision.
            self.session = folded
            del self.ahead[record.seq]
            self._requests.pop(record.seq, None)
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

    def is_parked(self) -> bool:
        """Whether the flow failed on this session and nobody has resumed it since."""
        parked = self.session.parked
        return self.session.is_parked and parked is not None and parked.seq > self._resumed_seq

    def open_commands(self) -> list[CommandState]:
        """Decided commands without an outcome, in the order they were decided.

        What an application asked for to end a call comes first: it was decided out of order.
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

    def ends_asked_for(self) -> list[Record]:
        """Requests to end a call that nobody decided on, oldest first."""
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

    def open_timers(self) -> list[TimerState]:
        """Timers to schedule, and cancelled ones to tell of, in the order they were decided."""
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

    def _is_latest(self, session: Session) -> None:
        """The session that all records read add up to is at hand: no need to fold it again."""
        self._latest = session
        self._unfolded.clear()

    def _put_ahead(self, record: Record) -> None:
        if record.seq not in self.ahead:
            self.ahead[record.seq] = record
            heapq.heappush(self._in_order, record.seq)

    def _first_ahead(self, requests_only: bool) -> Record | None:
        """The oldest fact that was not decided on yet."""
        if requests_only:
            return self._requests[min(self._requests)] if self._requests else None
        while self._in_order:
            if (record := self.ahead.get(self._in_order[0])) is not None:
                return record
            heapq.heappop(self._in_order)
        return None


def _ends(command: IssuedCommand | None) -> bool:
    return command is not None and urgency_of(command.operation) == ENDS


class SessionCache:
    """The cases of the sessions seen last. A case is dropped when anything is in doubt."""

    def __init__(
        self,
        log: EventLog,
        sleep: Callable[[float], Awaitable[None]],
        cached_max: int = CASES_CACHED_MAX,
    ) -> None:
        self._log = log
        self._sleep = sleep
        self._cached_max = cached_max
        self._cases: OrderedDict[str, SessionState] = OrderedDict()

    async def look(self, session_id: str, wake_seq: int = 0, decided_seq: int = 0) -> SessionState:
        """The session's case with all that was appended since the last look; see `refresh`.

        `decided_seq` is the stream sequence of a decision whose alarm rang.
        """
        case = self._cases.get(session_id) or SessionState(session=Session(session_id=session_id))
        case.known_seq = max(case.known_seq, decided_seq)
        await self.refresh(case, wake_seq)
        self._cases[session_id] = case
        self._cases.move_to_end(session_id)
        while len(self._cases) > self._cached_max:
            self._cases.popitem(last=False)
        return case

    async def refresh(self, case: SessionState, wake_seq: int = 0) -> None:
        """Read the session's tail. Its cost does not grow with the length of the call.

        A replica that lags is asked again: the record that woke us must be in what was read, and
        what we know to be there, our own appends first of all, or it would be decided and sent once
        more. Raises LogUnavailable when that takes too long.
        """
        session_id = case.session.session_id
        for pause_s in (*STALE_READ_PAUSES_S, None):
            await self._read_on(case)
            if case.in_seq >= wake_seq and case.out_seq >= case.known_seq:
                return
            if pause_s is not None:
                await self._sleep(pause_s)
        raise LogUnavailable(
            f"{session_id}: reads end at {case.in_seq} (in) and {case.out_seq} (out), "
            f"but the log has {wake_seq} (in) and {case.known_seq} (out)"
        )

    async def _read_on(self, case: SessionState) -> None:
        slices = Slices()
        async for page in pages(
            self._log, case.session.session_id, in_after=case.in_seq, out_after=case.out_seq
        ):
            for record in page:
                case.add(record)
                await slices.yield_if_due()
            if len(page) >= READ_BATCH_MAX:
                # More is to come: what was decided need not be held until then.
                await case.next_cause()

    def drop(self, session_id: str) -> None:
        """Read this session from its first record next time."""
        self._cases.pop(session_id, None)

    def start_over(self, session_id: str, known_seq: int) -> None:
        """Read this session from its first record next time; `known_seq` is on its `.out`."""
        self._cases[session_id] = SessionState(
            session=Session(session_id=session_id), known_seq=known_seq
        )
