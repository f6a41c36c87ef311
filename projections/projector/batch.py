"""One batch of records into the tables, inside the caller's transaction.

    copy into event_log ─▶ fold the touched sessions ─▶ upsert the views and move the checkpoints
      an event id that          one that raises           one statement; a session whose values
      repeats is left out       is parked                 Postgres refuses is parked

A batch is plain if its sessions are in memory or new, no event id repeats, and none is parked or
refused. Then the two statements are one, a transaction by itself: one round trip in place of four.

A parked session is folded again from its first record whenever another record of it arrives, and
whenever a projector takes its partition, so that an upgrade that can read it heals it. One with a
text that is too long for an index is kept folded, and not written again until its long texts
change: other calls would wait for each attempt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import asyncpg

from offhook.position import partition_of
from offhook.projections.projector.checkpoint import Fence
from offhook.projections.projector.folding import Known, by_session, fold_sessions, parked_because
from offhook.projections.projector.special_sessions import SpecialSessions, special_among, wanted
from offhook.projections.projector.statements import (
    Move,
    Statement,
    copy_statement,
    plain_statement,
    write_statement,
)
from offhook.projections.projector.writing import (
    REFUSED_MAX,
    Refused,
    list_parked,
    refused_among,
    write_rows,
)
from offhook.projections.views.analytics.subjects.webhooks import sums_of
from offhook.projections.views.database.engine import Connection, Driver, driver_in
from offhook.projections.views.database.errors import is_of_a_value
from offhook.projections.views.fold import BEGINNING, Folded, written
from offhook.projections.views.registry import fits_every_index
from offhook.projections.views.stored.erasures import digest_of
from offhook.projections.views.stored.event_log import StoredRecord, event_id_of
from offhook.recent import RecentDict

SESSIONS_CACHED_MAX = 10_000
PARKED_RETRIED_MAX = 1_000

PLAIN_IN_A_ROW_MIN = 4
"""After so many plain batches the next one is expected to be plain. If it is not, it was folded for
nothing."""


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What a batch did; it counts only once its transaction is committed."""

    positions: Mapping[int, int] = field(default_factory=dict)  # of its last records, by partition
    copied: int = 0
    repeated: int = 0  # records whose event id was known
    folded: Sequence[Folded] = ()
    parked: Mapping[str, str] = field(default_factory=dict)  # session id -> error
    refused: Mapping[str, Refused] = field(default_factory=dict)  # by session id
    is_plain: bool = False


class Projection:
    """Folds batches. Keeps the sessions that were folded last, to save reading them again."""

    def __init__(self, name: str, *, sessions_cached_max: int = SESSIONS_CACHED_MAX) -> None:
        self._name = name
        self._cached = RecentDict[str, Folded](sessions_cached_max)
        self._refused = RecentDict[str, Refused](REFUSED_MAX)
        self._plain_in_a_row = 0

    async def apply_plain(
        self, driver: Driver, records: Sequence[StoredRecord], fences: Mapping[int, Fence]
    ) -> Applied | None:
        """Apply them as `apply` does, and commit, with one statement.

        None if that cannot be done, or is not expected to be possible: nothing is changed then.
        """
        if self._plain_in_a_row < PLAIN_IN_A_ROW_MIN:
            return None
        kept = by_session(records)
        read = [each.record for each in records if each.record]
        folding = await fold_sessions(driver, Known(copied=read), kept, self._cached)
        rows = [each for _, each in folding.done]
        self._plain_in_a_row = 0  # until it is kept
        event_ids = [each for each in map(event_id_of, records) if each]
        if (
            folding.parked
            or len(event_ids) > len(set(event_ids))
            or not all(map(fits_every_index, rows))
        ):
            return None
        moves = _moves(records, fences)
        sums = sums_of(read, (), folding.out_of_order)
        copy, _ = self._copy_of(records, fences)
        statement = plain_statement(copy, write_statement(rows, self._name, moves, sums))
        try:
            if not await driver.fetch(statement.text, *statement.values):
                return None
        except asyncpg.UniqueViolationError:
            return None  # copied already: the checkpoint was set back, or by another just now
        except Exception as error:
            if not is_of_a_value(error):
                raise
            return None
        self._plain_in_a_row = PLAIN_IN_A_ROW_MIN
        return Applied(
            positions={move.partition: move.seq for move in moves},
            copied=len(records),
            folded=[each for each, _ in folding.done],
            is_plain=True,
        )

    async def apply(
        self,
        connection: Connection,
        records: Sequence[StoredRecord],
        fences: Mapping[int, Fence],
        *,
        in_savepoints: bool = False,
    ) -> Applied:
        """Apply records above the fences' positions, in order of position in each partition.

        `fences` has each partition that has a record here. Raises CheckpointMoved, and RowsRefused
        unless `in_savepoints`: the caller's transaction must be rolled back then. After the commit
        call `keep`.
        """
        moves = _moves(records, fences)
        driver = await driver_in(connection)
        kept, found = await self._copied(connection, driver, records, fences)
        folding = await fold_sessions(driver, found, kept, self._cached)
        errors = await write_rows(
            driver,
            folding.done,
            found.parked,
            self._name,
            moves,
            sums_of(found.copied, found.repeated, folding.out_of_order),
            in_savepoints=in_savepoints,
        )
        parked = {**folding.parked, **{key: parked_because(each) for key, each in errors.items()}}
        await list_parked(
            driver,
            found.parked - folding.refused.keys(),
            parked,
            {key: (kept[key][0].seq, kept[key][0].stored_at) for key in parked},
        )
        copied = sum(map(len, kept.values()))
        return Applied(
            positions={move.partition: move.seq for move in moves},
            copied=copied,
            repeated=len(records) - copied,
            folded=[each for each, _ in folding.done if each.session.session_id not in parked],
            parked=parked,
            refused={**folding.refused, **refused_among(folding.done, errors)},
            is_plain=copied == len(records) and not (found.recorded or found.parked or parked),
        )

    async def retry_parked(
        self,
        connection: Connection,
        *,
        session_id: str | None = None,
        partition: int | None = None,
    ) -> Applied:
        """Fold parked sessions again: all of them, those of a partition, or one.

        At most PARKED_RETRIED_MAX, those first that were tried longest ago.
        """
        driver = await driver_in(connection)
        found = await driver.fetch(
            "select session_id, since_seq from parked_sessions"
            " where session_id = coalesce($1::text, session_id)"
            # As `offhook.position` has it.
            " and since_seq >> 47 = coalesce($2::bigint, since_seq >> 47)"
            " order by tried_at limit $3",
            *(session_id, partition, PARKED_RETRIED_MAX),
        )
        since = {row["session_id"]: (row["since_seq"], BEGINNING) for row in found}
        if not since:
            return Applied()
        known = Known(
            parked=frozenset(since),
            recorded={key: None for key in since},
            special=await special_among(connection, since),
        )
        folding = await fold_sessions(driver, known, {key: () for key in since}, self._cached)
        errors = await write_rows(
            driver, folding.done, known.parked, self._name, (), {}, in_savepoints=True
        )
        parked = {**folding.parked, **{key: parked_because(each) for key, each in errors.items()}}
        await list_parked(driver, known.parked, parked, since)
        done = [each for each, _ in folding.done if each.session.session_id not in parked]
        return Applied(folded=done, parked=parked)

    def keep(self, applied: Applied) -> None:
        """The batch is committed: remember its sessions."""
        for folded in applied.folded:
            self._cached[folded.session.session_id] = written(folded)
            self._refused.pop(folded.session.session_id, None)
        for session_id in applied.parked:
            self._cached.pop(session_id, None)
            self._refused.pop(session_id, None)
        self._refused.update(applied.refused)
        self._plain_in_a_row = self._plain_in_a_row + 1 if applied.is_plain else 0

    def forget(self, partition: int | None = None) -> None:
        """Drop cached sessions, of one partition or of all: they may differ from what is stored."""
        self._plain_in_a_row = 0
        for session_id, folded in list(self._cached.items()):
            if partition in (None, partition_of(folded.last_seq)):
                del self._cached[session_id]
        for session_id, refused in list(self._refused.items()):
            if partition in (None, partition_of(refused.folded.last_seq)):
                del self._refused[session_id]

    async def _copied(
        self,
        connection: Connection,
        driver: Driver,
        records: Sequence[StoredRecord],
        fences: Mapping[int, Fence],
    ) -> tuple[dict[str, list[StoredRecord]], Known]:
        """Copy into event_log; returns what is in it now, without repeated event ids."""
        statement, positions = self._copy_of(records, fences)
        unknown = {key for key in positions if key not in self._cached}
        row = await _row(driver, statement)
        copied_now = new = set(row["copied"])
        if len(new) < len(records):
            # An event id that was seen before, or this very record: the checkpoint was set back.
            missing = [record.seq for record in records if record.seq not in new]
            found = await driver.fetch(
                "select seq from event_log where seq = any($1::bigint[])", missing
            )
            new = new | {each["seq"] for each in found}
        copied, special = [record for record in records if record.seq in new], SpecialSessions()
        if row["is_special"]:
            special = await special_among(connection, {each.session_id for each in copied})
            copied = await wanted(connection, copied, special)
        kept = by_session(copied)
        parked = frozenset(row["parked"]) & kept.keys()
        archived = {key for key in special.archived.keys() | special.failed if key in unknown}
        refused = {key: self._refused[key] for key in parked - archived if key in self._refused}
        earlier = {*row["known"], *parked, *archived} & kept.keys()
        return kept, Known(
            parked=parked,
            recorded={key: positions[key] for key in earlier - refused.keys()},
            refused=refused,
            special=special,
            copied=[each.record for each in copied if each.record and each.seq in copied_now],
            repeated=[each.record for each in records if each.record and each.seq not in new],
        )

    def _copy_of(
        self, records: Sequence[StoredRecord], fences: Mapping[int, Fence]
    ) -> tuple[Statement, Mapping[str, int]]:
        """The statement that copies them, and the position up to which each session was folded."""
        positions = {record.session_id: fences[partition_of(record.seq)].seq for record in records}
        unknown = {key: seq for key, seq in positions.items() if key not in self._cached}
        # In one order, so that two projectors with the same records do not wait for each other.
        rows = [record.row() for record in sorted(records, key=attrgetter("seq"))]
        digests = [digest_of(session_id) for session_id in positions]
        return copy_statement(rows, list(positions), digests, unknown), positions


def _moves(records: Sequence[StoredRecord], fences: Mapping[int, Fence]) -> list[Move]:
    last = {partition_of(record.seq): record for record in records}
    return [
        Move(
            partition=partition,
            fence=fences[partition],
            seq=record.seq,
            stored_at=record.stored_at,
        )
        for partition, record in last.items()
    ]


async def _row(driver: Driver, statement: Statement) -> "asyncpg.Record":
    row = await driver.fetchrow(statement.text, *statement.values)
    assert row is not None
    return row
