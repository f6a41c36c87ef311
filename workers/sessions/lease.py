"""This worker's lease on a session: what it appends under it, and how long it lasts.

Every record is appended exactly where the last one left off (`SessionState.tail_seq`). Once another
worker has appended, the next append raises PositionTaken, and so does a look that finds its record.

A read may come from a replica that lags: a look that finds nothing proves nothing. An append goes
through the leader, and proves that nothing follows the record that it was built on; unless the log
answers that it has the fact already, because then anything may follow. After such an answer the
lease counts as run out until another append is stored, and nothing is sent (`next_step`).
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from offhook.codec.facts import encode
from offhook.errors import PositionTaken
from offhook.events import CommandAttempted, Decided, Fact, LegPlaced, PlacedLeg
from offhook.jetstream.log import EventLog
from offhook.jetstream.message import TRACE_HEADER
from offhook.workers.reading.cache import SessionCache
from offhook.workers.reading.state import SessionState

LEASE_MARGIN_S = 1.0
"""A lease outlasts one send of a command by this much."""


class OwnLease:
    """Made after a read of the session: what was read by then is what it builds on."""

    def __init__(
        self,
        state: SessionState,
        *,
        cache: SessionCache,
        log: EventLog,
        worker: str,
        send_s: float,
        now: Callable[[], datetime],
        trace: str = "",
    ) -> None:
        """`send_s` is the longest that one send takes; `trace` the traceparent of the records."""
        self.state = state
        self._cache = cache
        self._log = log
        self._worker = worker
        self._lease_s = send_s + LEASE_MARGIN_S
        self._now = now
        self._headers = {TRACE_HEADER: trace} if trace else {}
        self._until = now()
        self._is_held = False  # a record of ours was stored since the session was read
        self._renewals: dict[tuple[str, int], int] = {}  # by command id and attempt
        state.tail_seq = max(state.tail_seq, state.out_seq)

    @property
    def left_s(self) -> float:
        """How long the lease still runs."""
        return (self._until - self._now()).total_seconds()

    async def append(self, fact: Fact) -> None:
        """Record a fact. Raises PositionTaken, or LogUnavailable.

        Of a decision that the log has already, PositionTaken: it may have other commands, and
        records of what became of them. So it is taken over as the log has it.
        """
        state, built_on = self.state, self.state.tail_seq
        session_id = state.session.session_id
        asked_at = self._now()  # the lease runs from when the record is stored, not acknowledged
        appended = await self._log.append(
            session_id,
            "out",
            encode(fact, session_id),
            expected_seq=built_on,
            headers=self._headers,
        )
        state.tail_seq = max(built_on, appended.seq)
        is_renewal = isinstance(fact, CommandAttempted)
        if not appended.duplicate:
            self._is_held = True
            state.begun_at = None  # the log has what it was built on
            if isinstance(fact, Decided | CommandAttempted):
                self._until = asked_at + timedelta(seconds=fact.lease_s)
            return
        # Stored by a try of this append that had no answer; or by another worker, or long ago.
        self._until = asked_at
        if isinstance(fact, Decided) and appended.seq > state.dropped_seq:
            state.unsent = (fact.cause_seq, appended.seq)
        if isinstance(fact, Decided) or (is_renewal and not self._is_held):
            raise PositionTaken(f"{session_id}.out has the record already, at {appended.seq}")
        await self.look()
        lease = state.session.lease
        if lease is not None and built_on < lease.seq != appended.seq:
            raise PositionTaken(f"{lease.worker} has taken {session_id} over at {lease.seq}")

    async def append_placed(self, leg: PlacedLeg, command_id: str) -> None:
        """Record a leg that a dial placed in the leg's own session, if that is another one.

        Before the dial's outcome: a worker that takes over in between gets the same answer again.
        Raises LogUnavailable.
        """
        session_id = self.state.session.session_id
        if leg.session_id == session_id:
            return
        fact = LegPlaced(leg=leg, command_id=command_id, command_session_id=session_id)
        encoded = encode(fact, leg.session_id)
        await self._log.append(leg.session_id, "in", encoded, headers=self._headers)

    async def renew(
        self, command_id: str, attempt: int, because: str, *, lease_s: float | None = None
    ) -> None:
        """Record what delays the attempt that follows; this renews the lease.

        Raises PositionTaken, or LogUnavailable.
        """
        renewal = self._renewals.get((command_id, attempt), -1) + 1
        self._renewals[command_id, attempt] = renewal
        await self.append(
            CommandAttempted(
                command_id=command_id,
                attempt=attempt,
                because=because,
                worker=self._worker,
                lease_s=lease_s or self._lease_s,
                renewal=renewal,
            )
        )

    async def look(self) -> None:
        """Read what was appended meanwhile. Raises PositionTaken, or LogUnavailable."""
        state = self.state
        await self._cache.refresh(state)
        if state.out_seq > state.tail_seq:
            raise PositionTaken(
                f"{state.session.session_id}.out has moved on from sequence {state.tail_seq}"
            )

    async def on_own_clock(self, at: datetime) -> datetime:
        """`at`, a time stamp of the log, by our own clock: the two may differ.

        The difference is measured at our last lease record, so append one before. What the log
        took to store it makes the result earlier: a deadline that is counted from it is not missed.
        Raises PositionTaken, or LogUnavailable.
        """
        await self.look()
        lease = self.state.session.lease
        assert lease is not None
        return at + (self._until - lease.until)
