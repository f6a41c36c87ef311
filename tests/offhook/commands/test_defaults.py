"""The table of defaults: known names, allowed values, and what the SDK says of them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from offhook.api.telnyx.schemas import command_body
from offhook.commands.catalog import command_from, kinds_of
from offhook.commands.defaults import DEFAULTS
from scripts.sdk import descriptions_of, sdk_operations

# What a command needs besides the one parameter: what is required, and what some need with them.
NEEDED: dict[str, dict[str, Any]] = {
    "dial": {
        "to": "+12025550123",
        "from": "+12025550199",
        "connection_id": "1",
        "link_to": "v3:b",
    },
    "transfer": {"to": "+12025550123"},
    "bridge": {"call_control_id": "v3:b"},
    "conversation_relay_start": {"url": "wss://relay.example.com"},
    "enqueue": {"queue_name": "support"},
    "fork_start": {"rx": "udp:192.0.2.1:9000", "tx": "udp:192.0.2.1:9001"},
    "gather_using_ai": {"parameters": {"type": "object"}},
    "gather_using_speak": {"payload": "Press one.", "voice": "female"},
    "pay": {"transaction_type": "tokenize"},
    "record_start": {"format": "mp3", "channels": "dual"},
    "send_dtmf": {"digits": "1"},
    "speak": {"payload": "Hello.", "voice": "female"},
}

_STATED = re.compile(
    r"[Dd]efaults? (?:to|(?:value |time limit )?is) `?(?P<value>\w+)|(?P<off>Disabled by default)"
)
# What a description calls a default and is no value that could be sent.
NO_VALUE = {
    ("transfer", "from"): "the `to` number of the original call",
    **{(name, "record"): "off" for name in ("dial", "answer", "transfer", "bridge")},
}


def stated() -> Iterator[tuple[str, str, Any]]:
    """Operation, parameter and default, wherever the SDK's descriptions tell one."""
    for operation in sdk_operations():
        for name, description in descriptions_of(operation.parameters).items():
            wire_name = name.removesuffix("_")
            found = _STATED.search(description)
            if found and (operation.name, wire_name) not in NO_VALUE:
                word = found["value"] or "false"
                is_json = word in ("true", "false") or word.isdigit()
                yield operation.name, wire_name, json.loads(word) if is_json else word


@pytest.mark.parametrize("operation", DEFAULTS)
def test_every_default_is_one_of_a_known_parameter_and_allowed(operation: str) -> None:
    for name, value in DEFAULTS[operation].items():
        assert kinds_of(operation, name), f"{operation}.{name}"
        command_from(operation, {**NEEDED.get(operation, {}), name: value}, "v3:a")


def test_no_required_parameter_has_a_default() -> None:
    for operation, own in DEFAULTS.items():
        schema = command_body(operation)["content"]["application/json"]["schema"]
        assert not own.keys() & set(schema["required"]), operation


def test_the_table_has_every_default_that_the_sdk_tells() -> None:
    told = list(stated())
    assert len(told) >= 25
    for operation, name, value in told:
        assert (operation, name, DEFAULTS[operation].get(name)) == (operation, name, value)


def test_the_openapi_document_shows_the_defaults() -> None:
    for operation, own in DEFAULTS.items():
        schema = command_body(operation)["content"]["application/json"]["schema"]
        shown = {
            name: of_name["default"]
            for name, of_name in schema["properties"].items()
            if "default" in of_name
        }
        assert shown == own
