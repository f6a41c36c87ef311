"""What the SDK's types do not contain: a docstring per command, and rules given only in sentences.

`scripts/generate_commands.py` takes names, types, enums and what is required from the official
Python SDK 4.189.0. Everything here comes from the descriptions of that SDK (with its sentence
beside it) or from team-telnyx/openapi `spec3.yml` 12de4dd0 ("spec"). Types are those of
`offhook.commands.parameters`, rules those of `offhook.commands.base`.
"""

BY_HAND = frozenset(
    {"dial", "answer", "transfer", "bridge", "hangup", "reject", "refer", "send_sip_info"}
)
"""Operations whose commands are written in `offhook/commands/calls.py`."""

DOCS = {
    "ai_assistant_add_messages": "Add messages to the conversation of the leg's AI assistant.",
    "ai_assistant_join": "Add this leg to a running conversation with an AI assistant.",
    "ai_assistant_start": "Start an AI assistant on the leg.",
    "ai_assistant_stop": "Stop the leg's AI assistant; the call continues.",
    "client_state_update": "Change the `client_state` that later webhooks of the leg return.",
    "conversation_relay_start": "Connect the leg to your WebSocket as text; the carrier "
    "transcribes and speaks.",
    "conversation_relay_stop": "End the leg's Conversation Relay session.",
    "enqueue": "Put the leg into a queue, which is created if it does not exist.",
    "fork_start": "Also send the leg's media (RTP) to the network targets `rx` and `tx`.",
    "fork_stop": "Stop forking the leg's media.",
    "gather": "Gather the digits that the caller presses; nothing is played.",
    "gather_stop": "Stop gathering digits; the digits so far are reported.",
    "gather_using_ai": "Let an AI voice assistant gather the fields of a JSON Schema.",
    "gather_using_audio": "Play an audio file while gathering digits.",
    "gather_using_speak": "Speak text while gathering digits.",
    "leave_queue": "Take the leg out of its queue; the call continues.",
    "pay": "Collect payment details by keypad, and charge or tokenize them through a connector.",
    "playback_start": "Play an audio file on the leg; several are played one after the other.",
    "playback_stop": "Stop the audio playback on the leg.",
    "record_pause": "Pause the leg's recording.",
    "record_resume": "Resume the leg's paused recording.",
    "record_start": "Record the leg until it is stopped or the call ends.",
    "record_stop": "End the leg's recording and store it.",
    "send_dtmf": "Send DTMF tones from this leg to the other party.",
    "siprec_start": "Start a SIPREC session to the SRS of a configured connector.",
    "siprec_stop": "End the leg's SIPREC session.",
    "speak": "Speak text on the leg; several texts are spoken one after the other.",
    "streaming_start": "Stream the leg's media to a WebSocket or to Dialogflow.",
    "streaming_stop": "Stop one stream of the leg, or all of them.",
    "suppression_start": "Suppress noise on the leg (a beta feature of the carrier).",
    "suppression_stop": "Stop suppressing noise on the leg.",
    "switch_supervisor_role": "Change what a supervising leg hears, and who hears it.",
    "transcription_start": "Transcribe the leg's speech during the call.",
    "transcription_stop": "Stop transcribing the leg.",
}

GROUPS = {
    "audio": (
        "What the leg hears, and what its keys say.",
        """gather gather_stop gather_using_audio gather_using_speak playback_start playback_stop
        send_dtmf speak suppression_start suppression_stop""",
    ),
    "assistants": (
        "Assistants and relays that talk with the leg.",
        """ai_assistant_add_messages ai_assistant_join ai_assistant_start ai_assistant_stop
        conversation_relay_start conversation_relay_stop gather_using_ai""",
    ),
    "recordings": (
        "Recordings and transcriptions.",
        """record_pause record_resume record_start record_stop transcription_start
        transcription_stop""",
    ),
    "streams": (
        "Media that goes elsewhere: forks, SIPREC, streaming.",
        "fork_start fork_stop siprec_start siprec_stop streaming_start streaming_stop",
    ),
    "legs": (
        "The leg itself: its state, its queue, its supervisor, a payment.",
        "client_state_update enqueue leave_queue pay switch_supervisor_role",
    ),
}
"""Module of `offhook.commands.actions` -> its docstring, and its operations."""

OBJECT_DOCS = {
    "AIAssistantJoinParticipant": "A leg that joins a conversation: its call_control_id and role.",
    "AnsweringMachineDetectionConfig": "Settings of answering machine detection.",
    "AssistantTranscription": "Speech to text for an AI assistant.",
    "AssistantVoiceSettings": "An AI assistant's voice; which entries count depends on `type`.",
    "CallAssistant": "An AI assistant by its id, and what is different for this call.",
    "ConferenceConfig": "The conference that a dialled leg joins when it is answered.",
    "ConversationRelayEmbeddedConfig": "A Conversation Relay session that starts with the answer.",
    "ConversationRelayInterruptionSettings": "What may interrupt the speech of a relay session.",
    "ConversationRelayLanguage": "Voice and transcription for one language of a relay session.",
    "ConversationRelaySettings": "The connection of a Conversation Relay session.",
    "CustomSipHeader": "A SIP header of the new leg, by name and value.",
    "DeepfakeDetection": "Whether to look for a synthetic voice, and for how many seconds.",
    "DialogflowConfig": "Settings of a Dialogflow agent.",
    "GatherAssistant": "The model that gathers, its instructions and tools.",
    "GatherMessage": "One message of the conversation before the gather.",
    "InterruptionSettings": "Whether the caller may interrupt the assistant.",
    "Message": "One message of a conversation; which entries count depends on `role`.",
    "NoiseSuppressionEngineConfig": "Settings of the noise suppression engine.",
    "PayPrompt": "A text that asks for a payment detail, and when it is said.",
    "RelayAssistant": "Variables for the assistant behind a relay session.",
    "SipHeader": "A standard SIP header of the leg.",
    "SoundModifications": "Changes to the sound of a leg, such as its pitch.",
    "StreamParameter": "A name and a value, passed on to the streaming server.",
    "ToolCall": "A call of a function by the model.",
    "ToolCallFunction": "The function that the model called.",
    "TranscriptionSettings": "A transcription that starts with the answer.",
    "VoiceSettings": "The voice that speaks; which entries count depends on `type`.",
    "WebhookRetriesPolicies": "When the carrier retries the webhooks of one event type.",
}
"""What each object of `offhook.commands.objects` is."""

_INT_FROM_0 = "Annotated[int, Meta(ge=0)]"
_INT_FROM_1 = "Annotated[int, Meta(ge=1)]"
_INT_1_TO_128 = "Annotated[int, Meta(ge=1, le=128)]"

# A parameter of this name has this type, in every operation.
TYPES = {
    "audio_url": "Url",  # "The URL of a file"
    "client_state": "Base64",  # "It must be a valid Base-64 encoded string."
    "digits": "Digits",  # "Valid digits are 0-9, A-D, *, and #. Pauses … w (0.5s) and W (1s)."
    "greeting": "Speech",  # "There is a 3,000 character limit."
    "gather_ended_speech": "Speech",  # the same
    "invalid_audio_url": "Url",
    "invalid_payload": "Speech",  # the same
    "maximum_digits": _INT_1_TO_128,  # "This parameter has a maximum value of 128."
    "minimum_digits": _INT_FROM_1,  # "This parameter has a minimum value of 1."
    "payload": "Speech",  # the same
    "playback_content": "Base64",  # "base64 encoded mp3 or wav"
    "stop": 'Literal["current", "all"]',  # "Specify `current` … Specify `all` …"
    "stream_auth_token": "AuthToken",  # "Maximum length is 4000 characters."
    "stream_bidirectional_codec": "BidirectionalCodec",
    "stream_bidirectional_sampling_rate": "SamplingRate",
    "stream_bidirectional_target_legs": "Legs",
    "stream_codec": "StreamCodec",
    "stream_track": "StreamTrack",
    "stream_url": "WebSocketUrl",  # "The destination WebSocket address"
    "target_legs": "Legs",  # "the value must be either `self`, `opposite` or `both`"
    # "Use `inbound` for the leg that requested the transcription, `outbound` …, and `both` …"
    "transcription_tracks": 'Literal["inbound", "outbound", "both"]',
    # "Must start with `ws://` or `wss://`."
    "conversation_relay_url": "WebSocketUrl",
    "ConversationRelayEmbeddedConfig.url": "WebSocketUrl",
    "ConversationRelaySettings.url": "WebSocketUrl",
    "conversation_relay_start.url": "WebSocketUrl",
    # The limit of 3,000 characters is documented for assistants only.
    "ConversationRelayEmbeddedConfig.greeting": "str",
    "conversation_relay_start.greeting": "str",
    "CallAssistant.greeting": "str",
    # "an integer between 1 and 100, or the special string `infinity`"; for speak no upper bound
    # is documented.
    "playback_start.loop": "Loop",
    "speak.loop": f'Literal["infinity"] | {_INT_FROM_1}',
    # "an empty string … disable[s] the terminating digit entirely"
    "terminating_digit": "Annotated[str, Meta(max_length=1)]",
    "send_dtmf.duration_millis": "Annotated[int, Meta(ge=100, le=500)]",  # "from 100 to 500ms"
    "enqueue.queue_name": "Text1",
    # spec: 1 to 40 characters, as `record_custom_file_name` of dial, answer, transfer and bridge
    "record_start.custom_file_name": "FileName",
    # "The minimum value is 0. The maximum value is 14400."
    "record_start.max_length": "Annotated[int, Meta(ge=0, le=14400)]",
    "record_start.timeout_secs": _INT_FROM_0,  # "The minimum value is 0."
    # spec: "values should be between -1 and 1", "between -14 and 14", "> 0"
    "SoundModifications.octaves": "Annotated[float, Meta(ge=-1, le=1)]",
    "SoundModifications.pitch": "Annotated[float, Meta(gt=0)]",
    "SoundModifications.semitone": "Annotated[float, Meta(ge=-14, le=14)]",
    # "Accepted values are `inbound` or `outbound`", but the example beside it has `both`.
    "SoundModifications.track": 'Literal["inbound", "outbound", "both"]',
    "DeepfakeDetection.rtp_timeout": "Annotated[int, Meta(ge=5, le=120)]",  # spec: bounds
    "DeepfakeDetection.timeout": "Annotated[int, Meta(ge=5, le=60)]",  # spec: bounds
    # "Minimum spectral purity, from 0 to 1"
    "AnsweringMachineDetectionConfig.beep_spectral_min_purity": (
        "Annotated[float, Meta(ge=0, le=1)]"
    ),
    "ConferenceConfig.hold_audio_url": "Url",
    "WebhookRetriesPolicies.retries_ms": "RetriesMs",  # spec: at most 5
    # "(0-100)", "(0.0-1.0)", "(0.0-100.0)", "(0.1-4.0)"
    "NoiseSuppressionEngineConfig.attenuation_limit": "Annotated[int, Meta(ge=0, le=100)]",
    "NoiseSuppressionEngineConfig.enhancement_level": "Annotated[float, Meta(ge=0, le=1)]",
    "NoiseSuppressionEngineConfig.suppression_level": "Annotated[float, Meta(ge=0, le=100)]",
    "NoiseSuppressionEngineConfig.voice_gain": "Annotated[float, Meta(ge=0.1, le=4)]",
}
"""`parameter`, or `operation.parameter`, or `Object.entry` -> its type; the longer name wins."""

_DIGITS = ('not_above("minimum_digits", "maximum_digits")',)
# "When using `basic`, only the `en-US` language and payload type `text` are allowed."
_SPOKEN = (
    'only_when("language", "en-US", "service_level", "basic")',
    'only_when("payload_type", "text", "service_level", "basic")',
)

RULES = {
    # "`rx` and `tx` are required fields if `decrypted` selected."; "Requests must specify …
    # the `rx` and `tx` attributes."
    "fork_start": (
        'required_with("rx", "tx", "stream_type")',
        'required_with("tx", "rx", "stream_type")',
    ),
    "gather": _DIGITS,
    "gather_using_audio": (
        *_DIGITS,
        # "media_name and audio_url cannot be used together in one request"; also invalid_…
        'not_both("audio_url", "media_name")',
        'not_both("invalid_audio_url", "invalid_media_name")',
    ),
    "gather_using_speak": (*_DIGITS, *_SPOKEN),
    # "Must be supplied together with `structured_provider`."
    "conversation_relay_start": (
        'required_with("structured_provider", "provider")',
        'required_with("provider", "structured_provider")',
    ),
    "pay": (
        'required_when("amount", "transaction_type", "charge")',  # "Required when …"
        'not_both("valid_card_types", "payment_token")',  # "Cannot be used together with …"
        'not_blank("postal_code")',  # "Empty or whitespace-only strings are rejected."
    ),
    "playback_start": (
        'not_both("audio_url", "media_name")',
        # "When `overlay` is enabled, `target_legs` is limited to `self`."
        'only_when("target_legs", "self", "overlay", True)',
    ),
    "siprec_start": ('zero_or_from("session_timeout_secs", 90)',),  # "Minimum value is 90, … 0 …"
    "speak": _SPOKEN,
}
"""Operation -> its rules over several parameters."""

NAMES = {
    # Several objects distinguished by a tag are one object here, with the entries of all.
    "voice_settings": "VoiceSettings",
    "gather_using_ai.voice_settings": "AssistantVoiceSettings",  # it knows fewer providers
    "messages": "Message",
    "message_history": "Message",
    # Long enums.
    "transcription_engine": "TranscriptionEngine",
    "conversation_relay_start.transcription_engine": "RelayEngine",  # it knows fewer
    "ConversationRelayEmbeddedConfig.transcription_engine": "RelayEngine",
    "ConversationRelayLanguage.transcription_engine": "RelayEngine",
    "noise_suppression_engine": "NoiseSuppressionEngine",
    "valid_card_types": "CardType",
    "PayPrompt.card_type": "PromptedCardType",
    "PayPrompt.error_type": "PaymentError",
    "VoiceSettings.type": "VoiceProvider",
    "speak.language": "SpokenLanguage",
    "gather_using_speak.language": "SpokenLanguage",
    "gather_using_ai.language": "GoogleLanguage",
    "record_start.transcription_language": "TranscriptionLanguage",
    "VoiceSettings.language_boost": "LanguageBoost",
    "AssistantTranscription.model": "TranscriptionModel",
    # The SDK's own name, without `Param` or `Params`, is not specific enough.
    "action_gather_using_ai_params.MessageHistory": "GatherMessage",
    "action_pay_params.Prompts": "PayPrompts",
    "action_start_conversation_relay_params.Assistant": "RelayAssistant",
    "action_start_streaming_params.CustomParameter": "StreamParameter",
    "assistant_param.AssistantParam": "GatherAssistant",
    "call_assistant_request_param.CallAssistantRequestParam": "CallAssistant",
    "pay_prompt_value_param.PayPromptList": "PayPrompt",
    "transcription_config_param.TranscriptionConfigParam": "AssistantTranscription",
    "transcription_start_request_param.TranscriptionStartRequestParam": "TranscriptionSettings",
}
"""Names of the generated types, by names as in TYPES or by the SDK's `module.Class`."""

UNTYPED = frozenset(
    {
        "tools",
        "external_llm",
        "fallback_config",
        "CallAssistant.voice_settings",
        "transcription_engine_config",
    }
)
"""Deeply nested, and each specific to a provider: `dict[str, Any]`, validated by the carrier."""
