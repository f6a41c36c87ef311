"""Generates `docs/operations.md` from the SDK's methods and descriptions and from our commands."""

import re
from collections.abc import Sequence

import telnyx

from offhook.carrier_events import BY_TYPE
from offhook.commands import COMMANDS
from scripts.sdk import SdkOperation

# The descriptions of these operations name no events; the pages of the events do.
ALSO_EXPECTED = {
    "enqueue": ("call.enqueued",),
    "leave_queue": ("call.dequeued",),
    "streaming_start": ("streaming.started", "streaming.stopped", "streaming.failed"),
}

_EXPECTED = re.compile(r"\*\*Expected Webhooks:\*\*\n\n((?:[-\[ ].*\n?)+)")
_EVENT = re.compile(r"`([a-z_]+(?:\.[a-z_]+)+)`")

_HEAD = """\
# Operations

What the carrier's Call Control offers, and how to use it here. Generated from the official SDK
{version}: do not edit (run `python -m scripts.generate_commands`).

Every command is a class of `offhook`; its fields are the carrier's parameters. Over HTTP the API
accepts the carrier's own requests, so the official SDK only needs another `base_url` (`c` below
is `telnyx.Telnyx(api_key=TOKEN, base_url="http://localhost:8081/v2")`). A wrong parameter is
refused before anything is sent, with operation, place, value and what is allowed.

## Commands

`…` stands for `/v2/calls/{{call_control_id}}/actions`. The events are those named in the carrier's
description of the operation; many come only if they were requested or the case arises.

| operation | command | endpoint | SDK | events to expect |
|---|---|---|---|---|
"""

_TAIL = """
¹ The description of the operation names no event; this one is inferred from its name.

² The carrier accepts no `command_id` here: a command that is sent twice is performed twice. So
`siprec_start` is not sent again once the carrier may have received it.

An incoming call has to be answered before any command other than `reject` and `hangup`. Until
then the carrier refuses with 422 and 90034, which a flow receives as `CommandFailed`. A decision
that forgot to answer has `warnings`, shown by `offhook show` and the API's timeline.

## Reads and applications

| operation | endpoint | SDK |
|---|---|---|
| status of a call | `GET /v2/calls/{call_control_id}` | `c.calls.retrieve_status` |
| active calls | `GET /v2/connections/{connection_id}/active_calls` | \
`c.connections.list_active_calls` |
| Call Control Applications | `/v2/call_control_applications` and `…/{id}` | \
`c.call_control_applications.list`, `create`, `retrieve`, `update`, `delete` |
| a webhook's signature | `POST /webhooks/telnyx` (ingress) | `c.webhooks.unwrap` |
"""


def page(operations: Sequence[SdkOperation]) -> str:
    """The whole page; the commands written by hand come first."""
    written_first = list(COMMANDS)
    rows = sorted(operations, key=lambda operation: written_first.index(operation.name))
    head = _HEAD.format(version=telnyx.__version__)
    return head + "".join(_row(operation) for operation in rows) + _TAIL


def _row(operation: SdkOperation) -> str:
    command = COMMANDS[operation.name]
    path = "/v2/calls" if operation.name == "dial" else f"…/{operation.name}"
    note = "" if command.takes_command_id else " ²"
    sdk = "c.calls" if operation.name == "dial" else "c.calls.actions"
    cells = (
        f"`{operation.name}`",
        f"`{command.__name__}`",
        f"`{operation.http_method} {path}`{note}",
        f"`{sdk}.{operation.sdk_method}`",
        _events(operation),
    )
    return f"| {' | '.join(cells)} |\n"


def _events(operation: SdkOperation) -> str:
    also = ALSO_EXPECTED.get(operation.name, ())
    named = events_named(operation)
    assert not (also and named), f"the SDK names the events of {operation.name} now"
    return ", ".join([f"`{name}`" for name in named] + [f"`{name}` ¹" for name in also]) or "–"


def events_named(operation: SdkOperation) -> list[str]:
    """The event types under "Expected Webhooks", in order, each once."""
    section = _EXPECTED.search(operation.description)
    names = _EVENT.findall(section[1]) if section else []
    assert all(name in BY_TYPE for name in names), names
    return list(dict.fromkeys(names))
