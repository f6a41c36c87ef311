"""Sessions of thousands of records in a log: interim results of a transcription, and decisions."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

from nats.aio.client import Client

from offhook.codec.facts import encode, encoded_webhook
from offhook.events import Decided
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.snapshots import JetStreamSnapshots
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.cache import SessionCache
from offhook.workers.reading.fingerprint import fold_fingerprint
from offhook.workers.reading.snapshots import Snapshots
from offhook.workers.reading.state import SNAPSHOT_SHARE

BEGAN = datetime(2026, 11, 26, 10, tzinfo=UTC)
EVENTS_AT_ONCE = 32


def snapshots_of(client: Client) -> Snapshots:
    """A worker's, which do not wait between two that they store."""

    async def at_once(seconds: float) -> None:
        await asyncio.sleep(0)

    return Snapshots(
        JetStreamSnapshots(client), fold_fingerprint(), metrics=WorkerMetrics(), sleep=at_once
    )


async def append_long(
    log: JetStreamLog,
    session_id: str,
    count: int,
    snapshots: Snapshots,
    *,
    has_rested: bool = False,
) -> int:
    """A session of so many records, with a snapshot as old as one can be, if it is long enough.

    With one of all records if it `has_rested`. Returns its last position.
    """
    events = count // 2
    tail = 0 if has_rested else max(snapshots.every, count // (SNAPSHOT_SHARE + 1)) // 2
    kept = max(0, events - tail)
    last = await append_decided(log, session_id, range(kept))
    state = await SessionCache(log, asyncio.sleep).read(session_id)
    assert await state.next_cause() is None, "everything is decided"
    if (snapshot := state.due_snapshot(snapshots.every)) is not None:
        snapshots.offer(snapshot)
        await snapshots.store_offered()
    return await append_decided(log, session_id, range(kept, events)) or last


async def append_decided(log: JetStreamLog, session_id: str, numbers: range) -> int:
    """Append these events, and the decisions on them. Returns the last position."""
    last = 0
    for first in range(numbers.start, numbers.stop, EVENTS_AT_ONCE):
        some = range(first, min(first + EVENTS_AT_ONCE, numbers.stop))
        # Each side in order: a client sends in the order in which it was asked to.
        seqs = await asyncio.gather(*(append_event(log, session_id, each) for each in some))
        decisions = [
            Decided(
                cause_seq=seq,
                cause_id=event_id_of(number, session_id),
                flow="f",
                flow_version="1",
                worker="w",
                lease_s=3.0,
            )
            for number, seq in zip(some, seqs, strict=True)
        ]
        appended = await asyncio.gather(
            *(log.append(session_id, "out", encode(each, session_id)) for each in decisions)
        )
        last = appended[-1].seq
    return last


async def append_event(log: JetStreamLog, session_id: str, number: int) -> int:
    """Returns its position."""
    encoded = encoded_webhook(body_of(number, session_id), event_id_of(number, session_id))
    return (await log.append(session_id, "in", encoded)).seq


def body_of(number: int, session_id: str) -> bytes:
    payload = {
        "call_control_id": "v3:leg",
        "call_leg_id": "6b3e3bb2-2f9e-11ee-9a53-6f66686f6f6b",
        "call_session_id": session_id,
        "connection_id": "1494404757140276705",
        "client_state": None,
        "transcription_data": {
            "transcript": f"interim {number}",
            "is_final": False,
            "confidence": 0.9,
        },
    }
    data = {
        "record_type": "event",
        "event_type": "call.transcription",
        "id": event_id_of(number, session_id),
        "occurred_at": (BEGAN + timedelta(milliseconds=100 * number)).isoformat(),
        "payload": payload,
    }
    return json.dumps({"data": data, "meta": {"attempt": 1}}).encode()


def event_id_of(number: int, session_id: str) -> str:
    return f"event-{number:08}-2f9e-11ee-9a53-{session_id}"
