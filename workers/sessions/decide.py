"""Decide on a record, once: its Decided is appended where the worker's lease allows it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from offhook.commands.webhook_targets import sent_elsewhere
from offhook.events import CommandRequested, Decided, IssuedCommand, Record
from offhook.flow import NO_FLOW, Flow
from offhook.flow.decision import Stored
from offhook.session import Session
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.sessions.flows import Flows
from offhook.workers.sessions.lease import OwnLease

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RecordedDecision:
    """The commands of a Decided that is in the log."""

    commands: tuple[IssuedCommand, ...]
    sets_timers: bool  # or cancels some
    caused_at: datetime  # when the record that it decides on was stored, by the log's clock
    counted_from: datetime  # by this worker's clock: from here the commands' deadline is counted


class Decider:
    """`webhook_url` is where the carrier should send webhooks: others are warned of."""

    def __init__(
        self,
        *,
        worker: str,
        lease_s: float,
        flows: Flows,
        now: Callable[[], datetime],
        metrics: WorkerMetrics,
        webhook_url: str,
    ) -> None:
        self._worker = worker
        self._lease_s = lease_s
        self._flows = flows
        self._now = now
        self._metrics = metrics
        self._webhook_url = webhook_url

    async def decide(self, lease: OwnLease, record: Record, session: Session) -> RecordedDecision:
        """Decide on the record in view of `session`.

        Raises FlowRaised; PositionTaken if another worker was first; LogUnavailable.
        """
        counted_from = self._now()
        flow, said = self._flows.decide(record, session, lease.state)
        said = self._with_warnings(said)
        await lease.append(
            Decided(
                cause_seq=record.seq,
                cause_id=record.fact_id,
                flow=flow.name,
                flow_version=flow.version,
                worker=self._worker,
                lease_s=self._lease_s,
                commands=said.commands,
                timers=said.timers,
                warnings=said.warnings,
                caused_at=record.stored_at,
                in_seq=lease.state.in_seq,
            )
        )
        self._count(flow, record, said)
        if isinstance(record.fact, CommandRequested):
            # The application waits no longer than that before it takes the command for failed.
            counted_from = await lease.on_own_clock(record.stored_at)
        return RecordedDecision(
            commands=said.commands,
            sets_timers=bool(said.timers),
            caused_at=record.stored_at,
            counted_from=counted_from,
        )

    def _with_warnings(self, said: Stored) -> Stored:
        for command in said.commands:
            elsewhere = tuple(sent_elsewhere(command, self._webhook_url))
            said = said._replace(warnings=(*said.warnings, *elsewhere))
        return said

    def _count(self, flow: Flow, record: Record, said: Stored) -> None:
        self._metrics.decided.labels(flow.name).inc()
        if flow is NO_FLOW and said.warnings:
            self._metrics.unmatched.inc()
            detail = {"session_id": record.session_id, "detail": said.warnings[0]}
            _log.warning("no flow takes the call", extra=detail)
