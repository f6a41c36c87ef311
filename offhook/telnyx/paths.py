"""Paths of the carrier's HTTP interface, below its base address (`…/v2`).

An id comes from outside and goes into a path that is requested with the account's key, so it is
checked first: HTTP clients resolve `..` and `.`, and some servers decode `%2F` before they do.
"""

import re
from urllib.parse import quote

from offhook.errors import ParameterInvalid

SEGMENT_RULE = "expected printable ASCII without spaces, and no '.', '..' or empty part between '/'"

APPLICATIONS = "/call_control_applications"


def is_segment(text: str) -> bool:
    """Whether `text` can be one segment of a path, and stays one."""
    parts = re.split(r"[/\\]", text)
    return _VISIBLE.fullmatch(text) is not None and not _STEPS.intersection(parts)


def segment(operation: str, name: str, text: str) -> str:
    """`text`, quoted. Raises ParameterInvalid naming the operation and the parameter."""
    if not is_segment(text):
        raise ParameterInvalid(operation, name, text, SEGMENT_RULE)
    return quote(text, safe=":")


def call_path(call_control_id: str, operation: str = "retrieve_status") -> str:
    """A call, for its status. Raises ParameterInvalid."""
    return f"/calls/{segment(operation, 'call_control_id', call_control_id)}"


def action_path(call_control_id: str, operation: str) -> str:
    """An action on a call. Raises ParameterInvalid."""
    return f"{call_path(call_control_id, operation)}/actions/{operation}"


def active_calls_path(connection_id: str) -> str:
    """The active calls of a connection. Raises ParameterInvalid."""
    return (
        f"/connections/{segment('list_active_calls', 'connection_id', connection_id)}/active_calls"
    )


def application_path(application_id: str) -> str:
    """A Call Control Application. Raises ParameterInvalid."""
    return f"{APPLICATIONS}/{segment('call_control_application', 'id', application_id)}"


_VISIBLE = re.compile(r"[!-~]+")
_STEPS = frozenset({"", ".", ".."})
