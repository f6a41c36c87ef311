"""Slots to work in: a bounded number, which may be lent while their holder only waits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Slots:
    """`count` of them. A holder that lent its slot gets one back at once, if need be one too many.

    So a command whose turn has come need not queue behind newcomers. Until some are left again,
    more sessions are at work than there are slots, by as many as came back.
    """

    def __init__(self, count: int, on_free: Callable[[], None] = lambda: None) -> None:
        """`on_free` is called when there is one more to take."""
        self._count = count
        self._taken = 0
        self._free = asyncio.Semaphore(count)
        self._too_many = 0
        self._on_free = on_free

    def all_taken(self) -> bool:
        """Whether `take` would have to wait."""
        return self._free.locked()

    def free(self) -> int:
        """How many could be taken now."""
        return max(0, self._count - self._taken)

    async def take(self) -> None:
        """Wait for a slot."""
        await self._free.acquire()
        self._taken += 1

    def leave(self) -> None:
        """Give the slot up, for good or for as long as it is lent."""
        self._taken -= 1
        if self._too_many:
            self._too_many -= 1
        else:
            self._free.release()
        self._on_free()

    def lend(self) -> None:
        """Let another session have our slot until `take_back`."""
        self.leave()

    async def take_back(self) -> None:
        """Does not wait."""
        if self.all_taken():
            self._too_many += 1
            self._taken += 1
        else:
            await self.take()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """Another session may have our slot inside the block."""
        self.lend()
        try:
            yield
        finally:
            await self.take_back()
