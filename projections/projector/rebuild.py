"""Rebuild the views from the first record of the log, and repair the rows that differ.

    log ─▶ a schema aside, batch by batch,          ─▶ one transaction, projectors held off:
           its own checkpoint moves with each batch     compare, replace the rows that differ,
           (killed: the next rebuild goes on there)     drop the schema aside

The projector's own code does the folding: the tables aside have the same names, and only the
search path differs. The target is the position of the live views, so that like is compared with
like; readers and the projector go on meanwhile, and neither ever sees a half-made view. (A
projector of an older version goes on folding as it did: start the new one first, then rebuild.)

A session that cannot be folded keeps the rows it had, and is listed as parked: how much of it came
into the views depends on how its records fell into batches.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client
from nats.aio.msg import Msg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

import offhook
from offhook.errors import OperatorFault, PassingFault
from offhook.jetstream.stream import PROJECTOR
from offhook.projections.projector.batch import Projection
from offhook.projections.projector.checkpoint import become_active, begin
from offhook.projections.projector.deliveries import Deliveries, records_in, require_same_stream
from offhook.projections.projector.repair import Compared, Repair
from offhook.projections.views.checkpoint import Checkpoint
from offhook.projections.views.event_log import event_log
from offhook.projections.views.registry import DERIVED, TABLES
from offhook.projections.views.schema import hold_off_projectors

NAME = "rebuild"
"""Of its lock and of the checkpoint aside; who waits for the projector's position ignores it."""

BATCH_MAX = 2_000
"""Measured: larger ones are not faster, and a killed rebuild loses more of its work."""

CLAIM_TIMEOUT_S = 10.0
"""Postgres notices only after the statement at hand that a killed rebuild is gone."""

RETRY_AFTER_S = 1.0
ANALYTIC_MEMORY = "64MB"

_MARK = "offhook rebuild"
_FOLDING = (
    "*.py",
    "carrier_events/*.py",
    "commands/**/*.py",
    "session/*.py",
    "jetstream/*.py",
    "telnyx/*.py",
    "projections/**/*.py",
)


@dataclass(kw_only=True)
class RebuildProgress:
    """Positions are stream sequences."""

    started_seq: int = 0  # where this run began: 0, or where the one before it was killed
    seq: int = 0  # of the last record that is folded and committed aside
    target_seq: int = 0  # of the last record in the live views
    records: int = 0  # read from the log by this run


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """The outcome. `seq` is the stream sequence of the last record in the views."""

    seq: int
    compared: tuple[Compared, ...]
    parked: int  # sessions that cannot be folded

    @property
    def identical(self) -> bool:
        """Whether no table differed."""
        return all(each.identical for each in self.compared)


async def rebuild(
    client: Client,
    engine: AsyncEngine,
    *,
    batch_max: int = BATCH_MAX,
    on_progress: Callable[[RebuildProgress], None] = lambda progress: None,
) -> Rebuilt:
    """Rebuild the views. Raises OperatorFault, LogReplaced, or what failed twice at one record."""
    progress = RebuildProgress()
    failed_at = -1
    while True:
        async with engine.connect() as connection:
            try:
                run = _Rebuild(client, connection, progress, batch_max, on_progress)
                return await run.to_end()
            except PassingFault:
                if progress.seq == failed_at:
                    raise
                failed_at = progress.seq
            finally:
                await connection.invalidate()  # its search path is no other's
        await asyncio.sleep(RETRY_AFTER_S)


class _Rebuild:
    """One attempt, on one connection: its lock, its search path and all its transactions."""

    def __init__(
        self,
        client: Client,
        connection: AsyncConnection,
        progress: RebuildProgress,
        batch_max: int,
        on_progress: Callable[[RebuildProgress], None],
    ) -> None:
        self._client = client
        self._connection = connection
        self._progress = progress
        self._batch_max = batch_max
        self._on_progress = on_progress
        self._projection = Projection(NAME)

    async def to_end(self) -> Rebuilt:
        """Fold what is left of the log, then repair the live tables."""
        connection = self._connection
        await self._claim()
        async with connection.begin():
            self._live = await _schema_of_views(connection)
            self._aside = _quoted(self._live.strip('"') + "_rebuild")
            live = await self._live_checkpoint()
        created_at = await require_same_stream(self._client, live.seq, live.stream_created_at)
        async with connection.begin():
            await self._prepare_aside(f"{_MARK} {_fingerprint()} {created_at.isoformat()}")
            await connection.execute(text(f"set search_path to {self._aside}"))
            seq = (await begin(connection, NAME, created_at)).seq
        if not self._progress.records:
            self._progress.started_seq = seq
        self._progress.seq, self._progress.target_seq = seq, live.seq
        self._on_progress(self._progress)
        batch_max = self._batch_max
        deliveries = await Deliveries.open_alone(self._client, seq, batch_max)
        records = _Records(deliveries, batch_max)
        try:
            while await self._folded(records):
                pass
            return await self._settled(records)
        finally:
            await records.close()

    async def _claim(self) -> None:
        try:
            async with asyncio.timeout(CLAIM_TIMEOUT_S):
                while not await self._is_claimed():  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise OperatorFault("another rebuild of these views is running") from None

    async def _is_claimed(self) -> bool:
        async with self._connection.begin():
            return await become_active(self._connection, NAME)

    async def _live_checkpoint(self) -> Checkpoint:
        found = await self._connection.execute(
            text(
                f"select partition, seq, stream_created_at from {self._live}.checkpoint"
                " where name = :name and partition = 0"
            ),
            {"name": PROJECTOR},
        )
        row = found.one_or_none()
        if row is None or row.seq == 0:
            raise OperatorFault(
                "the views are empty: start `offhook projector`, which folds them from the first"
                " record of the log"
            )
        return Checkpoint(**row._mapping)

    async def _prepare_aside(self, mark: str) -> None:
        """Create the tables aside, unless there are some of the same code and the same stream."""
        found = await self._connection.execute(
            text("select obj_description(to_regnamespace(:name), 'pg_namespace')"),
            {"name": self._aside},
        )
        left = found.scalar_one_or_none() or ""
        if left == mark:
            return
        # A schema of that name without our mark is not ours to drop: creating one fails then.
        statements = [f"drop schema {self._aside} cascade"] if left.startswith(_MARK) else []
        statements += [
            f"create schema {self._aside}",
            f"comment on schema {self._aside} is '{mark}'",
        ]
        for table in TABLES:
            # Unlogged: half the writing. A crash of Postgres empties all of them, checkpoint
            # included, and the rebuild begins again.
            like = f"create unlogged table {self._aside}.{table.name} (like {self._live}."
            if table is event_log:
                statements.append(f"{like}{table.name} including indexes)")
            else:
                keys = ", ".join(column.name for column in table.primary_key.columns)
                statements.append(f"{like}{table.name}, primary key ({keys}))")
        for statement in statements:
            await self._connection.execute(text(statement))

    async def _folded(self, records: "_Records") -> bool:
        """Fold a batch in a transaction of its own; whether the live views were still ahead."""
        async with self._connection.begin():
            self._progress.target_seq = (await self._live_checkpoint()).seq
            more = await self._fold(records)
        self._on_progress(self._progress)
        return more

    async def _fold(self, records: "_Records") -> bool:
        progress = self._progress
        if progress.seq >= progress.target_seq:
            return False
        messages = await records.next(progress.target_seq)
        if not messages:
            return False  # records at the end of the log were purged since they were projected
        folding = await records_in(messages)
        applied = await self._projection.apply(self._connection, folding, progress.seq)
        # If the commit fails after all, this whole attempt is given up, and the cache with it.
        self._projection.keep(applied)
        progress.seq = applied.seq
        progress.records += len(messages)
        return True

    async def _settled(self, records: "_Records") -> Rebuilt:
        """Catch up with the last records, compare, replace what differs, clean up: all or none."""
        connection = self._connection
        async with connection.begin():
            await connection.execute(text(f"set local work_mem to '{ANALYTIC_MEMORY}'"))
            await connection.execute(text(f"analyze {', '.join(each.name for each in DERIVED)}"))
            await hold_off_projectors(connection, self._live)
            self._progress.target_seq = (await self._live_checkpoint()).seq
            while await self._fold(records):
                pass
            repair = Repair(connection=connection, live=self._live, aside=self._aside)
            compared = [await repair.table(table) for table in DERIVED]
            parked = await repair.parked()
            await connection.execute(text(f"drop schema {self._aside} cascade"))
        self._on_progress(self._progress)
        return Rebuilt(seq=self._progress.target_seq, compared=tuple(compared), parked=parked)


class _Records:
    """The log's records, the next fetch always under way while the last one is being folded."""

    def __init__(self, deliveries: Deliveries, batch_max: int) -> None:
        self._deliveries = deliveries
        self._batch_max = batch_max
        self._held: list[Msg] = []
        self._fetching = self._fetch()

    async def next(self, until_seq: int) -> list[Msg]:
        """At most a batch, not beyond `until_seq`; none if there are none, or no more at all."""
        while not self._held:
            self._held = await self._fetching
            at_end = not self._held and not await self._deliveries.check()
            self._fetching = self._fetch()
            if at_end:
                return []
        count = sum(message.metadata.sequence.stream <= until_seq for message in self._held)
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    async def close(self) -> None:
        """Give up the fetch that is under way, and the consumer."""
        self._fetching.cancel()
        await asyncio.gather(self._fetching, return_exceptions=True)
        await self._deliveries.close()

    def _fetch(self) -> "asyncio.Task[list[Msg]]":
        return asyncio.create_task(self._deliveries.next(batch_max=self._batch_max))


async def _schema_of_views(connection: AsyncConnection) -> str:
    found = await connection.execute(
        text(
            "select nspname from pg_namespace join pg_class on pg_namespace.oid = relnamespace"
            " where pg_class.oid = to_regclass('checkpoint')"
        )
    )
    return _quoted(found.scalar_one())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def folding_files() -> list[Path]:
    """The ground and this room, sorted; the other rooms take no part in a fold."""
    package = Path(offhook.__file__).parent
    return sorted(path for pattern in _FOLDING for path in package.glob(pattern))


def _fingerprint() -> str:
    """Of all code that a fold runs through: half a fold by other code is of no use."""
    digest = hashlib.sha256()
    for path in folding_files():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]
