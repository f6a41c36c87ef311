"""What every carrier event has, and the event of an unknown type."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class CarrierEvent:
    """What every webhook of a call carries. A field the carrier left out is None.

    `occurred_at` is the carrier's clock, microseconds, UTC. `payload` is the whole payload as it
    came: fields without a name here are kept there.
    """

    event_type: str = ""
    event_id: str = ""
    occurred_at: datetime | None = None
    call_control_id: str | None = None
    call_leg_id: str | None = None
    call_session_id: str | None = None
    connection_id: str | None = None
    client_state: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class UnknownEvent(CarrierEvent):
    """Any other webhook, or a body that is no event at all; `payload` has what there was."""


_ENVELOPE = frozenset({"event_type", "event_id", "occurred_at", "payload"})


def payload_fields(kind: type[CarrierEvent]) -> dict[str, dataclasses.Field[Any]]:
    """The fields that an event takes from its payload, by the carrier's name of each.

    A field has an underscore after the carrier's name where that is a keyword of Python: `from_`.
    """
    return {
        item.name.rstrip("_"): item
        for item in dataclasses.fields(kind)
        if item.name not in _ENVELOPE
    }
