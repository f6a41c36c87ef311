"""Ends tasks, even if one of them drops a cancellation."""

import asyncio
from collections.abc import Collection
from typing import Any

AGAIN_S = 5.0
"""How long a task may take to end before it is cancelled again."""


async def end(tasks: Collection[asyncio.Task[Any]], *, again_s: float = AGAIN_S) -> None:
    """Cancel the tasks, again if need be, and return once all have ended. Raises nothing of theirs.

    On Python 3.11 `asyncio.wait_for`, by which nats-py waits for everything, returns normally if it
    is cancelled in the moment in which it has what it waits for. A task that goes on after that, as
    a loop does, has not noticed that it was cancelled.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=again_s)
    await asyncio.gather(*tasks, return_exceptions=True)
