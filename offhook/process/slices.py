"""Long work on an event loop, in slices, so that other calls do not wait until it ends."""

import asyncio
import time

SLICE_S = 0.0005
"""A slice takes this long, and the time of one item at most; a call elsewhere in the process waits
for some ten of them until its command is sent."""


class Slices:
    """Ask after each item: `await slices.yield_if_due()`."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + SLICE_S

    async def yield_if_due(self) -> None:
        """Let the other tasks run, once the slice is used up."""
        if time.perf_counter() >= self._until:
            await asyncio.sleep(0)
            self._until = time.perf_counter() + SLICE_S
