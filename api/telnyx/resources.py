"""A leg as the carrier's call resource, as the official SDK's models expect it. Pure."""

from datetime import UTC, datetime
from typing import Any

from offhook.projections.views.legs import LegView, leg_at


def call_status(leg: LegView, now: datetime) -> dict[str, Any]:
    """A leg as "retrieve status" answers it; `end_time` is left out until it is known.

    A leg without a hangup counts as alive only as long as the carrier lets a call last.
    """
    resource = active_call(leg, now) | {"is_alive": leg_at(leg, now).state != "ended"}
    if leg.started_at is not None:
        resource["start_time"] = _milliseconds(leg.started_at)
    if leg.ended_at is not None:
        resource["end_time"] = _milliseconds(leg.ended_at)
    return resource


def active_call(leg: LegView, now: datetime) -> dict[str, Any]:
    """A leg as an entry in the list of active calls: no state, no direction, no numbers."""
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
