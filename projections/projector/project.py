"""The projector: takes records from the log and folds them into Postgres, batch by batch.

    standby ──lock──▶ resume at checkpoint + 1 ──▶ fetch ─▶ one transaction ─▶ acknowledge ─┐
       ▲                                             ▲──────────────────────────────────────┘
       └────────── any fault that may pass, any doubt about the deliveries ────────┘

The position lives in Postgres only. On any doubt everything in memory is dropped and the consumer
is set back to it; what is delivered twice that way is left out by its sequence.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import LogMissing, PassingFault
from offhook.jetstream.stream import PROJECTOR
from offhook.projections.projector.batch import SESSIONS_CACHED_MAX, Applied, Projection
from offhook.projections.projector.checkpoint import become_active, begin
from offhook.projections.projector.deliveries import Deliveries, records_in, require_same_stream
from offhook.projections.views.checkpoint import read_checkpoint
from offhook.projections.views.database import reason_of

STANDBY_POLL_S = 0.5
CHECK_AFTER_IDLE_S = 5.0
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 5.0

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Progress:
    """What a projector has done since it started."""

    active: bool = False  # not standing by, and not between two attempts
    trouble: str = ""  # why it went back to its checkpoint; empty once it runs or stands by again
    seq: int = 0  # stream sequence of the last record in the views
    pending: int = 0  # records behind it that wait, as of the last batch
    records: int = 0
    repeated: int = 0  # records whose event id was known
    batches: int = 0
    parked: int = 0  # sessions parked, counted each time
    restarts: int = 0  # times it went back to the checkpoint
    busy_s: float = 0.0  # time in transactions


class Projector:
    """Runs until it is stopped; of several with one name, one is active."""

    def __init__(
        self,
        client: Client,
        engine: AsyncEngine,
        *,
        name: str = PROJECTOR,
        sessions_cached_max: int = SESSIONS_CACHED_MAX,
        on_batch: Callable[[Progress], None] | None = None,
    ) -> None:
        """`name` is that of the durable consumer and of the checkpoint."""
        self.progress = Progress()
        self._client = client
        self._engine = engine
        self._name = name
        self._projection = Projection(name, sessions_cached_max=sessions_cached_max)
        self._on_batch = on_batch
        self._pause_s = PAUSE_FIRST_S

    async def run(self, stopping: asyncio.Event) -> None:
        """Project until `stopping` is set; the batch at hand is finished. Raises LogReplaced."""
        while not stopping.is_set():
            try:
                await self._run_once(stopping)
            except (PassingFault, LogMissing, NatsError, SQLAlchemyError, OSError) as error:
                _log.warning(
                    "projector goes back to its checkpoint",
                    extra={"projector": self._name, "error": repr(error)},
                )
                self.progress.restarts += 1
                self.progress.trouble = reason_of(error)
                await _sleep(self._pause_s, stopping)
                self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)
        _log.info("projector stopped", extra={"projector": self._name, "seq": self.progress.seq})

    async def _run_once(self, stopping: asyncio.Event) -> None:
        # One connection for the lock and for the transactions: who loses it loses both.
        async with self._engine.connect() as connection:
            try:
                while not await self._is_active(connection):
                    self.progress.trouble = ""
                    if await _sleep(STANDBY_POLL_S, stopping):
                        return
                await self._project(connection, stopping)
            finally:
                self.progress.active = False
                self._projection.forget()
                await connection.invalidate()

    async def _is_active(self, connection: AsyncConnection) -> bool:
        async with connection.begin():
            return await become_active(connection, self._name)

    async def _project(self, connection: AsyncConnection, stopping: asyncio.Event) -> None:
        position = await self._resume(connection)
        deliveries = await Deliveries.open(self._client, self._name, position)
        self.progress.active, self.progress.trouble = True, ""
        self.progress.seq = position
        _log.info("projecting", extra={"projector": self._name, "seq": position})
        last_delivery = time.monotonic()
        try:
            while not stopping.is_set():
                messages = await _unless(stopping, deliveries.next()) or []
                if messages:
                    await self._apply(connection, messages)
                    await deliveries.acknowledge(messages)
                    last_delivery = time.monotonic()
                elif time.monotonic() - last_delivery > CHECK_AFTER_IDLE_S:
                    self.progress.pending = await deliveries.check()
                    last_delivery = time.monotonic()
        finally:
            await deliveries.close()

    async def _resume(self, connection: AsyncConnection) -> int:
        """The stream sequence after which to continue."""
        async with connection.begin():
            found = await read_checkpoint(connection, self._name)
        seq, created_at = (found.seq, found.stream_created_at) if found else (0, None)
        created_at = await require_same_stream(self._client, seq, created_at)
        async with connection.begin():
            position = (await begin(connection, self._name, created_at)).seq
            applied = await self._projection.retry_parked(connection, position)
        self._projection.keep(applied)
        return position

    async def _apply(self, connection: AsyncConnection, messages: Sequence[Msg]) -> None:
        started_at = time.monotonic()
        records = await records_in(messages)
        async with connection.begin():
            applied = await self._projection.apply(connection, records, self.progress.seq)
        self._projection.keep(applied)
        self._count(applied, messages[-1].metadata.num_pending, time.monotonic() - started_at)

    def _count(self, applied: Applied, pending: int, took_s: float) -> None:
        self._pause_s = PAUSE_FIRST_S
        progress = self.progress
        progress.seq = applied.seq
        progress.pending = pending
        progress.records += applied.copied
        progress.repeated += applied.repeated
        progress.batches += 1
        progress.parked += len(applied.parked)
        progress.busy_s += took_s
        if self._on_batch is not None:
            self._on_batch(progress)


async def _sleep(duration_s: float, stopping: asyncio.Event) -> bool:
    """Wait that long, or until `stopping` is set; returns whether it is."""
    try:
        async with asyncio.timeout(duration_s):
            await stopping.wait()
    except TimeoutError:
        pass
    return stopping.is_set()


async def _unless(stopping: asyncio.Event, work: Coroutine[Any, Any, Result]) -> Result | None:
    """What `work` returns; None if `stopping` is set first, and `work` is cancelled then."""
    working, stopped = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, stopped):
            task.cancel()
        await asyncio.gather(working, stopped, return_exceptions=True)
