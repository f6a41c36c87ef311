"""One record of each type for the documentation, as it is stored."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from offhook.codec.facts import encode, encoded_webhook
from offhook.events import (
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    Fact,
    IssuedCommand,
    LegPlaced,
    PlacedLeg,
    SessionParked,
    SessionResumed,
    TimerCancelled,
    TimerFired,
    TimerOrder,
    TimerSet,
)

SESSION = "428c31b6-7af4-4bcb-b7f5-5013ef9657c1"
LEG = "v3:MdI91X4lWFEs7IgbBEOT9M4AigoY08M0WWZFISt1Yw2axZ_IiE4pqg"
CONNECTION = "1494404757140276705"
COMMAND = "b8f9c1e2-6d0f-4f3e-9a53-0d6c1f4a7b21"
TIMER = "3f1c5c52-3b0a-5d5e-8f0e-6a7d9c2b1e44"
DUE = datetime(2026, 11, 22, 10, 0, 30, tzinfo=UTC)

_SPEAK = IssuedCommand(
    command_id=COMMAND,
    operation="speak",
    call_control_id=LEG,
    parameters={"payload": "Welcome. One moment, please.", "voice": "Telnyx.KokoroTTS.af"},
)

_FACTS: tuple[Fact, ...] = (
    CommandRequested(command=_SPEAK, requested_by="crm"),
    LegPlaced(
        leg=PlacedLeg(
            call_control_id=LEG,
            session_id=SESSION,
            call_leg_id="1a3d4e5f-0000-4000-8000-02420aef2e20",
            connection_id=CONNECTION,
            from_number="+12025550102",
            to_number="+12025550110",
        ),
        command_id=COMMAND,
        command_session_id="9d2f6a10-5a0b-5b1c-9c3d-7f7d4c6b2a18",
    ),
    SessionResumed(resumed_by="crm"),
    Decided(
        cause_seq=1041,
        cause_id="0ccc7b54-4df3-4bca-a65a-3da1ecc777f0",
        flow="welcome",
        flow_version="3",
        worker="worker-1",
        lease_s=30.0,
        commands=(_SPEAK,),
        timers=(TimerOrder(timer_id=TIMER, name="no_answer", call_control_id=LEG, after_s=30.0),),
        in_seq=1041,
    ),
    CommandAttempted(
        command_id=COMMAND,
        attempt=2,
        because="the carrier answered 503",
        worker="worker-1",
        lease_s=30.0,
    ),
    CommandSucceeded(
        command_id=COMMAND, http_status=200, answer={"data": {"result": "ok"}}, attempts=1
    ),
    CommandFailed(
        command_id=COMMAND,
        operation="speak",
        reason="call_ended",
        call_control_id=LEG,
        http_status=422,
        errors=[
            {
                "code": "90018",
                "title": "Call has already ended",
                "detail": "This call is no longer active and can't receive commands.",
            },
        ],
        detail="the leg has ended",
        maybe_performed=False,
        attempts=1,
    ),
    TimerSet(timer_id=TIMER, name="no_answer", due_at=DUE),
    TimerCancelled(timer_id=TIMER, name="no_answer"),
    TimerFired(name="no_answer", timer_id=TIMER, due_at=DUE, call_control_id=LEG),
    SessionParked(
        cause_seq=1041,
        error="flow welcome 3: KeyError: 'agent'",
        attempts=5,
        flow="welcome",
        flow_version="3",
        in_seq=1041,
    ),
)

_WEBHOOK = {
    "data": {
        "event_type": "call.initiated",
        "id": "0ccc7b54-4df3-4bca-a65a-3da1ecc777f0",
        "occurred_at": "2026-11-22T10:00:00.000000Z",
        "payload": {
            "call_control_id": LEG,
            "call_leg_id": "1a3d4e5f-0000-4000-8000-02420aef2e20",
            "call_session_id": SESSION,
            "client_state": None,
            "connection_id": CONNECTION,
            "direction": "incoming",
            "from": "+12025550101",
            "state": "parked",
            "to": "+12025550102",
        },
        "record_type": "event",
    },
    "meta": {"attempt": 1, "delivered_to": "https://example.com/webhooks/telnyx"},
}


def examples() -> Mapping[str, dict[str, Any]]:
    """By the record's type: its headers and its body, as AsyncAPI has examples of a message."""
    stored = [
        encoded_webhook(msgspec.json.encode(_WEBHOOK), "0ccc7b54-4df3-4bca-a65a-3da1ecc777f0"),
        *(encode(fact, SESSION) for fact in _FACTS),
    ]
    return {
        each.type: {
            "headers": {"Offhook-Type": each.type, "Offhook-Version": str(each.version)},
            "payload": msgspec.json.decode(each.body),
        }
        for each in stored
    }
