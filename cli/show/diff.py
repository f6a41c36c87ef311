"""What changed in a session between two moments: fields of the session, its legs and commands."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from rich.text import Text

from offhook.cli.printable import printable
from offhook.position import position_text
from offhook.redact import hidden

LEFT_OUT = frozenset({"first_seq", "last_seq", "first_stored_at", "last_stored_at"})
"""Fields that every record changes."""

VALUE_CHARS_MAX = 200
"""Of a value in text; JSON has all of it."""

KEYS = {"legs": "call_control_id", "commands": "command_id"}

Rows = Mapping[str, Any]
"""The session's row, and the rows of its legs and commands."""


def changes_between(before: Rows, after: Rows) -> Sequence[Mapping[str, Any]]:
    """What each row has that it did not have before; `is_new` if there was no such row.

    In the order session, legs, commands. Rows are never taken back.
    """
    return [
        {
            "kind": kind,
            "id": key,
            "operation": row.get("operation"),
            "is_new": was is None,
            "fields": [
                {"name": name, "before": (was or {}).get(name), "after": value}
                for name, value in row.items()
                if name not in LEFT_OUT and value != (was or {}).get(name)
            ],
        }
        for kind, key, was, row in _pairs(hidden(before), hidden(after))
        if {name: item for name, item in (was or {}).items() if name not in LEFT_OUT}
        != {name: item for name, item in row.items() if name not in LEFT_OUT}
    ]


def diff_text(changes: Sequence[Mapping[str, Any]]) -> Text:
    """The changes as they are printed, a line for each field."""
    text = Text()
    for change in changes:
        named = [change["kind"], change["operation"] or "", change["id"]]
        title = "session" if change["kind"] == "session" else " ".join(filter(None, named))
        text.append(title, "bold")
        text.append("  new\n" if change["is_new"] else "\n", "green")
        width = max(len(field["name"]) for field in change["fields"])
        for field in change["fields"]:
            text.append(f"  {field['name']:<{width}}  ")
            if not change["is_new"]:
                text.append(f"{_shown(field, 'before')} → ", "dim")
            text.append(f"{_shown(field, 'after')}\n", "green")
    if not changes:
        text.append("nothing changed\n", "dim")
    text.rstrip()
    return text


def _pairs(before: Rows, after: Rows) -> Iterator[tuple[str, str, Any, Any]]:
    """Kind, id, row before (None if there was none) and row after."""
    known = before["session"]
    yield (
        "session",
        after["session"]["session_id"],
        known if known["first_seq"] else None,
        (after["session"]),
    )
    for table, key in KEYS.items():
        earlier = {row[key]: row for row in before[table]}
        for row in after[table]:
            yield table.removesuffix("s"), row[key], earlier.get(row[key]), row


def _shown(field: Mapping[str, Any], moment: str) -> str:
    value = field[moment]
    if value is None:
        return "–"
    if field["name"].endswith("_seq"):
        return position_text(value)
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode().strip('"')
    text = printable(text)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[: VALUE_CHARS_MAX - 1]}…"
