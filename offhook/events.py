"""Every fact: what the carrier reported, and what Offhook recorded. Names are the storage format.

A fact in the log is forever: add a field with a default or a new fact; never rename one or change
what it means. `offhook.codec` turns facts into bytes and back, and reads the carrier's JSON. The
carrier's events are in `offhook.carrier_events` and can be imported from here.

    facts on `.in`     WebhookReceived, CommandRequested, LegPlaced, SessionResumed
    facts on `.out`    Decided, CommandAttempted, CommandSucceeded, CommandFailed, TimerSet,
                       TimerCancelled, TimerFired, SessionParked
"""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from offhook.carrier_events import *  # noqa: F403
from offhook.carrier_events import CallEvent


@dataclass(frozen=True, kw_only=True)
class IssuedCommand:
    """A command as it is stored and sent: plain values, so that old ones stay readable.

    `call_control_id` is the leg; None for dial. `parameters` is the request body without
    `command_id`.
    """

    command_id: str
    operation: str
    call_control_id: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WebhookReceived:
    """An authentic webhook. Stored as the raw bytes that were signed."""

    event: CallEvent
    attempt: int | None = None  # the carrier's meta.attempt, from 1


@dataclass(frozen=True, kw_only=True)
class CommandRequested:
    """An application asked for a command through the API."""

    command: IssuedCommand
    requested_by: str = ""  # the name of the token


@dataclass(frozen=True, kw_only=True)
class PlacedLeg:
    """A leg as the carrier's answer to a dial names it, with what was asked for."""

    call_control_id: str
    session_id: str  # the leg's
    call_leg_id: str | None = None
    connection_id: str | None = None
    from_number: str | None = None
    to_number: str | None = None  # None if several were called at once
    client_state: str | None = None
    time_limit_s: int | None = None  # `time_limit_secs`, if the dial had it


@dataclass(frozen=True, kw_only=True)
class LegPlaced:
    """A dial of another session placed a leg of this one."""

    leg: PlacedLeg
    command_id: str
    command_session_id: str  # where the dial is


@dataclass(frozen=True, kw_only=True)
class SessionResumed:
    """An operator resumed a parked session."""

    resumed_by: str = ""


@dataclass(frozen=True, kw_only=True)
class TimerOrder:
    """A timer as a decision sets or cancels it: plain values, like a command's.

    `call_control_id` is the leg of the event that it was decided on.
    """

    timer_id: str  # unique in its session
    name: str
    call_control_id: str | None = None
    after_s: float | None = None  # from the log's time stamp of the decision; None cancels


@dataclass(frozen=True, kw_only=True)
class Decided:
    """The one decision on the record at `cause_seq`; no commands is a decision too.

    The worker holds the session for `lease_s` seconds from the log's time stamp of this record.
    """

    cause_seq: int  # position of the record decided on
    cause_id: str  # its event id or command id
    flow: str
    flow_version: str
    worker: str
    lease_s: float
    commands: tuple[IssuedCommand, ...] = ()
    timers: tuple[TimerOrder, ...] = ()
    warnings: tuple[str, ...] = ()  # what the flow probably forgot
    # When the log stored the record at `cause_seq`; None in records from before it was kept.
    caused_at: datetime | None = None
    # Position of the last record on `.in` that had been read; None likewise. What was stored later
    # on `.in` was not shown to the flow, even if it is older than the record at `cause_seq`.
    in_seq: int | None = None


@dataclass(frozen=True, kw_only=True)
class CommandAttempted:
    """An attempt failed for now and another follows, or it waits in the queue; renews the lease.

    `renewal` counts such records of one worker and one attempt, from 0.
    """

    command_id: str
    attempt: int  # the attempt that follows, from 2; 1 if the first one had to wait
    because: str
    worker: str
    lease_s: float
    renewal: int = 0


@dataclass(frozen=True, kw_only=True)
class CommandSucceeded:
    """The carrier accepted the command, or it was not needed (a hangup of an ended call).

    `placed` is the leg that a dial placed. `attempts` counts those that were sent, or may have been
    by a worker that stopped. Both are None in records from before they were kept.
    """

    command_id: str
    http_status: int | None = None
    answer: dict[str, Any] = field(default_factory=dict)  # the carrier's whole body
    note: str = ""  # why it counts as success, where that is not plain
    attempts: int | None = None
    placed: PlacedLeg | None = None


FailureReason = Literal["invalid", "refused", "call_ended", "deadline", "unauthorized"]


@dataclass(frozen=True, kw_only=True)
class CommandFailed:
    """A command will not be sent (again); a flow can decide on it.

    invalid       a parameter the documents do not allow
    refused       the carrier said no, with `http_status` and `errors`
    call_ended    the leg is gone; of a dial, the leg that it is linked to
    deadline      not accepted in time
    unauthorized  401 or 403: the key is wrong, not the call

    `maybe_performed` is True if an attempt without an answer may have been performed even so: the
    carrier's webhooks show it. False: it was not. `attempts` counts the attempts that were sent, or
    may have been by a worker that stopped. Both are None in records from before they were kept.
    `group` says more about a refusal by the carrier: capacity, wrong_state, not_permitted … They
    are listed in `offhook.telnyx.error_codes` and docs/errors.md.
    """

    command_id: str
    operation: str
    reason: FailureReason
    detail: str = ""
    call_control_id: str | None = None
    http_status: int | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)  # the carrier's own
    group: str = ""
    maybe_performed: bool | None = None
    attempts: int | None = None


@dataclass(frozen=True, kw_only=True)
class TimerSet:
    """A decided timer is scheduled: a worker is woken when it is due."""

    timer_id: str
    name: str
    due_at: datetime  # the log's clock


@dataclass(frozen=True, kw_only=True)
class TimerCancelled:
    """A timer was cancelled, or replaced by one of the same name: its flow never sees it fire."""

    timer_id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class TimerFired:
    """A timer is due; its flow decides on it. Recorded once, never before `due_at`.

    `call_control_id` is the leg of the event on which the timer was set.
    """

    name: str
    timer_id: str = ""
    due_at: datetime | None = None  # the log's clock
    call_control_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class SessionParked:
    """The flow raised repeatedly on the record at `cause_seq`; the session waits.

    `traceback` is of the flow's own code, empty if the flow was not called. `flow` and its version
    are empty then too, and in records from before they were kept. `in_seq` is as in Decided.
    """

    cause_seq: int
    error: str
    attempts: int
    traceback: str = ""
    flow: str = ""
    flow_version: str = ""
    in_seq: int | None = None


Event = CallEvent | CommandFailed | TimerFired
"""What a flow decides on."""

Fact = (
    WebhookReceived
    | CommandRequested
    | LegPlaced
    | SessionResumed
    | Decided
    | CommandAttempted
    | CommandSucceeded
    | CommandFailed
    | TimerSet
    | TimerCancelled
    | TimerFired
    | SessionParked
)


@dataclass(frozen=True, kw_only=True)
class Record:
    """A fact at its place in the log."""

    seq: int  # its position (`offhook.position`): the only order there is in a session
    stored_at: datetime  # the log's clock; of an imported record, that of the log it is from
    session_id: str
    fact: Fact
    fact_id: str = ""  # the event id or command id that makes the fact unique
    traceparent: str = ""  # W3C trace context, handed on from cause to effect
    imported_from: int | None = None  # its position in another log; None if it is of this one

    @property
    def is_imported(self) -> bool:
        """Whether it is history: it is folded like any other, and nothing is ever done about it."""
        return self.imported_from is not None

    @property
    def side(self) -> Literal["in", "out"]:
        """Facts from outside the session are on `.in`, what workers recorded on `.out`."""
        return side_of(type(self.fact))


FromOutside = WebhookReceived | CommandRequested | LegPlaced | SessionResumed
"""The facts on `.in`; every other is on `.out`."""


def side_of(kind: type[Fact]) -> Literal["in", "out"]:
    """The side of a session that facts of this type are on."""
    return "in" if issubclass(kind, FromOutside) else "out"


_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def session_id_from(text: str) -> str:
    """`text` if it can be a subject token, else a hash of it; the same forever."""
    if _SESSION_ID.fullmatch(text):
        return text
    return "h" + hashlib.sha256(text.encode()).hexdigest()[:32]
