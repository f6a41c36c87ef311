"""A leg from call.initiated to call.hangup: bridged, on hold, in a queue, referred."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from offhook.carrier_events.base import CarrierEvent


@dataclass(frozen=True, kw_only=True)
class CallInitiated(CarrierEvent):
    """A leg exists: incoming and parked until it is answered, or outgoing and ringing.

    The only event with `direction`; outgoing ones come without `start_time`.
    """

    event_type: str = "call.initiated"
    direction: str | None = None  # incoming, outgoing
    state: str | None = None  # parked, bridging
    from_: str | None = None
    to: str | None = None
    start_time: datetime | None = None  # the start of the leg
    call_screening_result: str | None = None
    caller_id_name: str | None = None
    connection_codecs: str | None = None
    custom_headers: Sequence[Mapping[str, Any]] | None = None
    offered_codecs: str | None = None
    shaken_stir_attestation: str | None = None
    shaken_stir_validated: bool | None = None
    sip_headers: Sequence[Mapping[str, Any]] | None = None  # name and value each
    tags: Sequence[str] | None = None  # of the called number
    calling_party_type: str | None = None  # pstn, sip
    from_sip_uri: str | None = None
    to_sip_uri: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallAnswered(CarrierEvent):
    """The leg was answered, at `occurred_at`; `start_time` is the start of the leg."""

    event_type: str = "call.answered"
    state: str | None = None
    from_: str | None = None
    to: str | None = None
    start_time: datetime | None = None
    custom_headers: Sequence[Mapping[str, Any]] | None = None
    sip_headers: Sequence[Mapping[str, Any]] | None = None
    tags: Sequence[str] | None = None  # of the called number
    calling_party_type: str | None = None
    codec: str | None = None
    sampling_rate: int | None = None


@dataclass(frozen=True, kw_only=True)
class CallBridged(CarrierEvent):
    """The leg's audio was joined with another leg's; each side gets its own event."""

    event_type: str = "call.bridged"
    from_: str | None = None
    to: str | None = None
    start_time: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class CallHangup(CarrierEvent):
    """The leg ended. Causes are open enums: new values appear without notice."""

    event_type: str = "call.hangup"
    state: str | None = None
    from_: str | None = None
    to: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    call_quality_stats: Mapping[str, Any] | None = None
    custom_headers: Sequence[Mapping[str, Any]] | None = None
    hangup_cause: str | None = None  # normal_clearing, user_busy, timeout …
    hangup_source: str | None = None  # caller, callee, unknown
    sip_hangup_cause: str | None = None  # a SIP code as text, or "unspecified"
    sip_headers: Sequence[Mapping[str, Any]] | None = None
    tags: Sequence[str] | None = None  # of the called number
    calling_party_type: str | None = None
    telnyx_error: Any = None  # only ever seen as null


@dataclass(frozen=True, kw_only=True)
class CallHold(CarrierEvent):
    """The leg was put on hold."""

    event_type: str = "call.hold"
    from_: str | None = None
    to: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallUnhold(CarrierEvent):
    """The leg is off hold again."""

    event_type: str = "call.unhold"
    from_: str | None = None
    to: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallEnqueued(CarrierEvent):
    """The leg waits in a queue."""

    event_type: str = "call.enqueued"
    current_position: int | None = None
    queue: str | None = None
    queue_avg_wait_time_secs: int | None = None


@dataclass(frozen=True, kw_only=True)
class CallDequeued(CarrierEvent):
    """The leg waits no longer: somebody took it, or it left."""

    event_type: str = "call.dequeued"
    queue: str | None = None
    queue_position: int | None = None
    reason: str | None = None  # bridged, bridging-in-process, hangup, leave, timeout
    wait_time_secs: int | None = None


@dataclass(frozen=True, kw_only=True)
class CallReferStarted(CarrierEvent):
    """The carrier sent the REFER."""

    event_type: str = "call.refer.started"
    from_: str | None = None
    to: str | None = None
    sip_notify_response: int | None = None  # a SIP code


@dataclass(frozen=True, kw_only=True)
class CallReferCompleted(CarrierEvent):
    """The other side did as the REFER asked."""

    event_type: str = "call.refer.completed"
    from_: str | None = None
    to: str | None = None
    sip_notify_response: int | None = None  # a SIP code


@dataclass(frozen=True, kw_only=True)
class CallReferFailed(CarrierEvent):
    """The other side did not do as the REFER asked."""

    event_type: str = "call.refer.failed"
    from_: str | None = None
    to: str | None = None
    sip_notify_response: int | None = None  # a SIP code


@dataclass(frozen=True, kw_only=True)
class CallSipInfoReceived(CarrierEvent):
    """A SIP INFO arrived. Named in the documents of `send_sip_info`; it has no schema anywhere."""

    event_type: str = "call.sip_info.received"
