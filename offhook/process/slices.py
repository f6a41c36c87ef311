"""Long work on an event loop, in slices, so that other calls do not wait until it ends."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Self

SLICE_S = 0.00025
"""A slice takes this long, and the time of one item at most."""

TURNS = 10
"""How often the others run between two slices. What they do for a call takes some ten turns; with
one between two slices they would wait for ten slices. A turn in which nobody runs takes 2 µs."""

TURNS_S = 0.002
"""After so long another slice is due, however busy the others are."""

BATCH_SLICE_S = 0.002
"""A slice where no call waits: in the projector, beside leases and health."""


between_slices: ContextVar[Callable[[float], Awaitable[None]] | None] = ContextVar(
    "between_slices", default=None
)
"""What a task waits for between two slices, after so many seconds of work; None for nothing."""


class Slices:
    """Ask after each item: `await slices.yield_if_due()`."""

    def __init__(self, *, slice_s: float = SLICE_S, turns: int = TURNS) -> None:
        self._slice_s, self._turns = slice_s, turns
        self._until = time.perf_counter() + slice_s

    @classmethod
    def of_batch(cls) -> Self:
        """Slices where no call waits."""
        return cls(slice_s=BATCH_SLICE_S, turns=1)

    async def yield_if_due(self) -> None:
        """Let the other tasks run, once the slice is used up."""
        ended_at = time.perf_counter()
        if ended_at < self._until:
            return
        for _ in range(self._turns):
            await asyncio.sleep(0)
            if time.perf_counter() - ended_at > TURNS_S:
                break
        if (give_way := between_slices.get()) is not None:
            await give_way(ended_at - self._until + self._slice_s)
        self._until = time.perf_counter() + self._slice_s
