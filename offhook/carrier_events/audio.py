"""Speech, playback, keys, and what is gathered from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offhook.carrier_events.base import CarrierEvent


@dataclass(frozen=True, kw_only=True)
class CallSpeakStarted(CarrierEvent):
    """Text is being spoken. `speak_id` is the same when it ends; not in the documents."""

    event_type: str = "call.speak.started"
    speak_id: str | None = None
    calling_party_type: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallSpeakEnded(CarrierEvent):
    """The text was spoken, or stopped."""

    event_type: str = "call.speak.ended"
    status: str | None = None  # completed, call_hangup, cancelled_amd
    speak_id: str | None = None
    calling_party_type: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallPlaybackStarted(CarrierEvent):
    """Audio is being played. `media_url` or `media_name` is as it was given."""

    event_type: str = "call.playback.started"
    media_name: str | None = None
    media_url: str | None = None
    overlay: bool | None = None


@dataclass(frozen=True, kw_only=True)
class CallPlaybackEnded(CarrierEvent):
    """The audio was played, stopped, or could not be."""

    event_type: str = "call.playback.ended"
    media_name: str | None = None
    media_url: str | None = None
    overlay: bool | None = None
    status: str | None = None  # completed, cancelled, file_not_found, failed …
    status_detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallDtmfReceived(CarrierEvent):
    """A key was pressed."""

    event_type: str = "call.dtmf.received"
    from_: str | None = None
    to: str | None = None
    digit: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallGatherEnded(CarrierEvent):
    """Keys were gathered, or not: `status` says why it ended."""

    event_type: str = "call.gather.ended"
    from_: str | None = None
    to: str | None = None
    gather_id: str | None = None  # as Gather gave it, else made by the carrier
    digits: str | None = None
    status: str | None = None  # valid, invalid, call_hangup, cancelled, cancelled_amd, timeout


@dataclass(frozen=True, kw_only=True)
class CallAiGatherEnded(CarrierEvent):
    """An assistant gathered what it was asked to."""

    event_type: str = "call.ai_gather.ended"
    from_: str | None = None
    to: str | None = None
    message_history: Sequence[Mapping[str, Any]] | None = None  # role and content each
    result: Mapping[str, Any] | None = None  # as its `parameters` asked
    status: str | None = None  # valid, invalid


@dataclass(frozen=True, kw_only=True)
class CallAiGatherPartialResults(CarrierEvent):
    """What an assistant has gathered so far."""

    event_type: str = "call.ai_gather.partial_results"
    from_: str | None = None
    to: str | None = None
    message_history: Sequence[Mapping[str, Any]] | None = None
    partial_results: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class CallAiGatherMessageHistoryUpdated(CarrierEvent):
    """A message was said while an assistant gathers."""

    event_type: str = "call.ai_gather.message_history_updated"
    from_: str | None = None
    to: str | None = None
    message_history: Sequence[Mapping[str, Any]] | None = None
