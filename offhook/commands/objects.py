"""The objects that parameters may be, and the longer enums. Generated: do not edit.

Made by `scripts/generate_commands.py` from the official Python SDK 4.189.0, with the
bounds of `scripts/command_refinements.py`. Values are dictionaries;
`offhook.commands.catalog` checks them, and refuses unknown entries, except in OPEN_OBJECTS.
"""

from typing import Annotated, Any, Literal, Required, TypedDict

from msgspec import Meta

from offhook.commands.parameters import Base64, RetriesMs, Url, WebSocketUrl


class ToolCallFunction(TypedDict, total=False):
    """The function that the model called."""

    name: Required[str]


class ToolCall(TypedDict, total=False):
    """A call of a function by the model."""

    id: Required[str]
    function: Required[ToolCallFunction]
    type: Required[Literal["function"]]


class Message(TypedDict, total=False):
    """One message of a conversation; which entries count depends on `role`."""

    role: Required[Literal["user", "assistant", "tool", "system", "developer"]]
    content: str
    metadata: dict[str, Any]
    tool_calls: list[ToolCall]
    tool_call_id: str


class AIAssistantJoinParticipant(TypedDict, total=False):
    """A leg that joins a conversation: its call_control_id and role."""

    id: Required[str]
    role: Required[Literal["user"]]
    name: str
    on_hangup: Literal["continue_conversation", "end_conversation"]


TranscriptionModel = Literal[
    "deepgram/flux", "flux", "deepgram/nova-3", "deepgram/nova-2", "speechmatics/standard",
    "speechmatics/enhanced", "speechmatics/linden-1", "assemblyai/universal-3-5-pro",
    "assemblyai/universal-streaming", "xai/grok-stt", "soniox/stt-rt-v4", "nvidia/parakeet-v3",
    "omi-health/omi-med-stt-v1", "humain/realtime", "reson8/turns", "cohere/ar-stt",
    "azure/fast", "azure/realtime", "google/latest_long", "distil-whisper/distil-large-v2",
    "openai/whisper-large-v3-turbo",
]  # fmt: skip


class AssistantTranscription(TypedDict, total=False):
    """Speech to text for an AI assistant."""

    language: str
    model: TranscriptionModel


class CallAssistant(TypedDict, total=False):
    """An AI assistant by its id, and what is different for this call."""

    id: Required[str]
    dynamic_variables: dict[str, str | float | bool]
    external_llm: dict[str, Any]
    fallback_config: dict[str, Any]
    greeting: str
    instructions: str
    llm_api_key_ref: str
    mcp_servers: list[dict[str, Any]]
    model: str
    name: str
    observability_settings: dict[str, Any]
    openai_api_key_ref: str
    tools: list[dict[str, Any]]
    transcription: AssistantTranscription
    voice_settings: dict[str, Any]


class InterruptionSettings(TypedDict, total=False):
    """Whether the caller may interrupt the assistant."""

    enable: bool


class ConversationRelayInterruptionSettings(TypedDict, total=False):
    """What may interrupt the speech of a relay session."""

    enable: bool
    interruptible: Literal["none", "any", "speech", "dtmf"]
    interruptible_greeting: Literal["none", "any", "speech", "dtmf"]
    welcome_greeting_interruptible: Literal["none", "any", "speech", "dtmf"]


RelayEngine = Literal[
    "Google", "Telnyx", "Deepgram", "Azure", "xAI", "AssemblyAI", "Speechmatics", "Soniox", "A",
    "B",
]  # fmt: skip


VoiceProvider = Literal[
    "elevenlabs", "telnyx", "aws", "minimax", "azure", "resemble", "inworld", "xai", "soniox",
]  # fmt: skip


LanguageBoost = Literal[
    "auto", "Chinese", "Chinese,Yue", "English", "Arabic", "Russian", "Spanish", "French",
    "Portuguese", "German", "Turkish", "Dutch", "Ukrainian", "Vietnamese", "Indonesian",
    "Japanese", "Italian", "Korean", "Thai", "Polish", "Romanian", "Greek", "Czech", "Finnish",
    "Hindi", "Bulgarian", "Danish", "Hebrew", "Malay", "Persian", "Slovak", "Swedish",
    "Croatian", "Filipino", "Hungarian", "Norwegian", "Slovenian", "Catalan", "Nynorsk",
    "Tamil", "Afrikaans",
]  # fmt: skip


class VoiceSettings(TypedDict, total=False):
    """The voice that speaks; which entries count depends on `type`."""

    type: Required[VoiceProvider]
    api_key_ref: str
    voice_speed: float
    language_boost: LanguageBoost | None
    pitch: int
    speed: float
    vol: float
    deployment_id: str
    effect: Literal["eq_car", "eq_telecomhp8k"]
    gender: Literal["Male", "Female"]
    region: str
    format: Literal["wav", "mp3"]
    precision: Literal["PCM_16", "PCM_24", "PCM_32", "MULAW"]
    sample_rate: Literal["8000", "16000", "22050", "32000", "44100", "48000"]
    delivery_mode: Literal["STABLE", "BALANCED", "CREATIVE"]
    language: str
    reduce_silence: bool


class ConversationRelayLanguage(TypedDict, total=False):
    """Voice and transcription for one language of a relay session."""

    language: Required[str]
    speech_model: str
    transcription_engine: RelayEngine
    transcription_engine_config: dict[str, Any]
    transcription_provider: str
    tts_provider: str
    voice: str
    voice_settings: VoiceSettings


class ConversationRelayEmbeddedConfig(TypedDict, total=False):
    """A Conversation Relay session that starts with the answer."""

    url: Required[WebSocketUrl]
    custom_parameters: dict[str, Any]
    dtmf_detection: bool
    greeting: str
    interruptible: Literal["none", "any", "speech", "dtmf"]
    interruptible_greeting: Literal["none", "any", "speech", "dtmf"]
    interruption_settings: ConversationRelayInterruptionSettings
    language: str
    languages: list[ConversationRelayLanguage]
    provider: str
    structured_provider: dict[str, Any]
    transcription_engine: RelayEngine
    transcription_engine_config: dict[str, Any]
    tts_provider: str
    voice: str
    voice_settings: VoiceSettings


class CustomSipHeader(TypedDict, total=False):
    """A SIP header of the new leg, by name and value."""

    name: Required[str]
    value: Required[str]


class DeepfakeDetection(TypedDict, total=False):
    """Whether to look for a synthetic voice, and for how many seconds."""

    enabled: Required[bool]
    rtp_timeout: Annotated[int, Meta(ge=5, le=120)]
    timeout: Annotated[int, Meta(ge=5, le=60)]


class SipHeader(TypedDict, total=False):
    """A standard SIP header of the leg."""

    name: Required[Literal["User-to-User"]]
    value: Required[str]


class SoundModifications(TypedDict, total=False):
    """Changes to the sound of a leg, such as its pitch."""

    octaves: Annotated[float, Meta(ge=-1, le=1)]
    pitch: Annotated[float, Meta(gt=0)]
    semitone: Annotated[float, Meta(ge=-14, le=14)]
    track: Literal["inbound", "outbound", "both"]


TranscriptionEngine = Literal[
    "Google", "Telnyx", "Deepgram", "Azure", "xAI", "AssemblyAI", "Speechmatics", "Soniox",
    "Parakeet", "Humain", "Reson8", "Cohere", "A", "B",
]  # fmt: skip


class TranscriptionSettings(TypedDict, total=False):
    """A transcription that starts with the answer."""

    client_state: Base64
    command_id: str
    transcription_engine: TranscriptionEngine
    transcription_engine_config: dict[str, Any]
    transcription_tracks: Literal["inbound", "outbound", "both"]


class WebhookRetriesPolicies(TypedDict, total=False):
    """When the carrier retries the webhooks of one event type."""

    retries_ms: RetriesMs


class RelayAssistant(TypedDict, total=False):
    """Variables for the assistant behind a relay session."""

    dynamic_variables: dict[str, str]


class ConversationRelaySettings(TypedDict, total=False):
    """The connection of a Conversation Relay session."""

    url: Required[WebSocketUrl]
    dtmf_detection: bool
    interruptible: Literal["none", "any", "speech", "dtmf"]
    interruptible_greeting: Literal["none", "any", "speech", "dtmf"]
    languages: list[ConversationRelayLanguage]


class AnsweringMachineDetectionConfig(TypedDict, total=False):
    """Settings of answering machine detection."""

    after_greeting_silence_millis: int
    beep_detection_profile: Literal["both", "freq_only"]
    beep_max_frequency_hz: int
    beep_min_frequency_hz: int
    beep_min_tone_duration_millis: int
    beep_spectral_confirmation: bool
    beep_spectral_min_purity: Annotated[float, Meta(ge=0, le=1)]
    beep_spectral_reject_fax_cng: bool
    beep_spectral_window_millis: int
    between_words_silence_millis: int
    greeting_duration_millis: int
    greeting_silence_duration_millis: int
    greeting_total_analysis_time_millis: int
    initial_silence_millis: int
    maximum_number_of_words: int
    maximum_word_length_millis: int
    prompt_end_timeout_millis: int
    silence_threshold: int
    total_analysis_time_millis: int


class ConferenceConfig(TypedDict, total=False):
    """The conference that a dialled leg joins when it is answered."""

    id: str
    beep_enabled: Literal["always", "never", "on_enter", "on_exit"]
    conference_name: str
    early_media: bool
    end_conference_on_exit: bool
    hold: bool
    hold_audio_url: Url
    hold_media_name: str
    mute: bool
    soft_end_conference_on_exit: bool
    start_conference_on_create: bool
    start_conference_on_enter: bool
    supervisor_role: Literal["barge", "monitor", "none", "whisper"]
    whisper_call_control_ids: list[str]


class DialogflowConfig(TypedDict, total=False):
    """Settings of a Dialogflow agent."""

    analyze_sentiment: bool
    partial_automated_agent_reply: bool


class GatherAssistant(TypedDict, total=False):
    """The model that gathers, its instructions and tools."""

    instructions: str
    model: str
    openai_api_key_ref: str
    tools: list[dict[str, Any]]


GoogleLanguage = Literal[
    "af", "sq", "am", "ar", "hy", "az", "eu", "bn", "bs", "bg", "my", "ca", "yue", "zh", "hr",
    "cs", "da", "nl", "en", "et", "fil", "fi", "fr", "gl", "ka", "de", "el", "gu", "iw", "hi",
    "hu", "is", "id", "it", "ja", "jv", "kn", "kk", "km", "ko", "lo", "lv", "lt", "mk", "ms",
    "ml", "mr", "mn", "ne", "no", "fa", "pl", "pt", "pa", "ro", "ru", "rw", "sr", "si", "sk",
    "sl", "ss", "st", "es", "su", "sw", "sv", "ta", "te", "th", "tn", "tr", "ts", "uk", "ur",
    "uz", "ve", "vi", "xh", "zu",
]  # fmt: skip


class GatherMessage(TypedDict, total=False):
    """One message of the conversation before the gather."""

    content: str
    role: Literal["assistant", "user"]


class AssistantVoiceSettings(TypedDict, total=False):
    """An AI assistant's voice; which entries count depends on `type`."""

    type: Required[Literal["elevenlabs", "telnyx", "aws", "azure", "resemble", "xai", "soniox"]]
    api_key_ref: str
    voice_speed: float
    deployment_id: str
    effect: Literal["eq_car", "eq_telecomhp8k"]
    gender: Literal["Male", "Female"]
    region: str
    format: Literal["wav", "mp3"]
    precision: Literal["PCM_16", "PCM_24", "PCM_32", "MULAW"]
    sample_rate: Literal["8000", "16000", "22050", "32000", "44100", "48000"]
    language: str
    reduce_silence: bool
    speed: float


SpokenLanguage = Literal[
    "arb", "cmn-CN", "cy-GB", "da-DK", "de-DE", "en-AU", "en-GB", "en-GB-WLS", "en-IN", "en-US",
    "es-ES", "es-MX", "es-US", "fr-CA", "fr-FR", "hi-IN", "is-IS", "it-IT", "ja-JP", "ko-KR",
    "nb-NO", "nl-NL", "pl-PL", "pt-BR", "pt-PT", "ro-RO", "ru-RU", "sv-SE", "tr-TR",
]  # fmt: skip


PromptedCardType = Literal[
    "visa", "mastercard", "amex", "optima", "discover", "diners-club", "jcb", "maestro",
    "enroute",
]  # fmt: skip


PaymentError = Literal[
    "timeout", "invalid-card-number", "invalid-card-type", "invalid-date",
    "invalid-security-code", "invalid-postal-code", "invalid-bank-routing-number",
    "invalid-bank-account-number", "input-matching-failed",
]  # fmt: skip


class PayPrompt(TypedDict, total=False):
    """A text that asks for a payment detail, and when it is said."""

    text: Required[str]
    attempt: str
    card_type: PromptedCardType
    error_type: PaymentError


PayPrompts = TypedDict(
    "PayPrompts",
    {
        "bank-account-number": str | list[PayPrompt],
        "bank-routing-number": str | list[PayPrompt],
        "expiration-date": str | list[PayPrompt],
        "payment-card-number": str | list[PayPrompt],
        "postal-code": str | list[PayPrompt],
        "security-code": str | list[PayPrompt],
    },
    total=False,
)


CardType = Literal[
    "visa", "mastercard", "amex", "maestro", "discover", "optima", "jcb", "diners-club",
    "enroute",
]  # fmt: skip


TranscriptionLanguage = Literal[
    "af", "af-ZA", "am", "am-ET", "ar", "ar-AE", "ar-BH", "ar-DZ", "ar-EG", "ar-IL", "ar-IQ",
    "ar-JO", "ar-KW", "ar-LB", "ar-MA", "ar-MR", "ar-OM", "ar-PS", "ar-QA", "ar-SA", "ar-TN",
    "ar-YE", "as", "auto_detect", "az", "az-AZ", "ba", "be", "bg", "bg-BG", "bn", "bn-BD",
    "bn-IN", "bo", "br", "bs", "bs-BA", "ca", "ca-ES", "cs", "cs-CZ", "cy", "da", "da-DK", "de",
    "de-AT", "de-CH", "de-DE", "el", "el-GR", "en", "en-AU", "en-CA", "en-GB", "en-GH", "en-HK",
    "en-IE", "en-IN", "en-KE", "en-NG", "en-NZ", "en-PH", "en-PK", "en-SG", "en-TZ", "en-US",
    "en-ZA", "es", "es-419", "es-AR", "es-BO", "es-CL", "es-CO", "es-CR", "es-DO", "es-EC",
    "es-ES", "es-GT", "es-HN", "es-MX", "es-NI", "es-PA", "es-PE", "es-PR", "es-PY", "es-SV",
    "es-US", "es-UY", "es-VE", "et", "et-EE", "eu", "eu-ES", "fa", "fa-IR", "fi", "fi-FI",
    "fil-PH", "fo", "fr", "fr-BE", "fr-CA", "fr-CH", "fr-FR", "gl", "gl-ES", "gu", "gu-IN",
    "ha", "haw", "he", "hi", "hi-IN", "hr", "hr-HR", "ht", "hu", "hu-HU", "hy", "hy-AM", "id",
    "id-ID", "is", "is-IS", "it", "it-CH", "it-IT", "iw-IL", "ja", "ja-JP", "jv-ID", "jw", "ka",
    "ka-GE", "kk", "kk-KZ", "km", "km-KH", "kn", "kn-IN", "ko", "ko-KR", "la", "lb", "ln", "lo",
    "lo-LA", "lt", "lt-LT", "lv", "lv-LV", "mg", "mi", "mk", "mk-MK", "ml", "ml-IN", "mn",
    "mn-MN", "mr", "mr-IN", "ms", "ms-MY", "mt", "my", "my-MM", "ne", "ne-NP", "nl", "nl-BE",
    "nl-NL", "nn", "no", "no-NO", "oc", "pa", "pa-Guru-IN", "pl", "pl-PL", "ps", "pt", "pt-BR",
    "pt-PT", "ro", "ro-RO", "ru", "ru-RU", "rw-RW", "sa", "sd", "si", "si-LK", "sk", "sk-SK",
    "sl", "sl-SI", "sn", "so", "sq", "sq-AL", "sr", "sr-RS", "ss-latn-za", "st-ZA", "su",
    "su-ID", "sv", "sv-SE", "sw", "sw-KE", "sw-TZ", "ta", "ta-IN", "ta-LK", "ta-MY", "ta-SG",
    "te", "te-IN", "tg", "th", "th-TH", "tk", "tl", "tn-latn-za", "tr", "tr-TR", "ts-ZA", "tt",
    "uk", "uk-UA", "ur", "ur-IN", "ur-PK", "uz", "uz-UZ", "ve-ZA", "vi", "vi-VN", "xh-ZA", "yi",
    "yo", "yue-Hant-HK", "zh", "zh-TW", "zu-ZA",
]  # fmt: skip


class StreamParameter(TypedDict, total=False):
    """A name and a value, passed on to the streaming server."""

    name: str
    value: str


NoiseSuppressionEngine = Literal[
    "Denoiser", "DeepFilterNet", "Krisp", "AiCoustics", "aic_l_quail", "aic_l_rook",
    "aic_s_quail", "aic_s_rook", "quail_voice_focus_s", "quail_voice_focus_xs",
]  # fmt: skip


class NoiseSuppressionEngineConfig(TypedDict, total=False):
    """Settings of the noise suppression engine."""

    attenuation_limit: Annotated[int, Meta(ge=0, le=100)]
    enhancement_level: Annotated[float, Meta(ge=0, le=1)]
    family: Literal["sparrow", "quail"]
    mode: Literal["standard", "advanced"]
    model: Literal[
        "krisp-viva-tel-v2.kef",
        "krisp-viva-tel-lite-v1.kef",
        "krisp-viva-pro-v1.kef",
        "krisp-viva-ss-v1.kef",
    ]
    size: Literal["s", "l", "xs", "xxs", "vf_l", "vf_1_1_l"]
    suppression_level: Annotated[float, Meta(ge=0, le=100)]
    voice_gain: Annotated[float, Meta(ge=0.1, le=4)]


OPEN_OBJECTS: frozenset[object] = frozenset({AssistantVoiceSettings, RelayAssistant, VoiceSettings})
"""Objects that the SDK declares open for more entries."""
