"""Closes a process off: from here on it opens no socket and starts no other program.

An audit hook cannot be removed again (PEP 578). It sees whatever Python code does; a C library with
sockets of its own it does not see.
"""

import sys
from typing import Any

_REFUSED = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
)
_ALLOWED = frozenset({"socket.__new__", "socket.gethostname"})  # neither reaches anybody


class NetworkClosed(Exception):
    """The flow, or a module that it imports, wanted to reach something outside."""


def close_network() -> None:
    """Let everything that reaches out of this process raise NetworkClosed."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event.startswith(_REFUSED) and event not in _ALLOWED:
        raise NetworkClosed(f"{event}: a flow on trial reaches nothing outside its process")
