"""Slots to work in: a bounded number, which may be lent while their holder only waits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Slots:
    """`count` of them. Who comes back to a lent place gets one at once, if need be one too many.

    So a holder whose turn has come need not queue behind newcomers; until somebody leaves, there
    are more at work than places, by as many as came back.
    """

    def __init__(self, count: int, on_free: Callable[[], None] = lambda: None) -> None:
        """`on_free` is called when there is one more to take."""
        self._count = count
        self._taken = 0
        self._free = asyncio.Semaphore(count)
        self._too_many = 0
        self._on_free = on_free

    def all_taken(self) -> bool:
        return self._free.locked()

    def free(self) -> int:
        """How many could be taken now."""
        return max(0, self._count - self._taken)

    async def take(self) -> None:
        """Wait for a place."""
        await self._free.acquire()
        self._taken += 1

    def leave(self) -> None:
        self._taken -= 1
        if self._too_many:
            self._too_many -= 1
        else:
            self._free.release()
        self._on_free()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """Somebody else may have our place inside the block."""
        self.leave()
        try:
            yield
        finally:
            if self.all_taken():
                self._too_many += 1
                self._taken += 1
            else:
                await self.take()  # free, so this does not wait
