"""Every kind of wrong parameter and the message it gets, in full: `refused_parameters.txt`.

After a change of words that is meant:
.venv/bin/python -m tests.offhook.commands.test_refused_parameters
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from offhook.commands.catalog import command_from
from offhook.errors import ParameterInvalid

SNAPSHOT = Path(__file__).parent / "refused_parameters.txt"
SHOWN_CHARS_MAX = 96

# What an operation needs to be right; each case below changes one thing. None takes it away.
RIGHT: dict[str, dict[str, Any]] = {
    "ai_assistant_join": {"conversation_id": "c-1", "participant": {"id": "v3:a", "role": "user"}},
    "bridge": {"call_control_id": "v3:b"},
    "client_state_update": {"client_state": ""},
    "dial": {"to": "+12025550123", "from": "+12025550199", "connection_id": "1"},
    "enqueue": {"queue_name": "support"},
    "gather_using_ai": {"parameters": {"type": "object"}},
    "gather_using_speak": {"payload": "Your number?", "voice": "female"},
    "record_start": {"channels": "dual", "format": "mp3"},
    "refer": {"sip_address": "sip:anna@example.com"},
    "reject": {"cause": "USER_BUSY"},
    "send_dtmf": {"digits": "1"},
    "send_sip_info": {"content_type": "text/plain", "body": ""},
    "speak": {"payload": "Hello", "voice": "female"},
    "switch_supervisor_role": {"role": "barge"},
    "transfer": {"to": "+12025550123"},
}
HEADER = {"name": "X-Order", "value": "7"}

WRONG: list[tuple[str, dict[str, Any]]] = [
    # numbers and addresses
    ("dial", {"to": None}),
    ("dial", {"to": ""}),
    ("dial", {"to": "12025550123"}),
    ("dial", {"to": "+12025550123\n"}),
    ("dial", {"to": "sip:nobody"}),
    ("dial", {"to": "+12025550123,press 2"}),
    ("dial", {"to": 12025550123}),
    ("dial", {"to": []}),
    ("dial", {"to": ["+12025550123", "anonymous"]}),
    ("dial", {"to": ["+12025550123,200"]}),
    ("dial", {"from": None}),
    ("dial", {"from": "Anna"}),
    ("transfer", {"to": None}),
    ("transfer", {"to": "tel:+12025550123"}),
    ("refer", {"sip_address": None}),
    ("refer", {"sip_address": "+12025550123"}),
    # texts
    ("dial", {"connection_id": ""}),
    ("dial", {"connection_id": 123}),
    ("dial", {"billing_group_id": "1234"}),
    ("dial", {"client_state": "not base64!"}),
    ("dial", {"from_display_name": "Anna & Co"}),
    ("dial", {"from_display_name": "x" * 129}),
    ("dial", {"send_digits_on_answer": "2#E"}),
    ("dial", {"stream_auth_token": "x" * 4001}),
    ("dial", {"stream_url": "https://media.example.com"}),
    ("dial", {"audio_url": "hello.mp3"}),
    ("answer", {"record_custom_file_name": ""}),
    ("answer", {"record_custom_file_name": "x" * 41}),
    ("answer", {"webhook_url": "hooks.example.com/calls"}),
    ("client_state_update", {"client_state": None}),
    ("client_state_update", {"client_state": "Anna!"}),
    ("enqueue", {"queue_name": ""}),
    ("gather", {"terminating_digit": "##"}),
    ("hangup", {"reason": 'say "no"'}),
    ("playback_start", {"playback_content": "RIFF…"}),
    ("send_dtmf", {"digits": "1 2"}),
    ("send_sip_info", {"body": None}),
    ("send_sip_info", {"body": "ü" * 701}),
    ("send_sip_info", {"content_type": "plain"}),
    ("speak", {"payload": "x" * 3001}),
    ("transfer", {"target_leg_client_state": "%"}),
    # numbers and their bounds
    ("dial", {"timeout_secs": 4}),
    ("dial", {"timeout_secs": 601}),
    ("dial", {"timeout_secs": "30"}),
    ("dial", {"timeout_secs": True}),
    ("dial", {"time_limit_secs": 29}),
    ("dial", {"time_limit_secs": 14401}),
    ("answer", {"record_max_length": 43201}),
    ("gather", {"minimum_digits": 0}),
    ("gather_using_audio", {"maximum_digits": 129}),
    ("playback_start", {"loop": 101}),
    ("playback_start", {"loop": "forever"}),
    ("record_start", {"max_length": 14401}),
    ("record_start", {"timeout_secs": -1}),
    ("send_dtmf", {"duration_millis": 99}),
    ("siprec_start", {"session_timeout_secs": 60}),
    # enums
    ("dial", {"answering_machine_detection": "on"}),
    ("dial", {"stream_bidirectional_sampling_rate": 44100}),
    ("answer", {"record": "always"}),
    ("answer", {"stream_track": "all_tracks"}),
    ("bridge", {"ringtone": "uk-old"}),
    ("fork_start", {"stream_type": "raw"}),
    ("gather_using_ai", {"language": "English"}),
    ("pay", {"currency": "EUR"}),
    ("pay", {"valid_card_types": ["visa", "discovery"]}),
    ("playback_stop", {"stop": "everything"}),
    ("record_start", {"channels": "mono"}),
    ("record_start", {"format": None}),
    ("record_start", {"transcription_language": "English"}),
    ("reject", {"cause": None}),
    ("reject", {"cause": "BUSY"}),
    ("speak", {"language": "de"}),
    ("suppression_start", {"noise_suppression_engine": "A"}),
    ("switch_supervisor_role", {"role": "listen"}),
    ("transcription_start", {"transcription_tracks": "inbound_track"}),
    ("transfer", {"early_media": "yes"}),
    # several parameters
    ("dial", {"bridge_intent": True}),
    ("dial", {"bridge_on_answer": True}),
    ("dial", {"park_after_unbridge": "self"}),
    ("dial", {"audio_url": "https://a.example/x.mp3", "media_name": "x"}),
    ("bridge", {"call_control_id": None}),
    ("bridge", {"call_control_id": ""}),
    ("bridge", {"queue": "support"}),
    ("bridge", {"video_room_context": "Anna"}),
    ("conversation_relay_start", {"provider": "ElevenLabs"}),
    ("fork_start", {"stream_type": "decrypted"}),
    ("fork_start", {"rx": "udp:192.0.2.1:9000"}),
    ("gather", {"minimum_digits": 5, "maximum_digits": 4}),
    (
        "gather_using_audio",
        {"invalid_audio_url": "https://a.example/x.mp3", "invalid_media_name": "x"},
    ),
    ("gather_using_speak", {"service_level": "basic", "payload_type": "ssml"}),
    ("pay", {"transaction_type": "charge"}),
    ("pay", {"payment_token": "tok_1", "valid_card_types": ["visa"]}),
    ("pay", {"postal_code": " "}),
    ("playback_start", {"overlay": True, "target_legs": "both"}),
    ("speak", {"service_level": "basic", "language": "de-DE"}),
    # inside objects
    ("dial", {"custom_headers": {"X-Order": "7"}}),
    ("dial", {"custom_headers": [HEADER, {"name": "X-Order", "value": 7}]}),
    ("dial", {"custom_headers": [{"name": "X-Order"}]}),
    ("dial", {"sip_headers": [HEADER]}),
    ("dial", {"conference_config": {"beep_enabled": True}}),
    (
        "dial",
        {
            "conference_config": {
                "hold_audio_url": "https://a.example/x.mp3",
                "hold_media_name": "x",
            }
        },
    ),
    ("dial", {"answering_machine_detection_config": {"total_analysis_time_ms": 5000}}),
    ("dial", {"webhook_urls": {"call.hangup": 7}}),
    ("dial", {"webhook_urls": {"call.hangup": "hooks.example.com"}}),
    ("dial", {"webhook_urls": {"call.hangup": ["https://hooks.example.com", "hooks"]}}),
    ("dial", {"webhook_urls": {"call.hung_up": "https://hooks.example.com"}}),
    ("answer", {"webhook_retries_policies": {"*": {"retries_ms": [100]}}}),
    ("dial", {"webhook_retries_policies": {"call.hangup": {"retries_ms": [1, 2, 3, 4, 5, 6]}}}),
    ("answer", {"webhook_retries_policies": {"call.hangup": {"retries_ms": [30_000, 30_001]}}}),
    ("answer", {"deepfake_detection": {"enabled": True, "timeout": 61}}),
    ("answer", {"sound_modifications": {"semitone": 15}}),
    ("ai_assistant_start", {"assistant": {"model": "gpt"}}),
    ("ai_assistant_add_messages", {"messages": [{"role": "caller", "content": "Hi"}]}),
    ("ai_assistant_join", {"participant": {"id": "v3:a"}}),
    ("conversation_relay_start", {"conversation_relay_settings": {"url": "https://a.example"}}),
    ("gather_using_ai", {"voice_settings": {"type": "minimax"}}),
    ("pay", {"prompts": {"postal-code": [{"text": "Your code?", "attempt": 2}]}}),
    ("speak", {"voice_settings": {"voice_speed": 1.2}}),
    ("suppression_start", {"noise_suppression_engine_config": {"voice_gain": 4.5}}),
    # what there is not
    ("answer", {"to": "+12025550123"}),
    ("dial", {"command_id": "c-1"}),
    ("hangup", {"cause": "USER_BUSY"}),
    ("switch_supervisor_role", {"client_state": "YWJj"}),
]


def refused(operation: str, change: dict[str, Any]) -> ParameterInvalid:
    leg = None if operation == "dial" else "v3:a"
    with pytest.raises(ParameterInvalid) as raised:
        command_from(operation, {**RIGHT.get(operation, {}), **change}, leg)
    return raised.value


def snapshot() -> str:
    blocks = []
    for operation, change in WRONG:
        asked = msgspec.json.encode(change).decode()
        if len(asked) > SHOWN_CHARS_MAX:
            asked = asked[: SHOWN_CHARS_MAX - 1] + "…"
        blocks.append(f"{operation} {asked}\n    {refused(operation, change)}\n")
    return "\n".join(blocks)


def test_every_wrong_parameter_is_named_with_what_was_expected() -> None:
    assert snapshot() == SNAPSHOT.read_text()


def test_the_table_is_about_many_operations() -> None:
    assert len(WRONG) >= 60
    assert len({operation for operation, _ in WRONG}) >= 25


@pytest.mark.parametrize("operation", sorted(RIGHT))
def test_what_each_case_changes_is_right_before(operation: str) -> None:
    command_from(operation, RIGHT[operation], None if operation == "dial" else "v3:a")


def test_the_place_is_also_a_json_pointer() -> None:
    headers = refused("dial", {"custom_headers": [HEADER, {"name": "X-Order", "value": 7}]})
    assert headers.pointer == "/custom_headers/1/value"
    assert refused("dial", {"to": ["+12025550123", "x"]}).pointer == "/to/1"
    hooks = refused("dial", {"webhook_urls": {"call.hung_up": "https://hooks.example.com"}})
    assert hooks.pointer == "/webhook_urls/call.hung_up"
    assert refused("reject", {"cause": None}).pointer == "/cause"


def test_no_message_shows_a_secret() -> None:
    assert "xxxx" not in str(refused("dial", {"stream_auth_token": "x" * 4001}))
    assert "tok_1" not in str(
        refused("pay", {"payment_token": "tok_1", "valid_card_types": ["visa"]})
    )


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot())
