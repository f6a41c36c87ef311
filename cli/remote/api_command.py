"""One command through Offhook's API: check it, send it, print the answer.

So it is durable and has exactly-once effect. Each command has a command_id, made here if none is
given: if the answer is lost, sending the command again with the same id returns it.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import typer
from msgspec.inspect import ListType, LiteralType, StrType, Type
from rich.console import Console

from offhook.cli.remote.answers import error_to_raise, print_fields, print_json
from offhook.cli.remote.exchange import ErrorResponse, Unanswered, open_api
from offhook.cli.remote.short_ids import whole_leg
from offhook.commands.catalog import command_from, kinds_of, method_of, path_of
from offhook.redact import is_secret_name
from offhook.settings import Settings

INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def send_command(
    console: Console,
    settings: Settings,
    operation: str,
    leg: str | None,
    given: Mapping[str, str | None],
    more: Sequence[str] | None,
    command_id: str | None,
    *,
    as_json: bool,
) -> None:
    """Check, send, print. Raises ParameterInvalid, or OffhookError if it did not take effect.

    `given` are the options, `more` the texts `NAME=VALUE` of --param.
    """
    parameters = _parameters(operation, settings, given, more or [])
    command_from(operation, parameters, leg)
    command_id = command_id or str(uuid.uuid4())
    with open_api(settings) as api:
        if leg is not None:
            leg = whole_leg(api, leg)
        if operation == "bridge" and "call_control_id" in parameters:
            parameters["call_control_id"] = whole_leg(api, parameters["call_control_id"])
        try:
            answer = api.ask(
                method_of(operation),
                f"/v2{path_of(operation, leg)}",
                body={**parameters, "command_id": command_id},
            )
        except ErrorResponse as error:
            raise error_to_raise(error, as_json=as_json, command_id=command_id) from None
        except Unanswered as error:
            if not error.maybe_taken:
                raise
            raise Unanswered(f"{error}. {_retry_hint(command_id)}", maybe_taken=True) from error
        except KeyboardInterrupt:
            # The user may want to repeat the command, and does not know the id that was made here.
            _warn(f"interrupted. {_retry_hint(command_id)}")
            raise typer.Exit(INTERRUPTED) from None
    if answer.warning:
        _warn(f"warning: {answer.warning}")
    if as_json:
        print_json({"command_id": command_id, **answer.body})
        return
    console.print(f"{operation}: {answer.status}, command_id {command_id}", highlight=False)
    print_fields(console, answer.body.get("data") or {})


def _parameters(
    operation: str, settings: Settings, given: Mapping[str, str | None], more: Sequence[str]
) -> dict[str, Any]:
    """All parameters, each text read as its parameter's type. Raises BadParameter."""
    texts = {name: text for name, text in given.items() if text is not None}
    for name, text in _named(more):
        if name == "command_id" or (name == "call_control_id" and operation != "bridge"):
            raise typer.BadParameter(f"--param {name}: there is an option or argument for it")
        value = _secret_in(name, text) if is_secret_name(name) else text
        if name in texts:
            raise typer.BadParameter(f"{name} is given twice: {texts[name]!r} and {value!r}")
        texts[name] = value
    if operation == "dial" and settings.connection_id:
        texts.setdefault("connection_id", settings.connection_id)
    return {name: _value_of(operation, name, text) for name, text in texts.items()}


def _retry_hint(command_id: str) -> str:
    return (
        f"The API may have the command; send it again with --command-id {command_id} to get its "
        "answer, without a second effect"
    )


def _warn(text: str) -> None:
    Console(stderr=True).print(text, markup=False, soft_wrap=True)


def _named(texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name and value of each `name=value`."""
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"--param {text!r}: expected NAME=VALUE")
        yield name, value


def _secret_in(name: str, text: str) -> str:
    """The content of the file for `name=@FILE`; the process list shows options to every user."""
    if text.startswith("@"):
        try:
            return Path(text[1:]).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"--param {name}: {error}") from error
    _warn(f"warning: the process list shows {name}; write it to a file: --param {name}=@FILE")
    return text


def _value_of(operation: str, name: str, text: str) -> Any:
    """The text itself if the parameter may be text, else the JSON in it.

    "+1202…", an id of digits and a message `true` are text; 30, true and [ ] are JSON if the
    parameter may be a number, a boolean or a list.
    """
    try:
        value = msgspec.json.decode(text.encode())
    except msgspec.DecodeError:
        return text
    kinds = kinds_of(operation, name)
    if isinstance(value, list) and any(isinstance(kind, ListType) for kind in kinds):
        return value
    return text if not kinds or any(_is_text(kind) for kind in kinds) else value


def _is_text(kind: Type) -> bool:
    if isinstance(kind, LiteralType):
        return any(isinstance(value, str) for value in kind.values)
    return isinstance(kind, StrType)
