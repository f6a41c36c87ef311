"""Views without passwords and tokens: the log has them, and no reader is shown them."""

from dataclasses import replace

from offhook.projections.views.commands import CommandView
from offhook.projections.views.past.timeline import TimelineEntry
from offhook.projections.views.sessions import SessionDetail
from offhook.redact import hidden


def redacted_command(command: CommandView) -> CommandView:
    """The command with the secrets among its parameters hidden."""
    return replace(command, parameters=hidden(command.parameters))


def redacted_session(detail: SessionDetail) -> SessionDetail:
    """The session with the secrets in its commands hidden."""
    return replace(detail, commands=[redacted_command(each) for each in detail.commands])


def redacted_entry(entry: TimelineEntry) -> TimelineEntry:
    """The record with the secrets in its fields hidden, at any depth."""
    return replace(entry, fields=hidden(entry.fields))
