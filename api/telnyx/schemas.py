"""The bodies of commands in /docs, from the commands' own types."""

from collections.abc import Mapping
from typing import Any

import msgspec

from offhook.commands import COMMANDS, LegCommand
from offhook.commands.catalog import wire_name
from offhook.commands.defaults import DEFAULTS

_, _COMPONENTS = msgspec.json.schema_components(
    tuple(COMMANDS.values()), ref_template="#/components/schemas/{name}"
)
_COMMAND_NAMES = frozenset(kind.__name__ for kind in COMMANDS.values())


def parameter_objects() -> dict[str, Any]:
    """The schemas of parameters that are objects, by name: part of `components` in OpenAPI."""
    return {
        name: _in_json_schema(schema)
        for name, schema in _COMPONENTS.items()
        if name not in _COMMAND_NAMES
    }


def command_body(operation: str) -> dict[str, Any]:
    """The `requestBody` of an operation, from the command's own type."""
    kind = COMMANDS[operation]
    schema = _COMPONENTS[kind.__name__]
    own = {
        name: value
        for name, value in schema["properties"].items()
        if not (issubclass(kind, LegCommand) and name == "call_control_id")
    }
    properties: dict[str, Any] = {"command_id": _COMMAND_ID}
    properties |= {
        wire_name(name): _in_json_schema(_optional(value)) for name, value in own.items()
    }
    # The carrier applies its defaults: nothing is filled in here.
    for name, value in DEFAULTS.get(operation, {}).items():
        properties[name] |= {"default": value}
    required = [wire_name(name) for name in schema.get("required", ())]
    return {
        "required": bool(required),
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "title": kind.__name__,
                    "required": required,
                    "properties": properties,
                    "additionalProperties": False,
                }
            }
        },
    }


_COMMAND_ID = {
    "type": "string",
    "maxLength": 128,
    "description": "Your id for the command: a request that is repeated with the same id has no "
    "second effect. Use a new id for every command, even for another leg",
}


def _optional(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Without "or null" and the default null: a parameter that is left out is not sent."""
    kept = {key: value for key, value in schema.items() if key != "default"}
    if "anyOf" in kept:
        kept["anyOf"] = [_optional(each) for each in kept["anyOf"] if each != {"type": "null"}]
        if len(kept["anyOf"]) == 1:
            return {**kept.pop("anyOf")[0], **kept}
    return kept


def _in_json_schema(schema: Any) -> Any:
    """The schema with its patterns as in JSON Schema, which has no \\Z."""
    match schema:
        case Mapping():
            return {
                key: value.replace(r"\Z", "$")
                if key == "pattern" and isinstance(value, str)
                else _in_json_schema(value)
                for key, value in schema.items()
            }
        case list():
            return [_in_json_schema(each) for each in schema]
        case _:
            return schema
