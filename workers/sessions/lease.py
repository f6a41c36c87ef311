"""A worker's hold on a session: every record is appended exactly where the last one left off."""

from collections.abc import Callable
from datetime import datetime, timedelta

from offhook.codec import encode
from offhook.events import CommandAttempted, Decided, Fact, LegPlaced, PlacedLeg
from offhook.jetstream.log import TRACE_HEADER, EventLog
from offhook.session import Leg
from offhook.workers.sessions.state import SessionCache, SessionState

LEASE_MARGIN_S = 1.0
"""A lease outlasts one try of a command by this much."""


class OwnLease:
    """Whoever else appends meanwhile takes the hold away: PositionTaken from then on."""

    def __init__(
        self,
        case: SessionState,
        *,
        cases: SessionCache,
        log: EventLog,
        worker: str,
        send_s: float,
        now: Callable[[], datetime],
        trace: str = "",
    ) -> None:
        self.case = case
        self._cases = cases
        self._log = log
        self._worker = worker
        self._send_s = send_s
        self._lease_s = send_s + LEASE_MARGIN_S
        self._now = now
        self._headers = {TRACE_HEADER: trace} if trace else {}
        self._position = case.out_seq
        self._until = now()
        self._renewals: dict[tuple[str, int], int] = {}  # by command id and attempt

    async def append(self, fact: Fact) -> None:
        """Record a fact. Raises PositionTaken, or LogUnavailable."""
        session_id = self.case.session.session_id
        asked_at = self._now()  # the lease runs from when the record is stored, not acknowledged
        appended = await self._log.append(
            session_id,
            "out",
            encode(fact, session_id),
            expected_seq=self._position,
            headers=self._headers,
        )
        self._position = appended.seq
        self.case.known_seq = max(self.case.known_seq, appended.seq)
        if isinstance(fact, Decided | CommandAttempted):
            self._until = asked_at + timedelta(seconds=fact.lease_s)

    async def tell_placed(self, leg: PlacedLeg, command_id: str) -> None:
        """Record a leg that a dial placed in its own session too, if that is another one.

        Before the dial's outcome: whoever takes over between the two gets the same answer again.
        Raises LogUnavailable.
        """
        session_id = self.case.session.session_id
        if leg.session_id == session_id:
            return
        fact = LegPlaced(leg=leg, command_id=command_id, command_session_id=session_id)
        encoded = encode(fact, leg.session_id)
        await self._log.append(leg.session_id, "in", encoded, headers=self._headers)

    @property
    def left_s(self) -> float:
        """How long the lease still runs."""
        return (self._until - self._now()).total_seconds()

    async def renew(
        self, command_id: str, attempt: int, because: str, *, lease_s: float | None = None
    ) -> None:
        """Record what keeps the attempt that follows; it renews the lease."""
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

    async def keep(self, command_id: str, attempt: int) -> None:
        """Renew the lease unless it lasts for one more try."""
        if self.left_s < self._send_s:
            await self.renew(command_id, attempt, "the lease was running out")

    async def began(self, at: datetime) -> datetime:
        """`at`, a time stamp of the log, by our own clock: the two may differ.

        Measured at the last lease record, so ask right after one was appended.
        """
        await self.look()
        lease = self.case.session.lease
        assert lease is not None
        age = lease.until - timedelta(seconds=self._lease_s) - at
        return self._now() - age

    async def look(self) -> None:
        """Read what was appended meanwhile."""
        await self._cases.refresh(self.case)

    async def ended_leg(self, call_control_id: str | None) -> Leg | None:
        """The leg, if the log by now says that it has ended."""
        await self.look()
        return self.case.ended_leg(call_control_id)
