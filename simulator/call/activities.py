"""What runs on a leg besides talk: values only. A leg's fields hold them while they last.

The journal stores them with their leg, so the names of their fields stay.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A text or a file. Sounds of a leg play one after the other, except those `at_once`.

    `told` holds the fields of both of its events. The prompt of a gather sends no events.
    """

    id: str
    kind: Literal["speak", "playback", "prompt"]
    lasts_s: float | None  # None: until it is stopped
    told: Mapping[str, Any] = field(default_factory=dict)
    at_once: bool = False
    overlay: bool = False
    missing: bool = False  # there is no such file
    gather_id: str | None = None  # the gather it is the prompt of
    begun: bool = False


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """A running gather. `turn` counts attempts and keys: a timer of an earlier one is stale."""

    id: str
    told: Mapping[str, Any]  # fields of its event besides digits and status
    digits_min: int
    digits_max: int
    terminator: str
    valid: str
    first_s: float  # from the start, or from the end of the prompt, to the first key
    between_s: float
    prompt: Sound | None = None
    again: Sound | None = None  # the prompt after an invalid entry
    tries_left: int = 0  # attempts after this one
    digits: str = ""
    turn: int = 0


@dataclass(frozen=True, kw_only=True)
class ActiveRecording:
    """A recording that is running or paused, or that starts when the leg is answered."""

    id: str
    channels: str
    format: str
    started_at: datetime
    file_name: str = ""
    paused: bool = False
    transcribed: bool = False
    max_s: float = 0.0  # 0: no maximum length

    def begun(self, at: datetime) -> "ActiveRecording":
        """The same recording, started at this time."""
        return replace(self, started_at=at)


@dataclass(frozen=True, kw_only=True)
class QueueWait:
    """The queue that a leg waits in, and since when."""

    queue: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """An AI assistant, or a relay to the application's WebSocket, on a leg."""

    id: str
    assistant_id: str | None
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Seat:
    """The conference that a leg is in; `creator_session_id` is the session of its first leg."""

    conference_id: str
    name: str
    creator_session_id: str
    ends_it: bool = False  # the conference ends when this leg leaves


@dataclass(frozen=True, kw_only=True)
class OnAnswer:
    """What dial, transfer and answer start as soon as the leg is answered."""

    recording: ActiveRecording | None = None
    detection: str | None = None  # the mode of answering machine detection
    stream_url: str | None = None
    stream_track: str | None = None
    transcription_tracks: str | None = None
    deepfake_detection: bool = False
    assistant_id: str | None = None
    relay: bool = False
    audio: Sound | None = None
    conference: Mapping[str, Any] | None = None
