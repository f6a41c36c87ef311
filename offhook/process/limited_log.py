"""Warnings that anybody on the network can cause, without a log that grows with them."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from offhook.process.repeats import RepeatCount

EVERY_S = 10.0
KINDS_MAX = 100


@dataclass(kw_only=True)
class _Held:
    """The warnings of one kind that are not written yet."""

    message: str
    last: Mapping[str, Any]
    repeats: RepeatCount = field(default_factory=RepeatCount)


class LimitedLog:
    """Writes the first warning of each kind at once, then at most one line each `every_s`.

    Such a line is the last warning, with `repeated` (how many there were) and `within_s`.
    """

    def __init__(self, log: logging.Logger, *, every_s: float = EVERY_S) -> None:
        self._log = log
        self._every_s = every_s
        self._held: dict[str, _Held] = {}

    def warning(self, message: str, *, kind: str, extra: Mapping[str, Any]) -> None:
        """`kind` is one of a few, never a text from outside. Call it inside the event loop."""
        assert len(self._held) < KINDS_MAX, f"{kind} is one kind too many"
        if (held := self._held.get(kind)) is None:
            held = _Held(message=message, last=extra)
            self._hold(kind, held)
        held.message, held.last = message, extra
        if held.repeats.add():
            self._log.warning(message, extra=dict(extra))

    def _hold(self, kind: str, held: _Held) -> None:
        self._held[kind] = held
        asyncio.get_running_loop().call_later(self._every_s, self._report, kind)

    def _report(self, kind: str) -> None:
        held = self._held.pop(kind)
        if repeated := held.repeats.take():
            counted = {"repeated": repeated, "within_s": self._every_s}
            self._log.warning(held.message, extra={**held.last, **counted})
            self._hold(kind, held)
