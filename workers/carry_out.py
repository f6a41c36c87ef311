"""Carry out one decided command: try, wait, try again, give up in time. One outcome each.

    the call has ended            succeeded for a hangup, else failed (call_ended); nothing is sent,
                                  nor is a dial that is linked to a leg of it
    a wrong parameter             failed (invalid); nothing is sent
    accepted / refused            succeeded / failed (refused, call_ended, unauthorized)
    no answer, 5xx                the identical command again, backing off, the lease renewed;
                                  failed (deadline) if a second time could do harm
    429, or no turn yet           the identical command when its turn comes (workers/turns.py)
    45 s after its decision       failed (deadline): late is worse than not at all on a phone

The carrier ignores a repeated `command_id` for 60 s only, hence the 45.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, assert_never

from offhook.commands import SwitchSupervisorRole, UpdateClientState
from offhook.errors import OperationUnknown, ParameterInvalid
from offhook.events import CommandFailed, CommandSucceeded, IssuedCommand
from offhook.telnyx.catalog import check, takes_command_id
from offhook.telnyx.outcomes import Accepted, Busy, NoAnswer, Outcome, Refused
from workers.hold import Hold
from workers.turns import WAITING_MAX, Turn, Turns

_log = logging.getLogger(__name__)

DEADLINE_S = 45.0
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 5.0

WAITING_LEASE_S = 6.0
"""While a command waits for its turn, which costs a record each time it runs out; if its worker
dies, the call is delayed by so much at most."""

RENEWED_BEFORE_S = 1.0
"""So long before its end a lease is renewed."""


_Last = Busy | NoAnswer | None
"""What the try before this one came to."""


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
    turns: Turns,
    look: Callable[[], Awaitable[None]],
) -> CommandSucceeded | CommandFailed:
    """The command's outcome. `attempts` counts the tries that may have been made before.

    `look` reads the session's tail, if it can, and carries out what may not wait for this command.
    Raises PositionTaken when another worker took the session over meanwhile.
    """
    deadline = decided_at + timedelta(seconds=DEADLINE_S)
    if hold.case.ended_leg(_leg_of(command)) is not None:
        return _ended(command)
    if (invalid := _invalid(command)) is not None:
        return invalid
    pause_s = PAUSE_FIRST_S
    attempt = attempts + 1
    maybe_taken = attempts > 0
    last: _Last = None
    while True:
        if timing.now() >= deadline:
            return _failed_by_deadline(command, attempt - 1, last)
        if maybe_taken and not _may_be_repeated(command.operation):
            because = "the carrier may have it, and knows no command_id of it: not sent again"
            failed = _failed_by_deadline(command, attempt - 1, last, because)
            return replace(failed, group="no_answer")
        turn = turns.take(command.operation)
        has_waited = turn is None or last is not None
        if turn is None:
            came = await _turn_of(command, attempt, last, deadline, hold, timing, turns, look)
            if not isinstance(came, Turn):
                return came
            turn = came
        with turn:
            if has_waited and await hold.ended_leg(_leg_of(command)) is not None:
                return _ended(command)
            if last is not None:
                await hold.renew(command.command_id, attempt, last.detail)
            else:
                await hold.keep(command.command_id, attempt)
            if timing.now() >= deadline:  # only now: the log may have taken its time
                return _failed_by_deadline(command, attempt - 1, last)
            turn.sending()
            outcome = await sender.send(command, repeated=maybe_taken)
            turns.learn(outcome)
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
            case Busy():
                last = outcome  # the next turn is not before the carrier's time
            case NoAnswer():
                last = outcome
                maybe_taken = maybe_taken or outcome.maybe_taken
                # Half to all of the pause, so that workers do not retry in step.
                wait_s = pause_s * (0.5 + timing.chance() / 2)
                pause_s = min(pause_s * 2, PAUSE_MAX_S)
                if timing.now() + timedelta(seconds=wait_s) >= deadline:
                    return _failed_by_deadline(command, attempt, last)
                await turns.pause(wait_s)
                await look()
            case _:
                assert_never(outcome)
        attempt += 1


def _leg_of(command: IssuedCommand) -> str | None:
    """The leg that the command is for: of a dial the one it is linked to, whose call it joins."""
    return command.call_control_id or command.parameters.get("link_to")


def _may_be_repeated(operation: str) -> bool:
    """Whether a second time does no harm: the carrier knows the command again, or it sets a state
    that is set already. siprec_start alone would start a second session."""
    return takes_command_id(operation) or operation in _SET_A_STATE


_SET_A_STATE = frozenset({UpdateClientState.operation, SwitchSupervisorRole.operation})


async def _turn_of(
    command: IssuedCommand,
    attempt: int,
    last: _Last,
    deadline: datetime,
    hold: Hold,
    timing: Timing,
    turns: Turns,
    look: Callable[[], Awaitable[None]],
) -> Turn | CommandSucceeded | CommandFailed:
    """The command's turn; or its outcome, if it is not sent (again) at all.

    While it waits the session stays ours, and is looked at again whenever there is news.
    """
    session_id = hold.case.session.session_id
    if turns.are_full_for(command.operation):
        because = f"{WAITING_MAX} commands wait already: given up"
        return _failed_by_deadline(command, attempt - 1, last, because)
    async with turns.queue(command.operation, session_id) as waiting:
        waiting.news.set()  # of what came before it waited nobody has told
        while True:
            left_s = (deadline - timing.now()).total_seconds()
            if left_s <= 0 or turns.closed_s(command.operation) >= left_s:
                because = f"its turn does not come within {DEADLINE_S:.0f} s: given up"
                return _failed_by_deadline(command, attempt - 1, last, because)
            lasts_s = max(0.0, hold.left_s - RENEWED_BEFORE_S)
            turn = await waiting.turn(within_s=min(left_s, lasts_s))
            if turn is not None:
                return turn
            await look()
            if hold.case.ended_leg(_leg_of(command)) is not None:
                return _ended(command)
            if hold.case.ahead:
                turns.put_first(waiting)
            if hold.left_s <= RENEWED_BEFORE_S:
                await hold.renew(
                    command.command_id, attempt, "it waits for its turn", lease_s=WAITING_LEASE_S
                )


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
        check(command)
    except (ParameterInvalid, OperationUnknown) as error:
        detail = str(error)
    except Exception as error:
        # A mistake in a check of ours must not hold a call up for ever, delivery after delivery.
        _log.exception("command not checked", extra={"command": command.command_id})
        detail = f"{command.operation}: it could not be checked: {error!r}"
    else:
        return None
    return CommandFailed(
        command_id=command.command_id,
        operation=command.operation,
        call_control_id=command.call_control_id,
        reason="invalid",
        detail=detail,
    )


def _failed_by_deadline(
    command: IssuedCommand, attempts: int, last: _Last, because: str = ""
) -> CommandFailed:
    """`because` says why there is no use in waiting until the deadline."""
    tried = f"after {attempts} attempts" if attempts else "and was never sent"
    detail = f"{because or f'{DEADLINE_S:.0f} s have passed'} {tried}"
    if last is not None:
        detail += f"; last: {last.detail}"
    return CommandFailed(
        command_id=command.command_id,
        operation=command.operation,
        call_control_id=command.call_control_id,
        reason="deadline",
        group="no_answer" if isinstance(last, NoAnswer) else "rate" if because or last else "",
        detail=detail,
    )
