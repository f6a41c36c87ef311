"""Conferences and their participants."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from offhook.carrier_events.base import CarrierEvent


@dataclass(frozen=True, kw_only=True)
class ConferenceCreated(CarrierEvent):
    """A conference began with this leg."""

    event_type: str = "conference.created"
    conference_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceEnded(CarrierEvent):
    """A conference is over."""

    event_type: str = "conference.ended"
    conference_id: str | None = None
    reason: str | None = None  # all_left, host_left, time_exceeded


@dataclass(frozen=True, kw_only=True)
class ConferenceParticipantJoined(CarrierEvent):
    """The leg is in the conference."""

    event_type: str = "conference.participant.joined"
    conference_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceParticipantLeft(CarrierEvent):
    """The leg is in the conference no longer."""

    event_type: str = "conference.participant.left"
    conference_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceFloorChanged(CarrierEvent):
    """Another leg has the floor. Documented flat, without `data` around it."""

    event_type: str = "conference.floor.changed"
    conference_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceSpeakStarted(CarrierEvent):
    """Text is being spoken to everybody in the conference."""

    event_type: str = "conference.speak.started"
    conference_id: str | None = None
    creator_call_session_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceSpeakEnded(CarrierEvent):
    """The text was spoken to the conference."""

    event_type: str = "conference.speak.ended"
    conference_id: str | None = None
    creator_call_session_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferencePlaybackStarted(CarrierEvent):
    """Audio is being played to everybody in the conference."""

    event_type: str = "conference.playback.started"
    conference_id: str | None = None
    creator_call_session_id: str | None = None
    media_name: str | None = None
    media_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferencePlaybackEnded(CarrierEvent):
    """The audio was played to the conference."""

    event_type: str = "conference.playback.ended"
    conference_id: str | None = None
    creator_call_session_id: str | None = None
    media_name: str | None = None
    media_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceParticipantSpeakStarted(CarrierEvent):
    """Text is being spoken to one participant."""

    event_type: str = "conference.participant.speak.started"
    conference_id: str | None = None
    creator_call_session_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceParticipantSpeakEnded(CarrierEvent):
    """The text was spoken to the participant."""

    event_type: str = "conference.participant.speak.ended"
    conference_id: str | None = None
    creator_call_session_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceParticipantPlaybackStarted(CarrierEvent):
    """Audio is being played to one participant."""

    event_type: str = "conference.participant.playback.started"
    conference_id: str | None = None
    creator_call_session_id: str | None = None
    media_name: str | None = None
    media_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceParticipantPlaybackEnded(CarrierEvent):
    """The audio was played to the participant."""

    event_type: str = "conference.participant.playback.ended"
    conference_id: str | None = None
    creator_call_session_id: str | None = None
    media_name: str | None = None
    media_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceRecordingSaved(CarrierEvent):
    """A recording of a conference can be fetched."""

    event_type: str = "conference.recording.saved"
    conference_id: str | None = None
    channels: str | None = None  # single, dual
    format: str | None = None
    public_recording_urls: Mapping[str, Any] | None = None
    recording_ended_at: datetime | None = None
    recording_id: str | None = None
    recording_started_at: datetime | None = None
    recording_urls: Mapping[str, Any] | None = None  # by format; valid for 10 minutes
