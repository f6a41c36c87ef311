"""The parts of /docs that FastAPI cannot know: bodies of commands, and the shape of errors."""

from collections.abc import Mapping
from typing import Any

import msgspec

from offhook.commands import COMMANDS, LegCommand
from offhook.commands.catalog import wire_name
from offhook.commands.defaults import DEFAULTS
from offhook.projections.views.analytics.kpis import COUNTERS, RATIOS


def _kpis() -> str:
    """Every ratio and every counter, from the definitions themselves."""
    lines = ["\n| ratio | formula | what it is | source |", "|---|---|---|---|"]
    lines += [f"| {one.name} | `{one.formula}` | {one.meaning} | {one.source} |" for one in RATIOS]
    lines += ["\n| counter | calls |", "|---|---|"]
    lines += [f"| {one.name} | {one.meaning} |" for one in COUNTERS]
    return "\n".join(lines)


TAGS = [
    {
        "name": "calls",
        "description": "Telnyx Call Control, unchanged: set `base_url` of the official SDK to "
        "`…/v2` here. A command is stored, carried out once by a worker, and answered with the "
        "carrier's own answer; the same `command_id` gives the same answer and has no second "
        "effect. An `Idempotency-Key` header stands for one; without either one is made, and told "
        "in `Offhook-Command-Id`. Status and active calls come from the views.",
    },
    {
        "name": "call control applications",
        "description": "Handed on to the carrier, with its answers and errors as they are.",
    },
    {
        "name": "sessions",
        "description": "Calls with all their legs, from the views. `meta.as_of_seq` says how far "
        "the views have come, `meta.lag_ms` for how long the oldest record they lack has waited; "
        "`min_seq` waits for a record.",
    },
    {
        "name": "commands",
        "description": "What became of a command, whoever gave it: an application or a flow.",
    },
    {
        "name": "queues",
        "description": "How long legs waited in queues, visit by visit, from the views.",
    },
    {
        "name": "analytics",
        "description": "Calls in numbers, for a range of time or each bucket of it. A call here is "
        f"one leg; a call in progress is neither a success nor a failure.\n{_kpis()}",
    },
]

ERRORS = {
    "description": "Not done; every error of the API has this shape",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["errors"],
                "properties": {
                    "errors": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["code", "title"],
                            "properties": {
                                "code": {"type": "string", "examples": ["10015"]},
                                "title": {"type": "string", "examples": ["Bad Request"]},
                                "detail": {"type": "string"},
                                "source": {
                                    "type": "object",
                                    "properties": {
                                        "pointer": {"type": "string", "examples": ["/to"]},
                                        "parameter": {"type": "string"},
                                    },
                                },
                            },
                        },
                    }
                },
            }
        }
    },
}


_, _COMPONENTS = msgspec.json.schema_components(
    tuple(COMMANDS.values()), ref_template="#/components/schemas/{name}"
)
_COMMAND_NAMES = frozenset(kind.__name__ for kind in COMMANDS.values())


def parameter_objects() -> dict[str, Any]:
    """The schemas of the objects that parameters may be, by name: `components` of the document."""
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
    # The carrier's: nothing is filled in here.
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
    "description": "Makes the command yours: repeated with the same id it is not repeated. It is "
    "one command of its session; for another leg, too, give an id of its own",
}


def _optional(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Without "or null" and the default null: what is left out is not sent."""
    kept = {key: value for key, value in schema.items() if key != "default"}
    if "anyOf" in kept:
        kept["anyOf"] = [_optional(each) for each in kept["anyOf"] if each != {"type": "null"}]
        if len(kept["anyOf"]) == 1:
            return {**kept.pop("anyOf")[0], **kept}
    return kept


def _in_json_schema(schema: Any) -> Any:
    """The schema with its patterns as JSON Schema has them: it knows no \\Z."""
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
