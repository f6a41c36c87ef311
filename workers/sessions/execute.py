"""Carry out one decided command: try, wait, try again, give up in time. One outcome each.

    the call has ended            succeeded for a hangup, else failed (call_ended); nothing more is
                                  sent, nor is a dial that is linked to a leg of it
    a wrong parameter             failed (invalid); nothing is sent
    accepted / refused            succeeded / failed (refused, call_ended, unauthorized)
    no answer, 5xx                the identical command again, backing off, the lease renewed;
                                  failed (deadline) if a second time could do harm
    429, or no turn yet           the identical command when its turn comes (`sending/queue.py`)
    45 s after its decision       failed (deadline): late is worse than not at all on a phone

The carrier ignores a repeated `command_id` for 60 s only, hence the 45.

What a failure says of the tries before it (`Tries`):

    tries                                   attempts   maybe_performed   detail
    none                                    0          no                nothing was sent
    429, no connection, a refusal whose     1 or more  no                N attempts without effect
      body was lost
    one had no answer, or a 5xx             1 or more  yes               N attempts, which may have
                                                                         been performed
    those of a worker that stopped          1 or more  yes               at most N attempts, …

A refusal answers for the tries before it if it is about the command as such (a wrong number). If it
is about what may have changed since (the leg has ended), they may have been performed all the same.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, assert_never

from offhook.commands import SwitchSupervisorRole, UpdateClientState
from offhook.commands.catalog import check, takes_command_id
from offhook.errors import OperationUnknown, ParameterInvalid
from offhook.events import CommandFailed, CommandSucceeded, FailureReason, IssuedCommand
from offhook.session.placed import placed_by
from offhook.telnyx.outcomes import Accepted, Busy, NoAnswer, Outcome, Refused
from offhook.workers.sending.queue import CommandQueue, Permit
from offhook.workers.sending.urgency import QUEUED_MAX
from offhook.workers.sessions.lease import OwnLease

_log = logging.getLogger(__name__)

DEADLINE_S = 45.0
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 5.0

WAITING_LEASE_S = 6.0
"""While a command waits for its turn, which costs a record each time it runs out; if its worker
dies, the call is delayed by so much at most."""

RENEWED_BEFORE_S = 1.0
"""So long before its end a lease is renewed."""


@dataclass(kw_only=True)
class Tries:
    """What is known of the tries so far.

    `by_others` of the attempts may have been made by a worker that stopped.
    """

    attempts: int = 0
    by_others: int = 0
    maybe_taken: bool = False
    last: Busy | NoAnswer | None = None  # what the last one came to

    @property
    def told(self) -> str:
        """In words, for the detail of a failure."""
        if not self.attempts:
            return "nothing was sent"
        times = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        at_most = "at most " if self.by_others else ""
        effect = ", which may have been performed" if self.maybe_taken else " without effect"
        last = f"; last: {self.last.detail}" if self.last is not None else ""
        return f"{at_most}{times}{effect}{last}"


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
    hold: OwnLease,
    timing: Timing,
    queue: CommandQueue,
    look: Callable[[], Awaitable[None]],
) -> CommandSucceeded | CommandFailed:
    """The command's outcome. `attempts` counts the tries that may have been made before.

    `look` reads the session's tail, if it can, and carries out what may not wait for this command.
    Raises PositionTaken when another worker took the session over meanwhile.
    """
    deadline = decided_at + timedelta(seconds=DEADLINE_S)
    tries = Tries(attempts=attempts, by_others=attempts, maybe_taken=attempts > 0)
    if hold.case.ended_leg(_leg_of(command)) is not None:
        return _ended(command, tries)
    if (invalid := _invalid(command, tries)) is not None:
        return invalid
    pause_s = PAUSE_FIRST_S
    while True:
        if timing.now() >= deadline:
            return _failed_by_deadline(command, tries)
        if tries.maybe_taken and not _may_be_repeated(command.operation):
            because = "it has no command_id, so it is not sent a second time"
            return _failed_by_deadline(command, tries, because)
        turn = queue.take(command.operation)
        has_waited = turn is None or tries.last is not None
        if turn is None:
            came = await _turn_of(command, tries, deadline, hold, timing, queue, look)
            if not isinstance(came, Permit):
                return came
            turn = came
        with turn:
            if has_waited and await hold.ended_leg(_leg_of(command)) is not None:
                return _ended(command, tries)
            if tries.last is not None:
                await hold.renew(command.command_id, tries.attempts + 1, tries.last.detail)
            else:
                await hold.keep(command.command_id, tries.attempts + 1)
            if timing.now() >= deadline:  # only now: the log may have taken its time
                return _failed_by_deadline(command, tries)
            turn.sending()
            outcome = await sender.send(command, repeated=tries.maybe_taken)
            queue.learn(outcome)
        tries.attempts += 1
        match outcome:
            case Accepted(status=status, answer=answer, note=note):
                return CommandSucceeded(
                    command_id=command.command_id,
                    http_status=status,
                    answer=answer,
                    note=note,
                    attempts=tries.attempts,
                    placed=placed_by(command, answer),
                )
            case Refused():
                return _refused(command, tries, outcome)
            case Busy():
                tries.last = outcome  # the next turn is not before the carrier's time
            case NoAnswer():
                tries.last = outcome
                tries.maybe_taken = tries.maybe_taken or outcome.maybe_taken
                # Half to all of the pause, so that workers do not retry in step.
                wait_s = pause_s * (0.5 + timing.chance() / 2)
                pause_s = min(pause_s * 2, PAUSE_MAX_S)
                if timing.now() + timedelta(seconds=wait_s) >= deadline:
                    return _failed_by_deadline(command, tries)
                await queue.pause(wait_s)
                await look()
            case _:
                assert_never(outcome)


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
    tries: Tries,
    deadline: datetime,
    hold: OwnLease,
    timing: Timing,
    queue: CommandQueue,
    look: Callable[[], Awaitable[None]],
) -> Permit | CommandSucceeded | CommandFailed:
    """The command's turn; or its outcome, if it is not sent (again) at all.

    While it waits the session stays ours, and is looked at again whenever there is news.
    """
    session_id = hold.case.session.session_id
    if queue.is_full_for(command.operation):
        because = f"{QUEUED_MAX} commands wait already"
        return _failed_by_deadline(command, tries, because)
    async with queue.queue(command.operation, session_id) as waiting:
        waiting.news.set()  # of what came before it waited nobody has told
        while True:
            left_s = (deadline - timing.now()).total_seconds()
            if left_s <= 0 or queue.closed_s(command.operation) >= left_s:
                because = f"its turn does not come within {DEADLINE_S:.0f} s"
                return _failed_by_deadline(command, tries, because)
            lasts_s = max(0.0, hold.left_s - RENEWED_BEFORE_S)
            turn = await waiting.turn(within_s=min(left_s, lasts_s))
            if turn is not None:
                return turn
            await look()
            if hold.case.ended_leg(_leg_of(command)) is not None:
                return _ended(command, tries)
            if hold.case.ahead:
                queue.put_first(waiting)
            if hold.left_s <= RENEWED_BEFORE_S:
                await hold.renew(
                    command.command_id,
                    tries.attempts + 1,
                    "it waits for its turn",
                    lease_s=WAITING_LEASE_S,
                )


def _ended(command: IssuedCommand, tries: Tries) -> CommandSucceeded | CommandFailed:
    """The outcome of a command for a call that has ended: of a hangup, what it was for."""
    may_have_ended_it = command.operation == "reject" and tries.maybe_taken
    if command.operation == "hangup" or may_have_ended_it:
        note = "the call had already ended"
        return CommandSucceeded(command_id=command.command_id, note=note, attempts=tries.attempts)
    return _failed(command, tries, "call_ended", f"the call has ended; {tries.told}")


def _invalid(command: IssuedCommand, tries: Tries) -> CommandFailed | None:
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
    if tries.attempts:  # by a worker of another version, to whose check it was right
        detail += f"; {tries.told}"
    return _failed(command, tries, "invalid", detail)


def _refused(command: IssuedCommand, tries: Tries, refused: Refused) -> CommandFailed:
    return _failed(
        command,
        tries,
        refused.reason,
        refused.detail,
        maybe_performed=refused.maybe_taken,
        group=refused.group,
        http_status=refused.status,
        errors=list(refused.errors),
    )


def _failed_by_deadline(command: IssuedCommand, tries: Tries, because: str = "") -> CommandFailed:
    """`because` says why there is no use in waiting until the deadline."""
    group = ""
    if tries.maybe_taken or isinstance(tries.last, NoAnswer):
        group = "no_answer"
    elif because or tries.last is not None:
        group = "rate"
    detail = f"{because or f'{DEADLINE_S:.0f} s have passed'}; {tries.told}"
    return _failed(command, tries, "deadline", detail, group=group)


def _failed(
    command: IssuedCommand,
    tries: Tries,
    reason: FailureReason,
    detail: str,
    *,
    maybe_performed: bool | None = None,
    **more: Any,
) -> CommandFailed:
    """`maybe_performed` is what the tries say, unless the last answer knows better."""
    return CommandFailed(
        command_id=command.command_id,
        operation=command.operation,
        call_control_id=command.call_control_id,
        reason=reason,
        detail=detail,
        maybe_performed=tries.maybe_taken if maybe_performed is None else maybe_performed,
        attempts=tries.attempts,
        **more,
    )
