"""Ends what waits for a Postgres that has gone silent.

Connections to a server that is frozen, or was cut off, do not break by themselves. `PositionWatch`
reads something small all the time, and notices. A slow statement is not silence: it may take long.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from offhook.projections.views.database.engine import Connection, Driver, Engine, driver_of

SILENT_S = 5.0
"""Postgres is silent if it takes longer for the smallest read: see `PositionWatch`."""


class Silence:
    """Connections that end when Postgres goes silent. None is opened until it answers again."""

    def __init__(self) -> None:
        self._is_silent = False
        self._opening: set[asyncio.Timeout] = set()
        self._open: set[Driver] = set()

    @asynccontextmanager
    async def connection(self, engine: Engine) -> AsyncIterator[Connection]:
        """A connection. Raises TimeoutError if Postgres is silent, now or while it is waited for;
        a statement that waits for Postgres then raises one of DATABASE_ERRORS."""
        async with AsyncExitStack() as stack:
            connection = await self._opened(engine, stack)
            driver = await driver_of(connection)
            self._open.add(driver)
            stack.callback(self._open.discard, driver)
            yield connection

    def begin(self) -> None:
        """Postgres has gone silent, or still is: end everything that waits for it."""
        self._is_silent = True
        now = asyncio.get_running_loop().time()
        for waiting in self._opening:
            waiting.reschedule(now)
        for driver in self._open:
            driver.terminate()

    def end(self) -> None:
        """Postgres has answered."""
        self._is_silent = False

    async def _opened(self, engine: Engine, stack: AsyncExitStack) -> Connection:
        if self._is_silent:
            raise TimeoutError(_SILENT)
        try:
            async with asyncio.timeout(None) as waiting:
                self._opening.add(waiting)
                try:
                    return await stack.enter_async_context(engine.connect())
                finally:
                    self._opening.discard(waiting)
        except TimeoutError as error:
            raise TimeoutError(str(error) or _SILENT) from error


_SILENT = f"Postgres has not answered for {SILENT_S:g} s"
