"""How a leg looks in JSON: to the carrier's clients, and to whoever checks the simulator's work."""

from datetime import UTC, datetime, timedelta
from typing import Any

from offhook.simulator.call.legs import Leg, stamp


def call_shown(leg: Leg, now: datetime) -> dict[str, Any]:
    """A leg as the carrier's status read answers it; times have milliseconds here."""
    shown = active_shown(leg, now) | {
        "is_alive": not leg.ended,
        "start_time": milliseconds(leg.started_at),
    }
    if leg.ended_at is not None:
        shown["end_time"] = milliseconds(leg.ended_at)
    return shown


def active_shown(leg: Leg, now: datetime) -> dict[str, Any]:
    """A leg as the list of active calls shows it: no state, no direction, no numbers."""
    talked = (leg.ended_at or now) - leg.answered_at if leg.answered_at else timedelta()
    return {
        "call_control_id": leg.call_control_id,
        "call_duration": int(talked.total_seconds()),
        "call_leg_id": leg.call_leg_id,
        "call_session_id": leg.call_session_id,
        "client_state": leg.client_state or "",
        "record_type": "call",
    }


def leg_shown(leg: Leg) -> dict[str, Any]:
    """A leg as GET /simulator/effects shows it."""
    return {
        "call_control_id": leg.call_control_id,
        "call_leg_id": leg.call_leg_id,
        "call_session_id": leg.call_session_id,
        "connection_id": leg.connection_id,
        "direction": leg.direction,
        "from": leg.from_,
        "to": leg.to,
        "state": leg.state,
        "client_state": leg.client_state,
        "started_at": stamp(leg.started_at),
        "answered_at": leg.answered_at and stamp(leg.answered_at),
        "ended_at": leg.ended_at and stamp(leg.ended_at),
        "bridged_with": leg.bridged_with,
        "hangup_cause": leg.ending and leg.ending.cause,
        "hangup_source": leg.ending and leg.ending.source,
        "sip_hangup_cause": leg.ending and leg.ending.sip,
    }


def milliseconds(at: datetime) -> str:
    """Three digits and Z, as in what the carrier answers."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
