"""What happens to a leg without a command: a timer is due, or its party does something."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from offhook.simulator.call.legs import Ending


@dataclass(frozen=True, kw_only=True)
class PartyAnswers:
    """The called party picks up."""

    call_control_id: str


@dataclass(frozen=True, kw_only=True)
class LegEnds:
    """The leg ends by itself, if it is still in the state that `only` names."""

    call_control_id: str
    ending: Ending
    only: Literal["unanswered", "answered"]


@dataclass(frozen=True, kw_only=True)
class ReferSettles:
    """The final SIP response of the referred party arrives."""

    call_control_id: str
    sip_response: int


@dataclass(frozen=True, kw_only=True)
class SoundEnds:
    """A sound has been played to its end."""

    call_control_id: str
    sound_id: str


@dataclass(frozen=True, kw_only=True)
class KeysPressed:
    """The party presses the first of the keys, and the others after short pauses.

    With a `gather_id` the keys count only as long as that gather is running.
    """

    call_control_id: str
    keys: str
    gather_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class GatherTimesOut:
    """A gather times out, if its counter still is `turn`; None for the timeout of the whole."""

    call_control_id: str
    gather_id: str
    turn: int | None


@dataclass(frozen=True, kw_only=True)
class QueueTimesOut:
    """The maximum wait in a queue is over, if the leg still waits there since then."""

    call_control_id: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class RecordingEnds:
    """A recording has reached its maximum length."""

    call_control_id: str
    recording_id: str


@dataclass(frozen=True, kw_only=True)
class AssistantGivesUp:
    """An assistant stops gathering: it heard nothing."""

    call_control_id: str
    conversation_id: str


@dataclass(frozen=True, kw_only=True)
class EventDue:
    """An event is due that changes nothing. With `outlives` it is sent after the hangup too."""

    call_control_id: str
    event_type: str
    more: Mapping[str, Any]
    outlives: bool = False


Trigger = (
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
