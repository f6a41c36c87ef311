"""A leg as the carrier shows a call: field by field what the official SDK's models expect. Pure."""

from datetime import UTC, datetime
from typing import Any

from offhook.projections.views.legs import LegView, leg_at


def call_shown(leg: LegView, now: datetime) -> dict[str, Any]:
    """A leg as the carrier answers "retrieve status"; `end_time` is there once it is known.

    Without a hangup a leg is alive no longer than the carrier lets one last.
    """
    shown = active_shown(leg, now) | {"is_alive": leg_at(leg, now).state != "ended"}
    if leg.started_at is not None:
        shown["start_time"] = _milliseconds(leg.started_at)
    if leg.ended_at is not None:
        shown["end_time"] = _milliseconds(leg.ended_at)
    return shown


def active_shown(leg: LegView, now: datetime) -> dict[str, Any]:
    """A leg as the list of active calls shows it: no state, no direction, no numbers."""
    until = leg.ended_at or min(now, leg.up_until or now)
    talked_s = (until - leg.answered_at).total_seconds() if leg.answered_at else 0
    return {
        "call_control_id": leg.call_control_id,
        "call_duration": max(0, int(talked_s)),  # from the answer on
        "call_leg_id": leg.call_leg_id or "",
        "call_session_id": leg.session_id,
        "client_state": leg.client_state or "",
        "record_type": "call",
    }


def _milliseconds(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
