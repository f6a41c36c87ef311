"""What a worker passes on its way to and from anything outside: shut while it is frozen."""

import asyncio

from offhook.errors import LogUnavailable


class Gate:
    def __init__(self) -> None:
        self.is_dead = False
        self._open = asyncio.Event()
        self._open.set()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    async def passed(self) -> None:
        """Waits while the worker is frozen. Raises LogUnavailable if it is dead."""
        await self._open.wait()
        self.check()

    def check(self) -> None:
        """Raises LogUnavailable if the worker is dead: whatever it still does reaches nobody."""
        if self.is_dead:
            raise LogUnavailable("this worker is dead")

    def freeze(self) -> None:
        self._open.clear()

    def thaw(self) -> None:
        self._open.set()
