"""Prints answers of the API and the carrier."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from offhook.cli.printable import printable
from offhook.cli.remote.exchange import ErrorResponse


def error_to_raise(
    error: ErrorResponse, *, as_json: bool, command_id: str | None = None
) -> Exception:
    """The error itself, which is printed as text; with `as_json` its JSON is printed, status 1."""
    if not as_json:
        return error
    ids = {"command_id": command_id, "session_id": error.session_id}
    print_json({name: text for name, text in ids.items() if text} | error.body)
    return typer.Exit(1)


def print_fields(console: Console, values: Mapping[str, Any]) -> None:
    """A line for each field, with fields of objects as `inbound.channel_limit`."""
    fields = list(_flat(values, ""))
    widest = max((len(name) for name, _ in fields), default=0)
    for name, value in fields:
        shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        text = printable("–" if value is None else shown)
        # Not wrapped, so that ids can be copied.
        console.print(Text.assemble((f"  {name:<{widest}}  ", "bold"), text), soft_wrap=True)


def _flat(values: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def print_json(value: Mapping[str, Any]) -> None:
    """Print one line of JSON, at once."""
    print(msgspec.json.encode(value).decode(), flush=True)  # noqa: T201, rich would wrap it
