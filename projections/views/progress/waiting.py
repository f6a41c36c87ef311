"""Waiting until the views have a record: for readers that must see what they have written."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, Self

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.jetstream.stream import PROJECTOR
from offhook.position import partition_of, position_of
from offhook.projections.views.database.engine import CONNECT_TIMEOUT_S
from offhook.projections.views.database.silence import SILENT_S, Silence
from offhook.projections.views.progress.checkpoint import (
    CHANNEL,
    ERASED_NOTICE,
    reached,
    read_checkpoints,
)

POLL_S = 0.5
"""A backstop only: a notification that is lost with its connection is not repeated."""

_OF_THE_DRIVER = (asyncpg.PostgresError, asyncpg.InterfaceError)
"""What listening raises when its connection breaks: it goes past SQLAlchemy, which wraps no more
than what goes through it."""

_log = logging.getLogger(__name__)


class PositionWatch:
    """Knows how far each partition is in the views, over one connection for any number of readers.

    Use it as a context manager, once a process. It notices when Postgres goes silent; its engine
    should be its own then, because waiting for a connection of a busy pool would look the same.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._positions: dict[int, int] = {}
        self._on_move: set[Callable[[int], None]] = set()
        self._on_erasure: set[Callable[[], None]] = set()
        self._waiting: set[tuple[int, asyncio.Future[None]]] = set()
        self._watching: asyncio.Task[None] | None = None
        self.silence = Silence()

    def reached(self, partition: int) -> int:
        """The position of the partition's last record in the views, as last notified."""
        return self._positions.get(partition, position_of(partition, 0))

    @contextlib.contextmanager
    def moves(self, on_move: Callable[[int], None]) -> Iterator[None]:
        """Call `on_move` with a partition's number whenever its position moves, also backwards."""
        self._on_move.add(on_move)
        try:
            yield
        finally:
            self._on_move.discard(on_move)

    @contextlib.contextmanager
    def erasures(self, on_erasure: Callable[[], None]) -> Iterator[None]:
        """Call `on_erasure` whenever sessions were erased, or may have been."""
        self._on_erasure.add(on_erasure)
        try:
            yield
        finally:
            self._on_erasure.discard(on_erasure)

    async def wait_for(self, position: int, timeout_s: float) -> int:
        """How far its partition is: as soon as at `position` or above, or after timeout_s.

        The other partitions are not waited for.
        """
        partition = partition_of(position)
        if self.reached(partition) < position:
            waiting = (position, asyncio.get_running_loop().create_future())
            self._waiting.add(waiting)
            try:
                async with asyncio.timeout(timeout_s):
                    await waiting[1]
            except TimeoutError:
                pass
            finally:
                self._waiting.discard(waiting)
        return self.reached(partition)

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
                async with contextlib.AsyncExitStack() as stack:
                    async with asyncio.timeout(CONNECT_TIMEOUT_S):
                        # The first statements on it, which are SQLAlchemy's, included.
                        connection = await stack.enter_async_context(self._engine.connect())
                    await self._listen(connection)
            except (SQLAlchemyError, OSError, *_OF_THE_DRIVER) as error:
                if isinstance(error, TimeoutError):
                    self.silence.begin()
                _log.warning("no notifications of the views", extra={"error": repr(error)})
                await asyncio.sleep(POLL_S)

    async def _listen(self, connection: AsyncConnection) -> None:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        try:
            with self._noticing_silence(driver):
                await driver.add_listener(CHANNEL, self._notified)
            self._announce_erasure()  # one that was notified before it listened
            while True:
                known = dict(self._positions)
                with self._noticing_silence(driver):
                    async with connection.begin():
                        found = await read_checkpoints(connection, PROJECTOR)
                for partition in known.keys() | found.keys():
                    position = reached(found, partition)
                    before = known.get(partition, 0)
                    if position < before == self.reached(partition):
                        # What was notified is committed, so the views were emptied since.
                        self._positions[partition] = position
                        self._announce(partition)
                    self._moved(position)
                await asyncio.sleep(POLL_S)
        finally:
            # Not given back to the pool: it would go on listening there.
            await connection.invalidate()

    @contextlib.contextmanager
    def _noticing_silence(self, driver: Any) -> Iterator[None]:
        def silent() -> None:
            driver.terminate()
            self.silence.begin()

        timer = asyncio.get_running_loop().call_later(SILENT_S, silent)
        try:
            yield
            self.silence.end()
        finally:
            timer.cancel()

    def _notified(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        if payload == ERASED_NOTICE:
            self._announce_erasure()
            return
        name, _, position = payload.rpartition(":")
        if name == PROJECTOR:
            self._moved(int(position))

    def _moved(self, position: int) -> None:
        partition = partition_of(position)
        if position <= self.reached(partition):
            return
        self._positions[partition] = position
        for wanted, waits in self._waiting:
            if partition_of(wanted) == partition and wanted <= position and not waits.done():
                waits.set_result(None)
        self._announce(partition)

    def _announce_erasure(self) -> None:
        for on_erasure in tuple(self._on_erasure):
            on_erasure()

    def _announce(self, partition: int) -> None:
        for on_move in tuple(self._on_move):
            on_move(partition)
