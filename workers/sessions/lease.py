"""This worker's lease on a session: what it appends under it, and how long it lasts.

Every record is appended exactly where the last one left off (`SessionState.tail_seq`). Once another
worker has appended, the next append raises PositionTaken, and so does a look that finds its record.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from offhook.codec import encode
from offhook.errors import PositionTaken
from offhook.events import CommandAttempted, Decided, Fact, LegPlaced, PlacedLeg
from offhook.jetstream.log import TRACE_HEADER, EventLog
from offhook.workers.sessions.cache import SessionCache
from offhook.workers.sessions.state import SessionState

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
        self._renewals: dict[tuple[str, int], int] = {}  # by command id and attempt
        state.tail_seq = max(state.tail_seq, state.out_seq)

    @property
    def left_s(self) -> float:
        """How long the lease still runs."""
        return (self._until - self._now()).total_seconds()

    async def append(self, fact: Fact) -> None:
        """Record a fact. Raises PositionTaken, or LogUnavailable."""
        state = self.state
        session_id = state.session.session_id
        asked_at = self._now()  # the lease runs from when the record is stored, not acknowledged
        appended = await self._log.append(
            session_id,
            "out",
            encode(fact, session_id),
            expected_seq=state.tail_seq,
            headers=self._headers,
        )
        state.tail_seq = max(state.tail_seq, appended.seq)
        if isinstance(fact, Decided | CommandAttempted):
            self._until = asked_at + timedelta(seconds=fact.lease_s)
        if appended.duplicate:
            # Stored before, maybe by another worker, or long ago: then something came after it.
            await self.look()

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
