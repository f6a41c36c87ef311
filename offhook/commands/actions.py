"""Commands for the actions that are not written by hand. Generated: do not edit.

Made by `scripts/generate_commands.py` from the official Python SDK 4.189.0;
docstrings, bounds and rules are in `scripts/command_refinements.py`. Import the commands from
`offhook.commands`, which has them all.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from offhook.commands.base import (
    LegCommand,
    Rule,
    Stateful,
    not_above,
    not_blank,
    not_both,
    only_when,
    required_when,
    required_with,
    zero_or_from,
)
from offhook.commands.objects import (
    AIAssistantJoinParticipant,
    AssistantTranscription,
    AssistantVoiceSettings,
    CallAssistant,
    CardType,
    ConversationRelayInterruptionSettings,
    ConversationRelayLanguage,
    ConversationRelaySettings,
    DialogflowConfig,
    GatherAssistant,
    GatherMessage,
    GoogleLanguage,
    InterruptionSettings,
    Message,
    NoiseSuppressionEngine,
    NoiseSuppressionEngineConfig,
    PayPrompts,
    RelayAssistant,
    RelayEngine,
    SpokenLanguage,
    StreamParameter,
    TranscriptionEngine,
    TranscriptionLanguage,
    VoiceSettings,
)
from offhook.commands.parameters import (
    AuthToken,
    Base64,
    BidirectionalCodec,
    Digits,
    FileName,
    Legs,
    Loop,
    SamplingRate,
    Speech,
    StreamCodec,
    StreamTrack,
    Text1,
    Url,
    WebSocketUrl,
)

__all__ = [
    "ACTIONS",
    "AddAIAssistantMessages",
    "JoinAIAssistant",
    "StartAIAssistant",
    "StopAIAssistant",
    "UpdateClientState",
    "StartConversationRelay",
    "StopConversationRelay",
    "Enqueue",
    "StartForking",
    "StopForking",
    "Gather",
    "StopGather",
    "GatherUsingAI",
    "GatherUsingAudio",
    "GatherUsingSpeak",
    "LeaveQueue",
    "Pay",
    "StartPlayback",
    "StopPlayback",
    "PauseRecording",
    "ResumeRecording",
    "StartRecording",
    "StopRecording",
    "SendDtmf",
    "StartSiprec",
    "StopSiprec",
    "Speak",
    "StartStreaming",
    "StopStreaming",
    "StartNoiseSuppression",
    "StopNoiseSuppression",
    "SwitchSupervisorRole",
    "StartTranscription",
    "StopTranscription",
]


@dataclass(frozen=True, kw_only=True)
class AddAIAssistantMessages(LegCommand, Stateful):
    """Add messages to the conversation of the leg's AI assistant."""

    operation: ClassVar[str] = "ai_assistant_add_messages"

    messages: list[Message] | None = None
    trigger_response: bool | None = None


@dataclass(frozen=True, kw_only=True)
class JoinAIAssistant(LegCommand, Stateful):
    """Add this leg to a running conversation with an AI assistant."""

    operation: ClassVar[str] = "ai_assistant_join"

    conversation_id: str
    participant: AIAssistantJoinParticipant


@dataclass(frozen=True, kw_only=True)
class StartAIAssistant(LegCommand, Stateful):
    """Start an AI assistant on the leg."""

    operation: ClassVar[str] = "ai_assistant_start"

    assistant: CallAssistant | None = None
    greeting: Speech | None = None
    interruption_settings: InterruptionSettings | None = None
    message_history: list[Message] | None = None
    participants: list[AIAssistantJoinParticipant] | None = None
    send_message_history_updates: bool | None = None
    transcription: AssistantTranscription | None = None


@dataclass(frozen=True, kw_only=True)
class StopAIAssistant(LegCommand, Stateful):
    """Stop the leg's AI assistant; the call continues."""

    operation: ClassVar[str] = "ai_assistant_stop"


@dataclass(frozen=True, kw_only=True)
class UpdateClientState(LegCommand):
    """Change the `client_state` that later webhooks of the leg return."""

    operation: ClassVar[str] = "client_state_update"
    method: ClassVar[Literal["POST", "PUT"]] = "PUT"
    takes_command_id: ClassVar[bool] = False

    client_state: Base64


@dataclass(frozen=True, kw_only=True)
class StartConversationRelay(LegCommand, Stateful):
    """Connect the leg to your WebSocket as text; the carrier transcribes and speaks."""

    operation: ClassVar[str] = "conversation_relay_start"
    rules: ClassVar[tuple[Rule, ...]] = (
        required_with("structured_provider", "provider"),
        required_with("provider", "structured_provider"),
    )

    assistant: RelayAssistant | None = None
    conversation_relay_dtmf_detection: bool | None = None
    conversation_relay_settings: ConversationRelaySettings | None = None
    conversation_relay_url: WebSocketUrl | None = None
    custom_parameters: dict[str, Any] | None = None
    dtmf_detection: bool | None = None
    greeting: str | None = None
    interruptible: Literal["none", "any", "speech", "dtmf"] | None = None
    interruptible_greeting: Literal["none", "any", "speech", "dtmf"] | None = None
    interruption_settings: ConversationRelayInterruptionSettings | None = None
    language: str | None = None
    languages: list[ConversationRelayLanguage] | None = None
    provider: str | None = None
    structured_provider: dict[str, Any] | None = None
    transcription: dict[str, Any] | None = None
    transcription_engine: RelayEngine | None = None
    transcription_engine_config: dict[str, Any] | None = None
    tts_provider: str | None = None
    url: WebSocketUrl | None = None
    voice: str | None = None
    voice_settings: VoiceSettings | None = None


@dataclass(frozen=True, kw_only=True)
class StopConversationRelay(LegCommand, Stateful):
    """End the leg's Conversation Relay session."""

    operation: ClassVar[str] = "conversation_relay_stop"


@dataclass(frozen=True, kw_only=True)
class Enqueue(LegCommand, Stateful):
    """Put the leg into a queue, which is created if it does not exist."""

    operation: ClassVar[str] = "enqueue"

    queue_name: Text1
    keep_after_hangup: bool | None = None
    max_size: int | None = None
    max_wait_time_secs: int | None = None


@dataclass(frozen=True, kw_only=True)
class StartForking(LegCommand, Stateful):
    """Also send the leg's media (RTP) to the network targets `rx` and `tx`."""

    operation: ClassVar[str] = "fork_start"
    rules: ClassVar[tuple[Rule, ...]] = (
        required_with("rx", "tx", "stream_type"),
        required_with("tx", "rx", "stream_type"),
    )

    rx: str | None = None
    stream_type: Literal["decrypted"] | None = None
    tx: str | None = None


@dataclass(frozen=True, kw_only=True)
class StopForking(LegCommand, Stateful):
    """Stop forking the leg's media."""

    operation: ClassVar[str] = "fork_stop"

    stream_type: Literal["raw", "decrypted"] | None = None


@dataclass(frozen=True, kw_only=True)
class Gather(LegCommand, Stateful):
    """Gather the digits that the caller presses; nothing is played."""

    operation: ClassVar[str] = "gather"
    rules: ClassVar[tuple[Rule, ...]] = (not_above("minimum_digits", "maximum_digits"),)

    gather_id: str | None = None
    initial_timeout_millis: int | None = None
    inter_digit_timeout_millis: int | None = None
    maximum_digits: Annotated[int, Meta(ge=1, le=128)] | None = None
    minimum_digits: Annotated[int, Meta(ge=1)] | None = None
    terminating_digit: Annotated[str, Meta(max_length=1)] | None = None
    timeout_millis: int | None = None
    valid_digits: str | None = None


@dataclass(frozen=True, kw_only=True)
class StopGather(LegCommand, Stateful):
    """Stop gathering digits; the digits so far are reported."""

    operation: ClassVar[str] = "gather_stop"


@dataclass(frozen=True, kw_only=True)
class GatherUsingAI(LegCommand, Stateful):
    """Let an AI voice assistant gather the fields of a JSON Schema."""

    operation: ClassVar[str] = "gather_using_ai"

    parameters: dict[str, Any]
    assistant: GatherAssistant | None = None
    gather_ended_speech: Speech | None = None
    greeting: Speech | None = None
    interruption_settings: InterruptionSettings | None = None
    language: GoogleLanguage | None = None
    message_history: list[GatherMessage] | None = None
    send_message_history_updates: bool | None = None
    send_partial_results: bool | None = None
    transcription: AssistantTranscription | None = None
    user_response_timeout_ms: int | None = None
    voice: str | None = None
    voice_settings: AssistantVoiceSettings | None = None


@dataclass(frozen=True, kw_only=True)
class GatherUsingAudio(LegCommand, Stateful):
    """Play an audio file while gathering digits."""

    operation: ClassVar[str] = "gather_using_audio"
    rules: ClassVar[tuple[Rule, ...]] = (
        not_above("minimum_digits", "maximum_digits"),
        not_both("audio_url", "media_name"),
        not_both("invalid_audio_url", "invalid_media_name"),
    )

    audio_url: Url | None = None
    inter_digit_timeout_millis: int | None = None
    invalid_audio_url: Url | None = None
    invalid_media_name: str | None = None
    maximum_digits: Annotated[int, Meta(ge=1, le=128)] | None = None
    maximum_tries: int | None = None
    media_name: str | None = None
    minimum_digits: Annotated[int, Meta(ge=1)] | None = None
    terminating_digit: Annotated[str, Meta(max_length=1)] | None = None
    timeout_millis: int | None = None
    valid_digits: str | None = None


@dataclass(frozen=True, kw_only=True)
class GatherUsingSpeak(LegCommand, Stateful):
    """Speak text while gathering digits."""

    operation: ClassVar[str] = "gather_using_speak"
    rules: ClassVar[tuple[Rule, ...]] = (
        not_above("minimum_digits", "maximum_digits"),
        only_when("language", "en-US", "service_level", "basic"),
        only_when("payload_type", "text", "service_level", "basic"),
    )

    payload: Speech
    voice: str
    inter_digit_timeout_millis: int | None = None
    invalid_payload: Speech | None = None
    language: SpokenLanguage | None = None
    maximum_digits: Annotated[int, Meta(ge=1, le=128)] | None = None
    maximum_tries: int | None = None
    minimum_digits: Annotated[int, Meta(ge=1)] | None = None
    payload_type: Literal["text", "ssml"] | None = None
    service_level: Literal["basic", "premium"] | None = None
    terminating_digit: Annotated[str, Meta(max_length=1)] | None = None
    timeout_millis: int | None = None
    valid_digits: str | None = None
    voice_settings: VoiceSettings | None = None


@dataclass(frozen=True, kw_only=True)
class LeaveQueue(LegCommand, Stateful):
    """Take the leg out of its queue; the call continues."""

    operation: ClassVar[str] = "leave_queue"


@dataclass(frozen=True, kw_only=True)
class Pay(LegCommand, Stateful):
    """Collect payment details by keypad, and charge or tokenize them through a connector."""

    operation: ClassVar[str] = "pay"
    rules: ClassVar[tuple[Rule, ...]] = (
        required_when("amount", "transaction_type", "charge"),
        not_both("valid_card_types", "payment_token"),
        not_blank("postal_code"),
    )

    amount: float | None = None
    connector_name: str | None = None
    currency: Literal["USD", "usd"] | None = None
    description: str | None = None
    inter_digit_timeout_millis: int | None = None
    language: str | None = None
    max_attempts: int | None = None
    metadata: dict[str, Any] | None = None
    min_postal_code_length: int | None = None
    parameters: dict[str, Any] | None = None
    payment_method: Literal["credit-card", "ach-debit"] | None = None
    payment_token: str | None = None
    postal_code: str | bool | None = None
    prompts: PayPrompts | None = None
    service_level: str | None = None
    timeout_millis: int | None = None
    transaction_type: Literal["charge", "tokenize"] | None = None
    valid_card_types: list[CardType] | None = None
    voice: str | None = None


@dataclass(frozen=True, kw_only=True)
class StartPlayback(LegCommand, Stateful):
    """Play an audio file on the leg; several are played one after the other."""

    operation: ClassVar[str] = "playback_start"
    rules: ClassVar[tuple[Rule, ...]] = (
        not_both("audio_url", "media_name"),
        only_when("target_legs", "self", "overlay", True),
    )

    audio_type: Literal["mp3", "wav"] | None = None
    audio_url: Url | None = None
    cache_audio: bool | None = None
    loop: Loop | None = None
    media_name: str | None = None
    overlay: bool | None = None
    playback_content: Base64 | None = None
    stop: Literal["current", "all"] | None = None
    target_legs: Legs | None = None


@dataclass(frozen=True, kw_only=True)
class StopPlayback(LegCommand, Stateful):
    """Stop the audio playback on the leg."""

    operation: ClassVar[str] = "playback_stop"

    overlay: bool | None = None
    stop: Literal["current", "all"] | None = None


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
class SendDtmf(LegCommand, Stateful):
    """Send DTMF tones from this leg to the other party."""

    operation: ClassVar[str] = "send_dtmf"

    digits: Digits
    duration_millis: Annotated[int, Meta(ge=100, le=500)] | None = None


@dataclass(frozen=True, kw_only=True)
class StartSiprec(LegCommand, Stateful):
    """Start a SIPREC session to the SRS of a configured connector."""

    operation: ClassVar[str] = "siprec_start"
    takes_command_id: ClassVar[bool] = False
    rules: ClassVar[tuple[Rule, ...]] = (zero_or_from("session_timeout_secs", 90),)

    connector_name: str | None = None
    include_metadata_custom_headers: bool | None = None
    secure: bool | None = None
    session_timeout_secs: int | None = None
    sip_transport: Literal["udp", "tcp", "tls"] | None = None
    siprec_track: Literal["inbound_track", "outbound_track", "both_tracks"] | None = None


@dataclass(frozen=True, kw_only=True)
class StopSiprec(LegCommand, Stateful):
    """End the leg's SIPREC session."""

    operation: ClassVar[str] = "siprec_stop"


@dataclass(frozen=True, kw_only=True)
class Speak(LegCommand, Stateful):
    """Speak text on the leg; several texts are spoken one after the other."""

    operation: ClassVar[str] = "speak"
    rules: ClassVar[tuple[Rule, ...]] = (
        only_when("language", "en-US", "service_level", "basic"),
        only_when("payload_type", "text", "service_level", "basic"),
    )

    payload: Speech
    voice: str
    language: SpokenLanguage | None = None
    loop: Literal["infinity"] | Annotated[int, Meta(ge=1)] | None = None
    payload_type: Literal["text", "ssml"] | None = None
    service_level: Literal["basic", "premium"] | None = None
    stop: Literal["current", "all"] | None = None
    target_legs: Legs | None = None
    voice_settings: VoiceSettings | None = None


@dataclass(frozen=True, kw_only=True)
class StartStreaming(LegCommand, Stateful):
    """Stream the leg's media to a WebSocket or to Dialogflow."""

    operation: ClassVar[str] = "streaming_start"

    custom_parameters: list[StreamParameter] | None = None
    dialogflow_config: DialogflowConfig | None = None
    enable_dialogflow: bool | None = None
    stream_auth_token: AuthToken | None = None
    stream_bidirectional_codec: BidirectionalCodec | None = None
    stream_bidirectional_mode: Literal["mp3", "rtp"] | None = None
    stream_bidirectional_sampling_rate: SamplingRate | None = None
    stream_bidirectional_target_legs: Legs | None = None
    stream_codec: StreamCodec | None = None
    stream_track: StreamTrack | None = None
    stream_url: WebSocketUrl | None = None


@dataclass(frozen=True, kw_only=True)
class StopStreaming(LegCommand, Stateful):
    """Stop one stream of the leg, or all of them."""

    operation: ClassVar[str] = "streaming_stop"

    stream_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class StartNoiseSuppression(LegCommand, Stateful):
    """Suppress noise on the leg (a beta feature of the carrier)."""

    operation: ClassVar[str] = "suppression_start"

    direction: Literal["inbound", "outbound", "both"] | None = None
    noise_suppression_engine: NoiseSuppressionEngine | None = None
    noise_suppression_engine_config: NoiseSuppressionEngineConfig | None = None


@dataclass(frozen=True, kw_only=True)
class StopNoiseSuppression(LegCommand, Stateful):
    """Stop suppressing noise on the leg."""

    operation: ClassVar[str] = "suppression_stop"


@dataclass(frozen=True, kw_only=True)
class SwitchSupervisorRole(LegCommand):
    """Change what a supervising leg hears, and who hears it."""

    operation: ClassVar[str] = "switch_supervisor_role"
    takes_command_id: ClassVar[bool] = False

    role: Literal["barge", "whisper", "monitor"]


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


ACTIONS: tuple[type[LegCommand], ...] = (
    AddAIAssistantMessages,
    JoinAIAssistant,
    StartAIAssistant,
    StopAIAssistant,
    UpdateClientState,
    StartConversationRelay,
    StopConversationRelay,
    Enqueue,
    StartForking,
    StopForking,
    Gather,
    StopGather,
    GatherUsingAI,
    GatherUsingAudio,
    GatherUsingSpeak,
    LeaveQueue,
    Pay,
    StartPlayback,
    StopPlayback,
    PauseRecording,
    ResumeRecording,
    StartRecording,
    StopRecording,
    SendDtmf,
    StartSiprec,
    StopSiprec,
    Speak,
    StartStreaming,
    StopStreaming,
    StartNoiseSuppression,
    StopNoiseSuppression,
    SwitchSupervisorRole,
    StartTranscription,
    StopTranscription,
)
