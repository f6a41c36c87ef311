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
from offhook.commands.catalog import check, command_from, parameters_of, path_of
from offhook.errors import OperationUnknown, ParameterInvalid
from offhook.events import IssuedCommand

DIAL: dict[str, Any] = {"to": "+12025550123", "from": "+12025550199", "connection_id": "1"}

# ------------------------------------------------------------------ what is wrong


def test_an_unknown_operation_lists_the_known_ones() -> None:
    with pytest.raises(OperationUnknown) as raised:
        command_from("say", {"payload": "hello"}, "v3:a")
    assert str(raised.value).startswith(
        "'say' is not a call control operation; known: ai_assistant_add_messages, ai_assistant_"
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


def test_only_a_dial_goes_without_a_leg() -> None:
    check(issued_of(Dial(to="+12025550123", from_="+12025550199", connection_id="1")))
    with pytest.raises(ParameterInvalid, match="the event has no leg to command"):
        check(issued_of(Answer()))


def test_sound_is_modified_on_both_tracks_as_in_the_carriers_example() -> None:
    example = {"octaves": 0.1, "pitch": 0.8, "semitone": -2, "track": "both"}
    command = command_from("answer", {"sound_modifications": example}, "v3:a")
    assert parameters_of(command) == {"sound_modifications": example}


def test_a_parameter_with_a_typo_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(ParameterInvalid, match="no such parameter; did you mean timeout_secs"):
        command_from("dial", {"timeout_sec": 3})
    with pytest.raises(ParameterInvalid, match=r"there is no such parameter$"):
        command_from("dial", {"menu": 3})


def test_a_null_parameter_counts_as_left_out() -> None:
    command = command_from("answer", {"client_state": None, "record": None}, "v3:a")
    assert command == Answer(call_control_id="v3:a")


def issued_of(command: Command) -> IssuedCommand:
    return IssuedCommand(
        command_id="c1",
        operation=command.operation,
        call_control_id=getattr(command, "call_control_id", None),
        parameters=parameters_of(command),
    )


def test_a_command_made_in_python_is_checked_by_the_same_rules() -> None:
    with pytest.raises(ParameterInvalid) as raised:
        check(issued_of(Transfer(call_control_id="v3:a", to="12025550123")))
    assert raised.value.field == "to"
    check(issued_of(Transfer(call_control_id="v3:a", to="+12025550123")))
    with pytest.raises(ValueError, match="link_to: it is required with bridge_intent"):
        Dial(to="+12025550123", from_="+12025550199", connection_id="1", bridge_intent=True)


@pytest.mark.parametrize(
    ("operation", "leg", "path"),
    [
        ("dial", None, "/calls"),
        ("hangup", "v3:a_B-9", "/calls/v3:a_B-9/actions/hangup"),
        ("send_sip_info", "v3:a", "/calls/v3:a/actions/send_sip_info"),
        ("answer", "x/y?z#", "/calls/x%2Fy%3Fz%23/actions/answer"),
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
