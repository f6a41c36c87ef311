"""What a command is about, in a word or two. Pure."""

from collections.abc import Mapping
from typing import Any

_SPOKEN = ("payload", "greeting")


def command_about(command: Mapping[str, Any]) -> str:
    """The one parameter that a reader wants; what is spoken is in quotes."""
    parameters = command.get("parameters")
    if not isinstance(parameters, Mapping):
        return ""
    for name in ("to", *_SPOKEN, "cause", "audio_url", "queue_name", "name"):
        value = parameters.get(name)
        if value and isinstance(value, str):
            return f"“{value}”" if name in _SPOKEN else value
    return ""
