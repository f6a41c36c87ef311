"""Generates `docs/parameters.md` from the commands' types and the carrier's defaults."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from offhook.api.telnyx.schemas import command_body
from offhook.commands import COMMANDS
from offhook.commands.defaults import DEFAULTS

VALUES_SHOWN_MAX = 12

_HEAD = """\
# Parameters

The parameters of every command. Generated from the commands' types and `offhook.commands.defaults`:
do not edit (run `python -m scripts.generate_commands`).

A default is the value the carrier uses if a parameter is left out; – means that no source names
one. Every operation except those of note 2 in [Operations](operations.md) also has `command_id`.
Rules that involve several parameters (such as one that is allowed only with another) are not
listed here; a command that breaks one is refused with that rule. Objects are defined in
`offhook.commands.objects`, and in `components/schemas` of the API's `/openapi.json`.
"""

_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "minLength": "{} or more characters",
    "maxLength": "{} or fewer characters",
    "minItems": "{} or more entries",
    "maxItems": "{} or fewer entries",
}
_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true`, `false`",
    "object": "object",
}


def page() -> str:
    """The whole page, in the order of `docs/operations.md`."""
    return _HEAD + "".join(_section(operation) for operation in COMMANDS)


def _section(operation: str) -> str:
    schema = command_body(operation)["content"]["application/json"]["schema"]
    rows = [
        f"| `{name}` | {'yes' if name in schema['required'] else ''} "
        f"| {_default(operation, name)} | {_words(of_name)} |\n"
        for name, of_name in schema["properties"].items()
        if name != "command_id"
    ]
    if not rows:
        return f"\n## {operation}\n\nNo parameters.\n"
    head = "| parameter | required | default | allowed values |\n|---|---|---|---|\n"
    return f"\n## {operation}\n\n{head}{''.join(rows)}"


def _default(operation: str, name: str) -> str:
    own = DEFAULTS.get(operation, {})
    return f"`{json.dumps(own[name])}`" if name in own else "–"


def _words(schema: Mapping[str, Any]) -> str:
    """A schema in words: the kind of value and its bounds."""
    match schema:
        case {"anyOf": members}:
            return " or ".join(map(_words, members))
        case {"$ref": name}:
            return f"object `{name.rpartition('/')[2]}`"
        case {"enum": values}:
            return _listed(values)
        case {"type": "array", "items": item}:
            return ", ".join([f"list, each {_words(item)}", *_bounds(schema)])
        case {"pattern": _, "description": described}:
            return ", ".join([described, *_bounds(schema)])
        case {"type": name}:
            return ", ".join([_TYPES[name], *_bounds(schema)])
        case _:
            return "anything"


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, words in _BOUNDS.items():
        if name in schema:
            yield words.format(schema[name])


def _listed(values: list[object]) -> str:
    shown = ", ".join(f"`{json.dumps(value)}`" for value in values[:VALUES_SHOWN_MAX])
    more = len(values) - VALUES_SHOWN_MAX
    return f"{shown} and {more} more" if more > 0 else shown
