"""A folded session → the rows of sessions, legs and commands. Pure.

Text from the carrier can hold what Postgres cannot: a NUL becomes U+FFFD here; the raw bytes stay
in event_log.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

import msgspec

from offhook.events import (
    CallAiGatherEnded,
    CallGatherEnded,
    CarrierEvent,
    CommandFailed,
    CommandSucceeded,
)
from offhook.projections.views.fold import Folded
from offhook.session import CommandState, Session
from offhook.session.leg import Leg, Media
from offhook.session.placed import session_of_answer

MEDIA: tuple[Media, ...] = get_args(Media)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows by table, each a value for every column."""

    sessions: list[dict[str, Any]] = field(default_factory=list)
    legs: list[dict[str, Any]] = field(default_factory=list)
    commands: list[dict[str, Any]] = field(default_factory=list)


def rows_of(folded: Folded, after_seq: int = 0) -> Rows:
    """The session's row, and those of the legs and commands that changed after `after_seq`.

    Of a fold that was `written` only what changed since that.
    What other products sent to the same endpoint is no session: it has none.
    """
    session = folded.session
    return Rows(
        sessions=[session_row(folded)] if folded.is_call else [],
        legs=[
            leg_row(session.legs[call_control_id], session.session_id, seq)
            for call_control_id, seq in folded.leg_seqs.items()
            if seq > after_seq
        ],
        commands=[
            command_row(session.commands[command_id], session.session_id, seq)
            for command_id, seq in folded.command_seqs.items()
            if seq > after_seq
        ],
    )


def session_row(folded: Folded) -> dict[str, Any]:
    session = folded.session
    first = first_leg(session.legs)
    cost, currency = session.cost
    row = {
        "session_id": session.session_id,
        "status": session.status,
        "started_at": session.started_at,
        "answered_at": session.answered_at,
        "ended_at": session.ended_at,
        "up_until": session.up_until,
        "leg_count": len(session.legs),
        "call_control_id": first.call_control_id if first else None,
        "connection_id": first.connection_id if first else None,
        "direction": first.direction if first else None,
        "from_number": first.from_ if first else None,
        "to_number": first.to if first else None,
        "hangup_cause": first.hangup_cause if first else None,
        "hangup_source": first.hangup_source if first else None,
        "sip_hangup_cause": first.sip_hangup_cause if first else None,
        "cost": cost,
        "currency": currency,
        "recording_count": len(session.recordings),
        "recordings": _recordings(session),
        "conferences": _conferences(session),
        "flow": folded.flow,
        "flow_version": folded.flow_version,
        "parked": session.is_parked,
        "first_seq": folded.first_seq,
        "last_seq": folded.last_seq,
    }
    return _storable_row(row)


def leg_row(leg: Leg, session_id: str, last_seq: int) -> dict[str, Any]:
    enqueued, dequeued = leg.enqueued, leg.dequeued
    row = {
        "call_control_id": leg.call_control_id,
        "session_id": session_id,
        "call_leg_id": leg.call_leg_id,
        "connection_id": leg.connection_id,
        "direction": leg.direction,
        "from_number": leg.from_,
        "to_number": leg.to,
        "state": leg.state,
        "client_state": leg.client_state,
        "started_at": leg.started_at,
        "answered_at": leg.answered_at,
        "bridged_at": leg.bridged_at,
        "ended_at": leg.ended_at,
        "up_until": leg.up_until,
        "hangup_cause": leg.hangup_cause,
        "hangup_source": leg.hangup_source,
        "sip_hangup_cause": leg.sip_hangup_cause,
        "talk_s": leg.talk_s,
        "quality": leg.quality,
        "held_since": leg.held_since,
        "queue": leg.queue,
        "enqueued_at": enqueued.occurred_at if enqueued else None,
        "dequeued_at": dequeued.occurred_at if dequeued else None,
        "queue_wait_s": leg.queue_wait_s,
        "queue_reason": dequeued.reason if dequeued else None,
        "conference_id": leg.conference_id,
        "machine_detection": leg.machine_detection,
        "machine_greeting": leg.machine_greeting,
        "dtmf": leg.dtmf or None,
        "gathered": _gathered(leg),
        "refer": _refer(leg),
        "media": {name: _end_of(leg.latest[name]) for name in MEDIA if name in leg.latest} or None,
        "transcribed_at": leg.transcribed_at,
        "recording_error": leg.recording_error,
        "cost": leg.cost_total,
        "currency": leg.currency,
        "cost_parts": leg.cost.cost_parts if leg.cost else None,
        "last_seq": last_seq,
    }
    return _storable_row(row)


def command_row(state: CommandState, session_id: str, last_seq: int) -> dict[str, Any]:
    issued, outcome = state.issued, state.outcome
    failed = outcome if isinstance(outcome, CommandFailed) else None
    succeeded = outcome if isinstance(outcome, CommandSucceeded) else None
    row = {
        "session_id": session_id,
        "command_id": state.command_id,
        "operation": issued.operation if issued else failed.operation if failed else None,
        "call_control_id": (
            issued.call_control_id if issued else failed.call_control_id if failed else None
        ),
        "parameters": issued.parameters if issued else None,
        "status": state.status,
        "reason": failed.reason if failed else None,
        "detail": failed.detail if failed else succeeded.note if succeeded else None,
        "http_status": outcome.http_status if outcome else None,
        "answer": succeeded.answer if succeeded else None,
        "answer_session_id": session_of_answer(succeeded.answer) if succeeded else None,
        "errors": failed.errors if failed else None,
        "maybe_performed": failed.maybe_performed if failed else None,
        "attempts": _attempts(state),
        "flow": state.flow or None,
        "flow_version": state.flow_version or None,
        "cause_seq": state.cause_seq,
        "ordinal": state.ordinal,
        "requested_at": state.requested_at,
        "decided_at": state.decided_at,
        "settled_at": state.settled_at,
        "last_seq": last_seq,
    }
    return _storable_row(row)


def first_leg(legs: Mapping[str, Leg]) -> Leg | None:
    """The leg that started first, whatever order its facts came in."""
    return min(
        legs.values(), key=lambda leg: (leg.started_at or _NEVER, leg.call_control_id), default=None
    )


def storable(value: Any) -> Any:
    """The value with what Postgres cannot store replaced."""
    match value:
        case str():
            return value.replace("\0", "�") if "\0" in value else value
        case Mapping():
            return {storable(key): storable(item) for key, item in value.items()}
        case list() | tuple():
            return [storable(item) for item in value]
        case _:
            return value


def _storable_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if type(value) in _ALWAYS_STORABLE else storable(value)
        for name, value in row.items()
    }


def _recordings(session: Session) -> list[dict[str, Any]] | None:
    if not session.recordings:
        return None
    found = sorted(session.recordings.values(), key=lambda recording: recording.stamp)
    told: list[dict[str, Any]] = msgspec.to_builtins(found)
    return [{name: item for name, item in each.items() if name != "stamp"} for each in told]


def _conferences(session: Session) -> list[dict[str, Any]] | None:
    if not session.conferences:
        return None
    told = [
        {
            "conference_id": conference.conference_id,
            "created_at": conference.created_at,
            "ended_at": conference.ended_at,
            "end_reason": conference.end_reason,
        }
        for _, conference in sorted(session.conferences.items())
    ]
    plain: list[dict[str, Any]] = msgspec.to_builtins(told)
    return plain


def _gathered(leg: Leg) -> dict[str, Any] | None:
    match leg.gathered:
        case CallGatherEnded() as event:
            return {"status": event.status, "digits": event.digits}
        case CallAiGatherEnded() as event:
            return {"status": event.status, "result": event.result}
        case None:
            return None


def _refer(leg: Leg) -> dict[str, Any] | None:
    if leg.refer is None:
        return None
    return {"state": _end_of(leg.refer), "sip_status": leg.refer.sip_notify_response}


def _end_of(event: CarrierEvent) -> str:
    """How far it has come, by its type: started, ended, stopped, completed, failed."""
    return event.event_type.rpartition(".")[2]


def _attempts(state: CommandState) -> int:
    """As the outcome counts them; else what was recorded on the way, the first try not among it."""
    counted = state.outcome.attempts if state.outcome else None
    return state.attempts if counted is None else counted


# Most values are of these, and to ask whether they are a Mapping is slow.
_ALWAYS_STORABLE = frozenset({type(None), bool, int, float, datetime, Decimal})

_NEVER = datetime.max.replace(tzinfo=UTC)
