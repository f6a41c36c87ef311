"""The tail phase: what the projector has folded since is folded into the version aside as well.

Before that, the sessions that the cold phase left: archived ones, and those with a problem. An
archived session stays listed in `later` if a segment of it cannot be read or was changed.

A batch is one transaction: the touched sessions folded on, their rows written, the positions moved.
The last batch is in the transaction of the cutover.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import HistoryUnreadable, OperatorFault
from offhook.position import partition_of
from offhook.projections.rebuild.build import (
    Positions,
    live_positions,
    position_in,
    write_positions,
)
from offhook.projections.rebuild.folding import Failure, Fold
from offhook.projections.rebuild.unreadable import Unreadable, fault_of, list_unreadable
from offhook.projections.views.database.bulk import insert_new, upsert_newer
from offhook.projections.views.database.errors import is_of_a_value
from offhook.projections.views.fold import Folded, written
from offhook.projections.views.registry import VIEWS, Rows
from offhook.projections.views.sessions import SESSIONS, session_view
from offhook.projections.views.stored.archive import Place, places_of, read_archived
from offhook.projections.views.stored.event_log import STORED, StoredRecord, read_stored
from offhook.projections.views.view import columns_of
from offhook.recent import RecentDict

BATCH_RECORDS = 2_000
LATER_AT_ONCE = 200
SESSIONS_CACHED_MAX = 10_000

_COLUMNS = ", ".join(STORED)


class Tail:
    """Follows the live views, on a connection whose search path has the schema aside first.

    The caller commits. After a rollback make a new one: this one is ahead of the database.
    """

    def __init__(
        self, connection: AsyncConnection, *, live: str, aside: str, positions: Positions
    ) -> None:
        """`positions` are those that are stored."""
        self.positions = dict(positions)
        self.connection = connection
        self._live, self._aside = live, aside
        self._cached = RecentDict[str, Folded](SESSIONS_CACHED_MAX)
        self._faults: dict[
            tuple[str, str], str
        ] = {}  # of each segment so far; empty if it has none

    async def fold_later(self) -> int | None:
        """Fold some of the sessions that the cold phase left; None if there are none.

        Returns how many archived records were folded.
        """
        found = await self.connection.execute(
            text(
                f"delete from {self._aside}.later where session_id in (select session_id"
                f" from {self._aside}.later where unreadable is null limit :limit)"
                " returning session_id, archived"
            ),
            {"limit": LATER_AT_ONCE},
        )
        archived: dict[str, int] = {row.session_id: row.archived for row in found}
        if not archived:
            return None
        unreadable = await self._fold({each: () for each in archived}, self.positions)
        return sum(count for each, count in archived.items() if each not in unreadable)

    async def behind(self) -> int:
        """How many positions the version aside is behind the live one."""
        reached = await live_positions(self.connection, self._live)
        return sum(
            max(0, position - position_in(self.positions, partition))
            for partition, position in reached.items()
        )

    async def follow(self) -> bool:
        """Fold a batch of what the live views have and this version lacks; whether there was."""
        reached = await live_positions(self.connection, self._live)
        until = dict(self.positions)
        records: list[StoredRecord] = []
        for partition, position in sorted(reached.items()):
            since = position_in(self.positions, partition)
            room = BATCH_RECORDS - len(records)
            if since < position and room > 0:
                found = await self._read(since, position, room)
                records += found
                # Below the limit all is read. A repeated record has a position, but no row.
                until[partition] = found[-1].seq if len(found) == room else position
        if until == self.positions:
            return False
        by_session: dict[str, list[StoredRecord]] = {}
        for record in records:
            by_session.setdefault(record.session_id, []).append(record)
        await self._fold(by_session, until)
        await write_positions(self.connection, self._aside, until)
        self.positions = until
        return True

    async def _read(self, since: int, until: int, limit: int) -> list[StoredRecord]:
        found = await self.connection.execute(
            text(
                f"select {_COLUMNS} from {self._live}.event_log"
                " where seq > :since and seq <= :until order by seq limit :limit"
            ),
            {"since": since, "until": until, "limit": limit},
        )
        return [read_stored(**row._mapping) for row in found]

    async def _fold(
        self, by_session: Mapping[str, Sequence[StoredRecord]], until: Positions
    ) -> Mapping[str, Unreadable]:
        """Fold on the sessions that are known, and all others from their first record.

        Returns the archived ones that cannot be read.
        """
        if not by_session:
            return {}
        folds: list[Fold] = []
        for session_id, records in by_session.items():
            if (known := self._cached.get(session_id)) is not None:
                fold = Fold(session_id, known)
                for record in records:
                    fold.add(record)
                folds.append(fold)
        unknown = [key for key in by_session if key not in self._cached]
        whole, unreadable = await self._whole(unknown, until)
        folds += whole
        rows = [(fold, made) for fold in folds if (made := fold.rows()) is not None]
        await self._write(rows)
        failures = [fold.failure for fold in folds if fold.failure is not None]
        await self._park(failures)
        await self._unpark([*by_session], failures)
        await list_unreadable(self.connection, self._aside, [*by_session], unreadable)
        for fold in folds:
            session_id = fold.folded.session.session_id
            if fold.failure is None:
                self._cached[session_id] = written(fold.folded)
            else:
                self._cached.pop(session_id, None)
        return unreadable

    async def _whole(
        self, session_ids: Sequence[str], until: Positions
    ) -> tuple[list[Fold], dict[str, Unreadable]]:
        """These sessions folded from their first record up to there; those that cannot be read."""
        folds: dict[str, Fold] = {}
        unreadable: dict[str, Unreadable] = {}
        if not session_ids:
            return [], unreadable
        for session_id, places in (await places_of(self.connection, session_ids)).items():
            folds[session_id] = fold = Fold(session_id)
            if reason := await self._take_archived(fold, places):
                archived = sum(each.block.records for each in places)
                unreadable[session_id] = Unreadable(archived=archived, reason=reason)
                # Its position has the partition, whose projector folds it again.
                since_seq = places[0].block.first_position
                fold.fail(since_seq, f"its archived records cannot be read: {reason}")
        result = await self.connection.stream(
            text(
                f"select {_COLUMNS} from {self._live}.event_log"
                " where session_id = any(:session_ids) order by session_id, seq"
            ),
            {"session_ids": list(session_ids)},
        )
        async for row in result:
            if row.seq <= position_in(until, partition_of(row.seq)):
                fold = folds.get(row.session_id) or folds.setdefault(
                    row.session_id, Fold(row.session_id)
                )
                fold.add(read_stored(**row._mapping))
        return [*folds.values()], unreadable

    async def _take_archived(self, fold: Fold, places: Sequence[Place]) -> str:
        """Take in the session's archived records; empty, or why that is not possible."""
        for place in places:
            segment = (place.root, place.segment)
            if segment not in self._faults:
                self._faults[segment] = await asyncio.to_thread(fault_of, place)
            if fault := self._faults[segment]:
                return fault
        try:
            for record in await read_archived(self.connection, places[0].block.session_id):
                fold.add(record)
        except (OperatorFault, HistoryUnreadable) as error:
            return str(error)
        return ""

    async def _write(self, several: Sequence[tuple[Fold, Rows]]) -> None:
        """Upsert all rows at once; if Postgres refuses one, session by session, to find whose."""
        error = await self._upserted([rows for _, rows in several])
        if error is None:
            return
        for fold, rows in several:
            if (error := await self._upserted([rows])) is not None:
                fold.fail(fold.folded.last_seq, error)

    async def _upserted(self, several: Sequence[Rows]) -> Exception | None:
        """None, or why Postgres refused a value."""
        try:
            async with self.connection.begin_nested():
                for view in VIEWS:
                    rows = [row for rows in several for row in rows[view.name]]
                    await upsert_newer(self.connection, view.table, rows)
        except Exception as error:
            if not is_of_a_value(error):
                raise
            return error
        return None

    async def _park(self, failures: Iterable[Failure]) -> None:
        stubs = []
        for failure in failures:
            await self.connection.execute(
                text(
                    f"insert into {self._aside}.parked_sessions as parked"
                    " (session_id, since_seq, error, attempts, parked_at, tried_at)"
                    " values (:session_id, :since_seq, :error, 1, now(), now())"
                    " on conflict (session_id) do update set error = excluded.error,"
                    " attempts = parked.attempts + 1, tried_at = excluded.tried_at"
                ),
                vars(failure),
            )
            # A session that could never be folded is listed too, as an empty one.
            stub = columns_of(SESSIONS.table, session_view(Fold(failure.session_id).folded))
            stubs.append(stub | {"first_seq": failure.since_seq})
        await insert_new(self.connection, SESSIONS.table, stubs)

    async def _unpark(self, session_ids: Sequence[str], failures: Sequence[Failure]) -> None:
        failed = {failure.session_id for failure in failures}
        await self.connection.execute(
            text(f"delete from {self._aside}.parked_sessions where session_id = any(:session_ids)"),
            {"session_ids": [each for each in session_ids if each not in failed]},
        )
