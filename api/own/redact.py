"""Passwords and tokens in what applications read: they are in the log, and are not told again."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from offhook.projections.views.commands import CommandView
from offhook.projections.views.history import TimelineEntry
from offhook.projections.views.sessions import SessionDetail

HIDDEN = "(hidden)"
_SECRET = re.compile(r"(password|token|secret|api_key)$", re.IGNORECASE)


LEVELS_MAX = 100
TOO_DEEP = "(nested too deep)"
"""What stands for the rest: a webhook may be nested deeper than an answer can be written."""


def hidden(value: Any, levels: int = LEVELS_MAX) -> Any:
    """The JSON value without the texts under names like `sip_auth_password`."""
    match value:
        case Mapping() | list() | tuple() if not levels:
            return TOO_DEEP
        case Mapping():
            return {
                name: HIDDEN
                if isinstance(item, str) and _SECRET.search(name)
                else hidden(item, levels - 1)
                for name, item in value.items()
            }
        case list() | tuple():
            return [hidden(item, levels - 1) for item in value]
        case _:
            return value


def told_command(command: CommandView) -> CommandView:
    return replace(command, parameters=hidden(command.parameters))


def told_session(detail: SessionDetail) -> SessionDetail:
    return replace(detail, commands=[told_command(each) for each in detail.commands])


def told_entry(entry: TimelineEntry) -> TimelineEntry:
    return replace(entry, fields=hidden(entry.fields))
