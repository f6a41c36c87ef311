"""Settle one session: decide on what nobody decided on yet, and carry the decisions out.

    look ──▶ open commands? ──foreign fresh lease──▶ held elsewhere: hand the wake-up over
      ▲           │ own, or stale: take over with the same command ids
      │           ▼
      ├────── carry out, record each outcome ◀── append Decided (OCC) ◀── decide
      │                                                                     ▲
      └──── PositionTaken: somebody else was first        oldest record without a Decided

A message is only a wake-up: what is to be done is read from the log, so delivery order,
redelivery and a worker that wakes from the dead change nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from offhook.codec import encode
from offhook.errors import PositionTaken
from offhook.events import (
    CommandFailed,
    CommandRequested,
    Decided,
    Event,
    IssuedCommand,
    Record,
    SessionParked,
    WebhookReceived,
)
from offhook.flow import API_FLOW, Flow, addressed, command_id_for, flow_for
from offhook.jetstream.log import EventLog
from offhook.session import CommandState, Session
from offhook.telnyx.catalog import parameters_of
from workers.carry_out import Sender, Timing, carry_out
from workers.case import Case, Cases
from workers.hold import Hold
from workers.metrics import Metrics
from workers.standing import Standing

LEASE_MARGIN_S = 1.0
"""A lease outlasts one try of a command by this much."""

COMMANDS_BYTES_MAX = 192 * 1024
"""One decision's commands; the log, whose records have a bound of 256 KiB, has to take them."""

COMMANDS_PER_SESSION_MAX = 1000
"""The brake for a flow that answers its own commands for ever: its session is parked."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Nothing is left to do for the session, as far as the log was read."""


@dataclass(frozen=True, kw_only=True)
class HeldElsewhere:
    """Another worker is at it; it should be told, and `for_s` is how long its lease still runs."""

    worker: str
    for_s: float


class FlowRaised(Exception):
    """The user's flow raised on a record; `__cause__` is what it raised."""

    def __init__(self, flow: Flow, record: Record, error: Exception) -> None:
        self.record = record
        self.summary = f"flow {flow.name} {flow.version}: {type(error).__name__}: {error}"
        super().__init__(f"{self.summary} (session {record.session_id}, sequence {record.seq})")


class Settler:
    """Settles sessions, one call of `settle` at a time for each (the lanes see to that)."""

    def __init__(
        self,
        *,
        worker: str,
        log: EventLog,
        sender: Sender,
        flows: Sequence[Flow],
        timing: Timing,
        try_s: float,
        metrics: Metrics,
        standing: Standing,
    ) -> None:
        self._worker = worker
        self._log = log
        self._sender = sender
        self._flows = flows
        self._timing = timing
        self._lease_s = try_s + LEASE_MARGIN_S
        self._try_s = try_s
        self._metrics = metrics
        self._standing = standing
        self._cases = Cases(log, timing.sleep)

    async def settle(self, session_id: str, wake_seq: int = 0) -> Settled | HeldElsewhere:
        """Do all that is left to do. `wake_seq` is the sequence of the record that woke us.

        Raises FlowRaised, and LogUnavailable; the session is then as settled as the log says.
        """
        try:
            return await self._settle(await self._cases.look(session_id, wake_seq))
        except BaseException:
            self._cases.drop(session_id)
            raise

    async def park(self, raised: FlowRaised, attempts: int) -> None:
        """Set the session aside: the flow failed on it once too often."""
        record = raised.record
        fact = SessionParked(cause_seq=record.seq, error=raised.summary, attempts=attempts)
        await self._log.append(record.session_id, "out", encode(fact, record.session_id))
        self._cases.drop(record.session_id)
        self._metrics.parked.inc()

    async def _settle(self, case: Case) -> Settled | HeldElsewhere:
        while True:
            try:
                # First, for it folds in the requests that the open commands were decided on.
                cause = case.next_cause()
                if opened := case.open_commands():
                    if (held := self._held_elsewhere(case)) is not None:
                        return held
                    await self._take_over(case, opened)
                elif cause is not None:
                    await self._decide(case, *cause)
                else:
                    return Settled()
            except PositionTaken:
                self._metrics.conflicts.inc()
            await self._cases.refresh(case)

    def _held_elsewhere(self, case: Case) -> HeldElsewhere | None:
        lease = case.session.lease
        if lease is None or lease.worker == self._worker:
            return None
        for_s = (lease.until - self._timing.now()).total_seconds()
        return HeldElsewhere(worker=lease.worker, for_s=for_s) if for_s > 0 else None

    async def _take_over(self, case: Case, opened: Sequence[CommandState]) -> None:
        """Go on with a decision whose worker is gone, or with an own one that was interrupted."""
        hold = self._hold(case)
        for position, state in enumerate(opened):
            assert state.issued is not None
            assert state.decided_at is not None
            # Commands are sent one after the other: only the first may be with the carrier already.
            attempts = state.attempts if position else max(state.attempts, 1)
            # The record fences the former holder before anything is sent.
            await hold.renew(state.command_id, attempts + 1, "taken over")
            since = await hold.began(state.requested_at or state.decided_at)
            await self._carry_out(hold, state.issued, since=since, attempts=attempts)

    async def _decide(self, case: Case, record: Record, session: Session) -> None:
        fact = record.fact
        since = self._timing.now()
        flow: Flow
        commands: tuple[IssuedCommand, ...]
        match fact:
            case CommandRequested(command=command):
                flow, commands = API_FLOW, (command,)
            case WebhookReceived(event=event):
                flow, commands = self._ask_flow(record, event, session)
            case CommandFailed():
                state = session.commands.get(fact.command_id)
                if state is not None and state.flow == API_FLOW.name:
                    flow, commands = API_FLOW, ()
                else:
                    flow, commands = self._ask_flow(record, fact, session)
            case _:
                raise AssertionError(f"{type(fact).__name__} wants no decision")
        decided = Decided(
            cause_seq=record.seq,
            cause_id=record.fact_id,
            flow=flow.name,
            flow_version=flow.version,
            worker=self._worker,
            lease_s=self._lease_s,
            commands=commands,
        )
        hold = self._hold(case, trace=record.traceparent)
        await hold.append(decided)
        if isinstance(fact, CommandRequested):
            # The application was told after its own wait that nothing came of it.
            since = await hold.began(record.stored_at)
        self._metrics.decided.labels(flow=flow.name).inc()
        for command in commands:
            self._metrics.seconds_to_command.observe(
                max(0.0, (self._timing.now() - record.stored_at).total_seconds())
            )
            await self._carry_out(hold, command, since=since, attempts=0)

    def _hold(self, case: Case, trace: str = "") -> Hold:
        return Hold(
            case,
            cases=self._cases,
            log=self._log,
            worker=self._worker,
            lease_s=self._lease_s,
            now=self._timing.now,
            trace=trace,
        )

    def _ask_flow(
        self, record: Record, event: Event, session: Session
    ) -> tuple[Flow, tuple[IssuedCommand, ...]]:
        flow = flow_for(self._flows, event, session)
        try:
            commands = [addressed(command, event) for command in flow.decide(event, session)]
            issued = tuple(
                IssuedCommand(
                    command_id=command_id_for(record.session_id, record.seq, ordinal),
                    operation=command.operation,
                    call_control_id=getattr(command, "call_control_id", None),
                    parameters=parameters_of(command),
                )
                for ordinal, command in enumerate(commands)
            )
            if (size := len(msgspec.json.encode(issued))) > COMMANDS_BYTES_MAX:
                raise ValueError(f"its commands take {size} bytes; at most {COMMANDS_BYTES_MAX}")
            if issued and len(session.commands) + len(issued) > COMMANDS_PER_SESSION_MAX:
                raise ValueError(f"over {COMMANDS_PER_SESSION_MAX} commands in a session: a loop?")
        except Exception as error:
            raise FlowRaised(flow, record, error) from error
        return flow, issued

    async def _carry_out(
        self, hold: Hold, command: IssuedCommand, *, since: datetime, attempts: int
    ) -> None:
        await hold.keep(command.command_id, self._try_s)
        outcome = await carry_out(
            command,
            decided_at=since,
            attempts=attempts,
            sender=self._sender,
            hold=hold,
            timing=self._timing,
        )
        await hold.append(outcome)
        reason = outcome.reason if isinstance(outcome, CommandFailed) else "ok"
        self._metrics.commands.labels(operation=command.operation, outcome=reason).inc()
        self._standing.learn(command.operation, outcome)
