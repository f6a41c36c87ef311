"""Waiting until the views have a record: for readers that must see what they have written."""

import asyncio
import contextlib
import logging
from typing import Any, Self

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.jetstream.stream import PROJECTOR
from offhook.projections.views.checkpoint import CHANNEL, read_checkpoint

POLL_S = 0.5
"""A backstop only: a notification that is lost with its connection is not repeated."""

_OF_THE_DRIVER = (asyncpg.PostgresError, asyncpg.InterfaceError)
"""What listening raises when its connection breaks: it goes past SQLAlchemy, which wraps no more
than what goes through it."""

_log = logging.getLogger(__name__)


class PositionWatch:
    """Knows the projector's position, over one connection for any number of waiting readers.

    Use it as a context manager, once a process.
    """

    def __init__(self, engine: AsyncEngine, name: str = PROJECTOR) -> None:
        self._engine = engine
        self._name = name
        self._seq = 0
        self._waiting: set[tuple[int, asyncio.Future[None]]] = set()
        self._watching: asyncio.Task[None] | None = None

    @property
    def seq(self) -> int:
        """The stream sequence of the last record in the views, as last notified."""
        return self._seq

    async def wait_for(self, seq: int, timeout_s: float) -> int:
        """The position, as soon as it is at `seq` or above; after timeout_s whatever it is."""
        if self._seq < seq:
            waiting = (seq, asyncio.get_running_loop().create_future())
            self._waiting.add(waiting)
            try:
                async with asyncio.timeout(timeout_s):
                    await waiting[1]
            except TimeoutError:
                pass
            finally:
                self._waiting.discard(waiting)
        return self._seq

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching

    async def _watch(self) -> None:
        while True:
            try:
                async with self._engine.connect() as connection:
                    await self._listen(connection)
            except (SQLAlchemyError, OSError, *_OF_THE_DRIVER) as error:
                _log.warning("no notifications of the views", extra={"error": repr(error)})
                await asyncio.sleep(POLL_S)

    async def _listen(self, connection: AsyncConnection) -> None:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        try:
            await driver.add_listener(CHANNEL, self._notified)
            while True:
                known = self._seq
                async with connection.begin():
                    found = await read_checkpoint(connection, self._name)
                seq = found.seq if found is not None else 0
                if seq < known == self._seq:
                    # What was notified is committed, so the views were emptied since.
                    self._seq = seq
                self._moved(seq)
                await asyncio.sleep(POLL_S)
        finally:
            # Not given back to the pool: it would go on listening there.
            await connection.invalidate()

    def _notified(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        name, _, seq = payload.rpartition(":")
        if name == self._name:
            self._moved(int(seq))

    def _moved(self, seq: int) -> None:
        self._seq = max(self._seq, seq)
        for wanted, reached in self._waiting:
            if wanted <= self._seq and not reached.done():
                reached.set_result(None)
