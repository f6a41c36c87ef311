"""Carry out one decided command: try, wait, try again, give up in time. One outcome each.

    the call has ended            succeeded for a hangup, else failed (call_ended); nothing is sent
    a wrong parameter             failed (invalid); nothing is sent
    accepted / refused            succeeded / failed (refused, call_ended, unauthorized)
    no answer, 5xx, 429           the identical command again, backing off, the lease renewed
    45 s after its decision       failed (deadline): late is worse than not at all on a phone

The carrier ignores a repeated `command_id` for 60 s only, hence the 45.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, assert_never

from offhook.errors import OperationUnknown, ParameterInvalid
from offhook.events import CommandFailed, CommandSucceeded, IssuedCommand
from offhook.telnyx.catalog import command_from
from offhook.telnyx.outcomes import Accepted, Busy, NoAnswer, Outcome, Refused
from workers.hold import Hold

DEADLINE_S = 45.0
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 5.0


class Sender(Protocol):
    """What is asked of the carrier's client."""

    async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome: ...


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Clock and chance, handed in by the composition root."""

    now: Callable[[], datetime]  # aware, UTC
    sleep: Callable[[float], Awaitable[None]]  # seconds
    chance: Callable[[], float]  # 0 to 1


async def carry_out(
    command: IssuedCommand,
    *,
    decided_at: datetime,
    attempts: int,
    sender: Sender,
    hold: Hold,
    timing: Timing,
) -> CommandSucceeded | CommandFailed:
    """The command's outcome. `attempts` counts the tries that may have been made before.

    Raises PositionTaken when another worker took the session over meanwhile.
    """
    deadline = decided_at + timedelta(seconds=DEADLINE_S)
    if hold.case.ended_leg(command.call_control_id) is not None:
        return _ended(command)
    if (invalid := _invalid(command)) is not None:
        return invalid
    pause_s = PAUSE_FIRST_S
    attempt = attempts + 1
    maybe_taken = attempts > 0
    while True:
        if timing.now() >= deadline:
            return _failed_by_deadline(command, attempt - 1)
        outcome = await sender.send(command, repeated=maybe_taken)
        match outcome:
            case Accepted(status=status, answer=answer, note=note):
                return CommandSucceeded(
                    command_id=command.command_id, http_status=status, answer=answer, note=note
                )
            case Refused():
                return CommandFailed(
                    command_id=command.command_id,
                    operation=command.operation,
                    call_control_id=command.call_control_id,
                    reason=outcome.reason,
                    group=outcome.group,
                    detail=outcome.detail,
                    http_status=outcome.status,
                    errors=list(outcome.errors),
                )
            case Busy(retry_after_s=wait_s, detail=detail):
                pass
            case NoAnswer(detail=detail):
                maybe_taken = maybe_taken or outcome.maybe_taken
                # Half to all of the pause, so that workers do not retry in step.
                wait_s = pause_s * (0.5 + timing.chance() / 2)
                pause_s = min(pause_s * 2, PAUSE_MAX_S)
            case _:
                assert_never(outcome)
        if timing.now() + timedelta(seconds=wait_s) >= deadline:
            return _failed_by_deadline(command, attempt, detail)
        await timing.sleep(wait_s)
        if await hold.ended_leg(command.call_control_id) is not None:
            return _ended(command)
        attempt += 1
        await hold.renew(command.command_id, attempt, detail)


def _ended(command: IssuedCommand) -> CommandSucceeded | CommandFailed:
    if command.operation == "hangup":
        return CommandSucceeded(command_id=command.command_id, note="the call had already ended")
    return CommandFailed(
        command_id=command.command_id,
        operation=command.operation,
        call_control_id=command.call_control_id,
        reason="call_ended",
        detail="the call had already ended; nothing was sent",
    )


def _invalid(command: IssuedCommand) -> CommandFailed | None:
    try:
        command_from(command.operation, command.parameters, command.call_control_id)
        if command.operation != "dial" and not command.call_control_id:
            raise ParameterInvalid(
                command.operation, "call_control_id", None, "the event has no leg to command"
            )
    except (ParameterInvalid, OperationUnknown) as error:
        return CommandFailed(
            command_id=command.command_id,
            operation=command.operation,
            call_control_id=command.call_control_id,
            reason="invalid",
            detail=str(error),
        )
    return None


def _failed_by_deadline(command: IssuedCommand, attempts: int, last: str = "") -> CommandFailed:
    tried = f"after {attempts} attempts" if attempts else "and was never sent"
    return CommandFailed(
        command_id=command.command_id,
        operation=command.operation,
        call_control_id=command.call_control_id,
        reason="deadline",
        detail=f"{DEADLINE_S:.0f} s have passed {tried}" + (f"; last: {last}" if last else ""),
    )
