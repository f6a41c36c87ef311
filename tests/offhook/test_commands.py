"""The commands against the official SDK: nothing invented, nothing missing."""

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Required, get_args, get_origin, get_type_hints

import pytest

from offhook.commands import COMMANDS, Command, Dial, SendSipInfo

SDK_PARAMS = {
    "dial": ("telnyx.types.call_dial_params", "CallDialParams"),
    "answer": ("telnyx.types.calls.action_answer_params", "ActionAnswerParams"),
    "transfer": ("telnyx.types.calls.action_transfer_params", "ActionTransferParams"),
    "bridge": ("telnyx.types.calls.action_bridge_params", "ActionBridgeParams"),
    "hangup": ("telnyx.types.calls.action_hangup_params", "ActionHangupParams"),
    "reject": ("telnyx.types.calls.action_reject_params", "ActionRejectParams"),
    "refer": ("telnyx.types.calls.action_refer_params", "ActionReferParams"),
    "send_sip_info": (
        "telnyx.types.calls.action_send_sip_info_params",
        "ActionSendSipInfoParams",
    ),
}

# (operation, the carrier's name) -> why we differ, on purpose.
OTHER_ENUM = {
    ("answer", "preferred_codecs"): "its one enum value is an example list; dial and transfer "
    "have text, as we do",
    ("dial", "park_after_unbridge"): "text there; the documents know the one value `self`",
    ("transfer", "park_after_unbridge"): "as for dial",
    ("bridge", "park_after_unbridge"): "as for dial",
}
OTHER_REQUIRED = {
    ("bridge", "call_control_id"): "the documents offer queue and video_room_id instead; exactly "
    "one of the three is required here",
}


@dataclasses.dataclass(frozen=True)
class Parameter:
    """What can be compared of a parameter."""

    required: bool
    choices: frozenset[object]


def choices_in(hint: Any) -> frozenset[object]:
    """The values of every Literal inside a type."""
    if get_origin(hint) is Literal:
        return frozenset(get_args(hint))
    parts = get_args(hint)[:1] if get_origin(hint) is Annotated else get_args(hint)
    return frozenset(value for part in parts for value in choices_in(part))


def sdk_parameters(operation: str) -> Mapping[str, Parameter]:
    module, name = SDK_PARAMS[operation]
    hints = get_type_hints(getattr(importlib.import_module(module), name), include_extras=True)
    parameters = {}
    for field, hint in hints.items():
        required = get_origin(hint) is Required
        inner = get_args(hint)[0] if required else hint
        aliases = [getattr(extra, "alias", None) for extra in getattr(inner, "__metadata__", ())]
        wire_name = next((alias for alias in aliases if alias), field)
        parameters[wire_name] = Parameter(required, choices_in(inner))
    # The path's call_control_id is an argument of its own in the SDK, and the id of a command
    # belongs to the sending with us.
    del parameters["command_id"]
    return parameters


def our_parameters(kind: type[Command]) -> Mapping[str, Parameter]:
    renamed = {"from_": "from", "call_control_id_to_bridge_with": "call_control_id"}
    hints = get_type_hints(kind, include_extras=True)
    return {
        renamed.get(field.name, field.name): Parameter(
            field.default is dataclasses.MISSING, choices_in(hints[field.name])
        )
        for field in dataclasses.fields(kind)
        if field.name != "call_control_id"
    }


OPERATIONS = sorted(COMMANDS)


def test_the_sdk_is_asked_about_every_command() -> None:
    assert set(SDK_PARAMS) == set(COMMANDS)
    assert all(kind.operation == operation for operation, kind in COMMANDS.items())


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_names_are_those_of_the_sdk(operation: str) -> None:
    assert set(our_parameters(COMMANDS[operation])) == set(sdk_parameters(operation))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_enums_are_those_of_the_sdk(operation: str) -> None:
    ours, theirs = our_parameters(COMMANDS[operation]), sdk_parameters(operation)
    different = {name for name in ours if ours[name].choices != theirs[name].choices}
    assert different == {name for owner, name in OTHER_ENUM if owner == operation}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_is_required_is_so_in_the_sdk(operation: str) -> None:
    ours, theirs = our_parameters(COMMANDS[operation]), sdk_parameters(operation)
    different = {name for name in ours if ours[name].required != theirs[name].required}
    assert different == {name for owner, name in OTHER_REQUIRED if owner == operation}


def test_a_parameter_of_two_commands_has_one_type() -> None:
    hints = {kind: get_type_hints(kind, include_extras=True) for kind in COMMANDS.values()}
    kinds_of: dict[str, set[str]] = {}
    for kind, fields in hints.items():
        for field in dataclasses.fields(kind):
            kinds_of.setdefault(field.name, set()).add(str(fields[field.name]))
    # Dial rings several at once; its `from` is required, as are the bodies of other commands.
    assert {name for name, kinds in kinds_of.items() if len(kinds) > 1} == {"to", "from_"}


def test_bytes_and_not_characters_bound_the_body_of_a_sip_info() -> None:
    SendSipInfo(content_type="text/plain", body="ü" * 700)
    with pytest.raises(ValueError, match="body: it has 1402 bytes; at most 1400 are allowed"):
        SendSipInfo(content_type="text/plain", body="ü" * 701)


def test_commands_are_values() -> None:
    one = Dial(to="+12025550123", from_="+12025550199", connection_id="1")
    other = Dial(to="+12025550123", from_="+12025550199", connection_id="1")
    assert one == other
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.to = "+12025550124"  # type: ignore[misc]
