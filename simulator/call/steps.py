"""What time brings to a leg, and what one step of the state machine changes: values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from offhook.simulator.call.legs import Ending, Leg, Method


@dataclass(frozen=True, kw_only=True)
class PartyAnswers:
    """The called party picks up."""

    call_control_id: str


@dataclass(frozen=True, kw_only=True)
class LegEnds:
    """The leg ends by itself, if it still is in the half of its life that `only` names."""

    call_control_id: str
    ending: Ending
    only: Literal["unanswered", "answered"]


@dataclass(frozen=True, kw_only=True)
class ReferSettles:
    """The referred party's final SIP response arrives."""

    call_control_id: str
    sip_response: int


@dataclass(frozen=True, kw_only=True)
class SoundEnds:
    """Something was said or played to its end."""

    call_control_id: str
    sound_id: str


@dataclass(frozen=True, kw_only=True)
class KeysPressed:
    """The party presses the first of the keys, and soon the others.

    With `gather_id` only as long as that gather goes on: nobody types into the next one.
    """

    call_control_id: str
    keys: str
    gather_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class GatherTimesOut:
    """No key came in time, if the gather still is at this turn; with None at any."""

    call_control_id: str
    gather_id: str
    turn: int | None


@dataclass(frozen=True, kw_only=True)
class QueueTimesOut:
    """The longest wait in a queue is over, if it is still the same wait."""

    call_control_id: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class RecordingEnds:
    """A recording has reached its greatest length."""

    call_control_id: str
    recording_id: str


@dataclass(frozen=True, kw_only=True)
class AssistantGivesUp:
    """An assistant that gathers has heard nothing."""

    call_control_id: str
    conversation_id: str


@dataclass(frozen=True, kw_only=True)
class EventDue:
    """Nothing but an event. One that `outlives` its leg is told after the hangup too."""

    call_control_id: str
    event_type: str
    more: Mapping[str, Any]
    outlives: bool = False


Happening = (
    PartyAnswers
    | LegEnds
    | ReferSettles
    | SoundEnds
    | KeysPressed
    | GatherTimesOut
    | QueueTimesOut
    | RecordingEnds
    | AssistantGivesUp
    | EventDue
)


@dataclass(frozen=True, kw_only=True)
class Later:
    """A happening, so many seconds of the call from now."""

    after_s: float
    happening: Happening


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """One event. `urls` are where the leg wants it; none means the application's address.

    The ids are those of the leg it is told of, whatever the payload says.
    `retries_ms` are the pauses between the tries, if the leg has its own.
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
class Step:
    """What one command or happening changed.

    `leg` is the one concerned (the new one for a dial), as it was left; None if nothing happened.
    `repeated` tells that it had been done to this leg before: harmless or not, it was asked twice.
    `answer` is what the command's answer tells besides its result.
    """

    leg: Leg | None
    legs: tuple[Leg, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    later: tuple[Later, ...] = ()
    repeated: bool = False
    answer: Mapping[str, str] = field(default_factory=dict)
