"""A decided command on its way to the carrier, as a value, and what to do with it next. Pure.

    Queue ──▶ Look ──▶ Renew ──▶ Send ──▶ Done          a permit at once: no Look, no Renew
      ▲   it had to wait           │
      │                            ├─ 429: nothing was done
      └─────── Look ◀── Wait ◀─────┴─ no answer, 5xx: nobody knows

    the leg has ended         Done: a hangup has succeeded, anything else failed (call_ended); that
                              includes a dial that is linked to the leg
    a wrong parameter         Done: failed (invalid), never sent
    accepted / refused        Done: succeeded / failed (refused, call_ended, unauthorized)
    no answer, 5xx            Wait, backing off, then the identical command again; Done: failed
                              (deadline) if sending it twice could do harm
    429, or no permit yet     Queue: the identical command once it has its permit
    45 s after its decision   Done: failed (deadline), because late is worse than not at all

The carrier ignores a repeated `command_id` for 60 s only, hence the 45. An end of a call that an
application asks for does not wait for a command that waits: GiveWay.

What a failure says of the sends before it:

    sends                                  attempts    maybe_performed   detail
    none                                   0           no                nothing was sent
    429, no connection, a refusal whose    1 or more   no                N attempts without effect
      body was lost
    one had no answer, or a 5xx            1 or more   yes               N attempts, which may have
                                                                         been performed
    those of a worker that stopped         1 or more   yes               at most N attempts, …

A refusal also answers for the sends before it if it is about the command as such (a wrong number).
If it is about something that may have changed since (the leg has ended), they may have been
performed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, assert_never

from offhook.commands import SwitchSupervisorRole, UpdateClientState
from offhook.commands.catalog import takes_command_id
from offhook.events import CommandFailed, CommandSucceeded, FailureReason, IssuedCommand
from offhook.session.placed import placed_by
from offhook.telnyx.outcomes import Accepted, Busy, NoAnswer, Outcome, Refused
from offhook.workers.sending.urgency import ENDS, QUEUED_MAX, urgency_of

DEADLINE_S = 45.0
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 5.0

WAITING_LEASE_S = 6.0
"""The lease while a command waits in the queue. Each renewal costs a record; if the worker dies,
its call is delayed by at most this long."""

RENEWED_BEFORE_S = 1.0
"""In the queue, a lease is renewed this long before it ends."""

_SET_A_STATE = frozenset({UpdateClientState.operation, SwitchSupervisorRole.operation})

Recency = Literal["current", "tried", "stale"]
"""Whether the session was read since the last wait: yes, tried without success, or not yet."""

PermitStatus = Literal["none", "queued", "full", "granted"]
"""Of the permit to send: not asked for, waiting in the queue, the queue has no room, or granted."""


class Attempt(NamedTuple):
    """A decided command without an outcome, and what is known of its sends.

    A tuple like `Seen`, because they are made for every command: a frozen dataclass takes more
    than twice as long.
    """

    command: IssuedCommand
    decided_at: datetime  # by this worker's clock
    send_s: float  # the longest that one send takes: the HTTP timeout
    invalid: str = ""  # why it may not be sent; empty if it may
    sends: int = 0  # those of a worker that stopped included
    by_others: int = 0  # of these, at most as many were made by a worker that stopped
    maybe_performed: bool = False
    last: Busy | NoAnswer | None = None  # what the last send came to
    pause_s: float = 0.0  # still to wait before the next send
    backoff_s: float = PAUSE_FIRST_S  # the longest that the next pause can be
    recorded: int = 0  # the last send, from 1, that CommandAttempted announced
    gave_way: bool = False  # to the end of a call, so it goes to the head of the queue

    def left_s(self, now: datetime) -> float:
        """How long it may still be sent."""
        return DEADLINE_S - (now - self.decided_at).total_seconds()

    @property
    def leg(self) -> str | None:
        """The leg that it is for; of a dial the one that it is linked to, whose call it joins."""
        return self.command.call_control_id or self.command.parameters.get("link_to")

    @property
    def ends_call(self) -> bool:
        """Whether it is a hangup or a reject."""
        return urgency_of(self.command.operation) == ENDS

    @property
    def may_be_sent(self) -> bool:
        """Whether another send does no harm: the carrier has not performed it, or recognises it, or
        it sets a state that is set already. siprec_start alone would start a second session."""
        operation = self.command.operation
        return not self.maybe_performed or takes_command_id(operation) or operation in _SET_A_STATE

    @property
    def in_words(self) -> str:
        """The sends so far, for the detail of a failure."""
        if not self.sends:
            return "nothing was sent"
        times = "1 attempt" if self.sends == 1 else f"{self.sends} attempts"
        at_most = "at most " if self.by_others else ""
        effect = ", which may have been performed" if self.maybe_performed else " without effect"
        last = f"; last: {self.last.detail}" if self.last is not None else ""
        return f"{at_most}{times}{effect}{last}"

    def sent(self, came_to: Outcome, chance: Callable[[], float]) -> "Attempt | Done":
        """After a send: done, unless it may go again. `chance()` is random, 0 to 1."""
        sends = self.sends + 1
        match came_to:
            case Accepted():
                return Done(outcome=_succeeded(self.command, came_to, sends))
            case Refused():
                return Done(outcome=_refused(self._replace(sends=sends), came_to))
            case Busy():
                return self._replace(sends=sends, last=came_to)
            case NoAnswer():
                return self._replace(
                    sends=sends,
                    last=came_to,
                    maybe_performed=self.maybe_performed or came_to.maybe_taken,
                    # Half to all of the backoff, so that workers do not retry in step.
                    pause_s=self.backoff_s * (0.5 + chance() / 2),
                    backoff_s=min(self.backoff_s * 2, PAUSE_MAX_S),
                )
            case _:
                assert_never(came_to)

    def paused(self) -> "Attempt":
        """After the pause before the next send."""
        return self._replace(pause_s=0.0)

    def renewed(self, renew: "Renew") -> "Attempt":
        """After the record that `renew` asked for."""
        return self if renew.is_waiting else self._replace(recorded=self.sends + 1)

    def overtaken(self) -> "Attempt":
        """After it gave way to the end of a call."""
        return self._replace(gave_way=True)


def first_attempt(
    command: IssuedCommand,
    *,
    decided_at: datetime,
    send_s: float,
    invalid: str = "",
    by_others: int = 0,
) -> Attempt:
    """A command that was just decided, or taken over after at most `by_others` sends."""
    return Attempt(
        command=command,
        decided_at=decided_at,
        send_s=send_s,
        invalid=invalid,
        sends=by_others,
        by_others=by_others,
        maybe_performed=by_others > 0,
    )


class Seen(NamedTuple):
    """What is known around the attempt: of its session, its lease and its permit."""

    leg_ended: bool  # by the records read so far
    recency: Recency
    lease_left_s: float
    permit: PermitStatus
    closed_s: float = 0.0  # how long the carrier accepts no command of this kind, by its answers
    has_news: bool = False  # a fact of the session waits for its decision
    end_requested: bool = False  # while it waited, an application asked for the end of a call


@dataclass(frozen=True, kw_only=True)
class Done:
    """Nothing more is sent: record the outcome."""

    outcome: CommandSucceeded | CommandFailed


@dataclass(frozen=True, kw_only=True)
class Look:
    """Read the session again, since time has passed. If it cannot be read: fail if required."""

    is_required: bool


@dataclass(frozen=True, kw_only=True)
class GiveWay:
    """Carry out first what an application asked for to end a call."""


@dataclass(frozen=True, kw_only=True)
class Renew:
    """Append CommandAttempted for the next send, which renews the lease.

    `is_waiting`: in the queue, or for a log that takes long to answer; the lease then lasts for
    WAITING_LEASE_S. Otherwise it lasts for one send, which follows.
    """

    because: str
    is_waiting: bool = False


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Pause between two sends."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Ask for a permit, or keep waiting, until it is granted, news comes or `within_s` is over."""

    within_s: float
    goes_first: bool  # of its kind, because its own session waits for it


@dataclass(frozen=True, kw_only=True)
class Send:
    """Send it with the permit. `repeated`: the carrier may have performed it already."""

    repeated: bool


Step = Done | Look | GiveWay | Renew | Wait | Queue | Send


def next_step(attempt: Attempt, now: datetime, seen: Seen) -> Step:
    """What to do with the attempt now. `now` is on the same clock as `decided_at`."""
    if seen.leg_ended:
        return Done(outcome=_ended(attempt))
    if attempt.invalid:
        return Done(outcome=_invalid(attempt))
    left_s = attempt.left_s(now)
    if attempt.pause_s:
        return _pause(attempt, left_s)
    is_granted = seen.permit == "granted"
    if seen.recency == "stale" or (is_granted and seen.recency == "tried"):
        # Nothing is sent after a wait without another look: the call may have ended.
        return Look(is_required=is_granted)
    if seen.end_requested and not attempt.ends_call:
        return GiveWay()
    if left_s <= 0:
        return _give_up(attempt, _NO_PERMIT if seen.permit == "queued" else "")
    if not attempt.may_be_sent:
        return _give_up(attempt, _NOT_TWICE)
    match seen.permit:
        case "none":
            return _queue(attempt, left_s, seen)
        case "full":
            return _give_up(attempt, f"{QUEUED_MAX} commands wait already")
        case "queued":
            if seen.closed_s >= left_s:
                return _give_up(attempt, _NO_PERMIT)
            if seen.lease_left_s <= RENEWED_BEFORE_S:
                return Renew(because="it is waiting for a permit", is_waiting=True)
            return _queue(attempt, left_s, seen)
        case "granted":
            return _send(attempt, seen)
        case _:
            assert_never(seen.permit)


_NO_PERMIT = f"it gets no permit within {DEADLINE_S:.0f} s"


_NOT_TWICE = "it has no command_id, so it is not sent a second time"


def _pause(attempt: Attempt, left_s: float) -> Wait | Done:
    if left_s <= attempt.pause_s:
        return _give_up(attempt)
    return Wait(seconds=attempt.pause_s) if attempt.may_be_sent else _give_up(attempt, _NOT_TWICE)


def _queue(attempt: Attempt, left_s: float, seen: Seen) -> Queue:
    within_s = min(left_s, max(0.0, seen.lease_left_s - RENEWED_BEFORE_S))
    return Queue(within_s=within_s, goes_first=seen.has_news or attempt.gave_way)


def _send(attempt: Attempt, seen: Seen) -> Renew | Send:
    """Send; a repetition is recorded first, and the lease must outlast the send.

    Nothing is sent under a lease that has run out: another worker may have recorded an outcome that
    a look does not find, if the replica that it reads lags.
    """
    if attempt.recorded <= attempt.sends:
        if attempt.last is not None:
            return Renew(because=attempt.last.detail)
        if seen.lease_left_s < attempt.send_s:
            return Renew(because="the lease was running out")
    elif seen.lease_left_s <= 0:
        return Renew(because="the lease had run out", is_waiting=True)
    return Send(repeated=attempt.maybe_performed)


def _give_up(attempt: Attempt, because: str = "") -> Done:
    """`because` says why waiting until the deadline is of no use; empty if it has passed."""
    group = ""
    if attempt.maybe_performed or isinstance(attempt.last, NoAnswer):
        group = "no_answer"
    elif because or attempt.last is not None:
        group = "rate"
    detail = f"{because or f'{DEADLINE_S:.0f} s have passed'}; {attempt.in_words}"
    return Done(outcome=_failed(attempt, "deadline", detail, group=group))


def _succeeded(command: IssuedCommand, accepted: Accepted, sends: int) -> CommandSucceeded:
    return CommandSucceeded(
        command_id=command.command_id,
        http_status=accepted.status,
        answer=accepted.answer,
        note=accepted.note,
        attempts=sends,
        placed=placed_by(command, accepted.answer),
    )


def _refused(attempt: Attempt, refused: Refused) -> CommandFailed:
    return _failed(
        attempt,
        refused.reason,
        refused.detail,
        maybe_performed=refused.maybe_taken,
        group=refused.group,
        http_status=refused.status,
        errors=list(refused.errors),
    )


def _ended(attempt: Attempt) -> CommandSucceeded | CommandFailed:
    """The outcome of a command for a leg that has ended: a hangup has succeeded."""
    operation = attempt.command.operation
    if operation == "hangup" or (operation == "reject" and attempt.maybe_performed):
        return CommandSucceeded(
            command_id=attempt.command.command_id,
            note="the call had already ended",
            attempts=attempt.sends,
        )
    return _failed(attempt, "call_ended", f"the call has ended; {attempt.in_words}")


def _invalid(attempt: Attempt) -> CommandFailed:
    detail = attempt.invalid
    if attempt.sends:  # by a worker of another version, whose checks it passed
        detail += f"; {attempt.in_words}"
    return _failed(attempt, "invalid", detail)


def _failed(
    attempt: Attempt,
    reason: FailureReason,
    detail: str,
    *,
    maybe_performed: bool | None = None,
    **more: Any,
) -> CommandFailed:
    """`maybe_performed` is what the sends say, unless the last answer knows better."""
    if maybe_performed is None:
        maybe_performed = attempt.maybe_performed
    return CommandFailed(
        command_id=attempt.command.command_id,
        operation=attempt.command.operation,
        call_control_id=attempt.command.call_control_id,
        reason=reason,
        detail=detail,
        maybe_performed=maybe_performed,
        attempts=attempt.sends,
        **more,
    )
