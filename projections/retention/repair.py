"""Repair: compare event_log with the log, and copy damaged rows again.

    for each partition: read the log up to the checkpoint ─▶ compare with event_log, batch by batch
      missing or altered     the record is copied again, as the projector did
      not in the log         counted, and left: it may be all that there is of it

What is archived or erased is in no row; a segment holds its own hash. Killed anywhere, it is run
again. The views are not touched: if they were folded from damaged rows, rebuild them. A rebuilt
version that is aside, and not in use yet, is dropped.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import LogUnavailable, OperatorFault, words_of
from offhook.jetstream.partitions import partitions_of
from offhook.jetstream.stream import PROJECTOR, stream_of
from offhook.position import position_of
from offhook.projections.projector.deliveries import (
    Deliveries,
    records_in,
    require_same_stream,
)
from offhook.projections.projector.special_sessions import special_among, wanted
from offhook.projections.retention.alone import alone
from offhook.projections.views.progress.checkpoint import reached, read_checkpoints
from offhook.projections.views.schema.versions import drop_unfinished
from offhook.projections.views.stored.event_log import StoredRecord, event_log

BATCH_RECORDS = 500

PASSES_MAX = 4
"""A row with the id of another event keeps that one out until the next pass."""

WAIT_S = 5.0


@dataclass(kw_only=True)
class RepairProgress:
    """Records of the log that were compared, of how many, and what was wrong in event_log."""

    total: int = 0
    compared: int = 0
    missing: int = 0  # copied again
    altered: int = 0  # replaced
    unknown: int = 0  # rows that are not in the log: left as they are
    dropped_aside: bool = False  # a rebuilt version that was not in use

    @property
    def repaired(self) -> int:
        """Rows that were written."""
        return self.missing + self.altered


class Repair:
    """`on_progress` is called after each batch, which is committed."""

    def __init__(
        self,
        client: Client,
        engine: AsyncEngine,
        *,
        on_progress: Callable[[RepairProgress], None] = lambda progress: None,
    ) -> None:
        self._client = client
        self._engine = engine
        self._on_progress = on_progress
        self.progress = RepairProgress()
        self._unknown: set[int] = set()  # rows that are not in the log
        self._refused: set[str | None] = set()  # event ids that were there already

    async def run(self) -> RepairProgress:
        """Compare and repair. Raises OperatorFault, or PassingFault: run it again."""
        async with alone(self._engine):
            partitions = await partitions_of(self._client)
            streams = [stream_of(each, partitions) for each in range(partitions)]
            ends = [await self._end_of(*each) for each in enumerate(streams)]
            for _ in range(PASSES_MAX):
                before = self.progress.repaired
                self.progress.compared = self.progress.unknown = 0
                self._unknown, self._refused = await self._beyond(), set()
                for partition, stream in enumerate(streams):
                    await self._partition(partition, stream, ends[partition])
                if not await self._drop_misplaced() and self.progress.repaired == before:
                    break
        return self.progress

    async def _end_of(self, partition: int, stream: str) -> int:
        """The position up to which the views have the partition."""
        async with self._engine.connect() as connection:
            checkpoints = await read_checkpoints(connection, PROJECTOR)
        found, end = checkpoints.get(partition), reached(checkpoints, partition)
        created_at = found.stream_created_at if found is not None else None
        await require_same_stream(self._client, end, created_at, stream=stream)
        try:
            info = await self._client.jetstream().stream_info(stream)
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"stream {stream} cannot be read: {words_of(error)}") from error
        self.progress.total += info.state.messages
        return end

    async def _beyond(self) -> set[int]:
        """Rows beyond the checkpoint of their partition, where no projector has put one."""
        async with self._engine.connect() as connection:
            found = await connection.execute(
                text(
                    "select seq from event_log where not exists (select from checkpoint"
                    " where name = :name and checkpoint.seq >= event_log.seq"
                    # As `offhook.position` has it.
                    " and partition = event_log.seq >> 47)"
                ),
                {"name": PROJECTOR},
            )
            return {*found.scalars()}

    async def _partition(self, partition: int, stream: str, end: int) -> None:
        """Everything of the partition up to the position `end`."""
        after = position_of(partition, 0)
        deliveries = await Deliveries.open_alone(self._client, after, BATCH_RECORDS, stream=stream)
        try:
            while after < end:
                messages = await deliveries.next(WAIT_S, batch_max=BATCH_RECORDS)
                if not messages and await deliveries.check():
                    continue  # they are late
                records = [each for each in await records_in(messages) if each.seq <= end]
                is_last = not messages or len(records) < len(messages)
                until = end if is_last else records[-1].seq
                async with self._engine.begin() as connection:
                    counted = await self._compared(connection, records, after, until)
                self.progress.missing += counted[0]
                self.progress.altered += counted[1]
                self.progress.compared += len(records)
                self.progress.unknown = len(self._unknown)
                self._on_progress(self.progress)
                after = until
        finally:
            await deliveries.close()

    async def _compared(
        self, connection: AsyncConnection, records: Sequence[StoredRecord], after: int, until: int
    ) -> tuple[int, int]:
        """Repair the rows above `after` up to `until`; how many were missing, how many altered."""
        special = await special_among(connection, {each.session_id for each in records})
        for session_id, error in special.failed.items():
            raise OperatorFault(
                f"session {session_id}: {error}. Restore the file, and repair again"
            )
        rows = {each.seq: each.row() for each in await wanted(connection, records, special)}
        found = await connection.execute(
            select(event_log).where(event_log.c.seq > after, event_log.c.seq <= until)
        )
        stored = {row.seq: dict(row._mapping) for row in found}
        self._unknown |= stored.keys() - rows.keys()
        altered = {seq for seq, row in stored.items() if seq in rows and _differs(row, rows[seq])}
        if altered:
            await connection.execute(event_log.delete().where(event_log.c.seq.in_(altered)))
        writing = [rows[seq] for seq in sorted(rows) if seq in altered or seq not in stored]
        written: set[int] = set()
        if writing:
            # A repeated delivery of an event is not copied: its id is there.
            inserted = await connection.execute(
                insert(event_log)
                .values(writing)
                .on_conflict_do_nothing()
                .returning(event_log.c.seq)
            )
            written = {*inserted.scalars()}
        # It was folded from the damaged rows, and a cutover would not notice.
        if (written or altered) and await drop_unfinished(connection):
            self.progress.dropped_aside = True
        self._refused |= {row["event_id"] for row in writing if row["seq"] not in written}
        return len(written - altered), len(altered)

    async def _drop_misplaced(self) -> bool:
        """Delete rows that the log has not, but whose event it has elsewhere; whether there were.

        They kept the event from being copied: the next pass does it.
        """
        async with self._engine.begin() as connection:
            dropped = await connection.execute(
                text("delete from event_log where seq = any(:seqs) and event_id = any(:ids)"),
                {"seqs": sorted(self._unknown), "ids": [each for each in self._refused if each]},
            )
        return dropped.rowcount > 0


def _differs(stored: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether the row differs from the log."""
    # An earlier version copied no headers.
    no_headers = stored["headers"] is None
    return any(stored[name] != row[name] for name in row if not (no_headers and name == "headers"))
