"""Views without passwords and tokens: the log has them, and no reader is shown them."""

from dataclasses import replace

from offhook.projections.views.commands import CommandView
from offhook.projections.views.history import TimelineEntry
from offhook.projections.views.sessions import SessionDetail
from offhook.redact import hidden


def told_command(command: CommandView) -> CommandView:
    return replace(command, parameters=hidden(command.parameters))


def told_session(detail: SessionDetail) -> SessionDetail:
    return replace(detail, commands=[told_command(each) for each in detail.commands])


def told_entry(entry: TimelineEntry) -> TimelineEntry:
    return replace(entry, fields=hidden(entry.fields))
