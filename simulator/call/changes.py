"""What a command or a trigger changes: values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from offhook.simulator.call.legs import Method, SimulatedLeg
from offhook.simulator.call.triggers import Trigger


@dataclass(frozen=True, kw_only=True)
class ScheduledTrigger:
    """A trigger that is due in `after_s` seconds of the call."""

    after_s: float
    trigger: Trigger


@dataclass(frozen=True, kw_only=True)
class OutgoingWebhook:
    """One event to send. `urls` are the leg's own addresses; empty for the application's.

    The ids are those of the leg that the event is about, whatever the payload says.
    `retries_ms` are the pauses between attempts, if the leg has its own.
    """

    id: str
    event_type: str
    occurred_at: datetime
    call_control_id: str
    call_session_id: str
    connection_id: str
    payload: Mapping[str, Any]
    urls: tuple[str, ...] = ()
    method: Method = "POST"
    retries_ms: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What one command or trigger changed.

    `leg` is the one concerned (the new one for a dial), as changed; None if nothing happened.
    `repeated` is whether this leg had been commanded the same before, with or without an effect.
    `answer` holds fields of the command's answer besides its result.
    """

    leg: SimulatedLeg | None
    legs: tuple[SimulatedLeg, ...] = ()
    webhooks: tuple[OutgoingWebhook, ...] = ()
    scheduled: tuple[ScheduledTrigger, ...] = ()
    repeated: bool = False
    answer: Mapping[str, str] = field(default_factory=dict)
