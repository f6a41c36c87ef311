"""An example of every event type, each field filled, made from the classes' own fields."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from offhook.carrier_events import BY_TYPE, payload_fields
from offhook.events import CallEvent

AT = datetime(2026, 11, 22, 9, 0, 0, 76316, tzinfo=UTC)


def example_event(event_type: str, second: int = 0, **told: Any) -> CallEvent:
    """The event at that second of the example call; `told` replaces what is made up."""
    kind = BY_TYPE[event_type]
    values = {item.name: _example(item.name, item.type) for item in payload_fields(kind).values()}
    values |= {
        "event_id": f"event-of-{event_type}",
        "occurred_at": AT + timedelta(seconds=second),
        "call_control_id": "v3:example",
        "call_session_id": "example-session",
    }
    return kind(**{**values, **told})


def _example(name: str, kind: Any) -> Any:
    """A value of that type; of texts each field has its own, so that none passes for another."""
    examples = {
        str | None: name.strip("_"),
        int | None: 8,
        float | None: 0.5,
        bool | None: True,
        datetime | None: AT,
        Sequence[str] | None: [name],
        Sequence[Mapping[str, Any]] | None: [{"name": name}],
        Mapping[str, Any] | None: {"name": name},
        Mapping[str, Any] | str | None: {"name": name},
        Any: name,
    }
    return examples[kind]
