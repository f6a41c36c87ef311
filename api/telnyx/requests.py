"""The command in a request's body, checked before anything is stored."""

import re
import uuid
from dataclasses import dataclass
from typing import Any

import msgspec

from offhook.api.errors import call_unknown, parameter_invalid, refusal
from offhook.commands.catalog import command_from, parameters_of
from offhook.commands.paths import SEGMENT_RULE, is_segment
from offhook.commands.webhook_targets import require_post
from offhook.errors import ParameterInvalid, shown
from offhook.events import IssuedCommand

COMMAND_ID_HEADER = "offhook-command-id"
"""Of every answer to a command: the command's id, chosen by the caller or made here."""

CALL_CONTROL_ID_MAX = 256
"""Characters; the id becomes part of a path and of a record's header."""


@dataclass(frozen=True, kw_only=True)
class CommandRequest:
    """A checked command.

    `given`: its command_id is the caller's, so whoever repeats the request means the same command.
    `repeated`: an earlier attempt of it may be in the log, see `offhook.api.telnyx.idempotency`.
    """

    command: IssuedCommand
    given: bool
    repeated: bool = False


def request_from(operation: str, call_control_id: str | None, body: bytes) -> CommandRequest:
    """The command in a request body. Raises ErrorAnswer naming the first field that is wrong."""
    if call_control_id is not None and not is_call_control_id(call_control_id):
        raise call_unknown(
            f"{operation}: call_control_id {shown(call_control_id)} is not valid; "
            f"{SEGMENT_RULE}, and at most {CALL_CONTROL_ID_MAX} characters"
        )
    parameters = _json_object(body)
    command_id = parameters.pop("command_id", None)
    try:
        if command_id is not None:
            _check_command_id(operation, command_id)
        command = command_from(operation, parameters, call_control_id)
        require_post(operation, parameters)
    except ParameterInvalid as error:
        raise parameter_invalid(error) from None
    issued = IssuedCommand(
        command_id=command_id or str(uuid.uuid4()),
        operation=operation,
        call_control_id=call_control_id,
        parameters=parameters_of(command),
    )
    return CommandRequest(command=issued, given=command_id is not None)


def require_same(command: IssuedCommand, first: IssuedCommand) -> None:
    """Raise ErrorAnswer 422 unless the command is the one that had this command_id first."""
    names = command.parameters.keys() | first.parameters.keys()
    other = sorted(
        name for name in names if command.parameters.get(name) != first.parameters.get(name)
    )
    if command.operation == first.operation and command.call_control_id == first.call_control_id:
        if not other:
            return
        # Only the names: a value may be a password.
        used = f"with other values of {', '.join(other)}"
    else:
        leg = f" of {first.call_control_id}" if first.call_control_id else ""
        used = f"for {first.operation}{leg}"
    raise refusal(
        422,
        "10015",
        f"{command.operation}: command_id {command.command_id} was used before, {used}; "
        "another command needs a command_id of its own",
        pointer="/command_id",
    )


def is_call_control_id(text: str) -> bool:
    """Whether the carrier can be asked about it, and a record's header can carry it."""
    return len(text) <= CALL_CONTROL_ID_MAX and is_segment(text)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        detail = f"The body is not UTF-8: byte {error.start} cannot be decoded"
        raise refusal(400, "10028", detail) from None
    try:
        return msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(400, "10023", f"The body is not a JSON object: {error}") from None


def _check_command_id(operation: str, command_id: Any) -> None:
    # It becomes part of a header in the log, so it must not contain what ends a header.
    if not isinstance(command_id, str):
        rule = "expected a text, got something else"
        raise ParameterInvalid(operation, "command_id", command_id, rule)
    if not _COMMAND_ID.fullmatch(command_id):
        raise ParameterInvalid(
            operation,
            "command_id",
            command_id,
            "expected 1 to 128 printable ASCII characters without a space at either end",
        )


_COMMAND_ID = re.compile(r"[!-~](?:[ -~]{0,126}[!-~])?")
