"""Paths of calls and their commands, below the carrier's base address (`…/v2`). Pure.

An id comes from outside and goes into a path that is requested with the account's key, so it is
checked first: HTTP clients resolve `..` and `.`, and some servers decode `%2F` before they do.
"""

import re
from urllib.parse import quote

from offhook.errors import ParameterInvalid

SEGMENT_RULE = "expected printable ASCII without spaces, and no '.', '..' or empty part between '/'"


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


_VISIBLE = re.compile(r"[!-~]+")
_STEPS = frozenset({"", ".", ".."})
