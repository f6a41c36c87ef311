"""Who a command wants to connect, for a session without legs: a dial that was refused. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any


def numbers_of(parameters: Mapping[str, Any] | None) -> tuple[str | None, str | None]:
    """`from` and `to` of a command, each None without one; several in `to` with commas between."""
    caller, called = ((parameters or {}).get(name) for name in ("from", "to"))
    if isinstance(called, Sequence) and not isinstance(called, str):
        called = ", ".join(map(str, called))
    return (
        caller if isinstance(caller, str) else None,
        called if isinstance(called, str) else None,
    )
