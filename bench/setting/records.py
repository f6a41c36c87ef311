"""The records of answered calls, as ingress and a worker write them."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bench.setting.sender import Entry
from offhook.codec.facts import Encoded, encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    CarrierEvent,
    CommandSucceeded,
    Decided,
    IssuedCommand,
)
from offhook.jetstream.subjects import Side
from offhook.projections.views.stored.event_log import StoredRecord, read_stored

BATCH = 100  # records that are stored or applied at once
STARTED_AT = datetime(2026, 11, 27, tzinfo=UTC)
CALLS_AT_ONCE = 100
RECORDS_OF_A_CALL = 8


def entries_of() -> Iterator[Entry]:
    """Records of calls that overlap, without end."""
    for first in itertools.count(0, CALLS_AT_ONCE):
        calls = [call_records(first + number) for number in range(CALLS_AT_ONCE)]
        for records in zip(*calls, strict=True):
            yield from records


def call_records(number: int) -> list[Entry]:
    """Of one call, in their order."""
    session_id = f"bench-{number:07d}"
    return [(session_id, side, encoded) for side, encoded in _call(session_id)]


def stored(seq: int, session_id: str, side: Side, encoded: Encoded) -> StoredRecord:
    """A record as event_log has it."""
    return read_stored(
        seq=seq,
        session_id=session_id,
        side=side,
        type=encoded.type,
        version=encoded.version,
        stored_at=STARTED_AT + timedelta(microseconds=seq),
        body=encoded.body,
    )


def _call(session_id: str) -> Iterator[tuple[Side, Encoded]]:
    start = datetime(2026, 11, 22, 12, tzinfo=UTC)
    number = int(session_id[-7:])
    ids = {
        "call_control_id": f"v3:{session_id}-{'x' * 40}",
        "call_leg_id": f"leg-{session_id}",
        "call_session_id": session_id,
        "connection_id": "2811212257810187800",
    }
    ends = {"from_": f"+1202555{number % 10_000:04d}", "to": "+12025550101", "start_time": start}

    def at(ordinal: int, seconds: float) -> dict[str, object]:
        event_id = f"{session_id}-event-{ordinal}"
        return {"event_id": event_id, "occurred_at": start + timedelta(seconds=number + seconds)}

    def received(event: CarrierEvent) -> tuple[Side, Encoded]:
        return "in", encoded_webhook(wire_body(event), event.event_id)  # type: ignore[arg-type]

    def decided(cause: int, *commands: IssuedCommand) -> tuple[Side, Encoded]:
        fact = Decided(
            cause_seq=number * RECORDS_OF_A_CALL + cause,
            cause_id=f"{session_id}-event-{cause}",
            flow="bench",
            flow_version="1",
            worker="worker-1",
            lease_s=3.0,
            commands=commands,
        )
        return "out", encode(fact, session_id)

    answer = IssuedCommand(
        command_id=f"{session_id}-answer",
        operation="answer",
        call_control_id=ids["call_control_id"],
        parameters={"client_state": "c3RhdGU="},
    )
    hangup = {"hangup_cause": "normal_clearing", "hangup_source": "caller"}
    yield received(CallInitiated(**at(1, 0), **ids, **ends, direction="incoming"))  # type: ignore[arg-type]
    yield decided(1, answer)
    done = CommandSucceeded(
        command_id=answer.command_id, http_status=200, answer={"data": {"result": "ok"}}
    )
    yield "out", encode(done, session_id)
    yield received(CallAnswered(**at(2, 2), **ids, **ends))  # type: ignore[arg-type]
    yield decided(4)
    yield received(CallHangup(**at(3, 60), **ids, **ends, **hangup, end_time=start))  # type: ignore[arg-type]
    yield decided(6)
    yield received(CallAnswered(**at(4, 2), **ids, **ends))  # type: ignore[arg-type]
