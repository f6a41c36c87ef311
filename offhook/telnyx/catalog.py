"""Operations as the carrier's HTTP interface knows them: path, body, and what is allowed in it.

    operation             method and path                              command
    dial                  POST /calls                                  Dial
    client_state_update   PUT  /calls/{call_control_id}/actions/…      UpdateClientState
    any other             POST /calls/{call_control_id}/actions/…      Answer, Speak, Hangup …

The parameters themselves are the fields of `offhook.commands`; this file turns them into JSON and
back, and turns what the type checker of msgspec finds into an error that names operation, place,
value and what is allowed (`conference_config.hold_audio_url`, `to[1]`).
`command_id` is no parameter here: it belongs to the sending (`offhook.events.IssuedCommand`).
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec.inspect import (
    DataclassType,
    DictType,
    ListType,
    LiteralType,
    Metadata,
    Type,
    TypedDictType,
    UnionType,
    type_info,
)

from offhook import parameters as value_types
from offhook.commands import COMMANDS, Command, LegCommand
from offhook.errors import OperationUnknown, ParameterInvalid
from offhook.parameter_objects import OPEN_OBJECTS

CHOICES_SHOWN_MAX = 50

# Field name -> the carrier's name, where they differ: `from` is a Python keyword, and bridge has
# one call_control_id in its path and another in its body (the SDK renames them the same way).
_WIRE_NAMES = {"from_": "from", "call_control_id_to_bridge_with": "call_control_id"}


def command_from(
    operation: str, parameters: Mapping[str, Any], call_control_id: str | None = None
) -> Command:
    """The typed command for a request body (without `command_id`).

    Raises OperationUnknown, or ParameterInvalid naming the first place that is wrong.
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
        msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise _named(operation, values, str(error)) from None
    for place, value in _unknown_entries(operation, values):
        raise _invalid(operation, place, value, "there is no such parameter")
    # Not what was converted: that would have 1.0 for 1, and the carrier gets what was asked for.
    command = kind(**values)
    try:
        command.check()
    except ValueError as error:
        raise _named(operation, values, str(error)) from None
    return command


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


def kinds_of(operation: str, name: str) -> tuple[Type, ...]:
    """What a parameter, by the carrier's name, may be; empty if the operation has none such."""
    field = _fields_by_wire_name(COMMANDS[operation]).get(name, "")
    return tuple(one for kind in _inside(_type_of(operation), field) for one in _members(kind))


def method_of(operation: str) -> str:
    """The HTTP method of an operation."""
    return COMMANDS[operation].method


def takes_command_id(operation: str) -> bool:
    """False where the carrier has no `command_id`: sent twice, such a command is done twice."""
    return COMMANDS[operation].takes_command_id


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


# ------------------------------------------------------------------ what is wrong, in words


_PATTERN_WORDS = {
    meta.pattern: meta.description
    for kind in vars(value_types).values()
    for meta in getattr(kind, "__metadata__", ())
    if meta.pattern is not None
}
_AT = re.compile(r" - at (?P<key>`key` in )?`\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"^Object missing required field `(?P<name>\w+)`")
_PATTERN = re.compile(r"^Expected `str` matching regex (?P<pattern>'.*'|\".*\")$", re.DOTALL)


def _named(operation: str, values: Mapping[str, Any], message: str) -> ParameterInvalid:
    """msgspec's message as an error with operation, place, value and what is allowed."""
    at = _AT.search(message)
    path = at["path"] if at else ""
    if missing := _MISSING.match(message):
        place = f"{path}.{missing['name']}" if path else missing["name"]
        return _invalid(operation, place, None, "it is required")
    if at is None:  # a rule of the command's own
        place, _, rule = message.partition(": ")
        own = next((own for own, wire in _WIRE_NAMES.items() if wire == place), place)
        return _invalid(operation, own, _value_at(own, values), rule)
    # Of a map's entries msgspec does not say which it is: the map is shown.
    path = path.partition("[...]")[0]
    expected = message[: at.start()].replace(" | null`", "`")
    if pattern := _PATTERN.match(expected):
        text = pattern["pattern"][1:-1].replace("\\\\", "\\")
        expected = f"expected {_PATTERN_WORDS[text]}"
    elif expected.startswith("Invalid enum value"):
        expected = f"expected one of {_listed(_choices(operation, path))}"
    return _invalid(operation, path, _value_at(path, values), expected)


def _invalid(operation: str, place: str, value: object, rule: str) -> ParameterInvalid:
    """`place` starts with the name of a field: `from_`, `voice_settings.type`, `to[1]`."""
    name = re.split(r"[.\[]", place)[0]
    inside = place[len(name) :]
    return ParameterInvalid(operation, _WIRE_NAMES.get(name, name), value, rule, inside=inside)


def _listed(choices: Sequence[object]) -> str:
    shown = ", ".join(map(repr, choices[:CHOICES_SHOWN_MAX]))
    more = len(choices) - CHOICES_SHOWN_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def _steps(path: str) -> list[str | int]:
    """`voices[1].type` as names and positions."""
    return [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path)]


def _value_at(path: str, values: Any) -> Any:
    for step in _steps(path):
        values = values[step] if isinstance(step, int) else values.get(step)
        if values is None:
            return None
    return values


def _choices(operation: str, path: str) -> tuple[object, ...]:
    """The enum's values at a place, those of a map's keys or values too."""
    kinds = [_type_of(operation)]
    for step in _steps(path):
        kinds = [inner for kind in kinds for inner in _inside(kind, step)]
    literals = [literal for kind in kinds for literal in _literals(kind)]
    return tuple(value for literal in literals for value in literal.values)


@cache
def _type_of(operation: str) -> Type:
    return type_info(COMMANDS[operation])


def _members(kind: Type) -> tuple[Type, ...]:
    """The members of a union, without what is only said about them."""
    if isinstance(kind, Metadata):
        return _members(kind.type)
    if isinstance(kind, UnionType):
        return tuple(member for one in kind.types for member in _members(one))
    return (kind,)


def _inside(kind: Type, step: str | int) -> Iterator[Type]:
    """The types that the value at `step` of a value of this type can have."""
    for member in _members(kind):
        if isinstance(member, DataclassType | TypedDictType):
            yield from (field.type for field in member.fields if field.name == step)
        elif isinstance(member, DictType):
            yield member.value_type
        elif isinstance(member, ListType) and isinstance(step, int):
            yield member.item_type


def _literals(kind: Type) -> Iterator[LiteralType]:
    for member in _members(kind):
        if isinstance(member, LiteralType):
            yield member


def _unknown_entries(operation: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Place and value of each entry of an object that the object does not have.

    msgspec reads such objects without them, which would forward what nobody has checked.
    """
    for name, value in values.items():
        for kind in _inside(_type_of(operation), name):
            yield from _unknown_in(kind, value, name)


def _unknown_in(kind: Type, value: Any, place: str) -> Iterator[tuple[str, Any]]:
    for member in _members(kind):
        if isinstance(value, dict):
            known = _names_of(member)
            for name, one in value.items():
                if known is not None and name not in known:
                    yield f"{place}.{name}", one
                for inner in _inside(member, name):
                    yield from _unknown_in(inner, one, f"{place}.{name}")
        elif isinstance(value, list):
            for position, one in enumerate(value):
                for inner in _inside(member, position):
                    yield from _unknown_in(inner, one, f"{place}[{position}]")


def _names_of(kind: Type) -> frozenset[str] | None:
    """The entries an object of this type can have; None if it is open, or no object."""
    if not isinstance(kind, TypedDictType) or kind.cls in OPEN_OBJECTS:
        return None
    return frozenset(field.name for field in kind.fields)
