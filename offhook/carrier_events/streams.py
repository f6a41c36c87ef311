"""Media that goes elsewhere: streaming, forks, SIPREC, Dialogflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offhook.carrier_events.base import CarrierEvent


@dataclass(frozen=True, kw_only=True)
class StreamingStarted(CarrierEvent):
    """The call's audio goes to a WebSocket."""

    event_type: str = "streaming.started"
    stream_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class StreamingStopped(CarrierEvent):
    """The call's audio goes to the WebSocket no longer."""

    event_type: str = "streaming.stopped"
    stream_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class StreamingFailed(CarrierEvent):
    """The audio could not be streamed."""

    event_type: str = "streaming.failed"
    failure_reason: str | None = None
    stream_id: str | None = None
    stream_params: Mapping[str, Any] | None = None
    stream_type: str | None = None  # websocket, dialogflow


@dataclass(frozen=True, kw_only=True)
class CallForkStarted(CarrierEvent):
    """The call's audio goes to another place too."""

    event_type: str = "call.fork.started"
    stream_type: str | None = None  # decrypted


@dataclass(frozen=True, kw_only=True)
class CallForkStopped(CarrierEvent):
    """The call's audio goes to the other place no longer."""

    event_type: str = "call.fork.stopped"
    stream_type: str | None = None  # decrypted


@dataclass(frozen=True, kw_only=True)
class SiprecStarted(CarrierEvent):
    """A SIP recording session began."""

    event_type: str = "siprec.started"


@dataclass(frozen=True, kw_only=True)
class SiprecStopped(CarrierEvent):
    """A SIP recording session ended."""

    event_type: str = "siprec.stopped"
    hangup_cause: str | None = None  # Q.850


@dataclass(frozen=True, kw_only=True)
class SiprecFailed(CarrierEvent):
    """A SIP recording session failed."""

    event_type: str = "siprec.failed"
    failure_cause: str | None = None  # Q.850


@dataclass(frozen=True, kw_only=True)
class DialogflowDetectintentResponse(CarrierEvent):
    """What Dialogflow understood and would say; not in the documents."""

    event_type: str = "dialogflow.detectintent.response"
    confidence: float | None = None
    fulfillment_messages: Sequence[Mapping[str, Any]] | None = None
    is_final: bool | None = None
    stream_id: str | None = None
    transcript: str | None = None
