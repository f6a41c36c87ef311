"""The catalog: what goes over the wire, and the words for everything that may not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.commands import (
    COMMANDS,
    Answer,
    Bridge,
    Command,
    Dial,
    Hangup,
    LegCommand,
    Refer,
    Reject,
    SendSipInfo,
    Transfer,
)
from offhook.errors import OperationUnknown, ParameterInvalid
from offhook.telnyx.catalog import check, command_from, parameters_of, path_of

DIAL: dict[str, Any] = {"to": "+12025550123", "from": "+12025550199", "connection_id": "1"}

# ------------------------------------------------------------------ what is wrong, in full

WRONG: list[tuple[str, dict[str, Any], str]] = [
    (
        "dial",
        {},
        "dial: to is missing; it is required",
    ),
    (
        "dial",
        {"from": "+12025550199", "connection_id": "1"},
        "dial: to is missing; it is required",
    ),
    (
        "dial",
        {**DIAL, "to": None},
        "dial: to is missing; it is required",
    ),
    (
        "dial",
        {**DIAL, "to": "12025550123"},
        "dial: to is '12025550123'; expected a number in E.164 (+12025550123) or a SIP "
        "URI (sip:user@host)",
    ),
    (
        "dial",
        {**DIAL, "to": "+12025550123\n"},
        "dial: to is '+12025550123\\n'; expected a number in E.164 (+12025550123) or a "
        "SIP URI (sip:user@host)",
    ),
    (
        "dial",
        {**DIAL, "to": ""},
        "dial: to is ''; expected a number in E.164 (+12025550123) or a SIP URI (sip:user@host)",
    ),
    (
        "dial",
        {**DIAL, "to": "sip:nobody"},
        "dial: to is 'sip:nobody'; expected a number in E.164 (+12025550123) or a SIP "
        "URI (sip:user@host)",
    ),
    (
        "dial",
        {**DIAL, "to": []},
        "dial: to is []; Expected `array` of length >= 1",
    ),
    (
        "dial",
        {**DIAL, "to": ["+12025550123", "anonymous"]},
        "dial: to is ['+12025550123', 'anonymous']; expected a number in E.164 "
        "(+12025550123) or a SIP URI (sip:user@host)",
    ),
    (
        "dial",
        {**DIAL, "to": 12025550123},
        "dial: to is 12025550123; Expected `str | array`, got `int`",
    ),
    (
        "dial",
        {**DIAL, "from": "Anna"},
        "dial: from is 'Anna'; expected a number in E.164 (+12025550123) or a SIP URI "
        "(sip:user@host)",
    ),
    (
        "dial",
        {**DIAL, "connection_id": ""},
        "dial: connection_id is ''; Expected `str` of length >= 1",
    ),
    (
        "dial",
        {**DIAL, "connection_id": 123},
        "dial: connection_id is 123; Expected `str`, got `int`",
    ),
    (
        "dial",
        {**DIAL, "timeout_secs": 4},
        "dial: timeout_secs is 4; Expected `int` >= 5",
    ),
    (
        "dial",
        {**DIAL, "timeout_secs": 601},
        "dial: timeout_secs is 601; Expected `int` <= 600",
    ),
    (
        "dial",
        {**DIAL, "timeout_secs": "30"},
        "dial: timeout_secs is '30'; Expected `int | null`, got `str`",
    ),
    (
        "dial",
        {**DIAL, "timeout_secs": True},
        "dial: timeout_secs is True; Expected `int | null`, got `bool`",
    ),
    (
        "dial",
        {**DIAL, "time_limit_secs": 29},
        "dial: time_limit_secs is 29; Expected `int` >= 30",
    ),
    (
        "dial",
        {**DIAL, "time_limit_secs": 14401},
        "dial: time_limit_secs is 14401; Expected `int` <= 14400",
    ),
    (
        "dial",
        {**DIAL, "client_state": "not base64!"},
        "dial: client_state is 'not base64!'; expected base64",
    ),
    (
        "dial",
        {**DIAL, "answering_machine_detection": "on"},
        "dial: answering_machine_detection is 'on'; expected one of 'detect', "
        "'detect_beep', 'detect_words', 'disabled', 'greeting_end', 'premium', "
        "'premium_ios_call_screening_detection'",
    ),
    (
        "dial",
        {**DIAL, "stream_bidirectional_sampling_rate": 44100},
        "dial: stream_bidirectional_sampling_rate is 44100; expected one of 8000, "
        "16000, 22050, 24000, 48000",
    ),
    (
        "dial",
        {**DIAL, "stream_auth_token": "x" * 4001},
        "dial: stream_auth_token is a secret; Expected `str` of length <= 4000",
    ),
    (
        "dial",
        {**DIAL, "billing_group_id": "1234"},
        "dial: billing_group_id is '1234'; expected a UUID",
    ),
    (
        "dial",
        {**DIAL, "from_display_name": "x" * 129},
        "dial: from_display_name is "
        "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "x…; Expected `str` of length <= 128",
    ),
    (
        "dial",
        {**DIAL, "bridge_on_answer": True},
        "dial: link_to is missing; it is required with bridge_on_answer",
    ),
    (
        "dial",
        {**DIAL, "park_after_unbridge": "self"},
        "dial: link_to is missing; it is required with park_after_unbridge",
    ),
    (
        "dial",
        {**DIAL, "audio_url": "https://a.example/x.mp3", "media_name": "x"},
        "dial: audio_url is 'https://a.example/x.mp3'; it cannot be used together with media_name",
    ),
    (
        "dial",
        {**DIAL, "custom_headers": [{"name": "X-A", "value": 1}]},
        "dial: custom_headers is [{'name': 'X-A', 'value': 1}]; Expected `str`, got `int`",
    ),
    (
        "dial",
        {**DIAL, "custom_headers": {"X-A": "1"}},
        "dial: custom_headers is {'X-A': '1'}; Expected `array | null`, got `object`",
    ),
    (
        "dial",
        {**DIAL, "command_id": "c-1"},
        "dial: command_id is 'c-1'; there is no such parameter",
    ),
    (
        "dial",
        {**DIAL, "webhook_urls": {"call.hangup": 7}},
        "dial: webhook_urls is {'call.hangup': 7}; Expected `str`, got `int`",
    ),
    (
        "answer",
        {"to": "+12025550123"},
        "answer: to is '+12025550123'; there is no such parameter",
    ),
    (
        "answer",
        {"record": "always"},
        "answer: record is 'always'; expected one of 'record-from-answer'",
    ),
    (
        "answer",
        {"record_max_length": 43201},
        "answer: record_max_length is 43201; Expected `int` <= 43200",
    ),
    (
        "answer",
        {"record_custom_file_name": ""},
        "answer: record_custom_file_name is ''; Expected `str` of length >= 1",
    ),
    (
        "answer",
        {"record_custom_file_name": "x" * 41},
        "answer: record_custom_file_name is "
        "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'; Expected `str` of length <= 40",
    ),
    (
        "answer",
        {"stream_track": "all_tracks"},
        "answer: stream_track is 'all_tracks'; expected one of 'both_tracks', "
        "'inbound_track', 'outbound_track'",
    ),
    (
        "transfer",
        {},
        "transfer: to is missing; it is required",
    ),
    (
        "transfer",
        {"to": "tel:+12025550123"},
        "transfer: to is 'tel:+12025550123'; expected a number in E.164 (+12025550123) "
        "or a SIP URI (sip:user@host)",
    ),
    (
        "transfer",
        {"to": "+12025550123", "target_leg_client_state": "%"},
        "transfer: target_leg_client_state is '%'; expected base64",
    ),
    (
        "transfer",
        {"to": "+12025550123", "early_media": "yes"},
        "transfer: early_media is 'yes'; Expected `bool | null`, got `str`",
    ),
    (
        "bridge",
        {},
        "bridge: call_control_id is missing; exactly one of call_control_id (the leg "
        "to bridge with), queue and video_room_id is required",
    ),
    (
        "bridge",
        {"call_control_id": "v3:b", "queue": "support"},
        "bridge: call_control_id is 'v3:b'; exactly one of call_control_id (the leg to "
        "bridge with), queue and video_room_id is required",
    ),
    (
        "bridge",
        {"call_control_id": ""},
        "bridge: call_control_id is ''; Expected `str` of length >= 1",
    ),
    (
        "bridge",
        {"call_control_id": "v3:b", "ringtone": "uk-old"},
        "bridge: ringtone is 'uk-old'; expected one of 'at', 'au', 'be', 'bg', 'br', "
        "'ch', 'cl', 'cn', 'cz', 'de', 'dk', 'ee', 'es', 'fi', 'fr', 'gr', 'hu', 'il', "
        "'in', 'it', 'jp', 'lt', 'mx', 'my', 'nl', 'no', 'nz', 'ph', 'pl', 'pt', 'ru', "
        "'se', 'sg', 'th', 'tw', 'uk', 'us', 'us-old', 've', 'za'",
    ),
    (
        "hangup",
        {"cause": "USER_BUSY"},
        "hangup: cause is 'USER_BUSY'; there is no such parameter",
    ),
    (
        "hangup",
        {"reason": 'say "no"'},
        "hangup: reason is 'say \"no\"'; expected text without double quotes, "
        "backslashes, control characters and characters beyond U+FFFF",
    ),
    (
        "reject",
        {},
        "reject: cause is missing; it is required",
    ),
    (
        "reject",
        {"cause": "BUSY"},
        "reject: cause is 'BUSY'; expected one of 'CALL_REJECTED', 'NOT_FOUND', "
        "'TEMPORARILY_UNAVAILABLE', 'USER_BUSY'",
    ),
    (
        "refer",
        {},
        "refer: sip_address is missing; it is required",
    ),
    (
        "refer",
        {"sip_address": "+12025550123"},
        "refer: sip_address is '+12025550123'; expected a SIP URI (sip:user@host)",
    ),
    (
        "send_sip_info",
        {"content_type": "text/plain"},
        "send_sip_info: body is missing; it is required",
    ),
    (
        "send_sip_info",
        {"content_type": "plain", "body": ""},
        "send_sip_info: content_type is 'plain'; expected a media type (text/plain)",
    ),
    (
        "send_sip_info",
        {"content_type": "text/plain", "body": "ü" * 701},
        "send_sip_info: body is "
        "'üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü"
        "ü…; it has 1402 bytes; at most 1400 are allowed",
    ),
]


@pytest.mark.parametrize(("operation", "parameters", "message"), WRONG)
def test_a_wrong_parameter_is_named_with_what_was_expected(
    operation: str, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterInvalid) as raised:
        command_from(operation, parameters, None if operation == "dial" else "v3:a")
    assert str(raised.value) == message
    assert raised.value.operation == operation
    assert message.startswith(f"{operation}: {raised.value.field} ")


def test_an_unknown_operation_lists_the_known_ones() -> None:
    with pytest.raises(OperationUnknown) as raised:
        command_from("speak", {"payload": "hello"}, "v3:a")
    assert str(raised.value) == (
        "'speak' is not a call control operation; known: answer, bridge, dial, hangup, refer, "
        "reject, send_sip_info, transfer"
    )


# ------------------------------------------------------------------ what is right

RIGHT: list[tuple[str, str | None, dict[str, Any], Command]] = [
    (
        "dial",
        None,
        DIAL,
        Dial(to="+12025550123", from_="+12025550199", connection_id="1"),
    ),
    (
        "dial",
        None,
        {**DIAL, "to": ["+12025550123", "sip:anna@sip.example.com"], "timeout_secs": 600},
        Dial(
            to=["+12025550123", "sip:anna@sip.example.com"],
            from_="+12025550199",
            connection_id="1",
            timeout_secs=600,
        ),
    ),
    (
        "dial",
        None,
        {**DIAL, "link_to": "v3:a", "bridge_on_answer": True, "park_after_unbridge": "self"},
        Dial(
            to="+12025550123",
            from_="+12025550199",
            connection_id="1",
            link_to="v3:a",
            bridge_on_answer=True,
            park_after_unbridge="self",
        ),
    ),
    ("answer", "v3:a", {}, Answer(call_control_id="v3:a")),
    (
        "answer",
        "v3:a",
        {"client_state": "", "record": "record-from-answer", "record_max_length": 0},
        Answer(
            call_control_id="v3:a",
            client_state="",
            record="record-from-answer",
            record_max_length=0,
        ),
    ),
    (
        "transfer",
        "v3:a",
        {"to": "sips:anna@example.com", "from": "+12025550199", "early_media": False},
        Transfer(
            call_control_id="v3:a",
            to="sips:anna@example.com",
            from_="+12025550199",
            early_media=False,
        ),
    ),
    (
        "bridge",
        "v3:a",
        {"call_control_id": "v3:b"},
        Bridge(call_control_id="v3:a", call_control_id_to_bridge_with="v3:b"),
    ),
    ("bridge", "v3:a", {"queue": "support"}, Bridge(call_control_id="v3:a", queue="support")),
    ("hangup", "v3:a", {}, Hangup(call_control_id="v3:a")),
    ("reject", "v3:a", {"cause": "USER_BUSY"}, Reject(call_control_id="v3:a", cause="USER_BUSY")),
    (
        "refer",
        "v3:a",
        {"sip_address": "sip:anna@example.com", "client_state": "YWJj"},
        Refer(call_control_id="v3:a", sip_address="sip:anna@example.com", client_state="YWJj"),
    ),
    (
        "send_sip_info",
        "v3:a",
        {"content_type": "text/plain; charset=utf-8", "body": "x" * 1400},
        SendSipInfo(
            call_control_id="v3:a", content_type="text/plain; charset=utf-8", body="x" * 1400
        ),
    ),
]


@pytest.mark.parametrize(("operation", "leg", "parameters", "command"), RIGHT)
def test_parameters_become_a_command_and_back(
    operation: str, leg: str | None, parameters: dict[str, Any], command: Command
) -> None:
    assert command_from(operation, parameters, leg) == command
    assert parameters_of(command) == parameters
    check(command)


def test_a_null_parameter_counts_as_left_out() -> None:
    command = command_from("answer", {"client_state": None, "record": None}, "v3:a")
    assert command == Answer(call_control_id="v3:a")


def test_a_command_made_in_python_is_checked_by_the_same_rules() -> None:
    with pytest.raises(ParameterInvalid) as raised:
        check(Transfer(call_control_id="v3:a", to="12025550123"))
    assert raised.value.field == "to"
    with pytest.raises(ValueError, match="link_to: it is required with bridge_intent"):
        Dial(to="+12025550123", from_="+12025550199", connection_id="1", bridge_intent=True)


@pytest.mark.parametrize(
    ("operation", "leg", "path"),
    [
        ("dial", None, "/calls"),
        ("hangup", "v3:a_B-9", "/calls/v3:a_B-9/actions/hangup"),
        ("send_sip_info", "v3:a", "/calls/v3:a/actions/send_sip_info"),
        ("answer", "../../x?y#z", "/calls/..%2F..%2Fx%3Fy%23z/actions/answer"),
    ],
)
def test_the_path_names_leg_and_operation(operation: str, leg: str | None, path: str) -> None:
    assert path_of(operation, leg) == path


def test_only_dial_goes_without_a_leg() -> None:
    with pytest.raises(AssertionError, match="hangup needs a leg"):
        path_of("hangup", None)


# ------------------------------------------------------------------ anything at all

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=5,
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    operation = draw(st.sampled_from(sorted(COMMANDS)))
    own = sorted(parameters_known(operation))
    names = st.sampled_from(own) | st.text(max_size=8)
    return operation, draw(st.dictionaries(names, json_values, max_size=4))


def parameters_known(operation: str) -> set[str]:
    renamed = {"from_": "from", "call_control_id_to_bridge_with": "call_control_id"}
    hints = COMMANDS[operation].__dataclass_fields__
    return {renamed.get(name, name) for name in hints if name != "call_control_id"}


@given(requests())
def test_any_body_is_a_command_or_a_named_error(request: tuple[str, dict[str, Any]]) -> None:
    operation, parameters = request
    base = DIAL if operation == "dial" else {}
    found = command_or_error(operation, {**base, **parameters})
    if isinstance(found, ParameterInvalid):
        assert found.operation == operation
        assert found.field in parameters_known(operation) | set(parameters)
        return
    assert command_from(operation, parameters_of(found), "v3:a") == found
    if isinstance(found, LegCommand):
        assert found.call_control_id == "v3:a"


def command_or_error(operation: str, parameters: dict[str, Any]) -> Command | ParameterInvalid:
    try:
        return command_from(operation, parameters, "v3:a")
    except ParameterInvalid as error:
        return error
