"""Operations as the carrier's HTTP interface knows them: path, body, and what is allowed in it.

    operation       method and path                              command
    dial            POST /calls                                  Dial
    any other       POST /calls/{call_control_id}/actions/{op}   Answer, Transfer, Hangup …

The parameters themselves are the fields of `offhook.commands`; this file turns them into JSON and
back, and turns what the type checker of msgspec finds into an error that names field and value.
`command_id` is no parameter here: it belongs to the sending (`offhook.events.IssuedCommand`).
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from offhook.commands import (
    COMMANDS,
    Base64,
    Command,
    LegCommand,
    MediaType,
    PhoneOrSip,
    QuotableText,
    SipUri,
    Uuid,
)
from offhook.errors import OperationUnknown, ParameterInvalid

# Field name -> the carrier's name, where they differ: `from` is a Python keyword, and bridge has
# one call_control_id in its path and another in its body (the SDK renames them the same way).
_WIRE_NAMES = {"from_": "from", "call_control_id_to_bridge_with": "call_control_id"}


def command_from(
    operation: str, parameters: Mapping[str, Any], call_control_id: str | None = None
) -> Command:
    """The typed command for a request body (without `command_id`).

    Raises OperationUnknown, or ParameterInvalid naming the first field that is wrong.
    """
    kind = COMMANDS.get(operation)
    if kind is None:
        known = ", ".join(sorted(COMMANDS))
        raise OperationUnknown(f"{operation!r} is not a call control operation; known: {known}")
    fields = _fields_by_wire_name(kind)
    for name, value in parameters.items():
        if name not in fields:
            raise ParameterInvalid(operation, name, value, "there is no such parameter")
    values = {fields[name]: value for name, value in parameters.items() if value is not None}
    if issubclass(kind, LegCommand):
        values["call_control_id"] = call_control_id
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise _named(operation, values, str(error)) from None


def parameters_of(command: Command) -> dict[str, Any]:
    """The command's request body, without `command_id`; what was left out is not in it."""
    names = _fields_by_wire_name(type(command))
    return {
        wire_name: value
        for wire_name, name in names.items()
        if (value := getattr(command, name)) is not None
    }


def check(command: Command) -> None:
    """Raise ParameterInvalid if the carrier's documents do not allow one of the values."""
    leg = command.call_control_id if isinstance(command, LegCommand) else None
    command_from(command.operation, parameters_of(command), leg)


def kinds_of(operation: str, name: str) -> tuple[msgspec.inspect.Type, ...]:
    """What a parameter, by the carrier's name, may be; empty if the operation has none such."""
    field = _fields_by_wire_name(COMMANDS[operation]).get(name)
    return () if field is None else _kinds(operation, field)


def path_of(operation: str, call_control_id: str | None) -> str:
    """The request path below the carrier's base address (`…/v2`)."""
    if operation == "dial":
        return "/calls"
    assert call_control_id is not None, f"{operation} needs a leg"
    return f"/calls/{quote(call_control_id, safe=':')}/actions/{operation}"


def _fields_by_wire_name(kind: type[Command]) -> dict[str, str]:
    return {
        _WIRE_NAMES.get(field.name, field.name): field.name
        for field in dataclasses.fields(kind)
        if field.name != "call_control_id"
    }


def _pattern_of(annotated: Any) -> str:
    pattern: str = annotated.__metadata__[0].pattern
    return pattern


_PATTERN_WORDS = {
    _pattern_of(PhoneOrSip): "expected a number in E.164 (+12025550123) or a SIP URI "
    "(sip:user@host)",
    _pattern_of(SipUri): "expected a SIP URI (sip:user@host)",
    _pattern_of(Base64): "expected base64",
    _pattern_of(Uuid): "expected a UUID",
    _pattern_of(MediaType): "expected a media type (text/plain)",
    _pattern_of(QuotableText): "expected text without double quotes, backslashes, control "
    "characters and characters beyond U+FFFF",
}
_AT = re.compile(r" - at `\$\.(?P<path>[^`]+)`$")
_MISSING = re.compile(r"^Object missing required field `(?P<name>\w+)`")
_PATTERN = re.compile(r"^Expected `str` matching regex (?P<pattern>'.*'|\".*\")$", re.DOTALL)


def _named(operation: str, values: Mapping[str, Any], message: str) -> ParameterInvalid:
    """msgspec's message as an error with operation, field, value and what is allowed."""
    if missing := _MISSING.match(message):
        name = missing["name"]
        return ParameterInvalid(operation, _WIRE_NAMES.get(name, name), None, "it is required")
    at = _AT.search(message)
    if at is None:  # a rule over several fields, raised by the command's __post_init__
        name, _, rule = message.partition(": ")
        field = next((own for own, wire in _WIRE_NAMES.items() if wire == name), name)
        return ParameterInvalid(operation, name, values.get(field), rule)
    name = re.split(r"[.\[]", at["path"])[0]
    expected = message[: at.start()]
    if pattern := _PATTERN.match(expected):
        text = pattern["pattern"][1:-1].replace("\\\\", "\\")
        expected = _PATTERN_WORDS.get(text, f"expected text matching {text}")
    elif expected.startswith("Invalid enum value"):
        expected = f"expected one of {', '.join(map(repr, _choices(operation, name)))}"
    return ParameterInvalid(operation, _WIRE_NAMES.get(name, name), values.get(name), expected)


def _choices(operation: str, field: str) -> tuple[object, ...]:
    return tuple(
        value
        for kind in _kinds(operation, field)
        if isinstance(kind, msgspec.inspect.LiteralType)
        for value in kind.values
    )


def _kinds(operation: str, name: str) -> tuple[msgspec.inspect.Type, ...]:
    command = msgspec.inspect.type_info(COMMANDS[operation])
    assert isinstance(command, msgspec.inspect.DataclassType)
    field = next(field for field in command.fields if field.name == name)
    return field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
