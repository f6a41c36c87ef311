"""The eight commands that make, answer, move and end calls, by hand.

Source of names, enums and bounds: team-telnyx/openapi `spec3.yml` 12de4dd0 and the official
Python SDK 4.189.0, which adds `diversion`, `route_to_mobile` and hangup's `reason`.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from offhook.commands.base import (
    Command,
    LegCommand,
    Rule,
    Stateful,
    like,
    not_both,
    required_with,
)
from offhook.commands.objects import (
    AnsweringMachineDetectionConfig,
    CallAssistant,
    ConferenceConfig,
    ConversationRelayEmbeddedConfig,
    CustomSipHeader,
    DeepfakeDetection,
    DialogflowConfig,
    SipHeader,
    SoundModifications,
    TranscriptionSettings,
    WebhookRetriesPolicies,
)
from offhook.commands.parameters import (
    AuthToken,
    Base64,
    BidirectionalCodec,
    Destination,
    Detection,
    DigitsOnAnswer,
    DisplayName,
    FileName,
    Legs,
    MediaType,
    PhoneOrSip,
    QuotableText,
    Ringtone,
    SamplingRate,
    SipRegion,
    SipUri,
    StreamCodec,
    StreamTrack,
    SupervisorRole,
    Text1,
    Url,
    Uuid,
    WebSocketUrl,
)

__all__ = [
    "Answer",
    "Bridge",
    "Dial",
    "Hangup",
    "Refer",
    "Reject",
    "SendSipInfo",
    "Transfer",
]

RETRIES_TOTAL_MS_MAX = 60_000
SIP_INFO_BYTES_MAX = 1400


def _short_retries(command: Any) -> None:
    for event_type, policy in (command.webhook_retries_policies or {}).items():
        total_ms = sum(policy.get("retries_ms", ()))
        if total_ms > RETRIES_TOTAL_MS_MAX:
            raise ValueError(
                f"webhook_retries_policies: the delays for {event_type} add up to {total_ms} ms; "
                f"at most {RETRIES_TOTAL_MS_MAX} are allowed"
            )


def _one_target(command: Any) -> None:
    targets = (command.call_control_id_to_bridge_with, command.queue, command.video_room_id)
    if sum(target is not None for target in targets) != 1:
        raise ValueError(
            "call_control_id_to_bridge_with: exactly one of call_control_id (the leg to bridge "
            "with), queue and video_room_id is required"
        )


def _short_body(command: Any) -> None:
    size_bytes = len(command.body.encode())
    if size_bytes > SIP_INFO_BYTES_MAX:
        raise ValueError(
            f"body: it has {size_bytes} bytes; at most {SIP_INFO_BYTES_MAX} are allowed"
        )


@dataclass(frozen=True, kw_only=True)
class RecordingParameters:
    """The recording parameters that dial, answer, transfer and bridge share."""

    record: Literal["record-from-answer"] | None = None
    record_channels: Literal["single", "dual"] | None = None
    record_custom_file_name: FileName | None = None
    record_format: Literal["wav", "mp3"] | None = None
    record_max_length: Annotated[int, Meta(ge=0, le=43200)] | None = None
    record_timeout_secs: Annotated[int, Meta(ge=0)] | None = None
    record_track: Literal["both", "inbound", "outbound"] | None = None
    record_trim: Literal["trim-silence"] | None = None


@dataclass(frozen=True, kw_only=True)
class WebhookTargets:
    """Where this call's webhooks go, by event type: dial, answer and transfer."""

    rules: ClassVar[tuple[Rule, ...]] = (_short_retries,)
    checks: ClassVar[tuple[Rule, ...]] = (like("webhook_urls", Url),)

    webhook_retries_policies: dict[str, WebhookRetriesPolicies] | None = None
    webhook_url: Url | None = None
    webhook_url_method: Literal["POST", "GET"] | None = None
    webhook_urls: dict[str, str | list[Url]] | None = None
    webhook_urls_method: Literal["POST", "GET"] | None = None


@dataclass(frozen=True, kw_only=True)
class MediaParameters:
    """Streaming, transcription and assistants: dial and answer."""

    assistant: CallAssistant | None = None
    billing_group_id: Uuid | None = None
    conversation_relay_config: ConversationRelayEmbeddedConfig | None = None
    deepfake_detection: DeepfakeDetection | None = None
    preferred_codecs: str | None = None
    send_silence_when_idle: bool | None = None
    stream_bidirectional_codec: BidirectionalCodec | None = None
    stream_bidirectional_mode: Literal["mp3", "rtp"] | None = None
    stream_bidirectional_target_legs: Legs | None = None
    stream_codec: StreamCodec | None = None
    stream_track: StreamTrack | None = None
    stream_url: WebSocketUrl | None = None
    transcription: bool | None = None
    transcription_config: TranscriptionSettings | None = None


@dataclass(frozen=True, kw_only=True)
class NewLeg:
    """What may be said of the leg that dial and transfer place."""

    rules: ClassVar[tuple[Rule, ...]] = (not_both("audio_url", "media_name"),)

    answering_machine_detection: Detection | None = None
    answering_machine_detection_config: AnsweringMachineDetectionConfig | None = None
    audio_url: Url | None = None
    custom_headers: list[CustomSipHeader] | None = None
    diversion: str | None = None
    from_display_name: DisplayName | None = None
    media_encryption: Literal["disabled", "SRTP", "DTLS"] | None = None
    media_name: str | None = None
    park_after_unbridge: Literal["self"] | None = None
    privacy: Literal["id", "none"] | None = None
    route_to_mobile: bool | None = None
    send_digits_on_answer: DigitsOnAnswer | None = None
    sip_auth_password: str | None = None
    sip_auth_username: str | None = None
    sip_headers: list[SipHeader] | None = None
    sip_region: SipRegion | None = None
    sip_transport_protocol: Literal["UDP", "TCP", "TLS"] | None = None
    sound_modifications: SoundModifications | None = None
    time_limit_secs: Annotated[int, Meta(ge=30, le=14400)] | None = None
    timeout_secs: Annotated[int, Meta(ge=5, le=600)] | None = None


@dataclass(frozen=True, kw_only=True)
class Dial(Command, Stateful, NewLeg, MediaParameters, RecordingParameters, WebhookTargets):
    """Place a call. Its outcome carries the new leg's call_control_id, leg and session ids."""

    operation: ClassVar[str] = "dial"
    checks: ClassVar[tuple[Rule, ...]] = (like("to", Destination),)
    rules: ClassVar[tuple[Rule, ...]] = (
        required_with("link_to", "bridge_intent", "bridge_on_answer", "park_after_unbridge"),
        not_both("conference_config.hold_audio_url", "conference_config.hold_media_name"),
    )

    to: str | Annotated[list[PhoneOrSip], Meta(min_length=1)]
    from_: PhoneOrSip
    connection_id: Text1
    bridge_intent: bool | None = None
    bridge_on_answer: bool | None = None
    conference_config: ConferenceConfig | None = None
    dialogflow_config: DialogflowConfig | None = None
    enable_dialogflow: bool | None = None
    link_to: Text1 | None = None
    prevent_double_bridge: bool | None = None
    retry_on_timeout: bool | None = None
    stream_auth_token: AuthToken | None = None
    stream_bidirectional_sampling_rate: SamplingRate | None = None
    stream_establish_before_call_originate: bool | None = None
    supervise_call_control_id: str | None = None
    supervisor_role: SupervisorRole | None = None


@dataclass(frozen=True, kw_only=True)
class Answer(LegCommand, Stateful, MediaParameters, RecordingParameters, WebhookTargets):
    """Take an incoming call; nothing else may be sent to its leg before (90034)."""

    operation: ClassVar[str] = "answer"

    custom_headers: list[CustomSipHeader] | None = None
    sip_headers: list[SipHeader] | None = None
    sound_modifications: SoundModifications | None = None


@dataclass(frozen=True, kw_only=True)
class Transfer(LegCommand, Stateful, NewLeg, RecordingParameters, WebhookTargets):
    """Dial `to` and bridge it to this leg; the new leg joins the session."""

    operation: ClassVar[str] = "transfer"

    to: Destination
    early_media: bool | None = None
    from_: PhoneOrSip | None = None
    mute_dtmf: Literal["none", "both", "self", "opposite"] | None = None
    preferred_codecs: str | None = None
    target_leg_client_state: Base64 | None = None


@dataclass(frozen=True, kw_only=True)
class Bridge(LegCommand, Stateful, RecordingParameters):
    """Join this leg's audio with another answered leg's, a queue's first call or a video room."""

    operation: ClassVar[str] = "bridge"
    rules: ClassVar[tuple[Rule, ...]] = (
        _one_target,
        required_with("video_room_id", "video_room_context"),
    )

    call_control_id_to_bridge_with: Text1 | None = None
    hold_after_unbridge: bool | None = None
    mute_dtmf: Literal["none", "both", "self", "opposite"] | None = None
    park_after_unbridge: Literal["self"] | None = None
    play_ringtone: bool | None = None
    prevent_double_bridge: bool | None = None
    queue: Text1 | None = None
    ringtone: Ringtone | None = None
    video_room_context: str | None = None
    video_room_id: Uuid | None = None


@dataclass(frozen=True, kw_only=True)
class Hangup(LegCommand, Stateful):
    """End a leg, answered or not."""

    operation: ClassVar[str] = "hangup"

    custom_headers: list[CustomSipHeader] | None = None
    # SIP Reason text on the CANCEL of an outbound leg that is not answered yet (SDK 4.189.0).
    reason: QuotableText | None = None


@dataclass(frozen=True, kw_only=True)
class Reject(LegCommand, Stateful):
    """Refuse an incoming call that was not answered: SIP 603, 486, 404 or 480."""

    operation: ClassVar[str] = "reject"

    cause: Literal["CALL_REJECTED", "USER_BUSY", "NOT_FOUND", "TEMPORARILY_UNAVAILABLE"]


@dataclass(frozen=True, kw_only=True)
class Refer(LegCommand, Stateful):
    """Send SIP REFER: the caller's side is asked to call `sip_address` by itself."""

    operation: ClassVar[str] = "refer"

    sip_address: SipUri
    custom_headers: list[CustomSipHeader] | None = None
    sip_auth_password: str | None = None
    sip_auth_username: str | None = None
    sip_headers: list[SipHeader] | None = None


@dataclass(frozen=True, kw_only=True)
class SendSipInfo(LegCommand, Stateful):
    """Send SIP INFO on a leg; the other side gets call.sip_info.received."""

    operation: ClassVar[str] = "send_sip_info"
    rules: ClassVar[tuple[Rule, ...]] = (_short_body,)

    content_type: MediaType
    body: str


CALLS: tuple[type[Command], ...] = (
    *(Dial, Answer, Transfer, Bridge),
    *(Hangup, Reject, Refer, SendSipInfo),
)
