"""Execute decided commands: take the steps that `next_step` names, and record each outcome."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from offhook.commands.catalog import check
from offhook.errors import LogUnavailable, OperationUnknown, ParameterInvalid
from offhook.events import CommandFailed, CommandSucceeded, IssuedCommand
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.precedence import Precedence
from offhook.workers.sending.attempt import (
    WAITING_LEASE_S,
    Attempt,
    Done,
    GiveWay,
    Look,
    Queue,
    Recency,
    Renew,
    Seen,
    Send,
    Wait,
    first_attempt,
    next_step,
)
from offhook.workers.sending.carrier_readiness import CarrierReadiness
from offhook.workers.sending.permits import PermitRequest, Sender
from offhook.workers.sending.queue import CommandQueue
from offhook.workers.sessions.decide import Decider, RecordedDecision
from offhook.workers.sessions.lease import OwnLease

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Clock and chance, handed in by the composition root."""

    now: Callable[[], datetime]  # aware, UTC
    sleep: Callable[[float], Awaitable[None]]  # seconds
    chance: Callable[[], float]  # 0 to 1


class CommandExecutor:
    """Sends commands one after the other, and records what comes of them.

    Its methods raise PositionTaken when another worker has taken the session over, and
    LogUnavailable; a command is then open in the log, and is taken over.
    """

    def __init__(
        self,
        *,
        sender: Sender,
        send_s: float,
        queue: CommandQueue,
        decider: Decider,
        timing: Timing,
        metrics: WorkerMetrics,
        readiness: CarrierReadiness,
        precedence: Precedence,
    ) -> None:
        """`send_s` is the longest that one send takes."""
        self._sender = sender
        self._send_s = send_s
        self._queue = queue
        self._decider = decider
        self._timing = timing
        self._metrics = metrics
        self._readiness = readiness
        self._precedence = precedence

    async def execute(self, lease: OwnLease, decision: RecordedDecision) -> bool:
        """Execute what was decided, in order. Returns whether all of it has succeeded."""
        all_succeeded = True
        for command in decision.commands:
            outcome = await self._execute(lease, self._first_attempt(lease, decision, command))
            all_succeeded = all_succeeded and isinstance(outcome, CommandSucceeded)
        return all_succeeded

    async def resume(
        self, lease: OwnLease, command: IssuedCommand, *, decided_at: datetime, by_others: int
    ) -> None:
        """Execute a command that a worker left open, which sent it at most `by_others` times."""
        attempt = first_attempt(
            command,
            decided_at=decided_at,
            send_s=self._send_s,
            invalid=_why_not(lease, command),
            by_others=by_others,
        )
        await self._execute(lease, attempt)

    async def _execute(self, lease: OwnLease, attempt: Attempt) -> CommandSucceeded | CommandFailed:
        """Until there is an outcome, which is recorded.

        The end of a call that an application asks for while the command waits is executed first.
        """
        waiting = [attempt]
        while True:
            attempt = waiting.pop()
            came_to = await self._advance(lease, attempt)
            if isinstance(came_to, Attempt):
                waiting += [came_to, await self._requested_end(lease)]
                continue
            await self._record(lease, attempt.command, came_to)
            if not waiting:
                return came_to

    async def _advance(
        self, lease: OwnLease, attempt: Attempt
    ) -> CommandSucceeded | CommandFailed | Attempt:
        """The command's outcome; or the attempt as it stands, if it gives way."""
        state, command, leg = lease.state, attempt.command, attempt.leg
        recency: Recency = "stale" if attempt.gave_way else "current"
        has_news = end_requested = False
        async with PermitRequest(
            self._queue,
            command.operation,
            state.session.session_id,
            has_waited=attempt.gave_way,
        ) as request:
            while True:
                permit = request.status
                seen = Seen(
                    leg_ended=state.ended_leg(leg) is not None,
                    recency=recency,
                    lease_left_s=lease.left_s,
                    permit=permit,
                    closed_s=request.closed_s if permit == "queued" else 0.0,
                    has_news=has_news,
                    end_requested=end_requested,
                )
                match step := next_step(attempt, self._timing.now(), seen):
                    case Done(outcome=outcome):
                        return outcome
                    case GiveWay():
                        return attempt.overtaken()
                    case Look(is_required=is_required):
                        recency = await _look(lease, is_required=is_required)
                        has_news = state.has_news()
                        end_requested = recency == "current" and bool(state.requested_ends())
                    case Renew(because=because, is_waiting=is_waiting):
                        lease_s = WAITING_LEASE_S if is_waiting else None
                        await lease.renew(
                            command.command_id, attempt.sends + 1, because, lease_s=lease_s
                        )
                        attempt = attempt.renewed(step)
                        if lease.left_s <= 0:
                            # It took so long that another worker may have taken over since.
                            recency = "stale"
                    case Wait(seconds=seconds):
                        with self._precedence.elsewhere():
                            await self._queue.pause(seconds)
                        attempt, recency = attempt.paused(), "stale"
                    case Queue(within_s=within_s, goes_first=goes_first):
                        with self._precedence.elsewhere():
                            waited = await request.ask(within_s, goes_first=goes_first)
                        if waited:
                            recency = "stale"
                    case Send(repeated=repeated):
                        with self._precedence.elsewhere():
                            came_to = await request.send(self._sender, command, repeated=repeated)
                        after = attempt.sent(came_to, self._timing.chance)
                        if isinstance(after, Done):
                            return after.outcome
                        attempt, recency = after, "stale"
                    case _:
                        assert_never(step)

    async def _requested_end(self, lease: OwnLease) -> Attempt:
        """Decide on what an application asked for to end a call; that takes no flow."""
        record = lease.state.requested_ends()[0]
        decision = await self._decider.decide(lease, record, lease.state.session)
        (command,) = decision.commands
        return self._first_attempt(lease, decision, command)

    def _first_attempt(
        self, lease: OwnLease, decision: RecordedDecision, command: IssuedCommand
    ) -> Attempt:
        waited_s = (self._timing.now() - decision.caused_at).total_seconds()
        self._metrics.seconds_to_command.observe(max(0.0, waited_s))
        return first_attempt(
            command,
            decided_at=decision.counted_from,
            send_s=self._send_s,
            invalid=_why_not(lease, command),
        )

    async def _record(
        self, lease: OwnLease, command: IssuedCommand, outcome: CommandSucceeded | CommandFailed
    ) -> None:
        if isinstance(outcome, CommandSucceeded) and outcome.placed is not None:
            await lease.append_placed(outcome.placed, outcome.command_id)
        await lease.append(outcome)
        reason = outcome.reason if isinstance(outcome, CommandFailed) else "ok"
        self._metrics.commands.labels(command.operation, reason).inc()
        self._readiness.learn(command.operation, outcome)


def _why_not(lease: OwnLease, command: IssuedCommand) -> str:
    """Why the command must not be sent; empty if it may be."""
    return _ARCHIVED if lease.state.is_archived else _why_invalid(command)


_ARCHIVED = "its session was archived: its calls ended long ago, and nothing was sent"


async def _look(lease: OwnLease, *, is_required: bool) -> Recency:
    try:
        await lease.look()
    except LogUnavailable:
        # Nothing is sent without another look. A worker that gives up here is taken over, if need
        # be by itself, and a command that was never sent would go as a repetition.
        if is_required:
            raise
        return "tried"
    return "current"


def _why_invalid(command: IssuedCommand) -> str:
    """What is wrong with its parameters; empty if nothing."""
    try:
        check(command)
    except (ParameterInvalid, OperationUnknown) as error:
        return str(error)
    except Exception as error:
        # A mistake in a check of ours must not hold a call up, delivery after delivery.
        _log.exception("command not checked", extra={"command": command.command_id})
        return f"{command.operation}: it could not be checked: {error!r}"
    return ""
