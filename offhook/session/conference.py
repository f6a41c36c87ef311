"""Conferences and recordings: what a session knows besides its legs. Pure.

A conference may have legs of several sessions, and its own events may arrive in the session that
created it, without a leg; each session knows what its own events say. A recording's event need not
name its leg.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from offhook.carrier_events import (
    CallRecordingSaved,
    CarrierEvent,
    ConferenceCreated,
    ConferenceEnded,
    ConferenceFloorChanged,
    ConferencePlaybackEnded,
    ConferencePlaybackStarted,
    ConferenceRecordingSaved,
    ConferenceSpeakEnded,
    ConferenceSpeakStarted,
    RecordingSaved,
)
from offhook.session.folding import Stamp, altered, bounded, stamp_of, with_latest

CONFERENCES_MAX = 32
"""Conferences kept of a session."""

RECORDINGS_MAX = 128
"""Recordings kept of a session."""


@dataclass(frozen=True, kw_only=True)
class Conference:
    """What this session's events say about a conference; who is in it is known by the legs."""

    conference_id: str
    latest: Mapping[str, CarrierEvent] = field(default_factory=dict)  # by topic, without payload

    @property
    def created_at(self) -> datetime | None:
        """`occurred_at` of conference.created."""
        return self._time_of("created")

    @property
    def ended_at(self) -> datetime | None:
        """`occurred_at` of conference.ended; None while it goes on."""
        return self._time_of("ended")

    @property
    def has_ended(self) -> bool:
        """Whether conference.ended was received."""
        return "ended" in self.latest

    @property
    def end_reason(self) -> str | None:
        """all_left, host_left, time_exceeded; None while it goes on."""
        return getattr(self.latest.get("ended"), "reason", None)

    @property
    def floor(self) -> str | None:
        """The call_control_id of the leg that speaks."""
        event = self.latest.get("floor")
        return event.call_control_id if event is not None else None

    @property
    def is_speaking(self) -> bool:
        """Whether text is being spoken to all."""
        return not self.has_ended and isinstance(self.latest.get("speak"), ConferenceSpeakStarted)

    @property
    def is_playing(self) -> bool:
        """Whether audio is being played to all."""
        event = self.latest.get("playback")
        return not self.has_ended and isinstance(event, ConferencePlaybackStarted)

    def _time_of(self, topic: str) -> datetime | None:
        event = self.latest.get(topic)
        return event.occurred_at if event is not None else None


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recording that can be fetched. Its urls are the carrier's, and hold for a while only."""

    recording_id: str  # the event's id, where the event names none
    call_control_id: str | None = None
    call_leg_id: str | None = None
    conference_id: str | None = None
    channels: str | None = None  # single, dual
    format: str | None = None  # wav, mp3
    started_at: datetime | None = None
    ended_at: datetime | None = None
    urls: Mapping[str, Any] | None = None  # by format
    public_urls: Mapping[str, Any] | None = None
    stamp: Stamp = field(repr=False)


def conferences_after(
    held: Mapping[str, Conference], event: CarrierEvent
) -> Mapping[str, Conference]:
    """The session's conferences after an event; the same object if it changes nothing."""
    conference_id = getattr(event, "conference_id", None)
    if conference_id is None:
        return held
    known = held.get(conference_id)
    conference = known or Conference(conference_id=conference_id)
    if (topic := _TOPICS.get(type(event))) is not None:
        latest = with_latest(conference.latest, topic, event)
        if latest is not conference.latest:
            conference = altered(conference, latest=latest)
    if conference is known:
        return held
    return bounded({**held, conference_id: conference}, CONFERENCES_MAX)


def recordings_after(held: Mapping[str, Recording], event: CarrierEvent) -> Mapping[str, Recording]:
    """The session's recordings after an event; of one recording the last event counts."""
    if not isinstance(event, _RECORDINGS):
        return held
    recording_id = event.recording_id or event.event_id
    known = held.get(recording_id)
    if known is not None and known.stamp >= stamp_of(event):
        return held
    recording = Recording(
        recording_id=recording_id,
        call_control_id=event.call_control_id,
        call_leg_id=event.call_leg_id,
        conference_id=getattr(event, "conference_id", None),
        channels=event.channels,
        format=event.format,
        started_at=event.recording_started_at,
        ended_at=event.recording_ended_at,
        urls=event.recording_urls,
        public_urls=event.public_recording_urls,
        stamp=stamp_of(event),
    )
    return bounded({**held, recording_id: recording}, RECORDINGS_MAX)


_RECORDINGS = (CallRecordingSaved, RecordingSaved, ConferenceRecordingSaved)

_TOPICS: Mapping[type[CarrierEvent], str] = {
    ConferenceCreated: "created",
    ConferenceEnded: "ended",
    ConferenceFloorChanged: "floor",
    ConferenceSpeakStarted: "speak",
    ConferenceSpeakEnded: "speak",
    ConferencePlaybackStarted: "playback",
    ConferencePlaybackEnded: "playback",
}
