"""A leg as the carrier's clients see it."""

from datetime import datetime, timedelta
from typing import Any

from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.timestamps import iso_milliseconds


def call_resource(leg: SimulatedLeg, now: datetime) -> dict[str, Any]:
    """A leg as GET /calls/{call_control_id} answers it; its times have milliseconds."""
    resource = active_call_resource(leg, now) | {
        "is_alive": not leg.ended,
        "start_time": iso_milliseconds(leg.started_at),
    }
    if leg.ended_at is not None:
        resource["end_time"] = iso_milliseconds(leg.ended_at)
    return resource


def active_call_resource(leg: SimulatedLeg, now: datetime) -> dict[str, Any]:
    """A leg in the list of active calls: without state, direction and numbers."""
    talked = (leg.ended_at or now) - leg.answered_at if leg.answered_at else timedelta()
    return {
        "call_control_id": leg.call_control_id,
        "call_duration": int(talked.total_seconds()),
        "call_leg_id": leg.call_leg_id,
        "call_session_id": leg.call_session_id,
        "client_state": leg.client_state or "",
        "record_type": "call",
    }
