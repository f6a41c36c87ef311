"""A record's body in the panel of the session's page. Pure.

A webhook's is shown as it was stored. In a record of our own positions are written as elsewhere,
`2:1234`, and the traceback of a flow has lines of its own instead of one with `\\n` in it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from offhook.api.console.rendering import DIRECTIONS
from offhook.position import position_text, referred


@dataclass(frozen=True, kw_only=True)
class RecordText:
    """`body` is JSON on several lines, or the stored text if it is no JSON."""

    body: str
    traceback: str


def record_text(record: Mapping[str, Any]) -> RecordText:
    """Of a record as the API has it with its body."""
    body: str | None = record["body"]
    if body is None:
        return RecordText(body=f"base64: {record['body_base64']}", traceback="")
    try:
        value = msgspec.json.decode(body.encode())
    except msgspec.DecodeError:
        return RecordText(body=body, traceback="")
    if record["signature"] is not None or not isinstance(value, dict):
        # Not made from the value: the names and numbers are as they were sent.
        text = msgspec.json.format(body.encode()).decode()
        return RecordText(body=_visible(text), traceback="")
    traceback = value.get("traceback")
    if isinstance(traceback, str) and traceback:
        del value["traceback"]
    return RecordText(
        body=_visible(pretty(with_positions(value, record["seq"]))),
        traceback=traceback if isinstance(traceback, str) else "",
    )


def _visible(json: str) -> str:
    """The same JSON, in which these characters are written as JSON's escapes."""
    return re.sub(f"[{DIRECTIONS}]", lambda found: f"\\u{ord(found[0]):04x}", json)


def with_positions(value: Any, position: int) -> Any:
    """The JSON with each position as text; `position` is that of the record it is of."""
    match value:
        case dict():
            return {
                name: _position(each, position)
                if name.endswith("_seq")
                else with_positions(each, position)
                for name, each in value.items()
            }
        case list():
            return [with_positions(each, position) for each in value]
        case _:
            return value


def _position(value: Any, position: int) -> Any:
    is_one = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53
    return position_text(referred(value, position)) if is_one else value


def pretty(value: Any) -> str:
    """JSON on several lines."""
    return msgspec.json.format(msgspec.json.encode(value)).decode()
