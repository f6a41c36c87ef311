"""Settle one session: decide on what nobody decided on yet, and carry the decisions out.

    look ──▶ open commands? ──foreign fresh lease──▶ held elsewhere: hand the wake-up over
      ▲       open timers?
      │           │ own, or stale: take over with the same command ids
      │           ▼
      ├────── carry out, record each outcome ◀── append Decided (OCC) ◀── decide
      │                                                                     ▲
      │                                                   oldest record without a Decided
      │                                                                     ▲
      ├──────────────── none, and a timer is due: append TimerFired (OCC) ──┘
      │
      └──── PositionTaken: somebody else was first

Nothing is read after the last decision if all of its commands succeeded and it set no timer: a
record that arrives on `.in` meanwhile is a wake-up itself.

A message is only a wake-up: what is to be done is read from the log, so delivery order,
redelivery and a worker that wakes from the dead change nothing. An alarm is one too: whether its
timer is still set is read from the log, and what else has happened is decided on first.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from offhook.codec import encode
from offhook.commands.webhook_targets import sent_elsewhere
from offhook.decision import NOTHING, Stored, stored
from offhook.errors import LogUnavailable, PositionTaken
from offhook.events import (
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    Event,
    IssuedCommand,
    Record,
    SessionParked,
    TimerCancelled,
    TimerFired,
    TimerSet,
    WebhookReceived,
)
from offhook.flow import API_FLOW, NO_FLOW, PARKED, Flow, flow_for, unmatched
from offhook.jetstream.log import EventLog
from offhook.jetstream.timetable import Alarm, Timetable
from offhook.session import CommandState, Session
from offhook.session.timers import TimerState
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.sending.carrier_readiness import CarrierReadiness
from offhook.workers.sending.queue import CommandQueue
from offhook.workers.sending.urgency import ENDS, urgency_of
from offhook.workers.sessions.execute import Sender, Timing, carry_out
from offhook.workers.sessions.lease import LEASE_MARGIN_S, OwnLease
from offhook.workers.sessions.state import SessionCache, SessionState

_log = logging.getLogger(__name__)

ORDERS_BYTES_MAX = 192 * 1024
"""One decision's orders: they are read again whenever the session is."""

COMMANDS_PER_SESSION_MAX = 1000
TIMERS_PER_SESSION_MAX = 1000
"""The brakes for a flow that answers itself for ever: its session is parked."""


OTHERS_FIRST_S = (0.01, 0.02, 0.04)
"""How long a worker leaves a record to the one that it was delivered to, from look to look: when
two decide on it at once, one has worked in vain."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Nothing is left to do for the session, as far as the log was read."""


@dataclass(frozen=True, kw_only=True)
class HeldElsewhere:
    """Another worker has a lease on it, for `for_s` seconds more, and should look again."""

    worker: str
    for_s: float
    lease_seq: int  # stream sequence of the record that gave the lease


class FlowRaised(Exception):
    """The user's flow raised on a record, or counts as if it had; `__cause__` is what it raised."""

    def __init__(self, record: Record, summary: str) -> None:
        self.record = record
        self.summary = summary
        super().__init__(f"{summary} (session {record.session_id}, sequence {record.seq})")


_NOT_ASKED = "not asked any more: no worker that took it up came to decide on it"


class Settler:
    """Settles sessions, one call of `settle` at a time for each (the lanes see to that).

    `policy` decides in parked sessions; None leaves them as they are.
    """

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
    ) -> None:
        self._worker = worker
        self._log = log
        self._timetable = timetable
        self._sender = sender
        self._flows = flows
        self._timing = timing
        self._lease_s = send_s + LEASE_MARGIN_S
        self._send_s = send_s
        self._metrics = metrics
        self._readiness = readiness
        self._queue = queue
        self._policy = policy
        self._webhook_url = webhook_url
        self._cases = SessionCache(log, timing.sleep)

    async def settle(
        self,
        session_id: str,
        wake_seq: int = 0,
        alarms: Sequence[Alarm] = (),
        *,
        is_deadly: bool = False,
        void: int = 0,
        first_seq: int = 0,
    ) -> Settled | HeldElsewhere:
        """Do all that is left to do. `wake_seq` is the sequence of the record that woke us.

        If `is_deadly`, the record may end its worker: its flow is not asked and counts as raising.
        `void` is the stream sequence of a lease that need not be waited out: its worker is gone.
        `first_seq` is the sequence of the oldest record that woke us at its first delivery, 0 if
        there is none. What is older was delivered to another worker, which gets a moment for it.
        Raises FlowRaised, and LogUnavailable; the session is then as settled as the log says.
        """
        decided_seq = max((alarm.decided_seq for alarm in alarms), default=0)
        try:
            case = await self._cases.look(session_id, wake_seq, decided_seq)
            return await self._settle(case, alarms, is_deadly, void, first_seq)
        except BaseException:
            self._cases.drop(session_id)
            raise

    async def park(self, raised: FlowRaised, attempts: int) -> None:
        """Set the session aside: the flow failed on it once too often."""
        record = raised.record
        fact = SessionParked(cause_seq=record.seq, error=raised.summary, attempts=attempts)
        appended = await self._log.append(record.session_id, "out", encode(fact, record.session_id))
        self._cases.start_over(record.session_id, appended.seq)
        self._metrics.parked.inc()

    async def _settle(
        self,
        case: SessionState,
        alarms: Sequence[Alarm],
        is_deadly: bool,
        void: int,
        first_seq: int,
    ) -> Settled | HeldElsewhere:
        pauses_s = iter(OTHERS_FIRST_S)
        while True:
            try:
                # First, for it folds in the requests that the open commands were decided on.
                cause = await case.next_cause(has_policy=self._policy is not None)
                if (commands := case.open_commands()) or case.open_timers():
                    if (held := self._held_elsewhere(case, void)) is not None:
                        return held
                    await self._take_over(case, commands)
                    await self._tell_timers(case)
                elif (
                    cause is not None
                    and cause[0].seq < first_seq
                    and (pause_s := next(pauses_s, None))
                ):
                    await self._timing.sleep(pause_s)
                elif cause is not None:
                    asks_flow = not isinstance(cause[0].fact, CommandRequested)
                    if is_deadly and asks_flow and not case.is_parked():
                        raise FlowRaised(cause[0], _NOT_ASKED)
                    all_done = await self._decide(case, *cause)
                    if all_done and case.ahead.keys() == {cause[0].seq} and not alarms:
                        # The next look at the session waits for what we appended (`known_seq`).
                        return Settled()
                elif due := self._due_timers(case, alarms):
                    await self._fire(case, due[0])
                else:
                    await self._set_again(case, alarms)
                    return Settled()
            except PositionTaken:
                self._metrics.conflicts.inc()
            await self._cases.refresh(case)

    def _held_elsewhere(self, case: SessionState, void: int) -> HeldElsewhere | None:
        lease = case.session.lease
        if lease is None or lease.worker == self._worker or lease.seq == void:
            return None
        now = self._timing.now()
        if case.lease_seen is None or case.lease_seen[0] != lease.seq:
            case.lease_seen = (lease.seq, now)
        # By the log's clock; or by our own, if that one is far behind.
        until = min(lease.until, case.lease_seen[1] + timedelta(seconds=lease.lasts_s))
        for_s = (until - now).total_seconds()
        if for_s <= 0:
            return None
        return HeldElsewhere(worker=lease.worker, for_s=for_s, lease_seq=lease.seq)

    def _due_timers(self, case: SessionState, alarms: Sequence[Alarm]) -> list[TimerState]:
        return case.due_timers(max(alarm.rang_at for alarm in alarms)) if alarms else []

    async def _take_over(self, case: SessionState, opened: Sequence[CommandState]) -> None:
        """Go on with a decision whose worker is gone, or with an own one that was interrupted."""
        hold = self._hold(case)
        begun: set[int | None] = set()
        for state in opened:
            assert state.issued is not None
            assert state.decided_at is not None
            # A decision's commands are sent one after the other: only the first that is open may be
            # with the carrier already.
            attempts = state.attempts if state.cause_seq in begun else max(state.attempts, 1)
            begun.add(state.cause_seq)
            # The record fences the former holder before anything is sent.
            await hold.renew(state.command_id, attempts + 1, "taken over")
            since = await hold.began(state.requested_at or state.decided_at)
            await self._carry_out(hold, state.issued, since=since, attempts=attempts)

    async def _tell_timers(self, case: SessionState) -> None:
        """Schedule what was set, and record what was cancelled; again, if a worker died at it."""
        hold = self._hold(case)
        for state in case.open_timers():
            if state.is_cancelled:
                await hold.append(TimerCancelled(timer_id=state.timer_id, name=state.name))
                continue
            await self._set(case, state)
            assert state.due_at is not None
            await hold.append(
                TimerSet(timer_id=state.timer_id, name=state.name, due_at=state.due_at)
            )

    async def _fire(self, case: SessionState, state: TimerState) -> None:
        """The record wakes nobody: who appends it decides on it, or its alarm rings again."""
        await self._hold(case).append(
            TimerFired(
                timer_id=state.timer_id,
                name=state.name,
                due_at=state.due_at,
                call_control_id=state.call_control_id,
            )
        )

    async def _set_again(self, case: SessionState, alarms: Sequence[Alarm]) -> None:
        """An alarm that rang before its timer was due (a clock was put back) has to ring again."""
        for alarm in alarms:
            state = case.session.timer_states.get(alarm.timer_id)
            if state is not None and state.is_pending and not state.is_due(alarm.rang_at):
                await self._set(case, state)

    async def _set(self, case: SessionState, state: TimerState) -> None:
        assert state.due_at is not None
        assert state.decided_seq is not None
        await self._timetable.set(
            case.session.session_id,
            state.timer_id,
            due_at=state.due_at,
            decided_seq=state.decided_seq,
        )

    async def _decide(self, case: SessionState, record: Record, session: Session) -> bool:
        """Decide on the record. Whether that leaves nothing more to do for this decision."""
        fact = record.fact
        since = self._timing.now()
        flow, said = API_FLOW, NOTHING
        match fact:
            case CommandRequested(command=command):
                said = Stored(commands=(command,))
            case WebhookReceived(event=event):
                flow, said = self._ask_flow(case, record, event, session)
            case CommandFailed():
                state = session.commands.get(fact.command_id)
                if state is None or state.flow != API_FLOW.name:
                    flow, said = self._ask_flow(case, record, fact, session)
            case TimerFired(timer_id=timer_id):
                if session.timer_states[timer_id].is_cancelled:
                    # The decision that cancelled it was still to be made when it fired.
                    flow = flow_for(self._flows, fact, session)
                else:
                    flow, said = self._ask_flow(case, record, fact, session)
            case _:
                raise AssertionError(f"{type(fact).__name__} wants no decision")
        hold = self._hold(case, trace=record.traceparent)
        return await self._carry_through(hold, record, flow, said, since)

    async def _carry_through(
        self, hold: OwnLease, record: Record, flow: Flow, said: Stored, since: datetime
    ) -> bool:
        """Record what was decided, and carry it out.

        False if more is to come of it: a timer to schedule, or a failure to decide on.
        """
        for command in said.commands:
            elsewhere = tuple(sent_elsewhere(command, self._webhook_url))
            said = said._replace(warnings=(*said.warnings, *elsewhere))
        decided = Decided(
            cause_seq=record.seq,
            cause_id=record.fact_id,
            flow=flow.name,
            flow_version=flow.version,
            worker=self._worker,
            lease_s=self._lease_s,
            commands=said.commands,
            timers=said.timers,
            warnings=said.warnings,
        )
        await hold.append(decided)
        if flow is NO_FLOW and said.warnings:
            self._metrics.unmatched.inc()
            detail = {"session_id": record.session_id, "detail": said.warnings[0]}
            _log.warning("no flow takes the call", extra=detail)
        if isinstance(record.fact, CommandRequested):
            # The application was told after its own wait that nothing came of it.
            since = await hold.began(record.stored_at)
        self._metrics.decided.labels(flow=flow.name).inc()
        all_succeeded = True
        for command in said.commands:
            self._metrics.seconds_to_command.observe(
                max(0.0, (self._timing.now() - record.stored_at).total_seconds())
            )
            outcome = await self._carry_out(hold, command, since=since, attempts=0)
            all_succeeded = all_succeeded and isinstance(outcome, CommandSucceeded)
        return all_succeeded and not said.timers

    def _hold(self, case: SessionState, trace: str = "") -> OwnLease:
        return OwnLease(
            case,
            cases=self._cases,
            log=self._log,
            worker=self._worker,
            send_s=self._send_s,
            now=self._timing.now,
            trace=trace,
        )

    def _ask_flow(
        self, case: SessionState, record: Record, event: Event, session: Session
    ) -> tuple[Flow, Stored]:
        if self._policy is not None and case.is_parked():
            # On the newest state: a leg that was bridged meanwhile must not be hung up.
            latest = case.latest()
            orders = self._policy.decide(event, latest)
            return self._policy, stored(orders, event, latest, record.seq)
        flow = flow_for(self._flows, event, session)
        if flow.name == PARKED.name:
            return flow, NOTHING  # the session was resumed, so its own flow decides again
        try:
            said = stored(flow.decide(event, session), event, session, record.seq)
            if (size := len(msgspec.json.encode(said))) > ORDERS_BYTES_MAX:
                raise ValueError(f"its orders take {size} bytes; at most {ORDERS_BYTES_MAX}")
            if said.commands and len(session.commands) + len(said.commands) > (
                COMMANDS_PER_SESSION_MAX
            ):
                raise ValueError(f"over {COMMANDS_PER_SESSION_MAX} commands in a session: a loop?")
            if (
                said.timers
                and len(session.timer_states) + len(said.timers) > TIMERS_PER_SESSION_MAX
            ):
                raise ValueError(f"over {TIMERS_PER_SESSION_MAX} timers in a session: a loop?")
        except (Exception, SystemExit) as error:  # its sys.exit() is no reason for us to end
            summary = f"flow {flow.name} {flow.version}: {type(error).__name__}: {error}"
            raise FlowRaised(record, summary) from error
        if flow is NO_FLOW and (warning := unmatched(self._flows, event)):
            said = said._replace(warnings=(warning,))
        return flow, said

    async def _carry_out(
        self, hold: OwnLease, command: IssuedCommand, *, since: datetime, attempts: int
    ) -> CommandSucceeded | CommandFailed:
        async def look() -> None:
            try:
                await hold.look()
            except LogUnavailable:
                # Nothing is sent without another look. Who gives up here is taken over, if need be
                # by ourselves, and a command that was never sent would go as a repetition.
                return
            if urgency_of(command.operation) != ENDS:
                await self._end_meanwhile(hold)

        outcome = await carry_out(
            command,
            decided_at=since,
            attempts=attempts,
            sender=self._sender,
            hold=hold,
            timing=self._timing,
            queue=self._queue,
            look=look,
        )
        if isinstance(outcome, CommandSucceeded) and outcome.placed is not None:
            await hold.tell_placed(outcome.placed, outcome.command_id)
        await hold.append(outcome)
        reason = outcome.reason if isinstance(outcome, CommandFailed) else "ok"
        self._metrics.commands.labels(operation=command.operation, outcome=reason).inc()
        self._readiness.learn(command.operation, outcome)
        return outcome

    async def _end_meanwhile(self, hold: OwnLease) -> None:
        """End the calls that applications asked to end while another command waits.

        Out of order, for that command may wait for most of a minute. It takes no flow to decide.
        """
        while ends := hold.case.ends_asked_for():
            record = ends[0]
            assert isinstance(record.fact, CommandRequested)
            said = Stored(commands=(record.fact.command,))
            await self._carry_through(hold, record, API_FLOW, said, self._timing.now())
