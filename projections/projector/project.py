"""The projector: takes records from the log and folds them into Postgres, batch by batch.

    join ─▶ lease ─▶ resume at checkpoint + 1 ─▶ gather ─▶ one transaction ─▶ acknowledge ─┐
              ▲                                    ▲───────────────────────────────────────┘
              └──── a partition lost, a fault that may pass, any doubt about its deliveries

It holds any number of partitions, and a batch has records of all of them. The positions live in
Postgres only. On any doubt what is in memory of a partition is dropped and its consumer is set back
to its checkpoint; what is delivered twice that way is left out by its position.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import CheckpointMoved, LogMissing, PassingFault
from offhook.jetstream.client.connection import unread
from offhook.jetstream.consuming.delivery import place_of
from offhook.jetstream.partitions import partitions_of
from offhook.jetstream.stream import PROJECTOR, PROJECTOR_BATCH_MAX, stream_of
from offhook.projections.projector.batch import SESSIONS_CACHED_MAX, Applied, Projection
from offhook.projections.projector.checkpoint import Fence, begin
from offhook.projections.projector.deliveries import (
    Deliveries,
    Room,
    records_in,
    require_same_stream,
)
from offhook.projections.projector.leases import Leases
from offhook.projections.projector.progress import PartitionProgress, Progress
from offhook.projections.projector.writing import RowsRefused
from offhook.projections.views.database.engine import Driver, driver_of
from offhook.projections.views.database.errors import DATABASE_ERRORS, reason_of
from offhook.projections.views.database.transactions import begun
from offhook.projections.views.progress.checkpoint import read_checkpoint

GATHER_S = 0.015
"""Batches begin at least this far apart: under load each has several records, which share its
transaction. After a pause a record waits for nothing."""

READ_S = 0.001
"""Of that time, for reading what came in the rest of it: one by one, each record would wake the
process."""

LOOK_S = 0.25
"""How often a projector without records looks at its partitions."""

CHECK_AFTER_IDLE_S = 2.0
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 5.0

IDLE_IN_TRANSACTION_S = 4.0
"""Postgres ends a transaction that a frozen process left open, so that others can go on; a fold
that takes longer asks Postgres for records in between."""

_FAULTS = (PassingFault, LogMissing, NatsError)
_ALL_FAULTS: tuple[type[Exception], ...] = (*_FAULTS, *DATABASE_ERRORS)

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class _Held:
    """A partition that is being projected."""

    fence: Fence
    deliveries: Deliveries
    arrived_at: float  # monotonic: when a record last came, or the consumer was checked
    checking: "asyncio.Task[int] | None" = None


class Projector:
    """Runs until it is stopped. Of several with one name, each has a part of the partitions."""

    def __init__(
        self,
        client: Client,
        engine: AsyncEngine,
        *,
        name: str = PROJECTOR,
        partitions: int | None = None,
        sessions_cached_max: int = SESSIONS_CACHED_MAX,
        on_batch: Callable[[Progress], None] | None = None,
    ) -> None:
        """`name` is that of the durable consumers and of the checkpoints.

        Without `partitions` their number is asked of the log.
        """
        self.progress = Progress()
        self._client = client
        self._engine = engine
        self._name = name
        self._partitions = partitions
        self._projection = Projection(name, sessions_cached_max=sessions_cached_max)
        self._leases = Leases(engine, name)
        self._on_batch = on_batch
        self._look = asyncio.Event()  # a record has arrived, or a partition came or went
        self._held: dict[int, _Held] = {}
        self._pauses: dict[int | None, float] = {}  # how long the next one is, by partition
        self._paused_until: dict[int, float] = {}
        self._began_at = 0.0  # monotonic: the last batch

    async def run(self, stopping: asyncio.Event) -> None:
        """Project until `stopping` is set; the batch at hand is finished. Raises LogReplaced."""
        try:
            while not stopping.is_set():
                try:
                    await self._run_once(stopping)
                except _ALL_FAULTS as error:
                    await _sleep(self._went_back(None, error), stopping)
        finally:
            await self._leases.leave()
        records = self.progress.records
        _log.info("projector stopped", extra={"projector": self._name, "records": records})

    async def _run_once(self, stopping: asyncio.Event) -> None:
        if self._partitions is None:
            self._partitions = await partitions_of(self._client)
        async with self._engine.connect() as connection:
            driver = await driver_of(connection)
            # No other client has this connection afterwards.
            await driver.execute(
                f"set idle_in_transaction_session_timeout = {int(IDLE_IN_TRANSACTION_S * 1000)}"
            )
            # What Postgres loses in a breakdown, and the checkpoint with it, is still in the log
            # (docs/decisions/0044).
            await driver.execute("set synchronous_commit = off")
            # Planned once: with arrays for parameters no plan is better for some values of them.
            await driver.execute("set plan_cache_mode = force_generic_plan")
            # Such a plan is kept. Made while a table was empty, it would read the whole table.
            await driver.execute("set enable_seqscan = off")
            stopped = asyncio.create_task(stopping.wait())
            stopped.add_done_callback(lambda _: self._look.set())
            try:
                await self._leases.add(driver, range(self._partitions))
                async with self._leases.joined(driver, self._look):
                    self.progress.troubles.pop(None, None)
                    while not stopping.is_set():
                        await self._follow(connection, driver)
                        if batch := await self._gathered(stopping):
                            await self._apply(connection, driver, batch)
            finally:
                stopped.cancel()
                for partition in list(self._held):
                    await self._drop(partition)
                self._projection.forget()
                await connection.invalidate()

    async def _follow(self, connection: AsyncConnection, driver: Driver) -> None:
        """Open the partitions that are newly leased, and drop those that no longer are."""
        self._leases.check()
        if driver.is_closed():
            raise ConnectionError("the connection to write the views with was closed")
        for partition in list(self._leases.surplus):
            await self._drop(partition)
            await self._leases.give_back(driver, partition)
        leased = self._leases.held
        for lost in self._paused_until.keys() - leased.keys():
            # Another projector counts its faults now, until it comes back.
            del self._paused_until[lost]
            self._pauses.pop(lost, None)
        for partition, held in list(self._held.items()):
            if leased.get(partition) != held.fence.epoch:
                await self._drop(partition)
            elif held.checking is not None and held.checking.done():
                await self._checked(partition, held.checking)
        for partition, epoch in leased.items():
            is_due = self._paused_until.get(partition, 0.0) <= time.monotonic()
            if partition not in self._held and is_due:
                try:
                    await self._open(connection, driver, partition, epoch)
                except _FAULTS as error:
                    self._pause(partition, error)

    async def _open(
        self, connection: AsyncConnection, driver: Driver, partition: int, epoch: int
    ) -> None:
        """Go on after the partition's checkpoint."""
        assert self._partitions is not None
        stream = stream_of(partition, self._partitions)
        async with connection.begin():
            found = await read_checkpoint(connection, self._name, partition)
        seq, created_at = (found.seq, found.stream_created_at) if found else (0, None)
        created_at = await require_same_stream(self._client, seq, created_at, stream=stream)
        if found is None:
            async with connection.begin():
                seq = (await begin(connection, self._name, created_at, partition)).seq
        async with connection.begin():
            retried = await self._projection.retry_parked(connection, partition=partition)
        deliveries = await Deliveries.open(
            self._client, self._name, seq, stream=stream, on_arrival=self._look.set
        )
        self._held[partition] = _Held(
            fence=Fence(seq=seq, epoch=epoch), deliveries=deliveries, arrived_at=time.monotonic()
        )
        deliveries.take(Room(), 0)  # asks for records
        # Not `folded` too: another projector may have gone on with these sessions since.
        self.progress.parked += len(retried.parked)
        self.progress.partitions[partition] = PartitionProgress(seq=seq)
        self.progress.troubles.pop(partition, None)
        _log.info("projecting", extra={"projector": self._name, "partition": partition, "seq": seq})

    async def _drop(self, partition: int) -> None:
        """Forget all of a partition; the projector that takes it starts at its checkpoint."""
        self.progress.partitions.pop(partition, None)
        self._projection.forget(partition)
        if (held := self._held.pop(partition, None)) is not None:
            if held.checking is not None:
                held.checking.cancel()
                await asyncio.gather(held.checking, return_exceptions=True)
            await held.deliveries.close()

    async def _gathered(self, stopping: asyncio.Event) -> dict[int, list[Msg]]:
        """The records of the next batch by partition; none if none came for LOOK_S."""
        if not self._waiting():
            self._look.clear()
            await _sleep(LOOK_S, self._look)
        wait_s = self._began_at + GATHER_S - time.monotonic()
        if 0 < self._waiting() < PROJECTOR_BATCH_MAX // 2 and wait_s > READ_S:
            with unread(self._client):
                await _sleep(wait_s - READ_S, stopping)
            await _sleep(READ_S, stopping)
        self._began_at = time.monotonic()
        batch: dict[int, list[Msg]] = {}
        left, room = PROJECTOR_BATCH_MAX, Room()
        # A fair share for each, then the rest for those that have more.
        for most in (PROJECTOR_BATCH_MAX // max(1, len(self._held)), PROJECTOR_BATCH_MAX):
            for partition, held in list(self._held.items()):
                try:
                    taken = held.deliveries.take(room, min(most, left))
                except PassingFault as error:
                    batch.pop(partition, None)
                    await self._drop(partition)
                    self._pause(partition, error)
                    continue
                if taken:
                    batch.setdefault(partition, []).extend(taken)
                    left -= len(taken)
        self._check_idle(batch)
        return batch

    def _waiting(self) -> int:
        return sum(held.deliveries.waiting for held in self._held.values())

    def _check_idle(self, batch: Mapping[int, Sequence[Msg]]) -> None:
        now = time.monotonic()
        for partition, held in self._held.items():
            if partition in batch:
                held.arrived_at = now
            elif held.checking is None and now - held.arrived_at > CHECK_AFTER_IDLE_S:
                held.checking = asyncio.create_task(held.deliveries.check())

    async def _checked(self, partition: int, checking: "asyncio.Task[int]") -> None:
        held = self._held[partition]
        held.checking, held.arrived_at = None, time.monotonic()
        try:
            self.progress.partitions[partition].pending = checking.result()
        except _FAULTS as error:
            await self._drop(partition)
            self._pause(partition, error)

    async def _apply(
        self, connection: AsyncConnection, driver: Driver, batch: dict[int, list[Msg]]
    ) -> None:
        """One transaction for the whole batch, without the partitions that were lost."""
        started_at, in_savepoints = time.monotonic(), False
        while batch:
            records = await records_in(each for messages in batch.values() for each in messages)
            fences = {partition: self._held[partition].fence for partition in batch}
            try:
                applied = await self._projection.apply_plain(driver, records, fences)
                if applied is None:
                    async with begun(connection):
                        applied = await self._projection.apply(
                            connection, records, fences, in_savepoints=in_savepoints
                        )
            except RowsRefused:
                in_savepoints = True
                continue
            except CheckpointMoved as refused:
                self.progress.refused += 1
                for partition in refused.partitions:
                    del batch[partition]
                    await self._drop(partition)
                    self._pause(partition, refused)
                continue
            self._projection.keep(applied)
            for partition, messages in batch.items():
                held, seq = self._held[partition], applied.positions[partition]
                held.fence = Fence(seq=seq, epoch=held.fence.epoch)
                self.progress.partitions[partition] = PartitionProgress(
                    seq=seq,
                    pending=place_of(messages[-1]).pending + held.deliveries.waiting,
                )
            self._count(applied, time.monotonic() - started_at)
            for partition, messages in batch.items():
                await self._held[partition].deliveries.acknowledge(messages)
            return

    def _count(self, applied: Applied, took_s: float) -> None:
        self._pauses.pop(None, None)
        for partition in applied.positions:
            self._pauses.pop(partition, None)
        progress = self.progress
        progress.records += applied.copied
        progress.repeated += applied.repeated
        progress.batches += 1
        progress.parked += len(applied.parked)
        progress.busy_s += took_s
        if self._on_batch is not None:
            self._on_batch(progress)

    def _pause(self, partition: int, error: Exception) -> None:
        """Leave the partition alone for a while; the others go on."""
        self._paused_until[partition] = time.monotonic() + self._went_back(partition, error)

    def _went_back(self, partition: int | None, error: Exception) -> float:
        """Count a fault, of one partition or of all; returns how long to wait after it."""
        _log.warning(
            "projector goes back to its checkpoint",
            extra={"projector": self._name, "partition": partition, "error": repr(error)},
        )
        self.progress.restarts += 1
        self.progress.troubles[partition] = reason_of(error)
        pause_s = self._pauses.get(partition, PAUSE_FIRST_S)
        self._pauses[partition] = min(pause_s * 2, PAUSE_MAX_S)
        return pause_s


async def _sleep(duration_s: float, until: asyncio.Event) -> None:
    """Wait that long, or until the event is set."""
    try:
        async with asyncio.timeout(duration_s):
            await until.wait()
    except TimeoutError:
        pass
