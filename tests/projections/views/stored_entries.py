"""Records as the log would have stored them, to be folded without one."""

from datetime import timedelta
from typing import Any

from offhook.codec.facts import decode, fact_id_of
from offhook.events import (
    CallEvent,
    Record,
)
from tests.example_events import example_event
from tests.projections.story import NOON, Entry


def record(entry: Entry, seq: int) -> Record:
    value = decode(entry.encoded.type, entry.encoded.version, entry.encoded.body)
    return Record(
        seq=seq,
        stored_at=NOON + timedelta(seconds=seq),
        session_id=entry.session_id,
        fact=value,
        fact_id=fact_id_of(value, entry.session_id),
    )


def records(entries: list[Entry]) -> list[Record]:
    return [record(entry, seq) for seq, entry in enumerate(entries, start=1)]


def told(event_type: str, second: int = 0, **values: Any) -> CallEvent:
    event_id = f"{event_type}-{second}-{values.get('call_control_id')}"
    return example_event(event_type, second=second, event_id=event_id, **values)
