"""A log of several partitions in Postgres, as a projector leaves it, without a log server."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.jetstream.stream import PROJECTOR
from offhook.position import position_of
from offhook.projections.views.fold import Folded, folded_from
from offhook.projections.views.registry import VIEWS, rows_of
from offhook.projections.views.stored.event_log import StoredRecord, event_log, read_stored
from offhook.projections.views.view import columns_of
from tests.projections.story import Entry

STORED_FROM = datetime(2026, 11, 22, 13, tzinfo=UTC)
CREATED_AT = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(kw_only=True)
class PartitionedLog:
    """Appends entries, each a second after the one before, whatever its partition.

    A session is in partition `of[session_id]`, else in 0.
    """

    of: dict[str, int] = field(default_factory=dict)
    partitions: int = 4
    records: list[StoredRecord] = field(default_factory=list)
    lasts: dict[int, int] = field(default_factory=dict)  # sequence by partition

    def append(self, *entries: Entry) -> Sequence[StoredRecord]:
        """The records of these entries."""
        return [self._append(each) for each in entries]

    def _append(self, entry: Entry) -> StoredRecord:
        partition = self.of.get(entry.session_id, 0)
        seq = self.lasts[partition] = self.lasts.get(partition, 0) + 1
        record = read_stored(
            seq=position_of(partition, seq),
            session_id=entry.session_id,
            side=entry.side,
            type=entry.encoded.type,
            version=entry.encoded.version,
            stored_at=STORED_FROM + timedelta(seconds=len(self.records)),
            body=entry.encoded.body,
        )
        self.records.append(record)
        return record

    def folded(self, session_id: str, until: datetime | None = None) -> Folded:
        """The cold fold of the session, as of a time."""
        found = [
            each.record
            for each in self.records
            if each.session_id == session_id
            and each.record is not None
            and (until is None or each.stored_at <= until)
        ]
        return folded_from(session_id, found)


async def project(connection: AsyncConnection, log: PartitionedLog) -> None:
    """Put everything that is not in Postgres yet there, and commit."""
    found = await connection.execute(text("select seq from event_log"))
    known = set(found.scalars())
    new = [each for each in log.records if each.seq not in known]
    if new:
        await connection.execute(insert(event_log), [each.row() for each in new])
    await write_views(connection, [log.folded(each) for each in {one.session_id for one in new}])
    for partition in range(log.partitions):
        seq = position_of(partition, log.lasts.get(partition, 0))
        await connection.execute(
            text(
                "insert into checkpoint (name, partition, stream_created_at, seq, updated_at)"
                " values (:name, :partition, :created_at, :seq, now())"
                " on conflict (name, partition) do update set seq = excluded.seq"
            ),
            {"name": PROJECTOR, "partition": partition, "created_at": CREATED_AT, "seq": seq},
        )
        await connection.execute(
            text("select pg_notify('offhook_projected', :payload)"),
            {"payload": f"{PROJECTOR}:{seq}"},
        )
    await connection.commit()


async def write_views(connection: AsyncConnection, folds: Iterable[Folded]) -> None:
    """Replace the rows of these sessions."""
    for folded in folds:
        for view in VIEWS:
            await connection.execute(
                text(f"delete from {view.name} where session_id = :session_id"),
                {"session_id": folded.session.session_id},
            )
            if rows := rows_of(folded)[view.name]:
                await connection.execute(
                    insert(view.table), [columns_of(view.table, row) for row in rows]
                )
