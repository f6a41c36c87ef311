"""What the carrier uses for a parameter that is left out: operation -> {parameter: default}.

    DEFAULTS["dial"]["timeout_secs"]  ->  30

Names are the carrier's, as in a request's body. A parameter that is not here has no documented
default. Offhook sends none of them: what is left out stays out, and the carrier fills it in.

Sources, by operation:
    dial answer transfer bridge                     team-telnyx/openapi `spec3.yml` 12de4dd0, and
                                                    SDK 4.189.0 for `route_to_mobile`
    transcription_start conversation_relay_start    the same, `components/schemas`
    pay, and what is marked SDK                     the descriptions of SDK 4.189.0
    all others                                      the flags of the carrier's own command line:
                                                    team-telnyx/telnyx-cli f3f285ea,
                                                    `pkg/cmd/callaction.go`
"""

from collections.abc import Mapping
from typing import Any

_RECORDING = {
    "record_channels": "dual",
    "record_format": "mp3",
    "record_max_length": 0,  # without end
    "record_timeout_secs": 0,  # silence does not end it
    "record_track": "both",
}
_NEW_LEG = {
    "answering_machine_detection": "disabled",
    "media_encryption": "disabled",
    "route_to_mobile": False,
    "sip_region": "US",
    "sip_transport_protocol": "UDP",
    "time_limit_secs": 14_400,
    "timeout_secs": 30,
}
_WEBHOOKS = {"webhook_url_method": "POST", "webhook_urls_method": "POST"}
_STREAM = {
    "stream_bidirectional_codec": "PCMU",
    "stream_bidirectional_mode": "mp3",
    "stream_bidirectional_target_legs": "opposite",
    "stream_codec": "default",  # the call's own
    "stream_track": "inbound_track",
}
_MEDIA = {**_STREAM, "send_silence_when_idle": False, "transcription": False}
_KEYS = {
    "inter_digit_timeout_millis": 5_000,
    "maximum_digits": 128,
    "minimum_digits": 1,
    "terminating_digit": "#",
    "timeout_millis": 60_000,
    "valid_digits": "0123456789#*",
}
_SPEECH = {"payload_type": "text", "service_level": "premium"}

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "dial": {
        **_NEW_LEG,
        **_MEDIA,
        **_RECORDING,
        **_WEBHOOKS,
        "bridge_intent": False,
        "bridge_on_answer": False,
        "enable_dialogflow": False,
        "prevent_double_bridge": False,
        "retry_on_timeout": True,
        "stream_bidirectional_sampling_rate": 8_000,
        "stream_establish_before_call_originate": False,
        "supervisor_role": "barge",
    },
    "answer": {**_MEDIA, **_RECORDING, **_WEBHOOKS},
    "transfer": {
        **_NEW_LEG,
        **_RECORDING,
        **_WEBHOOKS,
        "early_media": True,
        "mute_dtmf": "none",
    },
    "bridge": {
        **_RECORDING,
        "mute_dtmf": "none",
        "play_ringtone": False,
        "prevent_double_bridge": False,
        "ringtone": "us",
    },
    "conversation_relay_start": {"interruptible": "any", "interruptible_greeting": "any"},
    "enqueue": {"keep_after_hangup": False, "max_size": 100},
    "fork_start": {"stream_type": "decrypted"},
    "fork_stop": {"stream_type": "raw"},
    "gather": {**_KEYS, "initial_timeout_millis": 5_000},
    "gather_using_ai": {
        "language": "en",
        "send_message_history_updates": False,  # SDK
        "send_partial_results": False,  # SDK
        "user_response_timeout_ms": 10_000,
        "voice": "Telnyx.KokoroTTS.af",
    },
    "gather_using_audio": {**_KEYS, "maximum_tries": 3},
    "gather_using_speak": {**_KEYS, **_SPEECH, "maximum_tries": 3},
    "pay": {"min_postal_code_length": 1, "postal_code": True, "service_level": "premium"},
    "playback_start": {
        "audio_type": "mp3",
        "cache_audio": True,
        "overlay": False,
        "target_legs": "self",
    },
    "playback_stop": {"overlay": False, "stop": "all"},
    "record_start": {
        "max_length": 0,
        "recording_track": "both",
        "timeout_secs": 0,
        "transcription": False,
        "transcription_engine": "A",
        "transcription_language": "en-US",
        "transcription_max_speaker_count": 6,
        "transcription_min_speaker_count": 2,
        "transcription_profanity_filter": False,
        "transcription_speaker_diarization": False,
    },
    "send_dtmf": {"duration_millis": 250},
    "siprec_start": {
        "session_timeout_secs": 1_800,
        "sip_transport": "udp",
        "siprec_track": "both_tracks",
    },
    "speak": {**_SPEECH, "loop": 1, "target_legs": "self"},  # loop: SDK
    "streaming_start": {
        **_STREAM,
        "enable_dialogflow": False,
        "stream_bidirectional_sampling_rate": 8_000,
    },
    "suppression_start": {"direction": "inbound", "noise_suppression_engine": "Denoiser"},
    "transcription_start": {"transcription_engine": "Google", "transcription_tracks": "inbound"},
}
"""Operations that are not here have no parameter with a default."""
