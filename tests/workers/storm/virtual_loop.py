"""An event loop whose time jumps to the next timer as soon as nobody can go on.

Unlike `tests.virtual_clock` it also moves what waits by the loop's own time, such as
`asyncio.timeout`; in return nothing may wait for the outside world.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Selector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits, and nobody for the clock"
            self.now += max(0.0, timeout)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run_virtually(work: Coroutine[Any, Any, Result]) -> Result:
    """The work's result. Its loop's time starts at 0 and passes only while everybody waits."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)
