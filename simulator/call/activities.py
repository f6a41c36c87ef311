"""What goes on on a leg besides talk: values only. A leg's fields hold them while they last."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Sound:
    """Something said or played; those of a leg wait for each other, but for those `at_once`.

    `told` is what both of its events carry. A prompt said to gather keys sends none.
    """

    id: str
    kind: Literal["speak", "playback", "prompt"]
    lasts_s: float | None  # None: until it is stopped
    told: Mapping[str, Any] = field(default_factory=dict)
    at_once: bool = False
    overlay: bool = False
    missing: bool = False  # there is no such file
    gather_id: str | None = None  # the gather it asks for
    begun: bool = False


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """Keys being waited for. `turn` counts tries and keys: a timer of an earlier one is stale."""

    id: str
    told: Mapping[str, Any]  # what its event carries besides
    digits_min: int
    digits_max: int
    terminator: str
    valid: str
    first_s: float  # from the start, or from the end of a prompt, to the first key
    between_s: float
    prompt: Sound | None = None
    again: Sound | None = None  # the prompt after a wrong entry
    tries_left: int = 0  # after this one
    digits: str = ""
    turn: int = 0


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recording that runs, or is paused."""

    id: str
    channels: str
    format: str
    started_at: datetime
    file_name: str = ""
    paused: bool = False
    transcribed: bool = False
    max_s: float = 0.0  # 0: no bound

    def begun(self, at: datetime) -> "Recording":
        """The same, begun now."""
        return replace(self, started_at=at)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A place in a queue."""

    queue: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """An assistant, or a relay to the application's WebSocket, talks on the leg."""

    id: str
    assistant_id: str | None
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Seat:
    """A place in a conference. Whoever created it has `created` set to its own session."""

    conference_id: str
    name: str
    creator_session_id: str
    ends_it: bool = False  # the conference ends when this leg leaves


@dataclass(frozen=True, kw_only=True)
class OnAnswer:
    """What dial, transfer and answer asked for as soon as the leg is answered."""

    recording: Recording | None = None
    detection: str | None = None  # the mode of answering machine detection
    stream_url: str | None = None
    stream_track: str | None = None
    transcription_tracks: str | None = None
    deepfake_detection: bool = False
    assistant_id: str | None = None
    relay: bool = False
    audio: Sound | None = None
    conference: Mapping[str, Any] | None = None
