"""What an event changes in a leg. Pure, and the same in whatever order events arrive.

What is kept of events, by three rules that do not depend on their order:

    earliest wins     ids, numbers, direction, the times of the states, hangup, quality, first
                      transcription                                          _EARLIEST
    latest wins       client_state, and the last event of each topic: hold, queue, gather, machine,
                      greeting, refer, speak, playback, stream …             _TOPICS
    each one counts   keys pressed, conferences, visits to queues

The carrier's answer to a dial fills in what no event has said yet.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from offhook.carrier_events import (
    BY_TYPE,
    CallAiGatherEnded,
    CallAnalyzed,
    CallAnswered,
    CallBridged,
    CallConversationEnded,
    CallConversationInsightsGenerated,
    CallCost,
    CallDequeued,
    CallDtmfReceived,
    CallEnqueued,
    CallForkStarted,
    CallForkStopped,
    CallGatherEnded,
    CallHangup,
    CallHold,
    CallInitiated,
    CallMachineDetectionEnded,
    CallMachineGreetingEnded,
    CallMachinePremiumDetectionEnded,
    CallMachinePremiumGreetingEnded,
    CallPlaybackEnded,
    CallPlaybackStarted,
    CallRecordingError,
    CallRecordingSaved,
    CallRecordingTranscriptionSaved,
    CallReferCompleted,
    CallReferFailed,
    CallReferStarted,
    CallSpeakEnded,
    CallSpeakStarted,
    CallTranscription,
    CallUnhold,
    CarrierEvent,
    ConferenceEnded,
    ConferenceParticipantJoined,
    ConferenceParticipantLeft,
    ConferenceParticipantPlaybackEnded,
    ConferenceParticipantPlaybackStarted,
    ConferenceParticipantSpeakEnded,
    ConferenceParticipantSpeakStarted,
    ConferencePlaybackEnded,
    ConferenceRecordingSaved,
    ConferenceSpeakEnded,
    RecordingSaved,
    SiprecFailed,
    SiprecStarted,
    SiprecStopped,
    StreamingFailed,
    StreamingStarted,
    StreamingStopped,
)
from offhook.events import PlacedLeg, Record
from offhook.session.folding import LAST, NEVER, Stamp, bounded, stamp_of, with_changes, with_latest
from offhook.session.leg import Leg
from offhook.session.queue_visits import queue_events_after

DTMF_MAX = 256
"""Keys kept of a leg: the last ones."""

CONFERENCES_MAX = 32
"""Conferences kept of a leg."""


def leg_after(leg: Leg, event: CarrierEvent, stored_at: datetime, seq: int) -> Leg:
    """The leg after another event; the same object if the event changes nothing.

    `stored_at` and `seq` are those of its record in the log.
    """
    kind = type(event)
    # A webhook without a time counts as of when it was stored.
    at = event.occurred_at or stored_at
    values = _common(event)
    if (earliest := _EARLIEST.get(kind)) is not None:
        values.update(earliest(event, at))
    if kind not in _MAY_COME_AFTER:
        values["up_at"] = at
    changes = _earliest(leg.stamps, values, (at, event.event_id))
    # A null client_state counts only if the carrier sent the field at all.
    if event.client_state is not None or "client_state" in event.payload:
        _set_client_state(changes, leg, event.client_state, stamp_of(event))
    if (topic := _TOPICS.get(kind)) is not None:
        latest = with_latest(leg.latest, topic, event)
        if latest is not leg.latest:
            changes["latest"] = latest
    if kind in _EACH_COUNTS:
        _count(changes, leg, event, stored_at, seq)
    return with_changes(leg, changes) if changes else leg


def _count(
    changes: dict[str, Any], leg: Leg, event: CarrierEvent, stored_at: datetime, seq: int
) -> None:
    """Add what an event of which each one counts changes."""
    match event:
        case CallEnqueued() | CallDequeued():
            queue_events = queue_events_after(leg.queue_events, event, seq, stored_at)
            if queue_events is not leg.queue_events:
                changes["queue_events"] = queue_events
        case CallDtmfReceived(digit=str(digit)):
            keys = _with_key(leg.keys, (stamp_of(event), digit))
            if keys != leg.keys:
                changes["keys"] = keys
        case (
            ConferenceParticipantJoined(conference_id=str(conference_id))
            | ConferenceParticipantLeft(conference_id=str(conference_id))
        ):
            memberships = with_latest(leg.memberships, conference_id, event)
            memberships = bounded(memberships, CONFERENCES_MAX)
            if memberships != leg.memberships:
                changes["memberships"] = memberships


def leg_after_placed(leg: Leg, placed: PlacedLeg, record: Record) -> Leg:
    """The leg with what its dial says about it; any event takes precedence."""
    values = {
        "direction": "outgoing",
        "call_leg_id": placed.call_leg_id,
        "connection_id": placed.connection_id,
        "from_": placed.from_number,
        "to": placed.to_number,
        "dialled_at": record.stored_at,
        "up_at": record.stored_at,
        "time_limit_s": placed.time_limit_s,
    }
    changes = _earliest(leg.stamps, values, (LAST, f"{record.seq:020}"))
    if placed.client_state is not None:
        stamp = (NEVER, f"\0{record.seq:020}")  # before that of any event
        _set_client_state(changes, leg, placed.client_state, stamp)
    return with_changes(leg, changes) if changes else leg


def _set_client_state(
    changes: dict[str, Any], leg: Leg, client_state: str | None, stamp: Stamp
) -> None:
    """Add the value to the leg's changes, unless it has a later one."""
    held = leg.stamps.get("client_state")
    if held is None or held < stamp:
        changes["client_state"] = client_state
        if "stamps" not in changes:
            changes["stamps"] = {**leg.stamps}
        changes["stamps"]["client_state"] = stamp


def _common(event: CarrierEvent) -> dict[str, Any]:
    """What any event may say about its leg, once and for all."""
    values = {"call_leg_id": event.call_leg_id, "connection_id": event.connection_id}
    if type(event) in _WITH_NUMBERS:
        values["from_"] = event.from_  # type: ignore[attr-defined]
        values["to"] = event.to  # type: ignore[attr-defined]
    return values


_WITH_NUMBERS = frozenset(kind for kind in BY_TYPE.values() if hasattr(kind, "from_"))

_EARLIEST: Mapping[type[CarrierEvent], Callable[[Any, datetime], dict[str, Any]]] = {
    CallInitiated: lambda event, at: {
        "direction": event.direction,
        "start_time": event.start_time,
        "initiated_at": at,
    },
    CallAnswered: lambda event, at: {"start_time": event.start_time, "answered_at": at},
    CallBridged: lambda event, at: {"start_time": event.start_time, "bridged_at": at},
    CallHangup: lambda event, at: {
        "start_time": event.start_time,
        "ended_at": event.end_time or at,
        "hangup_cause": event.hangup_cause,
        "hangup_source": event.hangup_source,
        "sip_hangup_cause": event.sip_hangup_cause,
        "quality": event.call_quality_stats,
    },
    CallTranscription: lambda event, at: {"transcribed_at": at},
    CallRecordingTranscriptionSaved: lambda event, at: {"transcribed_at": at},
    CallCost: lambda event, at: {"gone_at": at},
}
"""What an event says, by the leg's field names; `at` is when it occurred."""

_MAY_COME_AFTER: frozenset[type[CarrierEvent]] = frozenset(
    {
        CallHangup,
        CallCost,
        # What is made of a call may be ready long after its end.
        CallAnalyzed,
        CallConversationEnded,
        CallConversationInsightsGenerated,
        CallRecordingError,
        CallRecordingSaved,
        CallRecordingTranscriptionSaved,
        ConferenceRecordingSaved,
        RecordingSaved,
        # The end of a leg ends what was going on: their status or reason may be call_hangup.
        CallAiGatherEnded,
        CallDequeued,
        CallForkStopped,
        CallGatherEnded,
        CallPlaybackEnded,
        CallSpeakEnded,
        ConferenceEnded,
        ConferenceParticipantLeft,
        ConferenceParticipantPlaybackEnded,
        ConferenceParticipantSpeakEnded,
        ConferencePlaybackEnded,
        ConferenceSpeakEnded,
        SiprecFailed,
        SiprecStopped,
        StreamingFailed,
        StreamingStopped,
    }
)
"""Events that do not prove that the leg was up when they occurred."""

_EACH_COUNTS: frozenset[type[CarrierEvent]] = frozenset(
    {
        CallEnqueued,
        CallDequeued,
        CallDtmfReceived,
        ConferenceParticipantJoined,
        ConferenceParticipantLeft,
    }
)
"""Events of which each one counts."""

_TOPICS: Mapping[type[CarrierEvent], str] = {
    CallHold: "hold",
    CallUnhold: "hold",
    CallEnqueued: "enqueued",
    CallDequeued: "dequeued",
    CallMachineDetectionEnded: "machine",
    CallMachinePremiumDetectionEnded: "machine",
    CallMachineGreetingEnded: "greeting",
    CallMachinePremiumGreetingEnded: "greeting",
    CallGatherEnded: "gather",
    CallAiGatherEnded: "gather",
    CallReferStarted: "refer",
    CallReferCompleted: "refer",
    CallReferFailed: "refer",
    CallRecordingError: "recording_error",
    CallCost: "cost",
    CallSpeakStarted: "speak",
    CallSpeakEnded: "speak",
    ConferenceParticipantSpeakStarted: "speak",
    ConferenceParticipantSpeakEnded: "speak",
    CallPlaybackStarted: "playback",
    CallPlaybackEnded: "playback",
    ConferenceParticipantPlaybackStarted: "playback",
    ConferenceParticipantPlaybackEnded: "playback",
    StreamingStarted: "streaming",
    StreamingStopped: "streaming",
    StreamingFailed: "streaming",
    CallForkStarted: "fork",
    CallForkStopped: "fork",
    SiprecStarted: "siprec",
    SiprecStopped: "siprec",
    SiprecFailed: "siprec",
}
"""The topic of an event; of each topic the latest event is kept."""


def _earliest(
    stamps: Mapping[str, Stamp], values: Mapping[str, Any], stamp: Stamp
) -> dict[str, Any]:
    """The fields whose earliest value this is, with their stamps; empty if there are none."""
    changes = {
        name: value
        for name, value in values.items()
        if value is not None and (name not in stamps or stamp < stamps[name])
    }
    if changes:
        changes["stamps"] = {**stamps, **dict.fromkeys(changes, stamp)}
    return changes


def _with_key(
    keys: tuple[tuple[Stamp, str], ...], key: tuple[Stamp, str]
) -> tuple[tuple[Stamp, str], ...]:
    if keys and keys[-1] >= key:
        return tuple(sorted({*keys, key}))[-DTMF_MAX:]
    return (*keys, key)[-DTMF_MAX:]
