"""Recordings and transcriptions. Generated: do not edit."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from offhook.commands.base import LegCommand, Stateful
from offhook.commands.objects import TranscriptionEngine, TranscriptionLanguage
from offhook.commands.parameters import FileName

__all__ = [
    "PauseRecording",
    "ResumeRecording",
    "StartRecording",
    "StopRecording",
    "StartTranscription",
    "StopTranscription",
]


@dataclass(frozen=True, kw_only=True)
class PauseRecording(LegCommand, Stateful):
    """Pause the leg's recording."""

    operation: ClassVar[str] = "record_pause"

    recording_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ResumeRecording(LegCommand, Stateful):
    """Resume the leg's paused recording."""

    operation: ClassVar[str] = "record_resume"

    recording_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class StartRecording(LegCommand, Stateful):
    """Record the leg until it is stopped or the call ends."""

    operation: ClassVar[str] = "record_start"

    channels: Literal["single", "dual"]
    format: Literal["wav", "mp3"]
    custom_file_name: FileName | None = None
    max_length: Annotated[int, Meta(ge=0, le=14400)] | None = None
    play_beep: bool | None = None
    recording_track: Literal["both", "inbound", "outbound"] | None = None
    timeout_secs: Annotated[int, Meta(ge=0)] | None = None
    transcription: bool | None = None
    transcription_engine: Literal["A", "B", "deepgram/nova-3"] | None = None
    transcription_language: TranscriptionLanguage | None = None
    transcription_max_speaker_count: int | None = None
    transcription_min_speaker_count: int | None = None
    transcription_profanity_filter: bool | None = None
    transcription_speaker_diarization: bool | None = None
    trim: Literal["trim-silence"] | None = None


@dataclass(frozen=True, kw_only=True)
class StopRecording(LegCommand, Stateful):
    """End the leg's recording and store it."""

    operation: ClassVar[str] = "record_stop"

    recording_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class StartTranscription(LegCommand, Stateful):
    """Transcribe the leg's speech during the call."""

    operation: ClassVar[str] = "transcription_start"

    transcription_engine: TranscriptionEngine | None = None
    transcription_engine_config: dict[str, Any] | None = None
    transcription_tracks: Literal["inbound", "outbound", "both"] | None = None


@dataclass(frozen=True, kw_only=True)
class StopTranscription(LegCommand, Stateful):
    """Stop transcribing the leg."""

    operation: ClassVar[str] = "transcription_stop"
