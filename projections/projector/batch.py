"""One batch of records into the tables, inside the caller's transaction.

    copy into event_log ─▶ fold the touched sessions ─▶ upsert the views ─▶ move the checkpoint
      an event id that          one that raises
      repeats is left out       is parked, the others go on

A parked session is tried again from its first record whenever one more of it arrives, and at every
start of the projector: so that an upgrade that can read it heals it.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.process.slices import Slices
from offhook.projections.projector import checkpoint
from offhook.projections.projector.bulk import insert_new, upsert_newer
from offhook.projections.projector.left import Left, left_among, wanted
from offhook.projections.views.event_log import StoredRecord, event_log, read_stored
from offhook.projections.views.fold import BEGINNING, Folded, advanced, written
from offhook.projections.views.registry import VIEWS, Rows, rows_of
from offhook.projections.views.sessions import SESSIONS, session_view
from offhook.projections.views.view import columns_of, storable
from offhook.recent import RecentDict
from offhook.session import Session

SESSIONS_CACHED_MAX = 10_000
PARKED_RETRIED_MAX = 1_000
ERROR_CHARS_MAX = 2_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What a batch did; it counts only once its transaction is committed."""

    seq: int  # stream sequence of its last record
    copied: int = 0
    repeated: int = 0  # records whose event id was known
    folded: Sequence[Folded] = ()
    parked: Mapping[str, str] = field(default_factory=dict)  # session id -> error


class Projection:
    """Folds batches. Keeps the sessions that were folded last, to save reading them again."""

    def __init__(self, name: str, *, sessions_cached_max: int = SESSIONS_CACHED_MAX) -> None:
        self._name = name
        self._cached = RecentDict[str, Folded](sessions_cached_max)

    async def apply(
        self, connection: AsyncConnection, records: Sequence[StoredRecord], expected_seq: int
    ) -> Applied:
        """Apply records above `expected_seq`, in order of seq. Raises CheckpointMoved.

        `expected_seq` is the stream sequence at which the checkpoint is. After the commit call
        `keep`, after a rollback `forget`.
        """
        last = records[-1]
        copied = await _copied(connection, records)
        left = await left_among(connection, {each.session_id for each in copied})
        kept = await wanted(connection, copied, left)
        by_session: dict[str, list[StoredRecord]] = {}
        for record in kept:
            by_session.setdefault(record.session_id, []).append(record)
        folded, parked = await self._fold(connection, by_session, expected_seq, left)
        await checkpoint.advance(
            connection,
            self._name,
            expected_seq=expected_seq,
            seq=last.seq,
            stored_at=last.stored_at,
        )
        return Applied(
            seq=last.seq,
            copied=len(kept),
            repeated=len(records) - len(kept),
            folded=folded,
            parked=parked,
        )

    async def retry_parked(
        self, connection: AsyncConnection, position: int, session_id: str | None = None
    ) -> Applied:
        """Fold the parked sessions again, or that one; those not tried for longest first."""
        result = await connection.execute(
            text(
                "select session_id from parked_sessions"
                " where session_id = coalesce(cast(:session_id as text), session_id)"
                " order by tried_at limit :limit"
            ),
            {"session_id": session_id, "limit": PARKED_RETRIED_MAX},
        )
        by_session: dict[str, list[StoredRecord]] = {key: [] for key in result.scalars()}
        left = await left_among(connection, by_session)
        folded, parked = await self._fold(connection, by_session, position, left)
        return Applied(seq=position, folded=folded, parked=parked)

    def keep(self, applied: Applied) -> None:
        """The batch is committed: remember its sessions."""
        for folded in applied.folded:
            self._cached[folded.session.session_id] = written(folded)
        for session_id in applied.parked:
            self._cached.pop(session_id, None)

    def forget(self) -> None:
        """The batch was rolled back, or may have been."""
        self._cached.clear()

    async def _fold(
        self,
        connection: AsyncConnection,
        by_session: Mapping[str, Sequence[StoredRecord]],
        position: int,
        left: Left,
    ) -> tuple[list[Folded], dict[str, str]]:
        """Fold the sessions and write their rows; those that fail come back with their error."""
        if not by_session:
            return [], {}
        was_parked = by_session.keys() & {*left.parked}
        unknown = {key for key in by_session if key not in self._cached or key in was_parked}
        earlier, parked = await _earlier(connection, unknown, position, left)
        done: list[tuple[Folded, Rows]] = []
        slices = Slices()
        for session_id, records in by_session.items():
            if session_id in parked:
                continue
            try:
                known = earlier if session_id in unknown else self._cached
                before = after = known.get(session_id) or _nothing(session_id)
                for record in records:
                    after = _advanced(after, record)
                    await slices.yield_if_due()
                # What had not changed since the last batch is in the views already.
                in_views = 0 if session_id in was_parked else before.last_seq
                done.append((after, rows_of(after, in_views)))
            except Exception as error:
                parked[session_id] = _reason(error)
        parked |= await _written(connection, done)
        since = {key: _first_seq(by_session[key], position) for key in parked}
        stored = {key: by_session[key][0].stored_at for key in parked if by_session[key]}
        await _park(connection, parked, since, stored)
        await _unpark(connection, was_parked - parked.keys())
        return [each for each, _ in done if each.session.session_id not in parked], parked


def _nothing(session_id: str) -> Folded:
    return Folded(session=Session(session_id=session_id))


def _advanced(folded: Folded, record: StoredRecord) -> Folded:
    if record.record is None:
        raise _Unreadable(record.error)
    return advanced(folded, record.record)


class _Unreadable(Exception):
    """A record of the session cannot be read."""


def _reason(error: Exception) -> str:
    reason = str(error) if isinstance(error, _Unreadable) else repr(error)
    return str(storable(reason))[:ERROR_CHARS_MAX]


def _first_seq(records: Sequence[StoredRecord], position: int) -> int:
    return records[0].seq if records else position


async def _copied(
    connection: AsyncConnection, records: Sequence[StoredRecord]
) -> list[StoredRecord]:
    """Copy into event_log; returns the records that are in it, without repeated event ids."""
    new = await insert_new(connection, event_log, [each.row() for each in records])
    missing = [record.seq for record in records if record.seq not in new]
    if missing:
        # Either an event id that was seen before, or this very record: the checkpoint was set back.
        result = await connection.execute(
            text("select seq from event_log where seq = any(:seqs)"), {"seqs": missing}
        )
        new |= set(result.scalars())
    return [record for record in records if record.seq in new]


async def _earlier(
    connection: AsyncConnection, session_ids: Iterable[str], position: int, left: Left
) -> tuple[dict[str, Folded], dict[str, str]]:
    """The sessions as of `position`, and the error of each that cannot be folded.

    Folded as they are read: a long call's records, held all at once, fill the memory.
    """
    folded: dict[str, Folded] = {}
    if not (ids := list(session_ids)):
        return folded, {}
    failed = {key: left.failed[key] for key in ids if key in left.failed}
    result = await connection.execute(
        text(
            "select seq, session_id, side, type, version, stored_at, body from event_log"
            " where session_id = any(:session_ids) and seq <= :position order by seq"
        ),
        {"session_ids": ids, "position": position},
    )
    slices = Slices()
    for session_id in ids:
        try:
            for record in left.archived.get(session_id, ()):
                folded[session_id] = _advanced(
                    folded.get(session_id) or _nothing(session_id), record
                )
                await slices.yield_if_due()
        except Exception as error:
            failed[session_id] = _reason(error)
    for row in result:
        session_id = row.session_id
        if session_id in failed:
            continue
        try:
            before = folded.get(session_id) or _nothing(session_id)
            folded[session_id] = _advanced(before, read_stored(**row._mapping))
        except Exception as error:
            failed[session_id] = _reason(error)
        await slices.yield_if_due()
    return folded, failed


async def _written(
    connection: AsyncConnection, done: Sequence[tuple[Folded, Rows]]
) -> dict[str, str]:
    """Upsert all rows at once; if Postgres refuses one, session by session, to find whose."""
    try:
        async with connection.begin_nested():
            await _upsert(connection, [rows for _, rows in done])
    except Exception as error:
        if not _is_of_a_value(error):
            raise
    else:
        return {}
    refused: dict[str, str] = {}
    for folded, rows in done:
        try:
            async with connection.begin_nested():
                await _upsert(connection, [rows])
        except Exception as error:
            if not _is_of_a_value(error):
                raise
            refused[folded.session.session_id] = _reason(error)
    return refused


async def _upsert(connection: AsyncConnection, several: Sequence[Rows]) -> None:
    for view in VIEWS:
        rows: list[Any] = [row for rows in several for row in rows[view.name]]
        await upsert_newer(connection, view.table, rows)


def _is_of_a_value(error: Exception) -> bool:
    """Whether a value is at fault, not the connection, the server or the schema."""
    if isinstance(error, DBAPIError):
        sqlstate = getattr(error.orig, "sqlstate", None) or ""
        # 22: a value that does not fit; 54: over a limit, as an index entry that is too long.
        return sqlstate.startswith(("22", "54"))
    return isinstance(error, ValueError | TypeError | OverflowError)


async def _park(
    connection: AsyncConnection,
    parked: Mapping[str, str],
    since: Mapping[str, int],
    stored: Mapping[str, datetime],
) -> None:
    for session_id, error in parked.items():
        _log.error("session parked", extra={"session_id": session_id, "error": error})
        await connection.execute(
            text(
                "insert into parked_sessions"
                " (session_id, since_seq, error, attempts, parked_at, tried_at)"
                " values (:session_id, :since_seq, :error, 1, now(), now())"
                " on conflict (session_id) do update set error = excluded.error,"
                " attempts = parked_sessions.attempts + 1, tried_at = excluded.tried_at"
            ),
            {"session_id": session_id, "since_seq": since[session_id], "error": error},
        )
    # A session that never could be folded is listed all the same, as an empty one.
    stubs = [
        columns_of(SESSIONS.table, session_view(_nothing(session_id)))
        | {"first_seq": since[session_id]}
        | dict.fromkeys(("first_stored_at", "last_stored_at"), stored.get(session_id, BEGINNING))
        for session_id in parked
    ]
    await insert_new(connection, SESSIONS.table, stubs)


async def _unpark(connection: AsyncConnection, session_ids: set[str]) -> None:
    if session_ids:
        await connection.execute(
            text("delete from parked_sessions where session_id = any(:session_ids)"),
            {"session_ids": sorted(session_ids)},
        )
