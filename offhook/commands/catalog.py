"""Operations as the carrier's HTTP interface knows them: path, body, and what is allowed in it.

    operation             method and path                              command
    dial                  POST /calls                                  Dial
    client_state_update   PUT  /calls/{call_control_id}/actions/…      UpdateClientState
    any other             POST /calls/{call_control_id}/actions/…      Answer, Speak, Hangup …

The parameters themselves are the fields of `offhook.commands`; this file turns them into JSON and
back. `offhook.commands.checks` finds what is wrong with one; here its operation is added.
`command_id` is no parameter here: it belongs to the sending (`offhook.events.IssuedCommand`).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from msgspec.inspect import Type

from offhook.carrier_events import BY_TYPE
from offhook.commands import COMMANDS, Command, LegCommand
from offhook.commands.checks import Wrong, broken_rule, kinds_at, wrong_in
from offhook.commands.paths import SEGMENT_RULE, action_path, is_segment
from offhook.commands.webhook_targets import require_post
from offhook.errors import OperationUnknown, ParameterInvalid, did_you_mean
from offhook.events import IssuedCommand

# Where they differ: `from` is a Python keyword, and bridge has one call_control_id in its path and
# another in its body (the SDK renames them the same way).
_WIRE_NAMES = {"from_": "from", "call_control_id_to_bridge_with": "call_control_id"}


def wire_name(field_name: str) -> str:
    """The carrier's name of a command's field."""
    return _WIRE_NAMES.get(field_name, field_name)


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
    fields = _fields_by_wire_name(operation)
    for name, value in parameters.items():
        if name not in fields:
            near = did_you_mean(name, fields)
            raise ParameterInvalid(operation, name, value, f"there is no such parameter{near}")
    values = {fields[name]: value for name, value in parameters.items() if value is not None}
    if issubclass(kind, LegCommand):
        values["call_control_id"] = call_control_id
        if isinstance(call_control_id, str) and not is_segment(call_control_id):
            raise ParameterInvalid(operation, "call_control_id", call_control_id, SEGMENT_RULE)
    if (wrong := wrong_in(kind, values)) is not None:
        raise _invalid(operation, wrong)
    for name, event_type, value in _unheard_of(parameters):
        rule = "there is no such event type"
        raise ParameterInvalid(operation, name, value, rule, inside=f"[{event_type!r}]")
    # The values as given: converted ones would have 1.0 for 1.
    command = kind(**values)
    try:
        command.check()
    except ValueError as error:
        raise _invalid(operation, broken_rule(str(error), values)) from None
    return command


def _unheard_of(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Maps whose key is not an event type (error 90057): parameter, key and value."""
    for name in ("webhook_urls", "webhook_retries_policies"):
        for event_type, value in (parameters.get(name) or {}).items():
            if event_type not in BY_TYPE and event_type != _IN_AN_EXAMPLE:
                yield name, event_type, value


# The description of `webhook_urls` has it for an example; the event is call.bridged.
_IN_AN_EXAMPLE = "call.bridge"


def parameters_of(command: Command) -> dict[str, Any]:
    """The command's request body, without `command_id`; what was left out is not in it."""
    names = _fields_by_wire_name(command.operation)
    return {
        wire_name: value
        for wire_name, name in names.items()
        if (value := getattr(command, name)) is not None
    }


def check(issued: IssuedCommand) -> None:
    """Raise ParameterInvalid if the carrier's documents do not allow one of the values.

    Webhooks by GET are refused too: the carrier allows them, and ingress takes none. So is a
    command for a leg that has none: its flow was asked about an event of no leg. Raises
    OperationUnknown too.
    """
    command = command_from(issued.operation, issued.parameters, issued.call_control_id)
    require_post(issued.operation, issued.parameters)
    if isinstance(command, LegCommand) and not issued.call_control_id:
        rule = "the event has no leg to command"
        raise ParameterInvalid(issued.operation, "call_control_id", None, rule)


def kinds_of(operation: str, name: str) -> tuple[Type, ...]:
    """The types of a parameter, by the carrier's name; empty if there is no such parameter."""
    field = _fields_by_wire_name(operation).get(name, "")
    return kinds_at(COMMANDS[operation], field)


def method_of(operation: str) -> str:
    """The HTTP method of an operation."""
    return COMMANDS[operation].method


def takes_command_id(operation: str) -> bool:
    """False if the carrier has no `command_id`: sent twice, such a command is performed twice."""
    return COMMANDS[operation].takes_command_id


def path_of(operation: str, call_control_id: str | None) -> str:
    """The request path below the carrier's base address (`…/v2`). Raises ParameterInvalid."""
    if operation == "dial":
        return "/calls"
    assert call_control_id is not None, f"{operation} needs a leg"
    return action_path(call_control_id, operation)


@cache
def _fields_by_wire_name(operation: str) -> Mapping[str, str]:
    return {
        wire_name(field.name): field.name
        for field in dataclasses.fields(COMMANDS[operation])
        if field.name != "call_control_id"
    }


def _invalid(operation: str, wrong: Wrong) -> ParameterInvalid:
    name = wire_name(wrong.name)
    return ParameterInvalid(operation, name, wrong.value, wrong.rule, inside=wrong.inside)
