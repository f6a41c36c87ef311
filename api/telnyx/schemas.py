"""The bodies of commands in /docs, from the commands' own types."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from offhook.commands import COMMANDS, LegCommand
from offhook.commands.catalog import wire_name
from offhook.commands.defaults import DEFAULTS

_, _COMPONENTS = msgspec.json.schema_components(
    tuple(COMMANDS.values()), ref_template="#/components/schemas/{name}"
)
_DESCRIPTIONS: Mapping[str, str] = json.loads(
    Path(__file__).with_name("descriptions.json").read_text("utf-8")
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
                    "title": readable(operation),
                    "required": required,
                    "properties": properties,
                    "additionalProperties": False,
                }
            }
        },
    }


def documented_body(operation: str) -> dict[str, Any]:
    """The `requestBody` for /docs: with the SDK's description of each parameter, and an example."""
    body = command_body(operation)
    media: dict[str, Any] = body["content"]["application/json"]
    for name, value in media["schema"]["properties"].items():
        if name == "command_id":
            continue
        text = _DESCRIPTIONS.get(f"{operation}.{name}") or _DESCRIPTIONS[name]
        # Where the types describe a parameter, they describe the form of its text.
        form = f" Expected: {value['description']}." if "description" in value else ""
        value["description"] = text + form
        if all(isinstance(each, str) for each in value.get("enum", [None])):
            value["type"] = "string"
    media["example"] = example_of(operation)
    return body


def example_of(operation: str) -> dict[str, Any]:
    """A small body that the operation accepts."""
    required = command_body(operation)["content"]["application/json"]["schema"]["required"]
    names = [*required, *_EXAMPLES_OF.get(operation, ())]
    return {"command_id": f"{operation}-1"} | {name: _EXAMPLES[name] for name in names}


_EXAMPLES: Mapping[str, Any] = {
    "amount": 12.34,
    "audio_url": "https://example.com/prompt.mp3",
    "body": "Signal=1",
    "call_control_id": "v3:the-other-leg",
    "cause": "USER_BUSY",
    "channels": "dual",
    "client_state": "aGVsbG8=",
    "connection_id": "1494404757140276705",
    "content_type": "application/dtmf-relay",
    "conversation_id": "0ccc7b54-4df3-4bca-a65a-3da1ecc777f0",
    "digits": "1www2",
    "format": "mp3",
    "from": "+12025550102",
    "maximum_digits": 4,
    "parameters": {"type": "object", "properties": {"age": {"type": "integer"}}},
    "participant": {"id": "v3:the-leg", "role": "user"},
    "payload": "Welcome. One moment, please.",
    "queue_name": "support",
    "role": "whisper",
    "sip_address": "sip:friend@example.com",
    "stream_url": "wss://example.com/media",
    "to": "+12025550110",
    "voice": "Telnyx.KokoroTTS.af",
}
"""By parameter."""

_EXAMPLES_OF: Mapping[str, tuple[str, ...]] = {
    "bridge": ("call_control_id",),
    "gather": ("maximum_digits",),
    "gather_using_audio": ("audio_url",),
    "playback_start": ("audio_url",),
    "streaming_start": ("stream_url",),
}
"""By operation: what its example has besides what is required."""


def readable(operation: str) -> str:
    """The operation's name as words: "Send SIP info", "AI assistant start"."""
    first, *others = (_ABBREVIATIONS.get(word, word) for word in operation.split("_"))
    return " ".join([first[0].upper() + first[1:], *others])


_ABBREVIATIONS = {"ai": "AI", "dtmf": "DTMF", "sip": "SIP", "siprec": "SIPREC"}

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
