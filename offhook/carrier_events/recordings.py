"""Recordings and transcriptions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from offhook.carrier_events.base import CarrierEvent


@dataclass(frozen=True, kw_only=True)
class CallRecordingSaved(CarrierEvent):
    """A recording can be fetched.

    Documented without `call_control_id`, `recording_id`, `format`, `start_time` and `end_time`,
    which `recording_saved` has.
    """

    event_type: str = "call.recording.saved"
    start_time: datetime | None = None  # the recording's
    end_time: datetime | None = None
    channels: str | None = None  # single, dual
    public_recording_urls: Mapping[str, Any] | None = None
    recording_ended_at: datetime | None = None
    recording_started_at: datetime | None = None
    recording_urls: Mapping[str, Any] | None = None  # by format; valid for 10 minutes
    recording_id: str | None = None
    format: str | None = None


@dataclass(frozen=True, kw_only=True)
class RecordingSaved(CarrierEvent):
    """A recording can be fetched, as the carrier named it before; not in the documents."""

    event_type: str = "recording_saved"
    start_time: datetime | None = None  # the recording's
    end_time: datetime | None = None
    recording_id: str | None = None
    channels: str | None = None  # single, dual
    format: str | None = None
    recording_started_at: datetime | None = None
    recording_ended_at: datetime | None = None
    recording_urls: Mapping[str, Any] | None = None  # by format; valid for 10 minutes
    public_recording_urls: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class CallRecordingError(CarrierEvent):
    """A recording could not be kept."""

    event_type: str = "call.recording.error"
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallRecordingTranscriptionSaved(CarrierEvent):
    """A recording was written down."""

    event_type: str = "call.recording.transcription.saved"
    calling_party_type: str | None = None
    recording_id: str | None = None
    recording_transcription_id: str | None = None
    status: str | None = None  # completed
    transcription_text: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallTranscription(CarrierEvent):
    """Something said was written down while the call goes on.

    `transcription_data` has transcript, confidence, is_final and transcription_track.
    """

    event_type: str = "call.transcription"
    transcription_data: Mapping[str, Any] | None = None
