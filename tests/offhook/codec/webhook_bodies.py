"""A webhook's JSON, in the carrier's forms."""

import json
from typing import Any

PAYLOAD = {
    "call_control_id": "v3:example",
    "call_leg_id": "aaaa0000-0000-11f0-8000-02420a1f0b69",
    "call_session_id": "bbbb0000-0000-11f0-8000-02420a1f0b69",
    "client_state": None,
    "connection_id": "1234567890123456789",
    "direction": "incoming",
    "from": "+12025550123",
    "start_time": "2026-11-22T09:00:00.000001Z",
    "state": "parked",
    "to": "+12025550199",
}
V2: dict[str, Any] = {
    "data": {
        "event_type": "call.initiated",
        "id": "cccc0000-0000-4000-8000-000000000001",
        "occurred_at": "2026-11-22T09:00:00.076316Z",
        "payload": PAYLOAD,
        "record_type": "event",
    },
    "meta": {"attempt": 1, "delivered_to": "https://hooks.example.com/webhooks/telnyx"},
}

FLOOR_CHANGED: dict[str, Any] = {  # as the specification has it
    "event_type": "conference.floor.changed",
    "id": "0ccc7b54-4df3-4bca-a65a-3da1ecc777f0",
    "payload": {
        "call_control_id": "v3:example",
        "call_session_id": "bbbb0000-0000-11f0-8000-02420a1f0b69",
        "conference_id": "428c31b6-abf3-3bc1-b7f4-5013ef9657c1",
        "occurred_at": "2026-11-22T09:00:00.076316Z",
    },
    "record_type": "event",
}


def body_of(document: Any) -> bytes:
    return json.dumps(document).encode()


def v2_with(**data: Any) -> bytes:
    return body_of({"data": {"event_type": "call.x", "id": "event-1", **data}})
