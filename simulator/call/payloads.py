"""The fields that each webhook carries, as found in captures of real calls.

Two surprises of the carrier are kept: `direction` and `state` are on call.initiated only, and
`start_time` is the start of the leg (never the answer), missing on an outgoing call.initiated.
For call.sip_info.received there is no schema and no capture: it has the common fields only.
Events of what plays to a whole conference have no ids of a leg, as in the documents.
"""

from typing import Any

from offhook.carrier_events import BY_TYPE, OF_A_CONFERENCE_ALONE, payload_fields
from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.timestamps import iso_microseconds

PACKETS_PER_S = 50

# Events that carry the two numbers besides the ids; of the others the documents list none.
_WITH_NUMBERS = frozenset(
    event_type for event_type, kind in BY_TYPE.items() if "from" in payload_fields(kind)
)
_OF_NO_LEG = frozenset(kind.event_type for kind in OF_A_CONFERENCE_ALONE)


def payload_of(event_type: str, leg: SimulatedLeg) -> dict[str, Any]:
    """The fields that a leg gives to its event; the leg is as the event left it.

    Whoever emits the event adds the fields of its own.
    """
    if event_type in _OF_NO_LEG:
        return {"connection_id": leg.connection_id}
    common = {
        "call_control_id": leg.call_control_id,
        "call_leg_id": leg.call_leg_id,
        "call_session_id": leg.call_session_id,
        "client_state": leg.client_state,
        "connection_id": leg.connection_id,
    }
    if event_type in _WITH_NUMBERS:
        common |= {"from": leg.from_, "to": leg.to}
    match event_type:
        case "call.initiated":
            return common | _initiated(leg)
        case "call.answered":
            return common | _started(leg) | _answered(leg)
        case "call.bridged":
            return common | _started(leg)
        case "call.hangup":
            return common | _started(leg) | _hangup(leg)
        case _:
            return common


def _started(leg: SimulatedLeg) -> dict[str, Any]:
    return {"start_time": iso_microseconds(leg.started_at)}


def _initiated(leg: SimulatedLeg) -> dict[str, Any]:
    if leg.direction == "outgoing":
        return {"direction": "outgoing", "state": "bridging"}
    return {
        "caller_id_name": leg.from_,
        "calling_party_type": leg.calling_party_type,
        "connection_codecs": "PCMA,PCMU,VP8,H264",
        "direction": "incoming",
        "from_sip_uri": f"{leg.from_.removeprefix('+')}@203.0.113.10:5060",
        "offered_codecs": "PCMU,G729",
        "start_time": iso_microseconds(leg.started_at),
        "state": "parked",
        "to_sip_uri": f"{leg.to}@192.76.120.10:5060",
    }


def _answered(leg: SimulatedLeg) -> dict[str, Any]:
    if leg.direction == "outgoing":
        return {}
    return {"calling_party_type": leg.calling_party_type, "codec": "PCMU", "sampling_rate": 8000}


def _hangup(leg: SimulatedLeg) -> dict[str, Any]:
    assert leg.ending is not None, f"{leg.call_control_id} has not ended"
    assert leg.ended_at is not None
    return {
        "call_quality_stats": _quality(leg),
        "end_time": iso_microseconds(leg.ended_at),
        "hangup_cause": leg.ending.cause,
        "hangup_source": leg.ending.source,
        "sip_hangup_cause": leg.ending.sip,
    }


def _quality(leg: SimulatedLeg) -> dict[str, Any] | None:
    """Numbers as strings, like the carrier's; None if the leg was never answered."""
    if leg.answered_at is None or leg.ended_at is None:
        return None
    packets = int((leg.ended_at - leg.answered_at).total_seconds() * PACKETS_PER_S)
    return {
        "inbound": {
            "jitter_max_variance": "0.00",
            "jitter_packet_count": "0",
            "mos": "4.50",
            "packet_count": str(packets),
            "skip_packet_count": "0",
        },
        "outbound": {"packet_count": str(packets), "skip_packet_count": "0"},
    }
