"""What the queries return: rows of the views as plain values. None is what nobody has told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, kw_only=True)
class SessionView:
    """A row of sessions. `fold_error` is set while its views cannot follow the log.

    `end_inferred` and the status at a given time are by `offhook.projections.views.up`.
    """

    session_id: str
    status: str
    started_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    up_until: datetime | None
    leg_count: int
    call_control_id: str | None
    connection_id: str | None
    direction: str | None
    from_number: str | None
    to_number: str | None
    hangup_cause: str | None
    hangup_source: str | None
    sip_hangup_cause: str | None
    cost: Decimal | None
    currency: str | None
    recording_count: int
    recordings: Sequence[Mapping[str, Any]] | None
    conferences: Sequence[Mapping[str, Any]] | None
    flow: str | None
    flow_version: str | None
    parked: bool
    first_seq: int
    last_seq: int
    fold_error: str | None = None
    end_inferred: bool = False


@dataclass(frozen=True, kw_only=True)
class LegView:
    """A row of legs; `up` gives `end_inferred` and the state at a time."""

    call_control_id: str
    session_id: str
    call_leg_id: str | None
    connection_id: str | None
    direction: str | None
    from_number: str | None
    to_number: str | None
    state: str
    client_state: str | None
    started_at: datetime | None
    answered_at: datetime | None
    bridged_at: datetime | None
    ended_at: datetime | None
    up_until: datetime | None
    hangup_cause: str | None
    hangup_source: str | None
    sip_hangup_cause: str | None
    talk_s: float | None
    quality: Mapping[str, Any] | None
    held_since: datetime | None
    queue: str | None
    enqueued_at: datetime | None
    dequeued_at: datetime | None
    queue_wait_s: float | None
    queue_reason: str | None
    conference_id: str | None
    machine_detection: str | None
    machine_greeting: str | None
    dtmf: str | None
    gathered: Mapping[str, Any] | None
    refer: Mapping[str, Any] | None
    media: Mapping[str, str] | None
    transcribed_at: datetime | None
    recording_error: str | None
    cost: Decimal | None
    currency: str | None
    cost_parts: Sequence[Mapping[str, Any]] | None
    last_seq: int
    end_inferred: bool = False


@dataclass(frozen=True, kw_only=True)
class CommandView:
    """A row of commands."""

    session_id: str
    command_id: str
    operation: str | None
    call_control_id: str | None
    parameters: Mapping[str, Any] | None
    status: str
    reason: str | None
    detail: str | None
    http_status: int | None
    answer: Mapping[str, Any] | None
    answer_session_id: str | None
    errors: Sequence[Mapping[str, Any]] | None
    maybe_performed: bool | None
    attempts: int
    flow: str | None
    flow_version: str | None
    cause_seq: int | None
    ordinal: int
    requested_at: datetime | None
    decided_at: datetime | None
    settled_at: datetime | None
    last_seq: int


@dataclass(frozen=True, kw_only=True)
class SessionDetail:
    """A session with its legs and commands, in the order in which they started."""

    session: SessionView
    legs: Sequence[LegView]
    commands: Sequence[CommandView]


@dataclass(frozen=True, kw_only=True)
class TimelineEntry:
    """A record of the log. `error` says why `fields` is empty, if the record cannot be read."""

    seq: int
    session_id: str
    side: str
    type: str
    version: int
    stored_at: datetime
    fact_id: str
    fields: Mapping[str, Any]
    error: str


@dataclass(frozen=True, kw_only=True)
class TimelinePage:
    """A page of a timeline; the next one begins after its last record."""

    entries: Sequence[TimelineEntry]
    has_more: bool


@dataclass(frozen=True, kw_only=True)
class SessionFilter:
    """What listed sessions have in common; None is anything. Times: from, and until before."""

    status: str | None = None
    connection_id: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    started_from: datetime | None = None
    started_before: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class LegPage:
    """A page of legs, and how many there are on all pages."""

    legs: Sequence[LegView]
    total: int
    has_more: bool  # beyond this page, in the direction it was asked for
