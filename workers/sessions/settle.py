"""Settle one session: decide on every record that has no decision yet, and execute the decisions.

    read ──▶ open commands? ──foreign fresh lease──▶ held elsewhere: hand the deliveries over
      ▲       open timers?
      │           │ own, or stale: take over with the same command ids
      │           ▼
      ├────── execute, record each outcome ◀── append Decided (OCC) ◀── decide
      │                                                                   ▲
      │                                                 oldest record without a Decided
      │                                                                   ▲
      ├──────────────── none, and a timer is due: append TimerFired (OCC) ┘
      │
      └──── PositionTaken: another worker was first

Nothing is read after the last decision if all of its commands succeeded and it set no timer: a
record that arrives on `.in` meanwhile is a wake-up itself.

A message is only a wake-up: what is to be done is read from the log, so delivery order,
redelivery and a worker that wakes from the dead change nothing. An alarm is one too: whether its
timer is still set is read from the log, and what else has happened is decided on first.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from offhook.codec.facts import encode
from offhook.errors import LogUnavailable, PositionTaken
from offhook.events import CommandRequested, Record, SessionParked
from offhook.flow import Flow
from offhook.jetstream.log import EventLog
from offhook.jetstream.timetable import Alarm, Timetable
from offhook.session import CommandState, Session
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.cache import SessionCache
from offhook.workers.reading.precedence import Precedence
from offhook.workers.reading.silence import Arrived, Silences, nothing_arrived
from offhook.workers.reading.snapshots import Snapshots
from offhook.workers.reading.state import SessionState
from offhook.workers.sending.carrier_readiness import CarrierReadiness
from offhook.workers.sending.permits import Sender
from offhook.workers.sending.queue import CommandQueue
from offhook.workers.sessions.decide import Decider
from offhook.workers.sessions.execute import CommandExecutor, Timing
from offhook.workers.sessions.flows import NOT_ASKED, FlowRaised, Flows
from offhook.workers.sessions.lease import LEASE_MARGIN_S, OwnLease
from offhook.workers.sessions.timers import SessionTimers, due_timers

OTHERS_FIRST_S = (0.01, 0.02, 0.04)
"""How long, from read to read, a worker leaves a record to the one that it was delivered to: when
two decide on it at once, the work of one is wasted."""

FEW_MAX = 4
"""With more records to decide on than this a session catches up, and others go first."""

DECISION_S = 0.001
"""What it takes to decide on one of many records, about."""

CONFLICTS_MAX = 5
"""A replica that lags does not show the record that another worker appended either, for a while."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Nothing is left to do for the session, as far as the log was read."""


@dataclass(frozen=True, kw_only=True)
class HeldElsewhere:
    """Another worker has a lease on the session for `for_s` seconds more, and should read again."""

    worker: str
    for_s: float
    lease_seq: int  # stream sequence of the record that gave the lease


_log = logging.getLogger(__name__)

WasArchived = Callable[[str], Awaitable[bool]]


async def _never(session_id: str) -> bool:
    return False


class Settler:
    """Settles sessions, one call of `settle` at a time for each: the dispatcher sees to that."""

    def __init__(
        self,
        *,
        worker: str,
        log: EventLog,
        timetable: Timetable,
        sender: Sender,
        flows: Sequence[Flow],
        timing: Timing,
        send_s: float,
        metrics: WorkerMetrics,
        readiness: CarrierReadiness,
        queue: CommandQueue,
        policy: Flow | None = None,
        webhook_url: str = "",
        was_archived: WasArchived = _never,
        snapshots: Snapshots | None = None,
        precedence: Precedence | None = None,
        silences: Silences | None = None,
    ) -> None:
        """`send_s` is the longest that one send takes.

        `policy` decides in parked sessions; None leaves them as they are. `was_archived` says
        whether a session's records have left the log; it is asked if their beginning is not there.
        Long sessions are read from their `snapshots` on, and are offered to them.
        """
        self._was_archived = was_archived
        self._worker = worker
        self._log = log
        self._timing = timing
        self._send_s = send_s
        self._metrics = metrics
        self._has_policy = policy is not None
        self._precedence = precedence or Precedence()
        self._cache = SessionCache(
            log,
            timing.sleep,
            snapshots=snapshots,
            precedence=self._precedence,
            silences=silences or Silences(log, metrics),
        )
        self._snapshots = snapshots
        self._timers = SessionTimers(timetable)
        self._decider = Decider(
            worker=worker,
            lease_s=send_s + LEASE_MARGIN_S,
            flows=Flows(flows, policy),
            now=timing.now,
            metrics=metrics,
            webhook_url=webhook_url,
        )
        self._executor = CommandExecutor(
            sender=sender,
            send_s=send_s,
            queue=queue,
            decider=self._decider,
            timing=timing,
            metrics=metrics,
            readiness=readiness,
            precedence=self._precedence,
        )

    async def settle(
        self,
        session_id: str,
        wake_seq: int = 0,
        alarms: Sequence[Alarm] = (),
        *,
        is_deadly: bool = False,
        void: int = 0,
        first_seq: int = 0,
        as_known: bool = False,
        is_new: bool = False,
        arrived: Arrived = nothing_arrived,
        woken_at: datetime | None = None,
    ) -> Settled | HeldElsewhere:
        """Do all that is left to do. `wake_seq` is the sequence of the record that woke us.

        If `is_deadly`, the record may end its worker: its flow is not asked and counts as raising.
        `void` is the stream sequence of a lease that need not be waited out: its worker is gone.
        `first_seq` is the sequence of the oldest record that woke us at its first delivery, 0 if
        there is none. What is older was delivered to another worker, which gets a moment for it.
        `as_known`: begin without reading. The flow has just raised on what was read, and an append
        that follows is refused if another worker has appended since.
        `is_new`: the session is probably short, and is not asked for a snapshot first.
        `arrived` gives the records that woke us, as far as they are at hand. `woken_at` is when the
        last one was stored, or an alarm rang.
        Raises FlowRaised, and LogUnavailable; the session is then as settled as the log says.
        """
        decided_seq = max((alarm.decided_seq for alarm in alarms), default=0)
        try:
            with self._precedence.at_work():
                state = self._cache.known(session_id) if as_known else None
                if state is None:
                    state = await self._cache.read(
                        session_id,
                        wake_seq,
                        decided_seq,
                        is_new=is_new,
                        arrived=arrived,
                        woken_at=woken_at,
                    )
                settled = await self._settle(state, alarms, is_deadly, void, first_seq)
            if self._snapshots is not None:
                self._snapshots.settled(state)
            return settled
        except FlowRaised:
            # Nothing was appended. Reading a long call again for each raise would hold up others.
            raise
        except BaseException:
            self._cache.drop(session_id)
            raise

    async def rest(self, session_id: str) -> None:
        """Read all of a session that rests, and have a snapshot of it stored if it is long.

        Only if it is still in memory here, and stored only if its last decision is this worker's:
        others may have it in memory, too. It stays in memory if the log is away, which says nothing
        against it, unless it was not compared with the log yet.
        """
        state = self._cache.known(session_id)
        if state is None or self._snapshots is None:
            return
        try:
            with self._precedence.at_work(), self._precedence.long():
                await self._cache.refresh(state)
                await state.next_cause(has_policy=self._has_policy)
        except LogUnavailable as error:
            if state.begun_at is not None:
                self._cache.drop(session_id)
            _log.warning("a session that rests is not read", extra={"error": str(error)})
            return
        except BaseException:
            self._cache.drop(session_id)
            raise
        lease = state.session.lease
        if lease is None or lease.worker != self._worker or not self._snapshots.is_long(state):
            return
        if (snapshot := state.last_snapshot()) is not None:
            self._snapshots.offer(snapshot)

    async def park(self, raised: FlowRaised, attempts: int, traceback: str = "") -> bool:
        """Set the session aside: the flow has raised on it too often. Raises LogUnavailable.

        Returns whether it was. It is not if anything was appended since the flow was asked: another
        worker may have decided on the record, or have parked the session, so read it again.
        """
        record, flow = raised.record, raised.flow
        fact = SessionParked(
            cause_seq=record.seq,
            error=raised.summary,
            attempts=attempts,
            traceback=traceback,
            flow=flow.name if flow is not None else "",
            flow_version=flow.version if flow is not None else "",
            in_seq=raised.in_seq,
        )
        encoded = encode(fact, record.session_id)
        try:
            appended = await self._log.append(
                record.session_id, "out", encoded, expected_seq=raised.out_seq
            )
        except PositionTaken:
            self._metrics.conflicts.inc()
            self._cache.drop(record.session_id)  # erased or archived, it has no such position
            return False
        self._cache.expect(record.session_id, appended.seq)
        self._metrics.parked.inc()
        return True

    async def _settle(
        self,
        state: SessionState,
        alarms: Sequence[Alarm],
        is_deadly: bool,
        void: int,
        first_seq: int,
    ) -> Settled | HeldElsewhere:
        pauses_s = iter(OTHERS_FIRST_S)
        conflicts = 0  # in a row, without a record that explains them
        while True:
            out_seq = state.out_seq
            try:
                # First, since it folds in the requests that the open commands were decided on.
                cause = await state.next_cause(has_policy=self._has_policy)
                if (commands := state.open_commands()) or state.open_timers():
                    if (held := self._held_elsewhere(state, void)) is not None:
                        return held
                    lease = self._lease(state)
                    await self._take_over(lease, commands)
                    await self._timers.carry_out(lease)
                elif (
                    cause is not None
                    and cause[0].seq < first_seq
                    and (pause_s := next(pauses_s, None))
                ):
                    with self._precedence.elsewhere():
                        await self._timing.sleep(pause_s)
                elif cause is not None:
                    if len(state.ahead) > FEW_MAX:
                        self._precedence.stay_long()
                    await self._precedence.before_decision(DECISION_S)
                    await self._look_into_archive(state)
                    if is_deadly and _asks_flow(cause[0]) and not state.is_parked():
                        raise FlowRaised(cause[0], NOT_ASKED, state)
                    all_done = await self._decide(state, *cause)
                    if all_done and state.ahead.keys() <= {cause[0].seq} and not alarms:
                        # The next read of the session waits for what we appended (`tail_seq`).
                        return Settled()
                elif due := due_timers(state, alarms):
                    await self._timers.fire(self._lease(state), due[0])
                else:
                    await self._timers.schedule_again(state, alarms)
                    return Settled()
            except PositionTaken:
                self._metrics.conflicts.inc()
                conflicts += 1
            await self._cache.refresh(state)
            if state.out_seq > out_seq:
                conflicts = 0
            elif conflicts >= CONFLICTS_MAX:
                # Archived or erased while we held it: it is read from its first record again.
                raise LogUnavailable(f"{state.session.session_id}: its records have left the log")

    async def _look_into_archive(self, state: SessionState) -> None:
        """What looks like a call in the middle may be the rest of one that ended long ago."""
        if not (state.has_begun or state.is_archived):
            state.is_archived = await self._was_archived(state.session.session_id)
            state.has_begun = not state.is_archived

    async def _decide(self, state: SessionState, record: Record, session: Session) -> bool:
        """Whether nothing more is to come of it: no timer to schedule, no failure to decide on."""
        lease = self._lease(state, trace=record.traceparent)
        decision = await self._decider.decide(lease, record, session)
        all_succeeded = await self._executor.execute(lease, decision)
        return all_succeeded and not decision.sets_timers

    async def _take_over(self, lease: OwnLease, opened: Sequence[CommandState]) -> None:
        """Go on with a decision whose worker is gone, or with an own one that was interrupted."""
        state = lease.state
        begun: set[int | None] = set()
        if state.unsent is not None:
            cause_seq, decided_seq = state.unsent
            state.unsent = None
            if state.session.lease is not None and state.session.lease.seq == decided_seq:
                begun.add(cause_seq)  # nobody has gone on with it: nothing was sent
        for command in opened:
            assert command.issued is not None
            assert command.decided_at is not None
            # A decision's commands are sent one after the other: only the first that is open may be
            # with the carrier already.
            attempts = max(command.attempts, 0 if command.cause_seq in begun else 1)
            begun.add(command.cause_seq)
            # One that went ahead of other records was decided before its request is folded in.
            asked = state.latest().commands[command.command_id]
            # The record fences the former holder before anything is sent.
            await lease.renew(command.command_id, attempts + 1, "taken over")
            await self._executor.resume(
                lease,
                command.issued,
                decided_at=await lease.on_own_clock(asked.requested_at or command.decided_at),
                by_others=attempts,
            )

    def _held_elsewhere(self, state: SessionState, void: int) -> HeldElsewhere | None:
        lease = state.session.lease
        if lease is None or lease.worker == self._worker or lease.seq == void:
            return None
        now = self._timing.now()
        if state.lease_seen is None or state.lease_seen[0] != lease.seq:
            state.lease_seen = (lease.seq, now)
        # By the log's clock; or by our own, if that one is far behind.
        until = min(lease.until, state.lease_seen[1] + timedelta(seconds=lease.lasts_s))
        for_s = (until - now).total_seconds()
        if for_s <= 0:
            return None
        return HeldElsewhere(worker=lease.worker, for_s=for_s, lease_seq=lease.seq)

    def _lease(self, state: SessionState, trace: str = "") -> OwnLease:
        return OwnLease(
            state,
            cache=self._cache,
            log=self._log,
            worker=self._worker,
            send_s=self._send_s,
            now=self._timing.now,
            trace=trace,
        )


def _asks_flow(record: Record) -> bool:
    return not isinstance(record.fact, CommandRequested)
