"""Every order that can be given to the carrier: one value per operation, checked by its types.

Fields are the carrier's own parameter names (Python keywords get a trailing underscore, `from_`).
What is left out is not sent, so the carrier's defaults hold. `call_control_id` is the leg to
command; a flow may leave it out and means the leg of the event it decides on.

Source of names, enums and bounds: team-telnyx/openapi `spec3.yml` 12de4dd0 and the official
Python SDK 4.189.0, which adds `diversion`, `route_to_mobile` and hangup's `reason`.
How a command looks over HTTP is in `offhook.telnyx.catalog`.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import msgspec

# Patterns end in \Z: `$` would let a line break at the end through.
# The carrier takes a telephone number in E.164 or a SIP URI (error 10016 otherwise).
PhoneOrSip = Annotated[str, msgspec.Meta(pattern=r"^(\+[1-9][0-9]{1,14}|sips?:[^\s@]+@[^\s@]+)\Z")]
SipUri = Annotated[str, msgspec.Meta(pattern=r"^sips?:[^\s@]+@[^\s@]+\Z")]
# An empty string is valid base64 and clears the state (error 90017 for anything else).
Base64 = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\Z",
    ),
]
Text1 = Annotated[str, msgspec.Meta(min_length=1)]
Uuid = Annotated[
    str,
    msgspec.Meta(pattern=r"^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z"),
]
MediaType = Annotated[str, msgspec.Meta(pattern=r"^[\w.+-]+/[\w.+-]+(?:\s*;.*)?\Z")]
# What fits between the quotes of a SIP Reason header; the carrier answers 422 to the rest.
QuotableText = Annotated[str, msgspec.Meta(pattern=r'^[^"\\\x00-\x1f\x7f\U00010000-\U0010ffff]*\Z')]
HeaderList = list[dict[str, str]]
Detection = Literal[
    "premium",
    "premium_ios_call_screening_detection",
    "detect",
    "detect_beep",
    "detect_words",
    "greeting_end",
    "disabled",
]
StreamCodec = Literal["PCMU", "PCMA", "G722", "OPUS", "AMR-WB", "L16", "default"]
BidirectionalCodec = Literal["PCMU", "PCMA", "G722", "OPUS", "AMR-WB", "L16"]
SipRegion = Literal["US", "Europe", "Canada", "Australia", "Middle East"]
Ringtone = Literal[
    "at", "au", "be", "bg", "br", "ch", "cl", "cn", "cz", "de", "dk", "ee", "es", "fi", "fr", "gr",
    "hu", "il", "in", "it", "jp", "lt", "mx", "my", "nl", "no", "nz", "ph", "pl", "pt", "ru", "se",
    "sg", "th", "tw", "uk", "us-old", "us", "ve", "za",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Command:
    """What all commands share. `operation` is the carrier's name for the order."""

    operation: ClassVar[str] = ""

    client_state: Base64 | None = None


@dataclass(frozen=True, kw_only=True)
class LegCommand(Command):
    """A command to one leg; None means the leg of the event being decided."""

    call_control_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recording:
    """The recording parameters that dial, answer, transfer and bridge share."""

    record: Literal["record-from-answer"] | None = None
    record_channels: Literal["single", "dual"] | None = None
    record_custom_file_name: Annotated[str, msgspec.Meta(min_length=1, max_length=40)] | None = None
    record_format: Literal["wav", "mp3"] | None = None
    record_max_length: Annotated[int, msgspec.Meta(ge=0, le=43200)] | None = None
    record_timeout_secs: Annotated[int, msgspec.Meta(ge=0)] | None = None
    record_track: Literal["both", "inbound", "outbound"] | None = None
    record_trim: Literal["trim-silence"] | None = None


@dataclass(frozen=True, kw_only=True)
class WebhookTargets:
    """Where this call's webhooks go: dial, answer and transfer."""

    webhook_retries_policies: dict[str, Any] | None = None
    webhook_url: str | None = None
    webhook_url_method: Literal["POST", "GET"] | None = None
    webhook_urls: dict[str, str] | None = None
    webhook_urls_method: Literal["POST", "GET"] | None = None


@dataclass(frozen=True, kw_only=True)
class Media:
    """Streaming, transcription and assistants: dial and answer."""

    assistant: dict[str, Any] | None = None
    billing_group_id: Uuid | None = None
    conversation_relay_config: dict[str, Any] | None = None
    deepfake_detection: dict[str, Any] | None = None
    preferred_codecs: str | None = None
    send_silence_when_idle: bool | None = None
    stream_bidirectional_codec: BidirectionalCodec | None = None
    stream_bidirectional_mode: Literal["mp3", "rtp"] | None = None
    stream_bidirectional_target_legs: Literal["both", "self", "opposite"] | None = None
    stream_codec: StreamCodec | None = None
    stream_track: Literal["inbound_track", "outbound_track", "both_tracks"] | None = None
    stream_url: str | None = None
    transcription: bool | None = None
    transcription_config: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class NewLeg:
    """What may be said of the leg that dial and transfer place."""

    answering_machine_detection: Detection | None = None
    answering_machine_detection_config: dict[str, Any] | None = None
    audio_url: str | None = None
    custom_headers: HeaderList | None = None
    diversion: str | None = None
    from_display_name: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    media_encryption: Literal["disabled", "SRTP", "DTLS"] | None = None
    media_name: str | None = None
    park_after_unbridge: Literal["self"] | None = None
    privacy: Literal["id", "none"] | None = None
    route_to_mobile: bool | None = None
    send_digits_on_answer: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    sip_auth_password: str | None = None
    sip_auth_username: str | None = None
    sip_headers: HeaderList | None = None
    sip_region: SipRegion | None = None
    sip_transport_protocol: Literal["UDP", "TCP", "TLS"] | None = None
    sound_modifications: dict[str, Any] | None = None
    time_limit_secs: Annotated[int, msgspec.Meta(ge=30, le=14400)] | None = None
    timeout_secs: Annotated[int, msgspec.Meta(ge=5, le=600)] | None = None

    # The rules over several fields are told as "field: rule"; the catalog reads them so.
    def __post_init__(self) -> None:
        if self.audio_url is not None and self.media_name is not None:
            raise ValueError("audio_url: it cannot be used together with media_name")


@dataclass(frozen=True, kw_only=True)
class Dial(Command, NewLeg, Media, Recording, WebhookTargets):
    """Place a call. Its outcome carries the new leg's call_control_id, leg and session ids."""

    operation: ClassVar[str] = "dial"

    to: PhoneOrSip | Annotated[list[PhoneOrSip], msgspec.Meta(min_length=1)]
    from_: PhoneOrSip
    connection_id: Text1
    bridge_intent: bool | None = None
    bridge_on_answer: bool | None = None
    conference_config: dict[str, Any] | None = None
    dialogflow_config: dict[str, Any] | None = None
    enable_dialogflow: bool | None = None
    link_to: Text1 | None = None
    prevent_double_bridge: bool | None = None
    retry_on_timeout: bool | None = None
    stream_auth_token: Annotated[str, msgspec.Meta(max_length=4000)] | None = None
    stream_bidirectional_sampling_rate: Literal[8000, 16000, 22050, 24000, 48000] | None = None
    stream_establish_before_call_originate: bool | None = None
    supervise_call_control_id: str | None = None
    supervisor_role: Literal["barge", "whisper", "monitor"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("bridge_intent", "bridge_on_answer", "park_after_unbridge"):
            if getattr(self, name) and self.link_to is None:
                raise ValueError(f"link_to: it is required with {name}")


@dataclass(frozen=True, kw_only=True)
class Answer(LegCommand, Media, Recording, WebhookTargets):
    """Take an incoming call; nothing else may be sent to its leg before (90034)."""

    operation: ClassVar[str] = "answer"

    custom_headers: HeaderList | None = None
    sip_headers: HeaderList | None = None
    sound_modifications: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Transfer(LegCommand, NewLeg, Recording, WebhookTargets):
    """Dial `to` and bridge it to this leg; the new leg joins the session."""

    operation: ClassVar[str] = "transfer"

    to: PhoneOrSip
    early_media: bool | None = None
    from_: PhoneOrSip | None = None
    mute_dtmf: Literal["none", "both", "self", "opposite"] | None = None
    preferred_codecs: str | None = None
    target_leg_client_state: Base64 | None = None


@dataclass(frozen=True, kw_only=True)
class Bridge(LegCommand, Recording):
    """Join this leg's audio with another answered leg's, a queue's first call or a video room."""

    operation: ClassVar[str] = "bridge"

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

    def __post_init__(self) -> None:
        targets = (self.call_control_id_to_bridge_with, self.queue, self.video_room_id)
        if sum(target is not None for target in targets) != 1:
            raise ValueError(
                "call_control_id: exactly one of call_control_id (the leg to bridge with), "
                "queue and video_room_id is required"
            )


@dataclass(frozen=True, kw_only=True)
class Hangup(LegCommand):
    """End a leg, answered or not."""

    operation: ClassVar[str] = "hangup"

    custom_headers: HeaderList | None = None
    # SIP Reason text on the CANCEL of an outbound leg that is not answered yet (SDK 4.189.0).
    reason: QuotableText | None = None


@dataclass(frozen=True, kw_only=True)
class Reject(LegCommand):
    """Refuse an incoming call that was not answered: SIP 603, 486, 404 or 480."""

    operation: ClassVar[str] = "reject"

    cause: Literal["CALL_REJECTED", "USER_BUSY", "NOT_FOUND", "TEMPORARILY_UNAVAILABLE"]


@dataclass(frozen=True, kw_only=True)
class Refer(LegCommand):
    """Send SIP REFER: the caller's side is asked to call `sip_address` by itself."""

    operation: ClassVar[str] = "refer"

    sip_address: SipUri
    custom_headers: HeaderList | None = None
    sip_auth_password: str | None = None
    sip_auth_username: str | None = None
    sip_headers: HeaderList | None = None


@dataclass(frozen=True, kw_only=True)
class SendSipInfo(LegCommand):
    """Send SIP INFO on a leg; the other side is told by call.sip_info.received."""

    operation: ClassVar[str] = "send_sip_info"

    content_type: MediaType
    body: str

    def __post_init__(self) -> None:
        size_bytes = len(self.body.encode())
        if size_bytes > SIP_INFO_BYTES_MAX:
            raise ValueError(
                f"body: it has {size_bytes} bytes; at most {SIP_INFO_BYTES_MAX} are allowed"
            )


SIP_INFO_BYTES_MAX = 1400

COMMANDS: dict[str, type[Command]] = {
    kind.operation: kind
    for kind in (Dial, Answer, Transfer, Bridge, Hangup, Reject, Refer, SendSipInfo)
}
"""Operation name -> the command's type."""
