"""One command from a terminal through Offhook's API: check it, send it, print the answer.

So a command is durable, with exactly-once effect. Each carries a command_id, made here if none was
given: where the answer got lost, the same command with the same id asks for it again.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import typer
from msgspec.inspect import ListType, LiteralType, StrType, Type
from rich.console import Console

from offhook.cli.remote.answers import fields_table, print_json, told
from offhook.cli.remote.exchange import NoAnswer, Refused, Server
from offhook.cli.tokens import widest_token
from offhook.commands.catalog import command_from, kinds_of, method_of, path_of
from offhook.errors import SettingInvalid
from offhook.redact import is_secret_name
from offhook.settings import Settings

ANSWER_GRACE_S = 5.0
"""How much longer than the API itself to wait for the carrier's answer."""

INTERRUPTED = 130
"""The status of a program that Ctrl-C ended."""


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
    """Check, send, print. Raises ParameterInvalid, or OffhookError if it did not take effect."""
    texts = {name: text for name, text in given.items() if text is not None}
    for name, text in _named(more or []):
        if is_secret_name(name):
            text = _secret_in(name, text)
        if name == "command_id" or (name == "call_control_id" and operation != "bridge"):
            raise typer.BadParameter(f"--param {name}: there is an option or argument for it")
        if name in texts:
            raise typer.BadParameter(f"{name} is given twice: {texts[name]!r} and {text!r}")
        texts[name] = text
    if operation == "dial" and settings.connection_id:
        texts.setdefault("connection_id", settings.connection_id)
    parameters = {name: _value_of(operation, name, text) for name, text in texts.items()}
    command_from(operation, parameters, leg)
    command_id = command_id or str(uuid.uuid4())
    with open_api(settings) as api:
        try:
            found = api.ask(
                method_of(operation),
                f"/v2{path_of(operation, leg)}",
                body={**parameters, "command_id": command_id},
            )
        except Refused as refused:
            raise told(refused, as_json=as_json, command_id=command_id) from None
        except NoAnswer as error:
            if not error.maybe_taken:
                raise
            raise NoAnswer(f"{error}. {_once_more(command_id)}", maybe_taken=True) from error
        except KeyboardInterrupt:
            # Who ends the waiting will try again, and the id that was made here is not known yet.
            told_aside = Console(stderr=True)
            told_aside.print(f"interrupted. {_once_more(command_id)}", markup=False, soft_wrap=True)
            raise typer.Exit(INTERRUPTED) from None
    if found.warning:
        Console(stderr=True).print(f"warning: {found.warning}", markup=False, soft_wrap=True)
    if as_json:
        print_json({"command_id": command_id, **found.body})
        return
    console.print(f"{operation}: {found.status}, command_id {command_id}", highlight=False)
    console.print(fields_table(found.body.get("data") or {}))


def _once_more(command_id: str) -> str:
    return (
        f"The API may have the command all the same; once more with --command-id {command_id} asks "
        "for its answer, and does nothing twice"
    )


def _named(texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name and value of each `name=value`."""
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"--param {text!r}: expected NAME=VALUE")
        yield name, value


def _secret_in(name: str, text: str) -> str:
    """The text in the file of `name=@FILE`: every user of the machine sees a command's options."""
    if text.startswith("@"):
        try:
            return Path(text[1:]).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"--param {name}: {error}") from error
    warning = f"warning: the process list shows {name}; write it to a file: --param {name}=@FILE"
    Console(stderr=True).print(warning, markup=False, soft_wrap=True)
    return text


def _value_of(operation: str, name: str, text: str) -> Any:
    """The text as it stands where the parameter may be a text, else the JSON in it.

    "+1202…", an id of digits alone and a message of `true` are meant as text; 30, true and [ ] are
    meant as what they are where they may be that.
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


def open_api(settings: Settings) -> Server:
    """The API, with a token that may command if there is one."""
    token = settings.api_token or widest_token(settings.api_tokens)
    if not token:
        raise SettingInvalid(
            "there is no token for the API: set OFFHOOK_API_TOKEN, or name the --ready-file of "
            "`offhook up`"
        )
    # What the official SDKs call base_url ends in /v2; here it may.
    url = settings.api_url.removesuffix("/").removesuffix("/v2")
    host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
    return Server(
        name="the API",
        url=url or f"http://{host}:{settings.api_port}",
        token=token,
        timeout_s=settings.answer_timeout_s + ANSWER_GRACE_S,
        see="OFFHOOK_API_URL, or give --ready-file",
    )
